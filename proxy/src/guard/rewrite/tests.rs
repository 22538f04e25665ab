use super::{GATED_BYTES_MAX, Gate, Rest, Rewrite, WAITING_BYTES_MAX};
use crate::guard::Guard;
use bytes::Bytes;
use narrows_guard::Class;
use narrows_guard::placeholder::{Key, Minter};
use narrows_guard::unmask::Placeholders;
use narrows_llm::Dialect;
use narrows_llm::deltas::{Block, Kind, deltas};
use narrows_policy::{Caller, Coverage, Facts, Gap, Surface};
use narrows_sse::Framer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

const DIALECTS: [Dialect; 5] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiCompletions,
    Dialect::OpenaiResponses,
    Dialect::AnthropicMessages,
    Dialect::GeminiGenerate,
];

/// Values that need escapes in JSON, and their placeholders.
fn minted() -> (Placeholders, Vec<(String, String)>) {
    let mut minter = Minter::new(Key::new([5; 32]));
    let values = ["ann@example.org", "Zoë \"Z\" \\ one\ntwo", "4111 1111 1111 1111"];
    let pairs = values.map(|value| (minter.mint(Class::Pii, "EMAIL", value).into_string(), value.to_owned()));
    (Placeholders::new(&minter, |_, _| true), pairs.to_vec())
}

/// The event with which the words of the text `index` go on.
fn words(dialect: Dialect, index: u32, words: &str) -> Value {
    match dialect {
        Dialect::OpenaiChat => {
            json!({"choices": [{"index": index, "delta": {"content": words}}], "id": "[é]"})
        }
        Dialect::OpenaiCompletions => json!({"choices": [{"index": index, "text": words}]}),
        Dialect::OpenaiResponses => json!({"type": "response.output_text.delta", "output_index": index,
            "content_index": 0, "delta": words, "sequence_number": 7}),
        Dialect::AnthropicMessages => json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "text_delta", "text": words}}),
        _ => json!({"candidates": [{"index": index, "content": {"parts": [{"text": words}]}}]}),
    }
}

/// The event with which a tool's arguments go on; Gemini's come whole.
fn arguments(dialect: Dialect, index: u32, piece: &str) -> Value {
    match dialect {
        Dialect::OpenaiResponses => json!({"type": "response.function_call_arguments.delta",
            "output_index": index, "delta": piece}),
        Dialect::AnthropicMessages => json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": piece}}),
        _ => json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, "function":
            {"arguments": piece}}]}}]}),
    }
}

fn stream(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// What goes out for a stream in chunks that end at these places.
fn pass(dialect: Dialect, placeholders: &Placeholders, stream: &str, cuts: &[usize]) -> String {
    let mut rewrite = Rewrite::new(dialect, Some(placeholders.clone()), None);
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        rewrite.push(Bytes::copy_from_slice(&stream.as_bytes()[pair[0]..pair[1]]), &mut out);
    }
    let rest = rewrite.finish();
    out.extend([rest.events, rest.begun]);
    String::from_utf8(out.concat()).unwrap()
}

/// Every text of a stream, as it reads.
fn texts(dialect: Dialect, stream: &str) -> BTreeMap<Block, String> {
    let mut texts: BTreeMap<Block, String> = BTreeMap::new();
    let mut take = |frame: narrows_sse::Frame<'_>| {
        assert!(deltas(dialect, &frame.data(), &mut |block, text| texts
            .entry(block)
            .or_default()
            .push_str(text)));
    };
    let mut framer = Framer::new();
    framer.push(stream.as_bytes(), &mut take);
    framer.finish(&mut take);
    texts
}

/// Cuts a text at these places.
fn pieces(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.retain(|cut| text.is_char_boundary(*cut));
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
}

