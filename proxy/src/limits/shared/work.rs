//! The task that tells Redis: that this gateway is there, what became of its exchanges, and its part of every counter.
//!
//! It runs on a thread of its own. What could not be told stays where it is, in the counters themselves and in a bounded
//! queue, and is told when Redis is there again; so nothing that happens to Redis loses a charge.

use super::super::counter::{Count, Counter, State};
use super::super::hold::Crossed;
use super::super::memory::Limits;
use super::super::rule::Rule;
use super::lease;
use super::link::Failed;
use super::seen::Stood;
use super::wire::{Answer, Arguments, Strange};
use super::{Dirty, FAILED, GRANTED, Grow, Open, Order, REFUSED, Shared, locked};
use crate::config::limits::BudgetRule;
use narrows_meter::budget::{Level, THRESHOLDS_MAX};
use narrows_meter::rate::Measure;
use redis::aio::MultiplexedConnection;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// Orders, counters or holds that are told in one call.
const BATCH: usize = 256;
/// How often this gateway says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Counters that are looked at again in one beat.
const LOOKS_MAX: usize = 512;
/// How old what is known of a counter may become, in microseconds, before it is looked at again.
const STALE_US: i64 = 2_000_000;
/// Shortest and longest time before Redis is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long changes gather before they are told, where requests are let in from leases.
const GATHER_TIME: Duration = Duration::from_millis(20);
/// What is answered in the place of what is granted to a hold that is not known, or at no moment of the windows told.
const UNHELD: i64 = -2;
/// How long a gateway that ends goes on telling.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(3);

/// Starts the task. `ready` hears of the first connection.
pub(super) fn spawn(
    shared: Arc<Shared>,
    limits: Weak<Limits>,
    orders: mpsc::Receiver<Order>,
    ready: std::sync::mpsc::Sender<()>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("narrows-counters".to_owned()).spawn(move || {
        runtime.block_on(Task::new(shared, limits, orders, Some(ready)).run());
    })
}

pub(super) struct Task {
    shared: Arc<Shared>,
    limits: Weak<Limits>,
    orders: mpsc::Receiver<Order>,
    /// Orders that are being told.
    waiting: Vec<Order>,
    /// A word that Redis keeps as long as it keeps anything.
    epoch: Option<String>,
    /// The number of the last call that told something, and of the last one that was answered: a Redis that knows of no call
    /// as late as that has an older state.
    number: u64,
    answered: u64,
    /// Whether one was met that the next beat has to see to.
    is_older: bool,
    /// Whether this process has said that the store is its own.
    claimed: bool,
    /// Counters whose window is none of those around Redis's moment: they are told when its clock is known better.
    misdated: HashMap<usize, Dirty>,
    /// Questions for more of holds that Redis does not know: they are asked again when it has been told what is held.
    unheld: Vec<Grow>,
    ready: Option<std::sync::mpsc::Sender<()>>,
}

/// Something that was told of a counter, until it is known to have arrived.
struct Told {
    dirty: Dirty,
    rule: Arc<Rule>,
    generation: u64,
    parts: HashMap<i64, u64>,
    /// What was asked of its lease.
    lease: Option<lease::Ask>,
}

/// What an answer is about, in its order.
enum About {
    Part(Told),
    /// What was let in of a rate limit.
    Rates(Told),
    Growth(Grow),
    Budget(Arc<Counter>),
    Rate(Arc<Counter>),
}

impl Task {
    pub(super) fn new(
        shared: Arc<Shared>,
        limits: Weak<Limits>,
        orders: mpsc::Receiver<Order>,
        ready: Option<std::sync::mpsc::Sender<()>>,
    ) -> Task {
        Task {
            shared,
            limits,
            orders,
            waiting: Vec::new(),
            epoch: None,
            number: 0,
            answered: 0,
            is_older: false,
            claimed: false,
            misdated: HashMap::new(),
            unheld: Vec::new(),
            ready,
        }
    }

