//! `narrows usage verify`: whether records, sums, budgets and metrics say the same.

use super::args::{StoreArguments, VerifyArguments};
use super::table::{self, number};
use super::{Console, Outcome, health, store};
use crate::config::limits::StoredLimits;
use crate::config::limits::stored::is_in_file;
use crate::config::{self, Problems};
use crate::exchange::charged;
use crate::limits::{Rule, Rules};
use anyhow::{Context, Result, anyhow, bail};
use narrows_ledger::{
    Filter, LimitKind, QUARTER_US, Reader, Record, Spent, SpentRow, StoredLimit, Sums, Used,
};
use narrows_meter::Cost;
use narrows_policy::{Facts, Reason, Surface};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// How often a gateway is asked again whose records are still on their way into the store.
const TRIES: u32 = 20;
/// Between two times.
const AGAIN: Duration = Duration::from_millis(250);
/// Within this every gateway knows what was changed in the store, in microseconds.
const NOTICED_US: i64 = 2_000_000;
/// Time for one answer of a gateway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two figures that ought to be the same.
struct Pair {
    what: String,
    records: u64,
    /// The other side's: exact, or between these two.
    other: (u64, u64),
}

impl Pair {
    fn exact(what: impl Into<String>, records: u64, other: u64) -> Pair {
        Pair { what: what.into(), records, other: (other, other) }
    }

    fn agrees(&self) -> bool {
        (self.other.0..=self.other.1).contains(&self.records)
    }
}

/// One comparison.
struct Check {
    name: String,
    pairs: Vec<Pair>,
    /// What is to be known beside the figures; instead of them where there is nothing to compare.
    note: Option<String>,
}

impl Check {
    fn agrees(&self) -> bool {
        self.pairs.iter().all(Pair::agrees)
    }

    fn json(&self) -> Json {
        let pairs: Vec<Json> = self
            .pairs
            .iter()
            .map(|pair| {
                let (least, most) = pair.other;
                json!({"figure": pair.what, "records": pair.records, "least": least, "most": most, "agrees": pair.agrees()})
            })
            .collect();
        json!({"check": self.name, "agrees": self.agrees(), "figures": pairs, "note": self.note})
    }
}

/// Compares everything there is to compare.
pub(crate) fn verify(
    arguments: &VerifyArguments,
    from: &StoreArguments,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    if store::remote(from)?.is_some() {
        bail!(
            "this reads every record, and so the store itself: --store or --config in the place of --admin"
        );
    }
    let reader = store::reader(&store::locate(from)?)?;
    let mut checks = vec![sums(&reader)?];
    match configuration(from, &reader)? {
        Some(configured) => checks.extend(budgets(&reader, &configured)?),
        None => checks.push(Check {
            name: "budgets".to_owned(),
            pairs: Vec::new(),
            note: Some(
                "not compared: a configuration (--config) says which exchanges they are about".to_owned(),
            ),
        }),
    }
    if let Some(url) = &arguments.metrics {
        checks.push(metrics(&reader, url)?);
    }
    let all_agree = checks.iter().all(Check::agrees);
    if from.json {
        checks.iter().try_for_each(|check| writeln!(console.out, "{}", check.json()))?;
    } else {
        write(&checks, console)?;
    }
    Ok(if all_agree { Outcome::Fine } else { Outcome::Failed })
}

fn write(checks: &[Check], console: &mut Console<'_>) -> Result<()> {
    let mut rows = Vec::new();
    for check in checks {
        for pair in &check.pairs {
            let (least, most) = pair.other;
            let other = match least == most {
                true => number(least),
                false if least == 0 => format!("up to {}", number(most)),
                false => format!("{} to {}", number(least), number(most)),
            };
            let verdict = if pair.agrees() { "agrees" } else { "DIFFERS" };
            rows.push(vec![
                check.name.clone(),
                pair.what.clone(),
                number(pair.records),
                other,
                verdict.to_owned(),
            ]);
        }
    }
    table::write(console.out, &["CHECK", "FIGURE", "RECORDS", "OTHER", "RESULT"], &[2, 3], &rows)?;
    for check in checks {
        if let Some(note) = &check.note {
            writeln!(console.out, "{}: {note}", check.name)?;
        }
    }
    Ok(())
}

