//! CrowdStrike AIDR: `/v1/guard_chat_completions`.

use super::judge::Judge;
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if path != "/v1/guard_chat_completions" {
        return None;
    }
    let messages = question.get("guard_input")?.get("messages")?.as_array()?;
    let action = match (judge.masks(), judge.blocks()) {
        (true, _) => "redacted:replaced",
        (_, true) => "blocked",
        _ => "reported",
    };
    let (mut entities, mut output) = (Vec::new(), Vec::new());
    for message in messages {
        let (role, text) = (message.get("role")?.as_str()?, message.get("content")?.as_str()?);
        for range in judge.found(text) {
            let start = range.start;
            entities.push(
                json!({"action": action, "type": "NAME", "value": text.get(range), "start_pos": start}),
            );
        }
        output.push(json!({"role": role, "content": if judge.masks() { judge.masked(text) } else { text.to_owned() }}));
    }
    let detected = !entities.is_empty();
    Some(json!({
        "request_id": "prq_fake", "request_time": "2026-01-01T00:00:00Z", "response_time": "2026-01-01T00:00:00Z",
        "status": "Success", "summary": "Guard completed.",
        "result": {
            "blocked": detected && judge.blocks(),
            "transformed": detected && judge.masks(),
            "policy": "fake policy",
            "guard_output": {"messages": output},
            "detectors": {
                "malicious_prompt": {"detected": false, "data": null},
                "confidential_and_pii_entity": {"detected": detected, "data": {"entities": entities}},
            },
            "access_rules": {},
        },
    }))
}
