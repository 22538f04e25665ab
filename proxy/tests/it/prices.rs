//! What exchanges cost: in records, in metrics and in sums, whatever becomes of them.

use crate::support::scripted::{Act, Scripted};
use crate::support::{ALL, Ask, CHAT, EMBEDDINGS, GENERATING, Gate, MESSAGES, until};
use narrows_ledger::{Filter, Record};
use narrows_meter::{Cost, Mode, Usage};
use narrows_policy::Reason;

/// The same prices for everything at the three usual providers.
fn list(input: &str) -> String {
    let rates = format!(
        r#"{{"input":"{input}","cache_read":"0.1","cache_write_5m":"1.25","output":"4","reasoning":"5","web_search":"0.01"}}"#
    );
    let provider = |id| {
        format!(
            r#"{{"id":"{id}","models":[{{"id":"all","match":["*"],"except":["*unpriced*"],"prices":[{{"rates":{rates}}}]}}]}}"#
        )
    };
    let providers = ["openai", "anthropic", "gemini"].map(provider).join(",");
    format!(r#"{{"format":1,"source":"test","date":"2026-11-26","providers":[{providers}]}}"#)
}

/// What a usage costs at those prices, with a dollar per million tokens of input, in nano-dollars.
fn cost(usage: &Usage) -> u64 {
    let of = |bucket: Option<u64>, price: u64| bucket.unwrap_or(0) * price;
    of(usage.input_uncached, 1_000)
        + of(usage.cache_read, 100)
        + of(usage.cache_write_5m, 1_250)
        + of(usage.output_text, 4_000)
        + of(usage.reasoning, 5_000)
        + of(usage.web_searches, 10_000_000)
}

fn gate() -> Gate {
    Gate::plan().file("prices.json", list("1")).top("prices: {file: prices.json}").start()
}

/// Sum of a metric over all its series.
pub(crate) fn total(metrics: &str, name: &str) -> f64 {
    let of = |line: &str| line.strip_prefix(name)?.rsplit_once("} ")?.1.parse::<f64>().ok();
    metrics.lines().filter_map(of).sum()
}

/// That counters and sums say what the records say.
pub(crate) async fn assert_adds_up(gate: &Gate, records: &[Record]) {
    let known: u64 = records.iter().map(Record::known_cost).sum();
    let costs = records
        .iter()
        .flat_map(|record| std::iter::once(record.cost).chain(record.also_used.iter().map(|used| used.cost)));
    let unknown = costs.filter(|cost| *cost == Cost::Unknown).count() as u64;
    let metrics = gate.scrape().await;
    let counted = total(&metrics, "narrows_cost_usd_total");
    assert!((counted * 1e9 - known as f64).abs() < 0.5, "{counted} is not {known}");
    assert_eq!(total(&metrics, "narrows_cost_unknown_total"), unknown as f64);
    let rows = gate.ledger.usage(&Filter::default(), &[]).unwrap();
    let sums = rows.iter().map(|row| (row.sums.cost_nanousd, row.sums.cost_unknown));
    assert_eq!(sums.fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1)), (known, unknown));
}

#[tokio::test]
async fn every_answer_is_recorded_with_its_cost() {
    let gate = gate();
    let mut asks = Vec::new();
    for shape in ["", "input=1000;cached=900", "reasoning=77", "write_bytes=3"] {
        for kind in GENERATING {
            asks.extend([Ask::unary(kind), Ask::stream(kind)].map(|ask| ask.fake(shape)));
        }
    }
    asks.push(Ask::unary(&EMBEDDINGS));
    asks.push(Ask::stream(&MESSAGES).fake("input=100;cached=20;cache_write=30"));
    for ask in asks {
        let described = format!("{} {:?}", ask.target, ask.headers);
        assert_eq!(gate.ask_as_key(ask).await.status(), 200, "{described}");
    }
    let records = gate.records().await;
    for record in &records {
        assert_eq!(record.cost, Cost::NanoUsd(cost(&record.usage)), "{record:?}");
        assert!(
            cost(&record.usage) > 0 && record.prices != 0 && record.prices == records[0].prices,
            "{record:?}"
        );
    }
    assert_adds_up(&gate, &records).await;
}

