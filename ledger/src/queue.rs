//! The way from a request to the writer: a bounded queue that never makes anybody wait.

use crate::alert::NewAlert;
use crate::alerts::Waiting;
use crate::objects::Change;
use crate::record::Record;
use crate::rollup::{OVERFLOW_GROUPS, Overflow};
use crate::spending::{Charge, SpentRow};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// What travels to the writer.
pub(crate) enum Message {
    /// One record, and what its exchange is charged to budgets. Boxed, so that a full queue of slots stays small.
    Record(Box<(Record, Vec<Charge>)>),
    /// Write everything before this, make it durable, and answer.
    Flush(SyncSender<()>),
    /// Write everything before this, and tell what was charged since a time.
    Spending(i64, SyncSender<Result<Vec<SpentRow>, String>>),
    /// Write everything before this, and end.
    Close,
}

/// What requests and the writer share.
pub(crate) struct Queue {
    sender: Sender<Message>,
    limit: usize,
    /// Records that were submitted and not yet written.
    depth: AtomicUsize,
    /// Set by the writer before it goes to sleep without a time limit; whoever sends next clears it and wakes it.
    /// While records flow the writer only naps, so that a busy gateway pays for no wake-up.
    asleep: AtomicBool,
    /// Ends a nap: there is an order, or the queue is half full.
    urgent: AtomicBool,
    writer: OnceLock<Thread>,
    overflow: Mutex<Overflow>,
    overflowed: AtomicU64,
    /// Bindings of objects that wait for the writer.
    changes: Mutex<Vec<Change>>,
    /// Alerts that wait for the writer.
    alerts: Waiting,
    pub(crate) written: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
    pub(crate) json_errors: AtomicU64,
    failing: AtomicBool,
    /// The ledger is closing: the writer must not try a failing store for ever.
    pub(crate) abandon: AtomicBool,
    pub(crate) last_error: Mutex<Option<String>>,
    /// Which writer this is, where several write to one store; 0 as long as that is not known.
    pub(crate) writer_id: AtomicI64,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> (Queue, Receiver<Message>) {
        // The bound is `depth`, which also counts what the writer holds; the channel itself needs none.
        let (sender, receiver) = channel();
        let queue = Queue {
            sender,
            limit: limit.max(1),
            depth: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            urgent: AtomicBool::new(false),
            writer: OnceLock::new(),
            overflow: Mutex::default(),
            overflowed: AtomicU64::new(0),
            changes: Mutex::default(),
            alerts: Waiting::default(),
            written: AtomicU64::new(0),
            failed_batches: AtomicU64::new(0),
            json_errors: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            abandon: AtomicBool::new(false),
            last_error: Mutex::new(None),
            writer_id: AtomicI64::new(0),
        };
        (queue, receiver)
    }

    /// Takes the record along, or folds it into sums when there is no room. Never waits.
    pub(crate) fn submit(&self, record: Record, charges: Vec<Charge>) {
        let before = self.depth.fetch_add(1, Ordering::Relaxed);
        if before >= self.limit {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            self.fold(&record, &charges);
        } else if let Err(unsent) = self.sender.send(Message::Record(Box::new((record, charges))))
            && let Message::Record(entry) = unsent.0
        {
            // The writer has ended. The sums show up in the figures even if nobody writes them any more.
            self.depth.fetch_sub(1, Ordering::Relaxed);
            self.fold(&entry.0, &entry.1);
        }
        if before == self.limit / 2 {
            self.hurry();
        } else {
            self.wake_if_asleep();
        }
    }

    /// Hands over a change to the bindings of objects. False when `limit` of them wait already. The lock is held for one
    /// addition here, and for one swap by the writer.
    pub(crate) fn submit_change(&self, change: Change, limit: usize) -> bool {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = changes.len() < limit;
        if room {
            changes.push(change);
        }
        drop(changes);
        self.wake_if_asleep();
        room
    }

    /// Hands over an alert; false when it was lost because too many wait.
    pub(crate) fn raise(&self, alert: NewAlert) -> bool {
        let room = self.alerts.push(alert);
        self.wake_if_asleep();
        room
    }

    /// The alerts that wait for the writer.
    pub(crate) fn waiting_alerts(&self) -> &Waiting {
        &self.alerts
    }

    /// Takes the changes since the last call.
    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The overflow lock is held for one addition here, and for one swap by the writer.
    fn fold(&self, record: &Record, charges: &[Charge]) {
        let mut overflow = self.overflow.lock().unwrap_or_else(PoisonError::into_inner);
        overflow.fold(record, OVERFLOW_GROUPS);
        overflow.charges.add(charges);
        drop(overflow);
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a flush or close. `false` when the writer has ended.
    pub(crate) fn order(&self, message: Message) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.hurry();
        sent
    }

    fn hurry(&self) {
        self.urgent.store(true, Ordering::SeqCst);
        self.asleep.store(false, Ordering::SeqCst);
        self.unpark();
    }

    fn wake_if_asleep(&self) {
        // Pairs with the fence in `sleep`: either this load sees the flag, or the writer sees the record.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// The writer sleeps until something comes, or for `limit` if it has something left to do then.
    pub(crate) fn sleep(&self, limit: Option<Duration>) {
        let end = limit.map(|limit| Instant::now() + limit);
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let something = self.depth.load(Ordering::SeqCst) > 0
            || self.urgent.load(Ordering::SeqCst)
            || !self.overflow.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            || !self.alerts.is_empty()
            || !self.changes.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if something {
            self.asleep.store(false, Ordering::SeqCst);
        }
        while self.asleep.load(Ordering::SeqCst) {
            let Some(end) = end else {
                std::thread::park();
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.asleep.store(false, Ordering::SeqCst);
            } else {
                std::thread::park_timeout(left);
            }
        }
    }

    /// The writer lets records gather for `time`, or until it is urgent.
    pub(crate) fn nap(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.urgent.load(Ordering::SeqCst) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
    }

    /// The writer looks at the queue now; what comes later may be urgent again.
    pub(crate) fn calm(&self) {
        self.urgent.store(false, Ordering::SeqCst);
    }

    /// A batch could not be written.
    pub(crate) fn failed(&self, error: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_owned());
        self.failed_batches.fetch_add(1, Ordering::Relaxed);
        // Last, so that whoever sees it failing also sees why.
        self.failing.store(true, Ordering::Release);
    }

    /// The writer tells which thread to wake.
    pub(crate) fn attach_writer(&self, writer: Thread) {
        // A queue has one writer for its whole life, so the first is the only one.
        self.writer.get_or_init(|| writer);
    }

    /// Takes the sums of everything that overflowed since the last call.
    pub(crate) fn take_overflow(&self) -> Overflow {
        std::mem::take(&mut *self.overflow.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// `count` records are in the store.
    pub(crate) fn settled(&self, count: usize) {
        self.depth.fetch_sub(count, Ordering::Relaxed);
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        self.failing.store(false, Ordering::Relaxed);
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed).min(self.limit)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    pub(crate) fn accepting(&self) -> bool {
        self.depth.load(Ordering::Relaxed) < self.limit && !self.is_failing()
    }
}
