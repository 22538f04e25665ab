//! Palo Alto Networks Prisma AIRS: `/v1/scan/sync/request`.

use super::judge::{Judge, code_points};
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if path != "/v1/scan/sync/request" {
        return None;
    }
    let profile = question.get("ai_profile")?;
    profile.get("profile_name").or(profile.get("profile_id"))?.as_str()?;
    let [content] = question.get("contents")?.as_array()?.as_slice() else { return None };
    let (side, text) = match (content.get("prompt"), content.get("response")) {
        (Some(prompt), None) => ("prompt", prompt.as_str()?),
        (None, Some(response)) => ("response", response.as_str()?),
        _ => return None,
    };
    let hit = judge.hits(text);
    let mut answer = json!({
        "report_id": "Rfake", "scan_id": "fake", "tr_id": question.get("tr_id"), "profile_name": "fake",
        "category": if hit { "malicious" } else { "benign" },
        "action": if hit && judge.blocks() { "block" } else { "allow" },
        "timeout": false, "error": false, "errors": [],
        "prompt_detected": {"url_cats": false, "dlp": false, "injection": false},
        "response_detected": {"url_cats": false, "dlp": false},
    });
    answer[format!("{side}_detected")]["dlp"] = hit.into();
    if hit && judge.masks() {
        let locations: Vec<_> = judge.found(text).iter().map(|range| code_points(text, range)).collect();
        answer[format!("{side}_masked_data")] = json!({"data": judge.masked(text),
            "pattern_detections": [{"pattern": "Person Name", "locations": locations}]});
    }
    Some(answer)
}
