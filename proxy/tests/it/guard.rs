//! Policies, from the outside: three stages, three actions, every dialect.

use crate::support::kinds::Kind;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, CHAT, GENERATING, Gate, MESSAGES, RESPONSES};
use narrows_ledger::{Inspection, Record};
use narrows_llm::Dialect;
use narrows_policy::{Action, Coverage, Gap, Reason, Stage};

/// A card number that is found, and its beginning as a client never sees it when it is masked.
pub(crate) const CARD: &str = "4111 1111 1111 1111";

/// A policy for cards, in one stage.
pub(crate) fn policy(stage: &str, action: &str, more: &str) -> String {
    format!(
        "policies: [{{name: cards, where: {{stage: {stage}}}, when: [{{entity: CARD}}], then: {{action: {action}{more}}}}}]"
    )
}

/// A gateway with this policy, in front of a provider that says this.
pub(crate) async fn gate(policy: &str, kind: &Kind, acts: Vec<Act>) -> (Gate, Scripted) {
    let scripted = Scripted::start(acts).await;
    let (address, version) = (scripted.address, if kind.provider == "openai" { "/v1" } else { "" });
    let provider =
        format!("kind: {}, base_url: 'http://{address}{version}', api_key: sk-x, models: []", kind.provider);
    (Gate::plan().top(policy).provider("scripted", &provider).start(), scripted)
}

/// A request with these words.
pub(crate) fn ask(kind: &Kind, stream: bool, words: &str) -> Ask {
    let mut body = kind.body(stream);
    for usual in ["Wie geht es dir, Zoë?", "Once upon a time", "hello"] {
        body = body.replace(usual, words);
    }
    assert!(body.contains(words), "{body}");
    let path = if stream { kind.stream } else { kind.unary };
    Ask::post(&format!("/scripted{path}"), body)
}

