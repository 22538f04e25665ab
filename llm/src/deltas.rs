//! The pieces of text in the events of a stream, and which text each goes on with.
//!
//! For whoever looks at what a stream says; metering needs none of it. Events that repeat what came before (the closing
//! events of the Responses dialect) give nothing.
//!
//! Sources (seen 2026-11): platform.openai.com/docs/api-reference/chat-streaming and /responses-streaming,
//! docs.anthropic.com/en/docs/build-with-claude/streaming, ai.google.dev/api/generate-content.

use crate::dialect::Dialect;
use crate::stream::text::{KEYS, number_of};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// What a text of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Words of the model.
    Text,
    /// Reasoning that is shown.
    Reasoning,
    /// Arguments of a tool, as JSON that comes in pieces.
    Arguments,
    /// What a tool is given that takes text and not JSON.
    Input,
    /// What a tool of the provider's own brought back.
    ToolResult,
}

/// A text of a stream: pieces with one name belong together, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// The answer, the candidate or the item it belongs to.
    pub outer: u32,
    /// Its place in it.
    pub inner: u32,
    /// What it is.
    pub kind: Kind,
    /// How the dialect calls the two numbers.
    shape: Shape,
}

/// Texts of a choice beside its first of a kind. Some servers write reasoning under both of its names (vLLM, while one
/// takes the place of the other): as one text each piece would stand in it twice.
const OTHER_REASONING: u32 = 1;
const REFUSAL: u32 = 1;
const TRANSCRIPT: u32 = 2;
/// The call of the time before there were tools; it has no number.
const FUNCTION_CALL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shape {
    Choices,
    Content,
    Output,
    Candidates,
}

/// A text of which nothing is known but that it is the only one.
impl Default for Block {
    fn default() -> Block {
        Block { outer: 0, inner: 0, kind: Kind::Text, shape: Shape::Choices }
    }
}

impl Block {
    /// Whether it is reasoning under the second of its names.
    pub(crate) fn is_other_reasoning(&self) -> bool {
        self.shape == Shape::Choices && self.kind == Kind::Reasoning && self.inner == OTHER_REASONING
    }

    /// Whether the provider has signed it, so that a changed byte makes it refuse the conversation later
    /// (docs.anthropic.com/en/docs/build-with-claude/extended-thinking, seen 2026-11).
    pub fn is_signed(&self) -> bool {
        self.shape == Shape::Content && self.kind == Kind::Reasoning
    }
}

/// The path of the text in the answer that the events come to.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Block { outer, inner, .. } = self;
        match (self.shape, self.kind) {
            (Shape::Choices, Kind::Arguments) if *inner == FUNCTION_CALL => {
                write!(f, "choices[{outer}].message.function_call.arguments")
            }
            (Shape::Choices, Kind::Arguments) => {
                write!(f, "choices[{outer}].message.tool_calls[{inner}].function.arguments")
            }
            (Shape::Choices, Kind::Reasoning) if *inner == OTHER_REASONING => {
                write!(f, "choices[{outer}].message.reasoning")
            }
            (Shape::Choices, Kind::Text) if *inner == REFUSAL => {
                write!(f, "choices[{outer}].message.refusal")
            }
            (Shape::Choices, Kind::Text) if *inner == TRANSCRIPT => {
                write!(f, "choices[{outer}].message.audio.transcript")
            }
            (Shape::Choices, Kind::Reasoning) => write!(f, "choices[{outer}].message.reasoning_content"),
            (Shape::Choices, _) => write!(f, "choices[{outer}].message.content"),
            (Shape::Content, Kind::Arguments) => write!(f, "content[{outer}].input"),
            (Shape::Content, Kind::Reasoning) => write!(f, "content[{outer}].thinking"),
            (Shape::Content, Kind::ToolResult) => write!(f, "content[{outer}].content"),
            (Shape::Content, Kind::Text | Kind::Input) => write!(f, "content[{outer}].text"),
            (Shape::Output, Kind::Arguments) => write!(f, "output[{outer}].arguments"),
            (Shape::Output, Kind::Input) => write!(f, "output[{outer}].input"),
            (Shape::Output, Kind::Reasoning) => write!(f, "output[{outer}].summary[{inner}].text"),
            (Shape::Output, _) => write!(f, "output[{outer}].content[{inner}].text"),
            (Shape::Candidates, Kind::Arguments) => {
                write!(f, "candidates[{outer}].content.parts.functionCall.args")
            }
            (Shape::Candidates, _) => write!(f, "candidates[{outer}].content.parts.text"),
        }
    }
}

