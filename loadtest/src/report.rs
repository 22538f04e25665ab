//! The summary of a run: k6's shape for people, JSON for programs.

use crate::stats::{Stats, micros, real};
use crate::threshold::Threshold;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A finished run.
#[derive(Debug)]
pub struct Outcome<'r> {
    /// Name of the work.
    pub scenario: &'r str,
    /// What was loaded.
    pub url: &'r str,
    /// Everything counted.
    pub stats: &'r Stats,
    /// How long requests were sent and awaited, in seconds.
    pub seconds: f64,
    /// Connections.
    pub connections: usize,
    /// The thresholds asked for.
    pub thresholds: &'r [Threshold],
}

/// Microseconds in the unit that suits them.
pub fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2}s", us / 1e6),
        us if us >= 1e3 => format!("{:.2}ms", us / 1e3),
        us => format!("{us:.0}µs"),
    }
}

const QUANTILES: &[(&str, f64)] =
    &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

impl Outcome<'_> {
    /// Whether every threshold is met.
    pub fn is_good(&self) -> bool {
        self.thresholds.iter().all(|threshold| threshold.is_met(self.stats, self.seconds))
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let stats = self.stats;
        let mut text = format!("\n     scenario: {} → {}\n\n", self.scenario, self.url);
        let answers: u64 = stats.statuses.values().sum();
        let ok = stats.statuses.get(&200).copied().unwrap_or(0);
        let mut check = |name: &str, good: u64, all: u64| {
            let mark = if good == all && all > 0 { '✓' } else { '✗' };
            let share = if all > 0 { 100.0 * real(good) / real(all) } else { 0.0 };
            let _infallible =
                writeln!(text, "     {mark} {name:<20} {share:6.2}%  ✓ {good}  ✗ {}", all - good);
        };
        check("status is 200", ok, stats.requests);
        check("body complete", ok.saturating_sub(stats.incomplete), stats.requests);
        check("usage present", ok.saturating_sub(stats.without_usage), stats.requests);
        text.push('\n');
        let mut line = |name: &str, value: String| {
            let _infallible = writeln!(text, "     {name:.<28}: {value}");
        };
        let per_second = |count: u64| real(count) / self.seconds.max(1e-9);
        line("requests", format!("{}  {:.1}/s", stats.requests, per_second(stats.requests)));
        line("errors", format!("{}", stats.errors()));
        line("connections", format!("{}", self.connections));
        line(
            "data_received",
            format!("{:.1} MB  {:.1} MB/s", real(stats.bytes) / 1e6, per_second(stats.bytes) / 1e6),
        );
        line("duration", distribution(&stats.total));
        line("time_to_first_byte", distribution(&stats.first_byte));
        if !stats.transit.is_empty() {
            line("chunk_transit", distribution(&stats.transit));
            line("chunks", format!("{}  {:.1}/s", stats.chunks, per_second(stats.chunks)));
        }
        if answers != ok {
            for (status, count) in stats.statuses.iter().filter(|(status, _)| **status != 200) {
                line(&format!("status {status}"), count.to_string());
            }
        }
        for (message, count) in &stats.failures {
            line(message, count.to_string());
        }
        for threshold in self.thresholds {
            let mark = if threshold.is_met(stats, self.seconds) { '✓' } else { '✗' };
            let _infallible = writeln!(text, "     {mark} threshold {}", threshold.text);
        }
        text
    }

    /// The summary for programs. Times are in microseconds.
    pub fn json(&self) -> Value {
        let stats = self.stats;
        let thresholds: Vec<Value> = self
            .thresholds
            .iter()
            .map(|threshold| {
                json!({"threshold": threshold.text, "met": threshold.is_met(stats, self.seconds),
                    "value": threshold.value(stats, self.seconds)})
            })
            .collect();
        json!({
            "scenario": self.scenario, "url": self.url, "seconds": self.seconds, "connections": self.connections,
            "requests": stats.requests, "good": stats.good, "errors": stats.errors(),
            "rate": real(stats.requests) / self.seconds.max(1e-9),
            "incomplete": stats.incomplete, "without_usage": stats.without_usage,
            "statuses": stats.statuses, "failures": stats.failures, "bytes": stats.bytes, "chunks": stats.chunks,
            "duration_us": quantiles(&stats.total), "first_byte_us": quantiles(&stats.first_byte),
            "transit_us": quantiles(&stats.transit), "thresholds": thresholds,
        })
    }
}

fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text = format!("avg={}", time(histogram.mean() / 1_000.0));
    for (name, quantile) in QUANTILES {
        let _infallible = write!(text, " {name}={}", time(micros(histogram.value_at_quantile(*quantile))));
    }
    text
}

fn quantiles(histogram: &Histogram<u64>) -> Value {
    let figures = QUANTILES
        .iter()
        .map(|(name, quantile)| ((*name).to_owned(), json!(micros(histogram.value_at_quantile(*quantile)))));
    let mut map: serde_json::Map<String, Value> = figures.collect();
    map.insert("count".to_owned(), json!(histogram.len()));
    map.insert("avg".to_owned(), json!(histogram.mean() / 1_000.0));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_thresholds_show_what_failed() {
        let mut stats = Stats::new().unwrap();
        (stats.requests, stats.good, stats.incomplete) = (10, 8, 1);
        stats.statuses.insert(200, 9);
        stats.statuses.insert(429, 1);
        stats.total.record(2_000_000).unwrap();
        let thresholds = [Threshold::parse("errors<10%").unwrap(), Threshold::parse("p99<5ms").unwrap()];
        let outcome = Outcome {
            scenario: "s",
            url: "http://x",
            stats: &stats,
            seconds: 2.0,
            connections: 1,
            thresholds: &thresholds,
        };
        let text = outcome.text();
        assert!(text.contains("✗ status is 200") && text.contains("90.00%"), "{text}");
        assert!(text.contains("✗ threshold errors<10%") && text.contains("✓ threshold p99<5ms"), "{text}");
        assert!(text.contains("status 429") && !outcome.is_good());
        assert_eq!(outcome.json()["thresholds"][0]["value"], 0.2);
        assert_eq!(outcome.json()["rate"], 5.0);
    }
}
