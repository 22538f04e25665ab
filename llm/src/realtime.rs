//! Messages of the WebSocket APIs: which model is asked for, and what an answer used.
//!
//! Sources: platform.openai.com/docs/api-reference/realtime-server-events, ai.google.dev/api/live (recalled; the
//! names of the details differ between OpenAI's realtime and responses events, both are read).

use crate::dialect::Family;
use crate::paths::list::Members;
use crate::stream::usage::tier::Tier;
use narrows_meter::{Mode, Usage};
use serde_json::Value;

/// What a message of a provider says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerEvent {
    /// Tokens of one answer that has ended, or (Gemini) of a part of it.
    pub usage: Option<Usage>,
    /// The model that answers.
    pub model: Option<Box<str>>,
    /// How the provider worked on it, where that changes the price.
    pub mode: Option<Mode>,
    /// Whether an answer begins.
    pub begins: bool,
    /// Whether an answer ends.
    pub ends: bool,
}

/// What a message of a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// Every model that is named, at any of the places where one of the APIs reads it.
    pub models: Vec<Box<str>>,
    /// What is asked of them.
    pub asks: Asks,
}

/// How far the models of a message reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// The models are those of the conversation from here on.
    Conversation,
    /// They are those of one answer.
    Answer,
    /// An answer that was asked for before goes on, or ends.
    Follows,
    /// Whatever it is, an answer to it (audio is answered unasked) has the model that the conversation has.
    Unnamed,
}

/// Reads a message of a provider. `None` for what says nothing about usage or models.
pub fn server_event(family: Family, text: &[u8]) -> Option<ServerEvent> {
    let contains = |word: &[u8]| memchr::memmem::find(text, word).is_some();
    if family == Family::Gemini {
        if !contains(b"usageMetadata") {
            return None;
        }
        let event: Value = serde_json::from_slice(text).ok()?;
        let metadata = event.get("usageMetadata")?;
        let tier = |name: &str| metadata.get(name).and_then(Value::as_str).map_or(Tier::Unsaid, Tier::of);
        let mode = tier("serviceTier").and(tier("trafficType")).mode();
        return Some(ServerEvent { usage: Some(gemini_usage(metadata)), mode, ..ServerEvent::default() });
    }
    if !contains(b"\"response.") || !(contains(b"\"response\"")) {
        return None;
    }
    let event: Value = serde_json::from_slice(text).ok()?;
    let kind = event.get("type")?.as_str()?;
    let response = event.get("response");
    let model = response.and_then(|response| response.get("model")?.as_str()).map(Box::from);
    match kind {
        "response.created" => Some(ServerEvent { model, begins: true, ..ServerEvent::default() }),
        "response.done" | "response.completed" | "response.incomplete" | "response.failed" => {
            let usage = response.and_then(|response| response.get("usage")).filter(|usage| usage.is_object());
            let tier = response.and_then(|response| response.get("service_tier")?.as_str());
            let mode = tier.and_then(|word| Tier::of(word).mode());
            Some(ServerEvent { usage: usage.map(openai_usage), model, mode, ends: true, begins: false })
        }
        _ => None,
    }
}

/// Reads a message of a client. `None` for what cannot be read, or not by every reader alike: a member that matters
/// here and stands twice in its object, is spelled in other letters, or has a value of another kind.
pub fn client_event(family: Family, text: &[u8]) -> Option<ClientEvent> {
    let text = simdutf8::basic::from_utf8(text).ok()?;
    if family == Family::Gemini {
        let [setup] = members(text, ["setup"])?;
        let model = model_within(setup)?.map(|model| model.strip_prefix("models/").unwrap_or(&model).into());
        let asks = if model.is_some() { Asks::Conversation } else { Asks::Unnamed };
        return Some(ClientEvent { models: model.into_iter().collect(), asks });
    }
    let [kind, own, response, session] = members(text, ["type", "model", "response", "session"])?;
    let (kind, own) = (text_of(kind)?, text_of(own)?);
    let (response, session) = (model_within(response)?, model_within(session)?);
    // A name at a place that this kind of message does not have is checked, and decides nothing.
    let asks = match kind.as_deref() {
        Some("response.create") if own.is_some() || response.is_some() => Asks::Answer,
        Some("session.update") if session.is_some() => Asks::Conversation,
        Some("response.create") => Asks::Unnamed,
        Some(kind) if kind.starts_with("response.") => Asks::Follows,
        _ => Asks::Unnamed,
    };
    Some(ClientEvent { models: [own, response, session].into_iter().flatten().collect(), asks })
}

