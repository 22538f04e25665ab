//! Counters that gateways share, in Redis.
//!
//! Each gateway keeps its own part in memory, as it does without Redis: what its exchanges were charged, which is what its store
//! says, too. In Redis a counter is the sum of the parts, and beside it what exchanges that are open hold. A gateway tells its
//! part as a whole (`what I was charged in this window`), so that telling it again changes nothing, and a Redis that has
//! forgotten everything is told everything again. What an exchange holds is told once, under a number, and given up by that
//! number; what a gateway holds that is not heard of for `expire` is given up by the others.
//!
//! A request waits for one call, [`Shared::reserve`], for all its limits. Everything else is said by a task of its own
//! ([`work`]), over the same connection.

mod fault;
mod item;
mod lease;
mod link;
mod seen;
mod wire;
mod work;

#[cfg(test)]
mod secured;
#[cfg(test)]
mod tests;

use super::clock::Now;
use super::counter::{Count, Counter, State};
use super::counters::{Ask, Refused, Why};
use super::headers::Rooms;
use super::hold::{Crossed, Held, Hold, Lost, Room};
use super::memory::{Limits, RETRY_SOON};
use super::report;
use super::rule::Rules;
use crate::config::limits::OnLimitError;
use crate::config::{Counters, SharedMode};
use item::{Item, Verdict};
use link::{Failed, Link, LinkStats};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

pub(crate) use seen::{Seen, Stood};
use wire::Arguments;

/// Orders that wait for the task that tells Redis. Beyond them what is held is compared as a whole.
const ORDERS_MAX: usize = 65_536;

/// How long a start waits for Redis. After that it serves without.
const START_TIME_MAX: Duration = Duration::from_secs(3);

/// Tells people of a threshold, once Redis has said that nobody has told it.
pub(crate) type Teller = Arc<dyn Fn(&Crossed) + Send + Sync>;

/// What an exchange holds in Redis.
#[derive(Debug)]
pub(crate) struct Apart {
    pub(super) shared: Arc<Shared>,
    /// The number of the hold; `None` for one that is a part of a lease.
    pub(super) number: Option<u64>,
    /// What has become of the question for more.
    growing: Option<Arc<Growth>>,
}

/// A question for more room, while its stream goes on.
/// Zero says that nobody knows yet.
#[derive(Debug, Default)]
pub(super) struct Growth {
    state: AtomicU8,
    granted: AtomicU64,
}

const GRANTED: u8 = 1;
const REFUSED: u8 = 2;
const FAILED: u8 = 3;

/// What may be said about a growing stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growing {
    /// Nobody knows yet.
    Asked,
    /// So much more is held.
    By(u64),
    /// There is no room.
    Refused,
    /// Redis does not answer.
    Failed,
}

/// What the task has to do.
enum Order {
    /// Gives a hold up. Without tokens what was let in stays as it was estimated; `cancel`: it was never asked for.
    Release { number: u64, tokens: Option<u64>, cancel: bool },
    /// Holds more.
    Grow(Grow),
}

/// What has to be told to hold more.
#[derive(Clone)]
struct Grow {
    number: u64,
    counter: Arc<Counter>,
    more: u64,
    least: u64,
    growth: Arc<Growth>,
}

/// What is held by an exchange that is open, to be held again should Redis forget it.
#[derive(Debug, Clone)]
enum Open {
    Budget { id: Arc<str>, amount: u64 },
    Rate { id: Arc<str> },
}

/// A counter whose part has changed, and who tells of its thresholds.
struct Dirty {
    counter: Arc<Counter>,
    teller: Option<Teller>,
}

/// What is counted of counters that are shared.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    /// Calls that requests waited for.
    pub(crate) waited: u64,
    /// Calls that nobody waited for.
    pub(crate) background: u64,
    /// Calls that failed.
    pub(crate) failed: u64,
    /// Connections that were given up.
    pub(crate) lost: u64,
    /// Whether there is a connection.
    pub(crate) connected: bool,
    /// Counters whose part Redis was not told yet.
    pub(crate) untold: usize,
    /// Limits that let a request pass because Redis did not answer.
    pub(crate) uncounted: u64,
    /// Requests that were let in from leases.
    pub(crate) leased: u64,
}

