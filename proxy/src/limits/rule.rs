//! Limits as exchanges meet them: where they apply, and what their counters are kept apart by.

use super::counter::Counter;
use crate::config::limits::{AtLimit, BudgetRule, Facet, LimitScope, OnLimitError, RateRule, Unit};
use crate::config::settings::Settings;
use narrows_policy::{Dimension, Facts};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// How much is hashed at once, in bytes: a hash of many short pieces costs several times as much as one of them together.
const GATHERED_BYTES: usize = 128;

/// A budget or a rate limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// What may be spent.
    Budget(BudgetRule),
    /// How fast.
    Rate(RateRule),
}

impl Rule {
    /// Its name in the configuration. A budget and a rate limit may have the same.
    pub(crate) fn name(&self) -> &Arc<str> {
        match self {
            Rule::Budget(rule) => &rule.name,
            Rule::Rate(rule) => &rule.name,
        }
    }

    /// What it is, for people and as a label.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Rule::Budget(_) => "budget",
            Rule::Rate(_) => "rate_limit",
        }
    }

    pub(crate) fn scope(&self) -> &LimitScope {
        match self {
            Rule::Budget(rule) => &rule.scope,
            Rule::Rate(rule) => &rule.scope,
        }
    }

    pub(crate) fn at_limit(&self) -> AtLimit {
        match self {
            Rule::Budget(rule) => rule.at_limit,
            Rule::Rate(rule) => rule.at_limit,
        }
    }

    pub(crate) fn delay(&self) -> Duration {
        match self {
            Rule::Budget(rule) => rule.delay,
            Rule::Rate(rule) => rule.delay,
        }
    }

    pub(crate) fn on_error(&self) -> OnLimitError {
        match self {
            Rule::Budget(rule) => rule.on_error,
            Rule::Rate(rule) => rule.on_error,
        }
    }

    pub(crate) fn reserve_output(&self) -> u64 {
        match self {
            Rule::Budget(rule) => rule.reserve_output,
            Rule::Rate(rule) => rule.reserve_output,
        }
    }

    /// Whether another target means another counter or another amount: prices are the target's.
    pub(crate) fn is_of_target(&self) -> bool {
        let in_money = matches!(self, Rule::Budget(rule) if rule.unit == Unit::Usd);
        in_money || self.scope().names_target()
    }

    /// Whether the counters of `other` can go on as those of this one.
    pub(crate) fn counts_like(&self, other: &Rule) -> bool {
        match (self, other) {
            (Rule::Budget(one), Rule::Budget(other)) => {
                (one.unit, one.budget.window, &one.scope.per)
                    == (other.unit, other.budget.window, &other.scope.per)
            }
            (Rule::Rate(one), Rule::Rate(other)) => {
                (one.limit.length_us, &one.scope.per) == (other.limit.length_us, &other.scope.per)
            }
            _ => false,
        }
    }

    /// Whether it is about an exchange. Of a fact with several values one must meet a demand.
    pub(crate) fn applies(&self, facts: &Facts<'_>) -> bool {
        let scope = self.scope();
        let names = scope.names.iter().all(|(of, names)| match facts.values(*of) {
            [] => names.accept(None, of.case()),
            values => values.iter().any(|value| names.accept(Some(value), of.case())),
        });
        names
            && scope.tags.iter().all(|(key, names)| {
                let case = narrows_policy::names::Case::Exact;
                let mut values = facts.tags.iter().filter(|(name, _)| name == key).peekable();
                match values.peek() {
                    None => names.accept(None, case),
                    Some(_) => values.any(|(_, value)| names.accept(Some(value), case)),
                }
            })
    }

    /// What decides which of its counters an exchange has, in the order of `per`.
    pub(crate) fn values<'f>(&self, facts: &Facts<'f>) -> impl Iterator<Item = Option<&'f str>> {
        self.scope().per.iter().map(|facet| match facet {
            // The model's last name is the one that its provider is asked for.
            Facet::Fact(dimension) => facts.values(*dimension).last().copied(),
            Facet::Tag(key) => {
                facts.tags.iter().find(|(name, _)| **name == **key).map(|(_, value)| value.as_str())
            }
        })
    }

    /// Where its counter for an exchange is looked for.
    pub(crate) fn hash<'f>(
        &self,
        state: &impl BuildHasher,
        values: impl Iterator<Item = Option<&'f str>>,
    ) -> u64 {
        let mut gathered = Gathered { hasher: state.build_hasher(), bytes: [0; GATHERED_BYTES], length: 0 };
        gathered.put(&[u8::from(matches!(self, Rule::Budget(_)))], false);
        gathered.put(self.name().as_bytes(), false);
        for (facet, value) in self.scope().per.iter().zip(values) {
            // No text has such a byte: values do not run into each other.
            gathered.put(&[if value.is_some() { 0xff } else { 0xfe }], false);
            gathered.put(value.unwrap_or_default().as_bytes(), is_folded(facet));
        }
        gathered.finish()
    }

    /// Whether two values of `per` at this place are the same.
    pub(crate) fn same(facet: &Facet, one: Option<&str>, other: Option<&str>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) if is_folded(facet) => one.eq_ignore_ascii_case(other),
            (one, other) => one == other,
        }
    }
}

