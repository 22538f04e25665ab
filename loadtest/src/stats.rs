//! What a run counts.

use anyhow::Result;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest time a histogram can hold, in nanoseconds (ten minutes); longer ones count as that.
pub const MAX_TIME_NS: u64 = 600_000_000_000;
/// Kinds of failures kept apart, in kinds; further ones are counted together.
pub const MAX_FAILURE_KINDS: usize = 16;

/// Times and counts of one interval.
#[derive(Debug, Clone)]
pub struct Stats {
    /// From the (intended) sending of a request to its answer's last byte, in nanoseconds.
    pub total: Histogram<u64>,
    /// From the (intended) sending to the first byte of the answer's body, in nanoseconds.
    pub first_byte: Histogram<u64>,
    /// From the fake's write of a chunk to our read, in nanoseconds.
    pub transit: Histogram<u64>,
    /// Answers that came to an end, good or bad, and failed connections.
    pub requests: u64,
    /// Answers that passed every check.
    pub good: u64,
    /// Answers whose body has begun.
    pub opened: u64,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers that were cut, or lacked their end marker or a chunk.
    pub incomplete: u64,
    /// Answers without usage.
    pub without_usage: u64,
    /// Failures by message.
    pub failures: BTreeMap<String, u64>,
    /// Stamped chunks read.
    pub chunks: u64,
    /// Bytes read, heads included.
    pub bytes: u64,
}

impl Stats {
    /// Nothing yet.
    ///
    /// # Errors
    /// The histograms' bounds are invalid, which they are not.
    pub fn new() -> Result<Stats> {
        let histogram = || Histogram::new_with_bounds(1_000, MAX_TIME_NS, 3);
        Ok(Stats {
            total: histogram()?,
            first_byte: histogram()?,
            transit: histogram()?,
            requests: 0,
            good: 0,
            opened: 0,
            statuses: BTreeMap::new(),
            incomplete: 0,
            without_usage: 0,
            failures: BTreeMap::new(),
            chunks: 0,
            bytes: 0,
        })
    }

    /// Counts a failure that is not an answer.
    pub fn failed(&mut self, message: String) {
        self.requests += 1;
        let full = self.failures.len() >= MAX_FAILURE_KINDS && !self.failures.contains_key(&message);
        let kind = if full { "other".to_owned() } else { message };
        *self.failures.entry(kind).or_default() += 1;
    }

    /// Requests that did not pass every check.
    pub fn errors(&self) -> u64 {
        self.requests.saturating_sub(self.good)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.total.reset();
        self.first_byte.reset();
        self.transit.reset();
        self.statuses.clear();
        self.failures.clear();
        (self.requests, self.good, self.incomplete, self.without_usage) = (0, 0, 0, 0);
        (self.opened, self.chunks, self.bytes) = (0, 0, 0);
    }
}

/// Statistics that all connections write to. They share a thread, so the lock is never waited for.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Stats>>);

impl Shared {
    /// Nothing yet.
    ///
    /// # Errors
    /// As [`Stats::new`].
    pub fn new() -> Result<Shared> {
        Ok(Shared(Arc::new(Mutex::new(Stats::new()?))))
    }

    /// The statistics; never hold this across an await.
    pub fn lock(&self) -> MutexGuard<'_, Stats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A quantile in microseconds.
pub fn quantile_us(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    micros(histogram.value_at_quantile(quantile))
}

/// Nanoseconds as microseconds.
pub fn micros(nanos: u64) -> f64 {
    let nanos = nanos as f64;
    nanos / 1_000.0
}

/// A count as a float, for shares and rates.
pub fn real(count: u64) -> f64 {
    count as f64
}
