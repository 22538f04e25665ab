//! Bodies with files stream through.

use crate::pass_through::form;
use crate::support::ask::Framing;
use crate::support::{Ask, Gate, patient, until};
use narrows_llm::Family;
use narrows_policy::Reason;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 34\r\n\r\n{\"id\":\"file-1\",\"object\":\"file\"}    ";

/// A provider of which the test is in control.
struct Provider {
    listener: TcpListener,
    address: SocketAddr,
}

impl Provider {
    async fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Provider { listener, address }
    }

    /// The next connection.
    async fn accept(&self) -> TcpStream {
        patient("the gateway to connect", self.listener.accept()).await.unwrap().0
    }
}

/// Reads until what was read ends with `end`.
async fn read_to(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    patient("the gateway to write", async {
        while !read.ends_with(end) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "closed after {}", read.escape_ascii());
        }
    })
    .await;
    read
}

fn gate(provider: &Provider, top: &str) -> Gate {
    let text = format!(
        "kind: openai, base_url: 'http://{}/v1', api_key: sk-1, models: [], paths: [files, audio]",
        provider.address
    );
    Gate::plan().top(top).provider("test", &text).start()
}

fn upload(body: impl Into<Vec<u8>>) -> Ask {
    Ask { body: body.into(), ..Ask::new("POST", "/test/v1/files") }
        .with("content-type", "multipart/form-data; boundary=b-1")
}

#[tokio::test]
async fn an_upload_reaches_the_provider_while_it_arrives() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "");
    for framing in [Framing::Length, Framing::Chunks(6)] {
        let ask = upload("first second").framed(framing).key(&gate.key);
        let wire = ask.wire();
        let cut = memchr::memmem::find(&wire, b"second").unwrap();
        let cut = if framing == Framing::Length { cut } else { cut - 3 };
        let mut client = gate.connect().await;
        client.send(&wire[..cut]).await;
        let mut stream = provider.accept().await;
        let head =
            read_to(&mut stream, if framing == Framing::Length { b"first " } else { b"first \r\n" }).await;
        let head = String::from_utf8(head).unwrap();
        let told = if framing == Framing::Length {
            "content-length: 12\r\n"
        } else {
            "transfer-encoding: chunked\r\n"
        };
        assert!(head.starts_with("POST /v1/files HTTP/1.1\r\n") && head.contains(told), "{head}");
        assert!(head.contains("authorization: Bearer sk-1\r\n"), "{head}");
        client.send(&wire[cut..]).await;
        read_to(&mut stream, if framing == Framing::Length { b"second" } else { b"0\r\n\r\n" }).await;
        stream.write_all(ANSWER).await.unwrap();
        let answer = client.answer(false).await;
        assert_eq!(answer.json()["id"], "file-1");
        let record = gate.record_of(&answer).await;
        assert_eq!((record.request_bytes, record.response_bytes, record.reason), (12, 34, Reason::Completed));
    }
}

#[tokio::test]
async fn an_upload_has_a_limit_whichever_way_its_length_is_told() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "limits: {upload_body: 1000B}");
    // At the limit.
    for framing in [Framing::Length, Framing::Chunks(100)] {
        let mut client = gate.connect().await;
        client.send(&upload(vec![b'x'; 1000]).framed(framing).key(&gate.key).wire()).await;
        let mut stream = provider.accept().await;
        read_to(&mut stream, if framing == Framing::Length { b"xxx" } else { b"0\r\n\r\n" }).await;
        stream.write_all(ANSWER).await.unwrap();
        assert_eq!(client.answer(false).await.status(), 200);
    }
    // One past it: nobody is asked when the head says so.
    let told = gate.ask_as_key(upload(vec![b'x'; 1001])).await;
    assert_eq!((told.status(), &*told.code(Family::Openai)), (413, "body_too_large"));
    assert!(gate.record_of(&told).await.attempts.is_empty());
    // In chunks it shows on the way; the provider never sees a proper end.
    let mut client = gate.connect().await;
    client.send(&upload(vec![b'x'; 1001]).framed(Framing::Chunks(100)).key(&gate.key).wire()).await;
    let mut stream = provider.accept().await;
    let mut read = Vec::new();
    patient("the gateway to give up", stream.read_to_end(&mut read)).await.ok();
    assert!(!read.ends_with(b"0\r\n\r\n"), "{}", read.escape_ascii());
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), &*answer.code(Family::Openai)), (413, "body_too_large"));
    assert!(answer.text().contains("limits.upload_body"), "{}", answer.text());
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_answer_before_the_uploads_end_reaches_the_client_as_it_is() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "");
    let body = r#"{"error":{"message":"no such purpose"}}"#;
    let mut client = gate.connect().await;
    let ask = upload("first").framed(Framing::Own).with("content-length", "500000000").key(&gate.key);
    client.send(&ask.wire()).await;
    let mut stream = provider.accept().await;
    read_to(&mut stream, b"first").await;
    let answer =
        format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nx-own: yes\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), answer.header("x-own"), answer.text()), (400, Some("yes"), body.to_owned()));
    assert!(client.is_closed().await, "the rest of the body is not taken for a request");
    let record = gate.record_of(&answer).await;
    assert_eq!((record.reason, record.request_bytes, record.attempts.len()), (Reason::ProviderError, 5, 1));
}

