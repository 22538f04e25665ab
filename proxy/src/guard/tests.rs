use super::search::Otherwise;
use super::stream::Tap;
use super::{Guard, report::Question};
use crate::config;
use bytes::Bytes;
use narrows_guard::Provenance;
use narrows_llm::Dialect;
use narrows_policy::{Caller, Coverage, Facts, Gap, Surface};
use std::path::Path;
use std::sync::Arc;

const CARD: &str = "4111 1111 1111 1111";

fn guard_with(more: &str) -> Arc<Guard> {
    let text = format!(
        "version: 1\norganization: acme\nproviders:\n  a: {{kind: openai, api_key: sk-a}}\n{more}\npolicies:\n  - {{name: cards, \
         when: [{{entity: CARD}}], then: {{action: mask}}}}\n"
    );
    let settings = config::parse("test.yaml", Path::new("."), &text, &|_| None).unwrap().settings;
    Arc::new(Guard::new(&settings, None).unwrap())
}

fn guard() -> Arc<Guard> {
    guard_with("")
}

fn event(words: &str) -> String {
    format!("data: {}\n\n", serde_json::json!({"choices": [{"index": 0, "delta": {"content": words}}]}))
}

/// What is found in a stream that comes in chunks of this size.
async fn tapped(guard: &Arc<Guard>, stream: &str, size: usize) -> (Vec<String>, Coverage, usize) {
    let mut tap = Tap::new(guard, "acme", Dialect::OpenaiChat, None);
    for chunk in stream.as_bytes().chunks(size) {
        tap.push(&Bytes::copy_from_slice(chunk));
        // Whoever looks has its turn, as between the chunks of a socket.
        tokio::task::yield_now().await;
    }
    let seen = tap.finish().await;
    assert_eq!(seen.sight.found.len(), seen.prints.len());
    let rows = seen.sight.found.iter().map(|found| format!("{} {:?}", found.path, found.raw));
    (rows.collect(), seen.sight.coverage, seen.sight.scanned)
}

#[tokio::test]
async fn a_stream_is_seen_alike_however_it_is_cut() {
    let guard = guard();
    let mut stream = String::new();
    for piece in ["pay 41", "11 1", "111 1111 11", "11", " and\n", "4111-1111-1111-", "1111."] {
        stream.push_str(&event(piece));
    }
    let call = serde_json::json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {
        "arguments": format!("{{\"card\":\"\\u0034{}\"}}", &CARD[1..])}}]}}]});
    stream.push_str(&format!("data: {call}\n\ndata: [DONE]\n\n"));
    let whole = tapped(&guard, &stream, stream.len()).await;
    assert_eq!(whole.0.len(), 3, "{whole:?}");
    assert!(whole.0[2].starts_with("choices[0].message.tool_calls[0].function.arguments/card "), "{whole:?}");
    assert_eq!(whole.1, Coverage::Full);
    for size in [1, 2, 3, 7, 64, 100] {
        assert_eq!(tapped(&guard, &stream, size).await, whole, "{size}");
    }
}

