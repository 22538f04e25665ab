//! Conversations over WebSockets.

use crate::support::gate::Plan;
use crate::support::{Ask, Client, Gate, RESPONSES, patient, until};
use narrows_llm::Family;
use narrows_meter::Origin;
use narrows_policy::Reason;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nx-request-id: req_ws\r\n\r\n";

/// A text frame, masked as a client's or plain as a server's.
pub(crate) fn text(payload: &str, masked: bool) -> Vec<u8> {
    let mut wire = vec![0x81];
    let bit = if masked { 0x80 } else { 0 };
    match u8::try_from(payload.len()) {
        Ok(length @ 0..=125) => wire.push(bit | length),
        _ => {
            wire.push(bit | 126);
            wire.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    let mask = if masked { [7, 1, 9, 4] } else { [0; 4] };
    if masked {
        wire.extend_from_slice(&mask);
    }
    wire.extend(payload.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire
}

pub(crate) const CLIENT_CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
pub(crate) const SERVER_CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xE8];

fn done(input: u64, output: u64) -> Vec<u8> {
    let event = format!(
        r#"{{"type":"response.done","response":{{"model":"gpt-realtime-1","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}}}"#
    );
    text(&event, false)
}

/// What a provider was asked, and what it got after that.
pub(crate) type Heard = (String, Vec<u8>);

/// A provider that takes one request, answers `head` and `says`, and listens to the end.
pub(crate) async fn provider(head: &'static str, says: Vec<u8>) -> (SocketAddr, JoinHandle<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(tcp.read_u8().await.unwrap());
        }
        // The first events come with the head, as from a fast provider.
        tcp.write_all(&[head.as_bytes(), &says].concat()).await.unwrap();
        let mut heard = Vec::new();
        // A reset is an end, too.
        let _end = tcp.read_to_end(&mut heard).await;
        (String::from_utf8(asked).unwrap(), heard)
    });
    (address, task)
}

pub(crate) fn plan(address: SocketAddr) -> Plan {
    let settings = format!("base_url: 'http://{address}/v1', api_key: sk-provider-1, realtime: true");
    Gate::plan()
        .provider("talks", &format!("kind: openai, models: ['gpt-realtime*', good], {settings}"))
        .provider("lives", &format!("kind: gemini, models: [], {}", settings.replace("/v1'", "/v1beta'")))
}