/// Counters that gateways share.
pub(crate) struct Shared {
    link: Link,
    settings: Counters,
    /// This process.
    replica: String,
    /// Its store.
    store: String,
    numbers: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
    /// Holds that requests wait for an answer about.
    asked: Mutex<HashSet<u64>>,
    dirty: Mutex<HashMap<usize, Dirty>>,
    orders: mpsc::Sender<Order>,
    /// An order was lost: what is held has to be compared.
    compare: AtomicBool,
    /// By how much Redis's clock is ahead of ours, in microseconds.
    ahead_us: AtomicI64,
    /// Another process counts for our store.
    fenced: AtomicBool,
    wake: tokio::sync::Notify,
    closing: AtomicBool,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    uncounted: AtomicU64,
    leased: AtomicU64,
    /// Until when leases may be used, by our own steady clock in microseconds.
    leases_until_us: AtomicI64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("replica", &self.replica)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Counters over the Redis of `settings`, for the store with this name. Nothing is asked yet.
    fn new(settings: &Counters, store: &str) -> anyhow::Result<(Arc<Shared>, mpsc::Receiver<Order>)> {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).map_err(|error| anyhow::anyhow!("no random number: {error}"))?;
        let replica = format!("{store}-{:016x}", u64::from_be_bytes(nonce));
        let shared = Shared {
            link: Link::new(settings)?,
            settings: settings.clone(),
            replica,
            store: store.to_owned(),
            numbers: AtomicU64::new(1),
            open: Mutex::default(),
            asked: Mutex::default(),
            dirty: Mutex::default(),
            orders,
            compare: AtomicBool::new(false),
            ahead_us: AtomicI64::new(0),
            fenced: AtomicBool::new(false),
            wake: tokio::sync::Notify::new(),
            closing: AtomicBool::new(false),
            thread: Mutex::default(),
            uncounted: AtomicU64::new(0),
            leased: AtomicU64::new(0),
            leases_until_us: AtomicI64::new(i64::MIN),
        };
        Ok((Arc::new(shared), receiver))
    }

    /// This moment by Redis's clock, as well as it is known.
    pub(super) fn now(&self) -> Now {
        let wall_us = Now::read().wall_us.saturating_add(self.ahead_us.load(Ordering::Relaxed));
        Now { wall_us, steady_us: wall_us }
    }

    /// How the way to Redis is used.
    pub(crate) fn figures(&self) -> Figures {
        let LinkStats { waited, background, failed, lost } = &self.link.stats;
        let [waited, background, failed, lost] =
            [waited, background, failed, lost].map(|count| count.load(Ordering::Relaxed));
        Figures {
            waited,
            background,
            failed,
            lost,
            connected: self.link.is_open(),
            untold: locked(&self.dirty).len(),
            uncounted: self.uncounted.load(Ordering::Relaxed),
            leased: self.leased.load(Ordering::Relaxed),
        }
    }

    /// Holds room in every counter that applies, into `hold`, or in none.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        limits: &Limits,
        rules: &Rules,
        ask: &Ask<'_>,
        hold: &mut Hold,
    ) -> Result<(), Box<Refused>> {
        let leaving = std::mem::take(&mut hold.leaving);
        let mut items = self.items(limits, rules, ask);
        if items.is_empty() {
            return Ok(());
        }
        if self.leases() && self.from_leases(&items, hold) {
            self.leased.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let mut pending = Pending::new(self, &items);
        let verdict = match self.ask(&leaving, &items).await {
            Ok(verdict) => verdict,
            // Whatever became of it is given up; those who go on hold what they hold under other numbers.
            Err(_failed) => {
                drop(pending);
                let verdict = self.unanswered(&items)?;
                items.iter_mut().for_each(|item| item.renumber(&self.numbers));
                pending = Pending::new(self, &[]);
                verdict
            }
        };
        hold.rooms = verdict.rooms(&items, hold.rooms);
        if let Some(refused) = verdict.refused {
            pending.keep();
            let Some(mut refused) = refused.told(&items) else { return self.unanswered(&items).map(drop) };
            refused.rooms = hold.rooms;
            return Err(refused);
        }
        hold.held.extend(items.into_iter().filter_map(|item| self.hold(item, verdict.now_us)));
        pending.keep();
        Ok(())
    }

    /// Whether room is leased ahead.
    fn leases(&self) -> bool {
        self.settings.mode == SharedMode::Leases
    }

    /// Whether leases may be used: those of a gateway that Redis has not heard of for too long are given up.
    fn leases_hold(&self) -> bool {
        Now::read().steady_us < self.leases_until_us.load(Ordering::Relaxed)
    }

    /// Lets in from leases, if they suffice for all.
    fn from_leases(self: &Arc<Self>, items: &[Item], hold: &mut Hold) -> bool {
        for item in items {
            if let Some(counter) = &item.counter {
                counter.lock().seen.lease.asked(&item.amounts().0);
            }
        }
        let (before, rooms) = (hold.held.len(), hold.rooms);
        let holds = self.leases_hold();
        for item in items {
            match self.lease(item, &mut hold.rooms).filter(|_| holds) {
                Some(held) => hold.held.push(held),
                None => {
                    hold.give_back_from(before);
                    hold.rooms = rooms;
                    // More is leased for the next.
                    items
                        .iter()
                        .filter_map(|item| item.counter.as_ref())
                        .for_each(|it| self.changed(it, None));
                    return false;
                }
            }
        }
        true
    }

    /// Takes what one item asks for from its lease.
    fn lease(self: &Arc<Self>, item: &Item, rooms: &mut Rooms) -> Option<Held> {
        let counter = item.counter.as_ref()?;
        let now = self.now();
        let (amounts, limited, stays) = item.amounts();
        let mut state = counter.lock();
        let State { rule, count, open, seen, .. } = &mut *state;
        if item.refuses() || !Arc::ptr_eq(rule, &item.rule) {
            return None;
        }
        if !seen.lease.let_in(&amounts, limited, stays) {
            if !item.insists() {
                return None;
            }
            seen.lease.insist(&amounts, limited, stays);
        }
        let room = match (count, &item.kind) {
            (Count::Spending(spending), item::Kind::Budget { amount, .. }) => {
                open.add(&item.worst);
                Room::Budget(spending.insist(now.wall_us, *amount))
            }
            (Count::Rate(rate), item::Kind::Rate { tokens, .. }) => {
                item.narrow(seen, rooms, now.wall_us);
                Room::Rate(rate.insist(now.steady_us, *tokens))
            }
            _ => return None,
        };
        let is_low = seen.lease.is_low();
        drop(state);
        if is_low {
            self.changed(counter, None);
        }
        let (of_target, ends_streams) = (item.rule.is_of_target(), item.ends_streams());
        let (unit, worst) = (item.unit(), item.worst);
        let apart = Some(Apart { shared: Arc::clone(self), number: None, growing: None });
        let counter = Arc::clone(counter);
        Some(Held { counter, of_target, ends_streams, unit, room, worst, lost: Lost::default(), apart })
    }

    /// What is asked of Redis: an item for each rule that applies, up to the first that refuses already.
    fn items(&self, limits: &Limits, rules: &Rules, ask: &Ask<'_>) -> Vec<Item> {
        let now = self.now();
        let mut items = Vec::new();
        for rule in rules.iter() {
            if (ask.of_target_only && !rule.is_of_target()) || !rule.applies(&ask.facts) {
                continue;
            }
            let Ok(counter) = limits.table.counter(rule, &ask.facts, now, |rule| limits.current(rule)) else {
                if rule.on_error() == OnLimitError::Allow {
                    limits.passed_uncounted();
                    continue;
                }
                items.push(Item::refusing(
                    rule,
                    Refused::new(rule, Why::Uncounted, Some(RETRY_SOON), report::uncounted(rule)),
                ));
                break;
            };
            // A rule that is gone meanwhile counts nobody.
            let Some(counter) = counter else { continue };
            let item = Item::new(counter, ask, self.numbers.fetch_add(1, Ordering::Relaxed));
            let is_last = item.refuses();
            items.push(item);
            if is_last {
                break;
            }
        }
        items
    }

    /// Asks Redis, in one round trip, which gives up the holds with the numbers `leaving` first.
    async fn ask(&self, leaving: &[u64], items: &[Item]) -> Result<Verdict, Failed> {
        if self.fenced.load(Ordering::Relaxed) {
            return Err(Failed::Away);
        }
        let now = self.now();
        let mut arguments = Arguments::default();
        arguments.word("");
        arguments.word(&self.replica);
        let timeout_us = i64::try_from(self.link.timeout().as_micros()).unwrap_or(i64::MAX);
        arguments.number(now.wall_us.saturating_add(timeout_us));
        arguments.number(leaving.len());
        leaving.iter().for_each(|number| arguments.number(*number));
        arguments.number(items.len());
        items.iter().for_each(|item| item.write(&mut arguments, now.wall_us));
        let answer = self.link.reserve(&arguments).await?;
        let verdict = Verdict::read(answer, items)?;
        for (item, figures) in items.iter().zip(&verdict.figures) {
            item.saw(figures, verdict.now_us);
        }
        Ok(verdict)
    }

    /// Redis did not answer: those whose limits are soft go on, and are counted when it returns.
    fn unanswered(&self, items: &[Item]) -> Result<Verdict, Box<Refused>> {
        for item in items {
            if item.rule.on_error() == OnLimitError::Block {
                let message = report::unreachable(&item.rule);
                return Err(Refused::new(&item.rule, Why::Uncounted, Some(RETRY_SOON), message));
            }
        }
        self.uncounted.fetch_add(u64::try_from(items.len()).unwrap_or(0), Ordering::Relaxed);
        Ok(Verdict::unknown(items, self.now().wall_us))
    }

    /// Notes what an exchange holds.
    fn hold(self: &Arc<Self>, item: Item, now_us: i64) -> Option<Held> {
        let (of_target, ends_streams) = (item.rule.is_of_target(), item.ends_streams());
        let (unit, worst) = (item.unit(), item.worst);
        let number = item.number()?;
        let counter = item.counter?;
        let room = match item.kind {
            item::Kind::Budget { amount, .. } => {
                locked(&self.open).insert(number, Open::Budget { id: item.id, amount });
                let mut state = counter.lock();
                state.open.add(&worst);
                match &mut state.count {
                    Count::Spending(spending) => Room::Budget(spending.insist(now_us, amount)),
                    Count::Rate(_) => Room::Elsewhere { tokens: 0 },
                }
            }
            item::Kind::Rate { tokens, .. } => {
                locked(&self.open).insert(number, Open::Rate { id: item.id });
                Room::Elsewhere { tokens }
            }
            item::Kind::Refusing(_) => return None,
        };
        if matches!(room, Room::Budget(_)) && counter.lock().seen.is_untold() {
            self.changed(&counter, None);
        }
        let apart = Some(Apart { shared: Arc::clone(self), number: Some(number), growing: None });
        Some(Held { counter, of_target, ends_streams, unit, room, worst, lost: Lost::default(), apart })
    }

    /// This gateway's part of a counter has changed.
    pub(super) fn changed(&self, counter: &Arc<Counter>, teller: Option<&Teller>) {
        let mut dirty = locked(&self.dirty);
        let entry = dirty
            .entry(Arc::as_ptr(counter).addr())
            .or_insert_with(|| Dirty { counter: Arc::clone(counter), teller: None });
        if let Some(teller) = teller {
            entry.teller = Some(Arc::clone(teller));
        }
        drop(dirty);
        self.wake.notify_one();
    }

    /// Tells Redis the rest, and ends. Waits for that, a few seconds at most.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        self.wake.notify_one();
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the task of shared counters had panicked");
        }
    }

    /// Counters go on under other rules: what was told is compared, and told again where it is another counter.
    pub(super) fn told_anew(&self, limits: &Limits) {
        for counter in limits.table.all() {
            let state = counter.lock();
            let is_untold = state.seen.is_untold() && matches!(state.count, Count::Spending(_));
            drop(state);
            if is_untold {
                self.changed(&counter, None);
            }
        }
    }

    /// Gives a hold up.
    pub(super) fn release(&self, number: u64, tokens: Option<u64>, cancel: bool) {
        locked(&self.open).remove(&number);
        self.order(Order::Release { number, tokens, cancel });
    }

    fn order(&self, order: Order) {
        if let Err(unsent) = self.orders.try_send(order) {
            self.compare.store(true, Ordering::Relaxed);
            if let Order::Grow(grow) = unsent.into_inner() {
                grow.growth.state.store(FAILED, Ordering::Release);
            }
        }
    }
}

