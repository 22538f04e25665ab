//! A new configuration while the gateway runs.

use crate::support::gate::PROVIDER_KEY;
use crate::support::{Ask, CHAT, Client, Gate, MESSAGES, patient, until};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Asks over and over on one connection until told to stop; every answer has to be right.
async fn load(gate: Arc<Gate>, answers: Arc<AtomicU64>, enough: Arc<AtomicBool>) {
    let mut client = gate.connect().await;
    let ask = Ask::unary(&CHAT).key(&gate.key);
    while !enough.load(Ordering::Relaxed) {
        let answer = client.ask(&ask).await;
        assert_eq!((answer.status(), answer.whole), (200, true), "{}", answer.text());
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn reloads_under_load_fail_nothing_and_leave_streams_alone() {
    const CLIENTS: u64 = 4;
    const RELOADS: usize = 12;
    let gate = Gate::plan().top("reload: {watch: off}\nmodels: {alias-0: openai/gpt-4o}").start();
    let gate = Arc::new(gate);
    // It is held open by the provider until the end of the test.
    let mut streaming = gate.connect().await;
    streaming.send(&Ask::stream(&MESSAGES).key(&gate.key).fake("chunks=40;gap_ms=50").wire()).await;
    let head = streaming.head().await;
    assert_eq!(head.status, 200);
    let (answers, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(load(Arc::clone(&gate), Arc::clone(&answers), Arc::clone(&enough))))
        .collect();
    let mut hashes = HashSet::from([gate.admin("/admin/v1/config").await.json()["snapshot"].to_string()]);
    let first = hashes.iter().next().unwrap().clone();
    for reload in 0..RELOADS {
        gate.edit(&format!("alias-{reload}:"), &format!("alias-{}:", reload + 1));
        let answer = gate.reload().await;
        assert_eq!(
            (answer.status(), &answer.json()["result"]),
            (200, &"applied".into()),
            "{}",
            answer.text()
        );
        assert!(hashes.insert(answer.json()["snapshot"].to_string()), "another configuration, another hash");
        let before = answers.load(Ordering::Relaxed);
        until("exchanges under the new configuration", async || {
            (answers.load(Ordering::Relaxed) >= before + 3 * CLIENTS).then_some(())
        })
        .await;
    }
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        patient("a client to end", client).await.unwrap();
    }
    let streamed = streaming.rest(head, false).await;
    assert!(streamed.whole && streamed.text().contains("message_stop"), "{}", streamed.text());

    let records = gate.records().await;
    assert_eq!(records.len() as u64, answers.load(Ordering::Relaxed) + 1);
    let hash = |snapshot: u64| format!("\"{snapshot:016x}\"");
    let used: HashSet<_> = records.iter().map(|record| hash(record.snapshot)).collect();
    assert_eq!(used, hashes, "each configuration stands in the records of its exchanges");
    let stream = records.iter().find(|record| record.streamed).unwrap();
    assert_eq!(hash(stream.snapshot), first, "the stream kept the configuration it began with");
    assert!(gate.fake.connections() <= CLIENTS + 1, "{} connections", gate.fake.connections());
    assert_eq!(gate.gauge("narrows_config_reload_total{result=\"applied\"}").await, RELOADS as f64);
}

#[tokio::test]
async fn a_rejected_configuration_changes_nothing_and_shows_everywhere() {
    let gate = Gate::plan().top("reload: {watch: off}\nlog: {level: info}").start();
    let before = gate.admin("/admin/v1/config").await.json();
    assert_eq!(before["last_rejection"], serde_json::Value::Null);
    gate.edit("level: info", "level: ifno");
    let answer = gate.reload().await;
    assert_eq!(answer.status(), 422);
    let json = answer.json();
    assert_eq!((&json["result"], &json["snapshot"]), (&"rejected".into(), &before["snapshot"]));
    assert_eq!(json["error"]["code"], "configuration_rejected");
    let problem = &json["problems"][0];
    assert_eq!((&problem["line"], &problem["path"]), (&11.into(), &"log.level".into()), "{problem}");
    assert!(problem["suggestion"].as_str().unwrap().contains("info"), "{problem}");

    let shown = gate.admin("/admin/v1/config").await.json();
    assert_eq!((&shown["snapshot"], &shown["loaded_at"]), (&before["snapshot"], &before["loaded_at"]));
    assert_eq!(shown["last_rejection"]["problems"], json["problems"]);
    assert_eq!(shown["last_rejection"]["trigger"], "api");
    assert_eq!(gate.admin("/admin/v1/status").await.json()["configuration"], shown);
    let ready = gate.health("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["degraded"][0]), (200, &"configuration_rejected".into()));
    assert_eq!(gate.gauge("narrows_config_rejected").await, 1.0);
    assert_eq!(gate.gauge("narrows_config_reload_total{result=\"rejected\"}").await, 1.0);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);

    // Putting it right is enough.
    gate.edit("level: ifno", "level: info");
    let answer = gate.reload().await;
    assert_eq!((answer.status(), &answer.json()["result"]), (200, &"unchanged".into()));
    assert_eq!(gate.health("/readyz").await.json()["degraded"].as_array().unwrap().len(), 0);
    assert_eq!(gate.gauge("narrows_config_rejected").await, 0.0);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_nothing_of_it_is_taken() {
    let gate = Gate::plan().top("reload: {watch: off}\nlimits: {request_body: 1MiB}").start();
    for (from, to, path) in [
        ("workers: 2", "workers: 3", "workers"),
        ("{path: narrows.db}", "{path: other.db}", "store.path"),
        ("[{address: '127.0.0.1:0'}]", "[{address: '127.0.0.1:0', h2: false}]", "listen.gateway[0].h2"),
        ("admin: {address: 127.0.0.1:0}", "admin: off", "listen.admin"),
    ] {
        gate.edit(from, to);
        gate.edit("request_body: 1MiB", "request_body: 1KiB");
        let answer = gate.reload().await;
        let problem = &answer.json()["problems"][0];
        assert_eq!((answer.status(), &problem["path"]), (422, &path.into()), "{}", answer.text());
        assert!(problem["suggestion"].as_str().unwrap().contains("restart"), "{problem}");
        assert_eq!(gate.ask_as_key(Ask::unary(&CHAT).body(vec![b' '; 2048])).await.status(), 400, "{path}");
        gate.edit("request_body: 1KiB", "request_body: 1MiB");
        gate.edit(to, from);
        assert_eq!(gate.reload().await.status(), 200);
    }
}

#[tokio::test]
async fn limits_and_modes_apply_without_a_restart() {
    let gate = Gate::plan()
        .top("reload: {watch: off}\nlimits: {request_body: 1MiB, connections: 9}\nrecords: {audit: best_effort}")
        .start();
    let large = Ask::unary(&CHAT).body(vec![b' '; 2048]);
    assert_eq!(gate.ask_as_key(large.clone()).await.status(), 400, "no JSON");
    gate.edit("request_body: 1MiB, connections: 9", "request_body: 1KiB, connections: 1");
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(gate.ask_as_key(large).await.status(), 413);
    // The one connection there may be.
    let mut one = gate.connect().await;
    assert_eq!(one.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    let mut two = gate.connect().await;
    two.send(&Ask::unary(&CHAT).key(&gate.key).wire()).await;
    assert_eq!(one.ask(&Ask::unary(&CHAT).key(&gate.key)).await.status(), 200);
    assert_eq!(gate.fake.requests(), 2, "the second connection waits");
    gate.edit("connections: 1", "connections: 2");
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(two.answer(false).await.status(), 200);
}

#[tokio::test]
async fn a_secret_that_is_rotated_in_its_file_is_sent_from_then_on() {
    const SECRET: &str = "sk-rotated-1";
    let gate = Gate::plan()
        .top("reload: {watch: 20ms}")
        .file("secret", format!("{SECRET}\n"))
        .provider("rotated", "kind: openai, base_url: 'http://{fake}/v1', api_key: 'file:secret', models: []")
        .start();
    let mut client = gate.connect().await;
    let ask = Ask::unary(&CHAT).to("/rotated/v1/chat/completions").key(&gate.key);
    assert_eq!(client.ask(&ask).await.status(), 200);
    let sent = |gate: &Gate| gate.fake.seen().last().unwrap().header("authorization").unwrap().to_owned();
    assert_eq!(sent(&gate), format!("Bearer {SECRET}"));
    std::fs::write(gate.dir.path().join("secret"), "sk-rotated-2\n").unwrap();
    until("the new secret to be sent", async || {
        assert_eq!(client.ask(&ask).await.status(), 200);
        (sent(&gate) == "Bearer sk-rotated-2").then_some(())
    })
    .await;
    assert_eq!(gate.fake.connections(), 1, "a credential is no reason to connect again");
    // A file that is gone is a configuration that is rejected, and the credential in force stays.
    std::fs::remove_file(gate.dir.path().join("secret")).unwrap();
    until("the rejection", async || (gate.gauge("narrows_config_rejected").await == 1.0).then_some(())).await;
    assert_eq!(client.ask(&ask).await.status(), 200);
    let shown = gate.admin("/admin/v1/config").await;
    let rejection = &shown.json()["last_rejection"];
    assert_eq!(rejection["trigger"], "file");
    assert_eq!(rejection["problems"][0]["path"], "providers.rotated.api_key");
    assert!(!shown.text().contains("sk-rotated") && !shown.text().contains(PROVIDER_KEY));
    std::fs::write(gate.dir.path().join("secret"), "sk-rotated-3\n").unwrap();
    until("the newest secret to be sent", async || {
        assert_eq!(client.ask(&ask).await.status(), 200);
        (sent(&gate) == "Bearer sk-rotated-3").then_some(())
    })
    .await;
    assert_eq!(gate.gauge("narrows_config_rejected").await, 0.0);
}

#[tokio::test]
async fn only_a_provider_that_changed_connects_again() {
    let gate = Gate::plan()
        .top("reload: {watch: off}")
        .provider("other", "kind: openai, base_url: 'http://{fake}/v1', api_key: sk-o, models: []")
        .start();
    let mut client = gate.connect().await;
    let mut ask = async |path: &str| {
        let answer = Client::ask(&mut client, &Ask::unary(&CHAT).to(path).key(&gate.key)).await;
        assert_eq!(answer.status(), 200);
    };
    for path in ["/openai/v1/chat/completions", "/other/v1/chat/completions"] {
        ask(path).await;
    }
    assert_eq!(gate.fake.connections(), 2);
    gate.edit("api_key: sk-o", "api_key: sk-o, timeouts: {connect: 7s}");
    assert_eq!(gate.reload().await.status(), 200);
    let idle = |provider: &str| format!("narrows_upstream_connections_idle{{provider=\"{provider}\"}}");
    assert_eq!(gate.gauge(&idle("openai")).await, 1.0);
    assert_eq!(gate.gauge(&idle("other")).await, 0.0, "the old connections are closed");
    for path in ["/openai/v1/chat/completions", "/other/v1/chat/completions"] {
        ask(path).await;
    }
    assert_eq!(gate.fake.connections(), 3);
    let opened =
        |provider: &str| format!("narrows_upstream_connections_opened_total{{provider=\"{provider}\"}}");
    assert_eq!((gate.gauge(&opened("openai")).await, gate.gauge(&opened("other")).await), (1.0, 2.0));
}
