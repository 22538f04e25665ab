//! Limits for people: sentences, and how every counter stands.

use super::clock::Now;
use super::counter::{Count, Counter, State};
use super::counters::{Refused, Why};
use super::hold::Crossed;
use super::memory::Limits;
use super::rule::Rule;
use super::shared::{Seen, Stood};
use crate::config::limits::{AtLimit, BudgetRule, RateRule, Unit, usd};
use narrows_ledger::time;
use narrows_meter::budget::Level;
use narrows_meter::rate::{Denied, Measure, Retry};
use narrows_meter::{Calendar, Window};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// An amount of a budget with its unit.
pub(crate) fn amount(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Usd => format!("{} USD", usd(amount)),
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Requests => format!("{amount} requests"),
    }
}

/// A window in words: `month (Europe/Zurich)`, `30d`.
pub(crate) fn window(window: &Window) -> String {
    match window {
        Window::Calendar(calendar) => {
            let (period, zone) = (Calendar::period(calendar).as_str(), Calendar::zone(calendar));
            format!("{period} ({zone})")
        }
        Window::Rolling(length_us) => {
            let hours = length_us / 3_600_000_000;
            if hours % 24 == 0 { format!("{}d", hours / 24) } else { format!("{hours}h") }
        }
    }
}

/// ` for team core, user ada`; nothing for the one counter of a rule.
fn of(counter: &Counter, rule: &Rule) -> String {
    let pairs = rule.scope().per.iter().zip(counter.values());
    let pairs: Vec<String> =
        pairs.map(|(facet, value)| format!("{facet} {}", value.unwrap_or("(none)"))).collect();
    if pairs.is_empty() { String::new() } else { format!(" for {}", pairs.join(", ")) }
}

/// What a caller is told that a budget refuses.
pub(super) fn spent(
    rule: &BudgetRule,
    counter: &Counter,
    level: &Level,
    why: Why,
    frees_us: Option<i64>,
) -> String {
    let BudgetRule { name, unit, budget, .. } = rule;
    let whose = of(counter, &Rule::Budget(rule.clone()));
    let (limit, used) = (amount(*unit, budget.limit), amount(*unit, level.settled));
    let window = window(&budget.window);
    match why {
        Why::NoPrice => format!(
            "the budget {name}{whose} is in money and no price is known for this model; an operator can add one, or \
             let such requests pass with on_error: allow"
        ),
        Why::TooLarge => format!(
            "this request could cost more than the whole budget {name}{whose} ({limit} a {window}); ask for a shorter \
             answer"
        ),
        Why::Held => format!(
            "requests that are under way hold what is left of the budget {name}{whose} ({used} of {limit} are spent in \
             this {window}); try again shortly, or ask for a shorter answer"
        ),
        _ if level.settled >= budget.limit => {
            format!(
                "the budget {name}{whose} is spent: {used} of {limit} in this {window}; {}",
                until(frees_us)
            )
        }
        _ => format!(
            "what is left of the budget {name}{whose} is less than this request could cost: {used} of {limit} are spent \
             in this {window}; ask for a shorter answer, or {}",
            until(frees_us)
        ),
    }
}

/// What a client is told whose stream ends because its budget has no more room.
pub(super) fn ended(rule: &Arc<Rule>, counter: &Counter, level: &Level) -> Box<Refused> {
    let Rule::Budget(budget) = &**rule else { return Refused::new(rule, Why::Spent, None, String::new()) };
    let (limit, used) = (amount(budget.unit, budget.budget.limit), amount(budget.unit, level.settled));
    let held = amount(budget.unit, level.reserved);
    let message = format!(
        "the answer ends here: the budget {}{} has no room for more of it ({used} of {limit} are spent in this {}, and \
         {held} are held by exchanges under way)",
        budget.name,
        of(counter, rule),
        window(&budget.budget.window)
    );
    Refused::new(rule, Why::Spent, None, message)
}

fn until(frees_us: Option<i64>) -> String {
    match frees_us.and_then(time) {
        Some(at) => format!("wait until {at}, or ask an operator to raise it"),
        None => "ask an operator to raise it".to_owned(),
    }
}

/// What a caller is told that a rate limit refuses.
pub(super) fn too_fast(rule: &RateRule, counter: &Counter, denied: Denied) -> String {
    let RateRule { name, limit, every, .. } = rule;
    let whose = of(counter, &Rule::Rate(rule.clone()));
    let every = every.as_str();
    let what = match denied.measure {
        Measure::Requests => format!("{} requests a {every}", limit.requests.unwrap_or_default()),
        Measure::Tokens => format!("{} tokens a {every}", limit.tokens.unwrap_or_default()),
        Measure::Concurrent => format!("{} exchanges at a time", limit.concurrent.unwrap_or_default()),
    };
    match denied.retry {
        Retry::After(us) => {
            let seconds = us.unsigned_abs().div_ceil(1_000_000);
            format!("the rate limit {name}{whose} of {what} is reached; try again in {seconds} s")
        }
        Retry::WhenOneEnds => {
            format!("the rate limit {name}{whose} of {what} is reached; try again when one has ended")
        }
        Retry::Never => format!(
            "this request is larger than the whole rate limit {name}{whose} of {what}; send less, or ask for a shorter \
             answer"
        ),
    }
}