proptest! {
    #[test]
    fn masked_texts_come_back_however_stream_and_events_are_cut(
        dialect in 0..DIALECTS.len(),
        parts in proptest::collection::vec((0..2_u32, 0..8_usize), 1..14),
        inner in proptest::collection::vec(0..400_usize, 0..20),
        cuts in proptest::collection::vec(0..6000_usize, 0..20),
        order in proptest::collection::vec(0..2_usize, 0..60),
    ) {
        let dialect = DIALECTS[dialect];
        let (placeholders, pairs) = minted();
        let fillers = ["[", "see [EMAIL_", "[1] é\"\\", "\n", " and "];
        let (mut masked, mut whole) = ([String::new(), String::new()], [String::new(), String::new()]);
        for (text, part) in parts {
            let (placeholder, value) = pairs.get(part).map_or_else(
                || (fillers[part - pairs.len()], fillers[part - pairs.len()]),
                |pair| (pair.0.as_str(), pair.1.as_str()),
            );
            masked[text as usize].push_str(placeholder);
            whole[text as usize].push_str(value);
        }
        // Two texts whose events take turns.
        let mut queues = [pieces(&masked[0], &inner), pieces(&masked[1], &inner)].map(Vec::into_iter);
        let mut events = Vec::new();
        for turn in order.into_iter().chain((0..80).map(|at| at % 2)) {
            events.extend(queues[turn].next().map(|piece| words(dialect, u32::from(turn == 1), &piece)));
        }
        let came = stream(&events);
        let went = pass(dialect, &placeholders, &came, &cuts);
        prop_assert_eq!(&went, &pass(dialect, &placeholders, &came, &[]), "cutting changes nothing");
        let got = texts(dialect, &went);
        let wanted: Vec<&String> = whole.iter().filter(|text| !text.is_empty()).collect();
        prop_assert_eq!(got.values().collect::<Vec<_>>(), wanted);
        if !pairs.iter().any(|pair| masked.iter().any(|text| text.contains(&pair.0))) {
            prop_assert_eq!(went, came, "what holds none stays byte for byte");
        }
    }

    #[test]
    fn arguments_stay_json_and_mean_the_values(
        dialect in 0..3_usize,
        inner in proptest::collection::vec(0..400_usize, 0..30),
        cuts in proptest::collection::vec(0..6000_usize, 0..9),
    ) {
        let dialect = [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages][dialect];
        let (placeholders, pairs) = minted();
        let masked = json!({"to": pairs[0].0, "list": [pairs[1].0, format!("é\n{}!", pairs[2].0)]}).to_string();
        let events: Vec<Value> =
            pieces(&masked, &inner).iter().map(|piece| arguments(dialect, 1, piece)).collect();
        let went = pass(dialect, &placeholders, &stream(&events), &cuts);
        let got = texts(dialect, &went);
        let text = got.values().next().unwrap();
        let wanted = json!({"to": pairs[0].1, "list": [pairs[1].1, format!("é\n{}!", pairs[2].1)]});
        prop_assert_eq!(serde_json::from_str::<Value>(text).unwrap(), wanted);
    }

    #[test]
    fn whatever_comes_passes_and_stays_when_nothing_stands_in_it(
        lines in proptest::collection::vec("(data|event|id|: ?|)(: ?)?[a{}\\[\\]\"é:,x]{0,9}(\r\n|\n|\r)", 0..30),
        cuts in proptest::collection::vec(0..900_usize, 0..20),
    ) {
        let (placeholders, _) = minted();
        let came = lines.concat();
        prop_assert_eq!(pass(Dialect::OpenaiChat, &placeholders, &came, &cuts), came);
    }
}

#[test]
fn only_the_value_changes_and_the_other_events_go_out_at_once() {
    let (placeholders, pairs) = minted();
    let (one, other) = pairs[0].0.split_at(4);
    let said = |piece: &str| {
        format!(
            "event: e\r\nid: 9\r\ndata:{{ \"choices\" : [ {{\"delta\":{{\"content\":\"\\u0061 {piece}\"}} }} ]}}\r\n\r\n"
        )
    };
    let mut rewrite = Rewrite::new(Dialect::OpenaiChat, Some(placeholders), None);
    let mut out = Vec::new();
    rewrite.push(said("hello").into(), &mut out);
    assert_eq!(out.concat(), said("hello").as_bytes());
    rewrite.push(said("hello [").into(), &mut out);
    assert!(rewrite.held() > 0, "it may begin one");
    rewrite.push(said("x").into(), &mut out);
    assert_eq!(
        (rewrite.held(), out.concat()),
        (0, [said("hello"), said("hello ["), said("x")].concat().into_bytes())
    );
    out.clear();
    // The second piece goes on where the first one ends.
    let [first, second] =
        [said(one), format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{other}.\"}}}}]}}\n\n")];
    rewrite.push(first.into(), &mut out);
    rewrite.push(": ping\n\n".into(), &mut out);
    assert!(out.is_empty());
    rewrite.push(second.clone().into(), &mut out);
    let wanted = said("ann@example.org") + ": ping\n\n" + &second.replace(other, "");
    assert_eq!(String::from_utf8(out.concat()).unwrap(), wanted);
}

