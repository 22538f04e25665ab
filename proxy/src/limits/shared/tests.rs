//! The same over Redis as in memory.

#[path = "../../../tests/it/support/redis.rs"]
#[expect(dead_code, reason = "tests from the outside use more of it")]
pub(super) mod server;

use super::super::tests::{ask, caller, facts, rules, tokens, unpriced};
use super::super::{Ask, CameTo, Counters as _, Hold, LineKind, Rules, Why};
use super::wire::Arguments;
use super::work::Task;
use super::*;
use crate::config::{Counters, RedisAddress, SharedMode};
use narrows_meter::budget::Full;
use narrows_meter::rate::{Denied, Measure, Retry};
use narrows_meter::{Budget, Calendar, Period, Rate, RateLimit, Spending, Window};
use proptest::prelude::*;
use server::Redis;
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub(super) fn settings(redis: &Redis) -> Counters {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    Counters {
        redis: RedisAddress::Unix(redis.url().strip_prefix("unix:").unwrap().into()),
        username: None,
        password: None,
        ca_file: None,
        prefix: format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        mode: SharedMode::Exact,
        timeout: Duration::from_secs(5),
        expire: Duration::from_secs(15),
    }
}

/// A gateway's limits, and the task that tells Redis of them, which works when a test says so.
pub(super) struct Replica {
    pub(super) limits: Arc<Limits>,
    pub(super) task: Task,
    pub(super) connection: redis::aio::MultiplexedConnection,
}

impl Replica {
    pub(super) async fn start(settings: &Counters, store: &str) -> Replica {
        let limits = Arc::new(Limits::default());
        let (shared, orders) = Shared::new(settings, store).unwrap();
        limits.set_shared(Arc::clone(&shared));
        let mut task = Task::new(shared, Arc::downgrade(&limits), orders, None);
        let connection = task.connect().await.unwrap();
        Replica { limits, task, connection }
    }

    pub(super) fn task_shared(&self) -> &Arc<Shared> {
        self.limits.shared().unwrap()
    }

    pub(super) async fn tell(&mut self) {
        self.task.tell(&self.connection).await.unwrap();
    }

