//! Every golden answer is read as its expectation says.

mod streams_support;

use narrows_llm::recording::{Split, detect, meter};
use narrows_llm::stream::{Outcome, StreamEnd};
use narrows_llm::unary;
use narrows_meter::Origin;
use serde_json::{Value, json};
use streams_support::{Golden, decode, goldens};

fn seen(golden: &Golden, outcome: &Outcome, split: Split) -> Value {
    let measured = meter(&golden.bytes, Some(golden.dialect), split);
    let end = match &outcome.end {
        StreamEnd::Terminal => "terminal".to_owned(),
        StreamEnd::Cut => "cut".to_owned(),
        StreamEnd::Unseen => "unseen".to_owned(),
        StreamEnd::ErrorEvent { kind } => format!("error:{kind}"),
    };
    let mut seen = json!({
        "input": measured.input,
        "cache_read": measured.cache_read,
        "cache_write": measured.cache_write,
        "output": measured.output,
        "reasoning": measured.reasoning,
        "origin": measured.origin.as_str(),
        "end": end,
        "model": outcome.model,
    });
    if outcome.anomaly {
        seen["anomaly"] = true.into();
    }
    seen
}

#[test]
fn every_golden_answer_is_read_right() {
    let mut wrong = Vec::new();
    for golden in goldens() {
        let (outcome, _) = decode(golden.dialect, false, std::iter::once(golden.bytes.as_slice()));
        for split in [Split::Whole, Split::Bytes, Split::Random { seed: 7 }] {
            let seen = seen(&golden, &outcome, split);
            if seen != golden.expected {
                wrong.push(format!(
                    "{} {split:?}\n  expected {}\n  seen     {seen}",
                    golden.name, golden.expected
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_dialect_of_a_golden_answer_is_detected() {
    for golden in goldens() {
        match detect(&golden.bytes) {
            Some(detected) => assert_eq!(detected, golden.dialect, "{}", golden.name),
            // Errors and rubbish look the same in several dialects.
            None => assert_eq!(golden.expected["origin"], "unknown", "{}", golden.name),
        }
    }
}

#[test]
fn a_json_body_is_read_alike_at_once_and_as_a_stream() {
    let mut bodies = 0;
    for golden in goldens().iter().filter(|golden| golden.name.ends_with(".body")) {
        let answer = unary::read(golden.dialect, &golden.bytes);
        let (outcome, _) = decode(golden.dialect, false, golden.bytes.chunks(3));
        assert_eq!(
            (answer.usage, answer.reported, answer.model, answer.output_text_bytes, answer.anomaly),
            (outcome.usage, outcome.reported, outcome.model, outcome.output_text_bytes, outcome.anomaly),
            "{}",
            golden.name
        );
        bodies += 1;
    }
    assert!(bodies > 10);
}

#[test]
fn the_origin_never_claims_more_than_was_reported() {
    for golden in goldens() {
        for end in 0..golden.bytes.len() {
            let measured = meter(&golden.bytes[..end], Some(golden.dialect), Split::Whole);
            match measured.origin {
                Origin::Provider => assert!(measured.input.is_some(), "{} at {end}", golden.name),
                Origin::ProviderPartial => {
                    assert!(
                        measured.input.is_some() || measured.output.is_some(),
                        "{} at {end}",
                        golden.name
                    );
                }
                Origin::Estimated => assert!(measured.input.is_none() && measured.output.is_some()),
                _ => assert!(measured.input.is_none() && measured.output.is_none()),
            }
        }
    }
}
