//! Legal holds, and erasure.

use super::ErasureSubject;
use crate::error::LedgerError;
use crate::json;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Longest reason or name of a hold, in bytes.
pub const HOLD_TEXT_MAX: usize = 512;

/// What must not go. An absent name means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewHold {
    /// Organization.
    pub organization: String,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// One exchange.
    pub record: Option<u128>,
    /// Began at or after, UTC microseconds since the epoch.
    pub from_us: Option<i64>,
    /// Began before, UTC microseconds since the epoch. Without it what is yet to come is held too.
    pub to_us: Option<i64>,
    /// Why.
    pub reason: String,
}

impl NewHold {
    /// Checks every limit.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] names the first that is passed.
    pub fn validate(&self) -> Result<(), LedgerError> {
        let names = [Some(&self.organization), self.team.as_ref(), self.user.as_ref()];
        if names.into_iter().flatten().any(|name| name.is_empty() || name.len() > HOLD_TEXT_MAX) {
            return Err(LedgerError::BadQuery("a name in a hold has 1 to 512 bytes"));
        }
        if self.reason.trim().is_empty() || self.reason.len() > HOLD_TEXT_MAX {
            return Err(LedgerError::BadQuery("a hold needs a reason of at most 512 bytes"));
        }
        if self.from_us.zip(self.to_us).is_some_and(|(from, to)| from >= to) {
            return Err(LedgerError::BadQuery("a hold ends after it begins"));
        }
        Ok(())
    }
}

/// A hold as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Public id.
    pub id: String,
    /// What it holds, and why.
    pub held: NewHold,
    /// When it was made, UTC microseconds since the epoch.
    pub created_at_us: i64,
    /// Who made it.
    pub created_by: String,
    /// When it was released.
    pub released_at_us: Option<i64>,
    /// Who released it.
    pub released_by: Option<String>,
    /// Why it was released.
    pub release_reason: Option<String>,
}

impl Serialize for Hold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |at_us: Option<i64>| at_us.and_then(json::time);
        let held = &self.held;
        let mut out = serializer.serialize_struct("Hold", 13)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("organization", &held.organization)?;
        out.serialize_field("team", &held.team)?;
        out.serialize_field("user", &held.user)?;
        out.serialize_field("record", &held.record.map(|id| uuid::Uuid::from_u128(id).to_string()))?;
        out.serialize_field("from", &time(held.from_us))?;
        out.serialize_field("to", &time(held.to_us))?;
        out.serialize_field("reason", &held.reason)?;
        out.serialize_field("created_at", &json::time(self.created_at_us))?;
        out.serialize_field("created_by", &self.created_by)?;
        out.serialize_field("released_at", &time(self.released_at_us))?;
        out.serialize_field("released_by", &self.released_by)?;
        out.serialize_field("release_reason", &self.release_reason)?;
        out.end()
    }
}

/// What an erasure came to: the receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Organization.
    pub organization: String,
    /// Whose.
    pub subject: ErasureSubject,
    /// When, UTC microseconds since the epoch.
    pub at_us: i64,
    /// Exchanges whose content went.
    pub records: u64,
    /// Keys that were destroyed.
    pub keys: u64,
}

impl Serialize for Erasure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = self.subject.describe();
        let mut out = serializer.serialize_struct("Erasure", 6)?;
        out.serialize_field("organization", &self.organization)?;
        out.serialize_field("subject", kind)?;
        out.serialize_field("name", &name)?;
        out.serialize_field("erased_at", &json::time(self.at_us))?;
        out.serialize_field("records", &self.records)?;
        out.serialize_field("keys_destroyed", &self.keys)?;
        out.end()
    }
}
