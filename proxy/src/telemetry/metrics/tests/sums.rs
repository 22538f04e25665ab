//! What is counted is what the records say.

use super::{attempt, count, record, recorded};
use crate::telemetry::metrics::Metrics;
use narrows_ledger::Record;
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::{Blame, Reason};
use std::collections::BTreeMap;

/// Varied exchanges, the same for the same number.
fn varied(number: usize) -> Record {
    let n = number as u64;
    let mut record = record();
    record.provider = [Some("main".into()), Some("spare".into()), None][number % 3].clone();
    record.reason = Reason::ALL[number % Reason::ALL.len()];
    record.status = [200, 0, 404, 503, 429][number % 5];
    record.dialect = [Some("openai.chat"), Some("anthropic.messages"), None][number % 7 % 3];
    record.model_sent = Some(format!("model-{}", number % 4).into());
    record.origin = Origin::ALL[number % 5];
    record.usage = Usage {
        input_uncached: (!number.is_multiple_of(4)).then_some(n),
        cache_read: number.is_multiple_of(2).then_some(n * 3),
        output_text: (!number.is_multiple_of(6)).then_some(n * 5),
        reasoning: number.is_multiple_of(7).then_some(n),
        ..Usage::default()
    };
    record.cost = if number.is_multiple_of(5) { Cost::Unknown } else { Cost::NanoUsd(n * 1_000_000_017) };
    record.request_bytes = n * 11;
    record.response_bytes = n * 13;
    record.duration_us = 1_000_000 + n;
    record.attempts = match &record.provider {
        Some(name) => vec![attempt("spare", Reason::ProviderConnect), attempt(name, record.reason)],
        None => Vec::new(),
    };
    record
}

type Sums = BTreeMap<Vec<String>, f64>;

fn add(sums: &mut Sums, key: &[&str], amount: u64) {
    *sums.entry(key.iter().map(|part| (*part).to_owned()).collect()).or_default() += amount as f64;
}

#[test]
fn counters_are_the_sums_of_the_records() {
    let metrics = Metrics::new().unwrap();
    metrics.name_models((0..4).map(|model| format!("model-{model}").into()).collect());
    let mut wanted = Sums::new();
    for number in 0..500 {
        let record = varied(number);
        count(&metrics, &record, "openai");
        let provider = record.provider.as_deref().unwrap_or("none");
        let class = match record.status {
            0 => "none".to_owned(),
            status => format!("{}xx", status / 100),
        };
        let dialect = record.dialect.unwrap_or("none");
        let reason = record.reason.as_str();
        let blame = match record.reason.blame() {
            Blame::Nobody => "",
            Blame::Caller => "caller",
            Blame::Policy => "policy",
            Blame::Provider => "provider",
            Blame::Gateway => "gateway",
        };
        add(&mut wanted, &["narrows_exchanges_total", reason, dialect, provider, &class, blame], 1);
        add(&mut wanted, &["narrows_request_body_bytes_total", provider], record.request_bytes);
        add(&mut wanted, &["narrows_response_body_bytes_total", provider], record.response_bytes);
        for attempt in &record.attempts {
            add(&mut wanted, &["narrows_attempts_total", &attempt.provider, attempt.reason.as_str()], 1);
        }
        // What reached no provider has no model of its own.
        let model = record.model_sent.as_deref().filter(|_| record.provider.is_some()).unwrap_or("other");
        match record.cost {
            Cost::NanoUsd(0) => {}
            Cost::NanoUsd(cost) => add(&mut wanted, &["narrows_cost_usd_total", provider, model], cost),
            Cost::Unknown => add(&mut wanted, &["narrows_cost_unknown_total", provider, model], 1),
        }
        let usage = &record.usage;
        for (word, figure) in [
            ("input", usage.input()),
            ("output", usage.output()),
            ("cached_input", usage.cache_read),
            ("cache_creation_input", usage.cache_write()),
            ("reasoning", usage.reasoning),
        ] {
            if let Some(figure) = figure {
                add(&mut wanted, &["narrows_tokens_total", word, record.origin.as_str(), provider], figure);
            }
        }
        let answered = record.provider.is_some() && record.status == 200;
        for (word, figure) in [("input", usage.input()), ("output", usage.output())] {
            if answered && figure.is_none() {
                add(&mut wanted, &["narrows_usage_unknown_total", word, provider], 1);
            }
        }
    }
    let read = recorded(&metrics);
    let order: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (
            "narrows_exchanges_total",
            ["reason", "dialect", "provider", "status_class", "error_type"].as_slice(),
        ),
        ("narrows_request_body_bytes_total", &["provider"]),
        ("narrows_response_body_bytes_total", &["provider"]),
        ("narrows_attempts_total", &["provider", "reason"]),
        ("narrows_tokens_total", &["type", "origin", "provider"]),
        ("narrows_usage_unknown_total", &["type", "provider"]),
        ("narrows_cost_usd_total", &["provider", "gen_ai_request_model"]),
        ("narrows_cost_unknown_total", &["provider", "gen_ai_request_model"]),
    ]);
    let mut found = Sums::new();
    for ((name, labels), value) in &read.samples {
        if let Some(order) = order.get(name.as_str()) {
            let key = std::iter::once(name.clone()).chain(order.iter().map(|label| labels[*label].clone()));
            // Money is counted in nano-dollars and shown in dollars.
            let scale = if name == "narrows_cost_usd_total" { 1e9 } else { 1.0 };
            found.insert(key.collect(), (*value * scale).round());
        }
    }
    assert_eq!(found, wanted);
}

