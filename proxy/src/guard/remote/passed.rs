//! What a guardrail has let pass, for as long as it may be taken for granted: agents send one text again and again.

use super::{About, Stage};
use narrows_guard::body::Passage;
use narrows_guard::cache::{Cache, Digest, Digester};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Memory for what one guardrail has let pass, in bytes: some ten thousand questions.
const MEMORY_BYTES_MAX: usize = 1024 * 1024;

/// Questions that were answered with a pass. Nothing of texts is kept: a question is known by its digest, under a key that
/// is secret and new with every start. Objections are not remembered; they are asked about again.
pub(super) struct Passed {
    lifetime: Duration,
    digester: Digester,
    known: Mutex<Cache<Digest, Instant>>,
}

impl Passed {
    /// Remembers for so long. `None` without a secret key: then digests could be crafted.
    pub(super) fn new(lifetime: Duration) -> Option<Passed> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).ok()?;
        let known = Mutex::new(Cache::new(MEMORY_BYTES_MAX, |_at: &Instant| 0));
        Some(Passed { lifetime, digester: Digester::new(&key), known })
    }

    /// What a question is known by: who asks, whatever else the guardrail is told of them, and every text.
    pub(super) fn question(&self, about: &About<'_>, stage: Stage, passages: &[Passage]) -> Digest {
        let mut all = Vec::with_capacity(passages.iter().map(|passage| passage.text.len() + 32).sum());
        let mut put = |text: &str| {
            all.extend_from_slice(&(text.len() as u64).to_le_bytes());
            all.extend_from_slice(text.as_bytes());
        };
        put(stage.as_str());
        let facts = about.facts("");
        for fact in
            [facts.organization, facts.team, facts.user, facts.application, facts.model, facts.provider]
        {
            // An absent fact is no empty one.
            put(if fact.is_some() { "+" } else { "-" });
            put(fact.unwrap_or_default());
        }
        for passage in passages {
            put(&format!("{:?}", passage.provenance));
            put(&passage.text);
        }
        self.digester.digest(&all)
    }

    /// Whether this question was answered with a pass, not longer ago than the lifetime.
    pub(super) fn knows(&self, question: &Digest, now: Instant) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(question).is_some_and(|at| now.saturating_duration_since(*at) < self.lifetime)
    }

    /// Remembers that it was.
    pub(super) fn keep(&self, question: Digest, now: Instant) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(question, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_known_for_its_lifetime_and_no_longer() {
        let passed = Passed::new(Duration::from_secs(60)).unwrap();
        let (question, begun) = (passed.digester.digest(b"one"), Instant::now());
        assert!(!passed.knows(&question, begun));
        passed.keep(question, begun);
        let after = |millis: u64| begun + Duration::from_millis(millis);
        assert!(passed.knows(&question, after(59_999)));
        assert!(!passed.knows(&question, after(60_000)));
        assert!(!passed.knows(&passed.digester.digest(b"two"), begun));
    }

    #[test]
    fn the_memory_is_bounded() {
        let passed = Passed::new(Duration::from_secs(60)).unwrap();
        let now = Instant::now();
        for at in 0..100_000_u32 {
            passed.keep(passed.digester.digest(&at.to_le_bytes()), now);
        }
        let known = passed.known.lock().unwrap();
        assert!(known.bytes() <= MEMORY_BYTES_MAX && known.len() > 5_000, "{known:?}");
    }
}
