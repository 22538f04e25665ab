//! Decisions and rules in words.

use super::*;

fn said(set: &PolicySet, decision: &Decision, field: &str) -> String {
    set.explain(decision, &|_| Some(field.to_owned()))
}

#[test]
fn a_sentence_names_rule_field_entity_and_scope() {
    let set = compile(vec![
        at(
            rule("no-keys", vec![class(Class::Secret)], Then::act(Action::Block)),
            Dimension::Team,
            &["pay*", "!ops"],
        ),
        rule("mail", vec![entity("EMAIL")], Then { mode: Mode::Audit, ..Then::act(Action::Mask) }),
    ]);
    let field = "messages[3].content[1].text";
    let decision = decide(&set, Stage::Request, &[seen(GITHUB), seen(AWS)]);
    assert_eq!(
        said(&set, &decision, field),
        "Policy `no-keys` refused the request: GITHUB_TOKEN (rule github-pat) in messages[3].content[1].text and 1 \
         more, where team is pay*, !ops."
    );
    let decision = decide(&set, Stage::Stream, &[seen(GITHUB), seen(EMAIL)]);
    assert_eq!(
        said(&set, &decision, field),
        "Policy `no-keys` could not refuse the stream, which was under way: GITHUB_TOKEN (rule github-pat) in \
         messages[3].content[1].text, where team is pay*, !ops; one more policy fired."
    );
    let decision = decide(&set, Stage::Response, &[seen(EMAIL)]);
    assert_eq!(
        said(&set, &decision, field),
        "Policy `mail` would mask the answer if it were not in audit: EMAIL (rule email) in \
         messages[3].content[1].text."
    );
    assert_eq!(said(&set, &decide(&set, Stage::Response, &[]), field), "No policy objects to the answer.");
}

#[test]
fn failures_and_places_have_sentences() {
    let set = compile(vec![
        rule("deny", Vec::new(), Then::act(Action::Block)),
        rule(
            "keys",
            vec![class(Class::Secret)],
            Then { on_error: Some(OnError::Allow), ..Then::act(Action::Block) },
        ),
        rule("aidr", vec![guardrail("first")], Then::act(Action::Block)),
    ]);
    let admission = set.admit(&scope(&set), Stage::Request);
    assert_eq!(said(&set, &admission, ""), "Policy `deny` refused the request: by its place alone.");
    let first = set.guardrail("first").unwrap();
    let answer = |outcome| [Answer { guardrail: first, outcome }];
    let decision = |outcome, coverage| {
        let answers = answer(outcome);
        let evidence = Evidence { answers: &answers, ..Evidence::local(&[], coverage) };
        said(&set, &set.decide(&scope(&set), Stage::Request, &evidence), "")
    };
    assert_eq!(
        decision(Outcome::Failed(Gap::Timeout), Coverage::Full),
        "Policy `aidr` refused the request: guardrail `first` gave no verdict (timeout)."
    );
    assert_eq!(
        decision(Outcome::Passed, Coverage::Partial(Gap::TooLarge)),
        "Policy `keys` let pass the request: not all of it could be inspected (too_large)."
    );
    let flagged = Outcome::Flagged { categories: &["canary"], score: None };
    assert_eq!(
        decision(flagged, Coverage::Full),
        "Policy `aidr` refused the request: guardrail `first` objects."
    );
}

#[test]
fn members_of_a_callers_invention_are_not_shown() {
    let set = compile(vec![rule("keys", vec![class(Class::Secret)], Then::act(Action::Block))]);
    let decision = decide(&set, Stage::Request, &[seen(GITHUB)]);
    for (field, shown) in [
        ("metadata.ghp_0123456789.x", "metadata.?.x"),
        ("metadata.jane@example.com", "metadata.?.com"),
        ("a[0].b[canary].c", "a[0].b[?].c"),
        ("tools[2].input.über", "tools[2].input.?"),
        ("", "?"),
    ] {
        assert!(said(&set, &decision, field).contains(&format!(" in {shown}.")), "{field}");
    }
    let long = said(&set, &decision, &"abc.".repeat(1000));
    assert!(long.len() < 400 && long.contains('…'), "{long}");
}

#[test]
fn a_table_says_what_is_in_force_and_what_is_open() {
    let ignore = Then { mode: Mode::EnforceIgnoreErrors, ..Then::act(Action::Block) };
    let set = compile(vec![
        at(rule("a", vec![class(Class::Secret), guardrail("first")], ignore), Dimension::Model, &["gpt-*"]),
        rule("b", vec![class(Class::Pii)], Then { mode: Mode::Audit, ..Then::act(Action::Mask) }),
        rule("c", vec![class(Class::Pii)], Then::act(Action::Block)),
        at(rule("d", Vec::new(), exempt(&["c"])), Dimension::Team, &["ops"]),
        rule(
            "e",
            vec![class(Class::Pii)],
            Then { on_error: Some(OnError::Allow), ..Then::act(Action::Mask) },
        ),
    ]);
    let rows = set.table();
    assert_eq!(rows[0].place, "model is gpt-*");
    assert_eq!(rows[0].when, "secret tier A, B score 50 or guardrail first");
    assert_eq!((rows[0].mode, rows[0].on_error), ("enforce_ignore_errors", "allow"));
    assert_eq!((rows[2].place.as_str(), rows[2].on_error), ("everywhere", "block"));
    assert_eq!((rows[3].then.as_str(), rows[3].when.as_str()), ("allow, exempt from c", "always"));
    let open: Vec<String> = set.fail_opens().into_iter().map(|open| open.rule).collect();
    assert_eq!(open, ["a", "b", "e"]);
}
