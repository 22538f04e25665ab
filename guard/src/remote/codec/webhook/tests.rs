//! Golden questions and answers of our own contract.

use super::*;
use crate::finding::Provenance;
use crate::remote::{Facts, Inquiry, Remote, Segment, Stage};
use serde_json::{Value, json};

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "system", provenance: Provenance::System, text: "Be brief." },
    Segment { path: "messages[0].content", provenance: Provenance::User, text: "😀 badge B-1234" },
];

fn input() -> Input<'static> {
    let facts = Facts { user: Some("ann"), model: Some("m"), request_id: Some("r-1"), ..Facts::default() };
    Input { stage: Stage::Output, segments: SEGMENTS, facts }
}

fn verdict(answer: &Value) -> Result<Verdict, RemoteError> {
    let remote = Remote::configure(KIND.name, json!({})).unwrap();
    let (mut inquiry, calls) = Inquiry::begin(&remote, input()).unwrap();
    let body = serde_json::to_vec(answer).unwrap();
    inquiry.answer(&calls[0], &Answer { status: 200, body: &body })?;
    inquiry.finish()
}

fn said(verdict: &Value) -> Value {
    json!({"version": 1, "verdict": verdict})
}

fn badge(unit: &str, start: u64, end: u64) -> Value {
    json!({"kind": "flag", "unit": unit, "findings": [
        {"rule": "no-badges", "entity": "BADGE", "path": "messages[0].content", "start": start, "end": end, "score": 0.9}]})
}

#[test]
fn the_question() {
    let remote = Remote::configure(KIND.name, json!({"path": "/check?x=1"})).unwrap();
    let (_, calls) = Inquiry::begin(&remote, input()).unwrap();
    let [call] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/check?x=1", &Auth::Signature));
    let golden = json!({"version": 1, "id": "r-1", "stage": "output", "facts": {"user": "ann", "model": "m"},
        "segments": [
            {"path": "system", "provenance": "system", "text": "Be brief."},
            {"path": "messages[0].content", "provenance": "user", "text": "😀 badge B-1234"}]});
    assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), golden);
    let unsigned = Remote::configure(KIND.name, json!({"signed": false})).unwrap();
    let (_, calls) = Inquiry::begin(&unsigned, input()).unwrap();
    assert_eq!((calls[0].path.as_str(), &calls[0].auth), ("/", &Auth::None));
    for path in ["x", "/a b", "/a#b", "/ä", "/\n"] {
        assert!(Remote::configure(KIND.name, json!({"path": path})).is_err(), "{path:?}");
    }
}

#[test]
fn every_unit_finds_the_same_place() {
    for (unit, start, end) in [("byte", 11, 17), ("code_point", 8, 14), ("utf16", 9, 15)] {
        let said = verdict(&said(&badge(unit, start, end))).unwrap();
        let [finding] = said.findings() else { panic!("{said:?}") };
        let place = finding.place.clone().unwrap();
        assert_eq!(&SEGMENTS[place.segment].text[place.range.unwrap()], "B-1234", "{unit}");
        assert_eq!((finding.detector.as_str(), finding.score), ("no-badges", Some(90)));
    }
}

#[test]
fn details_of_a_finding_may_be_left_out() {
    let flag = json!({"kind": "flag", "unit": "byte", "findings": [{"rule": "a"}, {"rule": "b", "path": "system"},
        {"rule": "c", "path": "messages[0].content", "start": 5, "end": 10}]});
    let said = verdict(&said(&flag)).unwrap();
    let places: Vec<_> =
        said.findings().iter().map(|one| one.place.clone().map(|at| (at.segment, at.range))).collect();
    assert_eq!(places, [None, Some((0, None)), Some((1, Some(5..10)))]);
}

#[test]
fn a_name_does_not_carry_the_value_out() {
    let flag = json!({"kind": "flag", "unit": "byte", "findings": [
        {"rule": "B-1234", "entity": "B-1234", "path": "messages[0].content", "start": 11, "end": 17}]});
    assert!(!format!("{:?}", verdict(&said(&flag)).unwrap()).contains("1234"));
}

