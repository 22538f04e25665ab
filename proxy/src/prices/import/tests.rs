use super::*;
use crate::prices::Prices;
use narrows_meter::{Cost, Mode, Usage};
use proptest::prelude::*;

fn made(format: Format, json: &str) -> (Prices, Vec<String>) {
    let imported = import(format, json, Date::parse("2026-11-04").unwrap()).unwrap();
    (Prices::new(imported.file).unwrap(), imported.notes)
}

/// Dollars per million tokens, or per request, as they stand in a file; the last is the first tier's input.
fn rates(prices: &Prices, provider: &str, model: &str, day: &str) -> Vec<(&'static str, String)> {
    let at_us = Date::parse(day).unwrap().start_us();
    let price = prices.table.resolve(provider, model, at_us);
    let Some(price) = price else { return Vec::new() };
    let tier =
        price.tiers().first().and_then(|tier| tier.rates.input).map(|price| ("above", price.to_string()));
    price.rates(0).entries().chain(tier).collect()
}

fn wanted(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter().map(|(name, price)| (*name, (*price).to_owned())).collect()
}

#[test]
fn genai_prices_are_read_with_their_rules_days_tiers_and_variants() {
    let (prices, notes) = made(
        Format::GenaiPrices,
        r#"[
        {"id":"anthropic","models":[{"id":"opus","match":{"or":[{"starts_with":"claude-opus-4-6"},{"equals":"Opus"}]},
            "prices":[{"prices":{"input_mtok":{"base":5,"tiers":[{"start":200000,"price":10}]},"cache_write_mtok":6.25,
                "cache_read_mtok":0.5,"output_mtok":25,"cache_write_1h_mtok":10,"web_searches_kcount":10}},
              {"constraint":{"start_date":"2026-03-13"},"prices":{"input_mtok":"5","output_mtok":25}}],
            "price_variants":[{"when":{"processing":"batch"},"prices":{"input_mtok":2.5},"constraint":{"start_date":"2026-10-14"}},
              {"when":{"region":"eu"},"prices":{"input_mtok":3}},{"when":{"service_tier":"default"},"prices":{}}]}]},
        {"id":"google","fallback_model_providers":["anthropic","nobody"],"models":[
            {"id":"pro","match":{"and":[{"starts_with":"gemini-2.5-pro"},{"regex":"^(?!.*-[tT][tT][sS](?:$|-))"}]},
             "prices":{"input_mtok":1.25,"output_mtok":10}},
            {"id":"drawing","match":{"equals":"drawing"},"prices":{"input_mtok":1,"output_mtok":2,"output_image_mtok":30}}]},
        {"id":"deepseek","models":[{"id":"chat","match":{"equals":"chat"},"prices":[{"prices":{"input_mtok":0.135}},
            {"constraint":{"start_time":"00:30:00+00:00","end_time":"16:30:00+00:00"},"prices":{"input_mtok":0.27}}]}]},
        {"id":"perplexity","models":[{"id":"sonar","match":{"equals":"sonar"},"prices":{"input_mtok":1,"requests_kcount":12}},
            {"id":"ocr","match":{"equals":"ocr"},"prices":{"input_document_kpages":1}},
            {"id":"odd","match":{"regex":"a|b"},"prices":{"input_mtok":1}}]},
        {"id":"openrouter","models":[{"id":"a/b:free","match":{"equals":"a/b:free"},"prices":{}}]}]"#,
    );
    let first = [
        ("input", "5"),
        ("cache_read", "0.5"),
        ("cache_write_5m", "6.25"),
        ("cache_write_1h", "10"),
        ("output", "25"),
        ("web_search", "0.01"),
        ("above", "10"),
    ];
    assert_eq!(rates(&prices, "anthropic", "claude-opus-4-6-x", "2026-03-12"), wanted(&first));
    assert_eq!(
        rates(&prices, "anthropic", "OPUS", "2026-03-13"),
        wanted(&[("input", "5"), ("output", "25")])
    );
    let opus = prices.table.model("anthropic", "opus").unwrap();
    let batch = opus.price(Some(Mode::Batch), Date::parse("2026-10-14").unwrap().start_us()).unwrap();
    assert_eq!(batch.rates(0).input.unwrap().to_string(), "2.5");
    let pro = wanted(&[("input", "1.25"), ("output", "10"), ("audio_in", "1.25")]);
    assert_eq!(rates(&prices, "gemini", "gemini-2.5-pro-x", "2026-01-01"), pro);
    assert_eq!(rates(&prices, "gemini", "gemini-2.5-pro-tts", "2026-01-01"), []);
    assert_eq!(rates(&prices, "gemini", "opus", "2026-04-01").len(), 2, "it sells the other's models");
    assert_eq!(
        rates(&prices, "gemini", "drawing", "2026-01-01"),
        wanted(&[("input", "1"), ("audio_in", "1")])
    );
    assert_eq!(
        rates(&prices, "deepseek", "chat", "2026-01-01"),
        wanted(&[("input", "0.135")]),
        "at midnight"
    );
    let noon = Date::parse("2026-01-01").unwrap().start_us() + 12 * 3_600_000_000;
    let usage = Usage { input_uncached: Some(1_000), ..Usage::default() };
    assert_eq!(prices.table.resolve("deepseek", "chat", noon).unwrap().cost(&usage), Cost::NanoUsd(270_000));
    assert_eq!(
        rates(&prices, "perplexity", "sonar", "2026-01-01"),
        wanted(&[("input", "1"), ("request", "0.012")])
    );
    assert!(rates(&prices, "openrouter", "a/b:free", "2026-01-01").contains(&("input", "0".to_owned())));
    for note in [
        "anthropic opus: a price that depends on something that is not read here",
        "gemini drawing: output_mtok is not taken",
        "perplexity ocr: left out: it has no price of anything that is read here",
        "perplexity odd: left out: an expression that is not understood",
    ] {
        assert!(notes.iter().any(|line| line.starts_with(note)), "{note} is not among {notes:#?}");
    }
    assert_eq!(notes.len(), 4, "{notes:#?}");
}

