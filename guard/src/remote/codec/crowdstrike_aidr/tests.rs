//! Golden questions and answers, written from the vendor's published types.

use super::*;
use crate::finding::Provenance;
use crate::remote::{Facts, Inquiry, Remote, Segment, Stage};
use serde_json::json;

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "system", provenance: Provenance::System, text: "Answer in French." },
    Segment { path: "messages[0].content", provenance: Provenance::User, text: "My badge is B-1234." },
    Segment { path: "messages[1].content", provenance: Provenance::ToolResult, text: "ok" },
];

fn facts() -> Facts<'static> {
    Facts {
        organization: Some("acme"),
        team: Some("desk"),
        user: Some("ann"),
        application: Some("helper"),
        model: Some("gpt-5"),
        provider: Some("openai"),
        ..Facts::default()
    }
}

fn input(stage: Stage) -> Input<'static> {
    Input { stage, segments: SEGMENTS, facts: facts() }
}

fn remote() -> Remote {
    Remote::configure(KIND.name, json!({"collector_instance_id": "gw-1"})).unwrap()
}

fn verdict(answer: &Value) -> Result<Verdict, RemoteError> {
    let remote = remote();
    let (mut inquiry, calls) = Inquiry::begin(&remote, input(Stage::Input)).unwrap();
    let body = serde_json::to_vec(answer).unwrap();
    inquiry.answer(&calls[0], &Answer { status: 200, body: &body })?;
    inquiry.finish()
}

fn result(result: &Value) -> Value {
    json!({"request_id": "prq_1", "status": "Success", "summary": "", "result": result})
}

#[test]
fn the_question() {
    let remote = remote();
    let (_, calls) = Inquiry::begin(&remote, input(Stage::Output)).unwrap();
    let [call] = calls.as_slice() else { panic!("one call") };
    assert_eq!((call.path.as_str(), &call.auth), ("/v1/guard_chat_completions", &Auth::Bearer));
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    let golden = json!({
        "guard_input": {"messages": [
            {"role": "system", "content": "Answer in French."},
            {"role": "user", "content": "My badge is B-1234."},
            {"role": "tool", "content": "ok"},
        ]},
        "event_type": "output",
        "app_id": "helper",
        "user_id": "ann",
        "llm_provider": "openai",
        "model": "gpt-5",
        "tenant_id": "acme",
        "collector_instance_id": "gw-1",
        "extra_info": {"app_name": "helper", "actor_name": "ann", "actor_group": "desk"},
    });
    assert_eq!(body, golden);
}

#[test]
fn what_is_not_known_is_not_told() {
    let remote = Remote::configure(KIND.name, json!({})).unwrap();
    let input = Input { facts: Facts::default(), ..input(Stage::Input) };
    let (_, calls) = Inquiry::begin(&remote, input).unwrap();
    let body: Value = serde_json::from_slice(&calls[0].body).unwrap();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["event_type", "guard_input"]);
}

#[test]
fn clean_text_passes() {
    let clean = json!({"blocked": false, "transformed": false, "policy": "p", "detectors": {
        "malicious_prompt": {"detected": false, "data": null}, "topic": null}, "access_rules": {}});
    assert_eq!(verdict(&result(&clean)), Ok(Verdict::Pass));
}

#[test]
fn reports_are_flags_and_echoed_values_are_dropped() {
    let reported = json!({"blocked": false, "transformed": false, "policy": "p",
        "detectors": {
            "confidential_and_pii_entity": {"detected": true, "data": {"entities": [
                {"action": "reported", "type": "BADGE", "value": "B-1234", "start_pos": 12}]}},
            "malicious_prompt": {"detected": true, "data": {"action": "reported", "analyzer_responses": [
                {"analyzer": "PA4002", "confidence": 0.97}]}},
            "competitors": {"detected": true, "data": {"action": "reported", "entities": ["B-1234"]}},
            "topic": {"detected": true, "data": {"topics": [{"topic": "legal advice", "confidence": 0.5}]}},
            "language": {"detected": true, "data": {"language": "fr"}},
        },
        "access_rules": {"night": {"matched": true, "action": "reported", "name": "Night"}, "day": {"matched": false}}});
    let verdict = verdict(&result(&reported)).unwrap();
    assert_eq!(verdict.as_str(), "flag");
    let mut names: Vec<_> = verdict
        .findings()
        .iter()
        .map(|one| {
            let entity = one.entity.as_ref().map_or("", Label::as_str);
            format!("{} {entity} {:?} {:?}", one.detector, one.class, one.score)
        })
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "access_rule night None None",
            "competitors  Some(Custom) None",
            "confidential_and_pii_entity BADGE Some(Pii) None",
            "language fr None None",
            "malicious_prompt PA4002 Some(Injection) Some(97)",
            "topic legal_advice None Some(50)",
        ]
    );
    assert!(!format!("{verdict:?}").contains("1234"));
}

