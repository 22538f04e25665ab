//! Error bodies as each family sends them.

use super::headers;
use crate::answer::{Draft, ID_EMPTY, Piece};
use crate::ask::Refusal;
use crate::script::quote;
use narrows_llm::dialect::{Dialect, Family};

/// An error answer. `credential` is what the client sent; a 401 quotes a part of it, as OpenAI's does.
pub(crate) fn refusal(family: Family, status: u16, message: Option<&str>, credential: &str) -> Draft {
    let message = match (message, status) {
        (Some(message), _) => message.to_owned(),
        (None, 401) => unauthorized(family, credential),
        (None, _) => usual_message(status).to_owned(),
    };
    let message = quote(&message);
    let body = match family {
        Family::Openai => {
            let (kind, code) = openai_kind(status);
            format!(
                "{{\n    \"error\": {{\n        \"message\": {message},\n        \"type\": \"{kind}\",\n        \
                 \"param\": null,\n        \"code\": {code}\n    }}\n}}\n"
            )
        }
        Family::Anthropic => format!(
            "{{\"type\":\"error\",\"error\":{{\"type\":\"{}\",\"message\":{message}}},\"request_id\":\"req_fake\"}}",
            anthropic_kind(status)
        ),
        Family::Gemini => format!(
            "{{\n  \"error\": {{\n    \"code\": {status},\n    \"message\": {message},\n    \"status\": \"{}\"\n  }}\n}}\n",
            gemini_kind(status)
        ),
    };
    let content_type = match family {
        Family::Gemini => "application/json; charset=UTF-8",
        _ => "application/json",
    };
    let mut headers = headers(family);
    if family == Family::Anthropic {
        headers.push_str("x-should-retry: ");
        headers.push_str(if matches!(status, 408 | 409 | 429 | 500..) { "true\r\n" } else { "false\r\n" });
    }
    Draft { status, content_type, headers, pieces: vec![Piece::frame(body, 0)], streamed: false }
}

/// The answer to a request that could not be understood.
pub(crate) fn refused(cause: Refusal) -> (Family, Draft) {
    let (family, status, message) = match cause {
        Refusal::NotFound(family) => (family, 404, "Unknown request URL. Please check the URL for typos."),
        Refusal::BadJson(family) => (family, 400, "We could not parse the JSON body of your request."),
        Refusal::NoModel(family) => (family, 400, "you must provide a model parameter"),
        Refusal::TooManyInputs => (Family::Openai, 400, "'input' is too long: at most 2048 items"),
    };
    (family, refusal(family, status, Some(message), ""))
}

/// A web page, as a load balancer sends it.
pub(crate) fn html(status: u16) -> Draft {
    let page = format!(
        "<html>\r\n<head><title>{status} {0}</title></head>\r\n<body>\r\n<center><h1>{status} {0}</h1></center>\r\n\
         <hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
        crate::answer::reason_phrase(status)
    );
    Draft {
        status,
        content_type: "text/html",
        headers: format!("cf-ray: {ID_EMPTY}-FRA\r\n"),
        pieces: vec![Piece::frame(page, 0)],
        streamed: false,
    }
}

/// The error a dialect puts into a stream that has begun under status 200.
pub(crate) fn event(dialect: Dialect) -> String {
    let message = "The server had an error while processing your request. Sorry about that!";
    match dialect {
        Dialect::AnthropicMessages => super::event(
            "error",
            "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
        ),
        Dialect::OpenaiResponses => super::event(
            "error",
            &format!(
                "{{\"type\":\"error\",\"sequence_number\":9,\"code\":\"server_error\",\"message\":\"{message}\",\
                 \"param\":null}}"
            ),
        ),
        Dialect::GeminiGenerate => super::data(
            "{\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try again later.\",\
             \"status\":\"UNAVAILABLE\"}}",
        ),
        Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
            super::data(&format!(
                "{{\"error\":{{\"message\":\"{message}\",\"type\":\"server_error\",\"param\":null,\"code\":null}}}}"
            ))
        }
    }
}

fn unauthorized(family: Family, credential: &str) -> String {
    match family {
        Family::Openai => {
            let characters: Vec<char> = credential.chars().collect();
            let head: String = characters.iter().take(8).collect();
            let tail: String = characters.iter().skip(characters.len().saturating_sub(4)).collect();
            format!(
                "Incorrect API key provided: {head}***************{tail}. You can find your API key at \
                 https://platform.openai.com/account/api-keys."
            )
        }
        Family::Anthropic => "invalid x-api-key".to_owned(),
        Family::Gemini => "API key not valid. Please pass a valid API key.".to_owned(),
    }
}

fn usual_message(status: u16) -> &'static str {
    match status {
        400 => "The request was malformed.",
        403 => "You do not have access to the requested resource.",
        404 => "The model does not exist or you do not have access to it.",
        413 => "Request exceeds the maximum allowed number of bytes.",
        429 => "Rate limit reached. Please try again later.",
        503 | 529 => "Overloaded",
        _ => "The server had an error while processing your request.",
    }
}

fn openai_kind(status: u16) -> (&'static str, &'static str) {
    match status {
        401 => ("invalid_request_error", "\"invalid_api_key\""),
        403 => ("invalid_request_error", "\"unsupported_country_region_territory\""),
        404 => ("invalid_request_error", "\"model_not_found\""),
        429 => ("requests", "\"rate_limit_exceeded\""),
        500.. => ("server_error", "null"),
        _ => ("invalid_request_error", "null"),
    }
}

fn anthropic_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn gemini_kind(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}
