//! Counters in the memory of the process.

use super::clock::Now;
use super::counter::{Count, Counter, State};
use super::counters::{Ask, CameTo, Counters, Refused, Why};
use super::headers::Rooms;
use super::hold::{Crossed, Held, Hold, Lost, Room};
use super::report;
use super::rule::{Rule, Rules};
use super::table::{COUNTERS_MAX, Table};
use crate::config::limits::{AtLimit, BudgetRule, OnLimitError, RateRule, Unit};
use narrows_ledger::{CounterName, Ledger, LedgerError, SpentRow};
use narrows_llm::request::Bounds;
use narrows_meter::budget::Full;
use narrows_meter::rate::{Denied, Measure, Retry};
use narrows_meter::{Rate, Spending};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When to ask again where nobody can know: an open exchange ends when it ends.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// How often a request that waits for an open exchange to end looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a new configuration waits for charges that are on their way into the store.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(5);

/// Everything that is counted in this process.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(super) table: Table,
    /// Requests that went on uncounted, because there was no room for their counter.
    uncounted: AtomicU64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::with_room(COUNTERS_MAX)
    }
}

/// What the store knows of budgets that have to be counted anew.
#[derive(Debug, Default)]
pub(crate) struct History(HashMap<Arc<str>, ByCounter>);

/// What was spent, by counter.
type ByCounter = HashMap<CounterName, Vec<SpentRow>>;

impl Limits {
    /// For at most so many counters.
    pub(super) fn with_room(counters: usize) -> Limits {
        Limits { table: Table::new(counters), uncounted: AtomicU64::new(0) }
    }

    /// Reads what is needed to count under `rules` after `before`: what was spent of every budget that is new, or has
    /// another window or unit. Reads the store: not for a thread that serves.
    ///
    /// # Errors
    /// A failure of the store.
    pub(crate) fn history(
        rules: &Rules,
        before: Option<&Rules>,
        ledger: &Ledger,
    ) -> Result<History, LedgerError> {
        let now = Now::read();
        let mut anew: HashMap<Arc<str>, (i64, ByCounter)> = HashMap::new();
        for rule in rules.iter() {
            let Rule::Budget(budget) = &**rule else { continue };
            let known = before.and_then(|before| before.find(rule.kind(), &budget.name));
            if !known.is_some_and(|known| known.counts_like(rule)) {
                let from_us = budget.budget.window.from_us(now.wall_us);
                anew.insert(Arc::clone(&budget.name), (from_us, HashMap::new()));
            }
        }
        let Some(from_us) = anew.values().map(|(from_us, _)| *from_us).min() else {
            return Ok(History::default());
        };
        if before.is_some() {
            // What is still on its way is stored first. If that takes too long, what is there has to do.
            if let Err(error) = ledger.flush(FLUSH_TIME_MAX) {
                tracing::warn!("budgets are counted anew without the last charges: {error}");
            }
        }
        ledger.spending(from_us, &mut |row| {
            if let Some((from_us, rows)) = anew.get_mut(&row.counter.budget)
                && row.from_us + narrows_ledger::QUARTER_US > *from_us
            {
                rows.entry(row.counter.clone()).or_default().push(row);
            }
        })?;
        Ok(History(anew.into_iter().map(|(name, (_, rows))| (name, rows)).collect()))
    }

    /// Counts under `rules` from now on.
    pub(crate) fn apply(&self, rules: &Rules, history: &History) {
        let now = Now::read();
        for rule in rules.iter().filter(|rule| matches!(***rule, Rule::Budget(_))) {
            for (counter, rows) in history.0.get(rule.name()).into_iter().flatten() {
                // A scope that the budget does not count apart by any more stays in the store.
                if let Some(counter) = self.table.of_scope(rule, &counter.scope) {
                    counter.adapt(rule, now, Some(rows));
                }
            }
        }
        for counter in self.table.all() {
            let Some(rule) = rules.of(&counter) else { continue };
            let anew = history.0.get(rule.name()).filter(|_| matches!(**rule, Rule::Budget(_)));
            match anew {
                Some(rows) if rows.contains_key(&*counter.name) => {}
                Some(_) => counter.adapt(rule, now, Some(&[])),
                None => counter.adapt(rule, now, None),
            }
        }
        self.table.retain(|counter| rules.of(counter).is_some());
    }

    /// Requests that went on uncounted.
    pub(crate) fn uncounted(&self) -> u64 {
        self.uncounted.load(Ordering::Relaxed)
    }

    /// How many counters there are.
    pub(crate) fn counters(&self) -> usize {
        self.table.len()
    }

