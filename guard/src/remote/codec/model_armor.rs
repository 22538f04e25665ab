//! Google Cloud Model Armor: `templates/{template}:sanitizeUserPrompt` and `:sanitizeModelResponse`.
//!
//! The template lives with the vendor and says what matches, not what follows from it, so it flags; with Sensitive Data
//! Protection's de-identification in the template and `mask` on, it masks. An invocation that was partial is an error.
//! Source: the REST reference, v1 (read 2026-11).

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step, path_segment};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, Stage};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional, required};
use crate::remote::piece::{self, GAP, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Replacement, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most text of a call, in code points: its filters for attacks take 10,000 tokens, and a token is a code point or more
/// in nearly all text.
pub const MAX_TEXT_CODE_POINTS: usize = 10_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;

/// What it is.
pub static KIND: Kind = Kind {
    name: "model_armor",
    description: "Google Cloud Model Armor: flags what the template's filters match, masks by de-identification",
    documentation: "https://cloud.google.com/security-command-center/docs/reference/model-armor/rest (2026-11)",
    credential: "an OAuth access token with the cloud-platform scope, as a bearer token",
    needs: &[
        required("project", Shape::Text, "the project's id"),
        required("location", Shape::Text, "the location, such as europe-west4"),
        required("template", Shape::Text, "the template's id"),
        optional("mask", Shape::Flag, "send each text alone and use de-identified text; false by default"),
    ],
    stages: BOTH,
    masks: true,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The project's id.
    pub project: String,
    /// The location.
    pub location: String,
    /// The template's id.
    pub template: String,
    /// Whether each text goes alone and de-identified text is used.
    #[serde(default)]
    pub mask: bool,
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("project", &self.project)?;
        not_empty("template", &self.template)?;
        not_empty("location", &self.location)?;
        match self
            .location
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            true => Ok(()),
            false => Err("location has characters that no location has".to_owned()),
        }
    }

    fn base(&self) -> Option<String> {
        Some(format!("https://modelarmor.{}.rep.googleapis.com", self.location))
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_CODE_POINTS,
        unit: Unit::CodePoint,
        overlap: if settings.mask { 0 } else { OVERLAP_CODE_POINTS },
        texts: if settings.mask { 1 } else { usize::MAX },
        total: MAX_TEXT_CODE_POINTS,
        gap: GAP.len(),
    };
    let (method, field) = match input.stage {
        Stage::Input => ("sanitizeUserPrompt", "userPromptData"),
        Stage::Output => ("sanitizeModelResponse", "modelResponseData"),
    };
    let path = format!(
        "/v1/projects/{}/locations/{}/templates/{}:{method}",
        path_segment(&settings.project),
        path_segment(&settings.location),
        path_segment(&settings.template)
    );
    let call = |pieces: Vec<Piece>| {
        let question = json!({field: {"text": piece::join(input, &pieces)}});
        Call::post(path.clone(), Auth::Bearer, &question, Asked { pieces, ..Asked::default() })
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    sanitization_result: Sanitization,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sanitization {
    filter_match_state: String,
    invocation_result: String,
    filter_results: Value,
}

pub(in crate::remote) fn read(
    _settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let Reply { sanitization_result: result } = answer.json()?;
    match result.invocation_result.as_str() {
        "SUCCESS" => {}
        "PARTIAL" | "FAILURE" => return Err(RemoteError::Incomplete),
        _ => return Err(RemoteError::UnknownWord("invocation result")),
    }
    let mut seen = Seen { pieces: &call.asked.pieces, findings: Vec::new(), masked: None };
    match &result.filter_results {
        Value::Object(map) => map.iter().try_for_each(|(name, filter)| seen.filter(name, filter))?,
        // Some answers have a list of results without their filters' names.
        Value::Array(list) => list.iter().try_for_each(|filter| seen.filter("filter", filter))?,
        _ => return Err(RemoteError::Malformed("filter results")),
    }
    let Seen { mut findings, masked, .. } = seen;
    match (result.filter_match_state.as_str(), findings.is_empty()) {
        ("NO_MATCH_FOUND", true) => return Ok(Step::Done(Verdict::Pass)),
        ("NO_MATCH_FOUND", false) => return Err(RemoteError::Malformed("a match that is none")),
        ("MATCH_FOUND", true) => findings.push(Finding::new("model_armor", None)),
        ("MATCH_FOUND", false) => {}
        _ => return Err(RemoteError::UnknownWord("match state")),
    }
    let Some(text) = masked else { return Ok(Step::Done(Verdict::flag(findings))) };
    let piece = piece::only(&call.asked.pieces);
    let piece = piece.ok_or(RemoteError::BadMask("it is for several texts; mask is off"))?;
    let replacement = Replacement { segment: piece.segment, range: piece.range.clone(), text };
    Verdict::mask(input, vec![replacement], findings).map(Step::Done)
}

/// What the filters say together.
struct Seen<'a> {
    pieces: &'a [Piece],
    findings: Vec<Finding>,
    masked: Option<String>,
}

