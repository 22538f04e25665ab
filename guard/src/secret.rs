//! Searches texts for the patterns of rule sets.

mod compiled;
mod entropy;
mod evaluate;
mod state;

pub(crate) use compiled::Secrets;
pub(crate) use state::State;

/// How far around a match a rule's context words count, in bytes.
pub const CONTEXT_BYTES: usize = 128;
