//! Counters in the memory of the process.

use super::clock::Now;
use super::counter::{Count, Counter, State};
use super::counters::{Ask, CameTo, Counters, Refused, Why};
use super::headers::Rooms;
use super::hold::{Crossed, Held, Hold, Lost, Room};
use super::report;
use super::rule::{Rule, Rules};
use super::shared::{Shared, Teller};
use super::table::{COUNTERS_MAX, Table};
use crate::config::limits::{AtLimit, BudgetRule, OnLimitError, RateRule, Unit};
use narrows_ledger::{CounterName, Ledger, LedgerError, Spent, SpentRow};
use narrows_llm::request::Bounds;
use narrows_meter::budget::{Full, Level};
use narrows_meter::rate::{Denied, Measure, Retry};
use narrows_meter::{Rate, Spending};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// When to ask again where nobody can know: an open exchange ends when it ends.
pub(super) const RETRY_SOON: Duration = Duration::from_secs(1);

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
    /// The rules in force; `None` before there are any. Exchanges under an older configuration go by them, too.
    current: RwLock<Option<Rules>>,
    /// Held to read while an exchange is settled and handed to the store, so that whoever holds it to write knows each
    /// charge to be in both places or in none. Nobody holds it while doing anything slow.
    settling: RwLock<()>,
    /// Whether counters remember what they are charged: somebody reads what was charged before.
    watching: Arc<AtomicBool>,
    /// What other gateways count together with this one.
    shared: OnceLock<Arc<Shared>>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::with_room(COUNTERS_MAX)
    }
}

/// What the store knows of budgets that have to be counted anew.
#[derive(Debug, Default)]
pub(crate) struct History {
    by_name: HashMap<Arc<str>, ByCounter>,
    /// As long as it is there, counters remember what they are charged.
    _watch: Option<Watch>,
}

