//! Sums by hour and group, in memory.

use crate::classes::Classes;
use crate::decisions::Decisions;
use crate::record::{Record, Used};
use crate::spending::Charges;
use narrows_meter::Origin;
use narrows_policy::{Caller, Reason};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// Microseconds in an hour.
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// The sums of a group. All of them stop at `u64::MAX` (in the store at 2⁶³−1) instead of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Exchanges.
    pub requests: u64,
    /// Exchanges that left only sums because the queue was full.
    pub overflowed: u64,
    /// Prompt tokens, cached and cache-writing ones included.
    pub input: u64,
    /// Exchanges whose prompt tokens are not known.
    pub input_unknown: u64,
    /// Prompt tokens read from a prompt cache.
    pub cache_read: u64,
    /// Prompt tokens written to a prompt cache.
    pub cache_write: u64,
    /// Generated tokens, reasoning included.
    pub output: u64,
    /// Exchanges whose generated tokens are not known.
    pub output_unknown: u64,
    /// Generated reasoning tokens.
    pub reasoning: u64,
    /// Known cost in nano-dollars.
    pub cost_nanousd: u64,
    /// Exchanges whose cost is not known.
    pub cost_unknown: u64,
    /// Bytes of request bodies.
    pub request_bytes: u64,
    /// Bytes of answer bodies.
    pub response_bytes: u64,
}

/// How many figures a row of `rollups` has: all of [`Sums`] but `overflowed`, which is told by the kind of row.
pub(crate) const SUMS: usize = 12;

impl Sums {
    /// The columns of `rollups`, in the order of [`Sums::to_array`].
    pub(crate) const COLUMNS: [&'static str; SUMS] = [
        "requests",
        "input",
        "input_unknown",
        "cache_read",
        "cache_write",
        "output",
        "output_unknown",
        "reasoning",
        "cost_nanousd",
        "cost_unknown",
        "request_bytes",
        "response_bytes",
    ];

    /// Every figure with its name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Sums::COLUMNS.into_iter().zip(self.to_array()).chain([("overflowed", self.overflowed)])
    }

    pub(crate) fn to_array(self) -> [u64; SUMS] {
        [
            self.requests,
            self.input,
            self.input_unknown,
            self.cache_read,
            self.cache_write,
            self.output,
            self.output_unknown,
            self.reasoning,
            self.cost_nanousd,
            self.cost_unknown,
            self.request_bytes,
            self.response_bytes,
        ]
    }

    pub(crate) fn from_array(figures: [u64; SUMS]) -> Sums {
        let [requests, input, input_unknown, cache_read, cache_write, output, rest @ ..] = figures;
        let [output_unknown, reasoning, cost_nanousd, cost_unknown, request_bytes, response_bytes] = rest;
        Sums {
            requests,
            overflowed: 0,
            input,
            input_unknown,
            cache_read,
            cache_write,
            output,
            output_unknown,
            reasoning,
            cost_nanousd,
            cost_unknown,
            request_bytes,
            response_bytes,
        }
    }

    /// The sums of one exchange, without what it used of other providers and models.
    fn of(record: &Record) -> Sums {
        let usage = &record.usage;
        let (input, output, cost) = (usage.input(), usage.output(), record.cost.nano_usd());
        Sums {
            requests: 1,
            overflowed: 0,
            input: input.unwrap_or(0),
            input_unknown: u64::from(input.is_none()),
            cache_read: usage.cache_read.unwrap_or(0),
            cache_write: usage.cache_write().unwrap_or(0),
            output: output.unwrap_or(0),
            output_unknown: u64::from(output.is_none()),
            reasoning: usage.reasoning.unwrap_or(0),
            cost_nanousd: cost.unwrap_or(0),
            cost_unknown: u64::from(cost.is_none()),
            request_bytes: record.request_bytes,
            response_bytes: record.response_bytes,
        }
    }

    /// The sums of what an exchange used of another provider or model than its record's own: no exchange more.
    fn beside(used: &Used) -> Sums {
        let (usage, cost) = (&used.usage, used.cost.nano_usd());
        Sums {
            input: usage.input().unwrap_or(0),
            cache_read: usage.cache_read.unwrap_or(0),
            cache_write: usage.cache_write().unwrap_or(0),
            output: usage.output().unwrap_or(0),
            output_unknown: u64::from(usage.output().is_none()),
            reasoning: usage.reasoning.unwrap_or(0),
            cost_nanousd: cost.unwrap_or(0),
            cost_unknown: u64::from(cost.is_none()),
            ..Sums::default()
        }
    }

    /// The sums of one exchange, by the groups that they belong to.
    pub(crate) fn split(record: &Record) -> impl Iterator<Item = (GroupKey, Sums)> {
        let own = std::iter::once_with(|| (GroupKey::of(record), Sums::of(record)));
        own.chain(record.also_used.iter().map(|used| (GroupKey::beside(record, used), Sums::beside(used))))
    }

    /// Whether every figure is nothing.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Sums::default()
    }

    /// As they are in the store, whose figures stop at 2⁶³−1.
    pub(crate) fn stored(self) -> Sums {
        let figures = self.to_array().map(|figure| figure.min(i64::MAX.unsigned_abs()));
        let overflowed = self.overflowed.min(i64::MAX.unsigned_abs());
        Sums { overflowed, ..Sums::from_array(figures) }
    }

    /// Adds `other`, saturating.
    pub fn add(&mut self, other: &Sums) {
        let mut figures = self.to_array();
        for (figure, more) in figures.iter_mut().zip(other.to_array()) {
            *figure = figure.saturating_add(more);
        }
        let overflowed = self.overflowed.saturating_add(other.overflowed);
        *self = Sums { overflowed, ..Sums::from_array(figures) };
    }
}

