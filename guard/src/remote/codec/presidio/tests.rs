//! Golden questions and answers, written from the project's API description.

use super::*;
use crate::finding::Provenance;
use crate::remote::{Facts, Inquiry, Remote, Segment, Stage};
use serde_json::{Value, json};

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "a", provenance: Provenance::User, text: "😀 Größe an ann@b.example" },
    Segment { path: "b", provenance: Provenance::User, text: "nothing here" },
];

fn input() -> Input<'static> {
    let facts = Facts { request_id: Some("r-1"), ..Facts::default() };
    Input { stage: Stage::Input, segments: SEGMENTS, facts }
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

/// The verdict after answering every call by its path and body.
fn verdict(settings: Value, answer: impl Fn(&Call, &Value) -> Value) -> Result<Verdict, RemoteError> {
    let remote = Remote::configure(KIND.name, settings).unwrap();
    let (mut inquiry, mut calls) = Inquiry::begin(&remote, input())?;
    while let Some(call) = calls.pop() {
        let body = bytes(&answer(&call, &serde_json::from_slice(&call.body).unwrap()));
        calls.extend(inquiry.answer(&call, &Answer { status: 200, body: &body })?);
    }
    inquiry.finish()
}

fn email() -> Value {
    json!({"entity_type": "EMAIL_ADDRESS", "start": 11, "end": 24, "score": 0.85, "analysis_explanation": null})
}

#[test]
fn the_question() {
    let settings = json!({"language": "de", "entities": ["EMAIL_ADDRESS"], "score_threshold": 0.4,
        "context": ["mail"], "allow_list": ["x@y.example"], "bearer": true});
    let remote = Remote::configure(KIND.name, settings).unwrap();
    let (_, calls) = Inquiry::begin(&remote, input()).unwrap();
    let [call] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth, call.service), ("/analyze", &Auth::Bearer, Service::Main));
    let golden = json!({"text": [SEGMENTS[0].text, SEGMENTS[1].text], "language": "de", "correlation_id": "r-1",
        "score_threshold": 0.4, "entities": ["EMAIL_ADDRESS"], "context": ["mail"], "allow_list": ["x@y.example"]});
    assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), golden);

    let remote = Remote::configure(KIND.name, json!({"batch": false})).unwrap();
    let (_, calls) = Inquiry::begin(&remote, input()).unwrap();
    assert_eq!((calls.len(), &calls[0].auth), (2, &Auth::None));
    let golden = json!({"text": SEGMENTS[0].text, "language": "en", "correlation_id": "r-1"});
    assert_eq!(serde_json::from_slice::<Value>(&calls[0].body).unwrap(), golden);
}

#[test]
fn places_are_code_points_and_become_bytes() {
    let said = verdict(json!({}), |_, _| json!([[email()], []])).unwrap();
    let [finding] = said.findings() else { panic!("{said:?}") };
    let place = finding.place.clone().unwrap();
    assert_eq!(&SEGMENTS[place.segment].text[place.range.unwrap()], "ann@b.example");
    assert_eq!((finding.entity.as_ref().unwrap().as_str(), finding.score), ("EMAIL_ADDRESS", Some(85)));
    assert_eq!((said.as_str(), finding.class), ("flag", Some(Class::Pii)));
    assert!(!format!("{said:?}").contains("ann@"));

    let one_by_one = verdict(json!({"batch": false}), |_, asked| match asked["text"] == SEGMENTS[0].text {
        true => json!([email()]),
        false => json!([]),
    });
    assert_eq!(one_by_one, Ok(said));
    assert_eq!(verdict(json!({}), |_, _| json!([[], []])), Ok(Verdict::Pass));
}

#[test]
fn answers_that_do_not_fit_are_errors() {
    let of = |answer: Value| verdict(json!({}), move |_, _| answer.clone());
    let with = |key: &str, value: Value| {
        let mut one = email();
        one[key] = value;
        of(json!([[one], []]))
    };
    assert_eq!(of(json!([[]])), Err(RemoteError::Malformed("another number of results than of texts")));
    assert_eq!(with("end", json!(25)), Err(RemoteError::Malformed("a place out of the text")));
    assert_eq!(with("end", json!(11)), Err(RemoteError::Malformed("a place out of the text")));
    assert_eq!(with("score", json!(1.5)), Err(RemoteError::Malformed("a score")));
    for (key, value) in
        [("start", json!(-1)), ("start", json!(1.5)), ("score", json!(null)), ("entity_type", json!(3))]
    {
        assert_eq!(with(key, value), Err(RemoteError::Malformed("not the JSON of a verdict")), "{key}");
    }
    assert_eq!(of(json!([email()])), Err(RemoteError::Malformed("not the JSON of a verdict")));
    assert_eq!(
        of(json!({"error": "No text provided"})),
        Err(RemoteError::Malformed("not the JSON of a verdict"))
    );
}

