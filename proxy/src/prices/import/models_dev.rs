//! models.dev: `api.json` of models.dev (seen 2026-11), an object of providers by id, each with an object of models by id,
//! each with `cost` in dollars per million tokens. Zero stands there for "free" and for "in a subscription", so it is not
//! taken.

use super::amount::{Amount, Fault};
use super::{List, kind_of};
use anyhow::Context as _;
use narrows_meter::price_file::{ModelPrices, PriceEntry};
use narrows_meter::{PerToken, Rates, Tier};
use serde_json::Value;

/// From where `context_over_200k` holds.
const LONG_TOKENS: u64 = 200_000;

pub(super) fn read(value: &Value, list: &mut List) -> anyhow::Result<()> {
    for (theirs, provider) in value.as_object().context("not an object of providers")? {
        let id = kind_of(theirs);
        for (name, model) in provider["models"].as_object().context("a provider without models")? {
            match entry(&model["cost"]) {
                Ok(entry) if entry.rates.is_empty() => {
                    list.note(id, name, "left out: it has no price of anything that is read here");
                }
                Ok(entry) => {
                    let model = ModelPrices {
                        id: name.clone(),
                        matches: Vec::new(),
                        except: Vec::new(),
                        prices: vec![entry],
                    };
                    list.add(id, model);
                }
                Err(fault) => list.note(id, name, &format!("left out: {fault}")),
            }
        }
    }
    Ok(())
}

fn entry(cost: &Value) -> Result<PriceEntry, Fault> {
    let mut above = Vec::new();
    // The newer form names the length; the older one stands beside it with the same prices and another length.
    match cost["tiers"].as_array().filter(|tiers| !tiers.is_empty()) {
        Some(tiers) => {
            for tier in tiers {
                if tier["tier"]["type"] != "context" {
                    return Err("prices that depend on something else than the prompt's length");
                }
                let tokens = tier["tier"]["size"].as_u64().ok_or("a tier without a length")?;
                above.push(Tier { tokens, rates: rates(tier)? });
            }
        }
        None if cost["context_over_200k"].is_object() => {
            above.push(Tier { tokens: LONG_TOKENS, rates: rates(&cost["context_over_200k"])? });
        }
        None => {}
    }
    above.sort_by_key(|tier| tier.tokens);
    Ok(PriceEntry { rates: rates(cost)?, above, ..PriceEntry::default() })
}

fn rates(cost: &Value) -> Result<Rates, Fault> {
    let of = |key: &str| -> Result<Option<PerToken>, Fault> {
        match cost.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                Ok(Some(Amount::of(value)?.price()?.0).filter(|price: &PerToken| price.pico_usd() > 0))
            }
        }
    };
    Ok(Rates {
        input: of("input")?,
        cache_read: of("cache_read")?,
        cache_write_5m: of("cache_write")?,
        output: of("output")?,
        reasoning: of("reasoning")?,
        audio_in: of("input_audio")?,
        audio_out: of("output_audio")?,
        ..Rates::default()
    })
}
