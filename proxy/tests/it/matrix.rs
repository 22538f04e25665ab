//! HTTP/1.1 and HTTP/2, in clear text and over TLS, on both sides of the gateway: an answer is the same over all of
//! them.

use crate::support::ask::Framing;
use crate::support::h2::{H2, answer_and_trailers};
use crate::support::origin::{Origin, Reply};
use crate::support::tls::Certificate;
use crate::support::{Ask, Client, Gate, tls};
use bytes::Bytes;
use http::{Version, request};
use tokio::net::TcpStream;

/// How the gateway speaks to a provider: its prefix here, and its settings.
const UPSTREAMS: [(&str, &str, Version); 5] = [
    ("h1", "http2: never", Version::HTTP_11),
    ("h1-tls", "http2: auto, server_name: provider.test, ca_file: '{dir}/ca.pem'", Version::HTTP_11),
    ("h2", "http2: prior_knowledge", Version::HTTP_2),
    ("h2-tls", "http2: auto, server_name: provider.test, ca_file: '{dir}/ca.pem'", Version::HTTP_2),
    (
        "h2-told",
        "http2: prior_knowledge, server_name: provider.test, ca_file: '{dir}/ca.pem'",
        Version::HTTP_2,
    ),
];

/// A stream framed in every way that is allowed, and in some that are odd.
const EVENTS: &str = ": hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"Zo\u{eb}\"}}]}\n\nevent: x\ndata:{\"a\":1}\nid: 7\n\n\
                      data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\r\n\r\n\
                      retry: 5\n\ndata: [DONE]\n\n";
/// A small answer.
const SMALL: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

/// What the provider does, by the word in `x-case`.
fn reply(parts: &request::Parts, _length: usize) -> Reply {
    let case = parts.headers.get("x-case").map_or("", |value| value.to_str().unwrap());
    let cookies = ["b=2; Path=/", "a=1", "b=3"].map(|cookie| ("set-cookie", cookie.to_owned()));
    let json = Reply {
        status: 200,
        headers: [("content-type", "application/json".to_owned()), ("x-odd", "A, b;c=\"d\"".to_owned())]
            .into_iter()
            .chain(cookies)
            .collect(),
        parts: vec![Bytes::from_static(SMALL.as_bytes())],
        sized: true,
        ..Reply::default()
    };
    let trailers = vec![("x-checksum", "1f"), ("server-timing", "a;dur=1"), ("content-length", "5")];
    // One byte at a time, so that nothing can rely on where chunks end.
    let events = EVENTS.bytes().map(|byte| Bytes::from(vec![byte])).collect();
    let stream = Reply {
        headers: vec![("content-type", "text/event-stream".to_owned()), ("set-cookie", "a=1".to_owned())],
        parts: events,
        sized: false,
        ..json.clone()
    };
    match case {
        "stream" => stream,
        "stream-trailers" => Reply { trailers, ..stream },
        "trailers" => Reply { sized: false, trailers, ..json },
        "no-content" => Reply { status: 204, parts: Vec::new(), sized: false, ..json },
        "not-modified" => Reply { status: 304, parts: Vec::new(), sized: false, ..json },
        "error" => Reply { status: 529, ..json },
        size => match size.strip_prefix("bytes-").or(size.strip_prefix("chunks-")) {
            None => json,
            Some(bytes) => {
                let (bytes, sized) = (bytes.parse::<usize>().unwrap(), size.starts_with("bytes"));
                let part = Bytes::from(vec![b'x'; 64 * 1024]);
                let mut parts = vec![part.clone(); bytes / part.len()];
                parts.push(part.slice(..bytes % part.len()));
                Reply { parts, sized, ..json }
            }
        },
    }
}

/// A gateway with a plain and a TLS listener, and the providers that its requests are served by.
struct Matrix {
    gate: Gate,
    certificate: Certificate,
    origins: Vec<Origin>,
}

impl Matrix {
    async fn start() -> Matrix {
        let certificate = tls::certificate("gateway.test");
        let theirs = tls::certificate("provider.test");
        let mut plan = Gate::plan()
            .listen(
                "[{address: '127.0.0.1:0'}, {address: '127.0.0.1:0', tls: {cert: cert.pem, key: key.pem}}]",
            )
            .top("limits: {buffered_bodies: 48MiB}")
            .file("cert.pem", certificate.pem.clone())
            .file("key.pem", certificate.key_pem.clone())
            .file("ca.pem", theirs.pem.clone());
        let mut origins = Vec::new();
        for (name, settings, _) in UPSTREAMS {
            let secure = settings.contains("ca_file");
            let protocols: &[&str] = if name == "h1-tls" { &["http/1.1"] } else { &["h2", "http/1.1"] };
            let origin = Origin::start(secure.then(|| theirs.acceptor_of(protocols)), reply).await;
            let scheme = if secure { "https" } else { "http" };
            let text = format!(
                "kind: openai, base_url: '{scheme}://{}/v1', api_key: sk-1, models: [], {settings}",
                origin.address
            );
            plan = plan.provider(name, &text);
            origins.push(origin);
        }
        Matrix { gate: plan.start(), certificate, origins }
    }

