//! genai-prices: `prices/data.json` of github.com/pydantic/genai-prices (seen 2026-11), an array of providers, each with
//! models, each with rules over names and prices per million tokens (`…_mtok`) or thousand requests (`…_kcount`).

use super::amount::{Amount, Fault};
use super::globs::{Globs, globs};
use super::{List, kind_of};
use anyhow::Context as _;
use narrows_meter::price_file::{Date, Hours, ModelPrices, PATTERNS_MAX, PriceEntry};
use narrows_meter::unit_price::UnitPrice;
use narrows_meter::{Mode, Rates, Tier};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Prices of kinds of tokens that our usage does not tell apart from plain ones, and which of ours they would be in.
/// Where they differ from it, the plain price is not known: it would be wrong for some of the tokens.
const UNTOLD: &[(&str, &str)] = &[
    ("input_image_mtok", "input_mtok"),
    ("input_video_mtok", "input_mtok"),
    ("output_image_mtok", "output_mtok"),
    ("output_video_mtok", "output_mtok"),
    ("output_citation_mtok", "output_mtok"),
];

pub(super) fn read(value: &Value, list: &mut List) -> anyhow::Result<()> {
    for provider in value.as_array().context("not an array of providers")? {
        let theirs = provider["id"].as_str().context("a provider without an id")?;
        let id = kind_of(theirs);
        let fallback = provider["fallback_model_providers"].as_array().into_iter().flatten();
        list.fall_back(
            id,
            fallback.filter_map(Value::as_str).map(|other| kind_of(other).to_owned()).collect(),
        );
        if id == "openrouter" {
            list.add(id, free());
        }
        for model in provider["models"].as_array().context("a provider without models")? {
            let name = model["id"].as_str().context("a model without an id")?;
            // Its free variants have no price there at all, and their name says why.
            if id == "openrouter" && name.ends_with(FREE) {
                continue;
            }
            match self::model(id, name, model, list) {
                Ok(model) => list.add(id, model),
                Err(fault) => list.note(id, name, &format!("left out: {fault}")),
            }
        }
    }
    Ok(())
}

/// How names of OpenRouter's free variants end (openrouter.ai/docs, "free variant", seen 2026-11).
const FREE: &str = ":free";

/// All free variants of OpenRouter's models.
fn free() -> ModelPrices {
    let zero = UnitPrice::from_pico_usd(0);
    let rates =
        Rates { input: zero, cache_read: zero, cache_write_5m: zero, output: zero, ..Rates::default() };
    ModelPrices {
        id: "free variants".to_owned(),
        matches: vec![format!("*{FREE}")],
        except: Vec::new(),
        prices: vec![PriceEntry { rates, ..PriceEntry::default() }],
    }
}

fn model(provider: &str, id: &str, model: &Value, list: &mut List) -> Result<ModelPrices, Fault> {
    let mut names = Names::default();
    names.read(&model["match"])?;
    if names.names.len() + names.except.len() > PATTERNS_MAX {
        return Err("more names than we keep");
    }
    let mut prices = Vec::new();
    let plain = match &model["prices"] {
        Value::Array(list) => list.iter().map(|entry| (&entry["prices"], &entry["constraint"])).collect(),
        prices => vec![(prices, &Value::Null)],
    };
    for (rates, constraint) in plain {
        prices.push(entry(provider, id, rates, constraint, None, list)?);
    }
    if prices.iter().all(|price| price.rates.is_empty()) {
        return Err("it has no price of anything that is read here");
    }
    for variant in model["price_variants"].as_array().into_iter().flatten() {
        let when = variant["when"].as_object().ok_or("a variant without a condition")?;
        match mode(when) {
            // What is billed at the ordinary price needs no price of its own.
            Some(_) if variant["prices"].as_object().is_some_and(Map::is_empty) => {}
            Some(mode) => {
                prices.push(entry(
                    provider,
                    id,
                    &variant["prices"],
                    &variant["constraint"],
                    Some(mode),
                    list,
                )?);
            }
            None if when.get("service_tier").and_then(Value::as_str) == Some("default") => {}
            None => {
                list.note(provider, id, "a price that depends on something that is not read here is left out")
            }
        }
    }
    // Later entries count, and a variant without a date is meant to hold before the ones with one.
    prices.sort_by_key(|price| price.mode.map(|mode| (mode, price.from)));
    Ok(ModelPrices { id: id.to_owned(), matches: names.names, except: names.except, prices })
}

fn mode(when: &Map<String, Value>) -> Option<Mode> {
    let (key, value) = when.iter().next().filter(|_| when.len() == 1)?;
    match (key.as_str(), value.as_str()?) {
        ("processing" | "service_tier", "batch") => Some(Mode::Batch),
        ("service_tier", "flex") => Some(Mode::Flex),
        ("service_tier", "priority") => Some(Mode::Priority),
        ("service_tier" | "speed", "fast") => Some(Mode::Fast),
        _ => None,
    }
}

/// Names that rules stand for.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    except: Vec<String>,
}

impl Names {
    fn read(&mut self, rule: &Value) -> Result<(), Fault> {
        let (key, value) =
            rule.as_object().and_then(|rule| rule.iter().next()).ok_or("a rule without a clause")?;
        let text = || {
            value.as_str().filter(|text| !text.contains(['*', '#'])).ok_or("a rule that is not understood")
        };
        match key.as_str() {
            "equals" => self.names.push(text()?.to_owned()),
            "starts_with" => self.names.push(format!("{}*", text()?)),
            "ends_with" => self.names.push(format!("*{}", text()?)),
            "contains" => self.names.push(format!("*{}*", text()?)),
            "regex" => match value.as_str().and_then(globs) {
                Some(Globs::Names(names)) => self.names.extend(names),
                _ => return Err("an expression that is not understood"),
            },
            "or" => {
                for rule in value.as_array().ok_or("a rule without parts")? {
                    self.read(rule)?;
                }
            }
            "and" => self.both(value.as_array().ok_or("a rule without parts")?)?,
            _ => return Err("a rule that is not understood"),
        }
        Ok(())
    }

