use super::*;
use crate::finding::Provenance::{ToolInput, User};
use crate::json::{Entry, Meaning, Place, Table};
use proptest::prelude::*;
use std::sync::LazyLock;

const CARD: &str = "4111 1111 1111 1111";

fn engine() -> &'static Engine {
    static ENGINE: LazyLock<Engine> = LazyLock::new(built);
    &ENGINE
}

fn built() -> Engine {
    let pii = crate::detector::pii::Pii::new(crate::detector::pii::Settings::default());
    Engine::builder().detector(pii).build().unwrap()
}

fn table() -> Table {
    let entry = |name, meaning| Entry { name, place: Place::Anywhere, meaning };
    Table::new(&[entry("arguments", Meaning::Json), entry("id", Meaning::Opaque)])
}

fn report(body: &str) -> Report {
    search(engine(), body, &table(), &Forgetful, &mut Room::default()).unwrap()
}

/// Path, value, whether it can be masked.
fn rows(body: &str) -> Vec<(String, String, bool)> {
    let row = |found: &Found| (found.path.to_string(), found.value(body).into_owned(), found.is_maskable());
    report(body).found.iter().map(row).collect()
}

#[test]
fn a_value_is_found_at_every_level() {
    let inner =
        serde_json::json!({"to": ["me", format!("it's \"{CARD}\"\n")], "n": 4_111_111_111_111_111_u64})
            .to_string();
    let body = serde_json::json!({
        "id": CARD,
        "messages": [
            {"content": format!("tab\t\u{1F600} {CARD}")},
            {"tool_calls": [{"function": {"arguments": inner}}, {"function": {"arguments": format!("not json {CARD}")}}]},
        ],
        "number": 4_111_111_111_111_111_u64,
    });
    let mut found = rows(&body.to_string());
    let expected = [
        ("messages[0].content", CARD, true),
        ("messages[1].tool_calls[0].function.arguments/n", "4111111111111111", false),
        ("messages[1].tool_calls[0].function.arguments/to[1]", CARD, true),
        ("messages[1].tool_calls[1].function.arguments", CARD, true),
        ("number", "4111111111111111", false),
    ];
    let expected: Vec<_> = expected.iter().map(|row| (row.0.to_owned(), row.1.to_owned(), row.2)).collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn escapes_hide_nothing() {
    for raw in
        [r"\u0034111 1111 1111 1111", r"4111\u00201111 1111\u0020111\u0031", r"\n4111 1111 1111 1111\n"]
    {
        let body = format!(r#"{{"messages":[{{"content":"{raw}"}}]}}"#);
        let found = rows(&body);
        assert_eq!(found, [("messages[0].content".to_owned(), CARD.to_owned(), true)], "{raw}");
        let report = report(&body);
        let masked = splice(
            body.as_bytes(),
            vec![Splice { range: report.found[0].raw.clone(), with: "[CARD]".into() }],
        );
        let expected = format!(
            r#"{{"messages":[{{"content":"{}"}}]}}"#,
            raw.replace(r"\u0034111 1111 1111 1111", "[CARD]")
                .replace(r"4111\u00201111 1111\u0020111\u0031", "[CARD]")
                .replace(CARD, "[CARD]")
        );
        assert_eq!(String::from_utf8(masked).unwrap(), expected);
    }
}

#[test]
fn the_name_of_a_member_says_what_its_value_is() {
    let found = |body: &str| -> Vec<(String, String, String)> {
        let rule = |found: &Found| engine().rule(found.rule).unwrap().entity.to_string();
        report(body)
            .found
            .iter()
            .map(|found| (rule(found), found.value(body).into_owned(), found.path.to_string()))
            .collect()
    };
    let of =
        |entity: &str, value: &str, path: &str| vec![(entity.to_owned(), value.to_owned(), path.to_owned())];
    for name in ["ssn", "social_security_number", "socialSecurityNumber", "social-security"] {
        let body = format!(r#"{{"customer":{{"{name}":"536221845"}}}}"#);
        assert_eq!(found(&body), of("US_SSN", "536221845", &format!("customer.{name}")), "{body}");
    }
    assert_eq!(
        found(r#"{"list":[{"ssns":["x","536221845"]}]}"#),
        of("US_SSN", "536221845", "list[0].ssns[1]")
    );
    let arguments = r#"{"messages":[{"arguments":"{\"ssn\":\"5362\\u00321845\"}"}]}"#;
    let nested = found(arguments);
    assert_eq!((&*nested[0].0, &*nested[0].1), ("US_SSN", "536221845"));
    // Nothing is found twice, and a name says nothing of what is no value of it.
    assert_eq!(found(&format!(r#"{{"card":"{CARD}"}}"#)).len(), 1);
    assert_eq!(found(r#"{"build":"536221845"}"#), []);
    let long = |blanks: usize| format!(r#"{{"ssn":"{}536221845"}}"#, " ".repeat(blanks));
    assert_eq!(found(&long(20)).len(), 1);
    assert_eq!(found(&long(NAMED_VALUE_BYTES_MAX - 10)), [], "too long to be read with its name");
}

#[test]
fn a_body_that_is_no_json_is_not_searched() {
    assert!(search(engine(), "{\"a\":", &table(), &Forgetful, &mut Room::default()).is_err());
}

#[test]
fn overlapping_splices_lose_nothing_that_was_to_go() {
    let splice_of = |range: Range<usize>, with: &str| Splice { range, with: with.to_owned() };
    let body = b"0123456789";
    let spliced = |splices| String::from_utf8(splice(body, splices)).unwrap();
    assert_eq!(spliced(vec![splice_of(5..7, "B"), splice_of(1..3, "A")]), "0A34B789");
    assert_eq!(spliced(vec![splice_of(1..4, "A"), splice_of(3..6, "B")]), "0A6789");
    assert_eq!(spliced(vec![splice_of(1..9, "A"), splice_of(3..6, "B")]), "0A9");
    assert_eq!(spliced(vec![splice_of(9..20, "A")]), "012345678A");
    assert_eq!(spliced(vec![]), "0123456789");
    let apart = disjoint(vec![splice_of(3..6, "B"), splice_of(1..4, "A"), splice_of(6..7, "C")]);
    assert_eq!(apart, [splice_of(1..6, "A"), splice_of(6..7, "C")]);
}

proptest! {
    #[test]
    fn a_masked_body_parses_and_differs_in_the_masks_only(
        texts in proptest::collection::vec("[a-z\"\\\\\n\u{1F600}é ]{0,20}", 1..6), nested in any::<bool>(), pretty in any::<bool>(),
    ) {
        let mut plain = Vec::new();
        for text in &texts {
            let text = format!("{text} {CARD} {text}");
            let inner = serde_json::json!({"deep": [text]});
            plain.push(if nested { serde_json::json!({"arguments": inner.to_string()}) } else { inner });
        }
        let value = serde_json::json!({"messages": plain});
        let body = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let report = report(&body);
        prop_assert_eq!(report.found.len(), texts.len());
        let splices = report.found.iter().map(|found| Splice { range: found.raw.clone(), with: "[CARD_1]".to_owned() });
        let masked = splice(body.as_bytes(), splices.collect());
        let masked: serde_json::Value = serde_json::from_slice(&masked).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&value.to_string().replace(CARD, "[CARD_1]")).unwrap();
        prop_assert_eq!(masked, expected);
        let by = if nested { ToolInput } else { User };
        prop_assert!(report.found.iter().all(|found| found.provenance == by));
    }
}

#[test]
fn escapes_of_json_in_any_text_hide_nothing() {
    let card = r"4111\u00201111 1111 1111";
    for (text, found) in [
        (format!(r#"{{"note": "{card}"}}"#), vec!["messages[0].content/note"]),
        (
            format!(r#" [{{"a": "x\n{CARD}"}}, "{card}"]"#),
            vec!["messages[0].content", "messages[0].content/[1]"],
        ),
        // No JSON: it is text as it reads.
        (format!(r#"{{"note": "{card}""#), vec![]),
        (format!("{{\"note\": \"{CARD}\"}}"), vec!["messages[0].content"]),
    ] {
        let body = serde_json::json!({"messages": [{"content": text}]}).to_string();
        let rows = rows(&body);
        let paths: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        assert_eq!(paths, found, "{body}");
        assert!(rows.iter().all(|row| row.1 == CARD && row.2), "{rows:?}");
    }
}

#[test]
fn findings_of_one_string_are_placed_in_time_that_grows_with_it() {
    // Each of so many findings was looked for from the string's beginning: this took minutes.
    let value = format!("{CARD}\n").repeat(FOUND_MAX);
    let inner = serde_json::json!({ "a": value }).to_string();
    for body in [serde_json::json!({ "content": value }), serde_json::json!({ "arguments": inner })] {
        let body = body.to_string();
        let report = report(&body);
        assert_eq!((report.found.len(), report.more_found), (FOUND_MAX, false));
        assert!(report.found.iter().all(|found| found.value(&body) == CARD));
    }
}

#[test]
fn what_is_signed_is_searched_and_not_changed() {
    let entry = |place, meaning| Entry { name: "thinking", place, meaning };
    let table = Table::new(&[
        entry(Place::UnderRoot("content"), Meaning::Signed),
        entry(Place::Under("content"), Meaning::Opaque),
    ]);
    let thought = serde_json::json!([{"type": "thinking", "thinking": CARD}]);
    for (body, found) in [
        (serde_json::json!({"content": thought}), vec![("content[0].thinking", false)]),
        (serde_json::json!({"messages": [{"content": thought}]}), vec![]),
    ] {
        let body = body.to_string();
        let report = search(engine(), &body, &table, &Forgetful, &mut Room::default()).unwrap();
        let rows: Vec<_> = report.found.iter().map(|found| (&*found.path, found.is_maskable())).collect();
        assert_eq!(rows, found, "{body}");
    }
}
