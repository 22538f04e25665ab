//! A rule as an operator writes it: where it applies, when it fires, and what it does then.

use crate::action::Action;
use crate::names::Names;
use crate::scope::Dimension;
use crate::stage::{Mode, Stage};
use narrows_guard::{Class, Tier};
use std::collections::BTreeMap;

/// A policy rule.
///
/// Rules add up. Of all rules that fire the strictest action wins: block, then mask, then log. No rule weakens another,
/// except an exemption ([`Effect::Exempt`]), and that only for the rules it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in decisions, records and alerts; unique.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Where it applies.
    pub place: Where,
    /// When it fires: any of these. Without conditions it fires by its place alone.
    pub when: Vec<Condition>,
    /// What it does.
    pub then: Then,
}

/// Where a rule applies: every demand must be met.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Where {
    /// The stages; empty for all.
    pub stages: Vec<Stage>,
    /// Demands on facts of the exchange.
    pub names: BTreeMap<Dimension, Names>,
    /// Demands on metadata of the caller, by key.
    pub tags: BTreeMap<String, Names>,
}

/// What makes a rule fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Enough findings of our own detectors.
    Found(Found),
    /// The verdict of an external guardrail.
    Guardrail(Verdict),
}

/// Which findings count, and how many of them it takes. Every demand must be met by each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Families; empty for all.
    pub classes: Vec<Class>,
    /// Tiers; empty for A and B (which detectors report with a word of context), and for every tier where `entities` or
    /// `rules` are named: naming asks for them.
    pub tiers: Vec<Tier>,
    /// Entities (`EMAIL`).
    pub entities: Names,
    /// Rules of detectors (`github-pat`).
    pub rules: Names,
    /// Least score, 0 to 100.
    pub score: u8,
    /// Least number of such findings, 1 or more.
    pub count: u32,
}

/// Which verdicts of an external guardrail count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The guardrail's name in the configuration.
    pub guardrail: String,
    /// What it must have found, in its own words; everything for any verdict that is not a pass.
    pub categories: Names,
    /// Least score, 0 to 100, where the guardrail gives one; a verdict without a score counts as 100.
    pub score: u8,
}

/// What a rule does when it fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then {
    /// What happens.
    pub effect: Effect,
    /// Whether it happens, or is only written down.
    pub mode: Mode,
    /// What happens when a thing that the rule depends on could not be inspected. `None`: a rule that masks or blocks
    /// refuses, a rule that logs lets pass; a guardrail's own setting goes before that.
    pub on_error: Option<OnError>,
    /// Whether it judges or changes. `None`: a rule that masks changes, others judge.
    pub operation: Option<Operation>,
    /// Whether masked values are put back into the answer.
    pub restore: bool,
    /// What it may do to streams.
    pub streams: Streams,
    /// What the caller is told when the rule refuses; `None` for the default sentence.
    pub message: Option<String>,
    /// Whether it raises an alert. `None`: when it refuses, when it could not do what it should, and when something was
    /// let pass because it could not be inspected.
    pub alert: Option<bool>,
}

/// What a rule that masks or refuses may do to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Streams {
    /// Nothing: it is passed on as it comes, and looked at beside.
    Observed,
    /// What it does to any other answer: a window of the stream waits until it was looked at.
    Gated,
}

/// What a rule is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It logs, masks or refuses.
    Act(Action),
    /// It takes away, from the rules named here and from no others, what its own conditions select where it applies
    /// itself: those findings do not count for them and are not masked by them. Without conditions those rules do not
    /// apply there at all. What could not be inspected is never exempt by a condition.
    Exempt(Vec<String>),
}

/// What happens when something could not be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnError {
    /// It passes, and the record says so (fail-open).
    Allow,
    /// It is refused (fail-closed).
    Block,
    /// Our own detectors decide in the guardrail's place; if they cannot either, it is refused.
    Builtin,
}

impl OnError {
    /// Every one, in order of declaration.
    pub const ALL: [OnError; 3] = [OnError::Allow, OnError::Block, OnError::Builtin];

    /// The word used in configuration and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnError::Allow => "allow",
            OnError::Block => "block",
            OnError::Builtin => "builtin",
        }
    }
}

/// Whether a rule judges content or changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// It lets pass or refuses. Of a guardrail the verdict counts and the rewriting does not; validators run beside each
    /// other.
    Validate,
    /// It changes what is found. Of a guardrail the rewriting is taken over; mutators run one after the other, each
    /// reading what the one before it wrote.
    Mutate,
}

impl Operation {
    /// Every one, in order of declaration.
    pub const ALL: [Operation; 2] = [Operation::Validate, Operation::Mutate];

    /// The word used in configuration and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Validate => "validate",
            Operation::Mutate => "mutate",
        }
    }
}

impl Default for Found {
    fn default() -> Found {
        let (entities, rules) = (Names::default(), Names::default());
        Found { classes: Vec::new(), tiers: Vec::new(), entities, rules, score: SCORE_DEFAULT, count: 1 }
    }
}

/// Least score of a finding that counts, unless a condition says otherwise.
pub const SCORE_DEFAULT: u8 = 50;

impl Then {
    /// A rule that carries out `action`, with every default.
    pub fn act(action: Action) -> Then {
        Then::of(Effect::Act(action))
    }

    /// `effect` with every default.
    pub fn of(effect: Effect) -> Then {
        let (on_error, operation, message, alert) = (None, None, None, None);
        let (mode, streams) = (Mode::Enforce, Streams::Observed);
        Then { effect, mode, on_error, operation, restore: false, streams, message, alert }
    }
}

impl Where {
    /// Whether the rule applies at `stage`.
    pub fn is_at(&self, stage: Stage) -> bool {
        self.stages.is_empty() || self.stages.contains(&stage)
    }
}

impl Found {
    /// Whether findings of this tier count.
    pub fn takes(&self, tier: Tier) -> bool {
        let named = !self.entities.any.is_empty() || !self.rules.any.is_empty();
        match self.tiers.is_empty() {
            true => named || tier != Tier::C,
            false => self.tiers.contains(&tier),
        }
    }

    /// Whether findings of this detector's rule count.
    pub fn selects(&self, rule: &narrows_guard::Rule) -> bool {
        (self.classes.is_empty() || self.classes.contains(&rule.class))
            && self.takes(rule.tier)
            && self.entities.accept(Some(&rule.entity), crate::names::Case::Exact)
            && self.rules.accept(Some(&rule.id), crate::names::Case::Exact)
    }
}
