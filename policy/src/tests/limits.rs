//! What is refused when rules are loaded.

use super::*;

fn keys(problems: Result<PolicySet, Vec<Problem>>) -> Vec<&'static str> {
    problems
        .map(|_| Vec::new())
        .unwrap_or_else(|problems| problems.iter().map(|problem| problem.key).collect())
}

fn block(when: Vec<Condition>) -> Rule {
    rule("one", when, Then::act(Action::Block))
}

fn found(found: Found) -> Vec<Condition> {
    vec![Condition::Found(found)]
}

#[test]
fn names_that_nothing_has_are_refused() {
    let table = [
        (block(found(Found { entities: names(&["E-MAIL"]), ..Found::default() })), "when.entity"),
        (block(found(Found { entities: names(&["EMAIL", "!EMIAL"]), ..Found::default() })), "when.entity"),
        (block(found(Found { rules: names(&["gitlab-*"]), ..Found::default() })), "when.rule"),
        (
            block(found(Found { classes: vec![Class::Custom], tiers: vec![Tier::C], ..Found::default() })),
            "when",
        ),
        (block(vec![guardrail("third")]), "when.guardrail"),
        (rule("one", Vec::new(), exempt(&["two"])), "then.exempts"),
        (at(block(Vec::new()), Dimension::Surface, &["gatway"]), "where.surface"),
    ];
    for (rule, key) in table {
        assert_eq!(keys(try_compile(vec![rule])), [key]);
    }
}

#[test]
fn every_rule_validates_or_mutates_and_may_say_so() {
    let secret = || vec![class(Class::Secret)];
    for (action, word, given) in [
        (Action::Log, "validate", Operation::Validate),
        (Action::Block, "validate", Operation::Validate),
        (Action::Mask, "mutate", Operation::Mutate),
    ] {
        for operation in [None, Some(given)] {
            let set = compile(vec![rule("one", secret(), Then { operation, ..Then::act(action) })]);
            assert_eq!(set.table()[0].operation, word, "{action:?} {operation:?}");
            let decision =
                set.decide(&scope(&set), Stage::Request, &Evidence::local(&[seen(AWS)], Coverage::Full));
            assert_eq!(decision.carried_out(), Some(action));
            assert_eq!(decision.masks.len(), usize::from(given == Operation::Mutate));
        }
    }
    let asks = Then { operation: Some(Operation::Mutate), ..Then::act(Action::Block) };
    assert_eq!(compile(vec![rule("one", vec![guardrail("first")], asks)]).table()[0].operation, "mutate");
}

#[test]
fn contradictions_are_refused() {
    let secret = || vec![class(Class::Secret)];
    let asks = || vec![guardrail("first")];
    let act = |action| Then::act(action);
    let gated = |action| Then { streams: Streams::Gated, ..act(action) };
    let staged = |rule: Rule, stage| Rule { place: Where { stages: vec![stage], ..rule.place }, ..rule };
    let (builtin, closed) = (Some(OnError::Builtin), Some(OnError::Block));
    let table = [
        (rule("one", Vec::new(), act(Action::Mask)), "then.action"),
        (
            rule("one", asks(), Then { operation: Some(Operation::Validate), ..act(Action::Mask) }),
            "then.operation",
        ),
        (
            rule("one", asks(), Then { operation: Some(Operation::Mutate), ..act(Action::Log) }),
            "then.operation",
        ),
        (
            rule("one", secret(), Then { operation: Some(Operation::Mutate), ..act(Action::Block) }),
            "then.operation",
        ),
        (
            rule("one", secret(), Then { operation: Some(Operation::Validate), ..act(Action::Mask) }),
            "then.operation",
        ),
        (
            rule("one", Vec::new(), Then { operation: Some(Operation::Mutate), ..act(Action::Block) }),
            "then.operation",
        ),
        (rule("one", secret(), Then { restore: true, ..act(Action::Block) }), "then.restore"),
        (rule("one", secret(), Then { message: Some("x".to_owned()), ..act(Action::Log) }), "then.message"),
        (rule("one", secret(), Then { on_error: builtin, ..act(Action::Block) }), "then.on_error"),
        (rule("one", Vec::new(), Then { on_error: closed, ..act(Action::Block) }), "then.on_error"),
        (
            rule(
                "one",
                secret(),
                Then { on_error: closed, mode: Mode::EnforceIgnoreErrors, ..act(Action::Block) },
            ),
            "then.on_error",
        ),
        (rule("one", secret(), gated(Action::Log)), "then.streams"),
        (rule("one", Vec::new(), gated(Action::Block)), "then.streams"),
        (rule("one", asks(), gated(Action::Block)), "then.streams"),
        (staged(rule("one", secret(), gated(Action::Mask)), Stage::Response), "then.streams"),
        (rule("one", secret(), exempt(&[])), "then.exempts"),
        (rule("one", secret(), exempt(&["one"])), "then.exempts"),
    ];
    for (rule, key) in table {
        assert_eq!(keys(try_compile(vec![rule.clone()])), [key], "{rule:?}");
    }
}

