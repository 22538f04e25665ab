//! Google Gemini, with its compatibility layer for chat completions and embeddings.
//! Sources: ai.google.dev/api, ai.google.dev/gemini-api/docs/openai (recalled; not on record that
//! `stream_options` is taken there, so usage is not asked for).

use super::{Auth, Provider, at};
use crate::dialect::{Dialect, Family};

pub(super) const GEMINI: Provider = Provider {
    kind: "gemini",
    speaks: &[
        at(Dialect::GeminiGenerate, "/v1beta"),
        at(Dialect::OpenaiChat, "/v1beta/openai"),
        at(Dialect::OpenaiEmbeddings, "/v1beta/openai"),
    ],
    default_base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    auth: Auth::XGoogApiKey,
    auth_by_family: &[(Family::Openai, Auth::Bearer)],
    key_env: "GEMINI_API_KEY",
    count_tokens: true,
    ..Provider::OPENAI_LIKE
};
