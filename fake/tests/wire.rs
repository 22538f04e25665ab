//! Every dialect on the wire, streamed and not, against the bill.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests fail by panicking, as tests do")]

use narrows_fake::{Billed, End, FakeConfig, FakeProvider, Knobs, STAMP_PREFIX};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn provider() -> FakeProvider {
    let config = FakeConfig { seen_capacity: 8, ..FakeConfig::default() };
    FakeProvider::start_with("127.0.0.1:0".parse().unwrap(), config).unwrap()
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The data of every event.
    fn events(&self) -> Vec<String> {
        let text = self.text().replace("\r\n", "\n");
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        lines.collect()
    }

    fn json_events(&self) -> Vec<Value> {
        let events = self.events().into_iter().filter(|data| data != "[DONE]");
        events.map(|data| serde_json::from_str(&data).unwrap()).collect()
    }
}

/// Sends a request on a connection of its own and reads until the server closes.
async fn ask(provider: &FakeProvider, target: &str, knobs: &str, body: &str) -> Answer {
    let raw = format!(
        "POST {target} HTTP/1.1\r\nhost: fake\r\nx-fake: {knobs}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut wire = Vec::new();
    // A reset shows as an error after whatever came before it.
    let _reset = stream.read_to_end(&mut wire).await;
    parse(&wire)
}

fn parse(wire: &[u8]) -> Answer {
    let Some(end) = wire.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer { status: 0, head: String::new(), body: wire.to_vec() };
    };
    let head = String::from_utf8(wire[..end + 2].to_vec()).unwrap();
    let mut rest = &wire[end + 4..];
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            rest = &rest[line + 2..];
            if size == 0 || rest.len() < size + 2 {
                body.extend_from_slice(&rest[..size.min(rest.len())]);
                break;
            }
            body.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        }
    } else {
        body.extend_from_slice(rest);
    }
    Answer { status: head[9..12].parse().unwrap(), head, body }
}

fn last(provider: &FakeProvider) -> Billed {
    provider.billed().last().unwrap().clone()
}

const KNOBS: &str = "chunks=7;chunk_bytes=20;input=100;cached=40;reasoning=9";