/// A piece of a text in the data of an event.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'d> {
    /// The text that it goes on with.
    pub block: Block,
    /// As it stands in the data: a string with its quotes, or another JSON value that comes whole.
    pub raw: &'d str,
    /// Where in the data, in bytes.
    pub at: usize,
}

impl<'d> Piece<'d> {
    /// What stands between the quotes; `None` if it is no string.
    pub fn inside(&self) -> Option<&'d str> {
        self.raw.strip_prefix('"')?.strip_suffix('"')
    }

    /// As it reads; `None` if its escapes are broken.
    fn read(&self) -> Option<Cow<'d, str>> {
        match self.inside() {
            Some(_) => serde_json::from_str(self.raw).ok().map(|Borrowed(text)| text),
            None => Some(Cow::Borrowed(self.raw)),
        }
    }
}

/// Texts that have come to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Those of this answer, candidate or item.
    Outer(u32),
    /// All of the stream.
    All,
}

impl Ended {
    /// Whether this text is one of them.
    pub fn includes(self, block: &Block) -> bool {
        match self {
            Ended::Outer(outer) => block.outer == outer,
            Ended::All => true,
        }
    }
}

/// What an event has to say of texts.
#[derive(Debug, Clone, Copy)]
pub enum Part<'d> {
    /// A text begins or goes on.
    Piece(Piece<'d>),
    /// Texts have ended; comes after the pieces of the same event.
    Ended(Ended),
}

/// Calls `sink` with each piece of text in the data of one event. Says whether the event could be read: what is no JSON
/// of the dialect's shape cannot, and `[DONE]` holds nothing.
pub fn deltas(dialect: Dialect, data: &[u8], sink: &mut dyn FnMut(Block, &str)) -> bool {
    let mut legible = true;
    let readable = parts(dialect, data, &mut |part| {
        let Part::Piece(piece) = part else { return };
        match piece.read() {
            Some(text) if text.is_empty() => {}
            Some(text) => sink(piece.block, &text),
            None => legible = false,
        }
    });
    readable && legible
}

/// Calls `sink` with each piece of text in the data of one event, as it stands there, and with the ends of texts. Says
/// whether the event could be read.
pub fn parts(dialect: Dialect, data: &[u8], sink: &mut dyn FnMut(Part<'_>)) -> bool {
    if data.trim_ascii() == b"[DONE]" {
        sink(Part::Ended(Ended::All));
        return true;
    }
    let mut give = Give { data, sink };
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => {
            read(data, |event: Chat<'_>| event.give(&mut give))
        }
        Dialect::OpenaiResponses => read(data, |event: Response<'_>| event.give(&mut give)),
        Dialect::AnthropicMessages => read(data, |event: Message<'_>| event.give(&mut give)),
        Dialect::GeminiGenerate => read(data, |event: Generated<'_>| event.give(&mut give)),
        Dialect::OpenaiEmbeddings => false,
    }
}

fn read<'d, T: Deserialize<'d>>(data: &'d [u8], take: impl FnOnce(T)) -> bool {
    serde_json::from_slice(data).map(take).is_ok()
}

#[derive(Deserialize)]
struct Borrowed<'d>(#[serde(borrow)] Cow<'d, str>);

/// A string as it stands, with its quotes.
struct Quoted<'d>(&'d str);

impl<'de: 'd, 'd> Deserialize<'de> for Quoted<'d> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.starts_with('"') {
            true => Ok(Quoted(raw)),
            false => Err(D::Error::custom("no string")),
        }
    }
}

/// A text that may be absent or null.
type Words<'d> = Option<Quoted<'d>>;

/// Where parts go, and the data that they stand in.
struct Give<'s, 'd> {
    data: &'d [u8],
    sink: &'s mut dyn FnMut(Part<'_>),
}

impl Give<'_, '_> {
    fn words(&mut self, words: &Words<'_>, block: Block) {
        if let Some(Quoted(raw)) = words {
            self.value(raw, block);
        }
    }

    /// `raw` is borrowed from the data.
    fn value(&mut self, raw: &str, block: Block) {
        let at = raw.as_ptr().addr().saturating_sub(self.data.as_ptr().addr());
        (self.sink)(Part::Piece(Piece { block, raw, at }));
    }

    fn ended(&mut self, ended: Ended) {
        (self.sink)(Part::Ended(ended));
    }
}

