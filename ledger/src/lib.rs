//! Records, virtual keys and aggregates on disk.
//!
//! One SQLite file holds the keys (hashes only), every exchange's record, and sums by hour. Requests never touch
//! it: keys are checked against an immutable snapshot in memory ([`KeyRing`]), records leave through a bounded
//! queue ([`Ledger::submit`]) to one writing thread, and what finds the queue full is kept as sums.
//!
//! What a crash costs: `kill -9` loses at most what was gathered within [`options::GATHER`] plus the batch being
//! written, and never damages the file. A power cut can lose what was written since the last checkpoint (8 MB of
//! log), still without damage. [`Ledger::flush`] waits until everything is safe against both.

mod db;

pub mod inspection;

pub mod record;

pub mod alert;
pub mod audit;
mod classes;
pub mod coverage;
mod decisions;
pub mod directory;
mod json;
mod rollup;
mod segment;
pub mod spending;
mod token;
mod upkeep;

pub mod admin;
pub mod error;
pub mod key;
mod key_json;
pub mod options;
mod queue;
mod store;

pub mod objects;

mod bulk;
pub mod content;
mod contents;
mod credentials;
mod declared;
mod entries;
mod keystore;
pub mod limits;
mod once;
mod place;
mod writer;

pub mod query;

mod alerts;
mod ledger;

#[cfg(test)]
extern crate self as narrows_ledger;

#[cfg(test)]
mod sample;

#[cfg(test)]
#[path = "../tests/common/postgres.rs"]
#[allow(dead_code, reason = "not all of it is needed by tests inside of the crate")]
mod test_postgres;

pub use admin::{AdminEntry, AdminFault, AdminInfo, CreatedAdmin, NewAdminToken, Role};
pub use alert::{
    ACKNOWLEDGE_MAX, ALERT_PAGE_LIMIT, ALERTS_PENDING_MAX, AlertBacklog, AlertFilter, AlertInfo, AlertPage,
    AlertState, AlertStats, DecisionDimension, DecisionFilter, DecisionRow, Delivery, DeliveryInfo, DueAlert,
    NOTE_BYTES_MAX, NewAlert, Severity, Told,
};
pub use audit::{AUDIT_PAGE_LIMIT, AuditEntry, AuditEvent, AuditFilter, AuditPage};
pub use bulk::KEYS_AT_ONCE_MAX;
pub use content::{
    Content, ContentFilter, ContentState, ContentStates, ContentStats, Erasure, ErasureSubject, Hold,
    KeyWrap, NewContent, NewHold, NewSide, Pending, ScanLimits, Scanned, Side,
};
pub use coverage::{
    COVERAGE_ROWS_MAX, ClassCoverage, CoverageQuestion, CoverageReport, SeenClient, SeenName, UnseenEntry,
    UnusedKey,
};
pub use credentials::SealedCredential;
pub use db::{Error as DatabaseError, PostgresHost, PostgresServer};
pub use declared::{DECLARED_ACTOR, DeclaredKey, KeyConflict, KeyHash, Reconciled, Reconciliation};
pub use directory::{
    ENTRY_PAGE_LIMIT, Entry, EntryChange, EntryFilter, EntryKind, EntryPage, EntryState, InvalidEntry,
    NewEntry,
};
pub use error::LedgerError;
pub use inspection::{Detail, FINDINGS_MAX, Finding, Inspection, Inspections, RULES_MAX};
pub use json::{read_time, time};
pub use key::{CreatedKey, InvalidKey, KeyEntry, KeyFault, KeyInfo, KeyRing, NewKey};
pub use ledger::{Ledger, LedgerStats, READERS_MAX};
pub use limits::{Expected, LIMIT_DOCUMENT_BYTES_MAX, LimitKind, STORED_LIMITS_MAX, StoredLimit};
pub use objects::{OBJECT_ID_BYTES_MAX, Object, ObjectStats, Objects, Owner, Scope};
pub use once::{Begun, ONCE_LIFETIME, ONCE_MAX};
pub use options::{JsonLines, LedgerOptions};
pub use place::Place;
pub use query::{
    Cursor, DIFFERENCES_MAX, Decided, Differing, DifferingPeriod, Dimension, Filter, Page, PageRequest,
    PriceUse, Reader, Search, UsageRow, Verification,
};
pub use record::{Attempt, Record, Used};
pub use rollup::Sums;
pub use spending::{Charge, CounterName, QUARTER_US, Spent, SpentRow};
pub use token::{
    ADMIN_PREFIX, CHECKSUM_LEN, KEY_PREFIX, Malformed, PUBLIC_ID_LEN, PresentedKey, SECRET_LEN, Secret,
    TOKEN_LEN, TokenKind,
};
pub use writer::SpendingAsked;

/// Now, in UTC microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