#[test]
fn what_waits_comes_out_when_its_text_ends_and_when_the_stream_does() {
    let (placeholders, pairs) = minted();
    let begun = &pairs[0].0[..9];
    let ends = [
        (Dialect::OpenaiChat, json!({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})),
        (
            Dialect::OpenaiResponses,
            json!({"type": "response.output_text.done", "output_index": 1, "text": begun}),
        ),
        (Dialect::AnthropicMessages, json!({"type": "content_block_stop", "index": 1})),
    ];
    for (dialect, end) in ends {
        let piece = stream(&[words(dialect, 1, begun)]);
        for (end, is_end) in [(stream(&[end]), true), (stream(&[json!({"type": "ping"})]), false)] {
            let (mut rewrite, mut out) =
                (Rewrite::new(dialect, Some(placeholders.clone()), None), Vec::new());
            rewrite.push(piece.clone().into(), &mut out);
            assert!(out.is_empty());
            rewrite.push(end.clone().into(), &mut out);
            assert_eq!(out.is_empty(), !is_end, "{dialect:?} {end}");
            rewrite.push("data: {\"cho".into(), &mut out);
            let rest = rewrite.finish();
            assert_eq!(rest.begun, "data: {\"cho");
            out.push(rest.events);
            assert_eq!(out.concat(), (piece.clone() + &end).into_bytes());
        }
    }
}

