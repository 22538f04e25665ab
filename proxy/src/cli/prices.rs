//! `narrows prices`: what models cost, what a file changes, and prices in others' formats.

use super::args::{DiffArguments, ImportArguments, PricesArguments, PricesCommand, ShowArguments};
use super::table::{self, ABSENT};
use super::time::{now_us, point_us};
use super::{Console, Outcome};
use crate::config;
use crate::prices::Prices;
use crate::prices::import::{FILE_BYTES_MAX, import};
use anyhow::{Context as _, Result, anyhow};
use narrows_meter::price_file::{Date, ModelPrices, PriceFile, ProviderPrices};
use narrows_meter::{Factor, Mode, Price, Rates, Tier, decimal};
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
    let (prices, shown) = match (&arguments.config, &arguments.model) {
        (Some(config), Some(model)) => charged(config, model, at_us)?,
        _ => listed(arguments, at_us)?,
    };
    let of = |one: &&Shown| arguments.provider.as_deref().is_none_or(|only| only == one.provider);
    let shown: Vec<&Shown> = shown.iter().filter(of).collect();
    if shown.is_empty() {
        writeln!(console.err, "no price is known")?;
        return Ok(Outcome::Failed);
    }
    if arguments.json {
        for one in shown {
            writeln!(console.out, "{}", one.json())?;
        }
        return Ok(Outcome::Fine);
    }
    let rows: Vec<Vec<String>> = shown.iter().flat_map(|one| one.rows()).collect();
    let titles = ["PROVIDER", "MODEL", "INPUT", "CACHE READ", "WRITE 5M", "WRITE 1H", "OUTPUT", "OTHER"];
    table::write(console.out, &titles, &[2, 3, 4, 5, 6], &rows)?;
    let PriceFile { source, date, .. } = &prices.file;
    let version = prices.version;
    writeln!(
        console.out,
        "\nUSD per million tokens; searches and requests each. {source}, {date}, version {version:016x}"
    )?;
    Ok(Outcome::Fine)
}

/// The ordinary mode, and every other one.
fn modes() -> impl Iterator<Item = Option<Mode>> {
    std::iter::once(None).chain(Mode::ALL.map(Some))
}

/// A price, and whose it is.
struct Shown {
    provider: String,
    model: String,
    /// `None` for the ordinary one.
    mode: Option<Mode>,
    price: Price,
    factor: Factor,
}

/// Prices of a list.
fn listed(arguments: &ShowArguments, at_us: i64) -> Result<(Arc<Prices>, Vec<Shown>)> {
    let prices = read(arguments.file.as_deref())?;
    let mut shown = Vec::new();
    for ProviderPrices { id, models, .. } in &prices.file.providers {
        let names: Vec<&str> = match &arguments.model {
            Some(name) => vec![name],
            // An id that is no name of its model is found by what is one.
            None => models.iter().map(|model| model.matches.first().unwrap_or(&model.id).as_str()).collect(),
        };
        for name in names {
            let Some(model) = prices.table.model(id, name) else { continue };
            for mode in modes() {
                let Some(price) = model.price(mode, at_us) else { continue };
                let (provider, model) = (id.clone(), model.id().to_owned());
                shown.push(Shown { provider, model, mode, price: price.clone(), factor: Factor::ONE });
            }
        }
    }
    Ok((prices, shown))
}

/// What the providers of a configuration charge.
fn charged(file: &Path, model: &str, at_us: i64) -> Result<(Arc<Prices>, Vec<Shown>)> {
    let settings = config::load(file).map_err(|problems| anyhow!("{problems}"))?.settings;
    let mut shown = Vec::new();
    for provider in &settings.providers {
        let tariff = settings.prices.tariff(&provider.name, provider.kind)?;
        for mode in modes() {
            let Some(quote) = tariff.quote(model, mode, at_us) else { continue };
            let (provider, model) = (provider.name.to_string(), model.to_owned());
            shown.push(Shown { provider, model, mode, price: quote.price.clone(), factor: quote.factor });
        }
    }
    Ok((Arc::clone(settings.prices.list.prices()), shown))
}

/// Digits after the point of a factor.
const FACTOR_DECIMALS: u32 = 6;

impl Shown {
    fn factor(&self) -> String {
        decimal::text(u64::from(self.factor.millionths()), FACTOR_DECIMALS)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "provider": self.provider, "model": self.model, "mode": self.mode, "factor": self.factor(),
            "rates": self.price.rates(0), "above": self.price.tiers(),
        })
    }

    /// A row for the price, and one for each of its tiers.
    fn rows(&self) -> Vec<Vec<String>> {
        let mode = self.mode.map(|mode| format!(", {}", mode.as_str())).unwrap_or_default();
        let mut base = row(self.provider.clone(), format!("{}{mode}", self.model), self.price.rates(0));
        if self.factor != Factor::ONE
            && let Some(others) = base.last_mut()
        {
            let comma = if others.is_empty() { "" } else { ", " };
            others.push_str(&format!("{comma}all times {}", self.factor()));
        }
        let tier = |tier: &Tier| {
            row(String::new(), format!("  above {} tokens", table::number(tier.tokens)), &tier.rates)
        };
        std::iter::once(base).chain(self.price.tiers().iter().map(tier)).collect()
    }
}

