//! When a webhook is told: how long to wait after failures, and how many alerts of one organization at a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Wait after the first failure; it doubles with every further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(2);
/// Longest wait after a failure.
const BACKOFF_LAST: Duration = Duration::from_secs(300);
/// Most organizations whose pace is remembered; beyond it those that have been quiet for longest are forgotten.
const ORGANIZATIONS_MAX: usize = 4_096;
/// Alerts of one organization that may be told at once after a quiet time.
const BURST: u32 = 10;

/// How long to wait after this many failures in a row, at least 1. `chance` is from 0 to `u32::MAX` and shortens it by up
/// to a half, so that what failed together is not tried together.
pub(crate) fn backoff(failures: u32, chance: u32) -> Duration {
    let doubled =
        BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let longest = doubled.min(BACKOFF_LAST);
    longest - longest.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

/// How fast alerts of each organization are told to one webhook.
#[derive(Default)]
pub(crate) struct Pace {
    /// When each would have nothing left of its burst: the virtual schedule of the generic cell rate algorithm.
    until: HashMap<String, Instant>,
}

impl Pace {
    /// Lets one more pass, or says how long to wait. `rate` is how many pass in a minute.
    pub(crate) fn take(&mut self, organization: &str, rate: usize, now: Instant) -> Result<(), Duration> {
        let rate = u32::try_from(rate).unwrap_or(u32::MAX).max(1);
        let each = Duration::from_secs(60) / rate;
        let burst = each * BURST.min(rate).saturating_sub(1);
        let until = self.until.get(organization).copied().unwrap_or(now).max(now);
        let ahead = until.saturating_duration_since(now);
        if ahead > burst {
            return Err(ahead - burst);
        }
        if self.until.len() >= ORGANIZATIONS_MAX && !self.until.contains_key(organization) {
            self.forget(now);
        }
        self.until.insert(organization.to_owned(), until + each);
        Ok(())
    }

    /// Forgets who has a full burst again; if that is nobody, the one that is nearest to it.
    fn forget(&mut self, now: Instant) {
        self.until.retain(|_, until| *until > now);
        if self.until.len() >= ORGANIZATIONS_MAX
            && let Some(first) =
                self.until.iter().min_by_key(|(_, until)| **until).map(|(name, _)| name.clone())
        {
            self.until.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=10).map(|failures| backoff(failures, 0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff(u32::MAX, 0), BACKOFF_LAST);
        assert_eq!(backoff(1, u32::MAX), BACKOFF_FIRST / 2);
    }

    #[test]
    fn an_organization_has_a_burst_and_then_its_rate() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.take("acme", 60, now), Ok(()));
        }
        assert_eq!(pace.take("acme", 60, now), Err(Duration::from_secs(1)));
        assert_eq!(pace.take("umbra", 60, now), Ok(()), "each has its own");
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.take("acme", 60, later), Ok(()));
        assert!(pace.take("acme", 60, later).is_err());
        assert_eq!(pace.take("slow", 1, now), Ok(()));
        assert_eq!(pace.take("slow", 1, now), Err(Duration::from_secs(60)));
    }

    #[test]
    fn organizations_have_a_limit() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for number in 0..=ORGANIZATIONS_MAX {
            assert_eq!(pace.take(&number.to_string(), 60, now + Duration::from_nanos(number as u64)), Ok(()));
        }
        assert_eq!(pace.until.len(), ORGANIZATIONS_MAX);
        assert!(
            !pace.until.contains_key("0") && pace.until.contains_key("1"),
            "the longest quiet is forgotten"
        );
        assert_eq!(pace.take("late", 60, now + Duration::from_secs(3_600)), Ok(()));
        assert_eq!(pace.until.len(), 1, "all others were full again");
    }

    proptest! {
        #[test]
        fn no_more_pass_than_burst_and_rate(rate in 1_usize..500, steps in proptest::collection::vec(0_u64..5_000, 1..200)) {
            let (mut pace, start) = (Pace::default(), Instant::now());
            let (mut now, mut passed) = (start, 0_u32);
            for step in steps {
                now += Duration::from_millis(step);
                passed += u32::from(pace.take("acme", rate, now).is_ok());
            }
            let minutes = (now - start).as_secs_f64() / 60.0;
            let most = f64::from(BURST) + minutes * rate as f64 + 1.0;
            prop_assert!(f64::from(passed) <= most, "{} in {} minutes", passed, minutes);
        }

        #[test]
        fn waits_stay_within_their_limits(failures in 1_u32.., chance: u32) {
            let wait = backoff(failures, chance);
            prop_assert!(wait >= BACKOFF_FIRST / 2 && wait <= BACKOFF_LAST);
        }
    }
}
