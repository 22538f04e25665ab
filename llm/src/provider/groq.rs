//! Groq. Reports usage in `x_groq` unasked.
//! Source: console.groq.com/docs/openai, console.groq.com/docs/responses-api (recalled).

use super::{Provider, at};
use crate::dialect::Dialect;

pub(super) const GROQ: Provider = Provider {
    kind: "groq",
    speaks: &[at(Dialect::OpenaiChat, "/openai/v1"), at(Dialect::OpenaiResponses, "/openai/v1")],
    default_base_url: Some("https://api.groq.com/openai/v1"),
    key_env: "GROQ_API_KEY",
    ..Provider::OPENAI_LIKE
};
