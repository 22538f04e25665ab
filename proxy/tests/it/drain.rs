//! The end of connections and of the gateway: nobody is cut off who did not have to be.

use crate::support::h2::H2;
use crate::support::{Ask, CHAT, Client, Gate, MESSAGES, Process, patient, until};
use narrows_ledger::{Filter, PageRequest};
use narrows_llm::Family;
use narrows_policy::Reason;
use tokio::net::TcpStream;

#[tokio::test]
async fn sigterm_serves_on_until_balancers_have_noticed_and_ends_when_the_last_stream_has() {
    // The grace is far longer than a test may take: to end in time is to end early.
    let mut process = Process::start("timeouts: {shutdown_wait: 5s, shutdown_grace: 10m}").await;
    let mut streaming = Client::connect(process.gateway).await;
    // It outlasts the wait.
    streaming.send(&Ask::stream(&MESSAGES).key(&process.key).fake("chunks=80;gap_ms=100").wire()).await;
    let head = streaming.head().await;
    let mut kept = Client::connect(process.gateway).await;
    let mut h2 = H2::over(TcpStream::connect(process.gateway).await.unwrap()).await;
    let ask = Ask::unary(&CHAT).key(&process.key);
    let answer = kept.ask(&ask).await;
    assert_eq!((answer.status(), answer.header("connection")), (200, None));
    assert_eq!(h2.ask(&ask).await.status(), 200);

    process.signal("TERM");
    process.logged("not ready any more").await;
    let ready = process.health("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (503, &"stopping".into()));
    assert_eq!(process.health("/healthz").await.status(), 200);
    // Who comes is served, over connections old and new, and asked not to come back.
    for client in [&mut kept, &mut Client::connect(process.gateway).await] {
        let answer = client.ask(&ask).await;
        assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
        assert!(client.is_closed().await);
    }
    let mut late = H2::over(TcpStream::connect(process.gateway).await.unwrap()).await;
    assert_eq!(late.ask(&ask).await.status(), 200);
    h2.ended().await;

    process.logged("closed: open exchanges may finish").await;
    until("nobody to listen any more", async || TcpStream::connect(process.gateway).await.err()).await;
    let streamed = streaming.rest(head, false).await;
    assert!(streamed.whole && streamed.text().contains("message_stop"), "{}", streamed.text());
    assert!(process.ended().await.success());
    let page = process.ledger.records(&Filter::default(), PageRequest { limit: 100, cursor: None }).unwrap();
    assert_eq!(page.records.len(), 6, "{:?}", page.records);
    assert!(page.records.iter().all(|record| record.reason == Reason::Completed), "{:?}", page.records);
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut process = Process::start("timeouts: {shutdown_wait: 10m, shutdown_grace: 10m}").await;
    let mut streaming = Client::connect(process.gateway).await;
    streaming
        .send(&Ask::stream(&MESSAGES).key(&process.key).fake("chunks=9;fault=stall_after:3").wire())
        .await;
    assert_eq!(streaming.head().await.status, 200);
    process.signal("TERM");
    process.logged("not ready any more").await;
    process.signal("TERM");
    process.logged("stopped at once").await;
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn ctrl_c_does_not_wait_for_balancers() {
    let mut process = Process::start("timeouts: {shutdown_wait: 10m}").await;
    process.signal("INT");
    assert!(process.ended().await.success());
}

#[tokio::test]
async fn an_old_connection_ends_with_an_answer_and_an_old_h2_connection_when_its_streams_have() {
    let gate = Gate::plan().top("limits: {connection_age_max: 500ms}").start();
    let ask = Ask::unary(&CHAT).key(&gate.key);
    let mut client = gate.connect().await;
    until("an answer that ends the connection", async || {
        let answer = client.ask(&ask).await;
        assert_eq!(answer.status(), 200);
        (answer.header("connection") == Some("close")).then_some(())
    })
    .await;
    assert!(client.is_closed().await);

    let mut h2 = H2::over(TcpStream::connect(gate.address).await.unwrap()).await;
    let stream = h2.head(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=20;gap_ms=100")).await;
    let streamed = crate::support::h2::answer(stream).await;
    assert!(
        streamed.whole && streamed.text().contains("message_stop"),
        "it outlasted the age of its connection"
    );
    h2.ended().await;
    assert!(gate.records().await.iter().all(|record| record.reason == Reason::Completed));
}

#[tokio::test]
async fn an_idle_connection_of_a_client_is_kept_as_long_as_configured() {
    let gate =
        Gate::plan().top("reload: {watch: off}\ntimeouts: {client_keepalive: 10m, keepalive: 100ms}").start();
    let ask = Ask::unary(&CHAT).key(&gate.key);
    let mut kept = gate.connect().await;
    let answered = kept.ask(&ask).await;
    assert_eq!(answered.status(), 200);
    // Once it is recorded, the connection waits.
    gate.record_of(&answered).await;
    gate.edit("client_keepalive: 10m", "client_keepalive: 100ms");
    assert_eq!(gate.reload().await.status(), 200);
    // Connections that wait already have their time; new ones have the new.
    let mut idle = gate.connect().await;
    assert_eq!(idle.ask(&ask).await.status(), 200);
    assert!(idle.is_closed().await);
    let mut h2 = H2::over(TcpStream::connect(gate.address).await.unwrap()).await;
    assert_eq!(h2.ask(&ask).await.status(), 200);
    h2.ended().await;
    assert_eq!(kept.ask(&ask).await.status(), 200);
}

#[tokio::test]
async fn the_limit_of_open_exchanges_refuses_one_past_it_before_its_body_and_admits_again() {
    let gate = Gate::plan().top("limits: {exchanges: 2}").start();
    let stalled = Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=9;fault=stall_after:3");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut client = gate.connect().await;
        client.send(&stalled.wire()).await;
        assert_eq!(client.head().await.status, 200, "up to the limit everybody is served");
        open.push(client);
    }
    for kind in [&CHAT, &MESSAGES, &crate::support::GEMINI] {
        let mut client = gate.connect().await;
        // The head alone: the answer comes before the body.
        client.send(&Ask::unary(kind).key(&gate.key).head()).await;
        let answer = client.answer(false).await;
        assert_eq!((answer.status(), &*answer.code(kind.dialect.family())), (503, "overloaded"));
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=4).contains(&wait), "{wait}");
        let record = gate.ledger_record(&answer).await;
        assert_eq!((record.reason, record.caller.user.as_deref()), (Reason::Overloaded, Some("ada")));
    }
    // Strangers are refused before that, and probes are none of it.
    let stranger = gate.ask(&Ask::unary(&CHAT)).await;
    assert_eq!((stranger.status(), &*stranger.code(Family::Openai)), (401, "key_missing"));
    assert_eq!(gate.ask(&Ask::get("/")).await.status(), 200);
    assert_eq!(gate.fake.requests(), 2);
    assert_eq!(gate.gauge("narrows_exchanges_limit").await, 2.0);
    drop(open.pop());
    until("a place", async || {
        let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_is_cut_with_a_word_why() {
    let mut gate = Gate::plan().top("timeouts: {shutdown_grace: 200ms}").start();
    let mut running = gate.connect().await;
    running.send(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=9;fault=stall_after:3").wire()).await;
    let head = running.head().await;
    let stopped = gate.stop();
    let cut = running.rest(head, false).await;
    assert!(cut.text().contains("shutting_down"), "{}", cut.text());
    patient("the gateway to stop", stopped).await.unwrap().unwrap();
}
