//! Events of Gemini's generated content, and of its live API.

use super::{Block, Give, HEARD, Kind, SPOKEN, Shape, Words};
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
    /// All of it, as Google's own agent is answered.
    #[serde(default, borrow)]
    response: Option<Box<Generated<'d>>>,
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
    #[serde(default, borrow)]
    executable_code: Option<Executable<'d>>,
    #[serde(default, borrow)]
    code_execution_result: Option<Executed<'d>>,
}

/// Code that the provider runs (ai.google.dev/api/caching#ExecutableCode).
#[derive(Deserialize)]
struct Executable<'d> {
    #[serde(default, borrow)]
    code: Words<'d>,
}

/// What came of it (ai.google.dev/api/caching#CodeExecutionResult).
#[derive(Deserialize)]
struct Executed<'d> {
    #[serde(default, borrow)]
    output: Words<'d>,
}

#[derive(Deserialize)]
struct FunctionCall<'d> {
    #[serde(default, borrow)]
    args: Option<&'d RawValue>,
}

impl Generated<'_> {
    pub(super) fn give(self, to: &mut Give<'_, '_>) {
        if let Some(response) = self.response {
            response.give(to);
        }
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
            for (inner, said) in [(HEARD, &live.input_transcription), (SPOKEN, &live.output_transcription)] {
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
            if let Some(executable) = &part.executable_code {
                to.words(&executable.code, block(Kind::Input));
            }
            if let Some(executed) = &part.code_execution_result {
                to.words(&executed.output, block(Kind::ToolResult));
            }
            // A call comes whole: one after the other they are a list of documents.
            if let Some(args) = part.function_call.as_ref().and_then(|call| call.args) {
                to.value(args.get(), block(Kind::Arguments));
            }
        }
    }
}
