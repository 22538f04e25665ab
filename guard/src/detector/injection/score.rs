//! Signals add up where they stand together.

use std::collections::VecDeque;
use std::ops::Range;

use super::family::{FAMILIES, Family};
use crate::finding::Provenance;

/// Signals farther apart than this do not help each other, in bytes of the text.
pub(super) const SPAN_BYTES: usize = 1536;

/// Most that words which speak for an innocent text take away.
const CONTEXT_FLOOR: i32 = -40;

/// One sign of an attack. Signs of one key count once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal {
    pub(super) family: Family,
    /// Always the same for one key.
    pub(super) weight: i32,
    pub(super) key: usize,
    /// In bytes of the raw text.
    pub(super) range: Range<usize>,
}

/// Sum of the signals in a sliding window.
struct Window {
    counts: Vec<u32>,
    sums: [i32; FAMILIES.len() + 1],
    provenance: Provenance,
}

impl Window {
    fn add(&mut self, signal: &Signal) {
        let Some(count) = self.counts.get_mut(signal.key) else { return };
        *count += 1;
        if *count == 1 {
            self.change(signal, 1);
        }
    }

    fn remove(&mut self, signal: &Signal) {
        let Some(count) = self.counts.get_mut(signal.key) else { return };
        *count -= 1;
        if *count == 0 {
            self.change(signal, -1);
        }
    }

    fn change(&mut self, signal: &Signal, sign: i32) {
        if let Some(sum) = self.sums.get_mut(signal.family.index()) {
            *sum += sign * signal.weight * signal.family.percent(self.provenance) / 100;
        }
    }

    fn score(&self) -> i32 {
        let families = FAMILIES.iter().zip(self.sums).map(|(meaning, sum)| sum.min(meaning.cap)).sum::<i32>();
        families + self.sums[FAMILIES.len()].max(CONTEXT_FLOOR)
    }
}

/// Each signal's best score over the windows it stands in, in the order of the signals, which come sorted by start.
pub(super) fn weigh(signals: &[Signal], provenance: Provenance) -> Vec<i32> {
    let keys = signals.iter().map(|signal| signal.key + 1).max().unwrap_or_default();
    let mut window = Window { counts: vec![0; keys], sums: [0; FAMILIES.len() + 1], provenance };
    let mut scores = Vec::with_capacity(signals.len());
    let mut end = 0;
    for signal in signals {
        while let Some(next) = signals.get(end).filter(|next| near(signal, next)) {
            window.add(next);
            end += 1;
        }
        scores.push(window.score());
        window.remove(signal);
    }
    best(signals, &scores)
}

fn near(first: &Signal, other: &Signal) -> bool {
    other.range.start - first.range.start <= SPAN_BYTES
}

/// Sliding maximum: a signal stands in every window that begins at or before it and reaches it.
fn best(signals: &[Signal], scores: &[i32]) -> Vec<i32> {
    let mut waiting: VecDeque<(&Signal, i32)> = VecDeque::new();
    let mut out = Vec::with_capacity(signals.len());
    for (signal, &score) in signals.iter().zip(scores) {
        while waiting.front().is_some_and(|(first, _)| !near(first, signal)) {
            waiting.pop_front();
        }
        while waiting.back().is_some_and(|&(_, before)| before <= score) {
            waiting.pop_back();
        }
        waiting.push_back((signal, score));
        out.push(waiting.front().map_or(score, |&(_, best)| best));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signal(family: Family, weight: i32, key: usize, start: usize) -> Signal {
        Signal { family, weight, key, range: start..start + 1 }
    }

    #[test]
    fn signals_add_up_within_the_span_and_not_one_byte_past_it() {
        let pair = |gap| [signal(Family::Override, 40, 0, 0), signal(Family::Bypass, 30, 1, gap)];
        assert_eq!(weigh(&pair(SPAN_BYTES), Provenance::User), [70, 70]);
        assert_eq!(weigh(&pair(SPAN_BYTES + 1), Provenance::User), [40, 30]);
    }

    #[test]
    fn one_key_counts_once_and_a_family_up_to_its_cap() {
        let same: Vec<_> = (0..9).map(|at| signal(Family::Bypass, 40, 7, at)).collect();
        assert_eq!(weigh(&same, Provenance::User), [40; 9]);
        let different: Vec<_> = (0..9).map(|at| signal(Family::Bypass, 40, at, at)).collect();
        assert_eq!(weigh(&different, Provenance::User)[0], 90);
    }

    #[test]
    fn innocent_words_take_away_up_to_a_floor() {
        let mut signals = vec![signal(Family::Override, 75, 0, 0)];
        signals.extend((1..9).map(|at| signal(Family::Context, -30, at, at)));
        assert_eq!(weigh(&signals, Provenance::User)[0], 75 + CONTEXT_FLOOR);
    }

    #[test]
    fn a_tools_result_weighs_more_than_a_person_and_an_operator_less() {
        let score = |who| weigh(&[signal(Family::AgentDirective, 40, 0, 0)], who)[0];
        assert!(score(Provenance::ToolResult) > score(Provenance::User));
        assert!(score(Provenance::System) < score(Provenance::User));
    }

    proptest! {
        #[test]
        fn sliding_sums_agree_with_adding_anew(places in proptest::collection::vec((0..3_usize, 0..6000_usize), 0..40)) {
            let mut signals: Vec<_> = places.iter().map(|&(key, at)| signal(Family::Bypass, 10 + i32::try_from(key).unwrap(), key, at)).collect();
            signals.sort_by_key(|s| s.range.start);
            let anew: Vec<i32> = signals.iter().map(|k| {
                signals.iter().filter(|i| i.range.start <= k.range.start && near(i, k)).map(|i| {
                    let mut keys: Vec<_> = signals.iter().filter(|s| s.range.start >= i.range.start && near(i, s)).map(|s| s.key).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    keys.iter().map(|k| 10 + i32::try_from(*k).unwrap()).sum::<i32>()
                }).max().unwrap()
            }).collect();
            prop_assert_eq!(weigh(&signals, Provenance::User), anew);
        }
    }
}
