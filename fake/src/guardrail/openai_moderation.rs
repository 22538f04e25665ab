//! OpenAI moderation: `/v1/moderations`. It has no masks and no blocks.

use super::judge::{Judge, texts};
use serde_json::{Map, Value, json};

/// Its categories.
const CATEGORIES: &[&str] = &[
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if path != "/v1/moderations" {
        return None;
    }
    let inputs = match question.get("input")? {
        Value::String(one) => vec![one.as_str()],
        _ => texts(question, "input")?,
    };
    let results: Vec<_> = inputs.into_iter().map(|text| result(judge.hits(text))).collect();
    let model = question.get("model").and_then(Value::as_str).unwrap_or("omni-moderation-latest");
    Some(json!({"id": "modr-fake", "model": model, "results": results}))
}

fn result(flagged: bool) -> Value {
    let of = |value: fn(bool) -> Value| {
        let one = |name: &&str| ((*name).to_owned(), value(flagged && *name == "harassment"));
        CATEGORIES.iter().map(one).collect::<Map<_, _>>()
    };
    json!({
        "flagged": flagged,
        "categories": of(|hit| hit.into()),
        "category_scores": of(|hit| if hit { 0.93.into() } else { 0.0001.into() }),
        "category_applied_input_types": of(|_| json!(["text"])),
    })
}
