//! `narrows prices`: what models cost, what a file changes, and prices in others' formats.

use super::args::{DiffArguments, ImportArguments, PricesArguments, PricesCommand, ShowArguments};
use super::table::{self, ABSENT};
use super::time::{now_us, point_us};
use super::{Console, Outcome};
use crate::prices::Prices;
use crate::prices::import::{FILE_BYTES_MAX, import};
use anyhow::{Context as _, Result, anyhow};
use narrows_meter::price_file::{Date, ModelPrices, PriceFile, ProviderPrices};
use narrows_meter::{Price, Rates};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

/// What operators ask and do about prices.
pub(crate) fn prices(arguments: &PricesArguments, console: &mut Console<'_>) -> Result<Outcome> {
    match &arguments.command {
        PricesCommand::Show(arguments) => show(arguments, console),
        PricesCommand::Diff(arguments) => diff(arguments, console),
        PricesCommand::Import(arguments) => import_file(arguments, console),
    }
}

fn read_text(file: &Path) -> Result<String> {
    let open = || std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()));
    let mut bytes = Vec::new();
    open()?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(anyhow!("{} is larger than {FILE_BYTES_MAX} bytes", file.display()));
    }
    String::from_utf8(bytes).map_err(|_utf8| anyhow!("{} is not UTF-8", file.display()))
}

fn read(file: Option<&Path>) -> Result<Arc<Prices>> {
    match file {
        None => Ok(Arc::clone(Prices::built_in())),
        Some(file) => {
            let prices = Prices::read(&read_text(file)?);
            prices.map(Arc::new).with_context(|| format!("{} is no file of prices", file.display()))
        }
    }
}

fn import_file(arguments: &ImportArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let date = match &arguments.date {
        None => Date::of(now_us()),
        Some(text) => Date::parse(text).ok_or_else(|| anyhow!("`{text}` is not a day; write 2026-11-26"))?,
    };
    let text = read_text(&arguments.file)?;
    let mut imported = import(arguments.format, &text, date)
        .with_context(|| format!("{} is not of that format", arguments.file.display()))?;
    if let Some(source) = &arguments.source {
        imported.file.source = format!("{}, {source}", imported.file.source);
    }
    if !arguments.only.is_empty() {
        imported.file.providers.retain(|provider| arguments.only.contains(&provider.id));
        for provider in &mut imported.file.providers {
            provider.fallback.retain(|other| arguments.only.contains(other));
        }
    }
    // What was made must be what a gateway takes.
    let prices = Prices::new(imported.file)?;
    match &arguments.output {
        None => write_file(&prices.file, console.out)?,
        Some(output) => {
            let mut text = Vec::new();
            write_file(&prices.file, &mut text)?;
            std::fs::write(output, text).with_context(|| format!("cannot write {}", output.display()))?;
        }
    }
    for note in &imported.notes {
        writeln!(console.err, "note: {note}")?;
    }
    let providers = prices.file.providers.len();
    let more = match imported.notes_left_out {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    writeln!(
        console.err,
        "{} models of {providers} providers; {} notes{more}",
        prices.table.len(),
        imported.notes.len()
    )?;
    Ok(Outcome::Fine)
}

/// A line for each model, so that versions of a file can be compared.
fn write_file(file: &PriceFile, out: &mut dyn Write) -> Result<()> {
    let text = |value: &str| serde_json::to_string(value);
    writeln!(out, "{{\"format\":{},\"source\":{},", file.format, text(&file.source)?)?;
    writeln!(out, "\"date\":\"{}\",\"providers\":[", file.date)?;
    for (place, ProviderPrices { id, fallback, models }) in file.providers.iter().enumerate() {
        write!(out, "{{\"id\":{},", text(id)?)?;
        if !fallback.is_empty() {
            write!(out, "\"fallback\":{},", serde_json::to_string(fallback)?)?;
        }
        writeln!(out, "\"models\":[")?;
        for (place, model) in models.iter().enumerate() {
            let comma = if place + 1 < models.len() { "," } else { "" };
            writeln!(out, "{}{comma}", serde_json::to_string(model)?)?;
        }
        let comma = if place + 1 < file.providers.len() { "," } else { "" };
        writeln!(out, "]}}{comma}")?;
    }
    writeln!(out, "]}}")?;
    Ok(())
}

fn diff(arguments: &DiffArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let newer = read(Some(&arguments.file))?;
    let older = read(arguments.older.as_deref())?;
    let only = arguments.provider.as_deref();
    let (before, after) = (models(&older.file, only), models(&newer.file, only));
    let mut differs = false;
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for (provider, id) in keys {
        let (before, after) = (before.get(&(*provider, *id)), after.get(&(*provider, *id)));
        if before == after {
            continue;
        }
        differs = true;
        let what = match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        if arguments.json {
            let line =
                json!({"provider": provider, "model": id, "change": what, "before": before, "after": after});
            writeln!(console.out, "{line}")?;
            continue;
        }
        writeln!(console.out, "{what:7}  {provider}/{id}")?;
        for (sign, model) in [("-", before), ("+", after)] {
            for entry in model.iter().flat_map(|model| &model.prices) {
                writeln!(console.out, "         {sign} {}", serde_json::to_string(entry)?)?;
            }
        }
    }
    Ok(if differs { Outcome::Failed } else { Outcome::Fine })
}

fn models<'a>(file: &'a PriceFile, only: Option<&str>) -> BTreeMap<(&'a str, &'a str), &'a ModelPrices> {
    let providers = file.providers.iter().filter(|provider| only.is_none_or(|only| only == provider.id));
    let of = |provider: &'a ProviderPrices| {
        provider.models.iter().map(|model| ((provider.id.as_str(), model.id.as_str()), model))
    };
    providers.flat_map(of).collect()
}