/// The hour a time falls in, counted from the epoch.
pub(crate) fn hour_of(at_us: i64) -> i64 {
    at_us.div_euclid(HOUR_US)
}

/// What sums are kept by, beside the hour. The model is the one asked of the provider: a name from the routes,
/// so that a caller who invents model names cannot make the table grow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GroupKey {
    pub(crate) caller: Arc<Caller>,
    pub(crate) provider: Option<Arc<str>>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) dialect: Option<&'static str>,
    pub(crate) client: Option<&'static str>,
    pub(crate) reason: Reason,
    pub(crate) origin: Origin,
}

impl GroupKey {
    fn of(record: &Record) -> GroupKey {
        GroupKey {
            caller: Arc::clone(&record.caller),
            provider: record.provider.clone(),
            model: record.model_sent.clone(),
            dialect: record.dialect,
            client: record.client,
            reason: record.reason,
            origin: record.origin,
        }
    }

    fn beside(record: &Record, used: &Used) -> GroupKey {
        let (provider, model) = (Some(Arc::clone(&used.provider)), used.model.clone());
        GroupKey { provider, model, origin: used.origin, ..GroupKey::of(record) }
    }
}

/// Sums of exchanges that found the queue full.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    pub(crate) groups: HashMap<(i64, GroupKey), Sums>,
    pub(crate) decisions: Decisions,
    pub(crate) classes: Classes,
    pub(crate) charges: Charges,
}

/// Most groups that overflowing exchanges are told apart by. Beyond it only hour and organization are kept.
pub(crate) const OVERFLOW_GROUPS: usize = 16_384;

impl Overflow {
    pub(crate) fn fold(&mut self, record: &Record, groups_limit: usize) {
        let hour = hour_of(record.started_at_us);
        for (group, sums) in Sums::split(record) {
            let mut key = (hour, group);
            if self.groups.len() >= groups_limit && !self.groups.contains_key(&key) {
                let caller = Caller { organization: record.caller.organization.clone(), ..Caller::default() };
                key.1 = GroupKey {
                    caller: Arc::new(caller),
                    provider: None,
                    model: None,
                    dialect: None,
                    client: None,
                    reason: record.reason,
                    origin: record.origin,
                };
            }
            let sums = Sums { overflowed: sums.requests, ..sums };
            self.groups.entry(key).or_default().add(&sums);
        }
        self.decisions.add(record);
        self.classes.add(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn names_and_figures_are_in_the_same_order() {
        let sums = Sums::from_array(std::array::from_fn(|place| place as u64));
        let json = serde_json::to_value(sums).unwrap();
        for (place, column) in Sums::COLUMNS.iter().enumerate() {
            assert_eq!(json[column], place, "{column}");
        }
        assert_eq!(Sums::from_array(sums.to_array()), sums);
    }

    #[test]
    fn beyond_the_limit_overflow_is_told_apart_by_organization_only() {
        let mut overflow = Overflow::default();
        // Teams 0, 1 and 2, all in the hour after the first two records.
        for number in [6, 7, 6, 8] {
            overflow.fold(&sample::record(number), 2);
        }
        assert_eq!(overflow.groups.len(), 3);
        let coarse: Vec<_> =
            overflow.groups.iter().filter(|((_, key), _)| key.caller.team.is_none()).collect();
        assert_eq!(coarse.len(), 1, "the third group is past the limit");
        assert_eq!((coarse[0].1.requests, coarse[0].0.1.caller.organization.as_str()), (1, "acme"));
        assert_eq!(overflow.groups.values().map(|sums| sums.requests).sum::<u64>(), 4);
    }

    #[test]
    fn hours_before_1970_are_hours_too() {
        assert_eq!((hour_of(-1), hour_of(0), hour_of(HOUR_US)), (-1, 0, 1));
    }
}
