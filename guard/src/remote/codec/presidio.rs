//! Presidio server: `POST /analyze` on the analyzer and, if asked for, `POST /anonymize` on the anonymizer.
//!
//! Its offsets are Python's: code points. Without the anonymizer it flags places and the house masks them; with it, the
//! anonymizer's text replaces ours. Source: the project's `api-docs.yml` and `app.py` (read 2026-11).

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Service, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::Input;
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional, share};
use crate::remote::piece::{self, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, MAX_FINDINGS, Replacement, Verdict, percent};
use serde::{Deserialize, Serialize};

/// Most code points of one text: where spaCy, which it runs on by default, stops (`nlp.max_length`).
pub const MAX_TEXT_CODE_POINTS: usize = 1_000_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;
/// Most texts of one call: its own default batch size.
pub const MAX_TEXTS: usize = 500;

/// What it is.
pub static KIND: Kind = Kind {
    name: "presidio",
    description: "Presidio server: finds personal data, with places; masks by its anonymizer if asked to",
    documentation: "https://microsoft.github.io/presidio/api-docs/api-docs.html (2026-11)",
    credential: "none of its own; a bearer token for a proxy in front of it",
    needs: &[
        optional("language", Shape::Text, "two letters (ISO 639-1); en by default"),
        optional("entities", Shape::Texts, "the entities to look for; all it knows by default"),
        optional(
            "score_threshold",
            Shape::Share,
            "findings below are dropped by the server; its own default otherwise",
        ),
        optional("context", Shape::Texts, "words that make findings near them surer; none by default"),
        optional("allow_list", Shape::Texts, "values that are never findings; none by default"),
        optional(
            "batch",
            Shape::Flag,
            "send many texts in a call; true by default, false for servers that take one",
        ),
        optional("anonymize", Shape::Flag, "let its anonymizer write the masked text; false by default"),
        optional("bearer", Shape::Flag, "sign in with a bearer token; false by default"),
    ],
    stages: BOTH,
    masks: true,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Two letters (ISO 639-1).
    pub language: String,
    /// The entities to look for; empty for all it knows.
    pub entities: Vec<String>,
    /// Findings below are dropped by the server, 0 to 1.
    pub score_threshold: Option<f64>,
    /// Words that make findings near them surer.
    pub context: Vec<String>,
    /// Values that are never findings.
    pub allow_list: Vec<String>,
    /// Whether a call carries many texts.
    pub batch: bool,
    /// Whether its anonymizer writes the masked text.
    pub anonymize: bool,
    /// Whether a bearer token is sent.
    pub bearer: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            language: "en".to_owned(),
            entities: Vec::new(),
            score_threshold: None,
            context: Vec::new(),
            allow_list: Vec::new(),
            batch: true,
            anonymize: false,
            bearer: false,
        }
    }
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("language", &self.language)?;
        self.score_threshold.map_or(Ok(()), |threshold| share("score_threshold", threshold))
    }
}

/// The operations.
const ANALYZE: u8 = 0;
const ANONYMIZE: u8 = 1;

#[derive(Serialize)]
#[serde(untagged)]
enum Texts<'a> {
    One(&'a str),
    Many(Vec<&'a str>),
}

#[derive(Serialize)]
struct Question<'a> {
    text: Texts<'a>,
    language: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_threshold: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    entities: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    context: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allow_list: &'a [String],
}

fn auth(settings: &Settings) -> Auth {
    if settings.bearer { Auth::Bearer } else { Auth::None }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_CODE_POINTS,
        unit: Unit::CodePoint,
        // The anonymizer needs a text whole.
        overlap: if settings.anonymize { 0 } else { OVERLAP_CODE_POINTS },
        texts: if settings.batch { MAX_TEXTS } else { 1 },
        total: MAX_TEXT_CODE_POINTS,
        gap: 0,
    };
    let call = |pieces: Vec<Piece>| {
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text(input)).collect();
        let question = Question {
            text: match (settings.batch, texts.as_slice()) {
                (false, [one]) => Texts::One(one),
                _ => Texts::Many(texts),
            },
            language: &settings.language,
            correlation_id: input.facts.request_id,
            score_threshold: settings.score_threshold,
            entities: &settings.entities,
            context: &settings.context,
            allow_list: &settings.allow_list,
        };
        let asked = Asked { operation: ANALYZE, pieces, findings: Vec::new() };
        Call::post("/analyze".to_owned(), auth(settings), &question, asked)
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

