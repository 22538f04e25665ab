//! Budgets and rate limits that were made while a gateway ran. What they say is a document that the gateway understands; here
//! they have a name, a version and whoever wrote them.

use crate::audit::AuditEntry;
use crate::db::Connection;
use crate::error::LedgerError;
use crate::keystore::{KeyStore, leave};
use crate::store::limits;

/// Most budgets, and most rate limits, that a store holds beside those of a file: a request looks at each of them.
pub const STORED_LIMITS_MAX: usize = 256;
/// Longest document of one, in bytes.
pub const LIMIT_DOCUMENT_BYTES_MAX: usize = 16 * 1024;

/// What a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// How much may be spent in a window.
    Budget,
    /// How much may be asked for in a stretch of time.
    RateLimit,
}

impl LimitKind {
    /// The stable word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitKind::Budget => "budget",
            LimitKind::RateLimit => "rate_limit",
        }
    }

    /// How people call it.
    pub const fn noun(self) -> &'static str {
        match self {
            LimitKind::Budget => "budget",
            LimitKind::RateLimit => "rate limit",
        }
    }

    /// The one with this word.
    pub fn from_word(word: &str) -> Option<LimitKind> {
        [LimitKind::Budget, LimitKind::RateLimit].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A budget or rate limit in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLimit {
    /// What it is.
    pub kind: LimitKind,
    /// Its name, one of its kind.
    pub name: String,
    /// What it says, as JSON.
    pub document: String,
    /// Counts up with its changes. One that is made anew goes on above what was deleted, so no version comes twice.
    pub version: u64,
    /// When it was made; UTC microseconds since the epoch.
    pub created_at_us: i64,
    /// When it was changed last; UTC microseconds since the epoch.
    pub updated_at_us: i64,
    /// Who changed it last.
    pub updated_by: String,
}

/// The version that a change is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there, or nothing.
    Any,
    /// Something, in whatever version.
    Some,
    /// Nothing.
    None,
    /// This version.
    Version(u64),
}

impl Expected {
    fn check(self, kind: LimitKind, name: &str, found: Option<&StoredLimit>) -> Result<(), LedgerError> {
        let version = found.map(|limit| limit.version);
        let fits = match self {
            Expected::Any => true,
            Expected::Some => version.is_some(),
            Expected::None => version.is_none(),
            Expected::Version(expected) => version == Some(expected),
        };
        if fits { Ok(()) } else { Err(LedgerError::LimitChanged { kind, name: name.to_owned(), version }) }
    }
}

impl KeyStore {
    pub(crate) fn limits(&self) -> Result<Vec<StoredLimit>, LedgerError> {
        Ok(limits::list(&self.lock())?)
    }

    pub(crate) fn limit(&self, kind: LimitKind, name: &str) -> Result<StoredLimit, LedgerError> {
        found(&self.lock(), kind, name)
    }

    pub(crate) fn put_limit(
        &self,
        kind: LimitKind,
        name: &str,
        document: &str,
        expected: Expected,
        actor: &str,
    ) -> Result<StoredLimit, LedgerError> {
        if document.len() > LIMIT_DOCUMENT_BYTES_MAX {
            return Err(LedgerError::LimitTooLong { limit: LIMIT_DOCUMENT_BYTES_MAX });
        }
        self.change(|transaction, now| {
            let before = limits::get(transaction, kind, name)?;
            expected.check(kind, name, before.as_ref())?;
            if before.is_none() && limits::count(transaction, kind)? >= STORED_LIMITS_MAX {
                return Err(LedgerError::TooManyLimits { kind, limit: STORED_LIMITS_MAX });
            }
            if let Some(same) = before.as_ref().filter(|before| before.document == document) {
                return Ok(same.clone());
            }
            let version = match &before {
                Some(before) => before.version.saturating_add(1),
                None => limits::first_version(transaction)?,
            };
            let limit = StoredLimit {
                kind,
                name: name.to_owned(),
                document: document.to_owned(),
                version,
                created_at_us: before.as_ref().map_or(now, |before| before.created_at_us),
                updated_at_us: now,
                updated_by: actor.to_owned(),
            };
            limits::put(transaction, &limit)?;
            let action = match (kind, before.is_some()) {
                (LimitKind::Budget, false) => "budget_created",
                (LimitKind::Budget, true) => "budget_updated",
                (LimitKind::RateLimit, false) => "rate_limit_created",
                (LimitKind::RateLimit, true) => "rate_limit_updated",
            };
            let detail = match before {
                None => document.to_owned(),
                Some(before) => format!("{document}, before: {}", before.document),
            };
            leave(transaction, now, &event(actor, action, name, detail))?;
            Ok(limit)
        })
    }

    pub(crate) fn delete_limit(
        &self,
        kind: LimitKind,
        name: &str,
        expected: Expected,
        actor: &str,
    ) -> Result<StoredLimit, LedgerError> {
        self.change(|transaction, now| {
            let limit = found(transaction, kind, name)?;
            expected.check(kind, name, Some(&limit))?;
            limits::delete(transaction, &limit)?;
            let action = match kind {
                LimitKind::Budget => "budget_deleted",
                LimitKind::RateLimit => "rate_limit_deleted",
            };
            leave(transaction, now, &event(actor, action, name, limit.document.clone()))?;
            Ok(limit)
        })
    }
}

fn found(connection: &Connection, kind: LimitKind, name: &str) -> Result<StoredLimit, LedgerError> {
    limits::get(connection, kind, name)?
        .ok_or_else(|| LedgerError::LimitNotFound { kind, name: name.to_owned() })
}

fn event<'a>(actor: &'a str, action: &'a str, name: &'a str, detail: String) -> AuditEntry<'a> {
    AuditEntry { actor, action, target: name, detail: Some(detail), ..AuditEntry::default() }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
