//! Golden questions and answers, written from the REST reference.

use super::*;
use crate::remote::testing::{self, found, user};

fn settings(mask: bool) -> Value {
    json!({"project": "p-1", "location": "europe-west4", "template": "t 1", "mask": mask})
}

fn ask(mask: bool, result: &Value) -> Result<Verdict, RemoteError> {
    let segments = [user("a", "call 555-0100")];
    let answer = json!({"sanitizationResult": result});
    testing::verdict(KIND.name, &settings(mask), Stage::Input, &segments, |_, _| answer.clone())
}

fn result(state: &str, filters: Value) -> Value {
    json!({"filterMatchState": state, "invocationResult": "SUCCESS", "filterResults": filters})
}

fn jailbreak(state: &str) -> Value {
    json!({"piAndJailbreakFilterResult":
        {"executionState": "EXECUTION_SUCCESS", "matchState": state, "confidenceLevel": "HIGH"}})
}

#[test]
fn the_question() {
    let segments = [user("a", "Hello."), user("b", "Bye.")];
    let calls = testing::calls(KIND.name, &settings(false), Stage::Input, &segments);
    let [(call, body)] = calls.as_slice() else { panic!("one call") };
    assert_eq!(call.path, "/v1/projects/p-1/locations/europe-west4/templates/t%201:sanitizeUserPrompt");
    assert_eq!((&call.auth, body), (&Auth::Bearer, &json!({"userPromptData": {"text": "Hello.\n\nBye."}})));
    let calls = testing::calls(KIND.name, &settings(true), Stage::Output, &segments);
    assert!(calls[0].0.path.ends_with(":sanitizeModelResponse"));
    assert_eq!((calls.len(), &calls[1].1), (2, &json!({"modelResponseData": {"text": "Bye."}})));
    let remote = crate::remote::Remote::configure(KIND.name, settings(false)).unwrap();
    assert_eq!(remote.base().unwrap(), "https://modelarmor.europe-west4.rep.googleapis.com");
}

#[test]
fn maps_and_lists_of_results_are_read() {
    let clean = result("NO_MATCH_FOUND", json!({"pi_and_jailbreak": jailbreak("NO_MATCH_FOUND")}));
    assert_eq!(ask(false, &clean), Ok(Verdict::Pass));
    let map = result(
        "MATCH_FOUND",
        json!({
            "pi_and_jailbreak": jailbreak("MATCH_FOUND"),
            "rai": {"raiFilterResult": {"executionState": "EXECUTION_SUCCESS", "matchState": "MATCH_FOUND",
                "raiFilterTypeResults": {"hate_speech": {"matchState": "MATCH_FOUND"},
                    "dangerous": {"matchState": "NO_MATCH_FOUND"}}}},
            "malicious_uris": {"maliciousUriFilterResult": {"matchState": "MATCH_FOUND",
                "maliciousUriMatchedItems": [{"uri": "http://canary.example"}]}},
            "sdp": {"sdpFilterResult": {"inspectResult": {"executionState": "EXECUTION_SUCCESS",
                "matchState": "MATCH_FOUND", "findings": [{"infoType": "PHONE_NUMBER", "likelihood": "LIKELY"}]}}},
        }),
    );
    let said = ask(false, &map).unwrap();
    assert_eq!(
        found(&said),
        [
            "malicious_uris - - - 0",
            "pi_and_jailbreak - injection 100 0",
            "rai hate_speech - - 0",
            "sdp PHONE_NUMBER pii - 0",
        ]
    );
    assert!(!format!("{said:?}").contains("canary"));
    let list = result("MATCH_FOUND", json!([jailbreak("MATCH_FOUND")]));
    assert_eq!(found(&ask(false, &list).unwrap()), ["piAndJailbreak - injection 100 0"]);
    assert_eq!(found(&ask(false, &result("MATCH_FOUND", json!({}))).unwrap()), ["model_armor - - - -"]);
}

#[test]
fn de_identified_text_replaces_the_text() {
    let changed = |text: &Value| {
        result(
            "MATCH_FOUND",
            json!({"sdp": {"sdpFilterResult": {"deidentifyResult": {
        "executionState": "EXECUTION_SUCCESS", "matchState": "MATCH_FOUND", "data": {"text": text},
        "transformedBytes": "8", "infoTypes": ["PHONE_NUMBER"]}}}}),
        )
    };
    let said = ask(true, &changed(&json!("call [PHONE]"))).unwrap();
    assert_eq!(said.masked(0, "call 555-0100").unwrap(), "call [PHONE]");
    assert_eq!(found(&said), ["sdp PHONE_NUMBER pii - 0"]);
    assert_eq!(ask(true, &changed(&json!(null))), Err(RemoteError::BadMask("it is missing")));
    assert_eq!(ask(true, &changed(&json!("call 555-0100"))), Err(RemoteError::BadMask("it changes nothing")));
    let answer = json!({"sanitizationResult": changed(&json!("x"))});
    let segments = [user("a", "one"), user("b", "two")];
    let several =
        testing::verdict(KIND.name, &settings(false), Stage::Input, &segments, |_, _| answer.clone());
    assert_eq!(several, Err(RemoteError::BadMask("it is for several texts; mask is off")));
}

#[test]
fn what_is_no_verdict_is_an_error() {
    let clean = result("NO_MATCH_FOUND", json!({"pi_and_jailbreak": jailbreak("NO_MATCH_FOUND")}));
    let with = |key: &str, value: Value| {
        let mut result = clean.clone();
        result[key] = value;
        ask(false, &result)
    };
    assert_eq!(with("invocationResult", json!("PARTIAL")), Err(RemoteError::Incomplete));
    assert_eq!(with("invocationResult", json!("FAILURE")), Err(RemoteError::Incomplete));
    assert_eq!(with("invocationResult", json!("")), Err(RemoteError::UnknownWord("invocation result")));
    assert_eq!(with("filterMatchState", json!("CLEAN")), Err(RemoteError::UnknownWord("match state")));
    let mut matched = clean.clone();
    matched["filterResults"]["pi_and_jailbreak"] = jailbreak("MATCH_FOUND");
    assert_eq!(ask(false, &matched), Err(RemoteError::Malformed("a match that is none")));
    let skipped = json!({"csam": {"csamFilterFilterResult": {"executionState": "EXECUTION_SKIPPED",
        "matchState": "NO_MATCH_FOUND"}}});
    assert_eq!(with("filterResults", skipped), Err(RemoteError::Incomplete));
    for odd in
        [json!(null), json!({"rai": 1}), json!({"rai": {"raiFilterResult": 1}}), json!({"rai": {"x": {}}})]
    {
        assert!(matches!(with("filterResults", odd), Err(RemoteError::Malformed(_))));
    }
}

#[test]
fn a_text_at_the_limit_is_whole_and_a_longer_one_is_cut() {
    let text = "ß".repeat(MAX_TEXT_CODE_POINTS + 1);
    let count =
        |text: &str| testing::calls(KIND.name, &settings(false), Stage::Input, &[user("a", text)]).len();
    assert_eq!((count(&text["ß".len()..]), count(&text)), (1, 2));
}
