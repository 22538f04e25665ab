//! DeepSeek, with a native Anthropic surface (`x-api-key`; `anthropic-version` ignored there).
//! Sources: api-docs.deepseek.com, api-docs.deepseek.com/guides/anthropic_api (seen 2026-11).

use super::{Auth, Provider, at};
use crate::dialect::{Dialect, Family};

pub(super) const DEEPSEEK: Provider = Provider {
    kind: "deepseek",
    speaks: &[at(Dialect::OpenaiChat, ""), at(Dialect::AnthropicMessages, "/anthropic/v1")],
    default_base_url: Some("https://api.deepseek.com"),
    auth_by_family: &[(Family::Anthropic, Auth::XApiKey)],
    key_env: "DEEPSEEK_API_KEY",
    inject_usage: true,
    ..Provider::OPENAI_LIKE
};
