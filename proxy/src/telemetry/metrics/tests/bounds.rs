//! Labels stay within their limits, whatever callers write.

use super::super::labels::OTHER;
use super::super::series::{MODEL_BYTES_MAX, MODEL_SERIES_MAX, PROVIDERS_MAX};
use super::{count, record, recorded};
use crate::telemetry::metrics::Metrics;
use narrows_ledger::Record;
use narrows_policy::Reason;
use std::collections::BTreeSet;

const MODEL: &str = "gen_ai_request_model";
const DURATIONS: &str = "gen_ai_server_request_duration_seconds_count";

fn asked(model: &str) -> Record {
    Record { model_sent: Some(model.into()), ..record() }
}

fn refused(model: &str) -> Record {
    Record { status: 404, reason: Reason::ProviderError, ..asked(model) }
}

/// Values of the model's label, and how many exchanges are `other`.
fn models(metrics: &Metrics) -> (BTreeSet<String>, f64) {
    let read = recorded(metrics);
    let models = read.of(DURATIONS).map(|((_, labels), _)| labels[MODEL].clone()).collect();
    (models, read.sum(DURATIONS, &[(MODEL, OTHER)]))
}

#[test]
fn models_have_a_limit() {
    let metrics = Metrics::new().unwrap();
    for number in 0..MODEL_SERIES_MAX {
        count(&metrics, &asked(&format!("model-{number}")), "openai");
    }
    let (labels, others) = models(&metrics);
    assert_eq!((labels.len(), others), (MODEL_SERIES_MAX, 0.0), "the limit itself is allowed");
    count(&metrics, &asked("one-more"), "openai");
    // Another provider or dialect makes no room.
    count(&metrics, &Record { provider: Some("spare".into()), ..asked("two-more") }, "openai");
    count(&metrics, &Record { dialect: Some("openai.responses"), ..asked("three-more") }, "openai");
    let (labels, others) = models(&metrics);
    assert_eq!((labels.len(), others), (MODEL_SERIES_MAX + 1, 3.0), "one past it is `other`");
    count(&metrics, &asked("model-7"), "openai");
    assert_eq!(recorded(&metrics).sum(DURATIONS, &[(MODEL, "model-7")]), 2.0, "those that are in stay in");
    assert_eq!(metrics.series.unnamed_models(), MODEL_SERIES_MAX);
}

#[test]
fn a_named_model_has_room_whatever_callers_asked_for() {
    let metrics = Metrics::new().unwrap();
    metrics.name_models(vec!["zeta".into(), "alpha".into(), "zeta".into()]);
    for number in 0..=MODEL_SERIES_MAX {
        count(&metrics, &asked(&format!("model-{number}")), "openai");
    }
    count(&metrics, &refused("alpha"), "openai");
    count(&metrics, &asked("zeta"), "openai");
    let (labels, others) = models(&metrics);
    assert!(labels.contains("alpha") && labels.contains("zeta"));
    assert_eq!((labels.len(), others), (MODEL_SERIES_MAX + 3, 1.0));
}

#[test]
fn a_refused_model_is_no_label() {
    let metrics = Metrics::new().unwrap();
    count(&metrics, &refused("'; DROP TABLE models"), "openai");
    // Refused before anybody was asked: no operation at all.
    count(&metrics, &Record { attempts: Vec::new(), ..asked("secret-model") }, "openai");
    count(&metrics, &Record { attempts: Vec::new(), provider: None, ..asked("unknown-model") }, "openai");
    let (labels, others) = models(&metrics);
    assert_eq!((labels, others), (BTreeSet::from([OTHER.to_owned()]), 1.0));
    assert_eq!(recorded(&metrics).sum("narrows_exchanges_total", &[]), 3.0);
    // Once a provider answered, failures of the model are counted under its name.
    count(&metrics, &asked("good"), "openai");
    count(&metrics, &refused("good"), "openai");
    assert_eq!(recorded(&metrics).sum(DURATIONS, &[(MODEL, "good")]), 2.0);
}

#[test]
fn a_long_name_is_no_label() {
    let metrics = Metrics::new().unwrap();
    let (fits, too_long) = ("m".repeat(MODEL_BYTES_MAX), "m".repeat(MODEL_BYTES_MAX + 1));
    metrics.name_models(vec![too_long.as_str().into()]);
    count(&metrics, &asked(&fits), "openai");
    count(&metrics, &asked(&too_long), "openai");
    assert_eq!(models(&metrics), (BTreeSet::from([fits, OTHER.to_owned()]), 1.0));
}

#[test]
fn providers_have_a_limit() {
    let metrics = Metrics::new().unwrap();
    let asked = |number: usize| {
        let name = format!("provider-{number}");
        let attempts = vec![super::attempt(&name, Reason::Completed)];
        Record { provider: Some(name.as_str().into()), attempts, ..record() }
    };
    let values = || -> BTreeSet<String> {
        recorded(&metrics)
            .of("narrows_exchanges_total")
            .map(|((_, labels), _)| labels["provider"].clone())
            .collect()
    };
    for number in 0..PROVIDERS_MAX {
        count(&metrics, &asked(number), "openai");
    }
    assert_eq!((values().len(), values().contains(OTHER)), (PROVIDERS_MAX, false));
    for number in 0..3 {
        count(&metrics, &asked(PROVIDERS_MAX + number), "openai");
    }
    assert_eq!((values().len(), values().contains(OTHER)), (PROVIDERS_MAX + 1, true));
    let read = recorded(&metrics);
    assert_eq!(read.sum("narrows_exchanges_total", &[("provider", OTHER)]), 3.0);
    assert_eq!(read.sum("narrows_attempts_total", &[]), (PROVIDERS_MAX + 3) as f64);
}

#[test]
fn workers_that_see_the_same_for_the_first_time_count_it_all() {
    const THREADS: usize = 4;
    const MODELS: usize = MODEL_SERIES_MAX + 50;
    let metrics = Metrics::new().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..MODELS {
                    count(&metrics, &asked(&format!("model-{number}")), "openai");
                }
            });
        }
    });
    let read = recorded(&metrics);
    assert_eq!(read.sum(DURATIONS, &[]), (THREADS * MODELS) as f64);
    assert_eq!(read.sum("narrows_exchanges_total", &[]), (THREADS * MODELS) as f64);
    assert_eq!(models(&metrics).0.len(), MODEL_SERIES_MAX + 1);
}
