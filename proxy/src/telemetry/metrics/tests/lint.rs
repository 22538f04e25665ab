//! The table is right in itself, and the documentation says what it says.

use super::super::labels::{self, OTHER};
use super::super::table::{Kind, METRICS, Source, Unit, reference};
use super::{count, record, recorded};
use crate::telemetry::metrics::Metrics;
use narrows_llm::provider::PROVIDERS;
use narrows_policy::{Blame, Reason};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

fn is_snake(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn names_units_and_kinds_fit() {
    let mut seen = HashSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(is_snake(name) && seen.insert(name), "{name}");
        assert!(["gen_ai_", "narrows_", "process_"].iter().any(|prefix| name.starts_with(prefix)), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}: counters, and only they, end in _total"
        );
        let base = name.strip_suffix("_total").unwrap_or(name);
        let suffix = match metric.unit {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::Ratio => "_ratio",
            Unit::Info => "_info",
            // The conventions count tokens without a suffix.
            Unit::Tokens if name.starts_with("gen_ai_") => "_token_usage",
            Unit::Tokens => "_tokens",
            Unit::Dollars => "_usd",
            Unit::Count | Unit::Flag => "",
        };
        assert!(base.ends_with(suffix), "{name}: should end in {suffix}");
        for reserved in ["_bucket", "_sum", "_count"] {
            assert!(!name.ends_with(reserved), "{name}");
        }
        assert!(metric.meaning.ends_with('.') && !metric.meaning.contains(['|', '\n']), "{name}");
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(
                buckets.windows(2).all(|pair| pair[0] < pair[1]) && buckets.iter().all(|b| b.is_finite())
            );
            assert_eq!(metric.source, Source::Recorded, "{name}");
        }
    }
}

#[test]
fn labels_are_valid_bounded_and_all_used() {
    let mut used = HashSet::new();
    for metric in METRICS {
        let names: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{}", metric.name);
        used.extend(names);
    }
    for label in labels::ALL {
        assert!(is_snake(label.name) && !matches!(label.name, "le" | "job" | "instance"), "{}", label.name);
        assert!(label.values.ends_with('.') && !label.values.contains(['|', '\n']), "{}", label.name);
        // What has no bound, or names somebody, is a question to the store and not a label.
        for part in ["key", "user", "team", "url", "path", "session", "conversation", "client"] {
            assert!(!label.name.split('_').any(|word| word == part), "{}", label.name);
        }
    }
    let all: HashSet<_> = labels::ALL.iter().map(|label| label.name).collect();
    assert_eq!(all, used);
}

#[test]
fn words_of_closed_lists_are_those_of_other_crates() {
    assert_eq!(labels::dialect_place(None), 0);
    for (place, row) in narrows_llm::dialect::DIALECTS.iter().enumerate() {
        assert_eq!(labels::dialect_place(Some(row.1)), place + 1);
        assert!(place + 1 < labels::DIALECTS);
    }
    for (place, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, place);
        let word = labels::error_word(labels::error_place(*reason));
        let blame = serde_json::to_value(reason.blame()).unwrap();
        assert_eq!(word, if reason.blame() == Blame::Nobody { "" } else { blame.as_str().unwrap() });
    }
    let classes: Vec<_> = [0, 99, 100, 204, 302, 404, 599, 600, 999].map(labels::class_place).to_vec();
    assert_eq!(classes, [0, 0, 1, 2, 3, 4, 5, 0, 0]);
    assert_eq!(labels::class_word(labels::class_place(503)), "5xx");
    let kinds: Vec<_> = PROVIDERS.iter().map(|provider| labels::otel_provider(provider.kind)).collect();
    for word in ["openai", "anthropic", "gcp.gemini", "azure.ai.openai", "mistral_ai", "x_ai", "groq"] {
        assert!(kinds.contains(&word), "{word} is not among {kinds:?}");
    }
    assert!(!kinds.contains(&OTHER));
}

#[test]
fn everything_recorded_is_in_the_table_with_its_labels_and_the_other_way_round() {
    let metrics = Metrics::new().unwrap();
    count(&metrics, &record(), "openai");
    let mut unknown = record();
    unknown.usage = narrows_meter::Usage::default();
    count(&metrics, &unknown, "openai");
    let unpriced = narrows_ledger::Record { cost: narrows_meter::Cost::Unknown, ..record() };
    count(&metrics, &unpriced, "openai");
    let mut repeated = record();
    let failed = repeated.attempts.first().unwrap().clone();
    let other = narrows_ledger::Attempt { model: Some("another".into()), ..failed.clone() };
    repeated.attempts = vec![failed.clone(), failed, other];
    count(&metrics, &repeated, "openai");
    metrics.alert_raised("no-secrets", narrows_policy::Stage::Stream, narrows_policy::Action::Mask);
    metrics.alert_delivery("ops", "delivered");
    let text = "version: 1\nproviders: {o: {kind: openai, api_key: k}}\nrate_limits: {each: {requests: 1}}\n";
    let settings = crate::config::parse("n.yaml", Path::new("."), text, &|_| None).unwrap().settings;
    for rule in crate::limits::Rules::new(&settings).iter() {
        metrics.limit_refused(rule, Reason::RateLimited);
        metrics.limit_waited(rule);
    }
    metrics.guardrail_asked("aidr", "pass", Some(std::time::Duration::from_millis(3)));
    let read = recorded(&metrics);
    let rows = METRICS.iter().filter(|metric| metric.source == Source::Recorded);
    let table: BTreeSet<_> = rows.clone().map(|metric| (metric.name, metric.kind.word())).collect();
    let found: BTreeSet<_> = read.kinds.iter().map(|(name, kind)| (name.as_str(), kind.as_str())).collect();
    assert_eq!(found, table);
    for metric in rows {
        let sample = match metric.kind {
            Kind::Histogram(_) => format!("{}_count", metric.name),
            Kind::Counter | Kind::Gauge => metric.name.to_owned(),
        };
        let wanted: BTreeSet<_> = metric.labels.iter().map(|label| label.name.to_owned()).collect();
        for ((_, labels), _) in read.of(&sample) {
            assert_eq!(labels.keys().cloned().collect::<BTreeSet<_>>(), wanted, "{}", metric.name);
        }
    }
}

/// `NARROWS_WRITE_DOCS=1 cargo test -p narrows docs_are_up_to_date` writes the page anew.
#[test]
fn docs_are_up_to_date() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    if std::env::var_os("NARROWS_WRITE_DOCS").is_some() {
        std::fs::write(&page, reference()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&page).unwrap_or_default(),
        reference(),
        "docs/metrics.md is out of date"
    );
}
