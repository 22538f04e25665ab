//! Keys at work: changes go to the store, requests look at a snapshot in memory.

use crate::admin::{AdminInfo, CreatedAdmin, NewAdminToken, Role};
use crate::audit::AuditEntry;
use crate::db::{self, Connection, Transaction, TransactionBehavior};
use crate::error::LedgerError;
use crate::key::{CreatedKey, KeyInfo, KeyRing, NewKey};
use crate::now_us;
use crate::place::Place;
use crate::store::{self, admins, audit, directory, keys};
use crate::token::{self, IssuedToken, Secret, TokenKind};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The keys of one store.
pub(crate) struct KeyStore {
    /// For changes and for reading the ring; never touched by requests.
    connection: Mutex<Connection>,
    ring: ArcSwap<KeyRing>,
    /// Whether new keys may only have owners that the directory knows.
    owners_known: AtomicBool,
    closing: AtomicBool,
}

impl KeyStore {
    pub(crate) fn new(connection: Connection) -> Result<KeyStore, LedgerError> {
        let store = KeyStore {
            connection: Mutex::new(connection),
            ring: ArcSwap::from_pointee(KeyRing { version: -1, ..KeyRing::default() }),
            owners_known: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        };
        store.refresh(&mut store.lock())?;
        Ok(store)
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// Whether new keys may only have owners that the directory knows.
    pub(crate) fn owners_known(&self) -> bool {
        self.owners_known.load(Ordering::Relaxed)
    }

    pub(crate) fn require_known_owners(&self, required: bool) {
        self.owners_known.store(required, Ordering::Relaxed);
    }

    pub(crate) fn create(&self, new: &NewKey, actor: &str) -> Result<CreatedKey, LedgerError> {
        new.validate()?;
        let issued = token::issue(TokenKind::VirtualKey, None)?;
        let info = self.change(|transaction, now| {
            let new = directory::resolve_owners(transaction, new, self.owners_known())?;
            keys::insert(transaction, &issued.id, &issued.hash, &new, now)?;
            let info = keys::get(transaction, &issued.id)?;
            leave(transaction, now, &key_event(actor, "key_created", &info, Some(info.name.clone())))?;
            Ok(info)
        })?;
        Ok(CreatedKey { info, key: issued.text })
    }

    pub(crate) fn list(&self, with_deleted: bool) -> Result<Vec<KeyInfo>, LedgerError> {
        Ok(keys::list(&self.lock(), with_deleted)?)
    }

    pub(crate) fn show(&self, id: &str) -> Result<KeyInfo, LedgerError> {
        keys::get(&self.lock(), id)
    }

    pub(crate) fn set_disabled(&self, id: &str, disabled: bool, actor: &str) -> Result<KeyInfo, LedgerError> {
        let action = if disabled { "key_disabled" } else { "key_enabled" };
        self.change(|transaction, now| {
            let info = keys::get_own(transaction, id)?;
            keys::set_disabled(transaction, id, disabled)?;
            leave(transaction, now, &key_event(actor, action, &info, None))?;
            keys::get(transaction, id)
        })
    }

    pub(crate) fn rotate(&self, id: &str, overlap: Duration, actor: &str) -> Result<CreatedKey, LedgerError> {
        let issued = token::issue(TokenKind::VirtualKey, Some(id))?;
        let overlap_us = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
        let info = self.change(|transaction, now| {
            let info = keys::get_own(transaction, id)?;
            keys::rotate(transaction, id, &issued.hash, now.saturating_add(overlap_us))?;
            let detail = Some(format!("overlap {} s", overlap.as_secs()));
            leave(transaction, now, &key_event(actor, "key_rotated", &info, detail))?;
            keys::get(transaction, id)
        })?;
        Ok(CreatedKey { info, key: issued.text })
    }

    pub(crate) fn delete(&self, id: &str, actor: &str) -> Result<KeyInfo, LedgerError> {
        self.change(|transaction, now| {
            let info = keys::get_deletable(transaction, id)?;
            keys::delete(transaction, id, now)?;
            leave(transaction, now, &key_event(actor, "key_deleted", &info, None))?;
            keys::get(transaction, id)
        })
    }

    pub(crate) fn ensure_admin(&self) -> Result<Option<Secret>, LedgerError> {
        if admins::any(&self.lock())? {
            return Ok(None);
        }
        let issued = token::issue(TokenKind::Admin, None)?;
        let new = NewAdminToken {
            name: "first".to_owned(),
            organization: None,
            role: Role::Write,
            expires_at_us: None,
        };
        let first = self.change(|transaction, now| {
            // Another process may have been faster between the look above and this transaction.
            if admins::any(transaction)? {
                return Ok(false);
            }
            create_admin(transaction, now, &issued, &new, "narrows").map(|_info| true)
        })?;
        Ok(first.then_some(issued.text))
    }

    pub(crate) fn create_admin(&self, new: &NewAdminToken, actor: &str) -> Result<CreatedAdmin, LedgerError> {
        new.validate()?;
        let issued = token::issue(TokenKind::Admin, None)?;
        let info = self.change(|transaction, now| create_admin(transaction, now, &issued, new, actor))?;
        Ok(CreatedAdmin { info, token: issued.text })
    }

    pub(crate) fn list_admins(&self) -> Result<Vec<AdminInfo>, LedgerError> {
        Ok(admins::list(&self.lock())?)
    }

    pub(crate) fn show_admin(&self, id: &str) -> Result<AdminInfo, LedgerError> {
        admins::get(&self.lock(), id)
    }

    pub(crate) fn revoke_admin(&self, id: &str, actor: &str) -> Result<AdminInfo, LedgerError> {
        self.change(|transaction, now| {
            let info = admins::get(transaction, id)?;
            admins::revoke(transaction, id, now)?;
            let entry = AuditEntry {
                actor,
                action: "admin_token_revoked",
                target: id,
                organization: info.organization.as_deref(),
                detail: Some(info.name.clone()),
                rows: None,
            };
            leave(transaction, now, &entry)?;
            admins::get(transaction, id)
        })
    }

    pub(crate) fn admin_used(&self, id: &str, now_us: i64) -> Result<(), LedgerError> {
        Ok(admins::used(&self.lock(), id, now_us)?)
    }

    /// Writes down what changed nothing here: reads, and changes of other parts.
    pub(crate) fn audit(&self, entry: &AuditEntry<'_>) -> Result<(), LedgerError> {
        Ok(audit::insert(&self.lock(), now_us(), entry)?)
    }

    /// One change: an immediate transaction, then the ring, so that the next request already sees it.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>, i64) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction, now_us())?;
        transaction.commit()?;
        self.refresh(&mut connection)?;
        Ok(result)
    }

