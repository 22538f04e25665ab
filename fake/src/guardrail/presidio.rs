//! Presidio server: `/analyze` with one text or many, `/anonymize`. Places are code points. It has no blocks.

use super::judge::{Judge, MASK, code_points, texts};
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    match path {
        "/analyze" => analyze(question, judge),
        "/anonymize" => anonymize(question),
        _ => None,
    }
}

fn analyze(question: &Value, judge: &Judge) -> Option<Value> {
    question.get("language")?.as_str()?;
    let of_text = |text: &str| {
        let one = |range: std::ops::Range<usize>| {
            let (start, end) = code_points(text, &range);
            json!({"entity_type": "PERSON", "start": start, "end": end, "score": 0.85, "analysis_explanation": null})
        };
        Value::from(judge.found(text).into_iter().map(one).collect::<Vec<_>>())
    };
    Some(match question.get("text")? {
        Value::String(text) => of_text(text),
        _ => texts(question, "text")?.into_iter().map(of_text).collect(),
    })
}

/// Puts [`MASK`] where the question says, which must be in order and apart, as the analyzer says it.
fn anonymize(question: &Value) -> Option<Value> {
    let characters: Vec<char> = question.get("text")?.as_str()?.chars().collect();
    let (mut text, mut items, mut at) = (String::new(), Vec::new(), 0);
    for found in question.get("analyzer_results")?.as_array()? {
        let place = |key: &str| found.get(key)?.as_u64().and_then(|place| usize::try_from(place).ok());
        let (start, end) = (place("start")?, place("end")?);
        text.extend(characters.get(at..start)?);
        let from = text.chars().count();
        text.push_str(MASK);
        characters.get(start..end)?;
        at = end;
        items.push(json!({"operator": "replace", "entity_type": found.get("entity_type"), "start": from,
            "end": from + MASK.len(), "text": MASK}));
    }
    text.extend(characters.get(at..)?);
    Some(json!({"text": text, "items": items}))
}
