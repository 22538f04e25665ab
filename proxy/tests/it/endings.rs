//! Every way an exchange can end: one record each, with the right word, and nothing left open.

use crate::support::ask::Framing;
use crate::support::scripted::{Act, Scripted};
use crate::support::sse::{data, events};
use crate::support::{Ask, CHAT, GEMINI, GENERATING, Gate, Kind, MESSAGES, RESPONSES, patient, until};
use narrows_fake::End;
use narrows_ledger::Record;
use narrows_llm::Dialect;
use narrows_meter::Origin;
use narrows_policy::Reason;
use serde_json::Value;

/// The one record of a gateway whose exchanges are all over, with gauges to prove it.
async fn settled(gate: &Gate, reason: Reason) -> Record {
    let record = gate.record().await;
    assert_eq!(record.reason, reason, "{record:?}");
    assert_eq!(gate.gauge("narrows_exchanges_in_flight").await, 0.0);
    assert_eq!(gate.gauge("narrows_streams_in_flight").await, 0.0);
    assert_eq!(gate.gauge("narrows_buffered_bytes").await, 0.0);
    record
}

/// The code of the event that ends a stream which could not go on.
fn farewell(kind: &Kind, stream: &[u8]) -> String {
    let events = events(stream);
    let last = data(events.last().unwrap()).unwrap_or_else(|| panic!("{events:?}"));
    let code = match kind.dialect {
        Dialect::GeminiGenerate => &last["error"]["details"][0]["reason"],
        Dialect::OpenaiResponses => &last["response"]["error"]["code"],
        _ => &last["error"]["code"],
    };
    code.as_str().unwrap_or_else(|| panic!("{last}")).to_owned()
}

#[tokio::test]
async fn a_client_that_leaves_is_still_billed() {
    for kind in GENERATING {
        let gate = Gate::start();
        let mut client = gate.connect().await;
        client.send(&Ask::stream(kind).key(&gate.key).fake("chunks=60;fault=stall_after:30").wire()).await;
        let head = client.head().await;
        assert_eq!(head.status, 200);
        let mut received = Vec::new();
        // The stream stalls after its thirtieth chunk; the client has it all then.
        let marker = gate_text(kind);
        while memchr::memmem::find_iter(&received, marker).count() < 30 {
            received.extend_from_slice(&client.chunk().await.unwrap());
        }
        drop(client);
        patient("the provider to be left", gate.fake.wait_billed(|lines| lines[0].end == End::ClientGone))
            .await;
        let record = settled(&gate, Reason::ClientGone).await;
        let billed = gate.fake.billed().remove(0);
        assert!(record.streamed && record.status == 200 && record.first_byte_us.is_some(), "{record:?}");
        let origins = [Origin::Estimated, Origin::Counted, Origin::ProviderPartial];
        assert!(origins.contains(&record.origin), "{record:?}");
        let (input, output) = (record.usage.input().unwrap(), record.usage.output().unwrap());
        assert!(input > 0, "{record:?}");
        // The fake takes four bytes for a token; what is right is in `counting`.
        assert!(output <= billed.output * 2 && output * 2 >= billed.output, "{output} for {billed:?}");
        assert_eq!(record.response_bytes, received.len() as u64);
    }
}

/// A gateway with this policy, and a budget that counts.
fn leaving(policy: &str) -> Gate {
    let budgets = "reload: {watch: off}\nbudgets:\n  all: {tokens: 1000000, window: day}";
    Gate::plan().top(&format!("on_client_gone: {policy}\n{budgets}")).start()
}

async fn spent(gate: &Gate) -> u64 {
    let budgets = gate.admin("/admin/v1/budgets").await.json();
    let counter = &budgets["budgets"][0]["counters"][0];
    assert_eq!(counter["reserved"], 0, "{budgets}");
    counter["spent"].as_u64().unwrap()
}

