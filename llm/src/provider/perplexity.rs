//! Perplexity. Chat completions stand at the root of the host, Responses under `/v1`. Reports usage in every
//! chunk unasked. Source: docs.perplexity.ai/docs/sonar/openai-compatibility (seen 2026-11).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const PERPLEXITY: Provider = Provider {
    kind: "perplexity",
    speaks: &[at(Dialect::OpenaiChat, ""), at(Dialect::OpenaiResponses, "/v1")],
    default_base_url: Some("https://api.perplexity.ai"),
    key_env: "PERPLEXITY_API_KEY",
    ..Provider::OPENAI_LIKE
};
