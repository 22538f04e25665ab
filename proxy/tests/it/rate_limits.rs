//! Rate limits: exact at their boundary, told in headers, and given back when exchanges end.

use crate::support::gate::Plan;
use crate::support::{Answer, Ask, CHAT, GEMINI, Gate, MESSAGES, until};
use narrows_llm::Family;

fn plan(limits: &str) -> Plan {
    Gate::plan().top(&format!("reload: {{watch: off}}\nrate_limits:\n{limits}"))
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.header(name)
}

#[tokio::test]
async fn the_boundary_is_exact_and_told_before_it_is_reached() {
    let gate =
        plan("  few: {per: key, requests: 3, every: hour}").key(|key| key.user = Some("bob".into())).start();
    for left in ["2", "1", "0"] {
        let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some(left));
        let reset = header(&answer, "x-ratelimit-reset-requests").unwrap();
        assert!(reset.starts_with("1h0m") || reset.starts_with("1h1m"), "{reset}");
    }
    let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (429, "rate_limited"));
    let after: u64 = header(&answer, "retry-after").unwrap().parse().unwrap();
    assert!((3_590..=3_660).contains(&after), "{after}");
    assert_eq!(header(&answer, "x-should-retry"), Some("false"), "nobody waits for an hour");
    assert_eq!(header(&answer, "x-ratelimit-remaining-requests"), Some("0"));
    assert!(answer.text().contains("the rate limit few for key"), "{}", answer.text());
    assert_eq!(gate.fake.requests(), 3);
    let other = gate.keys[1].1.clone();
    assert_eq!(gate.ask(&Ask::unary(&CHAT).key(&other)).await.status(), 200, "another key has its own");
}

#[tokio::test]
async fn a_short_wait_is_one_that_clients_heed() {
    let gate = plan("  few: {requests: 1, every: second}\n  wide: {requests: 1000, every: day}").start();
    let (mut refused, mut served) = (None, 0);
    for _ in 0..200 {
        let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        served += 1;
    }
    let answer = refused.unwrap_or_else(|| panic!("{served} were served"));
    assert_eq!(header(&answer, "retry-after").map(|after| after.parse::<u64>().unwrap() <= 2), Some(true));
    let ms: u64 = header(&answer, "retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=1_017).contains(&ms), "{ms}");
    assert_eq!(header(&answer, "x-should-retry"), None);
    assert_eq!(header(&answer, "x-ratelimit-limit-requests"), Some("1"), "the narrowest is told");
}

#[tokio::test]
async fn each_dialect_has_its_own_headers_and_a_provider_s_are_replaced() {
    let gate = plan("  each: {where: {team: blue}, requests: 100, tokens: 100000}")
        .key(|key| key.team = Some("red".into()))
        .start();
    let answer = gate.ask_as_key(Ask::unary(&MESSAGES)).await;
    assert_eq!(header(&answer, "anthropic-ratelimit-requests-limit"), Some("100"));
    assert_eq!(header(&answer, "anthropic-ratelimit-requests-remaining"), Some("99"));
    assert!(header(&answer, "anthropic-ratelimit-requests-reset").unwrap().ends_with('Z'));
    assert_eq!(header(&answer, "anthropic-ratelimit-tokens-limit"), Some("100000"));
    let named = |answer: &Answer, begin: &str| {
        answer.head.headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with(begin)).count()
    };
    assert_eq!(named(&answer, "anthropic-ratelimit-"), 6, "each once: {:?}", answer.head.headers);
    let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
    assert_eq!(named(&answer, "x-ratelimit-"), 6, "each once: {:?}", answer.head.headers);
    let answer = gate.ask_as_key(Ask::unary(&GEMINI)).await;
    assert_eq!((answer.status(), named(&answer, "x-ratelimit-")), (200, 0));
    // Where no limit applies the provider's own headers pass.
    let red = gate.keys[1].1.clone();
    let theirs = gate.ask(&Ask::unary(&CHAT).key(&red)).await;
    assert_ne!(header(&theirs, "x-ratelimit-limit-requests"), Some("100"));
}

#[tokio::test]
async fn tokens_are_corrected_to_what_they_were() {
    let gate = plan("  tokens: {tokens: 1000, every: hour}").start();
    let body = r#"{"model":"gpt-4o","max_tokens":600,"messages":[{"role":"user","content":"hi"}]}"#;
    let ask = || Ask::post(CHAT.unary, body).fake("input=5;body_bytes=160");
    for left in [955, 910, 865] {
        assert_eq!(gate.ask_as_key(ask()).await.status(), 200, "an estimate of 600 is given back");
        until("the estimate to be corrected", async || {
            let used = gate.admin("/admin/v1/limits").await.json()["rate_limits"][0]["counters"][0]["tokens"]
                .as_u64();
            (used == Some(1_000 - left)).then_some(())
        })
        .await;
    }
    let huge = r#"{"model":"gpt-4o","max_tokens":1001,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = gate.ask_as_key(Ask::post(CHAT.unary, huge)).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (413, "request_over_limit"));
    assert_eq!((header(&answer, "retry-after"), header(&answer, "x-should-retry")), (None, Some("false")));
}

#[tokio::test]
async fn so_many_exchanges_at_a_time_and_the_next_when_one_has_ended() {
    let gate = plan("  open: {per: key, concurrent: 2}").start();
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = gate.connect().await;
        client.send(&Ask::stream(&CHAT).key(&gate.key).fake("chunks=100000;gap_ms=20").wire()).await;
        assert_eq!(client.head().await.status, 200);
        open.push(client);
    }
    let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (429, "concurrency_limited"));
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    drop(open.pop());
    until("room for another", async || {
        (gate.ask_as_key(Ask::unary(&CHAT)).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_that_throttles_lets_requests_wait_their_turn_and_no_longer() {
    let gate = plan("  slow: {requests: 2, every: second, at_limit: throttle, delay: 5s}").start();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (address, wire) = (gate.address, Ask::unary(&CHAT).key(&gate.key).wire());
        running.spawn(async move {
            let mut client = crate::support::Client::connect(address).await;
            client.send(&wire).await;
            client.answer(false).await.status()
        });
    }
    assert_eq!(running.join_all().await, [200; 5]);
    assert!(gate.gauge(r#"narrows_limit_waits_total{limit="slow",kind="rate_limit"}"#).await >= 3.0);
    let gate = plan("  slow: {requests: 1, every: hour, at_limit: throttle, delay: 5s}").start();
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 429, "its turn is in an hour");
}

#[tokio::test]
async fn paths_beside_inference_are_limited_too() {
    let gate = Gate::plan()
        .top("reload: {watch: off}\nrate_limits:\n  few: {requests: 1, every: hour}")
        .usual("paths: [files]")
        .start();
    let list = || Ask::get("/openai/v1/files");
    assert_eq!(gate.ask_as_key(list()).await.status(), 200);
    assert_eq!(gate.ask_as_key(list()).await.status(), 429);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 429);
    assert_eq!(gate.ask_as_key(Ask::get("/v1/models")).await.status(), 200, "lists of models are our own");
}
