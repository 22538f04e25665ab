//! OpenAI. Source: platform.openai.com/docs/api-reference (seen 2026-11).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const OPENAI: Provider = Provider {
    kind: "openai",
    speaks: &[
        at(Dialect::OpenaiChat, "/v1"),
        at(Dialect::OpenaiCompletions, "/v1"),
        at(Dialect::OpenaiResponses, "/v1"),
        at(Dialect::OpenaiEmbeddings, "/v1"),
    ],
    default_base_url: Some("https://api.openai.com/v1"),
    key_env: "OPENAI_API_KEY",
    inject_usage: true,
    ..Provider::OPENAI_LIKE
};
