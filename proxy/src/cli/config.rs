//! `narrows check` and `narrows config`.

use super::args::{CheckArguments, ConfigArguments, ConfigCommand};
use super::remote::{Remote, RemoteArguments};
use super::{Console, Outcome};
use crate::config::{self, BudgetRule, Loaded, Problem, RateRule, Settings, reference, schema, warning};
use crate::limits::{amount, window};
use anyhow::Result;
use serde_json::{Value as Json, json};
use std::io::Write;

/// Prints every problem, or what the configuration comes to.
pub(crate) fn check(arguments: &CheckArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let loaded = config::load(&arguments.config);
    if arguments.json {
        let (answer, outcome) = match &loaded {
            Ok(loaded) => (fine(loaded), Outcome::Fine),
            Err(problems) => (
                json!({ "ok": false, "problems": list(problems.as_slice()), "warnings": [], "fail_open": [] }),
                Outcome::Failed,
            ),
        };
        writeln!(console.out, "{answer}")?;
        return Ok(outcome);
    }
    match loaded {
        Ok(loaded) => {
            summary(&arguments.config.display().to_string(), &loaded, console)?;
            Ok(Outcome::Fine)
        }
        Err(problems) => {
            writeln!(console.out, "{problems}")?;
            let count = problems.as_slice().len();
            writeln!(
                console.err,
                "\n{count} problem{} in {}",
                if count == 1 { "" } else { "s" },
                arguments.config.display()
            )?;
            Ok(Outcome::Failed)
        }
    }
}

fn list(problems: &[Problem]) -> Json {
    problems.iter().map(Problem::to_json).collect()
}

fn fine(loaded: &Loaded) -> Json {
    let settings = &loaded.settings;
    json!({
        "ok": true,
        "problems": [],
        "warnings": list(&loaded.warnings),
        "fail_open": warning::fail_open(settings),
        "snapshot": format!("{:016x}", settings.snapshot),
        "gateway": settings.listen.gateway.iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>(),
        "metrics": settings.listen.metrics.address.to_string(),
        "admin": settings.listen.admin.as_ref().map(|admin| admin.address.to_string()),
        "providers": settings.providers.iter().map(|provider| &*provider.name).collect::<Vec<_>>(),
        "policy_version": settings.policies.version().to_string(),
        "policies": settings.policies.table().iter().map(|row| json!({
            "name": row.name,
            "where": row.place,
            "when": row.when,
            "then": row.then,
            "mode": row.mode,
            "on_error": row.on_error,
        })).collect::<Vec<_>>(),
        "counters": settings.counters.as_ref().map_or("memory".to_owned(), |counters| counters.redis.to_string()),
        "replicas": settings.replicas,
        "budgets": settings.budgets.iter().map(|budget| json!({
            "name": &*budget.name,
            "scope": budget.scope.written(),
            "limit": amount(budget.unit, budget.budget.limit),
            "window": window(&budget.budget.window),
            "at_limit": budget.at_limit.as_str(),
            "on_error": budget.on_error.as_str(),
        })).collect::<Vec<_>>(),
        "rate_limits": settings.rate_limits.iter().map(|rate| json!({
            "name": &*rate.name,
            "scope": rate.scope.written(),
            "limit": rate_words(rate),
            "at_limit": rate.at_limit.as_str(),
            "on_error": rate.on_error.as_str(),
        })).collect::<Vec<_>>(),
        "aliases": settings.aliases.iter().map(|alias| &*alias.name).collect::<Vec<_>>(),
    })
}