#[tokio::test]
async fn an_answer_whose_client_leaves_is_read_to_its_end_where_the_operator_says_so() {
    for kind in GENERATING {
        // Within the stream, and before its head.
        for (knobs, chunks) in [("chunks=40;gap_ms=3", 3), ("chunks=40;first_ms=200", 0)] {
            let gate = leaving("read_to_end");
            let mut client = gate.connect().await;
            client.send(&Ask::stream(kind).key(&gate.key).fake(knobs).wire()).await;
            until("the provider to be asked", async || (gate.fake.requests() == 1).then_some(())).await;
            if chunks > 0 {
                assert_eq!(client.head().await.status, 200);
            }
            let mut received = Vec::new();
            while memchr::memmem::find_iter(&received, gate_text(kind)).count() < chunks {
                received.extend_from_slice(&client.chunk().await.unwrap());
            }
            drop(client);
            let record = settled(&gate, Reason::ClientGone).await;
            let billed = gate.fake.billed().remove(0);
            assert_eq!(billed.end, End::Complete, "{:?} {knobs}", kind.dialect);
            assert_eq!(record.origin, Origin::Provider, "{record:?}");
            assert_eq!(
                (record.usage.input(), record.usage.output()),
                (Some(billed.input), Some(billed.output))
            );
            assert!(record.cost.nano_usd() > Some(0), "{record:?}");
            assert_eq!(Some(spent(&gate).await), record.usage.total());
        }
    }
    let gate = leaving("read_to_end");
    let mut client = gate.connect().await;
    client.send(&Ask::unary(&CHAT).key(&gate.key).fake("first_ms=200").wire()).await;
    until("the provider to be asked", async || (gate.fake.requests() == 1).then_some(())).await;
    drop(client);
    let record = gate.record().await;
    assert_eq!(record.usage.output(), Some(gate.fake.billed()[0].output), "{record:?}");
}

#[tokio::test]
async fn a_client_that_leaves_is_charged_nothing_where_the_operator_says_so() {
    for (knobs, chunks) in [("chunks=60;fault=stall_after:30", 30), ("first_ms=600000", 0)] {
        let gate = leaving("free");
        let mut client = gate.connect().await;
        client.send(&Ask::stream(&CHAT).key(&gate.key).fake(knobs).wire()).await;
        until("the provider to be asked", async || (gate.fake.requests() == 1).then_some(())).await;
        if chunks > 0 {
            assert_eq!(client.head().await.status, 200);
        }
        let mut received = Vec::new();
        while memchr::memmem::find_iter(&received, gate_text(&CHAT)).count() < chunks {
            received.extend_from_slice(&client.chunk().await.unwrap());
        }
        drop(client);
        let record = settled(&gate, Reason::ClientGone).await;
        assert_eq!(record.cost.nano_usd(), Some(0), "{record:?}");
        assert!(record.usage.input() > Some(0), "what was used is told: {record:?}");
        assert_eq!(spent(&gate).await, 0);
    }
    // Whoever stays pays.
    let gate = leaving("free");
    let answer = gate.ask_as_key(Ask::stream(&CHAT)).await;
    assert!(gate.record_of(&answer).await.cost.nano_usd() > Some(0));
}