/// The values of these members of an object, as they stand there.
fn members<'t, const N: usize>(text: &'t str, names: [&str; N]) -> Option<[Option<&'t str>; N]> {
    let Members(all) = serde_json::from_str::<Members<'t>>(text).ok()?;
    let mut found = [None; N];
    for (name, raw) in all {
        for (wanted, place) in names.iter().zip(&mut found) {
            if !name.eq_ignore_ascii_case(wanted) {
                continue;
            }
            if name != *wanted || place.replace(raw.get()).is_some() {
                return None;
            }
        }
    }
    Some(found)
}

/// A text, which may be missing or null.
fn text_of(raw: Option<&str>) -> Option<Option<Box<str>>> {
    raw.map_or(Some(None), |raw| serde_json::from_str(raw).ok())
}

/// The model that an object names, which may be missing or null.
fn model_within(raw: Option<&str>) -> Option<Option<Box<str>>> {
    let Some(object) = raw.filter(|raw| *raw != "null") else { return Some(None) };
    let [model] = members(object, ["model"])?;
    text_of(model)
}

fn figure(value: Option<&Value>, name: &str) -> Option<u64> {
    value?.get(name)?.as_u64()
}

fn openai_usage(usage: &Value) -> Usage {
    let details = |one: &str, other: &str| usage.get(one).or_else(|| usage.get(other));
    let input = details("input_token_details", "input_tokens_details");
    let output = details("output_token_details", "output_tokens_details");
    let cached = figure(input, "cached_tokens");
    let cached_audio = figure(input.and_then(|input| input.get("cached_tokens_details")), "audio_tokens");
    let audio_in = figure(input, "audio_tokens").map(|all| all.saturating_sub(cached_audio.unwrap_or(0)));
    let (audio_out, reasoning) = (figure(output, "audio_tokens"), figure(output, "reasoning_tokens"));
    Usage {
        input_uncached: less(figure(Some(usage), "input_tokens"), [cached, audio_in]),
        cache_read: cached,
        output_text: less(figure(Some(usage), "output_tokens"), [audio_out, reasoning]),
        reasoning,
        audio_in,
        audio_out,
        ..Usage::default()
    }
}

fn gemini_usage(usage: &Value) -> Usage {
    let audio = |name: &str| {
        let parts = usage.get(name)?.as_array()?.iter();
        let audio = parts.filter(|part| part.get("modality").and_then(Value::as_str) == Some("AUDIO"));
        audio.filter_map(|part| figure(Some(part), "tokenCount")).reduce(u64::saturating_add)
    };
    let all = Some(usage);
    let (cached, audio_in) = (figure(all, "cachedContentTokenCount"), audio("promptTokensDetails"));
    let audio_out = audio("responseTokensDetails").or_else(|| audio("candidatesTokensDetails"));
    let prompt = [figure(all, "promptTokenCount"), figure(all, "toolUsePromptTokenCount")];
    let output = figure(all, "responseTokenCount").or_else(|| figure(all, "candidatesTokenCount"));
    Usage {
        input_uncached: less(prompt.into_iter().flatten().reduce(u64::saturating_add), [cached, audio_in]),
        cache_read: cached,
        output_text: less(output, [audio_out, None]),
        reasoning: figure(all, "thoughtsTokenCount"),
        audio_in,
        audio_out,
        ..Usage::default()
    }
}

