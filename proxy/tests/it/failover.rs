//! A target that fails gives way to the next, before the client has seen anything.

use crate::support::gate::Plan;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, Gate, patient};
use narrows_ledger::Record;
use narrows_llm::Family;
use narrows_policy::Reason;

const OK: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

fn ok() -> Act {
    Act::json(200, "", OK)
}

fn fails(status: u16) -> Act {
    Act::json(status, "x-request-id: theirs\r\n", r#"{"error":{"message":"no","type":"x","code":null}}"#)
}

fn ask() -> Ask {
    ask_text("hi")
}

fn ask_text(text: &str) -> Ask {
    let body = format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"{text}"}}]}}"#);
    Ask::post("/v1/chat/completions", body)
}

/// A provider at each address, `a`, `b`, …, and a model `smart` that has them as targets in this order.
fn plan(addresses: &[String], more: &str) -> Plan {
    let mut plan = Gate::plan();
    let mut targets = Vec::new();
    for (index, (name, address)) in ["a", "b", "c"].into_iter().zip(addresses).enumerate() {
        let text = format!("kind: openai-compatible, base_url: '{address}', api_key: sk-{name}, models: []");
        plan = plan.provider(name, &text);
        targets.push(format!("{{provider: {name}, model: model-{name}, priority: {index}}}"));
    }
    plan.top(&format!("models: {{smart: {{targets: [{}]{more}}}}}", targets.join(", ")))
}

fn at(scripted: &Scripted) -> String {
    format!("http://{}/v1", scripted.address)
}

fn summary(record: &Record) -> Vec<(&str, Option<u16>, Reason)> {
    record.attempts.iter().map(|attempt| (&*attempt.provider, attempt.status, attempt.reason)).collect()
}

async fn served_by_b(gate: &Gate, first: (Option<u16>, Reason)) -> Answer {
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, OK), "{}", answer.text());
    let record = gate.record_of(&answer).await;
    assert_eq!(summary(&record), [("a", first.0, first.1), ("b", Some(200), Reason::Completed)]);
    assert_eq!((record.provider.as_deref(), record.model_sent.as_deref()), (Some("b"), Some("model-b")));
    assert_eq!(record.attempts[0].model.as_deref(), Some("model-a"));
    assert_eq!(record.attempts[1].model, None, "it is the record's");
    assert_eq!(
        (record.reason, record.usage.input(), record.usage.output()),
        (Reason::Completed, Some(3), Some(5))
    );
    answer
}

