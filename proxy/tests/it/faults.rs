//! Every fault of a stream in every dialect: what the client got, the one record, and nothing left open.

use crate::support::scripted::{Act, Scripted};
use crate::support::sse::events;
use crate::support::{
    Answer, Ask, CHAT, COMPLETIONS, Client, GEMINI, GENERATING, Gate, Kind, MESSAGES, RESPONSES, patient,
    until,
};
use narrows_fake::{Billed, End};
use narrows_ledger::Record;
use narrows_llm::Dialect;
use narrows_meter::Origin;
use narrows_policy::Reason;

/// How the client's answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// As the provider ended it.
    Whole,
    /// With one error of the dialect, and no proper end.
    Why,
    /// Within an event: no proper end, and nothing of ours.
    Nothing,
    /// Either of the last two: a reset may take bytes along that were on their way.
    Perhaps,
}

/// One fault of the provider, read to its end by the client.
struct Case {
    knobs: &'static str,
    reason: Reason,
    told: Told,
}

const fn case(knobs: &'static str, reason: Reason, told: Told) -> Case {
    Case { knobs, reason, told }
}

/// What every stream has: four chunks of text.
const CHUNKS: &str = "chunks=4";

/// A fault at each of the four events, and within each.
const CASES: &[Case] = &[
    case("", Reason::Completed, Told::Whole),
    case("write_bytes=1", Reason::Completed, Told::Whole),
    case("fault=cut_after:0", Reason::ProviderCut, Told::Why),
    case("fault=cut_after:1", Reason::ProviderCut, Told::Why),
    case("fault=cut_after:2", Reason::ProviderCut, Told::Why),
    case("fault=cut_after:3", Reason::ProviderCut, Told::Why),
    case("fault=cut_after:2;write_bytes=1", Reason::ProviderCut, Told::Why),
    case("fault=cut_after:0;within=1", Reason::ProviderCut, Told::Nothing),
    case("fault=cut_after:1;within=1", Reason::ProviderCut, Told::Nothing),
    case("fault=cut_after:3;within=1;write_bytes=1", Reason::ProviderCut, Told::Nothing),
    case("fault=reset:1", Reason::ProviderCut, Told::Perhaps),
    case("fault=reset:3", Reason::ProviderCut, Told::Perhaps),
    case("fault=stall_after:0", Reason::ProviderIdleTimeout, Told::Why),
    case("fault=stall_after:3", Reason::ProviderIdleTimeout, Told::Why),
    case("fault=stall_after:1;within=1", Reason::ProviderIdleTimeout, Told::Nothing),
    case("fault=error_event:0", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=error_event:1", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=error_event:2", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=error_event:3", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=error_event:4", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=error_event:2;write_bytes=1", Reason::ProviderErrorEvent, Told::Whole),
    case("fault=bad_chunk:0", Reason::ProviderProtocol, Told::Why),
    case("fault=bad_chunk:2", Reason::ProviderProtocol, Told::Why),
];

/// What ends a stream before an answer to everything else is in.
const SHORT: &str = "timeouts: {idle: 400ms}";

fn slice(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// The client's bytes: those of the provider, and the gateway's own at their end.
fn parted<'a>(kind: &Kind, text: &'a str, reason: Reason) -> (&'a str, &'a str) {
    if matches!(reason, Reason::Completed | Reason::ProviderErrorEvent) {
        return (text, "");
    }
    let code = format!("\"{}\"", reason.as_str());
    let mut at = 0;
    for event in events(text.as_bytes()) {
        if event.contains(&code) {
            let farewell = slice(text, at, text.len());
            assert_eq!(events(farewell.as_bytes()).len(), farewells(kind), "one ending: {text}");
            assert_shape(kind, farewell);
            return (slice(text, 0, at), farewell);
        }
        at += event.len();
    }
    (text, "")
}

/// Whether a stream so far ends between two events.
fn ends_with_event(text: &str) -> bool {
    text.is_empty() || text.ends_with("\n\n") || text.ends_with("\r\n\r\n")
}

/// Events that end a stream which could not go on.
fn farewells(kind: &Kind) -> usize {
    if kind.dialect == Dialect::OpenaiResponses { 2 } else { 1 }
}

fn assert_shape(kind: &Kind, farewell: &str) {
    let begins = match kind.dialect {
        Dialect::AnthropicMessages => "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":",
        Dialect::OpenaiResponses => "event: error\ndata: {\"type\":\"error\",",
        _ => "data: {\"error\":{",
    };
    assert!(farewell.starts_with(begins), "{farewell}");
    if kind.dialect == Dialect::OpenaiResponses {
        assert!(
            farewell.contains("\n\nevent: response.failed\ndata: {\"type\":\"response.failed\""),
            "{farewell}"
        );
    }
}

/// What the provider says to the gateway's request when nothing goes wrong.
async fn healthy(gate: &Gate, ask: &Ask) -> Answer {
    let body = gate.fake.seen().pop().unwrap().body;
    let ask = ask.clone().body(body).fake(CHUNKS);
    let mut answer = Client::connect(gate.fake.addr()).await.ask(&ask).await;
    // What only the gateway asked for is hidden.
    let events = events(&answer.body).into_iter().filter(|event| !event.contains("\"choices\":[],"));
    answer.body = events.collect::<String>().into_bytes();
    answer
}

/// The line of the bill for an exchange.
fn billed(gate: &Gate, record: &Record) -> Billed {
    let id = record.provider_request_id.as_deref().unwrap_or_else(|| panic!("{record:?}"));
    let number = u64::from_str_radix(id.trim_start_matches("req_"), 16).unwrap();
    gate.fake.billed().into_iter().find(|line| line.id == number).unwrap()
}

/// Recorded is what was billed: exactly if the answer was whole, else within the calibration of the vocabularies
/// (17 % at most here), the rounding of a token, and what was on its way; and then it says that it is not exact.
fn assert_usage(gate: &Gate, kind: &Kind, record: &Record, told: Told) {
    let line = billed(gate, record);
    let (input, output) = (record.usage.input().unwrap(), record.usage.output().unwrap_or(0));
    if record.reason == Reason::Completed {
        assert_eq!((input, output, record.origin), (line.input, line.output, Origin::Provider), "{record:?}");
        return;
    }
    assert_ne!(record.origin, Origin::Provider, "{record:?} for {line:?}");
    assert!(input > 0 && output <= line.output + line.output / 5 + 2, "{record:?} for {line:?}");
    if told != Told::Perhaps {
        // Within an event, up to a chunk of it is not there: 24 bytes, six tokens.
        let tail = if told == Told::Nothing { 6 } else { 0 };
        assert!(output + output / 5 + 2 + tail >= line.output, "{record:?} for {line:?}");
    }
    if kind.dialect == Dialect::AnthropicMessages && told != Told::Perhaps {
        assert_eq!(input, line.input, "its first event tells: {record:?}");
    }
}

/// Nothing is open, and no more connections are kept than there were at once.
async fn assert_nothing_is_open(gate: &Gate) {
    for name in ["exchanges_in_flight", "streams_in_flight"] {
        assert_eq!(gate.gauge(&format!("narrows_{name}")).await, 0.0, "{name}");
    }
    assert_eq!(gate.gauge("narrows_buffered_bytes").await, 0.0);
    for provider in ["openai", "anthropic", "gemini"] {
        let idle = gate.gauge(&format!("narrows_upstream_connections_idle{{provider=\"{provider}\"}}")).await;
        assert!(idle <= 1.0, "{provider} keeps {idle}");
    }
}

async fn all_cases(kind: &Kind) {
    let gate = Gate::plan().top(SHORT).start();
    for Case { knobs, reason, told } in CASES {
        let ask = Ask::stream(kind);
        let answer = gate.ask_as_key(ask.clone().fake(&format!("{CHUNKS};{knobs}"))).await;
        let what = format!("{:?} {knobs}: {}", kind.dialect, answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!((record.reason, record.status, record.streamed), (*reason, 200, true), "{what}");
        let text = answer.text();
        let (from_provider, farewell) = parted(kind, &text, *reason);
        match told {
            Told::Whole => assert!(answer.whole && farewell.is_empty(), "{what}"),
            Told::Why => assert!(!answer.whole && !farewell.is_empty(), "{what}"),
            // What is held back because it may be the event of usage counts as not sent: between two events it is told.
            Told::Nothing => {
                assert!(!answer.whole && farewell.is_empty() != ends_with_event(from_provider), "{what}");
            }
            Told::Perhaps => assert!(!answer.whole, "{what}"),
        }
        if *reason != Reason::ProviderErrorEvent {
            let healthy = healthy(&gate, &ask).await.text();
            assert!(healthy.starts_with(from_provider), "{what}\nis no beginning of\n{healthy}");
        }
        assert_usage(&gate, kind, &record, *told);
        assert_eq!(record.response_bytes, text.len() as u64, "{what}");
    }
    assert_eq!(gate.records().await.len(), CASES.len(), "one record each");
    assert_nothing_is_open(&gate).await;
}

#[tokio::test]
async fn every_fault_of_a_chat_stream_ends_it_right() {
    all_cases(&CHAT).await;
}

#[tokio::test]
async fn every_fault_of_a_completions_stream_ends_it_right() {
    all_cases(&COMPLETIONS).await;
}

#[tokio::test]
async fn every_fault_of_a_responses_stream_ends_it_right() {
    all_cases(&RESPONSES).await;
}

#[tokio::test]
async fn every_fault_of_a_messages_stream_ends_it_right() {
    all_cases(&MESSAGES).await;
}

#[tokio::test]
async fn every_fault_of_a_gemini_stream_ends_it_right() {
    all_cases(&GEMINI).await;
}

/// What every content chunk of a kind's stream holds once.
fn mark(kind: &Kind) -> &'static [u8] {
    match kind.dialect {
        Dialect::OpenaiChat => b"\"delta\":{\"content\":",
        Dialect::OpenaiCompletions => b"\"choices\":[{\"text\":",
        Dialect::OpenaiResponses => b"event: response.output_text.delta",
        Dialect::AnthropicMessages => b"event: content_block_delta",
        _ => b"data: ",
    }
}

#[tokio::test]
async fn a_client_that_leaves_at_any_event_or_within_one_is_billed_for_what_was_made() {
    for kind in GENERATING {
        let gate = Gate::start();
        let mut left = 0;
        for (chunks, within) in [(0, false), (1, false), (2, false), (3, false), (0, true), (2, true)] {
            let knobs = format!("chunks=4;fault=stall_after:{chunks};within={}", u8::from(within));
            let mut client = gate.connect().await;
            client.send(&Ask::stream(kind).key(&gate.key).fake(&knobs).wire()).await;
            assert_eq!(client.head().await.status, 200);
            let mut received = Vec::new();
            // All whole events are here once the provider stalls.
            while memchr::memmem::find_iter(&received, mark(kind)).count() < chunks {
                received.extend_from_slice(&client.chunk().await.unwrap());
            }
            drop(client);
            left += 1;
            let gone =
                |lines: &[Billed]| lines.iter().filter(|line| line.end == End::ClientGone).count() == left;
            patient("the provider to be left", gate.fake.wait_billed(gone)).await;
            let record = gate.records().await.pop().unwrap();
            assert_eq!(record.reason, Reason::ClientGone, "{knobs} {record:?}");
            assert!(record.response_bytes >= received.len() as u64, "{knobs} {record:?}");
            assert_usage(&gate, kind, &record, Told::Nothing);
        }
        assert_eq!(gate.records().await.len(), left);
        assert_nothing_is_open(&gate).await;
    }
}

#[tokio::test]
async fn a_stream_longer_than_its_time_ends_right_in_every_dialect() {
    for kind in GENERATING {
        let gate = Gate::plan().top("timeouts: {total: 400ms}").start();
        let answer = gate.ask_as_key(Ask::stream(kind).fake("chunks=400;gap_ms=20")).await;
        let text = answer.text();
        let (from_provider, farewell) = parted(kind, &text, Reason::TotalTimeout);
        assert!(!answer.whole && !farewell.is_empty() && ends_with_event(from_provider), "{text}");
        let record = gate.record().await;
        assert_eq!(record.reason, Reason::TotalTimeout);
        assert_usage(&gate, kind, &record, Told::Nothing);
        assert_nothing_is_open(&gate).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go_in_every_dialect() {
    for kind in [&RESPONSES, &MESSAGES, &GEMINI] {
        let gate = Gate::plan().top("timeouts: {idle: 300ms}").start();
        // The kernel must not read for it.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let mut client = Client::over(socket.connect(gate.address).await.unwrap());
        let knobs = "chunks=96;chunk_bytes=65536;burst=1";
        client.send(&Ask::stream(kind).key(&gate.key).fake(knobs).wire()).await;
        assert_eq!(client.head().await.status, 200);
        let record = gate.record().await;
        assert_eq!(record.reason, Reason::ClientTimeout, "{record:?}");
        assert!(record.usage.output().unwrap() > 0 && record.origin != Origin::Provider, "{record:?}");
        assert_nothing_is_open(&gate).await;
        drop(client);
    }
}

#[tokio::test]
async fn a_gateway_that_stops_ends_its_streams_right_in_every_dialect() {
    let mut gate = Gate::plan().top("timeouts: {shutdown_grace: 300ms}").start();
    let mut clients = Vec::new();
    for kind in GENERATING {
        let mut client = gate.connect().await;
        client.send(&Ask::stream(kind).key(&gate.key).fake("chunks=4;fault=stall_after:2").wire()).await;
        let head = client.head().await;
        clients.push((kind, client, head));
    }
    let stopped = gate.stop();
    for (kind, mut client, head) in clients {
        let answer = client.rest(head, false).await;
        let text = answer.text();
        let (from_provider, farewell) = parted(kind, &text, Reason::ShuttingDown);
        assert!(!answer.whole && !farewell.is_empty() && !from_provider.is_empty(), "{text}");
    }
    patient("the gateway to stop", stopped).await.unwrap().unwrap();
    let page = narrows_ledger::PageRequest { limit: 100, cursor: None };
    let records = gate.ledger.records(&narrows_ledger::Filter::default(), page).unwrap().records;
    assert_eq!(records.len(), GENERATING.len());
    for record in &records {
        assert_eq!(record.reason, Reason::ShuttingDown);
        let kind = GENERATING.iter().find(|kind| Some(kind.dialect.as_str()) == record.dialect).unwrap();
        assert_usage(&gate, kind, record, Told::Nothing);
    }
}

#[tokio::test]
async fn a_list_of_json_is_never_spoken_into() {
    for knobs in
        ["fault=cut_after:0", "fault=cut_after:2", "fault=stall_after:1", "fault=cut_after:1;within=1"]
    {
        let gate = Gate::plan().top("timeouts: {idle: 300ms}\nstreams: {ping: 20ms}").start();
        let ask = Ask::stream(&GEMINI).to("/v1beta/models/gemini-2.5-flash:streamGenerateContent");
        let answer = gate.ask_as_key(ask.clone().fake(&format!("{CHUNKS};{knobs}"))).await;
        let healthy = healthy(&gate, &ask).await.text();
        assert!(!answer.whole && healthy.starts_with(&answer.text()), "{} of {healthy}", answer.text());
        let record = gate.record().await;
        assert!(record.streamed && record.status == 200 && record.reason != Reason::Completed, "{record:?}");
        assert_nothing_is_open(&gate).await;
    }
}

#[tokio::test]
async fn a_rate_limit_inside_a_stream_passes_and_is_a_failure() {
    let openai = "data: {\"error\":{\"message\":\"Rate limit reached\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}\n\n";
    let anthropic = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow down\"}}\n\n";
    let responses = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}}}\n\n";
    let gemini = "data: {\"error\":{\"code\":429,\"message\":\"slow down\",\"status\":\"RESOURCE_EXHAUSTED\"}}\r\n\r\n";
    for (kind, settings, event) in [
        (&CHAT, "kind: openai, base_url: 'http://{}/v1', models: ['*']", openai),
        (&COMPLETIONS, "kind: openai, base_url: 'http://{}/v1', models: ['*']", openai),
        (&RESPONSES, "kind: openai, base_url: 'http://{}/v1', models: ['*']", responses),
        (&MESSAGES, "kind: anthropic, base_url: 'http://{}', models: ['*']", anthropic),
        (&GEMINI, "kind: gemini, base_url: 'http://{}/v1beta', models: ['*']", gemini),
    ] as [(&Kind, &str, &str); 5]
    {
        let length = event.len();
        let wire = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n{event}"
        );
        let scripted = Scripted::start(vec![Act::Say(wire.into())]).await;
        let settings = settings.replace("{}", &scripted.address.to_string());
        let gate = Gate::plan().provider("limits", &settings).start();
        let ask = Ask::stream(kind).to(&format!("/limits{}", kind.stream));
        let answer = gate.ask_as_key(ask).await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, event, true));
        let record = gate.record().await;
        assert_eq!(record.reason, Reason::ProviderErrorEvent, "{record:?}");
        assert_nothing_is_open(&gate).await;
    }
}

#[tokio::test]
async fn usage_that_only_we_asked_for_stays_hidden_whatever_goes_wrong() {
    for kind in [&CHAT, &COMPLETIONS] {
        let gate = Gate::plan().top(SHORT).start();
        for knobs in
            ["", "write_bytes=1", "write_bytes=7", "burst=1", "fault=error_event:4", "fault=cut_after:3"]
        {
            let answer = gate.ask_as_key(Ask::stream(kind).fake(&format!("{CHUNKS};{knobs}"))).await;
            assert!(!answer.text().contains("\"prompt_tokens\""), "{knobs}: {}", answer.text());
        }
        let asked = kind
            .body(true)
            .replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        let answer = gate.ask_as_key(Ask::stream(kind).body(asked).fake(CHUNKS)).await;
        assert!(answer.text().contains("\"prompt_tokens\""), "who asks gets it: {}", answer.text());
        until("the exchanges to end", async || {
            (gate.gauge("narrows_exchanges_in_flight").await == 0.0).then_some(())
        })
        .await;
        assert_nothing_is_open(&gate).await;
    }
}