fn summary(file: &str, loaded: &Loaded, console: &mut Console<'_>) -> Result<()> {
    let out = &mut *console.out;
    let settings = &loaded.settings;
    writeln!(out, "{file}: no problems (snapshot {:016x})\n", settings.snapshot)?;
    listeners(settings, out)?;
    writeln!(out, "store     {}", settings.store.shown())?;
    writeln!(out, "providers")?;
    for provider in &settings.providers {
        let key = if provider.api_key.is_some() { "with a key" } else { "without a key" };
        let models: Vec<&str> = provider.models.iter().map(config::Pattern::as_str).collect();
        let models =
            if models.is_empty() { "by prefix and alias only".to_owned() } else { models.join(", ") };
        writeln!(
            out,
            "  {} ({}) at {}, {key}; models: {models}",
            provider.name, provider.kind, provider.base_url
        )?;
    }
    if !settings.aliases.is_empty() {
        writeln!(out, "aliases")?;
        for alias in &settings.aliases {
            writeln!(out, "  {} → {}/{}", alias.name, alias.provider, alias.model)?;
        }
    }
    policies(settings, out)?;
    limits(settings, out)?;
    let open = warning::fail_open(settings);
    if !open.is_empty() {
        writeln!(out, "fail-open settings in force")?;
        open.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    for warning in &loaded.warnings {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// Budgets and rate limits, with what happens when there is no room and when they cannot be counted.
fn limits(settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let (budgets, rates) = (&settings.budgets, &settings.rate_limits);
    if budgets.is_empty() && rates.is_empty() {
        return Ok(());
    }
    match &settings.counters {
        None => writeln!(
            out,
            "counters  in this process, what was spent in the store; they are not shared with other gateways"
        )?,
        Some(counters) => writeln!(
            out,
            "counters  shared over {} ({}), what was spent in the store too; prefix {}",
            counters.redis,
            counters.mode.as_str(),
            counters.prefix
        )?,
    }
    if !budgets.is_empty() {
        writeln!(out, "budgets")?;
    }
    for BudgetRule { name, scope, unit, budget, at_limit, on_error, .. } in budgets {
        let (limit, window) = (amount(*unit, budget.limit), window(&budget.window));
        let (at_limit, on_error) = (at_limit.as_str(), on_error.as_str());
        writeln!(
            out,
            "  {name}: {limit} a {window}, {}; at the limit {at_limit}, uncounted {on_error}",
            scope.written()
        )?;
    }
    if !rates.is_empty() {
        writeln!(out, "rate limits")?;
    }
    for rate in rates {
        let (at_limit, on_error) = (rate.at_limit.as_str(), rate.on_error.as_str());
        let (limits, scope) = (rate_words(rate), rate.scope.written());
        writeln!(out, "  {}: {limits}, {scope}; at the limit {at_limit}, uncounted {on_error}", rate.name)?;
    }
    Ok(())
}

/// What a rate limit limits: `60 requests a minute, 4 at a time`.
fn rate_words(rate: &RateRule) -> String {
    let every = rate.every.as_str();
    let parts = [
        rate.limit.requests.map(|most| format!("{most} requests a {every}")),
        rate.limit.tokens.map(|most| format!("{most} tokens a {every}")),
        rate.limit.concurrent.map(|most| format!("{most} at a time")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The policies in force, in columns.
fn policies(settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let rows = settings.policies.table();
    writeln!(out, "policies  {} (version {})", rows.len(), settings.policies.version())?;
    if rows.is_empty() {
        writeln!(
            out,
            "  nothing is inspected: `guard: {{default_policies: false}}`, and no policy is written"
        )?;
        return Ok(());
    }
    let heads = ["name", "where", "when", "then", "operation", "mode", "on error"].map(str::to_owned);
    let lines: Vec<[String; 7]> = std::iter::once(heads)
        .chain(rows.into_iter().map(|row| {
            let words = [row.operation, row.mode, row.on_error].map(str::to_owned);
            let [operation, mode, on_error] = words;
            [row.name, row.place, row.when, row.then, operation, mode, on_error]
        }))
        .collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    if settings.guard.default_policies {
        writeln!(
            out,
            "  those named default-… log, and change nothing; `guard: {{default_policies: false}}` switches them off"
        )?;
    }
    Ok(())
}

fn listeners(settings: &Settings, out: &mut dyn Write) -> Result<()> {
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    for listener in &settings.listen.gateway {
        let h2 = match (listener.h2, listener.tls.is_some()) {
            (false, _) => "HTTP/1.1",
            (true, true) => "HTTP/1.1 and HTTP/2",
            (true, false) => "HTTP/1.1 and HTTP/2 by prior knowledge",
        };
        writeln!(out, "gateway   {}://{} ({h2})", scheme(listener.tls.is_some()), listener.address)?;
    }
    writeln!(out, "metrics   http://{}/metrics", settings.listen.metrics.address)?;
    match &settings.listen.admin {
        Some(admin) => writeln!(out, "admin     {}://{}", scheme(admin.tls.is_some()), admin.address)?,
        None => writeln!(out, "admin     off")?,
    }
    Ok(())
}

/// Has a running gateway read its configuration again.
fn reload(remote: &RemoteArguments, json: bool, console: &mut Console<'_>) -> Result<Outcome> {
    let (done, answer) = Remote::running(remote)?.try_post("/config/reload")?;
    let outcome = if done { Outcome::Fine } else { Outcome::Failed };
    if json {
        writeln!(console.out, "{answer}")?;
        return Ok(outcome);
    }
    let text = |value: &Json, name: &str| value[name].as_str().unwrap_or("?").to_owned();
    for problem in answer["problems"].as_array().into_iter().flatten() {
        let number = |name: &str| usize::try_from(problem[name].as_u64().unwrap_or(1)).unwrap_or(1);
        let problem = Problem {
            file: text(problem, "file"),
            line: number("line"),
            column: number("column"),
            path: text(problem, "path"),
            message: text(problem, "message"),
            suggestion: text(problem, "suggestion"),
        };
        writeln!(console.out, "{problem}")?;
    }
    let snapshot = text(&answer, "snapshot");
    match text(&answer, "result").as_str() {
        "applied" => writeln!(console.out, "a new configuration is in force (snapshot {snapshot})")?,
        "unchanged" => writeln!(console.out, "nothing new: it is in force already (snapshot {snapshot})")?,
        _ => writeln!(console.err, "\nrejected; the one from before stays in force (snapshot {snapshot})")?,
    }
    Ok(outcome)
}

/// Shows the configuration in force, its schema or its reference, or has it read again.
pub(crate) fn config(arguments: &ConfigArguments, console: &mut Console<'_>) -> Result<Outcome> {
    match &arguments.command {
        ConfigCommand::Reload { remote, json } => return reload(remote, *json, console),
        ConfigCommand::Schema => write!(console.out, "{}", schema::text())?,
        ConfigCommand::Reference => write!(console.out, "{}", reference::reference())?,
        ConfigCommand::Show { config, json } => match config::load(config) {
            Ok(loaded) if *json => writeln!(console.out, "{:#}", loaded.to_json())?,
            Ok(loaded) => write!(console.out, "{}", loaded.to_yaml())?,
            Err(problems) => {
                writeln!(console.err, "{problems}")?;
                return Ok(Outcome::Failed);
            }
        },
    }
    Ok(Outcome::Fine)
}
