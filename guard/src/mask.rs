//! Replaces what was found. Every other byte stays.

use crate::finding::{Class, Hit, Rule};
use crate::placeholder::Minter;
use std::cmp::Reverse;
use std::ops::Range;

/// A range to be replaced: the union of hits that overlap, named by the strongest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The range, with all of every hit in it.
    pub range: Range<usize>,
    /// Number of the strongest hit, in the list that was given.
    pub hit: usize,
}

/// What remains to be replaced when hits overlap: no byte of any hit is left. Secrets name before what an operator named,
/// that before personal data, and then the longer one.
pub fn unite(hits: &[Hit], rule: impl Fn(&Hit) -> Option<Class>) -> Vec<Masked> {
    let strength = |number: usize| {
        let hit = &hits[number];
        let class = match rule(hit) {
            Some(Class::Secret) => 3,
            Some(Class::Custom) => 2,
            Some(Class::Pii) => 1,
            Some(Class::Injection) | None => 0,
        };
        (class, hit.range.len(), hit.score, Reverse(number))
    };
    let mut order: Vec<usize> = (0..hits.len()).filter(|number| !hits[*number].range.is_empty()).collect();
    order.sort_by_key(|number| (hits[*number].range.start, hits[*number].range.end));
    let mut out: Vec<Masked> = Vec::new();
    for number in order {
        let range = hits[number].range.clone();
        match out.last_mut() {
            Some(last) if range.start < last.range.end => {
                last.range.end = last.range.end.max(range.end);
                if strength(number) > strength(last.hit) {
                    last.hit = number;
                }
            }
            _ => out.push(Masked { range, hit: number }),
        }
    }
    out
}

/// `text` with placeholders for the hits. `rules` are the engine's.
pub fn mask(text: &str, hits: &[Hit], rules: &[Rule], minter: &mut Minter) -> String {
    let rule = |hit: &Hit| rules.get(hit.rule.0 as usize);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for masked in unite(hits, |hit| rule(hit).map(|rule| rule.class)) {
        let (Some(before), Some(value), Some(rule)) =
            (text.get(at..masked.range.start), text.get(masked.range.clone()), rule(&hits[masked.hit]))
        else {
            continue;
        };
        out.push_str(before);
        out.push_str(&minter.mint(rule.class, &rule.entity, value));
        at = masked.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{RuleIndex, Tier};
    use crate::placeholder::Key;
    use crate::unmask::{Level, Placeholders, Unmasker};
    use proptest::prelude::*;

    fn rules() -> Vec<Rule> {
        [(Class::Secret, "TOKEN"), (Class::Pii, "EMAIL"), (Class::Custom, "NAME")]
            .map(|(class, entity)| Rule {
                id: entity.into(),
                entity: entity.into(),
                class,
                tier: Tier::A,
                description: "".into(),
            })
            .into()
    }

    fn hit(rule: u32, range: Range<usize>) -> Hit {
        Hit { rule: RuleIndex(rule), range, score: 50 }
    }

    #[test]
    fn overlapping_hits_leave_nothing_and_the_strongest_names() {
        let mut minter = Minter::new(Key::new([1; 32]));
        let masked = mask("a secret b", &[hit(1, 2..6), hit(0, 4..8), hit(2, 9..10)], &rules(), &mut minter);
        assert!(masked.starts_with("a [TOKEN_"), "{masked}");
        assert!(masked[..masked.len()].contains("] [NAME_"), "{masked}");
        assert!(!masked.contains("secret"));
    }

    proptest! {
        #[test]
        fn masked_text_comes_back(text in "[a-cé @\\[\\]_]{0,60}", cuts in proptest::collection::vec((0..60_usize, 1..9_usize, 0..3_u32), 0..6)) {
            let snap = |at: usize| crate::engine::floor(&text, at);
            let hits: Vec<Hit> = cuts.iter().map(|(at, len, rule)| hit(*rule, snap(*at)..snap(at + len))).collect();
            let mut minter = Minter::new(Key::new([1; 32]));
            let masked = mask(&text, &hits, &rules(), &mut minter);
            let placeholders = Placeholders::new(&minter, |_, _| true);
            let mut unmasker = Unmasker::new(&placeholders, Level::Plain);
            let mut back = String::new();
            unmasker.push(&masked, &mut back);
            unmasker.finish(&mut back);
            prop_assert_eq!(back, text);
        }
    }
}
