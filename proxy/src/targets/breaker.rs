//! When a target is set aside, and when it is tried again. Pure: time and chance are arguments.
//!
//! Closed: everybody is admitted. After [`STREAK`] failures in a row, or when one in [`SHARE`] of the latest fails,
//! open: nobody is, for a time that doubles with each opening. Then half-open: one request is the probe, and what
//! becomes of it decides. A provider's own word for how long to stay away opens it for that long.

use std::time::Duration;

/// Failures in a row that open it.
pub(crate) const STREAK: u8 = 5;
/// Of so many outcomes at least, before their share counts.
pub(crate) const SHARE_OF_LEAST: u8 = 20;
/// One failure in so many opens it: where the budget of repetitions (20 %) would end.
pub(crate) const SHARE: u8 = 5;
/// Outcomes that are remembered; then all weigh half.
pub(crate) const OUTCOMES_MAX: u8 = 64;
/// How long it is open the first time.
pub(crate) const OPEN_FIRST: Duration = Duration::from_secs(5);
/// How long it is open at most, chance apart.
pub(crate) const OPEN_MAX: Duration = Duration::from_secs(300);
/// How long a provider's own word sets a target aside at most.
pub(crate) const ASIDE_MAX: Duration = Duration::from_secs(600);
/// How long a probe may take before another request is one.
pub(crate) const PROBE_TIME: Duration = Duration::from_secs(30);

/// How a request came to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Like everybody.
    Usual,
    /// As the one that tries whether it is well again.
    Probe,
    /// Because there was nobody else to ask.
    Forced,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was answered.
    Success,
    /// It failed.
    Failure,
    /// It failed in a way that does not pass by itself (a credential that is refused, a quota that is spent).
    Refused,
    /// It was told to stay away for so long.
    Aside(Duration),
    /// Nobody knows.
    Abandoned,
}

/// How a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is asked.
    Closed,
    /// It is not asked until the time is over.
    Open,
    /// The next request is the probe.
    HalfOpen,
}

/// The state. Packs into one word, so that it can be changed by compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Breaker {
    /// Until when it is open, in milliseconds of the caller's clock; 0 is closed.
    until_ms: u64,
    /// Failures in a row.
    streak: u8,
    /// Openings that are not yet forgotten.
    openings: u8,
    /// Latest outcomes, and failures among them.
    seen: u8,
    failed: u8,
}

const UNTIL_BITS: u32 = 40;
const UNTIL_MAX: u64 = (1 << UNTIL_BITS) - 1;
const OPENINGS_MAX: u8 = 15;

impl Breaker {
    /// The state in a word.
    pub(crate) fn unpack(word: u64) -> Breaker {
        Breaker {
            until_ms: word & UNTIL_MAX,
            streak: (word >> UNTIL_BITS & 0xf) as u8,
            openings: (word >> (UNTIL_BITS + 4) & 0xf) as u8,
            seen: (word >> (UNTIL_BITS + 8) & 0xff) as u8,
            failed: (word >> (UNTIL_BITS + 16)) as u8,
        }
    }

    /// The state as a word.
    pub(crate) fn pack(self) -> u64 {
        self.until_ms.min(UNTIL_MAX)
            | u64::from(self.streak & 0xf) << UNTIL_BITS
            | u64::from(self.openings & 0xf) << (UNTIL_BITS + 4)
            | u64::from(self.seen) << (UNTIL_BITS + 8)
            | u64::from(self.failed) << (UNTIL_BITS + 16)
    }

    /// How it stands.
    pub(crate) fn phase(self, now_ms: u64) -> Phase {
        match self.until_ms {
            0 => Phase::Closed,
            until if now_ms < until => Phase::Open,
            _ => Phase::HalfOpen,
        }
    }

    /// Until when nobody is admitted, in milliseconds; 0 when it is closed.
    pub(crate) fn until_ms(self) -> u64 {
        self.until_ms
    }

