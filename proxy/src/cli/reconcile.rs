//! `narrows usage reconcile`: a provider's own account of what was used, beside what the records say.

use super::args::{ReconcileArguments, StoreArguments};
use super::table::{self, ABSENT, dollars, number};
use super::{Console, Outcome, csv, store, time};
use anyhow::{Context, Result, anyhow, bail};
use jiff::civil::Date;
use narrows_ledger::{Filter, Reader, Record};
use narrows_meter::{Usage, decimal};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::Read;

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;

/// What a figure is, in the order of a row.
const FIGURES: [&str; 4] = ["requests", "input", "output", "cost_nanousd"];

/// What a column says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Day,
    /// Seconds since the epoch.
    Second,
    Model,
    /// Part of a figure; several columns of one figure are added up.
    Figure(usize),
    Currency,
    /// Known, and nothing to compare.
    Passed,
}

/// The columns of the files that are known: OpenAI's exports of usage and of costs, Anthropic's of usage and of costs, and a
/// plain one with `date`, `model`, `requests`, `input_tokens`, `output_tokens`, `cost_usd`.
///
/// Tokens of the prompt are one column with OpenAI (those that were cached are inside), and four with Anthropic.
fn column(name: &str) -> Option<Column> {
    Some(match name {
        "date" | "day" | "usage_date_utc" | "usage_date" | "start_time_iso" => Column::Day,
        "start_time" => Column::Second,
        "model" | "model_version" | "snapshot_id" | "line_item" => Column::Model,
        "requests" | "num_model_requests" | "n_requests" => Column::Figure(0),
        "input_tokens"
        | "prompt_tokens"
        | "usage_input_tokens_no_cache"
        | "usage_input_tokens_cache_write_5m"
        | "usage_input_tokens_cache_write_1h"
        | "usage_input_tokens_cache_read" => Column::Figure(1),
        "output_tokens" | "completion_tokens" | "usage_output_tokens" => Column::Figure(2),
        "cost_usd" | "amount_value" | "amount_usd" | "cost" => Column::Figure(3),
        "amount_currency" | "currency" => Column::Currency,
        "end_time"
        | "end_time_iso"
        | "project_id"
        | "project_name"
        | "organization_id"
        | "organization_name"
        | "user_id"
        | "user_email"
        | "api_key"
        | "api_key_id"
        | "api_key_name"
        | "workspace"
        | "batch"
        | "service_tier"
        | "usage_type"
        | "context_window"
        | "token_type"
        | "cost_type"
        | "inference_geo"
        | "speed"
        | "input_cached_tokens"
        | "input_uncached_tokens"
        | "input_audio_tokens"
        | "output_audio_tokens"
        | "input_text_tokens"
        | "output_text_tokens"
        | "web_search_count" => Column::Passed,
        _ => return None,
    })
}

/// Figures of a day and a model; `None` is not told.
type Figures = [Option<u128>; FIGURES.len()];

/// What one side says, by day and model.
type Side = BTreeMap<(i64, String), Figures>;

/// Exchanges without a known cost, by day and model.
type Unknown = BTreeMap<(i64, String), u64>;

/// Reads a provider's file.
fn invoice(text: &str, ignored: &[String]) -> Result<Side> {
    let mut rows = csv::rows(text)?.into_iter();
    let titles = rows.next().ok_or_else(|| anyhow!("the file is empty"))?;
    let mut columns = Vec::with_capacity(titles.len());
    for title in &titles {
        let name = title.trim().to_ascii_lowercase().replace(' ', "_");
        let known = match ignored.iter().any(|other| other.eq_ignore_ascii_case(title.trim())) {
            true => Some(Column::Passed),
            false => column(&name),
        };
        let unknown = || {
            anyhow!(
                "the column {title:?} is not known; leave it out with --ignore {name}, or rename it to one of date, \
                 model, requests, input_tokens, output_tokens, cost_usd"
            )
        };
        columns.push(known.ok_or_else(unknown)?);
    }
    let day = columns.iter().position(|column| *column == Column::Day);
    let day = day.or_else(|| columns.iter().position(|column| *column == Column::Second));
    let model = columns.iter().position(|column| *column == Column::Model);
    let (Some(day), Some(model)) = (day, model) else {
        bail!("the file has no column with the day (date), or none with the model (model)");
    };
    if !columns.iter().any(|column| matches!(column, Column::Figure(_))) {
        bail!("the file has no column to compare: requests, input_tokens, output_tokens or cost_usd");
    }
    let mut side = Side::new();
    for (line, cells) in (2..).zip(rows) {
        if cells.len() != columns.len() {
            bail!("row {line} has {} cells, and the titles are {}", cells.len(), columns.len());
        }
        read_row(&columns, &cells, (day, model), &mut side).with_context(|| format!("row {line}"))?;
    }
    Ok(side)
}

