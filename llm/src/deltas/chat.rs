//! Events of OpenAI's chat and legacy completions.

use super::{
    Block, Ended, FUNCTION_CALL, Give, Kind, OTHER_REASONING, REFUSAL, Shape, THINKING, TRANSCRIPT, Words,
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Chat<'d> {
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
    /// A text, or with Mistral a list of chunks.
    #[serde(default, borrow)]
    content: Option<&'d RawValue>,
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

/// A chunk of Mistral's: a text, thinking that is a list of texts or one, or references, which are numbers
/// (docs.mistral.ai/capabilities/reasoning and /citations, seen 2026-11).
#[derive(Deserialize)]
struct Chunk<'d> {
    #[serde(default, borrow)]
    text: Option<&'d RawValue>,
    #[serde(default, borrow)]
    thinking: Option<&'d RawValue>,
}

/// Deepest list of chunks that is followed: thinking is one within another.
const CHUNKS_DEEP: usize = 2;

/// Gives the texts of a member that is a text or a list of chunks. What is neither is looked at with its event.
fn chunks<'d>(raw: &'d str, outer: u32, (inner, kind): (u32, Kind), deep: usize, to: &mut Give<'_, '_>) {
    let block = Block { outer, inner, kind, shape: Shape::Choices };
    if raw.starts_with('"') {
        return to.value(raw, block);
    }
    let Some(list) = serde_json::from_str::<Vec<Chunk<'d>>>(raw).ok().filter(|_| deep > 0) else { return };
    for chunk in list {
        if let Some(text) = chunk.text {
            chunks(text.get(), outer, (inner, kind), 0, to);
        }
        if let Some(thinking) = chunk.thinking {
            chunks(thinking.get(), outer, (THINKING, Kind::Reasoning), deep - 1, to);
        }
    }
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
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
        for choice in self.choices {
            let block = |inner, kind| Block { outer: choice.index, inner, kind, shape: Shape::Choices };
            to.words(&choice.text, block(0, Kind::Text));
            if let Some(delta) = &choice.delta {
                if let Some(content) = delta.content {
                    chunks(content.get(), choice.index, (0, Kind::Text), CHUNKS_DEEP, to);
                }
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
