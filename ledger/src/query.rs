//! Questions to the store, each over its own read-only connection, beside whoever writes.

mod coverage;
mod hours;
mod records;
mod search;
mod usage;
mod verify;

pub use search::{Decided, Search};

use crate::audit::{AUDIT_PAGE_LIMIT, AuditFilter, AuditPage};
use crate::db::Connection;
use crate::db::postgres::Pool;
use crate::error::LedgerError;
use crate::limits::StoredLimit;
use crate::options::BUSY_TIMEOUT;
use crate::place::Place;
use crate::record::Record;
use crate::rollup::Sums;
use crate::spending::SpentRow;
use crate::store;
use narrows_policy::Reason;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Most records on one page.
pub const PAGE_LIMIT: usize = 1_000;

/// Which exchanges a question is about. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Started at or after, UTC microseconds since the epoch. Sums have whole hours: the hour it falls in counts.
    pub from_us: Option<i64>,
    /// Started before, UTC microseconds since the epoch. Sums have whole hours: the hour it falls in counts.
    pub to_us: Option<i64>,
    /// Organization.
    pub organization: Option<String>,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// Project.
    pub project: Option<String>,
    /// Public id of the virtual key.
    pub key: Option<String>,
    /// The model asked of the provider.
    pub model: Option<String>,
    /// The provider, by its name in the configuration.
    pub provider: Option<String>,
    /// The client program, by its word.
    pub client: Option<String>,
    /// The dialect, by its word.
    pub dialect: Option<String>,
    /// Why it ended.
    pub reason: Option<Reason>,
}

/// What sums can be split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The hour (UTC), as `2026-01-31T13:00:00Z`.
    Hour,
    /// The day (UTC), as `2026-01-31`.
    Day,
    /// Organization.
    Organization,
    /// Team.
    Team,
    /// User.
    User,
    /// Service account.
    ServiceAccount,
    /// Project.
    Project,
    /// Public id of the virtual key.
    Key,
    /// Provider.
    Provider,
    /// The model asked of the provider.
    Model,
    /// Dialect.
    Dialect,
    /// Client program.
    Client,
    /// Why it ended.
    Reason,
    /// Where the figures came from.
    Origin,
}

impl Dimension {
    /// Every dimension, in order of declaration.
    pub const ALL: [Dimension; 14] = [
        Dimension::Hour,
        Dimension::Day,
        Dimension::Organization,
        Dimension::Team,
        Dimension::User,
        Dimension::ServiceAccount,
        Dimension::Project,
        Dimension::Key,
        Dimension::Provider,
        Dimension::Model,
        Dimension::Dialect,
        Dimension::Client,
        Dimension::Reason,
        Dimension::Origin,
    ];

    /// The stable word used in reports and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Dimension::Hour => "hour",
            Dimension::Day => "day",
            Dimension::Organization => "organization",
            Dimension::Team => "team",
            Dimension::User => "user",
            Dimension::ServiceAccount => "service_account",
            Dimension::Project => "project",
            Dimension::Key => "key",
            Dimension::Provider => "provider",
            Dimension::Model => "model",
            Dimension::Dialect => "dialect",
            Dimension::Client => "client",
            Dimension::Reason => "reason",
            Dimension::Origin => "origin",
        }
    }

    /// The dimension with this word.
    pub fn from_word(word: &str) -> Option<Dimension> {
        Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == word)
    }
}

/// One line of a usage report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The group: one entry per dimension asked for, in that order; `None` where records name nothing.
    pub group: Vec<(Dimension, Option<String>)>,
    /// Its sums.
    pub sums: Sums,
}

impl Serialize for UsageRow {
    /// One flat object: the dimensions by name, then the sums.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        for (dimension, name) in &self.group {
            out.serialize_entry(dimension.as_str(), name)?;
        }
        self.sums.entries().try_for_each(|(name, figure)| out.serialize_entry(name, &figure))?;
        out.end()
    }
}

/// Where a page goes on. Opaque text, as [`std::fmt::Display`] and [`std::str::FromStr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) segment: i64,
    /// Position in the segment; records before it are still to come.
    pub(crate) before: u32,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.segment, self.before)
    }
}

impl FromStr for Cursor {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Cursor, LedgerError> {
        let parts = text.split_once('.');
        parts
            .and_then(|(segment, before)| {
                Some(Cursor { segment: segment.parse().ok()?, before: before.parse().ok()? })
            })
            .ok_or(LedgerError::BadQuery("this cursor is not one that a page returned"))
    }
}

/// Which part of a long list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Most records, 1 to [`PAGE_LIMIT`].
    pub limit: usize,
    /// Where the page before ended; `None` starts with the newest.
    pub cursor: Option<Cursor>,
}

/// A part of a long list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The records, the last settled first.
    pub records: Vec<Record>,
    /// Where to go on; `None` when there is nothing more. A page may be short, even empty, and still have one.
    pub next: Option<Cursor>,
}

