//! Overlapping hits: which ones stay.

use crate::finding::{Class, Hit, Rule};
use std::cmp::Reverse;

/// Classes of which a hit says nothing new within another one of its class. Others stay beside all: a phrase of an
/// injection says nothing about the phrase in it, and what an operator named is reported whatever else is there.
const NESTED: [Class; 2] = [Class::Secret, Class::Pii];

/// Sorts hits by place, drops repeated ones, and those of credentials and of personal data that lie within another one of
/// their class; of two at the same place the surest stays, or else the rule that comes first.
///
/// Classes are kept apart, and so are hits that overlap without one being within the other: a policy may be about one of
/// them only, and no byte of a value may be lost to a mask because another value touches it.
pub(super) fn resolve(hits: &mut Vec<Hit>, rules: &[Rule]) {
    hits.sort_by_key(|hit| (hit.range.start, Reverse(hit.range.end), Reverse(hit.score), hit.rule));
    let mut ends = NESTED.map(|class| (class, 0));
    let mut last: Option<(std::ops::Range<usize>, Vec<crate::RuleIndex>)> = None;
    hits.retain(|hit| {
        let class = rules.get(hit.rule.0 as usize).map(|rule| rule.class);
        let Some((_, end)) = ends.iter_mut().find(|(nested, _)| Some(*nested) == class) else {
            return is_new(&mut last, hit);
        };
        // Whatever came before begins no later: it is around this one if it ends no earlier.
        let is_outermost = hit.range.end > *end;
        *end = hit.range.end.max(*end);
        is_outermost
    });
}

/// Whether no hit of this rule is at this place already.
fn is_new(last: &mut Option<(std::ops::Range<usize>, Vec<crate::RuleIndex>)>, hit: &Hit) -> bool {
    match last {
        Some((range, rules)) if *range == hit.range => {
            let is_new = !rules.contains(&hit.rule);
            rules.push(hit.rule);
            is_new
        }
        _ => {
            *last = Some((hit.range.clone(), vec![hit.rule]));
            true
        }
    }
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
    fn what_lies_within_another_of_its_class_goes() {
        assert_eq!(
            resolved(&[(1, 5..9), (1, 0..20), (1, 18..22), (1, 30..31)]),
            [(1, 0..20), (1, 18..22), (1, 30..31)],
            "what only overlaps stays: its end would be left"
        );
        assert_eq!(resolved(&[(0, 0..4), (0, 0..4)]), [(0, 0..4)]);
    }

    #[test]
    fn a_secret_hides_no_personal_data_and_none_of_it_a_secret() {
        assert_eq!(resolved(&[(1, 0..20), (0, 4..8), (1, 8..9)]), [(1, 0..20), (0, 4..8)]);
        assert_eq!(resolved(&[(0, 0..20), (1, 4..8)]), [(0, 0..20), (1, 4..8)]);
    }

    #[test]
    fn injection_and_custom_stay_beside_all() {
        assert_eq!(
            resolved(&[(2, 0..20), (0, 4..8), (3, 5..7), (3, 5..7)]),
            [(2, 0..20), (0, 4..8), (3, 5..7)]
        );
    }
}
