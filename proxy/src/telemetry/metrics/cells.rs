//! Counters and distributions that workers do not contend for.
//!
//! The crate's own histogram costs four atomic operations and a compare-and-swap loop for every value, on cache lines
//! that all workers share; an exchange is a dozen values. Here each of the first threads that count has lines of its
//! own, written by nobody else, so that a value costs a plain addition or two; a scrape adds the lines up. Threads
//! beyond those share one set of lines and add atomically. A scrape may see a value's bucket before its sum; nothing
//! is ever lost or counted twice.

use super::table::{Kind, Metric};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, MetricFamily, MetricType};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Threads with lines of their own. Further ones share.
const OWNERS: usize = 16;
/// Sets of lines: the owners', and the shared one.
const SHARDS: usize = OWNERS + 1;
/// Words of a cache line.
const LINE: usize = 8;

/// The set of lines of this thread. One below [`OWNERS`] is given out once in the life of a process.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed).min(OWNERS));
        }
        shard.get()
    })
}

/// One line of memory, alone on its cache line.
#[repr(align(64))]
#[derive(Default)]
struct Line([AtomicU64; LINE]);

/// One series: words that only grow.
pub(super) struct Series {
    /// Upper bounds in the family's raw unit, ascending; empty for a counter.
    bounds: Arc<[u64]>,
    /// Made for a thread when it first counts.
    shards: [OnceLock<Box<[Line]>>; SHARDS],
}

impl Series {
    fn new(bounds: Arc<[u64]>) -> Series {
        Series { bounds, shards: [const { OnceLock::new() }; SHARDS] }
    }

    fn lines(&self) -> Box<[Line]> {
        // A counter has one word; a distribution one per bucket, one for what is above all of them, and its sum.
        let words = if self.bounds.is_empty() { 1 } else { self.bounds.len() + 2 };
        (0..words.div_ceil(LINE)).map(|_| Line::default()).collect()
    }

    fn grow(&self, amounts: impl IntoIterator<Item = (usize, u64)>) {
        let shard = shard();
        let Some(lines) = self.shards.get(shard).map(|lines| lines.get_or_init(|| self.lines())) else {
            return;
        };
        for (place, amount) in amounts {
            let Some(word) = word(lines, place) else { continue };
            if shard < OWNERS {
                // Nobody else writes here, so there is nothing to race with.
                word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
            } else {
                word.fetch_add(amount, Ordering::Relaxed);
            }
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, amount: u64) {
        self.grow([(0, amount)]);
    }

    /// Puts a value, in the family's raw unit, into a distribution.
    pub(super) fn observe(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        self.grow([(place, 1), (self.bounds.len() + 1, value)]);
    }

    /// A word, added up over all shards.
    fn total(&self, place: usize) -> u64 {
        let words = self.shards.iter().filter_map(|lines| word(lines.get()?, place));
        words.fold(0, |sum, word| sum.wrapping_add(word.load(Ordering::Relaxed)))
    }
}

fn word(lines: &[Line], place: usize) -> Option<&AtomicU64> {
    lines.get(place / LINE)?.0.get(place % LINE)
}

/// All series of a metric.
#[derive(Clone)]
pub(super) struct Family(Arc<Inner>);

struct Inner {
    metric: &'static Metric,
    desc: Desc,
    /// How much of the raw unit makes one of the unit shown.
    scale: f64,
    bounds: Arc<[u64]>,
    series: Mutex<HashMap<Vec<String>, Arc<Series>>>,
}

impl Family {
    /// A family whose values are given in a raw unit of which `scale` make one of the unit shown.
    ///
    /// # Errors
    /// When the name or a label is not one that Prometheus takes.
    pub(super) fn new(metric: &'static Metric, scale: f64) -> prometheus::Result<Family> {
        let labels = metric.labels.iter().map(|label| label.name.to_owned()).collect();
        let desc = Desc::new(metric.name.to_owned(), metric.meaning.to_owned(), labels, HashMap::new())?;
        let bounds = match metric.kind {
            Kind::Histogram(bounds) => bounds.iter().map(|bound| raw(*bound, scale)).collect(),
            Kind::Counter | Kind::Gauge => Arc::default(),
        };
        Ok(Family(Arc::new(Inner { metric, desc, scale, bounds, series: Mutex::default() })))
    }

