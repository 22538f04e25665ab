//! Sums of what policies decided, by hour, rule and action. Kept apart from the records, and stored together with them,
//! so that they are right even for exchanges that left no record.

use crate::record::Record;
use crate::rollup::hour_of;
use crate::segment::cut;
use narrows_policy::{Action, Stage};
use std::collections::HashMap;

/// Most different sums between two writes; beyond it the rule is `other`.
pub(crate) const DECISION_KEYS: usize = 16_384;
/// The rule of what is beyond the limit.
pub(crate) const OTHER: &str = "other";
/// The word for a stage in which everything was allowed.
pub(crate) const ALLOWED: &str = "allow";

/// What sums are kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DecisionKey {
    pub(crate) hour: i64,
    pub(crate) organization: Box<str>,
    /// `policy` or `detector`.
    pub(crate) kind: &'static str,
    pub(crate) rule: Box<str>,
    /// Empty for a policy's rule.
    pub(crate) entity: Box<str>,
    pub(crate) stage: Stage,
    pub(crate) action: &'static str,
    pub(crate) enforced: bool,
}

/// The sums: exchanges and findings.
pub(crate) type Figures = (u64, u64);

/// Sums that were not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    sums: HashMap<DecisionKey, Figures>,
}

impl Decisions {
    /// Adds an exchange. One that is clean costs three looks and nothing else.
    pub(crate) fn add(&mut self, record: &Record) {
        for (stage, inspection) in record.inspections.iter() {
            let Some(detail) = &inspection.detail else { continue };
            let key = |kind, rule: &str, entity: &str| DecisionKey {
                hour: hour_of(record.started_at_us),
                organization: record.caller.organization.as_str().into(),
                kind,
                rule: cut(rule).into(),
                entity: cut(entity).into(),
                stage,
                action: inspection.action.map_or(ALLOWED, Action::as_str),
                enforced: inspection.enforced,
            };
            let found = detail.findings.iter().map(|finding| u64::from(finding.count)).sum::<u64>();
            for rule in &detail.rules {
                self.count(key("policy", rule, ""), (1, found));
            }
            for (place, finding) in detail.findings.iter().enumerate() {
                let same = |other: &&crate::Finding| {
                    (&other.rule, &other.entity) == (&finding.rule, &finding.entity)
                };
                // One exchange, however many values a rule found in it.
                let again = detail.findings.iter().take(place).any(|other| same(&other));
                let figures = (u64::from(!again), u64::from(finding.count));
                self.count(key("detector", &finding.rule, &finding.entity), figures);
            }
        }
    }

    fn count(&mut self, mut key: DecisionKey, (exchanges, findings): Figures) {
        if self.sums.len() >= DECISION_KEYS && !self.sums.contains_key(&key) {
            (key.rule, key.entity) = (OTHER.into(), "".into());
        }
        let sums = self.sums.entry(key).or_default();
        *sums = (sums.0.saturating_add(exchanges), sums.1.saturating_add(findings));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.sums.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DecisionKey, &Figures)> {
        self.sums.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn an_exchange_counts_once_for_each_rule() {
        let mut record = sample::record(6);
        let mut request = record.inspections.get(Stage::Request).unwrap().clone();
        let detail = request.detail.as_mut().unwrap();
        detail.findings.push(detail.findings[0].clone());
        record.inspections.set(Stage::Request, request);
        let mut decisions = Decisions::default();
        decisions.add(&record);
        decisions.add(&sample::record(2));
        decisions.add(&sample::record(1));
        let mut rows: Vec<_> = decisions
            .iter()
            .map(|(key, sums)| (key.kind, &*key.rule, key.action, key.enforced, *sums))
            .collect();
        rows.sort_unstable();
        let expected = [
            ("detector", "github-pat", "mask", true, (1, 4)),
            ("policy", "no-secrets", "mask", true, (1, 4)),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn beyond_the_limit_rules_are_others() {
        let mut decisions = Decisions::default();
        let mut record = sample::record(6);
        let mut request = record.inspections.get(Stage::Request).unwrap().clone();
        let with = |number: usize, request: &mut crate::Inspection| {
            let detail = request.detail.as_mut().unwrap();
            detail.findings.clear();
            detail.rules = vec![format!("rule-{number}").into()];
        };
        for number in 0..=DECISION_KEYS {
            with(number, &mut request);
            record.inspections.set(Stage::Request, request.clone());
            decisions.add(&record);
        }
        assert_eq!(decisions.iter().count(), DECISION_KEYS + 1);
        assert!(decisions.iter().any(|(key, sums)| &*key.rule == OTHER && *sums == (1, 0)));
        decisions.add(&record);
        assert_eq!(decisions.iter().count(), DECISION_KEYS + 1, "what is known is still told apart");
    }
}
