//! Admin tokens: who may use the administration API, for which organization, to do what.

use crate::json::{self, times};
use crate::key::{InvalidKey, TEXT_MAX, at_most};
use crate::token::{Secret, SecretHash};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// How often the last use of a token is written down at most, in microseconds.
pub const USE_NOTED_EVERY_US: i64 = 60_000_000;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Read,
    /// Look and change.
    Write,
    /// Look, also at prompts and answers where they are kept, and decide what becomes of those; change nothing else.
    Content,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Read, Role::Write, Role::Content];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Content => "content",
        }
    }

    /// Whether one with this role may do what takes `needed`. Everybody may look; nobody may both change the gateway and read
    /// what is said through it.
    pub fn may(self, needed: Role) -> bool {
        needed == Role::Read || needed == self
    }

    /// The role with this word.
    pub fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A token to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAdminToken {
    /// A name for people.
    pub name: String,
    /// The one organization it is for; `None` is every one, and the gateway as a whole.
    pub organization: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it stops working, UTC microseconds since the epoch; `None` is never.
    pub expires_at_us: Option<i64>,
}

impl NewAdminToken {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first [`InvalidKey`] found.
    pub fn validate(&self) -> Result<(), InvalidKey> {
        let texts = [("name", Some(&self.name)), ("organization", self.organization.as_ref())];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            if text.is_empty() {
                return Err(InvalidKey::Empty { field });
            }
            at_most(field, text.len(), TEXT_MAX, "bytes")?;
        }
        Ok(())
    }
}

/// What the store knows of a token. Holds no secret and no hash.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AdminInfo {
    /// Public id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The one organization it is for, or every one.
    pub organization: Option<String>,
    /// What it may do.
    pub role: Role,
    /// When it was created, UTC microseconds since the epoch.
    #[serde(rename = "created_at", with = "times")]
    pub created_at_us: Option<i64>,
    /// When it stops working.
    #[serde(rename = "expires_at", with = "times")]
    pub expires_at_us: Option<i64>,
    /// When it was revoked.
    #[serde(rename = "revoked_at", with = "times")]
    pub revoked_at_us: Option<i64>,
    /// When it was used last, to the minute.
    #[serde(rename = "last_used_at", with = "times")]
    pub last_used_at_us: Option<i64>,
}

impl AdminInfo {
    /// `revoked`, `expired` or `active` at `now_us` (UTC microseconds since the epoch).
    pub fn state(&self, now_us: i64) -> &'static str {
        match self {
            AdminInfo { revoked_at_us: Some(_), .. } => "revoked",
            AdminInfo { expires_at_us: Some(at), .. } if *at <= now_us => "expired",
            _ => "active",
        }
    }
}

impl Serialize for AdminInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |at_us: Option<i64>| at_us.and_then(json::time);
        let mut out = serializer.serialize_struct("AdminToken", 9)?;
        out.serialize_field("id", &self.id)?;
        out.serialize_field("name", &self.name)?;
        out.serialize_field("state", self.state(crate::now_us()))?;
        out.serialize_field("organization", &self.organization)?;
        out.serialize_field("role", &self.role)?;
        out.serialize_field("created_at", &time(self.created_at_us))?;
        out.serialize_field("expires_at", &time(self.expires_at_us))?;
        out.serialize_field("revoked_at", &time(self.revoked_at_us))?;
        out.serialize_field("last_used_at", &time(self.last_used_at_us))?;
        out.end()
    }
}

/// A token that was just created, with the only sight of its secret there ever is.
#[derive(Debug)]
pub struct CreatedAdmin {
    /// What the store knows of it.
    pub info: AdminInfo,
    /// The whole token, for its owner.
    pub token: Secret,
}

/// Why a presented admin token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminFault {
    /// It is no admin token, or not one of ours.
    #[error("no such admin token")]
    Unknown,
    /// It was revoked.
    #[error("the admin token was revoked")]
    Revoked,
    /// It has expired.
    #[error("the admin token has expired")]
    Expired,
}

/// One token in the snapshot.
pub struct AdminEntry {
    /// Public id.
    pub id: Arc<str>,
    /// A name for people.
    pub name: Arc<str>,
    /// The one organization it is for, or every one.
    pub organization: Option<Arc<str>>,
    /// What it may do.
    pub role: Role,
    pub(crate) hash: SecretHash,
    pub(crate) expires_at_us: Option<i64>,
    pub(crate) revoked: bool,
    /// When its use was written down last.
    pub(crate) noted_us: AtomicI64,
}

impl AdminEntry {
    /// Whether its use at `now_us` is to be written down: once in [`USE_NOTED_EVERY_US`].
    pub fn note_use(&self, now_us: i64) -> bool {
        let before = self.noted_us.load(Ordering::Relaxed);
        now_us.saturating_sub(before) >= USE_NOTED_EVERY_US
            && self.noted_us.compare_exchange(before, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether it may be used at `now_us`, after its secret was proved.
    pub(crate) fn usable(&self, now_us: i64) -> Result<(), AdminFault> {
        if self.revoked {
            return Err(AdminFault::Revoked);
        }
        if self.expires_at_us.is_some_and(|at| now_us >= at) {
            return Err(AdminFault::Expired);
        }
        Ok(())
    }
}

impl std::fmt::Debug for AdminEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminEntry").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, organization: Option<&str>) -> NewAdminToken {
        NewAdminToken {
            name: name.to_owned(),
            organization: organization.map(str::to_owned),
            role: Role::Read,
            expires_at_us: None,
        }
    }

    #[test]
    fn names_have_limits() {
        let longest = "x".repeat(TEXT_MAX);
        assert_eq!(new(&longest, Some(&longest)).validate(), Ok(()));
        let longer = "x".repeat(TEXT_MAX + 1);
        for wrong in [new("", None), new("x", Some("")), new(&longer, None), new("x", Some(&longer))] {
            assert!(wrong.validate().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_use_is_noted_once_in_a_while() {
        let entry = AdminEntry {
            id: "a".into(),
            name: "a".into(),
            organization: None,
            role: Role::Write,
            hash: [0; 32],
            expires_at_us: Some(10),
            revoked: false,
            noted_us: AtomicI64::new(0),
        };
        assert!(!entry.note_use(USE_NOTED_EVERY_US - 1));
        assert!(entry.note_use(USE_NOTED_EVERY_US) && !entry.note_use(USE_NOTED_EVERY_US));
        assert_eq!((entry.usable(9), entry.usable(10)), (Ok(()), Err(AdminFault::Expired)));
    }

    #[test]
    fn a_token_has_one_form() {
        let info = AdminInfo {
            id: "4kX0bYw2mQ7d".into(),
            name: "ci".into(),
            organization: None,
            role: Role::Write,
            created_at_us: Some(1_770_000_000_000_001),
            expires_at_us: None,
            revoked_at_us: None,
            last_used_at_us: None,
        };
        let text = serde_json::to_string(&info).unwrap();
        assert!(text.contains(r#""state":"active","organization":null,"role":"write""#), "{text}");
        assert_eq!(serde_json::from_str::<AdminInfo>(&text).unwrap(), info);
    }
}
