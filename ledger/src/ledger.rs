//! The ledger: one handle for keys, records and questions.

use crate::admin::{AdminInfo, CreatedAdmin, NewAdminToken};
use crate::audit::{AuditEntry, AuditFilter, AuditPage};
use crate::content::Keeper;
use crate::coverage::{CoverageQuestion, CoverageReport};
use crate::credentials::SealedCredential;
use crate::db::postgres::Pool;
use crate::declared::{DeclaredKey, Reconciliation};
use crate::directory::{Entry, EntryChange, EntryFilter, EntryKind, EntryPage, NewEntry};
use crate::error::LedgerError;
use crate::key::{CreatedKey, KeyInfo, KeyRing, NewKey};
use crate::keystore::{KeyStore, Refresher};
use crate::limits::{Expected, LimitKind, StoredLimit};
use crate::objects::Objects;
use crate::once::Begun;
use crate::options::LedgerOptions;
use crate::place::Place;
use crate::query::{Dimension, Filter, Page, PageRequest, PriceUse, Reader, Search, UsageRow, Verification};
use crate::queue::Queue;
use crate::record::Record;
use crate::spending::{Charge, SpentRow};
use crate::store;
use crate::token::Secret;
use crate::writer::{SpendingAsked, Writer};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long dropping a ledger waits for its last records.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// Most questions that are put to a PostgreSQL server at a time by one ledger, each over a connection of its own. One more waits
/// for one that ends, as long as [`LedgerOptions::busy_timeout`], and is refused then.
pub const READERS_MAX: usize = 8;

/// How the writer is doing, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerStats {
    /// Records waiting, or being written.
    pub queue_depth: usize,
    /// Most records that may wait.
    pub queue_limit: usize,
    /// Records written since the ledger was opened.
    pub written: u64,
    /// Records folded into sums because the queue was full, since the ledger was opened.
    pub overflowed: u64,
    /// Batches that failed and were tried again.
    pub failed_batches: u64,
    /// JSON lines that could not be written.
    pub json_errors: u64,
    /// Whether the last attempt to write failed.
    pub failing: bool,
    /// What the last failure said; stays after it healed.
    pub last_error: Option<String>,
}

/// An open store. Dropping it closes it; [`Ledger::close`] also tells whether everything was written.
pub struct Ledger {
    place: Place,
    busy_timeout: Duration,
    readers: Arc<Pool>,
    charges_apart: bool,
    pub(crate) keys: Arc<KeyStore>,
    pub(crate) queue: Arc<Queue>,
    objects: Arc<Objects>,
    pub(crate) keeper: Keeper,
    writer: Writer,
    _refresher: Refresher,
}

impl Ledger {
    /// Opens the store at `place`, creating and migrating it as needed, and starts its writer.
    ///
    /// # Errors
    /// [`LedgerError::NotWritable`], [`LedgerError::Locked`], [`LedgerError::SchemaNewer`],
    /// [`LedgerError::NotAStore`], [`LedgerError::NotOpened`] and others say what to do.
    pub fn open(place: impl Into<Place>, options: LedgerOptions) -> Result<Ledger, LedgerError> {
        let ledger = Ledger::open_idle(place, &options)?;
        ledger.writer.start(&ledger.queue, &ledger.objects)?;
        ledger.keeper.start()?;
        Ok(ledger)
    }

    /// Opens the store without starting the writer.
    fn open_idle(place: impl Into<Place>, options: &LedgerOptions) -> Result<Ledger, LedgerError> {
        let place = place.into();
        let connection = store::open(&place, options.busy_timeout)?;
        store::overwrite_deleted(&connection)?;
        let keys = Arc::new(KeyStore::new(connection)?);
        let refresher = Refresher::start(Arc::clone(&keys), &place, options.key_poll, options.busy_timeout)?;
        let (queue, receiver) = Queue::new(options.queue_limit);
        let own = store::connect_writer(&place, options.busy_timeout)?;
        let writer = Writer::new(own, receiver, &queue, options)?;
        let queue = Arc::new(queue);
        let objects = Arc::new(Objects::new(&place, options.busy_timeout, Arc::clone(&queue)));
        let keeper = Keeper::new(&place, options.busy_timeout);
        let charges_apart = options.charges_apart;
        Ok(Ledger {
            place,
            busy_timeout: options.busy_timeout,
            readers: Pool::new(READERS_MAX),
            charges_apart,
            keys,
            queue,
            objects,
            keeper,
            writer,
            _refresher: refresher,
        })
    }

