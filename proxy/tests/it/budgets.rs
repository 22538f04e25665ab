//! Budgets: reserved before a request is sent, settled to what it came to, whatever becomes of it.

use crate::support::gate::Plan;
use crate::support::scripted::{Act, Scripted};
use crate::support::{
    Answer, Ask, CHAT, Client, EMBEDDINGS, GEMINI, GENERATING, Gate, MESSAGES, Process, patient, until,
};
use narrows_ledger::{Filter, PageRequest, Record};
use narrows_llm::Family;
use narrows_policy::Reason;
use serde_json::{Value, json};

/// A request for an answer of at most so many tokens.
fn bounded(most: u64, stream: bool) -> Ask {
    let body = format!(
        r#"{{"model":"gpt-4o","max_tokens":{most},"messages":[{{"role":"user","content":"hi"}}],"stream":{stream}}}"#
    );
    Ask::post(CHAT.unary, body)
}

/// An answer that costs 5 tokens of prompt and 40 of text.
const COSTS_45: &str = "input=5;chunks=10;chunk_bytes=16";

fn plan(budgets: &str) -> Plan {
    Gate::plan().top(&format!("reload: {{watch: off}}\nbudgets:\n{budgets}"))
}

/// The counters of a budget, as the administration API tells them.
async fn counters(gate: &Gate, name: &str) -> Vec<Value> {
    of(&gate.admin("/admin/v1/budgets").await.json(), name)
}

fn of(answer: &Value, name: &str) -> Vec<Value> {
    let budgets = answer["budgets"].as_array().unwrap();
    let found = budgets.iter().find(|budget| budget["name"] == name).unwrap();
    found["counters"].as_array().unwrap().clone()
}

/// The one counter of a budget, once nothing is held.
async fn spent(gate: &Gate, name: &str) -> u64 {
    until("every reservation to be given back", async || {
        let counters = counters(gate, name).await;
        assert!(counters.len() < 2, "{counters:?}");
        let Some(counter) = counters.first() else { return Some(0) };
        (counter["reserved"] == 0).then(|| counter["spent"].as_u64().unwrap())
    })
    .await
}

/// Asks, and waits until it is settled: that happens when the answer has been sent, and not before.
async fn settled(gate: &Gate, ask: Ask) -> Answer {
    let answer = gate.ask(&ask).await;
    gate.ledger_record(&answer).await;
    answer
}

fn tokens(records: &[Record]) -> u64 {
    records.iter().filter_map(|record| record.usage.total()).sum()
}

