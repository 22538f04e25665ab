//! The counters of the process: a bounded table in shards.

use super::clock::Now;
use super::counter::Counter;
use super::rule::Rule;
use narrows_policy::Facts;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most counters that exchanges can make: 64 MiB at most. Those that the store remembers are always let in.
pub(crate) const COUNTERS_MAX: usize = 65_536;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 64;

/// How often a full shard is looked through for counters that nobody needs, in microseconds.
const SWEEP_EVERY_US: i64 = 1_000_000;

/// There is no room for another counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

/// All counters.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Mutex<Shard>>,
    hashes: RandomState,
    count: AtomicUsize,
    max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// By hash; hashes that meet share an entry.
    counters: HashMap<u64, Vec<Arc<Counter>>, BuildHasherDefault<Ready>>,
    swept_us: Option<i64>,
}

/// Takes a hash for what it is.
#[derive(Debug, Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Table {
    /// An empty table for `max` counters.
    pub(crate) fn new(max: usize) -> Table {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Table { shards, hashes: RandomState::new(), count: AtomicUsize::new(0), max }
    }

    /// The counter of a rule for an exchange; made if it is not there, under the rule as `current` has it. `None` when there
    /// is no such rule any more: the exchange began under an older configuration.
    ///
    /// # Errors
    /// When there is no room for it.
    pub(crate) fn counter(
        &self,
        rule: &Arc<Rule>,
        facts: &Facts<'_>,
        now: Now,
        current: impl FnOnce(&Arc<Rule>) -> Option<Arc<Rule>>,
    ) -> Result<Option<Arc<Counter>>, Overflow> {
        let hash = rule.hash(&self.hashes, rule.values(facts));
        let mut shard = self.shard(hash).ok_or(Overflow)?;
        let known = shard.counters.get(&hash).into_iter().flatten();
        if let Some(counter) = known.into_iter().find(|counter| counter.is(rule, rule.values(facts))) {
            return Ok(Some(Arc::clone(counter)));
        }
        let Some(rule) = current(rule) else { return Ok(None) };
        if self.count.load(Ordering::Relaxed) >= self.max {
            self.sweep(&mut shard, now);
            if self.count.load(Ordering::Relaxed) >= self.max {
                return Err(Overflow);
            }
        }
        Ok(Some(self.insert(&mut shard, hash, Counter::new(&rule, rule.values(facts)))))
    }

    /// The counter of a rule with this scope as text; made if it is not there. `None` when that is no scope of the rule.
    pub(crate) fn of_scope(&self, rule: &Arc<Rule>, scope: &str) -> Option<Arc<Counter>> {
        let made = Counter::of_scope(rule, scope)?;
        let hash = rule.hash(&self.hashes, made.values());
        let mut shard = self.shard(hash)?;
        let known = shard.counters.get(&hash).into_iter().flatten();
        if let Some(counter) = known.into_iter().find(|counter| counter.is(rule, made.values())) {
            return Some(Arc::clone(counter));
        }
        Some(self.insert(&mut shard, hash, made))
    }

    /// Every counter, at some moment of this call.
    pub(crate) fn all(&self) -> Vec<Arc<Counter>> {
        let shards = self.shards.iter().map(lock);
        shards.flat_map(|shard| shard.counters.values().flatten().cloned().collect::<Vec<_>>()).collect()
    }

    /// Lets go of counters that are not wanted any more. One that exchanges hold room in stays: its rule may come back, and
    /// what they come to is charged here.
    pub(crate) fn retain(&self, wanted: impl Fn(&Counter) -> bool) {
        for shard in &self.shards {
            self.drop_from(&mut lock(shard), &|counter| Arc::strong_count(counter) > 1 || wanted(counter));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Shard>> {
        // The upper bits, because the map uses the lower ones.
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        let index = usize::try_from((hash >> 32) % shards).ok()?;
        self.shards.get(index).map(lock)
    }

    fn insert(&self, shard: &mut Shard, hash: u64, counter: Counter) -> Arc<Counter> {
        let counter = Arc::new(counter);
        shard.counters.entry(hash).or_default().push(Arc::clone(&counter));
        self.count.fetch_add(1, Ordering::Relaxed);
        counter
    }

    fn sweep(&self, shard: &mut Shard, now: Now) {
        if shard.swept_us.is_some_and(|swept_us| now.steady_us - swept_us < SWEEP_EVERY_US) {
            return;
        }
        shard.swept_us = Some(now.steady_us);
        // One that an exchange has just looked up is kept, so that nobody counts on what nobody else sees.
        self.drop_from(shard, &|counter| Arc::strong_count(counter) > 1 || !counter.is_idle(now));
    }

    fn drop_from(&self, shard: &mut Shard, wanted: &dyn Fn(&Arc<Counter>) -> bool) {
        let mut dropped = 0;
        shard.counters.retain(|_, counters| {
            counters.retain(|counter| {
                let stays = wanted(counter);
                dropped += usize::from(!stays);
                stays
            });
            !counters.is_empty()
        });
        self.count.fetch_sub(dropped, Ordering::Relaxed);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
