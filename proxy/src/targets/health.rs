//! How each target does, for as long as the process lives: what was learnt outlives a change of the configuration.

use super::breaker::{Breaker, Event, Pass, Phase};
use super::rendezvous::mix;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Milliseconds since the process first asked, at least 1.
pub(crate) fn now_ms() -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    u64::try_from(EPOCH.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX) + 1
}

/// What an operator has said about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is used.
    Enabled,
    /// Conversations that are bound to it go on, no new one begins.
    Draining,
    /// It is not used at all.
    Disabled,
}

impl Mode {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Mode::Enabled => "enabled",
            Mode::Draining => "draining",
            Mode::Disabled => "disabled",
        }
    }
}

/// The state of a provider or of a target. Changed without locks.
#[derive(Debug)]
pub(crate) struct Health {
    /// `provider`, or `provider/model`.
    pub(crate) name: Arc<str>,
    word: AtomicU64,
    mode: AtomicU8,
    /// How often it was set aside.
    pub(crate) opened: AtomicU64,
}

impl Health {
    fn new(name: &str) -> Health {
        Health {
            name: Arc::from(name),
            word: AtomicU64::new(Breaker::default().pack()),
            mode: AtomicU8::new(Mode::Enabled as u8),
            opened: AtomicU64::new(0),
        }
    }

    fn breaker(&self) -> Breaker {
        Breaker::unpack(self.word.load(Ordering::Relaxed))
    }

    /// How it stands.
    pub(crate) fn phase(&self, now_ms: u64) -> Phase {
        self.breaker().phase(now_ms)
    }

    /// Until when it is set aside, in milliseconds of [`now_ms`]; 0 if it is not.
    pub(crate) fn until_ms(&self) -> u64 {
        self.breaker().until_ms()
    }

    /// Admits a request, or not.
    pub(crate) fn admit(&self, now_ms: u64) -> Option<Pass> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let (next, pass) = Breaker::unpack(word).admit(now_ms)?;
            if pass == Pass::Usual {
                return Some(pass);
            }
            match self.word.compare_exchange_weak(word, next.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(pass),
                Err(now) => word = now,
            }
        }
    }

    /// Takes what became of a request that was admitted with `pass`.
    pub(crate) fn tell(&self, pass: Pass, event: Event, now_ms: u64) {
        // Only these can open it for a time that chance spreads; what is well costs no shared counter.
        let chance = if matches!(event, Event::Failure | Event::Refused) { chance(now_ms) } else { 0 };
        let next = |word| {
            let before = Breaker::unpack(word);
            if before.learns_nothing(pass, event) {
                return None;
            }
            let after = before.after(pass, event, now_ms, chance).pack();
            (after != word).then_some(after)
        };
        let Ok(before) = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) else { return };
        let (before, after) = (Breaker::unpack(before), self.breaker());
        if before.phase(now_ms) != Phase::Open && after.phase(now_ms) == Phase::Open {
            self.opened.fetch_add(1, Ordering::Relaxed);
            let seconds = after.until_ms().saturating_sub(now_ms).div_ceil(1_000);
            tracing::warn!(target_name = %self.name, seconds, "a target is set aside");
        }
    }

    /// What an operator has said.
    pub(crate) fn mode(&self) -> Mode {
        match self.mode.load(Ordering::Relaxed) {
            0 => Mode::Enabled,
            1 => Mode::Draining,
            _ => Mode::Disabled,
        }
    }

    /// Takes what an operator says. Enabling also forgets what was learnt: the operator knows better.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
        if mode == Mode::Enabled {
            self.word.store(Breaker::default().pack(), Ordering::Relaxed);
        }
    }
}

/// A number that nobody can foresee well enough to align replicas on; good enough to spread times.
pub(crate) fn chance(now_ms: u64) -> u32 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| {
        let mut seed = [0; 8];
        // Without chance from the system the count alone still spreads within one process.
        let _ = getrandom::fill(&mut seed);
        u64::from_le_bytes(seed)
    });
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (mix(seed ^ now_ms.rotate_left(32) ^ count) >> 32) as u32
}

/// The states by name. A new configuration takes over those it still names.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<Arc<str>, Arc<Health>>);

impl Table {
    /// The state with this name: from `previous` if it is there, else a new one.
    pub(crate) fn of(&mut self, name: &str, previous: Option<&Table>) -> Arc<Health> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let kept = previous.and_then(|table| table.0.get(name)).map(Arc::clone);
        let health = kept.unwrap_or_else(|| Arc::new(Health::new(name)));
        self.0.insert(Arc::clone(&health.name), Arc::clone(&health));
        health
    }

    /// The state with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Health>> {
        self.0.get(name)
    }

    /// Every state, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Health>> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use super::super::breaker::{OUTCOMES_MAX, STREAK};
    use super::*;

    #[test]
    fn what_was_learnt_outlives_a_change_of_the_configuration() {
        let mut before = Table::default();
        let health = before.of("openai/gpt-4o", None);
        (0..STREAK).for_each(|_| health.tell(Pass::Usual, Event::Failure, 10));
        before.of("gone", None).set_mode(Mode::Disabled);
        let mut after = Table::default();
        assert_eq!(after.of("openai/gpt-4o", Some(&before)).phase(11), Phase::Open);
        assert_eq!(after.of("new", Some(&before)).phase(11), Phase::Closed);
        assert!(after.get("gone").is_none(), "what is not named any more is forgotten");
    }

    #[test]
    fn many_at_once_admit_one_probe() {
        let health = Health::new("a");
        health.tell(Pass::Usual, Event::Refused, 10);
        let half_open = health.until_ms();
        let admitted = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if health.admit(half_open).is_some() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1);
    }

    #[test]
    fn a_target_that_is_well_is_not_written_to_and_still_opens() {
        let health = Health::new("a");
        (0..OUTCOMES_MAX).for_each(|_| health.tell(Pass::Usual, Event::Success, 10));
        let well = health.word.load(Ordering::Relaxed);
        (0..1_000).for_each(|_| health.tell(Pass::Usual, Event::Success, 10));
        assert_eq!(health.word.load(Ordering::Relaxed), well);
        (0..STREAK).for_each(|_| health.tell(Pass::Usual, Event::Failure, 10));
        assert_eq!(health.phase(11), Phase::Open);
    }

    #[test]
    fn enabling_forgets() {
        let health = Health::new("a");
        health.tell(Pass::Usual, Event::Refused, 10);
        assert_eq!((health.phase(11), health.opened.load(Ordering::Relaxed)), (Phase::Open, 1));
        health.set_mode(Mode::Draining);
        health.set_mode(Mode::Enabled);
        assert_eq!((health.phase(11), health.mode()), (Phase::Closed, Mode::Enabled));
    }
}
