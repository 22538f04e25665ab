//! Policies that change streams, from the outside.

use crate::guard::{CARD, answer, ask, events, gate, inspection, policy, recorded, streamed};
use crate::support::kinds::Kind;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, CHAT, GEMINI, GENERATING, Gate, MESSAGES, RESPONSES};
use narrows_llm::Dialect;
use narrows_policy::{Action, Coverage, Gap, Reason, Stage};
use narrows_tokenizer::Encoding;
use serde_json::{Value, json};
use std::io::Write;

/// A gateway that masks cards in requests and puts them back into answers, and the placeholder of [`CARD`].
async fn restoring(kind: &Kind) -> (Gate, Scripted, String) {
    let restore = policy("request", "mask", ", restore: true");
    let (gate, scripted) = gate(&restore, kind, vec![Act::json(200, "", &answer(kind, "fine"))]).await;
    assert_eq!(gate.ask_as_key(ask(kind, false, &format!("pay {CARD}"))).await.status(), 200);
    let request = scripted.requests().remove(0);
    let start = request.find("[CARD_").unwrap();
    let placeholder = request[start..].split_inclusive(']').next().unwrap().to_owned();
    (gate, scripted, placeholder)
}

/// Events that call a tool with these arguments, in pieces; Gemini's come whole.
fn calls(kind: &Kind, arguments: &str) -> String {
    let event = |value: Value| {
        let name = value["type"].as_str().map(|name| format!("event: {name}\n")).unwrap_or_default();
        format!("{name}data: {value}\n\n")
    };
    let piece = |text: &str| match kind.dialect {
        Dialect::OpenaiResponses => {
            json!({"type": "response.function_call_arguments.delta", "output_index": 1,
            "item_id": "i", "delta": text})
        }
        Dialect::AnthropicMessages => json!({"type": "content_block_delta", "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": text}}),
        _ => json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function":
            {"arguments": text}}]}}]}),
    };
    if kind.dialect == Dialect::GeminiGenerate {
        let args: Value = serde_json::from_str(arguments).unwrap();
        return event(
            json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "pay", "args": args}}]}}]}),
        );
    }
    // In pieces of five bytes, so that placeholders lie across several events.
    let pieces = arguments.as_bytes().chunks(5).map(|bytes| piece(std::str::from_utf8(bytes).unwrap()));
    let mut all: String = pieces.map(event).collect();
    if kind.dialect == Dialect::OpenaiResponses {
        let item = json!({"type": "function_call", "call_id": "c", "name": "pay", "arguments": arguments});
        all += &event(json!({"type": "response.function_call_arguments.done", "output_index": 1,
            "arguments": arguments}));
        all += &event(
            json!({"type": "response.completed", "response": {"status": "completed", "output": [item],
            "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}}}),
        );
    }
    all
}

/// The values of a stream's events.
fn read(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// What a client puts together of a stream: words, and arguments of tools.
fn put_together(kind: &Kind, stream: &str) -> (String, String) {
    let (mut words, mut arguments) = (String::new(), String::new());
    for event in read(stream) {
        narrows_llm::deltas::deltas(
            kind.dialect,
            event.to_string().as_bytes(),
            &mut |block, text| match block.kind {
                narrows_llm::deltas::Kind::Arguments => arguments.push_str(text),
                _ => words.push_str(text),
            },
        );
    }
    (words, arguments)
}

#[tokio::test]
async fn masked_values_come_back_into_words_and_arguments_of_streams() {
    for kind in GENERATING {
        let (gate, scripted, placeholder) = restoring(kind).await;
        let (one, rest) = placeholder.split_at(3);
        let (two, three) = rest.split_at(9);
        let mut said = String::new();
        let has_tools = kind.dialect != Dialect::OpenaiCompletions;
        if has_tools {
            let arguments = json!({"card": placeholder, "note": format!("[1] \"{placeholder}\"")});
            said += &calls(kind, &arguments.to_string());
        }
        said += &events(kind, &["it is ", one, two, &format!("{three}, [ok]")]);
        scripted.answer_with(streamed(&said));
        let got = gate.ask_as_key(ask(kind, true, &format!("pay {CARD}"))).await;
        let text = got.text();
        assert_eq!(got.status(), 200, "{text}");
        let (words, arguments) = put_together(kind, &text);
        assert_eq!(words, format!("it is {CARD}, [ok]"), "{text}");
        if has_tools {
            let wanted = json!({"card": CARD, "note": format!("[1] \"{CARD}\"")});
            assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), wanted, "{text}");
        }
        if kind.dialect == Dialect::OpenaiResponses {
            for value in read(&text) {
                let repeated = [&value["arguments"], &value["response"]["output"][0]["arguments"]];
                for arguments in repeated.into_iter().filter_map(Value::as_str) {
                    let arguments: Value = serde_json::from_str(arguments).unwrap();
                    assert_eq!(arguments["card"], CARD);
                }
            }
        }
        assert!(!text.contains("[CARD_"), "{text}");
        let record = gate.record_of(&got).await;
        assert_eq!((record.reason, record.streamed), (Reason::Completed, true));
        assert_eq!(record.response_bytes, text.len() as u64);
    }
}

/// Tokens of a text of the model that is asked. Loads the vocabulary: from then on the gateway counts with it too, and does not
/// estimate.
fn counted(text: &str) -> u64 {
    Encoding::O200k.load().unwrap().count(text.as_bytes())
}

#[tokio::test]
async fn metering_sees_what_the_provider_sent() {
    counted("");
    let (gate, scripted, placeholder) = restoring(&CHAT).await;
    let mut bytes = Vec::new();
    for repeats in [1, 20] {
        let said = placeholder.repeat(repeats);
        // Without usage the words are counted.
        scripted.answer_with(streamed(&events(&CHAT, &[&said])));
        let got = gate.ask_as_key(ask(&CHAT, true, &format!("pay {CARD}"))).await;
        assert_eq!(put_together(&CHAT, &got.text()).0, CARD.repeat(repeats));
        let record = gate.record_of(&got).await;
        assert_eq!(record.usage.output(), Some(counted(&said)));
        bytes.push(record.response_bytes);
    }
    assert!(bytes[0] < bytes[1]);
}

#[tokio::test]
async fn a_stream_without_placeholders_passes_byte_for_byte() {
    for kind in GENERATING {
        let (gate, scripted, placeholder) = restoring(kind).await;
        let said =
            events(kind, &["see [", "1] and [CA", "RD_", "x] ", &placeholder[..placeholder.len() - 1]]);
        scripted.answer_with(streamed(&said));
        let got = gate.ask_as_key(ask(kind, true, &format!("pay {CARD}"))).await;
        assert_eq!(got.text(), said);
    }
}

#[tokio::test]
async fn what_waits_for_the_rest_of_a_placeholder_comes_out_when_the_stream_is_cut() {
    for kind in [&CHAT, &RESPONSES, &MESSAGES] {
        let (gate, scripted, placeholder) = restoring(kind).await;
        let whole = events(kind, &["it is ", &placeholder, " and ", &placeholder[..8]]);
        // The end that the dialect has is missing, and the head promises more.
        let last = whole.find(&format!("{}\"", &placeholder[..8])).unwrap();
        let said = &whole[..last + whole[last..].find("\n\n").unwrap() + 2];
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            said.len() + 100
        );
        scripted.answer_with(Act::SayAndClose((head + said).into_bytes()));
        let got = gate.ask_as_key(ask(kind, true, &format!("pay {CARD}"))).await;
        assert!(got.status() == 200 && !got.whole);
        let text = got.text();
        let wanted = said.replacen(&placeholder, CARD, 1);
        assert!(text.starts_with(&wanted), "{text}");
        assert!(text[wanted.len()..].contains("error"), "the client is told: {text}");
        assert_eq!(gate.record_of(&got).await.reason, Reason::ProviderCut);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_events_wait_is_still_billed() {
    counted("");
    let (gate, scripted, placeholder) = restoring(&CHAT).await;
    let words = format!("it is {}", &placeholder[..8]);
    let said = events(&CHAT, &["first ", &words]).replace("data: [DONE]\n\n", "");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n";
    scripted.answer_with(Act::SayAndHold((head.to_owned() + &said).into_bytes()));
    let mut client = gate.connect().await;
    client.send(&ask(&CHAT, true, &format!("pay {CARD}")).key(&gate.key).wire()).await;
    assert_eq!(client.head().await.status, 200);
    let chunk = String::from_utf8(client.chunk().await.unwrap()).unwrap();
    assert!(chunk.contains("first ") && !chunk.contains("[CARD"), "{chunk}");
    drop(client);
    let record = gate.records().await.into_iter().find(|record| record.streamed).unwrap();
    assert_eq!(record.reason, Reason::ClientGone);
    let generated = counted(&format!("first {words}"));
    assert_eq!(record.usage.output(), Some(generated), "what waits was generated too");
    assert_eq!(record.response_bytes, chunk.len() as u64);
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Brotli without compression (RFC 7932 §9.2): one meta-block of at most 64 KiB, and the empty last one.
fn brotli(text: &[u8]) -> Vec<u8> {
    let header = (u32::try_from(text.len()).unwrap() - 1) << 4 | 1 << 20;
    [&header.to_le_bytes()[..3], text, &[3]].concat()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

/// An answer with this body, whatever it is.
fn said(lines: &str, body: &[u8]) -> Act {
    let head = format!("HTTP/1.1 200 OK\r\n{lines}content-length: {}\r\n\r\n", body.len());
    Act::Say([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn compressed_streams_are_looked_at_and_stay_as_they_are() {
    let text = events(&MESSAGES, &["it is 4111 1111 1", "111 1111"]);
    let text = text.as_bytes();
    let codings =
        [("gzip", gzip(text)), ("deflate", deflate(text)), ("br", brotli(text)), ("zstd", zstd(text))];
    for (coding, wire) in codings {
        let lines = format!("content-type: text/event-stream\r\ncontent-encoding: {coding}\r\n");
        let (gate, _scripted) =
            gate(&policy("stream", "mask", ""), &MESSAGES, vec![said(&lines, &wire)]).await;
        let got = gate.ask_as_key(ask(&MESSAGES, true, "which card?")).await;
        assert_eq!((got.header("content-encoding"), &got.body), (Some(coding), &wire));
        recorded(&gate.record_of(&got).await, Stage::Stream, Action::Mask, false);
    }
}

#[tokio::test]
async fn what_stands_beside_the_pieces_of_a_stream_is_looked_at_too() {
    let citation = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta",
        "citation": {"type": "page_location", "cited_text": format!("card {CARD}"), "document_index": 0}}});
    let result = json!({"type": "response.output_item.done", "output_index": 1, "item": {"type": "mcp_call",
        "id": "mcp_1", "name": "read", "arguments": "{}", "output": format!("card {CARD}, card {CARD}")}});
    for (kind, name, event) in
        [(&MESSAGES, "content_block_delta", citation), (&RESPONSES, "response.output_item.done", result)]
    {
        let more = format!("event: {name}\ndata: {event}\n\n");
        let stream = events(kind, &["see ", "there"]).replacen("event: ", &format!("{more}event: "), 1);
        let (gate, _scripted) = gate(&policy("stream", "log", ""), kind, vec![streamed(&stream)]).await;
        let got = gate.ask_as_key(ask(kind, true, "which card?")).await;
        assert_eq!(got.text(), stream);
        let record = gate.record_of(&got).await;
        recorded(&record, Stage::Stream, Action::Log, true);
        let detail = inspection(&record, Stage::Stream).detail.as_ref().unwrap();
        assert_eq!(detail.findings.len(), 1, "{detail:#?}");
    }
}

#[tokio::test]
async fn a_value_in_pieces_that_is_said_again_whole_is_found_once() {
    let done =
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": CARD});
    let stream = events(&RESPONSES, &["4111 1111 1", "111 1111"])
        + &format!("event: response.output_text.done\ndata: {done}\n\n");
    let (gate, _scripted) = gate(&policy("stream", "log", ""), &RESPONSES, vec![streamed(&stream)]).await;
    let got = gate.ask_as_key(ask(&RESPONSES, true, "which card?")).await;
    let record = gate.record_of(&got).await;
    let detail = inspection(&record, Stage::Stream).detail.as_ref().unwrap();
    assert_eq!((detail.findings.len(), detail.findings[0].count), (1, 1), "{detail:#?}");
}

#[tokio::test]
async fn a_compressed_stream_that_cannot_be_read_says_so() {
    let bomb = gzip(&vec![b' '; 3 * 1024 * 1024]);
    for (coding, wire, gap) in [
        ("gzip", b"no gzip at all".to_vec(), Coverage::Partial(Gap::Undecodable)),
        ("gzip", bomb, Coverage::Partial(Gap::ExpansionCap)),
        ("compress", b"x".to_vec(), Coverage::None(Gap::Undecodable)),
    ] {
        let lines = format!("content-type: text/event-stream\r\ncontent-encoding: {coding}\r\n");
        let top = format!("limits: {{metered_copy: 1MiB}}\n{}", policy("stream", "log", ""));
        let (gate, _scripted) = gate(&top, &CHAT, vec![said(&lines, &wire)]).await;
        let got = gate.ask_as_key(ask(&CHAT, true, "which card?")).await;
        assert_eq!((got.status(), &got.body), (200, &wire));
        assert_eq!(inspection(&gate.record_of(&got).await, Stage::Stream).coverage, gap);
    }
}

#[tokio::test]
async fn a_list_of_documents_is_looked_at_like_a_stream_of_events() {
    let list = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"it is 4111 1111 1\"}]}}]}\n,\r\n\
                {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"111 1111, ok\"}]},\"finishReason\":\"STOP\"}]}]";
    for (lines, wire) in
        [("", list.as_bytes().to_vec()), ("content-encoding: gzip\r\n", gzip(list.as_bytes()))]
    {
        let lines = format!("content-type: application/json\r\n{lines}");
        let (gate, _scripted) =
            gate(&policy("stream", "block", ""), &GEMINI, vec![said(&lines, &wire)]).await;
        let path = "/scripted/v1beta/models/gemini-2.5-flash:streamGenerateContent";
        let got = gate.ask_as_key(Ask::post(path, GEMINI.body(true))).await;
        assert_eq!((got.status(), &got.body), (200, &wire));
        let record = gate.record_of(&got).await;
        assert!(record.streamed);
        recorded(&record, Stage::Stream, Action::Block, false);
    }
}

/// Pieces in which a card comes, with enough behind it for the window.
fn with_card(window: &str) -> Vec<&str> {
    vec!["it is 41", "11 1111", " 1111 1111", ", ok. ", window]
}

#[tokio::test]
async fn a_gated_stream_is_masked_in_words_and_arguments() {
    for kind in GENERATING {
        let behind = "and so on, ".repeat(80);
        let mut said = String::new();
        let has_tools = kind.dialect != Dialect::OpenaiCompletions;
        if has_tools {
            said += &calls(kind, &json!({"card": CARD, "note": format!("\n\"{CARD}\"")}).to_string());
        }
        said += &events(kind, &with_card(&behind));
        let gated = policy("stream", "mask", ", streams: gated");
        let (gate, _scripted) = gate(&gated, kind, vec![streamed(&said)]).await;
        let got = gate.ask_as_key(ask(kind, true, "which card?")).await;
        let text = got.text();
        assert!(got.status() == 200 && got.whole && !text.contains("1111"), "{text}");
        let (words, arguments) = put_together(kind, &text);
        let placeholder = &words["it is ".len()..words.find(']').unwrap() + 1];
        assert!(placeholder.starts_with("[CARD_"), "{words}");
        assert_eq!(words, format!("it is {placeholder}, ok. {behind}"));
        if has_tools {
            let wanted = json!({"card": placeholder, "note": format!("\n\"{placeholder}\"")});
            assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), wanted, "{text}");
        }
        let record = gate.record_of(&got).await;
        assert_eq!((record.reason, record.streamed), (Reason::Completed, true));
        let seen = inspection(&record, Stage::Stream);
        assert_eq!((seen.action, seen.enforceable, seen.enforced), (Some(Action::Mask), true, true));
        assert_eq!(seen.coverage, Coverage::Full);
        let findings = &seen.detail.as_ref().unwrap().findings;
        assert_eq!(findings.iter().map(|finding| finding.count).sum::<u32>(), if has_tools { 3 } else { 1 });
        assert!(!record.to_json().contains("4111 1111"));
    }
}

#[tokio::test]
async fn a_gated_stream_without_findings_passes_byte_for_byte() {
    for kind in GENERATING {
        let said = events(kind, &["it is 41", "11 11", "11 1111", ", ok. ", &"and so on, ".repeat(80)]);
        let gated = policy("stream", "block", ", streams: gated");
        let (gate, _scripted) = gate(&gated, kind, vec![streamed(&said)]).await;
        let got = gate.ask_as_key(ask(kind, true, "which card?")).await;
        assert_eq!(got.text(), said);
        let record = gate.record_of(&got).await;
        let seen = inspection(&record, Stage::Stream);
        assert_eq!((seen.action, seen.coverage), (None, Coverage::Full));
        assert!(seen.bytes_scanned > 800);
    }
}

#[tokio::test]
async fn a_gated_stream_is_ended_in_its_dialect() {
    for kind in GENERATING {
        // The provider would go on for ever: it is left.
        let before = "all is well, ".repeat(80);
        let mut said =
            events(kind, &[&before, "it is 4111 1111 1111 1111", ", ok. ", &"and so on, ".repeat(80)]);
        said.truncate(said.rfind("data: ").unwrap());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
        let act = Act::SayAndHold((head.to_owned() + &said).into_bytes());
        let (gate, _scripted) = gate(&policy("stream", "block", ", streams: gated"), kind, vec![act]).await;
        let got = gate.ask_as_key(ask(kind, true, "which card?")).await;
        let text = got.text();
        assert!(got.status() == 200 && got.whole, "{text}");
        assert!(
            !text.contains("4111") && text.contains("content_blocked") && text.ends_with("\n\n"),
            "{text}"
        );
        assert!(text.contains(&before), "what was looked at before has gone out: {text}");
        let record = gate.record_of(&got).await;
        assert_eq!((record.reason, record.streamed), (Reason::ContentBlocked, true));
        recorded(&record, Stage::Stream, Action::Block, true);
        assert!(record.usage.output().is_some_and(|output| output > 80), "what came is paid for: {record:?}");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_gated_is_refused_unless_errors_may_pass() {
    let text = events(&MESSAGES, &["it is 4111 1111 1", "111 1111"]);
    let lines = "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n";
    for (more, status) in [("", 403), (", on_error: allow", 200)] {
        let gated = policy("stream", "mask", &format!(", streams: gated{more}"));
        let (gate, _scripted) = gate(&gated, &MESSAGES, vec![said(lines, &gzip(text.as_bytes()))]).await;
        let got = gate.ask_as_key(ask(&MESSAGES, true, "which card?")).await;
        assert_eq!(got.status(), status, "{}", got.text());
        let record = gate.record_of(&got).await;
        let seen = inspection(&record, Stage::Stream);
        if status == 403 {
            assert_eq!((record.reason, seen.enforced), (Reason::ContentNotInspected, true));
            assert_eq!(seen.coverage, Coverage::None(Gap::Undecodable));
        } else {
            assert_eq!((record.reason, got.body), (Reason::Completed, gzip(text.as_bytes())));
        }
    }
}

#[tokio::test]
async fn values_come_back_into_a_gated_stream_and_others_are_masked() {
    let other = "5500 0000 0000 0004";
    let gated = "policies: [{name: out, where: {stage: request}, when: [{entity: CARD}], then: {action: mask, restore: true}}, \
                 {name: back, where: {stage: stream}, when: [{entity: CARD}], then: {action: mask, streams: gated}}]";
    let (gate, scripted) = gate(gated, &CHAT, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let request = scripted.requests().remove(0);
    let placeholder = request[request.find("[CARD_").unwrap()..].split_inclusive(']').next().unwrap();
    scripted.answer_with(streamed(&events(
        &CHAT,
        &["not ", &other[..9], &other[9..], " but ", placeholder, "."],
    )));
    let got = gate.ask_as_key(ask(&CHAT, true, &format!("pay {CARD}"))).await;
    let words = put_together(&CHAT, &got.text()).0;
    assert!(words.starts_with("not [CARD_") && words.ends_with(&format!("] but {CARD}.")), "{words}");
}

#[tokio::test]
async fn a_client_that_leaves_a_gated_stream_is_billed_and_what_was_seen_is_written_down() {
    counted("");
    let behind = "and so on, ".repeat(80);
    let mut said = events(&CHAT, &with_card(&behind));
    said.truncate(said.rfind("data: ").unwrap());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let act = Act::SayAndHold((head.to_owned() + &said).into_bytes());
    let (gate, _scripted) = gate(&policy("stream", "mask", ", streams: gated"), &CHAT, vec![act]).await;
    let mut client = gate.connect().await;
    client.send(&ask(&CHAT, true, "which card?").key(&gate.key).wire()).await;
    assert_eq!(client.head().await.status, 200);
    let chunk = String::from_utf8(client.chunk().await.unwrap()).unwrap();
    assert!(chunk.contains("it is [CARD_"), "{chunk}");
    drop(client);
    let record = gate.record().await;
    assert_eq!(record.reason, Reason::ClientGone);
    assert_eq!(record.usage.output(), Some(counted(&with_card(&behind).concat())));
    recorded(&record, Stage::Stream, Action::Mask, true);
}

#[tokio::test]
async fn the_head_of_a_gated_stream_comes_although_its_text_waits() {
    let said = events(&CHAT, &["hi"]).replace("data: [DONE]\n\n", "");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let act = Act::SayAndHold((head.to_owned() + &said).into_bytes());
    let (gate, _scripted) = gate(&policy("stream", "mask", ", streams: gated"), &CHAT, vec![act]).await;
    let mut client = gate.connect().await;
    client.send(&ask(&CHAT, true, "which card?").key(&gate.key).wire()).await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    let record = gate.record().await;
    assert_eq!((record.reason, record.response_bytes), (Reason::ClientGone, 0));
}
