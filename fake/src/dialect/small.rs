//! Answers that never stream: embeddings, token counts, lists of models.

use super::CREATED;
use crate::answer::Piece;
use crate::ask::Ask;
use crate::script::{Script, quote};
use narrows_llm::dialect::Family;

/// Models that a list names, by family.
const OPENAI: &[&str] = &["gpt-5", "gpt-5-mini", "gpt-4o", "text-embedding-3-small"];
const ANTHROPIC: &[&str] = &["claude-opus-4-1", "claude-sonnet-4-5", "claude-haiku-4-5"];
const GEMINI: &[&str] = &["gemini-2.5-pro", "gemini-2.5-flash"];

/// `POST /v1/embeddings`: as many vectors as inputs, as numbers or (`encoding_format: base64`) little-endian floats.
pub(super) fn embeddings(ask: &Ask, script: &Script) -> Vec<Piece> {
    let vector = match ask.base64 {
        // Every component is 0.0, whose bytes in base64 are the letter A.
        true => format!("\"{}\"", zeros_base64(ask.dimensions * 4)),
        false => format!("[{}]", vec!["0.0125"; ask.dimensions].join(",")),
    };
    let rows: Vec<String> = (0..ask.inputs)
        .map(|index| format!("{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{vector}}}"))
        .collect();
    let usage = match script.tells_usage {
        true => format!(",\"usage\":{{\"prompt_tokens\":{0},\"total_tokens\":{0}}}", script.input),
        false => String::new(),
    };
    let json = format!(
        "{{\"object\":\"list\",\"data\":[{}],\"model\":{}{usage}}}",
        rows.join(","),
        quote(&ask.model)
    );
    vec![Piece::content(json, 0)]
}

/// Base64 of so many zero bytes.
fn zeros_base64(bytes: usize) -> String {
    let mut text = "A".repeat((bytes * 8).div_ceil(6));
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// `count_tokens` (Anthropic) and `countTokens` (Gemini).
pub(super) fn count_tokens(ask: &Ask, script: &Script) -> Vec<Piece> {
    let count = script.input;
    vec![Piece::content(
        match ask.dialect.family() {
            Family::Gemini => format!(
                "{{\"totalTokens\":{count},\"promptTokensDetails\":[{{\"modality\":\"TEXT\",\"tokenCount\":{count}}}]}}"
            ),
            Family::Openai | Family::Anthropic => format!("{{\"input_tokens\":{count}}}"),
        },
        0,
    )]
}

/// The list of models in the family's shape.
pub(super) fn models(family: Family) -> Vec<Piece> {
    let rows = |names: &[&str], row: fn(&str) -> String| -> String {
        names.iter().map(|name| row(name)).collect::<Vec<_>>().join(",")
    };
    let json = match family {
        Family::Openai => {
            let row = |name: &str| {
                format!(
                    "{{\"id\":\"{name}\",\"object\":\"model\",\"created\":{CREATED},\"owned_by\":\"system\"}}"
                )
            };
            format!("{{\"object\":\"list\",\"data\":[{}]}}", rows(OPENAI, row))
        }
        Family::Anthropic => {
            let row = |name: &str| {
                format!(
                    "{{\"type\":\"model\",\"id\":\"{name}\",\"display_name\":\"{name}\",\
                     \"created_at\":\"2025-11-24T16:00:00Z\"}}"
                )
            };
            let (first, last) = (ANTHROPIC.first().unwrap_or(&""), ANTHROPIC.last().unwrap_or(&""));
            format!(
                "{{\"data\":[{}],\"has_more\":false,\"first_id\":\"{first}\",\"last_id\":\"{last}\"}}",
                rows(ANTHROPIC, row)
            )
        }
        Family::Gemini => {
            let row = |name: &str| {
                format!(
                    "{{\"name\":\"models/{name}\",\"version\":\"001\",\"displayName\":\"{name}\",\
                     \"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,\
                     \"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}}"
                )
            };
            format!("{{\"models\":[{}]}}", rows(GEMINI, row))
        }
    };
    vec![Piece::content(json, 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_padded_like_base64() {
        assert_eq!(zeros_base64(1), "AA==");
        assert_eq!(zeros_base64(2), "AAA=");
        assert_eq!(zeros_base64(3), "AAAA");
        assert_eq!(zeros_base64(4), "AAAAAA==");
    }
}