#[test]
fn an_exemption_has_nothing_else_to_say() {
    let others = [
        Then { mode: Mode::Audit, ..exempt(&["two"]) },
        Then { on_error: Some(OnError::Allow), ..exempt(&["two"]) },
        Then { restore: true, ..exempt(&["two"]) },
        Then { streams: Streams::Gated, ..exempt(&["two"]) },
        Then { alert: Some(true), ..exempt(&["two"]) },
    ];
    let two = || rule("two", vec![class(Class::Pii)], Then::act(Action::Log));
    for then in others {
        assert_eq!(keys(try_compile(vec![rule("one", Vec::new(), then), two()])).len(), 1);
    }
    let counted = found(Found { count: 2, ..Found::default() });
    assert_eq!(keys(try_compile(vec![rule("one", counted, exempt(&["two"])), two()])), ["when.count"]);
    assert_eq!(keys(try_compile(vec![rule("one", Vec::new(), exempt(&["two"])), two()])), [""; 0]);
}

#[test]
fn two_guardrails_that_rewrite_need_an_order() {
    let mask = |name: &str, guardrail_name: &str| {
        rule(name, vec![guardrail(guardrail_name)], Then::act(Action::Mask))
    };
    let compiled = |rules: Vec<Rule>, priorities: [u32; 2]| {
        let guardrails = [("first", priorities[0]), ("second", priorities[1])]
            .map(|(name, priority)| Guardrail { name: name.to_owned(), priority, on_error: None });
        let detectors = detectors();
        keys(PolicySet::compile(rules, &Catalogue { detectors: &detectors, guardrails: &guardrails }))
    };
    let both = || vec![mask("a", "first"), mask("b", "second")];
    assert_eq!(compiled(both(), [1, 1]), ["when.guardrail"]);
    assert_eq!(compiled(both(), [1, 2]), [""; 0]);
    assert_eq!(compiled(vec![mask("a", "first"), mask("b", "first")], [1, 1]), [""; 0]);
    let mut apart = both();
    apart[0].place.stages = vec![Stage::Request];
    apart[1].place.stages = vec![Stage::Response, Stage::Stream];
    assert_eq!(compiled(apart, [1, 1]), [""; 0]);
}

