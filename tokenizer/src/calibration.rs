//! Factors that are learnt from what providers report.
//!
//! Where a vocabulary is not public, tokens are those of another one times a factor. A family's factor is a default from
//! few recordings; what a provider reports for a model beside what was counted tells the model's own.

use std::collections::HashMap;

/// Most models that are remembered. Of more, the one that was asked for longest ago is forgotten.
pub const MODELS_MAX: usize = 1024;

/// Weight of a new figure, at last: one in so many.
const MEMORY: u64 = 16;

/// A part per million, the unit that factors are kept in.
const UNIT: u64 = 1_000_000;

/// Figures from which a ratio says something, in tokens: one token is then at most 3 % of it.
pub const SAMPLE_MIN_TOKENS: u64 = 32;

/// Ratios of reported to counted tokens outside of these tell of something else than a vocabulary (reasoning that is not
/// shown, a prompt of the provider's own) and are not learnt: a quarter, and four.
const RATIO: std::ops::RangeInclusive<u64> = UNIT / 4..=4 * UNIT;

#[derive(Debug, Clone, Copy)]
struct Factor {
    /// Parts per million.
    value: u64,
    /// Figures that it was learnt from, up to [`MEMORY`].
    figures: u64,
    /// When it was last used, in uses of the table.
    used: u64,
}

/// Learnt factors by a key of the caller's making, say a hash of provider and model.
#[derive(Debug, Default)]
pub struct Calibration {
    factors: HashMap<u64, Factor>,
    uses: u64,
}

impl Calibration {
    /// Takes a figure: `reported` tokens where `counted` were counted. The factor moves towards their ratio: to the mean of
    /// the first figures and `default_per_mille`, then by a sixteenth of the difference each time. Returns whether the
    /// figure said anything.
    pub fn learn(&mut self, key: u64, default_per_mille: u64, counted: u64, reported: u64) -> bool {
        if counted.min(reported) < SAMPLE_MIN_TOKENS {
            return false;
        }
        let ratio = u128::from(reported) * u128::from(UNIT) / u128::from(counted);
        let Some(ratio) = u64::try_from(ratio).ok().filter(|ratio| RATIO.contains(ratio)) else {
            return false;
        };
        let now = self.tick();
        self.make_room(key);
        let start = Factor { value: default_per_mille.saturating_mul(1000), figures: 0, used: now };
        let factor = self.factors.entry(key).or_insert(start);
        factor.figures = (factor.figures + 1).min(MEMORY - 1);
        let weight = factor.figures + 1;
        factor.value = (factor.value * (weight - 1) + ratio) / weight;
        factor.used = now;
        true
    }

    /// `tokens` times the factor learnt for `key`, or times `default_per_mille`; rounded up.
    pub fn apply(&mut self, key: u64, default_per_mille: u64, tokens: u64) -> u64 {
        let now = self.tick();
        let value = match self.factors.get_mut(&key) {
            Some(factor) => {
                factor.used = now;
                factor.value
            }
            None => default_per_mille.saturating_mul(1000),
        };
        let scaled = (u128::from(tokens) * u128::from(value)).div_ceil(u128::from(UNIT));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// Figures that the factor of `key` was learnt from, up to fifteen.
    pub fn figures(&self, key: u64) -> u64 {
        self.factors.get(&key).map_or(0, |factor| factor.figures)
    }

    fn tick(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn make_room(&mut self, key: u64) {
        if self.factors.len() < MODELS_MAX || self.factors.contains_key(&key) {
            return;
        }
        let oldest = self.factors.iter().min_by_key(|entry| entry.1.used).map(|entry| *entry.0);
        if let Some(oldest) = oldest {
            self.factors.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_factor_is_learnt_from_the_default_on() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.apply(1, 1174, 1000), 1174);
        assert!(calibration.learn(1, 1174, 1000, 1300));
        assert_eq!(calibration.apply(1, 1174, 1000), 1237, "the mean of the default and the first figure");
        (0..100).for_each(|_| assert!(calibration.learn(1, 1174, 1000, 1300)));
        assert!((1299..=1301).contains(&calibration.apply(1, 1174, 1000)));
        assert_eq!((calibration.figures(1), calibration.figures(2)), (15, 0));
        assert_eq!(calibration.apply(2, 1000, 7), 7, "another model has its own");
    }

    #[test]
    fn one_odd_figure_moves_it_by_a_sixteenth() {
        let mut calibration = Calibration::default();
        (0..50).for_each(|_| assert!(calibration.learn(1, 1000, 1000, 1000)));
        assert!(calibration.learn(1, 1000, 1000, 2600));
        assert_eq!(calibration.apply(1, 1000, 1000), 1100);
    }

    #[test]
    fn figures_that_say_nothing_are_not_learnt() {
        let mut calibration = Calibration::default();
        assert!(!calibration.learn(1, 1000, SAMPLE_MIN_TOKENS - 1, 100));
        assert!(!calibration.learn(1, 1000, 100, SAMPLE_MIN_TOKENS - 1));
        assert!(!calibration.learn(1, 1000, 1000, 4001), "hidden reasoning is no matter of vocabularies");
        assert!(!calibration.learn(1, 1000, 1000, 249));
        assert!(!calibration.learn(1, 1000, 0, 0));
        assert_eq!(calibration.apply(1, 1000, 500), 500);
        assert!(calibration.learn(1, 1000, SAMPLE_MIN_TOKENS, SAMPLE_MIN_TOKENS));
        assert!(calibration.learn(1, 1000, 1000, 4000));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_not_used() {
        let mut calibration = Calibration::default();
        for key in 0..MODELS_MAX as u64 {
            assert!(calibration.learn(key, 1000, 100, 200));
        }
        assert_eq!(calibration.factors.len(), MODELS_MAX);
        let used = calibration.apply(0, 1000, 100);
        assert!(calibration.learn(u64::MAX, 1000, 100, 200));
        assert_eq!(calibration.factors.len(), MODELS_MAX);
        assert_eq!(calibration.apply(0, 1000, 100), used, "it was used");
        assert_eq!((calibration.figures(1), calibration.figures(u64::MAX)), (0, 1), "the oldest went");
    }

    proptest! {
        #[test]
        fn any_figures_keep_the_factor_in_range(
            figures in prop::collection::vec((any::<u64>(), any::<u64>()), 0..40),
            tokens in any::<u64>(),
        ) {
            let mut calibration = Calibration::default();
            for (counted, reported) in figures {
                calibration.learn(1, 1000, counted, reported);
            }
            let scaled = calibration.apply(1, 1000, tokens);
            prop_assert!(scaled >= tokens / 4 && scaled <= tokens.saturating_mul(4));
        }
    }
}
