//! What a fake guardrail finds in a text, and what it makes of it.

use serde_json::Value;
use std::ops::Range;

/// What stands in a masked text instead of what was found.
pub const MASK: &str = "[MASKED]";

/// Texts that ask for a behaviour; the first in this list that stands in a request decides.
pub const TRIGGERS: &[(&str, Behaviour)] = &[
    ("[[block]]", Behaviour::Blocked),
    ("[[mask]]", Behaviour::Masked),
    ("[[flag]]", Behaviour::Flagged),
    ("[[slow]]", Behaviour::Slow),
    ("[[limited]]", Behaviour::Limited),
    ("[[failing]]", Behaviour::Failing),
    ("[[malformed]]", Behaviour::Malformed),
    ("[[nonsense]]", Behaviour::Nonsense),
    ("[[empty]]", Behaviour::Empty),
];

/// How a guardrail behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It finds nothing.
    Ok,
    /// It finds something, and only says so.
    Flagged,
    /// It finds something and masks it, where the contract can; else as [`Behaviour::Flagged`].
    Masked,
    /// It finds something and blocks, where the contract can; else as [`Behaviour::Flagged`].
    Blocked,
    /// It finds nothing, after [`SLOW_MS`](super::SLOW_MS).
    Slow,
    /// It answers with 429.
    Limited,
    /// It answers with 500.
    Failing,
    /// It answers with 200 and a body that is cut.
    Malformed,
    /// It answers with 200 and an object without a verdict.
    Nonsense,
    /// It answers with 200 and no body.
    Empty,
}

impl Behaviour {
    /// The behaviour of a word, as in paths and knobs.
    pub fn parse(word: &str) -> Option<Behaviour> {
        Some(match word {
            "ok" => Behaviour::Ok,
            "flagged" => Behaviour::Flagged,
            "masked" => Behaviour::Masked,
            "blocked" => Behaviour::Blocked,
            "slow" => Behaviour::Slow,
            "limited" => Behaviour::Limited,
            "failing" => Behaviour::Failing,
            "malformed" => Behaviour::Malformed,
            "nonsense" => Behaviour::Nonsense,
            "empty" => Behaviour::Empty,
            _ => return None,
        })
    }
}

/// What is decided about one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    pub(super) behaviour: Behaviour,
    trigger: Option<&'static str>,
}

impl Judge {
    pub(super) fn new(asked: Option<Behaviour>, question: &Value) -> Judge {
        if let Some(behaviour) = asked {
            return Judge { behaviour, trigger: None };
        }
        let found = TRIGGERS.iter().find(|(trigger, _)| mentions(question, trigger));
        match found {
            Some((trigger, behaviour)) => Judge { behaviour: *behaviour, trigger: Some(trigger) },
            None => Judge { behaviour: Behaviour::Ok, trigger: None },
        }
    }

    /// Whether it finds anything at all.
    fn finds(&self) -> bool {
        matches!(self.behaviour, Behaviour::Flagged | Behaviour::Masked | Behaviour::Blocked)
    }

    pub(super) fn masks(&self) -> bool {
        self.behaviour == Behaviour::Masked
    }

    pub(super) fn blocks(&self) -> bool {
        self.behaviour == Behaviour::Blocked
    }

    /// What it finds in a text, in bytes.
    pub(super) fn found(&self, text: &str) -> Vec<Range<usize>> {
        if !self.finds() {
            return Vec::new();
        }
        if let Some(trigger) = self.trigger {
            return text.match_indices(trigger).map(|(at, found)| at..at + found.len()).collect();
        }
        let blank = text.len() - text.trim_start().len();
        let word = text.split_whitespace().next();
        word.map(|word| blank..blank + word.len()).into_iter().collect()
    }

    /// Whether it finds something in a text.
    pub(super) fn hits(&self, text: &str) -> bool {
        !self.found(text).is_empty()
    }

    /// The text with [`MASK`] for what it finds.
    pub(super) fn masked(&self, text: &str) -> String {
        let (mut masked, mut at) = (String::new(), 0);
        for range in self.found(text) {
            masked.push_str(text.get(at..range.start).unwrap_or_default());
            masked.push_str(MASK);
            at = range.end;
        }
        masked.push_str(text.get(at..).unwrap_or_default());
        masked
    }
}

fn mentions(value: &Value, trigger: &str) -> bool {
    match value {
        Value::String(text) => text.contains(trigger),
        Value::Array(list) => list.iter().any(|one| mentions(one, trigger)),
        Value::Object(map) => map.values().any(|one| mentions(one, trigger)),
        _ => false,
    }
}

/// A place in bytes as one in code points.
pub(super) fn code_points(text: &str, range: &Range<usize>) -> (usize, usize) {
    let count = |end: usize| text.get(..end).unwrap_or_default().chars().count();
    (count(range.start), count(range.end))
}

/// A list of texts under a key.
pub(super) fn texts<'v>(value: &'v Value, key: &str) -> Option<Vec<&'v str>> {
    value.get(key)?.as_array()?.iter().map(Value::as_str).collect()
}
