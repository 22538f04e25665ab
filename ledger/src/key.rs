//! Virtual keys: what is asked for, what is kept, and the snapshot that requests are checked against.

use crate::admin::{AdminEntry, AdminFault};
use crate::directory::EntryKind;
use crate::token::{Malformed, PresentedKey, PublicId, Secret, SecretHash, TokenKind};
use narrows_policy::{Caller, Reason};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Longest name, organization, team, user, service account or project, in bytes.
pub const TEXT_MAX: usize = 200;
/// Most metadata entries on one key.
pub const METADATA_MAX: usize = 32;
/// Longest name of a metadata entry, in bytes.
pub const METADATA_NAME_MAX: usize = 64;
/// Longest value of a metadata entry, in bytes.
pub const METADATA_VALUE_MAX: usize = 256;
/// Most allowed-model patterns on one key.
pub const MODELS_MAX: usize = 256;
/// Longest allowed-model pattern, in bytes.
pub const MODEL_PATTERN_MAX: usize = 256;

/// A key to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewKey {
    /// A name for people.
    pub name: String,
    /// The organization that owns the key. Required.
    pub organization: String,
    /// Team, if any.
    pub team: Option<String>,
    /// The person it belongs to; not together with `service_account`.
    pub user: Option<String>,
    /// The program it belongs to; not together with `user`.
    pub service_account: Option<String>,
    /// Project, if any.
    pub project: Option<String>,
    /// Free metadata, copied to every record.
    pub metadata: Vec<(String, String)>,
    /// Models it may use: exact names, or prefixes that end in `*`. `None` allows all, an empty list none.
    pub models: Option<Vec<String>>,
    /// When it stops working, UTC microseconds since the epoch; `None` is never.
    pub expires_at_us: Option<i64>,
}

/// Why a key cannot be created as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// A required text is empty.
    #[error("{field} must not be empty")]
    Empty {
        /// Which text.
        field: &'static str,
    },
    /// A text or list is too long.
    #[error("{field} is too long: at most {limit} {unit}")]
    TooLong {
        /// Which text or list.
        field: &'static str,
        /// The most there may be.
        limit: usize,
        /// Bytes or entries.
        unit: &'static str,
    },
    /// Both a user and a service account were named.
    #[error("a key belongs to a user or to a service account, not to both")]
    TwoOwners,
    /// A star stands elsewhere than at the end.
    #[error("allowed model `{pattern}`: a star may stand at the end only, as in `gpt-5*`")]
    Pattern {
        /// The pattern as given.
        pattern: String,
    },
}

impl NewKey {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first [`InvalidKey`] found.
    pub fn validate(&self) -> Result<(), InvalidKey> {
        let texts = [
            ("name", Some(&self.name)),
            ("organization", Some(&self.organization)),
            ("team", self.team.as_ref()),
            ("user", self.user.as_ref()),
            ("service account", self.service_account.as_ref()),
            ("project", self.project.as_ref()),
        ];
        for (field, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() {
                return Err(InvalidKey::Empty { field });
            }
            at_most(field, text.len(), TEXT_MAX, "bytes")?;
        }
        if self.user.is_some() && self.service_account.is_some() {
            return Err(InvalidKey::TwoOwners);
        }
        at_most("metadata", self.metadata.len(), METADATA_MAX, "entries")?;
        for (name, value) in &self.metadata {
            if name.is_empty() {
                return Err(InvalidKey::Empty { field: "metadata name" });
            }
            at_most("metadata name", name.len(), METADATA_NAME_MAX, "bytes")?;
            at_most("metadata value", value.len(), METADATA_VALUE_MAX, "bytes")?;
        }
        let patterns = self.models.as_deref().unwrap_or_default();
        at_most("allowed models", patterns.len(), MODELS_MAX, "entries")?;
        for pattern in patterns {
            if pattern.is_empty() {
                return Err(InvalidKey::Empty { field: "allowed model" });
            }
            at_most("allowed model", pattern.len(), MODEL_PATTERN_MAX, "bytes")?;
            if pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
                return Err(InvalidKey::Pattern { pattern: pattern.clone() });
            }
        }
        Ok(())
    }
}

