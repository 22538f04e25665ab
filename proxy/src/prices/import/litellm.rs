//! LiteLLM: `model_prices_and_context_window.json` of github.com/BerriAI/litellm (seen 2026-11), an object of models by
//! name, with dollars per token. Keys end in what they are for: `_above_200k_tokens`, `_batches`, `_flex`, `_priority`.
//! Zero stands there for "free" and for "nobody looked", so it is not taken.

use super::amount::{Amount, Fault};
use super::{List, kind_of};
use anyhow::Context as _;
use narrows_meter::price_file::{ModelPrices, PriceEntry};
use narrows_meter::unit_price::UnitPrice;
use narrows_meter::{Mode, Rates, Tier};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Ends of keys for other modes.
const MODES: [(&str, Mode); 3] =
    [("_batches", Mode::Batch), ("_flex", Mode::Flex), ("_priority", Mode::Priority)];

pub(super) fn read(value: &Value, list: &mut List) -> anyhow::Result<()> {
    for (name, model) in value.as_object().context("not an object of models")? {
        if name == "sample_spec" {
            continue;
        }
        let model = model.as_object().context("a model that is no object")?;
        let theirs = model.get("litellm_provider").and_then(Value::as_str).unwrap_or_default();
        // Names of other makers' models on Vertex have a provider for each maker.
        let theirs = if theirs.starts_with("vertex_ai") { "vertex_ai" } else { theirs };
        let provider = kind_of(theirs);
        if provider.is_empty() {
            list.note("-", name, "left out: no provider");
            continue;
        }
        let id = name.strip_prefix(theirs).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        match prices(model) {
            Ok(prices) if prices.iter().all(|price| price.rates.is_empty()) => {
                list.note(provider, id, "left out: it has no price of anything that is read here");
            }
            Ok(prices) => {
                let plain =
                    ModelPrices { id: id.to_owned(), matches: Vec::new(), except: Vec::new(), prices };
                list.add(provider, plain);
            }
            Err(fault) => list.note(provider, id, &format!("left out: {fault}")),
        }
    }
    Ok(())
}

fn prices(model: &Map<String, Value>) -> Result<Vec<PriceEntry>, Fault> {
    let mut plain = PriceEntry::default();
    let mut above: BTreeMap<u64, Rates> = BTreeMap::new();
    let mut modes: BTreeMap<Mode, Rates> = BTreeMap::new();
    for (key, value) in model {
        if let Some((end, mode)) = MODES.iter().find(|(end, _)| key.ends_with(end)) {
            let key = key.strip_suffix(end).unwrap_or(key);
            // A mode's own tiers are not read: their keys have two ends.
            let mut rates = Rates::default();
            if set(&mut rates, key, value)? {
                let all = modes.entry(*mode).or_default();
                *all = all.overlaid(&rates);
            }
            continue;
        }
        match key.rsplit_once("_above_").and_then(|(key, end)| Some((key, thousands(end)?))) {
            Some((key, tokens)) => {
                let mut rates = Rates::default();
                if set(&mut rates, key, value)? {
                    let all = above.entry(tokens).or_default();
                    *all = all.overlaid(&rates);
                }
            }
            None => {
                set(&mut plain.rates, key, value)?;
            }
        }
    }
    plain.above = above.into_iter().map(|(tokens, rates)| Tier { tokens, rates }).collect();
    let modes = modes.into_iter().map(|(mode, rates)| PriceEntry {
        mode: Some(mode),
        rates,
        ..PriceEntry::default()
    });
    Ok(std::iter::once(plain).chain(modes).collect())
}

/// `200k_tokens` as tokens.
fn thousands(end: &str) -> Option<u64> {
    end.strip_suffix("k_tokens")?.parse::<u64>().ok()?.checked_mul(1_000)
}

/// Sets the price that a key stands for; whether it did.
fn set(rates: &mut Rates, key: &str, value: &Value) -> Result<bool, Fault> {
    match key {
        "input_cost_per_token" => place(&mut rates.input, value, 6),
        "cache_read_input_token_cost" => place(&mut rates.cache_read, value, 6),
        "cache_creation_input_token_cost" => place(&mut rates.cache_write_5m, value, 6),
        "cache_creation_input_token_cost_above_1hr" => place(&mut rates.cache_write_1h, value, 6),
        "output_cost_per_token" => place(&mut rates.output, value, 6),
        "output_cost_per_reasoning_token" => place(&mut rates.reasoning, value, 6),
        "input_cost_per_audio_token" => place(&mut rates.audio_in, value, 6),
        "output_cost_per_audio_token" => place(&mut rates.audio_out, value, 6),
        "input_cost_per_request" => place(&mut rates.request, value, 0),
        "search_context_cost_per_query" => match one_price(value) {
            Some(price) => place(&mut rates.web_search, price, 0),
            None => Ok(false),
        },
        _ => Ok(false),
    }
}

/// The price of a search, if it does not depend on how much of the web it looks at, which usage does not say.
fn one_price(value: &Value) -> Option<&Value> {
    let mut prices = value.as_object()?.values();
    let first = prices.next()?;
    prices.all(|price| price == first).then_some(first)
}

fn place<const DECIMALS: u32>(
    slot: &mut Option<UnitPrice<DECIMALS>>,
    value: &Value,
    places: i32,
) -> Result<bool, Fault> {
    let (price, _) = Amount::of(value)?.shifted(places).price()?;
    *slot = Some(price).filter(|price| price.pico_usd() > 0);
    Ok(slot.is_some())
}
