//! HTTP/2 from clients: with prior knowledge in clear text, by ALPN over TLS.

use crate::support::h2::{H2, answer};
use crate::support::{Ask, CHAT, Client, GENERATING, Gate, MESSAGES, patient, tls, until};
use bytes::Bytes;
use narrows_fake::End;
use narrows_llm::Family;
use narrows_meter::Origin;
use narrows_policy::Reason;
use tokio::net::TcpStream;

async fn prior_knowledge(gate: &Gate) -> H2 {
    H2::over(TcpStream::connect(gate.address).await.unwrap()).await
}

/// What every HTTP/2 client needs.
async fn serves_everything(gate: &Gate, mut client: H2) {
    for kind in GENERATING {
        for ask in [Ask::unary(kind), Ask::stream(kind), Ask::stream(kind).fake("write_bytes=7")] {
            let ask = ask.key(&gate.key);
            let answer = client.ask(&ask).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            assert!(answer.whole);
            for hop in ["transfer-encoding", "connection", "keep-alive"] {
                assert_eq!(answer.header(hop), None, "{:?}", answer.head);
            }
            // The same bytes as over HTTP/1.
            assert_eq!(answer.text(), gate.ask(&ask).await.text());
            let record = gate.record_of(&answer).await;
            assert_eq!((record.reason, record.origin), (Reason::Completed, Origin::Provider), "{record:?}");
        }
    }
    let error = client.ask(&Ask::unary(&MESSAGES).key(&gate.key).fake("status=529")).await;
    assert_eq!((error.status(), error.whole), (529, true));
    assert_eq!(client.ask(&Ask::get("/")).await.status(), 200);
    let head = client.ask(&Ask { method: "HEAD".into(), ..Ask::get("/") }).await;
    assert_eq!((head.status(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn h2_by_prior_knowledge_serves_everything() {
    let gate = Gate::start();
    serves_everything(&gate, prior_knowledge(&gate).await).await;
}

#[tokio::test]
async fn h2_by_alpn_serves_everything() {
    let certificate = tls::certificate("gateway.test");
    let gate = Gate::plan()
        .listen("[{address: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem}}, {address: '127.0.0.1:0'}]")
        .file("cert.pem", certificate.pem.clone())
        .file("key.pem", certificate.key_pem.clone());
    let mut gate = gate.start();
    let stream = certificate.connect(gate.address, "gateway.test", &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // The comparison over HTTP/1 takes the plain listener.
    gate.address = gate.addresses[1];
    serves_everything(&gate, H2::over(stream).await).await;
}

#[tokio::test]
async fn a_refusal_before_the_body_is_an_answer_and_not_a_reset() {
    let gate = Gate::start();
    let mut client = prior_knowledge(&gate).await;
    for kind in GENERATING {
        let ask = Ask::new("POST", kind.unary).with("content-type", "application/json");
        let (parts, response) = client.begin(&ask).await;
        // The body goes on while the answer is read, as clients do it.
        for _ in 0..8 {
            let _unwanted = parts.send(Bytes::from(vec![b'x'; 16 * 1024])).await;
        }
        drop(parts);
        let answer = answer(response).await;
        assert!(answer.whole, "a reset, not an answer");
        assert_eq!((answer.status(), &*answer.code(kind.family())), (401, "key_missing"));
    }
    // The connection serves on.
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
}

#[tokio::test]
async fn a_megabyte_goes_up() {
    let gate = Gate::start();
    let mut client = prior_knowledge(&gate).await;
    let body = format!(r#"{{"model":"gpt-4o","messages":[],"pad":"{}"}}"#, "x".repeat(1 << 20));
    let answer = client.ask(&Ask::post(CHAT.unary, body.clone()).key(&gate.key)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = gate.fake.seen().pop().unwrap();
    assert!(seen.body == body.as_bytes());
    assert_eq!(seen.header("content-length"), Some(&*body.len().to_string()));
    assert_eq!(gate.record_of(&answer).await.request_bytes, body.len() as u64);
}

#[tokio::test]
async fn a_body_past_the_limit_is_refused_over_h2_too() {
    let gate = Gate::plan().top("limits: {request_body: 64KiB}").start();
    let mut client = prior_knowledge(&gate).await;
    for more in [0, 1, 200_000] {
        let start = r#"{"model":"gpt-4o","messages":[],"pad":""#;
        let body = format!("{start}{}\"}}", "x".repeat(65536 - start.len() - 2 + more));
        let answer = client.ask(&Ask::post(CHAT.unary, body).key(&gate.key)).await;
        if more == 0 {
            assert_eq!(answer.status(), 200);
        } else {
            assert_eq!((answer.status(), &*answer.code(Family::Openai)), (413, "body_too_large"));
            assert!(answer.whole);
        }
    }
}

#[tokio::test]
async fn many_streams_share_one_connection() {
    let gate = Gate::start();
    let client = prior_knowledge(&gate).await;
    let asks = (0..24).map(|number| {
        let mut client = client.clone();
        let body = format!(r#"{{"model":"gpt-{number}","messages":[],"stream":{}}}"#, number % 2 == 0);
        let ask = Ask::post(CHAT.unary, body).key(&gate.key).fake("chunks=10;gap_ms=3");
        async move { (number, client.ask(&ask).await) }
    });
    for (number, answer) in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status(), 200);
        assert!(answer.whole && answer.text().contains(&format!("\"model\":\"gpt-{number}\"")));
    }
    assert_eq!(gate.records().await.len(), 24);
}

#[tokio::test]
async fn an_h2_client_that_leaves_is_still_billed() {
    let gate = Gate::start();
    let mut client = prior_knowledge(&gate).await;
    let ask = Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=20;fault=stall_after:10");
    let response = client.head(&ask).await;
    until("the chunks to pass", async || (gate.fake.billed()[0].output >= 57).then_some(())).await;
    // Dropping the answer resets the stream; the connection stays.
    drop(response);
    patient("the provider to be left", gate.fake.wait_billed(|lines| lines[0].end == End::ClientGone)).await;
    let record = gate.record().await;
    assert_eq!(record.reason, Reason::ClientGone, "{record:?}");
    assert!(record.usage.input().is_some_and(|input| input > 0), "{record:?}");
    assert_eq!(gate.gauge("narrows_streams_in_flight").await, 0.0);
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
}

#[tokio::test]
async fn a_stream_that_is_cut_says_so_and_leaves_its_neighbours_alone() {
    let gate = Gate::start();
    let mut client = prior_knowledge(&gate).await;
    let answer = client.ask(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=9;fault=cut_after:5")).await;
    assert_eq!(answer.status(), 200);
    assert!(
        answer.text().contains("provider_cut") && !answer.text().contains("message_stop"),
        "{}",
        answer.text()
    );
    // Hyper's clients take a stream that was reset with CANCEL for one that ended.
    assert!(!answer.whole, "a cut answer must not look whole");
    assert_eq!(gate.record().await.reason, Reason::ProviderCut);
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
}

#[tokio::test]
async fn a_body_cut_without_a_word_is_never_taken_for_a_whole_one() {
    let gate = Gate::plan().top("limits: {metered_copy: 64KiB}").start();
    let mut client = prior_knowledge(&gate).await;
    // Too large to be held, so that half of it has gone out when it is cut.
    let answer =
        client.ask(&Ask::unary(&CHAT).key(&gate.key).fake("body_bytes=3000000;fault=cut_after")).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.whole, "{} bytes were taken for the whole", answer.body.len());
    assert_eq!(gate.record().await.reason, Reason::ProviderCut);
}

#[tokio::test]
async fn a_listener_without_h2_does_not_speak_it() {
    let gate = Gate::plan().listen("[{address: '127.0.0.1:0', h2: false}]").start();
    let mut client = gate.connect().await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    while client.fill().await > 0 {}
    assert_eq!(
        Client::connect(gate.address).await.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(),
        200
    );
}
