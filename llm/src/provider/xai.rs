//! xAI. Its Anthropic surface is deprecated and not claimed.
//! Source: docs.x.ai/developers (seen 2026-11); `stream_options` as in its REST reference (recalled).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const XAI: Provider = Provider {
    kind: "xai",
    speaks: &[at(Dialect::OpenaiChat, "/v1"), at(Dialect::OpenaiResponses, "/v1")],
    default_base_url: Some("https://api.x.ai/v1"),
    key_env: "XAI_API_KEY",
    inject_usage: true,
    ..Provider::OPENAI_LIKE
};