fn read_row(
    columns: &[Column],
    cells: &[String],
    (day, model): (usize, usize),
    side: &mut Side,
) -> Result<()> {
    let cell = |at: usize| cells.get(at).map(|cell| cell.trim()).unwrap_or_default();
    let day = day_of(cell(day))?;
    // A line of costs names what was used behind the model: `gpt-4o-2024-08-06, input`.
    let name = cell(model).split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
    let figures = side.entry((day, name)).or_default();
    for (at, column) in columns.iter().enumerate() {
        match column {
            Column::Figure(which) => {
                let amount = if *which == 3 { nano_usd(cell(at))? } else { count(cell(at))? };
                if let Some(figure) = figures.get_mut(*which) {
                    *figure = Some(figure.unwrap_or(0).saturating_add(amount));
                }
            }
            Column::Currency if !cell(at).is_empty() && !cell(at).eq_ignore_ascii_case("usd") => {
                bail!("amounts are in {}; only US dollars can be compared", cell(at));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The day a text falls in, counted from the epoch.
fn day_of(text: &str) -> Result<i64> {
    if let Ok(second) = text.parse::<i64>() {
        return Ok(second.div_euclid(86_400));
    }
    let date = text.get(.."2026-11-01".len()).and_then(|date| date.parse::<Date>().ok());
    let start = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let start = start.ok_or_else(|| anyhow!("{text:?} is no day; as 2026-11-01"))?;
    Ok(start.timestamp().as_microsecond().div_euclid(DAY_US))
}

/// A number of things; nothing is none. Some exports write `12.0`.
fn count(text: &str) -> Result<u128> {
    let plain = text.replace(',', "");
    let whole = plain.split_once('.').filter(|(_, rest)| rest.bytes().all(|byte| byte == b'0'));
    let whole = whole.map_or(plain.as_str(), |(whole, _)| whole);
    if whole.is_empty() {
        return Ok(0);
    }
    whole.parse().map_err(|_no_number| anyhow!("{text:?} is no whole number"))
}

/// An amount of dollars in nano-dollars; digits beyond them are left out.
fn nano_usd(text: &str) -> Result<u128> {
    let plain = text.trim_start_matches('$').replace(',', "");
    if plain.is_empty() {
        return Ok(0);
    }
    let (whole, rest) = plain.split_once('.').unwrap_or((&plain, ""));
    let digits = rest.get(..rest.len().min(9)).unwrap_or_default();
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(rest) {
        bail!("{text:?} is no amount of dollars (as 12.34; credits below zero are not compared)");
    }
    let nano = decimal::scaled(&format!("{}.{digits:0<9}", if whole.is_empty() { "0" } else { whole }), 9);
    Ok(u128::from(nano.map_err(|fault| anyhow!("{text:?}: {fault}"))?))
}

/// What the records say of one provider.
fn recorded(reader: &Reader, provider: &str, filter: &Filter) -> Result<(Side, Unknown)> {
    let mut side = Side::new();
    let mut unknown = Unknown::new();
    let mut add = |day: i64, model: Option<&str>, requests: u128, usage: &Usage, cost: Option<u64>| {
        let key = (day, model.unwrap_or_default().to_ascii_lowercase());
        let figures = side.entry(key.clone()).or_default();
        let more = [
            requests,
            usage.input().unwrap_or(0).into(),
            usage.output().unwrap_or(0).into(),
            cost.unwrap_or(0).into(),
        ];
        for (figure, more) in figures.iter_mut().zip(more) {
            *figure = Some(figure.unwrap_or(0).saturating_add(more));
        }
        if cost.is_none() {
            *unknown.entry(key).or_default() += 1;
        }
    };
    reader.each(filter, &mut |record: &Record| {
        let day = record.started_at_us.div_euclid(DAY_US);
        let was_used = !record.usage.is_unknown() || record.cost.nano_usd() != Some(0);
        if record.provider.as_deref() == Some(provider) && was_used {
            let model = record.model_answered.as_deref().or(record.model_sent.as_deref());
            add(day, model, 1, &record.usage, record.cost.nano_usd());
        }
        for used in record.also_used.iter().filter(|used| &*used.provider == provider) {
            add(day, used.model.as_deref(), 0, &used.usage, used.cost.nano_usd());
        }
    })?;
    Ok((side, unknown))
}

/// How a row came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Agrees,
    Differs,
    OnlyRecords,
    OnlyInvoice,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Agrees => "agrees",
            Verdict::Differs => "differs",
            Verdict::OnlyRecords => "only in records",
            Verdict::OnlyInvoice => "only in invoice",
        }
    }
}

/// A day and a model on both sides.
struct Row {
    day: i64,
    model: String,
    ours: Figures,
    theirs: Figures,
    /// Exchanges whose cost the records do not know.
    unknown: u64,
    result: Verdict,
}

/// The share that figures may differ by: parts of a hundred thousand of the larger one.
fn tolerance(text: &str) -> Result<u128> {
    let parts = decimal::scaled(text.trim_end_matches('%'), 3).ok().filter(|parts| *parts <= 100_000);
    parts.map(u128::from).ok_or_else(|| anyhow!("--tolerance is a percentage from 0 to 100, as 1 or 0.5"))
}

fn is_near(one: u128, other: u128, tolerance: u128) -> bool {
    one.abs_diff(other).saturating_mul(100_000) <= tolerance.saturating_mul(one.max(other))
}

fn compare(
    ours: Side,
    mut theirs: Side,
    unknown: &BTreeMap<(i64, String), u64>,
    tolerance: u128,
) -> Vec<Row> {
    // What the other side tells nothing of at all is not compared.
    let told: Vec<bool> = (0..FIGURES.len())
        .map(|which| theirs.values().any(|figures| figures.get(which).is_some_and(Option::is_some)))
        .collect();
    let is_nothing =
        |figures: &Figures| figures.iter().zip(&told).all(|(figure, told)| !told || figure.unwrap_or(0) == 0);
    let mut rows = Vec::new();
    for (key, ours) in ours {
        let (result, theirs) = match theirs.remove(&key) {
            None if is_nothing(&ours) => continue,
            None => (Verdict::OnlyRecords, Figures::default()),
            Some(theirs) => {
                let pairs = ours.iter().zip(&theirs);
                let near = |(one, other): (&Option<u128>, &Option<u128>)| {
                    other.is_none_or(|other| is_near(one.unwrap_or(0), other, tolerance))
                };
                (if pairs.into_iter().all(near) { Verdict::Agrees } else { Verdict::Differs }, theirs)
            }
        };
        let unknown = unknown.get(&key).copied().unwrap_or(0);
        let (day, model) = key;
        rows.push(Row { day, model, ours, theirs, unknown, result });
    }
    for ((day, model), theirs) in theirs.into_iter().filter(|(_, theirs)| !is_nothing(theirs)) {
        let (ours, unknown) = (Figures::default(), 0);
        rows.push(Row { day, model, ours, theirs, unknown, result: Verdict::OnlyInvoice });
    }
    rows.sort_by(|one, other| (one.day, &one.model).cmp(&(other.day, &other.model)));
    rows
}

impl Row {
    fn day(&self) -> String {
        let time = narrows_ledger::time(self.day.saturating_mul(DAY_US)).unwrap_or_default();
        time.get(.."2026-11-01".len()).unwrap_or_default().to_owned()
    }

    fn json(&self) -> Json {
        let side = |figures: &Figures| -> Json {
            let pairs = FIGURES.iter().zip(figures).map(|(name, figure)| {
                (
                    (*name).to_owned(),
                    figure.map_or(Json::Null, |figure| u64::try_from(figure).unwrap_or(u64::MAX).into()),
                )
            });
            Json::Object(pairs.collect())
        };
        json!({
            "day": self.day(), "model": self.model, "result": self.result.as_str(), "records": side(&self.ours),
            "invoice": side(&self.theirs), "cost_unknown": self.unknown,
        })
    }

    /// A figure of one side as text.
    fn text(which: usize, figure: Option<u128>) -> String {
        let Some(figure) = figure else { return ABSENT.to_owned() };
        let figure = u64::try_from(figure).unwrap_or(u64::MAX);
        if which == 3 { dollars(figure) } else { number(figure) }
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.day(), self.model.clone()];
        for (which, (ours, theirs)) in self.ours.iter().zip(&self.theirs).enumerate() {
            let (ours, theirs) = (Row::text(which, *ours), Row::text(which, *theirs));
            cells.push(if ours == theirs { ours } else { format!("{ours} / {theirs}") });
        }
        let more =
            if self.unknown > 0 { format!(" (cost of {} unknown)", self.unknown) } else { String::new() };
        cells.push(format!("{}{more}", self.result.as_str()));
        cells
    }

    fn csv(&self) -> String {
        let mut cells = vec![self.day(), csv::cell(&self.model)];
        for (which, (ours, theirs)) in self.ours.iter().zip(&self.theirs).enumerate() {
            for figure in [ours, theirs] {
                cells.push(figure.map_or(String::new(), |figure| match which {
                    3 => decimal::text(u64::try_from(figure).unwrap_or(u64::MAX), 9),
                    _ => figure.to_string(),
                }));
            }
        }
        cells.push(self.unknown.to_string());
        cells.push(self.result.as_str().to_owned());
        cells.join(",")
    }
}