/// One of its findings, as it says it and as its anonymizer takes it.
#[derive(Deserialize, Serialize)]
struct Found {
    entity_type: String,
    start: u64,
    end: u64,
    score: f64,
}

#[derive(Serialize)]
struct Anonymize<'a> {
    text: &'a str,
    analyzer_results: &'a [Found],
}

#[derive(Deserialize)]
struct Anonymized {
    text: String,
    items: Vec<serde::de::IgnoredAny>,
}

pub(in crate::remote) fn read(
    settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    if call.asked.operation == ANONYMIZE {
        return anonymized(input, call, answer);
    }
    let pieces = &call.asked.pieces;
    let lists: Vec<Vec<Found>> = match settings.batch {
        true => answer.json()?,
        false => vec![answer.json()?],
    };
    if lists.len() != pieces.len() {
        return Err(RemoteError::Malformed("another number of results than of texts"));
    }
    if lists.iter().map(Vec::len).sum::<usize>() > MAX_FINDINGS {
        return Err(RemoteError::TooManyFindings(MAX_FINDINGS));
    }
    let mut findings = Vec::new();
    let mut more = Vec::new();
    for (piece, list) in pieces.iter().zip(&lists) {
        let of_text = of_text(input, piece, list)?;
        if settings.anonymize && !list.is_empty() {
            more.push(anonymize(settings, input, piece, list, of_text)?);
        } else {
            findings.extend(of_text);
        }
    }
    Ok(match more.is_empty() {
        true => Step::Done(Verdict::flag(findings)),
        false => Step::Ask(more),
    })
}

/// The findings of one text, with their places in bytes of the segment.
fn of_text(input: &Input<'_>, piece: &Piece, list: &[Found]) -> Given<Vec<Finding>> {
    let places: Vec<_> = list.iter().map(|found| (found.start, found.end)).collect();
    let ranges = piece::to_bytes(piece.text(input), Unit::CodePoint, &places);
    let ranges = ranges.ok_or(RemoteError::Malformed("a place out of the text"))?;
    let one = |(found, range): (&Found, std::ops::Range<usize>)| {
        let score = percent(found.score).ok_or(RemoteError::Malformed("a score"))?;
        let range = range.start + piece.range.start..range.end + piece.range.start;
        let finding =
            Finding::new("presidio", Some(Class::Pii)).entity(&found.entity_type).score(Some(score));
        Ok(finding.at(input, piece.segment, range))
    };
    list.iter().zip(ranges).map(one).collect()
}

fn anonymize(
    settings: &Settings,
    input: &Input<'_>,
    piece: &Piece,
    list: &[Found],
    findings: Vec<Finding>,
) -> Given<Call> {
    let question = Anonymize { text: piece.text(input), analyzer_results: list };
    let asked = Asked { operation: ANONYMIZE, pieces: vec![piece.clone()], findings };
    let mut call = Call::post("/anonymize".to_owned(), auth(settings), &question, asked)?;
    call.service = Service::Anonymizer;
    Ok(call)
}

fn anonymized(input: &Input<'_>, call: &Call, answer: &Answer<'_>) -> Given<Step> {
    let Anonymized { text, items } = answer.json()?;
    let [piece] = call.asked.pieces.as_slice() else { return Err(RemoteError::Malformed("a text too many")) };
    if items.is_empty() {
        return Err(RemoteError::BadMask("it changes nothing"));
    }
    let replacement = Replacement { segment: piece.segment, range: piece.range.clone(), text };
    Verdict::mask(input, vec![replacement], call.asked.findings.clone()).map(Step::Done)
}

#[cfg(test)]
mod tests;
