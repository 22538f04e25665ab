//! The one thread that writes.
//!
//! It sleeps without a time limit while nothing comes. Once woken it gathers for `LedgerOptions::gather`, writes
//! what is there as one transaction, and gathers again until a round brings nothing. A failed batch is tried again
//! with growing pauses; meanwhile the queue fills and then overflows into sums, so nothing is lost but detail.

use crate::alert::NewAlert;
use crate::db::Connection;
use crate::error::LedgerError;
use crate::objects::{Change, Objects};
use crate::options::{JsonLines, LedgerOptions};
use crate::queue::{Message, Queue};
use crate::record::Record;
use crate::rollup::Overflow;
use crate::segment::pack::Packer;
use crate::spending::{Charges, SpentRow};
use crate::store;
use crate::store::records::{Batch, BatchWriter, RollUp};
use crate::upkeep::Upkeep;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pause after the first failure to write; it doubles with every further one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts to write.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// How often sums are stored while records flow. Readers add up what is not stored yet.
const ROLL_UP_EVERY: Duration = Duration::from_secs(5);

/// How often ended bindings of objects are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often charges that no budget looks back to are removed.
const SWEEP_CHARGES_EVERY: Duration = Duration::from_secs(3_600);

/// The writer as its owner sees it.
pub(crate) struct Writer {
    /// Until the thread starts. The lock is what lets a ledger be shared: a connection belongs to one thread.
    idle: Mutex<Option<Work>>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        receiver: Receiver<Message>,
        queue: &Queue,
        options: &LedgerOptions,
    ) -> Result<Writer, LedgerError> {
        let mut batches = BatchWriter::new();
        if options.charges_apart {
            // Whoever asks for its part needs to know which one it is.
            held(queue, batches.hold(&connection)?);
        }
        let json = match &options.json_lines {
            None => None,
            Some(JsonLines::Stdout) => Some(JsonSink { to: JsonTarget::Stdout, lines: Vec::new(), count: 0 }),
            Some(JsonLines::File(path)) => {
                let file = File::options().append(true).create(true).open(path);
                let file = file.map_err(|source| LedgerError::JsonLines { path: path.clone(), source })?;
                Some(JsonSink { to: JsonTarget::File(file), lines: Vec::new(), count: 0 })
            }
        };
        let work = Work {
            connection,
            receiver,
            json,
            batch_limit: options.batch_limit.max(1),
            gather: options.gather,
            packer: Packer::new(),
            batches,
            charges_apart: options.charges_apart,
            charges: Charges::default(),
            overflow: Overflow::default(),
            rolled_up: Instant::now(),
            changes: Vec::new(),
            alerts: Vec::new(),
            swept: None,
            swept_charges: None,
            upkeep: Upkeep::new(options.joined_records),
        };
        Ok(Writer { idle: Mutex::new(Some(work)), running: Mutex::new(None) })
    }

    /// Starts the thread.
    pub(crate) fn start(&self, queue: &Arc<Queue>, objects: &Arc<Objects>) -> Result<(), LedgerError> {
        let Some(work) = lock(&self.idle).take() else { return Ok(()) };
        let (shared, objects) = (Arc::clone(queue), Arc::clone(objects));
        let thread = std::thread::Builder::new()
            .name("narrows-ledger".into())
            .spawn(move || work.run(&shared, &objects))
            .map_err(|source| LedgerError::Thread { name: "narrows-ledger", source })?;
        queue.attach_writer(thread.thread().clone());
        *lock(&self.running) = Some(thread);
        Ok(())
    }

    pub(crate) fn flush(&self, queue: &Queue, patience: Duration) -> Result<(), LedgerError> {
        let (done, wait) = sync_channel(1);
        if queue.order(Message::Flush(done)) && wait.recv_timeout(patience).is_ok() {
            return Ok(());
        }
        Err(not_flushed(queue))
    }

    pub(crate) fn spending(&self, queue: &Queue, from_us: i64) -> SpendingAsked {
        let (done, answer) = sync_channel(1);
        let sent = queue.order(Message::Spending(from_us, done));
        SpendingAsked(sent.then_some(answer))
    }

    pub(crate) fn close(&self, queue: &Queue, patience: Duration) -> Result<(), LedgerError> {
        let Some(thread) = lock(&self.running).take() else { return Ok(()) };
        let flushed = self.flush(queue, patience);
        queue.abandon.store(true, Ordering::Release);
        queue.order(Message::Close);
        // A panic of the thread was reported by the panic hook; what it means here is in `flushed`.
        drop(thread.join());
        flushed
    }
}

/// What was charged up to the moment of asking, as soon as the writer has it.
#[derive(Debug)]
pub struct SpendingAsked(Option<Receiver<Result<Vec<SpentRow>, String>>>);

