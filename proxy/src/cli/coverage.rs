//! `narrows coverage`: what passes the gateway, against what is known.

use super::args::CoverageArguments;
use super::table::{self, ABSENT, number};
use super::{Console, Outcome, store, time};
use crate::fetch::encode;
use anyhow::{Result, anyhow};
use narrows_ledger::{CoverageQuestion, CoverageReport};

/// Prints the report.
pub(crate) fn coverage(arguments: &CoverageArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let report = ask(arguments)?;
    if arguments.store.json {
        writeln!(console.out, "{}", serde_json::to_string(&report)?)?;
        return Ok(Outcome::Fine);
    }
    classes(console, &report)?;
    seen(console, &report)?;
    clients(console, &report)?;
    unused(console, &report)?;
    if report.left_out > 0 {
        writeln!(console.out, "\n{} rows more have no room here.", number(report.left_out))?;
    }
    Ok(Outcome::Fine)
}

fn ask(arguments: &CoverageArguments) -> Result<CoverageReport> {
    let now = time::now_us();
    let from_us = time::point_us(&arguments.from, -1, now)?;
    let to_us = match &arguments.to {
        Some(text) => time::point_us(text, -1, now)?,
        None => now,
    };
    let unused = time::span(&arguments.unused)
        .ok_or_else(|| anyhow!("--unused is `{}`; it takes a length of time (30d)", arguments.unused))?;
    let question = CoverageQuestion {
        from_us,
        to_us,
        organization: arguments.organization.clone(),
        unused_since_us: now.saturating_sub(i64::try_from(unused.as_micros()).unwrap_or(i64::MAX)),
    };
    let Some(remote) = store::remote(&arguments.store)? else {
        return Ok(store::reader(&store::locate(&arguments.store)?)?.coverage(&question, now)?);
    };
    let pairs = [
        ("from", narrows_ledger::time(from_us)),
        ("to", narrows_ledger::time(to_us)),
        ("organization", question.organization),
        ("unused", Some(format!("{}s", unused.as_secs()))),
    ];
    let given = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    remote.get(&format!("/coverage?{}", given.collect::<Vec<_>>().join("&")))
}

fn classes(console: &mut Console<'_>, report: &CoverageReport) -> Result<()> {
    let capabilities = ["cost", "guardrails", "access", "audit"];
    let rows: Vec<Vec<String>> = report
        .classes
        .iter()
        .map(|row| {
            let figure = |count: u64| if row.reachable { number(count) } else { "not reachable".to_owned() };
            let applied = |one: &&str| {
                if !row.reachable {
                    return ABSENT.to_owned();
                }
                number(row.capabilities.get(*one).copied().unwrap_or_default())
            };
            [row.class.clone(), figure(row.exchanges)]
                .into_iter()
                .chain(capabilities.iter().map(applied))
                .chain([format!("{}: {}", row.name, row.note)])
                .collect()
        })
        .collect();
    let titles = ["CLASS", "EXCHANGES", "COST", "GUARDRAILS", "ACCESS", "AUDIT", "WHAT IT IS"];
    table::write(console.out, &titles, &[1, 2, 3, 4, 5], &rows)?;
    if let Some(since) = report.classes_counted_since {
        writeln!(console.out, "Classes are counted since {}.", time::show(since))?;
    }
    if report.without_key > 0 {
        writeln!(
            console.out,
            "{} exchanges came without a key, on routes that are open to anybody.",
            number(report.without_key)
        )?;
    }
    Ok(())
}

fn seen(console: &mut Console<'_>, report: &CoverageReport) -> Result<()> {
    writeln!(console.out, "\nNames that were seen, unknown ones first:")?;
    let row = |row: &narrows_ledger::SeenName| {
        let state = row.state.map_or("unknown", narrows_ledger::EntryState::as_str);
        vec![
            row.kind.noun().to_owned(),
            row.name.clone(),
            row.organization.clone(),
            state.to_owned(),
            number(row.exchanges),
        ]
    };
    let rows: Vec<Vec<String>> = report.seen.iter().map(row).collect();
    table::write(console.out, &["KIND", "NAME", "ORGANIZATION", "STATE", "EXCHANGES"], &[4], &rows)?;
    if !report.unseen.is_empty() {
        writeln!(console.out, "\nKnown and not seen (no use of AI, or past the gateway: it cannot tell):")?;
        let row = |row: &narrows_ledger::UnseenEntry| {
            vec![row.kind.noun().to_owned(), row.name.clone(), row.organization.clone()]
        };
        let rows: Vec<Vec<String>> = report.unseen.iter().map(row).collect();
        table::write(console.out, &["KIND", "NAME", "ORGANIZATION"], &[], &rows)?;
    }
    Ok(())
}

fn clients(console: &mut Console<'_>, report: &CoverageReport) -> Result<()> {
    writeln!(console.out, "\nClient programs:")?;
    let name = |client: &Option<String>| client.clone().unwrap_or_else(|| "not recognized".to_owned());
    let rows: Vec<Vec<String>> =
        report.clients.iter().map(|row| vec![name(&row.client), number(row.exchanges)]).collect();
    Ok(table::write(console.out, &["CLIENT", "EXCHANGES"], &[1], &rows)?)
}

fn unused(console: &mut Console<'_>, report: &CoverageReport) -> Result<()> {
    if report.unused_keys.is_empty() {
        return Ok(());
    }
    writeln!(console.out, "\nKeys that work and that nobody uses:")?;
    let row = |row: &narrows_ledger::UnusedKey| {
        vec![
            row.id.clone(),
            row.name.clone(),
            row.organization.clone(),
            row.owner.clone().unwrap_or_else(|| ABSENT.to_owned()),
            row.last_used_at_us.map_or_else(|| "never".to_owned(), time::show),
        ]
    };
    let rows: Vec<Vec<String>> = report.unused_keys.iter().map(row).collect();
    Ok(table::write(console.out, &["ID", "NAME", "ORGANIZATION", "OWNER", "LAST USED"], &[], &rows)?)
}