    /// The series with these values of the labels, made when it is first asked for.
    pub(super) fn series(&self, values: &[&str]) -> Arc<Series> {
        let key = values.iter().map(|value| (*value).to_owned()).collect();
        let new = || Arc::new(Series::new(Arc::clone(&self.0.bounds)));
        Arc::clone(self.lock().entry(key).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<String>, Arc<Series>>> {
        self.0.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self, raw: u64) -> f64 {
        number(raw) / self.0.scale
    }

    fn sample(&self, values: &[String], series: &Series) -> prometheus::proto::Metric {
        let pairs = self.0.metric.labels.iter().zip(values).map(|(label, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(label.name.to_owned());
            pair.set_value(value.clone());
            pair
        });
        let mut sample = prometheus::proto::Metric::from_label(pairs.collect());
        let Kind::Histogram(bounds) = self.0.metric.kind else {
            let mut counter = Counter::default();
            counter.set_value(self.shown(series.total(0)));
            sample.set_counter(counter);
            return sample;
        };
        let mut histogram = Histogram::default();
        let mut count = 0;
        let buckets = bounds.iter().enumerate().map(|(place, bound)| {
            count += series.total(place);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        // The count is that of the buckets read above, so that they always fit.
        histogram.set_sample_count(count + series.total(bounds.len()));
        histogram.set_sample_sum(self.shown(series.total(bounds.len() + 1)));
        sample.set_histogram(histogram);
        sample
    }
}

impl Collector for Family {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let series: Vec<_> =
            self.lock().iter().map(|(key, series)| (key.clone(), Arc::clone(series))).collect();
        let mut family = MetricFamily::default();
        family.set_name(self.0.metric.name.to_owned());
        family.set_help(self.0.metric.meaning.to_owned());
        family.set_field_type(match self.0.metric.kind {
            Kind::Histogram(_) => MetricType::HISTOGRAM,
            Kind::Counter | Kind::Gauge => MetricType::COUNTER,
        });
        family.set_metric(series.iter().map(|(values, series)| self.sample(values, series)).collect());
        vec![family]
    }
}

/// The handle of one series, looked up when it is first needed. A series that never was has no line and costs nothing.
#[derive(Default)]
pub(super) struct Handle(OnceLock<Arc<Series>>);

impl Handle {
    /// A row of handles that were not needed yet.
    pub(super) fn row<const N: usize>() -> [Handle; N] {
        std::array::from_fn(|_| Handle::default())
    }

    /// The series of `family` with these values of the labels, which must be the same at every call.
    pub(super) fn of<const N: usize>(&self, family: &Family, values: [&str; N]) -> &Series {
        self.0.get_or_init(|| family.series(&values))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53, which no sum of ours reaches: 285 years in µs"
)]
fn number(raw: u64) -> f64 {
    raw as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounds are positive, and a test looks at every one"
)]
fn raw(bound: f64, scale: f64) -> u64 {
    (bound * scale).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::table::{METRICS, OVERHEAD, PROBES};
    use super::*;

    #[test]
    fn bounds_survive_the_raw_unit() {
        for metric in METRICS {
            let Kind::Histogram(bounds) = metric.kind else { continue };
            for scale in [1.0, 1e6, 1e9] {
                let whole = bounds.iter().all(|bound| (bound * scale).fract().abs() < 1e-9 || scale == 1.0);
                assert!(whole, "{}", metric.name);
            }
        }
    }

    #[test]
    fn a_value_on_a_bound_is_within_it_and_one_past_it_is_not() {
        let family = Family::new(&OVERHEAD, 1e6).unwrap();
        let series = family.series(&[]);
        for value in [0, 5, 6, 5_000_000, 5_000_001] {
            series.observe(value);
        }
        let sample = family.sample(&[], &series);
        let histogram = sample.get_histogram();
        let counts: Vec<_> = histogram.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!((counts[0], counts[1], *counts.last().unwrap()), (2, 3, 4));
        assert_eq!(histogram.get_sample_count(), 5);
        assert!((histogram.get_sample_sum() - 10.000_012).abs() < 1e-9);
    }

    #[test]
    fn threads_with_and_without_lines_of_their_own_lose_nothing() {
        let family = Family::new(&PROBES, 1.0).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..SHARDS * 2 + 1 {
                scope.spawn(|| (0..1_000).for_each(|_| family.series(&[]).add(1)));
            }
        });
        assert_eq!(family.series(&[]).total(0), (SHARDS as u64 * 2 + 1) * 1_000);
        assert_eq!(family.lock().len(), 1);
    }
}