/// A whole without its parts.
fn less(whole: Option<u64>, parts: [Option<u64>; 2]) -> Option<u64> {
    Some(parts.into_iter().flatten().fold(whole?, u64::saturating_sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_an_answer_is_read_with_its_details() {
        let text = br#"{"type":"response.done","response":{"model":"gpt-realtime","usage":{"total_tokens":253,"input_tokens":132,
            "output_tokens":121,"input_token_details":{"text_tokens":119,"audio_tokens":13,"cached_tokens":64,
            "cached_tokens_details":{"text_tokens":60,"audio_tokens":4}},"output_token_details":{"text_tokens":30,"audio_tokens":91}}}}"#;
        let event = server_event(Family::Openai, text).unwrap();
        let usage = event.usage.unwrap();
        assert!(event.ends && !event.begins);
        assert_eq!(
            (event.model.as_deref(), usage.input(), usage.output()),
            (Some("gpt-realtime"), Some(132), Some(121))
        );
        assert_eq!((usage.cache_read, usage.audio_in, usage.audio_out), (Some(64), Some(9), Some(91)));
        let text = br#"{"type":"response.completed","response":{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":2},
            "output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}}"#;
        let usage = server_event(Family::Openai, text).unwrap().usage.unwrap();
        assert_eq!((usage.input_uncached, usage.cache_read), (Some(7), Some(2)));
        assert_eq!((usage.output_text, usage.reasoning), (Some(4), Some(3)));
        let text = br#"{"serverContent":{},"usageMetadata":{"promptTokenCount":10,"responseTokenCount":6,
            "responseTokensDetails":[{"modality":"AUDIO","tokenCount":5}],"thoughtsTokenCount":2}}"#;
        let usage = server_event(Family::Gemini, text).unwrap().usage.unwrap();
        assert_eq!((usage.input(), usage.output(), usage.audio_out), (Some(10), Some(8), Some(5)));
    }

    #[test]
    fn what_says_nothing_of_usage_is_passed_over_and_unknown_stays_unknown() {
        assert_eq!(
            server_event(Family::Openai, br#"{"type":"response.output_audio.delta","delta":"x"}"#),
            None
        );
        assert_eq!(server_event(Family::Openai, b"\xff\"response.done\"\"response\""), None);
        let failed = br#"{"type":"response.failed","response":{"usage":null}}"#;
        assert_eq!(server_event(Family::Openai, failed).unwrap().usage, None);
        let mut sum = Usage::default();
        sum.add(&Usage { input_uncached: Some(1), ..Usage::default() });
        sum.add(&Usage { input_uncached: Some(2), output_text: Some(3), ..Usage::default() });
        assert_eq!((sum.input_uncached, sum.output_text, sum.cache_read), (Some(3), Some(3), None));
    }

    #[test]
    fn every_model_of_a_client_is_found() {
        let read = |family, text: &str| {
            let event = client_event(family, text.as_bytes()).unwrap();
            (event.models.join(" "), event.asks)
        };
        for (text, models, asks) in [
            (r#"{"type":"response.create","model":"gpt-5","input":[{"model":1}]}"#, "gpt-5", Asks::Answer),
            (r#"{"type":"response.create","response":{"model":"a"},"model":"b"}"#, "b a", Asks::Answer),
            (r#"{"model":"a","response":{"model":"b"},"session":{"model":"c"}}"#, "a b c", Asks::Unnamed),
            (r#"{"type":"response.create","response":{"model":null}}"#, "", Asks::Unnamed),
            (r#"{"type":"response.create","session":{"model":"a"}}"#, "a", Asks::Unnamed),
            (r#"{"type":"response.cancel","response_id":"r"}"#, "", Asks::Follows),
            (r#"{"type":"input_audio_buffer.append","audio":"AA=="}"#, "", Asks::Unnamed),
            (r#"{"type":"session.update","session":{"m\u006fdel":"x"}}"#, "x", Asks::Conversation),
            (r#"{"type":"session.update","session":null}"#, "", Asks::Unnamed),
        ] {
            assert_eq!(read(Family::Openai, text), (models.to_owned(), asks), "{text}");
        }
        for (text, models, asks) in [
            (r#"{"setup":{"model":"models/gemini-live"}}"#, "gemini-live", Asks::Conversation),
            (r#"{"setup":{}}"#, "", Asks::Unnamed),
            (r#"{"realtimeInput":{"audio":{}}}"#, "", Asks::Unnamed),
        ] {
            assert_eq!(read(Family::Gemini, text), (models.to_owned(), asks), "{text}");
        }
    }

    #[test]
    fn what_two_readers_may_read_differently_is_not_read() {
        for text in [
            "{",
            "[]",
            "{} {}",
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","m\u006fdel":"b"}"#,
            r#"{"model":"a","Model":"b"}"#,
            r#"{"response":{"model":"a"},"response":{}}"#,
            r#"{"session":{"model":"a","model":"a"}}"#,
            r#"{"type":"response.create","type":"response.cancel"}"#,
            r#"{"model":["a"]}"#,
            r#"{"response":"a"}"#,
        ] {
            assert_eq!(client_event(Family::Openai, text.as_bytes()), None, "{text}");
        }
        assert_eq!(client_event(Family::Openai, b"{\"model\":\"a\",\"x\":\"\xC3\"}"), None);
        let twice = br#"{"setup":{"model":"models/a"},"setup":{}}"#;
        assert_eq!(client_event(Family::Gemini, twice), None);
    }
}