#[tokio::test]
async fn openai_chat_tells_usage_only_when_asked() {
    let provider = provider();
    let whole =
        ask(&provider, "/v1/chat/completions", KNOBS, r#"{"model":"gpt-x","messages":[]}"#).await.json();
    let bill = last(&provider);
    assert_eq!((bill.model.as_str(), bill.input, bill.cached, bill.reasoning), ("gpt-x", 100, 40, 9));
    assert_eq!(whole["usage"]["prompt_tokens"], bill.input);
    assert_eq!(whole["usage"]["completion_tokens"], bill.output);
    assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 40);
    assert_eq!(whole["usage"]["completion_tokens_details"]["reasoning_tokens"], 9);
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(bill.output, 9 + (text.len() as u64).div_ceil(4));

    let asked = r#"{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let stream = ask(&provider, "/openai/v1/chat/completions", KNOBS, asked).await;
    assert_eq!(stream.events().last().unwrap(), "[DONE]");
    let events = stream.json_events();
    assert_eq!(events.len(), 1 + 7 + 1 + 1);
    assert!(events[..9].iter().all(|event| event.get("usage") == Some(&Value::Null)));
    assert_eq!(events[9]["choices"], serde_json::json!([]));
    assert_eq!(events[9]["usage"]["completion_tokens"], last(&provider).output);
    let said: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(last(&provider).output, 9 + (said.len() as u64).div_ceil(4));

    let unasked = ask(&provider, "/v1/chat/completions", KNOBS, r#"{"model":"gpt-x","stream":true}"#).await;
    assert_eq!(unasked.json_events().len(), 9);
    assert!(unasked.json_events().iter().all(|event| event.get("usage").is_none()));
}

#[tokio::test]
async fn openai_completions() {
    let provider = provider();
    let whole = ask(&provider, "/v1/completions", KNOBS, r#"{"model":"m","prompt":"x"}"#).await.json();
    assert_eq!(whole["usage"]["completion_tokens"], last(&provider).output);
    assert!(whole["choices"][0]["text"].is_string());
    let body = r#"{"model":"m","prompt":"x","stream":true,"stream_options":{"include_usage":true}}"#;
    let events = ask(&provider, "/v1/completions", KNOBS, body).await.json_events();
    assert_eq!(events.len(), 7 + 2);
    assert_eq!(events[8]["usage"]["total_tokens"], 100 + last(&provider).output);
}

#[tokio::test]
async fn openai_responses() {
    let provider = provider();
    let whole = ask(&provider, "/v1/responses", KNOBS, r#"{"model":"m","input":"x"}"#).await.json();
    assert_eq!(whole["usage"]["output_tokens"], last(&provider).output);
    let stream = ask(&provider, "/v1/responses", KNOBS, r#"{"model":"m","input":"x","stream":true}"#).await;
    let events = stream.json_events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        assert!(stream.text().contains(&format!("event: {}\n", event["type"].as_str().unwrap())));
    }
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    assert_eq!(deltas.count(), 7);
    assert_eq!(events[0]["response"]["usage"], Value::Null);
    let end = events.last().unwrap();
    assert_eq!(end["type"], "response.completed");
    assert_eq!(end["response"]["usage"]["input_tokens"], 100);
    assert_eq!(end["response"]["usage"]["output_tokens"], last(&provider).output);
    assert!(!stream.text().contains("[DONE]"));
}

#[tokio::test]
async fn anthropic_messages_exclude_cached_input_and_repeat_usage() {
    let provider = provider();
    let knobs = format!("{KNOBS};cache_write=10");
    let whole = ask(&provider, "/v1/messages", &knobs, r#"{"model":"claude-x","max_tokens":9}"#).await;
    assert!(
        whole.head.contains("request-id: req_") && whole.head.contains("anthropic-ratelimit-requests-limit")
    );
    let usage = whole.json()["usage"].clone();
    assert_eq!(usage["input_tokens"], 50);
    assert_eq!(usage["cache_read_input_tokens"], 40);
    assert_eq!(usage["cache_creation"]["ephemeral_5m_input_tokens"], 10);
    assert_eq!(usage["output_tokens"], last(&provider).output);
    let stream =
        ask(&provider, "/v1/messages?beta=true", &knobs, r#"{"model":"claude-x","stream":true}"#).await;
    let events = stream.json_events();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds.last().copied()), ("message_start", Some("message_stop")));
    assert!(kinds.contains(&"ping"));
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 50);
    let delta = &events[kinds.iter().position(|kind| *kind == "message_delta").unwrap()];
    assert_eq!(delta["usage"]["output_tokens"], last(&provider).output);
    assert_eq!(events.iter().filter(|event| event["delta"]["type"] == "text_delta").count(), 7);
    let count = ask(&provider, "/v1/messages/count_tokens", "input=77", r#"{"model":"claude-x"}"#).await;
    assert_eq!(count.json(), serde_json::json!({"input_tokens": 77}));
}

#[tokio::test]
async fn gemini_excludes_thoughts_and_tells_usage_in_every_chunk() {
    let provider = provider();
    let path = "/v1beta/models/gemini-x";
    let check = |usage: &Value, output: u64| {
        assert_eq!(usage["promptTokenCount"], 100);
        assert_eq!(usage["cachedContentTokenCount"], 40);
        assert_eq!(usage["thoughtsTokenCount"], 9);
        assert_eq!(usage["candidatesTokenCount"], output - 9);
        assert_eq!(usage["totalTokenCount"], 100 + output);
    };
    let whole = ask(&provider, &format!("{path}:generateContent"), KNOBS, "{}").await.json();
    check(&whole["usageMetadata"], last(&provider).output);
    assert_eq!(last(&provider).model, "gemini-x");
    let stream = ask(&provider, &format!("{path}:streamGenerateContent?alt=sse"), KNOBS, "{}").await;
    let events = stream.json_events();
    assert_eq!(events.len(), 7);
    assert!(events.iter().all(|event| event["usageMetadata"]["promptTokenCount"] == 100));
    check(&events[6]["usageMetadata"], last(&provider).output);
    let array = ask(&provider, &format!("{path}:streamGenerateContent"), KNOBS, "{}").await;
    assert!(array.head.contains("content-type: application/json"));
    let list = array.json();
    assert_eq!(list.as_array().unwrap().len(), 7);
    assert_eq!(list[6]["candidates"][0]["finishReason"], "STOP");
    let count = ask(&provider, &format!("{path}:countTokens"), "input=12", "{}").await.json();
    assert_eq!(count["totalTokens"], 12);
}

#[tokio::test]
async fn embeddings_and_models() {
    let provider = provider();
    let body = r#"{"model":"e","input":["a","b","c"],"dimensions":8}"#;
    let answer = ask(&provider, "/v1/embeddings", "input=6", body).await.json();
    assert_eq!(answer["data"].as_array().unwrap().len(), 3);
    assert_eq!(answer["data"][2]["embedding"].as_array().unwrap().len(), 8);
    assert_eq!(answer["usage"]["prompt_tokens"], 6);
    assert_eq!(last(&provider).output, 0);
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let raw =
        "GET /v1/models HTTP/1.1\r\nhost: x\r\nanthropic-version: 2023-06-01\r\nconnection: close\r\n\r\n";
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut wire = Vec::new();
    stream.read_to_end(&mut wire).await.unwrap();
    let models = parse(&wire).json();
    assert_eq!(models["data"][0]["type"], "model");
    assert_eq!(models["has_more"], false);
}

#[tokio::test]
async fn tools_are_called_in_every_dialect() {
    let provider = provider();
    let ask = async |target: &str, body: &str| ask(&provider, target, "chunks=6", body).await;
    let user = r#""messages":[{"role":"user","content":"call a tool"}]"#;
    let function = r#""tools":[{"type":"function","function":{"name":"look"}}]"#;
    let valid = |arguments: &str| serde_json::from_str::<Value>(arguments).unwrap()["text"].is_string();
    let chat = ask("/v1/chat/completions", &format!(r#"{{"model":"m",{user},{function}}}"#)).await.json();
    let call = &chat["choices"][0]["message"]["tool_calls"][0]["function"];
    assert!(call["name"] == "look" && valid(call["arguments"].as_str().unwrap()));
    let body = format!(r#"{{"model":"m","stream":true,{user},{function}}}"#);
    let events = ask("/v1/chat/completions", &body).await.json_events();
    let joined: String = events
        .iter()
        .filter_map(|event| {
            event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned)
        })
        .collect();
    assert!(valid(&joined), "{joined}");
    let body = format!(r#"{{"model":"m","stream":true,{user},"tools":[{{"name":"look"}}]}}"#);
    let events = ask("/v1/messages", &body).await.json_events();
    let joined: String = events
        .iter()
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .map(str::to_owned)
        .collect();
    assert!(valid(&joined), "{joined}");
    let body =
        r#"{"model":"m","stream":true,"input":"call a tool","tools":[{"type":"function","name":"look"}]}"#;
    let events = ask("/v1/responses", body).await.json_events();
    assert_eq!(events.last().unwrap()["response"]["output"][0]["name"], "look");
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"call a tool"}]}],
        "tools":[{"functionDeclarations":[{"name":"look"}]}]}"#;
    let whole = ask("/v1beta/models/g:generateContent", body).await.json();
    assert_eq!(whole["candidates"][0]["content"]["parts"][0]["functionCall"]["name"], "look");
}

#[tokio::test]
async fn faults_cut_and_the_bill_says_how_far_it_got() {
    let provider = provider();
    let stream = r#"{"model":"m","stream":true}"#;
    let cut = ask(&provider, "/v1/messages", "chunks=9;chunk_bytes=20;fault=cut_after:3", stream).await;
    assert_eq!(cut.text().matches("text_delta").count(), 3);
    assert!(!cut.text().contains("message_stop"));
    provider.wait_billed(|bill| bill[0].end == End::Cut).await;
    let said: usize =
        cut.json_events().iter().filter_map(|event| event["delta"]["text"].as_str().map(str::len)).sum();
    assert_eq!(last(&provider).output, (said as u64).div_ceil(4));
    let half = ask(&provider, "/v1/messages", "fault=cut_after:1", r#"{"model":"m"}"#).await;
    assert!(half.status == 200 && serde_json::from_slice::<Value>(&half.body).is_err());
    for knobs in ["fault=close_before_head", "fault=reset"] {
        assert_eq!(ask(&provider, "/v1/messages", knobs, stream).await.status, 0, "{knobs}");
    }
    let broken = ask(&provider, "/v1/messages", "fault=bad_json", r#"{"model":"m"}"#).await;
    assert!(serde_json::from_slice::<Value>(&broken.body).is_err());
    assert!(broken.head.contains(&format!("content-length: {}\r\n", broken.body.len())));
    let page = ask(&provider, "/v1/messages", "fault=html", stream).await;
    assert!(page.status == 502 && page.text().starts_with("<html>"));
    let silent = ask(&provider, "/v1/messages", "fault=no_usage", stream).await;
    assert!(!silent.text().contains("usage") && silent.text().contains("message_stop"));
    let slow = ask(&provider, "/v1/messages", "fault=slow_head:0;write_bytes=1", r#"{"model":"m"}"#).await;
    assert_eq!(slow.json()["type"], "message");
    let error = ask(&provider, "/v1/messages", "chunks=9;fault=error_event:2", stream).await;
    assert!(error.text().ends_with("\"message\":\"Overloaded\"}}\n\n"), "{}", error.text());
}

#[tokio::test]
async fn a_stalled_stream_ends_when_its_client_leaves() {
    let provider = provider();
    let body = r#"{"model":"m","stream":true}"#;
    let raw = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-fake: fault=stall_after:2\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    stream.write_all(raw.as_bytes()).await.unwrap();
    let mut wire = Vec::new();
    while String::from_utf8_lossy(&wire).matches("text_delta").count() < 2 {
        assert!(stream.read_buf(&mut wire).await.unwrap() > 0);
    }
    assert_eq!(last(&provider).end, End::Open);
    drop(stream);
    provider.wait_billed(|bill| bill[0].end == End::ClientGone).await;
}

#[tokio::test]
async fn errors_are_the_providers_own_and_cost_nothing() {
    let provider = provider();
    let body = r#"{"model":"m"}"#;
    let limited = ask(&provider, "/v1/messages", "status=429;retry_after=7", body).await;
    assert_eq!(limited.json()["error"]["type"], "rate_limit_error");
    assert!(limited.head.contains("retry-after: 7\r\n"));
    assert_eq!((last(&provider).input, last(&provider).output, last(&provider).status), (0, 0, 429));
    let gemini = ask(&provider, "/v1beta/models/g:generateContent", "status=503", "{}").await;
    assert_eq!(gemini.json()["error"]["status"], "UNAVAILABLE");
    let chat = ask(&provider, "/v1/chat/completions", "status=500", body).await;
    assert_eq!(chat.json()["error"]["type"], "server_error");
    assert_eq!(ask(&provider, "/v1/nowhere", "", "{}").await.status, 404);
    assert_eq!(ask(&provider, "/v1/messages", "", "{").await.status, 400);
    assert_eq!(ask(&provider, "/v1/messages", "speed=9", body).await.status, 400);
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_a_part_of_it() {
    let config = FakeConfig { require_key: Some("sk-good-qqqq".to_owned()), ..FakeConfig::default() };
    let provider = FakeProvider::start_with("127.0.0.1:0".parse().unwrap(), config).unwrap();
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    for (key, status) in [("sk-wrong-key-abcd", 401), ("sk-good-qqqq", 200), ("sk-other-key-wxyz", 401)] {
        let body = r#"{"model":"m"}"#;
        let raw = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(raw.as_bytes()).await.unwrap();
        let mut wire = Vec::new();
        // Both answers end with a brace and a line or nothing; read until the JSON is whole.
        let answer = loop {
            assert!(stream.read_buf(&mut wire).await.unwrap() > 0);
            let answer = parse(&wire);
            if serde_json::from_slice::<Value>(&answer.body).is_ok() {
                break answer;
            }
        };
        assert_eq!(answer.status, status, "{key}");
        let tail = &key[key.len() - 4..];
        assert_eq!(answer.text().contains(tail), status == 401);
        // What is left of a body's last line is read with the next answer's head.
        while wire.last() != Some(&b'\n') && status == 401 {
            assert!(stream.read_buf(&mut wire).await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn connections_are_reused_and_chunked_requests_after_continue_understood() {
    let provider = provider();
    let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
    let head =
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    for _turn in 0..2 {
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut wire = vec![0; go_on.len()];
        stream.read_exact(&mut wire).await.unwrap();
        assert_eq!(wire, go_on);
        stream.write_all(b"5\r\n{\"mod\r\n7\r\nel\":\"m\"\r\n1\r\n}\r\n0\r\n\r\n").await.unwrap();
        wire.clear();
        while serde_json::from_slice::<Value>(&parse(&wire).body).is_err() {
            assert!(stream.read_buf(&mut wire).await.unwrap() > 0);
        }
    }
    assert_eq!((provider.connections(), provider.requests()), (1, 2));
    assert_eq!(provider.billed()[0].input, 13u64.div_ceil(4));
    assert_eq!(provider.seen()[1].body, br#"{"model":"m"}"#);
    assert_eq!(provider.seen()[1].header("Expect"), Some("100-continue"));
}

#[tokio::test]
async fn paced_burst_and_stamped_streams_carry_the_same_text() {
    let provider = provider();
    let body = r#"{"model":"m","stream":true}"#;
    let plain = ask(&provider, "/v1/messages", "chunks=12;chunk_bytes=30", body).await.text();
    for knobs in ["chunks=12;chunk_bytes=30;burst=1", "chunks=12;chunk_bytes=30;gap_ms=1;first_ms=1"] {
        assert_eq!(ask(&provider, "/v1/messages", knobs, body).await.text(), plain, "{knobs}");
    }
    let stamped = ask(&provider, "/v1/messages", "chunks=12;stamp=1;gap_ms=1", body).await.text();
    let prefix = std::str::from_utf8(STAMP_PREFIX).unwrap();
    let times: Vec<u64> = stamped.split(prefix).skip(1).map(|rest| rest[..20].parse().unwrap()).collect();
    assert_eq!(times.len(), 12);
    assert!(times[0] > 0 && times.windows(2).all(|pair| pair[0] <= pair[1]), "{times:?}");
}

#[tokio::test]
async fn a_bill_holds_its_capacity_and_a_provider_without_one_answers_too() {
    for capacity in [0usize, 2] {
        let config = FakeConfig { billed_capacity: capacity, ..FakeConfig::default() };
        let provider = FakeProvider::start_with("127.0.0.1:0".parse().unwrap(), config).unwrap();
        for _request in 0..3 {
            assert_eq!(ask(&provider, "/v1/messages", "", r#"{"model":"m"}"#).await.status, 200);
        }
        assert_eq!(provider.billed().len(), capacity);
        let address = provider.addr();
        provider.shutdown().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
    assert_eq!(Knobs::default(), FakeConfig::default().knobs);
}

#[tokio::test]
async fn guardrails_decide_by_path_knob_and_text() {
    let provider = provider();
    let body = r#"{"text":"hello there","language":"en"}"#;
    let clean = ask(&provider, "/guardrails/presidio/analyze", "", body).await;
    assert_eq!((clean.status, clean.text().as_str()), (200, "[]"));
    for (target, knobs) in
        [("/guardrails/presidio/flagged/analyze", ""), ("/guardrails/presidio/analyze", "verdict=flagged")]
    {
        let flagged = ask(&provider, target, knobs, body).await;
        assert_eq!(flagged.json()[0]["end"], 5, "{target} {knobs}");
    }
    let triggered = r#"{"text":"say [[limited]]","language":"en"}"#;
    assert_eq!(ask(&provider, "/guardrails/presidio/analyze", "", triggered).await.status, 429);
    let status = ask(&provider, "/guardrails/presidio/analyze", "status=503;retry_after=7", body).await;
    assert!(status.status == 503 && status.head.contains("retry-after: 7\r\n"), "{}", status.head);
    let broken = ask(&provider, "/guardrails/presidio/flagged/analyze", "fault=bad_json", body).await;
    assert!(serde_json::from_slice::<Value>(&broken.body).is_err());
    assert_eq!(ask(&provider, "/guardrails/presidio/analyze", "verdict=maybe", body).await.status, 400);
    assert!(provider.billed().iter().all(|line| line.input == 0), "guardrails cost nothing here");
}

#[tokio::test]
async fn guardrails_ask_for_the_credential_too() {
    let config = FakeConfig { require_key: Some("right".to_owned()), ..FakeConfig::default() };
    let provider = FakeProvider::start_with("127.0.0.1:0".parse().unwrap(), config).unwrap();
    let body = r#"{"ai_profile":{"profile_name":"p"},"contents":[{"prompt":"hello"}]}"#;
    for (header, key, status) in [
        ("x-pan-token", "right", 200),
        ("X-Pan-Token", "wrong", 401),
        ("ocp-apim-subscription-key", "right", 200),
    ] {
        let raw = format!(
            "POST /guardrails/prisma_airs/v1/scan/sync/request HTTP/1.1\r\nhost: fake\r\n{header}: {key}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(provider.addr()).await.unwrap();
        stream.write_all(raw.as_bytes()).await.unwrap();
        let mut wire = Vec::new();
        stream.read_to_end(&mut wire).await.unwrap();
        assert_eq!(parse(&wire).status, status, "{header}: {key}");
    }
}
