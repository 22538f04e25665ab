//! AWS Bedrock Guardrails: `POST /guardrail/{id}/version/{version}/apply`, signed with Signature Version 4.
//!
//! The guardrail lives with the vendor: it blocks, anonymizes or only detects. Its assessments echo every match; none is
//! kept. Source: the API reference of `ApplyGuardrail` (read 2026-11). The user guide writes `output` where the reference
//! writes `outputs`; both are read.

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step, path_segment};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, Stage};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional, required};
use crate::remote::piece::{self, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Label, Replacement, Verdict, percent};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most text of a call, in code points: 25 text units of 1,000 characters, the lowest default quota.
pub const MAX_TEXT_CODE_POINTS: usize = 25_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;

/// What it is.
pub static KIND: Kind = Kind {
    name: "bedrock_guardrails",
    description: "Amazon Bedrock Guardrails: blocks, anonymizes or detects by the guardrail's policies",
    documentation: "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html (2026-11)",
    credential: "an access key of AWS; requests are signed with Signature Version 4",
    needs: &[
        required("guardrail_id", Shape::Text, "the guardrail's id or ARN"),
        optional("guardrail_version", Shape::Text, "the guardrail's version; DRAFT by default"),
        required("region", Shape::Text, "the region, such as eu-central-1"),
        optional(
            "mask",
            Shape::Flag,
            "use anonymized text, so long texts are refused and not cut; true by default",
        ),
    ],
    stages: BOTH,
    masks: true,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The guardrail's id or ARN.
    pub guardrail_id: String,
    /// The guardrail's version.
    #[serde(default = "draft")]
    pub guardrail_version: String,
    /// The region.
    pub region: String,
    /// Whether anonymized text is used.
    #[serde(default = "yes")]
    pub mask: bool,
}

fn draft() -> String {
    "DRAFT".to_owned()
}

fn yes() -> bool {
    true
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("guardrail_id", &self.guardrail_id)?;
        not_empty("guardrail_version", &self.guardrail_version)?;
        not_empty("region", &self.region)?;
        match self
            .region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        {
            true => Ok(()),
            false => Err("region has characters that no region has".to_owned()),
        }
    }

    fn base(&self) -> Option<String> {
        let china = if self.region.starts_with("cn-") { ".cn" } else { "" };
        Some(format!("https://bedrock-runtime.{}.amazonaws.com{china}", self.region))
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_CODE_POINTS,
        unit: Unit::CodePoint,
        overlap: if settings.mask { 0 } else { OVERLAP_CODE_POINTS },
        texts: usize::MAX,
        total: MAX_TEXT_CODE_POINTS,
        gap: 0,
    };
    let path = format!(
        "/guardrail/{}/version/{}/apply",
        path_segment(&settings.guardrail_id),
        path_segment(&settings.guardrail_version)
    );
    let call = |pieces: Vec<Piece>| {
        let text = |piece: &Piece| json!({"text": {"text": piece.text(input)}});
        let content: Vec<_> = pieces.iter().map(text).collect();
        let source = match input.stage {
            Stage::Input => "INPUT",
            Stage::Output => "OUTPUT",
        };
        let auth = Auth::SigV4 { service: "bedrock", region: settings.region.clone() };
        let asked = Asked { pieces, ..Asked::default() };
        Call::post(path.clone(), auth, &json!({"source": source, "content": content}), asked)
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    action: String,
    #[serde(alias = "output")]
    outputs: Option<Vec<Output>>,
    assessments: Option<Vec<Value>>,
    guardrail_coverage: Option<Coverage>,
}

