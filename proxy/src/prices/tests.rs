use super::*;
use narrows_llm::provider::PROVIDERS;
use narrows_meter::price_file::Date;
use narrows_meter::{Cost, Usage};

/// A usage, and what genai-prices itself says that it costs: provider, model, day, minute of the day, tokens in the order of
/// [`usage`], dollars.
type Vector = (String, String, String, i64, [u64; 7], String);

fn usage([input, cache_read, write_5m, write_1h, output, reasoning, searches]: [u64; 7]) -> Usage {
    Usage {
        input_uncached: Some(input),
        cache_read: Some(cache_read),
        cache_write_5m: Some(write_5m),
        cache_write_1h: Some(write_1h),
        output_text: Some(output),
        reasoning: Some(reasoning),
        web_searches: Some(searches),
        ..Usage::default()
    }
}

/// Dollars, to the nearest nano-dollar, a half upwards.
fn nano_usd(dollars: &str) -> u64 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    let digits = format!("{whole}{fraction:0<10}");
    let tenths: u64 = digits[..whole.len() + 10].parse().unwrap();
    (tenths + 5) / 10
}

#[test]
fn costs_are_those_that_the_source_computes() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert!(vectors.len() >= 200, "{}", vectors.len());
    for (provider, model, day, minute, tokens, dollars) in &vectors {
        let at_us = Date::parse(day).unwrap().start_us() + minute * 60_000_000;
        let price = Prices::built_in().table.resolve(provider, model, at_us);
        let cost = price.unwrap_or_else(|| panic!("{provider} {model}")).cost(&usage(*tokens));
        assert_eq!(cost, Cost::NanoUsd(nano_usd(dollars)), "{provider} {model} {day} {minute} {tokens:?}");
    }
}

#[test]
fn the_built_in_prices_are_sound_and_have_those_of_every_hosted_kind() {
    let prices = Prices::built_in();
    assert!(prices.version != 0 && prices.table.len() > 1_000, "{}", prices.table.len());
    assert!(prices.file.source.contains("genai-prices (MIT") && prices.file.source.contains("version 0."));
    assert!(include_str!("LICENSE-genai-prices").contains("Pydantic Services"));
    for provider in PROVIDERS {
        let listed = prices.table.knows(provider.kind);
        let local = provider.key_optional || provider.kind == "openai-compatible";
        assert_eq!(listed, !local, "{}", provider.kind);
    }
    for (kind, model) in [
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-flash"),
        ("azure", "gpt-4o-mini"),
        ("deepseek", "deepseek-chat"),
        ("xai", "grok-4.5"),
        ("openrouter", "some/model:free"),
    ] {
        assert!(prices.table.resolve(kind, model, 1_795_000_000_000_000).is_some(), "{kind} {model}");
    }
    // The short form of the file is what its version is of, however it is laid out.
    let again = Prices::read(&serde_json::to_string(&prices.file).unwrap()).unwrap();
    assert_eq!(again.version, prices.version);
}
