//! Tokens that no provider told: counted, never less than the client got, never more than was generated.

use crate::support::{Ask, CHAT, COMPLETIONS, GENERATING, Gate, Kind, MESSAGES, RESPONSES, patient};
use bytes::Bytes;
use narrows_fake::End;
use narrows_ledger::Record;
use narrows_llm::Dialect;
use narrows_llm::stream::{Progress, StreamDecoder, StreamOptions};
use narrows_meter::Origin;
use narrows_policy::Reason;
use narrows_tokenizer::{Encoder, Encoding, Vocabulary};

/// The vocabulary of a kind's model, or the one that others are counted with.
fn encoding(kind: &Kind) -> Encoding {
    if kind.dialect == Dialect::OpenaiCompletions { Encoding::Cl100k } else { Encoding::O200k }
}

fn encoder(kind: &Kind) -> &'static Encoder {
    encoding(kind).load().unwrap()
}

/// The text that a stream of this kind carries, and what its provider says of it.
fn heard(kind: &Kind, stream: &[u8]) -> (String, Progress) {
    let mut decoder = StreamDecoder::new(kind.dialect, StreamOptions { hide_usage: false, hear: true });
    decoder.push(Bytes::copy_from_slice(stream), &mut |_| ());
    let progress = decoder.progress();
    let outcome = decoder.finish(&mut |_| ());
    let text: Vec<u8> = outcome.heard.whole().unwrap().flat_map(|piece| piece.1.to_vec()).collect();
    (String::from_utf8_lossy(&text).into_owned(), progress)
}

/// Tokens of a kind's model.
fn tokens(kind: &Kind, text: &str) -> u64 {
    let vocabulary = match kind.dialect {
        Dialect::AnthropicMessages => Vocabulary::Anthropic,
        Dialect::GeminiGenerate => Vocabulary::Gemini,
        _ => Vocabulary::Openai,
    };
    (encoder(kind).count(text.as_bytes()) * vocabulary.per_mille()).div_ceil(1000)
}

/// The most tokens that any beginning of a text has: a word that is cut may have more than the whole.
fn most(kind: &Kind, text: &str) -> u64 {
    let ends = text.char_indices().map(|at| at.0).chain([text.len()]);
    ends.map(|end| tokens(kind, &text[..end])).max().unwrap()
}

/// A client that reads until it has `chunks` of the answer's events, and leaves. What it got, and the record.
async fn leave(kind: &Kind, chunks: usize, within: bool) -> (Vec<u8>, Record) {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    let knobs = format!("chunks=5;chunk_bytes=11;within={};fault=stall_after:{chunks}", u8::from(within));
    client.send(&Ask::stream(kind).key(&gate.key).fake(&knobs).wire()).await;
    assert_eq!(client.head().await.status, 200);
    let mut received = Vec::new();
    while heard(kind, &received).0.len() < chunks * 8 {
        received.extend_from_slice(&client.chunk().await.unwrap());
    }
    drop(client);
    patient("the provider to be left", gate.fake.wait_billed(|lines| lines[0].end == End::ClientGone)).await;
    let record = gate.record().await;
    assert_eq!(record.reason, Reason::ClientGone);
    (received, record)
}

