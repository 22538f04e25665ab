//! Metering recorded answers again, for those who dispute a bill.
//!
//! A recording is the body of an answer as it was received: events (with any line ends, with or without a byte order
//! mark), one JSON body, or Gemini's list of objects. Several recorded answers in one file are added up.

use crate::dialect::Dialect;
use crate::stream::documents::Documents;
use crate::stream::lenient::{Object, each, list, object, present, word};
use crate::stream::{CARRY_LIMIT, Reported, StreamDecoder, StreamOptions};
use bytes::Bytes;
use narrows_meter::Origin;
use narrows_sse::Framer;
use serde::de::MapAccess;

/// How many events or objects are looked at to tell the dialect.
pub const DETECT_EVENTS: usize = 32;

/// Longest chunk of a random split, in bytes.
pub const RANDOM_CHUNK: u64 = 700;

/// How a recording is cut into chunks before it is decoded. The result does not depend on it; trying shows that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Not at all.
    Whole,
    /// Byte by byte.
    Bytes,
    /// At random, 1 to [`RANDOM_CHUNK`] bytes each, the same for the same seed.
    Random {
        /// Start of the random sequence.
        seed: u64,
    },
}

/// What a recording shows. `None` is "not known".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// The dialect given or detected.
    pub dialect: Option<Dialect>,
    /// All prompt tokens: cached, cache-writing and tool-use ones included.
    pub input: Option<u64>,
    /// Prompt tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache.
    pub cache_write: Option<u64>,
    /// All generated tokens, reasoning included.
    pub output: Option<u64>,
    /// Generated reasoning tokens.
    pub reasoning: Option<u64>,
    /// Where the figures came from: [`Origin::Provider`] when the provider reported all; [`Origin::ProviderPartial`]
    /// when it reported some and `output` is completed by an estimate; [`Origin::Estimated`] when it reported
    /// nothing, then `output` is a quarter of the generated text's bytes, rounded up, and `input` is not known;
    /// [`Origin::Unknown`] when not even text was seen.
    pub origin: Origin,
}

/// Meters one recorded answer. Without a dialect it is detected; what cannot be told or read is not known.
pub fn meter(bytes: &[u8], dialect: Option<Dialect>, split: Split) -> Measured {
    let Some(dialect) = dialect.or_else(|| detect(bytes)) else { return Measured::default() };
    // The file is in memory as it is, so nothing in it is too long to be inspected.
    let mut decoder =
        StreamDecoder::new(dialect, StreamOptions::default()).with_carry_limit(bytes.len().max(CARRY_LIMIT));
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut random = match split {
        Split::Random { seed } => seed,
        _ => 0,
    };
    while !rest.is_empty() {
        let length = match split {
            Split::Whole => rest.len(),
            Split::Bytes => 1,
            Split::Random { .. } => usize::try_from(next_random(&mut random) % RANDOM_CHUNK + 1).unwrap_or(1),
        };
        decoder.push(rest.split_to(length.min(rest.len())), &mut |_| ());
    }
    let outcome = decoder.finish(&mut |_| ());
    let output = outcome.output_tokens();
    let origin = match outcome.reported {
        Reported::Complete => Origin::Provider,
        Reported::Partial => Origin::ProviderPartial,
        Reported::Nothing if output.is_some() => Origin::Estimated,
        Reported::Nothing => Origin::Unknown,
    };
    Measured {
        dialect: Some(dialect),
        input: outcome.usage.input(),
        cache_read: outcome.usage.cache_read,
        cache_write: outcome.usage.cache_write(),
        output,
        reasoning: outcome.usage.reasoning,
        origin,
    }
}

/// SplitMix64: small, and good enough to choose chunk lengths.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Tells the dialect of a recorded answer by the shape of its first [`DETECT_EVENTS`] events or objects.
pub fn detect(bytes: &[u8]) -> Option<Dialect> {
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    let (mut found, mut chat_like) = (None, false);
    let mut looked = 0;
    let mut look = |name: &[u8], json: &[u8]| {
        if found.is_none() && looked < DETECT_EVENTS {
            looked += 1;
            each(json, |head: Head| {
                chat_like |= head.choices.is_some();
                found = found.or(head.dialect(name));
            });
        }
    };
    if body.starts_with(b"{") || body.starts_with(b"[") {
        Documents::new(bytes.len()).push(body, &mut |json| look(b"", json));
    } else {
        let mut framer = Framer::with_carry_limit(bytes.len());
        framer.push(bytes, &mut |frame| look(frame.event(), &frame.data()));
        framer.finish(&mut |frame| look(frame.event(), &frame.data()));
    }
    found.or(chat_like.then_some(Dialect::OpenaiChat))
}

/// The parts of an event or body that only one dialect has.
#[derive(Default)]
struct Head {
    kind: Option<Box<str>>,
    object: Option<Box<str>>,
    choices: Option<Vec<Choice>>,
    data: Vec<Choice>,
    response: Option<Wrapped>,
    error: bool,
    gemini: bool,
}

#[derive(Default)]
struct Choice {
    chat: bool,
    text: bool,
    embedding: bool,
}

#[derive(Default)]
struct Wrapped {
    gemini: bool,
}