/// What every content chunk of a kind's stream holds once.
fn gate_text(kind: &Kind) -> &'static [u8] {
    match kind.dialect {
        Dialect::OpenaiChat => b"\"delta\":{\"content\":",
        Dialect::OpenaiCompletions => b"\"choices\":[{\"text\":",
        Dialect::OpenaiResponses => b"event: response.output_text.delta",
        Dialect::AnthropicMessages => b"event: content_block_delta",
        _ => b"data: ",
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_providers_work() {
    for ask in [Ask::unary(&CHAT), Ask::stream(&MESSAGES)] {
        let gate = Gate::start();
        let mut client = gate.connect().await;
        client.send(&ask.key(&gate.key).fake("first_ms=600000").wire()).await;
        until("the provider to be asked", async || (gate.fake.requests() == 1).then_some(())).await;
        drop(client);
        patient("the provider to be left", gate.fake.wait_billed(|lines| lines[0].end == End::ClientGone))
            .await;
        let record = settled(&gate, Reason::ClientGone).await;
        assert_eq!((record.status, record.attempts.len()), (0, 1), "{record:?}");
        prompt_is_estimated(&record);
    }
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_is_told_from_one_that_is_slow() {
    let gate = Gate::plan().top("timeouts: {request_body: 150ms}").start();
    let part = Ask::post(CHAT.unary, "{\"model\":")
        .key(&gate.key)
        .framed(Framing::Own)
        .with("content-length", "1000");
    let mut client = gate.connect().await;
    client.send(&part.wire()).await;
    let answer = client.answer(false).await;
    assert_eq!((answer.status(), &*answer.code(CHAT.family())), (408, "client_timeout"));
    assert!(client.is_closed().await);
    settled(&gate, Reason::ClientTimeout).await;

    let gate = Gate::start();
    let mut client = gate.connect().await;
    client.send(&part_of(&gate).wire()).await;
    until("the exchange to begin", async || {
        (gate.gauge("narrows_exchanges_in_flight").await == 1.0).then_some(())
    })
    .await;
    drop(client);
    let record = settled(&gate, Reason::ClientGone).await;
    assert_eq!((record.status, record.attempts.len()), (0, 0));
}

fn part_of(gate: &Gate) -> Ask {
    Ask::post(CHAT.unary, "{\"model\":").key(&gate.key).framed(Framing::Own).with("content-length", "1000")
}

#[tokio::test]
async fn a_client_that_stops_reading_is_let_go() {
    // Without optimization detectors take long for fifty megabytes, and this is about who waits for whom.
    let top = "timeouts: {idle: 300ms}\nguard: {default_policies: false}";
    let gate = Gate::plan().top(top).start();
    let mut client = gate.connect().await;
    client.send(&Ask::stream(&CHAT).key(&gate.key).fake("chunks=800;chunk_bytes=65536;burst=1").wire()).await;
    assert_eq!(client.head().await.status, 200);
    let record = settled(&gate, Reason::ClientTimeout).await;
    assert!(record.usage.output().unwrap() > 0, "{record:?}");
    drop(client);
}

#[tokio::test]
async fn a_stream_cut_by_the_provider_ends_with_an_event_that_says_so() {
    for kind in GENERATING {
        for (knobs, end) in [("chunks=9;fault=cut_after:5", End::Cut), ("chunks=9;fault=reset:5", End::Cut)] {
            let gate = Gate::start();
            let answer = gate.ask_as_key(Ask::stream(kind).fake(knobs)).await;
            assert_eq!(answer.status(), 200);
            assert!(!answer.whole, "a cut answer must not look whole: {}", answer.text());
            let record = settled(&gate, Reason::ProviderCut).await;
            let billed = gate.fake.billed().remove(0);
            assert_eq!(billed.end, end);
            assert!(record.streamed, "{record:?}");
            if knobs.contains("cut") {
                assert_eq!(farewell(kind, &answer.body), "provider_cut");
                let output = record.usage.output().unwrap();
                assert!(output.abs_diff(billed.output) <= 2 + billed.output / 5, "{output} for {billed:?}");
            }
            assert!(record.usage.input().is_some_and(|input| input > 0), "{record:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_cut_by_the_provider_is_an_error_and_not_half_a_body() {
    for kind in GENERATING {
        for knobs in ["fault=cut_after", "fault=cut_after;chunked=1"] {
            let gate = Gate::start();
            let answer = gate.ask_as_key(Ask::unary(kind).fake(knobs)).await;
            assert_eq!((answer.status(), &*answer.code(kind.family())), (502, "provider_cut"));
            let record = settled(&gate, Reason::ProviderCut).await;
            assert_eq!((record.status, record.attempts[0].status), (502, Some(200)));
        }
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_given_up() {
    for kind in GENERATING {
        let gate = Gate::plan().top("timeouts: {idle: 150ms}").start();
        let answer = gate.ask_as_key(Ask::stream(kind).fake("chunks=9;fault=stall_after:4")).await;
        assert!(answer.status() == 200 && !answer.whole);
        assert_eq!(farewell(kind, &answer.body), "provider_idle_timeout");
        let record = settled(&gate, Reason::ProviderIdleTimeout).await;
        let billed = gate.fake.billed().remove(0);
        let output = record.usage.output().unwrap();
        assert!(output.abs_diff(billed.output) <= 2 + billed.output / 5, "{output} for {billed:?}");
        patient("the provider to be left", gate.fake.wait_billed(|lines| lines[0].end == End::ClientGone))
            .await;
    }
    let gate = Gate::plan().top("timeouts: {idle: 150ms}").start();
    let answer = gate.ask_as_key(Ask::unary(&CHAT).fake("fault=stall_after")).await;
    assert_eq!((answer.status(), &*answer.code(CHAT.family())), (504, "provider_idle_timeout"));
    prompt_is_estimated(&settled(&gate, Reason::ProviderIdleTimeout).await);
}

/// The provider was at work on the prompt, which is not free because its answer is missing.
fn prompt_is_estimated(record: &Record) {
    assert_eq!(record.origin, Origin::Estimated, "{record:?}");
    assert!(record.usage.input().is_some_and(|tokens| tokens > 0), "{record:?}");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_not_waited_for() {
    for knobs in ["first_ms=600000", "fault=slow_head:1000"] {
        for kind in [&CHAT, &MESSAGES, &GEMINI] {
            let gate = Gate::plan().top("timeouts: {first_byte: 150ms}").start();
            let answer = gate.ask_as_key(Ask::stream(kind).fake(knobs)).await;
            assert_eq!((answer.status(), &*answer.code(kind.family())), (504, "provider_first_byte_timeout"));
            prompt_is_estimated(&settled(&gate, Reason::ProviderFirstByteTimeout).await);
        }
    }
    let gate = Gate::start();
    let slow = gate.ask_as_key(Ask::unary(&CHAT).fake("fault=slow_head:3")).await;
    assert_eq!(slow.status(), 200, "a head in sixteen pieces is a head");
}

#[tokio::test]
async fn an_exchange_has_a_time_to_end() {
    let gate = Gate::plan().top("timeouts: {total: 250ms}").start();
    let answer = gate.ask_as_key(Ask::stream(&MESSAGES).fake("chunks=1000;gap_ms=10")).await;
    assert!(answer.status() == 200 && !answer.whole);
    assert_eq!(farewell(&MESSAGES, &answer.body), "total_timeout");
    settled(&gate, Reason::TotalTimeout).await;
    let gate = Gate::plan().top("timeouts: {total: 150ms}").start();
    let answer = gate.ask_as_key(Ask::unary(&CHAT).fake("first_ms=600000")).await;
    assert_eq!((answer.status(), &*answer.code(CHAT.family())), (504, "total_timeout"));
    settled(&gate, Reason::TotalTimeout).await;
}

#[tokio::test]
async fn an_error_inside_a_stream_passes_and_is_recorded() {
    for kind in GENERATING {
        let gate = Gate::start();
        let ask = Ask::stream(kind).fake("chunks=9;fault=error_event:3");
        let answer = gate.ask_as_key(ask.clone()).await;
        let record = settled(&gate, Reason::ProviderErrorEvent).await;
        let billed = gate.fake.billed().remove(0);
        // To the request as we sent it: asked for usage, a provider adds an empty one to every chunk.
        let asked = ask.body(gate.fake.seen().remove(0).body);
        let straight = crate::support::Client::connect(gate.fake.addr()).await.ask(&asked).await;
        assert_eq!(answer.text(), straight.text());
        assert!(answer.whole, "the provider ended its stream properly");
        let output = record.usage.output().unwrap();
        assert!(
            output.abs_diff(billed.output) <= 2 + billed.output / 5,
            "{output} for {billed:?} {record:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_head_is_told_and_not_tried_again() {
    for knobs in ["fault=close_before_head", "fault=reset"] {
        for kind in [&CHAT, &MESSAGES, &GEMINI] {
            let gate = Gate::start();
            let answer = gate.ask_as_key(Ask::unary(kind).fake(knobs)).await;
            assert_eq!((answer.status(), &*answer.code(kind.family())), (502, "provider_cut"));
            let record = settled(&gate, Reason::ProviderCut).await;
            assert_eq!(gate.fake.requests(), 1, "the provider may have begun to work: it is not asked twice");
            assert_eq!(record.attempts.len(), 1);
        }
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_pooled_connection_that_turns_out_dead_costs_one_try_and_no_more() {
    for (acts, statuses, requests) in [
        (vec![Act::Say(OK.into()), Act::Reset, Act::Say(OK.into())], [200, 200], 3),
        (vec![Act::Say(OK.into()), Act::SayAndClose(Vec::new()), Act::Say(OK.into())], [200, 200], 3),
        (vec![Act::Say(OK.into()), Act::Reset, Act::Reset], [200, 502], 3),
        // Once a byte came, the answer had begun: nothing is repeated.
        (
            vec![Act::Say(OK.into()), Act::SayAndClose(b"HTTP/1.1 2".into()), Act::Say(OK.into())],
            [200, 502],
            2,
        ),
    ] {
        let scripted = Scripted::start(acts).await;
        let url = format!("kind: openai, base_url: 'http://{}/v1', models: [flaky]", scripted.address);
        let gate = Gate::plan().provider("flaky", &url).start();
        let ask = Ask::post("/v1/chat/completions", r#"{"model":"flaky"}"#);
        for status in statuses {
            assert_eq!(gate.ask_as_key(ask.clone()).await.status(), status);
            // A connection goes back to the pool before its exchange is settled.
            gate.records().await;
        }
        assert_eq!(scripted.requests().len(), requests);
        let records = gate.records().await;
        assert_eq!(records.len(), 2, "one record each, retried or not");
        let expected = if statuses[1] == 200 { Reason::Completed } else { Reason::ProviderCut };
        assert_eq!((records[0].reason, records[1].reason), (Reason::Completed, expected));
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_taken_for_a_whole_one() {
    // The provider's stream ends properly on the wire and lacks its last events.
    let body = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
    let wire = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let scripted = Scripted::start(vec![Act::Say(wire.into())]).await;
    let url = format!("kind: anthropic, base_url: 'http://{}', models: [short]", scripted.address);
    let gate = Gate::plan().provider("short", &url).start();
    let answer = gate.ask_as_key(Ask::post("/v1/messages", r#"{"model":"short","stream":true}"#)).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, body));
    let record = settled(&gate, Reason::ProviderCut).await;
    assert_eq!(record.usage.input(), Some(7), "what was reported is kept: {record:?}");
}

#[tokio::test]
async fn responses_say_failed_when_a_stream_is_cut_because_codex_reads_that() {
    let gate = Gate::start();
    let answer = gate.ask_as_key(Ask::stream(&RESPONSES).fake("chunks=9;fault=cut_after:2")).await;
    let events = events(&answer.body);
    let [before, last] = &events[events.len() - 2..] else { panic!("{events:?}") };
    assert!(
        before.starts_with("event: error\n") && last.starts_with("event: response.failed\n"),
        "{events:?}"
    );
    let failed: Value = data(last).unwrap();
    assert_eq!(failed["type"], "response.failed");
}
