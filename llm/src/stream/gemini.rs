//! gemini.generate, as events (`alt=sse`) or as a list of objects.

use super::facts::Facts;
use super::lenient::{Object, each, error, list, object, whole, word};
use super::shape::Seen;
use super::text::{self, KEYS};
use super::usage::Converted;
use super::usage::gemini::GeminiUsage;
use crate::deltas::Block;
use crate::dialect::Dialect;
use serde::de::MapAccess;

/// Machine of the Gemini dialect: usage so far in every chunk, the last one wins.
#[derive(Debug, Default)]
pub(crate) struct Gemini {
    pub(crate) facts: Facts,
    usage: GeminiUsage,
}

#[derive(Default)]
struct Chunk {
    id: Option<Box<str>>,
    model: Option<Box<str>>,
    usage: Option<GeminiUsage>,
    candidates: Option<Vec<Candidate>>,
    feedback: Option<Feedback>,
    error: Option<Box<str>>,
}

/// Code Assist wraps each chunk in a `response` object.
#[derive(Default)]
struct Envelope {
    response: Option<Chunk>,
    top: Chunk,
}

#[derive(Default)]
struct Candidate {
    finish: Option<Box<str>>,
}

#[derive(Default)]
struct Feedback {
    block: Option<Box<str>>,
}

impl Object for Envelope {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "response" => self.response = object(map)?,
            _ => return self.top.field(key, map),
        }
        Ok(true)
    }
}

impl Object for Chunk {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "responseId" => self.id = word(map)?,
            "modelVersion" => self.model = word(map)?,
            "usageMetadata" => self.usage = object(map)?,
            "candidates" => self.candidates = list(map)?,
            "promptFeedback" => self.feedback = object(map)?,
            "error" => self.error = error(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Candidate {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "finishReason" => self.finish = word(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Feedback {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "blockReason" => self.block = word(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Gemini {
    /// Takes one event, or one object of a list, or a whole body: they have one shape. Every one is parsed, because
    /// every one carries usage, and a key that looks like usage may stand in a function call's arguments.
    pub(crate) fn document(&mut self, json: &[u8]) {
        let mut seen = Some(text::found(&KEYS.candidates, json).seen());
        each(json, |envelope: Envelope| {
            let chunk = envelope.response.unwrap_or(envelope.top);
            self.apply(chunk, json, seen.take().unwrap_or_default());
        });
        // Text of a chunk that could not be read was generated all the same.
        self.add(json, &seen.unwrap_or_default());
    }

    /// Takes a body if it is one JSON object that can be read at once; returns whether it was.
    pub(crate) fn whole(&mut self, body: &[u8]) -> bool {
        let Some(envelope) = whole::<Envelope>(body) else { return false };
        let seen = text::found(&KEYS.candidates, body).seen();
        self.apply(envelope.response.unwrap_or(envelope.top), body, seen);
        true
    }

    fn apply(&mut self, chunk: Chunk, json: &[u8], seen: Seen) {
        if self.facts.ended() && self.facts.is_other(chunk.id.as_deref()) {
            self.facts.next_response(self.usage.convert());
            self.usage = GeminiUsage::default();
        }
        if self.facts.id.is_none() {
            self.facts.id = chunk.id;
        }
        self.add(json, &seen);
        self.facts.name_model(chunk.model);
        if let Some(usage) = chunk.usage {
            self.usage.overlay(&usage);
            self.facts.tier.overlay(usage.tier());
            if self.usage.convert().usage.output().is_some() {
                self.facts.cover();
            }
        }
        let finished = chunk.candidates.unwrap_or_default().iter().any(|candidate| {
            candidate.finish.as_deref().is_some_and(|reason| reason != "FINISH_REASON_UNSPECIFIED")
        });
        if finished || chunk.feedback.is_some_and(|feedback| feedback.block.is_some()) {
            self.facts.finished = true;
        }
        self.facts.fail(chunk.error);
    }

    /// Adds the text of a chunk. Nearly always it is one string of one candidate.
    fn add(&mut self, json: &[u8], seen: &Seen) {
        match seen.only {
            Some(_) => self.facts.add_piece(Block::default(), json, seen.bytes, seen.only),
            None => self.facts.add_event(Dialect::GeminiGenerate, json, seen),
        }
    }

    /// Usage of the response in progress.
    pub(crate) fn current(&self) -> Converted {
        self.usage.convert()
    }
}
