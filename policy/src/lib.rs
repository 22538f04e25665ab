//! Facts in, decision out.
//!
//! This crate sees facts about an exchange (who, over which surface, with which outcome) and never messages,
//! HTTP or providers. Rules say where they apply, when they fire and what happens then ([`rule`]); compiled, they are a
//! [`PolicySet`], which says what an exchange [needs](PolicySet::needs) and [decides](PolicySet::decide) what happens
//! with it. The strictest action wins. Everything stored speaks the vocabulary of this crate.

pub mod action;
mod check;
mod compile;
mod decide;
mod decision;
mod explain;
pub mod facts;
pub mod guardrail;
pub mod names;
mod needs;
pub mod reason;
pub mod rule;
mod scope;
mod set;
pub mod stage;
mod version;

#[cfg(test)]
mod tests;

pub use action::Action;
pub use check::{MESSAGE_BYTES_MAX, PLACE_NAMES_MAX, RULE_CONDITIONS_MAX, RULE_NAME_BYTES_MAX};
pub use compile::{CONDITIONS_MAX, Catalogue, PolicySet, Problem, RULES_MAX};
pub use decide::{Evidence, Seen};
pub use decision::{Cause, Decision, Fired, Mask};
pub use explain::{FailOpen, Row};
pub use facts::{Caller, CallerKind, Capability, CapabilitySet, Surface, TrafficClass};
pub use guardrail::{Answer, GUARDRAILS_MAX, Guardrail, GuardrailIndex, GuardrailSet, Outcome};
pub use needs::{Detectors, Needs};
pub use reason::{Blame, Reason};
pub use rule::{Rule, Streams};
pub use scope::{Dimension, Facts, Origin, Scope};
pub use stage::{Coverage, Gap, Mode, Stage};
pub use version::Version;