    /// Hands a record to the writer. Never blocks and never fails: without room in the queue the record is folded
    /// into sums, which the writer stores.
    pub fn submit(&self, record: Record) {
        self.submit_charged(record, Vec::new());
    }

    /// As [`submit`](Self::submit), with what the exchange is charged to budgets. Both are stored in one transaction, or
    /// neither.
    pub fn submit_charged(&self, record: Record, charges: Vec<Charge>) {
        self.queue.submit(record, charges);
    }

    /// [`Reader::spending`] over a connection of its own; with [`LedgerOptions::charges_apart`], what this ledger was charged and
    /// those that were this [`writer`](Self::writer) before.
    ///
    /// # Errors
    /// As [`Reader::spending`].
    pub fn spending(&self, from_us: i64, take: &mut dyn FnMut(SpentRow)) -> Result<(), LedgerError> {
        let writer = self.writer().filter(|_| self.charges_apart);
        self.reader()?.spending_of(writer, from_us, take)
    }

    /// Which of those who write to one database this one is: a small number that whoever starts next may get when this one has
    /// closed. `None` for a file, which has one writer, and while nothing has asked for it.
    pub fn writer(&self) -> Option<i64> {
        Some(self.queue.writer_id.load(Ordering::Relaxed)).filter(|writer| *writer != 0)
    }

    /// [`Reader::price_uses`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::price_uses`].
    pub fn price_uses(&self, filter: &Filter) -> Result<Vec<PriceUse>, LedgerError> {
        self.reader()?.price_uses(filter)
    }

    /// Asks what was charged since a time by exchanges that were submitted before this call, and by no others. Does not wait.
    pub fn spending_until_now(&self, from_us: i64) -> SpendingAsked {
        self.writer.spending(&self.queue, from_us)
    }

    /// Whether records can be kept right now: there is room, and the writer is not failing. One or two atomic reads.
    pub fn accepting(&self) -> bool {
        self.queue.accepting()
    }

    /// How the writer is doing.
    pub fn stats(&self) -> LedgerStats {
        // Read first: the error is there before the failure shows.
        let failing = self.queue.is_failing();
        LedgerStats {
            queue_depth: self.queue.depth(),
            queue_limit: self.queue.limit(),
            written: self.queue.written.load(Ordering::Relaxed),
            overflowed: self.queue.overflowed(),
            failed_batches: self.queue.failed_batches.load(Ordering::Relaxed),
            json_errors: self.queue.json_errors.load(Ordering::Relaxed),
            failing,
            last_error: self.queue.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Waits until everything submitted before this call is durable, even through a power cut; at most `patience`.
    ///
    /// # Errors
    /// [`LedgerError::NotFlushed`] when it took longer.
    pub fn flush(&self, patience: Duration) -> Result<(), LedgerError> {
        self.keeper.flush(patience)?;
        self.writer.flush(&self.queue, patience)
    }

    /// Writes what is left, for at most `patience`, and ends the writer. Records submitted later only count as
    /// overflowed. Closing twice is fine.
    ///
    /// # Errors
    /// [`LedgerError::NotFlushed`] when not everything could be written in time.
    pub fn close(&self, patience: Duration) -> Result<(), LedgerError> {
        // Records first: they are small, and there is no later for either.
        let written = self.writer.close(&self.queue, patience);
        self.keeper.close(patience).and(written)
    }

    /// The keys as of now: an immutable snapshot, one atomic load away.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.keys.ring()
    }

    /// The registry of stored objects: which id belongs to whom.
    pub fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// Creates a key. `actor` says who did it, in the trail of changes.
    ///
    /// # Errors
    /// [`LedgerError::InvalidKey`] when a limit is passed, or a failure of the store.
    pub fn create_key(&self, new: &NewKey, actor: &str) -> Result<CreatedKey, LedgerError> {
        self.keys.create(new, actor)
    }

    /// Creates many keys, all or none, at most [`KEYS_AT_ONCE_MAX`](crate::KEYS_AT_ONCE_MAX). Each name must be new in its organization, so that
    /// a list that is sent twice makes no key twice.
    ///
    /// # Errors
    /// [`LedgerError::OneOfMany`] says which is not valid or has a name that is taken. A failure of the store.
    pub fn create_keys(&self, new: &[NewKey], actor: &str) -> Result<Vec<CreatedKey>, LedgerError> {
        self.keys.create_many(new, actor)
    }

    /// Brings the store in line with the keys that `file` declares: creates and updates them, and disables those that
    /// are declared no more. Keys that were made otherwise are never touched. All of it happens, or nothing.
    ///
    /// # Errors
    /// A key that is not valid, or a failure of the store.
    pub fn reconcile_keys(
        &self,
        file: &str,
        declared: &[DeclaredKey],
    ) -> Result<Reconciliation, LedgerError> {
        self.keys.reconcile(file, declared)
    }

    /// All keys, oldest first; deleted ones only if asked for.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn list_keys(&self, with_deleted: bool) -> Result<Vec<KeyInfo>, LedgerError> {
        self.keys.list(with_deleted)
    }

