//! One counter: of one rule, for one combination of what the rule counts apart.

use super::clock::Now;
use super::rule::Rule;
use super::shared::Seen;
use crate::config::limits::{BudgetRule, Facet, Unit};
use narrows_ledger::{CounterName, Spent, SpentRow};
use narrows_meter::{Rate, Spending};
use serde_json::{Map, Value as Json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A counter. Its lock is held for some additions, and never by anybody who waits for anything.
#[derive(Debug)]
pub(crate) struct Counter {
    /// Its rule's name, and its scope as text.
    pub(crate) name: Arc<CounterName>,
    /// The kind of its rule.
    kind: &'static str,
    /// What the rule counts apart by.
    per: Box<[Facet]>,
    /// What it stands for, in the same order.
    values: Box<[Option<Box<str>>]>,
    state: Mutex<State>,
}

/// What is counted, and the rule as it is now: exchanges that began under an older configuration go by it too.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) rule: Arc<Rule>,
    pub(crate) count: Count,
    /// The most that open exchanges can come to, in every unit: a budget may be put in another one.
    pub(crate) open: Spent,
    /// What was charged while somebody reads what was charged before.
    pub(crate) recent: Vec<(i64, Spent)>,
    /// What is known of the counter that gateways share, where they do. Then `count` is this gateway's part of it.
    pub(crate) seen: Seen,
}

/// What is counted.
#[derive(Debug)]
pub(crate) enum Count {
    /// What was spent of a budget.
    Spending(Box<Spending>),
    /// What was admitted under a rate limit.
    Rate(Box<Rate>),
}

impl Count {
    fn new(rule: &Rule) -> Count {
        match rule {
            Rule::Budget(rule) => Count::Spending(Box::new(Spending::new(&rule.budget.window))),
            Rule::Rate(rule) => Count::Rate(Box::new(Rate::new(&rule.limit))),
        }
    }
}

/// An amount in a budget's unit.
pub(crate) fn amount(rule: &BudgetRule, spent: &Spent) -> u64 {
    match rule.unit {
        Unit::Usd => spent.cost_nanousd,
        Unit::Tokens => spent.tokens,
        Unit::Requests => spent.requests,
    }
}

impl Counter {
    /// A counter at nothing.
    pub(crate) fn new<'v>(rule: &Arc<Rule>, values: impl Iterator<Item = Option<&'v str>>) -> Counter {
        let values: Box<[Option<Box<str>>]> = values.map(|value| value.map(Box::from)).collect();
        let names = rule.scope().per.iter().map(Facet::to_string);
        let scope: Map<String, Json> =
            names.zip(&values).map(|(name, value)| (name, Json::from(value.as_deref()))).collect();
        let name =
            CounterName { budget: Arc::clone(rule.name()), scope: Json::Object(scope).to_string().into() };
        Counter {
            name: Arc::new(name),
            kind: rule.kind(),
            per: rule.scope().per.as_slice().into(),
            values,
            state: Mutex::new(State {
                rule: Arc::clone(rule),
                count: Count::new(rule),
                open: Spent::default(),
                recent: Vec::new(),
                seen: Seen::default(),
            }),
        }
    }

    /// The counter that a scope in the store is the text of; `None` if the rule counts apart by something else now.
    pub(crate) fn of_scope(rule: &Arc<Rule>, scope: &str) -> Option<Counter> {
        let Ok(Json::Object(scope)) = serde_json::from_str(scope) else { return None };
        let per = &rule.scope().per;
        if scope.len() != per.len() {
            return None;
        }
        let values = per.iter().map(|facet| match scope.get(&facet.to_string())? {
            Json::Null => Some(None),
            Json::String(value) => Some(Some(value.as_str())),
            _ => None,
        });
        let values: Vec<Option<&str>> = values.collect::<Option<_>>()?;
        Some(Counter::new(rule, values.into_iter()))
    }

    /// The kind of its rule.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it is one of a rule's, or of an earlier version of it that counts apart by the same.
    pub(crate) fn is_of(&self, rule: &Rule) -> bool {
        self.name.budget == *rule.name() && self.kind == rule.kind() && *self.per == *rule.scope().per
    }

    /// What it stands for.
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<&str>> {
        self.values.iter().map(Option::as_deref)
    }

    /// Whether it is the one of a rule for these values.
    pub(crate) fn is<'v>(&self, rule: &Rule, values: impl Iterator<Item = Option<&'v str>>) -> bool {
        let mut pairs = self.per.iter().zip(values).zip(&self.values);
        self.is_of(rule) && pairs.all(|((facet, asked), own)| Rule::same(facet, asked, own.as_deref()))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was charged while somebody read: nobody does any more.
    pub(crate) fn forget_recent(&self) {
        self.lock().recent = Vec::new();
    }

    /// Goes on under another version of its rule. `history` is what the store knows of it, if it has to be counted anew;
    /// what was charged since that was read is added.
    pub(crate) fn adapt(&self, rule: &Arc<Rule>, now: Now, history: Option<&[SpentRow]>) {
        let mut state = self.lock();
        let anew = history.is_some() || !state.rule.counts_like(rule);
        let State { rule: before, count, open, recent, seen } = &mut *state;
        if anew {
            seen.renew();
        }
        let recent = std::mem::take(recent);
        let before = std::mem::replace(before, Arc::clone(rule));
        match (count, &**rule) {
            (Count::Spending(spending), Rule::Budget(rule)) => {
                if let Some(history) = history {
                    // Until the end of the quarter it is from: rather remembered for minutes too long than too short.
                    let at = |row: &SpentRow| (row.from_us + narrows_ledger::QUARTER_US - 1).min(now.wall_us);
                    let rows = history.iter().map(|row| (at(row), amount(rule, &row.spent)));
                    let recent = recent.iter().map(|(at_us, spent)| (*at_us, amount(rule, spent)));
                    spending.restart(&rule.budget, now.wall_us, rows.chain(recent));
                    seen.begin(spending.level(&rule.budget, now.wall_us).settled, now.wall_us);
                }
                if matches!(&*before, Rule::Budget(before) if before.unit != rule.unit) {
                    spending.restate(amount(rule, open));
                }
            }
            (Count::Rate(rate), Rule::Rate(rule)) => rate.adapt(&rule.limit),
            (count, rule) => *count = Count::new(rule),
        }
    }

    /// Whether nothing is lost when it goes.
    pub(crate) fn is_idle(&self, now: Now) -> bool {
        let mut state = self.lock();
        let State { rule, count, seen, .. } = &mut *state;
        if seen.lease.is_held() {
            return false;
        }
        match (count, &**rule) {
            (Count::Spending(spending), Rule::Budget(rule)) => spending.is_idle(&rule.budget, now.wall_us),
            (Count::Rate(rate), _) => rate.is_idle(now.steady_us),
            (Count::Spending(_), Rule::Rate(_)) => false,
        }
    }
}
