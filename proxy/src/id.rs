//! Ids of exchanges: UUIDv7 (RFC 9562 §5.7).

use std::cell::Cell;
use std::time::Duration;

/// A UUIDv7 for the time since the epoch. Its 74 random bits come from a generator of this thread, seeded by the
/// system: an id must be unique, it need not be a secret, and a system call per request would be felt.
pub(crate) fn uuid_v7(since_epoch: Duration) -> u128 {
    thread_local! {
        static STATE: Cell<(u64, u64)> = Cell::new((seed(), seed()));
    }
    let (high, low) = STATE.with(|state| {
        let (a, b) = state.get();
        let (a, b) = (a.wrapping_add(GOLDEN), b.wrapping_add(OTHER));
        state.set((a, b));
        (mix(a), mix(b))
    });
    let millis = since_epoch.as_millis() & 0xffff_ffff_ffff;
    (millis << 80) | (7 << 76) | (u128::from(high & 0xfff) << 64) | (0b10 << 62) | u128::from(low >> 2)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xd1b5_4a32_d192_ed03;

fn seed() -> u64 {
    // Without a system source two threads could count the same ids; the thread's own address tells them apart.
    getrandom::u64().unwrap_or_else(|_unavailable| {
        let here = 0u8;
        (&raw const here).addr() as u64
    })
}

/// The finalizer of splitmix64: every state gives a different, well-spread value.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_version_seven_and_carry_their_time() {
        let id = uuid::Uuid::from_u128(uuid_v7(Duration::from_millis(1_700_000_000_123)));
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.as_u128() >> 80, 1_700_000_000_123);
    }

    #[test]
    fn ids_of_many_threads_differ() {
        let now = Duration::from_secs(1);
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(move || (0..10_000).map(|_| uuid_v7(now)).collect::<Vec<_>>()))
            .collect();
        let ids: HashSet<u128> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(ids.len(), 40_000);
    }
}