#[tokio::test]
async fn a_client_that_leaves_an_upload_ends_it_at_the_provider() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "");
    let mut client = gate.connect().await;
    let ask = upload("first").framed(Framing::Own).with("content-length", "500").key(&gate.key);
    client.send(&ask.wire()).await;
    let mut stream = provider.accept().await;
    read_to(&mut stream, b"first").await;
    drop(client);
    let mut rest = Vec::new();
    patient("the gateway to leave", stream.read_to_end(&mut rest)).await.ok();
    assert!(rest.is_empty());
    let record = gate.record().await;
    assert_eq!((record.reason, record.status), (Reason::ClientGone, 0));
}

#[tokio::test]
async fn a_provider_that_does_not_read_holds_the_client_back() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "");
    let mut tcp = TcpStream::connect(gate.address).await.unwrap();
    let ask = upload("").framed(Framing::Own).with("content-length", "500000000").key(&gate.key);
    tcp.write_all(&ask.head()).await.unwrap();
    let stream = provider.accept().await;
    // What goes into buffers of sockets is much less than what the client has; then nobody takes any more.
    let part = vec![0; 1 << 20];
    let mut written = 0;
    let mut quiet = 0;
    while quiet < 50 {
        match tcp.try_write(&part) {
            Ok(count) => {
                written += count;
                quiet = 0;
            }
            Err(_full) => {
                quiet += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
        assert!(written < 100_000_000, "the gateway holds {written} bytes that nobody reads");
    }
    // Nothing but the room for the answer, which names what is made, and the copy that is looked at.
    let copy = 8 << 20;
    assert!(gate.gauge("narrows_buffered_bytes").await <= f64::from(16_384 + copy));
    drop(stream);
}

#[tokio::test]
async fn a_download_is_not_held() {
    let provider = Provider::start().await;
    let gate = gate(&provider, "objects: {unknown: allow}");
    let mut client = gate.connect().await;
    client.send(&Ask::get("/test/v1/files/file-1/content").key(&gate.key).wire()).await;
    let mut stream = provider.accept().await;
    read_to(&mut stream, b"\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nfirst \r\n").await.unwrap();
    let head = client.head().await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"first "[..]), "before the rest is there");
    stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    let rest = client.rest(head, false).await;
    assert_eq!((rest.text(), rest.whole), ("second".to_owned(), true));
    // A download that breaks off is not taken for a whole one.
    let mut client = gate.connect().await;
    client.send(&Ask::get("/test/v1/files/file-1/content").key(&gate.key).wire()).await;
    read_to(&mut stream, b"\r\n\r\n").await;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nfirst ").await.unwrap();
    drop(stream);
    let answer = client.answer(false).await;
    assert!(!answer.whole);
    let cut = until("the record", async || gate.records().await.into_iter().nth(1)).await;
    assert_eq!(cut.reason, Reason::ProviderCut);
}