    /// How everything stands now.
    pub(super) async fn look(&mut self) {
        self.limits.table.all().iter().for_each(|counter| counter.lock().seen.stood = None);
        self.task.look(&self.connection).await.unwrap();
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// What may happen to limits.
#[derive(Debug, Clone)]
enum Step {
    Ask { user: usize, prompt: u64, answer: u64, waited: bool },
    Settle { which: usize, tokens: u64 },
    GiveBack { which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize, 0..40_u64, 0..80_u64, any::<bool>())
            .prop_map(|(user, prompt, answer, waited)| Step::Ask { user, prompt, answer, waited }),
        2 => (0..8_usize, 0..150_u64).prop_map(|(which, tokens)| Step::Settle { which, tokens }),
        1 => (0..8_usize).prop_map(|which| Step::GiveBack { which }),
    ]
}

const RULES: &str = "budgets:\n  all: {tokens: 900, window: month}\n  \
     each: {per: [user, model], tokens: 400, window: 7d}\n  \
     soft: {tokens: 300, window: day, at_limit: warn}\n  \
     slow: {per: user, requests: 6, window: week, at_limit: throttle}\n\
     rate_limits:\n  each: {per: user, requests: 12, tokens: 700, concurrent: 4, every: hour}\n  \
     all: {concurrent: 7, tokens: 1500, every: day}\n";

pub(super) async fn reserve(
    limits: &Limits,
    rules: &Rules,
    (user, prompt, answer, waited): (usize, u64, u64, bool),
) -> Result<Hold, (Why, bool)> {
    let (caller, mut hold) = (caller(Some(["ada", "bob", "eve"][user])), Hold::default());
    let bounds = Some(narrows_llm::request::Bounds { tokens: Some(answer), choices: None });
    let ask = Ask { prompt, bounds, waited, ..ask(facts(&caller, &["gpt-4o"]), &unpriced) };
    match limits.reserve(rules, &ask, &mut hold).await {
        Ok(()) => Ok(hold),
        Err(refused) => {
            assert!(hold.held.is_empty(), "a refusal holds nothing");
            Err((refused.why, refused.may_wait.is_some()))
        }
    }
}

/// How every counter stands.
fn levels(limits: &Limits) -> Vec<String> {
    let budgets = limits.lines("budget").into_iter().chain(limits.lines("rate_limit"));
    let line = |line: super::super::Line| match line.kind {
        LineKind::Budget(level) => {
            format!("{} {} {} {}", line.rule.name(), line.scope, level.settled, level.reserved)
        }
        LineKind::Rate { requests, tokens, open } => {
            format!("{} {} {requests:?} {tokens:?} {open}", line.rule.name(), line.scope)
        }
    };
    budgets.map(line).collect()
}

fn settle(limits: &Limits, hold: Hold, came_to: CameTo) -> Vec<(String, u16)> {
    let teller = || -> Teller { Arc::new(|_| {}) };
    let crossed = limits.settle(hold, came_to, teller);
    crossed.iter().map(|crossed| (crossed.rule.name().to_string(), crossed.threshold)).collect()
}

#[test]
fn the_same_is_let_in_over_redis_as_in_memory() {
    let Some(redis) = Redis::start() else { return };
    let (runtime, rules) = (runtime(), rules(RULES));
    proptest!(ProptestConfig::with_cases(48), |(steps in prop::collection::vec((step(), 0..2_usize), 1..60))| {
        runtime.block_on(async {
            let settings = settings(&redis);
            let memory = Limits::default();
            // Two gateways that share are as one that is alone.
            let mut replicas = [Replica::start(&settings, "one").await, Replica::start(&settings, "two").await];
            let mut open: Vec<(Hold, Hold, usize)> = Vec::new();
            for (step, at) in steps {
                match step {
                    Step::Ask { user, prompt, answer, waited } => {
                        let what = (user, prompt, answer, waited);
                        let expected = reserve(&memory, &rules, what).await;
                        let found = reserve(&replicas[at].limits, &rules, what).await;
                        match (expected, found) {
                            (Ok(one), Ok(other)) => {
                                assert_eq!(one.rooms.requests.map(|room| room.left), other.rooms.requests.map(|room| room.left));
                                assert_eq!(one.rooms.tokens.map(|room| room.left), other.rooms.tokens.map(|room| room.left));
                                open.push((one, other, at));
                            }
                            (one, other) => assert_eq!(one.err(), other.err()),
                        }
                    }
                    Step::Settle { which, tokens: spent } if which < open.len() => {
                        let (one, other, at) = open.swap_remove(which);
                        settle(&memory, one, tokens(spent));
                        settle(&replicas[at].limits, other, tokens(spent));
                        replicas[at].tell().await;
                    }
                    Step::GiveBack { which } if which < open.len() => {
                        let (_, _, at) = open.swap_remove(which);
                        replicas[at].tell().await;
                    }
                    Step::Settle { .. } | Step::GiveBack { .. } => {}
                }
            }
            let known: Vec<String> = levels(&memory);
            for replica in &mut replicas {
                replica.look().await;
                // All counters of a request are asked at once: of one that a rate limit refuses a budget may have a counter at nothing.
                for line in levels(&replica.limits).into_iter().filter(|line| !line.ends_with(" 0 0")) {
                    assert!(known.contains(&line), "{line} is not among {known:#?}");
                }
            }
        });
    });
}

/// Microseconds in a minute.
const MINUTE_US: i64 = 60_000_000;

/// A moment at which the calendar's windows begin and end soon: midnight UTC on the first of March 2027, which is a Monday.
const BEGIN_US: i64 = 1_803_859_200_000_000;

/// The scripts, at moments that a test names.
struct Clocked {
    link: Link,
    now_us: i64,
}

impl Clocked {
    fn arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.number(self.now_us);
        arguments.word("replica");
        arguments
    }

    async fn reserve(&self, item: Arguments) -> Vec<i64> {
        let mut arguments = self.arguments();
        [0, 0, 1].into_iter().for_each(|number| arguments.number(number));
        arguments.append(item);
        let mut answer = self.link.reserve(&arguments).await.unwrap();
        std::iter::from_fn(|| answer.number().ok()).collect()
    }

