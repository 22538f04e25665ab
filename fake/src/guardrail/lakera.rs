//! Lakera Guard: `/v2/guard`. It has no masks and no blocks; places are code points.

use super::judge::{Judge, code_points};
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if path != "/v2/guard" {
        return None;
    }
    let mut payload = Vec::new();
    for (index, message) in question.get("messages")?.as_array()?.iter().enumerate() {
        message.get("role")?.as_str()?;
        let text = message.get("content")?.as_str()?;
        for range in judge.found(text) {
            let (start, end) = code_points(text, &range);
            payload.push(
                json!({"start": start, "end": end, "text": text.get(range), "detector_type": "pii/name",
                "labels": [], "message_id": index}),
            );
        }
    }
    let flagged = !payload.is_empty();
    let breakdown = json!([
        {"project_id": "project-fake", "policy_id": "policy-fake", "detector_id": "1", "detector_type": "pii/name",
            "detected": flagged},
        {"project_id": "project-fake", "policy_id": "policy-fake", "detector_id": "2",
            "detector_type": "prompt_attack", "detected": false},
    ]);
    Some(json!({"flagged": flagged, "payload": payload, "breakdown": breakdown,
        "metadata": {"request_uuid": "00000000-0000-4000-8000-000000000000"}}))
}
