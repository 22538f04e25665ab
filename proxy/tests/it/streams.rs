//! Streams that are silent: what keeps them alive, and what does not keep a dead one alive.

use crate::support::scripted::{Act, Scripted};
use crate::support::sse::{data, events};
use crate::support::{
    Answer, Ask, CHAT, COMPLETIONS, GEMINI, Gate, Kind, MESSAGES, RESPONSES, h2, patient, until,
};
use narrows_ledger::Record;
use narrows_policy::Reason;

/// What the gateway says while a provider is silent.
const PING: &str = ": ping\n\n";
/// A provider that falls silent is given up after much more time than there is between two pings.
const SOON: &str = "timeouts: {idle: 2s}\nstreams: {ping: 20ms}";

/// The one record of a gateway whose exchanges are all over, with gauges to prove it.
async fn settled(gate: &Gate, reason: Reason) -> Record {
    let record = gate.record().await;
    assert_eq!(record.reason, reason, "{record:?}");
    for gauge in ["narrows_exchanges_in_flight", "narrows_streams_in_flight", "narrows_buffered_bytes"] {
        assert_eq!(gate.gauge(gauge).await, 0.0, "{gauge}");
    }
    record
}

/// A gateway whose provider `odd` answers with these bytes and then is silent.
async fn silent_after(top: &str, wire: String) -> (Gate, Scripted) {
    let scripted = Scripted::start(vec![Act::SayAndHold(wire.into())]).await;
    let url = format!("kind: openai, base_url: 'http://{}/v1', models: [odd]", scripted.address);
    (Gate::plan().top(top).provider("odd", &url).start(), scripted)
}

fn ask_odd() -> Ask {
    Ask::post(
        "/v1/chat/completions",
        r#"{"model":"odd","stream":true,"stream_options":{"include_usage":true}}"#,
    )
}