#[derive(Deserialize)]
struct Chat<'d> {
    #[serde(default, borrow)]
    choices: Vec<Choice<'d>>,
}

#[derive(Deserialize)]
struct Choice<'d> {
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    delta: Option<ChatDelta<'d>>,
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default, borrow)]
    finish_reason: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct ChatDelta<'d> {
    #[serde(default, borrow)]
    content: Words<'d>,
    #[serde(default, borrow)]
    refusal: Words<'d>,
    #[serde(default, borrow)]
    reasoning_content: Words<'d>,
    #[serde(default, borrow)]
    reasoning: Words<'d>,
    #[serde(default, borrow)]
    audio: Option<Transcript<'d>>,
    #[serde(default, borrow)]
    function_call: Option<Function<'d>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<ToolCall<'d>>>,
}

/// What is said in sound, as words.
#[derive(Deserialize)]
struct Transcript<'d> {
    #[serde(default, borrow)]
    transcript: Words<'d>,
}

#[derive(Deserialize)]
struct ToolCall<'d> {
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    function: Option<Function<'d>>,
}

#[derive(Deserialize)]
struct Function<'d> {
    #[serde(default, borrow)]
    arguments: Words<'d>,
}

impl Chat<'_> {
    fn give(self, to: &mut Give<'_, '_>) {
        for choice in self.choices {
            let block = |inner, kind| Block { outer: choice.index, inner, kind, shape: Shape::Choices };
            to.words(&choice.text, block(0, Kind::Text));
            if let Some(delta) = &choice.delta {
                to.words(&delta.content, block(0, Kind::Text));
                to.words(&delta.refusal, block(REFUSAL, Kind::Text));
                to.words(&delta.reasoning_content, block(0, Kind::Reasoning));
                to.words(&delta.reasoning, block(OTHER_REASONING, Kind::Reasoning));
                if let Some(audio) = &delta.audio {
                    to.words(&audio.transcript, block(TRANSCRIPT, Kind::Text));
                }
                if let Some(function) = &delta.function_call {
                    to.words(&function.arguments, block(FUNCTION_CALL, Kind::Arguments));
                }
                for call in delta.tool_calls.iter().flatten() {
                    let Some(function) = &call.function else { continue };
                    to.words(&function.arguments, block(call.index, Kind::Arguments));
                }
            }
            // Some providers write an empty one into every event.
            if choice.finish_reason.is_some_and(|reason| reason.get() != "\"\"") {
                to.ended(Ended::Outer(choice.index));
            }
        }
    }
}

#[derive(Deserialize)]
struct Response<'d> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Borrowed<'d>>,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    content_index: u32,
    #[serde(default)]
    summary_index: u32,
    #[serde(default, borrow)]
    delta: Option<&'d RawValue>,
}

/// Which of an item's texts an event of the Responses dialect goes on with.
enum Inner {
    Content,
    Summary,
    Only,
}

/// What an event with this name goes on with, if it carries a piece of text.
fn response_text(name: &str) -> Option<(Inner, Kind)> {
    Some(match name {
        "response.output_text.delta"
        | "response.refusal.delta"
        | "response.text.delta"
        | "response.audio_transcript.delta"
        | "response.output_audio_transcript.delta"
        | "conversation.item.input_audio_transcription.delta"
        | "transcript.text.delta" => (Inner::Content, Kind::Text),
        "response.reasoning_text.delta" => (Inner::Content, Kind::Reasoning),
        "response.reasoning_summary_text.delta" => (Inner::Summary, Kind::Reasoning),
        "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" => {
            (Inner::Only, Kind::Arguments)
        }
        "response.custom_tool_call_input.delta" | "response.code_interpreter_call_code.delta" => {
            (Inner::Only, Kind::Input)
        }
        _ => return None,
    })
}

/// The text that an event of the Responses dialect goes on with, without parsing it.
pub(crate) fn response_block(name: &[u8], data: &[u8]) -> Block {
    let (inner, kind) =
        std::str::from_utf8(name).ok().and_then(response_text).unwrap_or((Inner::Only, Kind::Text));
    let inner = match inner {
        Inner::Content => number_of(&KEYS.content_index, data),
        Inner::Summary => number_of(&KEYS.summary_index, data),
        Inner::Only => 0,
    };
    Block { outer: number_of(&KEYS.output_index, data), inner, kind, shape: Shape::Output }
}

