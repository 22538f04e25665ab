//! Palo Alto Networks Prisma AIRS API intercept: `POST /v1/scan/sync/request`.
//!
//! The security profile lives with the vendor. Its answer is about one text, so the texts of an input go as one, unless
//! its masked text is wanted: then each goes alone. Sources: the vendor's OpenAPI (`scan-service_latest.yaml` on pan.dev)
//! and an SDK's schema of the answer (read 2026-11).

use crate::finding::Class;
use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, Stage};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional, required};
use crate::remote::piece::{self, GAP, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Label, Replacement, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most text of a synchronous scan, in bytes; the vendor's limit is 2 MB for the whole request.
pub const MAX_TEXT_BYTES: usize = 1_900_000;

/// What it is.
pub static KIND: Kind = Kind {
    name: "prisma_airs",
    description: "Palo Alto Networks Prisma AIRS: allows, blocks or masks by the vendor's security profile",
    documentation: "https://pan.dev/prisma-airs/api/airuntimesecurity/prisma-airs-ai-runtime-api-intercept/ (2026-11)",
    credential: "the API key, in x-pan-token",
    needs: &[
        required("profile", Shape::Text, "the security profile"),
        optional("profile_by", Shape::Word(&["name", "id"]), "what the profile is given by; name by default"),
        optional("mask", Shape::Flag, "scan each text alone and use the masked text; false by default"),
    ],
    stages: BOTH,
    masks: true,
};

/// What a profile is given by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileBy {
    /// Its name.
    #[default]
    Name,
    /// Its id.
    Id,
}

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The security profile.
    pub profile: String,
    /// What it is given by.
    #[serde(default)]
    pub profile_by: ProfileBy,
    /// Whether each text is scanned alone and the masked text is used.
    #[serde(default)]
    pub mask: bool,
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("profile", &self.profile)
    }

    fn base(&self) -> Option<String> {
        Some("https://service.api.aisecurity.paloaltonetworks.com".to_owned())
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_BYTES,
        unit: Unit::Byte,
        overlap: 0,
        texts: if settings.mask { 1 } else { usize::MAX },
        total: MAX_TEXT_BYTES,
        gap: GAP.len(),
    };
    let call = |pieces: Vec<Piece>| {
        let text = piece::join(input, &pieces);
        let side = match input.stage {
            Stage::Input => "prompt",
            Stage::Output => "response",
        };
        let by = match settings.profile_by {
            ProfileBy::Name => "profile_name",
            ProfileBy::Id => "profile_id",
        };
        let mut question = json!({"ai_profile": {by: settings.profile}, "contents": [{side: text}]});
        if let Some(id) = input.facts.request_id {
            question["tr_id"] = id.into();
        }
        let facts = &input.facts;
        let known = [("app_name", facts.application), ("app_user", facts.user), ("ai_model", facts.model)];
        let metadata: Map<_, _> =
            known.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?.into()))).collect();
        if !metadata.is_empty() {
            question["metadata"] = metadata.into();
        }
        let asked = Asked { pieces, ..Asked::default() };
        Call::post("/v1/scan/sync/request".to_owned(), Auth::Header("x-pan-token"), &question, asked)
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

#[derive(Deserialize)]
struct Reply {
    action: String,
    category: String,
    timeout: Option<bool>,
    error: Option<bool>,
    errors: Option<Vec<Value>>,
    prompt_detected: Option<Value>,
    response_detected: Option<Value>,
    prompt_masked_data: Option<Masked>,
    response_masked_data: Option<Masked>,
}

#[derive(Deserialize)]
struct Masked {
    data: Option<String>,
    pattern_detections: Option<Vec<Value>>,
}

pub(in crate::remote) fn read(
    _settings: &Settings,
    input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let reply: Reply = answer.json()?;
    let (detected, masked) = match input.stage {
        Stage::Input => (&reply.prompt_detected, &reply.prompt_masked_data),
        Stage::Output => (&reply.response_detected, &reply.response_masked_data),
    };
    let mut findings = findings(detected.as_ref(), &call.asked.pieces);
    let patterns = masked.iter().flat_map(|masked| masked.pattern_detections.iter().flatten());
    for name in patterns.filter_map(|one| one.get("pattern").and_then(Value::as_str)) {
        findings.push(on(&call.asked.pieces, Finding::new("dlp", Some(Class::Pii)).entity(name)));
    }
    match reply.action.as_str() {
        "block" => Ok(Step::Done(Verdict::Block { reason: Label::new(&reply.category), findings })),
        "allow" if reply.timeout == Some(true) || reply.error == Some(true) => Err(RemoteError::Incomplete),
        "allow" if reply.errors.is_some_and(|errors| !errors.is_empty()) => Err(RemoteError::Incomplete),
        "allow" => match masked {
            Some(masked) => mask(input, &call.asked.pieces, masked, findings).map(Step::Done),
            None if !matches!(reply.category.as_str(), "benign" | "malicious" | "suspicious") => {
                Err(RemoteError::UnknownWord("category"))
            }
            // Its profile allows what it found.
            None => {
                if findings.is_empty() && reply.category != "benign" {
                    findings.push(Finding::new(&reply.category, None));
                }
                Ok(Step::Done(Verdict::flag(findings)))
            }
        },
        _ => Err(RemoteError::UnknownWord("action")),
    }
}

fn mask(input: &Input<'_>, pieces: &[Piece], masked: &Masked, findings: Vec<Finding>) -> Given<Verdict> {
    let matched = masked.pattern_detections.as_ref().is_some_and(|patterns| !patterns.is_empty());
    let Some(text) = masked.data.clone() else {
        return match matched {
            true => Err(RemoteError::BadMask("it is missing")),
            false => Ok(Verdict::flag(findings)),
        };
    };
    let Some(piece) = piece::only(pieces) else {
        return match !matched && text == piece::join(input, pieces) {
            true => Ok(Verdict::flag(findings)),
            false => Err(RemoteError::BadMask("it is for several texts; mask is off")),
        };
    };
    if !matched && text == piece.text(input) {
        return Ok(Verdict::flag(findings));
    }
    let replacement = Replacement { segment: piece.segment, range: piece.range.clone(), text };
    Verdict::mask(input, vec![replacement], findings)
}

/// The detections that are true.
fn findings(detected: Option<&Value>, pieces: &[Piece]) -> Vec<Finding> {
    let flags = detected.and_then(Value::as_object).into_iter().flatten();
    let found = flags.filter(|(_, flag)| flag.as_bool() == Some(true));
    found.map(|(name, _)| on(pieces, Finding::new(name, class(name)))).collect()
}

/// The finding in the only text it can be in.
fn on(pieces: &[Piece], finding: Finding) -> Finding {
    match piece::only(pieces) {
        Some(piece) => finding.in_segment(piece.segment),
        None => finding,
    }
}

fn class(detection: &str) -> Option<Class> {
    match detection {
        "injection" | "agent" => Some(Class::Injection),
        "dlp" => Some(Class::Pii),
        "topic_violation" => Some(Class::Custom),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
