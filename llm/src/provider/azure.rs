//! Azure OpenAI. Without an API version, or with an undated one, its `/openai/v1` surface; with a dated one,
//! `/openai/deployments/{deployment}`. Responses are served from `/openai/v1` always.
//! Source: learn.microsoft.com/azure/foundry/openai/api-version-lifecycle (seen 2026-11).

use super::{Auth, Layout, Provider, at};
use crate::dialect::Dialect;

pub(super) const AZURE: Provider = Provider {
    kind: "azure",
    speaks: &[
        at(Dialect::OpenaiChat, "/openai/v1"),
        at(Dialect::OpenaiCompletions, "/openai/v1"),
        at(Dialect::OpenaiResponses, "/openai/v1"),
        at(Dialect::OpenaiEmbeddings, "/openai/v1"),
    ],
    auth: Auth::ApiKey,
    key_env: "AZURE_OPENAI_API_KEY",
    inject_usage: true,
    layout: Layout::Azure,
    ..Provider::OPENAI_LIKE
};