#[test]
fn litellm_is_read_by_its_keys_and_zero_is_not_taken() {
    let (prices, notes) = made(
        Format::Litellm,
        r#"{"sample_spec":{"input_cost_per_token":0.0},
        "azure/gpt-5":{"litellm_provider":"azure","input_cost_per_token":1.25e-06,"output_cost_per_token":1e-05,
            "cache_read_input_token_cost":1.25e-07,"input_cost_per_token_priority":2.5e-06,
            "output_cost_per_token_batches":5e-06,"input_cost_per_token_above_272k_tokens":2.5e-06},
        "claude":{"litellm_provider":"anthropic","input_cost_per_token":3e-06,"cache_creation_input_token_cost":3.75e-06,
            "cache_creation_input_token_cost_above_1hr":6e-06,"search_context_cost_per_query":
            {"search_context_size_high":0.01,"search_context_size_low":0.01,"search_context_size_medium":0.01}},
        "vertex_ai/x":{"litellm_provider":"vertex_ai-language-models","input_cost_per_token":1e-06},
        "free":{"litellm_provider":"openai","input_cost_per_token":0.0,"output_cost_per_token":0},
        "dall-e-3":{"litellm_provider":"openai","output_cost_per_image":0.04},
        "nobody":{"input_cost_per_token":1}}"#,
    );
    let gpt = [("input", "1.25"), ("cache_read", "0.125"), ("output", "10"), ("above", "2.5")];
    assert_eq!(rates(&prices, "azure", "gpt-5", "2026-01-01"), wanted(&gpt));
    let gpt = prices.table.model("azure", "gpt-5").unwrap();
    assert_eq!(gpt.price(Some(Mode::Priority), 0).unwrap().rates(0).input.unwrap().to_string(), "2.5");
    assert_eq!(gpt.price(Some(Mode::Batch), 0).unwrap().rates(0).output.unwrap().to_string(), "5");
    let claude =
        [("input", "3"), ("cache_write_5m", "3.75"), ("cache_write_1h", "6"), ("web_search", "0.01")];
    assert_eq!(rates(&prices, "anthropic", "claude", "2026-01-01"), wanted(&claude));
    assert_eq!(rates(&prices, "vertex_ai", "x", "2026-01-01").len(), 1);
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn models_dev_is_read_with_either_form_of_long_prompts() {
    let (prices, notes) = made(
        Format::ModelsDev,
        r#"{"openai":{"id":"openai","models":{"gpt-5.5":{"id":"gpt-5.5","cost":{"input":5,"output":30,"cache_read":0.5,
            "tiers":[{"input":10,"output":45,"tier":{"type":"context","size":272000}}],
            "context_over_200k":{"input":10,"output":45}}},"plan":{"id":"plan","cost":{"input":0,"output":0}},
            "none":{"id":"none"}}},
        "google":{"id":"google","models":{"pro":{"cost":{"input":2,"output":12,"reasoning":12,
            "context_over_200k":{"input":4,"output":18}}}}},
        "x":{"models":{"odd":{"cost":{"input":2,"tiers":[{"input":3,"tier":{"type":"time","size":1}}]}}}}}"#,
    );
    let gpt = [("input", "5"), ("cache_read", "0.5"), ("output", "30"), ("above", "10")];
    assert_eq!(rates(&prices, "openai", "gpt-5.5", "2026-01-01"), wanted(&gpt));
    assert_eq!(prices.table.resolve("openai", "gpt-5.5", 0).unwrap().tiers()[0].tokens, 272_000);
    assert_eq!(prices.table.resolve("gemini", "pro", 0).unwrap().tiers()[0].tokens, 200_000);
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn openrouter_is_read_and_varying_prices_are_not() {
    let (prices, notes) = made(
        Format::Openrouter,
        r#"{"data":[{"id":"openai/gpt-5","canonical_slug":"openai/gpt-5-2025-08-07","pricing":{"prompt":"0.00000125",
            "completion":"0.00001","request":"0","image":"0","web_search":"0","internal_reasoning":"0",
            "input_cache_read":"0.000000125"}},
        {"id":"openrouter/auto","pricing":{"prompt":"-1","completion":"-1"}},
        {"id":"a/b:free","pricing":{"prompt":"0","completion":"0"}}]}"#,
    );
    let gpt = wanted(&[("input", "1.25"), ("cache_read", "0.125"), ("output", "10")]);
    assert_eq!(rates(&prices, "openrouter", "openai/gpt-5-2025-08-07", "2026-01-01"), gpt);
    assert_eq!(
        rates(&prices, "openrouter", "a/b:free", "2026-01-01"),
        wanted(&[("input", "0"), ("output", "0")])
    );
    assert_eq!(
        notes,
        ["openrouter openrouter/auto: left out: a price below zero, which means that it varies"]
    );
}

