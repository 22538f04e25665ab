//! The text exposition (prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4).

use super::table::{self, Kind, METRICS, Metric, Source};
use super::{Metrics, process};
use crate::config::limits::{Unit, usd};
use crate::gateway::Shared;
use crate::limits::Rule;
use crate::snapshot::Snapshot;
use crate::targets::breaker::Phase;
use crate::targets::health::{Health, Mode, now_ms};
use prometheus::TextEncoder;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The content type of the exposition.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// Everything, as Prometheus reads it. Takes locks that no exchange needs for long, and reads `/proc`: not for a
    /// request's path.
    pub(crate) fn render(&self, shared: &Shared) -> String {
        let snapshot = shared.snapshot();
        if self.named_for.swap(snapshot.hash, Ordering::Relaxed) != snapshot.hash {
            let listed = snapshot.listed_models();
            self.name_models(listed.into_iter().map(|(_, resolved)| resolved.model).collect());
        }
        let mut out = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.families.registry.gather(), &mut out) {
            // Says which metric is malformed; the rest is still worth having.
            tracing::error!("the metrics cannot be written whole: {error}");
        }
        self.write_scraped(&mut out, shared, &snapshot);
        out
    }

    fn write_scraped(&self, out: &mut String, shared: &Shared, snapshot: &Arc<Snapshot>) {
        let mut samples = Samples::default();
        for provider in snapshot.providers() {
            let (pool, name) = (&provider.pool, &*provider.name);
            samples.labelled(&table::CONNECTIONS_OPENED, name, pool.opened.load(Ordering::Relaxed));
            samples.labelled(&table::CONNECTIONS_REUSED, name, pool.reused.load(Ordering::Relaxed));
            samples.labelled(&table::CONNECTIONS_IDLE, name, pool.idle_len());
            let credentials = &provider.credentials;
            samples.labelled(&table::CREDENTIALS_REFUSED, name, credentials.refusals());
            samples.labelled(&table::CREDENTIALS_ASIDE, name, credentials.aside().len());
        }
        samples.add(&table::EXCHANGES_LIMIT, snapshot.limits.exchanges);
        samples.add(&table::SCHEDULING_DELAY, shared.overload.delay().as_secs_f64());
        samples.add(&table::SHED_RATIO, f64::from(shared.overload.shed()) / 1000.0);
        for health in snapshot.health.iter() {
            samples.labelled(&table::TARGET_STATE, &health.name, state(health));
            samples.labelled(&table::TARGET_SET_ASIDE, &health.name, health.opened.load(Ordering::Relaxed));
        }
        for guardrail in snapshot.guard.remote.iter() {
            let (name, (opened, reused)) = (&*guardrail.settings.name, guardrail.connections());
            samples.labelled(&table::GUARDRAIL_STATE, name, state(guardrail.health()));
            samples.labelled(&table::GUARDRAIL_OPENED, name, opened);
            samples.labelled(&table::GUARDRAIL_REUSED, name, reused);
        }
        budgets(&mut samples, shared, snapshot);
        samples.add(&table::BUFFERED, shared.buffers.used());
        samples.add(&table::BUFFERED_LIMIT, snapshot.limits.buffered_bodies);
        let ledger = shared.ledger.stats();
        samples.add(&table::QUEUE, ledger.queue_depth);
        samples.add(&table::QUEUE_LIMIT, ledger.queue_limit);
        samples.add(&table::RECORDS_WRITTEN, ledger.written);
        samples.add(&table::RECORDS_OVERFLOWED, ledger.overflowed);
        samples.add(&table::STORE_FAILURES, ledger.failed_batches);
        samples.add(&table::STORE_FAILING, u8::from(ledger.failing));
        samples.add(&table::JSON_FAILURES, ledger.json_errors);
        let content = shared.ledger.content_stats();
        samples.add(&table::CONTENT_WAITING, content.waiting);
        samples.add(&table::CONTENT_STORED, content.stored);
        samples.add(&table::CONTENT_BYTES, content.stored_bytes);
        samples.add(&table::CONTENT_DROPPED, content.dropped);
        samples.add(&table::CONTENT_SWEPT, content.swept);
        samples.add(&table::CONTENT_FAILED, content.failed);
        samples.add(&table::ALERTS_LOST, shared.ledger.alert_stats().dropped);
        let alerts = shared.alerts.backlog();
        samples.add(&table::ALERTS_OPEN, alerts.open);
        samples.add(&table::ALERTS_PENDING, alerts.pending);
        samples.add(&table::ALERTS_FAILED, alerts.failed);
        samples.add(&table::ALERTS_OLDEST, age_seconds(alerts.oldest_us));
        samples.add(&table::KEYS, shared.ledger.keys().len());
        samples.add(&table::MODEL_LABELS, self.series.unnamed_models());
        samples.add(&table::STOPPING, u8::from(shared.is_leaving()));
        samples.labelled(&table::CONFIG, &format!("{:016x}", snapshot.hash), 1);
        let configuration = &shared.configuration;
        samples.add(&table::CONFIG_LOADED, configuration.loaded_at_seconds());
        for (result, count) in configuration.counts() {
            samples.labelled(&table::CONFIG_RELOADS, result, count);
        }
        samples.add(&table::CONFIG_REJECTED, u8::from(configuration.is_rejected()));
        samples.labelled(&table::BUILD, env!("CARGO_PKG_VERSION"), 1);
        for (metric, figure) in process::figures() {
            samples.add(metric, figure);
        }
        samples.write(out);
    }
}

