//! Events of OpenAI's responses.

use super::{Block, Borrowed, Ended, Give, Kind, Quoted, Shape};
use crate::stream::text::{KEYS, number_of};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(super) struct Response<'d> {
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

/// The event with which goes on what the caller said.
const HEARD_NAME: &str = "conversation.item.input_audio_transcription.delta";

/// What an event that is not listed goes on with: pieces of something that is no sound (`…audio.delta`).
fn unknown_text(name: &str) -> Option<(Inner, Kind)> {
    let is_text = name.ends_with(".delta") && !name.ends_with("audio.delta");
    is_text.then_some((Inner::Only, Kind::Input))
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
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
        let Some(Borrowed(name)) = &self.kind else { return };
        let words = self.delta.map(RawValue::get).filter(|raw| raw.starts_with('"')).map(Quoted);
        if &**name == HEARD_NAME {
            // It comes while the model answers: its pieces stand between those of other texts.
            let block = Block { outer: 0, inner: self.content_index, kind: Kind::Text, shape: Shape::Heard };
            return to.words(&words, block);
        }
        let Some((inner, kind)) = response_text(name).or_else(|| unknown_text(name)) else {
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
        to.words(&words, Block { outer: self.output_index, inner, kind, shape: Shape::Output });
    }
}
