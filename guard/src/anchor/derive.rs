//! From a rule's expression to its literals, and how far a match can reach around them.

use super::condition::{Condition, conditions};
use super::literal::{Anchor, encode, prefixes};
use regex_syntax::hir::{Hir, HirKind};

/// Farthest that a match may begin before its literal, in bytes; what is unbounded is cut here.
pub(crate) const MAX_BEFORE: usize = 256;

/// Farthest that a match may reach from its literal's first byte, in bytes; what is unbounded is cut here. A private key
/// of 8,192 bits is about 6,400 bytes in PEM.
pub(crate) const MAX_REACH: usize = 16 << 10;

/// Shortest literal, in bytes. Shorter ones are met everywhere.
pub(crate) const MIN_LITERAL: usize = 3;

/// Most literals of a rule.
const MAX_LITERALS: usize = 96;

/// Literals that stand in so few of ordinary text's places, all together, are as good as any.
const RARE_ENOUGH: f64 = 1e-9;

/// Most alternatives that get literals of their own.
const MAX_BRANCHES: usize = 24;

/// Literals of which every match of (a branch of) a rule holds one, and what is known about the match around it.
#[derive(Debug, Clone)]
pub(crate) struct Derived {
    /// One of them stands in every match.
    pub(crate) literals: Vec<Anchor>,
    /// Most bytes of the match before the literal.
    pub(crate) before: usize,
    /// Whether the match begins with the literal.
    pub(crate) at_start: bool,
    /// The expression from the literal on, where there is something before it: it matches at the literal's first byte
    /// wherever the whole expression matches around it, and is searched at one place only.
    pub(crate) rest: Option<Hir>,
    /// Most bytes of the match from the literal's first byte on.
    pub(crate) reach: usize,
    /// What else holds around the literal.
    pub(crate) conditions: Vec<Condition>,
}

/// The literals of an expression, branch by branch; nothing if some match need not hold any.
pub(crate) fn derive(hir: &Hir) -> Vec<Derived> {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let whole = best(&parts);
    if let Some((_, derived)) = whole.as_ref().filter(|(cost, _)| *cost < 1e-4) {
        return vec![derived.clone()];
    }
    let split = branches(&parts).unwrap_or_default();
    let split_cost: f64 = split.iter().map(|(cost, _)| cost).sum();
    match whole {
        Some((cost, derived)) if split.is_empty() || cost <= split_cost => vec![derived],
        _ => split.into_iter().map(|(_, derived)| derived).collect(),
    }
}

/// The expression as a sequence. Groups are looked through.
fn flatten<'a>(hir: &'a Hir, out: &mut Vec<&'a Hir>) {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().for_each(|part| flatten(part, out)),
        HirKind::Capture(capture) => flatten(&capture.sub, out),
        _ => out.push(hir),
    }
}

/// The best literals of a sequence, with about how often a byte of ordinary text begins one.
fn best(parts: &[&Hir]) -> Option<(f64, Derived)> {
    let encoded: Vec<Hir> = parts.iter().map(|part| encode(part)).collect();
    let mut found: Option<(f64, Derived)> = None;
    for at in 0..parts.len() {
        let Some(literals) = prefixes(&Hir::concat(encoded[at..].to_vec()), MIN_LITERAL, MAX_LITERALS) else {
            continue;
        };
        if literals.is_empty() {
            continue;
        }
        let longest =
            |parts: &[&Hir]| parts.iter().map(|part| part.properties().maximum_len()).sum::<Option<usize>>();
        let before = longest(&parts[..at]);
        // A literal at the start needs no search backwards.
        let bias = if before == Some(0) { 1.0 } else { 3.0 };
        let cost = literals.iter().map(|anchor| anchor.literal.frequency()).sum::<f64>() * bias;
        if found.as_ref().is_none_or(|(least, _)| cost < *least) {
            let shortest = literals.iter().map(|anchor| anchor.literal.len()).min().unwrap_or(0);
            let derived = Derived {
                literals,
                before: before.unwrap_or(MAX_BEFORE).min(MAX_BEFORE),
                at_start: before == Some(0),
                rest: (before != Some(0))
                    .then(|| Hir::concat(parts[at..].iter().map(|part| (*part).clone()).collect())),
                reach: longest(&parts[at..]).unwrap_or(MAX_REACH).min(MAX_REACH),
                conditions: conditions(&parts[at..], shortest),
            };
            found = Some((cost, derived));
        }
        // Looking on costs more than a rarer literal would save.
        if found.as_ref().is_some_and(|(least, _)| *least < RARE_ENOUGH) {
            break;
        }
    }
    found
}

/// The literals of each alternative of the first part that has any, if all have some.
fn branches(parts: &[&Hir]) -> Option<Vec<(f64, Derived)>> {
    let at = parts.iter().position(|part| matches!(part.kind(), HirKind::Alternation(_)))?;
    let HirKind::Alternation(alternatives) = parts[at].kind() else { return None };
    if alternatives.len() > MAX_BRANCHES {
        return None;
    }
    alternatives
        .iter()
        .map(|alternative| {
            let mut sequence = parts[..at].to_vec();
            flatten(alternative, &mut sequence);
            sequence.extend(&parts[at + 1..]);
            best(&sequence)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Vec<Derived> {
        derive(&crate::regex::parse(pattern).unwrap())
    }

    #[test]
    fn a_prefix_is_at_the_start() {
        let found = of(r"\b(ghp_[0-9a-zA-Z]{36})\b");
        assert_eq!(found.len(), 1);
        assert!(found[0].at_start);
        assert_eq!((found[0].before, found[0].reach), (0, 40));
        assert!(found[0].literals[0].literal.stands(b"ghp_", 0));
    }

    #[test]
    fn a_word_inside_is_found_behind_what_is_optional() {
        let found = of(
            r#"(?i)[\w.-]{0,50}?(?:adafruit)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|:)[\s=]{0,5}([a-z0-9_-]{32})"#,
        );
        assert_eq!(found.len(), 1);
        assert!(!found[0].at_start);
        assert_eq!(found[0].before, 50);
        assert!(found[0].rest.is_some());
        assert!(found[0].literals[0].literal.stands(b"ADAfruit", 0));
    }

    #[test]
    fn alternatives_with_different_beginnings_get_their_own() {
        let found = of(r"\b(?:[a-z]{2}-secret-[0-9]{9}|[0-9]{5}tokenx)");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].before, 2);
        assert_eq!(found[1].before, 5);
        assert!(found.iter().all(|one| one.rest.is_some()));
    }

    #[test]
    fn a_branch_without_a_literal_leaves_none() {
        assert!(of(r"\b(sgp_[a-f0-9]{40}|[a-f0-9]{40})\b").is_empty());
    }

    #[test]
    fn what_is_unbounded_is_cut() {
        let found = of(r"-----BEGIN[\s\S]{64,}?KEY-----");
        assert_eq!(found[0].reach, MAX_REACH);
        let found = of(r"[a-z]*SECRET[0-9]+");
        assert_eq!((found[0].before, found[0].at_start), (MAX_BEFORE, false));
    }
}
