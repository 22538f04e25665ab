//! Exemptions take away what they name and nothing else.

use super::*;
use proptest::prelude::*;

fn block(name: &str, when: Vec<Condition>) -> Rule {
    rule(name, when, Then::act(Action::Block))
}

#[test]
fn a_finding_is_exempt_from_the_named_rules_only() {
    let set = compile(vec![
        block("pii", vec![class(Class::Pii)]),
        rule("mail", vec![entity("EMAIL")], Then::act(Action::Mask)),
        rule("allow-mail", vec![entity("EMAIL")], exempt(&["pii"])),
    ]);
    let decision = decide(&set, Stage::Request, &[seen(EMAIL)]);
    assert_eq!((decision.action, decision.masks.len()), (Some(Action::Mask), 1));
    assert_eq!(decision.exemptions.iter().map(|name| &**name).collect::<Vec<_>>(), ["allow-mail"]);
}

#[test]
fn a_finding_that_no_condition_selects_still_counts() {
    let set = compile(vec![
        block("keys", vec![class(Class::Secret)]),
        rule(
            "allow-aws",
            vec![Condition::Found(Found { rules: names(&["aws-key"]), ..Found::default() })],
            exempt(&["keys"]),
        ),
    ]);
    assert!(!decide(&set, Stage::Request, &[seen(AWS)]).refuses());
    let decision = decide(&set, Stage::Request, &[seen(AWS), seen(GITHUB)]);
    assert_eq!(decision.fired[0].cause, Cause::Found { first: 1, rule: GITHUB, count: 1 });
    // Below the exemption's least score it is not exempt.
    let unsure = Seen { score: 10, ..seen(AWS) };
    let found = Found { classes: vec![Class::Secret], score: 0, ..Found::default() };
    let set = compile(vec![
        block("keys", vec![Condition::Found(found)]),
        rule("allow-sure", vec![class(Class::Secret)], exempt(&["keys"])),
    ]);
    assert!(decide(&set, Stage::Request, &[unsure]).refuses());
}

#[test]
fn what_could_not_be_inspected_is_not_exempt_by_a_condition() {
    let set = compile(vec![
        block("keys", vec![class(Class::Secret)]),
        rule("allow", vec![class(Class::Secret)], exempt(&["keys"])),
    ]);
    let evidence = Evidence::local(&AN_AWS_KEY, Coverage::Partial(Gap::TooLarge));
    let decision = set.decide(&scope(&set), Stage::Request, &evidence);
    assert_eq!(decision.fired[0].cause, Cause::Gap(Gap::TooLarge));
    assert!(decision.refuses());
}

#[test]
fn a_place_is_exempt_wholly_from_the_named_rules() {
    let set = compile(vec![
        block("keys", vec![class(Class::Secret)]),
        block("deny", Vec::new()),
        block("other", vec![class(Class::Pii)]),
        at(rule("allow", Vec::new(), exempt(&["keys", "deny"])), Dimension::Team, &["payments"]),
    ]);
    let undecodable = Evidence::local(&[], Coverage::None(Gap::Undecodable));
    assert!(!set.admit(&scope(&set), Stage::Request).refuses());
    let decision = set.decide(&scope(&set), Stage::Request, &undecodable);
    assert_eq!(decision.fired.iter().map(|fired| &*fired.rule).collect::<Vec<_>>(), ["other"]);
    assert!(!set.needs(&scope(&set), Stage::Request).detectors.any(Class::Secret));
    let caller = Caller { team: Some("ops".to_owned()), ..Caller::default() };
    let others = set.scope(&Facts::of(Surface::Gateway, &caller));
    assert!(set.admit(&others, Stage::Request).refuses());
    assert_eq!(set.decide(&others, Stage::Request, &undecodable).fired.len(), 2);
}

#[test]
fn every_name_of_a_model_must_be_exempt() {
    let set = compile(vec![
        block("deny", Vec::new()),
        at(rule("allow", Vec::new(), exempt(&["deny"])), Dimension::Model, &["local-*"]),
    ]);
    let caller = caller();
    let denied = |models: &[&str]| {
        let facts = Facts { models, ..Facts::of(Surface::Gateway, &caller) };
        set.admit(&set.scope(&facts), Stage::Request).refuses()
    };
    assert!(!denied(&["local-a"]) && !denied(&["local-a", "local-b"]));
    assert!(denied(&["local-a", "gpt-4o"]) && denied(&["gpt-4o", "local-a"]) && denied(&[]));
}

#[test]
fn verdicts_are_exempt_only_if_all_of_them_is() {
    let allowed = Condition::Guardrail(Verdict {
        guardrail: "first".to_owned(),
        categories: names(&["spam"]),
        score: 0,
    });
    let set = compile(vec![
        block("aidr", vec![guardrail("first")]),
        rule("allow-spam", vec![allowed], exempt(&["aidr"])),
    ]);
    let first = set.guardrail("first").unwrap();
    let refuses = |outcome| {
        let answers = [Answer { guardrail: first, outcome }];
        let evidence = Evidence { answers: &answers, ..Evidence::local(&[], Coverage::Full) };
        set.decide(&scope(&set), Stage::Request, &evidence).refuses()
    };
    let flagged = |categories| Outcome::Flagged { categories, score: None };
    assert!(!refuses(flagged(&["SPAM"])));
    assert!(refuses(flagged(&["spam", "hate"])));
    assert!(refuses(flagged(&[])));
    assert!(refuses(Outcome::Failed(Gap::Timeout)));
}

#[test]
fn an_exemption_on_a_clients_word_is_listed() {
    let set = |dimension| {
        compile(vec![
            block("keys", vec![class(Class::Secret)]),
            at(rule("allow", Vec::new(), exempt(&["keys"])), dimension, &["x"]),
        ])
    };
    assert_eq!(set(Dimension::Team).fail_opens(), []);
    assert_eq!(set(Dimension::Integration).fail_opens().len(), 1);
}

proptest! {
    /// An exemption changes nothing for rules it does not name.
    #[test]
    fn rules_that_are_not_named_decide_as_before(
        findings in prop::collection::vec((0..6u32, 0..=100u8), 0..8),
        stage in prop::sample::select(&Stage::ALL[..]),
        selected in prop::option::of(prop::sample::select(vec![Class::Secret, Class::Pii])),
    ) {
        let findings: Vec<Seen> = findings
            .into_iter()
            .map(|(rule, score)| Seen { rule: RuleIndex(rule), score, maskable: true })
            .collect();
        let rules = vec![
            block("named", vec![class(Class::Secret), class(Class::Pii)]),
            rule("other", vec![class(Class::Secret), class(Class::Pii)], Then::act(Action::Mask)),
        ];
        let mut with = rules.clone();
        with.push(rule("allow", selected.into_iter().map(class).collect(), exempt(&["named"])));
        let of_other = |rules: Vec<Rule>| {
            let fired = decide(&compile(rules), stage, &findings).fired;
            fired.into_iter().filter(|fired| &*fired.rule == "other").collect::<Vec<_>>()
        };
        prop_assert_eq!(of_other(with), of_other(rules));
    }
}
