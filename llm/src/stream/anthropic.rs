//! anthropic.messages.

use super::facts::Facts;
use super::lenient::{Object, each, error, object, one, present, whole, word};
use super::shape::Shape;
use super::text::{self, KEYS};
use super::usage::Converted;
use super::usage::anthropic::AnthropicUsage;
use crate::dialect::Dialect;
use memchr::memmem;
use serde::de::MapAccess;

/// Machine of the Messages dialect: input in `message_start`, every figure in `message_delta` replaces.
#[derive(Debug, Default)]
pub(crate) struct Anthropic {
    pub(crate) facts: Facts,
    usage: AnthropicUsage,
    shape: Shape,
    /// `message_stop` was seen, or a whole message.
    stopped: bool,
}

/// An event, or a body (a message, whose fields stand on the top level).
#[derive(Default)]
struct Envelope {
    kind: Option<Box<str>>,
    message: Option<Message>,
    delta: Option<Message>,
    error: Option<Box<str>>,
    top: Message,
    invocation: Option<AnthropicUsage>,
    has_content: bool,
}

#[derive(Default)]
struct Message {
    id: Option<Box<str>>,
    model: Option<Box<str>>,
    stop_reason: Option<Box<str>>,
    usage: Option<AnthropicUsage>,
}

impl Object for Envelope {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "type" => self.kind = word(map)?,
            "message" => self.message = object(map)?,
            "delta" => self.delta = object(map)?,
            "error" => self.error = error(map)?,
            "amazon-bedrock-invocationMetrics" => self.invocation = object(map)?,
            "content" => self.has_content = present(map)?,
            _ => return self.top.field(key, map),
        }
        Ok(true)
    }
}

impl Object for Message {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "id" => self.id = word(map)?,
            "model" => self.model = word(map)?,
            "stop_reason" => self.stop_reason = word(map)?,
            "usage" => self.usage = object(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Anthropic {
    /// Takes one event.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8]) {
        let word = match name {
            b"" | b"message" => text::word_of(&KEYS.kind, data).unwrap_or_default(),
            name => name,
        };
        match word {
            b"content_block_delta" => {
                let seen = self.shape.read(&KEYS.delta, data, &[]);
                self.facts.add_event(Dialect::AnthropicMessages, data, &seen);
            }
            // Thinking is billed as it was, and shown as a summary or not at all.
            b"content_block_start" => self.facts.hides |= memmem::find(data, b"thinking\"").is_some(),
            b"content_block_stop" | b"ping" => {}
            _ => {
                let mut is_block = false;
                let read = each(data, |envelope: Envelope| {
                    is_block = envelope.kind.as_deref() == Some("content_block_delta");
                    self.apply(envelope);
                });
                if is_block {
                    let seen = text::found(&KEYS.delta, data).seen();
                    self.facts.add_event(Dialect::AnthropicMessages, data, &seen);
                }
                if word == b"error" && read == 0 {
                    self.facts.fail(Some("error".into()));
                }
            }
        }
    }

    /// Takes a body that is one JSON object: a message, an error, or one event.
    pub(crate) fn document(&mut self, json: &[u8]) {
        if let Some(envelope) = one(json) {
            self.body(envelope, json);
        }
    }

    /// Takes a body if it is one JSON object that can be read at once; returns whether it was.
    pub(crate) fn whole(&mut self, body: &[u8]) -> bool {
        let envelope = whole(body);
        let found = envelope.is_some();
        if let Some(envelope) = envelope {
            self.body(envelope, body);
        }
        found
    }

    fn body(&mut self, envelope: Envelope, json: &[u8]) {
        let is_message = envelope.has_content || envelope.kind.as_deref() == Some("message");
        self.apply(envelope);
        if is_message {
            self.facts.add_text(text::of_key(&KEYS.content, json));
            if self.usage.has_output() {
                self.facts.cover();
            }
            (self.facts.terminal, self.stopped) = (true, true);
        }
    }

    fn apply(&mut self, envelope: Envelope) {
        let kind = envelope.kind.as_deref().unwrap_or_default();
        match kind {
            "message_start" => {
                let message = envelope.message.unwrap_or_default();
                self.begin(message.id);
                self.facts.name_model(message.model);
                if let Some(usage) = message.usage.or(envelope.top.usage) {
                    self.usage.overlay(&usage.at_start());
                    self.facts.tier.overlay(usage.tier());
                }
            }
            "message_stop" => {
                // Bedrock adds its own metrics to a stream that normally carries usage already: never both.
                if let Some(usage) = envelope.invocation.filter(|_| self.usage.is_unknown()) {
                    self.report(usage);
                }
                if let Some(usage) = envelope.top.usage {
                    self.report(usage);
                }
                (self.facts.terminal, self.stopped) = (true, true);
            }
            "error" => self.facts.fail(envelope.error.or_else(|| Some("error".into()))),
            // Some relays repeat zeros on every delta of content; only these three speak of the message.
            "message_delta" | "message" | "" => {
                if kind != "message_delta" && (envelope.has_content || kind == "message") {
                    self.begin(envelope.top.id);
                }
                self.facts.name_model(envelope.top.model);
                let delta = envelope.delta.unwrap_or_default();
                let message = envelope.message.unwrap_or_default();
                if let Some(usage) = envelope.top.usage.or(delta.usage).or(message.usage) {
                    self.report(usage);
                }
                if delta.stop_reason.is_some() {
                    self.facts.finished = true;
                }
                self.facts.fail(envelope.error);
            }
            _ => {}
        }
    }

    /// A message begins: the same one (said twice) or, after an end or under another id, the next one.
    fn begin(&mut self, id: Option<Box<str>>) {
        if self.stopped || self.facts.is_other(id.as_deref()) {
            self.facts.next_response(self.usage.convert());
            (self.usage, self.stopped) = (AnthropicUsage::default(), false);
        }
        if self.facts.id.is_none() {
            self.facts.id = id;
        }
    }

    fn report(&mut self, usage: AnthropicUsage) {
        self.usage.overlay(&usage);
        self.facts.tier.overlay(self.usage.tier());
        if usage.has_output() {
            self.facts.cover();
        }
    }

    /// Usage of the response in progress.
    pub(crate) fn current(&self) -> Converted {
        self.usage.convert()
    }
}