/// Compares, and prints. Fails if anything differs.
pub(crate) fn reconcile(
    arguments: &ReconcileArguments,
    from: &StoreArguments,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    if store::remote(from)?.is_some() {
        bail!(
            "this reads every record, and so the store itself: --store or --config in the place of --admin"
        );
    }
    let tolerance = tolerance(&arguments.tolerance)?;
    let mut text = String::new();
    let file = std::fs::File::open(&arguments.file);
    let file = file.with_context(|| format!("cannot read {}", arguments.file.display()))?;
    file.take(csv::CSV_BYTES_MAX + 1).read_to_string(&mut text).context("the file is no text")?;
    if text.len() as u64 > csv::CSV_BYTES_MAX {
        bail!("{} is larger than {} bytes", arguments.file.display(), csv::CSV_BYTES_MAX);
    }
    let mut theirs =
        invoice(&text, &arguments.ignore).with_context(|| format!("{}", arguments.file.display()))?;
    let days = || theirs.keys().map(|(day, _)| *day);
    let (Some(first), Some(last)) = (days().min(), days().max()) else { bail!("the file has no rows") };
    let now = time::now_us();
    let point = |text: &Option<String>, otherwise: i64| {
        text.as_deref().map_or(Ok(otherwise), |text| time::point_us(text, -1, now))
    };
    let from_us = point(&arguments.from, first.saturating_mul(DAY_US))?;
    let to_us = point(&arguments.to, last.saturating_add(1).saturating_mul(DAY_US))?;
    theirs.retain(|(day, _), _| (from_us..to_us).contains(&day.saturating_mul(DAY_US)));
    let reader = store::reader(&store::locate(from)?)?;
    let filter = Filter { from_us: Some(from_us), to_us: Some(to_us), ..Filter::default() };
    let (ours, unknown) = recorded(&reader, &arguments.provider, &filter)?;
    let rows = compare(ours, theirs, &unknown, tolerance);
    write(arguments, from.json, &rows, console)?;
    let all_agree = rows.iter().all(|row| row.result == Verdict::Agrees);
    Ok(if all_agree { Outcome::Fine } else { Outcome::Failed })
}

