//! What the ledger does with content: keep it, open it, hold it, erase it.

use crate::audit::AuditEntry;
use crate::content::seal::KeyWrap;
use crate::content::{
    Content, ContentFilter, ContentStats, Erasure, ErasureSubject, Hold, NewHold, Pending, ScanLimits,
    Scanned,
};
use crate::db::Transaction;
use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::store::{self, audit, content as rows};
use std::sync::Arc;
use std::time::Duration;

/// Most holds that were not released.
pub(crate) const HOLDS_MAX: usize = 10_000;
/// How long an erasure waits for content that is about to be stored.
const ERASURE_PATIENCE: Duration = Duration::from_secs(10);

impl Ledger {
    /// From now on `wrap` wraps the keys of content. Without one nothing is kept and nothing can be opened.
    pub fn wrap_content(&self, wrap: Arc<dyn KeyWrap>) {
        self.keeper.set_wrap(wrap);
    }

    /// Hands content to the thread that stores it. Never waits. False when there is no room: then it is counted as dropped.
    pub fn submit_content(&self, pending: Box<dyn Pending>) -> bool {
        self.keeper.submit(pending)
    }

    /// Waits until all content that was submitted before is stored; at most `patience`.
    ///
    /// # Errors
    /// [`LedgerError::NotFlushed`] when it took longer.
    pub fn flush_content(&self, patience: Duration) -> Result<(), LedgerError> {
        self.keeper.flush(patience)
    }

    /// How storing content is doing.
    pub fn content_stats(&self) -> ContentStats {
        self.keeper.stats()
    }

    /// The content of a record, opened; `None` where none was kept. What went is told without its bytes. Whoever asks
    /// writes down that they did.
    ///
    /// # Errors
    /// [`LedgerError::ContentKey`] if it cannot be opened, or a failure of the store.
    pub fn content(&self, record: u128) -> Result<Option<Content>, LedgerError> {
        self.keeper.get(record)
    }

    /// Opens content that matches, the newest first, and hands it to `visit` until that wants no more or `limits` are
    /// reached. Content that is gone is left out; what cannot be opened is handed on without its bytes, and
    /// [says why](Content::unopened).
    ///
    /// # Errors
    /// [`LedgerError::ContentKey`] without a master key, or a failure of the store.
    pub fn scan_content(
        &self,
        filter: &ContentFilter,
        before: Option<u128>,
        limits: ScanLimits,
        visit: &mut dyn FnMut(Content) -> bool,
    ) -> Result<Scanned, LedgerError> {
        self.keeper.scan(filter, before, limits, visit)
    }

