//! Certificates of listeners that are renewed while the gateway serves.

use crate::support::{Ask, CHAT, Client, Gate, tls, until};

async fn presented(gate: &Gate, at: usize, trusted: &tls::Certificate) -> bool {
    trusted.try_connect(gate.addresses[at], "gateway.test").await.is_some()
}

#[tokio::test]
async fn a_renewed_certificate_is_used_within_seconds_and_open_connections_stay() {
    let (old, new) = (tls::certificate("gateway.test"), tls::certificate("gateway.test"));
    let gate = Gate::plan()
        .listen("[{address: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem}}]")
        .file("cert.pem", old.pem.clone())
        .file("key.pem", old.key_pem.clone())
        .start();
    let mut open = Client::over(old.connect(gate.address, "gateway.test", &["http/1.1"]).await);
    let ask = Ask::unary(&CHAT).key(&gate.key);
    assert_eq!(open.ask(&ask).await.status(), 200);
    // A broken pair keeps the old one, and is counted.
    std::fs::write(gate.dir.path().join("cert.pem"), &new.pem).unwrap();
    until("the broken pair to be counted", async || {
        (gate.gauge("narrows_certificates_rejected_total").await == 1.0).then_some(())
    })
    .await;
    assert!(presented(&gate, 0, &old).await && !presented(&gate, 0, &new).await);
    std::fs::write(gate.dir.path().join("key.pem"), &new.key_pem).unwrap();
    until("the new certificate", async || presented(&gate, 0, &new).await.then_some(())).await;
    assert!(!presented(&gate, 0, &old).await);
    assert_eq!(gate.gauge("narrows_certificates_loaded_total").await, 1.0);
    assert_eq!(gate.gauge("narrows_certificates_rejected_total").await, 1.0);
    assert_eq!(open.ask(&ask).await.status(), 200, "a connection from before goes on");
}
