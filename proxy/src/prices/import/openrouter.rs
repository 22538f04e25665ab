//! OpenRouter: what `GET /api/v1/models` answers (openrouter.ai/docs, seen 2026-11): `data`, a list of models with `pricing`
//! in dollars per token or request, as decimal strings. -1 stands for a price that depends on which model is chosen.

use super::List;
use super::amount::{Amount, Fault};
use anyhow::Context as _;
use narrows_meter::Rates;
use narrows_meter::price_file::{ModelPrices, PriceEntry};
use narrows_meter::unit_price::UnitPrice;
use serde_json::Value;

/// The provider they are prices of.
const PROVIDER: &str = "openrouter";

pub(super) fn read(value: &Value, list: &mut List) -> anyhow::Result<()> {
    for model in value["data"].as_array().context("no list of models in `data`")? {
        let id = model["id"].as_str().context("a model without an id")?;
        let slug = model["canonical_slug"].as_str().filter(|slug| *slug != id);
        match rates(&model["pricing"]) {
            Ok(rates) => {
                let names = slug.map(|slug| vec![id.to_owned(), slug.to_owned()]);
                let model = ModelPrices {
                    id: id.to_owned(),
                    matches: names.unwrap_or_default(),
                    except: Vec::new(),
                    prices: vec![PriceEntry { rates, ..PriceEntry::default() }],
                };
                list.add(PROVIDER, model);
            }
            Err(fault) => list.note(PROVIDER, id, &format!("left out: {fault}")),
        }
    }
    Ok(())
}

fn rates(pricing: &Value) -> Result<Rates, Fault> {
    let mut rates = Rates::default();
    let prices = pricing.as_object().ok_or("no prices")?;
    for (key, value) in prices {
        match key.as_str() {
            "prompt" => place(&mut rates.input, value, 6)?,
            "completion" => place(&mut rates.output, value, 6)?,
            "internal_reasoning" => place(&mut rates.reasoning, value, 6)?,
            "input_cache_read" => place(&mut rates.cache_read, value, 6)?,
            "input_cache_write" => place(&mut rates.cache_write_5m, value, 6)?,
            "audio" => place(&mut rates.audio_in, value, 6)?,
            "request" => place(&mut rates.request, value, 0)?,
            "web_search" => place(&mut rates.web_search, value, 0)?,
            _ => {}
        }
    }
    // "0" beside a price of generated tokens stands for "not apart".
    rates.reasoning = rates.reasoning.filter(|price| price.pico_usd() > 0);
    rates.request = rates.request.filter(|price| price.pico_usd() > 0);
    rates.web_search = rates.web_search.filter(|price| price.pico_usd() > 0);
    rates.audio_in = rates.audio_in.filter(|price| price.pico_usd() > 0);
    Ok(rates)
}

fn place<const DECIMALS: u32>(
    slot: &mut Option<UnitPrice<DECIMALS>>,
    value: &Value,
    places: i32,
) -> Result<(), Fault> {
    *slot = Some(Amount::of(value)?.shifted(places).price()?.0);
    Ok(())
}