    /// One key by its public id, deleted or not.
    ///
    /// # Errors
    /// [`LedgerError::KeyNotFound`], or a failure of the store.
    pub fn show_key(&self, id: &str) -> Result<KeyInfo, LedgerError> {
        self.keys.show(id)
    }

    /// Switches a key off or on. Takes effect here at once, in other processes within [`LedgerOptions::key_poll`].
    ///
    /// # Errors
    /// [`LedgerError::KeyNotFound`], [`LedgerError::KeyDeleted`], or a failure of the store.
    pub fn set_key_disabled(&self, id: &str, disabled: bool, actor: &str) -> Result<KeyInfo, LedgerError> {
        self.keys.set_disabled(id, disabled, actor)
    }

    /// Switches many keys off, all or none, at most [`KEYS_AT_ONCE_MAX`](crate::KEYS_AT_ONCE_MAX); one that is named twice counts once.
    ///
    /// # Errors
    /// [`LedgerError::OneOfMany`] says which does not exist, was deleted or is declared in a file. A failure of the
    /// store.
    pub fn disable_keys(&self, ids: &[String], actor: &str) -> Result<Vec<KeyInfo>, LedgerError> {
        self.keys.disable_many(ids, actor)
    }

    /// Gives a key a new secret; the one before works for another `overlap`. A secret still valid from an earlier
    /// rotation ends at once.
    ///
    /// # Errors
    /// [`LedgerError::KeyNotFound`], [`LedgerError::KeyDeleted`], or a failure of the store.
    pub fn rotate_key(&self, id: &str, overlap: Duration, actor: &str) -> Result<CreatedKey, LedgerError> {
        self.keys.rotate(id, overlap, actor)
    }

    /// Deletes a key for good. Its id stays in the store, because records name it.
    ///
    /// # Errors
    /// [`LedgerError::KeyNotFound`], [`LedgerError::KeyDeleted`], or a failure of the store.
    pub fn delete_key(&self, id: &str, actor: &str) -> Result<KeyInfo, LedgerError> {
        self.keys.delete(id, actor)
    }

    /// Whether keys that are made from now on may only have owners that the directory knows. Without it a name needs no
    /// entry.
    pub fn require_known_owners(&self, required: bool) {
        self.keys.require_known_owners(required);
    }

    /// Whether they may.
    pub fn requires_known_owners(&self) -> bool {
        self.keys.owners_known()
    }

    /// Counts changes of keys, tokens, the directory, budgets and rate limits, by whatever process. One atomic read; what
    /// other processes change shows within `LedgerOptions::key_poll`.
    pub fn changes(&self) -> i64 {
        self.keys.ring().version
    }

