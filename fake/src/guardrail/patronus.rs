//! Patronus AI: `/v1/evaluate`. It has no masks and no blocks.

use super::judge::Judge;
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if path != "/v1/evaluate" {
        return None;
    }
    let text = question.get("evaluated_model_output")?.as_str()?;
    let pass = !judge.hits(text);
    let one = |asked: &Value| {
        let evaluator = asked.get("evaluator")?.as_str()?;
        Some(json!({"evaluator_id": evaluator, "criteria": asked.get("criteria"), "status": "success",
            "error_message": null, "evaluation_result": {"pass": pass, "score_raw": if pass { 1.0 } else { 0.0 },
                "additional_info": {"positions": [], "confidence_interval": null}}}))
    };
    let results = question.get("evaluators")?.as_array()?.iter().map(one).collect::<Option<Vec<_>>>()?;
    Some(json!({"results": results}))
}