/// What a caller is told when there are too many counters.
pub(super) fn uncounted(rule: &Rule) -> String {
    let kind = rule.kind().replace('_', " ");
    format!("the {kind} {} cannot be counted: there are too many counters; try again shortly", rule.name())
}

/// What a caller is told when the counters that gateways share do not answer.
pub(super) fn unreachable(rule: &Rule) -> String {
    let kind = rule.kind().replace('_', " ");
    format!(
        "the {kind} {} cannot be counted: the counters that gateways share do not answer; try again shortly",
        rule.name()
    )
}

impl Crossed {
    /// One sentence for an alert.
    pub(crate) fn sentence(&self) -> String {
        let Rule::Budget(rule) = &*self.rule else { return String::new() };
        let BudgetRule { name, unit, budget, .. } = rule;
        format!(
            "{} % of the budget {name}{} are spent: {} of {} in this {}",
            self.threshold,
            of(&self.counter, &self.rule),
            amount(*unit, self.level.settled),
            amount(*unit, budget.limit),
            window(&budget.window)
        )
    }

    /// Whether requests are refused from here on.
    pub(crate) fn blocks(&self) -> bool {
        self.threshold >= 100 && self.rule.at_limit() == AtLimit::Block
    }
}

/// How one counter stands.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) rule: Arc<Rule>,
    /// What it stands for, as JSON.
    pub(crate) scope: Arc<str>,
    pub(crate) kind: LineKind,
}

/// What it counts.
#[derive(Debug, Clone)]
pub(crate) enum LineKind {
    /// Of a budget.
    Budget(Level),
    /// Of a rate limit: what of it is used, and how many exchanges are open.
    Rate {
        /// Requests in the window.
        requests: Option<u64>,
        /// Tokens in the window.
        tokens: Option<u64>,
        /// Exchanges that are open.
        open: u64,
    },
}

/// All counters of one budget together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    /// Spent, in the budget's unit.
    pub(crate) settled: u64,
    /// Held.
    pub(crate) reserved: u64,
    /// The largest share of the limit that one counter has spent.
    pub(crate) fullest: f64,
    /// How many there are.
    pub(crate) counters: u64,
}

impl Limits {
    /// How every counter of one kind stands that has a rule, by name and scope.
    pub(crate) fn lines(&self, kind: &str) -> Vec<Line> {
        let now = self.now();
        let mut counters = self.table.all();
        counters.retain(|counter| counter.kind() == kind && self.has_rule(counter));
        counters.sort_by(|one, other| one.name.cmp(&other.name));
        counters.iter().filter_map(|counter| line(counter, now)).collect()
    }

    /// The sums of every budget, by name.
    pub(crate) fn sums(&self) -> BTreeMap<Arc<str>, Sums> {
        let mut sums: BTreeMap<Arc<str>, Sums> = BTreeMap::new();
        for line in self.lines("budget") {
            let (Rule::Budget(rule), LineKind::Budget(level)) = (&*line.rule, line.kind) else { continue };
            let sum = sums.entry(Arc::clone(&rule.name)).or_default();
            sum.settled = sum.settled.saturating_add(level.settled);
            sum.reserved = sum.reserved.saturating_add(level.reserved);
            sum.fullest = sum.fullest.max(share(level.settled, rule.budget.limit));
            sum.counters += 1;
        }
        sums
    }
}

/// A share of a limit, for a gauge.
#[expect(clippy::cast_precision_loss, reason = "a gauge has sixteen digits; counters have all of them")]
fn share(used: u64, limit: u64) -> f64 {
    used as f64 / limit.max(1) as f64
}

fn line(counter: &Arc<Counter>, now: Now) -> Option<Line> {
    let mut state = counter.lock();
    let State { rule, count, seen, .. } = &mut *state;
    let kind = match (count, &**rule) {
        (Count::Spending(spending), Rule::Budget(rule)) => {
            let own = spending.level(&rule.budget, now.wall_us);
            LineKind::Budget(shared_level(seen, &rule.budget.window, &own).unwrap_or(own))
        }
        (Count::Rate(_), Rule::Rate(_)) if seen.rate().is_some() => {
            let (requests, tokens, open) = seen.rate().unwrap_or_default();
            LineKind::Rate { requests, tokens, open }
        }
        (Count::Rate(rate), Rule::Rate(rule)) => {
            let mut used = |measure| {
                let room = rate.room(&rule.limit, now.steady_us, measure)?;
                Some(room.limit.saturating_sub(room.left))
            };
            let (requests, tokens) = (used(Measure::Requests), used(Measure::Tokens));
            LineKind::Rate { requests, tokens, open: rate.open() }
        }
        _ => return None,
    };
    Some(Line { rule: Arc::clone(rule), scope: Arc::clone(&counter.name.scope), kind })
}

/// How a budget that gateways share stood when Redis was last asked, if that was in the window at hand.
fn shared_level(seen: &Seen, window: &Window, own: &Level) -> Option<Level> {
    let (Stood::Budget { settled, held }, at_us) = seen.stood()? else { return None };
    let is_over = match (window, own.resets_us) {
        (Window::Calendar(calendar), Some(resets_us)) => calendar.span(at_us).end_us < resets_us,
        _ => false,
    };
    let settled = if is_over { 0 } else { settled };
    Some(Level { settled, reserved: held, resets_us: own.resets_us })
}

/// Whole seconds until a retry can succeed, at least one.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
