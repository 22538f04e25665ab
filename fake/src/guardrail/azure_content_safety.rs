//! Azure AI Content Safety: `text:analyze`, `text:shieldPrompt`. It has no masks and no blocks.

use super::judge::{Judge, texts};
use serde_json::{Value, json};

pub(super) fn answer(path: &str, question: &Value, judge: &Judge) -> Option<Value> {
    match path {
        "/contentsafety/text:analyze" => analyze(question, judge),
        "/contentsafety/text:shieldPrompt" => shield(question, judge),
        _ => None,
    }
}

fn analyze(question: &Value, judge: &Judge) -> Option<Value> {
    let text = question.get("text")?.as_str()?;
    // The first category is the one that is found.
    let one = |(index, category): (usize, &str)| {
        let severity = if index == 0 && judge.hits(text) { 4 } else { 0 };
        json!({"category": category, "severity": severity})
    };
    let categories: Vec<_> = texts(question, "categories")?.into_iter().enumerate().map(one).collect();
    let lists = texts(question, "blocklistNames").unwrap_or_default();
    let hit = |list: &&str| {
        let word = text.get(judge.found(text).first()?.clone())?;
        Some(json!({"blocklistName": list, "blocklistItemId": "1", "blocklistItemText": word}))
    };
    let hits: Vec<_> = lists.iter().filter_map(hit).collect();
    Some(json!({"categoriesAnalysis": categories, "blocklistsMatch": hits}))
}

fn shield(question: &Value, judge: &Judge) -> Option<Value> {
    let attack = |text: &str| json!({"attackDetected": judge.hits(text)});
    let documents = texts(question, "documents").unwrap_or_default();
    let mut answer = json!({"documentsAnalysis": documents.into_iter().map(attack).collect::<Vec<_>>()});
    match question.get("userPrompt").and_then(Value::as_str) {
        Some(prompt) => answer["userPromptAnalysis"] = attack(prompt),
        None => {
            question.get("documents")?;
        }
    }
    Some(answer)
}
