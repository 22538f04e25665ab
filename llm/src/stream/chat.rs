//! openai.chat, openai.completions and openai.embeddings.

use super::facts::Facts;
use super::lenient::{Object, each, error, list, object, one, present, whole, word};
use super::shape::Shape;
use super::text::{self, KEYS};
use super::usage::Converted;
use super::usage::openai::OpenaiUsage;
use super::usage::tier::Tier;
use crate::dialect::Dialect;
use serde::de::MapAccess;

/// Machine of the three OpenAI dialects whose usage stands in `usage` of an object with `choices` or `data`.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) facts: Facts,
    usage: OpenaiUsage,
    shape: Shape,
    dialect: Dialect,
    /// `[DONE]` was seen.
    done: bool,
}

#[derive(Default)]
struct Chunk {
    id: Option<Box<str>>,
    object: Option<Box<str>>,
    model: Option<Box<str>>,
    usage: Option<OpenaiUsage>,
    choices: Option<Vec<Choice>>,
    groq: Option<Groq>,
    error: Option<Box<str>>,
    tier: Tier,
    /// Something a client may want besides usage.
    payload: bool,
}

#[derive(Default)]
struct Choice {
    finish: Option<Box<str>>,
    usage: Option<OpenaiUsage>,
}

#[derive(Default)]
struct Groq {
    usage: Option<OpenaiUsage>,
    error: Option<Box<str>>,
}

impl Object for Chunk {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "id" => self.id = word(map)?,
            "object" => self.object = word(map)?,
            "model" => self.model = word(map)?,
            "usage" => self.usage = object(map)?,
            "choices" => self.choices = list(map)?,
            "x_groq" => self.groq = object(map)?,
            "service_tier" => self.tier = Tier::of_word(word(map)?),
            "error" => self.error = error(map)?,
            "prompt_filter_results"
            | "citations"
            | "search_results"
            | "images"
            | "videos"
            | "related_questions"
            | "delta"
            | "message"
            | "content"
            | "output"
            | "data" => {
                self.payload |= present(map)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Choice {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "finish_reason" => self.finish = word(map)?,
            "usage" => self.usage = object(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Object for Groq {
    fn field<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error> {
        match key {
            "usage" => self.usage = object(map)?,
            "error" => self.error = error(map)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Chunk {
    /// Non-null usage, empty choices and no other known payload: the event that asking for usage adds.
    fn is_usage_only(&self) -> bool {
        self.usage.is_some()
            && self.choices.as_ref().is_some_and(Vec::is_empty)
            && self.error.is_none()
            && !self.payload
    }
}

impl Chat {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Chat {
            facts: Facts::default(),
            usage: OpenaiUsage::default(),
            shape: Shape::default(),
            dialect,
            done: false,
        }
    }

    /// Takes one event; returns whether it is the event that only asking for usage has added.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8]) -> bool {
        let data = data.trim_ascii();
        if data.starts_with(b"[DONE]") {
            (self.done, self.facts.terminal) = (true, true);
            return false;
        }
        let gates = [&KEYS.usage, &KEYS.finish_reason, &KEYS.error];
        let key = if self.dialect == Dialect::OpenaiCompletions { &KEYS.text } else { &KEYS.delta };
        let seen = self.shape.read(key, data, &gates);
        self.facts.add_event(self.dialect, data, &seen);
        let worth_reading = seen.gated || self.done || name == b"error" || self.facts.wants_model();
        let usage_only = worth_reading && self.read(data, name == b"error");
        // Where blank lines are missing, several objects and the end arrive as the data of one event.
        if data.ends_with(b"[DONE]") {
            (self.done, self.facts.terminal) = (true, true);
        }
        usage_only
    }

    /// Takes a body (or line of a body) that is one JSON object.
    pub(crate) fn document(&mut self, json: &[u8]) {
        self.body(one(json), json);
    }

    /// Takes a body if it is one JSON object that can be read at once; returns whether it was.
    pub(crate) fn whole(&mut self, body: &[u8]) -> bool {
        let chunk = whole(body);
        let found = chunk.is_some();
        if found {
            self.body(chunk, body);
        }
        found
    }

    fn body(&mut self, chunk: Option<Chunk>, json: &[u8]) {
        // Text of a body that could not be read was generated all the same.
        self.facts.add_text(text::of_key(&KEYS.choices, json));
        if let Some(chunk) = chunk {
            // A body is whole when its object is; a chunk on a line of its own is not.
            let is_chunk = chunk.object.as_deref().is_some_and(|object| object.ends_with(".chunk"));
            self.apply(chunk);
            self.facts.terminal |= !is_chunk;
        }
    }

    fn read(&mut self, data: &[u8], named_error: bool) -> bool {
        let mut usage_only = false;
        let read = each(data, |chunk: Chunk| {
            usage_only = chunk.is_usage_only();
            self.apply(chunk);
        });
        if named_error {
            self.facts.fail(Some("error".into()));
        }
        usage_only && read == 1
    }

    fn apply(&mut self, chunk: Chunk) {
        let choices = chunk.choices.as_deref().unwrap_or_default();
        if self.done && !choices.is_empty() && self.facts.is_other(chunk.id.as_deref()) {
            self.facts.next_response(self.usage.convert(self.generates()));
            (self.usage, self.done) = (OpenaiUsage::default(), false);
        }
        if self.facts.id.is_none() {
            self.facts.id = chunk.id;
        }
        self.facts.name_model(chunk.model);
        self.facts.tier.overlay(chunk.tier);
        let groq = chunk.groq.unwrap_or_default();
        let reported = chunk.usage.or(groq.usage).or_else(|| choices.iter().find_map(|choice| choice.usage));
        if let Some(usage) = reported {
            self.usage.overlay(&usage);
            if usage.has_output() {
                self.facts.cover();
                self.facts.final_report |= chunk.choices.as_ref().is_some_and(Vec::is_empty);
            }
        }
        for choice in choices {
            match choice.finish.as_deref() {
                Some("error") => self.facts.fail(chunk.error.clone().or_else(|| Some("error".into()))),
                Some(_) => self.facts.finished = true,
                None => {}
            }
        }
        self.facts.fail(chunk.error.or(groq.error));
    }

    fn generates(&self) -> bool {
        self.dialect != Dialect::OpenaiEmbeddings
    }

    /// Usage of the response in progress.
    pub(crate) fn current(&self) -> Converted {
        self.usage.convert(self.generates())
    }

    /// Whether every figure that this dialect reports is there.
    pub(crate) fn has_all(&self) -> bool {
        let usage = self.current().usage;
        usage.input().is_some() && (usage.output().is_some() || !self.generates())
    }
}
