//! Thresholds that decide a run's exit status: `p99<5ms`, `errors<0.1%`, `rate>1000`.

use crate::stats::{Stats, micros, real};
use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// A quantile, 0 to 1, of a time, in microseconds.
    Quantile(Time, f64),
    /// A mean time, in microseconds.
    Mean(Time),
    /// Requests that failed a check, as a share of all.
    Errors,
    /// Good answers as a share of all requests.
    Checks,
    /// Requests per second.
    Rate,
    /// Requests.
    Requests,
}

/// Which time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Time {
    Total,
    FirstByte,
    Transit,
}

/// One threshold, met or not when the run is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As it was written.
    pub text: String,
    metric: Metric,
    below: bool,
    or_equal: bool,
    limit: f64,
}

impl Threshold {
    /// Reads `metric<limit` (also `<=`, `>`, `>=`).
    ///
    /// Metrics: `p50`, `p99`, `p99.9`, `max`, `avg` of the total time; the same after `ttfb_` and `transit_`; `errors`
    /// and `checks` as shares (`0.1%` or `0.001`); `rate` per second; `requests`. Times need a unit: `us`, `ms` or `s`.
    ///
    /// # Errors
    /// Unknown metric, missing unit, or no comparison.
    pub fn parse(text: &str) -> Result<Threshold> {
        let at =
            text.find(['<', '>']).with_context(|| format!("`{text}` compares nothing: write p99<5ms"))?;
        let (name, rest) = text.split_at(at);
        let below = rest.starts_with('<');
        let rest = rest.get(1..).unwrap_or_default();
        let or_equal = rest.starts_with('=');
        let value = rest.trim_start_matches('=').trim();
        let metric = metric(name.trim()).with_context(|| format!("in `{text}`"))?;
        let limit = match metric {
            Metric::Quantile(..) | Metric::Mean(_) => time(value),
            Metric::Errors | Metric::Checks => share(value),
            Metric::Rate | Metric::Requests => float(value),
        };
        let limit = limit.with_context(|| format!("in `{text}`"))?;
        Ok(Threshold { text: text.to_owned(), metric, below, or_equal, limit })
    }

    /// The figure it looks at: microseconds, a share, or a count. `None` if nothing was measured.
    pub fn value(&self, stats: &Stats, seconds: f64) -> Option<f64> {
        let of = |time| match time {
            Time::Total => &stats.total,
            Time::FirstByte => &stats.first_byte,
            Time::Transit => &stats.transit,
        };
        let some = |histogram: &Histogram<u64>| !histogram.is_empty();
        match self.metric {
            Metric::Quantile(time, quantile) => {
                some(of(time)).then(|| micros(of(time).value_at_quantile(quantile)))
            }
            Metric::Mean(time) => some(of(time)).then(|| of(time).mean() / 1_000.0),
            Metric::Errors => (stats.requests > 0).then(|| real(stats.errors()) / real(stats.requests)),
            Metric::Checks => (stats.requests > 0).then(|| real(stats.good) / real(stats.requests)),
            Metric::Rate => (seconds > 0.0).then(|| real(stats.requests) / seconds),
            Metric::Requests => Some(real(stats.requests)),
        }
    }

    /// Whether it is met. What was not measured meets nothing.
    pub fn is_met(&self, stats: &Stats, seconds: f64) -> bool {
        self.value(stats, seconds).is_some_and(|value| {
            (self.or_equal && value == self.limit)
                || if self.below { value < self.limit } else { value > self.limit }
        })
    }
}

fn metric(name: &str) -> Result<Metric> {
    let (time, rest) = match name {
        _ if name.starts_with("ttfb_") => (Time::FirstByte, &name[5..]),
        _ if name.starts_with("transit_") => (Time::Transit, &name[8..]),
        _ => (Time::Total, name),
    };
    Ok(match rest {
        "avg" => Metric::Mean(time),
        "max" => Metric::Quantile(time, 1.0),
        "med" => Metric::Quantile(time, 0.5),
        "errors" if time == Time::Total => Metric::Errors,
        "checks" if time == Time::Total => Metric::Checks,
        "rate" if time == Time::Total => Metric::Rate,
        "requests" if time == Time::Total => Metric::Requests,
        _ => {
            let percent = rest.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
            let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) else {
                bail!(
                    "unknown metric `{name}`: p99, ttfb_p99, transit_p99, avg, max, errors, checks, rate, requests"
                );
            };
            Metric::Quantile(time, percent / 100.0)
        }
    })
}

/// A time in microseconds.
fn time(value: &str) -> Result<f64> {
    for (unit, scale) in [("µs", 1.0), ("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = value.strip_suffix(unit) {
            return Ok(float(number)? * scale);
        }
    }
    bail!("`{value}` needs a unit: us, ms or s")
}

fn share(value: &str) -> Result<f64> {
    match value.strip_suffix('%') {
        Some(number) => Ok(float(number)? / 100.0),
        None => float(value),
    }
}

fn float(value: &str) -> Result<f64> {
    let value = value.trim();
    let number: f64 = value.parse().with_context(|| format!("`{value}` is not a number"))?;
    ensure!(number.is_finite() && number >= 0.0, "`{value}` is not a limit");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        let mut stats = Stats::new().unwrap();
        for millis in 1..=100u64 {
            stats.total.record(millis * 1_000_000).unwrap();
        }
        (stats.requests, stats.good) = (1_000, 999);
        stats
    }

    #[test]
    fn thresholds_are_met_or_not() {
        let stats = stats();
        for text in
            ["p50<60ms", "p99<=0.1s", "max<101ms", "avg>50000us", "errors<=0.1%", "errors<0.002", "rate>=100"]
        {
            assert!(Threshold::parse(text).unwrap().is_met(&stats, 10.0), "{text}");
        }
        for text in ["p50<40ms", "p99.9<99ms", "errors<0.1%", "checks>99.9%", "rate>100", "requests>1000"] {
            assert!(!Threshold::parse(text).unwrap().is_met(&stats, 10.0), "{text}");
        }
    }

    #[test]
    fn what_was_not_measured_meets_nothing() {
        for text in ["ttfb_p99<1s", "transit_max>0us"] {
            assert!(!Threshold::parse(text).unwrap().is_met(&stats(), 1.0), "{text}");
        }
        assert!(!Threshold::parse("errors<1").unwrap().is_met(&Stats::new().unwrap(), 1.0));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "p99",
            "p99<5",
            "p99<x ms",
            "p101<5ms",
            "speed<5ms",
            "ttfb_errors<1",
            "errors<-1",
            "rate>inf",
            "",
        ] {
            assert!(Threshold::parse(text).is_err(), "{text}");
        }
    }
}
