//! Small pieces and large wholes.

use crate::support::ask::Framing;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, CHAT, Client, GENERATING, Gate, MESSAGES};
use narrows_meter::Origin;
use narrows_policy::Reason;

/// A body of exactly so many bytes.
fn body(bytes: usize) -> String {
    let start = r#"{"model":"claude-sonnet-4-5","messages":[],"pad":""#;
    format!("{start}{}\"}}", "y".repeat(bytes - start.len() - 2))
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_the_same_request() {
    let gate = Gate::start();
    for kind in GENERATING {
        let mut client = gate.connect().await;
        let ask = Ask::unary(kind).key(&gate.key).framed(Framing::Chunks(1));
        for byte in ask.wire() {
            client.send(&[byte]).await;
        }
        let answer = client.answer(false).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(String::from_utf8(gate.fake.seen().pop().unwrap().body).unwrap(), kind.body(false));
    }
}

#[tokio::test]
async fn the_largest_body_passes() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec();
    let scripted = Scripted::start(vec![Act::Say(ok)]).await;
    let url =
        format!("kind: anthropic, base_url: 'http://{}', models: ['claude-sonnet-*']", scripted.address);
    let gate = Gate::plan().provider("sink", &url).start();
    let whole = body(32 << 20);
    for framing in [Framing::Length, Framing::Chunks(100_000)] {
        let answer = gate.ask_as_key(Ask::post("/v1/messages", whole.clone()).framed(framing)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let request = scripted.requests().pop().unwrap();
        assert!(request.ends_with(&whole));
        assert_eq!(gate.record_of(&answer).await.request_bytes, 32 << 20);
    }
    assert_eq!(gate.gauge("narrows_buffered_bytes").await, 0.0);
}

#[tokio::test]
async fn an_answer_too_large_to_hold_passes_whole() {
    let gate = Gate::plan().top("limits: {metered_copy: 256KiB}").start();
    for kind in GENERATING {
        for framing in ["", ";chunked=1"] {
            let ask = Ask::unary(kind).fake(&format!("body_bytes=3000000{framing}"));
            let straight = Client::connect(gate.fake.addr()).await.ask(&ask).await;
            let answer = gate.ask_as_key(ask).await;
            assert_eq!(answer.status(), 200);
            assert!(answer.whole);
            assert!(answer.body == straight.body, "{} and {} bytes", answer.body.len(), straight.body.len());
            let record = gate.record_of(&answer).await;
            assert_eq!(record.reason, Reason::Completed);
            assert!(record.usage.input().is_some_and(|input| input > 0), "{record:?}");
            assert_ne!(record.origin, Origin::Unknown, "{record:?}");
            assert_eq!(record.response_bytes, answer.body.len() as u64);
        }
    }
    // One that just fits is held and metered.
    let fits = gate.ask_as_key(Ask::unary(&CHAT).fake("body_bytes=200000")).await;
    assert_eq!(gate.record_of(&fits).await.origin, Origin::Provider);
}

#[tokio::test]
async fn a_large_stream_passes_whole_and_is_metered_whatever_its_size() {
    let gate = Gate::plan().top("limits: {metered_copy: 64KiB}").start();
    let ask = Ask::stream(&MESSAGES).fake("chunks=150;chunk_bytes=32768");
    let straight = Client::connect(gate.fake.addr()).await.ask(&ask).await;
    let answer = gate.ask_as_key(ask).await;
    assert!(answer.body == straight.body && answer.whole);
    let record = gate.record_of(&answer).await;
    assert_eq!(
        (record.origin, record.usage.output()),
        (Origin::Provider, Some(gate.fake.billed()[1].output))
    );
}

#[tokio::test]
async fn a_compressed_stream_too_large_to_copy_passes_whole_and_its_prompt_is_estimated() {
    let gate = Gate::plan().top("limits: {metered_copy: 64KiB}").start();
    let ask = Ask::stream(&MESSAGES).fake("chunks=150;chunk_bytes=32768;fault=gzip");
    let straight = Client::connect(gate.fake.addr()).await.ask(&ask).await;
    let answer = gate.ask_as_key(ask).await;
    assert!(answer.body == straight.body && answer.whole);
    let record = gate.record_of(&answer).await;
    assert_eq!(record.reason, Reason::Completed);
    assert!(record.usage.input().is_some_and(|input| input > 0), "{record:?}");
}

#[tokio::test]
async fn a_stream_in_a_coding_that_we_do_not_read_passes_and_its_prompt_is_estimated() {
    let wire = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: zstd\r\ncontent-length: 3\r\n\r\n???";
    let scripted = Scripted::start(vec![Act::Say(wire.into())]).await;
    let url =
        format!("kind: anthropic, base_url: 'http://{}', models: ['claude-sonnet-*']", scripted.address);
    let gate = Gate::plan().provider("zstd", &url).start();
    let answer = gate.ask_as_key(Ask::stream(&MESSAGES)).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "???"));
    let record = gate.record_of(&answer).await;
    assert!(record.usage.input().is_some_and(|input| input > 0), "{record:?}");
}
