//! Counters that gateways share: several of them, over one Redis, are as one.

use crate::support::gate::Plan;
use crate::support::redis::Redis;
use crate::support::{Answer, Ask, CHAT, Client, Gate, Process, patient, until};
use narrows_ledger::{Filter, Ledger, PageRequest, Record};
use serde_json::Value;
use std::net::SocketAddr;

/// Gateways that count together.
const REPLICAS: usize = 4;

fn plan(redis: &Redis, limits: &str) -> Plan {
    let counters =
        format!("counters: {{redis: '{}', expire: 3s, timeout: 5s}}\nreplicas: {REPLICAS}", redis.url());
    Gate::plan().top(&format!("reload: {{watch: off}}\n{counters}\n{limits}"))
}

fn start(redis: &Redis, limits: &str) -> Vec<Gate> {
    (0..REPLICAS).map(|_| plan(redis, limits).start()).collect()
}

/// A request for an answer of at most so many tokens.
fn bounded(most: u64, stream: bool) -> Ask {
    let body = format!(
        r#"{{"model":"gpt-4o","max_tokens":{most},"messages":[{{"role":"user","content":"hi"}}],"stream":{stream}}}"#
    );
    Ask::post(CHAT.unary, body)
}

/// The counters of a budget, as the administration API tells them.
fn of(answer: &Value, name: &str) -> Vec<Value> {
    let budgets = answer["budgets"].as_array().unwrap();
    let found = budgets.iter().find(|budget| budget["name"] == name).unwrap();
    found["counters"].as_array().unwrap().clone()
}

/// What was spent of a budget with one counter, once a gateway sees that nothing is held and that it is `expected`.
async fn comes_to(gate: &Gate, name: &str, expected: u64) {
    let mut last = Value::Null;
    let seen = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            let counters = of(&gate.admin("/admin/v1/budgets").await.json(), name);
            last = counters.first().cloned().unwrap_or(Value::Null);
            let spent = last["spent"].as_u64();
            if spent == Some(expected) && last["reserved"] == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(seen.await.is_ok(), "{expected} expected of {name}: {last}");
}

fn tokens(records: &[Record]) -> u64 {
    records.iter().filter_map(|record| record.usage.total()).sum()
}

/// Every record of a store.
fn all(ledger: &Ledger) -> Vec<Record> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.records(&Filter::default(), PageRequest { limit: 1000, cursor }).unwrap();
        records.extend(page.records);
        cursor = page.next;
        if cursor.is_none() {
            return records;
        }
    }
}

async fn ask(address: SocketAddr, wire: Vec<u8>) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(&wire).await;
    client.answer(false).await
}