/// How budgets stand. One without a counter has spent nothing.
fn budgets(samples: &mut Samples, shared: &Shared, snapshot: &Snapshot) {
    let sums = shared.limits.sums();
    for rule in snapshot.rules.iter() {
        let Rule::Budget(rule) = &**rule else { continue };
        let sum = sums.get(&rule.name).copied().unwrap_or_default();
        let figure = |amount: u64| match rule.unit {
            Unit::Usd => usd(amount),
            Unit::Tokens | Unit::Requests => amount.to_string(),
        };
        samples.labelled(&table::BUDGET_LIMIT, &rule.name, figure(rule.budget.limit));
        samples.labelled(&table::BUDGET_SPENT, &rule.name, figure(sum.settled));
        samples.labelled(&table::BUDGET_RESERVED, &rule.name, figure(sum.reserved));
        samples.labelled(&table::BUDGET_FULLEST, &rule.name, sum.fullest);
    }
    samples.add(&table::LIMIT_COUNTERS, shared.limits.counters());
    let figures = shared.limits.shared().map(|counters| counters.figures()).unwrap_or_default();
    samples.add(&table::LIMIT_UNCOUNTED, shared.limits.uncounted().saturating_add(figures.uncounted));
    samples.add(&table::COUNTERS_CONNECTED, u8::from(figures.connected));
    samples.add(&table::COUNTERS_WAITED, figures.waited);
    samples.add(&table::COUNTERS_BACKGROUND, figures.background);
    samples.add(&table::COUNTERS_FAILED, figures.failed);
    samples.add(&table::COUNTERS_LOST, figures.lost);
    samples.add(&table::COUNTERS_LEASED, figures.leased);
    samples.add(&table::COUNTERS_UNTOLD, figures.untold);
}

/// How long ago that was (UTC microseconds since the epoch), in seconds.
fn age_seconds(at_us: Option<i64>) -> i64 {
    let now_us = jiff::Timestamp::now().as_microsecond();
    at_us.map_or(0, |at_us| now_us.saturating_sub(at_us).max(0) / 1_000_000)
}

/// How a provider or target stands, as a figure.
fn state(health: &Health) -> u8 {
    match (health.mode(), health.phase(now_ms())) {
        (Mode::Disabled, _) => 4,
        (Mode::Draining, _) => 3,
        (Mode::Enabled, Phase::Open) => 2,
        (Mode::Enabled, Phase::HalfOpen) => 1,
        (Mode::Enabled, Phase::Closed) => 0,
    }
}

/// Values read at a scrape, as lines.
#[derive(Default)]
pub(super) struct Samples(Vec<(&'static str, String)>);

impl Samples {
    /// The value of a metric without labels.
    pub(super) fn add(&mut self, metric: &Metric, value: impl std::fmt::Display) {
        self.0.push((metric.name, format!("{} {value}\n", metric.name)));
    }

    /// The value of a metric with one label.
    pub(super) fn labelled(&mut self, metric: &Metric, label: &str, value: impl std::fmt::Display) {
        let name = metric.labels.first().map_or("", |label| label.name);
        let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.0.push((metric.name, format!("{}{{{name}=\"{label}\"}} {value}\n", metric.name)));
    }

    /// Appends every family that has a value, in the order of the table.
    pub(super) fn write(&self, out: &mut String) {
        for metric in METRICS.iter().filter(|metric| metric.source == Source::Scraped) {
            let mut lines = self.0.iter().filter(|(name, _)| *name == metric.name).peekable();
            if lines.peek().is_none() {
                continue;
            }
            let kind: Kind = metric.kind;
            // Writing to a text cannot fail.
            let _ = writeln!(
                out,
                "# HELP {} {}\n# TYPE {} {}",
                metric.name,
                metric.meaning,
                metric.name,
                kind.word()
            );
            lines.for_each(|(_, line)| out.push_str(line));
        }
    }
}
