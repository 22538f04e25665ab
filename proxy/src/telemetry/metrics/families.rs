//! The registered metrics, made from the table.

use super::table::{self, Kind, Metric};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use std::sync::OnceLock;

/// Every metric that is recorded as exchanges go.
pub(crate) struct Families {
    pub(crate) registry: Registry,
    pub(crate) token_usage: HistogramVec,
    pub(crate) client_duration: HistogramVec,
    pub(crate) server_duration: HistogramVec,
    pub(crate) first_token: HistogramVec,
    pub(crate) per_token: HistogramVec,
    pub(crate) exchanges: IntCounterVec,
    pub(crate) attempts: IntCounterVec,
    pub(crate) tokens: IntCounterVec,
    pub(crate) usage_unknown: IntCounterVec,
    pub(crate) request_bytes: IntCounterVec,
    pub(crate) response_bytes: IntCounterVec,
    pub(crate) in_flight: IntGauge,
    pub(crate) streams: IntGauge,
    pub(crate) probes: IntCounter,
    pub(crate) overhead: Histogram,
    pub(crate) first_byte_added: Histogram,
}

impl Families {
    /// Registers everything. Fails when the table is at odds with itself.
    pub(crate) fn new() -> anyhow::Result<Families> {
        let registry = Registry::new();
        Ok(Families {
            token_usage: histograms(&registry, &table::TOKEN_USAGE)?,
            client_duration: histograms(&registry, &table::CLIENT_DURATION)?,
            server_duration: histograms(&registry, &table::SERVER_DURATION)?,
            first_token: histograms(&registry, &table::FIRST_TOKEN)?,
            per_token: histograms(&registry, &table::PER_TOKEN)?,
            exchanges: counters(&registry, &table::EXCHANGES)?,
            attempts: counters(&registry, &table::ATTEMPTS)?,
            tokens: counters(&registry, &table::TOKENS)?,
            usage_unknown: counters(&registry, &table::USAGE_UNKNOWN)?,
            request_bytes: counters(&registry, &table::REQUEST_BYTES)?,
            response_bytes: counters(&registry, &table::RESPONSE_BYTES)?,
            in_flight: register(&registry, IntGauge::with_opts(options(&table::IN_FLIGHT)))?,
            streams: register(&registry, IntGauge::with_opts(options(&table::STREAMS)))?,
            probes: register(&registry, IntCounter::with_opts(options(&table::PROBES)))?,
            overhead: histogram(&registry, &table::OVERHEAD)?,
            first_byte_added: histogram(&registry, &table::FIRST_BYTE_ADDED)?,
            registry,
        })
    }
}

fn options(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.meaning)
}

fn names(metric: &Metric) -> Vec<&'static str> {
    metric.labels.iter().map(|label| label.name).collect()
}

fn counters(registry: &Registry, metric: &Metric) -> anyhow::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(options(metric), &names(metric)))
}

fn histogram(registry: &Registry, metric: &Metric) -> anyhow::Result<Histogram> {
    register(registry, Histogram::with_opts(histogram_options(metric)))
}

fn histograms(registry: &Registry, metric: &Metric) -> anyhow::Result<HistogramVec> {
    register(registry, HistogramVec::new(histogram_options(metric), &names(metric)))
}

fn histogram_options(metric: &Metric) -> HistogramOpts {
    let buckets = if let Kind::Histogram(buckets) = metric.kind { buckets.to_vec() } else { Vec::new() };
    HistogramOpts::new(metric.name, metric.meaning).buckets(buckets)
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> anyhow::Result<C> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

/// The handle of one series, looked up when it is first needed. A series that never was has no line and costs nothing.
///
/// The lookup fails only when the number of values is not that of labels, which the tests rule out; then nothing is
/// counted, for a metric must not cost an exchange.
pub(crate) struct Handle<T>(OnceLock<Option<T>>);

impl<T> Handle<T> {
    /// A row of handles that were not needed yet.
    pub(crate) fn row<const N: usize>() -> [Handle<T>; N] {
        std::array::from_fn(|_| Handle::default())
    }
}

impl<T> Default for Handle<T> {
    fn default() -> Self {
        Handle(OnceLock::new())
    }
}

/// Adds `amount` to a series.
pub(crate) fn add(
    handle: Option<&Handle<IntCounter>>,
    amount: u64,
    look_up: impl FnOnce() -> prometheus::Result<IntCounter>,
) {
    if let Some(counter) = handle.and_then(|handle| handle.0.get_or_init(|| look_up().ok()).as_ref()) {
        counter.inc_by(amount);
    }
}

/// Puts `value` into a distribution.
pub(crate) fn observe(
    handle: Option<&Handle<Histogram>>,
    value: f64,
    look_up: impl FnOnce() -> prometheus::Result<Histogram>,
) {
    if let Some(histogram) = handle.and_then(|handle| handle.0.get_or_init(|| look_up().ok()).as_ref()) {
        histogram.observe(value);
    }
}
