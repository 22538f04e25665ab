//! How many repetitions there may be: a share of the requests, so that an outage does not multiply the load.

use std::sync::atomic::{AtomicU64, Ordering};

/// Repetitions that every second allows whatever the share, per second.
pub(crate) const LEAST_PER_SECOND: u64 = 10;
/// Most repetitions saved up, in repetitions.
pub(crate) const SAVED_MAX: u64 = 100;

/// One repetition, in thousandths.
const ONE: u64 = 1_000;
/// Bits of the balance in the word; the rest is the time of the last deposit.
const BALANCE_BITS: u32 = 20;
const BALANCE_MASK: u64 = (1 << BALANCE_BITS) - 1;

/// What is saved up. One word, changed by compare-and-swap: time in milliseconds above, thousandths below.
#[derive(Debug)]
pub(crate) struct Budget {
    word: AtomicU64,
    /// What a request adds, in thousandths of a repetition.
    per_request: u64,
}

impl Budget {
    /// A budget of `percent` repetitions per hundred requests. It starts full: what comes first after a start must not
    /// fail for want of history.
    pub(crate) fn new(percent: usize) -> Budget {
        let per_request = u64::try_from(percent).unwrap_or(0).min(100) * ONE / 100;
        Budget { word: AtomicU64::new(SAVED_MAX * ONE), per_request }
    }

    /// A budget of `percent` that goes on with what `previous` has saved up.
    pub(crate) fn after(percent: usize, previous: Option<&Budget>) -> Budget {
        let budget = Budget::new(percent);
        if let Some(previous) = previous {
            budget.word.store(previous.word.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        budget
    }

    /// A request came.
    pub(crate) fn deposit(&self, now_ms: u64) {
        self.change(now_ms, |balance| Some(balance + self.per_request));
    }

    /// Takes one repetition, if there is one.
    #[must_use]
    pub(crate) fn withdraw(&self, now_ms: u64) -> bool {
        self.change(now_ms, |balance| balance.checked_sub(ONE))
    }

    /// Gives one back.
    pub(crate) fn refund(&self, now_ms: u64) {
        self.change(now_ms, |balance| Some(balance + ONE));
    }

    fn change(&self, now_ms: u64, change: impl Fn(u64) -> Option<u64>) -> bool {
        let next = |word: u64| {
            let (then, balance) = (word >> BALANCE_BITS, word & BALANCE_MASK);
            let grown = now_ms.saturating_sub(then).saturating_mul(LEAST_PER_SECOND * ONE / 1_000);
            let balance = change(balance.saturating_add(grown).min(SAVED_MAX * ONE))?;
            Some(now_ms.max(then) << BALANCE_BITS | balance.min(SAVED_MAX * ONE))
        };
        self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_saved_up_ends_at_its_limit() {
        let budget = Budget::new(20);
        (0..10_000).for_each(|_| budget.deposit(1_000_000));
        let taken = (0..10_000).filter(|_| budget.withdraw(1_000_000)).count() as u64;
        assert_eq!(taken, SAVED_MAX);
        budget.refund(1_000_000);
        assert!(budget.withdraw(1_000_000) && !budget.withdraw(1_000_000));
    }

    #[test]
    fn without_requests_every_second_allows_a_few() {
        let budget = Budget::new(0);
        while budget.withdraw(5_000) {}
        let taken = (0..1_000).filter(|_| budget.withdraw(6_000)).count() as u64;
        assert_eq!(taken, LEAST_PER_SECOND);
    }

    #[test]
    fn a_new_share_goes_on_with_what_is_saved_up() {
        let before = Budget::new(0);
        while before.withdraw(5_000) {}
        let after = Budget::after(100, Some(&before));
        assert!(!after.withdraw(5_000), "a new configuration saves nothing up");
        (0..3).for_each(|_| after.deposit(5_000));
        assert_eq!((0..10).filter(|_| after.withdraw(5_000)).count(), 3, "the new share counts");
    }

    proptest! {
        /// Whatever the order: never more repetitions than the share, the least and what was saved up.
        #[test]
        fn an_outage_does_not_multiply_the_load(
            percent in 0_usize..=100,
            steps in prop::collection::vec((0_u64..50, 0_u64..30), 1..400),
        ) {
            let budget = Budget::new(percent);
            let (mut now, mut requests, mut repetitions) = (1, 0, 0);
            while budget.withdraw(now) {}
            for (pause, wanted) in steps {
                now += pause;
                budget.deposit(now);
                requests += 1;
                repetitions += (0..wanted).filter(|_| budget.withdraw(now)).count() as u64;
            }
            let allowed = requests * percent as u64 * 10 + now * LEAST_PER_SECOND;
            prop_assert!(repetitions * ONE <= allowed, "{repetitions} of {allowed} thousandths");
        }
    }
}
