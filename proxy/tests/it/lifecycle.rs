//! Health, and an end that loses nothing.

use crate::support::{Ask, CHAT, Client, Gate, MESSAGES, patient, until};
use narrows_ledger::{Filter, PageRequest};
use narrows_llm::Family;
use narrows_policy::Reason;
use tokio::net::TcpStream;

#[tokio::test]
async fn health_and_readiness_are_told_apart_from_exchanges() {
    let gate = Gate::start();
    for (path, status, word) in [("/healthz", 200, "alive"), ("/readyz", 200, "ready")] {
        let answer = gate.health(path).await;
        assert_eq!((answer.status(), &answer.json()["status"]), (status, &word.into()));
    }
    assert_eq!(gate.health("/unheard-of").await.status(), 404);
    // Neither is served where exchanges are, and exchanges are not served here.
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(gate.ask_as_key(Ask::get(path)).await.status(), 404, "{path}");
    }
    assert_eq!(gate.health("/v1/models").await.status(), 404);
    let admin = gate.admin("/admin/v1/keys").await;
    assert_eq!(admin.status(), 200, "{}", admin.text());
    let stranger = Client::connect(gate.admin).await.ask(&Ask::get("/admin/v1/keys").key(&gate.key)).await;
    assert_eq!(stranger.status(), 401, "a virtual key opens no administration");
}

#[tokio::test]
async fn a_stop_lets_streams_finish_refuses_new_ones_and_keeps_every_record() {
    let mut gate = Gate::plan().top("timeouts: {shutdown_grace: 20s}").start();
    let mut idle = gate.connect().await;
    assert_eq!(idle.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    let mut running = gate.connect().await;
    // It lasts for a second and a half: longer than everything that follows.
    running.send(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=30;gap_ms=50").wire()).await;
    let head = running.head().await;
    let stopped = gate.stop();
    until("the gateway to say that it stops", async || {
        (gate.health("/readyz").await.status() == 503).then_some(())
    })
    .await;
    assert_eq!(gate.health("/readyz").await.json()["status"], "stopping");
    assert_eq!(gate.health("/healthz").await.status(), 200, "it is still alive");
    assert_eq!(gate.gauge("narrows_stopping").await, 1.0);
    // A connection that was open may ask once more, and hears that it should ask elsewhere.
    idle.send_what_goes(&Ask::unary(&CHAT).key(&gate.key).wire()).await;
    if !idle.is_closed().await {
        let answer = idle.answer(false).await;
        assert_eq!((answer.status(), &*answer.code(Family::Openai)), (503, "shutting_down"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(idle.is_closed().await);
    }
    let streamed = running.rest(head, false).await;
    assert!(streamed.whole && streamed.text().contains("message_stop"), "{}", streamed.text());
    patient("the gateway to stop", stopped).await.unwrap().unwrap();
    // Everything is in the store when it has stopped; nothing needs to be waited for.
    let page = gate.ledger.records(&Filter::default(), PageRequest { limit: 100, cursor: None }).unwrap();
    let of = |reason: Reason| page.records.iter().filter(|record| record.reason == reason).count();
    assert_eq!(of(Reason::Completed), 2, "{:?}", page.records);
    assert_eq!(page.records.len(), 2 + of(Reason::ShuttingDown));
    let stream = page.records.iter().find(|record| record.streamed).unwrap();
    assert_eq!(stream.usage.output(), Some(gate.fake.billed()[1].output));
    assert!(TcpStream::connect(gate.address).await.is_err(), "nobody listens any more");
    assert!(gate.ledger.verify().unwrap().consistent);
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_is_cut_and_settled() {
    let mut gate = Gate::plan().top("timeouts: {shutdown_grace: 200ms}").start();
    let mut running = gate.connect().await;
    running.send(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=9;fault=stall_after:3").wire()).await;
    assert_eq!(running.head().await.status, 200);
    patient("the gateway to stop", gate.stop()).await.unwrap().unwrap();
    let page = gate.ledger.records(&Filter::default(), PageRequest { limit: 100, cursor: None }).unwrap();
    assert_eq!(page.records.len(), 1, "the exchange that was cut has its record: {:?}", page.records);
    assert_eq!(page.records[0].reason, Reason::ShuttingDown);
    assert!(page.records[0].usage.input().is_some_and(|input| input > 0), "{:?}", page.records);
}

#[tokio::test]
async fn a_gateway_that_was_stopped_starts_again_with_its_keys_and_records() {
    let mut gate = Gate::start();
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    patient("the gateway to stop", gate.stop()).await.unwrap().unwrap();
    let text = format!(
        "version: 1\ntimeouts: {{shutdown_wait: 0s}}\nstore: {{path: narrows.db}}\nworkers: 1\nlisten:\n  gateway: [{{address: 127.0.0.1:0}}]\n  \
         metrics: {{address: 127.0.0.1:0}}\n  admin: {{address: 127.0.0.1:0}}\nproviders:\n  \
         openai: {{kind: openai, base_url: 'http://{}/v1', api_key: sk-1}}\n",
        gate.fake.addr()
    );
    let settings =
        narrows::config::parse("narrows.yaml", gate.dir.path(), &text, &|_| None).unwrap().settings;
    let (running, ready) = narrows::server::start(settings).unwrap();
    assert!(ready.admin_token.is_none(), "the administration token is shown once only");
    let answer = Client::connect(ready.gateway[0]).await.ask(&Ask::unary(&CHAT).key(&gate.key)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    patient("the gateway to stop", running.stop()).await.unwrap();
    let page = gate.ledger.records(&Filter::default(), PageRequest { limit: 100, cursor: None }).unwrap();
    assert_eq!(page.records.len(), 2);
}

#[tokio::test]
async fn a_limit_of_connections_makes_clients_wait_and_refuses_nobody() {
    let gate = Gate::plan().top("limits: {connections: 2}").start();
    let (mut one, two) = (gate.connect().await, gate.connect().await);
    assert_eq!(one.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    let mut third = gate.connect().await;
    third.send(&Ask::unary(&CHAT).key(&gate.key).wire()).await;
    assert_eq!(one.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    assert_eq!(gate.fake.requests(), 2, "the third waits for its turn");
    drop(two);
    assert_eq!(third.answer(false).await.status(), 200);
}
