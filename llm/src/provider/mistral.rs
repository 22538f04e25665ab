//! Mistral. Reports usage in the last chunk unasked and can refuse unknown fields with 422.
//! Source: docs.mistral.ai/api (recalled).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const MISTRAL: Provider = Provider {
    kind: "mistral",
    speaks: &[at(Dialect::OpenaiChat, "/v1"), at(Dialect::OpenaiEmbeddings, "/v1")],
    default_base_url: Some("https://api.mistral.ai/v1"),
    key_env: "MISTRAL_API_KEY",
    ..Provider::OPENAI_LIKE
};
