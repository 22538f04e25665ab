//! Anthropic, with its compatibility layer for chat completions (`stream_options` "fully supported").
//! Sources: docs.anthropic.com/en/api, docs.anthropic.com/en/api/openai-sdk (seen 2026-11).

use super::{ANTHROPIC_VERSION, Auth, Provider, at};
use crate::dialect::{Dialect, Family};

pub(super) const ANTHROPIC: Provider = Provider {
    kind: "anthropic",
    speaks: &[at(Dialect::AnthropicMessages, "/v1"), at(Dialect::OpenaiChat, "/v1")],
    default_base_url: Some("https://api.anthropic.com"),
    auth: Auth::XApiKey,
    auth_by_family: &[(Family::Openai, Auth::Bearer)],
    key_env: "ANTHROPIC_API_KEY",
    inject_usage: true,
    count_tokens: true,
    default_headers: &[ANTHROPIC_VERSION],
    ..Provider::OPENAI_LIKE
};
