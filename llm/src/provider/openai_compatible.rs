//! Any other server that speaks OpenAI's dialects. Its base URL is taken as it is given, and nothing is asked of
//! it that the client did not ask.

use super::{Layout, Provider, at};
use crate::dialect::Dialect;

pub(super) const OPENAI_COMPATIBLE: Provider = Provider {
    kind: "openai-compatible",
    speaks: &[
        at(Dialect::OpenaiChat, "/v1"),
        at(Dialect::OpenaiCompletions, "/v1"),
        at(Dialect::OpenaiResponses, "/v1"),
        at(Dialect::OpenaiEmbeddings, "/v1"),
    ],
    key_env: "OPENAI_COMPATIBLE_API_KEY",
    key_optional: true,
    layout: Layout::BaseAsGiven,
    ..Provider::OPENAI_LIKE
};
