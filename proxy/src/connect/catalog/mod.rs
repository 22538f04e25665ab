//! The list of clients. To add one: an entry in one of these files, a line in [`CLIENTS`], and its guide
//! (`UPDATE=1 cargo test -p narrows --lib connect`).

mod agents;
mod applications;
mod libraries;

use super::Client;

/// Every client, in the order of the tables.
pub(crate) static CLIENTS: &[&Client] = &[
    &libraries::OPENAI_SDK,
    &libraries::ANTHROPIC_SDK,
    &libraries::GOOGLE_GENAI_SDK,
    &libraries::LANGCHAIN,
    &libraries::GOOGLE_ADK,
    &libraries::CURL,
    &agents::CLAUDE_CODE,
    &agents::CLAUDE_CODE_SUBSCRIPTION,
    &agents::CODEX,
    &agents::GEMINI_CLI,
    &agents::OPENCODE,
    &agents::COPILOT_CLI,
    &applications::CLINE,
    &applications::AIDER,
    &applications::CONTINUE,
    &applications::CURSOR,
    &applications::COPILOT,
    &applications::CLAUDE_DESKTOP,
];
