//! Metrics: what is counted as exchanges begin and end, and what is read when somebody asks.
//!
//! To add a metric, add its row to the table, and count it in the step that knows the value.

mod cells;
mod families;
mod labels;
mod names;
mod process;
pub(crate) mod scrape;
mod series;
pub(crate) mod table;

#[cfg(test)]
pub(crate) mod tests;

use crate::limits::Rule;
use crate::snapshot::Provider;
use families::Families;
use names::Names;
use narrows_ledger::Record;
use narrows_policy::{Action, Reason, Stage};
use series::Series;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Counters of everything. Shared by all workers; nothing in it ever makes one wait for another, except when a series
/// is seen for the first time.
pub(crate) struct Metrics {
    families: Families,
    series: Series,
    /// Hash of the configuration whose models have series of their own; 0 before the first scrape.
    named_for: AtomicU64,
    /// Rules that alerts are counted by.
    rules: Names<RULES_MAX>,
    /// Budgets and rate limits that refusals are counted by.
    limits: Names<LIMITS_MAX>,
    /// Webhooks that deliveries are counted by.
    webhooks: Names<WEBHOOKS_MAX>,
    /// External guardrails that questions are counted by.
    guardrails: Names<GUARDRAILS_MAX>,
}

/// Rules that become a label in the life of a process.
pub(crate) const RULES_MAX: usize = 256;
/// Budgets and rate limits that become a label in the life of a process.
pub(crate) const LIMITS_MAX: usize = 512;
/// Webhooks that become a label in the life of a process.
pub(crate) const WEBHOOKS_MAX: usize = 64;
/// External guardrails that become a label in the life of a process.
pub(crate) const GUARDRAILS_MAX: usize = 256;

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// When the table of metrics is at odds with itself.
    pub(crate) fn new() -> anyhow::Result<Metrics> {
        Ok(Metrics {
            families: Families::new()?,
            series: Series::new(),
            named_for: AtomicU64::new(0),
            rules: Names::default(),
            limits: Names::default(),
            webhooks: Names::default(),
            guardrails: Names::default(),
        })
    }

    /// An exchange begins.
    pub(crate) fn exchange_opened(&self) {
        self.families.in_flight.inc();
    }

    /// An exchange is over, settled or not.
    pub(crate) fn exchange_closed(&self) {
        self.families.in_flight.dec();
    }

    /// A budget or a rate limit refused a request.
    pub(crate) fn limit_refused(&self, rule: &Rule, reason: Reason) {
        let name = self.limits.bounded(rule.name());
        self.families.limit_refusals.series(&[name, rule.kind(), reason.as_str()]).add(1);
    }

    /// A budget or a rate limit held a request up.
    pub(crate) fn limit_waited(&self, rule: &Rule) {
        let name = self.limits.bounded(rule.name());
        self.families.limit_waits.series(&[name, rule.kind()]).add(1);
    }

    /// An alert was raised.
    pub(crate) fn alert_raised(&self, rule: &str, stage: Stage, action: Action) {
        let rule = self.rules.bounded(rule);
        self.families.alerts.series(&[rule, stage.as_str(), action.as_str()]).add(1);
    }

    /// A webhook was told of an alert, or could not be.
    pub(crate) fn alert_delivery(&self, webhook: &str, outcome: &'static str) {
        let webhook = self.webhooks.bounded(webhook);
        self.families.alert_deliveries.series(&[webhook, outcome]).add(1);
    }

    /// An external guardrail was asked, or would have been: what came of it, and how long that took.
    pub(crate) fn guardrail_asked(&self, name: &str, verdict: &'static str, took: Option<Duration>) {
        let name = self.guardrails.bounded(name);
        self.families.guardrail_questions.series(&[name, verdict]).add(1);
        if let Some(took) = took {
            let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.families.guardrail_duration.series(&[name]).observe(took_us);
        }
    }

    /// A stream begins.
    pub(crate) fn stream_opened(&self) {
        self.families.streams.inc();
    }

    /// A stream is over.
    pub(crate) fn stream_closed(&self) {
        self.families.streams.dec();
    }

    /// Somebody asked whether anybody is there.
    pub(crate) fn probe_answered(&self) {
        self.families.probes.add(1);
    }

    /// A connection did not begin as a balancer's does.
    pub(crate) fn proxy_header_refused(&self) {
        self.families.proxy_headers_refused.add(1);
    }

    /// What a connection sent was not an HTTP head.
    pub(crate) fn head_refused(&self) {
        self.families.heads_refused.add(1);
    }

    /// A renewed certificate of a listener is in use.
    pub(crate) fn certificate_loaded(&self) {
        self.families.certificates_loaded.add(1);
    }

    /// A renewed certificate of a listener cannot be used.
    pub(crate) fn certificate_rejected(&self) {
        self.families.certificates_rejected.add(1);
    }

    /// From now on these models have `gen_ai_*` series of their own. Others get one while there is room.
    pub(crate) fn name_models(&self, models: Vec<Arc<str>>) {
        self.series.name_models(models);
    }

    /// Counts a settled exchange. `provider` is the one that was chosen, if one was.
    ///
    /// `spends` is false for what uses no tokens and has no usage to know, such as counting them.
    pub(crate) fn settled(&self, record: &Record, provider: Option<&Provider>, spends: bool) {
        self.count(record, provider.map(|provider| (&provider.name, provider.kind.kind)), spends);
    }

    fn count(&self, record: &Record, provider: Option<(&Arc<str>, &'static str)>, spends: bool) {
        self.series.count(&self.families, record, provider, spends);
        if record.attempts.is_empty() {
            return;
        }
        for pair in record.attempts.windows(2) {
            let [failed, next] = pair else { continue };
            let same = (&failed.provider, &failed.model) == (&next.provider, &next.model);
            let family = if same { &self.families.retries } else { &self.families.failovers };
            // Rare enough to look its series up.
            family.series(&[&failed.provider, failed.reason.as_str()]).add(1);
        }
        let overhead_us = record.duration_us.saturating_sub(record.upstream_wait_us);
        self.families.overhead.observe(overhead_us);
        if let Some(first_byte_us) = record.first_byte_us {
            let waited_us =
                record.attempts.iter().fold(0, |sum: u64, attempt| sum.saturating_add(attempt.duration_us));
            let added_us = first_byte_us.saturating_sub(waited_us).min(overhead_us);
            self.families.first_byte_added.observe(added_us);
        }
    }
}
