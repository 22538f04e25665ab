//! OpenRouter, with a native Anthropic surface that takes bearer tokens. Reports usage in the last chunk unasked.
//! Source: openrouter.ai/docs/api/api-reference/anthropic-messages/create-a-message (seen 2026-11).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const OPENROUTER: Provider = Provider {
    kind: "openrouter",
    speaks: &[
        at(Dialect::OpenaiChat, "/api/v1"),
        at(Dialect::OpenaiCompletions, "/api/v1"),
        at(Dialect::OpenaiResponses, "/api/v1"),
        at(Dialect::OpenaiEmbeddings, "/api/v1"),
        at(Dialect::AnthropicMessages, "/api/v1"),
    ],
    default_base_url: Some("https://openrouter.ai/api/v1"),
    key_env: "OPENROUTER_API_KEY",
    ..Provider::OPENAI_LIKE
};