#[test]
fn texts_that_are_repeated_when_they_have_ended_come_back_too() {
    let (placeholders, pairs) = minted();
    let text = format!("to {}", pairs[1].0);
    let args = json!({"to": pairs[1].0}).to_string();
    let item =
        json!({"type": "message", "id": pairs[1].0, "content": [{"type": "output_text", "text": text}]});
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": args});
    let events = [
        json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": text}),
        json!({"type": "response.content_part.done", "part": {"type": "output_text", "text": text}}),
        json!({"type": "response.function_call_arguments.done", "output_index": 1, "arguments": args}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": call}),
        json!({"type": "response.custom_tool_call_input.done", "output_index": 2, "input": text}),
        json!({"type": "response.completed", "response": {"id": "r", "output": [item, call]}}),
    ];
    let went = pass(Dialect::OpenaiResponses, &placeholders, &stream(&events), &[]);
    let got: Vec<Value> = went
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let restored = format!("to {}", pairs[1].1);
    let arguments = |value: &Value| serde_json::from_str::<Value>(value.as_str().unwrap()).unwrap();
    let wanted = json!({"to": pairs[1].1});
    assert_eq!(
        (&got[0]["text"], &got[1]["part"]["text"], &got[4]["input"]),
        (&json!(restored), &json!(restored), &json!(restored))
    );
    assert_eq!(
        (arguments(&got[2]["arguments"]), arguments(&got[3]["item"]["arguments"])),
        (wanted.clone(), wanted.clone())
    );
    let output = &got[5]["response"]["output"];
    assert_eq!((&output[0]["content"][0]["text"], &output[0]["id"]), (&json!(restored), &json!(pairs[1].0)));
    assert_eq!(arguments(&output[1]["arguments"]), wanted);
}

#[test]
fn calls_that_come_whole_and_tools_that_take_text_get_values_as_they_need_them() {
    let (placeholders, pairs) = minted();
    let call = json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"to": [pairs[1].0]}}}]}}]});
    let went = pass(Dialect::GeminiGenerate, &placeholders, &stream(&[call]), &[]);
    let got: Value = serde_json::from_str(went.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(got["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]["to"][0], pairs[1].1);
    let input =
        json!({"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": pairs[1].0});
    let went = pass(Dialect::OpenaiResponses, &placeholders, &stream(&[input]), &[]);
    let got = texts(Dialect::OpenaiResponses, &went);
    let (block, text) = got.first_key_value().unwrap();
    assert_eq!((block.kind, text), (Kind::Input, &pairs[1].1));
}

#[test]
fn signed_thinking_stays_as_the_provider_signed_it() {
    let (placeholders, pairs) = minted();
    let thinking = json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": pairs[0].0}});
    let came = stream(&[thinking]);
    assert_eq!(pass(Dialect::AnthropicMessages, &placeholders, &came, &[]), came);
}

#[test]
fn events_on_several_lines_are_changed_too() {
    let (placeholders, pairs) = minted();
    let came = format!("id: 1\ndata: {{\"choices\":\ndata: [{{\"text\":\"{}\"}}]}}\n\n", pairs[0].0);
    let went = pass(Dialect::OpenaiCompletions, &placeholders, &came, &[]);
    assert_eq!(went, "id: 1\ndata: {\"choices\":\ndata: [{\"text\":\"ann@example.org\"}]}\n\n");
}

#[test]
fn waiting_has_an_end() {
    let (placeholders, pairs) = minted();
    let begun = stream(&[words(Dialect::OpenaiChat, 0, &pairs[0].0[..9])]);
    let ping = ": é\n\ndata: {}\n\n";
    for (room, waits) in [(WAITING_BYTES_MAX, true), (WAITING_BYTES_MAX + 1, false)] {
        let (mut rewrite, mut out) =
            (Rewrite::new(Dialect::OpenaiChat, Some(placeholders.clone()), None), Vec::new());
        rewrite.push(begun.clone().into(), &mut out);
        let filler = format!(":{}\n\n", "x".repeat(room - begun.len() - 3));
        rewrite.push(filler.clone().into(), &mut out);
        assert_eq!(out.is_empty(), waits);
        rewrite.push(ping.into(), &mut out);
        assert_eq!(out.concat(), (begun.clone() + &filler + ping).into_bytes());
        assert_eq!(rewrite.held(), 0);
    }
    // An event without an end is not waited for beyond the framer's limit.
    let (mut rewrite, mut out) = (Rewrite::new(Dialect::OpenaiChat, Some(placeholders), None), Vec::new());
    let (chunk, mut sent) = (Bytes::from(format!("data: {}", "x".repeat(60_000))), 0);
    while sent < 2 * narrows_sse::DEFAULT_CARRY_LIMIT {
        rewrite.push(chunk.clone(), &mut out);
        sent += chunk.len();
        assert!(rewrite.held() <= narrows_sse::DEFAULT_CARRY_LIMIT);
    }
    assert_eq!((out.iter().map(Bytes::len).sum::<usize>(), rewrite.held()), (sent, 0));
}

#[test]
fn json_under_the_name_of_events_passes_as_it_comes() {
    let (placeholders, pairs) = minted();
    let came = format!(" \t[{{\"a\":\"{}\"}}", pairs[0].0);
    for cuts in [&[][..], &[1], &[2], &[1, 2, 3], &[5]] {
        assert_eq!(pass(Dialect::GeminiGenerate, &placeholders, &came, cuts), came, "{cuts:?}");
    }
}

const CARD: &str = "4111 1111 1111 1111";

fn guard(action: &str) -> Arc<Guard> {
    guard_for("CARD", 64, action)
}

fn guard_for(entity: &str, window: usize, action: &str) -> Arc<Guard> {
    let text = format!(
        "version: 1\norganization: acme\nproviders:\n  a: {{kind: openai, api_key: sk-a}}\nguard: {{masking_key: \
         0123456789abcdef, limits: {{stream_window: {window}}}}}\npolicies:\n  - {{name: a, when: [{{entity: {entity}}}], then: \
         {{action: {action}, streams: gated}}}}\n"
    );
    let settings = crate::config::parse("test.yaml", Path::new("."), &text, &|_| None).unwrap().settings;
    Arc::new(Guard::new(&settings, None).unwrap())
}

static MASKS: LazyLock<Arc<Guard>> = LazyLock::new(|| guard("mask"));

fn gate(guard: &Arc<Guard>) -> Gate {
    let caller = Caller::default();
    let scope = guard.policies.scope(&Facts::of(Surface::Gateway, &caller));
    Gate::new(guard, scope, "acme")
}

/// What a gated stream comes to in chunks that end at these places.
fn gated(guard: &Arc<Guard>, dialect: Dialect, stream: &str, cuts: &[usize]) -> (String, Rest) {
    let mut rewrite = Rewrite::new(dialect, None, Some(gate(guard)));
    let mut out = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        rewrite.push(Bytes::copy_from_slice(&stream.as_bytes()[pair[0]..pair[1]]), &mut out);
    }
    let rest = rewrite.finish();
    out.extend([rest.events.clone(), rest.begun.clone()]);
    (String::from_utf8(out.concat()).unwrap(), rest)
}

/// A text with its cards masked.
fn masked(text: &str) -> String {
    let mut minter = Minter::new(MASKS.keys.of("acme"));
    text.replace(CARD, &minter.mint(Class::Pii, "CARD", CARD))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_gated_stream_is_masked_however_stream_and_events_are_cut(
        dialect in 0..DIALECTS.len(),
        parts in proptest::collection::vec(0..4_usize, 1..14),
        inner in proptest::collection::vec(0..900_usize, 0..40),
        cuts in proptest::collection::vec(0..9000_usize, 0..20),
    ) {
        let dialect = DIALECTS[dialect];
        let fillers = [" and é\n", "4111 1111 1111 1111, ", " so it is, as far as is known here. ", " \"x\" "];
        let text: String = parts.iter().map(|part| fillers[*part]).collect();
        let events: Vec<Value> = pieces(&text, &inner).iter().map(|piece| words(dialect, 0, piece)).collect();
        let (went, rest) = gated(&MASKS, dialect, &stream(&events), &cuts);
        let got = texts(dialect, &went).into_values().next().unwrap_or_default();
        prop_assert_eq!(got, masked(&text));
        let seen = rest.seen.unwrap();
        prop_assert_eq!((seen.sight.found.len(), seen.sight.coverage), (text.matches(CARD).count(), Coverage::Full));
        prop_assert!(!rest.refuses);
        if !text.contains(CARD) {
            prop_assert_eq!(went, stream(&events));
        }
    }

    #[test]
    fn arguments_of_a_gated_stream_are_masked_as_json(
        dialect in 0..3_usize,
        inner in proptest::collection::vec(0..400_usize, 0..30),
        cuts in proptest::collection::vec(0..6000_usize, 0..9),
    ) {
        let dialect = [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages][dialect];
        let arguments = json!({"card": CARD, "list": [format!("\n{CARD}\"")]});
        let mut events: Vec<Value> =
            pieces(&arguments.to_string(), &inner).iter().map(|piece| arguments_of(dialect, piece)).collect();
        if dialect == Dialect::OpenaiResponses {
        events.push(json!({"type": "response.function_call_arguments.done", "output_index": 1, "arguments": arguments.to_string()}));
        }
        let (went, rest) = gated(&MASKS, dialect, &stream(&events), &cuts);
        prop_assert!(!went.contains("4111"), "{}", went);
        let got = texts(dialect, &went).into_values().next().unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&got).unwrap(), serde_json::from_str::<Value>(&masked(&arguments.to_string())).unwrap());
        prop_assert_eq!(rest.seen.unwrap().sight.found.len(), 2, "what is repeated counts once");
    }
}