#[test]
fn the_four_verdicts() {
    assert_eq!(verdict(&said(&json!({"kind": "pass"}))), Ok(Verdict::Pass));
    let block = json!({"kind": "block", "reason": "no badges", "unit": "byte", "findings": []});
    let blocked = Verdict::Block { reason: Label::new("no_badges"), findings: Vec::new() };
    assert_eq!(verdict(&said(&block)), Ok(blocked.clone()));
    let odd = json!({"kind": "block", "reason": "no badges", "unit": "byte", "findings": [{"rule": "x", "path": "nowhere"}]});
    assert_eq!(verdict(&said(&odd)), Ok(blocked), "a block holds even if its findings are odd");
    let mask = json!({"kind": "mask", "unit": "utf16", "findings": [], "replacements": [
        {"path": "messages[0].content", "start": 9, "end": 15, "text": "[BADGE]"},
        {"path": "system", "text": "Be long."}]});
    let masked = verdict(&said(&mask)).unwrap();
    assert_eq!(masked.masked(0, SEGMENTS[0].text).unwrap(), "Be long.");
    assert_eq!(masked.masked(1, SEGMENTS[1].text).unwrap(), "😀 badge [BADGE]");
}

#[test]
fn what_is_nearly_a_verdict_is_an_error() {
    let part = json!({"path": "messages[0].content", "start": 11, "end": 17, "text": "x"});
    let odd = [
        json!({"kind": "Pass"}),
        json!({"kind": "allow"}),
        json!({}),
        json!("pass"),
        json!({"kind": "pass", "replacements": [part]}),
        json!({"kind": "pass", "findings": []}),
        json!({"kind": "mask", "unit": "byte", "findings": []}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacment": [part]}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacements": []}),
        json!({"kind": "mask", "findings": [], "replacements": [part]}),
        json!({"kind": "mask", "unit": "bytes", "findings": [], "replacements": [part]}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacements": [part, part]}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacements": [{"path": "system", "text": "Be brief."}]}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacements": [{"path": "system", "start": 1, "text": ""}]}),
        json!({"kind": "mask", "unit": "byte", "findings": [], "replacements": [{"path": "nowhere", "text": ""}]}),
        json!({"kind": "flag", "unit": "byte", "findings": []}),
        json!({"kind": "flag", "unit": "byte", "findings": [{"entity": "x"}]}),
        json!({"kind": "flag", "unit": "byte", "findings": [{"rule": "x", "start": 1, "end": 2}]}),
        json!({"kind": "flag", "unit": "byte", "findings": [{"rule": "x", "score": 2}]}),
        json!({"kind": "flag", "unit": "byte", "findings": [{"rule": "x", "match": "B-1234"}]}),
        badge("byte", 1, 17),
        badge("utf16", 9, 99),
        badge("code_point", 8, 8),
    ];
    for one in odd {
        assert!(verdict(&said(&one)).is_err(), "{one}");
    }
    let pass = json!({"kind": "pass"});
    assert_eq!(verdict(&json!({"version": 2, "verdict": pass})), Err(RemoteError::UnknownWord("version")));
    assert!(verdict(&json!({"verdict": pass})).is_err());
    assert!(verdict(&json!({"version": 1, "verdict": pass, "more": 1})).is_err());
}

#[test]
fn the_same_key_twice_is_an_error() {
    let remote = Remote::configure(KIND.name, json!({})).unwrap();
    for body in [
        r#"{"version":1,"verdict":{"kind":"block","kind":"pass"}}"#,
        r#"{"version":1,"verdict":{"kind":"pass"},"verdict":{"kind":"pass"}}"#,
    ] {
        let (mut inquiry, calls) = Inquiry::begin(&remote, input()).unwrap();
        assert!(inquiry.answer(&calls[0], &Answer { status: 200, body: body.as_bytes() }).is_err(), "{body}");
    }
}

#[test]
fn two_texts_of_one_path_cannot_be_asked_about() {
    let segments = [SEGMENTS[0], SEGMENTS[0]];
    let input = Input { segments: &segments, ..input() };
    assert_eq!(calls(&Settings::default(), &input).map(|_| ()), Err(RemoteError::AmbiguousPath));
}

#[test]
fn the_most_text_is_sent_and_one_byte_more_is_not() {
    let text = "x".repeat(MAX_TEXT_BYTES + 1);
    let ask = |text: &str| {
        let segments = [Segment { path: "p", provenance: Provenance::User, text }];
        calls(&Settings::default(), &Input { segments: &segments, ..input() }).map(|_| ())
    };
    assert_eq!(ask(&text[1..]), Ok(()));
    let over = RemoteError::TooLarge { got: MAX_TEXT_BYTES + 1, limit: MAX_TEXT_BYTES, unit: "bytes" };
    assert_eq!(ask(&text), Err(over));
}