#[test]
fn distributions_hold_every_known_figure_of_exchanges_that_reached_a_provider() {
    let metrics = Metrics::new().unwrap();
    let (mut exchanges, mut input, mut seconds, mut known) = (0, 0, 0.0, 0);
    for number in 0..500 {
        let record = varied(number);
        count(&metrics, &record, "openai");
        if record.provider.is_some() {
            exchanges += 1;
            seconds += record.duration_us as f64 / 1e6;
            input += record.usage.input().unwrap_or(0);
            known += usize::from(record.usage.input().is_some());
        }
    }
    let read = recorded(&metrics);
    let token_usage = |suffix: &str| {
        read.sum(&format!("gen_ai_client_token_usage{suffix}"), &[("gen_ai_token_type", "input")])
    };
    assert_eq!(token_usage("_count"), known as f64);
    assert_eq!(token_usage("_sum"), input as f64);
    for name in ["gen_ai_client_operation_duration_seconds", "gen_ai_server_request_duration_seconds"] {
        assert_eq!(read.sum(&format!("{name}_count"), &[]), f64::from(exchanges), "{name}");
    }
    let whole = read.sum("gen_ai_server_request_duration_seconds_sum", &[]);
    assert!((whole - seconds).abs() < 1e-6, "{whole} is not {seconds}");
    assert_eq!(read.sum("narrows_overhead_seconds_count", &[]), f64::from(exchanges));
}

#[test]
fn one_stream_is_timed_as_the_record_says() {
    let metrics = Metrics::new().unwrap();
    count(&metrics, &record(), "gemini");
    let read = recorded(&metrics);
    let labels = [
        ("gen_ai_operation_name", "chat"),
        ("gen_ai_provider_name", "gcp.gemini"),
        ("gen_ai_request_model", "gpt-5"),
    ];
    let value = |name: &str, labels: &[(&str, &str)]| read.sum(name, labels);
    let close = |name: &str, labels: &[(&str, &str)], wanted: f64| {
        let found = value(name, labels);
        assert!((found - wanted).abs() < 1e-12, "{name}: {found} is not {wanted}");
    };
    close("gen_ai_server_time_to_first_token_seconds_sum", &labels, 0.500_2);
    // 1.5001 s after the first byte for the 150 tokens after the first, in whole nanoseconds.
    close("gen_ai_server_time_per_output_token_seconds_sum", &labels, 0.010_000_666);
    close("gen_ai_client_operation_duration_seconds_sum", &labels, 2.0);
    close("narrows_overhead_seconds_sum", &[], 0.000_3);
    close("narrows_first_byte_added_seconds_sum", &[], 0.000_2);

    // A first byte long after the head is the provider's doing: no more than the whole overhead is added.
    let late = Record { first_byte_us: Some(1_900_000), ..record() };
    count(&metrics, &late, "gemini");
    let read = recorded(&metrics);
    assert!((read.sum("narrows_first_byte_added_seconds_sum", &[]) - 0.000_5).abs() < 1e-12);
}