    async fn settle(&self, items: Vec<Arguments>) -> Vec<i64> {
        let mut arguments = self.arguments();
        arguments.word("store");
        arguments.number(1);
        arguments.number(items.len());
        items.into_iter().for_each(|item| arguments.append(item));
        let connection = self.link.connect().await.unwrap();
        let mut answer = self.link.settle(&connection, &arguments).await.unwrap();
        answer.number().unwrap();
        std::iter::from_fn(|| answer.number().ok()).collect()
    }
}

async fn clocked(redis: &Redis) -> Clocked {
    let link = Link::new(&settings(redis)).unwrap();
    link.open(link.connect().await.unwrap());
    Clocked { link, now_us: BEGIN_US }
}

fn release(number: u64, tokens: u64, cancel: bool) -> Arguments {
    let mut item = Arguments::default();
    item.word("x");
    item.number(number);
    item.number(tokens);
    item.flag(cancel);
    item
}

#[test]
fn the_script_s_rate_limit_is_the_machine_s_at_every_moment() {
    let Some(redis) = Redis::start() else { return };
    let runtime = runtime();
    let steps = prop::collection::vec((0..20 * MINUTE_US / 10, 0..60_u64, 0..4_u8, 0..90_u64), 1..50);
    proptest!(ProptestConfig::with_cases(64), |(steps in steps, limits in (0..6_u64, 20..200_u64, 0..5_u64))| {
        runtime.block_on(async {
            let mut clock = clocked(&redis).await;
            let (requests, tokens, concurrent) = (Some(limits.0), Some(limits.1), Some(limits.2));
            let limit = RateLimit { requests, tokens, concurrent, length_us: MINUTE_US };
            let mut machine = Rate::new(&limit);
            let mut open = VecDeque::new();
            for (number, (later_us, tokens, what, came_to)) in steps.into_iter().enumerate() {
                clock.now_us += later_us;
                let now_us = clock.now_us;
                match (what, open.pop_front()) {
                    (0 | 1, Some((number, ticket))) => {
                        machine.settle(now_us, ticket, came_to);
                        clock.settle(vec![release(number, came_to, false)]).await;
                    }
                    (2, Some((number, ticket))) => {
                        machine.cancel(now_us, ticket);
                        clock.settle(vec![release(number, 0, true)]).await;
                    }
                    (_, before) => {
                        before.into_iter().for_each(|it| open.push_front(it));
                        let mut item = Arguments::default();
                        item.word("r");
                        item.number(number);
                        item.word("counter");
                        item.number(tokens);
                        [limit.requests, limit.tokens, limit.concurrent].into_iter().for_each(|most| item.optional(most));
                        item.flag(false);
                        item.sliding(limit.length_us);
                        let found = clock.reserve(item).await;
                        let expected = machine.admit(&limit, now_us, tokens);
                        let code = match &expected {
                            Ok(_) => (0, 0),
                            Err(Denied { measure, retry }) => {
                                let measure = match measure {
                                    Measure::Requests => 10,
                                    Measure::Tokens => 20,
                                    Measure::Concurrent => 30,
                                };
                                match retry {
                                    Retry::After(us) => (measure, *us),
                                    Retry::WhenOneEnds => (measure + 1, 0),
                                    Retry::Never => (measure + 2, 0),
                                }
                            }
                        };
                        assert_eq!((found[2], found[3]), code, "{limit:?} {machine:?} {found:?}");
                        let room = |machine: &mut Rate, measure| machine.room(&limit, now_us, measure).unwrap();
                        for (measure, at) in [(Measure::Requests, 4), (Measure::Tokens, 6)] {
                            let room = room(&mut machine, measure);
                            let left = room.limit.saturating_sub(u64::try_from(found[at]).unwrap());
                            assert_eq!((left, found[at + 1]), (room.left, room.resets_in_us), "{measure:?} {found:?}");
                        }
                        assert_eq!(found[8], i64::try_from(machine.open()).unwrap());
                        open.extend(expected.ok().map(|ticket| (number as u64, ticket)));
                    }
                }
            }
        });
    });
}

