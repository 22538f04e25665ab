//! Behind load balancers: who a request is from.

use crate::support::h2::H2;
use crate::support::{Ask, CHAT, Client, Gate, tls};
use narrows_ledger::Record;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A header of version 2 for a client at 203.0.113.9, with a further value as AWS sends one.
fn v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 0x01, 0xbb];
    let further = [0xea, 0, 4, 1, b'v', b'p', b'c'];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13".as_slice(), &addresses, &further].concat()
}

async fn introduced(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(header).await.unwrap();
    tcp
}

fn address_in(record: &Record) -> String {
    record.client_address.unwrap().to_string()
}

#[tokio::test]
async fn a_proxy_header_names_the_client_before_anything_else_is_read() {
    let certificate = tls::certificate("gateway.test");
    let gate = Gate::plan()
        .listen(
            "[{address: '127.0.0.1:0', proxy_protocol: {from: [127.0.0.0/8]}}, \
             {address: '127.0.0.1:0', proxy_protocol: {from: [127.0.0.1]}, tls: {cert: cert.pem, key: key.pem}}]",
        )
        .file("cert.pem", certificate.pem.clone())
        .file("key.pem", certificate.key_pem.clone())
        .start();
    let ask = Ask::unary(&CHAT).key(&gate.key);
    for (header, client) in [
        (v2(), "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 50000 443\r\n".to_vec(), "2001:db8::9"),
        // The balancer's own check.
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), "127.0.0.1"),
    ] {
        let mut one = Client::over(introduced(gate.addresses[0], &header).await);
        let answer = one.ask(&ask).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(address_in(&gate.record_of(&answer).await), client);
        let mut two = H2::over(introduced(gate.addresses[0], &header).await).await;
        let answer = two.ask(&ask).await;
        assert_eq!(address_in(&gate.record_of(&answer).await), client);
        let tcp = introduced(gate.addresses[1], &header).await;
        let tls = certificate.connect_over(tcp, "gateway.test", &["h2"]).await.unwrap();
        let answer = H2::over(tls).await.ask(&ask).await;
        assert_eq!(address_in(&gate.record_of(&answer).await), client);
    }
    // The header and the request in pieces, and in one.
    let wire = [v2(), ask.wire()].concat();
    for pieces in [1, 20, 1_000_000] {
        let mut client = Client::over(TcpStream::connect(gate.addresses[0]).await.unwrap());
        for piece in wire.chunks(pieces) {
            client.send(piece).await;
        }
        let answer = client.answer(false).await;
        assert_eq!(address_in(&gate.record_of(&answer).await), "203.0.113.9");
    }
    let named = gate.records().await;
    assert!(gate.fake.seen().iter().all(|seen| !format!("{seen:?}").contains("203.0.113.9")));
    assert_eq!(named.len(), 12);
}

#[tokio::test]
async fn who_is_no_listed_balancer_or_brings_no_header_is_refused() {
    let gate = Gate::plan()
        .listen(
            "[{address: '127.0.0.1:0', proxy_protocol: {from: [127.0.0.1]}}, \
             {address: '127.0.0.1:0', proxy_protocol: {from: [192.0.2.0/24]}}]",
        )
        .start();
    let ask = Ask::unary(&CHAT).key(&gate.key).wire();
    let mut bare = Client::over(TcpStream::connect(gate.addresses[0]).await.unwrap());
    bare.send_what_goes(&ask).await;
    assert!(bare.is_closed().await, "no header");
    let mut stranger = Client::over(TcpStream::connect(gate.addresses[1]).await.unwrap());
    stranger.send_what_goes(&[v2(), ask].concat()).await;
    assert!(stranger.is_closed().await, "a header from elsewhere");
    assert_eq!(gate.gauge("narrows_proxy_headers_refused_total").await, 2.0);
    assert_eq!((gate.records().await.len(), gate.fake.requests()), (0, 0));
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asks_and_no_provider_hears_of_it() {
    let gate = Gate::plan().top("trusted_proxies: {from: [127.0.0.1, 10.0.0.0/8]}").start();
    let ask = Ask::unary(&CHAT)
        .key(&gate.key)
        .with("x-forwarded-for", "198.51.100.66, 203.0.113.9")
        .with("x-forwarded-for", "10.1.2.3")
        .with("forwarded", "for=198.51.100.66")
        .with("x-real-ip", "203.0.113.9")
        .with("true-client-ip", "203.0.113.9");
    let one = gate.ask(&ask).await;
    let two = H2::over(TcpStream::connect(gate.address).await.unwrap()).await.ask(&ask).await;
    for answer in [one, two] {
        let record = gate.record_of(&answer).await;
        assert_eq!(address_in(&record), "203.0.113.9");
        assert!(record.to_json().contains("\"client_address\":\"203.0.113.9\""));
        let shown = gate
            .admin(&format!("/admin/v1/records/{}", answer.header("x-narrows-request-id").unwrap()))
            .await;
        assert_eq!(shown.json()["client_address"], "203.0.113.9");
    }
    for seen in gate.fake.seen() {
        let text = format!("{seen:?}");
        assert!(!text.contains("203.0.113.9") && !text.contains("198.51.100.66"), "{text}");
    }
    // Refused requests say who asked as well.
    let refused = gate.ask(&Ask::unary(&CHAT).with("x-forwarded-for", "203.0.113.10")).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(address_in(&gate.record_of(&refused).await), "203.0.113.10");
}

#[tokio::test]
async fn nobody_is_trusted_unless_named() {
    let gate = Gate::start();
    let ask = Ask::unary(&CHAT).key(&gate.key).with("x-forwarded-for", "203.0.113.9");
    let answer = gate.ask(&ask.with("forwarded", "for=203.0.113.9")).await;
    assert_eq!(address_in(&gate.record_of(&answer).await), "127.0.0.1");
}