/// An answer with these words.
pub(crate) fn answer(kind: &Kind, words: &str) -> String {
    match kind.dialect {
        Dialect::OpenaiChat => format!(
            r#"{{"id":"c","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{words}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}}}"#
        ),
        Dialect::OpenaiCompletions => {
            format!(r#"{{"id":"c","object":"text_completion","choices":[{{"index":0,"text":"{words}"}}]}}"#)
        }
        Dialect::OpenaiResponses => format!(
            r#"{{"id":"r","object":"response","status":"completed","output":[{{"type":"message","id":"m","role":"assistant","content":[{{"type":"output_text","text":"{words}"}}]}}]}}"#
        ),
        Dialect::AnthropicMessages => format!(
            r#"{{"id":"m","type":"message","role":"assistant","content":[{{"type":"text","text":"{words}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":3,"output_tokens":5}}}}"#
        ),
        _ => format!(
            r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{words}"}}]}},"finishReason":"STOP"}}]}}"#
        ),
    }
}

/// The events that say these words, in pieces.
pub(crate) fn events(kind: &Kind, pieces: &[&str]) -> String {
    let event = |name: &str, data: String| match name {
        "" => format!("data: {data}\n\n"),
        name => format!("event: {name}\ndata: {data}\n\n"),
    };
    let piece = |words: &&str| match kind.dialect {
        Dialect::OpenaiChat => {
            event("", format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{words}"}}}}]}}"#))
        }
        Dialect::OpenaiCompletions => event("", format!(r#"{{"choices":[{{"index":0,"text":"{words}"}}]}}"#)),
        Dialect::OpenaiResponses => event(
            "response.output_text.delta",
            format!(
                r#"{{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"{words}"}}"#
            ),
        ),
        Dialect::AnthropicMessages => event(
            "content_block_delta",
            format!(
                r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{words}"}}}}"#
            ),
        ),
        _ => event("", format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{words}"}}]}}}}]}}"#)),
    };
    let end = match kind.dialect {
        Dialect::OpenaiChat | Dialect::OpenaiCompletions => event("", "[DONE]".to_owned()),
        Dialect::OpenaiResponses => event(
            "response.completed",
            r#"{"type":"response.completed","response":{"status":"completed"}}"#.to_owned(),
        ),
        Dialect::AnthropicMessages => event("message_stop", r#"{"type":"message_stop"}"#.to_owned()),
        _ => event("", r#"{"candidates":[{"finishReason":"STOP"}]}"#.to_owned()),
    };
    pieces.iter().map(piece).collect::<String>() + &end
}

pub(crate) fn streamed(events: &str) -> Act {
    let length = events.len();
    Act::Say(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n{events}"
        )
        .into_bytes(),
    )
}

pub(crate) fn inspection(record: &Record, stage: Stage) -> &Inspection {
    record.inspections.get(stage).unwrap_or_else(|| panic!("{stage:?} is not in {record:#?}"))
}

/// What the record must say: which action, whether it was possible and done, and that no value stands in it.
pub(crate) fn recorded(record: &Record, stage: Stage, action: Action, enforceable: bool) {
    let seen = inspection(record, stage);
    assert_eq!(
        (seen.action, seen.enforceable, seen.enforced),
        (Some(action), enforceable, enforceable),
        "{seen:#?}"
    );
    assert_eq!(seen.coverage, Coverage::Full);
    assert!(seen.bytes_scanned >= 19, "{seen:#?}");
    let detail = seen.detail.as_ref().unwrap();
    assert_eq!(&*detail.rules[0], "cards");
    let finding = &detail.findings[0];
    assert_eq!((&*finding.entity, finding.class, finding.count), ("CARD", "pii", 1));
    assert!(finding.fingerprint.is_some() && !finding.path.is_empty());
    let text = format!("{record:?} {}", record.to_json());
    assert!(!text.contains("4111 1111") && text.contains("CARD"), "{text}");
    assert_ne!(record.inspections.policy_version, 0);
}

#[tokio::test]
async fn a_request_that_is_logged_goes_on_byte_for_byte() {
    for kind in GENERATING {
        let (gate, scripted) =
            gate(&policy("request", "log", ""), kind, vec![Act::json(200, "", &answer(kind, "fine"))]).await;
        let ask = ask(kind, false, &format!("pay {CARD} now"));
        let sent = String::from_utf8(ask.framed_body()).unwrap();
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), 200, "{}", got.text());
        assert!(scripted.requests()[0].ends_with(&sent), "{:?}", scripted.requests());
        recorded(&gate.record_of(&got).await, Stage::Request, Action::Log, true);
    }
}

#[tokio::test]
async fn a_request_that_is_masked_goes_on_without_the_value() {
    for kind in GENERATING {
        let (gate, scripted) =
            gate(&policy("request", "mask", ""), kind, vec![Act::json(200, "", &answer(kind, "fine"))]).await;
        let got = gate.ask_as_key(ask(kind, false, &format!("pay {CARD} now"))).await;
        assert_eq!((got.status(), got.text()), (200, answer(kind, "fine")), "{}", got.text());
        let request = &scripted.requests()[0];
        assert!(
            request.contains("pay [CARD_") && request.contains("] now") && !request.contains("4111"),
            "{request}"
        );
        let body = request.split_once("\r\n\r\n").unwrap().1;
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body.is_object(), "it parses");
        recorded(&gate.record_of(&got).await, Stage::Request, Action::Mask, true);
    }
}

/// A 403 in the caller's words, that names the rule and holds no value.
fn refused(kind: &Kind, got: &Answer) {
    let text = got.text();
    assert_eq!(
        (got.status(), got.code(kind.family()).as_str()),
        (403, Reason::ContentBlocked.as_str()),
        "{text}"
    );
    assert!(text.contains("cards") && text.contains("CARD") && !text.contains("4111"), "{text}");
}

#[tokio::test]
async fn a_request_that_is_blocked_never_leaves() {
    for kind in GENERATING {
        let (gate, scripted) =
            gate(&policy("request", "block", ""), kind, vec![Act::json(200, "", &answer(kind, "fine"))])
                .await;
        let got = gate.ask_as_key(ask(kind, false, &format!("pay {CARD} now"))).await;
        refused(kind, &got);
        assert_eq!(scripted.connections(), 0);
        let record = gate.record_of(&got).await;
        assert_eq!((record.reason, record.status), (Reason::ContentBlocked, 403));
        recorded(&record, Stage::Request, Action::Block, true);
    }
}

#[tokio::test]
async fn an_answer_that_is_logged_is_unchanged() {
    for kind in GENERATING {
        let said = answer(kind, &format!("it is {CARD}"));
        let (gate, _scripted) =
            gate(&policy("response", "log", ""), kind, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask(kind, false, "which card?")).await;
        assert_eq!((got.status(), got.text()), (200, said));
        recorded(&gate.record_of(&got).await, Stage::Response, Action::Log, true);
    }
}

#[tokio::test]
async fn an_answer_that_is_masked_reaches_the_client_without_the_value() {
    for kind in GENERATING {
        let said = answer(kind, &format!("it is {CARD}, ok"));
        let (gate, _scripted) =
            gate(&policy("response", "mask", ""), kind, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask(kind, false, "which card?")).await;
        let text = got.text();
        assert_eq!(got.status(), 200);
        assert!(text.contains("it is [CARD_") && text.contains("], ok") && !text.contains("4111"), "{text}");
        let (head, tail) = said.split_once(CARD).unwrap();
        assert!(text.starts_with(head) && text.ends_with(tail), "everything else stays: {text}");
        recorded(&gate.record_of(&got).await, Stage::Response, Action::Mask, true);
    }
}

#[tokio::test]
async fn what_was_masked_in_an_answer_is_not_repeated_token_by_token() {
    let kind = GENERATING.iter().find(|kind| kind.dialect == Dialect::OpenaiChat).unwrap();
    let tokens =
        r#""logprobs":{"content":[{"token":"4111","logprob":-0.1,"bytes":[52,49,49,49]},{"token":" 1111"}]}"#;
    let said = |words: &str| {
        answer(kind, words).replace(r#""finish_reason""#, &format!(r#"{tokens},"finish_reason""#))
    };
    let acts = [format!("it is {CARD}"), "nothing".to_owned()];
    let acts = acts.iter().map(|words| Act::json(200, "", &said(words))).collect();
    let (gate, _scripted) = gate(&policy("response", "mask", ""), kind, acts).await;
    let masked = gate.ask_as_key(ask(kind, false, "which card?")).await.text();
    assert!(!masked.contains("4111") && masked.contains(r#""logprobs":null,"finish_reason""#), "{masked}");
    let clean = gate.ask_as_key(ask(kind, false, "which card?")).await.text();
    assert_eq!(clean, said("nothing"), "an answer without masks keeps them");
}

#[tokio::test]
async fn an_answer_that_is_blocked_is_replaced() {
    for kind in GENERATING {
        let said = answer(kind, &format!("it is {CARD}"));
        let (gate, _scripted) =
            gate(&policy("response", "block", ""), kind, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask(kind, false, "which card?")).await;
        refused(kind, &got);
        let record = gate.record_of(&got).await;
        assert_eq!(record.reason, Reason::ContentBlocked);
        recorded(&record, Stage::Response, Action::Block, true);
        if kind.dialect == Dialect::OpenaiChat {
            assert_eq!(record.usage.output(), Some(5), "it was spent all the same");
        }
    }
}

#[tokio::test]
async fn a_stream_is_delivered_untouched_whatever_policies_say_of_what_is_in_it() {
    for kind in GENERATING {
        for (word, action) in [("log", Action::Log), ("mask", Action::Mask), ("block", Action::Block)] {
            let said = events(kind, &["it is 41", "11 1111", " 1111 1111", ", ok"]);
            let (gate, _scripted) = gate(&policy("stream", word, ""), kind, vec![streamed(&said)]).await;
            let got = gate.ask_as_key(ask(kind, true, "which card?")).await;
            assert_eq!((got.status(), got.text()), (200, said), "{word}");
            let record = gate.record_of(&got).await;
            assert_eq!((record.reason, record.streamed), (Reason::Completed, true));
            recorded(&record, Stage::Stream, action, action == Action::Log);
            let raised = gate.ledger.alert_stats();
            let wanted = u64::from(action != Action::Log);
            let alerts = crate::support::until("the alert is there", async || {
                let page = gate.ledger.alerts(&narrows_ledger::AlertFilter::default(), 10, None).unwrap();
                (page.alerts.len() as u64 == wanted).then_some(page.alerts)
            })
            .await;
            assert!(alerts.iter().all(|alert| !format!("{alert:?}").contains("4111")), "{raised:?}");
        }
    }
}

#[tokio::test]
async fn what_the_provider_answers_decides_whether_it_is_a_stream() {
    let said = answer(&CHAT, &format!("it is {CARD}"));
    let (gate, _scripted) =
        gate(&policy("response", "block", ""), &CHAT, vec![Act::json(200, "", &said)]).await;
    let got = gate.ask_as_key(ask(&CHAT, true, "which card?")).await;
    refused(&CHAT, &got);
}

#[tokio::test]
async fn values_in_tool_arguments_and_unknown_members_are_masked_too() {
    let (gate, scripted) =
        gate(&policy("request", "mask", ""), &CHAT, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    let arguments = serde_json::json!({"card": [format!("\"{CARD}\"")]}).to_string();
    let body = serde_json::json!({"model": "m", "messages": [
        {"role": "assistant", "tool_calls": [{"id": CARD, "type": "function", "function": {"name": "pay", "arguments": arguments}}]},
    ], "a_field_of_tomorrow": {"deep": [CARD]}});
    let got = gate.ask_as_key(Ask::post("/scripted/v1/chat/completions", body.to_string())).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let request = &scripted.requests()[0];
    let sent: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(sent["messages"][0]["tool_calls"][0]["id"], CARD, "ids are never touched");
    let arguments: serde_json::Value =
        serde_json::from_str(sent["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap())
            .unwrap();
    let (one, other) =
        (arguments["card"][0].as_str().unwrap(), sent["a_field_of_tomorrow"]["deep"][0].as_str().unwrap());
    assert!(other.starts_with("[CARD_"), "{sent}");
    assert_eq!(one, format!("\"{other}\""), "one value has one placeholder");
    let record = gate.record_of(&got).await;
    let findings = &inspection(&record, Stage::Request).detail.as_ref().unwrap().findings;
    assert_eq!((findings.len(), findings[0].count), (1, 2));
    assert_eq!(&*findings[0].path, "a_field_of_tomorrow.deep[0]", "the first place of the body");
}

#[tokio::test]
async fn masked_values_come_back_into_the_answer_where_the_rule_says_so() {
    let more = ", restore: true";
    // The provider repeats what it was sent: first in words, then in arguments of a tool.
    let (gate, scripted) =
        gate(&policy("request", "mask", more), &CHAT, vec![Act::json(200, "", &answer(&CHAT, "x"))]).await;
    gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let request = scripted.requests()[0].clone();
    let start = request.find("[CARD_").unwrap();
    let placeholder = request[start..].split_inclusive(']').next().unwrap().to_owned();
    drop((gate, scripted));
    let said = answer(&CHAT, &format!("paid {placeholder}."));
    let key = "guard: {masking_key: a-key-that-stays-where-it-is}\n";
    let policy = format!("{key}{}", policy("request", "mask", more));
    let (gate, scripted) = gate_of(&policy, vec![Act::json(200, "", &said)]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let sent = scripted.requests()[0].clone();
    let masked = sent[sent.find("[CARD_").unwrap()..].split_inclusive(']').next().unwrap().to_owned();
    assert_ne!(masked, placeholder, "another key, another placeholder");
    assert!(got.text().contains(&placeholder), "what was not made here is not put back");
    let (gate, _scripted) =
        gate_of(&policy, vec![Act::json(200, "", &answer(&CHAT, &format!("paid {masked}.")))]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    assert!(got.text().contains(&format!("paid {CARD}.")), "{}", got.text());
}

#[tokio::test]
async fn values_come_back_into_an_answer_and_others_stay_masked() {
    let other = "5500 0000 0000 0004";
    let both = "policies: [{name: out, where: {stage: request}, when: [{entity: CARD}], then: {action: mask, restore: true}}, \
                {name: back, where: {stage: response}, when: [{entity: CARD}], then: {action: mask}}]";
    let (gate, scripted) = gate_of(both, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let request = scripted.requests().remove(0);
    let placeholder = request[request.find("[CARD_").unwrap()..].split_inclusive(']').next().unwrap();
    let said = answer(&CHAT, &format!("not {other} but {placeholder}."));
    scripted.answer_with(Act::json(200, "", &said));
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let text = got.text();
    assert!(!text.contains(other) && text.contains("not [CARD_"), "{text}");
    assert!(text.contains(&format!("] but {CARD}.")), "{text}");
}

#[tokio::test]
async fn what_is_masked_in_an_answer_stays_masked_though_the_request_had_it() {
    let other = "5500 0000 0000 0004";
    let both = "policies: [{name: out, where: {stage: request}, when: [{entity: CARD}], then: {action: mask, restore: true}}, \
                {name: back, where: {stage: response}, when: [{entity: CARD}], then: {action: mask}}]";
    let (gate, scripted) = gate_of(both, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let request = scripted.requests().remove(0);
    let placeholder = request[request.find("[CARD_").unwrap()..].split_inclusive(']').next().unwrap();
    let said = answer(&CHAT, &format!("{placeholder} is {CARD} or {other}, not {placeholder}."));
    scripted.answer_with(Act::json(200, "", &said));
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("pay {CARD}"))).await;
    let text = got.text();
    assert!(text.contains(&format!("{CARD} is {placeholder} or [CARD_")), "{text}");
    assert!(text.contains(&format!("], not {CARD}.")) && !text.contains(other), "{text}");
}

/// Compressed as `deflate` says, with a card behind its end.
pub(crate) fn with_more_behind(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text).unwrap();
    [encoder.finish().unwrap(), format!(" pay {CARD}").into_bytes()].concat()
}

#[tokio::test]
async fn what_a_coding_carries_beside_the_text_does_not_leave_where_a_policy_could_refuse_it() {
    for (action, is_as_it_came) in [("log", true), ("mask", false), ("block", false)] {
        let act = Act::json(200, "", &answer(&CHAT, "fine"));
        let (gate, scripted) = gate(&policy("request", action, ""), &CHAT, vec![act]).await;
        let plain = ask(&CHAT, false, "hi");
        let text = String::from_utf8(plain.body.clone()).unwrap();
        let body = with_more_behind(&plain.body);
        let got = gate.ask_as_key(Ask { body, ..plain }.with("content-encoding", "deflate")).await;
        assert_eq!(got.status(), 200, "{action} {}", got.text());
        let request = &scripted.requests()[0];
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.contains("content-encoding: deflate"), is_as_it_came, "{action} {head}");
        assert_eq!(body.ends_with(CARD), is_as_it_came, "{action} {body}");
        assert!(is_as_it_came || *body == *text, "{action} {body}");
        let record = gate.record_of(&got).await;
        assert_eq!(inspection(&record, Stage::Request).coverage, Coverage::Full, "{action}");
    }
}

#[tokio::test]
async fn the_next_target_of_a_compressed_request_gets_no_more_than_its_text_either() {
    let first = Scripted::start(vec![Act::json(500, "", r#"{"error":{"message":"no"}}"#)]).await;
    let second = Scripted::start(vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    let mut plan = Gate::plan();
    for (name, scripted) in [("a", &first), ("b", &second)] {
        let address = format!("http://{}/v1", scripted.address);
        plan = plan.provider(
            name,
            &format!("kind: openai-compatible, base_url: '{address}', api_key: sk-x, models: []"),
        );
    }
    let models =
        "models: {smart: {targets: [{provider: a, priority: 0}, {provider: b, priority: 1}]}}".to_owned();
    let gate = plan.top(&format!("{models}\n{}", policy("request", "block", ""))).start();
    let text = r#"{"model":"smart","messages":[{"role":"user","content":"hi"}]}"#;
    let ask = Ask { body: with_more_behind(text.as_bytes()), ..Ask::new("POST", "/v1/chat/completions") };
    let ask = ask.with("content-type", "application/json").with("content-encoding", "deflate");
    let got = gate.ask_as_key(ask).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    for scripted in [&first, &second] {
        let request = &scripted.requests()[0];
        assert!(request.ends_with(text) && !request.contains("content-encoding"), "{request}");
    }
}

async fn gate_of(policy: &str, acts: Vec<Act>) -> (Gate, Scripted) {
    gate(policy, &CHAT, acts).await
}

#[tokio::test]
async fn a_policy_without_conditions_denies_by_its_place() {
    for (place, kind, stream, denied) in [
        ("{model: gpt-4o}", &CHAT, false, true),
        ("{model: gpt-5*}", &CHAT, false, false),
        ("{team: blue}", &MESSAGES, false, true),
        ("{team: '!blue'}", &MESSAGES, false, false),
        ("{stage: stream}", &RESPONSES, true, true),
        ("{stage: stream}", &RESPONSES, false, false),
    ] {
        let policy = format!(
            "policies: [{{name: no-way, where: {place}, then: {{action: block, message: Ask ada.}}}}]"
        );
        let (gate, scripted) = gate(&policy, kind, vec![Act::json(200, "", &answer(kind, "fine"))]).await;
        let got = gate.ask_as_key(ask(kind, stream, "hi")).await;
        let record = gate.record_of(&got).await;
        if denied {
            assert_eq!((got.status(), record.reason), (403, Reason::PolicyDenied), "{place}");
            assert!(got.text().contains("Ask ada."), "{}", got.text());
            assert_eq!(scripted.connections(), 0);
        } else {
            assert_eq!((got.status(), record.reason), (200, Reason::Completed), "{place} {}", got.text());
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_inspected_is_refused_by_policies_that_need_it() {
    let limit = "guard: {limits: {inspected_body: 1KiB}}\n";
    for (action, status) in [("log", 200), ("mask", 403), ("block", 403)] {
        let policy = format!("{limit}{}", policy("request", action, ""));
        let (gate, scripted) = gate(&policy, &CHAT, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
        let got = gate.ask_as_key(ask(&CHAT, false, &"long ".repeat(300))).await;
        assert_eq!(got.status(), status, "{action} {}", got.text());
        let record = gate.record_of(&got).await;
        let seen = inspection(&record, Stage::Request);
        assert_eq!((seen.bytes_scanned, seen.coverage), (0, Coverage::None(Gap::TooLarge)));
        if status == 403 {
            assert_eq!(record.reason, Reason::ContentNotInspected);
            assert_eq!(scripted.connections(), 0);
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_is_read_and_masked() {
    let said = answer(&CHAT, &format!("it is {CARD}"));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, said.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\netag: x\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    let act = Act::Say([head.into_bytes(), packed].concat());
    let (gate, _scripted) = gate(&policy("response", "mask", ""), &CHAT, vec![act]).await;
    let got = gate.ask_as_key(ask(&CHAT, false, "which card?").with("accept-encoding", "gzip")).await;
    assert_eq!((got.header("content-encoding"), got.header("etag")), (None, None));
    assert!(got.text().contains("it is [CARD_") && !got.text().contains("4111"), "{}", got.text());
}

#[tokio::test]
async fn a_change_of_policy_counts_for_the_next_request() {
    let (gate, _scripted) =
        gate(&policy("request", "log", ""), &CHAT, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    let words = format!("pay {CARD}");
    assert_eq!(gate.ask_as_key(ask(&CHAT, false, &words)).await.status(), 200);
    gate.edit("action: log", "action: block");
    assert_eq!(gate.reload().await.status(), 200);
    refused(&CHAT, &gate.ask_as_key(ask(&CHAT, false, &words)).await);
}

#[tokio::test]
async fn what_is_said_by_place_alone_stands_in_the_record_beside_what_was_found() {
    let policy = "guard: {default_policies: false}\npolicies: [{name: watched, where: {team: blue}, then: {action: block, mode: \
                  audit}}, {name: cards, when: [{entity: CARD}], then: {action: mask}}]";
    let (gate, _scripted) = gate_of(policy, vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    let found = format!("pay {CARD}");
    for (words, action, rules) in [("hi", Action::Log, 1), (found.as_str(), Action::Mask, 2)] {
        let got = gate.ask_as_key(ask(&CHAT, false, words)).await;
        assert_eq!(got.status(), 200, "{}", got.text());
        let record = gate.record_of(&got).await;
        let seen = inspection(&record, Stage::Request);
        let detail = seen.detail.as_ref().unwrap();
        assert_eq!((seen.action, seen.coverage, detail.rules.len()), (Some(action), Coverage::Full, rules));
        assert!(detail.rules.iter().any(|rule| &**rule == "watched"), "{detail:?}");
        assert_eq!(
            inspection(&record, Stage::Response).action,
            Some(Action::Log),
            "the answer is of the place too"
        );
    }
}

#[tokio::test]
async fn findings_that_overlap_are_masked_together() {
    let rules = "guard: {secrets: {builtin: false, gitleaks: [own.toml]}}\npolicies: [{name: all, when: [{class: secret}, \
                 {class: pii}], then: {action: mask}}]";
    let scripted = Scripted::start(vec![Act::json(200, "", &answer(&CHAT, "fine"))]).await;
    let provider =
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address);
    let own = "[[rules]]\nid = 'acme'\nregex = 'acme-[a-z]{4}: 4111'\nkeywords = ['acme-']\n".to_owned();
    let gate = Gate::plan().top(rules).file("own.toml", own).provider("scripted", &provider).start();
    let got = gate.ask_as_key(ask(&CHAT, false, &format!("it is acme-wxyz: {CARD} ok"))).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let request = &scripted.requests()[0];
    assert!(
        !request.contains("acme-wxyz") && !request.contains("1111 1111") && request.contains(" ok"),
        "{request}"
    );
}