    /// Admits a request or not; the state afterwards.
    pub(crate) fn admit(self, now_ms: u64) -> Option<(Breaker, Pass)> {
        match self.phase(now_ms) {
            Phase::Closed => Some((self, Pass::Usual)),
            Phase::Open => None,
            // While the probe is under way it is open to others.
            Phase::HalfOpen => Some((self.open_for(now_ms, PROBE_TIME), Pass::Probe)),
        }
    }

    /// Takes what became of a request that was admitted with `pass`. `chance` is any number; it spreads the times.
    #[must_use]
    pub(crate) fn after(self, pass: Pass, event: Event, now_ms: u64, chance: u32) -> Breaker {
        let closed = self.until_ms == 0;
        match (event, pass) {
            (Event::Aside(time), _) => {
                let until = self.open_for(now_ms, time.min(ASIDE_MAX)).until_ms.max(self.until_ms);
                Breaker { until_ms: until, streak: 0, ..self }
            }
            (Event::Refused, Pass::Usual) if !closed => self,
            (Event::Refused, _) => self.opened(now_ms, chance),
            (Event::Success, Pass::Usual) if closed => self.counted(false),
            (Event::Failure, Pass::Usual) if closed => {
                let counted = self.counted(true);
                if counted.is_too_much() { counted.opened(now_ms, chance) } else { counted }
            }
            // It was sent before the opening and says nothing about the time after it.
            (Event::Success | Event::Failure, Pass::Usual) => self,
            (Event::Success, _) => Breaker { openings: self.openings, ..Breaker::default() }.counted(false),
            (Event::Failure, Pass::Probe) => self.opened(now_ms, chance),
            // It was known to fail.
            (Event::Failure, Pass::Forced) => self,
            // The next request may be the probe.
            (Event::Abandoned, Pass::Probe) if !closed => Breaker { until_ms: now_ms.max(1), ..self },
            (Event::Abandoned, _) => self,
        }
    }

    /// Whether one more success changes nothing that matters: it is well, and enough was seen of it. Half of what is
    /// remembered is what is left whenever the outcomes are halved.
    pub(crate) fn learns_nothing(self, pass: Pass, event: Event) -> bool {
        let Breaker { until_ms, streak, openings, seen, failed } = self;
        let is_well = (until_ms, streak, openings, failed) == (0, 0, 0, 0) && seen >= OUTCOMES_MAX / 2;
        is_well && pass == Pass::Usual && event == Event::Success
    }

    fn is_too_much(self) -> bool {
        self.streak >= STREAK || (self.seen >= SHARE_OF_LEAST && self.failed * SHARE >= self.seen)
    }

    fn counted(self, failed: bool) -> Breaker {
        let mut next = Breaker {
            streak: if failed { self.streak + 1 } else { 0 },
            seen: self.seen + 1,
            failed: self.failed + u8::from(failed),
            ..self
        };
        if next.seen >= OUTCOMES_MAX {
            (next.seen, next.failed) = (next.seen / 2, next.failed / 2);
            // What was long ago makes the next opening no longer.
            next.openings = next.openings.saturating_sub(1);
        }
        next
    }

    fn opened(self, now_ms: u64, chance: u32) -> Breaker {
        let time = OPEN_FIRST.saturating_mul(1 << self.openings).min(OPEN_MAX);
        // Between three and five quarters.
        let spread = time.mul_f64(0.75 + f64::from(chance) / f64::from(u32::MAX) / 2.0);
        let opened = Breaker { openings: (self.openings + 1).min(OPENINGS_MAX), ..Breaker::default() };
        opened.open_for(now_ms, spread)
    }

    fn open_for(self, now_ms: u64, time: Duration) -> Breaker {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(UNTIL_MAX).max(1);
        Breaker { until_ms: now_ms.saturating_add(time_ms).min(UNTIL_MAX), ..self }
    }
}

#[cfg(test)]
mod tests;
