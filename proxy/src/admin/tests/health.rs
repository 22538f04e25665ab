use super::{House, ask};
use crate::gateway::Phase;
use crate::telemetry::metrics::tests::exposition::Exposition;
use crate::telemetry::metrics::tests::record;
use std::net::TcpStream;

#[test]
fn health_needs_no_token_and_tells_when_it_ends() {
    let mut house = House::new();
    let get = |path: &str| ask(house.metrics, "GET", path, "", "");
    assert_eq!(get("/healthz").ok()["status"], "alive");
    let ready = get("/readyz").ok();
    assert_eq!((&ready["status"], ready["degraded"].as_array().unwrap().len()), (&"ready".into(), 0));
    assert_eq!(get("/nothing").refusal(404).0, "not_found");
    assert_eq!(ask(house.metrics, "POST", "/healthz", "", "").refusal(405).0, "method_not_allowed");
    assert_eq!(get("/admin/v1/keys").status, 404, "the administration API is not here");

    house.gateway.enter(Phase::Leaving);
    let stopping = get("/readyz");
    assert_eq!((stopping.status, stopping.json()["status"].as_str()), (503, Some("stopping")));
    assert_eq!(get("/healthz").status, 200, "it is alive to its end");
    house.stop();
    assert!(TcpStream::connect(house.metrics).is_err() && TcpStream::connect(house.admin).is_err());
}

#[test]
fn it_serves_on_until_everything_has_ended() {
    let mut house = House::new();
    for phase in [Phase::Leaving, Phase::Closing] {
        house.gateway.enter(phase);
        assert_eq!(ask(house.metrics, "GET", "/readyz", "", "").status, 503);
        assert!(!house.thread.as_ref().unwrap().is_finished());
    }
    house.gateway.enter(Phase::Serving);
    assert_eq!(ask(house.metrics, "GET", "/readyz", "", "").status, 503, "there is no way back");
    house.stop();
}

#[test]
fn what_is_degraded_is_told_and_does_not_make_it_unready() {
    let house = House::new();
    house.gateway.overload.set(100, super::PATIENCE);
    let ready = ask(house.metrics, "GET", "/readyz", "", "").ok();
    assert_eq!((&ready["status"], &ready["degraded"][0]), (&"ready".into(), &"overloaded".into()));
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let mut house = House::new();
    let _idle = TcpStream::connect(house.metrics).unwrap();
    house.stop();
}

#[test]
fn the_exposition_is_whole_and_valid() {
    let house = House::new();
    let provider = house.gateway.snapshot().providers()[0].clone();
    house.gateway.metrics.settled(&record(), Some(&provider), true);
    house.gateway.ledger.submit(record());
    house.gateway.ledger.flush(super::PATIENCE).unwrap();
    let answer = ask(house.metrics, "GET", "/metrics", "", "");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    let read = Exposition::parse(&answer.body).unwrap();
    for metric in crate::telemetry::metrics::table::METRICS {
        let rare = [
            "narrows_usage_unknown_total",
            "narrows_cost_unknown_total",
            "narrows_failovers_total",
            "narrows_retries_total",
            "narrows_alerts_total",
            "narrows_alert_deliveries_total",
            "narrows_guardrail_questions_total",
            "narrows_guardrail_duration_seconds",
            "narrows_guardrail_state",
            "narrows_limit_refusals_total",
            "narrows_limit_waits_total",
            "narrows_budget_limit",
            "narrows_budget_spent",
            "narrows_budget_reserved",
            "narrows_budget_fullest_ratio",
            "narrows_guardrail_connections_opened_total",
            "narrows_guardrail_connections_reused_total",
        ];
        let may_lack = rare.contains(&metric.name)
            || (metric.name.starts_with("process_") && !cfg!(target_os = "linux"));
        match read.kinds.get(metric.name) {
            Some(kind) => assert_eq!(kind, metric.kind.word()),
            None => assert!(may_lack, "{} is missing", metric.name),
        }
    }
    assert!(read.kinds.len() <= crate::telemetry::metrics::table::METRICS.len());
    let value = |name: &str, labels: &[(&str, &str)]| read.sum(name, labels);
    assert_eq!(value("narrows_records_written_total", &[]), 1.0);
    assert_eq!(value("narrows_exchanges_total", &[("reason", "completed"), ("provider", "main")]), 1.0);
    assert_eq!(value("narrows_upstream_connections_opened_total", &[("provider", "main")]), 0.0);
    let hash = format!("{:016x}", house.gateway.snapshot().hash);
    assert_eq!(value("narrows_config_info", &[("snapshot", &hash)]), 1.0);
    assert_eq!(value("narrows_stopping", &[]), 0.0);
}