#[test]
fn a_name_belongs_to_the_first_model_that_has_it() {
    let (prices, notes) = made(
        Format::GenaiPrices,
        r#"[{"id":"p","models":[{"id":"a","match":{"equals":"a"},"prices":{"input_mtok":1}},
            {"id":"b","match":{"or":[{"equals":"A"},{"equals":"b"}]},"prices":{"input_mtok":2}},
            {"id":"c","match":{"equals":"A"},"prices":{"input_mtok":3}}]}]"#,
    );
    assert_eq!(rates(&prices, "p", "a", "2026-01-01"), wanted(&[("input", "1")]));
    assert_eq!(rates(&prices, "p", "b", "2026-01-01"), wanted(&[("input", "2")]));
    assert_eq!(
        notes,
        ["p b: A is another model's name already", "p c: left out: its names are another model's"]
    );
}

#[test]
fn what_is_of_another_form_is_an_error_and_notes_have_a_limit() {
    let day = Date::of(0);
    for (format, json) in [
        (Format::GenaiPrices, "{}"),
        (Format::GenaiPrices, r#"[{"id":"p"}]"#),
        (Format::Litellm, "[]"),
        (Format::ModelsDev, r#"{"p":{}}"#),
        (Format::Openrouter, "{}"),
        (Format::Openrouter, "not json"),
    ] {
        assert!(import(format, json, day).is_err(), "{json}");
    }
    let models = |count: usize| {
        let models: Vec<_> =
            (0..count).map(|n| format!(r#"{{"id":"m{n}","pricing":{{"prompt":"-1"}}}}"#)).collect();
        import(Format::Openrouter, &format!(r#"{{"data":[{}]}}"#, models.join(",")), day).unwrap()
    };
    let at = models(NOTES_MAX);
    assert_eq!((at.notes.len(), at.notes_left_out), (NOTES_MAX, 0));
    let past = models(NOTES_MAX + 1);
    assert_eq!((past.notes.len(), past.notes_left_out), (NOTES_MAX, 1));
}

/// Anything that JSON can be, of words that the formats use.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "id",
        "models",
        "match",
        "prices",
        "or",
        "and",
        "equals",
        "regex",
        "input_mtok",
        "base",
        "tiers",
        "start",
        "price",
        "data",
        "pricing",
        "prompt",
        "cost",
        "input",
        "tier",
        "size",
        "constraint",
        "start_date",
        "2026-01-01",
        "price_variants",
        "when",
        "processing",
        "batch",
        "litellm_provider",
        "input_cost_per_token_above_1k_tokens",
        "-1",
        "1e9",
        "^a\\d{8}$",
        "start_time",
        "00:30:00Z",
        "context",
        "type",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 4, move |inner| {
        let entry = (word.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(entry, 0..5).prop_map(|entries| {
                entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_imported_is_refused_or_makes_a_table(json in any_json()) {
        for format in [Format::GenaiPrices, Format::Litellm, Format::ModelsDev, Format::Openrouter] {
            if let Ok(imported) = import(format, &json.to_string(), Date::of(0)) {
                // Limits may refuse it; nothing else may.
                prop_assert!(Prices::new(imported.file).is_ok());
            }
        }
    }
}