#[test]
fn only_completed_streams_are_timed_per_token() {
    let metrics = Metrics::new().unwrap();
    count(&metrics, &Record { streamed: false, ..record() }, "openai");
    count(&metrics, &Record { reason: Reason::ProviderCut, ..record() }, "openai");
    let one = Usage { output_text: Some(1), ..Usage::default() };
    count(&metrics, &Record { usage: one, ..record() }, "openai");
    let read = recorded(&metrics);
    assert_eq!(read.sum("gen_ai_server_time_to_first_token_seconds_count", &[]), 1.0);
    assert_eq!(read.sum("gen_ai_server_time_per_output_token_seconds_count", &[]), 0.0);
    let cut = [("error_type", "provider")];
    assert_eq!(read.sum("gen_ai_server_request_duration_seconds_count", &cut), 1.0);
}

#[test]
fn an_embedding_without_output_is_not_unknown() {
    let metrics = Metrics::new().unwrap();
    let usage = Usage { input_uncached: Some(4), ..Usage::default() };
    count(&metrics, &Record { dialect: Some("openai.embeddings"), usage, ..record() }, "openai");
    assert_eq!(recorded(&metrics).sum("narrows_usage_unknown_total", &[]), 0.0);
    count(&metrics, &Record { usage, ..record() }, "openai");
    assert_eq!(recorded(&metrics).sum("narrows_usage_unknown_total", &[("type", "output")]), 1.0);
}

#[test]
fn counting_tokens_is_an_exchange_and_no_generation() {
    let metrics = Metrics::new().unwrap();
    let record = Record { usage: Usage::default(), ..record() };
    metrics.count(&record, record.provider.as_ref().map(|name| (name, "openai")), false);
    let read = recorded(&metrics);
    assert_eq!(read.sum("narrows_exchanges_total", &[]), 1.0);
    for silent in ["narrows_usage_unknown_total", "gen_ai_client_operation_duration_seconds_count"] {
        assert_eq!(read.sum(silent, &[]), 0.0, "{silent}");
    }
    count(&metrics, &record, "openai");
    let read = recorded(&metrics);
    assert_eq!(read.sum("gen_ai_client_operation_duration_seconds_count", &[]), 1.0);
    assert_eq!(read.sum("narrows_usage_unknown_total", &[]), 2.0);
}

#[test]
fn what_is_in_flight_comes_back_to_zero() {
    let metrics = Metrics::new().unwrap();
    metrics.exchange_opened();
    metrics.exchange_opened();
    metrics.stream_opened();
    metrics.exchange_closed();
    let read = recorded(&metrics);
    let now = |name| read.sum(name, &[]);
    assert_eq!((now("narrows_exchanges_in_flight"), now("narrows_streams_in_flight")), (1.0, 1.0));
    metrics.exchange_closed();
    metrics.stream_closed();
    metrics.probe_answered();
    let read = recorded(&metrics);
    let now = |name| read.sum(name, &[]);
    assert_eq!((now("narrows_exchanges_in_flight"), now("narrows_streams_in_flight")), (0.0, 0.0));
    assert_eq!(now("narrows_probes_total"), 1.0);
}