    /// The budgets and rate limits that are in the store, by kind and name.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn limits(&self) -> Result<Vec<StoredLimit>, LedgerError> {
        self.keys.limits()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`LedgerError::LimitNotFound`], or a failure of the store.
    pub fn limit(&self, kind: LimitKind, name: &str) -> Result<StoredLimit, LedgerError> {
        self.keys.limit(kind, name)
    }

    /// Writes a budget or a rate limit. One that says the same already is left as it is. `actor` says who did it, in the trail
    /// of changes.
    ///
    /// # Errors
    /// [`LedgerError::LimitChanged`] when it is not in the version `expected`; [`LedgerError::TooManyLimits`] and
    /// [`LedgerError::LimitTooLong`]; a failure of the store.
    pub fn put_limit(
        &self,
        kind: LimitKind,
        name: &str,
        document: &str,
        expected: Expected,
        actor: &str,
    ) -> Result<StoredLimit, LedgerError> {
        self.keys.put_limit(kind, name, document, expected, actor)
    }

    /// Deletes a budget or a rate limit, and gives what it was.
    ///
    /// # Errors
    /// [`LedgerError::LimitNotFound`], [`LedgerError::LimitChanged`], or a failure of the store.
    pub fn delete_limit(
        &self,
        kind: LimitKind,
        name: &str,
        expected: Expected,
        actor: &str,
    ) -> Result<StoredLimit, LedgerError> {
        self.keys.delete_limit(kind, name, expected, actor)
    }

    /// Adds an entry to the directory. `actor` says who did it, in the trail of changes.
    ///
    /// # Errors
    /// [`LedgerError::InvalidEntry`] when a limit is passed; a name or value that another has; a team or member that is not
    /// known or disabled; a failure of the store.
    pub fn create_entry(&self, new: &NewEntry, actor: &str) -> Result<Entry, LedgerError> {
        self.keys.create_entry(new, actor)
    }

    /// A page of the directory, the oldest first; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// [`LedgerError::BadQuery`] for a limit out of range, or a failure of the store.
    pub fn list_entries(
        &self,
        filter: &EntryFilter,
        limit: usize,
        after: Option<i64>,
    ) -> Result<EntryPage, LedgerError> {
        self.keys.list_entries(filter, limit, after)
    }

    /// An entry by its public id, deleted or not.
    ///
    /// # Errors
    /// [`LedgerError::EntryNotFound`], or a failure of the store.
    pub fn show_entry(&self, kind: EntryKind, id: &str) -> Result<Entry, LedgerError> {
        self.keys.show_entry(kind, id)
    }

    /// An entry that was not deleted, by its name in an organization or, where nothing has that name, by its public id.
    ///
    /// # Errors
    /// [`LedgerError::EntryNotFound`], or a failure of the store.
    pub fn find_entry(&self, kind: EntryKind, organization: &str, name: &str) -> Result<Entry, LedgerError> {
        self.keys.find_entry(kind, organization, name)
    }

    /// Changes an entry, if it is at `version` (where that is told). Keys of one that is disabled do not work: here at once,
    /// in other processes within [`LedgerOptions::key_poll`]; they are as before when it is enabled again.
    ///
    /// # Errors
    /// As [`create_entry`](Self::create_entry); [`LedgerError::EntryNotFound`], [`LedgerError::EntryDeleted`],
    /// [`LedgerError::EntryChanged`].
    pub fn change_entry(
        &self,
        kind: EntryKind,
        id: &str,
        change: &EntryChange,
        version: Option<u64>,
        actor: &str,
    ) -> Result<Entry, LedgerError> {
        self.keys.change_entry(kind, id, change, version, actor)
    }

    /// Deletes an entry for good, if it is at `version` (where that is told). Its keys are disabled, but for those that a
    /// file declares, which do not work as long as nothing else has the name.
    ///
    /// # Errors
    /// [`LedgerError::EntryNotFound`], [`LedgerError::EntryDeleted`], [`LedgerError::EntryChanged`],
    /// [`LedgerError::EntryInUse`] while others belong to it, or a failure of the store.
    pub fn delete_entry(
        &self,
        kind: EntryKind,
        id: &str,
        version: Option<u64>,
        actor: &str,
    ) -> Result<Entry, LedgerError> {
        self.keys.delete_entry(kind, id, version, actor)
    }

    /// Notes that `actor` sends the request `name`, whose content has this SHA-256, unless it was sent before; for
    /// [`ONCE_LIFETIME`](crate::ONCE_LIFETIME).
    ///
    /// # Errors
    /// [`LedgerError::TooManyOnce`], or a failure of the store.
    pub fn begin_once(&self, actor: &str, name: &str, fingerprint: &[u8; 32]) -> Result<Begun, LedgerError> {
        self.keys.begin_once(actor, name, fingerprint)
    }

    /// Forgets a request that was noted and came to nothing, so that it may be sent again.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn forget_once(&self, actor: &str, name: &str) -> Result<(), LedgerError> {
        self.keys.forget_once(actor, name)
    }

    /// Creates the store's admin token, if it has none; returns it this one time only.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn ensure_admin_token(&self) -> Result<Option<Secret>, LedgerError> {
        self.keys.ensure_admin()
    }

    /// Creates an admin token. `actor` says who did it, in the trail of changes.
    ///
    /// # Errors
    /// [`LedgerError::InvalidKey`] when a limit is passed, or a failure of the store.
    pub fn create_admin_token(&self, new: &NewAdminToken, actor: &str) -> Result<CreatedAdmin, LedgerError> {
        self.keys.create_admin(new, actor)
    }

    /// All admin tokens, oldest first, revoked ones included.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn list_admin_tokens(&self) -> Result<Vec<AdminInfo>, LedgerError> {
        self.keys.list_admins()
    }

    /// One admin token by its public id.
    ///
    /// # Errors
    /// [`LedgerError::AdminTokenNotFound`], or a failure of the store.
    pub fn show_admin_token(&self, id: &str) -> Result<AdminInfo, LedgerError> {
        self.keys.show_admin(id)
    }

    /// Ends an admin token for good. Revoking twice is fine.
    ///
    /// # Errors
    /// [`LedgerError::AdminTokenNotFound`], or a failure of the store.
    pub fn revoke_admin_token(&self, id: &str, actor: &str) -> Result<AdminInfo, LedgerError> {
        self.keys.revoke_admin(id, actor)
    }

    /// Notes that an admin token was used at `now_us` (UTC microseconds since the epoch).
    ///
    /// # Errors
    /// A failure of the store.
    pub fn admin_token_used(&self, id: &str, now_us: i64) -> Result<(), LedgerError> {
        self.keys.admin_used(id, now_us)
    }

    /// Writes an entry into the trail of administration, for reads and for changes outside of the store. It is
    /// committed when this returns.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn audit(&self, entry: &AuditEntry<'_>) -> Result<(), LedgerError> {
        self.keys.audit(entry)
    }

    /// Keeps a sealed credential, in the place of one with the same organization and name.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn put_credential(&self, sealed: &SealedCredential, actor: &str) -> Result<(), LedgerError> {
        self.keys.put_credential(sealed, actor)
    }

    /// All sealed credentials.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn credentials(&self) -> Result<Vec<SealedCredential>, LedgerError> {
        self.keys.credentials()
    }

    /// A sealed credential, if it is there.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn credential(
        &self,
        organization: &str,
        name: &str,
    ) -> Result<Option<SealedCredential>, LedgerError> {
        self.keys.credential(organization, name)
    }

    /// Deletes a credential; whether there was one.
    ///
    /// # Errors
    /// A failure of the store.
    pub fn delete_credential(
        &self,
        organization: &str,
        name: &str,
        actor: &str,
    ) -> Result<bool, LedgerError> {
        self.keys.delete_credential(organization, name, actor)
    }

    /// Gives every credential a new form, all of them or none.
    ///
    /// # Errors
    /// What `work` says of the first that cannot be, or a failure of the store.
    pub fn rewrap_credentials<E: From<LedgerError>>(
        &self,
        actor: &str,
        work: impl Fn(&SealedCredential) -> Result<SealedCredential, E>,
    ) -> Result<usize, E> {
        self.keys.rewrap_credentials(actor, work)
    }

    /// Whether `presented` is an admin token of this store that may be used now.
    pub fn verify_admin_token(&self, presented: &str) -> bool {
        self.keys.ring().verify_admin(presented, crate::now_us()).is_ok()
    }

    /// Where the store is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A read-only view over a connection of its own, of which there are [`READERS_MAX`] where the store is a server's. Blocks on
    /// disk: not for a request's path.
    ///
    /// # Errors
    /// A failure of the store, or too many readers.
    pub fn reader(&self) -> Result<Reader, LedgerError> {
        Reader::lent(&self.place, self.busy_timeout, &self.readers)
    }

    /// [`Reader::usage`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::usage`].
    pub fn usage(&self, filter: &Filter, group_by: &[Dimension]) -> Result<Vec<UsageRow>, LedgerError> {
        self.reader()?.usage(filter, group_by)
    }

    /// [`Reader::records`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::records`].
    pub fn records(&self, filter: &Filter, page: PageRequest) -> Result<Page, LedgerError> {
        self.reader()?.records(filter, page)
    }

    /// [`Reader::search`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::search`].
    pub fn search(&self, search: &Search, page: PageRequest) -> Result<Page, LedgerError> {
        self.reader()?.search(search, page)
    }

    /// [`Reader::coverage`] over a connection of its own, as of now.
    ///
    /// # Errors
    /// As [`Reader::coverage`].
    pub fn coverage(&self, question: &CoverageQuestion) -> Result<CoverageReport, LedgerError> {
        self.reader()?.coverage(question, crate::now_us())
    }

    /// [`Reader::record`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::record`].
    pub fn record(&self, id: u128) -> Result<Option<Record>, LedgerError> {
        self.reader()?.record(id)
    }

    /// [`Reader::audit`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::audit`].
    pub fn audit_trail(
        &self,
        filter: &AuditFilter,
        limit: usize,
        before: Option<i64>,
    ) -> Result<AuditPage, LedgerError> {
        self.reader()?.audit(filter, limit, before)
    }

    /// [`Reader::verify`] over a connection of its own.
    ///
    /// # Errors
    /// As [`Reader::verify`].
    pub fn verify(&self) -> Result<Verification, LedgerError> {
        self.reader()?.verify()
    }
}

impl Drop for Ledger {
    /// Whoever needs to know that everything was written calls [`Ledger::close`] before.
    fn drop(&mut self) {
        drop(self.close(DROP_PATIENCE));
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("place", &self.place)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
