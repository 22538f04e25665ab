//! Golden questions and answers, written from the vendor's OpenAPI description.

use super::*;
use crate::remote::testing::{found, user};
use crate::remote::{Segment, testing};

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "a", provenance: crate::finding::Provenance::System, text: "Be brief." },
    Segment { path: "b", provenance: crate::finding::Provenance::User, text: "card 4111" },
];

fn ask(mask: bool, stage: Stage, answer: impl Fn(&Value) -> Value) -> Result<Verdict, RemoteError> {
    let settings = json!({"profile": "p", "mask": mask});
    testing::verdict(KIND.name, &settings, stage, SEGMENTS, |_, body| answer(body))
}

fn benign() -> Value {
    json!({"action": "allow", "category": "benign", "scan_id": "s", "report_id": "r", "profile_name": "p",
        "timeout": false, "error": false, "errors": [],
        "prompt_detected": {"injection": false, "dlp": false, "url_cats": false}, "response_detected": {}})
}

fn with(changes: Value) -> Value {
    let mut answer = benign();
    for (key, value) in changes.as_object().unwrap() {
        answer[key] = value.clone();
    }
    answer
}

#[test]
fn the_question() {
    let calls = testing::calls(KIND.name, &json!({"profile": "strict"}), Stage::Input, SEGMENTS);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/v1/scan/sync/request", &Auth::Header("x-pan-token")));
    let golden = json!({"tr_id": "r-1", "ai_profile": {"profile_name": "strict"},
        "metadata": {"app_name": "helper", "app_user": "ann", "ai_model": "gpt-5"},
        "contents": [{"prompt": "Be brief.\n\ncard 4111"}]});
    assert_eq!(*body, golden);
    let settings = json!({"profile": "u-1", "profile_by": "id", "mask": true});
    let calls = testing::calls(KIND.name, &settings, Stage::Output, SEGMENTS);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].1["ai_profile"], json!({"profile_id": "u-1"}));
    assert_eq!(calls[1].1["contents"], json!([{"response": "card 4111"}]));
}

#[test]
fn allowed_blocked_and_allowed_with_detections() {
    assert_eq!(ask(false, Stage::Input, |_| benign()), Ok(Verdict::Pass));
    let flagged =
        with(json!({"category": "malicious", "prompt_detected": {"injection": true, "dlp": false}}));
    let said = ask(false, Stage::Input, |_| flagged.clone()).unwrap();
    assert_eq!((said.as_str(), found(&said)), ("flag", vec!["injection - injection - -".to_owned()]));
    // Detections of the other direction are not this text's.
    assert_eq!(
        ask(false, Stage::Output, |_| with(json!({"prompt_detected": {"dlp": true}}))),
        Ok(Verdict::Pass)
    );
    let quiet = with(json!({"category": "malicious"}));
    assert_eq!(ask(false, Stage::Input, |_| quiet.clone()).unwrap().as_str(), "flag");
    // A block holds even if the scan was not complete.
    let blocked = with(json!({"action": "block", "category": "malicious", "timeout": true,
        "prompt_detected": {"dlp": true}}));
    let said = ask(false, Stage::Input, |_| blocked.clone()).unwrap();
    let Verdict::Block { reason, .. } = &said else { panic!("{said:?}") };
    assert_eq!((reason.as_str(), found(&said)), ("malicious", vec!["dlp - pii - -".to_owned()]));
}

#[test]
fn masked_data_replaces_the_text_it_is_for() {
    let mask = |body: &Value| match body["contents"][0]["prompt"] == "card 4111" {
        true => with(json!({"prompt_detected": {"dlp": true}, "prompt_masked_data": {"data": "card XXXX",
            "pattern_detections": [{"pattern": "Credit Card Number", "locations": [[5, 9]]}]}})),
        false => benign(),
    };
    let said = ask(true, Stage::Input, mask).unwrap();
    assert_eq!(
        (said.masked(0, "Be brief."), said.masked(1, "card 4111")),
        (None, Some("card XXXX".to_owned()))
    );
    assert_eq!(found(&said), ["dlp - pii - 1", "dlp Credit_Card_Number pii - 1"]);
    let pattern = json!([{"pattern": "x", "locations": []}]);
    for (mask, data, expected) in [
        (false, json!({"data": "x", "pattern_detections": pattern}), "it is for several texts; mask is off"),
        (true, json!({"pattern_detections": pattern}), "it is missing"),
    ] {
        let answer = with(json!({"prompt_masked_data": data}));
        assert_eq!(ask(mask, Stage::Input, |_| answer.clone()), Err(RemoteError::BadMask(expected)));
    }
    let unchanged =
        |body: &Value| with(json!({"prompt_masked_data": {"data": body["contents"][0]["prompt"]}}));
    assert_eq!(ask(true, Stage::Input, unchanged), Ok(Verdict::Pass));
    assert_eq!(ask(false, Stage::Input, unchanged), Ok(Verdict::Pass));
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let of = |changes: Value| ask(false, Stage::Input, |_| with(changes.clone()));
    assert_eq!(of(json!({"timeout": true})), Err(RemoteError::Incomplete));
    assert_eq!(of(json!({"error": true})), Err(RemoteError::Incomplete));
    let errors = json!({"errors": [{"content_type": "prompt", "feature": "dlp", "status": "timeout"}]});
    assert_eq!(of(errors), Err(RemoteError::Incomplete));
    assert_eq!(of(json!({"action": "Allow"})), Err(RemoteError::UnknownWord("action")));
    assert_eq!(of(json!({"category": "fine"})), Err(RemoteError::UnknownWord("category")));
    assert!(matches!(of(json!({"action": null})), Err(RemoteError::Malformed(_))));
}

#[test]
fn the_most_text_is_sent_and_one_byte_more_is_not() {
    let text = "x".repeat(MAX_TEXT_BYTES + 1);
    let ask = |text: &str| {
        let answer = |_: &Call, _: &Value| benign();
        testing::verdict(KIND.name, &json!({"profile": "p"}), Stage::Input, &[user("p", text)], answer)
    };
    assert_eq!(ask(&text[1..]), Ok(Verdict::Pass));
    let over = RemoteError::TooLarge { got: MAX_TEXT_BYTES + 1, limit: MAX_TEXT_BYTES, unit: "bytes" };
    assert_eq!(ask(&text), Err(over));
}