fn head(content_type: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n")
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The stream without pings, after checking that each stands between two events.
fn without_pings(answer: &Answer) -> (String, usize) {
    let text = answer.text();
    let pings = text.matches(PING).count();
    for (at, _) in text.match_indices(PING) {
        assert!(at == 0 || text[..at].ends_with("\n\n"), "within an event: {text}");
    }
    (text.replace(PING, ""), pings)
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_between_events_and_ended_in_time() {
    for kind in [&CHAT, &COMPLETIONS, &RESPONSES, &MESSAGES] {
        let gate = Gate::plan().top(SOON).start();
        let answer = gate.ask_as_key(Ask::stream(kind).fake("chunks=6;fault=stall_after:3")).await;
        let (text, pings) = without_pings(&answer);
        assert!(pings > 0 && !answer.whole, "{text}");
        let farewell = events(text.as_bytes()).pop().unwrap();
        assert!(farewell.contains("provider_idle_timeout"), "{text}");
        let record = settled(&gate, Reason::ProviderIdleTimeout).await;
        assert_eq!(record.response_bytes, text.len() as u64, "a ping is no byte of the provider");
        assert!(data(&farewell).is_some(), "{farewell}");
    }
}

#[tokio::test]
async fn a_stream_is_kept_alive_before_its_first_event() {
    let (gate, _scripted) = silent_after(SOON, head("text/event-stream")).await;
    let (text, pings) = without_pings(&gate.ask_as_key(ask_odd()).await);
    assert!(pings > 0 && text.contains("provider_idle_timeout"), "{text}");
    settled(&gate, Reason::ProviderIdleTimeout).await;
}

#[tokio::test]
async fn a_stream_over_http_2_is_kept_alive() {
    let gate = Gate::plan().top(SOON).start();
    let tcp = tokio::net::TcpStream::connect(gate.address).await.unwrap();
    let mut client = h2::H2::over(tcp).await;
    let answer = client.ask(&Ask::stream(&CHAT).key(&gate.key).fake("chunks=6;fault=stall_after:3")).await;
    let (text, pings) = without_pings(&answer);
    assert!(pings > 0 && text.contains("provider_idle_timeout"), "{text}");
    settled(&gate, Reason::ProviderIdleTimeout).await;
}

#[tokio::test]
async fn nothing_is_put_where_it_would_be_read_as_an_answer() {
    let few = "timeouts: {idle: 300ms}\nstreams: {ping: 5ms}";
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    // Half an event, a line that may go on, JSON under the name of events, a list of JSON.
    for (content_type, sent) in [
        ("text/event-stream", format!("{event}data: {{\"choices\":[{{\"ind")),
        ("text/event-stream", format!("{event}data: {{\"choices\":[]}}\n")),
        ("text/event-stream", "{\n\n".to_owned()),
    ] {
        let (gate, _scripted) = silent_after(few, head(content_type) + &chunk(&sent)).await;
        let answer = gate.ask_as_key(ask_odd()).await;
        assert_eq!((answer.text(), answer.whole), (sent, false));
        settled(&gate, Reason::ProviderIdleTimeout).await;
    }
    // Compressed, and clients whose parser takes a comment for an answer.
    for (kind, knobs) in [(&CHAT, "chunks=9;fault=gzip;gap_ms=60"), (&GEMINI, "chunks=9;gap_ms=60")] {
        let gate = Gate::plan().top("streams: {ping: 5ms}").start();
        let answer = gate.ask_as_key(Ask::stream(kind).fake(knobs)).await;
        assert!(answer.whole && memchr::memmem::find(&answer.body, PING.as_bytes()).is_none());
        settled(&gate, Reason::Completed).await;
    }
}

#[tokio::test]
async fn an_event_held_back_for_its_usage_is_not_handed_out_half() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let half = "data: {\"choices\":[],\"usage\":{\"prompt_to";
    let wire = head("text/event-stream") + &chunk(event) + &chunk(half);
    let scripted = Scripted::start(vec![Act::SayAndClose(wire.into())]).await;
    let url = format!(
        "kind: openai, base_url: 'http://{}/v1', models: [odd], ask_for_usage: always",
        scripted.address
    );
    let gate = Gate::plan().provider("odd", &url).start();
    let ask = Ask::post("/v1/chat/completions", r#"{"model":"odd","stream":true}"#);
    let answer = gate.ask_as_key(ask).await;
    let text = answer.text();
    let rest = text.strip_prefix(event).unwrap_or_else(|| panic!("{text}"));
    assert!(!rest.contains("prompt_to") && !answer.whole, "{text}");
    assert_eq!(data(rest).unwrap()["error"]["code"], "provider_cut", "{text}");
    settled(&gate, Reason::ProviderCut).await;
}

#[tokio::test]
async fn a_stream_whose_end_is_only_its_connections_is_cut_when_it_lacks_its_last_events() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    for (rest, reason) in [("", Reason::ProviderCut), ("data: [DONE]\n\n", Reason::Completed)] {
        let act = Act::SayAndClose(format!("{head}{event}{rest}").into());
        let scripted = Scripted::start(vec![act]).await;
        let url = format!("kind: openai, base_url: 'http://{}/v1', models: [odd]", scripted.address);
        let gate = Gate::plan().provider("odd", &url).start();
        let answer = gate.ask_as_key(ask_odd()).await;
        assert_eq!(answer.whole, reason == Reason::Completed);
        assert_eq!(answer.text().contains("\"provider_cut\""), !answer.whole, "{}", answer.text());
        settled(&gate, reason).await;
    }
}

#[tokio::test]
async fn pings_can_be_turned_off_for_all_and_for_one() {
    let off = "timeouts: {idle: 200ms}\nstreams: {ping: off}";
    for (top, usual) in
        [(off, "streams: {}"), ("timeouts: {idle: 200ms}\nstreams: {ping: 5ms}", "streams: {ping: off}")]
    {
        let gate = Gate::plan().top(top).usual(usual).start();
        let answer = gate.ask_as_key(Ask::stream(&CHAT).fake("chunks=6;fault=stall_after:3")).await;
        assert!(!answer.text().contains(PING), "{}", answer.text());
        settled(&gate, Reason::ProviderIdleTimeout).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_silent_stream_is_noticed() {
    for kind in [&CHAT, &MESSAGES] as [&Kind; 2] {
        let gate = Gate::plan().top("streams: {ping: 20ms}").start();
        let mut client = gate.connect().await;
        client.send(&Ask::stream(kind).key(&gate.key).fake("chunks=6;fault=stall_after:3").wire()).await;
        assert_eq!(client.head().await.status, 200);
        patient("a ping", async { while client.chunk().await.unwrap() != PING.as_bytes() {} }).await;
        drop(client);
        until("the exchange to end", async || {
            (gate.gauge("narrows_exchanges_in_flight").await == 0.0).then_some(())
        })
        .await;
        settled(&gate, Reason::ClientGone).await;
    }
}