/// The sums kept by hour, and those of days and months.
fn sums(reader: &Reader) -> Result<Check> {
    let found = reader.verify()?;
    let mut pairs: Vec<Pair> = figures(&found.records)
        .into_iter()
        .zip(figures(&found.rollups))
        .map(|((what, records), (_, rollups))| Pair::exact(what, records, rollups))
        .collect();
    for differing in &found.differing {
        let place = format!("{} {} {}", differing.hour, differing.provider, differing.model);
        for ((what, records), (_, rollups)) in
            figures(&differing.records).into_iter().zip(figures(&differing.rollups))
        {
            if records != rollups {
                pairs.push(Pair::exact(format!("{what} of {place}"), records, rollups));
            }
        }
    }
    for differing in &found.differing_periods {
        let what = format!("groups that differ in {}", differing.period);
        pairs.push(Pair::exact(what, 0, differing.groups as u64));
    }
    let lost = found.overflow.requests;
    let note =
        (lost > 0).then(|| format!("{lost} exchanges left sums and no record, because the queue was full"));
    Ok(Check { name: "sums by hour".to_owned(), pairs, note })
}

fn figures(sums: &Sums) -> [(&'static str, u64); 6] {
    [
        ("requests", sums.requests),
        ("input", sums.input),
        ("output", sums.output),
        ("cost_nanousd", sums.cost_nanousd),
        ("cost_unknown", sums.cost_unknown),
        ("response_bytes", sums.response_bytes),
    ]
}

/// The budgets that are in force.
struct Configured {
    rules: Rules,
    /// When those that stand in the store were made or changed last, by name: UTC microseconds since the epoch. Of those
    /// of the file nobody knows.
    changed_us: BTreeMap<String, i64>,
}

/// The budgets of the configuration, if one is named or stands here.
fn configuration(from: &StoreArguments, reader: &Reader) -> Result<Option<Configured>> {
    let default = Path::new("narrows.yaml");
    let file = match (&from.config, &from.store) {
        (Some(file), _) => file.as_path(),
        (None, None) => default,
        (None, Some(_)) => return Ok(None),
    };
    configured(file, reader).map(Some)
}

/// The budgets of a configuration's file, and of the store beside it.
fn configured(file: &Path, reader: &Reader) -> Result<Configured> {
    let mut settings = config::load(file).map_err(|problems| anyhow!("{problems}"))?.settings;
    let stored = reader.limits()?;
    settings.stored_limits =
        StoredLimits::read(&settings, &stored).map_err(|problems| anyhow!("{}", Problems::new(problems)))?;
    let is_budget = |limit: &&StoredLimit| {
        limit.kind == LimitKind::Budget && !is_in_file(&settings, LimitKind::Budget, &limit.name)
    };
    let changed_us =
        stored.iter().filter(is_budget).map(|limit| (limit.name.clone(), limit.updated_at_us)).collect();
    Ok(Configured { rules: Rules::new(&settings), changed_us })
}

/// What one budget ought to have been charged at least, and whether that is all of it.
#[derive(Default)]
struct Expected {
    spent: Spent,
    /// Exchanges of which not everything is known: they are charged as they were reserved.
    open: u64,
    /// Of `spent`, what is not charged if the client that left was let go free; records do not say.
    free: Spent,
    /// Exchanges that began before and ended after the time from which is compared: charged if they were admitted after it.
    astride: Spent,
}

/// A budget, and what is compared of it.
struct Compared<'a> {
    rule: &'a Rule,
    /// All of it.
    whole: (Spent, Expected),
    /// What was admitted since this time, the first quarter of an hour in which the budget was as it is.
    later: Option<(i64, Spent, Expected)>,
    /// The first quarter with a charge.
    first_us: Option<i64>,
}

