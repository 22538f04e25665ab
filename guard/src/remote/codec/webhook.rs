//! The generic webhook: our own contract, for a guardrail that an operator writes.
//!
//! The question is a `POST` of JSON to the configured address:
//!
//! ```json
//! {"version": 1, "id": "…", "stage": "input", "facts": {"user": "…", "model": "…"},
//!  "segments": [{"path": "messages[0].content", "provenance": "user", "text": "…"}]}
//! ```
//!
//! It is signed as [`signature`](crate::remote::signature) says, unless that is switched off. The answer is a 200 with
//! one of these verdicts, and nothing beside what is shown:
//!
//! ```json
//! {"version": 1, "verdict": {"kind": "pass"}}
//! {"version": 1, "verdict": {"kind": "flag", "unit": "code_point", "findings": [
//!   {"rule": "no-badges", "entity": "BADGE", "path": "messages[0].content", "start": 3, "end": 9, "score": 0.9}]}}
//! {"version": 1, "verdict": {"kind": "block", "reason": "no-badges", "unit": "byte", "findings": []}}
//! {"version": 1, "verdict": {"kind": "mask", "unit": "utf16", "findings": [], "replacements": [
//!   {"path": "messages[0].content", "text": "the whole new text"},
//!   {"path": "messages[2].content", "start": 3, "end": 9, "text": "[BADGE]"}]}}
//! ```
//!
//! - `kind` says which verdict it is, so a mask with a spelling mistake is an error and not a pass.
//! - `unit` is what every `start` and `end` counts: `byte` (of UTF-8), `code_point` (Python, Go runes) or `utf16`
//!   (JavaScript, Java, C#). Ends are exclusive.
//! - `rule` and `entity` are names: they are kept up to 64 characters of letters, digits and `_.:/-`. `entity`, `score`
//!   (0 to 1), and `path` with `start` and `end` may be left out.

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, author};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, optional};
use crate::remote::piece::{self, Unit};
use crate::remote::verdict::{Finding, Label, MAX_FINDINGS, Replacement, Verdict, percent};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The contract's version.
pub const VERSION: u32 = 1;
/// Most text of one call, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// What it is.
pub static KIND: Kind = Kind {
    name: "webhook",
    description: "A guardrail of your own: versioned JSON, signed, that passes, flags, masks or blocks",
    documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (2026-11)",
    credential: "the signing secret (whsec_ and base64, or any text)",
    needs: &[
        optional("path", Shape::Text, "appended to the address; nothing by default"),
        optional("signed", Shape::Flag, "sign what is sent; true by default"),
    ],
    stages: BOTH,
    masks: true,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Appended to the address; empty, or begins with a slash.
    pub path: String,
    /// Whether what is sent is signed.
    pub signed: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { path: String::new(), signed: true }
    }
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        let visible = self.path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match visible && (self.path.is_empty() || self.path.starts_with('/')) {
            true => Ok(()),
            false => {
                Err("path does not begin with a slash, or has characters that belong in no path".to_owned())
            }
        }
    }
}

#[derive(Serialize)]
struct Question<'a> {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    stage: &'static str,
    facts: BTreeMap<&'static str, &'a str>,
    segments: Vec<Text<'a>>,
}

#[derive(Serialize)]
struct Text<'a> {
    path: &'a str,
    provenance: &'static str,
    text: &'a str,
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let pieces = piece::whole(input, MAX_TEXT_BYTES)?;
    if pieces.is_empty() {
        return Ok(Vec::new());
    }
    let segments = pieces.iter().filter_map(|piece| input.segments.get(piece.segment));
    let segments: Vec<_> = segments
        .map(|one| Text { path: one.path, provenance: author(one.provenance), text: one.text })
        .collect();
    let paths: BTreeSet<_> = segments.iter().map(|one| one.path).collect();
    if paths.len() < segments.len() {
        return Err(RemoteError::AmbiguousPath);
    }
    let facts = &input.facts;
    let known = [
        ("organization", facts.organization),
        ("team", facts.team),
        ("user", facts.user),
        ("application", facts.application),
        ("conversation", facts.conversation),
        ("model", facts.model),
        ("provider", facts.provider),
    ];
    let question = Question {
        version: VERSION,
        id: facts.request_id,
        stage: input.stage.as_str(),
        facts: known.into_iter().filter_map(|(name, fact)| Some((name, fact?))).collect(),
        segments,
    };
    let auth = if settings.signed { Auth::Signature } else { Auth::None };
    let path = if settings.path.is_empty() { "/".to_owned() } else { settings.path.clone() };
    Ok(vec![Call::post(path, auth, &question, Asked { pieces, ..Asked::default() })?])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    version: u32,
    verdict: Said,
}

