//! The registered metrics, made from the table.

use super::cells::{Family, Series};
use super::table::{self, Metric};
use prometheus::core::Collector;
use prometheus::{IntGauge, Opts, Registry};
use std::sync::Arc;

/// Raw units of durations: microseconds.
const MICROS: f64 = 1e6;
/// Raw units of durations per token, and of money: nanoseconds, nano-dollars.
const NANOS: f64 = 1e9;
/// Raw units of what is counted one by one.
const ONE: f64 = 1.0;

/// Every metric that is recorded as exchanges go.
pub(super) struct Families {
    pub(super) registry: Registry,
    /// Tokens.
    pub(super) token_usage: Family,
    /// Microseconds.
    pub(super) client_duration: Family,
    /// Microseconds.
    pub(super) server_duration: Family,
    /// Microseconds.
    pub(super) first_token: Family,
    /// Nanoseconds.
    pub(super) per_token: Family,
    pub(super) exchanges: Family,
    pub(super) attempts: Family,
    pub(super) failovers: Family,
    pub(super) retries: Family,
    pub(super) tokens: Family,
    pub(super) usage_unknown: Family,
    /// Nano-dollars.
    pub(super) cost: Family,
    pub(super) cost_unknown: Family,
    pub(super) request_bytes: Family,
    pub(super) response_bytes: Family,
    pub(super) limit_refusals: Family,
    pub(super) limit_waits: Family,
    pub(super) alerts: Family,
    pub(super) alert_deliveries: Family,
    pub(super) guardrail_questions: Family,
    /// Microseconds.
    pub(super) guardrail_duration: Family,
    pub(super) in_flight: IntGauge,
    pub(super) streams: IntGauge,
    pub(super) probes: Arc<Series>,
    pub(super) heads_refused: Arc<Series>,
    pub(super) certificates_loaded: Arc<Series>,
    pub(super) certificates_rejected: Arc<Series>,
    pub(super) proxy_headers_refused: Arc<Series>,
    /// Microseconds.
    pub(super) overhead: Arc<Series>,
    /// Microseconds.
    pub(super) first_byte_added: Arc<Series>,
}

impl Families {
    /// Registers everything. Fails when the table is at odds with itself.
    pub(super) fn new() -> anyhow::Result<Families> {
        let registry = Registry::new();
        let family = |metric, scale| register(&registry, Family::new(metric, scale));
        let gauge = |metric: &Metric| {
            register(&registry, IntGauge::with_opts(Opts::new(metric.name, metric.meaning)))
        };
        Ok(Families {
            token_usage: family(&table::TOKEN_USAGE, ONE)?,
            client_duration: family(&table::CLIENT_DURATION, MICROS)?,
            server_duration: family(&table::SERVER_DURATION, MICROS)?,
            first_token: family(&table::FIRST_TOKEN, MICROS)?,
            per_token: family(&table::PER_TOKEN, NANOS)?,
            exchanges: family(&table::EXCHANGES, ONE)?,
            attempts: family(&table::ATTEMPTS, ONE)?,
            failovers: family(&table::FAILOVERS, ONE)?,
            retries: family(&table::RETRIES, ONE)?,
            tokens: family(&table::TOKENS, ONE)?,
            usage_unknown: family(&table::USAGE_UNKNOWN, ONE)?,
            cost: family(&table::COST, NANOS)?,
            cost_unknown: family(&table::COST_UNKNOWN, ONE)?,
            request_bytes: family(&table::REQUEST_BYTES, ONE)?,
            response_bytes: family(&table::RESPONSE_BYTES, ONE)?,
            limit_refusals: family(&table::LIMIT_REFUSALS, ONE)?,
            limit_waits: family(&table::LIMIT_WAITS, ONE)?,
            alerts: family(&table::ALERTS, ONE)?,
            alert_deliveries: family(&table::ALERT_DELIVERIES, ONE)?,
            guardrail_questions: family(&table::GUARDRAIL_QUESTIONS, ONE)?,
            guardrail_duration: family(&table::GUARDRAIL_DURATION, MICROS)?,
            in_flight: gauge(&table::IN_FLIGHT)?,
            streams: gauge(&table::STREAMS)?,
            probes: family(&table::PROBES, ONE)?.series(&[]),
            heads_refused: family(&table::HEADS_REFUSED, ONE)?.series(&[]),
            certificates_loaded: family(&table::CERTIFICATES_LOADED, ONE)?.series(&[]),
            certificates_rejected: family(&table::CERTIFICATES_REJECTED, ONE)?.series(&[]),
            proxy_headers_refused: family(&table::PROXY_HEADERS_REFUSED, ONE)?.series(&[]),
            overhead: family(&table::OVERHEAD, MICROS)?.series(&[]),
            first_byte_added: family(&table::FIRST_BYTE_ADDED, MICROS)?.series(&[]),
            registry,
        })
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> anyhow::Result<C> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}