    fn ask(&self, upstream: &str, case: &str) -> Ask {
        let stream = case.starts_with("stream");
        let body = format!(
            r#"{{"model":"m","messages":[],"stream":{stream}{}}}"#,
            if stream { r#","stream_options":{"include_usage":true}"# } else { "" }
        );
        Ask::post(&format!("/{upstream}/v1/chat/completions"), body).key(&self.gate.key).with("x-case", case)
    }

    async fn h1(&self, secure: bool) -> Client {
        match secure {
            false => Client::connect(self.gate.addresses[0]).await,
            true => {
                let stream =
                    self.certificate.connect(self.gate.addresses[1], "gateway.test", &["http/1.1"]).await;
                Client::over(stream)
            }
        }
    }

    async fn h2(&self, secure: bool) -> H2 {
        match secure {
            false => H2::over(TcpStream::connect(self.gate.addresses[0]).await.unwrap()).await,
            true => {
                H2::over(self.certificate.connect(self.gate.addresses[1], "gateway.test", &["h2"]).await)
                    .await
            }
        }
    }
}

/// The values of a header, in order.
fn all<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str()).collect()
}

fn check_small(head: &[(String, String)], body: &[u8], what: &str) {
    assert_eq!(std::str::from_utf8(body).unwrap(), SMALL, "{what}");
    assert_eq!(all(head, "set-cookie"), ["b=2; Path=/", "a=1", "b=3"], "{what}");
    assert_eq!(all(head, "x-odd"), ["A, b;c=\"d\""], "{what}");
    assert_eq!(all(head, "content-type"), ["application/json"], "{what}");
}

#[tokio::test]
async fn an_answer_is_the_same_over_every_pair_of_protocols() {
    let matrix = Matrix::start().await;
    for (index, (upstream, _, version)) in UPSTREAMS.into_iter().enumerate() {
        for secure in [false, true] {
            let (mut h1, mut h2) = (matrix.h1(secure).await, matrix.h2(secure).await);
            let what = format!("{upstream}, secure {secure}");
            for (case, status) in [("small", 200), ("trailers", 200), ("error", 529)] {
                let ask = matrix.ask(upstream, case);
                for answer in [h1.ask(&ask).await, h2.ask(&ask).await] {
                    assert_eq!((answer.status(), answer.whole), (status, true), "{what} {}", answer.text());
                    check_small(&answer.head.headers, &answer.body, &what);
                    assert_eq!(
                        answer.header("content-length"),
                        Some(&*SMALL.len().to_string()),
                        "{what} {case}"
                    );
                }
            }
            for case in ["stream", "stream-trailers"] {
                let ask = matrix.ask(upstream, case);
                for answer in [h1.ask(&ask).await, h2.ask(&ask).await] {
                    assert_eq!((answer.status(), answer.whole), (200, true), "{what}");
                    assert_eq!(answer.text(), EVENTS, "{what}");
                    assert_eq!(all(&answer.head.headers, "set-cookie"), ["a=1"], "{what}");
                    assert_eq!(answer.header("content-length"), None, "{what}");
                }
            }
            for (case, status) in [("no-content", 204), ("not-modified", 304)] {
                let ask = matrix.ask(upstream, case);
                for answer in [h1.ask(&ask).await, h2.ask(&ask).await] {
                    assert_eq!(
                        (answer.status(), answer.body.len(), answer.whole),
                        (status, 0, true),
                        "{what}"
                    );
                }
            }
            // The connections serve on after all of it.
            assert_eq!(h1.ask(&matrix.ask(upstream, "small")).await.status(), 200, "{what}");
            let head = Ask { method: "HEAD".into(), ..Ask::get("/") };
            for answer in [h1.ask(&head).await, h2.ask(&head).await] {
                assert_eq!((answer.status(), answer.body.len()), (200, 0), "{what}");
            }
        }
        let served = matrix.origins[index].served();
        assert!(served.iter().all(|served| served.version == version), "{upstream}: {served:?}");
        // One provider, few connections: h1 keeps one for each client at a time, h2 shares one.
        let connections = served.iter().map(|served| served.connection).max().unwrap() + 1;
        assert!(connections <= 2, "{upstream}: {connections} connections");
    }
    for record in matrix.gate.records().await {
        if record.status == 200 {
            assert_eq!((record.usage.input(), record.usage.output()), (Some(3), Some(4)), "{record:?}");
        }
    }
}

