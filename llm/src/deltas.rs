//! The pieces of text in the events of a stream, and which text each goes on with.
//!
//! For whoever looks at what a stream says; metering needs none of it. Events that repeat what came before (the closing
//! events of the Responses dialect) give nothing.
//!
//! Sources (seen 2026-11): platform.openai.com/docs/api-reference/chat-streaming and /responses-streaming,
//! docs.anthropic.com/en/docs/build-with-claude/streaming, ai.google.dev/api/generate-content.

use crate::dialect::Dialect;
use serde::Deserialize;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Shape {
    Choices,
    Content,
    Output,
    Candidates,
}

/// The path of the text in the answer that the events come to.
impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Block { outer, inner, .. } = self;
        match (self.shape, self.kind) {
            (Shape::Choices, Kind::Arguments) => {
                write!(f, "choices[{outer}].message.tool_calls[{inner}].function.arguments")
            }
            (Shape::Choices, Kind::Reasoning) => write!(f, "choices[{outer}].message.reasoning_content"),
            (Shape::Choices, _) => write!(f, "choices[{outer}].message.content"),
            (Shape::Content, Kind::Arguments) => write!(f, "content[{outer}].input"),
            (Shape::Content, Kind::Reasoning) => write!(f, "content[{outer}].thinking"),
            (Shape::Content, Kind::ToolResult) => write!(f, "content[{outer}].content"),
            (Shape::Content, Kind::Text) => write!(f, "content[{outer}].text"),
            (Shape::Output, Kind::Arguments) => write!(f, "output[{outer}].arguments"),
            (Shape::Output, Kind::Reasoning) => write!(f, "output[{outer}].summary[{inner}].text"),
            (Shape::Output, _) => write!(f, "output[{outer}].content[{inner}].text"),
            (Shape::Candidates, Kind::Arguments) => {
                write!(f, "candidates[{outer}].content.parts.functionCall.args")
            }
            (Shape::Candidates, _) => write!(f, "candidates[{outer}].content.parts.text"),
        }
    }
}

/// Calls `sink` with each piece of text in the data of one event. Says whether the event could be read: what is no JSON
/// of the dialect's shape cannot, and `[DONE]` holds nothing.
pub fn deltas(dialect: Dialect, data: &[u8], sink: &mut dyn FnMut(Block, &str)) -> bool {
    if data.trim_ascii() == b"[DONE]" {
        return true;
    }
    match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => read(data, |event: Chat<'_>| event.give(sink)),
        Dialect::OpenaiResponses => read(data, |event: Response<'_>| event.give(sink)),
        Dialect::AnthropicMessages => read(data, |event: Message<'_>| event.give(sink)),
        Dialect::GeminiGenerate => read(data, |event: Generated<'_>| event.give(sink)),
        _ => false,
    }
}

fn read<'d, T: Deserialize<'d>>(data: &'d [u8], take: impl FnOnce(T)) -> bool {
    serde_json::from_slice(data).map(take).is_ok()
}

/// A text that may be absent or null, borrowed where it has no escapes.
type Words<'d> = Option<Borrowed<'d>>;

#[derive(Deserialize)]
struct Borrowed<'d>(#[serde(borrow)] Cow<'d, str>);

fn give(words: &Words<'_>, block: Block, sink: &mut dyn FnMut(Block, &str)) {
    if let Some(Borrowed(words)) = words
        && !words.is_empty()
    {
        sink(block, words);
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
    tool_calls: Option<Vec<ToolCall<'d>>>,
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
    fn give(self, sink: &mut dyn FnMut(Block, &str)) {
        for choice in self.choices {
            let block = |inner, kind| Block { outer: choice.index, inner, kind, shape: Shape::Choices };
            give(&choice.text, block(0, Kind::Text), sink);
            let Some(delta) = choice.delta else { continue };
            give(&delta.content, block(0, Kind::Text), sink);
            give(&delta.refusal, block(1, Kind::Text), sink);
            give(&delta.reasoning_content, block(0, Kind::Reasoning), sink);
            give(&delta.reasoning, block(0, Kind::Reasoning), sink);
            for call in delta.tool_calls.iter().flatten() {
                let Some(function) = &call.function else { continue };
                give(&function.arguments, block(call.index, Kind::Arguments), sink);
            }
        }
    }
}

#[derive(Deserialize)]
struct Response<'d> {
    #[serde(default, borrow, rename = "type")]
    kind: Words<'d>,
    #[serde(default)]
    output_index: u32,
    #[serde(default)]
    content_index: u32,
    #[serde(default)]
    summary_index: u32,
    #[serde(default, borrow)]
    delta: Option<&'d serde_json::value::RawValue>,
}

impl Response<'_> {
    fn give(self, sink: &mut dyn FnMut(Block, &str)) {
        let Some(Borrowed(name)) = &self.kind else { return };
        let (inner, kind) = match &**name {
            "response.output_text.delta" | "response.refusal.delta" => (self.content_index, Kind::Text),
            "response.reasoning_text.delta" => (self.content_index, Kind::Reasoning),
            "response.reasoning_summary_text.delta" => (self.summary_index, Kind::Reasoning),
            "response.function_call_arguments.delta"
            | "response.mcp_call_arguments.delta"
            | "response.custom_tool_call_input.delta"
            | "response.code_interpreter_call_code.delta" => (0, Kind::Arguments),
            _ => return,
        };
        let words = self.delta.and_then(|delta| serde_json::from_str(delta.get()).ok());
        give(&words, Block { outer: self.output_index, inner, kind, shape: Shape::Output }, sink);
    }
}

#[derive(Deserialize)]
struct Message<'d> {
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
    content: Option<&'d serde_json::value::RawValue>,
}

impl Message<'_> {
    fn give(self, sink: &mut dyn FnMut(Block, &str)) {
        let block = |kind| Block { outer: self.index, inner: 0, kind, shape: Shape::Content };
        if let Some(begun) = &self.content_block {
            give(&begun.text, block(Kind::Text), sink);
            give(&begun.thinking, block(Kind::Reasoning), sink);
            if let Some(content) = begun.content {
                sink(block(Kind::ToolResult), content.get());
            }
        }
        let Some(delta) = &self.delta else { return };
        give(&delta.text, block(Kind::Text), sink);
        give(&delta.thinking, block(Kind::Reasoning), sink);
        give(&delta.partial_json, block(Kind::Arguments), sink);
    }
}

#[derive(Deserialize)]
struct Generated<'d> {
    #[serde(default, borrow)]
    candidates: Vec<Candidate<'d>>,
}

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
    parts: Vec<Part<'d>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'d> {
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
    args: Option<&'d serde_json::value::RawValue>,
}

impl Generated<'_> {
    fn give(self, sink: &mut dyn FnMut(Block, &str)) {
        for candidate in self.candidates {
            let block = |inner, kind| Block { outer: candidate.index, inner, kind, shape: Shape::Candidates };
            for part in candidate.content.iter().flat_map(|content| &content.parts) {
                let kind = if part.thought { Kind::Reasoning } else { Kind::Text };
                give(&part.text, block(0, kind), sink);
                // A call comes whole: one after the other they are a list of documents.
                if let Some(args) = part.function_call.as_ref().and_then(|call| call.args) {
                    sink(block(0, Kind::Arguments), args.get());
                }
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

    #[test]
    fn what_cannot_be_read_says_so() {
        for data in ["", "{", "nonsense", r#"{"choices":5}"#] {
            assert!(!deltas(Dialect::OpenaiChat, data.as_bytes(), &mut |_, _| {}), "{data}");
        }
    }
}
