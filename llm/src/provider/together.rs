//! Together. Source: docs.together.ai/docs/openai-api-compatibility (recalled).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const TOGETHER: Provider = Provider {
    kind: "together",
    speaks: &[
        at(Dialect::OpenaiChat, "/v1"),
        at(Dialect::OpenaiCompletions, "/v1"),
        at(Dialect::OpenaiEmbeddings, "/v1"),
    ],
    default_base_url: Some("https://api.together.xyz/v1"),
    key_env: "TOGETHER_API_KEY",
    ..Provider::OPENAI_LIKE
};
