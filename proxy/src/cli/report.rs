//! `narrows usage` and `narrows records`: what the store knows of exchanges.

use super::args::{FilterArguments, RecordsArguments, UsageArguments};
use super::table::{self, ABSENT, dollars, number};
use super::{Console, Outcome, store, time};
use anyhow::{Result, anyhow, bail};
use narrows_ledger::query::PAGE_LIMIT;
use narrows_ledger::{Dimension, Filter, PageRequest, Record, Sums, UsageRow};

/// Most records one command shows.
pub(crate) const RECORDS_MAX: usize = 1_000_000;

/// Sums by group.
pub(crate) fn usage(arguments: &UsageArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let by = arguments.by.iter().map(|word| dimension(word)).collect::<Result<Vec<_>>>()?;
    let filter = filter(&arguments.filter)?;
    let reader = store::reader(&store::locate(&arguments.store)?)?;
    let rows = reader.usage(&filter, &by)?;
    if arguments.store.json {
        for row in &rows {
            writeln!(console.out, "{}", serde_json::to_string(row)?)?;
        }
        return Ok(Outcome::Fine);
    }
    if rows.is_empty() {
        writeln!(
            console.out,
            "No exchanges{}.",
            if filter == Filter::default() { " yet" } else { " match" }
        )?;
        return Ok(Outcome::Fine);
    }
    usage_table(console, &by, &rows)?;
    Ok(Outcome::Fine)
}

fn usage_table(console: &mut Console<'_>, by: &[Dimension], rows: &[UsageRow]) -> Result<()> {
    let mut titles: Vec<String> = by.iter().map(|dimension| dimension.as_str().to_uppercase()).collect();
    let figures = ["REQUESTS", "INPUT", "CACHED", "OUTPUT", "REASONING", "COST"];
    titles.extend(figures.map(str::to_owned));
    let mut cells: Vec<Vec<String>> = rows.iter().map(usage_cells).collect();
    if rows.len() > 1 {
        let mut total = Sums::default();
        rows.iter().for_each(|row| total.add(&row.sums));
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

fn usage_cells(row: &UsageRow) -> Vec<String> {
    let group = row.group.iter().map(|(_, name)| name.clone().unwrap_or_else(|| ABSENT.to_owned()));
    group.chain(sums_cells(&row.sums)).collect()
}

fn sums_cells(sums: &Sums) -> [String; 6] {
    let known = |text: String, unknown: u64| match unknown {
        0 => text,
        all if all >= sums.requests => ABSENT.to_owned(),
        _ => format!("{text}*"),
    };
    [
        number(sums.requests),
        known(number(sums.input), sums.input_unknown),
        number(sums.cache_read),
        known(number(sums.output), sums.output_unknown),
        number(sums.reasoning),
        known(dollars(sums.cost_nanousd), sums.cost_unknown),
    ]
}

/// The newest records.
pub(crate) fn records(arguments: &RecordsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if arguments.limit == 0 || arguments.limit > RECORDS_MAX {
        bail!("--limit must be from 1 to {RECORDS_MAX}");
    }
    let filter = filter(&arguments.filter)?;
    let reader = store::reader(&store::locate(&arguments.store)?)?;
    let mut left = arguments.limit;
    let mut cursor = None;
    let mut rows = Vec::new();
    while left > 0 {
        let page = reader.records(&filter, PageRequest { limit: left.min(PAGE_LIMIT), cursor })?;
        left = left.saturating_sub(page.records.len());
        for record in &page.records {
            if arguments.store.json {
                writeln!(console.out, "{}", record.to_json())?;
            } else {
                rows.push(record_cells(record));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if arguments.store.json {
        return Ok(Outcome::Fine);
    }
    if rows.is_empty() {
        writeln!(console.out, "No records{}.", if filter == Filter::default() { " yet" } else { " match" })?;
        return Ok(Outcome::Fine);
    }
    let titles = ["STARTED", "STATUS", "REASON", "PROVIDER", "MODEL", "INPUT", "OUTPUT", "MS", "WHO"];
    table::write(console.out, &titles, &[1, 5, 6, 7], &rows)?;
    Ok(Outcome::Fine)
}

fn record_cells(record: &Record) -> Vec<String> {
    let figure = |figure: Option<u64>| figure.map_or(ABSENT.to_owned(), number);
    let text = |text: Option<&str>| text.unwrap_or(ABSENT).to_owned();
    let caller = &record.caller;
    let who = caller.user.as_deref().or(caller.service_account.as_deref()).or(caller.team.as_deref());
    vec![
        time::show(record.started_at_us),
        record.status.to_string(),
        record.reason.as_str().to_owned(),
        text(record.provider.as_deref()),
        text(record.model_sent.as_deref().or(record.model_requested.as_deref())),
        figure(record.usage.input()),
        figure(record.usage.output()),
        (record.duration_us / 1000).to_string(),
        who.unwrap_or(&caller.organization).to_owned(),
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
    })
}