#[test]
fn the_script_s_budget_is_the_machine_s_at_every_moment() {
    let Some(redis) = Redis::start() else { return };
    let runtime = runtime();
    let windows = prop_oneof![
        Just(Window::Rolling(60 * MINUTE_US)),
        Just(Window::Calendar(Calendar::new(Period::Hour, "UTC").unwrap())),
        Just(Window::Calendar(Calendar::new(Period::Day, "Europe/Zurich").unwrap())),
    ];
    let steps = prop::collection::vec((0..40 * MINUTE_US, 0..60_u64, any::<bool>(), 0..90_u64), 1..50);
    proptest!(ProptestConfig::with_cases(64), |(steps in steps, most in 0..200_u64, window in windows)| {
        runtime.block_on(async {
            let mut clock = clocked(&redis).await;
            let budget = Budget { limit: most, window, thresholds: vec![50, 100] };
            let mut machine = Spending::new(&budget.window);
            let mut open = VecDeque::new();
            for (number, (later_us, amount, settles, came_to)) in steps.into_iter().enumerate() {
                clock.now_us += later_us;
                let now_us = clock.now_us;
                if settles && let Some((number, reservation)) = open.pop_front() {
                    let reached: Vec<i64> = machine.settle(&budget, now_us, reservation, came_to).map(i64::from).collect();
                    let mut item = Arguments::default();
                    item.word("p");
                    item.word("counter");
                    item.flag(false);
                    item.window(&budget.window, now_us);
                    item.number(2);
                    for percent in [50, 100] {
                        item.number(percent);
                        item.number(narrows_meter::budget::share(budget.limit, percent));
                        item.flag(false);
                    }
                    let parts = machine.parts(&budget, now_us);
                    item.number(parts.len());
                    for (slot, amount) in parts {
                        item.number(slot);
                        item.number(amount);
                    }
                    let found = clock.settle(vec![item, release(number, 0, false)]).await;
                    let level = machine.level(&budget, now_us);
                    assert_eq!(found[1], i64::try_from(level.settled).unwrap(), "{machine:?}");
                    assert_eq!(found[4..], reached, "{machine:?}");
                    continue;
                }
                let mut item = Arguments::default();
                item.word("b");
                item.number(number);
                item.word("counter");
                item.number(amount);
                item.number(budget.limit);
                item.flag(false);
                item.window(&budget.window, now_us);
                let found = clock.reserve(item).await;
                let expected = machine.reserve(&budget, now_us, amount);
                let code = match expected {
                    Ok(_) => (0, 0),
                    Err(Full::TooLarge) => (1, 0),
                    Err(Full::Spent { frees_us }) => (2, frees_us),
                    Err(Full::Held) => (3, 0),
                };
                assert_eq!((found[2], found[3]), code, "{machine:?} {found:?}");
                let level = machine.level(&budget, now_us);
                let stands = [level.settled, level.reserved].map(|amount| i64::try_from(amount).unwrap());
                assert_eq!(found[4..6], stands);
                open.extend(expected.ok().map(|reservation| (number as u64, reservation)));
            }
        });
    });
}

#[test]
fn what_no_window_takes_is_passed_over_and_the_rest_of_the_call_counts() {
    let Some(redis) = Redis::start() else { return };
    runtime().block_on(async {
        let clock = clocked(&redis).await;
        let part = |counter: &str, at_us: i64, parts: &[(i64, u64)]| {
            let mut item = Arguments::default();
            item.word("p");
            item.word(counter);
            item.flag(false);
            item.window(&Window::Calendar(Calendar::new(Period::Hour, "UTC").unwrap()), at_us);
            item.number(0);
            item.number(parts.len());
            for (slot, amount) in parts {
                item.number(*slot);
                item.number(*amount);
            }
            item
        };
        let days_off = part("one", BEGIN_US - 5_000 * MINUTE_US, &[(1, 7), (2, 8)]);
        let right = part("other", BEGIN_US, &[(BEGIN_US, 9)]);
        assert_eq!(clock.settle(vec![days_off, right]).await[1..], [-1, 0, 0, 9, 0, 0]);
    });
}

#[test]
fn a_part_whose_window_is_none_of_redis_s_is_told_after_the_next_beat() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: day}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        one.tell().await;
        settle(&one.limits, hold, tokens(70));
        one.task_shared().ahead_us.store(-5 * 24 * 60 * MINUTE_US, Ordering::Relaxed);
        one.tell().await;
        assert!(!one.task.beat(&one.connection).await.unwrap());
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 70 0"]);
    });
}

