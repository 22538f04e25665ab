//! What the dashboard and the rules ask for is there: `dashboards/` against the table. Whether it has data is shown by
//! `scripts/dashboards.sh`, with a real Prometheus.

use super::super::table::{Kind, METRICS, Metric};
use std::collections::BTreeSet;
use std::path::Path;

/// Labels that Prometheus adds.
const SCRAPE_LABELS: [&str; 3] = ["instance", "job", "le"];

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").join(name)).unwrap()
}

/// Every text of the dashboard that holds an expression.
fn expressions_of_the_dashboard() -> Vec<String> {
    let board: serde_json::Value = serde_json::from_str(&text("overview.json")).unwrap();
    let mut open = vec![&board];
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Array(items) => open.extend(items),
            serde_json::Value::Object(object) => {
                found.extend(
                    ["expr", "definition"]
                        .iter()
                        .filter_map(|key| object.get(*key)?.as_str())
                        .map(String::from),
                );
                open.extend(object.values());
            }
            _ => {}
        }
    }
    found
}

/// Names of metrics in an expression, each with the labels that its selector names.
fn selectors(text: &str) -> Vec<(&str, Vec<&str>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let ours = ["narrows_", "gen_ai_", "process_"].iter().any(|prefix| word.starts_with(prefix));
        // A label in a clause (`by (gen_ai_request_model)`) or in a legend (`{{…}}`) is no metric.
        let grouped = before.trim_end().ends_with(['(', ',']) && !after.starts_with(['{', '[', ')', ' ']);
        if ours && !before.ends_with("{{") && !grouped {
            let labels =
                after.strip_prefix('{').and_then(|inner| inner.split('}').next()).unwrap_or_default();
            found.push((word, names(labels)));
        }
        rest = after;
    }
    found
}

/// Names of labels in `a="b",c=~"d"`.
fn names(matchers: &str) -> Vec<&str> {
    // Every second piece between quotes is a value.
    let outside = matchers.split('"').step_by(2);
    outside
        .map(|piece| piece.trim_matches(|c: char| !c.is_ascii_lowercase() && c != '_'))
        .filter(|n| !n.is_empty())
        .collect()
}

fn metric(name: &str) -> Option<&'static Metric> {
    let base = METRICS.iter().find(|metric| metric.name == name);
    base.or_else(|| {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        let histogram = |metric: &&&Metric| matches!(metric.kind, Kind::Histogram(_));
        parts.into_iter().find_map(|base| METRICS.iter().filter(histogram).find(|metric| metric.name == base))
    })
    .copied()
}

/// What is wrong with the expressions of a file.
fn faults(file: &str, text: &str) -> Vec<String> {
    let labels: BTreeSet<&str> =
        METRICS.iter().flat_map(|metric| metric.labels).map(|label| label.name).collect();
    let mut faults = Vec::new();
    for (name, matched) in selectors(text) {
        match metric(name) {
            None if labels.contains(name) => {}
            None => faults.push(format!("{file}: there is no metric {name}")),
            Some(metric) => {
                for label in matched {
                    let has =
                        metric.labels.iter().any(|own| own.name == label) || SCRAPE_LABELS.contains(&label);
                    if !has {
                        faults.push(format!("{file}: {name} has no label {label}"));
                    }
                }
            }
        }
    }
    faults
}

#[test]
fn every_expression_names_metrics_and_labels_that_there_are() {
    let dashboard = expressions_of_the_dashboard();
    assert!(dashboard.len() > 60, "{}", dashboard.len());
    let mut found: Vec<String> =
        dashboard.iter().flat_map(|expression| faults("overview.json", expression)).collect();
    for file in ["recording.yaml", "alerts.yaml"] {
        // Comments and words for people may name what they like.
        let text: String = text(file).lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        assert!(selectors(&text).len() > 5, "{file}");
        found.extend(faults(file, &text));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_metric_is_shown() {
    let shown: Vec<String> = expressions_of_the_dashboard();
    let shown: BTreeSet<&str> = shown
        .iter()
        .flat_map(|expression| selectors(expression))
        .filter_map(|(name, _)| Some(metric(name)?.name))
        .collect();
    let hidden: Vec<&str> =
        METRICS.iter().map(|metric| metric.name).filter(|name| !shown.contains(name)).collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");
}

#[test]
fn every_alert_says_what_to_do() {
    let text = text("alerts.yaml");
    let alerts: Vec<&str> = text.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    let tests = self::text("alerts.test.yaml");
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default();
        for part in ["summary: >-", "description: >-", "runbook: >-", "labels: {severity: "] {
            assert!(alert.contains(part), "{name} lacks {part}");
        }
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} has no test in alerts.test.yaml");
    }
}

#[test]
fn selectors_are_found_with_their_labels() {
    let text = "sum by (gen_ai_request_model) (rate(narrows_attempts_total{provider=~\"a,b=\",reason!=\"x\"}[5m])) / \
                process_open_fds and gen_ai_client_token_usage_bucket{le=\"1\"}";
    let found = selectors(text);
    assert!(found.contains(&("narrows_attempts_total", vec!["provider", "reason"])), "{found:?}");
    assert!(found.contains(&("process_open_fds", vec![])), "{found:?}");
    assert!(metric("gen_ai_client_token_usage_bucket").is_some());
    assert!(metric("narrows_attempts_total_bucket").is_none());
    let wrong = "rate(narrows_attempts_total{team=\"x\"}[5m]) + narrows_unheard_of_total";
    assert_eq!(
        faults("f", wrong),
        ["f: narrows_attempts_total has no label team", "f: there is no metric narrows_unheard_of_total"]
    );
}
