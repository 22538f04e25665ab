//! `narrows alerts`: what somebody should look at, who was told, and how often policies decided what.

use super::args::{AlertFilterArguments, AlertsArguments, AlertsCommand, SumsArguments};
use super::remote::Remote;
use super::table::{self, ABSENT, number};
use super::{Console, Outcome, store, time};
use crate::fetch::encode;
use anyhow::{Result, anyhow, bail};
use narrows_ledger::{
    ALERT_PAGE_LIMIT, AlertFilter, AlertInfo, AlertPage, AlertState, DecisionDimension, DecisionFilter,
    Delivery, DeliveryInfo, Severity,
};
use narrows_policy::Stage;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

/// Most alerts one command shows.
const ALERTS_MAX: usize = 1_000_000;

/// Runs the command that was given.
pub(crate) fn alerts(arguments: &AlertsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let (remote, as_json) = (store::remote(&arguments.store)?, arguments.store.json);
    match &arguments.command {
        AlertsCommand::List { filter, limit } => {
            let filter = read_filter(filter)?;
            let alerts = list(arguments, remote.as_ref(), &filter, *limit)?;
            if as_json {
                print(console, &alerts)?;
            } else if alerts.is_empty() {
                let all = filter == AlertFilter::default();
                writeln!(console.out, "No alerts{}.", if all { " yet" } else { " match" })?;
            } else {
                let titles = [
                    "ID", "LAST", "COUNT", "SEVERITY", "RULE", "STAGE", "ACTION", "WHO", "STATE", "DELIVERY",
                ];
                let rows: Vec<_> = alerts.iter().map(cells).collect();
                table::write(console.out, &titles, &[2], &rows)?;
            }
        }
        AlertsCommand::Show { id } => {
            let alert = show(arguments, remote.as_ref(), id)?;
            if as_json { print(console, &[alert])? } else { page(console, &alert)? }
        }
        AlertsCommand::Ack { ids, note } => {
            let alerts = acknowledge(arguments, remote.as_ref(), ids, note.as_deref())?;
            if as_json {
                print(console, &alerts)?;
            } else {
                for alert in &alerts {
                    let by = alert.acknowledged_by.as_deref().unwrap_or(ABSENT);
                    let at = alert.acknowledged_at_us.map_or(ABSENT.to_owned(), time::show);
                    writeln!(console.out, "Alert {} is acknowledged (by {by}, {at}).", alert.id)?;
                }
            }
        }
        AlertsCommand::Sums(sums) => decisions(arguments, remote.as_ref(), sums, console)?,
    }
    Ok(Outcome::Fine)
}

fn print(console: &mut Console<'_>, alerts: &[AlertInfo]) -> Result<()> {
    for alert in alerts {
        writeln!(console.out, "{}", serde_json::to_string(alert)?)?;
    }
    Ok(())
}

/// A word of a closed list.
fn word<T>(
    option: &str,
    text: Option<&str>,
    all: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    let read = |text: &str| read(text).ok_or_else(|| anyhow!("--{option} takes {all}, not `{text}`"));
    text.map(read).transpose()
}

fn read_filter(arguments: &AlertFilterArguments) -> Result<AlertFilter> {
    let now = time::now_us();
    let point = |text: &Option<String>| text.as_deref().map(|text| time::point_us(text, -1, now)).transpose();
    let of = |text: &'_ Option<String>| text.clone();
    let stages = Stage::ALL.map(Stage::as_str).join(", ");
    let severities = Severity::ALL.map(Severity::as_str).join(", ");
    let deliveries = Delivery::ALL.map(Delivery::as_str).join(", ");
    Ok(AlertFilter {
        from_us: point(&arguments.from)?,
        to_us: point(&arguments.to)?,
        organization: of(&arguments.organization),
        rule: of(&arguments.rule),
        entity: of(&arguments.entity),
        stage: word("stage", arguments.stage.as_deref(), &stages, Stage::from_word)?,
        severity: word("severity", arguments.severity.as_deref(), &severities, Severity::from_word)?,
        conversation: of(&arguments.conversation),
        state: word("state", arguments.state.as_deref(), "open, acknowledged", AlertState::from_word)?,
        delivery: word("delivery", arguments.delivery.as_deref(), &deliveries, Delivery::from_word)?,
    })
}

/// Pairs as a query; absent ones are left out.
fn query(pairs: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let given = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    given.collect::<Vec<_>>().join("&")
}