#[test]
fn what_is_told_twice_counts_once_and_what_redis_forgot_is_told_again() {
    let Some(mut redis) = Redis::start() else { return };
    let rules =
        rules("budgets:\n  all: {tokens: 1000, window: day}\nrate_limits:\n  open: {concurrent: 9}\n");
    runtime().block_on(async {
        let settings = settings(&redis);
        let mut one = Replica::start(&settings, "one").await;
        let hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        let kept = reserve(&one.limits, &rules, (0, 10, 40, false)).await.unwrap();
        settle(&one.limits, hold, tokens(70));
        one.tell().await;
        one.look().await;
        let expected = ["all {} 70 50", "open {} None None 1"];
        assert_eq!(levels(&one.limits), expected);
        // All of it again, as after an answer that was lost.
        for counter in one.limits.table.all() {
            counter.lock().seen.renew();
            one.task_shared().changed(&counter, None);
        }
        one.tell().await;
        one.task.compare(&one.connection).await.unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), expected);
        // A Redis that begins at nothing.
        redis.kill();
        redis.again();
        one.connection = one.task.connect().await.unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), expected);
        drop(kept);
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 70 0", "open {} None None 0"]);
    });
}

#[test]
fn a_redis_that_comes_back_with_an_older_state_is_told_again() {
    let Some(mut redis) = Redis::start() else { return };
    let rules = rules(
        "budgets:\n  month: {tokens: 1000, window: month}\n  week: {tokens: 1000, window: 7d}\n\
         rate_limits:\n  open: {concurrent: 9}\n",
    );
    runtime().block_on(async {
        let settings = settings(&redis);
        let mut one = Replica::start(&settings, "one").await;
        let spend = async |one: &mut Replica, amount| {
            let hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
            settle(&one.limits, hold, tokens(amount));
            one.tell().await;
        };
        spend(&mut one, 300).await;
        let ends = reserve(&one.limits, &rules, (0, 10, 40, false)).await.unwrap();
        redis.ask(&["SAVE"]);
        spend(&mut one, 400).await;
        let kept = reserve(&one.limits, &rules, (0, 10, 50, false)).await.unwrap();
        drop(ends);
        one.tell().await;
        redis.kill();
        redis.again();
        one.connection = one.task.connect().await.unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), ["month {} 700 60", "week {} 700 60", "open {} None None 1"]);
        drop(kept);
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), ["month {} 700 0", "week {} 700 0", "open {} None None 0"]);
    });
}

#[test]
fn an_older_state_behind_a_connection_that_stays_is_noticed_at_the_next_beat() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: month}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let spend = async |one: &mut Replica, amount| {
            let hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
            settle(&one.limits, hold, tokens(amount));
            one.tell().await;
        };
        spend(&mut one, 300).await;
        assert!(!one.task.beat(&one.connection).await.unwrap(), "nothing is lost");
        // A copy of it, which takes its place after more was spent, as a replica that lags does.
        for key in keys(&redis) {
            redis.ask(&["COPY", &key, &key, "DB", "1"]);
        }
        spend(&mut one, 400).await;
        redis.ask(&["SWAPDB", "0", "1"]);
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 300 0"], "as it was");
        assert!(one.task.beat(&one.connection).await.unwrap(), "it is noticed");
        one.tell().await;
        one.task.compare(&one.connection).await.unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 700 0"]);
    });
}

/// Every key.
fn keys(redis: &Redis) -> Vec<String> {
    let keys = redis.ask(&["KEYS", "*"]);
    keys.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
}

#[test]
fn a_stream_whose_hold_redis_has_lost_is_not_told_that_the_budget_is_spent() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: day, end_streams: true}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let mut hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        one.tell().await;
        redis.ask(&["FLUSHALL"]);
        let mut grow = |tokens| hold.grow(&|_| Some(tokens));
        grow(200).unwrap();
        one.tell().await;
        grow(200).unwrap();
        one.task.compare(&one.connection).await.unwrap();
        one.tell().await;
        grow(200).unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 0 225"], "100 are held again, and then 125 more");
        // What there is no room for ends it as before.
        grow(2000).unwrap();
        one.tell().await;
        assert!(grow(2000).is_err());
    });
}

