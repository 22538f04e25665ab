//! The way from a request to the writer: a bounded queue that never makes anybody wait.

use crate::record::Record;
use crate::rollup::{OVERFLOW_GROUPS, Overflow};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;

/// What travels to the writer.
pub(crate) enum Message {
    /// One record. Boxed, so that a full queue of slots stays small.
    Record(Box<Record>),
    /// Write everything before this, make it durable, and answer.
    Flush(SyncSender<()>),
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
    writer: OnceLock<Thread>,
    overflow: Mutex<Overflow>,
    overflowed: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) failed_batches: AtomicU64,
    pub(crate) json_errors: AtomicU64,
    pub(crate) failing: AtomicBool,
    pub(crate) last_error: Mutex<Option<String>>,
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
            writer: OnceLock::new(),
            overflow: Mutex::default(),
            overflowed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            failed_batches: AtomicU64::new(0),
            json_errors: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            last_error: Mutex::new(None),
        };
        (queue, receiver)
    }

    /// Takes the record along, or folds it into sums when there is no room. Never waits.
    pub(crate) fn submit(&self, record: Record) {
        if self.depth.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            self.fold(&record);
        } else if let Err(unsent) = self.sender.send(Message::Record(Box::new(record)))
            && let Message::Record(record) = unsent.0
        {
            // The writer has ended. The sums show up in the figures even if nobody writes them any more.
            self.depth.fetch_sub(1, Ordering::Relaxed);
            self.fold(&record);
        }
        self.wake_if_asleep();
    }

    /// The overflow lock is held for one addition here, and for one swap by the writer.
    fn fold(&self, record: &Record) {
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner).fold(record, OVERFLOW_GROUPS);
        self.overflowed.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends a flush or close. `false` when the writer has ended.
    pub(crate) fn order(&self, message: Message) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.asleep.store(false, Ordering::SeqCst);
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
        sent
    }

    fn wake_if_asleep(&self) {
        // Pairs with the fence in `fall_asleep`: either this load sees the flag, or the writer sees the message.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// The writer announces that it is about to sleep until woken. It must look at the queue once more after this.
    pub(crate) fn fall_asleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The writer is up again, by itself.
    pub(crate) fn stay_awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
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

    pub(crate) fn accepting(&self) -> bool {
        self.depth.load(Ordering::Relaxed) < self.limit && !self.failing.load(Ordering::Relaxed)
    }
}
