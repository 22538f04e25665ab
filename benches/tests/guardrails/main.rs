//! Every external guardrail's codec against its contract as the fake provider serves it, without a socket between them:
//! neither crate knows the other, so what they agree on is the contract.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail by panicking, as tests do")]

use narrows_fake::guardrail::{self, Behaviour, MASK, SLOW_MS, TRIGGERS};
use narrows_guard::Provenance;
use narrows_guard::remote::{
    Answer, Facts, Input, Inquiry, REMOTES, Remote, RemoteError, Segment, Stage, Verdict,
};
use serde_json::json;

const SEGMENTS: &[Segment<'_>] = &[
    Segment { path: "system", provenance: Provenance::System, text: "canary-Ä😀 is who you are." },
    Segment {
        path: "messages[0].content", provenance: Provenance::User, text: "  canary-Größe: wie groß?"
    },
    Segment {
        path: "messages[1].content",
        provenance: Provenance::ToolResult,
        text: "canary-3 \"quoted\" \\ \n",
    },
];

/// Settings of a kind, with masks where it has them.
fn remote(kind: &str) -> Remote {
    let settings = match kind {
        "azure_content_safety" => json!({"blocklists": ["ours"]}),
        "bedrock_guardrails" => json!({"guardrail_id": "arn:aws:bedrock:x/1", "region": "us-east-1"}),
        "model_armor" => json!({"project": "p", "location": "europe-west4", "template": "t", "mask": true}),
        "patronus" => json!({"evaluators": ["pii", "judge patronus:is-helpful"]}),
        "presidio" => json!({"anonymize": true}),
        "prisma_airs" => json!({"profile": "p", "mask": true}),
        _ => json!({}),
    };
    Remote::configure(kind, settings).unwrap()
}