#[test]
fn what_is_held_again_shortens_no_counter_s_life() {
    let Some(redis) = Redis::start() else { return };
    let rules =
        rules("budgets:\n  all: {tokens: 1000, window: month}\nrate_limits:\n  open: {concurrent: 9}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let lives = || {
            let answers = keys(&redis).into_iter().filter(|key| key.contains(":c:"));
            let mut lives: Vec<i64> = answers
                .map(|key| redis.ask(&["PTTL", &key]).trim().trim_start_matches(':').parse().unwrap())
                .collect();
            lives.sort_unstable();
            lives
        };
        let _held = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        let spent = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        settle(&one.limits, spent, tokens(50));
        redis.ask(&["FLUSHALL"]);
        one.task.beat(&one.connection).await.unwrap();
        one.tell().await;
        let days = 86_400_000;
        assert!(lives().iter().all(|life| *life > 20 * days), "{:?}", lives());
        one.task.compare(&one.connection).await.unwrap();
        let (short, long) = (lives()[0], lives()[1]);
        assert!(days < short && short <= 2 * days && long > 20 * days, "{short} and {long} milliseconds");
    });
}

/// Settles, and gives the thresholds that are told from then on.
fn told_of(limits: &Limits, hold: Hold, came_to: CameTo) -> Arc<Mutex<Vec<u16>>> {
    let told: Arc<Mutex<Vec<u16>>> = Arc::default();
    let teller = Arc::clone(&told);
    limits
        .settle(hold, came_to, || Arc::new(move |crossed: &Crossed| locked(&teller).push(crossed.threshold)));
    told
}

#[test]
fn a_threshold_is_told_that_the_first_thing_told_of_a_counter_crosses() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: day, thresholds: [50, 80, 90]}\n");
    runtime().block_on(async {
        let settings = settings(&redis);
        let mut one = Replica::start(&settings, "one").await;
        let what = (0, 10, 90, false);
        let hold = reserve(&one.limits, &rules, what).await.unwrap();
        let told = told_of(&one.limits, hold, tokens(600));
        one.tell().await;
        assert_eq!(*locked(&told), [50], "nothing was told before");
        // What is spent while Redis is away and loses everything is told, and what was told before is not.
        let hold = reserve(&one.limits, &rules, what).await.unwrap();
        redis.ask(&["FLUSHALL"]);
        one.task.beat(&one.connection).await.unwrap();
        let told = told_of(&one.limits, hold, tokens(250));
        one.tell().await;
        assert_eq!(*locked(&told), [80]);
        // One that starts on its store knows what was told of that.
        redis.ask(&["FLUSHALL"]);
        drop(one);
        let mut two = Replica::start(&settings, "one").await;
        let rule = rules.iter().next().unwrap();
        let counter = two.limits.table.of_scope(rule, "{}").unwrap();
        let now = two.limits.now();
        let spent = narrows_ledger::Spent { tokens: 850, ..Default::default() };
        let row = narrows_ledger::SpentRow { counter: (*counter.name).clone(), from_us: now.wall_us, spent };
        counter.adapt(rule, now, Some(&[row]));
        let hold = reserve(&two.limits, &rules, what).await.unwrap();
        let told = told_of(&two.limits, hold, tokens(60));
        two.tell().await;
        assert_eq!(*locked(&told), [90]);
    });
}

#[test]
fn of_gateways_that_tell_a_redis_again_none_tells_a_threshold_again() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: 7d, thresholds: [50, 80]}\n");
    runtime().block_on(async {
        let settings = settings(&redis);
        let mut both = [Replica::start(&settings, "one").await, Replica::start(&settings, "two").await];
        let mut told = Vec::new();
        for one in &mut both {
            let hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
            told.push(told_of(&one.limits, hold, tokens(300)));
            one.tell().await;
        }
        both[0].look().await;
        let counts =
            |told: &[Arc<Mutex<Vec<u16>>>]| told.iter().map(|told| locked(told).len()).collect::<Vec<_>>();
        assert_eq!(counts(&told), [0, 1]);
        redis.ask(&["FLUSHALL"]);
        for one in &mut both {
            one.task.beat(&one.connection).await.unwrap();
            let hold = reserve(&one.limits, &rules, (0, 10, 20, false)).await.unwrap();
            told.push(told_of(&one.limits, hold, tokens(30)));
            one.tell().await;
        }
        both[0].look().await;
        assert_eq!(levels(&both[0].limits), ["all {} 660 0"]);
        assert_eq!(counts(&told), [0, 1, 0, 0]);
    });
}

