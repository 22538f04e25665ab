//! Verdicts, failures and rewritings of external guardrails.

use super::*;

fn rewritten(after: u32) -> Outcome<'static> {
    Outcome::Rewritten { categories: &["pii"], score: None, after }
}

const BLOCKED: Outcome<'static> = Outcome::Blocked { categories: &["jailbreak"] };
const FLAGGED: Outcome<'static> = Outcome::Flagged { categories: &["jailbreak"], score: Some(70) };

/// The decision when guardrails said so, all of them having been asked.
fn with(set: &PolicySet, findings: &[Seen], answers: &[(&str, Outcome<'_>)]) -> Decision {
    let answers: Vec<Answer<'_>> = answers
        .iter()
        .map(|(name, outcome)| Answer { guardrail: set.guardrail(name).unwrap(), outcome: *outcome })
        .collect();
    let evidence = Evidence { answers: &answers, ..Evidence::local(findings, Coverage::Full) };
    set.decide(&scope(set), Stage::Request, &evidence)
}

fn one(then: Then) -> PolicySet {
    compile(vec![rule("one", vec![guardrail("first")], then)])
}

#[test]
fn verdicts_by_action_and_operation() {
    let mutate = Some(Operation::Mutate);
    let table = [
        (Then::act(Action::Log), FLAGGED, Some(Action::Log)),
        (Then::act(Action::Log), rewritten(0), Some(Action::Log)),
        (Then::act(Action::Block), FLAGGED, Some(Action::Block)),
        (Then::act(Action::Block), rewritten(0), Some(Action::Block)),
        (Then { operation: mutate, ..Then::act(Action::Block) }, FLAGGED, Some(Action::Block)),
        (Then { operation: mutate, ..Then::act(Action::Block) }, rewritten(0), Some(Action::Mask)),
        (Then::act(Action::Mask), rewritten(0), Some(Action::Mask)),
        // There is nothing to put in its place.
        (Then::act(Action::Mask), FLAGGED, Some(Action::Block)),
        (Then { on_error: Some(OnError::Allow), ..Then::act(Action::Mask) }, FLAGGED, Some(Action::Log)),
        // A block is no error.
        (Then { on_error: Some(OnError::Allow), ..Then::act(Action::Mask) }, BLOCKED, Some(Action::Block)),
        (Then { mode: Mode::EnforceIgnoreErrors, ..Then::act(Action::Mask) }, BLOCKED, Some(Action::Block)),
        (Then::act(Action::Block), BLOCKED, Some(Action::Block)),
        (Then::act(Action::Log), BLOCKED, Some(Action::Log)),
    ];
    for (then, outcome, expected) in table {
        let set = one(then.clone());
        let decision = with(&set, &[], &[("first", outcome)]);
        assert_eq!(decision.carried_out(), expected, "{then:?} {outcome:?}");
        assert_eq!(decision.adopted.len(), usize::from(expected == Some(Action::Mask)));
        assert!(with(&set, &[], &[("first", Outcome::Passed)]).is_nothing());
        let audit = one(Then { mode: Mode::Audit, ..then });
        let decision = with(&audit, &[], &[("first", outcome)]);
        assert_eq!((decision.carried_out(), decision.adopted.len()), (Some(Action::Log), 0));
        assert!(audit.needs(&scope(&audit), Stage::Request).mutators.is_empty());
    }
}

#[test]
fn no_verdict_is_never_a_pass() {
    let failed = Outcome::Failed(Gap::Timeout);
    for answers in [&[("first", failed)][..], &[]] {
        assert!(with(&one(Then::act(Action::Block)), &[], answers).refuses());
        assert!(with(&one(Then::act(Action::Mask)), &[], answers).refuses());
        assert_eq!(with(&one(Then::act(Action::Log)), &[], answers).action, Some(Action::Log));
        let mode = Mode::EnforceIgnoreErrors;
        let open = with(&one(Then { mode, ..Then::act(Action::Block) }), &[], answers);
        assert_eq!((open.action, open.alerts()), (Some(Action::Log), true));
    }
}

#[test]
fn who_was_not_asked_is_said_not_to_have_been() {
    let set = one(Then::act(Action::Block));
    let cause = |answers: &[(&str, Outcome<'_>)]| with(&set, &[], answers).fired.remove(0).cause;
    let guardrail = set.guardrail("first").unwrap();
    assert_eq!(cause(&[]), Cause::Failed(guardrail, Gap::NotAsked));
    assert_eq!(cause(&[("first", Outcome::Failed(Gap::Timeout))]), Cause::Failed(guardrail, Gap::Timeout));
    let explanation = set.explain(&with(&set, &[], &[]), &|_| None);
    assert!(explanation.contains("not_asked"), "{explanation}");
}

#[test]
fn a_guardrails_own_setting_stands_where_the_rule_is_silent() {
    let of = |theirs, ours| {
        let guardrails = [Guardrail { name: "first".to_owned(), priority: 0, on_error: Some(theirs) }];
        let detectors = detectors();
        let then = Then { on_error: ours, ..Then::act(Action::Block) };
        let rules = vec![rule("one", vec![guardrail("first")], then)];
        let set =
            PolicySet::compile(rules, &Catalogue { detectors: &detectors, guardrails: &guardrails }).unwrap();
        with(&set, &[], &[("first", Outcome::Failed(Gap::Error))]).refuses()
    };
    assert!(!of(OnError::Allow, None));
    assert!(of(OnError::Allow, Some(OnError::Block)));
    assert!(!of(OnError::Block, Some(OnError::Allow)));
}

#[test]
fn our_own_detectors_stand_in_for_a_guardrail_that_failed() {
    let set = one(Then { on_error: Some(OnError::Builtin), ..Then::act(Action::Block) });
    let needs = set.needs(&scope(&set), Stage::Request);
    assert!(
        needs.detectors.contains(Class::Secret, Tier::A)
            && needs.detectors.contains(Class::Injection, Tier::A)
    );
    let failed = [("first", Outcome::Failed(Gap::Timeout))];
    assert!(with(&set, &[seen(AWS)], &failed).refuses());
    assert!(!with(&set, &[], &failed).refuses());
    // A guardrail that answered is not second-guessed.
    assert!(with(&set, &[seen(AWS)], &[("first", Outcome::Passed)]).is_nothing());
    // Neither of them saw it.
    let first = set.guardrail("first").unwrap();
    let answers = [Answer { guardrail: first, outcome: Outcome::Failed(Gap::Timeout) }];
    let evidence = Evidence { answers: &answers, ..Evidence::local(&[], Coverage::None(Gap::Undecodable)) };
    assert!(set.decide(&scope(&set), Stage::Request, &evidence).refuses());
}

#[test]
fn an_open_question_is_left_open() {
    let set = compile(vec![
        rule("aidr", vec![guardrail("first")], Then::act(Action::Block)),
        rule("keys", vec![class(Class::Secret)], Then::act(Action::Mask)),
    ]);
    let evidence = Evidence { complete: false, ..Evidence::local(&AN_AWS_KEY, Coverage::Full) };
    let decision = set.decide(&scope(&set), Stage::Request, &evidence);
    assert_eq!((decision.action, decision.masks.len()), (Some(Action::Mask), 1));
    let evidence = Evidence { complete: false, ..Evidence::local(&[], Coverage::Full) };
    assert!(set.decide(&scope(&set), Stage::Request, &evidence).is_nothing());
}

fn mutators() -> PolicySet {
    compile(vec![
        rule("a", vec![guardrail("second")], Then::act(Action::Mask)),
        rule("b", vec![guardrail("first")], Then::act(Action::Mask)),
        rule("c", vec![class(Class::Secret)], Then::act(Action::Mask)),
    ])
}

#[test]
fn rewritings_follow_each_other() {
    let set = mutators();
    let (first, second) = (set.guardrail("first").unwrap(), set.guardrail("second").unwrap());
    let needs = set.needs(&scope(&set), Stage::Request);
    assert_eq!(needs.mutators.iter().collect::<Vec<_>>(), [first, second]);
    let decision = with(&set, &[seen(AWS)], &[("second", rewritten(2)), ("first", rewritten(1))]);
    assert_eq!(decision.adopted, [first, second]);
    assert_eq!(decision.masks.len(), 1);
    let decision = with(&set, &[], &[("first", Outcome::Passed), ("second", rewritten(0))]);
    assert_eq!(decision.adopted, [second]);
}

#[test]
fn two_owners_of_one_text_are_refused() {
    let set = mutators();
    // The second did not read what the first wrote; a guardrail did not read our masks.
    let beside = [("first", rewritten(0)), ("second", rewritten(0))];
    let unmasked = [("first", rewritten(0)), ("second", Outcome::Passed)];
    for (findings, answers) in [(&[][..], beside), (&[seen(AWS)], unmasked)] {
        let decision = with(&set, findings, &answers);
        assert!(decision.refuses() && decision.masks.is_empty() && decision.adopted.is_empty());
        assert!(matches!(decision.fired[0].cause, Cause::Conflict(_)));
    }
}

#[test]
fn masks_that_come_late_do_not_mix_with_rewritings() {
    let builtin = Then { on_error: Some(OnError::Builtin), ..Then::act(Action::Mask) };
    let set = compile(vec![
        rule("a", vec![guardrail("first")], builtin),
        rule("b", vec![guardrail("second")], Then::act(Action::Mask)),
    ]);
    let failed = ("first", Outcome::Failed(Gap::Timeout));
    let decision = with(&set, &[seen(AWS)], &[failed, ("second", Outcome::Passed)]);
    assert_eq!((decision.carried_out(), decision.masks.len()), (Some(Action::Mask), 1));
    assert!(with(&set, &[seen(AWS)], &[failed, ("second", rewritten(0))]).refuses());
    assert!(with(&set, &[seen(AWS)], &[failed, ("second", rewritten(1))]).refuses());
}

#[test]
fn scores_and_categories_narrow_a_verdict() {
    let verdict = Verdict { guardrail: "first".to_owned(), categories: names(&["jail*"]), score: 70 };
    let set = compile(vec![rule("one", vec![Condition::Guardrail(verdict)], Then::act(Action::Block))]);
    let refuses =
        |categories, score| with(&set, &[], &[("first", Outcome::Flagged { categories, score })]).refuses();
    assert!(refuses(&["Jailbreak"], Some(70)) && refuses(&["x", "jail"], None) && refuses(&[], None));
    assert!(!refuses(&["jailbreak"], Some(69)) && !refuses(&["x"], Some(99)));
}

#[test]
fn nothing_of_a_stream_is_rewritten() {
    let set = mutators();
    assert!(set.needs(&scope(&set), Stage::Stream).mutators.is_empty());
    let first = set.guardrail("first").unwrap();
    let answers = [Answer { guardrail: first, outcome: rewritten(0) }];
    let evidence =
        Evidence { answers: &answers, complete: false, ..Evidence::local(&AN_AWS_KEY, Coverage::Full) };
    let decision = set.decide(&scope(&set), Stage::Stream, &evidence);
    assert_eq!((decision.action, decision.enforceable), (Some(Action::Mask), false));
    assert!(decision.adopted.is_empty() && decision.masks.is_empty() && decision.alerts());
}
