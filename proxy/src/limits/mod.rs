//! Budgets and rate limits while exchanges run: which apply, and their counters.
//!
//! What the configuration says is compiled into [`Rules`], a part of the snapshot. The counters outlive snapshots: they are
//! kept by name and scope in one table of the process, so that a rule that is edited goes on with what was counted. Machines
//! and their properties are in the crate `meter`.
//!
//! What a hot path pays: nothing without rules; with some, for each that applies, one look into a shard of the table and one
//! short lock of the counter. Nobody holds either while doing anything slow.

mod clock;
mod counter;
mod counters;
mod headers;
mod hold;
mod memory;
mod report;
mod rule;
mod shared;
mod table;

pub(crate) use clock::Now;
pub(crate) use counters::{Ask, CameTo, Counters, Refused, Why};
pub(crate) use headers::{Rooms, is_theirs};
pub(crate) use hold::{Crossed, Hold};
pub(crate) use memory::{History, Limits};
pub(crate) use report::{Line, LineKind, amount, seconds, window};
pub(crate) use rule::{Rule, Rules};
pub(crate) use shared::Teller;

#[cfg(test)]
mod tests;
