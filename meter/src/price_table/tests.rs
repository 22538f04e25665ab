use super::*;
use crate::cost::Cost;
use crate::usage::Usage;

fn file(providers: &str) -> PriceFile {
    let json = format!(r#"{{"format":1,"source":"test","date":"2026-11-26","providers":[{providers}]}}"#);
    serde_json::from_str(&json).unwrap()
}

fn table(providers: &str) -> PriceTable {
    PriceTable::new(&file(providers)).unwrap()
}

fn at(day: &str) -> i64 {
    Date::parse(day).unwrap().start_us()
}

/// Nano-dollars for a million plain prompt tokens over a thousand million: dollars per million tokens.
fn input(table: &PriceTable, provider: &str, model: &str, at_us: i64) -> Option<u64> {
    let usage = Usage { input_uncached: Some(1_000_000), ..Usage::default() };
    match table.resolve(provider, model, at_us)?.cost(&usage) {
        Cost::NanoUsd(cost) => Some(cost / 1_000_000_000),
        Cost::Unknown => None,
    }
}

#[test]
fn an_exact_name_counts_before_a_pattern_and_the_closer_pattern_before_the_other() {
    let table = table(
        r#"{"id":"openai","models":[
            {"id":"any","match":["*"],"prices":[{"rates":{"input":"1"}}]},
            {"id":"five","match":["gpt-5*"],"except":["*-tts"],"prices":[{"rates":{"input":"2"}}]},
            {"id":"gpt-5-MINI","prices":[{"rates":{"input":"3"}}]},
            {"id":"dated","match":["gpt-5-####"],"prices":[{"rates":{"input":"4"}}]}]}"#,
    );
    let of = |model| input(&table, "openai", model, 0).unwrap();
    assert_eq!(
        ["gpt-5-mini", "GPT-5-Mini", "gpt-5-2026", "gpt-5-nano", "gpt-5-tts", "x"].map(of),
        [3, 3, 4, 2, 1, 1]
    );
    assert_eq!(input(&table, "nobody", "gpt-5", 0), None);
    assert_eq!(table.resolve("openai", &"x".repeat(NAME_MAX_BYTES + 1), 0), None);
    assert_eq!((table.len(), table.knows("openai"), table.knows("OpenAI")), (4, true, false));
}

#[test]
fn a_cloud_falls_back_on_the_makers_of_models_one_step_and_in_order() {
    let table = table(
        r#"{"id":"azure","fallback":["openai","other"],"models":[{"id":"a","prices":[{"rates":{"input":"1"}}]}]},
           {"id":"openai","fallback":["third"],"models":[
               {"id":"a","prices":[{"rates":{"input":"2"}}]},{"id":"b","prices":[{"rates":{"input":"3"}}]}]},
           {"id":"other","models":[
               {"id":"b","prices":[{"rates":{"input":"4"}}]},{"id":"c","prices":[{"rates":{"input":"5"}}]}]},
           {"id":"third","models":[{"id":"d","prices":[{"rates":{"input":"6"}}]}]}"#,
    );
    let of = |model| input(&table, "azure", model, 0);
    assert_eq!(["a", "b", "c", "d"].map(of), [Some(1), Some(3), Some(5), None]);
}

#[test]
fn the_last_price_that_holds_at_a_time_counts() {
    let table = table(
        r#"{"id":"deepseek","models":[{"id":"chat","prices":[
            {"from":"2026-01-01","rates":{"input":"4"}},
            {"from":"2026-06-01","rates":{"input":"2"}},
            {"from":"2026-06-01","hours":"16:30-00:30","rates":{"input":"1"}}]}]}"#,
    );
    let of = |at_us| input(&table, "deepseek", "chat", at_us);
    assert_eq!(of(at("2026-01-01") - 1), None, "nothing is known of before");
    assert_eq!(of(at("2026-01-01")), Some(4));
    assert_eq!(of(at("2026-06-01") - 1), Some(4));
    assert_eq!(of(at("2026-06-01")), Some(1), "half past midnight is still cheap");
    assert_eq!(of(at("2026-06-01") + 1_800_000_000), Some(2));
}

