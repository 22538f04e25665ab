//! Golden questions and answers, written from the vendor's API page.

use super::*;
use crate::remote::Stage;
use crate::remote::testing::{self, found, user};

fn ask(answer: &Value) -> Result<Verdict, RemoteError> {
    let segments = [user("a", "Hello."), user("b", "😀 mail ann@b.example now")];
    testing::verdict(KIND.name, &json!({}), Stage::Input, &segments, |_, _| answer.clone())
}

fn email(end: u64) -> Value {
    json!({"start": 7, "end": end, "text": "ann@b.example", "detector_type": "pii/email", "labels": [], "message_id": 1})
}

#[test]
fn the_question() {
    let calls =
        testing::calls(KIND.name, &json!({"project_id": "project-1"}), Stage::Input, &[user("a", "Hello.")]);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/v2/guard", &Auth::Bearer));
    let golden = json!({"messages": [{"role": "user", "content": "Hello."}], "project_id": "project-1",
        "payload": true, "breakdown": true, "metadata": {"user_id": "ann", "session_id": "c-1"}});
    assert_eq!(*body, golden);
}

#[test]
fn places_are_right_whether_ends_are_inclusive_or_not() {
    for end in [20, 19] {
        let said = ask(&json!({"flagged": true, "payload": [email(end)], "metadata": {"request_uuid": "u"}}))
            .unwrap();
        let [finding] = said.findings() else { panic!("{said:?}") };
        let place = finding.place.clone().unwrap();
        assert_eq!((place.segment, place.range), (1, Some(10..23)), "{end}");
        assert!(!format!("{said:?}").contains("ann@"));
    }
    let elsewhere = ask(&json!({"flagged": true, "payload": [email(15)]})).unwrap();
    assert_eq!(elsewhere.findings()[0].place.as_ref().unwrap().range, None, "a place that has another text");
}

#[test]
fn detectors_without_places_are_findings_too() {
    assert_eq!(
        ask(&json!({"flagged": false, "payload": [], "breakdown": [
        {"detector_type": "prompt_attack", "detected": false}]})),
        Ok(Verdict::Pass)
    );
    let said = ask(&json!({"flagged": true, "payload": [email(20)], "breakdown": [
        {"detector_type": "prompt_attack", "detected": true}, {"detector_type": "pii/email", "detected": true},
        {"detector_type": "unknown_links", "detected": false}]})).unwrap();
    assert_eq!(found(&said), ["pii/email - pii - 1", "prompt_attack - injection - -"]);
    assert_eq!(found(&ask(&json!({"flagged": true})).unwrap()), ["lakera - - - -"]);
}

#[test]
fn what_is_no_verdict_is_an_error() {
    for odd in [
        json!({"payload": []}),
        json!({"flagged": "false"}),
        json!({"flagged": null}),
        json!({"flagged": false, "payload": {}}),
        json!({"flagged": false, "breakdown": [{"detector_type": "x"}]}),
    ] {
        assert_eq!(ask(&odd), Err(RemoteError::Malformed("not the JSON of a verdict")), "{odd}");
    }
    let mut wrong = email(20);
    wrong["message_id"] = json!(2);
    let message = Err(RemoteError::Malformed("a message that was not sent"));
    assert_eq!(ask(&json!({"flagged": true, "payload": [wrong]})), message);
    let many = |count: usize| ask(&json!({"flagged": true, "payload": vec![email(20); count]}));
    assert!(many(MAX_FINDINGS).is_ok());
    assert_eq!(many(MAX_FINDINGS + 1), Err(RemoteError::TooManyFindings(MAX_FINDINGS)));
}

#[test]
fn the_most_text_is_sent_and_one_byte_more_is_not() {
    let text = "x".repeat(MAX_TEXT_BYTES + 1);
    let ask = |text: &str| {
        testing::verdict(
            KIND.name,
            &json!({}),
            Stage::Input,
            &[user("p", text)],
            |_, _| json!({"flagged": false}),
        )
    };
    assert_eq!(ask(&text[1..]), Ok(Verdict::Pass));
    let over = RemoteError::TooLarge { got: MAX_TEXT_BYTES + 1, limit: MAX_TEXT_BYTES, unit: "bytes" };
    assert_eq!(ask(&text), Err(over));
}
