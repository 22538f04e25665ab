//! Reading usage out of a buffered answer, by the same machines as a streamed one.

use crate::dialect::Dialect;
use crate::stream::documents::Documents;
use crate::stream::heard::unescape;
use crate::stream::machine::Machine;
use crate::stream::text::{KEYS, raw_string, strings};
use crate::stream::{Reported, StreamEnd};
use narrows_meter::{Mode, Usage};

/// What a buffered answer says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Usage the provider reported.
    pub usage: Usage,
    /// How much of it was reported.
    pub reported: Reported,
    /// The answer's own id.
    pub id: Option<Box<str>>,
    /// Ids of the items that the answer consists of (Responses); at most 256.
    pub items: Vec<Box<str>>,
    /// The model the provider says it used.
    pub model: Option<Box<str>>,
    /// How it says that it worked on it, where that changes the price; `None` for the ordinary way.
    pub mode: Option<Mode>,
    /// Generated text, in bytes (an estimate; embeddings generate none).
    pub output_text_bytes: u64,
    /// Type of the error, when the body is (or carries) one.
    pub error: Option<Box<str>>,
    /// Figures contradicted each other; `usage` is the best reading.
    pub anomaly: bool,
}

/// Reads a whole JSON body. Never fails: of what is no JSON, nothing is known. A list of objects (Gemini) and objects one per
/// line are read like the stream they are.
pub fn read(dialect: Dialect, body: &[u8]) -> Answer {
    let mut machine = Machine::new(dialect);
    if !machine.whole(body) {
        Documents::new(body.len()).push(body, &mut |json| machine.document(json));
    }
    let (usage, reported, anomaly) = machine.reading();
    let error = match machine.end(false) {
        StreamEnd::ErrorEvent { kind } => Some(kind),
        _ => None,
    };
    let output_text_bytes = machine.facts().text;
    let (id, items) = (machine.facts().id.clone(), machine.facts().items.clone());
    let mode = machine.facts().tier.mode();
    let model = machine.into_model();
    Answer { usage, reported, id, items, model, mode, output_text_bytes, error, anomaly }
}

/// Calls `sink` with each generated text of a whole body, as it reads: what [`Answer::output_text_bytes`] adds up.
/// For answers without usage, whose tokens somebody else counts.
pub fn texts(dialect: Dialect, body: &[u8], sink: &mut dyn FnMut(&[u8])) {
    let key = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => &KEYS.choices,
        Dialect::OpenaiResponses => &KEYS.output,
        Dialect::AnthropicMessages => &KEYS.content,
        Dialect::GeminiGenerate => &KEYS.candidates,
        Dialect::OpenaiEmbeddings => return,
    };
    let mut text = Vec::new();
    strings(key, body, &mut |place| {
        // A value that is JSON stands as it is; of a string the quote behind it is no part.
        let raw = match body.get(place.start) {
            Some(b'{' | b'[') if place.start.checked_sub(1).and_then(|at| body.get(at)) != Some(&b'"') => {
                body.get(place).unwrap_or_default()
            }
            _ => {
                text.clear();
                unescape(raw_string(body, place.start), &mut text);
                text.as_slice()
            }
        };
        sink(raw);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dialect: Dialect, body: &str) -> Vec<String> {
        let mut all = Vec::new();
        texts(dialect, body.as_bytes(), &mut |text| all.push(String::from_utf8_lossy(text).into_owned()));
        let bytes: usize = all.iter().map(String::len).sum();
        assert_eq!(read(dialect, body.as_bytes()).output_text_bytes, bytes as u64, "{body}");
        all
    }

    #[test]
    fn the_tier_stands_where_each_dialect_has_it() {
        let usage = r#""usage":{"prompt_tokens":1,"completion_tokens":2,"input_tokens":1,"output_tokens":2"#;
        for (dialect, body, mode) in [
            (Dialect::OpenaiChat, format!(r#"{{"choices":[],"service_tier":"flex",{usage}}}}}"#), Some(Mode::Flex)),
            (Dialect::OpenaiChat, format!(r#"{{"choices":[],"service_tier":"default",{usage}}}}}"#), None),
            (Dialect::OpenaiChat, format!(r#"{{"choices":[],"service_tier":null,{usage}}}}}"#), None),
            (
                Dialect::OpenaiResponses,
                format!(r#"{{"id":"r","status":"completed","service_tier":"priority",{usage}}}}}"#),
                Some(Mode::Priority),
            ),
            (
                Dialect::AnthropicMessages,
                format!(r#"{{"type":"message","content":[],{usage},"service_tier":"batch"}}}}"#),
                Some(Mode::Batch),
            ),
            (
                Dialect::AnthropicMessages,
                format!(r#"{{"type":"message","content":[],{usage},"service_tier":"standard","speed":"fast"}}}}"#),
                Some(Mode::Fast),
            ),
            (
                Dialect::GeminiGenerate,
                r#"{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"trafficType":"PROVISIONED_THROUGHPUT"}}"#.to_owned(),
                Some(Mode::Provisioned),
            ),
            (
                Dialect::GeminiGenerate,
                r#"{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"trafficType":"ON_DEMAND","serviceTier":"flex"}}"#.to_owned(),
                Some(Mode::Flex),
            ),
        ] {
            let answer = read(dialect, body.as_bytes());
            assert_eq!((answer.mode, answer.usage.total()), (mode, Some(3)), "{body}");
        }
    }

    #[test]
    fn texts_are_those_whose_bytes_are_added_up() {
        let chat = r#"{"choices":[{"message":{"role":"assistant","content":"a\nb\u00e4","tool_calls":[{"id":"x","function":
            {"name":"f","arguments":"{\"q\":1}"}}]}},{"message":{"content":"{not json"}}],"usage":{}}"#;
        assert_eq!(of(Dialect::OpenaiChat, chat), ["a\nbä", r#"{"q":1}"#, "{not json"]);
        let twice =
            r#"{"choices":[{"message":{"reasoning_content":"why","reasoning":"why","content":"so"}}]}"#;
        assert_eq!(of(Dialect::OpenaiChat, twice), ["why", "so"]);
        let message = r#"{"type":"message","content":[{"type":"text","text":"x"},{"type":"tool_use","input":{"a":[1]}}]}"#;
        assert_eq!(of(Dialect::AnthropicMessages, message), ["x", r#"{"a":[1]}"#]);
        let response = r#"{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"y"}]}]}"#;
        assert_eq!(of(Dialect::OpenaiResponses, response), ["y"]);
        let generated = r#"{"candidates":[{"content":{"parts":[{"text":"z"}]}}]}"#;
        assert_eq!(of(Dialect::GeminiGenerate, generated), ["z"]);
        assert!(of(Dialect::OpenaiEmbeddings, r#"{"data":[]}"#).is_empty());
    }
}
