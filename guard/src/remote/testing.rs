//! Asking a guardrail in a test.

use super::{Answer, Call, Facts, Input, Inquiry, Remote, RemoteError, Segment, Stage, Verdict};
use crate::finding::Provenance;
use serde_json::Value;

/// A user's text.
pub(crate) fn user<'a>(path: &'a str, text: &'a str) -> Segment<'a> {
    Segment { path, provenance: Provenance::User, text }
}

/// What is told about an exchange.
pub(crate) fn facts() -> Facts<'static> {
    Facts {
        user: Some("ann"),
        application: Some("helper"),
        conversation: Some("c-1"),
        model: Some("gpt-5"),
        request_id: Some("r-1"),
        ..Facts::default()
    }
}

/// A call and its body.
pub(crate) fn calls(
    kind: &str,
    settings: &Value,
    stage: Stage,
    segments: &[Segment<'_>],
) -> Vec<(Call, Value)> {
    let remote = Remote::configure(kind, settings.clone()).unwrap();
    let (_, calls) = Inquiry::begin(&remote, Input { stage, segments, facts: facts() }).unwrap();
    calls.into_iter().map(|call| (call.clone(), serde_json::from_slice(&call.body).unwrap())).collect()
}

/// The verdict after answering every call by its path and body.
pub(crate) fn verdict(
    kind: &str,
    settings: &Value,
    stage: Stage,
    segments: &[Segment<'_>],
    answer: impl Fn(&Call, &Value) -> Value,
) -> Result<Verdict, RemoteError> {
    let remote = Remote::configure(kind, settings.clone()).unwrap();
    let (mut inquiry, mut calls) = Inquiry::begin(&remote, Input { stage, segments, facts: facts() })?;
    while let Some(call) = calls.pop() {
        let body = serde_json::to_vec(&answer(&call, &serde_json::from_slice(&call.body).unwrap())).unwrap();
        calls.extend(inquiry.answer(&call, &Answer { status: 200, body: &body })?);
    }
    inquiry.finish()
}

/// `detector entity class score segment` of every finding, in order of the words.
pub(crate) fn found(verdict: &Verdict) -> Vec<String> {
    let word = |one: Option<String>| one.unwrap_or_else(|| "-".to_owned());
    let mut found: Vec<_> = verdict
        .findings()
        .iter()
        .map(|one| {
            let entity = word(one.entity.as_ref().map(ToString::to_string));
            let class = word(one.class.map(|class| class.as_str().to_owned()));
            let score = word(one.score.map(|score| score.to_string()));
            let segment = word(one.place.as_ref().map(|place| place.segment.to_string()));
            format!("{} {entity} {class} {score} {segment}", one.detector)
        })
        .collect();
    found.sort();
    found
}
