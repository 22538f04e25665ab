//! The machine's monotonic clock, comparable between processes of one machine.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`; 0 if the clock cannot be read, which Linux does not do.
pub fn monotonic_ns() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Precedes a stamp in the text of a chunk.
pub const STAMP_PREFIX: &[u8] = b"ts=";
/// Decimal digits of a stamp, zero-padded, in nanoseconds of [`monotonic_ns`]. A `;` follows them.
pub const STAMP_DIGITS: usize = 20;
/// A stamp before its time is written in.
pub(crate) const STAMP_EMPTY: &str = "ts=00000000000000000000;";

/// Writes `value` into `slot` as zero-padded decimal digits.
pub(crate) fn write_decimal(slot: &mut [u8], mut value: u64) {
    for digit in slot.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_their_width() {
        assert_eq!(STAMP_EMPTY.len(), STAMP_PREFIX.len() + STAMP_DIGITS + 1);
        let mut slot = [b'x'; STAMP_DIGITS];
        write_decimal(&mut slot, u64::MAX);
        assert_eq!(&slot, b"18446744073709551615");
        write_decimal(&mut slot, 7);
        assert_eq!(&slot, b"00000000000000000007");
    }
}