pub(crate) fn ask(target: &str) -> Ask {
    Ask::get(target)
        .with("connection", "keep-alive, Upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .with("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
}

pub(crate) async fn open(gate: &Gate, ask: &Ask) -> Client {
    let mut client = gate.connect().await;
    client.send(&ask.wire()).await;
    let head = client.head().await;
    assert_eq!(head.status, 101, "{head:?}");
    assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert!(head.header("x-narrows-request-id").is_some());
    client
}

#[tokio::test]
async fn a_conversation_passes_both_ways_and_is_recorded_once_with_its_usage() {
    let says = [done(3, 4), text("any thing", false), done(10, 20), SERVER_CLOSE.to_vec()].concat();
    let (address, heard) = provider(SWITCH, says.clone()).await;
    let gate = plan(address).start();
    let ask = ask("/v1/realtime?model=gpt-realtime&x=1").key(&gate.key).with("openai-beta", "realtime=v1");
    let mut client = open(&gate, &ask).await;
    let sent = [
        text(r#"{"type":"response.create"}"#, true),
        vec![0x82, 0x81, 0, 0, 0, 0, 0xFF],
        CLIENT_CLOSE.to_vec(),
    ]
    .concat();
    client.send(&sent).await;
    assert_eq!(client.all().await, says, "every byte of the provider");
    let (head, heard) = patient("the provider", heard).await.unwrap();
    assert_eq!(heard, sent, "every byte of the client");
    assert!(head.starts_with("GET /v1/realtime?model=gpt-realtime&x=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("\r\nauthorization: Bearer sk-provider-1\r\n")
            && head.contains("openai-beta: realtime=v1"),
        "{head}"
    );
    assert!(head.contains("\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"), "{head}");
    assert!(!head.contains("nrw_") && !head.contains("extensions"), "{head}");
    let record = gate.record().await;
    assert_eq!(
        (record.status, record.reason, record.origin),
        (101, Reason::Completed, Origin::Provider),
        "{record:?}"
    );
    assert_eq!((record.usage.input(), record.usage.output()), (Some(13), Some(24)));
    assert_eq!((record.request_bytes, record.response_bytes), (sent.len() as u64, says.len() as u64));
    assert_eq!(record.model_requested.as_deref(), Some("gpt-realtime"));
    assert_eq!(record.model_answered.as_deref(), Some("gpt-realtime-1"));
    assert_eq!(
        (record.provider.as_deref(), record.provider_request_id.as_deref()),
        (Some("talks"), Some("req_ws"))
    );
    assert_eq!(gate.gauge("narrows_streams_in_flight").await, 0.0);
}

/// One answer of a model, as the provider tells what it used.
fn answered(model: &str, input: u64, output: u64) -> Vec<u8> {
    let response =
        format!(r#"{{"model":"{model}","usage":{{"input_tokens":{input},"output_tokens":{output}}}}}"#);
    let begun = text(BEGUN, false);
    [begun, text(&format!(r#"{{"type":"response.completed","response":{response}}}"#), false)].concat()
}

const BEGUN: &str = r#"{"type":"response.created","response":{}}"#;

const PRICES: &str = r#"{"format":1,"source":"test","date":"2026-11-26","providers":[{"id":"openai","models":[
    {"id":"cheap","prices":[{"rates":{"input":"1","output":"2"},"above":[{"tokens":100,"rates":{"input":"10"}}]}]},
    {"id":"dear","match":["dear","gpt-realtime*"],"prices":[{"rates":{"input":"100","output":"200"}}]}]}]}"#;

#[tokio::test]
async fn each_answer_of_a_conversation_has_the_price_of_its_own_model_and_prompt() {
    let says = [
        answered("cheap", 60, 10),
        answered("cheap", 70, 10),
        answered("dear", 5, 1),
        answered("cheap", 101, 0),
        SERVER_CLOSE.to_vec(),
    ]
    .concat();
    let (address, _heard) = provider(SWITCH, says).await;
    let gate = plan(address)
        .file("prices.json", PRICES.to_owned())
        .top("prices: {file: prices.json}\nreload: {watch: off}\nbudgets:\n  all: {usd: 1, window: day}\n  cheap: {usd: 1, window: day, where: {model: cheap}}\n  \
              dear: {usd: 1, window: day, where: {model: dear}}")
        .start();
    let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
    let create = text(r#"{"type":"response.create","model":"cheap","input":"x"}"#, true);
    client.send(&[create, CLIENT_CLOSE.to_vec()].concat()).await;
    client.all().await;
    let record = gate.record().await;
    // Two prompts of 130 together are no prompt of more than a hundred; one of 101 is.
    let cheap = (60 + 70) * 1_000 + 20 * 2_000 + 101 * 10_000;
    assert_eq!((record.usage.input(), record.usage.output()), (Some(231), Some(20)), "{record:?}");
    assert_eq!(
        (record.model_sent.as_deref(), record.cost.nano_usd()),
        (Some("cheap"), Some(cheap)),
        "{record:?}"
    );
    let [dear] = &record.also_used[..] else { panic!("{record:?}") };
    assert_eq!((dear.model.as_deref(), dear.cost.nano_usd()), (Some("dear"), Some(5 * 100_000 + 200_000)));
    assert_eq!(record.total_cost().nano_usd(), Some(cheap + 700_000));
    let budgets = gate.admin("/admin/v1/budgets").await.json();
    let spent = |name: &str| {
        let budgets = budgets["budgets"].as_array().unwrap();
        let budget = budgets.iter().find(|budget| budget["name"] == name).unwrap().clone();
        budget["counters"].as_array().unwrap().first().map(|counter| counter["spent"].clone())
    };
    // Rules are those of the model that the first message names, for the whole conversation.
    assert_eq!(spent("all"), Some((cheap + 700_000).into()));
    assert_eq!((spent("cheap"), spent("dear")), (Some((cheap + 700_000).into()), None));
    crate::prices::assert_adds_up(&gate, &[record]).await;
}

#[tokio::test]
async fn what_is_known_of_a_conversation_is_charged_beside_an_answer_without_a_price() {
    let unpriced = r#"{"type":"response.completed","response":{"model":"cheap","service_tier":"scale",
        "usage":{"input_tokens":9,"output_tokens":1}}}"#;
    for unpriced_first in [false, true] {
        let known = [answered("cheap", 60, 10), answered("cheap", 70, 10)].concat();
        let mut says = [known, [text(BEGUN, false), text(unpriced, false)].concat()];
        if unpriced_first {
            says.reverse();
        }
        let (address, _heard) = provider(SWITCH, [says.concat(), SERVER_CLOSE.to_vec()].concat()).await;
        let gate = plan(address)
            .file("prices.json", PRICES.to_owned())
            .top("prices: {file: prices.json}\nreload: {watch: off}\nbudgets:\n  all: {usd: 1, window: day, reserve_output: 1}")
            .start();
        let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
        let create = text(r#"{"type":"response.create","model":"cheap","input":"x"}"#, true);
        client.send(&[create, CLIENT_CLOSE.to_vec()].concat()).await;
        client.all().await;
        let record = gate.record().await;
        let cost = (60 + 70) * 1_000 + 20 * 2_000;
        assert_eq!((record.total_cost().nano_usd(), record.known_cost()), (None, cost), "{record:?}");
        let tokens = record.usage.total().unwrap() + record.also_used[0].usage.total().unwrap();
        assert_eq!((record.also_used.len(), tokens), (1, 160));
        let budgets = gate.admin("/admin/v1/budgets").await.json();
        assert_eq!(budgets["budgets"][0]["counters"][0]["spent"], cost, "{budgets}");
    }
}

#[tokio::test]
async fn a_conversation_whose_model_a_message_names_is_admitted_by_it() {
    for (model, rules, reason) in [
        ("unpriced", "budgets:\n  all: {usd: 1, window: day}", Reason::PriceUnknown),
        (
            "dear",
            "budgets:\n  dear: {requests: 0, window: day, where: {model: dear}}",
            Reason::RequestOverLimit,
        ),
        ("cheap", "budgets:\n  dear: {requests: 0, window: day, where: {model: dear}}", Reason::Completed),
    ] {
        let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
        let gate = plan(address)
            .file("prices.json", PRICES.to_owned())
            .top(&format!("prices: {{file: prices.json}}\nreload: {{watch: off}}\n{rules}"))
            .start();
        let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
        let create = text(&format!(r#"{{"type":"response.create","model":"{model}"}}"#), true);
        client.send(&[create.clone(), CLIENT_CLOSE.to_vec()].concat()).await;
        let end = client.all().await;
        let (_, heard) = patient("the provider", heard).await.unwrap();
        let record = gate.record().await;
        assert_eq!(record.reason, reason, "{model}: {record:?}");
        assert_eq!(heard.starts_with(&create), reason == Reason::Completed, "{model}");
        if reason != Reason::Completed {
            assert!(end.windows(2).any(|code| code == 1008_u16.to_be_bytes()), "{end:?}");
        }
    }
}

#[tokio::test]
async fn a_browser_names_its_key_as_a_subprotocol_and_the_provider_never_sees_it() {
    let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
    let gate = plan(address).start();
    let protocols = format!("realtime, openai-insecure-api-key.{}, openai-beta.realtime-v1", gate.key);
    let mut client = open(&gate, &ask("/talks/v1/realtime").with("sec-websocket-protocol", &protocols)).await;
    client.send(&CLIENT_CLOSE).await;
    client.all().await;
    let (head, _) = patient("the provider", heard).await.unwrap();
    assert!(head.contains("\r\nsec-websocket-protocol: realtime, openai-beta.realtime-v1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer sk-provider-1\r\n") && !head.contains("nrw_"), "{head}");
    assert_eq!(gate.record().await.caller.key_id.as_deref(), Some(&*gate.key_id));
    let mut unknown = gate.connect().await;
    let answer = unknown
        .ask(&ask("/talks/v1/realtime").with("sec-websocket-protocol", "openai-insecure-api-key.sk-x"))
        .await;
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn gemini_live_is_served_under_its_own_path() {
    let usage = text(r#"{"usageMetadata":{"promptTokenCount":5,"responseTokenCount":6}}"#, false);
    let says = [usage.clone(), usage, SERVER_CLOSE.to_vec()].concat();
    let (address, heard) = provider(SWITCH, says).await;
    let gate = plan(address).start();
    let path = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent";
    let mut client = open(&gate, &ask(&format!("{path}?key={}&alt=x", gate.key))).await;
    client
        .send(&[text(r#"{"setup":{"model":"models/gemini-live-1"}}"#, true), CLIENT_CLOSE.to_vec()].concat())
        .await;
    client.all().await;
    let (head, _) = patient("the provider", heard).await.unwrap();
    let line = "GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?alt=x HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    assert!(head.contains("\r\nx-goog-api-key: sk-provider-1\r\n") && !head.contains("nrw_"), "{head}");
    let record = gate.record().await;
    assert_eq!((record.usage.input(), record.usage.output()), (Some(10), Some(12)), "{record:?}");
    assert_eq!(record.model_requested.as_deref(), Some("gemini-live-1"), "from its first message");
}

#[tokio::test]
async fn whoever_cannot_have_a_websocket_is_told_426_and_can_go_on() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    for (ask, code) in [
        (ask("/v1/responses"), "websocket_not_served"),
        (ask("/openai/v1/responses"), "websocket_not_served"),
        (ask("/v1/realtime?model=gpt-4o"), "websocket_not_served"),
        (Ask::get("/v1/responses"), "upgrade_required"),
        (Ask::get("/v1/realtime?model=gpt-4o").with("upgrade", "websocket"), "upgrade_required"),
    ] {
        let answer = client.ask(&ask.key(&gate.key)).await;
        assert_eq!((answer.status(), &*answer.code(Family::Openai)), (426, code), "{}", answer.text());
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(gate.record_of(&answer).await.reason.as_str(), code);
    }
    // What Codex does then, on the same connection.
    assert_eq!(client.ask(&Ask::stream(&RESPONSES).key(&gate.key)).await.status(), 200);
}

#[tokio::test]
async fn a_provider_that_refuses_the_upgrade_is_heard() {
    let refusal = "HTTP/1.1 426 Upgrade Required\r\nx-theirs: 1\r\ncontent-length: 9\r\n\r\nnot today";
    let (address, _heard) = provider(refusal, Vec::new()).await;
    let gate = plan(address).start();
    let answer = gate.ask_as_key(ask("/talks/v1/responses")).await;
    assert_eq!(
        (answer.status(), answer.text().as_str(), answer.header("x-theirs")),
        (426, "not today", Some("1"))
    );
    let record = gate.record_of(&answer).await;
    assert_eq!((record.reason, record.status), (Reason::ProviderError, 426));
}

#[tokio::test]
async fn a_key_with_some_models_gets_no_other_one_over_a_websocket_either() {
    let (address, heard) = provider(SWITCH, Vec::new()).await;
    let gate = plan(address).key(|key| key.models = Some(vec!["good".into()])).start();
    let key = gate.keys[1].1.clone();
    let mut client = open(&gate, &ask("/talks/v1/responses").key(&key)).await;
    let good = text(r#"{"type":"response.create","model":"good","input":"x"}"#, true);
    client.send(&good).await;
    client.send(&text(r#"{"type":"response.create","model":"bad","input":"secret"}"#, true)).await;
    let end = client.all().await;
    assert_eq!(&end[..1], [0x88], "a close frame");
    assert_eq!(&end[2..4], 1008_u16.to_be_bytes());
    let (_, heard) = patient("the provider", heard).await.unwrap();
    assert_eq!(heard, good, "the provider never sees the other message");
    assert_eq!(gate.record().await.reason, Reason::ModelNotAllowed);
    let denied = gate.ask(&ask("/v1/realtime?model=gpt-realtime").key(&key)).await;
    assert_eq!((denied.status(), &*denied.code(Family::Openai)), (403, "model_not_allowed"));
}

#[tokio::test]
async fn a_conversation_that_is_cut_or_idle_ends_in_one_record() {
    let (address, heard) = provider(SWITCH, done(3, 4)).await;
    let gate = plan(address).top("timeouts: {idle: 1s}").start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    let end = client.all().await;
    assert!(end.starts_with(&done(3, 4)) && end[done(3, 4).len()] == 0x88, "told why");
    drop(patient("the provider to be left", heard).await.unwrap());
    let record = gate.record().await;
    assert_eq!((record.reason, record.usage.input()), (Reason::ProviderIdleTimeout, Some(3)), "{record:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_says_goodbye_after_its_grace() {
    let (address, _heard) = provider(SWITCH, Vec::new()).await;
    let mut gate = plan(address).top("timeouts: {shutdown_grace: 100ms}").start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    until("the conversation", async || (gate.gauge("narrows_streams_in_flight").await == 1.0).then_some(()))
        .await;
    let stopping = gate.stop();
    let end = client.all().await;
    assert_eq!((end.first(), end.get(2..4)), (Some(&0x88), Some(&1001_u16.to_be_bytes()[..])), "{end:?}");
    drop(client);
    patient("the end", stopping).await.unwrap().unwrap();
    drop(TcpStream::connect(address).await);
}

#[tokio::test]
async fn a_provider_that_is_disabled_gets_no_conversation() {
    let (address, _heard) = provider(SWITCH, Vec::new()).await;
    let gate = plan(address).start();
    gate.admin_post("/admin/v1/targets/talks/disable").await;
    for path in ["/talks/v1/responses", "/v1/responses", "/v1/realtime?model=gpt-realtime"] {
        let refused = gate.ask_as_key(ask(path)).await;
        assert_eq!((refused.status(), &*refused.code(Family::Openai)), (503, "target_disabled"), "{path}");
    }
    gate.admin_post("/admin/v1/targets/talks/enable").await;
    open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
}
