//! Policies on conversations over WebSockets: a client's messages are looked at before they pass, a provider's beside the
//! bytes.

use crate::sockets::{CLIENT_CLOSE, SERVER_CLOSE, SWITCH, ask, open, plan, provider, text};
use crate::support::patient;
use narrows_policy::{Action, Coverage, Gap, Reason, Stage};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CARD: &str = "4111 1111 1111 1111";

fn policy(stage: &str, action: &str) -> String {
    format!(
        "policies: [{{name: cards, where: {{stage: {stage}}}, when: [{{entity: CARD}}], then: {{action: {action}}}}}]"
    )
}

fn item(words: &str) -> Vec<u8> {
    let item = serde_json::json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": words}]}});
    text(&item.to_string(), true)
}

fn delta(words: &str) -> Vec<u8> {
    let event = serde_json::json!({"type": "response.output_text.delta", "output_index": 0, "delta": words});
    text(&event.to_string(), false)
}

/// What a masked text frame of a client says.
fn unmasked(wire: &[u8]) -> String {
    let (length, at) = match wire[1] & 0x7F {
        126 => (usize::from(u16::from_be_bytes([wire[2], wire[3]])), 4),
        length => (usize::from(length), 2),
    };
    let mask = &wire[at..at + 4];
    let payload = &wire[at + 4..at + 4 + length];
    String::from_utf8(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
        .unwrap()
}

#[tokio::test]
async fn a_message_is_logged_masked_or_blocked() {
    for (word, action) in [("log", Action::Log), ("mask", Action::Mask), ("block", Action::Block)] {
        let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
        let gate = plan(address).top(&policy("request", word)).start();
        let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
        let (first, second) = (item("hi"), item(&format!("pay {CARD} now")));
        client.send(&[first.clone(), second.clone(), CLIENT_CLOSE.to_vec()].concat()).await;
        let all = client.all().await;
        let (_, heard) = patient("the provider", heard).await.unwrap();
        assert!(heard.starts_with(&first), "what stands before it passes");
        let record = gate.record().await;
        match action {
            Action::Log => assert_eq!(heard, [first, second, CLIENT_CLOSE.to_vec()].concat()),
            Action::Mask => {
                let said = unmasked(&heard[first.len()..]);
                assert!(
                    said.contains("pay [CARD_") && said.contains("] now") && !said.contains("1111"),
                    "{said}"
                );
                assert!(
                    serde_json::from_str::<serde_json::Value>(&said).is_ok()
                        && heard.ends_with(&CLIENT_CLOSE)
                );
            }
            Action::Block => {
                assert_eq!((heard.len(), record.reason), (first.len(), Reason::ContentBlocked));
                let goodbye = String::from_utf8_lossy(&all).into_owned();
                assert!(goodbye.contains("cards") && !goodbye.contains("1111"), "{goodbye}");
                let at = all.iter().rposition(|byte| *byte == 0x88).unwrap();
                assert_eq!(all[at + 2..at + 4], 1008u16.to_be_bytes());
            }
        }
        let seen = record.inspections.get(Stage::Request).unwrap();
        assert_eq!(
            (seen.action, seen.coverage, seen.enforced),
            (Some(action), Coverage::Full, true),
            "{word}"
        );
        let finding = &seen.detail.as_ref().unwrap().findings[0];
        assert_eq!((&*finding.entity, finding.count), ("CARD", 1));
        assert!(!format!("{record:?}").contains("1111 1111"));
    }
}

#[tokio::test]
async fn the_messages_of_a_conversation_are_recorded_together() {
    let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
    let gate = plan(address).top(&policy("request", "log")).start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    let found = item(&format!("pay {CARD}"));
    client.send(&[found.clone(), item("hi"), found, CLIENT_CLOSE.to_vec()].concat()).await;
    client.all().await;
    patient("the provider", heard).await.unwrap();
    let record = gate.record().await;
    let seen = record.inspections.get(Stage::Request).unwrap();
    assert_eq!((seen.action, seen.coverage), (Some(Action::Log), Coverage::Full));
    let findings = &seen.detail.as_ref().unwrap().findings;
    assert_eq!((findings.len(), findings[0].count), (1, 2), "{findings:?}");
    assert!(seen.bytes_scanned >= 46);
}

#[tokio::test]
async fn what_a_provider_says_is_looked_at_and_passes_untouched() {
    let done =
        text(r#"{"type":"response.done","response":{"usage":{"input_tokens":1,"output_tokens":2}}}"#, false);
    let says = [
        delta("it is 4111"),
        delta(" 1111 1111"),
        delta(" 1111, ok"),
        done.clone(),
        delta("bye"),
        done,
        SERVER_CLOSE.to_vec(),
    ]
    .concat();
    let (address, heard) = provider(SWITCH, says.clone()).await;
    let gate = plan(address).top(&policy("stream", "block")).start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    client.send(&CLIENT_CLOSE).await;
    assert_eq!(client.all().await, says, "every byte of the provider");
    patient("the provider", heard).await.unwrap();
    let record = gate.record().await;
    let seen = record.inspections.get(Stage::Stream).unwrap();
    assert_eq!(
        (seen.action, seen.coverage, seen.enforced),
        (Some(Action::Block), Coverage::Full, false),
        "{seen:?}"
    );
    assert_eq!(seen.detail.as_ref().unwrap().findings[0].count, 1);
}

#[tokio::test]
async fn sound_is_said_not_to_have_been_looked_at() {
    let sound = text(r#"{"type":"response.output_audio.delta","delta":"UklGRg=="}"#, false);
    let (address, heard) = provider(SWITCH, [sound, SERVER_CLOSE.to_vec()].concat()).await;
    let gate = plan(address).top(&policy("[request, stream]", "block")).start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    let append = text(r#"{"type":"input_audio_buffer.append","audio":"UklGRg=="}"#, true);
    client.send(&[append, CLIENT_CLOSE.to_vec()].concat()).await;
    client.all().await;
    patient("the provider", heard).await.unwrap();
    let record = gate.record().await;
    let gap = |stage| record.inspections.get(stage).unwrap().coverage.gap();
    assert_eq!((gap(Stage::Request), gap(Stage::Stream)), (Some(Gap::NotText), Some(Gap::NotText)));
    assert_eq!(record.reason, Reason::Completed);
}

#[tokio::test]
async fn a_model_that_only_a_message_names_is_denied_by_its_place() {
    let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
    let top =
        "policies: [{name: no-good, where: {model: good}, then: {action: block, message: Not this one.}}]";
    let gate = plan(address).top(top).start();
    let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
    client.send(&text(r#"{"type":"response.create","model":"good","input":"hi"}"#, true)).await;
    let said = String::from_utf8_lossy(&client.all().await).into_owned();
    assert!(said.contains("Not this one."), "{said}");
    let (_, heard) = patient("the provider", heard).await.unwrap();
    assert!(heard.is_empty(), "nothing of it reaches the provider");
    assert_eq!(gate.record().await.reason, Reason::PolicyDenied);
}

#[tokio::test]
async fn a_message_that_names_a_model_in_two_ways_passes_no_policy() {
    let top = "policies: [{name: no-bad, where: {model: bad}, then: {action: block}}]";
    for odd in [
        r#"{"type":"response.create","model":"good","model":"bad","input":"hi"}"#,
        r#"{"type":"response.create","Model":"good","model":"bad","input":"hi"}"#,
        r#"{"type":"session.update","session":{"model":"bad"},"Session":1}"#,
    ] {
        let (address, heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
        let gate = plan(address).top(top).start();
        let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
        let first = asks("good");
        client.send(&[first.clone(), text(odd, true)].concat()).await;
        client.all().await;
        let (_, heard) = patient("the provider", heard).await.unwrap();
        assert_eq!((heard, gate.record().await.reason), (first, Reason::BodyMalformed), "{odd}");
    }
}

#[tokio::test]
async fn a_handshake_is_denied_by_its_place() {
    let (address, _heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
    let gate =
        plan(address).top("policies: [{name: no, where: {team: blue}, then: {action: block}}]").start();
    let mut client = gate.connect().await;
    client.send(&ask("/v1/realtime?model=gpt-realtime").key(&gate.key).wire()).await;
    assert_eq!(client.answer(false).await.status(), 403);
    assert_eq!(gate.record().await.reason, Reason::PolicyDenied);
}

#[tokio::test]
async fn a_policy_that_gates_streams_refuses_a_conversation_that_is_not_gated() {
    for (more, status) in [("", 403), (", on_error: allow", 101)] {
        let (address, _heard) = provider(SWITCH, SERVER_CLOSE.to_vec()).await;
        let top = format!(
            "policies: [{{name: cards, where: {{stage: stream}}, when: [{{entity: CARD}}], then: {{action: block, streams: gated{more}}}}}]"
        );
        let gate = plan(address).top(&top).start();
        let mut client = gate.connect().await;
        client.send(&ask("/v1/realtime?model=gpt-realtime").key(&gate.key).wire()).await;
        assert_eq!(client.head().await.status, status);
        client.send(&CLIENT_CLOSE).await;
        drop(client);
        let seen = gate.record().await;
        let seen = seen.inspections.get(Stage::Stream).unwrap();
        assert_eq!(seen.coverage, Coverage::None(Gap::Websocket), "{seen:?}");
    }
}

/// A provider that answers whatever comes with the next of these, on every connection.
async fn answering(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(tcp.read_u8().await.unwrap());
            }
            tcp.write_all(SWITCH.as_bytes()).await.unwrap();
            for answer in &answers {
                tcp.read_buf(&mut head).await.unwrap();
                tcp.write_all(answer).await.unwrap();
            }
            let _end = tcp.read_to_end(&mut head).await;
        }
    });
    address
}

fn asks(model: &str) -> Vec<u8> {
    text(&format!(r#"{{"type":"response.create","model":"{model}","input":"hi"}}"#), true)
}

#[tokio::test]
async fn policies_for_a_model_that_a_message_names_hear_the_provider_from_then_on() {
    let address = answering(vec![delta(CARD), SERVER_CLOSE.to_vec()]).await;
    let top = "guard: {default_policies: false}\n\
               policies: [{name: cards, where: {stage: stream, model: good}, when: [{entity: CARD}], then: {action: log}}]";
    let found = Some(Action::Log);
    for (first, then, action, coverage) in [
        ("good", "good", found, Coverage::Full),
        ("good", "other", found, Coverage::Full),
        ("other", "good", None, Coverage::None(Gap::Off)),
        ("other", "other", None, Coverage::None(Gap::Off)),
    ] {
        let gate = plan(address).top(top).start();
        let mut client = open(&gate, &ask("/talks/v1/responses").key(&gate.key)).await;
        client.send(&asks(first)).await;
        // The answer has passed.
        assert!(client.fill().await > 0);
        client.send(&[asks(then), CLIENT_CLOSE.to_vec()].concat()).await;
        client.all().await;
        let record = gate.record().await;
        let seen = record.inspections.get(Stage::Stream).unwrap();
        assert_eq!((seen.action, seen.coverage), (action, coverage), "{first}, {then}: {seen:?}");
    }
}

#[tokio::test]
async fn the_default_policies_hold_no_message_and_note_what_is_in_it() {
    let (address, heard) = provider(SWITCH, [delta(CARD), SERVER_CLOSE.to_vec()].concat()).await;
    let gate = plan(address).start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    let sent = [item(&format!("pay {CARD}")), text("no json", true), CLIENT_CLOSE.to_vec()].concat();
    client.send(&sent).await;
    client.all().await;
    let (_, heard) = patient("the provider", heard).await.unwrap();
    assert_eq!(heard, sent, "byte for byte");
    let record = gate.record().await;
    for (stage, coverage) in
        [(Stage::Request, Coverage::Partial(Gap::Undecodable)), (Stage::Stream, Coverage::Full)]
    {
        let seen = record.inspections.get(stage).unwrap();
        assert_eq!((seen.action, seen.coverage), (Some(Action::Log), coverage), "{seen:?}");
        assert_eq!(&*seen.detail.as_ref().unwrap().findings[0].entity, "CARD");
    }
}

#[tokio::test]
async fn a_conversation_that_ends_while_a_message_is_looked_at_keeps_its_record() {
    // A guardrail that never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, heard) = provider(SWITCH, delta(CARD)).await;
    let top = format!(
        "guardrails: {{g: {{kind: webhook, url: 'http://{}/', private_network: true, timeout: 10s, settings: \
         {{signed: false}}}}}}\npolicies:\n  - {{name: cards, where: {{stage: stream}}, when: \
         [{{entity: CARD}}], then: {{action: log}}}}\n  - {{name: outside, where: {{stage: request}}, when: \
         [{{guardrail: g}}], then: {{action: block}}}}\n",
        silent.local_addr().unwrap()
    );
    let gate = plan(address).top(&top).start();
    let mut client = open(&gate, &ask("/v1/realtime?model=gpt-realtime").key(&gate.key)).await;
    client.send(&item("hi")).await;
    let _asked = patient("the guardrail's question", silent.accept()).await.unwrap();
    // The provider goes.
    heard.abort();
    let record = gate.record().await;
    let seen = record.inspections.get(Stage::Stream).unwrap();
    assert_eq!((seen.action, seen.coverage), (Some(Action::Log), Coverage::Full), "{seen:?}");
}