fn refusal(answer: &Answer, family: Family) -> (u16, String, Option<String>, Option<String>) {
    let header = |name: &str| answer.header(name).map(str::to_owned);
    (answer.status(), answer.code(family), header("retry-after"), header("x-should-retry"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_streams_never_pass_a_budget_that_bounds_their_answers() {
    const STREAMS: usize = 60;
    let gate = plan("  all: {tokens: 1000, window: day}").start();
    let ask = bounded(100, true).key(&gate.key).fake(&format!("{COSTS_45};gap_ms=2"));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (address, wire) = (gate.address, ask.wire());
        running.spawn(async move {
            let mut client = Client::connect(address).await;
            client.send(&wire).await;
            client.answer(false).await
        });
    }
    let answers = patient("all streams", running.join_all()).await;
    let served = answers.iter().filter(|answer| answer.status() == 200).count();
    for answer in answers.iter().filter(|answer| answer.status() != 200) {
        let found = refusal(answer, Family::Openai);
        let held = (429, "budget_held".to_owned(), Some("1".to_owned()), None);
        let left_too_little = (402, "budget_spent".to_owned(), None, Some("false".to_owned()));
        assert!(found == held || found == left_too_little, "{found:?}");
    }
    let spent = spent(&gate, "all").await;
    let records = gate.records().await;
    assert_eq!(records.len(), STREAMS, "one record each, refused or not");
    assert_eq!(tokens(&records), spent, "the counter is the sum of the records");
    assert!((8..STREAMS).contains(&served), "eight fit at once: {served}");
    assert!(spent <= 1000, "{spent}");
    assert_eq!(spent, served as u64 * 45);
}

#[tokio::test]
async fn what_goes_beyond_is_what_reservations_missed_and_nothing_more() {
    // Each reserves little and costs 45: the documented bound is the limit, and what is missed by those that are open.
    let gate = plan("  all: {tokens: 100, window: day, reserve_output: 10}").start();
    let mut served = 0;
    loop {
        let ask = Ask::unary(&CHAT).fake("input=5;body_bytes=160");
        let answer = gate.ask_as_key(ask).await;
        if answer.status() != 200 {
            break;
        }
        served += 1;
    }
    let spent = spent(&gate, "all").await;
    assert_eq!(spent, served * 45);
    assert!((100 - 45..=100 + 45).contains(&spent), "one was open at a time: {spent}");
}

#[tokio::test]
async fn a_stream_ends_at_its_budget_in_its_dialect_where_that_is_wanted() {
    for kind in GENERATING {
        let gate = plan("  all: {tokens: 300, window: day, reserve_output: 20, end_streams: true}").start();
        let ask = Ask::stream(kind).key(&gate.key).fake("input=10;chunks=100000;chunk_bytes=16;gap_ms=1");
        let answer = settled(&gate, ask).await;
        assert_eq!(
            (answer.status(), answer.whole),
            (200, true),
            "it ends properly, with an event that says why"
        );
        let text = answer.text();
        assert!(
            text.contains("budget_spent") && text.contains("the answer ends here: the budget all"),
            "{text}"
        );
        let record = gate.record().await;
        assert_eq!(record.reason, Reason::BudgetSpent);
        let spent = spent(&gate, "all").await;
        assert_eq!(Some(spent), record.usage.total());
        // What is read at once may be more than one chunk; each has some four tokens.
        assert!((200..=400).contains(&spent), "{kind:?}: {spent}");
        let again = gate.ask_as_key(Ask::unary(kind)).await;
        assert_eq!(again.status(), 402, "{}", again.text());
    }
}

#[tokio::test]
async fn a_stream_that_its_budget_ends_within_an_event_is_cut_after_the_last_whole_one() {
    let event = |text: &str| {
        let delta = json!({"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o",
            "choices": [{"index": 0, "delta": {"content": text}}]});
        format!("data: {delta}\n\n")
    };
    let (whole, begun) = (event(&"some words ".repeat(60)), event("never"));
    let begun = &begun[..begun.len() - 20];
    for parts in [vec![format!("{whole}{begun}")], vec![whole.clone(), begun.to_owned()]] {
        let chunks: String = parts.iter().map(|part| format!("{:x}\r\n{part}\r\n", part.len())).collect();
        let said = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        );
        let provider = Scripted::start(vec![Act::SayAndHold(said.into_bytes())]).await;
        let gate = plan("  all: {tokens: 50, window: day, reserve_output: 20, end_streams: true}")
            .provider(
                "own",
                &format!("kind: openai-compatible, base_url: 'http://{}/v1', api_key: k", provider.address),
            )
            .start();
        let body = r#"{"model":"own/gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
        let answer = gate.ask_as_key(Ask::post(CHAT.stream, body)).await;
        assert_eq!((answer.status(), answer.whole), (200, true), "{}", answer.text());
        let text = answer.text();
        let told = text.strip_prefix(&whole).unwrap_or_else(|| panic!("the whole event is there: {text}"));
        assert!(
            told.starts_with("data: {") && told.contains("budget_spent") && told.ends_with("\n\n"),
            "{told}"
        );
        assert!(!text.contains("never"), "{text}");
        assert_eq!(gate.record().await.reason, Reason::BudgetSpent);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_charged_what_was_made_for_it() {
    let gate = plan("  all: {tokens: 10000, window: day}").start();
    let mut client = gate.connect().await;
    client.send(&bounded(100, true).key(&gate.key).fake("chunks=50;chunk_bytes=16;gap_ms=20").wire()).await;
    client.head().await;
    client.chunk().await.unwrap();
    assert_eq!(counters(&gate, "all").await[0]["spent"], 0);
    assert!(counters(&gate, "all").await[0]["reserved"].as_u64().unwrap() >= 100);
    drop(client);
    let spent = spent(&gate, "all").await;
    assert_eq!(spent, tokens(&gate.records().await));
    assert!(spent > 0);
}

#[tokio::test]
async fn a_request_that_fails_gives_its_reservation_back() {
    let refusing = Scripted::start(vec![Act::json(500, "", r#"{"error":{"message":"no"}}"#)]).await;
    let gate = plan("  all: {tokens: 150, window: day}")
        .provider(
            "own",
            &format!("kind: openai-compatible, base_url: 'http://{}/v1', api_key: k", refusing.address),
        )
        .start();
    for _ in 0..3 {
        let body = r#"{"model":"own/m","max_tokens":120,"messages":[{"role":"user","content":"hi"}]}"#;
        let answer = gate.ask_as_key(Ask::post(CHAT.unary, body)).await;
        assert_eq!(answer.status(), 500, "the provider's, and not the budget's: {}", answer.text());
        assert_eq!(spent(&gate, "all").await, 0);
    }
    // A request that is refused by a later step holds nothing either.
    let answer = gate.ask_as_key(bounded(120, false).fake(COSTS_45)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[tokio::test]
async fn a_spent_budget_is_refused_in_every_dialect_and_no_client_tries_again() {
    let gate =
        plan("  mine: {per: [team, user], requests: 1, window: month, time_zone: Europe/Zurich}").start();
    assert_eq!(settled(&gate, Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    for kind in [&CHAT, &MESSAGES, &GEMINI] {
        let answer = gate.ask_as_key(Ask::unary(kind)).await;
        let expected = (402, "budget_spent".to_owned(), None, Some("false".to_owned()));
        assert_eq!(refusal(&answer, kind.family()), expected, "{}", answer.text());
        let text = answer.text();
        for part in [
            "the budget mine for team blue, user ada is spent: 1 requests of 1 requests",
            "month (Europe/Zurich)",
            "wait until 2",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert_eq!(gate.fake.requests(), 1);
    assert_eq!(
        gate.gauge(r#"narrows_limit_refusals_total{limit="mine",kind="budget",reason="budget_spent"}"#).await,
        3.0
    );
    assert_eq!(gate.gauge(r#"narrows_budget_spent{budget="mine"}"#).await, 1.0);
    assert_eq!(gate.gauge(r#"narrows_budget_fullest_ratio{budget="mine"}"#).await, 1.0);
}

#[tokio::test]
async fn a_request_larger_than_the_whole_budget_is_told_so() {
    let gate = plan("  all: {tokens: 100, window: day}").start();
    let answer = gate.ask_as_key(bounded(101, false)).await;
    let expected = (413, "request_over_limit".to_owned(), None, Some("false".to_owned()));
    assert_eq!(refusal(&answer, Family::Openai), expected);
    assert_eq!(gate.ask_as_key(bounded(50, false).fake("input=1;body_bytes=8")).await.status(), 200);
}

#[tokio::test]
async fn a_member_that_its_dialect_does_not_know_bounds_no_answer() {
    let gate = plan("  all: {tokens: 1000, window: day}").start();
    let body = r#"{"model":"gpt-4o","max_output_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = gate.ask_as_key(Ask::post(CHAT.unary, body)).await;
    let expected = (413, "request_over_limit".to_owned(), None, Some("false".to_owned()));
    assert_eq!(refusal(&answer, Family::Openai), expected, "{}", answer.text());
    assert_eq!(gate.fake.requests(), 0);
}

#[tokio::test]
async fn each_user_has_a_counter_of_its_own() {
    let gate = plan("  each: {per: user, requests: 1, window: day}\n  blue: {where: {team: blue}, requests: 2, window: day}")
        .key(|key| (key.user, key.team) = (Some("bob".into()), Some("blue".into())))
        .key(|key| (key.user, key.team) = (Some("eve".into()), Some("red".into())))
        .key(|key| key.team = Some("blue".into()))
        .start();
    let keys: Vec<String> = gate.keys.iter().map(|(_, key)| key.clone()).collect();
    let ask = async |key: &str| settled(&gate, Ask::unary(&CHAT).key(key)).await.status();
    assert_eq!((ask(&keys[0]).await, ask(&keys[0]).await), (200, 402), "ada's is spent");
    assert_eq!((ask(&keys[1]).await, ask(&keys[2]).await), (200, 200), "bob's and eve's are not");
    assert_eq!(ask(&keys[3]).await, 402, "nobody's would do; team blue has had its two");
    let mut scopes: Vec<Value> =
        counters(&gate, "each").await.iter().map(|counter| counter["scope"].clone()).collect();
    scopes.sort_by_key(Value::to_string);
    scopes.retain(|scope| scope["user"] != Value::Null);
    assert_eq!(scopes, [json!({"user": "ada"}), json!({"user": "bob"}), json!({"user": "eve"})]);
}

#[tokio::test]
async fn a_budget_that_is_raised_or_given_another_window_forgets_nothing() {
    let gate = plan("  all: {requests: 1, window: day}").start();
    let ask = async || settled(&gate, Ask::unary(&CHAT).key(&gate.key)).await.status();
    assert_eq!((ask().await, ask().await), (200, 402));
    for (from, to, then) in [
        ("requests: 1, window: day", "requests: 2, window: day", [200, 402]),
        ("requests: 2, window: day", "requests: 3, window: month", [200, 402]),
        ("requests: 3, window: month", "requests: 4, window: 30d", [200, 402]),
        // In another unit what was spent is known too.
        ("requests: 4, window: 30d", "tokens: 1, window: week", [413, 413]),
    ] {
        gate.edit(from, to);
        assert_eq!(gate.reload().await.json()["result"], "applied");
        assert_eq!([ask().await, ask().await], then, "{to}");
    }
    assert_eq!(spent(&gate, "all").await, tokens(&gate.records().await));
}

#[tokio::test]
async fn a_killed_gateway_starts_again_with_what_its_records_say() {
    let mut process =
        Process::start("reload: {watch: off}\nbudgets:\n  all: {tokens: 100000, window: 7d}").await;
    let ask = bounded(100, false).key(&process.key).fake(COSTS_45);
    let mut client = Client::connect(process.gateway).await;
    for _ in 0..25 {
        assert_eq!(client.ask(&ask).await.status(), 200);
    }
    // Whatever had reached the store by now: the rest is lost with the records that it belongs to.
    process.kill_and_start().await;
    let page = PageRequest { limit: 1000, cursor: None };
    let records = process.ledger.records(&Filter::default(), page).unwrap().records;
    let counters = of(&process.admin("/admin/v1/budgets").await.json(), "all");
    let spent = counters.first().map_or(0, |counter| counter["spent"].as_u64().unwrap());
    assert_eq!(spent, tokens(&records));
    assert_eq!(spent, records.len() as u64 * 45);
    let mut client = Client::connect(process.gateway).await;
    assert_eq!(client.ask(&ask).await.status(), 200);
    let again = until("the exchange to be counted", async || {
        let counters = of(&process.admin("/admin/v1/budgets").await.json(), "all");
        counters.first().filter(|counter| counter["reserved"] == 0)?["spent"].as_u64()
    })
    .await;
    assert_eq!(again, spent + 45);
}

#[tokio::test]
async fn each_threshold_raises_one_alert_in_a_window() {
    let gate = plan("  all: {per: key, requests: 10, window: day, thresholds: [50, 80, 100]}").start();
    for _ in 0..12 {
        settled(&gate, Ask::unary(&CHAT).key(&gate.key)).await;
    }
    gate.records().await;
    let alerts = until("the alerts to be written", async || {
        let alerts = gate.admin("/admin/v1/alerts").await.json()["alerts"].as_array().unwrap().clone();
        (alerts.len() >= 3).then_some(alerts)
    })
    .await;
    let mut rules: Vec<&str> = alerts.iter().map(|alert| alert["rules"][0].as_str().unwrap()).collect();
    rules.sort_unstable();
    assert_eq!(rules, ["budget/all/100%", "budget/all/50%", "budget/all/80%"]);
    for alert in &alerts {
        assert_eq!(alert["count"], 1, "{alert}");
        let blocks = alert["rules"][0] == "budget/all/100%";
        assert_eq!(alert["severity"], if blocks { "medium" } else { "low" }, "{alert}");
    }
    let half = alerts.iter().find(|alert| alert["rules"][0] == "budget/all/50%").unwrap();
    let said = format!(
        "50 % of the budget all for key {} are spent: 5 requests of 10 requests in this day (UTC)",
        gate.key_id
    );
    assert_eq!(half["explanation"], said.as_str());
}

#[tokio::test]
async fn a_budget_that_warns_or_slows_down_refuses_nothing() {
    let gate = plan(
        "  warns: {requests: 1, window: day, at_limit: warn}\n  slows: {requests: 2, window: day, at_limit: throttle, delay: 1ms}",
    )
    .start();
    for _ in 0..4 {
        assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    }
    assert_eq!(spent(&gate, "warns").await, 4);
    assert_eq!(spent(&gate, "slows").await, 4);
    assert_eq!(gate.gauge(r#"narrows_limit_waits_total{limit="slows",kind="budget"}"#).await, 2.0);
}

#[tokio::test]
async fn a_target_that_takes_over_is_charged_to_its_own_budget() {
    let a = Scripted::start(vec![Act::json(500, "", r#"{"error":{"message":"no"}}"#)]).await;
    let usage = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;
    let b = Scripted::start(vec![Act::json(200, "", usage)]).await;
    let provider = |at: &Scripted| {
        format!("kind: openai-compatible, base_url: 'http://{}/v1', api_key: k, models: []", at.address)
    };
    let gate = plan("  each: {per: provider, tokens: 10000, window: day}\n  b: {where: {provider: b}, requests: 1, window: day}")
        .provider("a", &provider(&a))
        .provider("b", &provider(&b))
        .top("models: {smart: {targets: [{provider: a, model: m}, {provider: b, model: m, priority: 1}]}}")
        .start();
    let body = r#"{"model":"smart","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(gate.ask_as_key(Ask::post(CHAT.unary, body)).await.status(), 200);
    gate.records().await;
    let each = counters(&gate, "each").await;
    let spent: Vec<_> = each
        .iter()
        .map(|one| (one["scope"]["provider"].clone(), one["spent"].clone(), one["reserved"].clone()))
        .collect();
    assert!(spent.contains(&(json!("b"), json!(8), json!(0))), "{spent:?}");
    assert!(!spent.iter().any(|(provider, spent, _)| provider == "a" && *spent != 0), "{spent:?}");
    // The budget of b is spent now, so nobody fails over to it.
    let other = r#"{"model":"smart","messages":[{"role":"user","content":"another"}]}"#;
    let answer = gate.ask_as_key(Ask::post(CHAT.unary, other)).await;
    assert_eq!(answer.status(), 402, "{}", answer.text());
}

/// The first target took the request, and nobody knows what it made of it; the second one answers.
#[tokio::test]
async fn each_target_is_charged_at_its_own_price_also_one_that_was_never_heard_of_again() {
    let usage = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;
    let a = Scripted::start(vec![Act::SayAndClose(Vec::new())]).await;
    let b = Scripted::start(vec![Act::json(200, "", usage)]).await;
    let provider = |at: &Scripted| {
        format!("kind: openai-compatible, base_url: 'http://{}/v1', api_key: k, models: []", at.address)
    };
    let price = |dollars: u32| format!("{{models: [{{match: ['*'], input: {dollars}, output: {dollars}}}]}}");
    let budgets = "  money: {per: provider, usd: 1, window: day}\n  all: {usd: 1, window: day}\n  \
                   tokens: {tokens: 10000, window: day}\n  asked: {requests: 10, window: day}";
    let gate = plan(budgets)
        .provider("a", &provider(&a))
        .provider("b", &provider(&b))
        .top(&format!("prices: {{providers: {{a: {}, b: {}}}}}", price(1000), price(1)))
        .top("models: {smart: {retries: {after_sent: true}, targets: [{provider: a, model: m}, {provider: b, model: m, priority: 1}]}}")
        .start();
    let body = r#"{"model":"smart","max_tokens":40,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = settled(&gate, Ask::post(CHAT.unary, body).key(&gate.key)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let record = gate.record().await;
    assert_eq!((record.provider.as_deref(), record.usage.total()), (Some("b"), Some(8)), "{record:?}");
    assert_eq!((record.cost.nano_usd(), record.total_cost().nano_usd()), (Some(8_000), None), "{record:?}");
    let [lost] = &record.also_used[..] else { panic!("{record:?}") };
    assert_eq!((&*lost.provider, lost.cost.nano_usd()), ("a", None));
    let prompt = lost.usage.total().unwrap();
    assert!(prompt > 0 && lost.usage.output().is_none(), "{lost:?}");
    // A thousand dollars a million: what was reserved is the prompt's estimate and forty tokens.
    let at_a = (prompt + 40) * 1_000_000;
    let each = counters(&gate, "money").await;
    let of = |name: &str| each.iter().find(|one| one["scope"]["provider"] == name).unwrap().clone();
    for (name, spent) in [("a", at_a), ("b", 8_000)] {
        assert_eq!((&of(name)["spent"], &of(name)["reserved"]), (&json!(spent), &json!(0)), "{name}");
    }
    assert_eq!(spent(&gate, "all").await, at_a + 8_000);
    assert_eq!(spent(&gate, "tokens").await, prompt + 40 + 8);
    assert_eq!(spent(&gate, "asked").await, 1);
    // The store charges the same.
    let mut stored = std::collections::BTreeMap::new();
    let mut take = |row: narrows_ledger::SpentRow| {
        let amounts: &mut (u64, u64) = stored.entry(row.counter.budget.to_string()).or_default();
        *amounts = (amounts.0 + row.spent.cost_nanousd, amounts.1 + row.spent.tokens);
    };
    gate.ledger.spending(0, &mut take).unwrap();
    assert_eq!((stored["all"].0, stored["money"].0), (at_a + 8_000, at_a + 8_000), "{stored:?}");
    assert_eq!(stored["tokens"].1, prompt + 40 + 8, "{stored:?}");
    let usage = gate.ledger.usage(&Filter::default(), &[narrows_ledger::Dimension::Provider]).unwrap();
    let rows: Vec<_> =
        usage.iter().map(|row| (row.sums.requests, row.sums.cost_unknown, row.sums.input)).collect();
    assert!(rows.contains(&(0, 1, prompt)) && rows.contains(&(1, 0, 3)), "{rows:?}");
    assert!(gate.ledger.verify().unwrap().consistent);
    crate::prices::assert_adds_up(&gate, &[record]).await;
}

#[tokio::test]
async fn what_is_never_answered_is_charged_as_it_was_reserved() {
    for (knobs, leaves) in [("fault=close_before_head", false), ("first_ms=600000", true)] {
        let gate = plan("  money: {usd: 1, window: day}\n  tokens: {tokens: 10000, window: day}").start();
        let ask = bounded(100, false).key(&gate.key).fake(knobs);
        let mut client = gate.connect().await;
        client.send(&ask.wire()).await;
        until("the provider to be asked", async || (gate.fake.requests() == 1).then_some(())).await;
        if leaves {
            drop(client);
        } else {
            assert_eq!(client.answer(false).await.status(), 502);
        }
        let record = gate.record().await;
        let prompt = record.usage.input().unwrap();
        assert_eq!(record.cost.nano_usd(), None, "{record:?}");
        // gpt-4o: 2.50 dollars a million of input, 10 of output.
        assert_eq!(spent(&gate, "money").await, prompt * 2_500 + 100 * 10_000, "{knobs}");
        assert_eq!(spent(&gate, "tokens").await, prompt + 100, "{knobs}");
    }
}

#[tokio::test]
async fn what_is_asked_for_in_a_dearer_tier_is_reserved_at_its_price() {
    let gate = plan("  money: {usd: 1, window: day}").start();
    // gpt-4o: 2.50 dollars a million of input and 10 of output; 4.25 and 17 with priority; nothing is known of flex.
    for (tier, rates) in [("priority", (4_250, 17_000)), ("flex", (2_500, 10_000)), ("auto", (2_500, 10_000))]
    {
        let before = spent(&gate, "money").await;
        let body = format!(
            r#"{{"model":"gpt-4o","max_tokens":100,"messages":[{{"role":"user","content":"hi"}}],"service_tier":"{tier}"}}"#
        );
        let ask = Ask::post(CHAT.unary, body).key(&gate.key).fake("fault=close_before_head");
        let answer = gate.ask(&ask).await;
        assert_eq!(answer.status(), 502);
        let prompt = gate.ledger_record(&answer).await.usage.input().unwrap();
        assert_eq!(spent(&gate, "money").await - before, prompt * rates.0 + 100 * rates.1, "{tier}");
    }
}

#[tokio::test]
async fn a_budget_in_money_does_not_pass_what_has_no_price() {
    let gate = plan("  money: {usd: 100, window: day}\n  soft: {usd: 100, window: day, at_limit: warn}")
        .provider("own", "kind: openai-compatible, base_url: 'http://{fake}/v1', api_key: k")
        .start();
    let body = r#"{"model":"own/nobody-knows-this","messages":[{"role":"user","content":"hi"}]}"#;
    let answer = gate.ask_as_key(Ask::post(CHAT.unary, body)).await;
    let expected = (403, "price_unknown".to_owned(), None, Some("false".to_owned()));
    assert_eq!(refusal(&answer, Family::Openai), expected, "{}", answer.text());
    assert_eq!(gate.fake.requests(), 0);
}

#[tokio::test]
async fn an_embedding_has_no_answer_to_reserve_money_for() {
    let gate = plan("  money: {usd: 1, window: day}\n  few: {tokens: 1000, window: day}").start();
    let body = r#"{"model":"text-embedding-3-small","input":"hello there"}"#;
    let answer = settled(&gate, Ask::post(EMBEDDINGS.unary, body).key(&gate.key)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let record = gate.ledger_record(&answer).await;
    assert_eq!(Some(spent(&gate, "money").await), record.cost.nano_usd());
    assert!(record.cost.nano_usd() > Some(0) && spent(&gate, "few").await < 1000);
}

/// An answer longer than is held is not read: what it cost is not known, and nobody gets it for nothing.
#[tokio::test]
async fn what_an_answer_costs_that_cannot_be_read_is_charged_as_it_was_reserved() {
    let scripted =
        Scripted::start(vec![Act::json(200, "", &format!(r#"{{"padding":"{}"}}"#, "x".repeat(8192)))]).await;
    let provider =
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: ['*']", scripted.address);
    let gate = plan("  money: {usd: 1, window: day}\nlimits: {metered_copy: 4KiB}")
        .provider("scripted", &provider)
        .start();
    let body = r#"{"model":"scripted/gpt-4o","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = settled(&gate, Ask::post(CHAT.unary, body).key(&gate.key)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(gate.ledger_record(&answer).await.cost.nano_usd(), None);
    // A hundred tokens of an answer at ten dollars a million, and the prompt.
    assert!(spent(&gate, "money").await > 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_in_money_is_spent_to_the_nano_dollar_and_never_passed() {
    const STREAMS: usize = 40;
    // gpt-4o: 2.50 dollars a million of input, 10 of output; 5 and 40 tokens cost 412,500 nano-dollars.
    let gate =
        plan("  all: {usd: 0.01, window: month}\n  each: {per: [user, model], usd: 1, window: day}").start();
    let ask = bounded(100, true).key(&gate.key).fake(&format!("{COSTS_45};gap_ms=1"));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (address, wire) = (gate.address, ask.wire());
        running.spawn(async move {
            let mut client = Client::connect(address).await;
            client.send(&wire).await;
            client.answer(false).await.status()
        });
    }
    let answers = patient("all streams", running.join_all()).await;
    let served = answers.iter().filter(|status| **status == 200).count() as u64;
    let spent = spent(&gate, "all").await;
    let costs: Option<Vec<u64>> = gate.records().await.iter().map(|record| record.cost.nano_usd()).collect();
    let sum: u64 = costs.expect("what was refused costs nothing, and the rest has a price").iter().sum();
    assert_eq!((spent, spent), (sum, served * 412_500), "counter, records and prices agree");
    assert!(
        (8..STREAMS as u64).contains(&served),
        "a hundredth of a dollar holds eight worst cases: {served}"
    );
    assert!(spent <= 10_000_000, "{spent}");
    assert_eq!(counters(&gate, "each").await[0]["spent"], spent);
}

#[tokio::test]
async fn the_command_line_shows_what_is_used() {
    let process = Process::start(
        "reload: {watch: off}\nbudgets:\n  all: {per: team, usd: 2.5, window: day, at_limit: warn}\n\
                                  rate_limits:\n  quick: {requests: 60, concurrent: 3}",
    )
    .await;
    let mut client = Client::connect(process.gateway).await;
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&process.key)).await.status(), 200);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(["budgets", "--admin", &format!("http://{}", process.admin)])
        .env("NARROWS_ADMIN_TOKEN", &process.admin_token)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("team=(none)") && text.contains("$2.5") && text.contains("day (UTC)"), "{text}");
    assert!(text.contains("1 of 60"), "{text}");
}
