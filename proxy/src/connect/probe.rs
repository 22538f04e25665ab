//! Whether a gateway answers a client as it should: what is asked, and what the answers mean.

use super::edit::Format;
use super::{Client, File, Value};
use http::StatusCode;
use narrows_llm::Dialect;
use narrows_policy::Reason;
use serde_json::{Value as Json, json};

/// Tokens that the one paid call may generate.
const SPEND_TOKENS: u64 = 16;
/// Models that are named in a finding.
const MODELS_SHOWN: usize = 5;
/// Bytes of a foreign answer that are shown.
const SHOWN_BYTES: usize = 200;

/// The path that lists what a key may use.
pub(crate) const MODELS_PATH: &str = "/v1/models";

/// What one request showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It is not; what it is, and what to do.
    Wrong(String),
}

/// A call that generates a few tokens, in a dialect: path and body.
pub(crate) fn call(dialect: Dialect, model: &str) -> Option<(String, Json)> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    match dialect {
        Dialect::OpenaiChat => {
            let body = json!({"model": model, "messages": messages, "max_completion_tokens": SPEND_TOKENS});
            Some(("/v1/chat/completions".to_owned(), body))
        }
        Dialect::OpenaiResponses => {
            let body = json!({"model": model, "input": "hi", "max_output_tokens": SPEND_TOKENS});
            Some(("/v1/responses".to_owned(), body))
        }
        Dialect::AnthropicMessages => {
            let body = json!({"model": model, "messages": messages, "max_tokens": SPEND_TOKENS});
            Some(("/v1/messages".to_owned(), body))
        }
        Dialect::GeminiGenerate => {
            let contents = json!([{"role": "user", "parts": [{"text": "hi"}]}]);
            let body = json!({"contents": contents, "generationConfig": {"maxOutputTokens": SPEND_TOKENS}});
            Some((format!("/v1beta/models/{model}:generateContent"), body))
        }
        _ => None,
    }
}

/// What the answer to [`MODELS_PATH`] means.
pub(crate) fn listed(url: &str, status: StatusCode, body: &[u8]) -> Finding {
    let json: Option<Json> = serde_json::from_slice(body).ok();
    let data = json.as_ref().and_then(|json| json.get("data")).and_then(Json::as_array);
    match data {
        Some(data) if status.is_success() => {
            let names: Vec<&str> = data.iter().filter_map(|model| model.get("id")?.as_str()).collect();
            Finding::Fine(match names.len() {
                0 => {
                    "the key is taken; no model is listed by name, those of patterns can be used all the same"
                        .to_owned()
                }
                count => {
                    let shown = names.get(..MODELS_SHOWN).unwrap_or(&names).join(", ");
                    let more = if count > MODELS_SHOWN { ", …" } else { "" };
                    format!("the key is taken; {count} models are listed: {shown}{more}")
                }
            })
        }
        _ if status.is_success() => Finding::Wrong(format!(
            "{url} is answered by something else: {}; --url is the address of `listen.gateway`",
            shown(body)
        )),
        _ => refused(url, status, json.as_ref(), body),
    }
}

/// What the answer to [`call`] means.
pub(crate) fn called(url: &str, path: &str, model: &str, status: StatusCode, body: &[u8]) -> Finding {
    let json: Option<Json> = serde_json::from_slice(body).ok();
    match &json {
        Some(Json::Object(_)) if status.is_success() => {
            Finding::Fine(format!("`{model}` answered at {path}"))
        }
        _ if status.is_success() => Finding::Wrong(format!("{path} was answered with {}", shown(body))),
        _ => refused(url, status, json.as_ref(), body),
    }
}

/// What a refusal means: of the gateway, of the provider behind it, or of something else that answered.
fn refused(url: &str, status: StatusCode, json: Option<&Json>, body: &[u8]) -> Finding {
    let (word, said) = json.map(error).unwrap_or_default();
    let said = said.unwrap_or_else(|| shown(body));
    let what_to_do = match word.as_deref() {
        Some("key_missing" | "key_unknown" | "key_disabled" | "key_expired" | "key_conflict") => {
            "look at the key: `narrows keys list`, or have one made with --create-key"
        }
        Some("model_not_allowed") => {
            "the key is for other models: `narrows keys show ID`; name one of them with --model"
        }
        Some("model_unknown") => {
            "no provider serves it: see `models` in the gateway's configuration, or name another with --model"
        }
        Some("dialect_unsupported") => {
            "the model's provider does not speak this client's API: name another with --model"
        }
        Some("path_unknown") => {
            "the URL has a path too many: give it without `/v1` and without an API's path"
        }
        Some("provider_credential_refused") => {
            "the client is set up right; an operator has to look at the provider's `api_key`"
        }
        Some(word) if word.starts_with("provider_") => {
            "the client is set up right; the provider, or the way to it, failed"
        }
        Some(word) if Reason::from_word(word).is_some() => "the gateway says what to do",
        _ if json.is_some() => {
            "this is the provider's own answer, or that of another server: --url is the address of `listen.gateway`"
        }
        _ => "this is not the answer of a gateway: --url is the address of `listen.gateway`",
    };
    let word = word.map_or_else(String::new, |word| format!(" {word}"));
    Finding::Wrong(format!("{url} answered {}{word}: {said}; {what_to_do}", status.as_u16()))
}

/// The gateway's word and text in an error of any family.
fn error(json: &Json) -> (Option<String>, Option<String>) {
    let error = json.get("error").unwrap_or(json);
    let text = |value: Option<&Json>| value.and_then(Json::as_str).map(str::to_owned);
    let word = text(error.get("code")).or_else(|| text(error.pointer("/details/0/reason")));
    (word, text(error.get("message")))
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..SHOWN_BYTES).unwrap_or(body)).into_owned();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", text.escape_debug()) }
}

