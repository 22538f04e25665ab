//! What holds for every guardrail.

use super::*;
use crate::finding::Provenance;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every guardrail with the settings it cannot do without.
fn all() -> Vec<Remote> {
    REMOTES.iter().map(|kind| Remote::configure(kind.name, fuzzing::settings(kind.name)).unwrap()).collect()
}

fn input<'a>(stage: Stage, segments: &'a [Segment<'a>]) -> Input<'a> {
    let facts = Facts { user: Some("ann"), application: Some("desk"), model: Some("m"), ..Facts::default() };
    Input { stage, segments, facts }
}

const TEXTS: &[Segment<'_>] = &[Segment {
    path: "messages[0].content",
    provenance: Provenance::User,
    text: "canary-7f3a9 schöne Grüße",
}];

#[test]
fn names_are_unique_and_every_kind_says_what_it_is() {
    let mut names: Vec<_> = REMOTES.iter().map(|kind| kind.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), REMOTES.len());
    for (kind, remote) in REMOTES.iter().zip(all()) {
        assert_eq!(remote.kind().name, kind.name);
        assert!(
            kind.documentation.starts_with("https://") && kind.documentation.ends_with("-11)"),
            "{kind:?}"
        );
        assert!(!kind.description.is_empty() && !kind.credential.is_empty() && !kind.stages.is_empty());
        assert!(
            remote.base().is_none_or(|base| base.starts_with("https://") && !base.ends_with('/')),
            "{kind:?}"
        );
    }
    let unknown = Remote::configure("nobody", json!({}));
    assert_eq!(unknown, Err(SettingsError::UnknownKind("nobody".to_owned())));
}

#[test]
fn the_settings_are_those_that_are_listed() {
    for kind in REMOTES {
        let with = |name: &str, value: Value| {
            let mut settings = fuzzing::settings(kind.name);
            settings[name] = value;
            Remote::configure(kind.name, settings)
        };
        assert!(with("nothing_of_this_name", json!("x")).is_err(), "{} takes unknown settings", kind.name);
        for need in kind.needs {
            let (right, wrong) = match need.shape {
                Shape::Text => (json!(if need.name == "path" { "/x" } else { "x" }), json!(1)),
                Shape::Flag => (json!(true), json!("yes")),
                Shape::Count(from, to) => {
                    assert!(with(need.name, json!(to)).is_ok(), "{} {} at its limit", kind.name, need.name);
                    assert!(with(need.name, json!(to + 1)).is_err(), "{} {} past it", kind.name, need.name);
                    (json!(from), json!(-1))
                }
                Shape::Share => (json!(1.0), json!(1.01)),
                Shape::Texts => (json!(["x"]), json!("x")),
                Shape::Word(words) => {
                    for word in words {
                        assert!(with(need.name, json!(word)).is_ok(), "{} {} {word}", kind.name, need.name);
                    }
                    (json!(words[0]), json!("no-such-word"))
                }
                Shape::Numbers => (json!({}), json!([])),
            };
            assert!(with(need.name, right).is_ok(), "{} refuses {}", kind.name, need.name);
            assert!(with(need.name, wrong).is_err(), "{} takes a wrong {}", kind.name, need.name);
            if need.required {
                let mut settings = fuzzing::settings(kind.name);
                settings.as_object_mut().unwrap().remove(need.name);
                assert!(
                    Remote::configure(kind.name, settings).is_err(),
                    "{} without {}",
                    kind.name,
                    need.name
                );
            }
        }
    }
}

#[test]
fn nothing_is_asked_about_nothing() {
    let blank = [Segment { text: " \n", ..TEXTS[0] }];
    for remote in all() {
        for segments in [&[][..], &blank] {
            let (inquiry, calls) = Inquiry::begin(&remote, input(Stage::Input, segments)).unwrap();
            assert!(calls.is_empty(), "{}", remote.kind().name);
            assert_eq!(inquiry.finish(), Ok(Verdict::Pass));
        }
    }
}

#[test]
fn calls_are_json_posts_that_print_no_text() {
    for remote in all() {
        for stage in remote.kind().stages {
            let (inquiry, calls) = Inquiry::begin(&remote, input(*stage, TEXTS)).unwrap();
            assert!(!calls.is_empty(), "{}", remote.kind().name);
            for call in &calls {
                assert_eq!(call.method, "POST");
                assert!(call.path.starts_with('/') && call.path.is_ascii(), "{}", call.path);
                let body: Value = serde_json::from_slice(&call.body).unwrap();
                assert!(body.to_string().contains(TEXTS[0].text), "{}: {body}", remote.kind().name);
                let named = call.headers.iter().map(|(name, _)| *name);
                assert!(
                    !named.into_iter().any(|name| name.contains("auth") || name.contains("key")),
                    "{call:?}"
                );
            }
            assert!(!format!("{inquiry:?}{calls:?}").contains("canary"), "{}", remote.kind().name);
        }
    }
}

