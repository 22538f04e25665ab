//! Events of OpenAI's chat and legacy completions.

use super::{Block, Ended, FUNCTION_CALL, Give, Kind, OTHER_REASONING, REFUSAL, Shape, TRANSCRIPT, Words};
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
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
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