    /// One rule, and refusals of some of its names.
    fn both(&mut self, rules: &[Value]) -> Result<(), Fault> {
        let mut found = 0;
        for rule in rules {
            match rule["regex"].as_str().and_then(globs) {
                Some(Globs::AllBut(names)) => self.except.extend(names),
                _ => {
                    self.read(rule)?;
                    found += 1;
                }
            }
        }
        if found == 1 { Ok(()) } else { Err("a rule of several parts that is not understood") }
    }
}

fn entry(
    provider: &str,
    id: &str,
    prices: &Value,
    constraint: &Value,
    mode: Option<Mode>,
    list: &mut List,
) -> Result<PriceEntry, Fault> {
    let prices = prices.as_object().ok_or("prices of another form")?;
    let mut made = PriceEntry { mode, ..PriceEntry::default() };
    if let Some(constraint) = constraint.as_object() {
        made.from = match constraint.get("start_date").map(|date| date.as_str().and_then(Date::parse)) {
            Some(None) => return Err("a date of another form"),
            Some(date) => date,
            None => None,
        };
        made.hours = hours(constraint)?;
    }
    let mut above: BTreeMap<u64, Rates> = BTreeMap::new();
    for (key, value) in prices {
        if let Some((_, plain)) = UNTOLD.iter().find(|(untold, _)| untold == key) {
            if prices.get(*plain).is_some_and(|plain| plain != value) {
                list.note(
                    provider,
                    id,
                    &format!("{plain} is not taken: {key} differs, and usage does not tell them apart"),
                );
            }
            continue;
        }
        if is_untold(prices, key) {
            continue;
        }
        let (base, tiers) = match value {
            Value::Object(tiered) => (tiered.get("base").unwrap_or(&Value::Null), tiered.get("tiers")),
            Value::Null => continue,
            flat => (flat, None),
        };
        let rounded = set(&mut made.rates, key, base)?;
        for tier in tiers.and_then(Value::as_array).into_iter().flatten() {
            let start = tier["start"].as_u64().ok_or("a tier without a start")?;
            set(above.entry(start).or_default(), key, &tier["price"])?;
        }
        if rounded {
            list.note(
                provider,
                id,
                &format!("{key} is rounded to a millionth of a dollar per million tokens"),
            );
        }
    }
    // Google publishes one price for text, images and sound together where it does not publish two.
    if provider == "gemini" && mode.is_none() && made.rates.audio_in.is_none() {
        made.rates.audio_in = made.rates.input;
        for rates in above.values_mut() {
            rates.audio_in = rates.input;
        }
    }
    made.above = above.into_iter().map(|(tokens, rates)| Tier { tokens, rates }).collect();
    Ok(made)
}

/// Whether a kind of tokens that counts as `key` has another price.
fn is_untold(prices: &Map<String, Value>, key: &str) -> bool {
    let differs = |untold: &str| prices.get(untold).is_some_and(|other| Some(other) != prices.get(key));
    UNTOLD.iter().any(|(untold, plain)| *plain == key && differs(untold))
}

fn hours(constraint: &Map<String, Value>) -> Result<Option<Hours>, Fault> {
    let time = |key| match constraint.get(key) {
        None => Ok(None),
        // Only whole minutes in UTC: `16:30:00+00:00` or `16:30:00Z`.
        Some(time) => {
            let minutes =
                time.as_str().and_then(|time| time.strip_suffix("+00:00").or_else(|| time.strip_suffix('Z')));
            minutes.and_then(|time| time.strip_suffix(":00")).map(Some).ok_or("hours of another form")
        }
    };
    match (time("start_time")?, time("end_time")?) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) => {
            Hours::parse(&format!("{from}-{to}")).map(Some).ok_or("hours of another form")
        }
        _ => Err("hours of another form"),
    }
}

/// Sets the price that a key stands for; whether it was rounded. Keys that we do not read are passed over.
fn set(rates: &mut Rates, key: &str, value: &Value) -> Result<bool, Fault> {
    // A price per thousand requests is one per request, three places on.
    Ok(match key {
        "input_mtok" => place(&mut rates.input, value, 0)?,
        "cache_read_mtok" => place(&mut rates.cache_read, value, 0)?,
        "cache_write_mtok" => {
            // A price of its own for five minutes counts, whichever comes first.
            let mut general = None;
            let rounded = place(&mut general, value, 0)?;
            rates.cache_write_5m = rates.cache_write_5m.or(general);
            rounded
        }
        "cache_write_5m_mtok" => place(&mut rates.cache_write_5m, value, 0)?,
        "cache_write_1h_mtok" => place(&mut rates.cache_write_1h, value, 0)?,
        "output_mtok" => place(&mut rates.output, value, 0)?,
        "output_reasoning_mtok" => place(&mut rates.reasoning, value, 0)?,
        "input_audio_mtok" => place(&mut rates.audio_in, value, 0)?,
        "output_audio_mtok" => place(&mut rates.audio_out, value, 0)?,
        "web_searches_kcount" => place(&mut rates.web_search, value, -3)?,
        "requests_kcount" => place(&mut rates.request, value, -3)?,
        _ => false,
    })
}

fn place<const DECIMALS: u32>(
    slot: &mut Option<UnitPrice<DECIMALS>>,
    value: &Value,
    places: i32,
) -> Result<bool, Fault> {
    let (price, rounded) = Amount::of(value)?.shifted(places).price()?;
    *slot = Some(price);
    Ok(rounded)
}