/// Counters remember what they are charged until it is dropped.
#[derive(Debug)]
struct Watch(Arc<AtomicBool>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What was spent, by counter.
type ByCounter = HashMap<CounterName, Vec<SpentRow>>;

impl Limits {
    /// For at most so many counters.
    pub(super) fn with_room(counters: usize) -> Limits {
        Limits {
            table: Table::new(counters),
            uncounted: AtomicU64::new(0),
            current: RwLock::default(),
            settling: RwLock::default(),
            watching: Arc::default(),
            shared: OnceLock::new(),
        }
    }

    /// To be held from before an exchange is settled until it is handed to the store.
    pub(crate) fn settling(&self) -> RwLockReadGuard<'_, ()> {
        self.settling.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is needed to count under `rules` after `before`: what was spent of every budget that is new, or has
    /// another window or unit. Nothing is lost that is charged until it is applied. Reads the store: not for a thread that
    /// serves.
    ///
    /// # Errors
    /// A failure of the store.
    pub(crate) fn history(
        &self,
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
        let mut take = |row: SpentRow| {
            if let Some((from_us, rows)) = anew.get_mut(&row.counter.budget)
                && row.from_us + narrows_ledger::QUARTER_US > *from_us
            {
                rows.entry(row.counter.clone()).or_default().push(row);
            }
        };
        let mut watch = None;
        if before.is_none() {
            ledger.spending(from_us, &mut take)?;
        } else {
            let (asked, watching) = self.watch(|| ledger.spending_until_now(from_us));
            watch = Some(watching);
            match asked.wait(FLUSH_TIME_MAX) {
                Ok(rows) => rows.into_iter().for_each(take),
                Err(error) => {
                    // What is there has to do.
                    tracing::warn!("budgets are counted anew without the last charges: {error}");
                    ledger.spending(from_us, &mut take)?;
                }
            }
        }
        let by_name = anew.into_iter().map(|(name, (_, rows))| (name, rows)).collect();
        Ok(History { by_name, _watch: watch })
    }

    /// From now on counters remember what they are charged. `ask` is called between a charge and the next one: every
    /// earlier one was handed to the store, every later one is remembered.
    fn watch<T>(&self, ask: impl FnOnce() -> T) -> (T, Watch) {
        let _between = self.settling.write().unwrap_or_else(PoisonError::into_inner);
        // Only now: an exchange that was being settled may have remembered itself for who watched before, and is in the store.
        self.table.all().iter().for_each(|counter| counter.forget_recent());
        self.watching.store(true, Ordering::Relaxed);
        (ask(), Watch(Arc::clone(&self.watching)))
    }

    /// Counts under `rules` from now on.
    pub(crate) fn apply(&self, rules: &Rules, history: &History) {
        let now = self.now();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(rules.clone());
        for rule in rules.iter().filter(|rule| matches!(***rule, Rule::Budget(_))) {
            for counter in history.by_name.get(rule.name()).into_iter().flat_map(HashMap::keys) {
                // A scope that the budget does not count apart by any more stays in the store.
                let _made = self.table.of_scope(rule, &counter.scope);
            }
        }
        for counter in self.table.all() {
            let Some(rule) = rules.of(&counter) else { continue };
            let anew = history.by_name.get(rule.name()).filter(|_| matches!(**rule, Rule::Budget(_)));
            let rows = anew.map(|anew| anew.get(&*counter.name).map(Vec::as_slice).unwrap_or_default());
            counter.adapt(rule, now, rows);
        }
        self.table.retain(|counter| rules.of(counter).is_some());
        if let Some(shared) = self.shared() {
            shared.told_anew(self);
        }
    }

    /// What other gateways count together with this one; `None` where it counts alone.
    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.get()
    }

    /// From now on others count with this one. Once.
    pub(super) fn set_shared(&self, shared: Arc<Shared>) {
        // A second one would be dropped, and end with its thread.
        let _ = self.shared.set(shared);
    }

    /// This moment, by the clock that counters go by.
    pub(super) fn now(&self) -> Now {
        self.shared().map_or_else(Now::read, |shared| shared.now())
    }

    /// Tells those who count together what is not told yet, and ends that.
    pub(crate) fn close(&self) {
        if let Some(shared) = self.shared() {
            shared.close();
        }
    }

    /// One more request went on uncounted.
    pub(super) fn passed_uncounted(&self) {
        self.uncounted.fetch_add(1, Ordering::Relaxed);
    }

    /// A rule as it is now; `None` if there is none any more whose counters could be those of this one.
    pub(super) fn current(&self, rule: &Arc<Rule>) -> Option<Arc<Rule>> {
        match &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            None => Some(Arc::clone(rule)),
            Some(rules) => rules.successor(rule).cloned(),
        }
    }

    /// Whether there is a rule whose counter it is. Without one it waits for the end of what is open.
    pub(super) fn has_rule(&self, counter: &Counter) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_none_or(|rules| rules.of(counter).is_some())
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
                Ok(Some(taken)) => {
                    let Taken { counter, room, worst, unit } = taken;
                    let ends = matches!(&**rule, Rule::Budget(budget) if budget.end_streams);
                    let (ends_streams, lost) = (unit.filter(|_| ends), Lost::default());
                    let held =
                        Held { counter, of_target, ends_streams, unit, room, worst, lost, apart: None };
                    hold.held.push(held);
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
    ) -> Result<Option<Taken>, Box<Refused>> {
        let Ok(counter) = self.table.counter(rule, &ask.facts, now, |rule| self.current(rule)) else {
            if rule.on_error() == OnLimitError::Allow {
                self.passed_uncounted();
                return Ok(None);
            }
            return Err(Refused::new(rule, Why::Uncounted, Some(RETRY_SOON), report::uncounted(rule)));
        };
        let Some(counter) = counter else { return Ok(None) };
        let mut state = counter.lock();
        // The rule as it is now: this exchange may have begun under one before it.
        let State { rule, count, open, .. } = &mut *state;
        let rule = Arc::clone(rule);
        let mut worst = Spent { requests: 1, tokens: tokens(ask, &rule), ..Spent::default() };
        let mut unit = None;
        let room = match (count, &*rule) {
            (Count::Spending(spending), Rule::Budget(budget)) => {
                let taken = spend(&rule, budget, spending, ask, now);
                let level = spending.level(&budget.budget, now.wall_us);
                let taken = taken.map_err(|why| why.told(&rule, &counter, &level, budget))?;
                unit = Some(budget.unit);
                if budget.unit == Unit::Usd {
                    worst.cost_nanousd = taken.amount();
                }
                open.add(&worst);
                Room::Budget(taken)
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
        Ok(Some(Taken { counter, room, worst, unit }))
    }
}

/// Room that was taken in a counter.
struct Taken {
    counter: Arc<Counter>,
    room: Room,
    /// The most that the exchange can come to.
    worst: Spent,
    /// The unit of a budget.
    unit: Option<Unit>,
}

/// Tokens that an exchange can come to: its prompt, and as long an answer as it may get.
pub(super) fn tokens(ask: &Ask<'_>, rule: &Rule) -> u64 {
    ask.bounds.map_or(0, |_| ask.prompt.saturating_add(output(ask.bounds, rule)))
}

impl Counters for Limits {
    async fn reserve(&self, rules: &Rules, ask: &Ask<'_>, hold: &mut Hold) -> Result<(), Box<Refused>> {
        match self.shared() {
            None => self.reserve_now(rules, ask, hold),
            // Boxed, so that exchanges are no larger for it.
            Some(shared) => Box::pin(shared.reserve(self, rules, ask, hold)).await,
        }
    }

    fn settle(&self, hold: Hold, came_to: CameTo, teller: impl FnOnce() -> Teller) -> Vec<Crossed> {
        let teller = self.shared().map(|_| teller());
        hold.settle(came_to, self.watching.load(Ordering::Relaxed), teller.as_ref())
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tokens that an answer may have.
fn output(bounds: Option<Bounds>, rule: &Rule) -> u64 {
    bounds.map_or(0, |bounds| bounds.most(rule.reserve_output()))
}

/// What a request may come to at most, in the budget's unit; `None` where it has no price and has to have one.
pub(super) fn worst(rule: &Rule, budget: &BudgetRule, ask: &Ask<'_>) -> Option<u64> {
    match budget.unit {
        Unit::Requests => Some(1),
        Unit::Tokens => Some(tokens(ask, rule)),
        Unit::Usd => match ask.bounds.map(|_| (ask.price)(ask.prompt, output(ask.bounds, rule))) {
            None => Some(0),
            Some(Some(amount)) => Some(amount),
            Some(None) => (budget.on_error == OnLimitError::Allow).then_some(0),
        },
    }
}

/// Whether a budget lets a request pass that it has no room for.
pub(super) fn insists(budget: &BudgetRule, ask: &Ask<'_>) -> bool {
    match budget.at_limit {
        AtLimit::Warn => true,
        AtLimit::Throttle => ask.waited,
        AtLimit::Block => false,
    }
}

/// Why a budget does not take a request.
pub(super) enum Unspent {
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
    let Some(amount) = worst(rule, budget, ask) else { return Err(Unspent::NoPrice) };
    match spending.reserve(&budget.budget, now.wall_us, amount) {
        Ok(reservation) => Ok(reservation),
        Err(_) if insists(budget, ask) => Ok(spending.insist(now.wall_us, amount)),
        Err(full) => Err(Unspent::Full(full)),
    }
}

impl Unspent {
    pub(super) fn told(
        self,
        rule: &Arc<Rule>,
        counter: &Counter,
        level: &Level,
        budget: &BudgetRule,
    ) -> Box<Refused> {
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
            Refused::new(rule, why, retry, report::spent(budget, counter, level, why, frees_us));
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
    let tokens = tokens(ask, rule);
    match rate.admit(&limit.limit, now.steady_us, tokens) {
        Err(_) if limit.at_limit == AtLimit::Warn => Ok(rate.insist(now.steady_us, tokens)),
        admitted => admitted,
    }
}

pub(super) fn denied_by(rule: &Arc<Rule>, limit: &RateRule, counter: &Counter, denied: Denied) -> Refused {
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
