//! One file per dialect: what a script looks like on its wire.

mod anthropic;
mod error;
mod gemini;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod small;

pub(crate) use error::{event as error_event, html, refusal, refused};
pub(crate) use openai_responses::ID as RESPONSE_ID;

use crate::answer::{Draft, ID_EMPTY, Piece};
use crate::ask::{Ask, Form, Operation};
use crate::script::Script;
use narrows_llm::dialect::{Dialect, Family};

/// Creation time told by every answer, in seconds since the epoch (constant, so that answers can be compared).
pub(crate) const CREATED: u64 = 1_764_000_000;

/// The healthy answer to a request.
pub(crate) fn draft(ask: &Ask, script: &Script) -> Draft {
    let streamed = ask.form != Form::Unary;
    let pieces = match (ask.operation, ask.dialect) {
        (Operation::Models, _) => small::models(ask.dialect.family()),
        (Operation::CountTokens, _) => small::count_tokens(ask, script),
        (Operation::Generate, Dialect::OpenaiEmbeddings) => small::embeddings(ask, script),
        (Operation::Generate, Dialect::OpenaiChat) if streamed => openai_chat::stream(ask, script),
        (Operation::Generate, Dialect::OpenaiChat) => openai_chat::whole(ask, script),
        (Operation::Generate, Dialect::OpenaiCompletions) if streamed => {
            openai_completions::stream(ask, script)
        }
        (Operation::Generate, Dialect::OpenaiCompletions) => openai_completions::whole(ask, script),
        (Operation::Generate, Dialect::OpenaiResponses) if streamed => openai_responses::stream(ask, script),
        (Operation::Generate, Dialect::OpenaiResponses) => openai_responses::whole(ask, script),
        (Operation::Generate, Dialect::AnthropicMessages) if streamed => anthropic::stream(ask, script),
        (Operation::Generate, Dialect::AnthropicMessages) => anthropic::whole(ask, script),
        (Operation::Generate, Dialect::GeminiGenerate) => match ask.form {
            Form::Unary => gemini::whole(ask, script),
            Form::Events => gemini::events(ask, script),
            Form::Array => gemini::array(ask, script),
        },
    };
    let content_type = match (ask.form, ask.dialect.family()) {
        (Form::Events, Family::Openai | Family::Anthropic) => "text/event-stream; charset=utf-8",
        (Form::Events, Family::Gemini) => "text/event-stream",
        (_, Family::Gemini) => "application/json; charset=UTF-8",
        _ => "application/json",
    };
    Draft { status: 200, content_type, headers: headers(ask.dialect.family()), pieces, streamed }
}

/// The header lines each family sends beside type and length.
pub(crate) fn headers(family: Family) -> String {
    match family {
        Family::Openai => format!(
            "x-request-id: req_{ID_EMPTY}\r\nopenai-organization: org-fake\r\nopenai-processing-ms: 12\r\n\
             openai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n\
             x-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n\
             x-ratelimit-remaining-tokens: 1999000\r\nx-ratelimit-reset-requests: 6ms\r\n\
             x-ratelimit-reset-tokens: 30ms\r\n"
        ),
        Family::Anthropic => format!(
            "request-id: req_{ID_EMPTY}\r\nanthropic-organization-id: 00000000-0000-4000-8000-000000000000\r\n\
             anthropic-ratelimit-requests-limit: 4000\r\nanthropic-ratelimit-requests-remaining: 3999\r\n\
             anthropic-ratelimit-requests-reset: 2026-01-01T00:00:00Z\r\n\
             anthropic-ratelimit-input-tokens-limit: 400000\r\n\
             anthropic-ratelimit-input-tokens-remaining: 399000\r\n\
             anthropic-ratelimit-output-tokens-limit: 80000\r\n\
             anthropic-ratelimit-output-tokens-remaining: 79000\r\n"
        ),
        Family::Gemini => format!(
            "x-goog-request-id: {ID_EMPTY}\r\nserver: scaffolding on HTTPServer2\r\nx-xss-protection: 0\r\n\
             x-frame-options: SAMEORIGIN\r\nx-content-type-options: nosniff\r\nserver-timing: gfet4t7; dur=12\r\n"
        ),
    }
}

/// A server-sent event without a name.
fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// A server-sent event with a name.
fn event(name: &str, json: &str) -> String {
    format!("event: {name}\ndata: {json}\n\n")
}

/// A tool call's arguments, cut where the script cuts its text: joined they are one JSON object.
fn argument_pieces(script: &Script) -> Vec<(String, u64)> {
    let last = script.texts.len().saturating_sub(1);
    let steps = script.steps().enumerate();
    steps
        .map(|(index, (text, total))| {
            let quoted = crate::script::quote(text);
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            let before = if index == 0 { "{\"text\":\"" } else { "" };
            let after = if index == last { "\"}" } else { "" };
            (format!("{before}{inner}{after}"), total)
        })
        .collect()
}

/// An answer in one piece.
fn one(json: String, script: &Script) -> Vec<Piece> {
    vec![Piece::content(json, script.output())]
}
