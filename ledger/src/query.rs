//! Questions to the store, each over its own read-only connection, beside whoever writes.

use crate::error::LedgerError;
use crate::options::BUSY_TIMEOUT;
use crate::record::Record;
use crate::rollup::Sums;
use crate::store;
use rusqlite::Connection;
use serde::Serialize;
use std::path::Path;

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

/// One line of a usage report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The group: one entry per dimension asked for, in that order; `None` where records name nothing.
    pub group: Vec<(Dimension, Option<String>)>,
    /// Its sums.
    pub sums: Sums,
}

/// Where a page goes on. Opaque text, as [`std::fmt::Display`] and [`std::str::FromStr`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) segment: i64,
    /// Position in the segment; records before it are still to come.
    pub(crate) before: u32,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The sums of all stored records.
    pub records: Sums,
    /// The sums of exchanges that left no record.
    pub overflowed: u64,
    /// The sums as kept in the rollups.
    pub rollups: Sums,
    /// Whether they agree: exactly where nothing overflowed, and in the number of requests otherwise.
    pub consistent: bool,
}

/// A read-only view of a store; the file may be in use by a gateway.
#[derive(Debug)]
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) version: u32,
}

impl Reader {
    /// Opens the store at `path` for reading. A store one schema older is read as it is.
    ///
    /// # Errors
    /// [`LedgerError::Missing`], [`LedgerError::NotAStore`], [`LedgerError::SchemaNewer`] and others say what to do.
    pub fn open(path: &Path) -> Result<Reader, LedgerError> {
        let (connection, version) = store::open_reader(path, BUSY_TIMEOUT)?;
        Ok(Reader { connection, version })
    }
}

impl Reader {
    /// Sums by group.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn usage(&self, _filter: &Filter, _group_by: &[Dimension]) -> Result<Vec<UsageRow>, LedgerError> {
        Ok(Vec::new())
    }
    /// Records, newest first.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn records(&self, _filter: &Filter, _page: PageRequest) -> Result<Page, LedgerError> {
        Ok(Page { records: Vec::new(), next: None })
    }
    /// One record.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn record(&self, _id: u128) -> Result<Option<Record>, LedgerError> {
        Ok(None)
    }
    /// Verifies.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn verify(&self) -> Result<Verification, LedgerError> {
        Err(LedgerError::BadQuery(""))
    }
}
