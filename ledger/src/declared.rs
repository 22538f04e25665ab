//! Keys that a file declares. The file gives the hash of each secret; the store is brought in line with it.

use crate::audit::AuditEntry;
use crate::db::Transaction;
use crate::error::LedgerError;
use crate::key::{KeyInfo, NewKey};
use crate::keystore::{KeyStore, leave};
use crate::store::{directory, keys};
use crate::token::{self, Malformed, PUBLIC_ID_LEN, PresentedKey, Secret, SecretHash, TokenKind};
use std::collections::HashSet;
use std::fmt;

/// Who changes declared keys, in the trail.
pub const DECLARED_ACTOR: &str = "configuration";

/// What the store keeps of a key's secret: its public id and the SHA-256 of the secret. It opens nothing: the secret
/// is 190 random bits, which nobody can guess from a hash. Written `ID:HEX`.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash {
    id: String,
    hash: SecretHash,
}

impl KeyHash {
    /// The hash of a whole virtual key.
    ///
    /// # Errors
    /// [`Malformed`] when the text cannot be a virtual key.
    pub fn of(key: &str) -> Result<KeyHash, Malformed> {
        let key = PresentedKey::parse(key)?;
        if key.kind() != TokenKind::VirtualKey {
            return Err(Malformed::Prefix);
        }
        Ok(KeyHash { id: key.id().to_owned(), hash: key.secret_hash() })
    }

    /// Reads what [`Display`](fmt::Display) wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<KeyHash> {
        let (id, hex) = text.split_once(':')?;
        let shaped = id.len() == PUBLIC_ID_LEN && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !shaped || hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = SecretHash::default();
        for (nth, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * nth..2 * nth + 2)?, 16).ok()?;
        }
        Some(KeyHash { id: id.to_owned(), hash })
    }

    /// Draws a new key: the secret for its owner, the hash for the file.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn draw() -> Result<(Secret, KeyHash), LedgerError> {
        let issued = token::issue(TokenKind::VirtualKey, None)?;
        Ok((issued.text, KeyHash { id: issued.id, hash: issued.hash }))
    }

    /// The public id of the key.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHash").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A key as a file declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeclaredKey {
    /// Everything but the secret. The name is one of its own within the organization.
    pub new: NewKey,
    /// The secret.
    pub hash: KeyHash,
}

/// How many keys were changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// New in the file.
    pub created: usize,
    /// Declared otherwise than before, those that came back included.
    pub updated: usize,
    /// Not in the file any more.
    pub disabled: usize,
}

/// A declared key that the store cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConflict {
    /// Its position among the declared ones, from 0.
    pub index: usize,
    /// What is wrong.
    pub message: String,
}

/// What came of declared keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reconciliation {
    /// The store says what the file says.
    Done(Reconciled),
    /// Nothing was changed.
    Refused(Vec<KeyConflict>),
}

/// What is to be done, before any of it is.
#[derive(Default)]
struct Plan<'a> {
    create: Vec<&'a DeclaredKey>,
    update: Vec<(&'a DeclaredKey, KeyInfo)>,
    leave: Vec<KeyInfo>,
    conflicts: Vec<KeyConflict>,
}

impl KeyStore {
    pub(crate) fn reconcile(
        &self,
        file: &str,
        declared: &[DeclaredKey],
    ) -> Result<Reconciliation, LedgerError> {
        for key in declared {
            key.new.validate()?;
        }
        self.change(|transaction, now| {
            let plan = plan(transaction, file, declared, self.owners_known())?;
            if !plan.conflicts.is_empty() {
                return Ok(Reconciliation::Refused(plan.conflicts));
            }
            carry_out(transaction, now, file, &plan)?;
            Ok(Reconciliation::Done(Reconciled {
                created: plan.create.len(),
                updated: plan.update.len(),
                disabled: plan.leave.len(),
            }))
        })
    }
}