    async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        // What was said of it last: another cause is said again.
        let mut told = String::new();
        while !self.shared.is_closing() {
            match self.connect().await {
                Ok(connection) => {
                    tracing::info!(redis = %self.shared.settings.redis, "budgets and rate limits are shared");
                    (backoff, told) = (BACKOFF.0, String::new());
                    if let Some(ready) = self.ready.take() {
                        // Whoever has stopped waiting needs no answer.
                        let _ = ready.send(());
                    }
                    if let Err(failed) = self.serve(&connection).await {
                        let said = self.shared.link.said(&failed);
                        tracing::warn!(
                            "shared counters: {said}; `on_error` of each limit says what happens until Redis is back"
                        );
                    }
                    self.shared.link.close();
                }
                Err(failed) => {
                    let said = self.shared.link.said(&failed);
                    if said != told {
                        tracing::error!(redis = %self.shared.settings.redis, "shared counters cannot be reached: {said}");
                        told = said;
                    }
                }
            }
            self.pause(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        self.leave().await;
    }

    /// Waits, unless it is time to end.
    async fn pause(&self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while !self.shared.is_closing() {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    /// Connects, and brings Redis up to date before requests ask it.
    pub(super) async fn connect(&mut self) -> Result<MultiplexedConnection, Failed> {
        let connection = self.shared.link.connect().await?;
        self.beat(&connection).await?;
        // What ended meanwhile first: it may say more than that it is not open any more.
        self.tell(&connection).await?;
        self.compare(&connection).await?;
        self.tell(&connection).await?;
        self.shared.link.open(connection.clone());
        Ok(connection)
    }

    async fn serve(&mut self, connection: &MultiplexedConnection) -> Result<(), Failed> {
        let mut beats = tokio::time::interval(BEAT_EVERY);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        while !shared.is_closing() {
            tokio::select! {
                // It may be about the connection before.
                () = shared.link.broken.notified() => {}
                _ = beats.tick() => {
                    if self.beat(connection).await? || shared.compare.swap(false, Ordering::Relaxed) {
                        self.tell(connection).await?;
                        self.compare(connection).await?;
                    }
                    self.weigh_leases();
                    self.look(connection).await?;
                }
                count = self.orders.recv_many(&mut self.waiting, BATCH) => {
                    if count == 0 {
                        return Ok(());
                    }
                }
                () = shared.wake.notified() => {}
            }
            if !shared.link.is_open() {
                return Err(Failed::Away);
            }
            if shared.leases() {
                // Nobody waits for it, and what ends meanwhile is told with it.
                tokio::time::sleep(GATHER_TIME).await;
            }
            self.tell(connection).await?;
            if !self.unheld.is_empty() {
                self.compare(connection).await?;
                self.tell(connection).await?;
            }
        }
        Ok(())
    }

    /// The last words: what is not told yet, and that what is still held may be given up.
    async fn leave(mut self) {
        let told = tokio::time::timeout(LEAVE_TIME_MAX, async {
            let connection = self.shared.link.connect().await?;
            self.beat(&connection).await?;
            self.tell(&connection).await?;
            let arguments = self.beat_arguments(Duration::ZERO);
            self.shared.link.beat(&connection, &arguments).await?;
            Ok::<(), Failed>(())
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => {
                tracing::warn!("shared counters are told the rest at the next start: {failed}")
            }
            Err(_late) => {
                tracing::warn!("shared counters are told the rest at the next start: no answer in time")
            }
        }
    }

    fn beat_arguments(&mut self, life: Duration) -> Arguments {
        self.number += 1;
        let shared = &self.shared;
        let mut arguments = Arguments::default();
        arguments.word("");
        arguments.word(&shared.replica);
        arguments.word(&shared.store);
        arguments.number(u64::try_from(life.as_micros()).unwrap_or(u64::MAX));
        arguments.flag(!self.claimed);
        // Another each time: a Redis that begins at nothing keeps one that nobody has seen.
        let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
        arguments.word(&format!("{}-{number}", shared.replica));
        arguments.number(self.number);
        arguments
    }

    /// Says that this gateway is there. True when Redis does not know any more what it holds.
    pub(super) async fn beat(&mut self, connection: &MultiplexedConnection) -> Result<bool, Failed> {
        let shared = Arc::clone(&self.shared);
        let mut is_lost = false;
        loop {
            let arguments = self.beat_arguments(shared.settings.expire);
            let asked_us = super::Now::read().steady_us;
            let (mut answer, took) = shared.link.beat(connection, &arguments).await?;
            let (now_us, epoch) = (answer.number()?, answer.word()?);
            let (known, fenced, more) = (answer.flag()?, answer.flag()?, answer.flag()?);
            let last = answer.number()?;
            self.compare_last(last);
            let is_older = std::mem::take(&mut self.is_older);
            let there_us = now_us.saturating_add(i64::try_from(took.as_micros()).unwrap_or(0) / 2);
            let here_us = super::Now::read().wall_us;
            shared.ahead_us.store(there_us.saturating_sub(here_us), Ordering::Relaxed);
            for Dirty { counter, teller } in std::mem::take(&mut self.misdated).into_values() {
                shared.changed(&counter, teller.as_ref());
            }
            self.claimed = true;
            if fenced && !shared.fenced.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    "another gateway counts for this gateway's store, which is a copy or in use twice: this one counts no more"
                );
            }
            if fenced {
                return Err(Failed::Away);
            }
            let same = self.epoch.as_deref() == Some(&*epoch);
            if self.epoch.is_some() && !same {
                tracing::warn!("Redis has lost its data: it is told everything again");
            } else if same && is_older {
                tracing::warn!("Redis has forgotten the last it was told: it is told everything again");
            }
            if !same || is_older {
                self.forget_told();
            }
            let until_us = asked_us
                .saturating_add(i64::try_from(shared.settings.expire.as_micros()).unwrap_or(0) / 3 * 2);
            is_lost |= !known || !same || is_older;
            if !known && same {
                self.lost_leases();
            }
            shared.leases_until_us.store(until_us, Ordering::Relaxed);
            self.epoch = Some(epoch);
            if !more {
                return Ok(is_lost);
            }
        }
    }

    /// Redis has to be told everything again.
    fn forget_told(&self) {
        let Some(limits) = self.limits.upgrade() else { return };
        for counter in limits.table.all() {
            let mut state = counter.lock();
            state.seen.forget();
            let is_told = self.shared.leases() || matches!(state.count, Count::Spending(_));
            drop(state);
            if is_told {
                self.shared.changed(&counter, None);
            }
        }
    }

    /// Redis holds nothing for leases any more.
    fn lost_leases(&self) {
        let Some(limits) = self.limits.upgrade().filter(|_| self.shared.leases()) else { return };
        for counter in limits.table.all() {
            counter.lock().seen.lease.lost();
            self.shared.changed(&counter, None);
        }
    }

    /// Leases become larger or smaller with what is asked for.
    fn weigh_leases(&self) {
        let Some(limits) = self.limits.upgrade().filter(|_| self.shared.leases()) else { return };
        for counter in limits.table.all() {
            let is_due = counter.lock().seen.lease.beat();
            if is_due {
                self.shared.changed(&counter, None);
            }
        }
    }

    /// Makes what Redis holds for this gateway what its exchanges hold.
    pub(super) async fn compare(&mut self, connection: &MultiplexedConnection) -> Result<(), Failed> {
        let shared = Arc::clone(&self.shared);
        // In this order: a hold is asked for, then Redis has it, then it is open.
        let holds = shared.link.holds(connection, &shared.replica).await?;
        let holds: HashSet<u64> = holds.iter().filter_map(|hold| hold.parse().ok()).collect();
        let asked = locked(&shared.asked).clone();
        let open: Vec<(u64, Open)> =
            locked(&shared.open).iter().map(|(number, open)| (*number, open.clone())).collect();
        let known: HashSet<u64> = open.iter().map(|(number, _)| *number).collect();
        let mut items: Vec<Arguments> = Vec::new();
        for number in holds.difference(&known).filter(|number| !asked.contains(number)) {
            items.push(release(*number, None, false));
        }
        for (number, open) in open.iter().filter(|(number, _)| !holds.contains(number)) {
            items.push(again(*number, open));
        }
        while !items.is_empty() {
            let rest = items.split_off(items.len().min(BATCH));
            self.settle(connection, std::mem::replace(&mut items, rest)).await?;
        }
        // Whose exchange has ended meanwhile asks for no more.
        let again = self.unheld.drain(..).filter(|grow| known.contains(&grow.number));
        self.waiting.extend(again.map(Order::Grow));
        Ok(())
    }

    /// Tells some items, in one call.
    async fn settle(
        &mut self,
        connection: &MultiplexedConnection,
        items: Vec<Arguments>,
    ) -> Result<Answer, Failed> {
        self.number += 1;
        let mut arguments = Arguments::default();
        arguments.word("");
        arguments.word(&self.shared.replica);
        arguments.word(&self.shared.store);
        arguments.number(self.number);
        arguments.number(items.len());
        items.into_iter().for_each(|item| arguments.append(item));
        let mut answer = self.shared.link.settle(connection, &arguments).await?;
        let last = answer.number()?;
        self.compare_last(last);
        Ok(answer)
    }

    /// Looks at the last call that Redis knew of when it took this one.
    fn compare_last(&mut self, last: i64) {
        self.is_older |= !u64::try_from(last).is_ok_and(|last| last >= self.answered);
        self.answered = self.number;
    }

    /// Tells what is to be told, until nothing is.
    pub(super) async fn tell(&mut self, connection: &MultiplexedConnection) -> Result<(), Failed> {
        loop {
            while self.waiting.len() < BATCH
                && let Ok(order) = self.orders.try_recv()
            {
                self.waiting.push(order);
            }
            let dirty = self.shared.take_changed(BATCH);
            if self.waiting.is_empty() && dirty.is_empty() {
                return Ok(());
            }
            let (items, about) = self.said(dirty);
            match self.settle(connection, items).await {
                Ok(answer) => {
                    self.waiting.clear();
                    if let Err(strange) = self.heard(answer, about) {
                        // Nobody knows which part of it was understood.
                        self.forget_told();
                        return Err(strange.into());
                    }
                }
                Err(failed) => {
                    about.into_iter().for_each(|about| self.unheard(about));
                    return Err(failed);
                }
            }
        }
    }

    /// What is said of the orders that wait, and of counters.
    fn said(&self, dirty: Vec<Dirty>) -> (Vec<Arguments>, Vec<About>) {
        let now_us = self.shared.now().wall_us;
        let (mut items, mut about) = (Vec::new(), Vec::new());
        for order in &self.waiting {
            match order {
                Order::Release { number, tokens, cancel } => items.push(release(*number, *tokens, *cancel)),
                Order::Grow(asked) => match grow(asked, now_us) {
                    Some(item) => {
                        items.push(item);
                        about.push(About::Growth(asked.clone()));
                    }
                    None => asked.growth.state.store(FAILED, Ordering::Release),
                },
            }
        }
        for dirty in dirty {
            let leases = self.shared.leases();
            if matches!(dirty.counter.lock().count, Count::Spending(_)) {
                if let Some((said, told)) = part(dirty, now_us, leases) {
                    items.extend(said);
                    about.push(About::Part(told));
                }
            } else if leases && let Some((said, told)) = rates(dirty, now_us) {
                items.extend(said);
                about.push(About::Rates(told));
            }
        }
        (items, about)
    }

    fn heard(&mut self, mut answer: Answer, about: Vec<About>) -> Result<(), Strange> {
        let now_us = answer.number()?;
        for about in about {
            match about {
                About::Part(told) => self.heard_part(&mut answer, told, now_us)?,
                About::Rates(told) => heard_rates(&mut answer, &told, now_us)?,
                About::Growth(grow) => match answer.number()? {
                    UNHELD => self.unheld.push(grow),
                    granted => {
                        let granted = u64::try_from(granted).ok();
                        grow.growth.granted.store(granted.unwrap_or(0), Ordering::Relaxed);
                        let state = if granted.is_some() { GRANTED } else { REFUSED };
                        grow.growth.state.store(state, Ordering::Release);
                    }
                },
                About::Budget(counter) => {
                    let stood = Stood::Budget { settled: answer.amount()?, held: answer.amount()? };
                    counter.lock().seen.stood = Some((stood, now_us));
                }
                About::Rate(counter) => {
                    let (requests, tokens, open) = (answer.amount()?, answer.amount()?, answer.amount()?);
                    let mut state = counter.lock();
                    saw_rate(&mut state, (requests, tokens, open), now_us);
                }
            }
        }
        Ok(())
    }

    fn heard_part(&mut self, answer: &mut Answer, told: Told, now_us: i64) -> Result<(), Strange> {
        let Told { dirty, rule, generation, parts, lease } = told;
        let (settled, held) = (answer.number()?, answer.amount()?);
        let mut reached = [0; THRESHOLDS_MAX];
        let count = usize::try_from(answer.amount()?).unwrap_or(0);
        for slot in reached.iter_mut().take(count) {
            *slot = u16::try_from(answer.number()?).unwrap_or(0);
        }
        let granted = if lease.is_some() { u64::try_from(answer.number()?).unwrap_or(0) } else { 0 };
        let Ok(settled) = u64::try_from(settled) else {
            // Our clock was far from Redis's. The next beat knows better.
            self.misdated.entry(Arc::as_ptr(&dirty.counter).addr()).or_insert(dirty);
            return Ok(());
        };
        let Dirty { counter, teller } = dirty;
        let mut state = counter.lock();
        state.seen.stood = Some((Stood::Budget { settled, held }, now_us));
        if let Some(ask) = lease.filter(|_| state.seen.generation() == generation) {
            state.seen.lease.heard(&ask, &[granted, 0, 0]);
        }
        state.seen.heard(generation, parts);
        drop(state);
        for threshold in reached.into_iter().take(count) {
            let level = Level { settled, reserved: held, resets_us: None };
            let crossed =
                Crossed { rule: Arc::clone(&rule), counter: Arc::clone(&counter), threshold, level };
            match &teller {
                Some(teller) => teller(&crossed),
                None => tracing::warn!("{}", crossed.sentence()),
            }
        }
        Ok(())
    }

    /// It is not known whether it arrived, so it is told again.
    fn unheard(&self, about: About) {
        match about {
            About::Part(Told { dirty, .. }) | About::Rates(Told { dirty, .. }) => {
                self.shared.changed(&dirty.counter, dirty.teller.as_ref())
            }
            About::Growth(_) | About::Budget(_) | About::Rate(_) => {}
        }
    }

    /// Looks at counters that nobody has asked for lately: others spend, too.
    pub(super) async fn look(&mut self, connection: &MultiplexedConnection) -> Result<(), Failed> {
        let Some(limits) = self.limits.upgrade() else { return Ok(()) };
        let now_us = self.shared.now().wall_us;
        let (mut items, mut about) = (Vec::new(), Vec::new());
        for counter in limits.table.all() {
            if items.len() >= LOOKS_MAX {
                break;
            }
            let mut state = counter.lock();
            let is_fresh = state.seen.stood().is_some_and(|(_, at_us)| now_us - at_us < STALE_US);
            if is_fresh {
                continue;
            }
            let State { rule, seen, .. } = &mut *state;
            let mut item = Arguments::default();
            match &**rule {
                Rule::Budget(budget) => {
                    item.word("s");
                    item.word(&seen.id(rule, &counter));
                    item.window(&budget.budget.window, now_us);
                    about.push(About::Budget(Arc::clone(&counter)));
                }
                Rule::Rate(rate) => {
                    item.word("q");
                    item.word(&seen.id(rule, &counter));
                    item.number(narrows_meter::window::step_us(rate.limit.length_us));
                    about.push(About::Rate(Arc::clone(&counter)));
                }
            }
            items.push(item);
        }
        drop(limits);
        if items.is_empty() {
            return Ok(());
        }
        let answer = self.settle(connection, items).await?;
        Ok(self.heard(answer, about)?)
    }
}

impl Shared {
    /// Takes counters whose part has changed.
    fn take_changed(&self, most: usize) -> Vec<Dirty> {
        let mut changed = locked(&self.dirty);
        let keys: Vec<usize> = changed.keys().take(most).copied().collect();
        keys.iter().filter_map(|key| changed.remove(key)).collect()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

fn release(number: u64, tokens: Option<u64>, cancel: bool) -> Arguments {
    let mut item = Arguments::default();
    item.word("x");
    item.number(number);
    item.optional(tokens);
    item.flag(cancel);
    item
}

fn again(number: u64, open: &Open) -> Arguments {
    let mut item = Arguments::default();
    item.word("h");
    item.number(number);
    match open {
        Open::Budget { id, amount } => item.word(&format!("b {id} {amount}")),
        // What was let in is not counted again, and not corrected: it was let in in a window that Redis has forgotten.
        Open::Rate { id } => item.word(&format!("r {id} - - 0 -")),
    }
    item
}

fn grow(asked: &Grow, now_us: i64) -> Option<Arguments> {
    let Grow { number, counter, more, least, .. } = asked;
    let mut state = counter.lock();
    let State { rule, seen, .. } = &mut *state;
    let Rule::Budget(budget) = &**rule else { return None };
    let mut item = Arguments::default();
    item.word("g");
    item.number(*number);
    item.word(&seen.id(rule, counter));
    item.number(budget.budget.limit);
    item.number(*more);
    item.number(*least);
    item.window(&budget.budget.window, now_us);
    Some(item)
}

/// This gateway's part of a counter, as far as Redis does not know it.
fn part(dirty: Dirty, now_us: i64, leases: bool) -> Option<(Vec<Arguments>, Told)> {
    let mut state = dirty.counter.lock();
    let State { rule, count, seen, .. } = &mut *state;
    let (Count::Spending(spending), Rule::Budget(budget)) = (count, &**rule) else { return None };
    let parts: HashMap<i64, u64> = spending.parts(&budget.budget, now_us).into_iter().collect();
    let mut item = Arguments::default();
    item.word("p");
    item.word(&seen.id(rule, &dirty.counter));
    item.flag(seen.is_untold());
    item.window(&budget.budget.window, now_us);
    thresholds(&mut item, budget, seen.reached(now_us, &budget.budget.window));
    let told = seen.told.as_ref();
    let news: Vec<(&i64, &u64)> = parts
        .iter()
        .filter(|(slot, amount)| told.and_then(|told| told.get(slot)).unwrap_or(&0) != *amount)
        .collect();
    item.number(news.len());
    for (slot, amount) in news {
        item.number(*slot);
        item.number(*amount);
    }
    let mut items = vec![item];
    let lease = leases.then(|| {
        let level = seen.level();
        let free = budget.budget.limit.saturating_sub(level.settled).saturating_sub(level.reserved);
        let ask = seen.lease.ask(&[free, 0, 0]);
        let ([least, ..], [wanted, ..]) = (ask.least, ask.wanted);
        let mut item = Arguments::default();
        item.word("l");
        item.word(&seen.id(rule, &dirty.counter));
        [budget.budget.limit, least, wanted].into_iter().for_each(|amount| item.number(amount));
        item.window(&budget.budget.window, now_us);
        items.push(item);
        ask
    });
    let (rule, generation) = (Arc::clone(rule), seen.generation());
    drop(state);
    Some((items, Told { dirty, rule, generation, parts, lease }))
}

/// What this gateway has let in of a rate limit from its lease, as far as Redis does not know it, and the lease.
fn rates(dirty: Dirty, now_us: i64) -> Option<(Vec<Arguments>, Told)> {
    let mut state = dirty.counter.lock();
    let State { rule, count, seen, .. } = &mut *state;
    let (Count::Rate(rate), Rule::Rate(limits)) = (count, &**rule) else { return None };
    let (limit, id) = (&limits.limit, seen.id(rule, &dirty.counter));
    let step_us = narrows_meter::window::step_us(limit.length_us);
    let mut item = Arguments::default();
    item.word("u");
    item.word(&id);
    item.flag(seen.is_untold());
    item.number(step_us);
    let mut parts = HashMap::new();
    for (odd, measure) in [(0, Measure::Requests), (1, Measure::Tokens)] {
        let key = |step: i64| step.wrapping_mul(2).wrapping_add(odd);
        let steps: HashMap<i64, u64> = rate.steps(now_us, measure).into_iter().collect();
        let told = seen.told.iter().flatten().filter(|(told, _)| told.rem_euclid(2) == odd);
        // What was told of a step may have been given back altogether.
        let mut news: HashMap<i64, u64> = told.map(|(told, _)| (told.div_euclid(2), 0)).collect();
        news.extend(&steps);
        news.retain(|step, amount| {
            seen.told.as_ref().and_then(|told| told.get(&key(*step))).unwrap_or(&0) != amount
        });
        item.number(news.len());
        for (step, amount) in news {
            item.number(step);
            item.number(amount);
        }
        parts.extend(steps.into_iter().map(|(step, amount)| (key(step), amount)));
    }
    let most = [limit.requests, limit.tokens, limit.concurrent];
    let (requests, tokens, open) = seen.rate().unwrap_or_default();
    let used = [requests, tokens, Some(open)];
    let known = seen.stood().is_some();
    let free = std::array::from_fn(|kind| {
        let most = most.get(kind).copied().flatten().filter(|_| known).unwrap_or(0);
        most.saturating_sub(used.get(kind).copied().flatten().unwrap_or(0))
    });
    let ask = seen.lease.ask(&free);
    let mut leased = Arguments::default();
    leased.word("m");
    leased.word(&id);
    leased.number(step_us);
    most.into_iter().for_each(|most| leased.optional(most));
    ask.least.into_iter().chain(ask.wanted).for_each(|amount| leased.number(amount));
    let (rule, generation) = (Arc::clone(rule), seen.generation());
    drop(state);
    Some((vec![item, leased], Told { dirty, rule, generation, parts, lease: Some(ask) }))
}

fn heard_rates(answer: &mut Answer, told: &Told, now_us: i64) -> Result<(), Strange> {
    let granted = [answer.amount()?, answer.amount()?, answer.amount()?];
    let used = (answer.amount()?, answer.amount()?, answer.amount()?);
    let mut state = told.dirty.counter.lock();
    if let Some(ask) = told.lease.filter(|_| state.seen.generation() == told.generation) {
        state.seen.lease.heard(&ask, &granted);
    }
    state.seen.heard(told.generation, told.parts.clone());
    saw_rate(&mut state, used, now_us);
    Ok(())
}

/// Notes how a rate limit stood.
fn saw_rate(state: &mut State, (requests, tokens, open): (u64, u64, u64), now_us: i64) {
    let Rule::Rate(rate) = &*state.rule else { return };
    let stood = Stood::Rate {
        requests: rate.limit.requests.map(|_| requests),
        tokens: rate.limit.tokens.map(|_| tokens),
        open,
    };
    state.seen.stood = Some((stood, now_us));
}

/// `reached` is what thresholds are known to have been told up to.
fn thresholds(item: &mut Arguments, budget: &BudgetRule, reached: u64) {
    let thresholds = &budget.budget.thresholds;
    item.number(thresholds.len().min(THRESHOLDS_MAX));
    for threshold in thresholds.iter().take(THRESHOLDS_MAX) {
        let amount = narrows_meter::budget::share(budget.budget.limit, *threshold);
        item.number(*threshold);
        item.number(amount);
        item.flag(amount <= reached);
    }
}
