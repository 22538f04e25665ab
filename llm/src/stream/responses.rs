//! openai.responses.

use super::facts::Facts;
use super::lenient::{Object, each, error, list, object, one, whole, word};
use super::text::{self, KEYS};
use super::usage::Converted;
use super::usage::openai::OpenaiUsage;
use super::usage::tier::Tier;
use crate::deltas::{Block, response_block};
use serde::de::MapAccess;

/// Machine of the Responses dialect: usage stands in the events that end a response.
#[derive(Debug, Default)]
pub(crate) struct Responses {
    pub(crate) facts: Facts,
    usage: OpenaiUsage,
}

/// An event, or a body (whose fields stand on the top level).
#[derive(Default)]
struct Envelope {
    kind: Option<Box<str>>,
    response: Option<Response>,
    top: Response,
}

#[derive(Default)]
struct Response {
    id: Option<Box<str>>,
    model: Option<Box<str>>,
    status: Option<Box<str>>,
    usage: Option<OpenaiUsage>,
    error: Option<Box<str>>,
    code: Option<Box<str>>,
    tier: Tier,
    output: Vec<Item>,
}

/// An item of a response's output.
#[derive(Default)]
struct Item {
    id: Option<Box<str>>,
}

impl Object for Item {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "id" => self.id = word(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Envelope {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = word(map)?,
            "response" => self.response = object(map)?,
            _ => return self.top.field(key, map),
        }
        Ok(true)
    }
}

impl Object for Response {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "id" => self.id = word(map)?,
            "model" => self.model = word(map)?,
            "status" => self.status = word(map)?,
            "usage" => self.usage = object(map)?,
            "error" => self.error = error(map)?,
            "code" => self.code = word(map)?,
            "service_tier" => self.tier = Tier::of_word(word(map)?),
            "output" => self.output = list(map)?.unwrap_or_default(),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What an event is, as far as metering cares.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Nothing,
    Read,
}

fn kind(word: &[u8]) -> Kind {
    match word {
        b"response.created"
        | b"response.queued"
        | b"response.in_progress"
        | b"response.completed"
        | b"response.incomplete"
        | b"response.failed"
        | b"response.cancelled" => Kind::Read,
        b"response.audio.delta" => Kind::Nothing,
        _ if word.starts_with(b"response.") && word.ends_with(b".delta") => Kind::Text,
        _ if word.starts_with(b"response.") => Kind::Nothing,
        _ => Kind::Read,
    }
}

impl Responses {
    /// Takes one event.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8]) {
        let data = data.trim_ascii();
        if data.starts_with(b"[DONE]") {
            return;
        }
        let word = match name {
            b"" | b"message" => text::word_of(&KEYS.kind, data).unwrap_or_default(),
            name => name,
        };
        match kind(word) {
            Kind::Text => {
                let text = text::found(&KEYS.delta, data);
                let block = match self.facts.hears() {
                    true => response_block(word, data),
                    false => Block::default(),
                };
                self.facts.add_piece(block, data, text.bytes, text.only);
            }
            Kind::Nothing => {}
            Kind::Read => {
                let read = each(data, |envelope: Envelope| self.apply(envelope));
                if word == b"error" && read == 0 {
                    self.facts.fail(Some("error".into()));
                }
            }
        }
    }

    /// Takes a body that is one JSON object: a response, an error, or one event.
    pub(crate) fn document(&mut self, json: &[u8]) {
        self.body(one(json), json);
    }

    /// Takes a body if it is one JSON object that can be read at once; returns whether it was.
    pub(crate) fn whole(&mut self, body: &[u8]) -> bool {
        let envelope = whole(body);
        let found = envelope.is_some();
        if found {
            self.body(envelope, body);
        }
        found
    }

    fn body(&mut self, envelope: Option<Envelope>, json: &[u8]) {
        self.facts.add_text(text::of_key(&KEYS.output, json));
        if let Some(envelope) = envelope {
            let is_event = envelope.kind.is_some();
            self.apply(envelope);
            self.facts.terminal |= !is_event;
        }
    }

    fn apply(&mut self, envelope: Envelope) {
        let kind = envelope.kind.as_deref().unwrap_or_default();
        let failed = kind == "error" || kind == "response.failed";
        let top = envelope.top;
        let mut response = match envelope.response {
            Some(response) => Response {
                usage: response.usage.or(top.usage),
                error: response.error.or(top.error),
                ..response
            },
            None => top,
        };
        if self.facts.ended() && self.facts.is_other(response.id.as_deref()) {
            self.facts.next_response(self.usage.convert(true));
            self.usage = OpenaiUsage::default();
        }
        if self.facts.id.is_none() && kind != "error" {
            self.facts.id = response.id.take();
        }
        self.facts.name_model(response.model);
        self.facts.tier.overlay(response.tier);
        // The event that ends a response names all of them.
        if !response.output.is_empty() {
            self.facts.items = response.output.into_iter().filter_map(|item| item.id).collect();
        }
        if let Some(usage) = response.usage {
            self.usage.overlay(&usage);
            if usage.has_output() {
                self.facts.cover();
                // Only events that end a response carry its usage, a failed one included.
                self.facts.final_report = true;
            }
        }
        let status = response.status.as_deref().unwrap_or_default();
        if failed || status == "failed" {
            let kind = response.error.or(response.code);
            self.facts.fail(kind.or_else(|| {
                Some(if kind_is_error(envelope.kind.as_deref()) { "error" } else { "response.failed" }.into())
            }));
        } else {
            self.facts.fail(response.error);
        }
        if matches!(kind, "response.completed" | "response.incomplete" | "response.cancelled")
            || matches!(status, "completed" | "incomplete" | "cancelled")
        {
            self.facts.terminal = true;
        }
    }

    /// Usage of the response in progress.
    pub(crate) fn current(&self) -> Converted {
        self.usage.convert(true)
    }
}

fn kind_is_error(kind: Option<&str>) -> bool {
    kind == Some("error")
}