impl Response<'_> {
    fn give(self, to: &mut Give<'_, '_>) {
        let Some(Borrowed(name)) = &self.kind else { return };
        let Some((inner, kind)) = response_text(name) else {
            return match &**name {
                "response.completed" | "response.incomplete" | "response.failed" => to.ended(Ended::All),
                name if name.ends_with(".done") => to.ended(Ended::Outer(self.output_index)),
                _ => {}
            };
        };
        let inner = match inner {
            Inner::Content => self.content_index,
            Inner::Summary => self.summary_index,
            Inner::Only => 0,
        };
        let words = self.delta.map(RawValue::get).filter(|raw| raw.starts_with('"')).map(Quoted);
        to.words(&words, Block { outer: self.output_index, inner, kind, shape: Shape::Output });
    }
}

#[derive(Deserialize)]
struct Message<'d> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<Borrowed<'d>>,
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    delta: Option<MessageDelta<'d>>,
    #[serde(default, borrow)]
    content_block: Option<ContentBlock<'d>>,
}

#[derive(Deserialize)]
struct MessageDelta<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default, borrow)]
    thinking: Words<'d>,
    #[serde(default, borrow)]
    partial_json: Words<'d>,
}

/// A block begins, some of them whole: results of the provider's own tools.
#[derive(Deserialize)]
struct ContentBlock<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default, borrow)]
    thinking: Words<'d>,
    #[serde(default, borrow)]
    content: Option<&'d RawValue>,
}

impl Message<'_> {
    fn give(self, to: &mut Give<'_, '_>) {
        let block = |kind| Block { outer: self.index, inner: 0, kind, shape: Shape::Content };
        if let Some(begun) = &self.content_block {
            to.words(&begun.text, block(Kind::Text));
            to.words(&begun.thinking, block(Kind::Reasoning));
            if let Some(content) = begun.content {
                to.value(content.get(), block(Kind::ToolResult));
            }
        }
        if let Some(delta) = &self.delta {
            to.words(&delta.text, block(Kind::Text));
            to.words(&delta.thinking, block(Kind::Reasoning));
            to.words(&delta.partial_json, block(Kind::Arguments));
        }
        match self.kind.as_ref().map(|Borrowed(name)| &**name) {
            Some("content_block_stop") => to.ended(Ended::Outer(self.index)),
            Some("message_stop") => to.ended(Ended::All),
            _ => {}
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Generated<'d> {
    #[serde(default, borrow)]
    candidates: Vec<Candidate<'d>>,
    /// What the live API says, over a WebSocket (ai.google.dev/api/live).
    #[serde(default, borrow)]
    server_content: Option<Live<'d>>,
    #[serde(default, borrow)]
    tool_call: Option<LiveCalls<'d>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Live<'d> {
    #[serde(default, borrow)]
    model_turn: Option<Content<'d>>,
    #[serde(default, borrow)]
    input_transcription: Option<Transcription<'d>>,
    #[serde(default, borrow)]
    output_transcription: Option<Transcription<'d>>,
}

#[derive(Deserialize)]
struct Transcription<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LiveCalls<'d> {
    #[serde(default, borrow)]
    function_calls: Vec<FunctionCall<'d>>,
}

/// Its `finishReason` ends nothing: some models repeat it in every event, and the stream's end follows the last one.
#[derive(Deserialize)]
struct Candidate<'d> {
    #[serde(default)]
    index: u32,
    #[serde(default, borrow)]
    content: Option<Content<'d>>,
}

#[derive(Deserialize)]
struct Content<'d> {
    #[serde(default, borrow)]
    parts: Vec<GeneratedPart<'d>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedPart<'d> {
    #[serde(default, borrow)]
    text: Words<'d>,
    #[serde(default)]
    thought: bool,
    #[serde(default, borrow)]
    function_call: Option<FunctionCall<'d>>,
}

#[derive(Deserialize)]
struct FunctionCall<'d> {
    #[serde(default, borrow)]
    args: Option<&'d RawValue>,
}

impl Generated<'_> {
    fn give(self, to: &mut Give<'_, '_>) {
        for candidate in self.candidates {
            if let Some(content) = &candidate.content {
                content.give(candidate.index, to);
            }
        }
        let block = |inner, kind| Block { outer: 0, inner, kind, shape: Shape::Candidates };
        if let Some(live) = &self.server_content {
            if let Some(turn) = &live.model_turn {
                turn.give(0, to);
            }
            for (inner, said) in [(1, &live.input_transcription), (2, &live.output_transcription)] {
                if let Some(said) = said {
                    to.words(&said.text, block(inner, Kind::Text));
                }
            }
        }
        for args in self.tool_call.iter().flat_map(|calls| &calls.function_calls).filter_map(|call| call.args)
        {
            to.value(args.get(), block(0, Kind::Arguments));
        }
    }
}