impl SpendingAsked {
    /// Waits for it, for at most `patience`.
    ///
    /// # Errors
    /// [`LedgerError::NotFlushed`] when not everything before it could be written in time, or the store cannot be read.
    pub fn wait(self, patience: Duration) -> Result<Vec<SpentRow>, LedgerError> {
        let silent = || LedgerError::NotFlushed { cause: "the writer did not answer".to_owned() };
        let answer = self.0.and_then(|answer| answer.recv_timeout(patience).ok()).ok_or_else(silent)?;
        answer.map_err(|cause| LedgerError::NotFlushed { cause })
    }
}

/// Nothing panics while these are held, and nothing is half done if it did.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells which writer this is, where several write.
fn held(queue: &Queue, writer: Option<i64>) {
    if let Some(writer) = writer {
        queue.writer_id.store(writer, Ordering::Relaxed);
    }
}

fn not_flushed(queue: &Queue) -> LedgerError {
    let last = lock(&queue.last_error).clone();
    let cause = last.unwrap_or_else(|| "the writer did not answer".to_owned());
    LedgerError::NotFlushed { cause }
}

/// What a round of draining ended with.
enum Drained {
    /// Nothing more was there.
    Empty,
    /// The batch is full; there may be more.
    Full,
    /// Somebody waits for all of it to be durable.
    Flush(SyncSender<()>),
    /// Somebody asks what was charged up to here.
    Spending(i64, SyncSender<Result<Vec<SpentRow>, String>>),
    /// The ledger closes.
    Close,
}

/// Everything the thread owns.
struct Work {
    connection: Connection,
    receiver: Receiver<Message>,
    json: Option<JsonSink>,
    batch_limit: usize,
    gather: Duration,
    packer: Packer,
    batches: BatchWriter,
    /// Whether what others were charged is not asked for.
    charges_apart: bool,
    /// What the records that were packed are charged to budgets.
    charges: Charges,
    /// Taken from the queue, not yet written.
    overflow: Overflow,
    /// When sums were stored last.
    rolled_up: Instant,
    /// Bindings of objects, taken and not yet written.
    changes: Vec<Change>,
    /// Alerts, taken and not yet written.
    alerts: Vec<NewAlert>,
    /// When ended bindings were removed last.
    swept: Option<Instant>,
    /// When old charges were removed last.
    swept_charges: Option<Instant>,
    upkeep: Upkeep,
}

/// What became of a batch.
#[derive(PartialEq, Eq)]
enum Written {
    /// It is in the store.
    Stored,
    /// There was none.
    Nothing,
    /// The ledger is being closed and the store still refuses.
    Abandoned,
}

impl Work {
    fn run(mut self, queue: &Queue, objects: &Objects) {
        loop {
            let drained = self.drain(queue);
            let orderly = matches!(drained, Drained::Flush(_) | Drained::Close);
            let before = [self.write_objects(queue, objects), self.write_alerts(queue)];
            let mut written = self.write(queue, orderly);
            for one in before {
                if one != Written::Nothing && written != Written::Abandoned {
                    written = one;
                }
            }
            match drained {
                Drained::Full => {}
                Drained::Flush(done) => {
                    if written != Written::Abandoned && self.sync(queue) {
                        // Whoever waited may have lost patience.
                        let _gone = done.send(());
                    }
                }
                Drained::Spending(from_us, done) => {
                    if written != Written::Abandoned {
                        // As above.
                        let _gone = done.send(self.spending(from_us));
                    }
                }
                Drained::Close => {
                    // Without this the next one that starts is another writer for a while.
                    let _given_back = self.batches.leave(&self.connection);
                    break;
                }
                Drained::Empty => {
                    if written == Written::Nothing {
                        let roll_up = self.batches.has_pending().then_some(ROLL_UP_EVERY);
                        queue.sleep(roll_up.into_iter().chain(self.upkeep.wait()).min());
                    }
                    queue.nap(self.gather);
                }
            }
            if written != Written::Abandoned {
                self.upkeep.step(&mut self.connection, self.batches.writer());
            }
        }
    }

    /// What was charged since a time, up to the batch that was written last.
    fn spending(&self, from_us: i64) -> Result<Vec<SpentRow>, String> {
        let mut rows = Vec::new();
        let writer = self.batches.writer().filter(|_| self.charges_apart);
        let read = store::spending::read(&self.connection, from_us, writer, &mut |row| rows.push(row));
        read.map(|()| rows).map_err(|error| error.to_string())
    }

    /// Packs what is in the queue, up to one batch.
    fn drain(&mut self, queue: &Queue) -> Drained {
        queue.calm();
        let ended = loop {
            if self.packer.count() >= self.batch_limit {
                break Drained::Full;
            }
            match self.receiver.try_recv() {
                Ok(Message::Record(entry)) => {
                    let (record, charges) = &*entry;
                    self.packer.push(record);
                    self.charges.add(charges);
                    if let Some(json) = &mut self.json {
                        json.add(record);
                    }
                }
                Ok(Message::Flush(done)) => break Drained::Flush(done),
                Ok(Message::Spending(from_us, done)) => break Drained::Spending(from_us, done),
                // Without senders nobody will ever send again.
                Ok(Message::Close) | Err(TryRecvError::Disconnected) => break Drained::Close,
                Err(TryRecvError::Empty) => break Drained::Empty,
            }
        };
        self.overflow = queue.take_overflow();
        self.changes.append(&mut queue.take_changes());
        self.alerts.append(&mut queue.waiting_alerts().take());
        ended
    }