pub(crate) fn at_most(
    field: &'static str,
    len: usize,
    limit: usize,
    unit: &'static str,
) -> Result<(), InvalidKey> {
    if len > limit { Err(InvalidKey::TooLong { field, limit, unit }) } else { Ok(()) }
}

/// What the store knows of a key. Holds no secret and no hash. Its JSON form is in `key_json.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Public id.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The organization that owns the key.
    pub organization: String,
    /// Team, if any.
    pub team: Option<String>,
    /// The person it belongs to.
    pub user: Option<String>,
    /// The program it belongs to.
    pub service_account: Option<String>,
    /// Project, if any.
    pub project: Option<String>,
    /// Free metadata, in the order it was given.
    pub metadata: Vec<(String, String)>,
    /// Models it may use; `None` is all.
    pub models: Option<Vec<String>>,
    /// When it was created, UTC microseconds since the epoch.
    pub created_at_us: i64,
    /// When it stops working, UTC microseconds since the epoch.
    pub expires_at_us: Option<i64>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Until when the secret before the last rotation still works, UTC microseconds since the epoch.
    pub previous_secret_until_us: Option<i64>,
    /// When it was deleted, UTC microseconds since the epoch. A deleted key stays as a name for old records.
    pub deleted_at_us: Option<i64>,
    /// The file that declares it, or did last; such a key is changed there only.
    pub declared_in: Option<String>,
    /// What the directory knows as disabled or deleted and the key names as an owner: the key does not work then, whatever
    /// else is said of it.
    pub blocked_by: Option<EntryKind>,
}

impl KeyInfo {
    /// `deleted`, `disabled`, `expired` or `active` at `now_us` (UTC microseconds since the epoch).
    pub fn state(&self, now_us: i64) -> &'static str {
        match self {
            KeyInfo { deleted_at_us: Some(_), .. } => "deleted",
            KeyInfo { disabled: true, .. } | KeyInfo { blocked_by: Some(_), .. } => "disabled",
            KeyInfo { expires_at_us: Some(at), .. } if *at <= now_us => "expired",
            _ => "active",
        }
    }
}

/// A key that was just created or rotated, with the only sight of its secret there ever is.
#[derive(Debug)]
pub struct CreatedKey {
    /// What the store knows of it.
    pub info: KeyInfo,
    /// The whole key, for its owner.
    pub key: Secret,
}

/// Why a presented key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It cannot be a virtual key at all.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It has the right form and is not one of ours.
    #[error("no such key")]
    Unknown,
    /// It was disabled or deleted.
    #[error("the key is disabled")]
    Disabled,
    /// It has expired.
    #[error("the key has expired")]
    Expired,
}

impl KeyFault {
    /// The word for records, metrics and error bodies.
    pub fn reason(self) -> Reason {
        match self {
            KeyFault::Malformed(_) | KeyFault::Unknown => Reason::KeyUnknown,
            KeyFault::Disabled => Reason::KeyDisabled,
            KeyFault::Expired => Reason::KeyExpired,
        }
    }
}

/// One key in the snapshot.
pub struct KeyEntry {
    /// Who stands behind the key, ready to be put on an exchange.
    pub caller: Arc<Caller>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) hash: SecretHash,
    /// The secret before the last rotation, and until when it works.
    pub(crate) previous: Option<(SecretHash, i64)>,
    pub(crate) expires_at_us: Option<i64>,
    /// Disabled, or deleted.
    pub(crate) disabled: bool,
}

impl KeyEntry {
    /// Whether the key may use certain models only.
    pub fn is_restricted(&self) -> bool {
        self.models.is_some()
    }