#[tokio::test]
async fn what_ends_early_costs_what_was_used_and_what_was_refused_costs_nothing() {
    let gate = Gate::plan()
        .file("prices.json", list("1"))
        .top("prices: {file: prices.json}")
        .provider("nowhere", "kind: openai-compatible, base_url: 'http://127.0.0.1:1/v1', api_key: k")
        .start();
    for kind in GENERATING {
        let cut = gate.ask_as_key(Ask::stream(kind).fake("chunks=9;fault=cut_after:5")).await;
        let record = gate.record_of(&cut).await;
        assert_eq!(record.reason, Reason::ProviderCut, "{record:?}");
        assert_eq!(record.cost, Cost::NanoUsd(cost(&record.usage)), "{record:?}");
        assert!(record.usage.output().unwrap() > 0 && cost(&record.usage) > 0, "{record:?}");
    }
    for kind in ALL {
        for fault in ["status=500", "status=429"] {
            let refused = gate.ask_as_key(Ask::unary(kind).fake(fault)).await;
            let record = gate.record_of(&refused).await;
            assert_eq!((record.cost, record.prices), (Cost::ZERO, 0), "{fault} {record:?}");
        }
    }
    let unreachable = r#"{"model":"nowhere/m","messages":[]}"#;
    let unsent = gate.ask_as_key(Ask::post(CHAT.unary, unreachable)).await;
    assert_eq!(unsent.status(), 502);
    assert_eq!(gate.record_of(&unsent).await.cost, Cost::ZERO, "it never left");
    let nobody = gate.ask(&Ask::unary(&CHAT)).await;
    assert_eq!(nobody.status(), 401);
    assert_eq!(gate.record_of(&nobody).await.cost, Cost::ZERO);
    let models = gate.ask_as_key(Ask::get("/v1/models")).await;
    assert_eq!(gate.record_of(&models).await.cost, Cost::ZERO);
    let counted = Ask::post("/v1/messages/count_tokens", MESSAGES.body(false));
    let counted = gate.ask_as_key(counted).await;
    assert_eq!(gate.record_of(&counted).await.cost, Cost::ZERO);
    assert_adds_up(&gate, &gate.records().await).await;
}

/// The provider may have made all of an answer that nobody got: what that cost is not known, whoever broke off.
#[tokio::test]
async fn what_was_sent_whole_and_never_answered_has_an_unknown_cost() {
    let gate = gate();
    for kind in ALL {
        for fault in ["fault=close_before_head", "fault=reset"] {
            let cut = gate.ask_as_key(Ask::unary(kind).fake(fault)).await;
            let record = gate.record_of(&cut).await;
            assert_eq!((record.reason, record.cost), (Reason::ProviderCut, Cost::Unknown), "{record:?}");
            assert!(record.usage.input() > Some(0), "the prompt is estimated: {record:?}");
        }
    }
    let asked = gate.fake.requests();
    for (more, ask) in (1..).zip([Ask::unary(&CHAT), Ask::unary(&EMBEDDINGS), Ask::stream(&MESSAGES)]) {
        let mut client = gate.connect().await;
        client.send(&ask.key(&gate.key).fake("first_ms=600000").wire()).await;
        until("the provider to be asked", async || (gate.fake.requests() == asked + more).then_some(()))
            .await;
        drop(client);
        let records = gate.records().await;
        let record = records.iter().find(|record| record.reason == Reason::ClientGone && record.status == 0);
        let record = record.unwrap_or_else(|| panic!("{records:#?}"));
        assert_eq!(record.cost, Cost::Unknown, "{record:?}");
        assert!(record.usage.input() > Some(0), "{record:?}");
    }
    let records = gate.records().await;
    assert!(records.iter().all(|record| record.cost == Cost::Unknown), "{records:#?}");
    // Counting tokens costs nothing, whatever becomes of it.
    let counting = Ask::post("/v1/messages/count_tokens", MESSAGES.body(false)).fake("fault=reset");
    let counting = gate.ask_as_key(counting).await;
    assert_eq!(gate.record_of(&counting).await.cost, Cost::ZERO);
    assert_adds_up(&gate, &gate.records().await).await;
}

#[tokio::test]
async fn a_client_that_leaves_has_cost_what_it_was_sent() {
    let gate = gate();
    let mut client = gate.connect().await;
    client.send(&Ask::stream(&CHAT).key(&gate.key).fake("chunks=60;fault=stall_after:30").wire()).await;
    assert_eq!(client.head().await.status, 200);
    let mut received = Vec::new();
    while memchr::memmem::find_iter(&received, b"\"content\":").count() < 30 {
        received.extend_from_slice(&client.chunk().await.unwrap());
    }
    drop(client);
    let record = gate.record().await;
    assert_eq!(record.reason, Reason::ClientGone);
    assert_eq!(record.cost, Cost::NanoUsd(cost(&record.usage)), "{record:?}");
    assert!(record.usage.output().unwrap() > 0, "{record:?}");
    assert_adds_up(&gate, &[record]).await;
}