    /// Writes the batch, again and again until it is in the store or the ledger is closed. Takes the sums along when
    /// it is time, or at once if asked for.
    fn write(&mut self, queue: &Queue, roll_up_now: bool) -> Written {
        if let Some(json) = &mut self.json {
            json.flush(queue);
        }
        let count = self.packer.count();
        let due = roll_up_now || self.rolled_up.elapsed() >= ROLL_UP_EVERY || self.packer.is_crowded();
        let roll_up =
            if due && (count > 0 || self.batches.has_pending()) { RollUp::Now } else { RollUp::Later };
        if count == 0 && self.overflow.is_empty() && roll_up == RollUp::Later {
            return Written::Nothing;
        }
        let packed = self.packer.packed();
        let mut pause = RETRY_FIRST;
        let batch = Batch { packed, charges: &self.charges, overflow: &self.overflow };
        while let Err(error) = self.batches.write(&mut self.connection, &batch, roll_up) {
            queue.failed(&error.to_string());
            if queue.abandon.load(Ordering::Acquire) {
                return Written::Abandoned;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY_LAST);
        }
        queue.settled(count);
        held(queue, self.batches.writer());
        self.sweep_charges();
        self.packer.clear();
        self.charges.clear();
        self.overflow = Overflow::default();
        if roll_up == RollUp::Now {
            self.packer.clear_groups();
            self.upkeep.rolled_up();
            self.rolled_up = Instant::now();
        }
        Written::Stored
    }

    /// Removes old charges now and then, where there are any.
    fn sweep_charges(&mut self) {
        let due = self.swept_charges.is_none_or(|swept| swept.elapsed() >= SWEEP_CHARGES_EVERY);
        if due && !self.charges.is_empty() {
            self.swept_charges = Some(Instant::now());
            // What is not removed now is removed next time, and counts for nothing until then.
            let _swept = store::spending::sweep(&self.connection, crate::now_us());
        }
    }

    /// Writes bindings of objects, before the records of the exchanges that made them.
    fn write_objects(&mut self, queue: &Queue, objects: &Objects) -> Written {
        if self.changes.is_empty() {
            return Written::Nothing;
        }
        let now = crate::now_us();
        let mut pause = RETRY_FIRST;
        let refuted = loop {
            match store::objects::write(&mut self.connection, &self.changes, now) {
                Ok(refuted) => break refuted,
                Err(error) => queue.failed(&error.to_string()),
            }
            if queue.abandon.load(Ordering::Acquire) {
                return Written::Abandoned;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY_LAST);
        };
        self.changes.clear();
        queue.settled(0);
        for object in &refuted {
            objects.refuted(object);
        }
        if self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
            self.swept = Some(Instant::now());
            // What is not removed now is removed next time; until then it counts as ended all the same.
            let _swept = store::objects::sweep(&self.connection, now);
        }
        Written::Stored
    }

    /// Writes alerts, again and again until they are in the store or the ledger is closed.
    fn write_alerts(&mut self, queue: &Queue) -> Written {
        if self.alerts.is_empty() {
            return Written::Nothing;
        }
        let mut pause = RETRY_FIRST;
        let (stored, repeated) = loop {
            match store::alerts::write(&mut self.connection, &self.alerts) {
                Ok(written) => break written,
                Err(error) => queue.failed(&error.to_string()),
            }
            if queue.abandon.load(Ordering::Acquire) {
                return Written::Abandoned;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(RETRY_LAST);
        };
        self.alerts.clear();
        queue.settled(0);
        queue.waiting_alerts().written(stored, repeated);
        Written::Stored
    }

    /// Makes all that was written safe against a power cut.
    fn sync(&self, queue: &Queue) -> bool {
        store::sync(&self.connection).inspect_err(|error| queue.failed(&error.to_string())).is_ok()
    }
}

enum JsonTarget {
    Stdout,
    File(File),
}

/// JSON lines, gathered per batch. A slow reader of the output slows the writer, never a request.
struct JsonSink {
    to: JsonTarget,
    lines: Vec<u8>,
    count: u64,
}

impl JsonSink {
    fn add(&mut self, record: &Record) {
        record.write_json(&mut self.lines);
        self.lines.push(b'\n');
        self.count += 1;
    }

    /// Writes the batch's lines. A failure is counted and the lines are gone: the store has the records.
    fn flush(&mut self, queue: &Queue) {
        if self.count == 0 {
            return;
        }
        let written = match &mut self.to {
            JsonTarget::Stdout => std::io::stdout().lock().write_all(&self.lines),
            JsonTarget::File(file) => file.write_all(&self.lines),
        };
        if written.is_err() {
            queue.json_errors.fetch_add(self.count, Ordering::Relaxed);
        }
        self.lines.clear();
        self.count = 0;
    }
}
