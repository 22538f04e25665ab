//! `POST /v1/messages` (<https://docs.claude.com/en/api/messages-streaming>, seen 2026-11).
//!
//! `input_tokens` excludes what was read from or written to the cache; `output_tokens` includes thinking.
//! `message_delta` repeats usage cumulatively.

use super::{argument_pieces, event, one};
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};

const ID: &str = "msg_01FakeRu5nTq0vXzYbW2dLmPsE";
const SIGNATURE: &str = "EpAFakeSignatureBytes0123456789==";
const THOUGHT: &str = "The fake thinks for a while.";

/// The figures both usage objects share.
fn figures(script: &Script, output: u64) -> String {
    let fresh = script.input.saturating_sub(script.cached).saturating_sub(script.cache_write);
    format!(
        "\"input_tokens\":{fresh},\"cache_creation_input_tokens\":{},\"cache_read_input_tokens\":{},\
         \"output_tokens\":{output}",
        script.cache_write, script.cached
    )
}

/// The usage of a whole message and of `message_start`.
fn usage(script: &Script, output: u64) -> String {
    format!(
        "{{{},\"cache_creation\":{{\"ephemeral_5m_input_tokens\":{},\"ephemeral_1h_input_tokens\":0}},\
         \"service_tier\":\"standard\"}}",
        figures(script, output),
        script.cache_write
    )
}

fn message(ask: &Ask, content: &str, stop: &str, usage: Option<String>) -> String {
    let usage = usage.map(|usage| format!(",\"usage\":{usage}")).unwrap_or_default();
    format!(
        "{{\"id\":\"{ID}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":{},\"content\":[{content}],\
         \"stop_reason\":{stop},\"stop_sequence\":null{usage}}}",
        quote(&ask.model)
    )
}

/// The whole answer.
pub(super) fn whole(ask: &Ask, script: &Script) -> Vec<Piece> {
    let thinking = match script.reasoning {
        0 => String::new(),
        _ => format!("{{\"type\":\"thinking\",\"thinking\":\"{THOUGHT}\",\"signature\":\"{SIGNATURE}\"}},"),
    };
    let (block, stop) = match &ask.tool {
        None => (format!("{{\"type\":\"text\",\"text\":{}}}", quote(&script.whole())), "\"end_turn\""),
        Some(name) => {
            let input: String = argument_pieces(script).into_iter().map(|(part, _)| part).collect();
            let name = quote(name);
            let block = format!(
                "{{\"type\":\"tool_use\",\"id\":\"toolu_01Fake\",\"name\":{name},\"input\":{input}}}"
            );
            (block, "\"tool_use\"")
        }
    };
    let usage = script.tells_usage.then(|| usage(script, script.output()));
    one(message(ask, &format!("{thinking}{block}"), stop, usage), script)
}

fn block(kind: &str, index: usize, rest: &str) -> String {
    event(kind, &format!("{{\"type\":\"{kind}\",\"index\":{index}{rest}}}"))
}

fn delta(index: usize, kind: &str, field: &str, value: &str) -> String {
    let rest = format!(",\"delta\":{{\"type\":\"{kind}\",\"{field}\":{}}}", quote(value));
    block("content_block_delta", index, &rest)
}

/// The stream.
pub(super) fn stream(ask: &Ask, script: &Script) -> Vec<Piece> {
    let begun = message(ask, "", "null", script.tells_usage.then(|| usage(script, 1)));
    let mut start = event("message_start", &format!("{{\"type\":\"message_start\",\"message\":{begun}}}"));
    let mut index = 0;
    if script.reasoning > 0 {
        let empty = ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}";
        start.push_str(&block("content_block_start", index, empty));
        start.push_str(&delta(index, "thinking_delta", "thinking", THOUGHT));
        start.push_str(&delta(index, "signature_delta", "signature", SIGNATURE));
        start.push_str(&block("content_block_stop", index, ""));
        index = 1;
    }
    let empty = match &ask.tool {
        None => "{\"type\":\"text\",\"text\":\"\"}".to_owned(),
        Some(name) => {
            format!(
                "{{\"type\":\"tool_use\",\"id\":\"toolu_01Fake\",\"name\":{},\"input\":{{}}}}",
                quote(name)
            )
        }
    };
    start.push_str(&block("content_block_start", index, &format!(",\"content_block\":{empty}")));
    start.push_str(&event("ping", "{\"type\": \"ping\"}"));
    let mut pieces = vec![Piece::frame(start, script.reasoning)];
    match &ask.tool {
        None => pieces.extend(
            script
                .steps()
                .map(|(text, total)| Piece::content(delta(index, "text_delta", "text", text), total)),
        ),
        Some(_) => pieces.extend(argument_pieces(script).into_iter().map(|(part, total)| {
            Piece::content(delta(index, "input_json_delta", "partial_json", &part), total)
        })),
    }
    let stop = if ask.tool.is_some() { "tool_use" } else { "end_turn" };
    let told = match script.tells_usage {
        true => format!(",\"usage\":{{{}}}", figures(script, script.output())),
        false => String::new(),
    };
    let mut end = block("content_block_stop", index, "");
    end.push_str(&event(
        "message_delta",
        &format!(
            "{{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{stop}\",\"stop_sequence\":null}}{told}}}"
        ),
    ));
    end.push_str(&event("message_stop", "{\"type\":\"message_stop\"}"));
    pieces.push(Piece::frame(end, script.output()));
    pieces
}
