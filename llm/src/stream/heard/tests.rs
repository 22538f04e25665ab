use super::*;
use crate::stream::{StreamDecoder, StreamOptions};
use bytes::Bytes;

fn decoder(dialect: Dialect) -> StreamDecoder {
    StreamDecoder::new(dialect, StreamOptions { hide_usage: false, hear: true })
}

fn push(decoder: &mut StreamDecoder, events: &[&str]) {
    for event in events {
        decoder.push(Bytes::from(format!("data: {event}\n\n")), &mut |_| ());
    }
}

/// The texts that were heard, each joined.
fn texts(heard: &Heard) -> Vec<String> {
    let mut all: Vec<(Block, Vec<u8>)> = Vec::new();
    for (block, piece) in heard.unreported() {
        match all.iter_mut().find(|text| text.0 == block) {
            Some(text) => text.1.extend_from_slice(piece),
            None => all.push((block, piece.to_vec())),
        }
    }
    all.into_iter().map(|text| String::from_utf8(text.1).unwrap()).collect()
}

fn heard(dialect: Dialect, events: &[&str]) -> (Vec<String>, u64) {
    let mut decoder = decoder(dialect);
    push(&mut decoder, events);
    let outcome = decoder.finish(&mut |_| ());
    (texts(&outcome.heard), outcome.heard.missed_bytes())
}

