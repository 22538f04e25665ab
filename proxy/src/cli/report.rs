//! `narrows usage` and `narrows records`: what the store knows of exchanges.

use super::args::{FilterArguments, RecordsArguments, SearchArguments, UsageArguments};
use super::remote::Remote;
use super::table::{self, ABSENT, dollars, number};
use super::{Console, Outcome, store, time};
use crate::admin::{nano_usd, outcome, statuses};
use crate::fetch::encode;
use anyhow::{Result, anyhow, bail};
use narrows_ledger::query::PAGE_LIMIT;
use narrows_ledger::{Decided, Dimension, Filter, PageRequest, Reader, Record, Search, Sums};
use narrows_policy::{Reason, TrafficClass};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

/// Most records one command shows.
pub(crate) const RECORDS_MAX: usize = 1_000_000;

/// Sums by group.
pub(crate) fn usage(arguments: &UsageArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let by = arguments.by.iter().map(|word| dimension(word)).collect::<Result<Vec<_>>>()?;
    let mut filter = filter(&arguments.filter)?;
    if let Some(month) = &arguments.month {
        (filter.from_us, filter.to_us) = time::month_us(month).map(|(from, to)| (Some(from), Some(to)))?;
    }
    let with_prices = arguments.prices || arguments.month.is_some();
    let (lines, prices) = match store::remote(&arguments.store)? {
        None => {
            let reader = store::reader(&store::locate(&arguments.store)?)?;
            let rows = reader.usage(&filter, &by)?;
            let lines = rows.iter().map(serde_json::to_string).collect::<serde_json::Result<Vec<_>>>()?;
            let uses = if with_prices { reader.price_uses(&filter)? } else { Vec::new() };
            (lines, uses.iter().map(serde_json::to_value).collect::<serde_json::Result<Vec<_>>>()?)
        }
        Some(remote) => {
            let by = by.iter().map(|dimension| dimension.as_str()).collect::<Vec<_>>().join(",");
            let prices = if with_prices { "true".to_owned() } else { String::new() };
            let query = query(&filter, &[("by", by), ("prices", prices)]);
            let answer = remote.get::<UsageAnswer>(&format!("/usage?{query}"))?;
            (texts(&answer.usage), answer.prices.unwrap_or_default())
        }
    };
    if arguments.store.json {
        lines.iter().try_for_each(|line| writeln!(console.out, "{line}"))?;
        if with_prices {
            writeln!(console.out, "{}", json!({"prices": prices}))?;
        }
        return Ok(Outcome::Fine);
    }
    if lines.is_empty() {
        writeln!(
            console.out,
            "No exchanges{}.",
            if filter == Filter::default() { " yet" } else { " match" }
        )?;
        return Ok(Outcome::Fine);
    }
    usage_table(console, &by, &lines)?;
    if with_prices {
        prices_used(console, &prices)?;
    }
    Ok(Outcome::Fine)
}

/// Which versions of the prices the costs were computed with.
fn prices_used(console: &mut Console<'_>, prices: &[Json]) -> Result<()> {
    writeln!(
        console.out,
        "\nCosts are those of the time of each exchange, and do not change with prices. Versions of the prices:"
    )?;
    let rows: Vec<Vec<String>> = prices
        .iter()
        .map(|one| {
            let figure = |name: &str| one.get(name).and_then(Json::as_u64).unwrap_or(0);
            let version = one.get("version").and_then(Json::as_str).unwrap_or("none needed");
            vec![
                version.to_owned(),
                text(one, "first_at"),
                text(one, "last_at"),
                number(figure("requests")),
                dollars(figure("cost_nanousd")),
                number(figure("cost_unknown")),
            ]
        })
        .collect();
    table::write(
        console.out,
        &["VERSION", "FIRST", "LAST", "REQUESTS", "COST", "UNKNOWN"],
        &[3, 4, 5],
        &rows,
    )?;
    Ok(())
}

/// What a gateway says about usage.
#[derive(Deserialize)]
struct UsageAnswer {
    usage: Vec<Box<RawValue>>,
    prices: Option<Vec<Json>>,
}

