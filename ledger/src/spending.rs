//! What exchanges were charged to budgets. It travels with the record of the exchange and is stored in the same
//! transaction, so that a budget's counter, added up after a crash, is the sum of the records that are there.

use std::collections::HashMap;
use std::sync::Arc;

/// Microseconds in a quarter of an hour, the grain of what is stored.
pub const QUARTER_US: i64 = 900_000_000;

/// How long charges are kept, in quarters of an hour: 400 days.
pub(crate) const KEPT_QUARTERS: i64 = 400 * 96;

/// What one exchange is charged to one counter of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The counter.
    pub counter: Arc<CounterName>,
    /// When the exchange was admitted: UTC microseconds since the epoch.
    pub at_us: i64,
    /// What it came to.
    pub spent: Spent,
}

/// Which counter of which budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterName {
    /// The budget's name in the configuration.
    pub budget: Arc<str>,
    /// What the counter stands for: the values of the budget's `per`, as JSON.
    pub scope: Arc<str>,
}

/// Amounts in everything that a budget may be in, so that a budget that is put in another unit keeps its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Exchanges.
    pub requests: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Known cost in nano-dollars.
    pub cost_nanousd: u64,
    /// Exchanges whose cost is not known.
    pub unpriced: u64,
}

impl Spent {
    /// Adds `other`, saturating.
    pub fn add(&mut self, other: &Spent) {
        self.requests = self.requests.saturating_add(other.requests);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.cost_nanousd = self.cost_nanousd.saturating_add(other.cost_nanousd);
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
    }
}

/// What one counter was charged in one quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpentRow {
    /// The counter.
    pub counter: CounterName,
    /// Where the quarter begins: UTC microseconds since the epoch.
    pub from_us: i64,
    /// The amounts.
    pub spent: Spent,
}

/// Charges that are not stored yet, added up. As many as there are counters, whose number is limited where they are made.
#[derive(Debug, Default)]
pub(crate) struct Charges {
    sums: HashMap<(i64, Arc<CounterName>), Spent>,
}

impl Charges {
    pub(crate) fn add(&mut self, charges: &[Charge]) {
        for charge in charges {
            let quarter = charge.at_us.div_euclid(QUARTER_US);
            self.sums.entry((quarter, Arc::clone(&charge.counter))).or_default().add(&charge.spent);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.sums.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &CounterName, &Spent)> {
        self.sums.iter().map(|((quarter, counter), spent)| (*quarter, &**counter, spent))
    }
}