    /// Removes content whose time is over, as the thread does once a minute; gives of how many exchanges.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn sweep_content(&self, now_us: i64) -> Result<usize, LedgerError> {
        let mut connection = store::connect_erasing(self.place(), crate::options::BUSY_TIMEOUT)?;
        let mut all = 0;
        loop {
            let count = crate::content::sweep_step(&mut connection, now_us)?;
            all += count;
            if count < rows::SWEEP_ROWS {
                return Ok(all);
            }
        }
    }

    /// The organization of a record's content, also of what is about to be stored or went; `None` where none was kept.
    ///
    /// # Errors
    /// [`LedgerError::NotFlushed`], or a failure of the store.
    pub fn content_organization(&self, record: u128) -> Result<Option<String>, LedgerError> {
        self.flush_content(ERASURE_PATIENCE)?;
        Ok(rows::organization_of(&self.keys.lock(), record)?)
    }

    /// Erases somebody's content, also what is about to be stored; exchanges that have not ended are not among it. Records
    /// stay and say so.
    ///
    /// # Errors
    /// [`LedgerError::ContentHeld`] when any of it is under a hold: then nothing was erased, and it has to be asked for
    /// again. [`LedgerError::NothingKept`] where there was never any. A failure of the store.
    pub fn erase_content(
        &self,
        organization: &str,
        subject: &ErasureSubject,
        reason: &str,
        actor: &str,
    ) -> Result<Erasure, LedgerError> {
        self.flush_content(ERASURE_PATIENCE)?;
        let erased = self.keys.change(|transaction, now| {
            let (kind, name) = subject.describe();
            // A receipt for a name that was mistyped, or looked for elsewhere, would read as if somebody's content were gone.
            if !rows::is_known(transaction, organization, subject)? {
                return Err(LedgerError::NothingKept { organization: organization.to_owned(), kind, name });
            }
            let holds = rows::holds_on(transaction, organization, subject)?;
            if !holds.is_empty() {
                return Err(LedgerError::ContentHeld { holds });
            }
            let erased = rows::erase(transaction, organization, subject, now)?;
            let entry = AuditEntry {
                actor,
                action: "content_erased",
                target: &name,
                organization: Some(organization),
                detail: Some(format!("{kind}; {} keys destroyed; {reason}", erased.keys)),
                rows: Some(erased.records),
            };
            audit::insert(transaction, now, &entry)?;
            Ok(erased)
        })?;
        // Until then the log may have a copy; a reader that keeps it from being emptied does so for moments.
        let connection = store::connect_erasing(self.place(), crate::options::BUSY_TIMEOUT)?;
        store::carry_over(&connection)?;
        Ok(erased)
    }

    /// Holds content: neither its retention nor an erasure takes it until it is released.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for what a hold cannot be, [`LedgerError::TooManyHolds`], or a failure of the store.
    pub fn hold_content(&self, held: &NewHold, actor: &str) -> Result<Hold, LedgerError> {
        held.validate()?;
        self.keys.change(|transaction, now| {
            if rows::open_holds(transaction)? >= HOLDS_MAX as i64 {
                return Err(LedgerError::TooManyHolds { limit: HOLDS_MAX });
            }
            let mut id = [0_u8; 8];
            getrandom::fill(&mut id)?;
            let hold = Hold {
                id: format!("hold_{:016x}", u64::from_be_bytes(id)),
                held: held.clone(),
                created_at_us: now,
                created_by: actor.to_owned(),
                released_at_us: None,
                released_by: None,
                release_reason: None,
            };
            rows::put_hold(transaction, &hold)?;
            leave(transaction, now, &hold, actor, "content_held", &held.reason)?;
            Ok(hold)
        })
    }

    /// Holds, the oldest first; released ones only if asked for.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn content_holds(
        &self,
        organization: Option<&str>,
        with_released: bool,
    ) -> Result<Vec<Hold>, LedgerError> {
        Ok(rows::holds(&self.keys.lock(), organization, with_released)?)
    }

    /// A hold by its id, released or not.
    ///
    /// # Errors
    /// [`LedgerError::HoldNotFound`], or a failure of the store.
    pub fn content_hold(&self, id: &str) -> Result<Hold, LedgerError> {
        rows::hold(&self.keys.lock(), id)?.ok_or_else(|| LedgerError::HoldNotFound { id: id.to_owned() })
    }

    /// Releases a hold. What it kept beyond its retention goes with the next sweep; an erasure that was refused has to be
    /// asked for again.
    ///
    /// # Errors
    /// [`LedgerError::HoldNotFound`], [`LedgerError::HoldReleased`], or a failure of the store.
    pub fn release_content(&self, id: &str, reason: &str, actor: &str) -> Result<Hold, LedgerError> {
        let not_found = || LedgerError::HoldNotFound { id: id.to_owned() };
        if reason.trim().is_empty() || reason.len() > crate::content::HOLD_TEXT_MAX {
            return Err(LedgerError::BadQuery("a release needs a reason of at most 512 bytes"));
        }
        self.keys.change(|transaction, now| {
            let hold = rows::hold(transaction, id)?.ok_or_else(not_found)?;
            if hold.released_at_us.is_some() {
                return Err(LedgerError::HoldReleased { id: id.to_owned() });
            }
            rows::release(transaction, id, actor, reason, now)?;
            leave(transaction, now, &hold, actor, "content_released", reason)?;
            rows::hold(transaction, id)?.ok_or_else(not_found)
        })
    }

    /// Gives every key of content another wrapping, all of them or none; gives how many.
    ///
    /// # Errors
    /// [`LedgerError::ContentKey`] names what cannot be, or a failure of the store.
    pub fn rewrap_content(
        &self,
        old: &dyn KeyWrap,
        new: &dyn KeyWrap,
        actor: &str,
    ) -> Result<usize, LedgerError> {
        self.keys.change(|transaction, now| {
            let all = rows::keys(transaction)?;
            for key in &all {
                rows::rewrap_key(transaction, &key.rewrap(old, new)?)?;
            }
            if !all.is_empty() {
                let entry = AuditEntry {
                    actor,
                    action: "content_rewrapped",
                    target: new.mark(),
                    rows: Some(all.len() as u64),
                    ..AuditEntry::default()
                };
                audit::insert(transaction, now, &entry)?;
            }
            Ok(all.len())
        })
    }
}

fn leave(
    transaction: &Transaction<'_>,
    now: i64,
    hold: &Hold,
    actor: &str,
    action: &str,
    reason: &str,
) -> Result<(), LedgerError> {
    let entry = AuditEntry {
        actor,
        action,
        target: &hold.id,
        organization: Some(&hold.held.organization),
        detail: Some(reason.to_owned()),
        rows: None,
    };
    Ok(audit::insert(transaction, now, &entry)?)
}
