//! Our own refusals, in the shape that the caller's SDK understands.

use crate::dialect::{Dialect, Family};
use crate::request::text::push_string;

/// A refusal or failure of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault<'a> {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// The stable machine code, the same word as in records and metrics.
    pub reason: &'a str,
    /// What happened and what to do, for people.
    pub message: &'a str,
    /// The id of the exchange, as in the header `x-request-id`.
    pub request_id: &'a str,
}

/// A status and the word each family has for it.
struct Words {
    status: u16,
    openai: &'static str,
    anthropic: &'static str,
    gemini: &'static str,
}

const fn words(status: u16, openai: &'static str, anthropic: &'static str, gemini: &'static str) -> Words {
    Words { status, openai, anthropic, gemini }
}

/// The words of each status: OpenAI's `type`, Anthropic's `type`, Google's canonical `status`.
///
/// Sources: platform.openai.com/docs/guides/error-codes; docs.anthropic.com/en/api/errors;
/// cloud.google.com/apis/design/errors (canonical codes and their HTTP mapping), seen 2026-11.
/// Anthropic and Google have no word of their own for some statuses; those take the nearest documented one.
const WORDS: &[Words] = &[
    words(400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    words(401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
    words(402, "insufficient_quota", "billing_error", "FAILED_PRECONDITION"),
    words(403, "permission_error", "permission_error", "PERMISSION_DENIED"),
    words(404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
    words(405, "invalid_request_error", "invalid_request_error", "UNIMPLEMENTED"),
    words(408, "timeout_error", "timeout_error", "DEADLINE_EXCEEDED"),
    words(409, "invalid_request_error", "invalid_request_error", "ABORTED"),
    words(413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
    words(415, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    words(422, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    words(429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    words(500, "server_error", "api_error", "INTERNAL"),
    words(501, "server_error", "api_error", "UNIMPLEMENTED"),
    words(502, "server_error", "api_error", "UNAVAILABLE"),
    words(503, "server_error", "overloaded_error", "UNAVAILABLE"),
    words(504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
    words(529, "server_error", "overloaded_error", "UNAVAILABLE"),
];

/// The words of a status; an unlisted one takes those of its class.
fn words_of(status: u16) -> &'static Words {
    const CLIENT: Words = words(400, "invalid_request_error", "invalid_request_error", "FAILED_PRECONDITION");
    const SERVER: Words = words(500, "server_error", "api_error", "INTERNAL");
    let class = if (400..500).contains(&status) { &CLIENT } else { &SERVER };
    WORDS.iter().find(|words| words.status == status).unwrap_or(class)
}

/// The body of the answer, JSON in the family's shape. The machine code is OpenAI's `error.code`, an additional
/// `error.code` for Anthropic (its SDKs keep unknown fields), and Google's `ErrorInfo.reason`.
pub fn render(family: Family, fault: &Fault<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(CAPACITY + fault.message.len());
    match family {
        Family::Openai => {
            out.extend_from_slice(b"{\"error\":");
            openai_error(&mut out, fault);
            out.push(b'}');
        }
        Family::Anthropic => anthropic(&mut out, fault),
        Family::Gemini => gemini(&mut out, fault),
    }
    out
}

/// The bytes that end a broken stream, to be sent at an event's boundary: one error event that the dialect's
/// SDKs raise. For Responses also a `response.failed`, which is what Codex reads.
pub fn render_event(dialect: Dialect, fault: &Fault<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 * CAPACITY + 2 * fault.message.len());
    match dialect {
        Dialect::OpenaiResponses => responses_events(&mut out, fault),
        Dialect::AnthropicMessages => {
            out.extend_from_slice(b"event: error\ndata: ");
            anthropic(&mut out, fault);
        }
        Dialect::GeminiGenerate => {
            out.extend_from_slice(b"data: ");
            gemini(&mut out, fault);
        }
        Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
            out.extend_from_slice(b"data: {\"error\":");
            openai_error(&mut out, fault);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"\n\n");
    out
}

/// Bytes to reserve for a body, beside its message.
const CAPACITY: usize = 384;

/// `,"name":"value"`, without the comma directly behind a brace.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    if !matches!(out.last(), Some(b'{')) {
        out.push(b',');
    }
    push_string(out, name);
    out.push(b':');
    push_string(out, value);
}

fn openai_error(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.push(b'{');
    field(out, "message", fault.message);
    field(out, "type", words_of(fault.status).openai);
    out.extend_from_slice(b",\"param\":null");
    field(out, "code", fault.reason);
    out.push(b'}');
}

/// The documented event has its fields at the top; openai-python and openai-node raise on a member `error`.
fn responses_events(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"param\":null");
    field(out, "code", fault.reason);
    field(out, "message", fault.message);
    out.extend_from_slice(b",\"error\":");
    openai_error(out, fault);
    out.extend_from_slice(
        b"}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":1,",
    );
    out.extend_from_slice(b"\"response\":{\"object\":\"response\",\"status\":\"failed\",\"output\":[]");
    field(out, "id", fault.request_id);
    out.extend_from_slice(b",\"error\":{");
    field(out, "code", fault.reason);
    field(out, "message", fault.message);
    out.extend_from_slice(b"}}}");
}

fn anthropic(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.extend_from_slice(b"{\"type\":\"error\",\"error\":{");
    field(out, "type", words_of(fault.status).anthropic);
    field(out, "message", fault.message);
    field(out, "code", fault.reason);
    out.push(b'}');
    field(out, "request_id", fault.request_id);
    out.push(b'}');
}

fn gemini(out: &mut Vec<u8>, fault: &Fault<'_>) {
    out.extend_from_slice(b"{\"error\":{\"code\":");
    out.extend_from_slice(fault.status.to_string().as_bytes());
    field(out, "message", fault.message);
    field(out, "status", words_of(fault.status).gemini);
    out.extend_from_slice(b",\"details\":[{");
    field(out, "@type", "type.googleapis.com/google.rpc.ErrorInfo");
    field(out, "reason", fault.reason);
    field(out, "domain", "narrows");
    out.extend_from_slice(b"},{");
    field(out, "@type", "type.googleapis.com/google.rpc.RequestInfo");
    field(out, "requestId", fault.request_id);
    out.extend_from_slice(b"}]}}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::DIALECTS;
    use serde_json::Value;

    const FAULT: Fault<'static> = Fault {
        status: 429,
        reason: "provider_rate_limited",
        message: "slow \"down\"\n\u{1}, \u{fc}ber limit",
        request_id: "0199-id",
    };

    fn body(family: Family, fault: &Fault<'_>) -> Value {
        serde_json::from_slice(&render(family, fault)).unwrap()
    }

    /// The data of every event, with its name.
    fn events(bytes: &[u8]) -> Vec<(Option<String>, Value)> {
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.ends_with("\n\n"));
        let event = |block: &str| {
            let name = block.lines().find_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
            let data: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            assert_eq!(data.len(), 1, "one data line per event");
            (name, serde_json::from_str(data[0]).unwrap())
        };
        text.split_terminator("\n\n").map(event).collect()
    }

    #[test]
    fn openai_bodies_have_the_four_fields_and_the_code() {
        let error = &body(Family::Openai, &FAULT)["error"];
        assert_eq!(error["message"], FAULT.message);
        assert_eq!(error["type"], "rate_limit_error");
        assert_eq!(error["code"], FAULT.reason);
        assert!(error["param"].is_null() && error.as_object().unwrap().contains_key("param"));
    }

    #[test]
    fn anthropic_bodies_have_type_request_id_and_the_code() {
        let body = body(Family::Anthropic, &FAULT);
        assert_eq!(body["type"], "error");
        assert_eq!(body["error"]["type"], "rate_limit_error");
        assert_eq!(body["error"]["message"], FAULT.message);
        assert_eq!(body["error"]["code"], FAULT.reason);
        assert_eq!(body["request_id"], FAULT.request_id);
    }

    #[test]
    fn gemini_bodies_have_numeric_code_status_and_error_info() {
        let error = &body(Family::Gemini, &FAULT)["error"];
        assert_eq!(error["code"], 429);
        assert_eq!(error["status"], "RESOURCE_EXHAUSTED");
        assert_eq!(error["message"], FAULT.message);
        assert_eq!(error["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(error["details"][0]["reason"], FAULT.reason);
        assert_eq!(error["details"][1]["requestId"], FAULT.request_id);
    }

    #[test]
    fn every_status_has_a_word_in_every_family() {
        let cases = [
            (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
            (403, "permission_error", "permission_error", "PERMISSION_DENIED"),
            (404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
            (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
            (504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
            (529, "server_error", "overloaded_error", "UNAVAILABLE"),
            (418, "invalid_request_error", "invalid_request_error", "FAILED_PRECONDITION"),
            (599, "server_error", "api_error", "INTERNAL"),
        ];
        for (status, openai, anthropic, gemini) in cases {
            let fault = Fault { status, ..FAULT };
            assert_eq!(body(Family::Openai, &fault)["error"]["type"], openai);
            assert_eq!(body(Family::Anthropic, &fault)["error"]["type"], anthropic);
            assert_eq!(body(Family::Gemini, &fault)["error"]["status"], gemini);
        }
        assert!(WORDS.is_sorted_by(|a, b| a.status < b.status));
    }

    #[test]
    fn every_dialect_ends_a_broken_stream_with_one_error() {
        for (dialect, word, family) in DIALECTS {
            let events = events(&render_event(*dialect, &FAULT));
            let (name, data) = &events[0];
            match dialect {
                Dialect::OpenaiResponses => {
                    assert_eq!(name.as_deref(), Some("error"));
                    assert_eq!((&data["type"], &data["code"]), (&"error".into(), &FAULT.reason.into()));
                    assert_eq!(data["error"]["message"], FAULT.message);
                    assert_eq!(events[1].0.as_deref(), Some("response.failed"));
                    assert_eq!(events[1].1["type"], "response.failed");
                    assert_eq!(events[1].1["response"]["error"]["message"], FAULT.message);
                    assert_eq!(events.len(), 2);
                }
                Dialect::AnthropicMessages => {
                    assert_eq!(name.as_deref(), Some("error"));
                    assert_eq!(*data, body(*family, &FAULT));
                    assert_eq!(events.len(), 1);
                }
                _ => {
                    assert_eq!(*name, None, "{word}");
                    assert_eq!(*data, body(*family, &FAULT));
                    assert_eq!(events.len(), 1);
                }
            }
        }
    }
}
