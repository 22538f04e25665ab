//! Events of Gemini's generated content, and of its live API.

use super::{Block, Give, Kind, Shape, Words};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Generated<'d> {
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
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
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
