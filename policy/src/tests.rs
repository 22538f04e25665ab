//! Whole rules: what they decide, in every combination of stage, action, mode and failure.

mod exempt;
mod explain;
mod guardrails;
mod limits;
mod matrix;
mod places;

use crate::names::Names;
use crate::rule::{Condition, Effect, Found, OnError, Operation, Then, Verdict, Where};
use crate::*;
use narrows_guard::{Class, RuleIndex, Tier};

/// The detectors of the tests.
fn detectors() -> Vec<narrows_guard::Rule> {
    let rule = |id: &str, entity: &str, class, tier| narrows_guard::Rule {
        id: id.into(),
        entity: entity.into(),
        class,
        tier,
        description: "of the tests".into(),
    };
    vec![
        rule("github-pat", "GITHUB_TOKEN", Class::Secret, Tier::A),
        rule("aws-key", "AWS_KEY", Class::Secret, Tier::A),
        rule("email", "EMAIL", Class::Pii, Tier::A),
        rule("ip", "IP_ADDRESS", Class::Pii, Tier::B),
        rule("override", "INJECTION", Class::Injection, Tier::A),
        rule("project", "PROJECT", Class::Custom, Tier::A),
        rule("account", "BANK_ACCOUNT", Class::Pii, Tier::C),
    ]
}

const GITHUB: RuleIndex = RuleIndex(0);
const AWS: RuleIndex = RuleIndex(1);
const EMAIL: RuleIndex = RuleIndex(2);
const IP: RuleIndex = RuleIndex(3);
const BANK: RuleIndex = RuleIndex(6);

const AN_AWS_KEY: [Seen; 1] = [Seen { rule: AWS, score: 90, maskable: true }];

/// The guardrails of the tests: `first` before `second`.
fn guardrails() -> Vec<Guardrail> {
    let one = |name: &str, priority| Guardrail { name: name.to_owned(), priority, on_error: None };
    vec![one("second", 20), one("first", 10)]
}

fn try_compile(rules: Vec<Rule>) -> Result<PolicySet, Vec<Problem>> {
    let (detectors, guardrails) = (detectors(), guardrails());
    PolicySet::compile(rules, &Catalogue { detectors: &detectors, guardrails: &guardrails })
}

fn compile(rules: Vec<Rule>) -> PolicySet {
    try_compile(rules).unwrap()
}

fn rule(name: &str, when: Vec<Condition>, then: Then) -> Rule {
    Rule { name: name.to_owned(), description: String::new(), place: Where::default(), when, then }
}

fn names(entries: &[&str]) -> Names {
    Names::parse(entries.iter().copied()).unwrap()
}

fn at(mut rule: Rule, dimension: Dimension, entries: &[&str]) -> Rule {
    rule.place.names.insert(dimension, names(entries));
    rule
}

fn class(class: Class) -> Condition {
    Condition::Found(Found { classes: vec![class], ..Found::default() })
}

fn entity(entity: &str) -> Condition {
    Condition::Found(Found { entities: names(&[entity]), ..Found::default() })
}

fn guardrail(name: &str) -> Condition {
    Condition::Guardrail(Verdict { guardrail: name.to_owned(), categories: Names::default(), score: 0 })
}

fn exempt(from: &[&str]) -> Then {
    Then::of(Effect::Exempt(from.iter().map(|&name| name.to_owned()).collect()))
}

fn caller() -> Caller {
    Caller {
        organization: "acme".to_owned(),
        team: Some("payments".to_owned()),
        metadata: vec![("env".to_owned(), "prod".to_owned())],
        ..Caller::default()
    }
}

fn scope(set: &PolicySet) -> Scope {
    set.scope(&Facts::of(Surface::Gateway, &caller()))
}

fn seen(rule: RuleIndex) -> Seen {
    Seen { rule, score: 90, maskable: true }
}

fn decide(set: &PolicySet, stage: Stage, findings: &[Seen]) -> Decision {
    set.decide(&scope(set), stage, &Evidence::local(findings, Coverage::Full))
}