impl Content<'_> {
    fn give(&self, outer: u32, to: &mut Give<'_, '_>) {
        let block = |kind| Block { outer, inner: 0, kind, shape: Shape::Candidates };
        for part in &self.parts {
            let kind = if part.thought { Kind::Reasoning } else { Kind::Text };
            to.words(&part.text, block(kind));
            // A call comes whole: one after the other they are a list of documents.
            if let Some(args) = part.function_call.as_ref().and_then(|call| call.args) {
                to.value(args.get(), block(Kind::Arguments));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(dialect: Dialect, data: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        assert!(deltas(dialect, data.as_bytes(), &mut |block, text| all
            .push((block.to_string(), text.to_owned()))));
        all
    }

    fn one(path: &str, text: &str) -> Vec<(String, String)> {
        vec![(path.to_owned(), text.to_owned())]
    }

    #[test]
    fn chat_gives_words_and_arguments() {
        let chat = |data| given(Dialect::OpenaiChat, data);
        let data = r#"{"choices":[{"index":1,"delta":{"role":"assistant","content":"a\nb"}}],"usage":null}"#;
        assert_eq!(chat(data), one("choices[1].message.content", "a\nb"));
        let data = r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":2,"function":{"arguments":"{\"a"}}]}}]}"#;
        assert_eq!(chat(data), one("choices[0].message.tool_calls[2].function.arguments", "{\"a"));
        assert_eq!(chat(r#"{"choices":[],"usage":{"prompt_tokens":1}}"#), []);
        assert_eq!(chat("[DONE]"), []);
        let data = r#"{"choices":[{"text":"old","index":0}]}"#;
        assert_eq!(given(Dialect::OpenaiCompletions, data), one("choices[0].message.content", "old"));
    }

    #[test]
    fn each_text_of_a_choice_is_one_of_its_own() {
        let data = r#"{"choices":[{"delta":{"content":"a","refusal":"b","reasoning_content":"c","reasoning":"c",
            "audio":{"id":"x","transcript":"d","data":"AA=="},"function_call":{"name":"f","arguments":"{"},
            "tool_calls":[{"function":{"arguments":"["}}]}}]}"#;
        let wanted = [
            ("content", "a"),
            ("refusal", "b"),
            ("reasoning_content", "c"),
            ("reasoning", "c"),
            ("audio.transcript", "d"),
            ("function_call.arguments", "{"),
            ("tool_calls[0].function.arguments", "["),
        ];
        let wanted = wanted.map(|(path, text)| (format!("choices[0].message.{path}"), text.to_owned()));
        assert_eq!(given(Dialect::OpenaiChat, data), wanted);
        let data = r#"{"choices":[{"delta":{"audio":{"data":"AA=="},"function_call":null}}]}"#;
        assert_eq!(given(Dialect::OpenaiChat, data), []);
    }

    #[test]
    fn responses_give_deltas_and_not_their_repetition() {
        let responses = |data| given(Dialect::OpenaiResponses, data);
        let data = r#"{"type":"response.output_text.delta","output_index":1,"content_index":2,"delta":"hi"}"#;
        assert_eq!(responses(data), one("output[1].content[2].text", "hi"));
        let data = r#"{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{"}"#;
        assert_eq!(responses(data), one("output[3].arguments", "{"));
        assert_eq!(responses(r#"{"type":"response.output_text.done","output_index":1,"text":"hi"}"#), []);
        assert_eq!(responses(r#"{"type":"response.audio.delta","delta":{"x":1}}"#), []);
    }

    #[test]
    fn realtime_and_transcripts_give_their_words() {
        for name in [
            "response.text.delta",
            "response.audio_transcript.delta",
            "response.output_audio_transcript.delta",
            "conversation.item.input_audio_transcription.delta",
            "transcript.text.delta",
        ] {
            let data = format!(r#"{{"type":"{name}","output_index":1,"delta":"hi"}}"#);
            assert_eq!(
                given(Dialect::OpenaiResponses, &data),
                one("output[1].content[0].text", "hi"),
                "{name}"
            );
        }
        let sound = r#"{"type":"response.output_audio.delta","delta":"UklGRg=="}"#;
        assert_eq!(given(Dialect::OpenaiResponses, sound), []);
    }

    #[test]
    fn messages_give_blocks_by_their_index() {
        let messages = |data| given(Dialect::AnthropicMessages, data);
        let data = r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"hi"}}"#;
        assert_eq!(messages(data), one("content[2].text", "hi"));
        let data = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"k\":"}}"#;
        assert_eq!(messages(data), one("content[1].input", "{\"k\":"));
        let data = r#"{"type":"content_block_start","index":0,"content_block":{"type":"web_search_tool_result","content":[{"title":"t"}]}}"#;
        assert_eq!(messages(data), one("content[0].content", r#"[{"title":"t"}]"#));
        assert_eq!(messages(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}"#), []);
    }

    #[test]
    fn gemini_gives_parts() {
        let data = r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"functionCall":{"name":"f","args":{"k":"v"}}}]}}]}"#;
        let expected = [
            one("candidates[0].content.parts.text", "a"),
            one("candidates[0].content.parts.functionCall.args", r#"{"k":"v"}"#),
        ];
        assert_eq!(given(Dialect::GeminiGenerate, data), expected.concat());
    }

    /// Pieces as they stand, and ends, of an event.
    fn parted(dialect: Dialect, data: &str) -> (Vec<String>, Vec<Ended>) {
        let (mut pieces, mut ends) = (Vec::new(), Vec::new());
        assert!(parts(dialect, data.as_bytes(), &mut |part| match part {
            Part::Piece(piece) => {
                assert_eq!(&data[piece.at..piece.at + piece.raw.len()], piece.raw);
                pieces.push(piece.raw.to_owned());
            }
            Part::Ended(ended) => ends.push(ended),
        }));
        (pieces, ends)
    }

    #[test]
    fn pieces_are_told_where_they_stand_and_ends_when_they_come() {
        let data = r#"{"choices":[{"index":2,"delta":{"content":"a\n\u00e9\""},"finish_reason":"stop"}]}"#;
        let ended = |outer| vec![Ended::Outer(outer)];
        assert_eq!(parted(Dialect::OpenaiChat, data), (vec![r#""a\n\u00e9\"""#.to_owned()], ended(2)));
        for reason in ["null", "\"\""] {
            let data = format!(r#"{{"choices":[{{"delta":{{"content":""}},"finish_reason":{reason}}}]}}"#);
            assert_eq!(parted(Dialect::OpenaiChat, &data), (vec!["\"\"".to_owned()], vec![]));
        }
        assert_eq!(parted(Dialect::OpenaiChat, "[DONE]").1, [Ended::All]);
        let data = r#"{"type":"content_block_stop","index":4}"#;
        assert_eq!(parted(Dialect::AnthropicMessages, data).1, ended(4));
        let data = r#"{"type":"response.output_text.done","output_index":1,"text":"a"}"#;
        assert_eq!(parted(Dialect::OpenaiResponses, data), (vec![], ended(1)));
        let data = r#"{"candidates":[{"index":3,"content":{"parts":[{"functionCall":{"args": {"a": 1}}}]},"finishReason":"STOP"}]}"#;
        assert_eq!(parted(Dialect::GeminiGenerate, data), (vec![r#"{"a": 1}"#.to_owned()], vec![]));
    }

    #[test]
    fn a_string_with_broken_escapes_stands_there_and_does_not_read() {
        let data = r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#;
        assert_eq!(parted(Dialect::OpenaiChat, data).0, [r#""\ud83d""#]);
        assert!(!deltas(Dialect::OpenaiChat, data.as_bytes(), &mut |_, _| {}));
    }

    #[test]
    fn the_live_api_gives_turns_transcripts_and_calls() {
        let live = |data| given(Dialect::GeminiGenerate, data);
        let data =
            r#"{"serverContent":{"modelTurn":{"parts":[{"text":"a"}]},"outputTranscription":{"text":"b"}}}"#;
        let path = "candidates[0].content.parts.text";
        assert_eq!(live(data), [one(path, "a"), one(path, "b")].concat());
        let data = r#"{"toolCall":{"functionCalls":[{"id":"1","name":"f","args":{"k":"v"}}]}}"#;
        assert_eq!(live(data), one("candidates[0].content.parts.functionCall.args", r#"{"k":"v"}"#));
        assert_eq!(live(r#"{"setupComplete":{}}"#), []);
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        for data in ["", "{", "nonsense", r#"{"choices":5}"#] {
            assert!(!deltas(Dialect::OpenaiChat, data.as_bytes(), &mut |_, _| {}), "{data}");
        }
    }
}