#[test]
fn an_open_call_is_no_verdict() {
    for remote in all() {
        let (inquiry, _calls) = Inquiry::begin(&remote, input(Stage::Input, TEXTS)).unwrap();
        assert_eq!(inquiry.finish(), Err(RemoteError::Unanswered), "{}", remote.kind().name);
    }
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b"true",
        b"0",
        b"\"allow\"",
        b"[[]",
        b"[{}]",
        b"[[{}]]",
        b"<html>OK</html>",
        b"{\"status\":\"Success\"}",
        b"{\"result\":{}}",
        b"{\"version\":1}",
        b"{\"verdict\":{\"kind\":\"pass\"}}",
        b"\xff\xfe",
    ];
    for remote in all() {
        let name = remote.kind().name;
        let ask = |status: u16, body: &[u8]| {
            let (mut inquiry, calls) = Inquiry::begin(&remote, input(Stage::Input, TEXTS)).unwrap();
            inquiry.answer(&calls[0], &Answer { status, body })
        };
        for body in bodies {
            assert!(ask(200, body).is_err(), "{name} takes {}", String::from_utf8_lossy(body));
        }
        assert_eq!(ask(429, b"{}"), Err(RemoteError::RateLimited));
        assert_eq!(ask(500, b"{}"), Err(RemoteError::Unavailable(500)));
        assert_eq!(ask(401, b"{}"), Err(RemoteError::Refused(401)));
        assert!(matches!(ask(200, &vec![b' '; MAX_ANSWER_BYTES + 1]), Err(RemoteError::TooLong { .. })));
    }
}

#[test]
fn calls_have_an_end() {
    // A call for each text, as a server without batches needs.
    let remote = Remote::configure("presidio", json!({"batch": false})).unwrap();
    let segments = vec![TEXTS[0]; MAX_CALLS + 1];
    assert_eq!(Inquiry::begin(&remote, input(Stage::Input, &segments[1..])).unwrap().1.len(), MAX_CALLS);
    let over = Inquiry::begin(&remote, input(Stage::Input, &segments)).map(|_| ());
    assert_eq!(over, Err(RemoteError::TooLarge { got: MAX_CALLS + 1, limit: MAX_CALLS, unit: "calls" }));
}

/// A right answer of each kind to the fuzz target's texts, and the verdict that it is.
const RIGHT: &[(&str, &str, &str)] = &[
    (
        "crowdstrike_aidr",
        "pass",
        r#"{"status":"Success","result":{"blocked":false,"transformed":false,"detectors":{}}}"#,
    ),
    (
        "crowdstrike_aidr",
        "mask",
        r#"{"status":"Success","result":{"blocked":false,"transformed":true,"guard_output":{"messages":[
            {"role":"system","content":"Be brief."},{"role":"user","content":"x"}]},"detectors":{}}}"#,
    ),
    ("presidio", "flag", r#"[[],[{"entity_type":"EMAIL_ADDRESS","start":16,"end":27,"score":1.0}]]"#),
    (
        "webhook",
        "block",
        r#"{"version":1,"verdict":{"kind":"block","reason":"r","unit":"byte","findings":[]}}"#,
    ),
    (
        "webhook",
        "mask",
        r#"{"version":1,"verdict":{"kind":"mask","unit":"utf16","findings":[],"replacements":[
            {"path":"messages[1].content","start":1,"end":3,"text":"x"}]}}"#,
    ),
    (
        "prisma_airs",
        "flag",
        r#"{"action":"allow","category":"malicious","prompt_detected":{"injection":true}}"#,
    ),
    (
        "azure_content_safety",
        "flag",
        r#"{"categoriesAnalysis":[{"category":"Hate","severity":2},{"category":"SelfHarm","severity":0},
            {"category":"Sexual","severity":0},{"category":"Violence","severity":0}],
            "userPromptAnalysis":{"attackDetected":false}}"#,
    ),
    (
        "bedrock_guardrails",
        "mask",
        r#"{"action":"GUARDRAIL_INTERVENED","outputs":[{"text":"Be brief."},{"text":"{SIZE}"}],"assessments":[
            {"sensitiveInformationPolicy":{"regexes":[{"name":"size","action":"ANONYMIZED"}]}}]}"#,
    ),
    (
        "model_armor",
        "flag",
        r#"{"sanitizationResult":{"filterMatchState":"MATCH_FOUND","invocationResult":"SUCCESS","filterResults":
            {"csam":{"csamFilterFilterResult":{"matchState":"MATCH_FOUND"}}}}}"#,
    ),
    (
        "lakera",
        "flag",
        r#"{"flagged":true,"payload":[{"start":16,"end":27,"detector_type":"pii/email","message_id":1}]}"#,
    ),
    (
        "openai_moderation",
        "flag",
        r#"{"results":[{"flagged":false,"categories":{},"category_scores":{}},
            {"flagged":true,"categories":{"hate":true},"category_scores":{"hate":0.9}}]}"#,
    ),
    ("patronus", "flag", r#"{"results":[{"evaluation_result":{"pass":false,"score_raw":0.5}}]}"#),
];

