//! The way of content from a request to the store: a bounded queue that never makes anybody wait, and one thread.

use super::seal::{DataKey, Holder, KeyWrap, Place, SealedSide, WrappedKey};
use super::{
    Content, ContentFilter, ContentState, NewContent, SCAN_BYTES_MAX, SCAN_RECORDS_MAX, ScanLimits, Scanned,
};
use crate::db::postgres::Pool;
use crate::db::{self, Connection, TransactionBehavior};
use crate::error::LedgerError;
use crate::place::Place as StorePlace;
use crate::store::{self, content as rows};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most exchanges whose content waits for the thread.
pub const CONTENT_QUEUE_MAX: usize = 4_096;
/// Most bytes of content that wait for the thread: 128 MiB.
pub const CONTENT_QUEUE_BYTES_MAX: usize = 128 << 20;
/// Most searches, exports and look-ups of content at a time, where a server keeps it. One more waits, as a reader does.
const CONTENT_READERS_MAX: usize = 4;
/// Most exchanges in one transaction.
const BATCH_MAX: usize = 64;
/// How often content is looked for whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Pause after the first failure to write; it doubles with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts to write.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Most keys that are remembered.
const KEYS_MAX: usize = 1_024;

/// Content that waits to be kept. It is made ready on the thread that stores it, not on that of a request.
pub trait Pending: Send {
    /// Bytes that it holds.
    fn bytes(&self) -> usize;

    /// Makes it ready.
    fn ready(self: Box<Self>) -> NewContent;
}

/// It is ready already.
impl Pending for NewContent {
    fn bytes(&self) -> usize {
        self.request.bytes.len() + self.answer.bytes.len()
    }

    fn ready(self: Box<Self>) -> NewContent {
        *self
    }
}

/// How storing content is doing, for metrics. Counts are since the ledger was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentStats {
    /// Exchanges that wait.
    pub waiting: usize,
    /// Exchanges whose content was stored.
    pub stored: u64,
    /// Bytes that were stored, sealed.
    pub stored_bytes: u64,
    /// Exchanges of which a side was to be kept and was not.
    pub dropped: u64,
    /// Exchanges whose content went because its time was over.
    pub swept: u64,
    /// Attempts to write that failed.
    pub failed: u64,
    /// What the last failure said; stays after it healed.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Box<dyn Pending>>,
    bytes: usize,
    /// Entries that the thread holds.
    in_hand: usize,
    closing: bool,
    /// Close now, whatever is left.
    abandon: bool,
}

/// The queue, and what both sides know.
#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to do.
    wake: Condvar,
    /// Something was done.
    done: Condvar,
    wrap: Mutex<Option<Arc<dyn KeyWrap>>>,
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    dropped: AtomicU64,
    swept: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// Nothing panics while these are held, and nothing is half done if it did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps content.
