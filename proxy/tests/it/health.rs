//! Targets that fail are set aside, and nobody waits for them.

use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, Gate};
use narrows_llm::Family;
use narrows_policy::Reason;

const OK: &str = r#"{"id":"c","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

fn ask(model: &str, n: usize) -> Ask {
    Ask::post(
        "/v1/chat/completions",
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{n}"}}]}}"#),
    )
}

fn provider(scripted: &Scripted) -> String {
    format!("kind: openai-compatible, base_url: 'http://{}/v1', models: []", scripted.address)
}

#[tokio::test]
async fn a_target_that_fails_again_and_again_is_set_aside_and_shown() {
    let (a, b) = (
        Scripted::start(vec![Act::json(500, "", "{}")]).await,
        Scripted::start(vec![Act::json(200, "", OK)]).await,
    );
    let gate = Gate::plan()
        .provider("a", &provider(&a))
        .provider("b", &provider(&b))
        .top("models: {smart: {targets: [{provider: a}, {provider: b, priority: 1}]}}")
        .start();
    for n in 0..20 {
        assert_eq!(gate.ask_as_key(ask("smart", n)).await.status(), 200);
    }
    // On a slow machine a probe or two may have been due.
    let asked = a.requests().len();
    assert!((5..8).contains(&asked), "then it is not asked any more: {asked}");
    assert!(gate.gauge(r#"narrows_target_state{target="a/smart"}"#).await >= 1.0);
    assert_eq!(gate.gauge(r#"narrows_target_state{target="a"}"#).await, 0.0, "the provider was reached");
    assert!(gate.gauge(r#"narrows_target_set_aside_total{target="a/smart"}"#).await >= 1.0);
    gate.records().await;
    let failovers = gate.gauge(r#"narrows_failovers_total{provider="a",reason="provider_error"}"#).await;
    assert_eq!(failovers, f64::from(u32::try_from(asked).unwrap()));
    let shown = gate.admin("/admin/v1/targets/a%2Fsmart").await.json();
    assert_ne!(shown["state"], "healthy");
    assert!(shown["times_set_aside"].as_u64() >= Some(1), "{shown}");
    // An operator knows better.
    gate.admin_post("/admin/v1/targets/a%2Fsmart/enable").await;
    gate.ask_as_key(ask("smart", 99)).await;
    assert_eq!(a.requests().len(), asked + 1);
}

#[tokio::test]
async fn the_last_target_is_never_taken_away() {
    let a = Scripted::start(vec![Act::json(500, "", "{}")]).await;
    let gate = Gate::plan()
        .provider("a", &provider(&a))
        .top("models: {smart: {targets: [{provider: a}], retries: {attempts: 1}}}")
        .start();
    for n in 0..12 {
        assert_eq!(gate.ask_as_key(ask("smart", n)).await.status(), 500, "its own answer, not one of ours");
    }
    assert_eq!(a.requests().len(), 12);
}

#[tokio::test]
async fn an_outage_does_not_multiply_the_load() {
    let a = Scripted::start(vec![Act::json(503, "retry-after-ms: 0\r\n", "{}")]).await;
    let gate = Gate::plan()
        .provider("a", &provider(&a))
        .top("retries: {budget: 0}\nmodels: {smart: {targets: [{provider: a}], retries: {attempts: 10}}}")
        .start();
    let started = std::time::Instant::now();
    let asked = 60;
    for n in 0..asked {
        assert_eq!(gate.ask_as_key(ask("smart", n)).await.status(), 503);
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 1;
    // What was saved up, and ten a second.
    assert!(a.requests().len() <= asked + 100 + 10 * seconds, "{} in {seconds} s", a.requests().len());
}

#[tokio::test]
async fn a_disabled_provider_is_not_asked_by_anybody() {
    let gate = Gate::start();
    gate.admin_post("/admin/v1/targets/openai/disable").await;
    let refused = gate.ask_as_key(ask("gpt-4o", 0)).await;
    assert_eq!((refused.status(), &*refused.code(Family::Openai)), (503, "target_disabled"));
    assert_eq!(gate.fake.requests(), 0);
    gate.admin_post("/admin/v1/targets/openai/enable").await;
    assert_eq!(gate.ask_as_key(ask("gpt-4o", 0)).await.status(), 200);
}

#[tokio::test]
async fn a_black_hole_never_holds_up_those_who_go_elsewhere() {
    // It listens and never accepts: plain connections hang unanswered, and so do TLS handshakes.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let good = Scripted::start(vec![Act::json(200, "", OK)]).await;
    let gate = Gate::plan()
        .provider("hole", &format!("kind: openai-compatible, base_url: 'https://localhost:{port}/v1', models: [hole]"))
        .provider("good", &provider(&good))
        .top("timeouts: {connect: 2s}\nmodels: {smart: {targets: [{provider: hole}, {provider: good}]}, fine: good/m}")
        .start();
    // Hundreds wait for the hole, by its own name and as a target among others.
    let mut waiting = Vec::new();
    for n in 0..200 {
        let mut client = gate.connect().await;
        client.send(&ask(if n % 2 == 0 { "hole" } else { "smart" }, n).key(&gate.key).wire()).await;
        waiting.push(client);
    }
    // Meanwhile the others are served, each over a connection of its own.
    for n in 0..100 {
        assert_eq!(gate.ask_as_key(ask("fine", n)).await.status(), 200);
    }
    for (n, mut client) in waiting.into_iter().enumerate() {
        let status = client.answer(false).await.status();
        if n % 2 == 0 {
            assert_eq!(status, 502);
        }
    }
    let records = gate.records().await;
    assert_eq!(records.len(), 300);
    let served = records.iter().filter(|record| record.reason == Reason::Completed).count();
    assert!(served >= 150, "all that the hole did not cost its budget: {served}");
    assert_eq!(
        gate.gauge(r#"narrows_target_state{target="hole"}"#).await,
        2.0,
        "the way to it is known to be bad"
    );
}