#[tokio::test]
async fn every_passing_error_gives_way_to_the_next_target() {
    for status in [402, 408, 429, 500, 502, 503, 504, 529] {
        let (a, b) = (Scripted::start(vec![fails(status)]).await, Scripted::start(vec![ok()]).await);
        let gate = plan(&[at(&a), at(&b)], "").start();
        let reason = if status == 429 { Reason::ProviderRateLimited } else { Reason::ProviderError };
        served_by_b(&gate, (Some(status), reason)).await;
        assert!(a.requests()[0].contains(r#""model":"model-a""#), "{:?}", a.requests());
        let second = &b.requests()[0];
        assert!(second.contains(r#""model":"model-b""#) && second.contains("Bearer sk-b"), "{second}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_gives_way_to_the_next() {
    // Bound and not listening: a connection is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let refused = format!("http://{}", socket.local_addr().unwrap());
    // Listening and never accepting: the TLS handshake stalls.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stalled = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    for (address, reason) in [
        (refused, Reason::ProviderConnect),
        ("http://provider.invalid".to_owned(), Reason::ProviderDns),
        (stalled, Reason::ProviderConnect),
    ] {
        let b = Scripted::start(vec![ok()]).await;
        let gate = plan(&[address, at(&b)], ", timeouts: {connect: 300ms}").start();
        served_by_b(&gate, (None, reason)).await;
    }
}

#[tokio::test]
async fn a_refusal_names_every_provider_that_failed() {
    let nowhere = "http://provider.invalid".to_owned();
    let gate = plan(&[nowhere.clone(), nowhere], ", retries: {attempts: 2}").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (502, "provider_dns"));
    let text = answer.text();
    assert!(
        text.contains("the provider b cannot be used") && text.contains("; a failed before it"),
        "{text}"
    );
}

#[tokio::test]
async fn a_credential_that_is_refused_gives_way_and_is_never_shown() {
    for status in [401, 403] {
        let a = Scripted::start(vec![Act::json(status, "", r#"{"error":{"message":"bad key sk-a"}}"#)]).await;
        let b = Scripted::start(vec![ok()]).await;
        let gate = plan(&[at(&a), at(&b)], "").start();
        served_by_b(&gate, (Some(status), Reason::ProviderCredentialRefused)).await;
        // After a 401 it is set aside at once, and the next request does not try it. A 403 may be about what this caller
        // asked for, and takes the target away from nobody.
        // Another conversation: one that was served elsewhere stays there.
        let other = ask_text("another");
        let next = gate.ask_as_key(other).await;
        let tried = if status == 401 { 1 } else { 2 };
        assert_eq!((next.status(), gate.record_of(&next).await.attempts.len()), (200, tried));
        assert_eq!(a.requests().len(), tried);
    }
}

#[tokio::test]
async fn the_last_answer_passes_byte_for_byte() {
    let body = r#"{ "error" : {"message":"é…","type":"overloaded"} , "unknown":[1,2.50]}"#;
    let (a, b) = (
        Scripted::start(vec![fails(500)]).await,
        Scripted::start(vec![Act::json(529, "X-Odd: One\r\nretry-after: 3600\r\n", body)]).await,
    );
    let gate = plan(&[at(&a), at(&b)], "").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), answer.text().as_str()), (529, body));
    assert_eq!((answer.header("x-odd"), answer.header("retry-after")), (Some("One"), Some("3600")));
    let record = gate.record_of(&answer).await;
    assert_eq!((record.status, record.reason), (529, Reason::ProviderError));
    assert_eq!(record.attempts.len(), 2, "an hour is not waited for: {record:?}");
    assert!(record.usage.is_unknown(), "nothing was generated: {record:?}");
}

#[tokio::test]
async fn an_error_longer_than_what_is_read_early_passes_whole() {
    let body = format!(r#"{{"error":{{"message":"{}"}}}}"#, "x".repeat(300_000));
    let a = Scripted::start(vec![Act::json(500, "", &body)]).await;
    let gate = plan(&[at(&a)], ", retries: {attempts: 1}").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!((answer.status(), answer.text() == body), (500, true));
    assert_eq!(gate.ask_as_key(ask()).await.text(), body, "and so does the next one");
    assert_eq!(a.connections(), 1, "its connection is used again");
}

#[tokio::test]
async fn the_same_target_is_asked_again_when_there_is_no_other_and_hints_are_heeded() {
    for (lines, body) in [
        ("", "{}"),
        ("retry-after: 0\r\n", "{}"),
        ("retry-after-ms: 20\r\n", "{}"),
        ("x-ratelimit-reset-requests: 20ms\r\n", "{}"),
        ("", r#"{"error":{"message":"Please try again in 20ms.","code":"rate_limit_exceeded"}}"#),
        ("", r#"{"error":{"code":429,"details":[{"@type":"t/google.rpc.RetryInfo","retryDelay":"0.02s"}]}}"#),
    ] {
        let a = Scripted::start(vec![Act::json(429, lines, body), fails(503), ok()]).await;
        let gate = plan(&[at(&a)], "").start();
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, OK), "{lines}");
        let record = gate.record_of(&answer).await;
        let reasons: Vec<Reason> = record.attempts.iter().map(|attempt| attempt.reason).collect();
        assert_eq!(reasons, [Reason::ProviderRateLimited, Reason::ProviderError, Reason::Completed]);
        assert_eq!(a.connections(), 1, "an error that was read whole gives its connection back");
    }
}

#[tokio::test]
async fn what_waiting_or_repeating_cannot_help_goes_to_the_client_at_once() {
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
    for (status, lines, body) in [
        (429, "retry-after: 6\r\n", "{}"),
        (503, "x-should-retry: false\r\n", "{}"),
        (429, "", quota),
        (400, "", "{}"),
        (404, "", "{}"),
        (501, "", "{}"),
    ] {
        let a = Scripted::start(vec![Act::json(status, lines, body), ok()]).await;
        let gate = plan(&[at(&a)], "").start();
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, body), "{lines}");
        assert_eq!(a.requests().len(), 1, "{status} {lines}");
    }
    // The provider's own word goes before our list.
    let a = Scripted::start(vec![Act::json(409, "x-should-retry: true\r\n", "{}"), ok()]).await;
    assert_eq!(plan(&[at(&a)], "").start().ask_as_key(ask()).await.status(), 200);
}

#[tokio::test]
async fn attempts_end_at_their_limit() {
    for limit in [1, 2, 4] {
        let a = Scripted::start(vec![Act::json(503, "retry-after-ms: 1\r\n", "{}")]).await;
        let gate = plan(&[at(&a)], &format!(", retries: {{attempts: {limit}}}")).start();
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!((answer.status(), a.requests().len()), (503, limit));
        assert_eq!(gate.record_of(&answer).await.attempts.len(), limit);
    }
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_repeated_only_where_an_operator_says_so() {
    for (act, reason, status) in
        [(Act::Reset, Reason::ProviderCut, 502), (Act::Hold, Reason::ProviderFirstByteTimeout, 504)]
    {
        let (a, b) = (Scripted::start(vec![act.clone()]).await, Scripted::start(vec![ok()]).await);
        let gate = plan(&[at(&a), at(&b)], ", timeouts: {first_byte: 300ms}").start();
        let answer = gate.ask_as_key(ask()).await;
        assert_eq!((answer.status(), &*answer.code(Family::Openai)), (status, reason.as_str()));
        assert_eq!(b.requests().len(), 0, "the provider may be at work on it");

        let more = ", timeouts: {first_byte: 300ms}, retries: {after_sent: true}";
        let (a, b) = (Scripted::start(vec![act]).await, Scripted::start(vec![ok()]).await);
        let gate = plan(&[at(&a), at(&b)], more).start();
        served_by_b(&gate, (None, reason)).await;
    }
}

#[tokio::test]
async fn the_total_time_out_bounds_all_attempts_together() {
    let a = Scripted::start(vec![Act::json(503, "retry-after-ms: 400\r\n", "{}")]).await;
    let gate = plan(&[at(&a)], ", timeouts: {total: 1s}, retries: {attempts: 10}").start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!(answer.status(), 503, "the last answer, when there is no time for another");
    assert!((2..=3).contains(&a.requests().len()), "{}", a.requests().len());
}

#[tokio::test]
async fn a_client_that_leaves_stops_everything() {
    let a = Scripted::start(vec![Act::json(503, "retry-after: 5\r\n", "{}"), ok()]).await;
    let gate = plan(&[at(&a)], "").start();
    let mut client = gate.connect().await;
    client.send(&ask().key(&gate.key).wire()).await;
    crate::support::until("the first attempt", async || (a.requests().len() == 1).then_some(())).await;
    drop(client);
    let record = patient("the record", gate.record()).await;
    assert_eq!((record.reason, record.attempts.len()), (Reason::ClientGone, 1));
    assert_eq!(a.requests().len(), 1);
}

#[tokio::test]
async fn a_target_that_does_not_speak_the_dialect_is_passed_over() {
    let plan = Gate::plan().top(
        "models: {smart: {targets: [{provider: openai, model: gpt-4o}, {provider: anthropic, priority: 1}]}}",
    );
    let gate = plan.start();
    let answer = gate.ask_as_key(ask()).await;
    assert_eq!(gate.record_of(&answer).await.provider.as_deref(), Some("openai"));
    let body = r#"{"model":"smart","max_tokens":1,"messages":[]}"#;
    let answer = gate.ask_as_key(Ask::post("/v1/messages", body)).await;
    assert_eq!(gate.record_of(&answer).await.provider.as_deref(), Some("anthropic"));
    let answer = gate.ask_as_key(Ask::post("/v1beta/models/smart:generateContent", "{}")).await;
    assert_eq!((answer.status(), &*answer.code(Family::Gemini)), (400, "dialect_unsupported"));
}

#[tokio::test]
async fn a_pattern_with_targets_keeps_the_clients_model() {
    let gate = Gate::plan()
        .top("models: {'gpt-4*': {targets: [{provider: openai}]}, quick: gpt-4-x, gpt-4-x: {targets: [{provider: openai, model: gpt-4o}]}}")
        .start();
    for (path, asked, sent) in [
        ("/v1/chat/completions", "gpt-4.1", "gpt-4.1"),
        ("/openai/v1/chat/completions", "gpt-4.1", "gpt-4.1"),
        ("/v1/chat/completions", "gpt-4-x", "gpt-4o"),
        ("/v1/chat/completions", "quick", "gpt-4o"),
    ] {
        let answer =
            gate.ask_as_key(Ask::post(path, format!(r#"{{"model":"{asked}","messages":[]}}"#))).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!(
            (record.model_requested.as_deref(), record.model_sent.as_deref()),
            (Some(asked), Some(sent))
        );
    }
}

#[tokio::test]
async fn streams_fail_over_before_their_head() {
    let gate = Gate::plan()
        .provider("down", "kind: openai-compatible, base_url: 'http://provider.invalid', models: []")
        .top("models: {smart: {targets: [{provider: down}, {provider: openai, model: gpt-4o, priority: 1}]}}")
        .start();
    let body = r#"{"model":"smart","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    let answer = gate.ask_as_key(Ask::post("/v1/chat/completions", body)).await;
    assert_eq!(answer.status(), 200);
    let record = gate.record_of(&answer).await;
    assert!(record.streamed && record.usage.output().is_some(), "{record:?}");
    assert_eq!(record.attempts.len(), 2);
    assert!(!answer.text().contains("\"usage\":{"), "asked for by the gateway, and hidden from the client");
}
