//! What is known of a counter that gateways share.

use super::super::counter::Counter;
use super::super::rule::{self, Rule};
use super::lease::Lease;
use narrows_meter::Window;
use narrows_meter::budget::Level;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a counter's name in Redis, before they are written as hexadecimal digits: two of a billion counters have the same
/// with a probability of 1 in 10^20.
const ID_BYTES: usize = 16;

/// How a counter stood when Redis was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stood {
    /// Of a budget.
    Budget {
        /// Spent in the window.
        settled: u64,
        /// Held.
        held: u64,
    },
    /// Of a rate limit, with what is leased; `None` for what is not limited.
    Rate {
        /// Requests in the window.
        requests: Option<u64>,
        /// Tokens in the window.
        tokens: Option<u64>,
        /// Exchanges that are open.
        open: u64,
    },
}

/// What is known of the counter that gateways share.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    id: Option<Arc<str>>,
    /// How it stood, and when (Redis's clock).
    pub(super) stood: Option<(Stood, i64)>,
    /// What Redis was told last of this gateway's part, by slot; `None` when it has to be told in the place of all that was told
    /// before.
    pub(super) told: Option<HashMap<i64, u64>>,
    /// To what it had come, and when, before Redis forgot it or this gateway began: thresholds up to there have been told.
    before: Option<(u64, i64)>,
    /// How often it was begun anew.
    generation: u64,
    /// What this gateway has leased of it.
    pub(crate) lease: Lease,
}

impl Seen {
    /// Begins anew: under another rule it is another counter.
    pub(crate) fn renew(&mut self) {
        let generation = self.generation.wrapping_add(1);
        *self = Seen { generation, ..Seen::default() };
    }

    /// What was told is not known to be there any more. What open exchanges hold of a lease has to be held again.
    pub(super) fn forget(&mut self) {
        let (generation, mut lease) = (self.generation.wrapping_add(1), self.lease);
        lease.lost();
        let before = match self.stood {
            Some((Stood::Budget { settled, .. }, at_us)) => Some((settled, at_us)),
            _ => self.before,
        };
        *self = Seen { generation, lease, before, ..Seen::default() };
    }

    /// So much had been spent at the start, as the store has it.
    pub(crate) fn begin(&mut self, spent: u64, now_us: i64) {
        self.before = Some((spent, now_us));
    }

    /// To what the thresholds of a window have been told, as far as Redis may not know it; nothing once it does.
    pub(super) fn reached(&self, now_us: i64, window: &Window) -> u64 {
        let in_window = |(_, at_us): &(u64, i64)| *at_us >= window.from_us(now_us);
        self.before.filter(in_window).filter(|_| self.is_untold()).map_or(0, |(spent, _)| spent)
    }

    /// Whether Redis was told nothing yet.
    pub(super) fn is_untold(&self) -> bool {
        self.told.is_none()
    }

    /// How a budget stood, by the window it was seen in.
    pub(crate) fn stood(&self) -> Option<(Stood, i64)> {
        self.stood
    }

    /// How a rate limit stood: requests, tokens, exchanges.
    pub(crate) fn rate(&self) -> Option<(Option<u64>, Option<u64>, u64)> {
        match self.stood {
            Some((Stood::Rate { requests, tokens, open }, _)) => Some((requests, tokens, open)),
            _ => None,
        }
    }

    /// How a budget stood.
    pub(crate) fn level(&self) -> Level {
        match self.stood {
            Some((Stood::Budget { settled, held }, _)) => Level { settled, reserved: held, resets_us: None },
            _ => Level { settled: 0, reserved: 0, resets_us: None },
        }
    }

    /// How often it was begun anew.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Redis has been told this part; nothing if it was begun anew meanwhile.
    pub(super) fn heard(&mut self, generation: u64, parts: HashMap<i64, u64>) {
        if self.generation == generation {
            self.told = Some(parts);
        }
    }

    /// What the counter is called in Redis.
    pub(super) fn id(&mut self, rule: &Rule, counter: &Counter) -> Arc<str> {
        Arc::clone(self.id.get_or_insert_with(|| id(rule, counter)))
    }
}

/// Rules that count the same have the same name, on every gateway.
fn id(rule: &Rule, counter: &Counter) -> Arc<str> {
    let mut hash = Sha256::new();
    let mut put = |part: &str| {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    };
    put(rule.kind());
    put(rule.name());
    match rule {
        Rule::Budget(budget) => {
            put(budget.unit.as_str());
            put(&super::super::report::window(&budget.budget.window));
        }
        Rule::Rate(rate) => put(rate.every.as_str()),
    }
    for (facet, value) in rule.scope().per.iter().zip(counter.values()) {
        put(&facet.to_string());
        match value {
            None => put("-"),
            Some(value) => {
                put("+");
                if rule::is_folded(facet) { put(&value.to_ascii_lowercase()) } else { put(value) }
            }
        }
    }
    let mut id = String::with_capacity(2 * ID_BYTES);
    for byte in hash.finalize().iter().take(ID_BYTES) {
        // Writing to memory does not fail.
        let _ = write!(id, "{byte:02x}");
    }
    id.into()
}