#[tokio::test]
async fn fields_behind_a_body_reach_those_who_read_them() {
    let matrix = Matrix::start().await;
    for (index, (upstream, _, _)) in UPSTREAMS.into_iter().enumerate() {
        for case in ["trailers", "stream-trailers"] {
            let ask = matrix.ask(upstream, case).with("te", "trailers");
            // Over HTTP/2.
            let mut h2 = matrix.h2(false).await;
            let (answer, trailers) = answer_and_trailers(h2.head(&ask).await).await;
            let what = format!("{upstream} {case}");
            assert!(answer.whole, "{what}");
            assert_eq!(trailers.len(), 2, "{what}: {trailers:?}");
            assert!(
                trailers["x-checksum"] == "1f" && trailers["server-timing"] == "a;dur=1",
                "{what}: {trailers:?}"
            );
            // Over HTTP/1.1, in chunks.
            let mut h1 = matrix.h1(false).await;
            h1.send(&ask.clone().with("connection", "close, te").wire()).await;
            let wire = String::from_utf8(h1.all().await).unwrap();
            assert!(wire.contains("\r\ntransfer-encoding: chunked\r\n"), "{what}: {wire}");
            let end = "\r\n0\r\nx-checksum: 1f\r\nserver-timing: a;dur=1\r\n\r\n";
            assert!(wire.ends_with(end), "{what}: {wire}");
            // To those who do not read them they are not sent.
            let mut h1 = matrix.h1(false).await;
            h1.send(&matrix.ask(upstream, case).with("connection", "close").wire()).await;
            let wire = String::from_utf8(h1.all().await).unwrap();
            assert!(!wire.contains("x-checksum"), "{what}: {wire}");
        }
        let asked = matrix.origins[index].served();
        assert!(
            asked.iter().any(|served| served.headers.get("te").is_some_and(|te| te == "trailers")),
            "{upstream}"
        );
    }
}

#[tokio::test]
async fn bodies_of_every_size_pass_whole_both_ways_within_the_budget() {
    let matrix = Matrix::start().await;
    for (index, (upstream, _, _)) in UPSTREAMS.into_iter().enumerate() {
        // The largest once for each protocol towards the provider; it is the same code under TLS.
        let largest = if matches!(upstream, "h1" | "h2") { 32 << 20 } else { 1 << 20 };
        for size in [1, 1000, 16 * 1024, 70_000, largest] {
            let what = format!("{upstream}, {size} bytes");
            let start = r#"{"model":"m","pad":""#;
            let body = format!("{start}{}\"}}", "y".repeat(size.max(64) - start.len() - 2));
            let ask = matrix.ask(upstream, "small").body(body.clone());
            let answers = [
                matrix.h1(false).await.ask(&ask).await,
                matrix.h1(false).await.ask(&ask.clone().framed(Framing::Chunks(100_000))).await,
                matrix.h2(false).await.ask(&ask).await,
            ];
            for answer in answers {
                assert_eq!(answer.status(), 200, "{what}: {}", answer.text());
            }
            for served in matrix.origins[index].served() {
                assert!(served.body == body.as_bytes(), "{what}: {} bytes", served.body.len());
                assert_eq!(served.headers["content-length"], body.len().to_string(), "{what}");
            }
            for case in ["bytes", "chunks"] {
                let ask = matrix.ask(upstream, &format!("{case}-{size}"));
                for answer in [matrix.h1(false).await.ask(&ask).await, matrix.h2(false).await.ask(&ask).await]
                {
                    assert_eq!((answer.status(), answer.whole), (200, true), "{what}");
                    assert!(
                        answer.body.len() == size && answer.body.iter().all(|byte| *byte == b'x'),
                        "{what}"
                    );
                }
            }
            drop(matrix.origins[index].served());
        }
    }
    assert_eq!(matrix.gate.gauge("narrows_buffered_bytes").await, 0.0);
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_within_the_limit_and_413_beyond() {
    let gate = Gate::plan().top("limits: {request_body: 64KiB}").start();
    for more in [0, 1] {
        let start = r#"{"model":"gpt-4o","messages":[],"pad":""#;
        let body = format!("{start}{}\"}}", "x".repeat(65536 - start.len() - 2 + more));
        let ask = Ask::post("/v1/chat/completions", body).key(&gate.key).with("expect", "100-continue");
        let mut h1 = gate.connect().await;
        h1.send(&ask.head()).await;
        let first = h1.head().await;
        if more == 0 {
            assert_eq!(first.status, 100);
            h1.send(&ask.framed_body()).await;
            assert_eq!(h1.answer(false).await.status(), 200);
        } else {
            assert_eq!(first.status, 413, "no body is invited that will not be taken");
        }
        let mut h2 = H2::over(TcpStream::connect(gate.address).await.unwrap()).await;
        assert_eq!(h2.ask(&ask).await.status(), if more == 0 { 200 } else { 413 });
    }
}