impl Seen<'_> {
    /// One filter's result, which stands in an object named after its type.
    fn filter(&mut self, name: &str, filter: &Value) -> Given<()> {
        let wrapped = filter.as_object().ok_or(RemoteError::Malformed("a filter's result"))?;
        for (kind, result) in wrapped {
            let result = result.as_object().ok_or(RemoteError::Malformed("a filter's result"))?;
            let name = if name == "filter" { kind.trim_end_matches("FilterResult") } else { name };
            // Sensitive Data Protection says in a further object whether it inspected or changed.
            match (result.get("inspectResult"), result.get("deidentifyResult")) {
                (None, None) => self.result(name, result)?,
                (inspect, change) => {
                    for one in inspect.into_iter().chain(change) {
                        let one = one.as_object().ok_or(RemoteError::Malformed("a filter's result"))?;
                        self.result(name, one)?;
                    }
                    self.masked = change.and_then(matched_text).or(self.masked.take());
                    if self.masked.is_none() && change.is_some_and(matched) {
                        return Err(RemoteError::BadMask("it is missing"));
                    }
                }
            }
        }
        Ok(())
    }

    fn result(&mut self, name: &str, result: &Map<String, Value>) -> Given<()> {
        match result.get("executionState").and_then(Value::as_str) {
            Some("EXECUTION_SUCCESS") | None => {}
            Some("EXECUTION_SKIPPED") => return Err(RemoteError::Incomplete),
            Some(_) => return Err(RemoteError::UnknownWord("execution state")),
        }
        match result.get("matchState").and_then(Value::as_str) {
            Some("NO_MATCH_FOUND") => return Ok(()),
            Some("MATCH_FOUND") => {}
            Some(_) => return Err(RemoteError::UnknownWord("match state")),
            None => return Err(RemoteError::Malformed("a filter without a match state")),
        }
        let class = class(name);
        let score = result.get("confidenceLevel").and_then(Value::as_str).and_then(sure);
        let before = self.findings.len();
        for entity in entities(result) {
            self.push(Finding::new(name, class).entity(entity).score(score));
        }
        if self.findings.len() == before {
            self.push(Finding::new(name, class).score(score));
        }
        Ok(())
    }

    fn push(&mut self, finding: Finding) {
        self.findings.push(match piece::only(self.pieces) {
            Some(piece) => finding.in_segment(piece.segment),
            None => finding,
        });
    }
}

fn matched(result: &Value) -> bool {
    result.get("matchState").and_then(Value::as_str) == Some("MATCH_FOUND")
}

fn matched_text(result: &Value) -> Option<String> {
    let text = result.get("data").and_then(|data| data.get("text")).and_then(Value::as_str);
    text.filter(|_| matched(result)).map(str::to_owned)
}

/// What a filter names more closely: types of responsible AI, kinds of data. Never what it matched.
fn entities(result: &Map<String, Value>) -> Vec<&str> {
    let list = |key: &str| result.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut found: Vec<&str> = list("findings").filter_map(|one| one.get("infoType")?.as_str()).collect();
    found.extend(list("infoTypes").filter_map(Value::as_str));
    let types = result.get("raiFilterTypeResults").and_then(Value::as_object).into_iter().flatten();
    found.extend(types.filter(|(_, one)| matched(one)).map(|(name, _)| name.as_str()));
    found.dedup();
    found
}

fn sure(level: &str) -> Option<u8> {
    match level {
        "LOW_AND_ABOVE" => Some(33),
        "MEDIUM_AND_ABOVE" => Some(66),
        "HIGH" => Some(100),
        _ => None,
    }
}

fn class(filter: &str) -> Option<Class> {
    match filter {
        "pi_and_jailbreak" | "piAndJailbreak" => Some(Class::Injection),
        "sdp" => Some(Class::Pii),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