fn row(provider: String, model: String, rates: &Rates) -> Vec<String> {
    let main = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"];
    let entries: BTreeMap<&str, String> = rates.entries().collect();
    let cells = main.map(|name| entries.get(name).cloned().unwrap_or_else(|| ABSENT.to_owned()));
    let others = entries.iter().filter(|(name, _)| !main.contains(name));
    let others: Vec<String> = others.map(|(name, price)| format!("{name} {price}")).collect();
    [provider, model].into_iter().chain(cells).chain([others.join(", ")]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::narrows;

    fn write(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn list(input: &str) -> String {
        let above = r#""above":[{"tokens":272000,"rates":{"input":"9"}}]"#;
        let model =
            format!(r#"{{"id":"m","match":["m-*"],"prices":[{{"rates":{{"input":"{input}"}},{above}}}]}}"#);
        let provider = format!(r#"{{"id":"openai","models":[{model}]}}"#);
        format!(r#"{{"format":1,"source":"ours","date":"2026-11-26","providers":[{provider}]}}"#)
    }

    #[test]
    fn prices_are_shown_by_list_and_by_provider() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(&folder, "prices.json", &list("2.5"));
        let (code, out, _) = narrows(&["prices", "show", "m-1", "--file", &file]);
        assert_eq!(code, 0, "{out}");
        assert!(
            out.contains("openai") && out.contains("2.5") && out.contains("above 272,000 tokens"),
            "{out}"
        );
        assert!(out.contains("ours, 2026-11-26, version "), "{out}");
        let (code, out, _) = narrows(&["prices", "show", "--file", &file, "--json"]);
        assert_eq!((code, out.lines().count()), (0, 1), "an id that is no name is found: {out}");
        assert!(out.contains(r#""input":"2.5""#), "{out}");
        let (code, _, err) = narrows(&["prices", "show", "nothing", "--file", &file]);
        assert_eq!((code, err.as_str()), (1, "no price is known\n"));

        let text = "version: 1\nproviders:\n  main: {kind: openai, api_key: k}\n  own: {kind: vllm}\nprices:\n  \
                    file: prices.json\n  \
                    providers: {main: {factor: 0.8}, own: {models: [{match: [m-1], input: 7}]}}\n";
        let config = write(&folder, "n.yaml", text);
        let (code, out, _) = narrows(&["prices", "show", "m-1", "--config", &config]);
        assert_eq!(code, 0, "{out}");
        assert!(out.contains("all times 0.8") && out.lines().any(|line| line.starts_with("own ")), "{out}");
        let (code, out, _) = narrows(&["prices", "show", "gpt-4o", "--provider", "openai"]);
        assert!(code == 0 && out.contains("genai-prices (MIT"), "{out}");
    }

    #[test]
    fn a_price_is_shown_in_every_mode_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let prices = r#"[{"rates":{"input":"2.5"}},{"mode":"priority","rates":{"input":"5"}}]"#;
        let model = format!(r#"{{"id":"m","match":["m-*"],"prices":{prices}}}"#);
        let provider = format!(r#"{{"id":"openai","models":[{model}]}}"#);
        let text = format!(r#"{{"format":1,"source":"ours","date":"2026-11-26","providers":[{provider}]}}"#);
        let file = write(&folder, "prices.json", &text);
        let (code, out, _) = narrows(&["prices", "show", "m-1", "--file", &file]);
        let has = |model: &str, price: &str| {
            out.lines().any(|line| line.starts_with("openai") && line.contains(model) && line.contains(price))
        };
        assert!(code == 0 && has(" m ", " 2.5 ") && has(" m, priority ", " 5 "), "{out}");
        let (_, out, _) = narrows(&["prices", "show", "m-1", "--file", &file, "--json"]);
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].contains(r#""mode":null"#) && lines[1].contains(r#""mode":"priority""#), "{out}");

        let text =
            "version: 1\nproviders:\n  main: {kind: openai, api_key: k}\nprices:\n  file: prices.json\n";
        let config = write(&folder, "n.yaml", text);
        let (code, out, _) = narrows(&["prices", "show", "m-1", "--config", &config]);
        assert!(code == 0 && out.contains("m-1, priority"), "{out}");
    }

    #[test]
    fn files_are_compared_and_imported() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (write(&folder, "old.json", &list("1")), write(&folder, "new.json", &list("2")));
        assert_eq!(narrows(&["prices", "diff", &old, &old]).0, 0);
        let (code, out, _) = narrows(&["prices", "diff", &new, &old]);
        assert_eq!(code, 1);
        assert!(
            out.starts_with("changed  openai/m\n") && out.contains("- {") && out.contains("+ {"),
            "{out}"
        );
        let (_, out, _) = narrows(&["prices", "diff", &new, &old, "--json"]);
        assert!(out.contains(r#""change":"changed""#), "{out}");

        let gpt = r#""gpt-x":{"litellm_provider":"openai","input_cost_per_token":1e-06}"#;
        let theirs =
            write(&folder, "litellm.json", &format!(r#"{{{gpt},"img":{{"litellm_provider":"openai"}}}}"#));
        let ours = folder.path().join("ours.json").display().to_string();
        let (code, out, err) =
            narrows(&["prices", "import", "litellm", &theirs, "-o", &ours, "--date", "2026-11-26"]);
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(
            err.contains("note: openai img: left out") && err.contains("1 models of 1 providers"),
            "{err}"
        );
        let (code, out, _) = narrows(&["prices", "show", "gpt-x", "--file", &ours]);
        assert!(code == 0 && out.contains("LiteLLM (MIT"), "{out}");
        let (code, out, _) = narrows(&["prices", "import", "litellm", &theirs, "--only", "anthropic"]);
        assert!(code == 0 && out.contains("\"providers\":[\n]}"), "{out}");
        assert_eq!(narrows(&["prices", "import", "openrouter", &theirs]).0, 1);
        assert_eq!(narrows(&["prices", "import", "litellm", &theirs, "--date", "today"]).0, 1);
    }
}