/// The first quarter of an hour in which every gateway knew what was changed at a time.
fn known_from(changed_us: i64) -> i64 {
    let known = changed_us.saturating_add(NOTICED_US);
    known.saturating_add(QUARTER_US - 1).div_euclid(QUARTER_US).saturating_mul(QUARTER_US)
}

fn budgets(reader: &Reader, configured: &Configured) -> Result<Vec<Check>> {
    let rules = configured.rules.iter().filter(|rule| matches!(***rule, Rule::Budget(_)));
    let mut compared: Vec<Compared<'_>> = rules
        .map(|rule| {
            let changed_us = configured.changed_us.get(&**rule.name());
            let later = changed_us.map(|at| (known_from(*at), Spent::default(), Expected::default()));
            Compared { rule, whole: Default::default(), later, first_us: None }
        })
        .collect();
    reader.spending(i64::MIN, &mut |row: SpentRow| {
        for one in compared.iter_mut().filter(|one| **one.rule.name() == *row.counter.budget) {
            one.first_us = Some(one.first_us.map_or(row.from_us, |first| first.min(row.from_us)));
            one.whole.0.add(&row.spent);
            if let Some((_, spent, _)) = one.later.as_mut().filter(|(from_us, ..)| row.from_us >= *from_us) {
                spent.add(&row.spent);
            }
        }
    })?;
    let mut first_us = i64::MAX;
    reader.each(&Filter::default(), &mut |record: &Record| {
        first_us = first_us.min(record.started_at_us);
        for one in &mut compared {
            expect(one.rule, record, i64::MIN, &mut one.whole.1);
            if let Some((from_us, _, expected)) = &mut one.later {
                expect(one.rule, record, *from_us, expected);
            }
        }
    })?;
    Ok(compared.into_iter().map(|one| check(one, first_us)).collect())
}

/// Compares one budget; `first_us` is when the first exchange of all records began.
fn check(compared: Compared<'_>, first_us: i64) -> Check {
    let Compared { rule, whole: (spent, expected), later, first_us: charged_us } = compared;
    let name = format!("budget {}", rule.name());
    let first_quarter = first_us.div_euclid(QUARTER_US).saturating_mul(QUARTER_US);
    // One that nothing was charged to may be new, and not wrong.
    let is_younger = charged_us.is_some_and(|since| since > first_quarter)
        || (charged_us.is_none() && expected.spent != Spent::default());
    let whole = pairs(&spent, &expected);
    if let Some((from_us, spent, expected)) = later
        && from_us > first_us
        && (is_younger || !whole.iter().all(Pair::agrees))
    {
        let from = narrows_ledger::time(from_us).unwrap_or_default();
        let note = format!(
            "compared from {from} on: it was made or changed shortly before, and what exchanges before that were charged \
             to it cannot be told from their records"
        );
        let note = [Some(note), unknown(&expected)].into_iter().flatten().collect::<Vec<_>>().join("; ");
        return Check { name, pairs: pairs(&spent, &expected), note: Some(note) };
    }
    if is_younger {
        let since = charged_us.and_then(narrows_ledger::time).unwrap_or_else(|| "never".to_owned());
        let note = format!("not compared: the records go back further than its charges (since {since})");
        return Check { name, pairs: Vec::new(), note: Some(note) };
    }
    Check { name, pairs: whole, note: unknown(&expected) }
}