/// Whether records and sums agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The sums over all stored records, added up anew.
    pub records: Sums,
    /// The sums as kept by hour for exchanges that left a record.
    pub rollups: Sums,
    /// The sums of exchanges that left no record, because the queue was full.
    pub overflow: Sums,
    /// Whether both are equal in every figure, in every hour, for every provider and model, and the sums by day and by month
    /// are those of their hours and days in every group.
    pub consistent: bool,
    /// Where records and sums by hour are not equal, at most [`DIFFERENCES_MAX`], the earliest first.
    pub differing: Vec<Differing>,
    /// Which days, and then which months, are not what their hours and days come to, at most [`DIFFERENCES_MAX`].
    pub differing_periods: Vec<DifferingPeriod>,
}

/// Most differences that a verification lists.
pub const DIFFERENCES_MAX: usize = 100;

/// A day or a month whose sums are not those that it was added up from. The totals may be equal where groups differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingPeriod {
    /// The day (UTC), as `2026-01-31`, or the month, as `2026-01`.
    pub period: String,
    /// How many groups differ.
    pub groups: usize,
    /// The total of its hours, or of its days.
    pub finer: Sums,
    /// The total as kept.
    pub kept: Sums,
}

/// An hour of one provider and model in which records and sums differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// The hour (UTC), as `2026-01-31T13:00:00Z`.
    pub hour: String,
    /// The provider, empty where there was none.
    pub provider: String,
    /// The model asked of it, empty where there was none.
    pub model: String,
    /// The sums over the records.
    pub records: Sums,
    /// The sums as kept.
    pub rollups: Sums,
}

/// Exchanges whose costs were computed with one version of the prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceUse {
    /// The version; 0 for exchanges that needed no prices: what cost nothing, and what reached nobody.
    pub version: u64,
    /// How many exchanges.
    pub requests: u64,
    /// Their known cost, in nano-dollars.
    pub cost_nanousd: u64,
    /// How many of them have an unknown cost.
    pub cost_unknown: u64,
    /// When the first of them began, in UTC microseconds since the epoch.
    pub first_at_us: i64,
    /// When the last of them began.
    pub last_at_us: i64,
}

impl Serialize for PriceUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(6))?;
        let version = Some(self.version).filter(|version| *version != 0);
        out.serialize_entry("version", &version.map(|version| format!("{version:016x}")))?;
        out.serialize_entry("requests", &self.requests)?;
        out.serialize_entry("cost_nanousd", &self.cost_nanousd)?;
        out.serialize_entry("cost_unknown", &self.cost_unknown)?;
        out.serialize_entry("first_at", &crate::json::time(self.first_at_us))?;
        out.serialize_entry("last_at", &crate::json::time(self.last_at_us))?;
        out.end()
    }
}

/// A read-only view of a store, which gateways may be using.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) version: u32,
}

impl Reader {
    /// Opens the store at `place` for reading. A store one schema older is read as it is.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::NotAStore`], [`LedgerError::SchemaNewer`] and others say what to do.
    pub fn open(place: impl Into<Place>) -> Result<Reader, LedgerError> {
        let (connection, version) = store::open_reader(&place.into(), BUSY_TIMEOUT, None)?;
        Ok(Reader { connection, version })
    }

    /// The same over a connection of a pool, where the store is a server's.
    pub(crate) fn lent(place: &Place, patience: Duration, pool: &Arc<Pool>) -> Result<Reader, LedgerError> {
        let (connection, version) = store::open_reader(place, patience, Some(pool))?;
        Ok(Reader { connection, version })
    }

    /// What was charged to budgets since `from_us` (UTC microseconds since the epoch; the quarter of an hour it falls in
    /// included), by counter and quarter, oldest first. Nothing for a store whose schema is older than that.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn spending(&self, from_us: i64, take: &mut dyn FnMut(SpentRow)) -> Result<(), LedgerError> {
        self.spending_of(None, from_us, take)
    }

    /// The same, of one of those who write.
    pub(crate) fn spending_of(
        &self,
        writer: Option<i64>,
        from_us: i64,
        take: &mut dyn FnMut(SpentRow),
    ) -> Result<(), LedgerError> {
        if self.version < store::migrate::WITH_SPENDING {
            return Ok(());
        }
        Ok(store::spending::read(&self.connection, from_us, writer, take)?)
    }

    /// The budgets and rate limits that are in the store. None for a store whose schema is older than that.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn limits(&self) -> Result<Vec<StoredLimit>, LedgerError> {
        if self.version < store::migrate::WITH_LIMITS {
            return Ok(Vec::new());
        }
        Ok(store::limits::list(&self.connection)?)
    }

    /// The trail of administration, the newest first; `before` is the `next` of the page before. Empty for a store
    /// whose schema is older than the trail.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a limit out of range, or a failure of the store.
    pub fn audit(
        &self,
        filter: &AuditFilter,
        limit: usize,
        before: Option<i64>,
    ) -> Result<AuditPage, LedgerError> {
        if limit == 0 || limit > AUDIT_PAGE_LIMIT {
            return Err(LedgerError::BadQuery("a page has 1 to 1000 events"));
        }
        if self.version < store::migrate::WITH_AUDIT {
            return Ok(AuditPage { events: Vec::new(), next: None });
        }
        Ok(store::audit::page(&self.connection, filter, limit, before)?)
    }
}

#[cfg(test)]
#[path = "query/joined_tests.rs"]
mod joined_tests;