/// A page of records as a gateway gives it.
#[derive(Deserialize)]
struct RecordsAnswer {
    records: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// JSON as it stood in the answer, so that `--json` prints the same from near and far.
fn texts(values: &[Box<RawValue>]) -> Vec<String> {
    values.iter().map(|value| value.get().to_owned()).collect()
}

fn usage_table(console: &mut Console<'_>, by: &[Dimension], lines: &[String]) -> Result<()> {
    let mut titles: Vec<String> = by.iter().map(|dimension| dimension.as_str().to_uppercase()).collect();
    let figures = ["REQUESTS", "INPUT", "CACHED", "OUTPUT", "REASONING", "COST"];
    titles.extend(figures.map(str::to_owned));
    let mut total = Sums::default();
    let mut cells = Vec::with_capacity(lines.len() + 1);
    for line in lines {
        let row: Json = serde_json::from_str(line)?;
        let sums = Sums::deserialize(&row)?;
        let group = by.iter().map(|dimension| text(&row, dimension.as_str()));
        cells.push(group.chain(sums_cells(&sums)).collect::<Vec<_>>());
        total.add(&sums);
    }
    if lines.len() > 1 {
        let mut row = vec![String::new(); by.len()];
        if let Some(first) = row.first_mut() {
            "total".clone_into(first);
        }
        row.extend(sums_cells(&total));
        cells.push(row);
    }
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let right: Vec<usize> = (by.len()..titles.len()).collect();
    table::write(console.out, &titles, &right, &cells)?;
    if cells.iter().flatten().any(|cell| cell.ends_with('*')) {
        writeln!(console.out, "\n* of some exchanges this is not known; they are not in the sum")?;
    }
    Ok(())
}

/// A text of an object, or what stands for an absent one.
fn text(object: &Json, name: &str) -> String {
    object.get(name).and_then(Json::as_str).unwrap_or(ABSENT).to_owned()
}

fn sums_cells(sums: &Sums) -> [String; 6] {
    // A target that was asked in vain before another one answered adds to what is not known, and no exchange: as many unknown
    // figures as exchanges do not mean that nothing is known.
    let known = |figure: u64, show: fn(u64) -> String, unknown: u64| match (figure, unknown) {
        (_, 0) => show(figure),
        (0, all) if all >= sums.requests => ABSENT.to_owned(),
        _ => format!("{}*", show(figure)),
    };
    [
        number(sums.requests),
        known(sums.input, number, sums.input_unknown),
        number(sums.cache_read),
        known(sums.output, number, sums.output_unknown),
        number(sums.reasoning),
        known(sums.cost_nanousd, dollars, sums.cost_unknown),
    ]
}

/// The newest records.
pub(crate) fn records(arguments: &RecordsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if arguments.limit == 0 || arguments.limit > RECORDS_MAX {
        bail!("--limit must be from 1 to {RECORDS_MAX}");
    }
    let (search, given) = search(&arguments.search, &filter(&arguments.filter)?)?;
    let pages = match store::remote(&arguments.store)? {
        Some(remote) => Pages::Remote(remote),
        None => Pages::Local(store::reader(&store::locate(&arguments.store)?)?),
    };
    let mut left = arguments.limit;
    let mut cursor = None;
    let mut rows = Vec::new();
    while left > 0 {
        let (lines, next) = pages.page(&search, &given, left.min(PAGE_LIMIT), cursor)?;
        left = left.saturating_sub(lines.len());
        for line in &lines {
            if arguments.store.json {
                writeln!(console.out, "{line}")?;
            } else {
                rows.push(record_cells(&serde_json::from_str(line)?));
            }
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    if arguments.store.json {
        return Ok(Outcome::Fine);
    }
    if rows.is_empty() {
        writeln!(console.out, "No records{}.", if search == Search::default() { " yet" } else { " match" })?;
        return Ok(Outcome::Fine);
    }
    let titles = ["STARTED", "STATUS", "REASON", "PROVIDER", "MODEL", "INPUT", "OUTPUT", "MS", "WHO"];
    table::write(console.out, &titles, &[1, 5, 6, 7], &rows)?;
    Ok(Outcome::Fine)
}

/// Where pages of records come from.
enum Pages {
    Local(Reader),
    Remote(Remote),
}

impl Pages {
    /// The records of one page as JSON, and where to go on.
    fn page(
        &self,
        search: &Search,
        given: &[(&'static str, String)],
        limit: usize,
        cursor: Option<String>,
    ) -> Result<(Vec<String>, Option<String>)> {
        match self {
            Pages::Local(reader) => {
                let cursor = cursor.map(|text| text.parse()).transpose()?;
                let page = reader.search(search, PageRequest { limit, cursor })?;
                let lines = page.records.iter().map(Record::to_json).collect();
                Ok((lines, page.next.map(|cursor| cursor.to_string())))
            }
            Pages::Remote(remote) => {
                let page = [("limit", limit.to_string()), ("cursor", cursor.unwrap_or_default())];
                let more = [given, &page].concat();
                let page: RecordsAnswer =
                    remote.get(&format!("/records?{}", query(&search.filter, &more)))?;
                Ok((texts(&page.records), page.next))
            }
        }
    }
}

fn record_cells(record: &Json) -> Vec<String> {
    let of = |name: &str| record.get(name).filter(|value| !value.is_null());
    let figure = |name: &str| of(name).and_then(Json::as_u64);
    let first = |names: &[&str]| names.iter().find_map(|name| of(name)?.as_str());
    let started = first(&["started_at"]).and_then(narrows_ledger::read_time);
    vec![
        started.map_or_else(|| ABSENT.to_owned(), time::show),
        figure("status").unwrap_or_default().to_string(),
        text(record, "reason"),
        text(record, "provider"),
        first(&["model_sent", "model_requested"]).unwrap_or(ABSENT).to_owned(),
        figure("input").map_or(ABSENT.to_owned(), number),
        figure("output").map_or(ABSENT.to_owned(), number),
        (figure("duration_us").unwrap_or_default() / 1000).to_string(),
        first(&["user", "service_account", "team", "organization"]).unwrap_or(ABSENT).to_owned(),
    ]
}

fn dimension(word: &str) -> Result<Dimension> {
    let word = word.trim().replace('-', "_");
    Dimension::from_word(&word).ok_or_else(|| {
        let all = Dimension::ALL.map(Dimension::as_str).join(", ");
        anyhow!("usage cannot be split by `{word}`; one of: {all}")
    })
}

fn filter(arguments: &FilterArguments) -> Result<Filter> {
    let now = time::now_us();
    let point = |text: &Option<String>| text.as_deref().map(|text| time::point_us(text, -1, now)).transpose();
    Ok(Filter {
        from_us: point(&arguments.from)?,
        to_us: point(&arguments.to)?,
        organization: arguments.organization.clone(),
        team: arguments.team.clone(),
        user: arguments.user.clone(),
        service_account: arguments.service_account.clone(),
        project: arguments.project.clone(),
        key: arguments.key.clone(),
        model: arguments.model.clone(),
        provider: arguments.provider.clone(),
        client: arguments.client.clone(),
        dialect: arguments.dialect.clone(),
        reason: word(
            "--reason",
            &arguments.reason,
            "a word as records have it (completed)",
            Reason::from_word,
        )?,
    })
}

/// What a word of the command line stands for.
fn word<T>(
    option: &str,
    text: &Option<String>,
    accepted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    read(text).map(Some).ok_or_else(|| anyhow!("{option} is `{text}`; it takes {accepted}"))
}

/// What is searched for, and how a request says so beside its filter.
fn search(arguments: &SearchArguments, filter: &Filter) -> Result<(Search, Vec<(&'static str, String)>)> {
    let outcomes = "completed, caller, policy, provider or gateway";
    let classes = "1, 2a, 2b, 3, 4 or mcp";
    let search = Search {
        filter: filter.clone(),
        conversation: arguments.conversation.clone(),
        model_requested: arguments.model_requested.clone(),
        decision: word("--decision", &arguments.decision, "allow, log, mask or block", Decided::from_word)?,
        rule: arguments.rule.clone(),
        entity: arguments.entity.clone(),
        outcome: word("--outcome", &arguments.outcome, outcomes, outcome)?,
        status: word("--status", &arguments.status, "a status (404) or a class (4xx)", statuses)?,
        cost_from_nanousd: word("--cost-from", &arguments.cost_from, "dollars (0.25)", nano_usd)?,
        cost_to_nanousd: word("--cost-to", &arguments.cost_to, "dollars (0.25)", nano_usd)?,
        class: word("--class", &arguments.class, classes, TrafficClass::from_word)?,
    };
    let texts = [
        ("conversation", &arguments.conversation),
        ("model_requested", &arguments.model_requested),
        ("decision", &arguments.decision),
        ("rule", &arguments.rule),
        ("entity", &arguments.entity),
        ("outcome", &arguments.outcome),
        ("status", &arguments.status),
        ("cost_from", &arguments.cost_from),
        ("cost_to", &arguments.cost_to),
        ("class", &arguments.class),
    ];
    let given = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
    Ok((search, given.collect()))
}

/// A filter as the query of a request, with more parameters; empty ones are as good as absent.
fn query(filter: &Filter, more: &[(&str, String)]) -> String {
    let time = |at: Option<i64>| at.and_then(narrows_ledger::time);
    let pairs = [
        ("from", time(filter.from_us)),
        ("to", time(filter.to_us)),
        ("organization", filter.organization.clone()),
        ("team", filter.team.clone()),
        ("user", filter.user.clone()),
        ("service_account", filter.service_account.clone()),
        ("project", filter.project.clone()),
        ("key", filter.key.clone()),
        ("model", filter.model.clone()),
        ("provider", filter.provider.clone()),
        ("client", filter.client.clone()),
        ("dialect", filter.dialect.clone()),
        ("reason", filter.reason.map(|reason| reason.as_str().to_owned())),
    ];
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let more = more.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (*name, value.clone()));
    let all = pairs.chain(more).map(|(name, value)| format!("{name}={}", encode(&value)));
    all.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_shown_whatever_else_is_not() {
        let shown = |sums: &Sums| {
            let [_, input, _, output, _, cost] = sums_cells(sums);
            [input, output, cost]
        };
        // One exchange: its first target was cut, its second answered.
        let second = Sums {
            requests: 1,
            input: 7,
            output: 100_000,
            output_unknown: 1,
            cost_nanousd: 1_000_125_000,
            cost_unknown: 1,
            ..Sums::default()
        };
        assert_eq!(shown(&second), ["7", "100,000*", "$1.0001*"]);
        let nothing =
            Sums { requests: 2, input_unknown: 2, output_unknown: 2, cost_unknown: 2, ..Sums::default() };
        assert_eq!(shown(&nothing), [ABSENT; 3]);
        let zero = Sums { requests: 2, output_unknown: 1, ..Sums::default() };
        assert_eq!(shown(&zero)[..2], ["0", "0*"], "one of them is known, and is none");
    }
}
