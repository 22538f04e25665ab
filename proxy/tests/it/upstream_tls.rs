//! TLS towards a provider.

use crate::support::origin::{Origin, Reply};
use crate::support::{Ask, Gate, tls};
use bytes::Bytes;
use rustls::HandshakeKind;

fn small() -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".into()), ("connection", "close".into())],
        parts: vec![Bytes::from_static(b"{}")],
        sized: true,
        ..Reply::default()
    }
}

fn ask() -> Ask {
    Ask::post("/v1/chat/completions", r#"{"model":"m","messages":[]}"#)
}

#[tokio::test]
async fn a_new_connection_resumes_the_session_of_an_earlier_one() {
    let theirs = tls::certificate("provider.test");
    let origin = Origin::start(Some(theirs.acceptor()), |_, _| small()).await;
    let text = format!(
        "kind: openai, base_url: 'https://{}/v1', api_key: sk-1, models: [m], server_name: provider.test, ca_file: '{{dir}}/ca.pem'",
        origin.address
    );
    let gate = Gate::plan().provider("secure", &text).file("ca.pem", theirs.pem.clone()).start();
    for _ in 0..3 {
        assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    }
    let resumed = origin.handshakes().iter().filter(|kind| **kind == Some(HandshakeKind::Resumed)).count();
    assert_eq!((origin.handshakes().len(), resumed), (3, 2), "{:?}", origin.handshakes());
}

#[tokio::test]
async fn a_provider_that_wants_to_know_who_we_are_is_shown_our_certificate() {
    let (theirs, ours) = (tls::certificate("provider.test"), tls::certificate("gateway.test"));
    let origin = Origin::start(Some(theirs.acceptor_for(&ours)), |_, _| small()).await;
    let settings = format!(
        "kind: openai, base_url: 'https://{}/v1', api_key: sk-1, server_name: provider.test, ca_file: '{{dir}}/ca.pem'",
        origin.address
    );
    let gate = Gate::plan()
        .provider(
            "shown",
            &format!("{settings}, models: [m], client_cert: {{cert: ours.pem, key: ours.key}}"),
        )
        .provider("hidden", &format!("{settings}, models: [hidden]"))
        .file("ca.pem", theirs.pem.clone())
        .file("ours.pem", ours.pem.clone())
        .file("ours.key", ours.key_pem.clone())
        .start();
    assert_eq!(gate.ask_as_key(ask()).await.status(), 200);
    let hidden = gate.ask_as_key(ask().body(r#"{"model":"hidden","messages":[]}"#)).await;
    assert_eq!(hidden.status(), 502, "{}", hidden.text());
    assert_eq!(origin.served().len(), 1);
}