#[tokio::test]
async fn what_has_no_price_is_unknown_until_a_list_with_one_is_read() {
    let gate = gate();
    let unpriced = || Ask::unary(&CHAT).body(CHAT.body(false).replace("gpt-4o", "gpt-unpriced"));
    let record = gate.record_of(&gate.ask_as_key(unpriced()).await).await;
    assert_eq!((record.reason, record.cost), (Reason::Completed, Cost::Unknown), "{record:?}");
    assert!(record.prices != 0, "the prices that had none for it are named");
    assert_adds_up(&gate, std::slice::from_ref(&record)).await;

    std::fs::write(gate.dir.path().join("prices.json"), list("2").replace("unpriced", "nothing")).unwrap();
    assert_eq!(gate.reload().await.status(), 200);
    let after = gate.record_of(&gate.ask_as_key(unpriced()).await).await;
    let usage = after.usage;
    let doubled = cost(&usage) + usage.input_uncached.unwrap() * 1_000;
    assert_eq!(after.cost, Cost::NanoUsd(doubled), "{after:?}");
    assert_ne!(after.prices, record.prices);
    assert_adds_up(&gate, &gate.records().await).await;

    // What was recorded stays as it was.
    let before = until("the record", async || gate.ledger.record(record.id).unwrap()).await;
    assert_eq!((before.cost, before.prices), (record.cost, record.prices));
}

