//! What passes, passes byte for byte.

use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, CHAT, COMPLETIONS, GENERATING, Gate, MESSAGES, RESPONSES, ask::Framing};
use narrows_policy::Reason;
use std::io::Write;

#[tokio::test]
async fn a_body_passes_byte_for_byte_with_everything_we_do_not_know() {
    let gate = Gate::start();
    let odd = "{ \"zeta\" : 1.50e+3 ,\r\n\t\"model\":\"gpt-4o\", \"messages\" : [ {\"role\":\"user\",\"content\":\"\\u00e9 \\\"x\\\" 東京 🙂\"} ],\
               \"unknown\":{\"deep\":[[[{}]]],\"model\":\"decoy\",\"stream\":true},\"seed\":12345678901234567890,\"stream\": false }\n";
    for framing in [Framing::Length, Framing::Chunks(1), Framing::Chunks(7), Framing::Chunks(1 << 20)] {
        let answer = gate.ask_as_key(Ask::post("/v1/chat/completions", odd).framed(framing)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }
    for seen in gate.fake.seen() {
        assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), odd);
        assert_eq!(seen.header("content-length"), Some(&*odd.len().to_string()));
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn every_kinds_body_passes_untouched_when_nothing_needs_to_change() {
    let gate = Gate::start();
    for kind in GENERATING {
        let answer = gate.ask_as_key(Ask::unary(kind)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(String::from_utf8(gate.fake.seen().pop().unwrap().body).unwrap(), kind.body(false));
    }
}

#[tokio::test]
async fn errors_of_the_provider_pass_byte_for_byte() {
    let gate = Gate::start();
    for kind in GENERATING {
        for status in [400, 404, 413, 422, 429, 500, 503, 529] {
            let knobs = format!("status={status};retry_after=7");
            for ask in [Ask::unary(kind), Ask::stream(kind)] {
                let straight = crate::support::Client::connect(gate.fake.addr())
                    .await
                    .ask(&ask.clone().fake(&knobs))
                    .await;
                let ours = gate.ask_as_key(ask.fake(&knobs)).await;
                assert_eq!(ours.status(), status);
                assert_eq!(ours.text(), straight.text());
                assert_eq!(ours.header("retry-after"), Some("7"));
                assert_eq!(ours.header("content-type"), straight.header("content-type"));
                assert!(ours.whole);
            }
        }
    }
    let records = gate.records().await;
    assert_eq!(records.len(), 5 * 8 * 2);
    for record in records {
        let reason = if record.status == 429 { Reason::ProviderRateLimited } else { Reason::ProviderError };
        assert_eq!(record.reason, reason, "{record:?}");
        assert_eq!(record.attempts.len(), 1);
        assert!(!record.streamed && record.usage.is_unknown(), "an error costs nothing: {record:?}");
    }
}

#[tokio::test]
async fn a_web_page_and_broken_json_pass_as_they_are() {
    let gate = Gate::start();
    for (knobs, status) in [("fault=html", 502), ("fault=bad_json", 200)] {
        let straight =
            crate::support::Client::connect(gate.fake.addr()).await.ask(&Ask::unary(&CHAT).fake(knobs)).await;
        let ours = gate.ask_as_key(Ask::unary(&CHAT).fake(knobs)).await;
        assert_eq!((ours.status(), ours.text()), (status, straight.text()));
        assert_eq!(ours.header("content-type"), straight.header("content-type"));
    }
}

#[tokio::test]
async fn a_refusal_of_our_credential_is_our_fault_and_shows_nothing_of_it() {
    let gate = Gate::plan().fake(|fake| fake.require_key = Some("sk-another".into())).start();
    for kind in GENERATING {
        for ask in [Ask::unary(kind), Ask::stream(kind)] {
            let answer = gate.ask_as_key(ask).await;
            assert_eq!((answer.status(), &*answer.code(kind.family())), (502, "provider_credential_refused"));
            let all = format!("{:?} {}", answer.head, answer.text());
            // OpenAI's own answer shows the first eight and the last four characters.
            assert!(
                !all.contains("sk-provi") && !all.contains("ZpX9") && !all.contains("Incorrect"),
                "{all}"
            );
        }
    }
    for record in gate.records().await {
        assert_eq!((record.status, record.reason), (502, Reason::ProviderCredentialRefused));
        assert_eq!(record.attempts[0].status, Some(401));
    }
    let forbidden = Gate::start();
    let answer = forbidden.ask_as_key(Ask::unary(&MESSAGES).fake("status=403")).await;
    assert_eq!((answer.status(), &*answer.code(MESSAGES.family())), (502, "provider_credential_refused"));
}

#[tokio::test]
async fn a_stream_passes_byte_for_byte_however_it_is_cut() {
    let gate = Gate::start();
    for kind in [&RESPONSES, &MESSAGES, &crate::support::GEMINI] {
        for knobs in [
            "chunks=12",
            "chunks=12;write_bytes=1",
            "chunks=12;burst=1",
            "chunks=3;write_bytes=7;reasoning=5",
        ] {
            let ask = Ask::stream(kind).fake(knobs);
            let straight = crate::support::Client::connect(gate.fake.addr()).await.ask(&ask).await;
            let ours = gate.ask_as_key(ask).await;
            assert_eq!(ours.text(), straight.text(), "{:?} {knobs}", kind.dialect);
            assert!(ours.whole);
            assert_eq!(ours.header("content-type"), straight.header("content-type"));
            assert_eq!(ours.header("transfer-encoding"), Some("chunked"));
        }
    }
}

#[tokio::test]
async fn usage_that_the_client_did_not_ask_for_is_hidden_and_nothing_else_is() {
    let gate = Gate::start();
    for kind in [&CHAT, &COMPLETIONS] {
        for knobs in ["", "write_bytes=1", "burst=1", "reasoning=3;cached=2", "chunks=0"] {
            let ask = Ask::stream(kind).fake(knobs);
            let ours = gate.ask_as_key(ask.clone()).await;
            let sent = gate.fake.seen().pop().unwrap();
            let sent: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
            assert_eq!(sent["stream_options"]["include_usage"], true, "{sent}");
            // What the provider said to the request as we sent it, less the one event.
            let asked = Ask::stream(kind).fake(knobs).body(sent.to_string());
            let straight = crate::support::Client::connect(gate.fake.addr()).await.ask(&asked).await;
            let events = crate::support::sse::events(&straight.body);
            let is_usage = |event: &&String| {
                crate::support::sse::data(event).is_some_and(|data| data["usage"].is_object())
            };
            let usage: Vec<_> = events.iter().filter(is_usage).collect();
            assert_eq!(usage.len(), 1);
            assert_eq!(ours.text(), straight.text().replacen(usage[0].as_str(), "", 1), "{knobs}");
            assert!(ours.text().ends_with("data: [DONE]\n\n"));
        }
    }
}

#[tokio::test]
async fn usage_that_the_client_asked_for_is_not_hidden() {
    let gate = Gate::start();
    for (kind, from) in [(&CHAT, "\"stream\":true"), (&COMPLETIONS, "\"stream\":true")] {
        let body =
            kind.body(true).replace(from, "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        let ask = Ask::stream(kind).body(body.clone());
        let straight = crate::support::Client::connect(gate.fake.addr()).await.ask(&ask).await;
        let ours = gate.ask_as_key(ask).await;
        assert_eq!(ours.text(), straight.text());
        assert!(ours.text().contains("\"usage\":{"));
        assert_eq!(String::from_utf8(gate.fake.seen().pop().unwrap().body).unwrap(), body, "untouched");
    }
}

#[tokio::test]
async fn a_compressed_request_is_routed_and_passes_as_it_came() {
    let gate = Gate::start();
    let text = MESSAGES.body(false);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let wire = encoder.finish().unwrap();
    let scripted =
        Scripted::start(vec![Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec())]).await;
    let plain = Gate::plan()
        .provider(
            "zip",
            &format!("kind: anthropic, base_url: 'http://{}', models: ['claude-sonnet-*']", scripted.address),
        )
        .start();
    let ask = Ask::post("/v1/messages", wire.clone()).with("content-encoding", "gzip");
    let answer = plain.ask_as_key(ask.clone()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let request = scripted.requests().remove(0);
    assert!(request.contains("content-encoding: gzip\r\n"), "{request}");
    assert!(request.contains(&format!("content-length: {}\r\n", wire.len())), "{request}");
    assert_eq!(plain.record_of(&answer).await.model_requested.as_deref(), Some("claude-sonnet-4-5"));

    // With an edit (an alias) it goes on as text.
    let alias = gate.ask_as_key(ask.to("/anthropic/v1/messages")).await;
    assert_eq!(alias.status(), 400, "the fake reads JSON only: {}", alias.text());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.replace("claude-", "anthropic/claude-").as_bytes()).unwrap();
    let edited = Ask::post("/v1/messages", encoder.finish().unwrap()).with("content-encoding", "gzip");
    let answer = gate.ask_as_key(edited).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = gate.fake.seen().pop().unwrap();
    assert_eq!(
        (seen.header("content-encoding"), String::from_utf8(seen.body.clone()).unwrap()),
        (None, text)
    );

    for (coding, body, status, code) in [
        ("compress", &b"x"[..], 415, "body_encoding"),
        ("gzip, br", b"x", 415, "body_encoding"),
        ("gzip", b"not gzip", 400, "body_malformed"),
    ] {
        let ask = Ask::post("/v1/messages", body).with("content-encoding", coding);
        let answer = gate.ask_as_key(ask).await;
        assert_eq!((answer.status(), &*answer.code(MESSAGES.family())), (status, code), "{coding}");
    }
}
