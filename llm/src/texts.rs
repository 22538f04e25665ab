//! Which members of requests and answers carry text, which must never be touched, and who wrote what.
//!
//! Everything that is not named here is text and is searched, also in members that nobody knows. One list serves all
//! dialects: where two of them use one name for different things, the member around it tells them apart.
//!
//! Sources (seen 2026-11): platform.openai.com/docs/api-reference (chat, responses), docs.anthropic.com/en/api/messages and
//! /en/docs/build-with-claude/extended-thinking, ai.google.dev/api/generate-content, docs.aws.amazon.com/bedrock
//! (Converse), docs.cohere.com/reference/chat, github.com/ollama/ollama (API).

/// Who wrote a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Author {
    /// Whoever set the model up.
    System,
    /// A person, or a program in their place.
    User,
    /// The model.
    Assistant,
    /// The model, to a tool.
    ToolInput,
    /// A tool.
    ToolResult,
    /// Whoever wrote an attached document.
    Document,
    /// Whoever describes a tool.
    ToolDefinition,
}

/// Where a member stands for a row to apply. The first that fits of [`Root`], [`UnderRoot`], [`Under`] and
/// [`Anywhere`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At any depth.
    Anywhere,
    /// In the outermost object.
    Root,
    /// In an object that is the value of a member of the outermost object with this name, or an element of its list.
    UnderRoot(&'static str),
    /// In an object that is the value of a member with this name, or an element of its list.
    Under(&'static str),
}

/// What a member's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    /// An id, a kind, a signature: never searched, never changed.
    Nothing,
    /// The same of all beneath it.
    NothingBeneath,
    /// Media, where it is encoded in base64; else text.
    Media,
    /// A string whose content is JSON.
    Json,
    /// A word, that may tell who wrote the texts beside it.
    Word(&'static [(&'static str, Author)]),
    /// Text by this author, to the last leaf.
    By(Author),
    /// Data by this author, to the last leaf: no name beneath it means what it means elsewhere.
    Data(Author),
    /// Text, in spite of a more general row.
    Text,
    /// Text that is searched and never changed, because its provider has signed it.
    SignedText,
}

/// A row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The member's name.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// What it carries there.
    pub carries: Carries,
}

const fn row(name: &'static str, place: Place, carries: Carries) -> Member {
    Member { name, place, carries }
}

use Author::{Assistant, Document, System, ToolDefinition, ToolInput, ToolResult, User};
use Carries::{By, Data, Json, Media, Nothing, NothingBeneath, SignedText, Text, Word};
use Place::{Anywhere, Root, Under, UnderRoot};

/// What `role` says.
const ROLES: &[(&str, Author)] = &[
    ("system", System),
    ("developer", System),
    ("user", User),
    ("assistant", Assistant),
    ("model", Assistant),
    ("chatbot", Assistant),
    ("tool", ToolResult),
    ("function", ToolResult),
];

/// What `type` says.
const TYPES: &[(&str, Author)] = &[
    ("tool_result", ToolResult),
    ("mcp_tool_result", ToolResult),
    ("web_search_tool_result", ToolResult),
    ("web_fetch_tool_result", ToolResult),
    ("code_execution_tool_result", ToolResult),
    ("bash_code_execution_tool_result", ToolResult),
    ("text_editor_code_execution_tool_result", ToolResult),
    ("function_call_output", ToolResult),
    ("custom_tool_call_output", ToolResult),
    ("local_shell_call_output", ToolResult),
    ("shell_call_output", ToolResult),
    ("apply_patch_call_output", ToolResult),
    ("computer_call_output", ToolResult),
    ("tool_use", ToolInput),
    ("server_tool_use", ToolInput),
    ("mcp_tool_use", ToolInput),
    ("function_call", ToolInput),
    ("custom_tool_call", ToolInput),
    ("local_shell_call", ToolInput),
    ("shell_call", ToolInput),
    ("document", Document),
    ("search_result", Document),
];

