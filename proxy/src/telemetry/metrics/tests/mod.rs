mod bounds;
mod dashboards;
pub(crate) mod exposition;
mod lint;
mod sums;

use super::Metrics;
use exposition::Exposition;
use narrows_ledger::{Attempt, Record};
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::{Capability, CapabilitySet, Reason, Surface, TrafficClass};
use prometheus::TextEncoder;
use std::sync::Arc;

/// An exchange that went well.
pub(crate) fn record() -> Record {
    Record {
        id: 7,
        started_at_us: 1_769_864_399_999_000,
        duration_us: 2_000_300,
        upstream_wait_us: 2_000_000,
        first_byte_us: Some(500_200),
        caller: Arc::default(),
        surface: Surface::Gateway,
        class: TrafficClass::OwnApplication,
        capabilities: CapabilitySet::NONE.with(Capability::Audit),
        dialect: Some("openai.chat"),
        client: None,
        model_requested: Some("fast".into()),
        provider: Some("main".into()),
        model_sent: Some("gpt-5".into()),
        model_answered: Some("gpt-5-2026".into()),
        status: 200,
        reason: Reason::Completed,
        streamed: true,
        usage: Usage {
            input_uncached: Some(10),
            cache_read: Some(20),
            cache_write_5m: Some(3),
            output_text: Some(100),
            reasoning: Some(51),
            ..Usage::default()
        },
        origin: Origin::Provider,
        cost: Cost::NanoUsd(1_234_567),
        also_used: Vec::new(),
        mode: None,
        prices: 9,
        request_bytes: 1_000,
        response_bytes: 2_000,
        provider_request_id: None,
        conversation: None,
        attempts: vec![attempt("main", Reason::Completed)],
        snapshot: 1,
        client_address: None,
        inspections: narrows_ledger::Inspections::default(),
        content: narrows_ledger::ContentStates::default(),
    }
}

fn attempt(provider: &str, reason: Reason) -> Attempt {
    Attempt {
        provider: provider.into(),
        model: None,
        status: Some(200),
        reason,
        duration_us: 500_000,
        reused: true,
    }
}

/// Counts a record of a provider of this kind.
fn count(metrics: &Metrics, record: &Record, kind: &'static str) {
    metrics.count(record, record.provider.as_ref().map(|name| (name, kind)), true);
}

/// What was recorded so far.
fn recorded(metrics: &Metrics) -> Exposition {
    let text = TextEncoder::new().encode_to_string(&metrics.families.registry.gather()).unwrap();
    Exposition::parse(&text).unwrap()
}
