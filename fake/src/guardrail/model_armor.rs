//! Google Cloud Model Armor: `:sanitizeUserPrompt`, `:sanitizeModelResponse`. It has no blocks.

use super::judge::Judge;
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    let (template, method) = path.rsplit_once(':')?;
    let segments: Vec<&str> = template.split('/').collect();
    let ["", "v1", "projects", _, "locations", _, "templates", _] = segments.as_slice() else { return None };
    let field = match method {
        "sanitizeUserPrompt" => "userPromptData",
        "sanitizeModelResponse" => "modelResponseData",
        _ => return None,
    };
    let text = question.get(field)?.get("text")?.as_str()?;
    let state = if judge.hits(text) { "MATCH_FOUND" } else { "NO_MATCH_FOUND" };
    let found: Vec<_> = judge
        .found(text)
        .into_iter()
        .map(|range| json!({"infoType": "PERSON_NAME", "likelihood": "LIKELY", "quote": text.get(range)}))
        .collect();
    let sdp = match judge.masks() {
        true => json!({"deidentifyResult": {"executionState": "EXECUTION_SUCCESS", "matchState": state,
            "data": {"text": judge.masked(text)}, "transformedBytes": "8", "infoTypes": ["PERSON_NAME"]}}),
        false => json!({"inspectResult": {"executionState": "EXECUTION_SUCCESS", "matchState": state,
            "findings": found}}),
    };
    Some(json!({"sanitizationResult": {
        "filterMatchState": state,
        "invocationResult": "SUCCESS",
        "filterResults": {
            "csam": {"csamFilterFilterResult":
                {"executionState": "EXECUTION_SUCCESS", "matchState": "NO_MATCH_FOUND"}},
            "pi_and_jailbreak": {"piAndJailbreakFilterResult":
                {"executionState": "EXECUTION_SUCCESS", "matchState": "NO_MATCH_FOUND"}},
            "sdp": {"sdpFilterResult": sdp},
        },
        "sanitizationMetadata": {},
    }}))
}