    fn reserve_now(&self, rules: &Rules, ask: &Ask<'_>, hold: &mut Hold) -> Result<(), Box<Refused>> {
        let now = Now::read();
        let before = hold.held.len();
        for rule in rules.iter() {
            let of_target = rule.is_of_target();
            if (ask.of_target_only && !of_target) || !rule.applies(&ask.facts) {
                continue;
            }
            match self.take(rule, ask, now, &mut hold.rooms) {
                Ok(Some((counter, room))) => {
                    let ends_streams = match &**rule {
                        Rule::Budget(budget) if budget.end_streams => Some(budget.unit),
                        _ => None,
                    };
                    hold.held.push(Held { counter, of_target, ends_streams, room, lost: Lost::default() });
                }
                Ok(None) => {}
                Err(refused) => {
                    hold.give_back_from(before);
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// Takes room in the counter of one rule; `None` if the request goes on uncounted.
    fn take(
        &self,
        rule: &Arc<Rule>,
        ask: &Ask<'_>,
        now: Now,
        rooms: &mut Rooms,
    ) -> Result<Option<(Arc<Counter>, Room)>, Box<Refused>> {
        let Ok(counter) = self.table.counter(rule, &ask.facts, now) else {
            if rule.on_error() == OnLimitError::Allow {
                self.uncounted.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
            return Err(Refused::new(rule, Why::Uncounted, Some(RETRY_SOON), report::uncounted(rule)));
        };
        let mut state = counter.lock();
        // The rule as it is now: this exchange may have begun under one before it.
        let State { rule, count } = &mut *state;
        let rule = Arc::clone(rule);
        let room = match (count, &*rule) {
            (Count::Spending(spending), Rule::Budget(budget)) => {
                let taken = spend(&rule, budget, spending, ask, now);
                Room::Budget(taken.map_err(|why| why.told(&rule, &counter, spending, budget, now))?)
            }
            (Count::Rate(rate), Rule::Rate(limit)) => {
                let admitted = admit(&rule, limit, rate, ask, now);
                rooms.narrow(
                    rate.room(&limit.limit, now.steady_us, Measure::Requests),
                    rate.room(&limit.limit, now.steady_us, Measure::Tokens),
                );
                Room::Rate(admitted.map_err(|denied| {
                    let mut refused = denied_by(&rule, limit, &counter, denied);
                    refused.rooms = *rooms;
                    Box::new(refused)
                })?)
            }
            _ => return Ok(None),
        };
        drop(state);
        Ok(Some((counter, room)))
    }
}

impl Counters for Limits {
    fn reserve(
        &self,
        rules: &Rules,
        ask: &Ask<'_>,
        hold: &mut Hold,
    ) -> impl Future<Output = Result<(), Box<Refused>>> + Send {
        // Nobody is waited for: the work is done before the future is looked at.
        std::future::ready(self.reserve_now(rules, ask, hold))
    }

    fn settle(&self, hold: Hold, came_to: CameTo) -> Vec<Crossed> {
        hold.settle(came_to)
    }
}

/// Tokens that an answer may have.
fn output(bounds: Option<Bounds>, rule: &Rule) -> u64 {
    bounds.map_or(0, |bounds| bounds.most(rule.reserve_output()))
}

/// Why a budget does not take a request.
enum Unspent {
    Full(Full),
    NoPrice,
}

fn spend(
    rule: &Rule,
    budget: &BudgetRule,
    spending: &mut Spending,
    ask: &Ask<'_>,
    now: Now,
) -> Result<narrows_meter::budget::Reservation, Unspent> {
    let amount = match budget.unit {
        Unit::Requests => 1,
        Unit::Tokens => match ask.bounds {
            Some(_) => ask.prompt.saturating_add(output(ask.bounds, rule)),
            None => 0,
        },
        Unit::Usd => match ask.bounds.map(|_| (ask.price)(ask.prompt, output(ask.bounds, rule))) {
            None => 0,
            Some(Some(amount)) => amount,
            Some(None) if budget.on_error == OnLimitError::Allow => 0,
            Some(None) => return Err(Unspent::NoPrice),
        },
    };
    match spending.reserve(&budget.budget, now.wall_us, amount) {
        Ok(reservation) => Ok(reservation),
        Err(_) if budget.at_limit == AtLimit::Warn => Ok(spending.insist(now.wall_us, amount)),
        Err(_) if budget.at_limit == AtLimit::Throttle && ask.waited => {
            Ok(spending.insist(now.wall_us, amount))
        }
        Err(full) => Err(Unspent::Full(full)),
    }
}

impl Unspent {
    fn told(
        self,
        rule: &Arc<Rule>,
        counter: &Counter,
        spending: &mut Spending,
        budget: &BudgetRule,
        now: Now,
    ) -> Box<Refused> {
        let level = spending.level(&budget.budget, now.wall_us);
        let (why, retry) = match self {
            Unspent::NoPrice => (Why::NoPrice, None),
            Unspent::Full(Full::Held) => (Why::Held, Some(RETRY_SOON)),
            Unspent::Full(Full::TooLarge) => (Why::TooLarge, None),
            Unspent::Full(Full::Spent { .. }) => (Why::Spent, None),
        };
        let frees_us = match self {
            Unspent::Full(Full::Spent { frees_us }) => Some(frees_us),
            _ => None,
        };
        let mut refused =
            Refused::new(rule, why, retry, report::spent(budget, counter, &level, why, frees_us));
        let waits = budget.at_limit == AtLimit::Throttle && why != Why::NoPrice;
        refused.may_wait = waits.then_some(budget.delay);
        refused
    }
}

fn admit(
    rule: &Rule,
    limit: &RateRule,
    rate: &mut Rate,
    ask: &Ask<'_>,
    now: Now,
) -> Result<narrows_meter::rate::Ticket, Denied> {
    let tokens = match ask.bounds {
        Some(_) => ask.prompt.saturating_add(output(ask.bounds, rule)),
        None => 0,
    };
    match rate.admit(&limit.limit, now.steady_us, tokens) {
        Err(_) if limit.at_limit == AtLimit::Warn => Ok(rate.insist(now.steady_us, tokens)),
        admitted => admitted,
    }
}

fn denied_by(rule: &Arc<Rule>, limit: &RateRule, counter: &Counter, denied: Denied) -> Refused {
    let (why, retry, again) = match denied.retry {
        Retry::After(us) => {
            let after = Duration::from_micros(us.unsigned_abs());
            (Why::TooFast, Some(after), Some(after))
        }
        Retry::WhenOneEnds => (Why::TooManyAtOnce, Some(RETRY_SOON), Some(LOOK_AGAIN)),
        Retry::Never => (Why::TooLarge, None, None),
    };
    let mut refused = *Refused::new(rule, why, retry, report::too_fast(limit, counter, denied));
    refused.may_wait = again.filter(|_| limit.at_limit == AtLimit::Throttle);
    refused
}