pub(crate) struct Keeper {
    place: StorePlace,
    busy_timeout: Duration,
    /// Apart from that of reports: who exports holds one of each.
    readers: Arc<Pool>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(crate) fn new(place: &StorePlace, busy_timeout: Duration) -> Keeper {
        let readers = Pool::new(CONTENT_READERS_MAX);
        Keeper {
            place: place.clone(),
            busy_timeout,
            readers,
            shared: Arc::default(),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread. It sweeps also while nothing is kept any more.
    pub(crate) fn start(&self) -> Result<(), LedgerError> {
        let mut thread = lock(&self.thread);
        if thread.is_some() {
            return Ok(());
        }
        let connection = store::connect_erasing(&self.place, self.busy_timeout)?;
        let work = Work { connection, shared: Arc::clone(&self.shared), keys: HashMap::new() };
        let started = std::thread::Builder::new().name("narrows-content".into()).spawn(move || work.run());
        *thread = Some(started.map_err(|source| LedgerError::Thread { name: "narrows-content", source })?);
        Ok(())
    }

    /// From now on this wraps the keys.
    pub(crate) fn set_wrap(&self, wrap: Arc<dyn KeyWrap>) {
        *lock(&self.shared.wrap) = Some(wrap);
    }

    fn wrap(&self) -> Result<Arc<dyn KeyWrap>, LedgerError> {
        let none =
            || LedgerError::ContentKey("no master key was given, so content cannot be opened".to_owned());
        lock(&self.shared.wrap).clone().ok_or_else(none)
    }

    /// Whether there is room for so many bytes; counts one that was dropped if not. Whoever asks submits next.
    pub(crate) fn submit(&self, pending: Box<dyn Pending>) -> bool {
        let bytes = pending.bytes();
        let mut waiting = lock(&self.shared.waiting);
        let full = waiting.entries.len() + waiting.in_hand >= CONTENT_QUEUE_MAX
            || waiting.bytes.saturating_add(bytes) > CONTENT_QUEUE_BYTES_MAX
            || waiting.closing;
        if full {
            drop(waiting);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        waiting.bytes += bytes;
        waiting.entries.push_back(pending);
        drop(waiting);
        self.shared.wake.notify_one();
        true
    }

    /// Waits until all that was submitted before is stored.
    pub(crate) fn flush(&self, patience: Duration) -> Result<(), LedgerError> {
        let until = Instant::now() + patience;
        let mut waiting = lock(&self.shared.waiting);
        while !waiting.entries.is_empty() || waiting.in_hand > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = lock(&self.shared.last_error).clone();
                let cause = last.unwrap_or_else(|| "content is still being stored".to_owned());
                return Err(LedgerError::NotFlushed { cause });
            }
            waiting = self.shared.done.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    pub(crate) fn close(&self, patience: Duration) -> Result<(), LedgerError> {
        let Some(thread) = lock(&self.thread).take() else { return Ok(()) };
        lock(&self.shared.waiting).closing = true;
        self.shared.wake.notify_all();
        let flushed = self.flush(patience);
        lock(&self.shared.waiting).abandon = true;
        self.shared.wake.notify_all();
        // A panic of the thread was reported by the panic hook; what it means here is in `flushed`.
        drop(thread.join());
        flushed
    }

    pub(crate) fn stats(&self) -> ContentStats {
        let waiting = lock(&self.shared.waiting);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ContentStats {
            waiting: waiting.entries.len() + waiting.in_hand,
            stored: count(&self.shared.stored),
            stored_bytes: count(&self.shared.stored_bytes),
            dropped: count(&self.shared.dropped),
            swept: count(&self.shared.swept),
            failed: count(&self.shared.failed),
            last_error: lock(&self.shared.last_error).clone(),
        }
    }

    /// The content of a record, opened.
    pub(crate) fn get(&self, record: u128) -> Result<Option<Content>, LedgerError> {
        let (connection, version) = store::open_reader(&self.place, self.busy_timeout, Some(&self.readers))?;
        if version < store::migrate::WITH_CONTENT {
            return Ok(None);
        }
        let Some(sealed) = rows::get(&connection, record)? else { return Ok(None) };
        if sealed.gone.is_some() {
            return sealed.open(None).map(Some);
        }
        let wrap = self.wrap()?;
        rows::Opener::new(&connection, &*wrap).open(&sealed).map(Some)
    }

    /// Opens what matches, the newest first, as far as `limits` go.
    pub(crate) fn scan(
        &self,
        filter: &ContentFilter,
        before: Option<u128>,
        limits: ScanLimits,
        visit: &mut dyn FnMut(Content) -> bool,
    ) -> Result<Scanned, LedgerError> {
        let (connection, version) = store::open_reader(&self.place, self.busy_timeout, Some(&self.readers))?;
        let mut scanned = Scanned::default();
        if version < store::migrate::WITH_CONTENT {
            return Ok(scanned);
        }
        let wrap = self.wrap()?;
        let view = connection.unchecked_transaction()?;
        let mut opener = rows::Opener::new(&view, &*wrap);
        let records_max = limits.records.min(SCAN_RECORDS_MAX);
        let bytes_max = limits.bytes.min(SCAN_BYTES_MAX);
        let mut last = None;
        rows::scan(&view, filter, before, &mut |sealed| {
            if scanned.records >= records_max || scanned.bytes >= bytes_max {
                scanned.next = last;
                return Ok(false);
            }
            last = Some(sealed.record);
            scanned.records += 1;
            let content = opener.open_or_tell(&sealed)?;
            scanned.unopened += usize::from(content.unopened.is_some());
            scanned.bytes = scanned.bytes.saturating_add(content.opened_bytes());
            let more = visit(content);
            if !more {
                scanned.next = last;
            }
            Ok(more)
        })?;
        Ok(scanned)
    }
}

/// What the thread owns.
struct Work {
    connection: Connection,
    shared: Arc<Shared>,
    /// Keys of holders and days that were used before.
    keys: HashMap<Holder, (String, DataKey)>,
}

impl Work {
    fn run(mut self) {
        let mut swept: Option<Instant> = None;
        loop {
            if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
                swept = Some(Instant::now());
                self.sweep();
            }
            let Some(batch) = self.next() else { return };
            let count = batch.len();
            if count > 0 {
                let bytes: usize = batch.iter().map(|pending| pending.bytes()).sum();
                let ready: Vec<NewContent> =
                    batch.into_iter().filter_map(|pending| self.ready(pending)).collect();
                if !ready.is_empty() {
                    self.store(&ready);
                }
                let mut waiting = lock(&self.shared.waiting);
                waiting.in_hand = 0;
                waiting.bytes = waiting.bytes.saturating_sub(bytes);
            }
            self.shared.done.notify_all();
        }
    }

    /// Makes content ready. What panics on that is lost, and nothing else with it.
    fn ready(&self, pending: Box<dyn Pending>) -> Option<NewContent> {
        let ready = catch_unwind(AssertUnwindSafe(|| pending.ready()));
        if ready.is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            self.failed("content could not be made ready; the log says more");
        }
        ready.ok()
    }

    /// What waits, up to one batch; nothing when it is time to sweep, and `None` at the end.
    fn next(&self) -> Option<Vec<Box<dyn Pending>>> {
        let until = Instant::now() + SWEEP_EVERY;
        let mut waiting = lock(&self.shared.waiting);
        loop {
            if waiting.abandon || (waiting.closing && waiting.entries.is_empty()) {
                return None;
            }
            if !waiting.entries.is_empty() {
                let count = waiting.entries.len().min(BATCH_MAX);
                waiting.in_hand = count;
                return Some(waiting.entries.drain(..count).collect());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Vec::new());
            }
            waiting = self.shared.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes content, again and again until it is in the store or the ledger is closed.
    fn store(&mut self, batch: &[NewContent]) {
        let mut pause = RETRY_FIRST;
        loop {
            // Another may have been given meanwhile.
            let Some(wrap) = lock(&self.shared.wrap).clone() else {
                self.shared.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                self.failed("content came and there is no master key");
                return;
            };
            let error = match self.write(batch, &*wrap) {
                Ok(bytes) => {
                    self.shared.stored.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    self.shared.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
                    let is_short = |new: &&NewContent| {
                        [&new.request, &new.answer].iter().any(|side| side.state == ContentState::Dropped)
                    };
                    let short = batch.iter().filter(is_short).count();
                    self.shared.dropped.fetch_add(short as u64, Ordering::Relaxed);
                    return;
                }
                Err(error) => error,
            };
            // A rolled-back transaction takes new keys with it.
            self.keys.clear();
            self.failed(&error.to_string());
            let waiting = lock(&self.shared.waiting);
            if waiting.abandon {
                self.shared.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
                return;
            }
            drop(self.shared.wake.wait_timeout(waiting, pause).unwrap_or_else(PoisonError::into_inner));
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    fn failed(&self, error: &str) {
        *lock(&self.shared.last_error) = Some(error.to_owned());
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Seals a batch and writes it in one transaction; gives the bytes.
    fn write(&mut self, batch: &[NewContent], wrap: &dyn KeyWrap) -> Result<u64, LedgerError> {
        let Work { connection, keys, .. } = self;
        if keys.len() > KEYS_MAX {
            keys.clear();
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut bytes = 0_u64;
        for new in batch {
            let holder = Holder::of(&new.caller, new.at_us);
            let (key_id, key) = key_for(&transaction, keys, holder, wrap)?;
            let sealed = seal(new, key_id, key)?;
            let sides = [&sealed.request, &sealed.answer];
            bytes +=
                sides.iter().filter_map(|side| side.sealed.as_ref()).map(|one| one.len() as u64).sum::<u64>();
            rows::put(&transaction, &sealed)?;
        }
        transaction.commit()?;
        Ok(bytes)
    }

    /// Removes what is over, step by step.
    fn sweep(&mut self) {
        let now = crate::now_us();
        loop {
            match sweep_step(&mut self.connection, now) {
                Ok(0) => return,
                Ok(count) => {
                    self.shared.swept.fetch_add(count as u64, Ordering::Relaxed);
                    if count < rows::SWEEP_ROWS {
                        return;
                    }
                }
                Err(error) => {
                    // What is not removed now is removed next time.
                    self.failed(&error.to_string());
                    return;
                }
            }
        }
    }
}

/// One step of a sweep, in one transaction.
pub(crate) fn sweep_step(connection: &mut Connection, now_us: i64) -> db::Result<usize> {
    if !rows::is_due(connection, now_us)? {
        return Ok(0);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let count = rows::sweep(&transaction, now_us, now_us.div_euclid(super::seal::DAY_US))?;
    transaction.commit()?;
    Ok(count)
}

/// The key of a holder, and its id. One that was destroyed meanwhile is not used again.
fn key_for<'k>(
    connection: &Connection,
    keys: &'k mut HashMap<Holder, (String, DataKey)>,
    holder: Holder,
    wrap: &dyn KeyWrap,
) -> Result<(String, &'k DataKey), LedgerError> {
    let Holder { organization, scope, name, day } = &holder;
    let stored = rows::key_of_day(connection, organization, scope, name, *day, wrap.mark())?;
    let is_known = |(id, _): &(String, DataKey)| stored.as_ref().is_some_and(|stored| stored.id == *id);
    if !keys.get(&holder).is_some_and(is_known) {
        let made = match stored {
            Some(stored) => {
                let key = stored.open(wrap)?;
                (stored.id, key)
            }
            None => {
                let (wrapped, key) = WrappedKey::make(&holder, wrap)?;
                rows::put_key(connection, &wrapped)?;
                (wrapped.id, key)
            }
        };
        keys.insert(holder.clone(), made);
    }
    let gone = || LedgerError::ContentKey("a key was made and is gone".to_owned());
    let (id, key) = keys.get(&holder).ok_or_else(gone)?;
    Ok((id.clone(), key))
}

fn seal(new: &NewContent, key_id: String, key: &DataKey) -> Result<rows::SealedContent, LedgerError> {
    let caller = &*new.caller;
    let place = |side| Place { record: new.record, side, organization: &caller.organization };
    let retention = i64::try_from(new.retention.as_micros()).unwrap_or(i64::MAX);
    Ok(rows::SealedContent {
        record: new.record,
        organization: caller.organization.clone(),
        team: caller.team.clone().unwrap_or_default(),
        user: caller.user.clone().unwrap_or_default(),
        service_account: caller.service_account.clone().unwrap_or_default(),
        at_us: new.at_us,
        expires_at_us: new.at_us.saturating_add(retention),
        key_id,
        request: SealedSide::of(&new.request, key, place("request"))?,
        answer: SealedSide::of(&new.answer, key, place("answer"))?,
        gone: None::<ContentState>,
        gone_at_us: None,
    })
}
