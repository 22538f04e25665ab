//! One machine per dialect, behind one type.

use super::anthropic::Anthropic;
use super::chat::Chat;
use super::facts::Facts;
use super::gemini::Gemini;
use super::responses::Responses;
use super::{Reported, StreamEnd};
use crate::dialect::Dialect;
use narrows_meter::Usage;

#[derive(Debug)]
pub(crate) enum Machine {
    Chat(Chat),
    Responses(Responses),
    Anthropic(Anthropic),
    Gemini(Gemini),
}

impl Machine {
    pub(crate) fn new(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenaiChat | Dialect::OpenaiCompletions | Dialect::OpenaiEmbeddings => {
                Machine::Chat(Chat::new(dialect))
            }
            Dialect::OpenaiResponses => Machine::Responses(Responses::default()),
            Dialect::AnthropicMessages => Machine::Anthropic(Anthropic::default()),
            Dialect::GeminiGenerate => Machine::Gemini(Gemini::default()),
        }
    }

    /// Takes one event; returns whether it is the one that only asking for usage has added.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8]) -> bool {
        match self {
            Machine::Chat(machine) => return machine.event(name, data),
            Machine::Responses(machine) => machine.event(name, data),
            Machine::Anthropic(machine) => machine.event(name, data),
            Machine::Gemini(machine) => machine.document(data),
        }
        false
    }

    /// Takes a body that is one JSON object and plain enough to be read at once; returns whether it was.
    pub(crate) fn whole(&mut self, body: &[u8]) -> bool {
        match self {
            Machine::Chat(machine) => machine.whole(body),
            Machine::Responses(machine) => machine.whole(body),
            Machine::Anthropic(machine) => machine.whole(body),
            Machine::Gemini(machine) => machine.whole(body),
        }
    }

    /// Takes one JSON object of a body that is not events.
    pub(crate) fn document(&mut self, json: &[u8]) {
        match self {
            Machine::Chat(machine) => machine.document(json),
            Machine::Responses(machine) => machine.document(json),
            Machine::Anthropic(machine) => machine.document(json),
            Machine::Gemini(machine) => machine.document(json),
        }
    }

    pub(crate) fn facts(&self) -> &Facts {
        match self {
            Machine::Chat(machine) => &machine.facts,
            Machine::Responses(machine) => &machine.facts,
            Machine::Anthropic(machine) => &machine.facts,
            Machine::Gemini(machine) => &machine.facts,
        }
    }

    pub(crate) fn facts_mut(&mut self) -> &mut Facts {
        match self {
            Machine::Chat(machine) => &mut machine.facts,
            Machine::Responses(machine) => &mut machine.facts,
            Machine::Anthropic(machine) => &mut machine.facts,
            Machine::Gemini(machine) => &mut machine.facts,
        }
    }

    pub(crate) fn into_model(self) -> Option<Box<str>> {
        match self {
            Machine::Chat(machine) => machine.facts.model,
            Machine::Responses(machine) => machine.facts.model,
            Machine::Anthropic(machine) => machine.facts.model,
            Machine::Gemini(machine) => machine.facts.model,
        }
    }

    /// Usage known so far, how much of it is the provider's last word, and whether figures contradicted each other.
    pub(crate) fn reading(&self) -> (Usage, Reported, bool) {
        let current = match self {
            Machine::Chat(machine) => machine.current(),
            Machine::Responses(machine) => machine.current(),
            Machine::Anthropic(machine) => machine.current(),
            Machine::Gemini(machine) => machine.current(),
        };
        let has_all = match self {
            Machine::Chat(machine) => machine.has_all(),
            _ => current.usage.input().is_some() && current.usage.output().is_some(),
        };
        let facts = self.facts();
        let total = facts.total(current);
        let complete = has_all
            && facts.earlier_complete()
            && (facts.final_report || (facts.ended() && facts.uncovered() == 0 && facts.error.is_none()));
        let reported = match (total.usage.is_unknown(), complete) {
            (true, _) => Reported::Nothing,
            (false, true) => Reported::Complete,
            (false, false) => Reported::Partial,
        };
        (total.usage, reported, total.anomaly)
    }

    /// How the stream ended, if it ends now.
    pub(crate) fn end(&self, overflowed: bool) -> StreamEnd {
        let facts = self.facts();
        if let Some(kind) = &facts.error {
            StreamEnd::ErrorEvent { kind: kind.clone() }
        } else if facts.ended() {
            StreamEnd::Terminal
        } else if overflowed {
            StreamEnd::Unseen
        } else {
            StreamEnd::Cut
        }
    }
}