#[test]
fn texts_are_kept_apart_and_each_is_joined() {
    let chat = |index: u32, delta: &str| format!(r#"{{"choices":[{{"index":{index},"delta":{delta}}}]}}"#);
    let events = [
        chat(0, r#"{"content":"Hel"}"#),
        chat(0, r#"{"content":"lo\n\"w\u00f6rld\" \ud83d\ude00"}"#),
        chat(1, r#"{"content":"other"}"#),
        chat(0, r#"{"content":"!"}"#),
        chat(1, r#"{"content":" one"}"#),
        chat(0, r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\""}}]}"#),
        chat(0, r#"{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#),
        chat(0, r#"{"tool_calls":[{"index":0,"function":{"arguments":" "}}]}"#),
        chat(2, r#"{"reasoning":"why","reasoning_content":"why"}"#),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let (texts, missed) = heard(Dialect::OpenaiChat, &events);
    assert_eq!(texts, ["Hello\n\"wörld\" 😀!", "other one", "{\"a\":1} ", "why"]);
    assert_eq!(missed, 0);
}

#[test]
fn every_dialect_is_heard() {
    let message = |index: u32, delta: &str| {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
    };
    let anthropic = [
        message(0, r#"{"type":"thinking_delta","thinking":"hm"}"#),
        message(0, r#"{"type":"thinking_delta","thinking":"m"}"#),
        message(1, r#"{"type":"text_delta","text":"a"}"#),
        message(1, r#"{"type":"text_delta","text":"b"}"#),
        message(2, r#"{"type":"input_json_delta","partial_json":"{\"x\":"}"#),
    ];
    let anthropic: Vec<&str> = anthropic.iter().map(String::as_str).collect();
    assert_eq!(
        heard(Dialect::AnthropicMessages, &anthropic),
        (vec!["hmm".into(), "ab".into(), "{\"x\":".into()], 0)
    );
    let responses = [
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a","sequence_number":1}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":1,"delta":"x","sequence_number":2}"#,
        r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"b\u0021","sequence_number":3}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"{}","sequence_number":4}"#,
        r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"ab!","sequence_number":5}"#,
    ];
    assert_eq!(heard(Dialect::OpenaiResponses, &responses), (vec!["ab!".into(), "x".into(), "{}".into()], 0));
    let gemini = [
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"b"},{"functionCall":{"name":"f","args":{"q":1}}}]}}]}"#,
    ];
    let (texts, missed) = heard(Dialect::GeminiGenerate, &gemini);
    assert_eq!((texts.concat().len(), missed), (9, 0), "{texts:?}");
    let completions = [r#"{"choices":[{"index":0,"text":"a"}]}"#, r#"{"choices":[{"index":0,"text":"b"}]}"#];
    assert_eq!(heard(Dialect::OpenaiCompletions, &completions), (vec!["ab".into()], 0));
}

#[test]
fn what_the_provider_reported_is_accounted_for_and_kept_until_it_is_taken() {
    let text = |word: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#);
    let usage = r#"{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let mut decoder = decoder(Dialect::OpenaiChat);
    push(&mut decoder, &[&text("one"), usage, &text("two")]);
    assert_eq!(decoder.heard_bytes(), 6);
    let first = decoder.take_heard();
    assert_eq!((texts(&first), first.covers_taken()), (vec!["two".into()], false));
    assert_eq!(first.whole().unwrap().map(|piece| piece.1).collect::<Vec<_>>().concat(), b"onetwo");
    push(&mut decoder, &[&text("three")]);
    let second = decoder.take_heard();
    assert_eq!((texts(&second), second.covers_taken()), (vec!["three".into()], false));
    assert!(second.whole().is_none(), "some was taken before");
    push(&mut decoder, &[&text("four"), usage, &text("five")]);
    let outcome = decoder.finish(&mut |_| ());
    assert_eq!((texts(&outcome.heard), outcome.heard.covers_taken()), (vec!["five".into()], true));
}

#[test]
fn nothing_is_kept_unless_somebody_wants_it() {
    let mut decoder = StreamDecoder::new(Dialect::OpenaiChat, StreamOptions::default());
    push(&mut decoder, &[r#"{"choices":[{"index":0,"delta":{"content":"x"}}]}"#]);
    let outcome = decoder.finish(&mut |_| ());
    assert!(outcome.heard.is_empty() && outcome.heard.whole().is_none());
    assert_eq!((outcome.heard.missed_bytes(), outcome.output_text_bytes), (0, 1));
}

#[test]
fn what_is_cut_is_heard_as_far_as_it_came_and_what_is_no_json_is_missed() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abc\\\"d";
    let mut decoder = decoder(Dialect::OpenaiChat);
    decoder.push(Bytes::from(event), &mut |_| ());
    let outcome = decoder.finish(&mut |_| ());
    assert_eq!((texts(&outcome.heard), outcome.heard.missed_bytes()), (vec!["abc\"d".into()], 0));
    // Two strings in a line that is no JSON: their length is all that is known.
    let broken = r#"{"choices":[{"delta":{"content":"ab","refusal":"c"} oops"#;
    assert_eq!(heard(Dialect::OpenaiChat, &[broken]), (vec![], 3));
}

#[test]
fn text_is_kept_up_to_the_limit_and_missed_beyond() {
    let mut heard = Heard::default();
    heard.turn_on();
    for (more, kept) in [(HEARD_LIMIT, HEARD_LIMIT), (1, HEARD_LIMIT)] {
        let data = vec![b'x'; more];
        heard.piece(Block::default(), &data, Some(0), more as u64);
        assert_eq!(heard.len(), kept);
    }
    assert_eq!(heard.missed_bytes(), 1);
    assert!(heard.whole().is_none());
    let mut heard = Heard::default();
    heard.turn_on();
    let mut block = Block::default();
    for turn in 0..=TURNS_LIMIT {
        block.outer = u32::try_from(turn).unwrap();
        heard.piece(block, b"x", Some(0), 1);
    }
    assert_eq!((heard.len(), heard.missed_bytes()), (TURNS_LIMIT, 1));
}

#[test]
fn escapes_are_what_they_stand_for() {
    let read = |raw: &str| {
        let mut text = Vec::new();
        unescape(raw.as_bytes(), &mut text);
        String::from_utf8(text).unwrap()
    };
    assert_eq!(read(r#"a\n\t\r\b\f\"\\\/é"#), "a\n\t\r\u{8}\u{c}\"\\/é");
    assert_eq!(read(r"\u0041\u00e4\u20AC\ud83d\ude00"), "Aä€😀");
    assert_eq!(read(r"\ud83d!\ude00"), "\u{fffd}!\u{fffd}");
    assert_eq!(read(r"\ud83d\u0041"), "\u{fffd}A");
    assert_eq!(read(r"x\"), "x");
    assert_eq!(read(r"x\u12"), "x\u{fffd}");
}

#[test]
fn its_debug_output_has_no_text() {
    let mut heard = Heard::default();
    heard.turn_on();
    heard.piece(Block::default(), b"secret", Some(0), 6);
    assert_eq!(heard.len(), 6);
    assert!(!format!("{heard:?}").contains("secret"));
}