/// Holds that were asked for, until it is known whether they are.
struct Pending<'a> {
    shared: &'a Shared,
    numbers: Vec<u64>,
}

impl<'a> Pending<'a> {
    fn new(shared: &'a Shared, items: &[Item]) -> Pending<'a> {
        let numbers: Vec<u64> = items.iter().filter_map(Item::number).collect();
        locked(&shared.asked).extend(&numbers);
        Pending { shared, numbers }
    }

    /// It is known, and there is nothing to give up.
    fn keep(&mut self) {
        let mut asked = locked(&self.shared.asked);
        for number in self.numbers.drain(..) {
            asked.remove(&number);
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let numbers = self.numbers.clone();
        self.keep();
        for number in numbers {
            self.shared.release(number, Some(0), true);
        }
    }
}

impl Apart {
    /// The exchange holds it no more.
    pub(super) fn release(&self, tokens: u64, cancel: bool) {
        if let Some(number) = self.number {
            self.shared.release(number, Some(tokens), cancel);
        }
    }

    /// Asks for more room, or says what became of that. A stream does not wait for it.
    pub(super) fn grow(&mut self, counter: &Arc<Counter>, more: u64, least: u64) -> Growing {
        let Some(number) = self.number else { return self.grow_leased(counter, more, least) };
        let Some(growth) = &self.growing else {
            let growth = Arc::new(Growth::default());
            self.growing = Some(Arc::clone(&growth));
            let counter = Arc::clone(counter);
            self.shared.order(Order::Grow(Grow { number, counter, more, least, growth }));
            return Growing::Asked;
        };
        let growing = match growth.state.load(Ordering::Acquire) {
            GRANTED => Growing::By(growth.granted.load(Ordering::Relaxed)),
            REFUSED => Growing::Refused,
            FAILED => Growing::Failed,
            _ => return Growing::Asked,
        };
        self.growing = None;
        if let Growing::By(more) = growing
            && let Some(Open::Budget { amount, .. }) = locked(&self.shared.open).get_mut(&number)
        {
            *amount = amount.saturating_add(more);
        }
        growing
    }
}

impl Apart {
    /// Holds more of a lease, which may have to become larger first.
    fn grow_leased(&mut self, counter: &Arc<Counter>, more: u64, least: u64) -> Growing {
        if !self.shared.leases_hold() {
            return Growing::Failed;
        }
        let mut state = counter.lock();
        let lease = &mut state.seen.lease;
        for amount in [more, least] {
            if lease.grow(amount) {
                self.growing = None;
                return Growing::By(amount);
            }
        }
        let answers = lease.answers();
        let asked = self.growing.as_ref().map(|growth| growth.granted.load(Ordering::Relaxed));
        match asked {
            // The first answer may be to a question before this one.
            Some(asked) if answers.wrapping_sub(asked) >= 2 => {
                self.growing = None;
                return Growing::Refused;
            }
            Some(_) => {}
            None => {
                lease.asked(&[more, 0, 0]);
                let growth = Growth { granted: AtomicU64::new(answers), ..Growth::default() };
                self.growing = Some(Arc::new(growth));
            }
        }
        drop(state);
        self.shared.changed(counter, None);
        Growing::Asked
    }
}

impl Limits {
    /// Counts together with other gateways from now on: over the Redis of `settings`, for the store with this name.
    /// Waits some seconds for Redis. The task that tells it ends with [`Limits::close`].
    ///
    /// # Errors
    /// When the settings do not do. That Redis cannot be reached is no error: it may come back.
    pub(crate) fn share(self: &Arc<Self>, settings: &Counters, store: &str) -> anyhow::Result<()> {
        let (shared, orders) = Shared::new(settings, store)?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = work::spawn(Arc::clone(&shared), Arc::downgrade(self), orders, ready)?;
        *locked(&shared.thread) = Some(thread);
        self.set_shared(shared);
        if is_ready.recv_timeout(START_TIME_MAX).is_err() {
            tracing::warn!(
                "serving without shared counters: `on_error` of each limit says what happens until they are there"
            );
        }
        Ok(())
    }
}
