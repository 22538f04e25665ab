//! Streams in flight, and what they have come to so far: for operators who look, and for nobody else.

use crate::snapshot::Provider;
use narrows_llm::stream::{Progress, estimate_tokens};
use narrows_meter::{Cost, Usage};
use narrows_policy::Caller;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Parts of the list, each with a lock of its own.
const SHARDS: usize = 16;

/// All streams in flight. There are never more of them than exchanges, whose number `limits.connections` bounds.
#[derive(Default)]
pub(crate) struct Live {
    shards: [Mutex<HashMap<u128, Arc<Entry>>>; SHARDS],
}

/// One stream.
pub(crate) struct Entry {
    /// The exchange's id.
    pub(crate) id: u128,
    /// UTC microseconds since the epoch.
    pub(crate) started_at_us: i64,
    pub(crate) caller: Arc<Caller>,
    pub(crate) client: Option<&'static str>,
    pub(crate) dialect: Option<&'static str>,
    pub(crate) provider: Option<Arc<Provider>>,
    pub(crate) model: Option<Arc<str>>,
    /// The prompt's tokens, estimated.
    pub(crate) prompt: u64,
    so_far: Mutex<Option<Progress>>,
}

/// What a stream has come to.
pub(crate) struct SoFar {
    /// Tokens: as the provider has told, else estimated.
    pub(crate) usage: Usage,
    /// Whether a part of them is estimated.
    pub(crate) is_estimate: bool,
    /// What they cost, at ordinary prices.
    pub(crate) cost: Cost,
}

impl Entry {
    /// A stream that begins.
    #[expect(clippy::too_many_arguments, reason = "each is a field of its own kind")]
    pub(crate) fn new(
        id: u128,
        started_at_us: i64,
        caller: Arc<Caller>,
        client: Option<&'static str>,
        dialect: Option<&'static str>,
        provider: Option<Arc<Provider>>,
        model: Option<Arc<str>>,
        prompt: u64,
    ) -> Entry {
        Entry {
            id,
            started_at_us,
            caller,
            client,
            dialect,
            provider,
            model,
            prompt,
            so_far: Mutex::default(),
        }
    }

    /// Notes what it has come to.
    pub(crate) fn note(&self, progress: Progress) {
        *lock(&self.so_far) = Some(progress);
    }

    /// What it has come to.
    pub(crate) fn so_far(&self) -> SoFar {
        let progress = *lock(&self.so_far);
        let mut usage = progress.map(|progress| progress.usage).unwrap_or_default();
        let unreported = progress.map_or(0, |progress| progress.unreported_text_bytes);
        let is_estimate = usage.input().is_none() || unreported > 0;
        if usage.input().is_none() {
            usage.input_uncached = Some(self.prompt);
        }
        let more = estimate_tokens(unreported);
        usage.output_text = Some(usage.output_text.unwrap_or(0).saturating_add(more));
        let quote = self.provider.as_ref().zip(self.model.as_deref());
        let quote =
            quote.and_then(|(provider, model)| provider.tariff.quote(model, None, self.started_at_us));
        let cost = quote.map_or(Cost::Unknown, |quote| quote.cost(&usage));
        SoFar { usage, is_estimate, cost }
    }
}

impl Live {
    /// A stream begins. It is listed until it is [left](Live::leave).
    pub(crate) fn enter(&self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.shard(entry.id).insert(entry.id, Arc::clone(&entry));
        entry
    }

    /// A stream has ended.
    pub(crate) fn leave(&self, entry: &Entry) {
        self.shard(entry.id).remove(&entry.id);
    }

    /// All of them, the one that began first coming first.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<Arc<Entry>> =
            self.shards.iter().flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>()).collect();
        all.sort_by_key(|entry| (entry.started_at_us, entry.id));
        all
    }

    fn shard(&self, id: u128) -> MutexGuard<'_, HashMap<u128, Arc<Entry>>> {
        // A UUIDv7 ends in random bits.
        let [.., last] = id.to_be_bytes();
        lock(self.shards.get(usize::from(last) % SHARDS).unwrap_or(&self.shards[0]))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_llm::stream::Reported;

    fn entry(id: u128) -> Entry {
        Entry::new(id, 7 - i64::try_from(id).unwrap(), Arc::default(), None, None, None, None, 40)
    }

    #[test]
    fn streams_are_listed_while_they_last_the_first_one_first() {
        let live = Live::default();
        let entered: Vec<Arc<Entry>> = (0..5).map(|id| live.enter(entry(id))).collect();
        let ids = |live: &Live| live.all().iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(&live), [4, 3, 2, 1, 0]);
        live.leave(&entered[3]);
        live.leave(&entered[3]);
        assert_eq!(ids(&live), [4, 2, 1, 0]);
    }

    #[test]
    fn what_the_provider_has_not_told_is_estimated() {
        let entry = entry(1);
        let so_far = entry.so_far();
        assert_eq!(
            (so_far.usage.input(), so_far.usage.output(), so_far.is_estimate),
            (Some(40), Some(0), true)
        );
        let usage = Usage { input_uncached: Some(9), output_text: Some(3), ..Usage::default() };
        let mut progress =
            Progress { usage, reported: Reported::Partial, output_text_bytes: 20, unreported_text_bytes: 8 };
        entry.note(progress);
        let so_far = entry.so_far();
        assert_eq!(
            (so_far.usage.input(), so_far.usage.output(), so_far.is_estimate),
            (Some(9), Some(5), true)
        );
        progress.unreported_text_bytes = 0;
        entry.note(progress);
        assert!(!entry.so_far().is_estimate);
        assert_eq!(entry.so_far().cost, Cost::Unknown, "without a price");
    }
}
