//! `narrows budgets`: budgets and rate limits of a running gateway, and how much of them is used.

use super::args::{BudgetsArguments, BudgetsCommand};
use super::remote::Remote;
use super::table::{self, ABSENT, number};
use super::{Console, Outcome};
use crate::config::limits::usd;
use crate::fetch::encode;
use anyhow::{Context, Result};
use serde_json::Value as Json;

/// Lists them, or changes one of the store.
pub(crate) fn budgets(arguments: &BudgetsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let remote = Remote::running(&arguments.remote)?;
    match &arguments.command {
        None | Some(BudgetsCommand::List) => list(&remote, arguments.json, console),
        Some(BudgetsCommand::Set { name, document, rate_limit }) => {
            let document: Json = serde_json::from_str(document).context(
                "the document is JSON, as {\"usd\": 500, \"window\": \"month\", \"per\": \"team\"}",
            )?;
            let now: Json = remote.put(&path(name, *rate_limit), &document)?;
            changed(&now, "in force", arguments.json, console)
        }
        Some(BudgetsCommand::Delete { name, rate_limit }) => {
            let gone: Json = remote.delete(&path(name, *rate_limit))?;
            changed(&gone, "deleted", arguments.json, console)
        }
    }
}

/// A name is part of a path; one that would not be is refused by the gateway, and never another path.
fn path(name: &str, rate_limit: bool) -> String {
    let list = if rate_limit { "limits" } else { "budgets" };
    format!("/{list}/{}", encode(name))
}

fn changed(view: &Json, verb: &str, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    if json {
        writeln!(console.out, "{view}")?;
    } else {
        writeln!(
            console.out,
            "{} (version {}) {verb}: {}",
            text(&view["name"]),
            view["version"],
            view["document"]
        )?;
    }
    Ok(Outcome::Fine)
}

fn list(remote: &Remote, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let budgets = remote.get::<Json>("/budgets")?;
    let limits = remote.get::<Json>("/limits")?;
    let all = |answer: &Json, name: &str| answer[name].as_array().cloned().unwrap_or_default();
    let (budgets, limits) = (all(&budgets, "budgets"), all(&limits, "rate_limits"));
    if json {
        for one in budgets.iter().chain(&limits) {
            writeln!(console.out, "{one}")?;
        }
        return Ok(Outcome::Fine);
    }
    if budgets.is_empty() && limits.is_empty() {
        writeln!(console.out, "No budgets and no rate limits are configured.")?;
        return Ok(Outcome::Fine);
    }
    if !budgets.is_empty() {
        let rows: Vec<Vec<String>> = budgets.iter().flat_map(budget_rows).collect();
        let titles =
            ["BUDGET", "COUNTER", "SPENT", "RESERVED", "LIMIT", "USED", "WINDOW", "RESETS", "AT LIMIT"];
        table::write(console.out, &titles, &[2, 3, 4, 5], &rows)?;
    }
    if !limits.is_empty() {
        if !budgets.is_empty() {
            writeln!(console.out)?;
        }
        let rows: Vec<Vec<String>> = limits.iter().flat_map(rate_rows).collect();
        let titles = ["RATE LIMIT", "COUNTER", "REQUESTS", "TOKENS", "AT A TIME", "EVERY", "AT LIMIT"];
        table::write(console.out, &titles, &[2, 3, 4], &rows)?;
    }
    Ok(Outcome::Fine)
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or(ABSENT).to_owned()
}

/// What a counter stands for: `team=core, user=ada`; `all` for the one of a rule.
fn scope(counter: &Json) -> String {
    let pairs = counter["scope"].as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or("(none)"))).collect();
    if pairs.is_empty() { "all".to_owned() } else { pairs.join(", ") }
}

fn budget_rows(budget: &Json) -> Vec<Vec<String>> {
    let figure = |value: &Json| match (value.as_u64(), budget["unit"].as_str()) {
        (Some(amount), Some("nano_usd")) => format!("${}", usd(amount)),
        (Some(amount), _) => number(amount),
        (None, _) => ABSENT.to_owned(),
    };
    let limit = budget["limit"].as_u64().unwrap_or_default();
    let row = |counter: Option<&Json>| {
        let spent = counter.map_or(0, |counter| counter["spent"].as_u64().unwrap_or_default());
        let used = u128::from(spent) * 100 / u128::from(limit.max(1));
        vec![
            text(&budget["name"]),
            counter.map_or_else(|| budget["scope"].as_str().unwrap_or(ABSENT).to_owned(), scope),
            counter.map_or_else(|| figure(&Json::from(0)), |counter| figure(&counter["spent"])),
            counter.map_or_else(|| figure(&Json::from(0)), |counter| figure(&counter["reserved"])),
            figure(&budget["limit"]),
            format!("{used} %"),
            text(&budget["window"]),
            counter.map_or_else(|| ABSENT.to_owned(), |counter| text(&counter["resets_at"])),
            text(&budget["at_limit"]),
        ]
    };
    match budget["counters"].as_array() {
        Some(counters) if !counters.is_empty() => counters.iter().map(|counter| row(Some(counter))).collect(),
        _ => vec![row(None)],
    }
}

fn rate_rows(limit: &Json) -> Vec<Vec<String>> {
    let used = |counter: Option<&Json>, name: &str| match limit[name].as_u64() {
        None => ABSENT.to_owned(),
        Some(most) => {
            let used = counter.map_or(0, |counter| counter[name].as_u64().unwrap_or_default());
            format!("{} of {}", number(used), number(most))
        }
    };
    let row = |counter: Option<&Json>| {
        vec![
            text(&limit["name"]),
            counter.map_or_else(|| limit["scope"].as_str().unwrap_or(ABSENT).to_owned(), scope),
            used(counter, "requests"),
            used(counter, "tokens"),
            used(counter, "concurrent"),
            text(&limit["every"]),
            text(&limit["at_limit"]),
        ]
    };
    match limit["counters"].as_array() {
        Some(counters) if !counters.is_empty() => counters.iter().map(|counter| row(Some(counter))).collect(),
        _ => vec![row(None)],
    }
}