/// What the command line says of a gateway's books.
fn books(gate: &Gate, arguments: &[&str]) -> (bool, String) {
    let config = gate.dir.path().join("narrows.yaml").display().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(arguments)
        .args(["--config", &config])
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_agree_and_a_difference_is_named() {
    let gate = Gate::plan()
        .file("prices.json", list("1"))
        .top("prices: {file: prices.json}\nreload: {watch: off}\nbudgets:\n  all: {usd: 100, window: month}\n  \
              chat: {per: user, tokens: 1000000, window: 30d, where: {model: gpt-4o}}\n  asked: {requests: 1000, window: month}")
        .start();
    for kind in GENERATING {
        for knobs in ["", "reasoning=9", "status=429", "chunks=9;fault=cut_after:5"] {
            gate.ask_as_key(Ask::stream(kind).fake(knobs)).await;
        }
    }
    gate.ask(&Ask::unary(&CHAT)).await;
    gate.records().await;
    let metrics = format!("http://{}/metrics", gate.metrics);
    let verify = ["usage", "verify", "--metrics", &metrics];
    let (fine, text) = books(&gate, &verify);
    assert!(fine && !text.contains("DIFFERS"), "{text}");
    for check in ["sums by hour", "budget all", "budget chat", "budget asked", "metrics"] {
        assert!(
            text.lines().any(|line| line.starts_with(check) && line.ends_with("agrees")),
            "{check} in {text}"
        );
    }
    // What was never answered is charged as it was reserved: it is told, and no difference.
    gate.ask_as_key(Ask::unary(&CHAT).fake("fault=close_before_head")).await;
    gate.records().await;
    let (fine, text) = books(&gate, &verify);
    assert!(fine && text.contains("budget all: 1 exchanges are not wholly known"), "{text}");
    // Prices change; what was reported stays.
    let report = ["usage", "--by", "provider,model", "--prices"];
    let (_, before) = books(&gate, &report);
    std::fs::write(gate.dir.path().join("prices.json"), list("3")).unwrap();
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(books(&gate, &report).1, before);
    gate.ask_as_key(Ask::unary(&CHAT)).await;
    gate.records().await;
    assert!(books(&gate, &report).1.lines().count() > before.lines().count(), "a version more");
    assert!(books(&gate, &verify).0);
    // A record that no gateway wrote.
    let mut forged = gate.records().await.remove(0);
    forged.id += 1;
    gate.ledger.submit(forged);
    gate.ledger.flush(std::time::Duration::from_secs(10)).unwrap();
    let (fine, text) = books(&gate, &verify);
    assert!(!fine, "{text}");
    let differs = |check: &str| text.lines().any(|line| line.starts_with(check) && line.ends_with("DIFFERS"));
    assert!(differs("metrics") && differs("budget asked") && !differs("sums by hour"), "{text}");
}

/// What the provider says of its tier decides about the price; a tier without a price has an unknown cost.
#[tokio::test]
async fn a_tier_has_its_own_price_or_none() {
    let rates = |input: &str, output: &str| format!(r#"{{"input":"{input}","output":"{output}"}}"#);
    let prices = format!(
        r#"{{"format":1,"source":"test","date":"2026-11-26","providers":[{{"id":"openai","models":[{{"id":"all","match":["*"],"prices":[
            {{"rates":{}}},{{"mode":"flex","rates":{}}},{{"mode":"priority","rates":{}}}]}}]}}]}}"#,
        rates("2", "8"),
        rates("1", "4"),
        rates("4", "16"),
    );
    let usage = r#""usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}"#;
    for (tier, mode, cost) in [
        ("default", None, Cost::NanoUsd(28_000)),
        ("flex", Some(Mode::Flex), Cost::NanoUsd(14_000)),
        ("priority", Some(Mode::Priority), Cost::NanoUsd(56_000)),
        ("scale", Some(Mode::Provisioned), Cost::Unknown),
        ("turbo", Some(Mode::Other), Cost::Unknown),
    ] {
        let whole = format!(
            r#"{{"id":"c","object":"chat.completion","model":"m","service_tier":"{tier}","choices":[],{usage}}}"#
        );
        let chunk = format!(
            r#"{{"id":"c","object":"chat.completion.chunk","model":"m","service_tier":"{tier}","choices":[{{"delta":{{"content":"x"}},"finish_reason":"stop"}}]}}"#
        );
        let events = format!(
            "data: {chunk}\n\ndata: {{\"id\":\"c\",\"choices\":[],\"service_tier\":\"{tier}\",{usage}}}\n\ndata: [DONE]\n\n"
        );
        let stream = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{events}",
            events.len()
        );
        let scripted = Scripted::start(vec![Act::json(200, "", &whole), Act::Say(stream.into())]).await;
        let gate = Gate::plan()
            .file("prices.json", prices.clone())
            .top("prices: {file: prices.json}")
            .provider(
                "own",
                &format!("kind: openai, base_url: 'http://{}/v1', api_key: k, models: []", scripted.address),
            )
            .start();
        for stream in [false, true] {
            let body = format!(r#"{{"model":"own/m","messages":[],"stream":{stream}}}"#);
            let answer = gate.ask_as_key(Ask::post(CHAT.unary, body)).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            let record = gate.record_of(&answer).await;
            assert_eq!((record.mode, record.cost), (mode, cost), "{tier}, stream {stream}: {record:?}");
        }
        assert_adds_up(&gate, &gate.records().await).await;
    }
}

#[tokio::test]
async fn a_provider_has_its_discount_and_its_own_prices_and_a_deployment_the_price_of_its_model() {
    let answer = |model: &str| {
        let usage = r#""usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}"#;
        Act::json(
            200,
            "",
            &format!(r#"{{"id":"c","object":"chat.completion","model":"{model}","choices":[],{usage}}}"#),
        )
    };
    let acts = ["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18", "gpt-4o"].map(answer);
    let scripted = Scripted::start(acts.to_vec()).await;
    let own = "models: [{match: [mine], input: 100, output: 0}]";
    let gate = Gate::plan()
        .provider(
            "cloud",
            &format!("kind: azure, base_url: 'http://{}', api_key: sk-1, models: ['*']", scripted.address),
        )
        .top(&format!("prices: {{providers: {{cloud: {{factor: 0.8, {own}}}}}}}"))
        .start();
    let ask = |model: &str| {
        let body = CHAT.body(false).replace("gpt-4o", model);
        Ask::post("/cloud/v1/chat/completions", body).with("content-type", "application/json")
    };
    let mut costs = Vec::new();
    for model in ["my-deployment", "gpt-4o-mini", "mine"] {
        let answer = gate.ask_as_key(ask(model)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        costs.push(gate.record_of(&answer).await.cost);
    }
    // gpt-4o is 2.5 and 10 dollars, gpt-4o-mini 0.15 and 0.6, both times 0.8.
    assert_eq!(costs, [28_000, 1_680, 1_000_000].map(Cost::NanoUsd));
}
