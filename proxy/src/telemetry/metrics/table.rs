//! The one list of metrics: registration, exposition, `docs/metrics.md`, tests and dashboards use it.
//!
//! Names, labels and buckets of the `gen_ai_*` metrics are those of OpenTelemetry's semantic conventions for
//! generative AI in their Prometheus form (opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics, status
//! "development", seen 2026-11). They may still change; this is the only place that knows them.

use super::labels::{
    ACTION, BUDGET, DIALECT, ERROR_TYPE, GUARDRAIL, LIMIT, LIMIT_KIND, Label, MODEL, OPERATION, ORIGIN,
    OTEL_PROVIDER, OUTCOME, PROVIDER, REASON, RESULT, RULE, SNAPSHOT, STAGE, STATUS_CLASS, TARGET,
    TOKEN_TYPE, TYPE, VERDICT, VERSION, WEBHOOK,
};

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Only grows, until the process starts again.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over these upper bounds, which ascend.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The word in a `# TYPE` line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Tokens of a model.
    Tokens,
    /// US dollars.
    Dollars,
    /// Things: exchanges, records, connections.
    Count,
    /// 0 or 1.
    Flag,
    /// From 0 to 1.
    Ratio,
    /// Always 1; what it says stands in the labels.
    Info,
}

impl Unit {
    /// The unit for people.
    #[cfg(test)]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Bytes => "bytes",
            Unit::Tokens => "tokens",
            Unit::Dollars => "US dollars",
            Unit::Count => "",
            Unit::Flag => "0 or 1",
            Unit::Ratio => "0 to 1",
            Unit::Info => "1",
        }
    }
}

/// When a metric gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// As exchanges begin and end.
    Recorded,
    /// Read when it is asked for.
    Scraped,
}

/// One metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Name in the exposition.
    pub(crate) name: &'static str,
    /// What it is to Prometheus.
    pub(crate) kind: Kind,
    /// What it counts.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the tests, which write the reference with it")
    )]
    pub(crate) unit: Unit,
    /// Its labels, in the order of values.
    pub(crate) labels: &'static [&'static Label],
    /// When it gets its value.
    pub(crate) source: Source,
    /// What it means, for people.
    pub(crate) meaning: &'static str,
}

/// Token counts, as the conventions advise.
const TOKEN_BUCKETS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Durations of whole operations, as the conventions advise.
const OPERATION_BUCKETS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Times to the first token, as the conventions advise.
const FIRST_TOKEN_BUCKETS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Times per output token, as the conventions advise.
const PER_TOKEN_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];
/// Time for a verdict: milliseconds when all is well, ten seconds at most.
const GUARDRAIL_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// What the gateway itself adds: microseconds when all is well, and room to see when it is not.
const OVERHEAD_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05,
    0.25, 1.0, 5.0,
];

/// Labels of the `gen_ai_*` metrics of durations.
const OPERATION_LABELS: &[&Label] = &[&OPERATION, &OTEL_PROVIDER, &MODEL, &ERROR_TYPE];
/// Labels of the `gen_ai_*` metrics of streams that went well.
const STREAM_LABELS: &[&Label] = &[&OPERATION, &OTEL_PROVIDER, &MODEL];

macro_rules! metrics {
    ($($constant:ident = $source:ident $kind:expr, $unit:ident, $name:literal, $labels:expr, $meaning:literal;)+) => {
        $(
            #[doc = $meaning]
            pub(crate) const $constant: Metric = Metric {
                name: $name,
                kind: $kind,
                unit: Unit::$unit,
                labels: $labels,
                source: Source::$source,
                meaning: $meaning,
            };
        )+

        /// Every metric, in the order of the documentation.
        pub(crate) const METRICS: &[&Metric] = &[$(&$constant,)+];
    };
}

