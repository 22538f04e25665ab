//! vLLM, self-hosted; its Anthropic surface counts tokens too.
//! Source: docs.vllm.ai/en/stable/serving/online_serving (seen 2026-11).

use super::{ANTHROPIC_VERSION, Provider, at};
use crate::dialect::Dialect;

pub(super) const VLLM: Provider = Provider {
    kind: "vllm",
    speaks: &[
        at(Dialect::OpenaiChat, "/v1"),
        at(Dialect::OpenaiCompletions, "/v1"),
        at(Dialect::OpenaiResponses, "/v1"),
        at(Dialect::OpenaiEmbeddings, "/v1"),
        at(Dialect::AnthropicMessages, "/v1"),
    ],
    default_base_url: Some("http://localhost:8000/v1"),
    key_env: "VLLM_API_KEY",
    key_optional: true,
    inject_usage: true,
    count_tokens: true,
    default_headers: &[ANTHROPIC_VERSION],
    ..Provider::OPENAI_LIKE
};
