//! Providers behind a corporate proxy.

use crate::support::forward::Forward;
use crate::support::gate::Plan;
use crate::support::origin::{Origin, Reply};
use crate::support::{Ask, Gate, tls};
use bytes::Bytes;
use narrows_llm::Family;
use std::net::SocketAddr;

const OK: &str = "HTTP/1.1 200 Connection established\r\nvia: corp\r\n\r\n";

fn reply() -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        parts: vec![Bytes::from_static(b"{}")],
        sized: true,
        ..Reply::default()
    }
}

fn ask(model: &str) -> Ask {
    Ask::post("/v1/chat/completions", format!(r#"{{"model":"{model}","messages":[]}}"#))
}

fn provider(plan: Plan, model: &str, url: &str, more: &str) -> Plan {
    plan.provider(model, &format!("kind: openai, base_url: '{url}', api_key: sk-1, models: [{model}]{more}"))
}

/// A port that nobody listens on, held so that nobody takes it.
fn dead() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn every_provider_is_reached_through_the_proxy_and_named_to_it() {
    let certificate = tls::certificate("provider.test");
    let proxys = tls::certificate("localhost");
    for (secure_proxy, secure, h2) in [
        (false, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, false),
        (true, true, true),
    ] {
        let acceptor = secure.then(|| certificate.acceptor_of(&["h2", "http/1.1"]));
        let origin = Origin::start(acceptor, |_, _| reply()).await;
        let acceptor = secure_proxy.then(|| proxys.acceptor());
        let forward = Forward::start(acceptor, OK, origin.address).await;
        let url = if secure { "https://provider.test:8443/v1" } else { "http://provider.test:8080/v1" };
        let http2 = match (h2, secure) {
            (false, _) => "never",
            (true, true) => "auto",
            (true, false) => "prior_knowledge",
        };
        let more = format!(", http2: {http2}{}", if secure { ", ca_file: '{dir}/ca.pem'" } else { "" });
        let top = if secure_proxy {
            let port = forward.address.port();
            format!(
                "egress: {{proxy: 'https://us%40er:canary-9@localhost:{port}', ca_file: '{{dir}}/proxy.pem', no_proxy: [127.0.0.1]}}"
            )
        } else {
            format!(
                "egress: {{proxy: 'http://us%40er:canary-9@{}', no_proxy: [127.0.0.0/8]}}",
                forward.address
            )
        };
        let plan = Gate::plan()
            .top(&top)
            .file("ca.pem", certificate.pem.clone())
            .file("proxy.pem", proxys.pem.clone());
        let gate = provider(plan, "m", url, &more).start();
        let what = format!("proxy {secure_proxy}, tls {secure}, h2 {h2}");
        // One client, whose next request is read when the last one has given its connection back.
        let mut client = gate.connect().await;
        for _ in 0..2 {
            let answer = client.ask(&ask("m").key(&gate.key)).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "{}"), "{what}");
        }
        let asked = forward.asked();
        assert_eq!(asked.len(), 1, "{what}: the tunnel is used again");
        let port = if secure { 8443 } else { 8080 };
        assert_eq!(
            asked[0],
            format!(
                "CONNECT provider.test:{port} HTTP/1.1\r\nhost: provider.test:{port}\r\nproxy-authorization: Basic dXNAZXI6Y2FuYXJ5LTk=\r\n\r\n"
            ),
            "{what}"
        );
        let served = origin.served();
        assert!(served.iter().all(|served| !served.headers.contains_key("proxy-authorization")), "{what}");
        // Whom no_proxy names is reached directly.
        assert_eq!(gate.ask_as_key(Ask::unary(&crate::support::CHAT)).await.status(), 200, "{what}");
        assert_eq!(forward.asked().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_provider_may_have_its_own_way_out_or_none() {
    let origin = Origin::start(None, |_, _| reply()).await;
    let (general, own) =
        (Forward::start(None, OK, origin.address).await, Forward::start(None, OK, origin.address).await);
    let url = format!("http://{}/v1", origin.address);
    let plan =
        Gate::plan().top(&format!("egress: {{proxy: 'http://{}'}}", general.address)).usual("egress: direct");
    let plan = provider(plan, "general", &url, "");
    let plan = provider(plan, "own", &url, &format!(", egress: {{proxy: 'http://{}'}}", own.address));
    let gate = provider(plan, "direct", &url, ", egress: direct").start();
    for (model, through) in [("general", (1, 0)), ("own", (1, 1)), ("direct", (1, 1)), ("gpt-4o", (1, 1))] {
        assert_eq!(gate.ask_as_key(ask(model)).await.status(), 200, "{model}");
        assert_eq!((general.asked().len(), own.asked().len()), through, "{model}");
    }
}

#[tokio::test]
async fn an_error_says_which_hop_failed_and_shows_no_password() {
    let certificate = tls::certificate("provider.test");
    let origin = Origin::start(Some(certificate.acceptor()), |_, _| reply()).await;
    let refusing = |answer| Forward::start(None, answer, origin.address);
    let forbidden = refusing("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let wants =
        refusing("HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n").await;
    let silent = refusing("").await;
    let odd = refusing("SSH-2.0-nonsense\r\n\r\n").await;
    let fine = refusing(OK).await;
    let (_held, nobody) = dead();
    for (proxy, user, code, words) in [
        (forbidden.address, "u:canary-9@", "egress_proxy", "with status 403"),
        (wants.address, "", "egress_proxy", "wants a user and password"),
        (wants.address, "u:canary-9@", "egress_proxy", "refused the user and password"),
        (silent.address, "u:canary-9@", "egress_proxy", "without an answer"),
        (odd.address, "u:canary-9@", "egress_proxy", "not HTTP"),
        (nobody, "u:canary-9@", "egress_proxy", "no connection could be made"),
        (fine.address, "u:canary-9@", "provider_tls", "TLS handshake with the provider"),
    ] {
        let plan = Gate::plan();
        let more = format!(", egress: {{proxy: 'http://{user}{proxy}'}}");
        let gate = provider(plan, "m", "https://provider.test/v1", &more).start();
        let answer = gate.ask_as_key(ask("m")).await;
        assert_eq!((answer.status(), &*answer.code(Family::Openai)), (502, code), "{}", answer.text());
        let text = answer.text();
        assert!(text.contains(words) && text.contains(&proxy.to_string()), "{text}");
        assert!(!text.contains("canary-9"), "{text}");
        assert_eq!(gate.record_of(&answer).await.reason.as_str(), code);
    }
}