/// What was charged, beside what records say of it.
fn pairs(spent: &Spent, expected: &Expected) -> Vec<Pair> {
    let Expected { spent: wanted, open, free, astride } = expected;
    // One that several targets were asked for is charged to each of them.
    let requests = (
        spent.requests.saturating_sub(*open).saturating_sub(astride.requests),
        spent.requests.saturating_add(*open).saturating_add(free.requests),
    );
    let mut pairs = vec![Pair { what: "requests".to_owned(), records: wanted.requests, other: requests }];
    for (what, wanted, charged, free, astride) in [
        ("tokens", wanted.tokens, spent.tokens, free.tokens, astride.tokens),
        ("cost_nanousd", wanted.cost_nanousd, spent.cost_nanousd, free.cost_nanousd, astride.cost_nanousd),
    ] {
        // Where all is known, what was charged is what was used; elsewhere it is more, as it was reserved.
        let least = if *open == 0 { charged.saturating_sub(astride) } else { 0 };
        pairs.push(Pair {
            what: what.to_owned(),
            records: wanted,
            other: (least, charged.saturating_add(free)),
        });
    }
    pairs
}

/// What records do not say of the exchanges that were compared.
fn unknown(expected: &Expected) -> Option<String> {
    let (open, free) = (expected.open, expected.free.requests);
    let open = (open > 0)
        .then(|| format!("{open} exchanges are not wholly known, and charged as they were reserved"));
    let free = (free > 0).then(|| format!("{free} clients left, and may have been let go free"));
    let notes: Vec<String> = open.into_iter().chain(free).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// Adds what a budget ought to have been charged for an exchange, from a time on.
fn expect(rule: &Rule, record: &Record, from_us: i64, expected: &mut Expected) {
    let own = charged(record);
    let mut spent = Spent::default();
    if own != Spent::default()
        && applies(rule, record, record.provider.as_deref(), record.model_sent.as_deref())
    {
        spent.add(&own);
    }
    let is_about_target = |used: &Used| applies(rule, record, Some(&used.provider), used.model.as_deref());
    // What is charged whether or not the client was let go free: targets that were asked before.
    let mut before = Spent::default();
    for used in &record.also_used {
        // Other models of one conversation are charged with it; a target that was asked before, to its own budgets.
        if is_about_target(used)
            || (spent != Spent::default() && record.provider.as_deref() == Some(&*used.provider))
        {
            let one = Spent {
                requests: 0,
                tokens: used.usage.total().unwrap_or(0),
                cost_nanousd: used.cost.nano_usd().unwrap_or(0),
                unpriced: u64::from(used.cost.nano_usd().is_none()),
            };
            spent.add(&one);
            spent.requests = spent.requests.max(1);
            if record.provider.as_deref() != Some(&*used.provider) {
                before.add(&one);
                before.requests = 1;
            }
        }
    }
    let is_open = spent.unpriced > 0 || (spent.requests > 0 && record.usage.output().is_none());
    let spent = Spent { unpriced: 0, ..spent };
    if record.started_at_us < from_us {
        let ended_us = record.started_at_us.saturating_add_unsigned(record.duration_us);
        if ended_us >= from_us {
            expected.astride.add(&spent);
            expected.open += u64::from(is_open);
        }
        return;
    }
    if may_be_free(record) {
        expected.free.add(&Spent {
            requests: spent.requests.saturating_sub(before.requests),
            tokens: spent.tokens.saturating_sub(before.tokens),
            cost_nanousd: spent.cost_nanousd.saturating_sub(before.cost_nanousd),
            unpriced: 0,
        });
    }
    expected.open += u64::from(is_open);
    expected.spent.add(&spent);
}

/// Whether the client of an exchange may have been let go free (`on_client_gone`): it left, and nothing was looked up for
/// a cost of nothing, as with what nobody bills.
fn may_be_free(record: &Record) -> bool {
    record.reason == Reason::ClientGone && record.cost == Cost::ZERO && record.prices == 0
}

/// Whether a rule is about an exchange at this provider with this model.
fn applies(rule: &Rule, record: &Record, provider: Option<&str>, model: Option<&str>) -> bool {
    let providers: Vec<&str> = provider.into_iter().collect();
    let models: Vec<&str> = record.model_requested.as_deref().or(model).into_iter().chain(model).collect();
    let models = if model.is_none() { Vec::new() } else { models };
    let caller = &*record.caller;
    let application = caller.metadata.iter().find(|(name, _)| name == "application");
    let facts = Facts {
        integration: record.client,
        application: application.map(|(_, value)| value.as_str()),
        models: &models,
        providers: &providers,
        ..Facts::of(Surface::Gateway, caller)
    };
    rule.applies(&facts)
}

/// What a running gateway has counted since it began.
struct Counted {
    started_us: i64,
    figures: BTreeMap<&'static str, u64>,
    /// Records on their way.
    waiting: u64,
}

fn counted(url: &str) -> Result<Counted> {
    let (status, text) = health::fetch(url, PATIENCE)?;
    if status != 200 {
        bail!("{url} answered {status}");
    }
    let sum = |name: &str, with: &str| -> f64 {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_name = rest.starts_with(['{', ' ']) && rest.contains(with);
            is_name.then(|| rest.rsplit_once(' ')?.1.parse::<f64>().ok()).flatten()
        });
        values.sum()
    };
    let started = sum("process_start_time_seconds", "");
    if started <= 0.0 {
        bail!("{url} does not say when its process began; is it the address of a gateway's metrics?");
    }
    let whole = |figure: f64| format!("{figure:.0}").parse::<u64>().unwrap_or(0);
    let figures = BTreeMap::from([
        ("requests", whole(sum("narrows_exchanges_total", ""))),
        ("input", whole(sum("narrows_tokens_total", "type=\"input\""))),
        ("output", whole(sum("narrows_tokens_total", "type=\"output\""))),
        // Money is shown in dollars: whole micro-dollars are what their sixteen digits have for certain.
        ("cost_microusd", whole(sum("narrows_cost_usd_total", "") * 1e6)),
        ("cost_unknown", whole(sum("narrows_cost_unknown_total", ""))),
    ]);
    let started_us = i64::try_from(whole(started * 1e6)).unwrap_or(i64::MAX);
    Ok(Counted { started_us, figures, waiting: whole(sum("narrows_records_queue", "")) })
}

