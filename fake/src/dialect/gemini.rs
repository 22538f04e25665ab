//! `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`
//! (<https://ai.google.dev/api/generate-content>, seen 2026-11).
//!
//! Every chunk carries `usageMetadata` and the last one wins. `promptTokenCount` includes cached tokens,
//! `candidatesTokenCount` excludes thoughts.

use super::one;
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};

fn usage(script: &Script, output: u64) -> String {
    if !script.tells_usage {
        return String::new();
    }
    let text = output.saturating_sub(script.reasoning);
    let cached = match script.cached {
        0 => String::new(),
        cached => format!(",\"cachedContentTokenCount\":{cached}"),
    };
    let thoughts = match script.reasoning {
        0 => String::new(),
        thoughts => format!(",\"thoughtsTokenCount\":{thoughts}"),
    };
    format!(
        ",\"usageMetadata\":{{\"promptTokenCount\":{},\"candidatesTokenCount\":{text},\"totalTokenCount\":{}{cached},\
         \"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":{}}}]{thoughts}}}",
        script.input,
        script.input.saturating_add(output),
        script.input
    )
}

fn response(ask: &Ask, part: &str, finish: bool, usage: &str) -> String {
    let finish = if finish { "\"finishReason\":\"STOP\"," } else { "" };
    format!(
        "{{\"candidates\":[{{\"content\":{{\"parts\":[{part}],\"role\":\"model\"}},{finish}\"index\":0}}]{usage},\
         \"modelVersion\":{},\"responseId\":\"FakeRu5nTq0vXzYbW2dLmA\"}}",
        quote(&ask.model)
    )
}

fn text_part(text: &str) -> String {
    format!("{{\"text\":{}}}", quote(text))
}

fn call_part(name: &str, script: &Script) -> String {
    let arguments = quote(&script.whole());
    format!("{{\"functionCall\":{{\"name\":{},\"args\":{{\"text\":{arguments}}}}}}}", quote(name))
}

/// The whole answer.
pub(super) fn whole(ask: &Ask, script: &Script) -> Vec<Piece> {
    let part = match &ask.tool {
        None => text_part(&script.whole()),
        Some(name) => call_part(name, script),
    };
    one(response(ask, &part, true, &usage(script, script.output())), script)
}

/// The chunks of a stream; a function call comes whole, in one chunk, as Gemini sends it.
fn chunks(ask: &Ask, script: &Script) -> Vec<(String, u64)> {
    if let Some(name) = &ask.tool {
        let usage = usage(script, script.output());
        return vec![(response(ask, &call_part(name, script), true, &usage), script.output())];
    }
    let last = script.texts.len().saturating_sub(1);
    let steps = script.steps().enumerate();
    steps
        .map(|(index, (text, total))| {
            (response(ask, &text_part(text), index == last, &usage(script, total)), total)
        })
        .collect()
}

/// The stream as server-sent events (lines end in CRLF, as Google's do).
pub(super) fn events(ask: &Ask, script: &Script) -> Vec<Piece> {
    let chunks = chunks(ask, script).into_iter();
    chunks.map(|(json, total)| Piece::content(format!("data: {json}\r\n\r\n"), total)).collect()
}

/// The stream as a JSON array whose elements come one by one.
pub(super) fn array(ask: &Ask, script: &Script) -> Vec<Piece> {
    let chunks = chunks(ask, script).into_iter().enumerate();
    let mut pieces: Vec<Piece> = chunks
        .map(|(index, (json, total))| {
            Piece::content(format!("{}{json}", if index == 0 { "[" } else { ",\r\n" }), total)
        })
        .collect();
    let close = if pieces.is_empty() { "[]" } else { "]" };
    pieces.push(Piece::frame(close, script.output()));
    pieces
}