/// Bytes on their way into a hasher.
struct Gathered<H> {
    hasher: H,
    bytes: [u8; GATHERED_BYTES],
    length: usize,
}

impl<H: Hasher> Gathered<H> {
    /// Adds bytes, as if in lower case if that is asked for.
    fn put(&mut self, mut bytes: &[u8], in_lower_case: bool) {
        while !bytes.is_empty() {
            if self.length == GATHERED_BYTES {
                self.hand_on();
            }
            let (part, rest) = bytes.split_at(bytes.len().min(GATHERED_BYTES - self.length));
            let end = self.length + part.len();
            if let Some(place) = self.bytes.get_mut(self.length..end) {
                place.copy_from_slice(part);
                if in_lower_case {
                    place.make_ascii_lowercase();
                }
            }
            (self.length, bytes) = (end, rest);
        }
    }

    fn hand_on(&mut self) {
        self.hasher.write(self.bytes.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    fn finish(mut self) -> u64 {
        self.hand_on();
        self.hasher.finish()
    }
}

/// Whether a client writes the name, and could evade its counter by writing it otherwise.
pub(super) fn is_folded(facet: &Facet) -> bool {
    matches!(facet, Facet::Fact(dimension) if *dimension == Dimension::Model)
}

/// The limits of a configuration, compiled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    all: Vec<Arc<Rule>>,
}

impl Rules {
    /// Those of `settings`.
    pub(crate) fn new(settings: &Settings) -> Rules {
        let stored = &settings.stored_limits;
        let budgets = settings.budgets.iter().chain(&stored.budgets).cloned().map(Rule::Budget);
        let rates = settings.rate_limits.iter().chain(&stored.rate_limits).cloned().map(Rule::Rate);
        // Rates first: they refuse what comes too fast before budgets are asked.
        Rules { all: rates.chain(budgets).map(Arc::new).collect() }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them: rate limits, then budgets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.all.iter()
    }

    /// The one that a counter is of.
    pub(super) fn of(&self, counter: &Counter) -> Option<&Arc<Rule>> {
        self.all.iter().find(|rule| counter.is_of(rule))
    }

    /// The one that counters of `rule`, which may be an earlier version of it, are of.
    pub(super) fn successor(&self, rule: &Rule) -> Option<&Arc<Rule>> {
        self.find(rule.kind(), rule.name()).filter(|found| found.scope().per == rule.scope().per)
    }

    /// The one of this kind with this name.
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Arc<Rule>> {
        self.all.iter().find(|rule| rule.kind() == kind && **rule.name() == *name)
    }
}