metrics! {
    TOKEN_USAGE = Recorded Kind::Histogram(TOKEN_BUCKETS), Tokens, "gen_ai_client_token_usage",
        &[&OPERATION, &OTEL_PROVIDER, &MODEL, &TOKEN_TYPE],
        "Tokens per exchange that reached a provider, by type. `input` holds `cached_input` and `cache_creation_input`, `output` holds `reasoning`. Figures that are not known are not observed.";
    CLIENT_DURATION = Recorded Kind::Histogram(OPERATION_BUCKETS), Seconds, "gen_ai_client_operation_duration_seconds",
        OPERATION_LABELS,
        "Time per exchange spent waiting for the provider: connecting, its head, its chunks.";
    SERVER_DURATION = Recorded Kind::Histogram(OPERATION_BUCKETS), Seconds, "gen_ai_server_request_duration_seconds",
        OPERATION_LABELS,
        "Whole time of an exchange that reached a provider, from the caller's request head to the settled end.";
    FIRST_TOKEN = Recorded Kind::Histogram(FIRST_TOKEN_BUCKETS), Seconds, "gen_ai_server_time_to_first_token_seconds",
        STREAM_LABELS,
        "From the caller's request head to the first byte of the answer's body sent to the caller, for completed streams.";
    PER_TOKEN = Recorded Kind::Histogram(PER_TOKEN_BUCKETS), Seconds, "gen_ai_server_time_per_output_token_seconds",
        STREAM_LABELS,
        "Time per output token after the first, for completed streams of two tokens and more.";

    EXCHANGES = Recorded Kind::Counter, Count, "narrows_exchanges_total",
        &[&REASON, &DIALECT, &PROVIDER, &STATUS_CLASS, &ERROR_TYPE],
        "Exchanges settled, by how they ended and whose doing it was. One record was made of each.";
    ATTEMPTS = Recorded Kind::Counter, Count, "narrows_attempts_total", &[&PROVIDER, &REASON],
        "Attempts at providers, by how they ended.";
    FAILOVERS = Recorded Kind::Counter, Count, "narrows_failovers_total", &[&PROVIDER, &REASON],
        "Attempts that failed and gave way to another target, by the provider that failed and why.";
    RETRIES = Recorded Kind::Counter, Count, "narrows_retries_total", &[&PROVIDER, &REASON],
        "Attempts that failed and were repeated on the same target, by provider and why.";
    IN_FLIGHT = Recorded Kind::Gauge, Count, "narrows_exchanges_in_flight", &[],
        "Exchanges open now.";
    STREAMS = Recorded Kind::Gauge, Count, "narrows_streams_in_flight", &[],
        "Answers being relayed as streams now.";
    PROBES = Recorded Kind::Counter, Count, "narrows_probes_total", &[],
        "`GET /` and `HEAD /` answered; they are no exchanges and leave no record.";
    HEADS_REFUSED = Recorded Kind::Counter, Count, "narrows_heads_refused_total", &[],
        "Connections closed with 400 because what they sent is not an HTTP head; there is nothing to record.";
    CERTIFICATES_LOADED = Recorded Kind::Counter, Count, "narrows_certificates_loaded_total", &[],
        "Renewed certificates of listeners that were taken into use while the gateway ran.";
    CERTIFICATES_REJECTED = Recorded Kind::Counter, Count, "narrows_certificates_rejected_total", &[],
        "Renewed certificates of listeners that could not be used; the old one stays.";
    PROXY_HEADERS_REFUSED = Recorded Kind::Counter, Count, "narrows_proxy_headers_refused_total", &[],
        "Connections closed because they are from no listed balancer, or do not begin with a whole PROXY header in time.";
    OVERHEAD = Recorded Kind::Histogram(OVERHEAD_BUCKETS), Seconds, "narrows_overhead_seconds", &[],
        "Time of an exchange that was not spent waiting for the provider (total minus upstream wait). It includes waiting for the caller to send and to read.";
    FIRST_BYTE_ADDED = Recorded Kind::Histogram(OVERHEAD_BUCKETS), Seconds, "narrows_first_byte_added_seconds", &[],
        "Time to the first byte of the answer's body beyond the provider's time to its head, at most the exchange's whole overhead: an upper bound of what the gateway adds.";
    TOKENS = Recorded Kind::Counter, Tokens, "narrows_tokens_total", &[&TYPE, &ORIGIN, &PROVIDER],
        "Tokens, by where the figures came from. Types overlap as in gen_ai_client_token_usage: add `input` and `output` only.";
    USAGE_UNKNOWN = Recorded Kind::Counter, Count, "narrows_usage_unknown_total", &[&TYPE, &PROVIDER],
        "Exchanges that a provider answered with success and whose `input` or `output` tokens are not known.";
    COST = Recorded Kind::Counter, Dollars, "narrows_cost_usd_total", &[&PROVIDER, &MODEL],
        "Known cost of exchanges, by the model asked of the provider. Records and `narrows usage` have it in whole nano-dollars.";
    COST_UNKNOWN = Recorded Kind::Counter, Count, "narrows_cost_unknown_total", &[&PROVIDER, &MODEL],
        "Exchanges whose cost is not known: no price, or no usage. They are in no sum of costs.";
    REQUEST_BYTES = Recorded Kind::Counter, Bytes, "narrows_request_body_bytes_total", &[&PROVIDER],
        "Bytes of request bodies as received.";
    RESPONSE_BYTES = Recorded Kind::Counter, Bytes, "narrows_response_body_bytes_total", &[&PROVIDER],
        "Bytes of answer bodies as sent to callers.";

    LIMIT_REFUSALS = Recorded Kind::Counter, Count, "narrows_limit_refusals_total", &[&LIMIT, &LIMIT_KIND, &REASON],
        "Requests that a budget or a rate limit refused, by its name and why.";
    LIMIT_WAITS = Recorded Kind::Counter, Count, "narrows_limit_waits_total", &[&LIMIT, &LIMIT_KIND],
        "Times that a budget or a rate limit held a request up (`at_limit: throttle`).";
    BUDGET_LIMIT = Scraped Kind::Gauge, Count, "narrows_budget_limit", &[&BUDGET],
        "The limit of each counter of a budget, in its unit: US dollars, tokens, requests.";
    BUDGET_SPENT = Scraped Kind::Gauge, Count, "narrows_budget_spent", &[&BUDGET],
        "What all counters of a budget have spent in their windows, in its unit.";
    BUDGET_RESERVED = Scraped Kind::Gauge, Count, "narrows_budget_reserved", &[&BUDGET],
        "What open exchanges hold of a budget, in its unit.";
    BUDGET_FULLEST = Scraped Kind::Gauge, Ratio, "narrows_budget_fullest_ratio", &[&BUDGET],
        "The largest share of its limit that one counter of a budget has spent; it may pass 1.";
    LIMIT_COUNTERS = Scraped Kind::Gauge, Count, "narrows_limit_counters", &[],
        "Counters of budgets and rate limits in memory.";
    LIMIT_UNCOUNTED = Scraped Kind::Counter, Count, "narrows_limit_uncounted_total", &[],
        "Times that a request passed a budget or a rate limit uncounted, because there were too many counters or those that gateways share did not answer.";
    COUNTERS_CONNECTED = Scraped Kind::Gauge, Count, "narrows_counters_connected", &[],
        "1 while the counters that gateways share can be reached; 0 otherwise, and where there are none.";
    COUNTERS_WAITED = Scraped Kind::Counter, Count, "narrows_counters_round_trips_total", &[],
        "Round trips to the counters that gateways share that a request waited for.";
    COUNTERS_BACKGROUND = Scraped Kind::Counter, Count, "narrows_counters_background_calls_total", &[],
        "Calls to the counters that gateways share that no request waited for.";
    COUNTERS_FAILED = Scraped Kind::Counter, Count, "narrows_counters_failures_total", &[],
        "Calls to the counters that gateways share that failed or came too late.";
    COUNTERS_LOST = Scraped Kind::Counter, Count, "narrows_counters_connections_lost_total", &[],
        "Connections to the counters that gateways share that were given up: the breaker opened.";
    COUNTERS_LEASED = Scraped Kind::Counter, Count, "narrows_counters_leased_total", &[],
        "Requests that were let in from leases of the counters that gateways share, without a round trip.";
    COUNTERS_UNTOLD = Scraped Kind::Gauge, Count, "narrows_counters_untold", &[],
        "Counters of which the counters that gateways share do not know yet what was spent here.";
    ALERTS = Recorded Kind::Counter, Count, "narrows_alerts_total", &[&RULE, &STAGE, &ACTION],
        "Alerts raised, repeats included, by the deciding policy rule.";
    ALERT_DELIVERIES = Recorded Kind::Counter, Count, "narrows_alert_deliveries_total", &[&WEBHOOK, &OUTCOME],
        "Tries to tell a webhook of an alert.";

    GUARDRAIL_QUESTIONS = Recorded Kind::Counter, Count, "narrows_guardrail_questions_total", &[&GUARDRAIL, &VERDICT],
        "Questions to external guardrails, by what came of them. One question may take several calls.";
    GUARDRAIL_DURATION = Recorded Kind::Histogram(GUARDRAIL_BUCKETS), Seconds, "narrows_guardrail_duration_seconds",
        &[&GUARDRAIL],
        "Time from a question to its verdict, or to the error in its place; questions that an open breaker kept back are not among them.";
    GUARDRAIL_STATE = Scraped Kind::Gauge, Count, "narrows_guardrail_state", &[&GUARDRAIL],
        "How an external guardrail stands: 0 asked, 1 the next question decides, 2 not asked because it failed too often.";
    GUARDRAIL_OPENED = Scraped Kind::Counter, Count, "narrows_guardrail_connections_opened_total", &[&GUARDRAIL],
        "Connections made to an external guardrail since its settings were read.";
    GUARDRAIL_REUSED = Scraped Kind::Counter, Count, "narrows_guardrail_connections_reused_total", &[&GUARDRAIL],
        "Times a connection to an external guardrail was used again since its settings were read.";

    CONTENT_WAITING = Scraped Kind::Gauge, Count, "narrows_content_queue", &[],
        "Exchanges whose prompts and answers wait to be stored, or are being stored.";
    CONTENT_STORED = Scraped Kind::Counter, Count, "narrows_content_stored_total", &[],
        "Exchanges whose prompts and answers were stored.";
    CONTENT_BYTES = Scraped Kind::Counter, Bytes, "narrows_content_stored_bytes_total", &[],
        "Bytes of prompts and answers that were stored, compressed and sealed.";
    CONTENT_DROPPED = Scraped Kind::Counter, Count, "narrows_content_dropped_total", &[],
        "Exchanges of which a prompt or an answer was to be kept and was not: too much waited, there was no room, or it could not be read.";
    CONTENT_SWEPT = Scraped Kind::Counter, Count, "narrows_content_swept_total", &[],
        "Exchanges whose prompts and answers went because their time was over.";
    CONTENT_FAILED = Scraped Kind::Counter, Count, "narrows_content_failures_total", &[],
        "Attempts to store or sweep prompts and answers that failed.";
    ALERTS_LOST = Scraped Kind::Counter, Count, "narrows_alerts_lost_total", &[],
        "Alerts that were counted and logged but not kept, because too many waited for the store.";
    ALERTS_OPEN = Scraped Kind::Gauge, Count, "narrows_alerts_open", &[],
        "Alerts in the store that nobody has acknowledged, at the last look.";
    ALERTS_PENDING = Scraped Kind::Gauge, Count, "narrows_alert_deliveries_pending", &[],
        "Alerts that a webhook is still to be told of, at the last look.";
    ALERTS_FAILED = Scraped Kind::Gauge, Count, "narrows_alert_deliveries_failed", &[],
        "Alerts in the store that a webhook was never told of and will not be, at the last look.";
    ALERTS_OLDEST = Scraped Kind::Gauge, Seconds, "narrows_alert_oldest_pending_seconds", &[],
        "Age of the oldest alert that a webhook is still to be told of; 0 when there is none.";
    TARGET_STATE = Scraped Kind::Gauge, Count, "narrows_target_state", &[&TARGET],
        "How a provider or target stands: 0 in use, 1 the next request decides, 2 set aside, 3 draining, 4 disabled.";
    TARGET_SET_ASIDE = Scraped Kind::Counter, Count, "narrows_target_set_aside_total", &[&TARGET],
        "Times a provider or target was set aside because of its answers.";
    CONNECTIONS_OPENED = Scraped Kind::Counter, Count, "narrows_upstream_connections_opened_total", &[&PROVIDER],
        "Connections made to a provider since the process started or the provider was added.";
    CONNECTIONS_REUSED = Scraped Kind::Counter, Count, "narrows_upstream_connections_reused_total", &[&PROVIDER],
        "Times a connection to a provider was used again since the process started or the provider was added.";
    CREDENTIALS_REFUSED = Scraped Kind::Counter, Count, "narrows_provider_credentials_refused_total", &[&PROVIDER],
        "Answers of a provider that refused a credential of the gateway's own.";
    CREDENTIALS_ASIDE = Scraped Kind::Gauge, Count, "narrows_provider_credentials_aside", &[&PROVIDER],
        "Credentials for a provider that are put aside because it refused them.";
    CONNECTIONS_IDLE = Scraped Kind::Gauge, Count, "narrows_upstream_connections_idle", &[&PROVIDER],
        "Idle connections kept open to a provider.";
    EXCHANGES_LIMIT = Scraped Kind::Gauge, Count, "narrows_exchanges_limit", &[],
        "Most exchanges that may be open; beyond it they are refused with `overloaded`.";
    SCHEDULING_DELAY = Scraped Kind::Gauge, Seconds, "narrows_scheduling_delay_seconds", &[],
        "How late the workers were at the last look, ten times a second.";
    SHED_RATIO = Scraped Kind::Gauge, Ratio, "narrows_shed_ratio", &[],
        "Part of new exchanges that is refused with `overloaded` because the workers are late, from 0 to 1.";
    BUFFERED = Scraped Kind::Gauge, Bytes, "narrows_buffered_bytes", &[],
        "Bytes of bodies held in memory.";
    BUFFERED_LIMIT = Scraped Kind::Gauge, Bytes, "narrows_buffered_limit_bytes", &[],
        "Most bytes of bodies that may be held; beyond it requests are refused with `buffers_full`.";
    QUEUE = Scraped Kind::Gauge, Count, "narrows_records_queue", &[],
        "Records waiting for the store, or being written.";
    QUEUE_LIMIT = Scraped Kind::Gauge, Count, "narrows_records_queue_limit", &[],
        "Most records that may wait.";
    RECORDS_WRITTEN = Scraped Kind::Counter, Count, "narrows_records_written_total", &[],
        "Records written to the store.";
    RECORDS_OVERFLOWED = Scraped Kind::Counter, Count, "narrows_records_overflowed_total", &[],
        "Records folded into sums because the queue was full: the sums stay right, the single records are lost.";
    STORE_FAILURES = Scraped Kind::Counter, Count, "narrows_store_failures_total", &[],
        "Batches of records that could not be written and were tried again.";
    STORE_FAILING = Scraped Kind::Gauge, Flag, "narrows_store_failing", &[],
        "1 while the last attempt to write records failed.";
    JSON_FAILURES = Scraped Kind::Counter, Count, "narrows_json_records_failed_total", &[],
        "Records that could not be written as JSON lines.";
    KEYS = Scraped Kind::Gauge, Count, "narrows_virtual_keys", &[],
        "Virtual keys in the store, disabled and deleted ones included.";
    MODEL_LABELS = Scraped Kind::Gauge, Count, "narrows_model_series", &[],
        "Groups of `gen_ai_*` series with a model of their own that no configuration names; beyond 200 the model is `other`.";
    STOPPING = Scraped Kind::Gauge, Flag, "narrows_stopping", &[],
        "1 from the signal to stop on.";
    CONFIG = Scraped Kind::Gauge, Info, "narrows_config_info", &[&SNAPSHOT],
        "The configuration in force.";
    CONFIG_LOADED = Scraped Kind::Gauge, Seconds, "narrows_config_loaded_timestamp_seconds", &[],
        "When the configuration in force was loaded, in seconds since the epoch.";
    CONFIG_RELOADS = Scraped Kind::Counter, Count, "narrows_config_reload_total", &[&RESULT],
        "Attempts to load the configuration again. A watch that finds nothing new is none.";
    CONFIG_REJECTED = Scraped Kind::Gauge, Flag, "narrows_config_rejected", &[],
        "1 while the last configuration that was read is not the one in force, because it was rejected.";
    BUILD = Scraped Kind::Gauge, Info, "narrows_build_info", &[&VERSION],
        "The program.";

    PROCESS_CPU = Scraped Kind::Counter, Seconds, "process_cpu_seconds_total", &[],
        "User and system CPU time of the process.";
    PROCESS_RSS = Scraped Kind::Gauge, Bytes, "process_resident_memory_bytes", &[],
        "Resident memory of the process.";
    PROCESS_VIRTUAL = Scraped Kind::Gauge, Bytes, "process_virtual_memory_bytes", &[],
        "Virtual memory of the process.";
    PROCESS_FDS = Scraped Kind::Gauge, Count, "process_open_fds", &[],
        "Open file descriptors.";
    PROCESS_FDS_MAX = Scraped Kind::Gauge, Count, "process_max_fds", &[],
        "Most file descriptors that may be open.";
    PROCESS_THREADS = Scraped Kind::Gauge, Count, "process_threads", &[],
        "Threads of the process.";
    PROCESS_START = Scraped Kind::Gauge, Seconds, "process_start_time_seconds", &[],
        "When the process started, in seconds since the epoch.";
}

/// The reference of all metrics, as it stands in `docs/metrics.md`.
#[cfg(test)]
pub(crate) fn reference() -> String {
    let mut out = String::from(include_str!("reference.md"));
    for metric in METRICS {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let unit = metric.unit.word();
        out.push_str(&format!(
            "| `{}` | {}{}{unit} | {} | {} |\n",
            metric.name,
            metric.kind.word(),
            if unit.is_empty() { "" } else { ", " },
            labels.join(", "),
            metric.meaning
        ));
    }
    out.push_str("\n## Labels\n\n| Label | Values |\n|---|---|\n");
    for label in super::labels::ALL {
        out.push_str(&format!("| `{}` | {} |\n", label.name, label.values));
    }
    out
}