    /// Whether the key may use `model`.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|patterns| {
            patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => model.starts_with(prefix),
                None => pattern == model,
            })
        })
    }

    /// When it stops working, UTC microseconds since the epoch; `None` is never.
    pub fn expires_at_us(&self) -> Option<i64> {
        self.expires_at_us
    }

    /// Both comparisons always run and take the same time whatever differs.
    fn proves(&self, hash: &SecretHash, now_us: i64) -> bool {
        let current = same_hash(&self.hash, hash);
        let (previous, until_us) = self.previous.unwrap_or(([0; 32], i64::MIN));
        let before = same_hash(&previous, hash) & subtle::Choice::from(u8::from(now_us < until_us));
        (current | before).into()
    }
}

impl std::fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyEntry").field("key_id", &self.caller.key_id).finish_non_exhaustive()
    }
}

/// Constant-time equality by words of eight bytes: `subtle` guards every comparison against the optimizer, and 4
/// guards instead of 32 are a tenth of the whole check.
fn same_hash(one: &SecretHash, other: &SecretHash) -> subtle::Choice {
    let words = |hash: &SecretHash| -> [u64; 4] {
        let (words, _) = hash.as_chunks::<8>();
        std::array::from_fn(|place| words.get(place).map_or(0, |word| u64::from_le_bytes(*word)))
    };
    let pairs = words(one).into_iter().zip(words(other));
    pairs.fold(subtle::Choice::from(1), |same, (one, other)| same & one.ct_eq(&other))
}

/// An immutable snapshot of every key and admin token.
#[derive(Debug, Default)]
pub struct KeyRing {
    pub(crate) keys: HashMap<PublicId, Arc<KeyEntry>, BuildHasherDefault<IdHasher>>,
    pub(crate) admins: HashMap<PublicId, Arc<AdminEntry>, BuildHasherDefault<IdHasher>>,
    /// The store's count of changes to keys when this was read.
    pub(crate) version: i64,
}

impl KeyRing {
    /// Checks a key as it was presented, at `now_us` (UTC microseconds since the epoch).
    ///
    /// # Errors
    /// [`KeyFault`] when the key must be refused. The secret is checked before anything about the key is told.
    pub fn verify(&self, presented: &str, now_us: i64) -> Result<&Arc<KeyEntry>, KeyFault> {
        let key = PresentedKey::parse(presented)?;
        if key.kind() != TokenKind::VirtualKey {
            return Err(KeyFault::Malformed(Malformed::Prefix));
        }
        let entry = self.keys.get(&key.public_id()).ok_or(KeyFault::Unknown)?;
        if !entry.proves(&key.secret_hash(), now_us) {
            return Err(KeyFault::Unknown);
        }
        if entry.disabled {
            return Err(KeyFault::Disabled);
        }
        if entry.expires_at_us.is_some_and(|at| now_us >= at) {
            return Err(KeyFault::Expired);
        }
        Ok(entry)
    }

    /// The entry with this public id, to look at; says nothing about who presented what.
    pub fn get(&self, id: &str) -> Option<&Arc<KeyEntry>> {
        self.keys.get(&PublicId::from_text(id)?)
    }

    /// Checks an admin token as it was presented, at `now_us` (UTC microseconds since the epoch).
    ///
    /// # Errors
    /// [`AdminFault`] when it must be refused. The secret is checked before anything about the token is told.
    pub fn verify_admin(&self, presented: &str, now_us: i64) -> Result<&Arc<AdminEntry>, AdminFault> {
        let token = PresentedKey::parse(presented).ok().filter(|token| token.kind() == TokenKind::Admin);
        let token = token.ok_or(AdminFault::Unknown)?;
        let entry = self.admins.get(&token.public_id()).ok_or(AdminFault::Unknown)?;
        if !bool::from(same_hash(&entry.hash, &token.secret_hash())) {
            return Err(AdminFault::Unknown);
        }
        entry.usable(now_us)?;
        Ok(entry)
    }

    /// How many keys an organization has, deleted ones included.
    pub fn count_of(&self, organization: &str) -> usize {
        self.keys.values().filter(|entry| entry.caller.organization == organization).count()
    }

    /// How many keys there are, deleted ones included.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Spreads eight random characters over a table. The ids are drawn by us, so nobody can aim at one bucket.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
