//! A store that gateways share: several of them, over one PostgreSQL, are as one.

use crate::support::gate::{Plan, refusal};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::tls::certificate;
use crate::support::{Ask, CHAT, Client, Gate, patient, until};
use narrows_ledger::{Filter, Place, PostgresHost};
use std::collections::BTreeSet;

fn plan(server: &Postgres) -> Plan {
    let database = server.database("narrows");
    let PostgresHost::Unix { folder, port } = &database.host else { unreachable!("it is at a socket") };
    let address = format!("unix:{}:{port}/narrows", folder.display());
    let store = format!("{{postgres: '{address}', username: narrows, password: '{PASSWORD}'}}");
    Gate::plan().top("reload: {watch: off}").store(store, Place::from(database))
}

async fn status(gate: &Gate, key: &str) -> u16 {
    gate.connect().await.ask(&Ask::unary(&CHAT).key(key)).await.status()
}

/// Every record is there once, and the sums say as much.
async fn records_come_to(gate: &Gate, expected: u64) {
    until("all records", async || {
        let sums = gate.ledger.usage(&Filter::default(), &[]).ok()?;
        (sums.first().map(|row| row.sums.requests)? == expected).then_some(())
    })
    .await;
    let found = gate.ledger.verify().unwrap();
    assert!(found.consistent && found.overflow.requests == 0, "{found:?}");
    let mut ids = BTreeSet::new();
    gate.ledger
        .reader()
        .unwrap()
        .each(&Filter::default(), &mut |record| assert!(ids.insert(record.id), "a record twice"))
        .unwrap();
    assert_eq!(ids.len() as u64, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_over_one_database_are_as_one() {
    let Some(server) = Postgres::start() else { return };
    let one = plan(&server).start();
    let mut other = plan(&server).start();
    other.admin_token.clone_from(&one.admin_token);
    let post = async |gate: &Gate, path: &str, body: &str| {
        let ask = Ask::post(path, body).with("connection", "close").key(&gate.admin_token);
        Client::connect(gate.admin).await.ask(&ask).await
    };
    // A key that was made at one works at both, until the other revokes it.
    let made = post(&one, "/admin/v1/keys", r#"{"name": "shared", "team": "red"}"#).await;
    assert_eq!(made.status(), 201, "{}", made.text());
    let made = made.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(status(&one, key).await, 200);
    until("the other knows the key", async || (status(&other, key).await == 200).then_some(())).await;
    let gone = post(&other, &format!("/admin/v1/keys/{id}/disable"), "").await;
    assert_eq!(gone.status(), 200, "{}", gone.text());
    assert_ne!(status(&other, key).await, 200);
    until("the one refuses the key", async || (status(&one, key).await != 200).then_some(())).await;
    // What passed at either is in the report of both.
    let served = one.fake.requests() + other.fake.requests();
    for gate in [&one, &other] {
        until("both gateways' sums", async || {
            let report = gate.admin("/admin/v1/usage?by=reason&team=red").await.json();
            let rows = report["usage"].as_array()?;
            let requests = |row: &serde_json::Value| row["requests"].as_u64().unwrap();
            let ok = rows.iter().filter(|row| row["reason"] == "completed").map(requests).sum::<u64>();
            (ok == served).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_stops_no_request_and_loses_no_record() {
    const EACH: u64 = 20;
    let Some(server) = Postgres::start() else { return };
    let gates = [plan(&server).start(), plan(&server).start()];
    let ask = async |gate: &Gate| {
        for _ in 0..EACH {
            assert_eq!(status(gate, &gate.key).await, 200);
        }
    };
    for gate in &gates {
        until("the key is known", async || (status(gate, &gate.key).await == 200).then_some(())).await;
    }
    for gate in &gates {
        ask(gate).await;
    }
    server.kill();
    for gate in &gates {
        patient("requests while it is away", ask(gate)).await;
    }
    assert!(gates[0].ledger.list_keys(false).is_err(), "administration says that it is away");
    server.run();
    for gate in &gates {
        ask(gate).await;
    }
    for gate in &gates {
        records_come_to(gate, 2 * 3 * EACH + 2).await;
    }
}

/// The settings of a store at a port, over TLS.
fn over_tls(host: &str, port: u16, more: &str) -> String {
    format!("{{postgres: 'postgres://{host}:{port}/narrows', username: narrows, tls: verify-full, {more}}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_reaches_its_database_over_tls() {
    let Some(server) = Postgres::at_port() else { return };
    let own = certificate("localhost");
    server.certify(&own.pem, &own.key_pem);
    server.run();
    let store =
        over_tls("localhost", server.port(), "password: 'file:{dir}/password', ca_file: '{dir}/ca.pem'");
    let gate = Gate::plan()
        .top("reload: {watch: off}")
        .file("ca.pem", own.pem.clone())
        .file("password", format!("{PASSWORD}\n"))
        .store(store, Place::from(server.database("narrows")))
        .start();
    until("the key is known", async || (status(&gate, &gate.key).await == 200).then_some(())).await;
    records_come_to(&gate, 1).await;
    let at_the_port = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_addr IS NOT NULL";
    let count = |which: &str| server.sql("narrows", &format!("SELECT count(*) {at_the_port} AND {which}"));
    assert_eq!(count("NOT ssl"), "0");
    assert_ne!(count("ssl"), "0", "the gateway's connections");
}

#[test]
fn a_start_without_its_database_is_refused_with_what_to_do() {
    let Some(server) = Postgres::at_port() else { return };
    let (own, other) = (certificate("localhost"), certificate("localhost"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.pem"), &own.pem).unwrap();
    std::fs::write(dir.path().join("other.pem"), &other.pem).unwrap();
    let port = server.port();
    let said = |store: String| {
        let text = format!(
            "version: 1\nstore: {store}\nlisten: {{gateway: [{{address: '127.0.0.1:0'}}], metrics: {{address: '127.0.0.1:0'}}, admin: off}}\n\
             providers:\n  o: {{kind: ollama, base_url: 'http://127.0.0.1:1'}}\n"
        );
        let said = refusal(dir.path(), &text);
        assert!(!said.contains(PASSWORD) && !said.contains("canary"), "{said}");
        said
    };
    let file = |name: &str| format!("password: {PASSWORD}, ca_file: '{}'", dir.path().join(name).display());
    let refused = |host: &str, more: &str, parts: &[&str]| {
        let said = said(over_tls(host, port, more));
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} expected: {said}");
    };
    refused("localhost", &file("own.pem"), &["refused", "see that the server runs"]);
    server.run();
    server.database("narrows");
    refused("localhost", &file("own.pem"), &["does not support TLS", "`ssl = on`"]);
    server.kill();
    server.certify(&own.pem, &own.key_pem);
    server.run();
    refused("localhost", &file("other.pem"), &["invalid peer certificate", "`ca_file`"]);
    refused("127.0.0.1", &file("own.pem"), &["not valid for name", "\"localhost\"", "store's address"]);
    let wrong = file("own.pem").replace(PASSWORD, "canary");
    refused("localhost", &wrong, &["password authentication failed", "`username` and `password`"]);
}
