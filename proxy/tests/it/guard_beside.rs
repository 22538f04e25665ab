//! Policies on paths beside inference: what is held is looked at, and what is not is said not to have been.

use crate::support::ask::Framing;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, Gate};
use narrows_ledger::Record;
use narrows_llm::Family;
use narrows_policy::{Action, Coverage, Gap, Reason, Stage};

const CARD: &str = "4111 1111 1111 1111";
const FILE: &str = r#"{"id":"file-1","object":"file"}"#;

fn policy(stage: &str, action: &str) -> String {
    format!(
        "policies: [{{name: cards, where: {{stage: {stage}}}, when: [{{entity: CARD}}], then: {{action: {action}}}}}]"
    )
}

async fn gate(top: &str, act: Act) -> (Gate, Scripted) {
    let scripted = Scripted::start(vec![act]).await;
    let paths = "files, batches, audio, moderations, stored_responses, 'POST /v1/things'";
    let provider = format!(
        "kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: [], paths: [{paths}]",
        scripted.address
    );
    (Gate::plan().top(top).provider("beside", &provider).start(), scripted)
}

/// A form with a field and a file of this type and content.
fn form(kind: &str, name: &str, content: &[u8]) -> Ask {
    let mut body = b"--b-1\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n".to_vec();
    let header = format!(
        "--b-1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n"
    );
    body.extend_from_slice(header.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--b-1--\r\n");
    Ask { body, ..Ask::new("POST", "/beside/v1/files") }
        .with("content-type", "multipart/form-data; boundary=b-1")
}

fn line(words: &str) -> String {
    let body = serde_json::json!({"model": "m", "messages": [{"role": "user", "content": words}]});
    let line =
        serde_json::json!({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body});
    format!("{line}\n")
}

fn batch() -> Ask {
    let content = line("hi") + &line(&format!("a \"quoted\" {CARD}")).replace("4111 ", "\\u0034111 ");
    form("application/jsonl", "batch.jsonl", content.as_bytes())
}

fn seen(record: &Record, stage: Stage) -> (Option<Action>, Coverage, bool) {
    let inspection = record.inspections.get(stage).unwrap_or_else(|| panic!("{stage:?} {record:#?}"));
    assert!(!format!("{record:?}").contains("1111 1111"), "{record:?}");
    (inspection.action, inspection.coverage, inspection.enforced)
}

fn refused(got: &Answer) {
    assert_eq!((got.status(), &*got.code(Family::Openai)), (403, "content_blocked"), "{}", got.text());
    assert!(!got.text().contains("1111"), "{}", got.text());
}

#[tokio::test]
async fn a_batch_file_is_logged_masked_or_blocked() {
    for (word, action) in [("log", Action::Log), ("mask", Action::Mask), ("block", Action::Block)] {
        let (gate, scripted) = gate(&policy("request", word), Act::json(200, "", FILE)).await;
        let sent = batch();
        let whole = String::from_utf8(sent.body.clone()).unwrap();
        let got = gate.ask_as_key(sent).await;
        let record = gate.record_of(&got).await;
        assert_eq!(seen(&record, Stage::Request), (Some(action), Coverage::Full, true), "{word}");
        let detail = record.inspections.get(Stage::Request).unwrap().detail.as_ref().unwrap();
        assert_eq!(&*detail.findings[0].path, "part[1].line[1].body.messages[0].content");
        if action == Action::Block {
            refused(&got);
            assert_eq!((scripted.connections(), record.reason), (0, Reason::ContentBlocked));
            continue;
        }
        assert_eq!((got.status(), got.text()), (200, FILE.to_owned()));
        let request = &scripted.requests()[0];
        if action == Action::Log {
            assert!(request.ends_with(&whole), "byte for byte: {request}");
        } else {
            assert!(request.contains(r#"a \"quoted\" [CARD_"#) && !request.contains("1111"), "{request}");
            let length = request.split_once("\r\n\r\n").unwrap().1.len();
            assert!(request.contains(&format!("content-length: {length}\r\n")), "{request}");
            let lines = request.split_once("\r\n\r\n{").unwrap().1;
            let second = lines.lines().nth(1).unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(second).is_ok(), "{second}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_said_and_refused_where_it_must_be() {
    let limit = "guard: {limits: {inspected_body: 1KiB}}\n";
    let long = || form("text/plain", "a.txt", "long ".repeat(300).as_bytes());
    let wide = || form("text/plain", "a.txt", &[0xFF, 0xFE, b'4', 0]);
    let sound = || form("audio/wav", "a.wav", &[b'R', b'I', b'F', b'F', 0, 0xFF]);
    for (action, stands) in [("log", 200), ("mask", 403), ("block", 403)] {
        // What only logs does not hold it, and looks at its beginning.
        let streams = action == "log";
        let too_large =
            if streams { Coverage::Partial(Gap::Streamed) } else { Coverage::None(Gap::TooLarge) };
        for (what, ask, coverage, status) in [
            ("too large", long(), too_large, stands),
            ("no UTF-8", wide(), Coverage::Partial(Gap::Undecodable), stands),
            ("media", sound(), Coverage::Partial(Gap::NotText), 200),
        ] {
            let (gate, scripted) =
                gate(&format!("{limit}{}", policy("request", action)), Act::json(200, "", FILE)).await;
            let got = gate.ask_as_key(ask).await;
            assert_eq!(got.status(), status, "{what} {action} {}", got.text());
            let record = gate.record_of(&got).await;
            assert_eq!(record.inspections.get(Stage::Request).unwrap().coverage, coverage, "{what}");
            if status == 403 {
                assert_eq!(record.reason, Reason::ContentNotInspected);
                assert_eq!(scripted.connections(), 0);
            }
        }
    }
}

#[tokio::test]
async fn what_a_coding_carries_beside_a_body_does_not_leave_where_a_policy_could_refuse_it() {
    let json = Ask::post("/beside/v1/moderations", r#"{"model":"omni-moderation-latest","input":"fine"}"#);
    for plain in [form("text/plain", "a.txt", b"fine"), json] {
        for (action, is_as_it_came) in [("log", true), ("block", false)] {
            let (gate, scripted) = gate(&policy("request", action), Act::json(200, "", FILE)).await;
            let text = String::from_utf8(plain.body.clone()).unwrap();
            let body = crate::guard::with_more_behind(&plain.body);
            let ask = Ask { body, ..plain.clone() }.with("content-encoding", "deflate");
            let got = gate.ask_as_key(ask).await;
            assert_eq!(got.status(), 200, "{action} {}", got.text());
            let request = &scripted.requests()[0];
            assert_eq!(request.contains("content-encoding: deflate"), is_as_it_came, "{request}");
            assert_eq!((request.ends_with(&text), request.ends_with(CARD)), (!is_as_it_came, is_as_it_came));
        }
    }
}

#[tokio::test]
async fn names_of_files_are_looked_at_and_what_cannot_be_masked_there_is_refused() {
    for (word, status) in [("log", 200), ("mask", 403), ("block", 403)] {
        let (gate, scripted) = gate(&policy("request", word), Act::json(200, "", FILE)).await;
        let got = gate.ask_as_key(form("audio/wav", &format!("{CARD}.wav"), &[0, 0xFF])).await;
        let record = gate.record_of(&got).await;
        let (action, coverage, _) = seen(&record, Stage::Request);
        assert_eq!((got.status(), coverage), (status, Coverage::Partial(Gap::NotText)), "{word}");
        let detail = record.inspections.get(Stage::Request).unwrap().detail.as_ref().unwrap();
        assert_eq!((&*detail.findings[0].path, detail.findings.len()), ("part[1].header", 1), "{word}");
        assert!(action.is_some(), "{word}");
        if status == 403 {
            refused(&got);
            assert_eq!((scripted.connections(), record.reason), (0, Reason::ContentBlocked));
        }
    }
}

#[tokio::test]
async fn what_is_masked_in_an_answer_beside_inference_stays_masked_though_the_request_had_it() {
    let both = "policies: [{name: out, where: {stage: request}, when: [{entity: CARD}], then: {action: mask, restore: true}}, \
                {name: back, where: {stage: response}, when: [{entity: CARD}], then: {action: mask}}]";
    let said = format!(r#"{{"results":[],"echo":"is {CARD} fine"}}"#);
    let (gate, _scripted) = gate(both, Act::json(200, "", &said)).await;
    let body = serde_json::json!({"model": "omni-moderation-latest", "input": format!("is {CARD} fine?")});
    let got = gate.ask_as_key(Ask::post("/beside/v1/moderations", body.to_string())).await;
    assert!(got.text().contains("is [CARD_") && !got.text().contains("1111"), "{}", got.text());
}

#[tokio::test]
async fn a_body_at_the_limit_is_looked_at_and_one_past_it_is_not() {
    let base = form("text/plain", "a.txt", b"").body.len();
    for (action, more, coverage, status) in [
        ("log", 0, Coverage::Full, 200),
        ("log", 1, Coverage::Partial(Gap::Streamed), 200),
        ("block", 0, Coverage::Full, 200),
        ("block", 1, Coverage::None(Gap::TooLarge), 403),
    ] {
        let top = format!("guard: {{limits: {{inspected_body: 1KiB}}}}\n{}", policy("request", action));
        let (gate, _scripted) = gate(&top, Act::json(200, "", FILE)).await;
        let ask = form("text/plain", "a.txt", &vec![b'x'; 1024 - base + more]);
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), status, "{}", got.text());
        assert_eq!(seen(&gate.record_of(&got).await, Stage::Request).1, coverage);
    }
}

#[tokio::test]
async fn the_default_policies_note_what_streams_through() {
    let (gate, scripted) = gate("", Act::json(200, "", FILE)).await;
    for framing in [Framing::Length, Framing::Chunks(7)] {
        let sent = batch();
        let whole = String::from_utf8(sent.body.clone()).unwrap();
        let got = gate.ask_as_key(sent.framed(framing)).await;
        assert_eq!((got.status(), got.text()), (200, FILE.to_owned()));
        let record = gate.record_of(&got).await;
        assert_eq!(seen(&record, Stage::Request), (Some(Action::Log), Coverage::Full, true));
        assert_eq!(seen(&record, Stage::Response), (None, Coverage::Full, false));
        let inspection = record.inspections.get(Stage::Request).unwrap();
        assert!(inspection.bytes_scanned > 0 && inspection.enforceable);
        let detail = inspection.detail.as_ref().unwrap();
        assert_eq!((&*detail.rules[0], &*detail.findings[0].entity), ("default-pii", "CARD"));
        assert_eq!(&*detail.findings[0].path, "part[1].line[1].body.messages[0].content");
        if framing == Framing::Length {
            assert!(scripted.requests()[0].ends_with(&whole), "byte for byte");
        }
    }
    let alerts = gate.admin("/admin/v1/alerts").await.json();
    assert_eq!(alerts["alerts"], serde_json::json!([]), "what is only logged floods nobody");
}

#[tokio::test]
async fn a_copy_of_what_streams_reads_what_is_compressed_and_says_what_it_did_not_see() {
    let top = format!("limits: {{metered_copy: 1KiB}}\n{}", policy("request", "log"));
    let gzipped = |content: &[u8]| {
        let ask = form("text/plain", "a.txt", content);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &ask.body).unwrap();
        Ask { body: encoder.finish().unwrap(), ..ask }.with("content-encoding", "gzip")
    };
    let noise: String = (0..600_u32).map(|at| format!("{:08x}", at.wrapping_mul(2_654_435_761))).collect();
    let cut = format!("{} {CARD} {}é", "x".repeat(300), "é".repeat(2_000));
    for (ask, coverage, action) in [
        (gzipped(CARD.as_bytes()), Coverage::Full, Some(Action::Log)),
        (gzipped(noise.as_bytes()), Coverage::None(Gap::Streamed), None),
        (form("text/plain", "a.txt", cut.as_bytes()), Coverage::Partial(Gap::Streamed), Some(Action::Log)),
    ] {
        let (gate, _scripted) = gate(&top, Act::json(200, "", FILE)).await;
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), 200, "{}", got.text());
        let record = gate.record_of(&got).await;
        assert_eq!((seen(&record, Stage::Request).1, seen(&record, Stage::Request).0), (coverage, action));
    }
}

#[tokio::test]
async fn a_json_body_beside_inference_is_masked_and_blocked() {
    let body = serde_json::json!({"model": "omni-moderation-latest", "input": format!("is {CARD} fine?")});
    for (word, status) in [("mask", 200), ("block", 403)] {
        let (gate, scripted) = gate(&policy("request", word), Act::json(200, "", r#"{"results":[]}"#)).await;
        let got = gate.ask_as_key(Ask::post("/beside/v1/moderations", body.to_string())).await;
        assert_eq!(got.status(), status, "{}", got.text());
        if status == 200 {
            let request = &scripted.requests()[0];
            assert!(request.contains("is [CARD_") && !request.contains("1111"), "{request}");
        } else {
            refused(&got);
            assert_eq!(scripted.connections(), 0);
        }
    }
}

/// An answer of this type.
fn says(kind: &str, body: &[u8]) -> Act {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\netag: x\r\ncontent-length: {length}\r\n\r\n");
    Act::Say([head.into_bytes(), body.to_vec()].concat())
}

/// Makes a file, so that it can be asked for.
async fn made(gate: &Gate) {
    let got = gate.ask_as_key(form("text/plain", "a.txt", b"x")).await;
    assert_eq!(got.status(), 200, "{}", got.text());
}

async fn downloads(top: &str, answer: Act) -> (Gate, Scripted) {
    let scripted = Scripted::start(vec![Act::json(200, "", FILE), answer]).await;
    let provider = format!(
        "kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: [], paths: [files]",
        scripted.address
    );
    let gate = Gate::plan().top(top).provider("beside", &provider).start();
    made(&gate).await;
    (gate, scripted)
}

#[tokio::test]
async fn a_download_is_logged_masked_or_blocked() {
    let content = line("hi") + &line(&format!("it is {CARD}, ok"));
    for (word, action) in [("log", Action::Log), ("mask", Action::Mask), ("block", Action::Block)] {
        let answer = says("application/octet-stream", content.as_bytes());
        let (gate, _scripted) = downloads(&policy("response", word), answer).await;
        let got = gate.ask_as_key(Ask::get("/beside/v1/files/file-1/content")).await;
        let record = gate.record_of(&got).await;
        assert_eq!(seen(&record, Stage::Response), (Some(action), Coverage::Full, true), "{word}");
        match action {
            Action::Log => assert_eq!((got.text(), got.header("etag")), (content.clone(), Some("x"))),
            Action::Mask => {
                let text = got.text();
                assert!(text.contains("it is [CARD_") && text.contains("], ok"), "{text}");
                assert_eq!((text.contains("1111"), got.header("etag")), (false, None));
            }
            Action::Block => refused(&got),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_text_or_too_large_is_said_not_to_have_been_looked_at() {
    let top = |action: &str| format!("limits: {{metered_copy: 1KiB}}\n{}", policy("response", action));
    let large = "x".repeat(2_000);
    for (action, kind, body, coverage, status) in [
        ("block", "audio/wav", &b"RIFF\0"[..], Coverage::None(Gap::NotText), 200),
        ("block", "application/octet-stream", &[0, 0xFF][..], Coverage::None(Gap::NotText), 200),
        ("log", "text/plain", large.as_bytes(), Coverage::Partial(Gap::Streamed), 200),
        ("block", "text/plain", large.as_bytes(), Coverage::None(Gap::TooLarge), 403),
    ] {
        let (gate, _scripted) = downloads(&top(action), says(kind, body)).await;
        let got = gate.ask_as_key(Ask::get("/beside/v1/files/file-1/content")).await;
        assert_eq!(got.status(), status, "{kind} {}", got.text());
        let record = gate.record_of(&got).await;
        assert_eq!(seen(&record, Stage::Response).1, coverage, "{kind}");
        if status == 403 {
            assert_eq!(record.reason, Reason::ContentNotInspected);
        }
    }
}

#[tokio::test]
async fn a_list_is_masked() {
    let list = format!(
        r#"{{"object":"list","data":[{{"id":"file-1","object":"file","filename":"{CARD}.txt"}}],"has_more":false}}"#
    );
    let (gate, _scripted) =
        downloads(&policy("response", "mask"), says("application/json", list.as_bytes())).await;
    let got = gate.ask_as_key(Ask::get("/beside/v1/files")).await;
    assert!(got.text().contains("[CARD_") && !got.text().contains("1111"), "{}", got.text());
}

#[tokio::test]
async fn a_stream_of_a_transcription_is_looked_at_and_passes_untouched() {
    let events: String = ["it is 4111", " 1111 1111", " 1111, ok"]
        .iter()
        .map(|words| format!("data: {{\"type\":\"transcript.text.delta\",\"delta\":\"{words}\"}}\n\n"))
        .collect();
    let (gate, _scripted) =
        gate(&policy("stream", "block"), says("text/event-stream", events.as_bytes())).await;
    let ask = form("audio/wav", "a.wav", &[0, 0xFF]);
    let ask = Ask { target: "/beside/v1/audio/transcriptions".into(), ..ask };
    let got = gate.ask_as_key(ask).await;
    assert_eq!((got.status(), got.text()), (200, events));
    let record = gate.record_of(&got).await;
    assert_eq!(seen(&record, Stage::Stream), (Some(Action::Block), Coverage::Full, false));
}

#[tokio::test]
async fn a_policy_by_place_holds_beside_inference_too() {
    let top =
        "policies: [{name: no-files, where: {dialect: openai.files, team: blue}, then: {action: block}}]";
    let (gate, scripted) = gate(top, Act::json(200, "", FILE)).await;
    let got = gate.ask_as_key(batch()).await;
    assert_eq!((got.status(), scripted.connections()), (403, 0), "{}", got.text());
    assert_eq!(gate.record_of(&got).await.reason, Reason::PolicyDenied);
    let other = gate.ask_as_key(Ask::post("/beside/v1/moderations", r#"{"model":"m","input":"x"}"#)).await;
    assert_eq!(other.status(), 200, "{}", other.text());
}