fn list(
    arguments: &AlertsArguments,
    remote: Option<&Remote>,
    filter: &AlertFilter,
    limit: usize,
) -> Result<Vec<AlertInfo>> {
    if limit == 0 || limit > ALERTS_MAX {
        bail!("--limit must be from 1 to {ALERTS_MAX}");
    }
    let reader = match remote {
        Some(_) => None,
        None => Some(store::reader(&store::locate(&arguments.store)?)?),
    };
    let (mut alerts, mut cursor) = (Vec::new(), None);
    while alerts.len() < limit {
        let most = (limit - alerts.len()).min(ALERT_PAGE_LIMIT);
        let page: AlertPage = match (remote, &reader) {
            (Some(remote), _) => remote.get(&format!("/alerts?{}", filter_query(filter, most, cursor)))?,
            (None, Some(reader)) => reader.alerts(filter, most, cursor.as_deref())?,
            (None, None) => break,
        };
        alerts.extend(page.alerts);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(alerts)
}

fn filter_query(filter: &AlertFilter, limit: usize, cursor: Option<String>) -> String {
    let time = |at: Option<i64>| at.and_then(narrows_ledger::time);
    let owned = |word: Option<&str>| word.map(str::to_owned);
    query([
        ("from", time(filter.from_us)),
        ("to", time(filter.to_us)),
        ("organization", filter.organization.clone()),
        ("rule", filter.rule.clone()),
        ("entity", filter.entity.clone()),
        ("stage", owned(filter.stage.map(Stage::as_str))),
        ("severity", owned(filter.severity.map(Severity::as_str))),
        ("conversation", filter.conversation.clone()),
        ("state", owned(filter.state.map(AlertState::as_str))),
        ("delivery", owned(filter.delivery.map(Delivery::as_str))),
        ("limit", Some(limit.to_string())),
        ("cursor", cursor),
    ])
}

fn show(arguments: &AlertsArguments, remote: Option<&Remote>, id: &str) -> Result<AlertInfo> {
    match remote {
        Some(remote) => remote.get(&format!("/alerts/{}", encode(id))),
        None => {
            let found = store::reader(&store::locate(&arguments.store)?)?.alert(id)?;
            found.ok_or_else(|| narrows_ledger::LedgerError::AlertNotFound { id: id.to_owned() }.into())
        }
    }
}

fn acknowledge(
    arguments: &AlertsArguments,
    remote: Option<&Remote>,
    ids: &[String],
    note: Option<&str>,
) -> Result<Vec<AlertInfo>> {
    #[derive(Deserialize)]
    struct Done {
        alerts: Vec<AlertInfo>,
    }
    match remote {
        Some(remote) => {
            Ok(remote.post::<Done>("/alerts/ack", Some(&json!({"ids": ids, "note": note})))?.alerts)
        }
        None => {
            let ledger = store::open(&store::locate(&arguments.store)?, false)?;
            Ok(ledger.acknowledge_alerts(ids, None, note, store::ACTOR)?)
        }
    }
}

/// Who was behind it: the narrowest name there is.
fn who(alert: &AlertInfo) -> &str {
    let names = [&alert.user, &alert.service_account, &alert.team];
    names.into_iter().find_map(|name| name.as_deref()).unwrap_or(&alert.organization)
}

fn cells(alert: &AlertInfo) -> Vec<String> {
    vec![
        alert.id.clone(),
        alert.last_at_us.map_or(ABSENT.to_owned(), time::show),
        number(alert.count),
        alert.severity.as_str().to_owned(),
        alert.rules.first().map_or(ABSENT, String::as_str).to_owned(),
        alert.stage.as_str().to_owned(),
        done(alert),
        who(alert).to_owned(),
        alert.state.as_str().to_owned(),
        alert.delivery.as_str().to_owned(),
    ]
}

/// The action, and whether it was more than wished for.
fn done(alert: &AlertInfo) -> String {
    let action = alert.action.as_str();
    match (alert.enforced, alert.enforceable) {
        (true, _) => action.to_owned(),
        (false, true) => format!("{action} (not done)"),
        (false, false) => format!("{action} (not possible)"),
    }
}

/// All of one alert, for people.
fn page(console: &mut Console<'_>, alert: &AlertInfo) -> Result<()> {
    let at = |at_us: Option<i64>| at_us.map_or(ABSENT.to_owned(), time::show);
    let or = |text: &Option<String>| text.as_deref().unwrap_or(ABSENT).to_owned();
    let lines = [
        ("alert", alert.id.clone()),
        ("what", alert.explanation.clone()),
        ("severity", alert.severity.as_str().to_owned()),
        ("first", at(alert.at_us)),
        ("last", format!("{}, {} in all", at(alert.last_at_us), number(alert.count))),
        ("rules", alert.rules.join(", ")),
        ("stage", alert.stage.as_str().to_owned()),
        ("action", done(alert)),
        ("who", format!("{} of {}", who(alert), alert.organization)),
        ("key", or(&alert.key_id)),
        ("model", or(&alert.model)),
        ("conversation", or(&alert.conversation)),
        ("exchange", alert.exchange.clone()),
        ("policies", alert.policy_version.clone()),
        ("state", alert.state.as_str().to_owned()),
    ];
    for (name, value) in lines {
        writeln!(console.out, "{name:<14}{value}")?;
    }
    if alert.state == AlertState::Acknowledged {
        let by = format!("{}, {}", or(&alert.acknowledged_by), at(alert.acknowledged_at_us));
        writeln!(console.out, "{:<14}{by}", "acknowledged")?;
        writeln!(console.out, "{:<14}{}", "note", or(&alert.note))?;
    }
    for finding in &alert.evidence {
        let text = |name: &str| finding.get(name).map_or(ABSENT.to_owned(), plain);
        let found = ["entity", "rule", "count", "path", "fingerprint"].map(text);
        let [entity, rule, count, path, fingerprint] = found;
        writeln!(
            console.out,
            "{:<14}{count} × {entity} ({rule}) at {path}, fingerprint {fingerprint}",
            "found"
        )?;
    }
    for delivery in &alert.deliveries {
        writeln!(console.out, "{:<14}{}", "told", told(delivery))?;
    }
    Ok(())
}

/// JSON as a person reads it: texts without quotes.
fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn told(delivery: &DeliveryInfo) -> String {
    let mut text = format!("{}: {}, {} tries", delivery.sink, delivery.state.as_str(), delivery.attempts);
    if let Some(next) = delivery.next_try_us {
        text += &format!(", next {}", time::show(next));
    }
    if let Some(error) = &delivery.last_error {
        text += &format!(" ({error})");
    }
    text
}

/// How many exchanges were flagged, masked or refused.
fn decisions(
    arguments: &AlertsArguments,
    remote: Option<&Remote>,
    sums: &SumsArguments,
    console: &mut Console<'_>,
) -> Result<()> {
    #[derive(Deserialize)]
    struct Answer {
        decisions: Vec<Box<RawValue>>,
    }
    let names = DecisionDimension::ALL.map(DecisionDimension::as_str).join(", ");
    let dimension = |word: &String| {
        DecisionDimension::from_word(word.trim())
            .ok_or_else(|| anyhow!("decisions cannot be split by `{word}`; one of: {names}"))
    };
    let by = sums.by.iter().map(dimension).collect::<Result<Vec<_>>>()?;
    let now = time::now_us();
    let point = |text: &Option<String>| text.as_deref().map(|text| time::point_us(text, -1, now)).transpose();
    let filter = DecisionFilter {
        from_us: point(&sums.from)?,
        to_us: point(&sums.to)?,
        organization: sums.organization.clone(),
        kind: sums.detectors.then(|| "detector".to_owned()),
        rule: sums.rule.clone(),
        stage: None,
        action: None,
    };
    let lines: Vec<String> = match remote {
        None => {
            let rows = store::reader(&store::locate(&arguments.store)?)?.decisions(&filter, &by)?;
            rows.iter().map(serde_json::to_string).collect::<serde_json::Result<_>>()?
        }
        Some(remote) => {
            let time = |at: Option<i64>| at.and_then(narrows_ledger::time);
            let words: Vec<&str> = by.iter().map(|dimension| dimension.as_str()).collect();
            let query = query([
                ("from", time(filter.from_us)),
                ("to", time(filter.to_us)),
                ("organization", filter.organization.clone()),
                ("kind", filter.kind.clone()),
                ("rule", filter.rule),
                ("by", Some(words.join(",")).filter(|by| !by.is_empty())),
            ]);
            let answer: Answer = remote.get(&format!("/decisions?{query}"))?;
            answer.decisions.iter().map(|row| row.get().to_owned()).collect()
        }
    };
    if arguments.store.json {
        return Ok(lines.iter().try_for_each(|line| writeln!(console.out, "{line}"))?);
    }
    if lines.is_empty() {
        return Ok(writeln!(console.out, "No decisions.")?);
    }
    let mut titles: Vec<String> = by.iter().map(|dimension| dimension.as_str().to_uppercase()).collect();
    titles.extend(["EXCHANGES", "FINDINGS"].map(str::to_owned));
    let mut rows = Vec::with_capacity(lines.len());
    for line in &lines {
        let row: Json = serde_json::from_str(line)?;
        let figure = |name: &str| number(row.get(name).and_then(Json::as_u64).unwrap_or_default());
        let group = by.iter().map(|dimension| row.get(dimension.as_str()).map_or(ABSENT.to_owned(), plain));
        rows.push(group.chain([figure("exchanges"), figure("findings")]).collect::<Vec<_>>());
    }
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    table::write(console.out, &titles, &[by.len(), by.len() + 1], &rows)?;
    Ok(())
}