static KEYS: LazyLock<Arc<Guard>> = LazyLock::new(|| guard_for("PRIVATE_KEY", 512, "mask"));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn a_private_key_of_8_kib_is_masked_whole_however_the_stream_is_cut(
        dialect in 0..DIALECTS.len(),
        lines in prop_oneof![Just(26_usize), Just(126), Just(220)],
        step in prop_oneof![3..12_usize, 20..400_usize],
        cuts in proptest::collection::vec(0..90_000_usize, 0..20),
    ) {
        let dialect = DIALECTS[dialect];
        let line = "q7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9\n";
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{}-----END RSA PRIVATE KEY-----", line.repeat(lines));
        let text = format!("Here is the key:\n\n{key}\n\n{}", "keep it well ".repeat(60));
        let inner: Vec<usize> = (0..text.len()).step_by(step).collect();
        let events: Vec<Value> = pieces(&text, &inner).iter().map(|piece| words(dialect, 0, piece)).collect();
        let (went, rest) = gated(&KEYS, dialect, &stream(&events), &cuts);
        let got = texts(dialect, &went).into_values().next().unwrap_or_default();
        let mut minter = Minter::new(KEYS.keys.of("acme"));
        prop_assert_eq!(got, text.replace(&key, &minter.mint(Class::Secret, "PRIVATE_KEY", &key)));
        prop_assert!(!rest.refuses);
        prop_assert_eq!(rest.seen.unwrap().sight.found.len(), 1);
    }
}

fn arguments_of(dialect: Dialect, piece: &str) -> Value {
    arguments(dialect, 1, piece)
}

