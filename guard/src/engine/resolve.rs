//! Overlapping hits: which one stays.

use crate::finding::{Class, Hit, Rule};
use std::cmp::Reverse;

/// How strong a class is where hits overlap. Those without rank stay beside all others: a phrase of an injection says
/// nothing about the address in it, and what an operator named is reported whatever else is there.
fn rank(class: Class) -> Option<u8> {
    match class {
        Class::Secret => Some(0),
        Class::Pii => Some(1),
        Class::Injection | Class::Custom => None,
    }
}

/// Sorts hits by place, drops repeated ones, and of overlapping ones keeps the strongest: secrets before personal data,
/// then the longest, the surest, and the rule that comes first.
pub(super) fn resolve(hits: &mut Vec<Hit>, rules: &[Rule]) {
    if hits.is_empty() {
        return;
    }
    let rank_of = |hit: &Hit| rules.get(hit.rule.0 as usize).and_then(|rule| rank(rule.class));
    hits.sort_by_key(|hit| (hit.range.start, Reverse(hit.range.end), hit.rule, Reverse(hit.score)));
    hits.dedup_by(|later, kept| later.range == kept.range && later.rule == kept.rule);
    if !overlaps(hits) {
        return;
    }
    let mut order: Vec<usize> = (0..hits.len()).filter(|at| rank_of(&hits[*at]).is_some()).collect();
    order.sort_by_key(|&at| {
        let hit = &hits[at];
        (rank_of(hit), Reverse(hit.range.len()), Reverse(hit.score), hit.rule)
    });
    // Kept ranges do not overlap, so their order by start is their order by end.
    let mut kept: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
    let mut lost = vec![false; hits.len()];
    for at in order {
        let range = &hits[at].range;
        let free = kept.range(..range.end).next_back().is_none_or(|(_, end)| *end <= range.start);
        if free {
            kept.insert(range.start, range.end);
        } else {
            lost[at] = true;
        }
    }
    let mut at = 0;
    hits.retain(|_| {
        at += 1;
        !lost[at - 1]
    });
}

fn overlaps(hits: &[Hit]) -> bool {
    let mut end = 0;
    hits.iter().any(|hit| {
        let over = hit.range.start < end;
        end = end.max(hit.range.end);
        over
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{RuleIndex, Tier};

    fn rules() -> Vec<Rule> {
        [Class::Secret, Class::Pii, Class::Injection, Class::Custom]
            .map(|class| Rule {
                id: class.as_str().into(),
                entity: "X".into(),
                class,
                tier: Tier::A,
                description: "".into(),
            })
            .into()
    }

    fn resolved(hits: &[(u32, std::ops::Range<usize>)]) -> Vec<(u32, std::ops::Range<usize>)> {
        let mut hits: Vec<Hit> = hits
            .iter()
            .map(|(rule, range)| Hit { rule: RuleIndex(*rule), range: range.clone(), score: 50 })
            .collect();
        resolve(&mut hits, &rules());
        hits.into_iter().map(|hit| (hit.rule.0, hit.range)).collect()
    }

    #[test]
    fn the_longest_of_a_class_stays() {
        assert_eq!(resolved(&[(1, 5..9), (1, 0..20), (1, 18..22), (1, 30..31)]), [(1, 0..20), (1, 30..31)]);
    }

    #[test]
    fn a_secret_goes_before_personal_data() {
        assert_eq!(resolved(&[(1, 0..20), (0, 4..8), (1, 8..9)]), [(0, 4..8), (1, 8..9)]);
    }

    #[test]
    fn injection_and_custom_stay_beside_all() {
        assert_eq!(
            resolved(&[(2, 0..20), (0, 4..8), (3, 5..7), (3, 5..7)]),
            [(2, 0..20), (0, 4..8), (3, 5..7)]
        );
    }
}
