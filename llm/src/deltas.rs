//! The pieces of text in the events of a stream, and which text each goes on with.
//!
//! For whoever looks at what a stream says; metering needs none of it. Events that repeat what came before (the closing
//! events of the Responses dialect) give nothing.
//!
//! Sources (seen 2026-11): platform.openai.com/docs/api-reference/chat-streaming and /responses-streaming,
//! docs.anthropic.com/en/docs/build-with-claude/streaming, ai.google.dev/api/generate-content.

mod chat;
mod gemini;
mod messages;
mod responses;

#[cfg(test)]
mod tests;

pub(crate) use responses::response_block;

use crate::dialect::Dialect;
use chat::Chat;
use gemini::Generated;
use messages::Message;
use responses::Response;
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
/// Reasoning in Mistral's lists of chunks (docs.mistral.ai/capabilities/reasoning, seen 2026-11).
const THINKING: u32 = 2;
const REFUSAL: u32 = 1;
const TRANSCRIPT: u32 = 2;
/// Texts of Gemini's live API beside the turns of the model.
const HEARD: u32 = 1;
const SPOKEN: u32 = 2;
/// The call of the time before there were tools; it has no number.
const FUNCTION_CALL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shape {
    Choices,
    Content,
    Output,
    Candidates,
    /// What the caller says in a conversation over a WebSocket, written down by the provider.
    Heard,
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

    /// Whether the caller said it, and not the model: sound that the provider has written down.
    pub fn is_callers(&self) -> bool {
        self.shape == Shape::Heard
            || (self.shape == Shape::Candidates && self.kind == Kind::Text && self.inner == HEARD)
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
            (Shape::Choices, Kind::Reasoning) if *inner == THINKING => {
                write!(f, "choices[{outer}].message.content.thinking")
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
            (Shape::Candidates, Kind::Input) => {
                write!(f, "candidates[{outer}].content.parts.executableCode.code")
            }
            (Shape::Candidates, Kind::ToolResult) => {
                write!(f, "candidates[{outer}].content.parts.codeExecutionResult.output")
            }
            (Shape::Candidates, Kind::Text) if *inner == HEARD => write!(f, "inputTranscription.text"),
            (Shape::Candidates, Kind::Text) if *inner == SPOKEN => write!(f, "outputTranscription.text"),
            (Shape::Candidates, _) => write!(f, "candidates[{outer}].content.parts.text"),
            (Shape::Heard, _) => write!(f, "input_audio_transcription[{inner}]"),
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
