//! The trail of administration: who changed what, who read which records.

use crate::json::times;
use serde::{Deserialize, Serialize};

/// Most events on one page.
pub const AUDIT_PAGE_LIMIT: usize = 1_000;

/// Something that was done, to be written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditEntry<'a> {
    /// Public id of the admin token, or the program that did it (`cli`, `narrows`).
    pub actor: &'a str,
    /// What was done: a stable word as `key_created`, `records_read`.
    pub action: &'a str,
    /// Public id or name of what it was done to.
    pub target: &'a str,
    /// The organization it is about; `None` when it concerns the whole gateway.
    pub organization: Option<&'a str>,
    /// More for people: a name, a query. Never a secret.
    pub detail: Option<String>,
    /// How many rows were read.
    pub rows: Option<u64>,
}

/// Something that was done, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Counts up.
    pub id: i64,
    /// When, UTC microseconds since the epoch.
    #[serde(rename = "at", with = "times")]
    pub at_us: Option<i64>,
    /// Public id of the admin token, or the program that did it.
    pub actor: String,
    /// Name of the admin token, if it was one.
    pub actor_name: Option<String>,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// The organization it is about, if it was one.
    pub organization: Option<String>,
    /// More for people.
    pub detail: Option<String>,
    /// How many rows were read, if some were.
    pub rows: Option<u64>,
}

/// Which events are wanted. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// At or after, UTC microseconds since the epoch.
    pub from_us: Option<i64>,
    /// Before, UTC microseconds since the epoch.
    pub to_us: Option<i64>,
    /// About this organization.
    pub organization: Option<String>,
    /// Public id of the token, or the program.
    pub actor: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// What it was done to.
    pub target: Option<String>,
}

/// A part of the trail, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The events.
    pub events: Vec<AuditEvent>,
    /// Where to go on; `None` at the end.
    pub next: Option<i64>,
}