/// Has each gateway asked at once, so many times, and gives the statuses.
async fn at_once(gates: &[Gate], each: usize, make: impl Fn() -> Ask) -> Vec<(u16, String)> {
    let mut running = tokio::task::JoinSet::new();
    for gate in gates {
        for _ in 0..each {
            let (address, wire) = (gate.address, make().key(&gate.key).wire());
            running.spawn(ask(address, wire));
        }
    }
    let answers = patient("all answers", running.join_all()).await;
    answers.iter().map(|answer| (answer.status(), answer.text())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_streams_over_four_gateways_never_pass_a_dollar_together() {
    const STREAMS: usize = 500;
    /// What an answer of these costs at most: 500 tokens at 10 dollars a million, and a short prompt.
    const WORST: u64 = 6_000_000;
    let Some(redis) = Redis::start() else { return };
    // A busy machine is no reason to refuse here.
    let limits = "limits: {scheduling_delay: off}\nbudgets:\n  all: {usd: 1, window: day}\n";
    let gates = start(&redis, limits);
    let mut running = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let gate = &gates[number % REPLICAS];
        let ask = bounded(500, true).fake("input=5;chunks=40;chunk_bytes=32;gap_ms=5");
        let (address, wire) = (gate.address, ask.key(&gate.key).wire());
        running.spawn(async move {
            // As a client that heeds `retry-after` does, only sooner: until it is served, or the budget is spent.
            let mut asked = 0;
            loop {
                asked += 1;
                let mut client = Client::connect(address).await;
                client.send(&wire).await;
                let answer = client.answer(false).await;
                match answer.status() {
                    200 => return (asked, true),
                    429 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                    402 => return (asked, false),
                    other => panic!("{other}: {}", answer.text()),
                }
            }
        });
    }
    let limit = std::time::Duration::from_secs(120);
    let outcomes = tokio::time::timeout(limit, running.join_all()).await.unwrap();
    let (asked, served) =
        (outcomes.iter().map(|(asked, _)| asked).sum::<usize>(), outcomes.iter().filter(|one| one.1).count());
    let (mut spent, mut records) = (0, 0);
    for gate in &gates {
        for record in gate.records().await {
            spent += record.cost.nano_usd().unwrap_or(0);
            records += 1;
        }
    }
    eprintln!("{STREAMS} streams asked {asked} times, {served} served, {spent} nano-dollars spent");
    assert_eq!(records, asked, "one record each, refused or not");
    assert!((1_000_000_000 - WORST..=1_000_000_000).contains(&spent), "{spent}");
    assert!(served < STREAMS, "the budget ended it");
    for gate in &gates {
        comes_to(gate, "all", spent).await;
    }
    let waited: f64 = {
        let mut sum = 0.0;
        for gate in &gates {
            sum += gate.gauge("narrows_counters_round_trips_total").await;
        }
        sum
    };
    assert_eq!(waited, asked as f64, "one round trip for each request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_gives_up_what_it_held_and_its_records_are_the_counter() {
    let Some(redis) = Redis::start() else { return };
    let top = format!(
        "reload: {{watch: off}}\ncounters: {{redis: '{}', expire: 3s, timeout: 5s}}\n\
         budgets:\n  all: {{tokens: 100000, window: day}}\nrate_limits:\n  open: {{concurrent: 1000}}",
        redis.url()
    );
    let mut gates = Vec::new();
    for _ in 0..REPLICAS {
        gates.push(Process::start(&top).await);
    }
    // Some that are done on each, and a long one that is open on each.
    let mut open = Vec::new();
    for gate in &gates {
        for _ in 0..5 {
            let wire = bounded(100, false).fake("input=5;body_bytes=160").key(&gate.key).wire();
            assert_eq!(ask(gate.gateway, wire).await.status(), 200);
        }
        let mut client = Client::connect(gate.gateway).await;
        let long = bounded(1000, true).fake("input=5;chunks=100000;chunk_bytes=16;gap_ms=20");
        client.send(&long.key(&gate.key).wire()).await;
        client.head().await;
        client.chunk().await.unwrap();
        open.push(client);
    }
    let counter = async |gate: &Process| of(&gate.admin("/admin/v1/budgets").await.json(), "all")[0].clone();
    let held = async |gate: &Process, least: u64, most: u64| {
        until("what is held to be as expected", async || {
            let reserved = counter(gate).await["reserved"].as_u64().unwrap();
            (least..=most).contains(&reserved).then_some(())
        })
        .await;
    };
    held(&gates[1], 4 * 1000, 4 * 1100).await;
    gates[0].kill();
    held(&gates[1], 3 * 1000, 3 * 1100).await;
    // The rest is right: they go on, and end.
    drop(open);
    held(&gates[1], 0, 0).await;
    // What the dead one had told is what it had stored, once it is back.
    gates[0].start_again().await;
    let mut sum = 0;
    for gate in &gates {
        until("records to be written", async || {
            let metrics = gate.health("/metrics").await.text();
            let gauge = |name| crate::support::gate::gauge(&metrics, name);
            (gauge("narrows_exchanges_in_flight") + gauge("narrows_records_queue") == 0.0).then_some(())
        })
        .await;
        sum += tokens(&all(&gate.ledger));
    }
    for gate in &gates {
        until("the counter to be the sum of the records", async || {
            let counter = counter(gate).await;
            (counter["spent"].as_u64() == Some(sum) && counter["reserved"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gateway_spends_is_spent_for_all() {
    let Some(redis) = Redis::start() else { return };
    let gates = start(
        &redis,
        "budgets:\n  mine: {per: [team, user], requests: 2, window: month, time_zone: Europe/Zurich}\n",
    );
    for gate in &gates[..2] {
        let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    for gate in &gates {
        // What the others came to is told when they have been answered.
        let refused = until("the budget to be spent", async || {
            let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
            (answer.status() == 402).then_some(answer)
        })
        .await;
        let text = refused.text();
        assert!(text.contains("the budget mine for team blue, user ada is spent: 2 requests of 2"), "{text}");
        assert!(text.contains("wait until 2"), "{text}");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_over_four_gateways_lets_in_what_it_says_and_not_one_more() {
    let Some(redis) = Redis::start() else { return };
    let gates = start(
        &redis,
        "rate_limits:\n  each: {per: user, requests: 100, every: hour}\n  open: {concurrent: 500}\n",
    );
    let answers = at_once(&gates, 40, || Ask::unary(&CHAT)).await;
    let served = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(served, 100);
    for (status, text) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(*status, 429, "{text}");
    }
    let answer = gates[0].ask_as_key(Ask::unary(&CHAT)).await;
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 3_660);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_waits_for_one_round_trip_and_no_more() {
    const REQUESTS: u64 = 20;
    let Some(redis) = Redis::start() else { return };
    let gate = plan(
        &redis,
        "budgets:\n  a: {tokens: 100000, window: day}\n  b: {per: [user, model], usd: 10, window: 30d}\n  \
         c: {per: team, requests: 1000, window: month}\n\
         rate_limits:\n  d: {per: key, requests: 1000, tokens: 1000000, concurrent: 9}\n",
    )
    .start();
    for _ in 0..REQUESTS {
        assert_eq!(gate.ask_as_key(bounded(50, false)).await.status(), 200);
    }
    until("everything to be told", async || {
        let metrics = gate.scrape().await;
        let gauge = |name| crate::support::gate::gauge(&metrics, name);
        (gauge("narrows_counters_untold") == 0.0 && gauge("narrows_exchanges_in_flight") == 0.0).then_some(())
    })
    .await;
    let metrics = gate.scrape().await;
    let gauge = |name| crate::support::gate::gauge(&metrics, name);
    assert_eq!(gauge("narrows_counters_round_trips_total"), REQUESTS as f64);
    assert_eq!(gauge("narrows_counters_failures_total"), 0.0);
    // Redis counts the same: nothing is asked beside what is told here.
    let told = REQUESTS as f64 + gauge("narrows_counters_background_calls_total");
    let calls = redis.calls() as f64;
    assert!((told..=told + 3.0).contains(&calls), "{calls} calls, {told} told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_hard_limits_refuse_soft_ones_pass_and_nothing_is_lost() {
    let Some(mut redis) = Redis::start() else { return };
    let gates = start(
        &redis,
        "budgets:\n  soft: {tokens: 100000, window: day, on_error: allow}\n  \
         hard: {where: {model: gpt-4o-mini}, tokens: 100000, window: day}\n",
    );
    let soft = || bounded(100, false).fake("input=5;body_bytes=160");
    let hard = || {
        let body = r#"{"model":"gpt-4o-mini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
        Ask::post(CHAT.unary, body)
    };
    assert_eq!(gates[0].ask_as_key(hard()).await.status(), 200);
    // It forgets everything, too.
    redis.kill();
    for gate in &gates {
        for _ in 0..3 {
            let answer = gate.ask_as_key(soft()).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            let answer = gate.ask_as_key(hard()).await;
            assert_eq!(
                (answer.status(), answer.header("retry-after")),
                (503, Some("1")),
                "{}",
                answer.text()
            );
            assert!(answer.text().contains("limit_uncounted") && answer.text().contains("do not answer"));
        }
        assert_eq!(gate.gauge("narrows_counters_connected").await, 0.0);
        assert_eq!(gate.gauge("narrows_limit_uncounted_total").await, 3.0);
    }
    // One that is open across all of it.
    let mut client = gates[3].connect().await;
    let long = bounded(1000, true).fake("input=5;chunks=100000;chunk_bytes=16;gap_ms=20");
    client.send(&long.key(&gates[3].key).wire()).await;
    client.head().await;
    redis.again();
    for gate in &gates {
        until("the gateway to be back", async || {
            (gate.ask_as_key(hard()).await.status() == 200).then_some(())
        })
        .await;
    }
    until("what is held to be held again", async || {
        let counters = of(&gates[0].admin("/admin/v1/budgets").await.json(), "soft");
        (counters[0]["reserved"].as_u64() >= Some(1000)).then_some(())
    })
    .await;
    drop(client);
    let mut sum = 0;
    for gate in &gates {
        sum += tokens(&gate.records().await);
    }
    for gate in &gates {
        comes_to(gate, "soft", sum).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_is_given_up_and_taken_back() {
    let Some(redis) = Redis::start() else { return };
    let counters = format!("reload: {{watch: off}}\ncounters: {{redis: '{}', timeout: 100ms}}", redis.url());
    let gate =
        Gate::plan().top(&format!("{counters}\nbudgets:\n  all: {{tokens: 100000, window: day}}")).start();
    assert_eq!(gate.ask_as_key(bounded(9, false)).await.status(), 200);
    redis.signal("STOP");
    for _ in 0..3 {
        assert_eq!(gate.ask_as_key(bounded(9, false)).await.status(), 503);
    }
    assert_eq!(gate.gauge("narrows_counters_connections_lost_total").await, 1.0);
    let asked = gate.gauge("narrows_counters_round_trips_total").await;
    for _ in 0..10 {
        assert_eq!(gate.ask_as_key(bounded(9, false)).await.status(), 503);
    }
    assert_eq!(gate.gauge("narrows_counters_round_trips_total").await, asked, "nobody waits any more");
    redis.signal("CONT");
    until("the gateway to be back", async || {
        (gate.ask_as_key(bounded(9, false)).await.status() == 200).then_some(())
    })
    .await;
    let spent = tokens(&gate.records().await);
    comes_to(&gate, "all", spent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_is_told_once_by_whichever_gateway_crosses_it() {
    let Some(redis) = Redis::start() else { return };
    let gates = start(
        &redis,
        "budgets:\n  all: {requests: 10, window: day, thresholds: [50, 100], at_limit: warn}\n",
    );
    for round in 0..5 {
        for gate in &gates {
            let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
            assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
        }
    }
    for gate in &gates {
        comes_to(gate, "all", 5 * REPLICAS as u64).await;
    }
    let mut alerts = Vec::new();
    for gate in &gates {
        let told = gate.admin("/admin/v1/alerts").await.json();
        alerts.extend(told["alerts"].as_array().unwrap().iter().map(|alert| alert["rules"][0].clone()));
    }
    alerts.sort_by_key(Value::to_string);
    assert_eq!(alerts, ["budget/all/100%", "budget/all/50%"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_at_a_budget_that_gateways_share() {
    let Some(redis) = Redis::start() else { return };
    let gates =
        start(&redis, "budgets:\n  all: {tokens: 600, window: day, reserve_output: 20, end_streams: true}\n");
    let ask = || Ask::stream(&CHAT).fake("input=10;chunks=100000;chunk_bytes=16;gap_ms=5");
    let answers = at_once(&gates[..2], 1, ask).await;
    for (status, text) in &answers {
        assert_eq!(*status, 200);
        assert!(
            text.contains("budget_spent") && text.contains("the answer ends here: the budget all"),
            "{text}"
        );
    }
    let mut spent = 0;
    for gate in &gates {
        spent += tokens(&gate.records().await);
    }
    // Beyond it is what was read of each stream in a round trip, which a busy machine makes long.
    assert!((400..=2000).contains(&spent), "{spent}");
    for gate in &gates[..2] {
        comes_to(gate, "all", spent).await;
    }
}

fn leasing(redis: &Redis, limits: &str) -> Plan {
    let counters = format!(
        "counters: {{redis: '{}', expire: 30s, timeout: 5s, mode: leases}}\nreplicas: {REPLICAS}",
        redis.url()
    );
    Gate::plan().top(&format!("reload: {{watch: off}}\n{counters}\n{limits}"))
}

/// Asks until a request is let in from leases.
async fn warm(gate: &Gate, ask: impl Fn() -> Ask) {
    let before = gate.gauge("narrows_counters_leased_total").await;
    until("a lease to be there", async || {
        assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
        (gate.gauge("narrows_counters_leased_total").await > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_leases_no_request_waits_for_a_round_trip() {
    const REQUESTS: u64 = 30;
    let Some(redis) = Redis::start() else { return };
    let gate = leasing(
        &redis,
        "budgets:\n  a: {tokens: 1000000, window: day}\n  b: {per: user, usd: 1000, window: 30d}\n\
         rate_limits:\n  c: {requests: 100000, tokens: 10000000, concurrent: 1000}\n",
    )
    .start();
    let ask = || bounded(50, false).fake("input=5;body_bytes=160");
    warm(&gate, ask).await;
    let asked = gate.gauge("narrows_counters_round_trips_total").await;
    for _ in 0..REQUESTS {
        assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    }
    assert_eq!(gate.gauge("narrows_counters_round_trips_total").await, asked);
    let spent = tokens(&gate.records().await);
    comes_to(&gate, "a", spent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_four_gateways_never_pass_a_budget_and_leave_little_of_it() {
    let Some(redis) = Redis::start() else { return };
    let limits = "budgets:\n  all: {tokens: 20000, window: day}\n";
    let gates: Vec<Gate> = (0..REPLICAS).map(|_| leasing(&redis, limits).start()).collect();
    let ask = || bounded(100, true).fake("input=5;chunks=10;chunk_bytes=16;gap_ms=1");
    // Wave after wave, until the budget says that it is spent.
    for wave in 0.. {
        assert!(wave < 100, "the budget is never spent");
        let answers = at_once(&gates, 10, ask).await;
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert!(statuses.iter().all(|status| [200, 402, 429].contains(status)), "{statuses:?}");
        if statuses.iter().filter(|status| **status == 402).count() == statuses.len() {
            break;
        }
    }
    let mut spent = 0;
    for gate in &gates {
        spent += tokens(&gate.records().await);
    }
    assert!((20_000 - 110..=20_000).contains(&spent), "{spent}");
    for gate in &gates {
        comes_to(gate, "all", spent).await;
    }
    let mut leased = 0.0;
    for gate in &gates {
        leased += gate.gauge("narrows_counters_leased_total").await;
    }
    assert!(leased > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_hard_limits_go_on_as_long_as_leases_last() {
    let Some(mut redis) = Redis::start() else { return };
    let gate = leasing(&redis, "budgets:\n  all: {tokens: 100000, window: day}\n").start();
    let ask = || bounded(100, false).fake("input=5;body_bytes=160");
    warm(&gate, ask).await;
    redis.kill();
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200, "from the lease");
    let mut served = 1;
    loop {
        let answer = gate.ask_as_key(ask()).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 503, "{}", answer.text());
            break;
        }
        served += 1;
        assert!(served < 1000, "leases never run out");
    }
    redis.again();
    until("the gateway to be back", async || (gate.ask_as_key(ask()).await.status() == 200).then_some(()))
        .await;
    let spent = tokens(&gate.records().await);
    comes_to(&gate, "all", spent).await;
}

#[tokio::test]
async fn a_redis_that_lets_nobody_in_any_more_is_told_with_what_to_do() {
    let Some(redis) = Redis::start() else { return };
    let password = |word: &str| {
        let set = ["ACL", "SETUSER", "gate", "on", "resetpass", word, "~{narrows}*", "+@all"];
        assert_eq!(redis.ask(&set), "+OK\r\n");
    };
    password(">right-canary");
    let top = format!(
        "counters: {{redis: '{}', username: gate, password: right-canary}}\n\
         budgets:\n  all: {{tokens: 100000, window: day}}",
        redis.url()
    );
    let mut process = Process::start(&top).await;
    let degraded = async |process: &Process, expected: &[&str]| {
        until("what is degraded", async || {
            (process.health("/readyz").await.json()["degraded"] == serde_json::json!(expected)).then_some(())
        })
        .await;
    };
    degraded(&process, &[]).await;
    password(">other");
    redis.ask(&["CLIENT", "KILL", "USER", "gate"]);
    let said = process.logged("shared counters cannot be reached").await;
    assert!(said.contains("authentication failed") && said.contains("`counters.password`"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    degraded(&process, &["counters_unreachable"]).await;
    password(">right-canary");
    process.logged("budgets and rate limits are shared").await;
    degraded(&process, &[]).await;
}