/// The list.
pub static MEMBERS: &[Member] = &[
    // Who.
    row("role", Anywhere, Word(ROLES)),
    row("type", Anywhere, Word(TYPES)),
    row("system", Root, By(System)),
    row("instructions", Root, By(System)),
    row("systemInstruction", Root, By(System)),
    row("system_instruction", Root, By(System)),
    row("preamble", Root, By(System)),
    row("prompt", Root, By(User)),
    row("tools", Root, By(ToolDefinition)),
    row("functions", Root, By(ToolDefinition)),
    row("toolConfig", Root, By(ToolDefinition)),
    row("documents", Root, By(Document)),
    // What goes to tools and comes from them.
    row("arguments", Anywhere, Json),
    row("input", Root, Text),
    row("input", Anywhere, Data(ToolInput)),
    row("args", Under("functionCall"), Data(ToolInput)),
    row("args", Under("function_call"), Data(ToolInput)),
    row("response", Under("functionResponse"), Data(ToolResult)),
    row("response", Under("function_response"), Data(ToolResult)),
    row("toolResult", Anywhere, By(ToolResult)),
    // Names of tools and of kinds.
    row("name", Under("function"), Nothing),
    row("name", Under("tools"), Nothing),
    row("name", Under("tool_calls"), Nothing),
    row("name", Under("content"), Nothing),
    row("name", Under("input"), Nothing),
    row("name", Under("output"), Nothing),
    row("name", Under("functionCall"), Nothing),
    row("name", Under("functionResponse"), Nothing),
    row("name", Under("functionDeclarations"), Nothing),
    row("name", Under("toolUse"), Nothing),
    row("tool_choice", Root, NothingBeneath),
    row("toolChoice", Under("toolConfig"), NothingBeneath),
    row("model", Root, Nothing),
    row("object", Root, Nothing),
    row("status", Anywhere, Nothing),
    row("stop_reason", Anywhere, Nothing),
    row("finish_reason", Anywhere, Nothing),
    row("finishReason", Anywhere, Nothing),
    row("service_tier", Root, Nothing),
    row("system_fingerprint", Root, Nothing),
    row("media_type", Anywhere, Nothing),
    row("mime_type", Anywhere, Nothing),
    row("mimeType", Anywhere, Nothing),
    row("cache_control", Anywhere, NothingBeneath),
    row("safetySettings", Root, NothingBeneath),
    row("usage", Root, NothingBeneath),
    row("usageMetadata", Root, NothingBeneath),
    // Ids. A changed one is no longer found.
    row("id", Anywhere, Nothing),
    row("tool_use_id", Anywhere, Nothing),
    row("toolUseId", Anywhere, Nothing),
    row("tool_call_id", Anywhere, Nothing),
    row("call_id", Anywhere, Nothing),
    row("item_id", Anywhere, Nothing),
    row("file_id", Anywhere, Nothing),
    row("container_id", Anywhere, Nothing),
    row("previous_response_id", Root, Nothing),
    row("prompt_cache_key", Root, Nothing),
    row("safety_identifier", Root, Nothing),
    row("responseId", Root, Nothing),
    row("cachedContent", Root, Nothing),
    row("vector_store_ids", Anywhere, Nothing),
    // Signed or sealed by the provider: a changed byte makes it refuse the conversation.
    row("signature", Anywhere, Nothing),
    row("thoughtSignature", Anywhere, Nothing),
    row("thought_signature", Anywhere, Nothing),
    row("encrypted_content", Anywhere, Nothing),
    row("encrypted_index", Anywhere, Nothing),
    // What the model has thought is new in its answer; in a request it has been seen, and is the provider's.
    row("thinking", UnderRoot("content"), SignedText),
    row("thinking", Under("content"), Nothing),
    row("data", Under("content"), Media),
    row("data", Under("content_block"), Media),
    row("reasoningContent", Anywhere, NothingBeneath),
    row("reasoning_details", Under("message"), Text),
    row("reasoning_details", Anywhere, NothingBeneath),
    row("data", Under("reasoning_details"), Nothing),
    // Media.
    row("data", Under("source"), Media),
    row("data", Under("input_audio"), Media),
    row("data", Under("audio"), Media),
    row("data", Under("video"), Media),
    row("data", Under("mediaChunks"), Media),
    row("data", Under("media_chunks"), Media),
    // Sound of a conversation over a WebSocket (`input_audio_buffer.append`).
    row("audio", Root, Media),
    row("audio", Under("content"), Media),
    row("data", Under("inlineData"), Media),
    row("data", Under("inline_data"), Media),
    row("bytes", Under("source"), Media),
    row("file_data", Anywhere, Media),
    row("b64_json", Anywhere, Media),
    row("images", Under("messages"), Media),
    row("images", Root, Media),
    // Figures.
    row("embedding", Anywhere, NothingBeneath),
    row("logprobs", Anywhere, NothingBeneath),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_place_is_named_twice() {
        let mut seen = HashSet::new();
        for member in MEMBERS {
            assert!(seen.insert(format!("{} {:?}", member.name, member.place)), "{member:?}");
        }
    }
}
