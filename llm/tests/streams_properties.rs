//! Split invariance, fidelity, boundedness and totality over the golden answers.

mod streams_support;

use bytes::Bytes;
use narrows_llm::Dialect;
use narrows_llm::stream::{HOLD_LIMIT, Reported, StreamDecoder, StreamEnd, StreamOptions};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::LazyLock;
use streams_support::{Golden, decode, goldens};

static GOLDENS: LazyLock<Vec<Golden>> = LazyLock::new(goldens);

/// The stream without its usage-only events, found in a plain and slow way: blocks between blank lines, whole JSON.
/// `None` for streams whose line ends or data lines this way cannot handle.
fn without_usage_events(stream: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(stream).ok()?;
    if text.contains('\r') || text.starts_with('{') || text.starts_with('[') {
        return None;
    }
    let mut kept = String::new();
    for block in text.split_inclusive("\n\n") {
        let data: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        let json: Value = serde_json::from_str(&data.join("\n")).unwrap_or_default();
        let hidden = block.ends_with("\n\n")
            && json["usage"].is_object()
            && json["choices"].as_array().is_some_and(Vec::is_empty)
            && json["prompt_filter_results"].as_array().is_none_or(Vec::is_empty)
            && json["error"].is_null();
        if !hidden {
            kept.push_str(block);
        }
    }
    Some(kept.into_bytes())
}

fn hides(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions)
}

/// Cuts `bytes` at positions taken from `cuts`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

#[test]
fn exactly_the_usage_event_is_hidden_at_any_chunk_size() {
    let mut hidden = 0;
    for golden in GOLDENS.iter() {
        let (open, all) = decode(golden.dialect, false, std::iter::once(golden.bytes.as_slice()));
        assert_eq!(all, golden.bytes, "{}", golden.name);
        let (whole, sent) = decode(golden.dialect, true, std::iter::once(golden.bytes.as_slice()));
        if let Some(expected) = without_usage_events(&golden.bytes).filter(|_| hides(golden.dialect)) {
            assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(&expected), "{}", golden.name);
        }
        assert_eq!(whole.hidden_bytes, (golden.bytes.len() - sent.len()) as u64);
        hidden += usize::from(whole.hidden_bytes > 0);
        assert_eq!(
            (&whole.usage, &whole.end),
            (&open.usage, &open.end),
            "hiding does not change what is read"
        );
        for size in [1, 2, 3, 5, 7, 11, 64, 100] {
            let (outcome, cut) = decode(golden.dialect, true, golden.bytes.chunks(size));
            assert_eq!(outcome, whole, "{} in chunks of {size}", golden.name);
            assert_eq!(cut, sent, "{} in chunks of {size}", golden.name);
            let (outcome, cut) = decode(golden.dialect, false, golden.bytes.chunks(size));
            assert_eq!(outcome, open, "{} in chunks of {size}", golden.name);
            assert_eq!(cut, golden.bytes);
        }
    }
    assert!(hidden > 15, "{hidden} golden streams have an event to hide");
}

#[test]
fn every_prefix_has_an_outcome_and_all_its_bytes() {
    for golden in GOLDENS.iter() {
        for end in 0..=golden.bytes.len() {
            let prefix = &golden.bytes[..end];
            let (outcome, sent) = decode(golden.dialect, true, prefix.chunks(13));
            assert_eq!(sent.len() as u64 + outcome.hidden_bytes, prefix.len() as u64);
            assert!(outcome.unreported_text_bytes <= outcome.output_text_bytes);
        }
    }
}

#[test]
fn a_usage_event_is_hidden_up_to_the_limit_and_passed_above_it() {
    for (padding, hidden) in [(0, true), (1, false)] {
        let event = |pad: usize| {
            let fill = "x".repeat(pad);
            format!(
                "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2}},\"p\":\"{fill}\"}}\n\n"
            )
        };
        let stream = event(HOLD_LIMIT - event(0).len() + padding);
        assert_eq!(stream.len(), HOLD_LIMIT + padding);
        for size in [1, 1000, stream.len()] {
            let (outcome, sent) = decode(Dialect::OpenaiChat, true, stream.as_bytes().chunks(size));
            assert_eq!(sent.is_empty(), hidden, "{} bytes in chunks of {size}", stream.len());
            assert_eq!(outcome.usage.output(), Some(2));
        }
    }
}

#[test]
fn only_what_may_be_a_usage_event_is_held_back() {
    let push = |chunks: &[&str]| {
        let mut decoder =
            StreamDecoder::new(Dialect::OpenaiChat, StreamOptions { hide_usage: true, hear: true });
        let mut sent = Vec::new();
        for chunk in chunks {
            decoder
                .push(Bytes::copy_from_slice(chunk.as_bytes()), &mut |bytes| sent.extend_from_slice(&bytes));
        }
        String::from_utf8(sent).unwrap()
    };
    // Content is released as soon as its choices are seen, comments and the end at once.
    assert_eq!(push(&["data: {\"id\":\"1\",\"cho"]), "");
    assert_eq!(push(&["data: {\"id\":\"1\",\"cho", "ices\":[{"]), "data: {\"id\":\"1\",\"choices\":[{");
    assert_eq!(push(&[": keep-al"]), ": keep-al");
    assert_eq!(push(&[": keep-alive\n"]), ": keep-alive\n");
    assert_eq!(push(&["data: [DO"]), "data: [DO");
    assert_eq!(push(&["data: {\"choices\":[", "]"]), "");
    let content = "data: {\"choices\":[{\"delta\":{}}]}\n\n";
    assert_eq!(push(&[content, "dat"]), content, "an event before is not held with the one after");
}

#[test]
fn what_is_too_long_passes_uninspected() {
    let long = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(200));
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    for (body, usage_read) in [(format!("{usage}{long}"), true), (format!("{long}{usage}"), false)] {
        for size in [1, 50, 1000] {
            let mut decoder =
                StreamDecoder::new(Dialect::OpenaiChat, StreamOptions::default()).with_carry_limit(150);
            let mut sent = Vec::new();
            for chunk in body.as_bytes().chunks(size) {
                decoder.push(Bytes::copy_from_slice(chunk), &mut |bytes| sent.extend_from_slice(&bytes));
            }
            let outcome = decoder.finish(&mut |_| ());
            assert_eq!(sent, body.as_bytes());
            assert_eq!(outcome.end, StreamEnd::Unseen);
            assert_eq!(outcome.reported != Reported::Nothing, usage_read);
            assert!(outcome.uninspected_bytes > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_split_gives_the_same_outcome_and_bytes(
        which in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..24),
        hide in any::<bool>(),
    ) {
        let golden = which.get(&GOLDENS);
        let whole = decode(golden.dialect, hide, std::iter::once(golden.bytes.as_slice()));
        let cut = decode(golden.dialect, hide, pieces(&golden.bytes, &cuts).into_iter());
        prop_assert_eq!(whole, cut, "{}", golden.name);
    }

    #[test]
    fn a_flipped_byte_never_hurts(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        hide in any::<bool>(),
    ) {
        let golden = which.get(&GOLDENS);
        let mut bytes = golden.bytes.clone();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = decode(golden.dialect, hide, std::iter::once(bytes.as_slice()));
        let cut = decode(golden.dialect, hide, bytes.chunks(1));
        prop_assert_eq!(&whole, &cut, "{}", golden.name);
        prop_assert_eq!(whole.1.len() as u64 + whole.0.hidden_bytes, bytes.len() as u64);
    }
}