#[tokio::test]
async fn the_model_of_a_form_decides_and_aliases_are_exchanged() {
    let gate = Gate::plan()
        .usual("paths: [audio]")
        .top("models: {ears: second/whisper-2}")
        .provider("second", "kind: openai, base_url: 'http://{fake}/second/v1', api_key: sk-2, models: ['whisper-*'], paths: [audio]")
        .key(|key| key.models = Some(vec!["whisper-1".into()]))
        .start();
    let ask = |model: Option<&str>| {
        let (kind, body) = form(model, "RIFF");
        Ask { body, ..Ask::new("POST", "/v1/audio/transcriptions") }.with("content-type", &kind)
    };
    for framing in [Framing::Length, Framing::Chunks(7)] {
        let answer = gate.ask_as_key(ask(Some("ears")).framed(framing)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!(record.model_requested.as_deref(), Some("ears"));
        assert_eq!(
            (record.model_sent.as_deref(), record.provider.as_deref()),
            (Some("whisper-2"), Some("second"))
        );
        assert_eq!((record.usage.input(), record.usage.output()), (Some(14), Some(5)));
        let seen = gate.fake.seen().pop().unwrap();
        assert_eq!(seen.body, form(Some("whisper-2"), "RIFF").1, "the rest of the form is as it was");
    }
    let unnamed = gate.ask_as_key(ask(None)).await;
    assert_eq!(
        (unnamed.status(), &*unnamed.code(Family::Openai)),
        (400, "provider_ambiguous"),
        "{}",
        unnamed.text()
    );
    assert!(unnamed.text().contains("/openai/v1/audio/transcriptions"), "{}", unnamed.text());
    // A key that may use one model names it, and nothing beside it.
    let key = &gate.keys[1].1;
    assert_eq!(gate.ask(&ask(Some("whisper-1")).key(key)).await.status(), 200);
    let other = gate.ask(&ask(Some("whisper-2")).key(key)).await;
    assert_eq!(other.code(Family::Openai), "model_not_allowed");
    assert_eq!(gate.ask(&ask(None).key(key)).await.code(Family::Openai), "model_missing");
    let (kind, mut body) = form(Some("whisper-1"), "RIFF");
    let end = body.len() - "--b-1--\r\n".len();
    body.splice(
        end..end,
        b"--b-1\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-2\r\n".iter().copied(),
    );
    let two = ask(None).body(body);
    assert_eq!(kind, two.headers[0].1);
    assert_eq!(gate.ask(&two.key(key)).await.code(Family::Openai), "body_malformed");
}

#[tokio::test]
async fn an_upload_that_is_refused_before_its_body_came_is_sent_with_the_other_key() {
    let provider = Provider::start().await;
    let text = format!(
        "kind: openai, base_url: 'http://{}/v1', api_key: [sk-1, sk-2], models: [], paths: [files]",
        provider.address
    );
    let gate = Gate::plan().provider("test", &text).start();
    for framing in [Framing::Length, Framing::Chunks(6)] {
        let wire = upload("first second").framed(framing).key(&gate.key).wire();
        let cut = memchr::memmem::find(&wire, b"second").unwrap();
        let cut = if framing == Framing::Length { cut } else { cut - 3 };
        let mut client = gate.connect().await;
        client.send(&wire[..cut]).await;
        let mut stream = provider.accept().await;
        // The second round begins with the second key: the first is put aside.
        if framing == Framing::Length {
            let head = read_to(&mut stream, b"first ").await;
            assert!(memchr::memmem::find(&head, b"Bearer sk-1\r\n").is_some(), "{}", head.escape_ascii());
            stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 4\r\n\r\nsk-1").await.unwrap();
            stream = provider.accept().await;
        }
        let head =
            read_to(&mut stream, if framing == Framing::Length { b"first " } else { b"first \r\n" }).await;
        assert!(memchr::memmem::find(&head, b"Bearer sk-2\r\n").is_some(), "{}", head.escape_ascii());
        client.send(&wire[cut..]).await;
        let end: &[u8] = if framing == Framing::Length { b"second" } else { b"0\r\n\r\n" };
        read_to(&mut stream, end).await;
        stream.write_all(ANSWER).await.unwrap();
        assert_eq!(client.answer(false).await.json()["id"], "file-1");
    }
}