/// An event of a model's words as servers send it, with this beside them.
fn full_event(words: &str, beside: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1769864400,\
         \"model\":\"gpt-5.4-mini-2026\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":[{{\"index\":0,\"delta\":{{\
         \"role\":\"assistant\",\"content\":{}{beside}}},\"finish_reason\":null}}],\"obfuscation\":\"Qz8kW1pLx7\"}}\n\n",
        serde_json::json!(words)
    )
}

#[tokio::test]
async fn what_stands_beside_the_pieces_is_seen_however_short_the_event() {
    let guard = guard();
    for (words, beside, found) in [
        ("a", format!(",\"custom\":{{\"input\":\"{CARD}\"}}"), 1),
        ("a \"b\"\n", format!(",\"notes\":[\"{}\"]", CARD.replace(' ', "")), 1),
        ("some words", String::new(), 0),
        ("some \"more\" words\n", String::new(), 0),
    ] {
        let seen = tapped(&guard, &full_event(words, &beside), 4096).await;
        assert_eq!((seen.0.len(), seen.1), (found, Coverage::Full), "{words} {beside}");
        // An event that has nothing else is not searched whole: its words are counted once.
        assert_eq!(seen.2 == words.len(), found == 0, "{words} {beside} {}", seen.2);
    }
    // A piece alone says less than the text that it is of.
    let stream = full_event("4111111111111111", "") + &full_event("22", "");
    assert_eq!(tapped(&guard, &stream, 4096).await.0.len(), 0);
}

#[tokio::test]
async fn a_long_stream_is_seen_to_its_end() {
    let guard = guard();
    let stream: String = (0..4000)
        .map(|at| event(&format!("line {at}: {}\n", if at % 1000 == 7 { CARD } else { "" })))
        .collect();
    let seen = tapped(&guard, &stream, 700).await;
    assert_eq!((seen.0.len(), seen.1), (4, Coverage::Full));
}

#[tokio::test]
async fn what_finds_no_room_is_said_to_be_missing() {
    let guard = guard_with("guard: {limits: {stream_queue: 64KiB}}");
    let stream: String = (0..20_000).map(|at| event(&format!("line {at}"))).collect();
    // On a runtime of one thread nobody looks before the stream has ended.
    let mut tap = Tap::new(&guard, "acme", Dialect::OpenaiChat, None);
    for chunk in stream.as_bytes().chunks(4096) {
        tap.push(&Bytes::copy_from_slice(chunk));
    }
    let last = event(&format!("last {CARD}"));
    tap.push(&Bytes::from(format!("\n\n{last}")));
    let seen = tap.finish().await;
    assert_eq!(seen.sight.coverage, Coverage::Partial(Gap::QueueFull));
    assert_eq!(seen.sight.found.len(), 1, "what comes after the gap is seen again");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_said_to_be_missing() {
    let stream = format!("{}data: {{\"choices\":\n\n{}", event("fine "), event(CARD));
    let seen = tapped(&guard(), &stream, 9).await;
    assert_eq!((seen.0.len(), seen.1), (1, Coverage::Partial(Gap::Undecodable)));
}

#[tokio::test]
async fn a_long_body_is_searched_like_a_short_one() {
    let guard = guard();
    for length in [10, 1_000_000] {
        let body =
            format!(r#"{{"messages":[{{"role":"user","content":"{} {CARD}"}}]}}"#, "x ".repeat(length));
        let sight = guard.search("acme", &Bytes::from(body), Otherwise::Unreadable).await;
        assert_eq!((sight.found.len(), sight.coverage), (1, Coverage::Full));
    }
    let sight = guard.search("acme", &Bytes::from_static(b"{"), Otherwise::Unreadable).await;
    assert_eq!(sight.coverage, Coverage::None(Gap::Undecodable));
    let sight = guard.search("acme", &Bytes::from_static(b"\xff"), Otherwise::Text(Provenance::User)).await;
    assert_eq!(sight.coverage, Coverage::None(Gap::Undecodable));
}

#[test]
fn what_one_organization_sent_is_not_recalled_for_another() {
    let guard = guard();
    let body = format!(r#"{{"messages":[{{"role":"user","content":"{CARD}"}}]}}"#);
    let one = guard.search_here("acme", body.as_bytes(), Otherwise::Unreadable);
    for organization in ["acme", "other"] {
        let again = guard.search_here(organization, body.as_bytes(), Otherwise::Unreadable);
        assert_eq!((&again.found, again.scanned), (&one.found, one.scanned));
    }
    let findings = guard.findings.as_ref().unwrap();
    assert_eq!(findings.len(), 2, "each has its own");
}

#[test]
fn where_no_policy_is_in_force_nothing_is_reported_as_looked_at() {
    let text = "version: 1\norganization: acme\nguard: {default_policies: false}\n\
                providers:\n  a: {kind: openai, api_key: sk-a}\n";
    let settings = config::parse("test.yaml", Path::new("."), text, &|_| None).unwrap().settings;
    let guard = Guard::new(&settings, None).unwrap();
    let scope = guard.policies.scope(&Facts::of(Surface::Gateway, &Caller::default()));
    let question: Question<'_> = serde_json::from_str(r#"{"text":"4111 1111 1111 1111"}"#).unwrap();
    let answer = guard.examine(&scope, "acme", &question.content().unwrap()).answer;
    assert_eq!((answer.coverage, answer.decision.action), ("none", "allow"));
    assert!(answer.decision.explanation.contains("default_policies"), "{answer:?}");
}

#[test]
fn a_question_is_answered_by_engine_and_policies() {
    let guard = guard();
    let caller = Caller { organization: "acme".into(), ..Caller::default() };
    let scope = guard.policies.scope(&Facts::of(Surface::Gateway, &caller));
    let ask = |question: &str| {
        let question: Question<'_> = serde_json::from_str(question).unwrap();
        let content = question.content()?;
        Ok::<_, &str>(serde_json::to_value(guard.examine(&scope, "acme", &content).answer).unwrap())
    };
    let answer = ask(&format!(r#"{{"text":"pay {CARD}"}}"#)).unwrap();
    assert_eq!((&answer["findings"][0]["start"], &answer["findings"][0]["end"]), (&4.into(), &23.into()));
    assert_eq!(
        (&answer["findings"][0]["entity"], &answer["decision"]["action"]),
        (&"CARD".into(), &"mask".into())
    );
    assert!(answer["masked"].as_str().unwrap().starts_with("pay [CARD_"), "{answer}");
    let body = format!(r#"{{"messages":[{{"content":"{CARD}"}}]}}"#);
    let start = body.find(CARD).unwrap();
    for question in [format!(r#"{{"body":{body}}}"#), serde_json::json!({"body": body}).to_string()] {
        let answer = ask(&question).unwrap();
        assert_eq!(
            (&answer["findings"][0]["start"], &answer["findings"][0]["path"]),
            (&start.into(), &"messages[0].content".into())
        );
    }
    let answer = ask(&format!(r#"{{"text":"pay {CARD}","dialect":"openai.chat"}}"#)).unwrap();
    assert_eq!(answer["findings"][0]["start"], 4, "a text stays one, whatever dialect it is about");
    assert_eq!(ask(r#"{"text":"nothing"}"#).unwrap()["decision"]["action"], "allow");
    assert!(ask("{}").is_err() && ask(r#"{"text":"a","body":{}}"#).is_err());
}

#[test]
fn what_carries_text_is_looked_at_and_what_does_not_is_said_not_to_be() {
    let guard = guard();
    let unseen = Coverage::Partial(Gap::NotText);
    let media = "aGVsbG8h".repeat(40);
    for (body, found, coverage) in [
        // A file that is text, whatever it looks like; media is not read.
        (
            r#"{"source":{"type":"text","data":"CARD=4111-1111-1111-1111\nX=1\n"}}"#.to_owned(),
            1,
            Coverage::Full,
        ),
        (format!(r#"{{"url":"data:;base64,\n {CARD}"}}"#), 1, Coverage::Full),
        (format!(r#"{{"url":"data:image/png;base64,{media} {CARD}"}}"#), 1, Coverage::Full),
        (format!(r#"{{"url":"data:image/png;base64,{media}","text":"{CARD}"}}"#), 1, unseen),
        (r#"{"input":[40,1101]}"#.to_owned(), 0, unseen),
        // Thinking: in an answer, and in a request that brings it back.
        (
            format!(r#"{{"content":[{{"type":"thinking","thinking":"{CARD}","signature":"x"}}]}}"#),
            1,
            Coverage::Full,
        ),
        (
            format!(r#"{{"messages":[{{"content":[{{"type":"thinking","thinking":"{CARD}"}}]}}]}}"#),
            0,
            Coverage::Full,
        ),
        (
            format!(
                r#"{{"choices":[{{"message":{{"reasoning_details":[{{"text":"{CARD}","data":"x"}}]}}}}]}}"#
            ),
            1,
            Coverage::Full,
        ),
        (format!(r#"{{"messages":[{{"reasoning_details":[{{"text":"{CARD}"}}]}}]}}"#), 0, Coverage::Full),
        // What tools say is JSON by rule, with escapes of its own.
        (
            r#"{"messages":[{"role":"tool","content":"{\"n\": \"4111\\u00201111 1111 1111\"}"}]}"#.to_owned(),
            1,
            Coverage::Full,
        ),
    ] {
        let sight = guard.search_here("acme", body.as_bytes(), Otherwise::Unreadable);
        assert_eq!((sight.found.len(), sight.coverage), (found, coverage), "{body}");
    }
}
