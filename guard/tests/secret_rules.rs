//! Every built-in rule for secrets finds what it is for, covers all of it, and leaves its counter-examples alone.
//!
//! The cases are templates, so that no file of this repository holds anything that looks like a credential: `{b62:36}`
//! stands for 36 random letters and digits, and what must be found stands between `[[` and `]]` (or is all of the
//! template, where the form supplies the surroundings).

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use narrows_guard::detector::secret;
use narrows_guard::rules::RuleSet;
use narrows_guard::{Engine, Provenance, Scratch};
use std::collections::{BTreeMap, BTreeSet};
use support::cases::{Case, cases};

fn built_in() -> RuleSet {
    secret::built_in().expect("the built-in rules load")
}

fn engine(set: RuleSet) -> Engine {
    Engine::builder().secrets(set).only(|_| true).build().expect("the rules compile")
}

fn found(engine: &Engine, text: &str) -> Vec<String> {
    let mut hits = Vec::new();
    engine.scan(text, Provenance::User, &mut Scratch::default(), &mut hits);
    hits.into_iter().map(|hit| text[hit.range].to_owned()).collect()
}

fn describe(case: &Case, text: &str, found: &[String]) -> String {
    format!("{} {} {:?}: {text:?} gave {found:?}", case.rule, case.form, case.template)
}

/// Each rule alone.
#[test]
fn rules_find_all_of_the_secret_and_nothing_else() {
    let mut by_rule: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in cases() {
        by_rule.entry(case.rule.clone()).or_default().push(case);
    }
    let mut wrong = Vec::new();
    for pattern in built_in().patterns {
        let id = pattern.rule.id.to_string();
        let cases = by_rule.remove(&id).unwrap_or_default();
        for positive in [true, false] {
            assert!(
                cases.iter().any(|case| case.positive == positive),
                "{id} lacks cases that are {positive}"
            );
        }
        let mut set = RuleSet::default();
        set.patterns.push(pattern);
        let engine = engine(set);
        for case in cases {
            let (text, want) = case.expand();
            let found = found(&engine, &text);
            let good = match &want {
                Some(want) => found == [want.clone()],
                None => found.is_empty(),
            };
            if !good {
                wrong.push(describe(&case, &text, &found));
            }
        }
    }
    assert!(by_rule.is_empty(), "no such rules: {:?}", by_rule.keys());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// All rules together: what one finds, no other one may cut short.
#[test]
fn rules_do_not_spoil_each_other() {
    let engine = engine(built_in());
    let mut wrong = Vec::new();
    for case in cases() {
        let (text, want) = case.expand();
        let Some(want) = want else { continue };
        let found = found(&engine, &text);
        // Another rule may see more of the same text as secret, such as a whole URL, but never less.
        if !found.iter().any(|found| found.contains(&want)) {
            wrong.push(describe(&case, &text, &found));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rules_are_described_and_anchored() {
    let set = built_in();
    let entities: BTreeSet<&str> = set.patterns.iter().map(|pattern| &*pattern.rule.entity).collect();
    assert!(entities.len() >= 350, "{} kinds", entities.len());
    assert!(set.notes.is_empty(), "{:?}", set.notes);
    for pattern in &set.patterns {
        let rule = &pattern.rule;
        assert!(rule.description.ends_with('.') && rule.description.contains("Source: "), "{}", rule.id);
        assert!(!pattern.keywords.is_empty(), "{} has no keyword", rule.id);
        let is_word = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(rule.entity.bytes().all(is_word), "{}", rule.id);
        assert!(
            !pattern.regex.as_str().contains(".*") && !pattern.regex.as_str().contains(".+"),
            "{} is unbounded",
            rule.id
        );
    }
    let engine = engine(set);
    let swept: Vec<_> = engine.notes().iter().map(|note| &*note.rule).collect();
    assert!(swept.is_empty(), "no literal is in every match of {swept:?}");
}
