//! The gateway's own webhook contract, version 1. Places are code points.

use super::judge::{Judge, code_points};
use serde_json::{Value, json};

pub(super) fn answer(_path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    if question.get("version")?.as_u64()? != 1
        || !matches!(question.get("stage")?.as_str()?, "input" | "output")
    {
        return None;
    }
    let (mut findings, mut replacements) = (Vec::new(), Vec::new());
    for segment in question.get("segments")?.as_array()? {
        let (path, text) = (segment.get("path")?.as_str()?, segment.get("text")?.as_str()?);
        for range in judge.found(text) {
            let (start, end) = code_points(text, &range);
            findings.push(
                json!({"rule": "fake-rule", "entity": "NAME", "path": path, "start": start, "end": end,
                "score": 0.9}),
            );
        }
        if judge.hits(text) {
            replacements.push(json!({"path": path, "text": judge.masked(text)}));
        }
    }
    let mut verdict = json!({"unit": "code_point", "findings": findings});
    let kind = match (findings.is_empty(), judge.masks(), judge.blocks()) {
        (true, _, _) => return Some(json!({"version": 1, "verdict": {"kind": "pass"}})),
        (_, true, _) => {
            verdict["replacements"] = replacements.into();
            "mask"
        }
        (_, _, true) => {
            verdict["reason"] = "fake-rule".into();
            "block"
        }
        _ => "flag",
    };
    verdict["kind"] = kind.into();
    Some(json!({"version": 1, "verdict": verdict}))
}