#[test]
fn the_most_findings_are_kept_and_one_more_is_an_error() {
    let many = |count: usize| {
        let list = vec![email(); count];
        verdict(json!({}), move |_, _| json!([list, []]))
    };
    assert!(many(MAX_FINDINGS).is_ok());
    assert_eq!(many(MAX_FINDINGS + 1), Err(RemoteError::TooManyFindings(MAX_FINDINGS)));
}

#[test]
fn the_anonymizer_writes_the_masked_text() {
    let said = verdict(json!({"anonymize": true}), |call, asked| match call.path.as_str() {
        "/analyze" => json!([[email()], []]),
        "/anonymize" => {
            assert_eq!(call.service, Service::Anonymizer);
            let golden = json!({"text": SEGMENTS[0].text, "analyzer_results": [
                {"entity_type": "EMAIL_ADDRESS", "start": 11, "end": 24, "score": 0.85}]});
            assert_eq!(*asked, golden);
            json!({"text": "😀 Größe an <EMAIL_ADDRESS>", "items": [{"operator": "replace",
                "entity_type": "EMAIL_ADDRESS", "start": 11, "end": 26, "text": "<EMAIL_ADDRESS>"}]})
        }
        path => panic!("{path}"),
    })
    .unwrap();
    assert_eq!(said.masked(0, SEGMENTS[0].text).unwrap(), "😀 Größe an <EMAIL_ADDRESS>");
    assert_eq!((said.masked(1, SEGMENTS[1].text), said.findings().len()), (None, 1));
}

#[test]
fn an_anonymizer_that_does_nothing_is_an_error() {
    let of = |answer: Value| {
        verdict(json!({"anonymize": true}), move |call, _| match call.path.as_str() {
            "/analyze" => json!([[email()], []]),
            _ => answer.clone(),
        })
    };
    let nothing = Err(RemoteError::BadMask("it changes nothing"));
    assert_eq!(of(json!({"text": SEGMENTS[0].text, "items": [{}]})), nothing);
    assert_eq!(of(json!({"text": "x", "items": []})), nothing);
    assert_eq!(of(json!({"text": "x"})), Err(RemoteError::Malformed("not the JSON of a verdict")));
    assert_eq!(of(json!({"items": [{}]})), Err(RemoteError::Malformed("not the JSON of a verdict")));
}

#[test]
fn long_text_is_cut_and_places_still_fit() {
    let text = format!("{}ann@b.example", "ß".repeat(MAX_TEXT_CODE_POINTS - 5));
    let segments = [Segment { path: "a", provenance: Provenance::User, text: &text }];
    let input = Input { stage: Stage::Input, segments: &segments, facts: Facts::default() };
    let remote = Remote::configure(KIND.name, json!({})).unwrap();
    let (mut inquiry, calls) = Inquiry::begin(&remote, input).unwrap();
    assert_eq!(calls.len(), 2, "a text as long as a call's limit is alone in it");
    let end = OVERLAP_CODE_POINTS + 8;
    let answers = [json!([[]]), json!([[{"entity_type": "E", "start": end - 13, "end": end, "score": 1}]])];
    for (call, answer) in calls.iter().zip(answers) {
        inquiry.answer(call, &Answer { status: 200, body: &bytes(&answer) }).unwrap();
    }
    let said = inquiry.finish().unwrap();
    let place = said.findings()[0].place.clone().unwrap();
    assert_eq!(&text[place.range.unwrap()], "ann@b.example");

    let whole = Remote::configure(KIND.name, json!({"anonymize": true})).unwrap();
    let over = Inquiry::begin(&whole, input).map(|_| ());
    let got = MAX_TEXT_CODE_POINTS + 8;
    assert_eq!(over, Err(RemoteError::TooLarge { got, limit: MAX_TEXT_CODE_POINTS, unit: "code points" }));
}