/// The verdict. Every kind has braces, because serde lets anything stand beside the tag of one that has none.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Pass {},
    Flag { unit: Counted, findings: Vec<SaidFinding> },
    Block { reason: String, unit: Counted, findings: Vec<SaidFinding> },
    Mask { unit: Counted, findings: Vec<SaidFinding>, replacements: Vec<SaidReplacement> },
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Counted {
    Byte,
    CodePoint,
    Utf16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidFinding {
    rule: String,
    entity: Option<String>,
    path: Option<String>,
    start: Option<u64>,
    end: Option<u64>,
    score: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidReplacement {
    path: String,
    start: Option<u64>,
    end: Option<u64>,
    text: String,
}

pub(in crate::remote) fn read(
    _settings: &Settings,
    input: &Input<'_>,
    _call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let reply: Reply = answer.json()?;
    if reply.version != VERSION {
        return Err(RemoteError::UnknownWord("version"));
    }
    let verdict = match reply.verdict {
        Said::Pass {} => Verdict::Pass,
        Said::Flag { findings, .. } if findings.is_empty() => {
            return Err(RemoteError::Malformed("a flag without findings"));
        }
        Said::Flag { unit, findings } => Verdict::flag(read_findings(input, unit, &findings)?),
        // Findings that cannot be understood do not lift a block.
        Said::Block { reason, unit, findings } => {
            let findings = read_findings(input, unit, &findings).unwrap_or_default();
            Verdict::Block { reason: Label::new(&reason), findings }
        }
        Said::Mask { unit, findings, replacements } => {
            let findings = read_findings(input, unit, &findings)?;
            let places = replacements.iter().map(|one| (one.path.as_str(), one.start, one.end));
            let places = Places::read(input, unit, places.collect())?;
            let replacement = |(one, place): (SaidReplacement, (usize, Option<Range<usize>>))| {
                let (segment, range) = place;
                let all = 0..input.text(segment).unwrap_or_default().len();
                Replacement { segment, range: range.unwrap_or(all), text: one.text }
            };
            let replacements = replacements.into_iter().zip(places.found).map(replacement).collect();
            Verdict::mask(input, replacements, findings)?
        }
    };
    Ok(Step::Done(verdict))
}

fn read_findings(input: &Input<'_>, unit: Counted, said: &[SaidFinding]) -> Given<Vec<Finding>> {
    if said.len() > MAX_FINDINGS {
        return Err(RemoteError::TooManyFindings(MAX_FINDINGS));
    }
    let placed: Vec<_> =
        said.iter().filter_map(|one| Some((one.path.as_deref()?, one.start, one.end))).collect();
    if said.iter().any(|one| one.path.is_none() && (one.start.is_some() || one.end.is_some())) {
        return Err(RemoteError::Malformed("a place without a path"));
    }
    let mut places = Places::read(input, unit, placed)?.found.into_iter();
    let mut findings = Vec::with_capacity(said.len());
    for one in said {
        let score =
            one.score.map(|score| percent(score).ok_or(RemoteError::Malformed("a score"))).transpose()?;
        let mut finding = Finding::new(&one.rule, Some(Class::Custom)).score(score);
        if let Some(entity) = &one.entity {
            finding = finding.entity(entity);
        }
        findings.push(match one.path.as_ref().and_then(|_path| places.next()) {
            Some((segment, Some(range))) => finding.at(input, segment, range),
            Some((segment, None)) => finding.in_segment(segment),
            None => finding,
        });
    }
    Ok(findings)
}

/// Which of the places it is, and its range in their unit.
type Wanted = (usize, (u64, u64));

/// Places in an input, in the order they were said.
struct Places {
    found: Vec<(usize, Option<Range<usize>>)>,
}

impl Places {
    /// Looks places up; each text is walked once, however many places it has.
    fn read(input: &Input<'_>, unit: Counted, said: Vec<(&str, Option<u64>, Option<u64>)>) -> Given<Places> {
        let unit = match unit {
            Counted::Byte => Unit::Byte,
            Counted::CodePoint => Unit::CodePoint,
            Counted::Utf16 => Unit::Utf16,
        };
        let paths: BTreeMap<_, _> =
            input.segments.iter().enumerate().map(|(index, one)| (one.path, index)).collect();
        let mut found = Vec::with_capacity(said.len());
        let mut wanted: BTreeMap<usize, Vec<Wanted>> = BTreeMap::new();
        for (index, (path, start, end)) in said.into_iter().enumerate() {
            let segment = *paths.get(path).ok_or(RemoteError::Malformed("a path that was not sent"))?;
            match (start, end) {
                (Some(start), Some(end)) => wanted.entry(segment).or_default().push((index, (start, end))),
                (None, None) => {}
                _ => return Err(RemoteError::Malformed("a start or an end alone")),
            }
            found.push((segment, None));
        }
        for (segment, places) in wanted {
            let text = input.text(segment).unwrap_or_default();
            let ranges: Vec<_> = places.iter().map(|(_, range)| *range).collect();
            let ranges = piece::to_bytes(text, unit, &ranges)
                .ok_or(RemoteError::Malformed("a place out of the text"))?;
            for ((index, _), range) in places.iter().zip(ranges) {
                if let Some(slot) = found.get_mut(*index) {
                    slot.1 = Some(range);
                }
            }
        }
        Ok(Places { found })
    }
}

#[cfg(test)]
mod tests;
