//! Entry point of the fuzz target, so that the same body runs as an ordinary test.

use super::{Answer, Facts, Input, Inquiry, REMOTES, Remote, Segment, Shape, Stage, Verdict};
use crate::finding::Provenance;

/// Settings without which a kind cannot be made.
pub(crate) fn settings(kind: &str) -> serde_json::Value {
    let mut settings = serde_json::Map::new();
    let required = REMOTES.iter().filter(|one| one.name == kind).flat_map(|one| one.needs);
    for need in required.filter(|need| need.required) {
        let value = match need.shape {
            Shape::Texts => vec!["x"].into(),
            _ => "x".into(),
        };
        settings.insert(need.name.to_owned(), value);
    }
    settings.into()
}

/// The texts that a guardrail is asked about.
pub(crate) const TEXTS: &[Segment<'_>] = &[
    Segment { path: "messages[0].content", provenance: Provenance::System, text: "Be brief." },
    Segment {
        path: "messages[1].content",
        provenance: Provenance::User,
        text: "Größe: 5'11\", 😀 a@b.example",
    },
];

/// Any bytes as a guardrail's answer: the first two choose the guardrail and the status, the others are the body.
/// Whatever comes out is a verdict that fits the question, or an error; a pass was said in so many words.
///
/// # Panics
/// When a promise does not hold.
pub fn verdict(bytes: &[u8]) {
    let [kind, status, body @ ..] = bytes else { return };
    let Some(kind) = REMOTES.get(usize::from(*kind) % REMOTES.len()) else { return };
    let status = if *status < 200 { 200 } else { u16::from(*status) + 200 };
    let Ok(remote) = Remote::configure(kind.name, settings(kind.name)) else {
        unreachable!("{} is configured by its required settings", kind.name)
    };
    let segments = TEXTS;
    let input = Input { stage: Stage::Input, segments, facts: Facts::default() };
    let Ok((mut inquiry, mut calls)) = Inquiry::begin(&remote, input) else {
        unreachable!("{} takes two short texts", kind.name)
    };
    // Whatever comes to every call.
    while let Some(call) = calls.pop() {
        match inquiry.answer(&call, &Answer { status, body }) {
            Ok(more) => calls.extend(more),
            Err(_no_verdict) => return,
        }
    }
    assert_eq!(status, 200, "only a 200 has a verdict");
    let Ok(verdict) = inquiry.finish() else { unreachable!("every call was answered") };
    assert!(serde_json::from_slice::<serde_json::Value>(body).is_ok(), "only JSON has a verdict");
    for finding in verdict.findings() {
        if let Some(place) = &finding.place {
            let text = segments.get(place.segment).map(|segment| segment.text);
            let Some(text) = text else { unreachable!("a place is in a segment") };
            assert!(
                place.range.clone().is_none_or(|range| text.get(range).is_some()),
                "a place is in its text"
            );
        }
    }
    if let Verdict::Masked { replacements, .. } = &verdict {
        let changes = |(index, segment): (usize, &Segment<'_>)| {
            verdict.masked(index, segment.text).is_some_and(|masked| masked != segment.text)
        };
        assert!(segments.iter().enumerate().any(changes), "a mask changes something");
        assert!(!replacements.is_empty());
    }
}