/// The metrics of a running gateway: before and after the store is read, so that exchanges may go on meanwhile.
fn metrics(reader: &Reader, url: &str) -> Result<Check> {
    let ask = || counted(url).with_context(|| format!("no metrics from {url}"));
    let mut before = ask()?;
    for _ in 0..TRIES {
        if before.waiting == 0 {
            break;
        }
        std::thread::sleep(AGAIN);
        before = ask()?;
    }
    let mut sums = [0_u64; 5];
    let filter = Filter { from_us: Some(before.started_us), ..Filter::default() };
    reader.each(&filter, &mut |record: &Record| {
        let usages = || std::iter::once(&record.usage).chain(record.also_used.iter().map(|used| &used.usage));
        let costs = std::iter::once(record.cost).chain(record.also_used.iter().map(|used| used.cost));
        let more = [
            1,
            usages().filter_map(|usage| usage.input()).fold(0, u64::saturating_add),
            usages().filter_map(|usage| usage.output()).fold(0, u64::saturating_add),
            record.known_cost(),
            costs.filter(|cost| cost.nano_usd().is_none()).count() as u64,
        ];
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = sum.saturating_add(more);
        }
    })?;
    let after = ask()?;
    let names = ["requests", "input", "output", "cost_microusd", "cost_unknown"];
    let pairs = names.into_iter().zip(sums).map(|(name, records)| {
        let of = |counted: &Counted| counted.figures.get(name).copied().unwrap_or(0);
        let is_money = name == "cost_microusd";
        let records = if is_money { records / 1_000 } else { records };
        let rounding = u64::from(is_money);
        let other = (of(&before).saturating_sub(rounding), of(&after).saturating_add(rounding));
        Pair { what: name.to_owned(), records, other }
    });
    let note = match after.started_us == before.started_us {
        true => {
            (after.waiting > 0).then(|| format!("{} records are on their way into the store", after.waiting))
        }
        false => Some("the gateway began anew meanwhile; ask again".to_owned()),
    };
    Ok(Check { name: "metrics".to_owned(), pairs: pairs.collect(), note })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
