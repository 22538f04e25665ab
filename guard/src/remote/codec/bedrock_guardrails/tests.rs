//! Golden questions and answers, written from the API reference.

use super::*;
use crate::remote::testing::{self, found, user};

fn settings() -> Value {
    json!({"guardrail_id": "gr/1", "guardrail_version": "3", "region": "eu-central-1"})
}

fn ask(answer: &Value) -> Result<Verdict, RemoteError> {
    let segments = [user("a", "Hello."), user("b", "I am Ann Smith.")];
    testing::verdict(KIND.name, &settings(), Stage::Input, &segments, |_, _| answer.clone())
}

fn none() -> Value {
    json!({"action": "NONE", "outputs": [], "assessments": [], "usage": {"topicPolicyUnits": 1},
        "guardrailCoverage": {"textCharacters": {"guarded": 21, "total": 21}}})
}

fn name(action: &str) -> Value {
    json!({"sensitiveInformationPolicy": {"piiEntities": [
        {"type": "NAME", "match": "Ann Smith", "action": action, "detected": true}], "regexes": []}})
}

#[test]
fn the_question() {
    let calls = testing::calls(KIND.name, &settings(), Stage::Output, &[user("a", "Hello.")]);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!(call.path, "/guardrail/gr%2F1/version/3/apply");
    assert_eq!(call.auth, Auth::SigV4 { service: "bedrock", region: "eu-central-1".to_owned() });
    assert_eq!(*body, json!({"source": "OUTPUT", "content": [{"text": {"text": "Hello."}}]}));
    let base = |region: &str| {
        let settings = json!({"guardrail_id": "g", "region": region});
        crate::remote::Remote::configure(KIND.name, settings).map(|remote| remote.base().unwrap())
    };
    assert_eq!(base("us-east-1").unwrap(), "https://bedrock-runtime.us-east-1.amazonaws.com");
    assert_eq!(base("cn-north-1").unwrap(), "https://bedrock-runtime.cn-north-1.amazonaws.com.cn");
    assert!(base("evil.example/").is_err());
}

#[test]
fn nothing_found_passes_and_detections_without_action_are_flags() {
    assert_eq!(ask(&none()), Ok(Verdict::Pass));
    let mut detected = none();
    detected["assessments"] = json!([name("NONE"),
        {"contentPolicy": {"filters": [{"type": "PROMPT_ATTACK", "confidence": "MEDIUM", "action": "NONE"},
            {"type": "HATE", "confidence": "NONE", "action": "NONE", "detected": false}]},
         "contextualGroundingPolicy": {"filters": [{"type": "GROUNDING", "score": 0.9, "action": "NONE"}]}}]);
    let said = ask(&detected).unwrap();
    assert_eq!(said.as_str(), "flag");
    assert_eq!(
        found(&said),
        ["contentPolicy PROMPT_ATTACK injection 66 -", "sensitiveInformationPolicy NAME pii - -"]
    );
    assert!(!format!("{said:?}").contains("Smith"));
}

#[test]
fn any_block_blocks() {
    let blocked = |assessments: Value| {
        ask(&json!({"action": "GUARDRAIL_INTERVENED", "actionReason": "Guardrail blocked.",
            "outputs": [{"text": "No."}], "assessments": assessments}))
        .unwrap()
    };
    let said = blocked(
        json!([name("ANONYMIZED"), {"wordPolicy": {"customWords": [{"match": "x", "action": "BLOCKED"}]}}]),
    );
    assert_eq!((said.as_str(), said.findings().len()), ("block", 2));
    assert_eq!(blocked(json!([])).as_str(), "block", "intervened, and nothing says how");
    assert_eq!(blocked(json!([name("SOMETHING_NEW")])).as_str(), "block");
    // Details that are odd do not lift it.
    assert_eq!(blocked(json!([{"topicPolicy": 3}, 7])).as_str(), "block");
}

#[test]
fn anonymized_texts_replace_those_sent() {
    let masked = |key: &str, outputs: Value| {
        ask(&json!({"action": "GUARDRAIL_INTERVENED", key: outputs, "assessments": [name("ANONYMIZED")]}))
    };
    let texts = json!([{"text": "Hello."}, {"text": "I am {NAME}."}]);
    for key in ["outputs", "output"] {
        let said = masked(key, texts.clone()).unwrap();
        assert_eq!(said.masked(1, "I am Ann Smith.").unwrap(), "I am {NAME}.");
        assert_eq!(said.masked(0, "Hello."), None);
    }
    let number = Err(RemoteError::BadMask("another number of texts"));
    assert_eq!(masked("outputs", json!([{"text": "I am {NAME}."}])), number);
    assert_eq!(masked("outputs", json!([])), number);
    assert_eq!(masked("nothing", texts), number);
    let missing = json!([{"text": "Hello."}, {}]);
    assert_eq!(masked("outputs", missing), Err(RemoteError::BadMask("a text is missing")));
    let same = json!([{"text": "Hello."}, {"text": "I am Ann Smith."}]);
    assert_eq!(masked("outputs", same), Err(RemoteError::BadMask("it changes nothing")));
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let with = |key: &str, value: Value| {
        let mut answer = none();
        answer[key] = value;
        ask(&answer)
    };
    assert_eq!(with("action", json!("none")), Err(RemoteError::UnknownWord("action")));
    let part = json!({"textCharacters": {"guarded": 20, "total": 21}});
    assert_eq!(with("guardrailCoverage", part), Err(RemoteError::Incomplete));
    let blocked = json!([name("BLOCKED")]);
    assert_eq!(with("assessments", blocked), Err(RemoteError::Malformed("an action without effect")));
}

#[test]
fn a_text_at_the_limit_is_sent_and_a_longer_one_is_cut_only_without_masks() {
    let text = "é".repeat(MAX_TEXT_CODE_POINTS + 1);
    let ask = |mask: bool, text: &str| {
        let settings = json!({"guardrail_id": "g", "region": "us-east-1", "mask": mask});
        testing::verdict(KIND.name, &settings, Stage::Input, &[user("a", text)], |_, _| none())
    };
    assert_eq!(ask(true, &text["é".len()..]), Ok(Verdict::Pass));
    let got = MAX_TEXT_CODE_POINTS + 1;
    let over = RemoteError::TooLarge { got, limit: MAX_TEXT_CODE_POINTS, unit: "code points" };
    assert_eq!(ask(true, &text), Err(over));
    assert_eq!(ask(false, &text), Ok(Verdict::Pass));
}
