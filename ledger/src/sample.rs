//! Records for tests, inside the crate and outside: varied, and the same for the same number.
#![allow(unreachable_pub, reason = "public to the integration tests that include this file")]

use super::{Attempt, ContentState, ContentStates, Detail, Finding, Inspection, Inspections, Record, Used};
use narrows_meter::{Cost, Mode as Tier, Origin, Usage};
use narrows_policy::{
    Action, Caller, Capability, CapabilitySet, Coverage, Gap, Mode, Reason, Stage, Surface, TrafficClass,
};
use std::sync::Arc;

/// 2026-01-31T12:59:59.999000Z, so that records soon cross into another hour.
const START_US: i64 = 1_769_864_399_999_000;

pub fn record(number: u64) -> Record {
    let known = !number.is_multiple_of(5);
    let team = number % 3;
    Record {
        id: (0x0197_0000_0000_7000 + u128::from(number)) << 64
            | u128::from(number).wrapping_mul(0x9E37_79B9_97F4_A7C1),
        started_at_us: START_US + i64::try_from(number).unwrap() * 700,
        duration_us: 900_000 + number,
        upstream_wait_us: 890_000,
        first_byte_us: known.then_some(210_000 + number),
        caller: Arc::new(Caller {
            organization: "acme".into(),
            team: Some(format!("team-{team}")),
            user: (team == 0).then(|| "ada".into()),
            service_account: (team == 1).then(|| "nightly".into()),
            key_id: Some(format!("KEY00000000{team}")),
            metadata: vec![("cost_center".into(), "4711".into())],
            ..Caller::default()
        }),
        surface: Surface::Gateway,
        class: TrafficClass::ManagedClient,
        capabilities: CapabilitySet::NONE.with(Capability::Cost).with(Capability::Audit),
        dialect: known.then_some("anthropic.messages"),
        client: (team == 2).then_some("claude-code"),
        model_requested: Some("sonnet".into()),
        provider: known.then(|| "anthropic".into()),
        model_sent: known.then(|| "claude-sonnet-4-5".into()),
        model_answered: known.then(|| "claude-sonnet-4-5-20250929".into()),
        status: if known { 200 } else { 404 },
        reason: if known { Reason::Completed } else { Reason::ModelUnknown },
        streamed: known,
        usage: Usage {
            input_uncached: known.then_some(18 + number),
            cache_read: known.then_some(8_831),
            cache_write_5m: known.then_some(0),
            output_text: known.then_some(300 + number),
            web_searches: number.is_multiple_of(3).then_some(number),
            ..Usage::default()
        },
        origin: if known { Origin::Provider } else { Origin::Unknown },
        cost: if known { Cost::NanoUsd(7_253_300 + number) } else { Cost::Unknown },
        also_used: if number.is_multiple_of(7) {
            vec![Used {
                provider: "spare".into(),
                model: Some("claude-sonnet-4-5".into()),
                usage: Usage { input_uncached: Some(number), web_searches: Some(1), ..Usage::default() },
                origin: Origin::Estimated,
                cost: if number.is_multiple_of(2) { Cost::Unknown } else { Cost::NanoUsd(number) },
            }]
        } else {
            Vec::new()
        },
        mode: number.is_multiple_of(6).then_some(Tier::Flex),
        prices: if known { 0x9d1c_0000_0000_0001 + number / 7 } else { 0 },
        request_bytes: 107_000 + number,
        response_bytes: 4_000 + number,
        provider_request_id: known.then(|| format!("req_{number:024}").into()),
        conversation: Some("0c7f2a4e-5d3b-4f8a-9a51-0d9b6f2f7f10".into()),
        attempts: if known {
            vec![Attempt {
                provider: "anthropic".into(),
                model: number.is_multiple_of(4).then(|| "claude-haiku-4-5".into()),
                status: Some(200),
                reason: Reason::Completed,
                duration_us: 205_000,
                reused: true,
            }]
        } else {
            Vec::new()
        },
        snapshot: 0x5eed_0000_dead_beef,
        client_address: match team {
            0 => Some("203.0.113.9".parse().unwrap()),
            1 => Some("2001:db8::9".parse().unwrap()),
            _ => None,
        },
        inspections: inspections(number),
        content: content(number),
    }
}

fn content(number: u64) -> ContentStates {
    match number % 6 {
        0 => ContentStates { request: ContentState::Stored, answer: ContentState::Cut },
        1 => ContentStates { request: ContentState::None, answer: ContentState::Dropped },
        _ => ContentStates::default(),
    }
}

/// Every fourth was inspected, and every eighth is not clean.
fn inspections(number: u64) -> Inspections {
    let mut all = Inspections::default();
    if number % 4 != 2 {
        return all;
    }
    all.policy_version = 12;
    all.set(Stage::Stream, Inspection::clean(4_000, Coverage::Partial(Gap::QueueFull), Mode::Enforce));
    let mut request = Inspection::clean(107_000 + number, Coverage::Full, Mode::Enforce);
    if number % 8 == 6 {
        request.action = Some(Action::Mask);
        request.enforced = true;
        request.detail = Some(Box::new(Detail {
            rules: vec!["no-secrets".into()],
            explanation: "masked 2 GITHUB_TOKEN, because rule no-secrets masks secrets in requests".into(),
            findings: vec![Finding {
                rule: "github-pat".into(),
                entity: "GITHUB_TOKEN".into(),
                class: "secret",
                count: 2,
                score: 97,
                path: "messages[3].content[1].text".into(),
                fingerprint: Some(0x7f3a_9c2d_0011_2233),
            }],
            findings_dropped: 0,
        }));
    }
    all.set(Stage::Request, request);
    all
}