#[tokio::test]
async fn a_client_that_leaves_anywhere_is_recorded_with_what_it_got_and_no_more_than_was_generated() {
    for kind in GENERATING {
        encoder(kind);
        let gate = Gate::start();
        let whole = gate.ask_as_key(Ask::stream(kind).fake("chunks=5;chunk_bytes=11")).await;
        let (whole, _) = heard(kind, &whole.body);
        for (chunks, within) in (0..5).flat_map(|chunks| [(chunks, false), (chunks, true)]) {
            let (received, record) = leave(kind, chunks, within).await;
            let at = format!("{:?}, {chunks} chunks, within {within}: {record:?}", kind.dialect);
            let (text, progress) = heard(kind, &received);
            assert!(whole.starts_with(&text), "{text:?} {whole:?}");
            let output = record.usage.output().unwrap();
            if kind.dialect == Dialect::GeminiGenerate {
                // Its provider told with every event; what came after the last is counted.
                assert!(output >= progress.usage.output().unwrap_or(0), "{at}");
                // Four bytes a token, and every event tells of the text that it carries itself.
                let cut = |bytes: usize| {
                    (0..=bytes.min(whole.len())).rev().find(|end| whole.is_char_boundary(*end))
                };
                let (told, next) = (cut(chunks * 11).unwrap(), cut((chunks + 1) * 11).unwrap());
                let begun = most(kind, &whole[told..next]);
                assert!(output <= ((chunks * 11).min(whole.len()) as u64).div_ceil(4) + begun + 1, "{at}");
                continue;
            }
            assert!(output >= tokens(kind, &text), "{text:?} {at}");
            assert!(output <= most(kind, &whole), "{at}");
            // The provider said no more than the next event after what the client has.
            let generated = whole.len().min((chunks + 1) * 11);
            let generated = (0..=generated).rev().find(|end| whole.is_char_boundary(*end)).unwrap();
            assert!(output <= most(kind, &whole[..generated]), "{at}");
            let origin = match kind.dialect {
                Dialect::AnthropicMessages => Origin::ProviderPartial,
                _ if output == 0 => Origin::Estimated,
                _ => Origin::Counted,
            };
            assert_eq!(record.origin, origin, "{at}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_usage_is_counted_with_the_models_own_vocabulary() {
    for kind in [&CHAT, &COMPLETIONS, &RESPONSES] {
        encoder(kind);
        let gate = Gate::start();
        // Also one that is longer than what is held back uncounted.
        for knobs in [
            "fault=no_usage;chunks=50",
            "fault=no_usage;chunks=700;chunk_bytes=37",
            "fault=no_usage;chunks=0",
        ] {
            let answer = gate.ask_as_key(Ask::stream(kind).fake(knobs)).await;
            let record = gate.record_of(&answer).await;
            let (text, _) = heard(kind, &answer.body);
            assert_eq!(record.usage.output(), Some(tokens(kind, &text)), "{knobs} {record:?}");
            let origin = if text.is_empty() { Origin::Estimated } else { Origin::Counted };
            assert_eq!((record.origin, record.reason), (origin, Reason::Completed), "{record:?}");
        }
        let answer = gate.ask_as_key(Ask::unary(kind).fake("fault=no_usage;body_bytes=3000")).await;
        let record = gate.record_of(&answer).await;
        let (text, _) =
            heard(kind, &gate.ask_as_key(Ask::stream(kind).fake("chunks=1;chunk_bytes=3000")).await.body);
        assert_eq!(
            (record.usage.output(), record.origin),
            (Some(tokens(kind, &text)), Origin::Counted),
            "{record:?}"
        );
    }
}

#[tokio::test]
async fn a_model_without_a_public_vocabulary_is_estimated_by_what_its_provider_reported_before() {
    encoder(&MESSAGES);
    let gate = Gate::start();
    let stream = |knobs: &str| Ask::stream(&MESSAGES).fake(knobs);
    let estimated = async || {
        let answer = gate.ask_as_key(stream("fault=no_usage;chunks=60")).await;
        let record = gate.record_of(&answer).await;
        assert_eq!(record.origin, Origin::Estimated);
        record.usage.output().unwrap()
    };
    let by_family = estimated().await;
    let mut told = 0;
    for _ in 0..40 {
        let answer = gate.ask_as_key(stream("chunks=60")).await;
        told = gate.record_of(&answer).await.usage.output().unwrap();
    }
    let by_reports = estimated().await;
    let (before, after) = (by_family.abs_diff(told), by_reports.abs_diff(told));
    assert!(before > 20 && after <= before / 4, "{by_family}, then {by_reports}; the provider says {told}");
}

/// A chat of so many words, and something beside the words.
fn chat(words: usize, beside: &str) -> Ask {
    let text = "word ".repeat(words);
    let body = format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":[{{"type":"text","text":"{text}"}}{beside}]}}]"#
    );
    Ask::unary(&CHAT).body(format!("{body}}}"))
}

#[tokio::test]
async fn a_prompt_is_estimated_by_what_was_reported_for_others_like_it() {
    let gate = Gate::start();
    let estimated = async || {
        let answer = gate.ask_as_key(chat(800, "").fake("fault=no_usage")).await;
        gate.record_of(&answer).await.usage.input().unwrap()
    };
    let by_bytes = estimated().await;
    assert!((1000..1050).contains(&by_bytes), "four bytes a token: {by_bytes}");
    for _ in 0..40 {
        gate.ask_as_key(chat(800, "").fake("input=1600")).await;
    }
    // What the last answer taught is there when its record is.
    let answer = gate.ask_as_key(chat(800, "").fake("input=1600")).await;
    gate.record_of(&answer).await;
    let by_reports = estimated().await;
    assert!((1550..=1605).contains(&by_reports), "{by_reports}");
}

#[tokio::test]
async fn a_picture_costs_what_its_size_says_and_not_its_bytes() {
    // The beginning of a PNG of 1024 by 768, and something that stands for the rest.
    let picture = format!("iVBORw0KGgoAAAANSUhEUgAABAAAAAMACAIAAAA{}", "A".repeat(40_000));
    let beside =
        format!(r#",{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{picture}"}}}}"#);
    let gate = Gate::start();
    let mut inputs = Vec::new();
    for beside in ["", &beside] {
        let answer = gate.ask_as_key(chat(10, beside).fake("fault=no_usage")).await;
        inputs.push(gate.record_of(&answer).await.usage.input().unwrap());
    }
    // Four tiles, and the names of the members around it.
    let picture = inputs[1] - inputs[0];
    assert!((765..800).contains(&picture), "{inputs:?}");
}