impl Object for Head {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = word(map)?,
            "object" => self.object = word(map)?,
            "choices" => self.choices = list(map)?,
            "data" => self.data = list(map)?.unwrap_or_default(),
            "response" => self.response = object(map)?,
            "error" => self.error = present(map)?,
            _ => return is_gemini(key, map, &mut self.gemini),
        }
        Ok(true)
    }
}

impl Object for Choice {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "delta" | "message" => self.chat = true,
            "text" => self.text = true,
            "embedding" => self.embedding = true,
            _ => return Ok(false),
        }
        present(map)?;
        Ok(true)
    }
}

impl Object for Wrapped {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        is_gemini(key, map, &mut self.gemini)
    }
}

fn is_gemini<'de, A: MapAccess<'de>>(key: &str, map: &mut A, flag: &mut bool) -> Result<bool, A::Error> {
    let ours = matches!(key, "candidates" | "usageMetadata" | "promptFeedback" | "modelVersion");
    if ours {
        present(map)?;
        *flag = true;
    }
    Ok(ours)
}

impl Head {
    fn dialect(&self, name: &[u8]) -> Option<Dialect> {
        let kind = self.kind.as_deref().unwrap_or_default();
        if kind.starts_with("response.") || name.starts_with(b"response.") {
            return Some(Dialect::OpenaiResponses);
        }
        let word = if kind.is_empty() { name } else { kind.as_bytes() };
        match word {
            b"message_start"
            | b"message_delta"
            | b"message_stop"
            | b"content_block_start"
            | b"content_block_delta"
            | b"content_block_stop" => return Some(Dialect::AnthropicMessages),
            b"message" if !kind.is_empty() => return Some(Dialect::AnthropicMessages),
            b"error" if !kind.is_empty() && self.error => return Some(Dialect::AnthropicMessages),
            _ => {}
        }
        if self.gemini || self.response.as_ref().is_some_and(|response| response.gemini) {
            return Some(Dialect::GeminiGenerate);
        }
        match self.object.as_deref().unwrap_or_default() {
            "response" => return Some(Dialect::OpenaiResponses),
            "text_completion" => return Some(Dialect::OpenaiCompletions),
            object if object.starts_with("chat.completion") => return Some(Dialect::OpenaiChat),
            _ => {}
        }
        let choices = self.choices.as_deref().unwrap_or_default();
        if choices.iter().any(|choice| choice.chat) {
            Some(Dialect::OpenaiChat)
        } else if choices.iter().any(|choice| choice.text) {
            Some(Dialect::OpenaiCompletions)
        } else if self.data.iter().any(|item| item.embedding) {
            Some(Dialect::OpenaiEmbeddings)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_tell_the_dialect() {
        for (body, dialect) in [
            (
                "data: {\"choices\":[],\"object\":\"\"}\n\ndata: {\"choices\":[{\"delta\":{}}]}\n\n",
                "openai.chat",
            ),
            ("\u{feff}data:{\"object\":\"chat.completion.chunk\"}\r\n\r\n", "openai.chat"),
            ("{\"choices\":[{\"message\":{}}]}", "openai.chat"),
            ("data: {\"object\":\"text_completion\"}", "openai.completions"),
            ("{\"choices\":[{\"text\":\"\"}]}", "openai.completions"),
            ("event: response.created\ndata: {}\n\n", "openai.responses"),
            (" {\"object\":\"response\"}", "openai.responses"),
            ("{\"object\":\"list\",\"data\":[{\"embedding\":[0.1]}]}", "openai.embeddings"),
            ("event: message_start\ndata: {}\n\n", "anthropic.messages"),
            ("data: {\"type\":\"message_start\"}\n\n", "anthropic.messages"),
            ("{\"type\":\"message\",\"content\":[]}", "anthropic.messages"),
            ("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", "anthropic.messages"),
            ("data: {\"response\":{\"candidates\":[]}}\n\n", "gemini.generate"),
            ("[{\"candidates\":[]}\n,", "gemini.generate"),
            ("{\"usageMetadata\":{}}", "gemini.generate"),
        ] {
            assert_eq!(detect(body.as_bytes()), Dialect::from_word(dialect), "{body}");
        }
        for body in
            ["", "<html>", "data: [DONE]\n\n", "{}", "event: message\ndata: {}\n\n", "{\"error\":\"x\"}"]
        {
            assert_eq!(detect(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn only_the_first_events_are_looked_at() {
        let body =
            |before: usize| format!("{}data: {{\"usageMetadata\":{{}}}}\n\n", "data: {}\n\n".repeat(before));
        assert_eq!(detect(body(DETECT_EVENTS - 1).as_bytes()), Some(Dialect::GeminiGenerate));
        assert_eq!(detect(body(DETECT_EVENTS).as_bytes()), None);
    }

    #[test]
    fn a_stream_without_usage_is_estimated_and_one_without_text_is_unknown() {
        let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\ndata: [DONE]\n\n";
        let measured = meter(stream, None, Split::Bytes);
        assert_eq!((measured.input, measured.output, measured.origin), (None, Some(2), Origin::Estimated));
        let measured = meter(b"data: [DONE]\n\n", Some(Dialect::OpenaiChat), Split::Whole);
        assert_eq!((measured.output, measured.origin), (None, Origin::Unknown));
        assert_eq!(meter(b"<html>", None, Split::Whole), Measured::default());
    }
}
