//! Lakera Guard (Check Point): `POST /v2/guard`.
//!
//! The project's policy lives with the vendor; it flags, with places in code points. Source: the vendor's API page (read
//! 2026-11). It does not say whether an end is exclusive; the match that it sends along decides, and is then forgotten.

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, role};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional};
use crate::remote::piece::{self, Piece, Unit};
use crate::remote::verdict::{Finding, MAX_FINDINGS, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};
use std::ops::Range;

/// Most text of one call, in bytes. The vendor publishes no figure; this one is ours.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// What it is.
pub static KIND: Kind = Kind {
    name: "lakera",
    description: "Lakera Guard: flags prompt attacks, personal data, content and links by the project's policy",
    documentation: "https://docs.lakera.ai/docs/api/guard (2026-11)",
    credential: "the API key, as a bearer token",
    needs: &[optional(
        "project_id",
        Shape::Text,
        "the project whose policy applies; the organization's default otherwise",
    )],
    stages: BOTH,
    masks: false,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The project whose policy applies.
    pub project_id: Option<String>,
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        self.project_id.as_deref().map_or(Ok(()), |id| not_empty("project_id", id))
    }

    fn base(&self) -> Option<String> {
        Some("https://api.lakera.ai".to_owned())
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let pieces = piece::whole(input, MAX_TEXT_BYTES)?;
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    let author = |piece: &Piece| input.segments.get(piece.segment).map_or("user", |one| role(one.provenance));
    let message = |piece: &Piece| json!({"role": author(piece), "content": piece.text(input)});
    let messages: Vec<_> = pieces.iter().map(message).collect();
    let mut question = json!({"messages": messages, "payload": true, "breakdown": true});
    if let Some(project) = &settings.project_id {
        question["project_id"] = project.as_str().into();
    }
    let facts = &input.facts;
    for (name, fact) in [("user_id", facts.user), ("session_id", facts.conversation)] {
        if let Some(fact) = fact {
            question["metadata"][name] = fact.into();
        }
    }
    let asked = Asked { pieces, ..Asked::default() };
    Ok(vec![Call::post("/v2/guard".to_owned(), Auth::Bearer, &question, asked)?])
}

#[derive(Deserialize)]
struct Reply {
    flagged: bool,
    payload: Option<Vec<Matched>>,
    breakdown: Option<Vec<Detector>>,
}

#[derive(Deserialize)]
struct Matched {
    start: u64,
    end: u64,
    text: Option<String>,
    detector_type: String,
    message_id: Option<usize>,
}

#[derive(Deserialize)]
struct Detector {
    detector_type: String,
    detected: bool,
}

pub(in crate::remote) fn read(
    _settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let value: Value = answer.json()?;
    let reply: Reply = serde_json::from_value(value)
        .map_err(|_quotes| RemoteError::Malformed("not the JSON of a verdict"))?;
    let matches = reply.payload.unwrap_or_default();
    if matches.len() > MAX_FINDINGS {
        return Err(RemoteError::TooManyFindings(MAX_FINDINGS));
    }
    let mut findings = Vec::with_capacity(matches.len());
    for one in &matches {
        findings.push(finding(input, &call.asked.pieces, one)?);
    }
    for one in reply.breakdown.iter().flatten().filter(|one| one.detected) {
        if !matches.iter().any(|matched| matched.detector_type == one.detector_type) {
            findings.push(named(&one.detector_type));
        }
    }
    if reply.flagged && findings.is_empty() {
        findings.push(Finding::new("lakera", None));
    }
    Ok(Step::Done(Verdict::flag(findings)))
}

fn finding(input: &Input<'_>, pieces: &[Piece], one: &Matched) -> Given<Finding> {
    let piece = match one.message_id {
        Some(id) => Some(pieces.get(id).ok_or(RemoteError::Malformed("a message that was not sent"))?),
        None => piece::only(pieces),
    };
    let finding = named(&one.detector_type);
    let Some(piece) = piece else { return Ok(finding) };
    let text = piece.text(input);
    Ok(match range(text, one) {
        Some(range) => {
            finding.at(input, piece.segment, range.start + piece.range.start..range.end + piece.range.start)
        }
        None => finding.in_segment(piece.segment),
    })
}

/// The place in bytes: with the end exclusive or inclusive, whichever has the text that was sent along.
fn range(text: &str, one: &Matched) -> Option<Range<usize>> {
    let place = |end: u64| piece::to_bytes(text, Unit::CodePoint, &[(one.start, end)])?.pop();
    let (exclusive, inclusive) = (place(one.end), place(one.end.saturating_add(1)));
    let Some(matched) = &one.text else { return exclusive };
    let fits = |range: &Range<usize>| text.get(range.clone()) == Some(matched);
    exclusive.filter(fits).or(inclusive.filter(fits))
}

fn named(detector: &str) -> Finding {
    let class = match detector.split('/').next() {
        Some("prompt_attack") => Some(Class::Injection),
        Some("pii") => Some(Class::Pii),
        Some("custom") => Some(Class::Custom),
        _ => None,
    };
    Finding::new(detector, class)
}

#[cfg(test)]
mod tests;
