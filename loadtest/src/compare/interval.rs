//! A median and how sure it is.

/// Resamplings behind an interval.
const RESAMPLES: usize = 4_000;

/// A median with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(super) struct Interval {
    /// Lower end.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// Upper end.
    pub high: f64,
}

/// The median; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(*upper);
    }
    Some((sorted.get(middle - 1)? + upper) / 2.0)
}

impl Interval {
    /// The median of `values` and its bootstrap 95 % interval (percentile method, fixed seed, so that the same
    /// values give the same interval). `None` of nothing.
    pub(super) fn of(values: &[f64]) -> Option<Interval> {
        let middle = median(values)?;
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut draw = || {
            // xorshift64*: plain, and good enough to pick among a handful of rounds.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let random = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
            let index = usize::try_from(random).unwrap_or(0) % values.len();
            values.get(index).copied().unwrap_or(middle)
        };
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let sample: Vec<f64> = values.iter().map(|_| draw()).collect();
                median(&sample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |thousandths: usize| medians.get(RESAMPLES * thousandths / 1_000).copied().unwrap_or(middle);
        Some(Interval { low: at(25), median: middle, high: at(975) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_nothing() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn an_interval_holds_its_median_and_stays_inside_the_values() {
        let values = [0.91, 0.95, 1.02, 0.97, 0.93, 0.99, 1.10];
        let found = Interval::of(&values).unwrap();
        assert_eq!(found.median, 0.97);
        assert!(
            found.low >= 0.91 && found.low < 0.97 && found.high > 0.97 && found.high <= 1.10,
            "{found:?}"
        );
        assert_eq!(Interval::of(&values), Some(found));
        assert_eq!(Interval::of(&[2.0]), Some(Interval { low: 2.0, median: 2.0, high: 2.0 }));
    }
}