    /// Reads the ring again if the store's keys changed. The lock keeps an older view from replacing a newer.
    fn refresh(&self, connection: &mut Connection) -> db::Result<()> {
        let before = self.ring.load();
        if keys::version(connection)? != before.version {
            self.ring.store(Arc::new(keys::load_ring(connection, &before)?));
        }
        Ok(())
    }

    /// A thread that panicked in here left at most a rolled-back transaction behind.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create_admin(
    transaction: &Transaction<'_>,
    now_us: i64,
    issued: &IssuedToken,
    new: &NewAdminToken,
    actor: &str,
) -> Result<AdminInfo, LedgerError> {
    admins::insert(transaction, issued, new, now_us)?;
    let entry = AuditEntry {
        actor,
        action: "admin_token_created",
        target: &issued.id,
        organization: new.organization.as_deref(),
        detail: Some(format!("{}, {}", new.name, new.role.as_str())),
        rows: None,
    };
    leave(transaction, now_us, &entry)?;
    admins::get(transaction, &issued.id)
}

pub(crate) fn key_event<'a>(
    actor: &'a str,
    action: &'a str,
    info: &'a KeyInfo,
    detail: Option<String>,
) -> AuditEntry<'a> {
    AuditEntry { actor, action, target: &info.id, organization: Some(&info.organization), detail, rows: None }
}

/// Writes down a change of keys or tokens, and makes every process read them again.
pub(crate) fn leave(transaction: &Transaction<'_>, at_us: i64, entry: &AuditEntry<'_>) -> db::Result<()> {
    audit::insert(transaction, at_us, entry)?;
    keys::touch(transaction)
}

/// The thread that notices changes made by other processes.
pub(crate) struct Refresher {
    store: Arc<KeyStore>,
    thread: Option<JoinHandle<()>>,
}

impl Refresher {
    /// Starts looking every `period`.
    pub(crate) fn start(
        store: Arc<KeyStore>,
        place: &Place,
        period: Duration,
        busy_timeout: Duration,
    ) -> Result<Refresher, LedgerError> {
        let watch = store::connect(place, busy_timeout)?;
        let shared = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("narrows-keys".into())
            .spawn(move || watch_for_changes(&shared, &watch, period))
            .map_err(|source| LedgerError::Thread { name: "narrows-keys", source })?;
        Ok(Refresher { store, thread: Some(thread) })
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        self.store.closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread was reported by the panic hook; there is nothing left to do about it here.
            drop(thread.join());
        }
    }
}

/// Only when the store may have changed is the count of key changes read, and only then, if it moved, the keys.
fn watch_for_changes(store: &KeyStore, watch: &Connection, period: Duration) {
    let mut seen: Option<i64> = None;
    while !store.closing.load(Ordering::Acquire) {
        // On failure (say a disk error) the last good ring stays, and the next round tries again.
        if let Ok(now) = store::changes_seen(watch)
            && seen != Some(now)
        {
            let changed = keys::version(watch).map(|version| version != store.ring.load().version);
            let done = match changed {
                Ok(true) => store.refresh(&mut store.lock()).is_ok(),
                Ok(false) => true,
                Err(_) => false,
            };
            seen = done.then_some(now);
        }
        std::thread::park_timeout(period);
    }
}
