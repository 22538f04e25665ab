//! What passes here, against what is known: traffic by class, names that were seen, names that were not, keys that nobody
//! uses.

use crate::directory::{EntryKind, EntryState};
use crate::json::times;
use narrows_policy::{Capability, CapabilitySet, TrafficClass};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most rows of each list of a report; how many more there are is told.
pub const COVERAGE_ROWS_MAX: usize = 10_000;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoverageQuestion {
    /// At or after, UTC microseconds since the epoch. Classes are counted by whole days, the rest by whole hours.
    pub from_us: i64,
    /// Before.
    pub to_us: i64,
    /// Of this organization.
    pub organization: Option<String>,
    /// Keys that were not used since then are named.
    pub unused_since_us: i64,
}

/// One stored sum of exchanges.
pub(crate) struct ClassRow {
    pub(crate) class: String,
    pub(crate) surface: String,
    pub(crate) capabilities: u8,
    pub(crate) exchanges: u64,
}

/// Traffic of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCoverage {
    /// The class: `1`, `2a`, `2b`, `3`, `4` or `mcp`.
    pub class: String,
    /// What it is.
    pub name: String,
    /// Exchanges that passed here.
    pub exchanges: u64,
    /// To how many of them each capability applied.
    pub capabilities: BTreeMap<String, u64>,
    /// Exchanges by the door they came through.
    pub surfaces: BTreeMap<String, u64>,
    /// Whether traffic of this class can pass here at all.
    pub reachable: bool,
    /// What the figures do not say.
    pub note: String,
}

/// A name that exchanges carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenName {
    /// What it names.
    pub kind: EntryKind,
    /// The organization.
    pub organization: String,
    /// The name.
    pub name: String,
    /// Whether the directory has an entry of that name.
    pub known: bool,
    /// The state of its newest entry.
    pub state: Option<EntryState>,
    /// Exchanges.
    pub exchanges: u64,
}

/// An active entry of the directory of which nothing was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenEntry {
    /// What it is.
    pub kind: EntryKind,
    /// The organization.
    pub organization: String,
    /// Its name.
    pub name: String,
    /// Public id.
    pub id: String,
}

/// A client program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenClient {
    /// Its word; `None` is all that were not recognized.
    pub client: Option<String>,
    /// Exchanges.
    pub exchanges: u64,
}

/// A key that works and that nobody uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusedKey {
    /// Public id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The organization.
    pub organization: String,
    /// Whose it is: the user or service account, else the team.
    pub owner: Option<String>,
    /// When it was created, UTC microseconds since the epoch.
    #[serde(rename = "created_at", with = "times")]
    pub created_at_us: Option<i64>,
    /// The hour of its last exchange, if there ever was one.
    #[serde(rename = "last_used_at", with = "times")]
    pub last_used_at_us: Option<i64>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageReport {
    /// The beginning of what it is about.
    #[serde(rename = "from", with = "times")]
    pub from_us: Option<i64>,
    /// Its end.
    #[serde(rename = "to", with = "times")]
    pub to_us: Option<i64>,
    /// Since when classes are counted, if that was later than `from`.
    #[serde(with = "times")]
    pub classes_counted_since: Option<i64>,
    /// Every class, also those of which nothing passes here.
    pub classes: Vec<ClassCoverage>,
    /// Exchanges without a virtual key, on routes that are open to anybody.
    pub without_key: u64,
    /// Names that were seen, the unknown ones first, then by exchanges.
    pub seen: Vec<SeenName>,
    /// Active entries of the directory of which nothing was seen.
    pub unseen: Vec<UnseenEntry>,
    /// Client programs, by exchanges.
    pub clients: Vec<SeenClient>,
    /// Keys that work and were not used, the oldest first.
    pub unused_keys: Vec<UnusedKey>,
    /// Rows that the lists above have no room for.
    pub left_out: u64,
}

/// What a class is, whether it can pass here, and what its figures do not say.
fn about(class: TrafficClass) -> (&'static str, bool, &'static str) {
    match class {
        TrafficClass::OwnApplication => (
            "applications the organization builds",
            true,
            "applications that call a provider directly with a key of their own are not seen",
        ),
        TrafficClass::ManagedClient => (
            "clients whose settings are enforced centrally",
            true,
            "counted as 2b until settings are told to be enforced; features that stay with a client's vendor are not seen",
        ),
        TrafficClass::UserClient => (
            "clients configured by their users",
            true,
            "told from the user agent; a user who takes the base URL out again is not seen",
        ),
        TrafficClass::Intercepted => (
            "applications without an endpoint setting",
            false,
            "needs interception on the machines, which is not built; they are not seen and not governed",
        ),
        TrafficClass::Embedded => (
            "AI inside other vendors' services",
            false,
            "the vendor calls the model: it never passes here, nothing is counted, nothing is governed",
        ),
        TrafficClass::Mcp => (
            "tool calls over MCP",
            false,
            "the gateway for tools is not built; tools that clients call themselves are not seen",
        ),
    }
}

/// A row for every class, of what was stored.
pub(crate) fn by_class(rows: impl IntoIterator<Item = ClassRow>) -> Vec<ClassCoverage> {
    let empty = |class: TrafficClass| {
        let (name, reachable, note) = about(class);
        ClassCoverage {
            class: class.as_str().to_owned(),
            name: name.to_owned(),
            exchanges: 0,
            capabilities: Capability::ALL.iter().map(|one| (one.as_str().to_owned(), 0)).collect(),
            surfaces: BTreeMap::new(),
            reachable,
            note: note.to_owned(),
        }
    };
    let mut classes: Vec<ClassCoverage> = TrafficClass::ALL.into_iter().map(empty).collect();
    for row in rows {
        let Some(class) = classes.iter_mut().find(|class| class.class == row.class) else { continue };
        class.exchanges = class.exchanges.saturating_add(row.exchanges);
        for capability in CapabilitySet::from_bits(row.capabilities).iter() {
            let sum = class.capabilities.entry(capability.as_str().to_owned()).or_default();
            *sum = sum.saturating_add(row.exchanges);
        }
        let sum = class.surfaces.entry(row.surface).or_default();
        *sum = sum.saturating_add(row.exchanges);
    }
    classes
}