#[test]
fn a_block_holds_even_if_its_details_are_odd() {
    let blocked = json!({"blocked": true, "transformed": false, "policy": "no secrets", "detectors": {
        "secret_and_key_entity": {"detected": true, "data": {"entities": [{"type": "AWS", "value": "x"}]}}}});
    let said = verdict(&result(&blocked)).unwrap();
    let Verdict::Block { reason, findings } = &said else { panic!("{said:?}") };
    assert_eq!((reason.as_str(), findings.len()), ("no_secrets", 1));
    assert_eq!(findings[0].class, Some(Class::Secret));
    let odd = json!({"blocked": true, "transformed": true, "policy": 7, "detectors": [1, 2]});
    assert_eq!(verdict(&result(&odd)).unwrap().as_str(), "block");
}

#[test]
fn a_transformed_conversation_masks_what_changed() {
    let answer = |content: &Value| {
        result(&json!({"blocked": false, "transformed": true, "detectors": {}, "guard_output": {"messages": [
            {"role": "system", "content": "Answer in French."},
            {"role": "user", "content": content},
            {"role": "tool", "content": "ok"},
        ]}}))
    };
    for content in [json!("My badge is <BADGE>."), json!([{"type": "text", "text": "My badge is <BADGE>."}])]
    {
        let said = verdict(&answer(&content)).unwrap();
        assert_eq!(said.masked(1, SEGMENTS[1].text).unwrap(), "My badge is <BADGE>.");
        assert_eq!((said.masked(0, SEGMENTS[0].text), said.masked(2, SEGMENTS[2].text)), (None, None));
    }
    for content in
        [json!(null), json!(1), json!([]), json!([{"type": "image_url", "image_url": {"url": "x"}}])]
    {
        assert_eq!(verdict(&answer(&content)), Err(RemoteError::BadMask("a message is not text")));
    }
    assert_eq!(
        verdict(&answer(&json!("My badge is B-1234."))),
        Err(RemoteError::BadMask("it changes nothing"))
    );
}

#[test]
fn a_mask_that_does_not_fit_is_an_error() {
    let with = |output: &Value| {
        verdict(&result(
            &json!({"blocked": false, "transformed": true, "detectors": {}, "guard_output": output}),
        ))
    };
    assert_eq!(with(&json!(null)), Err(RemoteError::BadMask("it is missing")));
    assert_eq!(with(&json!({})), Err(RemoteError::BadMask("no messages")));
    let fewer = json!({"messages": [{"role": "user", "content": "x"}]});
    assert_eq!(with(&fewer), Err(RemoteError::BadMask("another number of messages")));
    let order = json!({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"},
        {"role": "tool", "content": "ok"}]});
    assert_eq!(with(&order), Err(RemoteError::BadMask("another role")));
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let clean = json!({"blocked": false, "transformed": false, "detectors": {}});
    for status in ["success", "Accepted", "ValidationError", ""] {
        let mut answer = result(&clean);
        answer["status"] = json!(status);
        assert_eq!(verdict(&answer), Err(RemoteError::UnknownWord("status")));
    }
    assert_eq!(verdict(&json!({"status": "Success"})), Err(RemoteError::Malformed("no result")));
    for odd in [
        json!({"transformed": false, "detectors": {}}),
        json!({"blocked": "false", "detectors": {}}),
        json!({"blocked": false, "transformed": false, "detectors": []}),
        json!({"blocked": false, "transformed": false, "detectors": {"topic": {"detected": "yes"}}}),
        json!({"blocked": false, "guard_output": {"messages": []}, "detectors": {}}),
    ] {
        assert!(matches!(verdict(&result(&odd)), Err(RemoteError::Malformed(_))), "{odd}");
    }
}

#[test]
fn the_most_text_is_sent_and_one_byte_more_is_not() {
    let text = "x".repeat(MAX_TEXT_BYTES + 1);
    let ask = |text: &str| {
        let segments = [Segment { path: "p", provenance: Provenance::User, text }];
        calls(
            &Settings::default(),
            &Input { stage: Stage::Input, segments: &segments, facts: Facts::default() },
        )
        .map(|_| ())
    };
    assert_eq!(ask(&text[1..]), Ok(()));
    let over = RemoteError::TooLarge { got: MAX_TEXT_BYTES + 1, limit: MAX_TEXT_BYTES, unit: "bytes" };
    assert_eq!(ask(&text), Err(over));
}
