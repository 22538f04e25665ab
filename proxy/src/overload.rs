//! Whether there is more work than the workers can do, told by how late a timer fires.
//!
//! A gateway that is late at everything helps nobody: every caller waits, times out and asks again. Refusing some at
//! once keeps the rest on time. What is measured is the delay itself and not the processor's load, which may be full
//! with nobody waiting.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How often the delay is measured.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// Measurements that all have to be late: a pause of the machine is one late measurement, and no overload.
const WINDOW: usize = 5;
/// Parts in a thousand by which more is refused, measurement by measurement, while it stays late.
const STEP: u32 = 100;
/// The most that is refused, in parts in a thousand: what is still let in shows when it is over.
const SHED_MAX: u32 = 950;
/// Below this, in parts in a thousand, nothing is refused.
const SHED_MIN: u32 = 10;

/// How late the workers are, and what part of new exchanges is refused for it.
#[derive(Default)]
pub(crate) struct Overload {
    /// Parts in a thousand.
    shed: AtomicU32,
    /// The last measurement, in microseconds.
    delay_us: AtomicU64,
}

impl Overload {
    /// Whether the exchange with this id is to be refused. One load while all is well.
    pub(crate) fn sheds(&self, id: u128) -> bool {
        let shed = self.shed.load(Ordering::Relaxed);
        // The low bits of an id are random.
        shed > 0 && id % 1000 < u128::from(shed)
    }

    /// The part of new exchanges that is refused, in parts in a thousand.
    pub(crate) fn shed(&self) -> u32 {
        self.shed.load(Ordering::Relaxed)
    }

    /// How late the last timer fired.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Ordering::Relaxed))
    }

    /// Publishes what the machine made of a measurement.
    pub(crate) fn set(&self, shed: u32, delay: Duration) {
        self.delay_us.store(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let before = self.shed.swap(shed, Ordering::Relaxed);
        if before == 0 && shed > 0 {
            tracing::warn!(
                ?delay,
                "overloaded: a part of new exchanges is refused until the workers are on time again"
            );
        } else if before > 0 && shed == 0 {
            tracing::info!("the workers are on time again: no exchange is refused any more");
        }
    }
}

/// From measurements to what part of new exchanges to refuse.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// The last measurements, the newest at `next - 1`.
    window: [Duration; WINDOW],
    next: usize,
    shed: u32,
}

impl Machine {
    /// Takes a measurement; gives the part of new exchanges to refuse, in parts in a thousand. Without a threshold
    /// nothing is refused.
    pub(crate) fn push(&mut self, delay: Duration, threshold: Option<Duration>) -> u32 {
        if let Some(slot) = self.window.get_mut(self.next) {
            *slot = delay;
        }
        self.next = (self.next + 1) % WINDOW;
        let least = self.window.iter().min().copied().unwrap_or_default();
        self.shed = match threshold {
            None => 0,
            Some(threshold) if least > threshold => (self.shed + STEP).min(SHED_MAX),
            // Between half the threshold and all of it things are left as they are, or the two would alternate.
            Some(threshold) if delay <= threshold / 2 => {
                Some(self.shed / 2).filter(|shed| *shed >= SHED_MIN).unwrap_or(0)
            }
            Some(_) => self.shed,
        };
        self.shed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLD: Duration = Duration::from_millis(500);
    const LATE: Duration = Duration::from_millis(501);

    fn pushed(machine: &mut Machine, delay: Duration, times: usize) -> u32 {
        (0..times).map(|_| machine.push(delay, Some(THRESHOLD))).last().unwrap()
    }

    #[test]
    fn nothing_is_refused_at_the_threshold_and_something_past_it() {
        assert_eq!(pushed(&mut Machine::default(), THRESHOLD, 100), 0);
        assert_eq!(pushed(&mut Machine::default(), LATE, WINDOW), STEP);
    }

    #[test]
    fn one_pause_is_no_overload() {
        let mut machine = Machine::default();
        for _ in 0..10 {
            assert_eq!(pushed(&mut machine, LATE * 100, WINDOW - 1), 0);
            assert_eq!(pushed(&mut machine, Duration::ZERO, 1), 0);
        }
    }

    #[test]
    fn it_rises_to_its_limit_and_recovers_to_nothing() {
        let mut machine = Machine::default();
        assert_eq!(pushed(&mut machine, LATE, 100), SHED_MAX, "some are always let in");
        assert_eq!(pushed(&mut machine, THRESHOLD, 100), SHED_MAX, "better, and not yet good");
        assert_eq!(pushed(&mut machine, THRESHOLD / 2, 1), SHED_MAX / 2);
        assert_eq!(pushed(&mut machine, Duration::ZERO, 10), 0);
    }

    #[test]
    fn without_a_threshold_nothing_is_refused() {
        let mut machine = Machine::default();
        assert_eq!(pushed(&mut machine, LATE, 100), SHED_MAX);
        assert_eq!(machine.push(LATE, None), 0);
    }

    #[test]
    fn as_many_are_refused_as_the_part_says() {
        let overload = Overload::default();
        for shed in [0, 10, 500, SHED_MAX] {
            overload.set(shed, LATE);
            assert_eq!((0..1000).filter(|id| overload.sheds(*id)).count(), shed as usize);
            let ids = (0..10_000).map(|_| crate::id::uuid_v7(Duration::ZERO));
            let part = ids.filter(|id| overload.sheds(*id)).count();
            assert!(part.abs_diff(shed as usize * 10) < 500, "{part} of 10,000 at {shed}");
        }
    }

    proptest! {
        #[test]
        fn the_part_is_bounded_whatever_is_measured(delays in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut machine = Machine::default();
            for delay in delays {
                let shed = machine.push(Duration::from_micros(delay), Some(THRESHOLD));
                prop_assert!(shed <= SHED_MAX && (shed == 0 || shed >= SHED_MIN));
            }
        }
    }
}
