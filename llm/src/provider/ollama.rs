//! Ollama, self-hosted, by its compatible surfaces.
//! Sources: docs.ollama.com/api/anthropic-compatibility (seen 2026-11), docs.ollama.com/api/openai-compatibility
//! (recalled: `stream_options.include_usage` is supported, `/v1/responses` without state).

use super::{ANTHROPIC_VERSION, Provider, at};
use crate::dialect::Dialect;

pub(super) const OLLAMA: Provider = Provider {
    kind: "ollama",
    speaks: &[
        at(Dialect::OpenaiChat, "/v1"),
        at(Dialect::OpenaiCompletions, "/v1"),
        at(Dialect::OpenaiResponses, "/v1"),
        at(Dialect::OpenaiEmbeddings, "/v1"),
        at(Dialect::AnthropicMessages, "/v1"),
    ],
    default_base_url: Some("http://localhost:11434/v1"),
    key_env: "OLLAMA_API_KEY",
    key_optional: true,
    inject_usage: true,
    default_headers: &[ANTHROPIC_VERSION],
    ..Provider::OPENAI_LIKE
};
