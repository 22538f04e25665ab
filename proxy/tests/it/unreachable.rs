//! Providers that cannot be used.

use crate::support::ask::Framing;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, Gate, tls};
use narrows_ledger::Record;
use narrows_llm::Family;
use narrows_policy::Reason;

/// One request of each family.
fn asks(model: &str) -> [(Ask, Family); 3] {
    let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
    let gemini = format!("/v1beta/models/{model}:generateContent");
    [
        (Ask::post("/v1/chat/completions", body.clone()), Family::Openai),
        (Ask::post("/v1/messages", body), Family::Anthropic),
        (Ask::post(&gemini, "{}"), Family::Gemini),
    ]
}

/// Asks in every family and checks status, shape, code and word on the record.
async fn fails(gate: &Gate, model: &str, status: u16, reason: Reason) -> Vec<(Answer, Record)> {
    let mut all = Vec::new();
    for (ask, family) in asks(model) {
        let answer = gate.ask_as_key(ask).await;
        assert_eq!((answer.status(), &*answer.code(family)), (status, reason.as_str()), "{}", answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!((record.status, record.reason), (status, reason));
        assert_eq!(record.attempts.len(), 1, "{record:?}");
        assert_eq!((record.attempts[0].reason, record.attempts[0].status), (reason, None));
        assert!(record.usage.is_unknown(), "nothing was generated: {record:?}");
        all.push((answer, record));
    }
    all
}

/// Three providers, one for each family, at one place, that serve `dead-*`.
fn plan(url: &str, more: &str) -> crate::support::gate::Plan {
    let mut plan = Gate::plan();
    for (kind, pattern) in [("openai", "dead"), ("anthropic", "dead"), ("gemini", "dead")] {
        let text =
            format!("kind: {kind}, base_url: '{url}', api_key: sk-secret-9, models: [{pattern}]{more}");
        plan = plan.provider(&format!("dead-{kind}"), &text);
    }
    plan
}

#[tokio::test]
async fn a_provider_that_is_down_is_told() {
    // Bound and not listening: a connection is refused, and nobody else takes the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gate = plan(&format!("http://{}", socket.local_addr().unwrap()), "").start();
    for (answer, _) in fails(&gate, "dead", 502, Reason::ProviderConnect).await {
        assert!(answer.text().contains("dead-"), "it names the provider: {}", answer.text());
        assert!(!answer.text().contains("sk-secret"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let gate = plan("http://provider.invalid", "").start();
    for (answer, _) in fails(&gate, "dead", 502, Reason::ProviderDns).await {
        assert!(answer.text().contains("provider.invalid"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_provider_is_used_only_under_a_name_that_its_certificate_proves() {
    let certificate = tls::certificate("provider.test");
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec();
    let scripted = Scripted::start_tls(vec![Act::Say(ok)], Some(certificate.acceptor())).await;
    let url = format!("https://{}", scripted.address);

    let untrusted = plan(&url, ", server_name: provider.test").start();
    fails(&untrusted, "dead", 502, Reason::ProviderTls).await;

    let misnamed = plan(&url, ", server_name: another.test, ca_file: '{dir}/ca.pem'")
        .file("ca.pem", certificate.pem.clone())
        .start();
    fails(&misnamed, "dead", 502, Reason::ProviderTls).await;
    assert!(scripted.requests().is_empty(), "nothing is said to whom is not trusted");

    let trusted = plan(&url, ", server_name: provider.test, ca_file: '{dir}/ca.pem'")
        .file("ca.pem", certificate.pem.clone())
        .start();
    for (ask, _) in asks("dead") {
        let answer = trusted.ask_as_key(ask).await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "{}"));
    }
    assert_eq!(scripted.requests().len(), 3);

    // Plain HTTP where TLS is spoken is no valid answer either.
    let plain = plan(&format!("http://{}", scripted.address), "").start();
    let answer = plain.ask_as_key(asks("dead").into_iter().next().unwrap().0).await;
    let record = plain.record_of(&answer).await;
    assert_eq!(answer.status(), 502);
    assert!([Reason::ProviderCut, Reason::ProviderProtocol].contains(&record.reason), "{record:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_told() {
    for nonsense in [
        "nonsense nonsense nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let scripted = Scripted::start(vec![Act::SayAndClose(nonsense.into())]).await;
        let gate = plan(&format!("http://{}", scripted.address), "").start();
        for (ask, family) in asks("dead") {
            let answer = gate.ask_as_key(ask).await;
            assert_eq!(
                (answer.status(), &*answer.code(family)),
                (502, "provider_protocol"),
                "{}",
                answer.text()
            );
            assert_eq!(gate.record_of(&answer).await.reason, Reason::ProviderProtocol);
        }
    }
}

#[tokio::test]
async fn a_provider_that_answers_before_it_read_the_body_is_heard() {
    let early =
        b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large".to_vec();
    let scripted = Scripted::start(vec![Act::SayAndClose(early)]).await;
    let gate = plan(&format!("http://{}", scripted.address), "").start();
    let body = format!(r#"{{"model":"dead","pad":"{}"}}"#, "x".repeat(100_000));
    let answer = gate.ask_as_key(Ask::post("/v1/messages", body).framed(Framing::Chunks(8192))).await;
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too large"));
    assert_eq!(gate.record_of(&answer).await.reason, Reason::ProviderError);
}