fn write(
    arguments: &ReconcileArguments,
    as_json: bool,
    rows: &[Row],
    console: &mut Console<'_>,
) -> Result<()> {
    if as_json {
        rows.iter().try_for_each(|row| writeln!(console.out, "{}", row.json()))?;
        return Ok(());
    }
    if arguments.csv {
        writeln!(
            console.out,
            "day,model,requests_records,requests_invoice,input_records,input_invoice,output_records,output_invoice,\
             cost_usd_records,cost_usd_invoice,cost_unknown,result"
        )?;
        rows.iter().try_for_each(|row| writeln!(console.out, "{}", row.csv()))?;
        return Ok(());
    }
    let titles = ["DAY", "MODEL", "REQUESTS", "INPUT", "OUTPUT", "COST", "RESULT"];
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    table::write(console.out, &titles, &[2, 3, 4, 5], &cells)?;
    let differing = rows.iter().filter(|row| row.result != Verdict::Agrees).count();
    writeln!(
        console.out,
        "\n{} of {} rows agree within {} %; records / invoice where they do not read the same",
        rows.len() - differing,
        rows.len(),
        arguments.tolerance.trim_end_matches('%')
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(text: &str) -> Vec<(String, Figures)> {
        invoice(text, &[])
            .unwrap()
            .into_iter()
            .map(|((day, model), figures)| (format!("{day} {model}"), figures))
            .collect()
    }

    #[test]
    fn exports_of_both_providers_and_a_plain_one_are_read() {
        let openai = "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,batch,input_tokens,\
                      output_tokens,input_cached_tokens\n\
                      1767225600,1767312000,2026-01-01T00:00:00+00:00,x,p,3,gpt-4o-2024-08-06,false,100,20.0,60\n\
                      1767225600,1767312000,2026-01-01T00:00:00+00:00,x,q,1,gpt-4o-2024-08-06,false,5,1,0\n";
        let expected = [Some(4), Some(105), Some(21), None];
        assert_eq!(side(openai), [("20454 gpt-4o-2024-08-06".to_owned(), expected)]);
        let costs = "start_time,amount_value,amount_currency,line_item\n\
                     1767225600,0.0012345678912,usd,\"gpt-4o-2024-08-06, input\"\n\
                     1767225600,1.5,usd,\"gpt-4o-2024-08-06, output\"\n";
        let expected = [None, None, None, Some(1_501_234_567)];
        assert_eq!(side(costs), [("20454 gpt-4o-2024-08-06".to_owned(), expected)]);
        let anthropic = "usage_date_utc,model_version,api_key,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,\
                         usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count\n\
                         2026-01-01,Claude-X,k,1,2,3,4,5,0\n";
        assert_eq!(side(anthropic), [("20454 claude-x".to_owned(), [None, Some(10), Some(5), None])]);
        let plain =
            "Date,Model,Requests,Input Tokens,Output Tokens,Cost USD\n2026-01-01,m,\"1,000\",2,3,$4.5\n";
        let expected = [Some(1_000), Some(2), Some(3), Some(4_500_000_000)];
        assert_eq!(side(plain), [("20454 m".to_owned(), expected)]);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        for (text, wrong) in [
            ("", "empty"),
            ("date,model,tokens\n", "\"tokens\""),
            ("date,requests\n2026-01-01,1\n", "no column with the day (date), or none with the model"),
            ("date,model\n2026-01-01,m\n", "no column to compare"),
            ("date,model,requests\n2026-01-01,m\n", "row 2 has 2 cells"),
            ("date,model,requests\nyesterday,m,1\n", "\"yesterday\" is no day"),
            ("date,model,requests\n2026-01-01,m,1.5\n", "\"1.5\" is no whole number"),
            ("date,model,cost_usd\n2026-01-01,m,-1\n", "credits below zero"),
            ("date,model,cost,currency\n2026-01-01,m,1,EUR\n", "only US dollars"),
        ] {
            let error = format!("{:#}", invoice(text, &[]).unwrap_err());
            assert!(error.contains(wrong), "{text:?}: {error}");
        }
        assert!(invoice("date,model,tokens,requests\n2026-01-01,m,?,1\n", &["Tokens".to_owned()]).is_ok());
    }

    #[test]
    fn rows_agree_within_the_tolerance_and_each_side_may_have_its_own() {
        let of = |model: &str, input: u128| ((1, model.to_owned()), [Some(1), Some(input), Some(0), Some(0)]);
        let ours = Side::from([of("same", 100), of("near", 101), of("far", 102), of("ours", 1)]);
        let theirs: Side = [("same", 100), ("near", 100), ("far", 100), ("theirs", 1)]
            .map(|(model, input)| ((1, model.to_owned()), [None, Some(input), None, None]))
            .into();
        let results = |tolerance| {
            let rows = compare(ours.clone(), theirs.clone(), &BTreeMap::new(), tolerance);
            rows.into_iter().map(|row| (row.model, row.result)).collect::<BTreeMap<_, _>>()
        };
        let one_percent = results(tolerance("1").unwrap());
        assert_eq!(one_percent["same"], Verdict::Agrees);
        assert_eq!(one_percent["near"], Verdict::Agrees);
        assert_eq!(one_percent["far"], Verdict::Differs);
        assert_eq!(
            (one_percent["ours"], one_percent["theirs"]),
            (Verdict::OnlyRecords, Verdict::OnlyInvoice)
        );
        assert_eq!(results(0)["near"], Verdict::Differs, "without a tolerance");
        assert_eq!(results(0)["same"], Verdict::Agrees);
        for wrong in ["", "-1", "101", "x"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }
}