#[test]
fn limits_hold_and_one_more_is_refused() {
    let one = |number: usize| rule(&format!("r{number}"), Vec::new(), Then::act(Action::Log));
    let rules = |count: usize| (0..count).map(one).collect::<Vec<_>>();
    assert_eq!(compile(rules(RULES_MAX)).len(), RULES_MAX);
    assert_eq!(keys(try_compile(rules(RULES_MAX + 1))), [""]);

    let when = |count: usize| vec![class(Class::Secret); count];
    assert_eq!(keys(try_compile(vec![block(when(RULE_CONDITIONS_MAX))])), [""; 0]);
    assert_eq!(keys(try_compile(vec![block(when(RULE_CONDITIONS_MAX + 1))])), ["when"]);

    let many = |count: usize| {
        let full = CONDITIONS_MAX / RULE_CONDITIONS_MAX;
        let mut rules: Vec<Rule> = (0..full)
            .map(|number| rule(&format!("r{number}"), when(RULE_CONDITIONS_MAX - 1), Then::act(Action::Log)))
            .collect();
        rules.extend(
            (0..count).map(|number| rule(&format!("more{number}"), Vec::new(), Then::act(Action::Log))),
        );
        rules
    };
    assert_eq!(keys(try_compile(many(0))), [""; 0]);
    assert_eq!(keys(try_compile(many(1))), [""]);

    let named = |bytes: usize| rule(&"x".repeat(bytes), Vec::new(), Then::act(Action::Log));
    assert_eq!(keys(try_compile(vec![named(RULE_NAME_BYTES_MAX)])), [""; 0]);
    assert_eq!(keys(try_compile(vec![named(RULE_NAME_BYTES_MAX + 1)])), ["name"]);
    assert_eq!(keys(try_compile(vec![named(0)])), ["name"]);

    let listing = |count: usize| {
        let mut rule = block(Vec::new());
        let names = (0..count).map(|number| names::Glob::new(&format!("t{number}")).unwrap()).collect();
        rule.place.names.insert(Dimension::Team, Names { any: names, none: Vec::new() });
        rule
    };
    assert_eq!(keys(try_compile(vec![listing(PLACE_NAMES_MAX)])), [""; 0]);
    assert_eq!(keys(try_compile(vec![listing(PLACE_NAMES_MAX + 1)])), ["where"]);

    let telling = |bytes: usize| Then { message: Some("x".repeat(bytes)), ..Then::act(Action::Block) };
    assert_eq!(keys(try_compile(vec![rule("one", Vec::new(), telling(MESSAGE_BYTES_MAX))])), [""; 0]);
    assert_eq!(
        keys(try_compile(vec![rule("one", Vec::new(), telling(MESSAGE_BYTES_MAX + 1))])),
        ["then.message"]
    );

    let score = |score| block(found(Found { score, ..Found::default() }));
    assert_eq!(keys(try_compile(vec![score(100)])), [""; 0]);
    assert_eq!(keys(try_compile(vec![score(101)])), ["when.score"]);
    assert_eq!(keys(try_compile(vec![block(found(Found { count: 0, ..Found::default() }))])), ["when.count"]);
    assert_eq!(keys(try_compile(vec![one(1), one(2), one(1)])), ["name"]);
}

#[test]
fn guardrails_have_a_limit() {
    let detectors = detectors();
    let compiled = |count: usize| {
        let guardrails: Vec<Guardrail> = (0..count)
            .map(|number| Guardrail { name: format!("g{number:02}"), priority: 0, on_error: None })
            .collect();
        let last = format!("g{:02}", GUARDRAILS_MAX - 1);
        let rules = vec![rule("one", vec![guardrail(&last)], Then::act(Action::Block))];
        PolicySet::compile(rules, &Catalogue { detectors: &detectors, guardrails: &guardrails })
    };
    let set = compiled(GUARDRAILS_MAX).unwrap();
    let needs = set.needs(&scope(&set), Stage::Request);
    assert_eq!(
        needs.validators.iter().map(|one| set.guardrail_name(one).to_owned()).collect::<Vec<_>>(),
        ["g63"]
    );
    assert_eq!(keys(compiled(GUARDRAILS_MAX + 1)), [""]);
}

#[test]
fn a_version_changes_with_what_decides() {
    let set = |rules: Vec<Rule>| compile(rules).version();
    let one = set(vec![block(vec![class(Class::Secret)])]);
    assert_eq!(one, set(vec![block(vec![class(Class::Secret)])]));
    assert_ne!(one, set(vec![block(vec![class(Class::Pii)])]));
    assert_eq!(one.to_string().len(), 16);
    let detectors = &detectors()[..3];
    let rules = vec![block(vec![class(Class::Secret)])];
    let fewer = PolicySet::compile(rules, &Catalogue { detectors, guardrails: &guardrails() }).unwrap();
    assert_ne!(one, fewer.version());
}