#[derive(Deserialize)]
struct Output {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Coverage {
    text_characters: Option<Characters>,
}

#[derive(Deserialize)]
struct Characters {
    guarded: Option<u64>,
    total: Option<u64>,
}

pub(in crate::remote) fn read(
    settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let reply: Reply = answer.json()?;
    let mut assessed = Assessed::default();
    for assessment in reply.assessments.iter().flatten() {
        assessed.read(assessment, &call.asked.pieces);
    }
    let verdict = match reply.action.as_str() {
        "NONE" if assessed.blocks || assessed.masks => {
            return Err(RemoteError::Malformed("an action without effect"));
        }
        "NONE" => {
            let characters = reply.guardrail_coverage.and_then(|coverage| coverage.text_characters);
            if characters.is_some_and(|of| of.guarded < of.total) {
                return Err(RemoteError::Incomplete);
            }
            Verdict::flag(assessed.findings)
        }
        "GUARDRAIL_INTERVENED" if assessed.blocks || !assessed.masks => {
            Verdict::Block { reason: Label::new(&settings.guardrail_id), findings: assessed.findings }
        }
        "GUARDRAIL_INTERVENED" => mask(input, &call.asked.pieces, reply.outputs, assessed.findings)?,
        _ => return Err(RemoteError::UnknownWord("action")),
    };
    Ok(Step::Done(verdict))
}

/// The anonymized texts, one for each that was sent.
fn mask(
    input: &Input<'_>,
    pieces: &[Piece],
    outputs: Option<Vec<Output>>,
    findings: Vec<Finding>,
) -> Given<Verdict> {
    let outputs = outputs.unwrap_or_default();
    if outputs.len() != pieces.len() {
        return Err(RemoteError::BadMask("another number of texts"));
    }
    let one = |(piece, output): (&Piece, Output)| {
        let text = output.text.ok_or(RemoteError::BadMask("a text is missing"))?;
        Ok(Replacement { segment: piece.segment, range: piece.range.clone(), text })
    };
    let replacements = pieces.iter().zip(outputs).map(one).collect::<Given<Vec<_>>>()?;
    Verdict::mask(input, replacements, findings)
}

/// Where each policy's assessments stand: policy, list, what names the entry, and our family.
const POLICIES: &[(&str, &str, &str, Option<Class>)] = &[
    ("topicPolicy", "topics", "name", Some(Class::Custom)),
    ("contentPolicy", "filters", "type", None),
    ("wordPolicy", "customWords", "", Some(Class::Custom)),
    ("wordPolicy", "managedWordLists", "type", None),
    ("sensitiveInformationPolicy", "piiEntities", "type", Some(Class::Pii)),
    ("sensitiveInformationPolicy", "regexes", "name", Some(Class::Custom)),
    ("contextualGroundingPolicy", "filters", "type", None),
    ("automatedReasoningPolicy", "findings", "", None),
];

/// What the assessments say together.
#[derive(Default)]
struct Assessed {
    blocks: bool,
    masks: bool,
    findings: Vec<Finding>,
}

impl Assessed {
    fn read(&mut self, assessment: &Value, pieces: &[Piece]) {
        for (policy, list, name, class) in POLICIES {
            let entries =
                assessment.get(policy).and_then(|policy| policy.get(list)).and_then(Value::as_array);
            for entry in entries.into_iter().flatten() {
                if entry.get("detected").and_then(Value::as_bool) == Some(false) {
                    continue;
                }
                match entry.get("action").and_then(Value::as_str) {
                    Some("ANONYMIZED") => self.masks = true,
                    // Grounding lists its scores also when they are good.
                    Some("NONE") if *policy == "contextualGroundingPolicy" => continue,
                    Some("NONE") | None => {}
                    // A word that is new to us is taken for the strictest.
                    Some(_) => self.blocks = true,
                }
                let class = match entry.get("type").and_then(Value::as_str) {
                    Some("PROMPT_ATTACK") => Some(Class::Injection),
                    _ => *class,
                };
                let mut finding = Finding::new(policy, class);
                if let Some(entity) = entry.get(name).and_then(Value::as_str) {
                    finding = finding.entity(entity);
                }
                if let Some(piece) = piece::only(pieces) {
                    finding = finding.in_segment(piece.segment);
                }
                self.findings.push(finding.score(sure(entry)));
            }
        }
    }
}

/// How sure it is: a word for content, a number for grounding.
fn sure(entry: &Value) -> Option<u8> {
    match entry.get("confidence").and_then(Value::as_str) {
        Some("LOW") => Some(33),
        Some("MEDIUM") => Some(66),
        Some("HIGH") => Some(100),
        _ => entry.get("score").and_then(Value::as_f64).and_then(percent),
    }
}

#[cfg(test)]
mod tests;