/// What the fuzz target takes: a guardrail, a 200, and a body.
fn fuzz_input(kind: &str, body: &[u8]) -> Vec<u8> {
    let kind = REMOTES.iter().position(|one| one.name == kind).unwrap();
    [&[u8::try_from(kind).unwrap(), 0], body].concat()
}

proptest! {
    #[test]
    fn any_bytes_keep_the_promises(kind in any::<u8>(), status in any::<u8>(), body in any::<Vec<u8>>()) {
        fuzzing::verdict(&[&[kind, status], body.as_slice()].concat());
    }

    #[test]
    fn nearly_right_answers_keep_the_promises(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        cut in 0_usize..4, put in "[\\x00-\\x7f]{0,4}",
    ) {
        let (kind, _, right) = which.get(RIGHT);
        let mut body = right.as_bytes().to_vec();
        let start = at.index(body.len());
        let end = (start + cut).min(body.len());
        body.splice(start..end, put.bytes());
        fuzzing::verdict(&fuzz_input(kind, &body));
    }

    #[test]
    fn a_value_in_the_wrong_place_keeps_the_promises(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        put in prop::sample::select(vec!["null", "0", "-1", "1e9", "\"\"", "\"é\"", "[]", "{}", "true", "false"]),
    ) {
        let (kind, _, right) = which.get(RIGHT);
        // After any colon, comma or bracket stands a value.
        let places: Vec<_> = right.match_indices([':', ',', '[']).map(|(place, _)| place + 1).collect();
        let start = *at.get(&places);
        let rest = &right[start..];
        let end = rest.find([',', '}', ']']).map_or(right.len(), |end| start + end);
        fuzzing::verdict(&fuzz_input(kind, format!("{}{put}{}", &right[..start], &right[end..]).as_bytes()));
    }
}

#[test]
fn right_answers_are_right() {
    let kinds: std::collections::BTreeSet<_> = RIGHT.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds.len(), REMOTES.len(), "every guardrail has one");
    for (kind, verdict, body) in RIGHT {
        let remote = Remote::configure(kind, fuzzing::settings(kind)).unwrap();
        let (mut inquiry, calls) = Inquiry::begin(&remote, input(Stage::Input, fuzzing::TEXTS)).unwrap();
        for call in &calls {
            inquiry.answer(call, &Answer { status: 200, body: body.as_bytes() }).unwrap();
        }
        assert_eq!(inquiry.finish().unwrap().as_str(), *verdict, "{kind}");
        fuzzing::verdict(&fuzz_input(kind, body.as_bytes()));
    }
}

/// The page's part that is made from the list of guardrails.
fn reference() -> String {
    let mut page = String::new();
    for kind in REMOTES {
        let stages: Vec<_> = kind.stages.iter().map(|stage| stage.as_str()).collect();
        let masks = if kind.masks { "yes" } else { "no" };
        let remote = Remote::configure(kind.name, fuzzing::settings(kind.name)).unwrap();
        // Settings of the examples are `x`.
        let base = remote.base().map_or("yours".to_owned(), |base| base.replace("x.", "{region}."));
        page += &format!("\n### `{}`\n\n{}.\n\n", kind.name, kind.description);
        page += &format!("- Address: {base}\n- Credential: {}\n", kind.credential);
        page +=
            &format!("- Stages: {}; masks: {masks}\n- Contract: {}\n", stages.join(", "), kind.documentation);
        if !kind.needs.is_empty() {
            page += "\n| setting | value | |\n|---|---|---|\n";
        }
        for need in kind.needs {
            let shape = match need.shape {
                Shape::Text => "text".to_owned(),
                Shape::Flag => "true or false".to_owned(),
                Shape::Count(from, to) => format!("{from} to {to}"),
                Shape::Share => "0 to 1".to_owned(),
                Shape::Texts => "list of texts".to_owned(),
                Shape::Word(words) => words.join(" or "),
                Shape::Numbers => "number for each name".to_owned(),
            };
            let required = if need.required { " (required)" } else { "" };
            page += &format!("| `{}`{required} | {shape} | {} |\n", need.name, need.description);
        }
    }
    page
}

#[test]
fn the_page_says_what_the_list_says() {
    let page = include_str!("../../../docs/external-guardrails.md");
    let (_, rest) = page.split_once("<!-- guardrails: begin -->\n").unwrap();
    let (part, _) = rest.split_once("\n<!-- guardrails: end -->").unwrap();
    assert_eq!(part, reference(), "docs/external-guardrails.md is not what the list says:\n{}", reference());
}
