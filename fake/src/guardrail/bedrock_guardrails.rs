//! Amazon Bedrock Guardrails: `/guardrail/{id}/version/{version}/apply`.

use super::judge::Judge;
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    let segments: Vec<&str> = path.split('/').collect();
    let ["", "guardrail", _id, "version", _version, "apply"] = segments.as_slice() else { return None };
    if !matches!(question.get("source")?.as_str()?, "INPUT" | "OUTPUT") {
        return None;
    }
    let content = question.get("content")?.as_array()?;
    let texts: Vec<&str> =
        content.iter().map(|block| block.get("text")?.get("text")?.as_str()).collect::<Option<_>>()?;
    let action = match (judge.masks(), judge.blocks()) {
        (true, _) => "ANONYMIZED",
        (_, true) => "BLOCKED",
        _ => "NONE",
    };
    let mut found = Vec::new();
    for text in &texts {
        for range in judge.found(text) {
            found.push(json!({"type": "NAME", "match": text.get(range), "action": action, "detected": true}));
        }
    }
    let intervened = !found.is_empty() && action != "NONE";
    let outputs: Vec<_> = match (intervened, judge.masks()) {
        (false, _) => Vec::new(),
        (true, true) => texts.iter().map(|text| json!({"text": judge.masked(text)})).collect(),
        (true, false) => vec![json!({"text": "This was blocked."})],
    };
    let characters: usize = texts.iter().map(|text| text.chars().count()).sum();
    Some(json!({
        "action": if intervened { "GUARDRAIL_INTERVENED" } else { "NONE" },
        "actionReason": if intervened { "Guardrail intervened." } else { "No action." },
        "outputs": outputs,
        "assessments": [{"sensitiveInformationPolicy": {"piiEntities": found, "regexes": []}}],
        "usage": {"topicPolicyUnits": 0, "contentPolicyUnits": 0, "wordPolicyUnits": 0,
            "sensitiveInformationPolicyUnits": 1, "sensitiveInformationPolicyFreeUnits": 0,
            "contextualGroundingPolicyUnits": 0},
        "guardrailCoverage": {"textCharacters": {"guarded": characters, "total": characters}},
    }))
}
