//! HTTP/1 as clients really speak it.

use crate::support::ask::Framing;
use crate::support::{Ask, CHAT, Client, Gate, MESSAGES, tls, until};
use narrows_llm::Family;
use narrows_policy::Reason;

#[tokio::test]
async fn one_connection_serves_one_exchange_after_another() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    for round in 0..5 {
        for kind in [&CHAT, &MESSAGES] {
            assert_eq!(client.ask(&Ask::unary(kind).key(&gate.key)).await.status(), 200, "{round}");
            assert!(client.ask(&Ask::stream(kind).key(&gate.key)).await.whole, "{round}");
            // A refusal whose body was read, or that has none, leaves the connection usable.
            assert_eq!(
                client.ask(&Ask::unary(kind).key(&gate.key).body("{}")).await.status(),
                400,
                "{round}"
            );
            assert_eq!(client.ask(&Ask::get("/v1/models")).await.status(), 401, "{round}");
        }
    }
    assert_eq!(gate.records().await.len(), 40);
    assert_eq!(gate.fake.connections(), 2, "connections to providers are kept too, one for each here");
}

#[tokio::test]
async fn a_refused_body_is_never_taken_for_the_next_request() {
    let gate = Gate::start();
    let smuggled = Ask::unary(&CHAT).key(&gate.key).wire();
    for framing in [Framing::Length, Framing::Chunks(64)] {
        let mut client = gate.connect().await;
        let refused = Ask::post(CHAT.unary, smuggled.clone()).framed(framing);
        client.send(&refused.wire()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status(), 401);
        // Either the connection ends, or what follows is the answer to what follows.
        client.send_what_goes(&Ask::get("/v1/models").wire()).await;
        if !client.is_closed().await {
            assert_eq!(client.answer(false).await.status(), 401);
        }
    }
    assert_eq!(gate.fake.requests(), 0);
    assert!(gate.records().await.iter().all(|record| record.reason == Reason::KeyMissing));
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    let mut wire = Vec::new();
    let models = ["gpt-a", "gpt-b", "gpt-c", "gpt-d"];
    for (index, model) in models.iter().enumerate() {
        let body = format!(r#"{{"model":"{model}","messages":[],"stream":{}}}"#, index % 2 == 1);
        let framing = if index == 2 { Framing::Chunks(5) } else { Framing::Length };
        wire.extend(Ask::post(CHAT.unary, body).key(&gate.key).framed(framing).fake("first_ms=5").wire());
    }
    client.send(&wire).await;
    for model in models {
        let answer = client.answer(false).await;
        assert_eq!(answer.status(), 200);
        assert!(
            answer.whole && answer.text().contains(&format!("\"model\":\"{model}\"")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(gate.records().await.len(), 4);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_once_it_may_send() {
    let gate = Gate::start();
    let ask = Ask::unary(&CHAT).with("expect", "100-continue");
    let mut client = gate.connect().await;
    client.send(&ask.clone().key(&gate.key).head()).await;
    assert_eq!(client.head().await.status, 100);
    client.send(&ask.body).await;
    assert_eq!(client.answer(false).await.status(), 200);
    assert_eq!(gate.fake.seen()[0].header("expect"), None);

    // Who may not send is told so instead.
    let mut client = gate.connect().await;
    client.send(&ask.head()).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (401, "key_missing"));
    let mut client = gate.connect().await;
    let large = ask.framed(Framing::Own).with("content-length", "99999999999").key(&gate.key);
    client.send(&large.head()).await;
    assert_eq!(client.answer(false).await.status(), 413);
}

#[tokio::test]
async fn an_http_10_client_gets_an_answer_that_it_can_read() {
    let gate = Gate::start();
    for kind in [&CHAT, &MESSAGES] {
        let mut client = gate.connect().await;
        let unary = client.ask(&Ask::unary(kind).key(&gate.key).http_10()).await;
        assert_eq!(unary.status(), 200);
        assert_eq!(unary.header("transfer-encoding"), None);
        assert!(unary.json()["model"].is_string());
        let mut client = gate.connect().await;
        client.send(&Ask::stream(kind).key(&gate.key).http_10().wire()).await;
        let stream = client.answer(false).await;
        assert_eq!(stream.status(), 200);
        assert_eq!(stream.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks: {:?}", stream.head);
        assert!(
            stream.text().starts_with("data: ") || stream.text().starts_with("event: "),
            "{}",
            stream.text()
        );
        assert!(stream.text().ends_with("\n\n") && !stream.text().contains("\r\n0\r\n"));
        assert!(client.is_closed().await);
    }
    assert!(gate.records().await.iter().all(|record| record.reason == Reason::Completed));
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_closed() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    let answer = client.ask(&Ask::unary(&CHAT).key(&gate.key).with("connection", "close")).await;
    assert_eq!(answer.status(), 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_sent_everything_and_half_closed_is_still_answered_or_told_gone() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    client.send(&Ask::unary(&CHAT).key(&gate.key).wire()).await;
    client.finish().await;
    // A half-closed connection cannot be told from one whose client has left; either way it is settled once.
    until("the exchange to settle", async || (gate.records().await.len() == 1).then_some(())).await;
    let record = gate.record().await;
    assert!([Reason::Completed, Reason::ClientGone].contains(&record.reason), "{record:?}");
}

#[tokio::test]
async fn a_head_that_is_no_http_is_refused_and_harms_nobody() {
    let gate = Gate::start();
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is TLS to a plain port\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nname : value\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 5\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    ] {
        let mut client = gate.connect().await;
        client.send(nonsense).await;
        let mut seen = 0;
        while client.fill().await > 0 {
            seen += 1;
            assert!(seen < 64);
        }
    }
    let mut endless = gate.connect().await;
    endless.send(b"GET / HTTP/1.1\r\n").await;
    for _ in 0..2000 {
        endless.send_what_goes(format!("x-long: {}\r\n", "y".repeat(1000)).as_bytes()).await;
    }
    drop(endless);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    assert_eq!(gate.fake.requests(), 1);
}

#[tokio::test]
async fn many_headers_and_a_long_query_pass() {
    let gate = Gate::start();
    let mut ask =
        Ask::unary(&MESSAGES).to(&format!("/v1/messages?beta=true&long={}", "q".repeat(4000))).key(&gate.key);
    for number in 0..90 {
        ask = ask.with(&format!("x-header-{number}"), &"v".repeat(100));
    }
    let answer = gate.ask(&ask).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = &gate.fake.seen()[0];
    assert!(
        (0..90)
            .all(|number| seen.header(&format!("x-header-{number}")).is_some_and(|value| value.len() == 100))
    );
}

#[tokio::test]
async fn a_listener_with_tls_speaks_http_1_to_those_who_ask_for_it() {
    let certificate = tls::certificate("gateway.test");
    let gate = Gate::plan()
        .listen("[{address: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem}}]")
        .file("cert.pem", certificate.pem.clone())
        .file("key.pem", certificate.key_pem.clone())
        .start();
    for protocols in [&["http/1.1"][..], &[]] {
        let stream = certificate.connect(gate.address, "gateway.test", protocols).await;
        let mut client = Client::over(stream);
        assert_eq!(client.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
        assert!(client.ask(&Ask::stream(&MESSAGES).key(&gate.key).fake("write_bytes=9")).await.whole);
        assert_eq!(client.ask(&Ask::unary(&CHAT)).await.status(), 401);
    }
    // A client that never finishes its handshake holds up nobody.
    let _silent = gate.connect().await;
    let stream = certificate.connect(gate.address, "gateway.test", &["http/1.1"]).await;
    assert_eq!(Client::over(stream).ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
}