#[test]
fn another_target_is_asked_with_what_the_one_before_gives_up() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules(
        "budgets:\n  model: {where: {model: gpt-*}, tokens: 150, window: day}\n\
         rate_limits:\n  model: {where: {model: gpt-*}, requests: 9, tokens: 900, concurrent: 1, every: hour}\n",
    );
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let mut hold = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        let caller = caller(Some("ada"));
        let asked = one.task_shared().figures().waited;
        for target in ["gpt-1", "gpt-2", "gpt-3"] {
            // The background has told nothing of it yet.
            hold.leave_target();
            let models = ["gpt-4o", target];
            let next = Ask { of_target_only: true, ..ask(facts(&caller, &models), &unpriced) };
            one.limits.reserve(&rules, &next, &mut hold).await.unwrap();
        }
        assert_eq!(one.task_shared().figures().waited, asked + 3, "one round trip for each");
        let expected = ["model {} 0 100", "model {} Some(1) Some(100) 1"];
        one.look().await;
        assert_eq!(levels(&one.limits), expected);
        // When it does, nothing is given up twice.
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), expected);
        // Who is refused at the next target holds nothing for the one before either.
        hold.leave_target();
        let large = Ask { prompt: 100, of_target_only: true, ..ask(facts(&caller, &["gpt-4o"]), &unpriced) };
        assert_eq!(one.limits.reserve(&rules, &large, &mut hold).await.unwrap_err().why, Why::TooLarge);
        one.look().await;
        assert_eq!(levels(&one.limits), ["model {} 0 0", "model {} Some(0) Some(0) 0"]);
    });
}

#[test]
fn an_exchange_that_was_held_again_ends_and_leaves_the_rate_limit_s_window_alone() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("rate_limits:\n  all: {requests: 9, tokens: 9000, concurrent: 5, every: hour}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        let what = (0, 10, 90, false);
        let settled = reserve(&one.limits, &rules, what).await.unwrap();
        let given_back = reserve(&one.limits, &rules, what).await.unwrap();
        redis.ask(&["FLUSHALL"]);
        assert!(one.task.beat(&one.connection).await.unwrap(), "it is noticed");
        one.task.compare(&one.connection).await.unwrap();
        let _third = reserve(&one.limits, &rules, what).await.unwrap();
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} Some(1) Some(100) 3"], "two are held again");
        settle(&one.limits, settled, tokens(70));
        drop(given_back);
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} Some(1) Some(100) 1"]);
        let fourth = reserve(&one.limits, &rules, what).await.unwrap();
        let left = fourth.rooms.requests.map(|room| (room.left, room.resets_in_us <= 61 * 60 * 1_000_000));
        assert_eq!(left, Some((7, true)));
    });
}

#[test]
fn a_store_that_two_gateways_use_is_noticed_by_the_one_before() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: day}\n");
    runtime().block_on(async {
        let settings = settings(&redis);
        let mut one = Replica::start(&settings, "same").await;
        let _held = reserve(&one.limits, &rules, (0, 10, 90, false)).await.unwrap();
        let mut two = Replica::start(&settings, "same").await;
        assert!(
            reserve(&two.limits, &rules, (0, 10, 990, false)).await.is_ok(),
            "what the one before held is given up"
        );
        assert!(one.task.beat(&one.connection).await.is_err());
        let refused = reserve(&one.limits, &rules, (0, 0, 0, false)).await.err();
        assert_eq!(refused, Some((Why::Uncounted, false)));
        assert!(!two.task.beat(&two.connection).await.unwrap());
    });
}

#[test]
fn an_answer_that_nobody_waits_for_holds_nothing() {
    let Some(redis) = Redis::start() else { return };
    let rules = rules("budgets:\n  all: {tokens: 1000, window: day}\n");
    runtime().block_on(async {
        let mut one = Replica::start(&settings(&redis), "one").await;
        {
            let limits = Arc::clone(&one.limits);
            let mut asking = Box::pin(reserve(&limits, &rules, (0, 10, 90, false)));
            // Far enough that the question is on its way.
            assert!(futures_util::poll!(&mut asking).is_pending());
            tokio::task::yield_now().await;
        }
        one.tell().await;
        one.look().await;
        assert_eq!(levels(&one.limits), ["all {} 0 0"]);
    });
}