#[test]
fn a_mode_costs_what_it_says_and_what_it_leaves_out_costs_as_ever() {
    let table = table(
        r#"{"id":"openai","models":[{"id":"m","prices":[
            {"rates":{"input":"4","cache_read":"2"}},
            {"from":"2026-06-01","rates":{"input":"3","cache_read":"1"}},
            {"mode":"batch","from":"2026-07-01","rates":{"input":"1.5"}}]}]}"#,
    );
    let usage = Usage { input_uncached: Some(1_000), cache_read: Some(1_000), ..Usage::default() };
    let model = table.model("openai", "m").unwrap();
    let of =
        |mode, day| model.price(mode, at(day)).map(|price| price.cost(&usage).nano_usd().unwrap() / 1_000);
    assert_eq!(of(None, "2026-05-01"), Some(6_000));
    assert_eq!(of(None, "2026-07-01"), Some(4_000));
    assert_eq!(of(Some(Mode::Batch), "2026-06-30"), None, "nothing is known of a batch before");
    assert_eq!(
        of(Some(Mode::Batch), "2026-07-01"),
        Some(2_500),
        "cached tokens at their ordinary price of that time"
    );
    assert_eq!(of(Some(Mode::Flex), "2026-07-01"), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let fault = |providers: &str| PriceTable::new(&file(providers)).unwrap_err().to_string();
    let model = |fields: &str| format!(r#"{{"id":"p","models":[{{"id":"m",{fields}}}]}}"#);
    let price = r#""prices":[{"rates":{"input":"1"}}]"#;
    assert_eq!(fault(r#"{"id":"","models":[]}"#), ": a provider's word is empty or longer than 256 bytes");
    assert_eq!(fault(r#"{"id":"p","models":[]},{"id":"p","models":[]}"#), "p: the provider is there twice");
    assert!(fault(r#"{"id":"p","fallback":["q"],"models":[]}"#).contains("falls back"));
    assert_eq!(fault(&model(r#""prices":[]"#)), "p m: no prices, or more than 64");
    assert!(fault(&model(&format!(r#""match":[""],{price}"#))).contains("a name is empty"));
    let twice = r#"[{"tokens":5,"rates":{}},{"tokens":5,"rates":{}}]"#;
    let tiers = format!(r#""prices":[{{"rates":{{"input":"1"}},"above":{twice}}}]"#);
    assert!(fault(&model(&tiers)).contains("ascend"));
    let two = format!(r#"{{"id":"p","models":[{{"id":"M",{price}}},{{"id":"n","match":["m"],{price}}}]}}"#);
    assert_eq!(fault(&two), "p n: another model has a name of it");
    let mut newer = file("");
    newer.format = 2;
    assert!(PriceTable::new(&newer).unwrap_err().to_string().starts_with("format: "));
}

#[test]
fn lists_have_limits() {
    let model = |id: String| ModelPrices {
        id,
        matches: Vec::new(),
        except: Vec::new(),
        prices: vec![PriceEntry::default()],
    };
    let provider = |id: String| ProviderPrices { id, fallback: Vec::new(), models: Vec::new() };
    let of = |providers: Vec<ProviderPrices>| PriceTable::new(&PriceFile { providers, ..file("") });
    assert!(of((0..PROVIDERS_MAX).map(|n| provider(n.to_string())).collect()).is_ok());
    assert!(of((0..=PROVIDERS_MAX).map(|n| provider(n.to_string())).collect()).is_err());
    let models =
        |count: usize| Models::new("p", &(0..count).map(|n| model(n.to_string())).collect::<Vec<_>>());
    assert!(models(MODELS_MAX).is_ok() && models(MODELS_MAX + 1).is_err());
    let named = |count: usize| {
        let matches = (0..count).map(|n| n.to_string()).collect();
        Models::new("p", &[ModelPrices { matches, ..model("m".into()) }])
    };
    assert!(named(PATTERNS_MAX).is_ok() && named(PATTERNS_MAX + 1).is_err());
    let priced = |count: usize| {
        let prices = vec![PriceEntry::default(); count];
        Models::new("p", &[ModelPrices { prices, ..model("m".into()) }])
    };
    assert!(priced(PRICES_MAX).is_ok() && priced(PRICES_MAX + 1).is_err());
    let long = |length: usize| Models::new("p", &[model("x".repeat(length))]);
    assert!(long(NAME_MAX_BYTES).is_ok() && long(NAME_MAX_BYTES + 1).is_err());
}