#[test]
fn what_a_window_knows_leaves_and_what_was_refused_does_not() {
    let guard = guard("block");
    let mut rewrite = Rewrite::new(Dialect::OpenaiChat, None, Some(gate(&guard)));
    let mut out = Vec::new();
    let said = |text: &str| stream(&[words(Dialect::OpenaiChat, 0, text)]);
    for at in 0..40 {
        rewrite.push(said(&format!("word{at:03} ")).into(), &mut out);
    }
    let sent = out.iter().map(Bytes::len).sum::<usize>();
    let waits = 40 * said("word000 ").len() - sent;
    assert!(waits <= (64 + 8 + 8) / 8 * said("word000 ").len(), "{waits}");
    rewrite.push(said(CARD).into(), &mut out);
    rewrite.push(said(&" and more".repeat(20)).into(), &mut out);
    assert!(rewrite.refuses());
    let before = out.concat().len();
    rewrite.push(said("more").into(), &mut out);
    let rest = rewrite.finish();
    assert!(rest.refuses && rest.events.is_empty() && rest.begun.is_empty());
    assert!(out.concat().ends_with(said("word039 ").as_bytes()), "what stands before it has gone out");
    let sent = String::from_utf8(out.concat()).unwrap();
    assert!(sent.len() == before && !sent.contains("4111") && sent.contains("word000"));
    let seen = rest.seen.unwrap();
    assert_eq!((seen.sight.found.len(), seen.prints.len()), (1, 1));
}

#[test]
fn what_cannot_be_looked_at_ends_a_gated_stream() {
    for (said, gap) in [
        ("data: no json\n\n".to_owned(), Gap::Undecodable),
        (" {\"a\":1}".to_owned(), Gap::Undecodable),
        (format!("data: {}", "x".repeat(narrows_sse::DEFAULT_CARRY_LIMIT)), Gap::TooLarge),
    ] {
        let (went, rest) = gated(&MASKS, Dialect::OpenaiChat, &said, &[]);
        assert_eq!((went.as_str(), rest.refuses), ("", true));
        assert_eq!(rest.seen.unwrap().sight.coverage, Coverage::Partial(gap));
    }
}

#[test]
fn what_waits_at_the_gate_has_an_end() {
    let mut rewrite = Rewrite::new(Dialect::OpenaiChat, None, Some(gate(&MASKS)));
    let mut out = Vec::new();
    rewrite.push(stream(&[words(Dialect::OpenaiChat, 0, "a word")]).into(), &mut out);
    let begun = rewrite.held();
    let filler = Bytes::from(format!(":{}\n\n", "x".repeat(999_997)));
    let mut sent = begun;
    while sent + filler.len() <= GATED_BYTES_MAX {
        rewrite.push(filler.clone(), &mut out);
        sent += filler.len();
        assert!(out.is_empty() && !rewrite.refuses());
    }
    rewrite.push(Bytes::from(format!(":{}\n\n", "x".repeat(GATED_BYTES_MAX - sent - 3))), &mut out);
    assert!(out.is_empty() && !rewrite.refuses() && rewrite.held() == GATED_BYTES_MAX);
    rewrite.push(":\n\n".into(), &mut out);
    assert!(out.is_empty() && rewrite.refuses(), "it fails closed");
}

#[test]
fn what_repeats_masked_words_token_by_token_is_emptied_and_the_rest_stays() {
    let event = |words: &str, tokens: &[&str]| {
        let tokens: Vec<Value> =
            tokens.iter().map(|token| json!({"token": token, "logprob": -0.5})).collect();
        json!({"choices": [{"index": 0, "delta": {"content": words}, "logprobs": {"content": tokens}}]})
    };
    let said = stream(&[
        event("the card is 4111 1111", &["the", " card", " is", " 4111", " 1111"]),
        event(" 1111 1111, ", &[" 1111", " 1111", ","]),
        event("is all.", &["is", " all", "."]),
    ]) + "data: [DONE]\n\n";
    let (went, rest) = gated(&MASKS, Dialect::OpenaiChat, &said, &[]);
    assert!(!rest.refuses && !went.contains("1111"), "{went}");
    let logprobs: Vec<bool> = went
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok())
        .map(|event| event["choices"][0]["logprobs"].is_null())
        .collect();
    assert_eq!(logprobs, [true, true, false]);
}
