//! Facts in, decision out.
//!
//! This crate sees facts about an exchange (who, over which surface, with which outcome) and never messages,
//! HTTP or providers. The rule engine arrives with guardrails; the vocabulary is here from day one because
//! everything stored speaks it.

pub mod action;
pub mod facts;
pub mod reason;
pub mod stage;

pub use action::Action;
pub use facts::{Caller, CallerKind, Capability, CapabilitySet, Surface, TrafficClass};
pub use reason::{Blame, Reason};
pub use stage::{Coverage, Gap, Mode, Stage};