/// Asks a guardrail, and tells how long its slowest answer takes.
fn ask(
    remote: &Remote,
    behaviour: &str,
    stage: Stage,
    segments: &[Segment<'_>],
) -> Result<(Verdict, u64), RemoteError> {
    let facts = Facts { user: Some("ann"), request_id: Some("r-1"), ..Facts::default() };
    let (mut inquiry, mut calls) = Inquiry::begin(remote, Input { stage, segments, facts })?;
    let (mut made, mut slowest) = (0, 0);
    while let Some(call) = calls.pop() {
        let behaviour = if behaviour.is_empty() { String::new() } else { format!("/{behaviour}") };
        let target = format!("/guardrails/{}{behaviour}{}", remote.kind().name, call.path);
        let reply = guardrail::answer(call.method, &target, &call.body, None).unwrap();
        let text = String::from_utf8_lossy(&reply.body);
        assert_ne!(reply.status, 400, "{target} is not the contract: {text}");
        slowest = slowest.max(reply.delay_ms);
        calls.extend(inquiry.answer(&call, &Answer { status: reply.status, body: &reply.body })?);
        made += 1;
    }
    assert!(made > 0, "{} asks nothing", remote.kind().name);
    Ok((inquiry.finish()?, slowest))
}

fn verdict(kind: &str, behaviour: &str, stage: Stage) -> Result<Verdict, RemoteError> {
    ask(&remote(kind), behaviour, stage, SEGMENTS).map(|(verdict, _)| verdict)
}

#[test]
fn both_know_the_same_guardrails() {
    let mut ours: Vec<_> = REMOTES.iter().map(|kind| kind.name).collect();
    ours.sort_unstable();
    assert_eq!(ours, guardrail::vendors().collect::<Vec<_>>());
}

#[test]
fn what_is_clean_passes_and_what_is_found_is_flagged() {
    for kind in REMOTES {
        for stage in kind.stages {
            assert_eq!(verdict(kind.name, "ok", *stage), Ok(Verdict::Pass), "{}", kind.name);
            let settings = match kind.name {
                // Its anonymizer would make a mask of it.
                "presidio" => Remote::configure("presidio", json!({"batch": false})).unwrap(),
                name => remote(name),
            };
            let (flagged, _) = ask(&settings, "flagged", *stage, SEGMENTS).unwrap();
            assert_eq!(flagged.as_str(), "flag", "{}", kind.name);
            assert!(!flagged.findings().is_empty());
        }
    }
}

#[test]
fn places_are_those_of_the_text() {
    for kind in ["lakera", "presidio", "webhook"] {
        let remote = Remote::configure(kind, json!({})).unwrap();
        let (flagged, _) = ask(&remote, "flagged", Stage::Input, SEGMENTS).unwrap();
        let places = flagged.findings().iter().map(|finding| finding.place.clone().unwrap());
        let mut found: Vec<_> =
            places.map(|place| &SEGMENTS[place.segment].text[place.range.unwrap()]).collect();
        found.sort_unstable();
        assert_eq!(found, ["canary-3", "canary-Größe:", "canary-Ä😀"], "{kind}");
    }
}

#[test]
fn masks_are_of_the_whole_value_and_nothing_else() {
    for kind in REMOTES {
        let masked = verdict(kind.name, "masked", Stage::Input).unwrap();
        if !kind.masks {
            assert_eq!(masked.as_str(), "flag", "{}", kind.name);
            continue;
        }
        assert_eq!(masked.as_str(), "mask", "{}", kind.name);
        let texts = [
            format!("{MASK} is who you are."),
            format!("  {MASK} wie groß?"),
            format!("{MASK} \"quoted\" \\ \n"),
        ];
        for (index, (segment, text)) in SEGMENTS.iter().zip(texts).enumerate() {
            assert_eq!(masked.masked(index, segment.text), Some(text), "{}", kind.name);
        }
    }
}

#[test]
fn blocks_are_blocks_where_the_guardrail_can() {
    let can = ["crowdstrike_aidr", "prisma_airs", "bedrock_guardrails", "webhook"];
    for kind in REMOTES.iter().filter(|kind| kind.name != "presidio") {
        let expected = if can.contains(&kind.name) { "block" } else { "flag" };
        for stage in kind.stages {
            assert_eq!(verdict(kind.name, "blocked", *stage).unwrap().as_str(), expected, "{}", kind.name);
        }
    }
}

#[test]
fn failures_are_errors_and_never_a_pass() {
    for kind in REMOTES {
        let of = |behaviour: &str| verdict(kind.name, behaviour, Stage::Input);
        assert_eq!(of("limited"), Err(RemoteError::RateLimited), "{}", kind.name);
        assert_eq!(of("failing"), Err(RemoteError::Unavailable(500)), "{}", kind.name);
        assert_eq!(of("empty"), Err(RemoteError::Empty), "{}", kind.name);
        for behaviour in ["malformed", "nonsense"] {
            let is_malformed = matches!(of(behaviour), Err(RemoteError::Malformed(_)));
            assert!(is_malformed, "{} {behaviour}: {:?}", kind.name, of(behaviour));
        }
        assert!(of("limited").unwrap_err().is_outage() && !of("nonsense").unwrap_err().is_outage());
    }
}

#[test]
fn a_slow_answer_is_still_an_answer() {
    for kind in REMOTES {
        let answered = ask(&remote(kind.name), "slow", Stage::Input, SEGMENTS);
        assert_eq!(answered, Ok((Verdict::Pass, SLOW_MS)), "{}", kind.name);
    }
}

#[test]
fn a_trigger_in_one_text_is_found_in_that_text() {
    let (trigger, _) = TRIGGERS.iter().find(|(_, behaviour)| *behaviour == Behaviour::Flagged).unwrap();
    let text = format!("ä {trigger} b");
    let user = |path, text| Segment { path, provenance: Provenance::User, text };
    let segments = [user("a", "nothing"), user("b", &text)];
    for kind in ["crowdstrike_aidr", "lakera", "openai_moderation", "webhook"] {
        let (flagged, _) = ask(&remote(kind), "", Stage::Input, &segments).unwrap();
        let [finding] = flagged.findings() else { panic!("{kind}: {flagged:?}") };
        if let Some(place) = &finding.place {
            assert_eq!(place.segment, 1, "{kind}");
        }
    }
}

#[test]
fn what_guardrails_echo_is_nowhere() {
    for kind in REMOTES {
        for behaviour in ["flagged", "masked", "blocked", "malformed", "nonsense"] {
            let printed = match verdict(kind.name, behaviour, Stage::Input) {
                Ok(verdict) => format!("{verdict:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!printed.contains("canary"), "{} {behaviour}: {printed}", kind.name);
        }
    }
}