fn show(arguments: &ShowArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let now_us = now_us();
    let at_us = arguments.at.as_deref().map_or(Ok(now_us), |text| point_us(text, -1, now_us))?;
    let prices = read(arguments.file.as_deref())?;
    let mut shown = Vec::new();
    for ProviderPrices { id: provider, models, .. } in &prices.file.providers {
        if arguments.provider.as_deref().is_some_and(|only| only != provider) {
            continue;
        }
        match &arguments.model {
            Some(name) => {
                if let Some(model) = prices.table.model(provider, name) {
                    shown.extend(model.price(None, at_us).map(|price| (provider, model.id(), price)));
                }
            }
            None => shown.extend(models.iter().filter_map(|model| {
                let found = prices.table.model(provider, &model.id)?;
                Some((provider, found.id(), found.price(None, at_us)?))
            })),
        }
    }
    if shown.is_empty() {
        writeln!(console.err, "no price is known")?;
        return Ok(Outcome::Failed);
    }
    if arguments.json {
        for (provider, model, price) in shown {
            writeln!(console.out, "{}", price_json(provider, model, price))?;
        }
        return Ok(Outcome::Fine);
    }
    let rows: Vec<Vec<String>> =
        shown.iter().flat_map(|(provider, model, price)| rows(provider, model, price)).collect();
    let titles = ["PROVIDER", "MODEL", "INPUT", "CACHE READ", "WRITE 5M", "WRITE 1H", "OUTPUT", "OTHER"];
    table::write(console.out, &titles, &[2, 3, 4, 5, 6], &rows)?;
    let PriceFile { source, date, .. } = &prices.file;
    writeln!(
        console.out,
        "\nUSD per million tokens; per request where it says so. {source}, {date}, version {:016x}",
        prices.version
    )?;
    Ok(Outcome::Fine)
}

fn price_json(provider: &str, model: &str, price: &Price) -> serde_json::Value {
    json!({"provider": provider, "model": model, "rates": price.rates(0), "above": price.tiers()})
}

/// A row for the price, and one for each of its tiers.
fn rows(provider: &str, model: &str, price: &Price) -> Vec<Vec<String>> {
    let base = row(provider.to_owned(), model.to_owned(), price.rates(0));
    let tiers = price.tiers().iter();
    let tiers = tiers.map(|tier| {
        row(String::new(), format!("  above {} tokens", table::number(tier.tokens)), &tier.rates)
    });
    std::iter::once(base).chain(tiers).collect()
}

fn row(provider: String, model: String, rates: &Rates) -> Vec<String> {
    let main = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"];
    let entries: BTreeMap<&str, String> = rates.entries().collect();
    let cells = main.map(|name| entries.get(name).cloned().unwrap_or_else(|| ABSENT.to_owned()));
    let others = entries.iter().filter(|(name, _)| !main.contains(name));
    let others: Vec<String> = others.map(|(name, price)| format!("{name} {price}")).collect();
    [provider, model].into_iter().chain(cells).chain([others.join(", ")]).collect()
}