fn plan<'a>(
    transaction: &Transaction<'_>,
    file: &str,
    declared: &'a [DeclaredKey],
    owners_known: bool,
) -> Result<Plan<'a>, LedgerError> {
    let mut plan = Plan::default();
    let mut ids = HashSet::new();
    let mut names = HashSet::new();
    for (index, key) in declared.iter().enumerate() {
        let mut refuse = |message: String| plan.conflicts.push(KeyConflict { index, message });
        if !ids.insert(key.hash.id()) {
            refuse("another key of the file has the same secret".to_owned());
            continue;
        }
        if !names.insert((&key.new.organization, &key.new.name)) {
            refuse(format!("another key of the file is called `{}`", key.new.name));
            continue;
        }
        // A key of an owner who is disabled stays in the file, and does not work meanwhile.
        match directory::resolve_owners(transaction, &key.new, owners_known) {
            Ok(_) | Err(LedgerError::OwnerBlocked { .. }) => {}
            Err(unknown @ LedgerError::OwnerUnknown { .. }) => {
                refuse(unknown.to_string());
                continue;
            }
            Err(error) => return Err(error),
        }
        let Some((info, hash)) = keys::find(transaction, key.hash.id())? else {
            plan.create.push(key);
            continue;
        };
        let id = &info.id;
        if info.declared_in.is_none() {
            refuse(format!("the secret is that of the key {id} ({}), which was not declared", info.name));
        } else if info.deleted_at_us.is_some() {
            refuse(format!("the secret is that of the key {id}, which was deleted"));
        } else if info.organization != key.new.organization {
            refuse(format!(
                "the secret is that of a key of the organization `{}`, and a key stays in its organization",
                info.organization
            ));
        } else if hash != key.hash.hash || !is_as_declared(&info, &key.new, file) {
            plan.update.push((key, info));
        }
    }
    for info in keys::managed(transaction)? {
        if !ids.contains(info.id.as_str()) {
            plan.leave.push(info);
        }
    }
    Ok(plan)
}

fn is_as_declared(info: &KeyInfo, new: &NewKey, file: &str) -> bool {
    !info.disabled
        && info.declared_in.as_deref() == Some(file)
        && info.name == new.name
        && info.team == new.team
        && info.user == new.user
        && info.service_account == new.service_account
        && info.project == new.project
        && info.metadata == new.metadata
        && info.models == new.models
        && info.expires_at_us == new.expires_at_us
}

fn carry_out(
    transaction: &Transaction<'_>,
    now: i64,
    file: &str,
    plan: &Plan<'_>,
) -> Result<(), LedgerError> {
    let note = |action, id: &str, organization: &str, detail: String| {
        let entry = AuditEntry {
            actor: DECLARED_ACTOR,
            action,
            target: id,
            organization: Some(organization),
            detail: Some(detail),
            rows: None,
        };
        leave(transaction, now, &entry)
    };
    let by = |key: &DeclaredKey| format!("{}, by {file}", key.new.name);
    for info in &plan.leave {
        keys::set_disabled(transaction, &info.id, true)?;
        keys::release(transaction, &info.id)?;
        let gone = format!("{}, no more in {}", info.name, info.declared_in.as_deref().unwrap_or_default());
        note("key_disabled", &info.id, &info.organization, gone)?;
    }
    // Names may have been swapped: all of them are free before the first is given.
    for (_, info) in &plan.update {
        keys::release(transaction, &info.id)?;
    }
    for (key, _) in &plan.update {
        keys::declare(transaction, key.hash.id(), &key.hash.hash, &key.new, file)?;
        note("key_updated", key.hash.id(), &key.new.organization, by(key))?;
    }
    for key in &plan.create {
        keys::insert(transaction, key.hash.id(), &key.hash.hash, &key.new, now)?;
        keys::declare(transaction, key.hash.id(), &key.hash.hash, &key.new, file)?;
        note("key_created", key.hash.id(), &key.new.organization, by(key))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "declared_tests.rs"]
mod tests;