/// What stands in a client's settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The gateway's base URL, without what the client wants behind it.
    pub(crate) url: Option<String>,
    /// The virtual key.
    pub(crate) key: Option<String>,
    /// A base URL that is not as this client wants it.
    pub(crate) fault: Option<String>,
}

/// Reads URL and key back from the text of a settings file; what cannot be read is not there.
pub(crate) fn read_back(client: &Client, file: &File, text: &str, found: &mut Found) {
    for setting in file.settings {
        let Some(value) = value(file.format, text, setting.path) else { continue };
        match setting.value {
            Value::Text("{url}") => {
                if let Some(base) = value.trim_end_matches('/').strip_suffix("/v1") {
                    found.fault = Some(format!("{} wants the base URL without `/v1`: {base}", client.title));
                }
                found.url = Some(value.trim_end_matches('/').trim_end_matches("/v1").to_owned());
            }
            Value::Text("{url}/v1") => {
                let bare = value.trim_end_matches('/');
                if !bare.ends_with("/v1") {
                    found.fault = Some(format!("{} wants the base URL with `/v1`: {bare}/v1", client.title));
                }
                found.url = Some(bare.trim_end_matches("/v1").to_owned());
            }
            Value::Text("{key}") => found.key = Some(value),
            Value::Line(mark, "{key}") => {
                found.key = value.lines().find_map(|line| line.strip_prefix(mark)).map(str::to_owned);
            }
            Value::Text(_) | Value::Line(..) => {}
        }
    }
}

fn value(format: Format, text: &str, path: &[&str]) -> Option<String> {
    format.unquote(&format.get(text, path).ok()??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::find;

    const URL: &str = "http://gate.test";

    fn wrong(status: u16, body: &str) -> String {
        match listed(URL, StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
            Finding::Wrong(text) => text,
            Finding::Fine(text) => panic!("{text}"),
        }
    }

    #[test]
    fn a_list_of_models_is_fine() {
        let list = |names: &[&str]| {
            let data: Vec<Json> = names.iter().map(|name| json!({"id": name})).collect();
            listed(URL, StatusCode::OK, json!({"object": "list", "data": data}).to_string().as_bytes())
        };
        let fine = |text: &str| Finding::Fine(text.to_owned());
        assert_eq!(list(&["a", "b"]), fine("the key is taken; 2 models are listed: a, b"));
        assert_eq!(
            list(&["a", "b", "c", "d", "e", "f"]),
            fine("the key is taken; 6 models are listed: a, b, c, d, e, …")
        );
        assert!(matches!(list(&[]), Finding::Fine(text) if text.contains("patterns")));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        for (status, body, expected) in [
            (
                401,
                r#"{"error":{"code":"key_expired","message":"the virtual key has expired"}}"#,
                "narrows keys list",
            ),
            (
                401,
                r#"{"error":{"code":401,"message":"m","details":[{"reason":"key_unknown"}]}}"#,
                "401 key_unknown: m; look at the key",
            ),
            (403, r#"{"error":{"code":"model_not_allowed","message":"m"}}"#, "for other models"),
            (404, r#"{"error":{"code":"path_unknown","message":"m"}}"#, "without `/v1`"),
            (404, r#"{"error":{"code":"model_unknown","message":"m"}}"#, "--model"),
            (502, r#"{"error":{"code":"provider_credential_refused","message":"m"}}"#, "operator"),
            (504, r#"{"error":{"code":"provider_timeout","message":"m"}}"#, "set up right"),
            (
                400,
                r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#,
                "provider's own answer",
            ),
            (404, r#"{"error":{"code":"not_found","message":"m"}}"#, "listen.gateway"),
            (404, "<html>\n<h1>nginx</h1>", "`<html> <h1>nginx</h1>`; this is not the answer of a gateway"),
            (200, "<html>hello", "answered by something else"),
            (200, "{}", "answered by something else"),
            (500, "", "nothing"),
        ] {
            let text = wrong(status, body);
            assert!(text.contains(expected), "{text}");
        }
        let long = wrong(500, &"é".repeat(500));
        assert!(long.len() < 500, "{long}");
    }

    #[test]
    fn every_client_has_a_call_to_make() {
        for client in crate::connect::CLIENTS {
            let (path, body) = call(client.speaks[0], "m-1").unwrap_or_else(|| panic!("{}", client.name));
            assert!(format!("{path}{body}").contains("m-1"));
        }
    }

    #[test]
    fn settings_are_read_back_and_a_v1_too_many_is_seen() {
        let read = |name: &str, text: &str| {
            let client = find(name).unwrap();
            let mut found = Found::default();
            read_back(client, &client.setup.files[0], text, &mut found);
            found
        };
        let claude = read(
            "claude-code",
            r#"{"env": {"ANTHROPIC_BASE_URL": "http://g/v1", "ANTHROPIC_AUTH_TOKEN": "nrw_1"}}"#,
        );
        assert_eq!((claude.url.as_deref(), claude.key.as_deref()), (Some("http://g"), Some("nrw_1")));
        assert!(claude.fault.unwrap().contains("without `/v1`: http://g"));
        let codex = read("codex", "[model_providers.narrows]\nbase_url = \"http://g\"\n");
        assert!(codex.fault.unwrap().contains("with `/v1`: http://g/v1"));
        let own = read(
            "claude-code-subscription",
            r#"{"env": {"ANTHROPIC_CUSTOM_HEADERS": "a: b\nx-narrows-api-key: nrw_2"}}"#,
        );
        assert_eq!((own.key.as_deref(), own.fault), (Some("nrw_2"), None));
        assert_eq!(read("claude-code", "not json"), Found::default());
    }
}
