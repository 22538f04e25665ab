//! What the provider would put on its bill, to compare a gateway's records with.

use narrows_llm::dialect::Dialect;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How an exchange ended, as the provider saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Not ended yet.
    Open,
    /// The whole answer was written.
    Complete,
    /// A fault ended it before its end.
    Cut,
    /// The client closed its connection first.
    ClientGone,
    /// An error answer: nothing was generated.
    Refused,
}

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed {
    /// Number of the request, as it ends the answer's request id.
    pub id: u64,
    /// What was spoken.
    pub dialect: Dialect,
    /// The model the request named.
    pub model: String,
    /// Status of the answer.
    pub status: u16,
    /// All prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens that were read from the cache.
    pub cached: u64,
    /// Prompt tokens that were written to the cache.
    pub cache_write: u64,
    /// Tokens generated so far, reasoning included. A cut answer has fewer than a whole one.
    pub output: u64,
    /// How many of `output` are reasoning.
    pub reasoning: u64,
    /// How it ended.
    pub end: End,
}

/// The bill of one provider.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lines: Mutex<Vec<Billed>>,
    capacity: usize,
    changed: Notify,
}

/// A line that is still being written. Dropped unfinished, it ends as [`End::ClientGone`].
#[derive(Debug)]
pub(crate) struct Line<'a> {
    ledger: &'a Ledger,
    index: Option<usize>,
    /// Reasoning tokens once all of them are generated.
    reasoning: u64,
    ended: bool,
}

impl Ledger {
    /// A bill of at most `capacity` lines; further requests are not on it.
    pub(crate) fn new(capacity: usize) -> Ledger {
        Ledger { capacity, ..Ledger::default() }
    }

    pub(crate) fn lines(&self) -> Vec<Billed> {
        self.lock().clone()
    }

    /// Waits until `done` holds for the bill.
    pub(crate) async fn wait(&self, done: impl Fn(&[Billed]) -> bool) {
        loop {
            let changed = self.changed.notified();
            if done(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Whether there is anything to keep at all.
    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// Opens the line that `line` makes; its `reasoning` is what a whole answer has.
    pub(crate) fn open(&self, line: impl FnOnce() -> Billed) -> Line<'_> {
        if !self.is_on() {
            return Line { ledger: self, index: None, reasoning: 0, ended: true };
        }
        let mut lines = self.lock();
        if lines.len() >= self.capacity {
            return Line { ledger: self, index: None, reasoning: 0, ended: true };
        }
        let mut line = line();
        let reasoning = std::mem::take(&mut line.reasoning);
        lines.push(line);
        Line { ledger: self, index: Some(lines.len() - 1), reasoning, ended: false }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Billed>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line<'_> {
    /// Notes how many tokens have been generated, before the client can see them.
    pub(crate) fn generated(&self, output: u64) {
        self.edit(|line| line.output = output);
    }

    /// Closes the line.
    pub(crate) fn end(mut self, end: End) {
        self.close(end);
    }

    fn close(&mut self, end: End) {
        if !self.ended {
            self.ended = true;
            self.edit(|line| line.end = end);
            self.ledger.changed.notify_waiters();
        }
    }

    fn edit(&self, change: impl FnOnce(&mut Billed)) {
        let Some(index) = self.index else { return };
        if let Some(line) = self.ledger.lock().get_mut(index) {
            change(line);
            line.reasoning = self.reasoning.min(line.output);
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.close(End::ClientGone);
    }
}
