//! Azure AI Content Safety: `text:analyze` for harm categories and blocklists, `text:shieldPrompt` for attacks.
//!
//! The service says how severe and leaves the rest to us, so it flags at thresholds. Texts are put together up to its
//! limit; longer ones are cut. What users and operators wrote is shielded as prompts, what tools, documents and models
//! wrote as documents. Source: the REST reference, api-version 2024-09-01 (read 2026-11).

use crate::finding::{Class, Provenance};
use crate::remote::call::{Answer, Asked, Auth, Call, Step, path_segment};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, Stage};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional};
use crate::remote::piece::{self, GAP, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most text of a call, in code points.
pub const MAX_TEXT_CODE_POINTS: usize = 10_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;
/// Most documents of a call.
pub const MAX_DOCUMENTS: usize = 5;
/// The highest severity.
pub const MAX_SEVERITY: u64 = 7;

/// The categories it knows.
const CATEGORIES: &[&str] = &["Hate", "SelfHarm", "Sexual", "Violence"];

/// What it is.
pub static KIND: Kind = Kind {
    name: "azure_content_safety",
    description: "Azure AI Content Safety: flags harm by severity, blocklist hits and, with Prompt Shields, attacks",
    documentation: "https://learn.microsoft.com/azure/ai-services/content-safety/ (2026-11)",
    credential: "the resource's key, in Ocp-Apim-Subscription-Key, or a token of Microsoft Entra ID",
    needs: &[
        optional(
            "categories",
            Shape::Texts,
            "Hate, SelfHarm, Sexual, Violence; all by default, none switches them off",
        ),
        optional(
            "severity",
            Shape::Count(0, MAX_SEVERITY),
            "the lowest severity that is flagged; 2 by default",
        ),
        optional(
            "eight_levels",
            Shape::Flag,
            "ask for severities 0 to 7 instead of 0, 2, 4, 6; false by default",
        ),
        optional("blocklists", Shape::Texts, "names of blocklists; none by default"),
        optional(
            "prompt_shields",
            Shape::Flag,
            "look for attacks in what goes to the model; true by default",
        ),
        optional("api_version", Shape::Text, "2024-09-01 by default"),
        optional("sign_in", Shape::Word(&["key", "bearer"]), "what the credential is; key by default"),
    ],
    stages: BOTH,
    masks: false,
};

/// What the credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// The resource's key.
    #[default]
    Key,
    /// A token of Microsoft Entra ID.
    Bearer,
}

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The categories that are looked for.
    pub categories: Vec<String>,
    /// The lowest severity that is flagged, 0 to 7.
    pub severity: u64,
    /// Whether severities are 0 to 7 instead of 0, 2, 4, 6.
    pub eight_levels: bool,
    /// Names of blocklists.
    pub blocklists: Vec<String>,
    /// Whether attacks are looked for in what goes to the model.
    pub prompt_shields: bool,
    /// The version of the API.
    pub api_version: String,
    /// What the credential is.
    pub sign_in: SignIn,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            categories: CATEGORIES.iter().map(|name| (*name).to_owned()).collect(),
            severity: 2,
            eight_levels: false,
            blocklists: Vec::new(),
            prompt_shields: true,
            api_version: "2024-09-01".to_owned(),
            sign_in: SignIn::Key,
        }
    }
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("api_version", &self.api_version)?;
        if self.severity > MAX_SEVERITY {
            return Err(format!("severity is at most {MAX_SEVERITY}"));
        }
        match self.categories.is_empty() && self.blocklists.is_empty() && !self.prompt_shields {
            true => Err("nothing is looked for".to_owned()),
            false => Ok(()),
        }
    }
}

/// The operations.
const ANALYZE: u8 = 0;
const SHIELD_PROMPT: u8 = 1;
const SHIELD_DOCUMENTS: u8 = 2;

const LIMITS: Limits = Limits {
    text: MAX_TEXT_CODE_POINTS,
    unit: Unit::CodePoint,
    overlap: OVERLAP_CODE_POINTS,
    texts: usize::MAX,
    total: MAX_TEXT_CODE_POINTS,
    gap: GAP.len(),
};

/// Whether a text is shielded as a prompt.
fn prompts(author: Provenance) -> bool {
    matches!(author, Provenance::User | Provenance::System)
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let mut calls = Vec::new();
    let mut call = |operation: u8, name: &str, question: &Value, pieces: Vec<Piece>| {
        let version = path_segment(&settings.api_version);
        let auth = match settings.sign_in {
            SignIn::Key => Auth::Header("ocp-apim-subscription-key"),
            SignIn::Bearer => Auth::Bearer,
        };
        let asked = Asked { operation, pieces, findings: Vec::new() };
        calls.push(Call::post(
            format!("/contentsafety/text:{name}?api-version={version}"),
            auth,
            question,
            asked,
        )?);
        Ok(())
    };
    if !settings.categories.is_empty() || !settings.blocklists.is_empty() {
        for pieces in piece::deal(input, LIMITS)? {
            let levels = if settings.eight_levels { "EightSeverityLevels" } else { "FourSeverityLevels" };
            let mut question = json!({"text": piece::join(input, &pieces), "categories": settings.categories,
                "outputType": levels});
            if !settings.blocklists.is_empty() {
                question["blocklistNames"] = json!(settings.blocklists);
                question["haltOnBlocklistHit"] = false.into();
            }
            call(ANALYZE, "analyze", &question, pieces)?;
        }
    }
    if settings.prompt_shields && input.stage == Stage::Input {
        for pieces in piece::deal_some(input, LIMITS, prompts)? {
            let question = json!({"userPrompt": piece::join(input, &pieces)});
            call(SHIELD_PROMPT, "shieldPrompt", &question, pieces)?;
        }
        let limits = Limits { texts: MAX_DOCUMENTS, gap: 0, ..LIMITS };
        for pieces in piece::deal_some(input, limits, |author| !prompts(author))? {
            let documents: Vec<_> = pieces.iter().map(|piece| piece.text(input)).collect();
            call(SHIELD_DOCUMENTS, "shieldPrompt", &json!({"documents": documents}), pieces)?;
        }
    }
    Ok(calls)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Analysis {
    categories_analysis: Vec<Category>,
    blocklists_match: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Category {
    category: String,
    severity: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    blocklist_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shield {
    user_prompt_analysis: Option<Attack>,
    documents_analysis: Option<Vec<Attack>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attack {
    attack_detected: bool,
}

pub(in crate::remote) fn read(
    settings: &Settings,
    _input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let pieces = &call.asked.pieces;
    let findings = match call.asked.operation {
        ANALYZE => analyzed(settings, pieces, &answer.json()?)?,
        SHIELD_PROMPT => {
            let shield: Shield = answer.json()?;
            let prompt =
                shield.user_prompt_analysis.ok_or(RemoteError::Malformed("no analysis of the prompt"))?;
            let found = || on(pieces, Finding::new("prompt_attack", Some(Class::Injection)));
            prompt.attack_detected.then(found).into_iter().collect()
        }
        _ => {
            let shield: Shield = answer.json()?;
            let documents =
                shield.documents_analysis.ok_or(RemoteError::Malformed("no analysis of the documents"))?;
            if documents.len() != pieces.len() {
                return Err(RemoteError::Malformed("another number of documents"));
            }
            let attacked = pieces.iter().zip(&documents).filter(|(_, one)| one.attack_detected);
            let found = |piece: &Piece| {
                Finding::new("document_attack", Some(Class::Injection)).in_segment(piece.segment)
            };
            attacked.map(|(piece, _)| found(piece)).collect()
        }
    };
    Ok(Step::Done(Verdict::flag(findings)))
}

fn analyzed(settings: &Settings, pieces: &[Piece], analysis: &Analysis) -> Given<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in &settings.categories {
        let said = analysis.categories_analysis.iter().find(|one| one.category == *name);
        let severity = said.ok_or(RemoteError::Malformed("a category is missing"))?.severity;
        if severity > MAX_SEVERITY {
            return Err(RemoteError::Malformed("a severity"));
        }
        if severity >= settings.severity {
            let score = u8::try_from(severity * 100 / MAX_SEVERITY).ok();
            findings.push(on(pieces, Finding::new(name, None).score(score)));
        }
    }
    let listed = analysis.blocklists_match.iter().flatten();
    findings.extend(
        listed.map(|one| {
            on(pieces, Finding::new("blocklist", Some(Class::Custom)).entity(&one.blocklist_name))
        }),
    );
    Ok(findings)
}

/// The finding in the only text it can be in.
fn on(pieces: &[Piece], finding: Finding) -> Finding {
    match piece::only(pieces) {
        Some(piece) => finding.in_segment(piece.segment),
        None => finding,
    }
}

#[cfg(test)]
mod tests;
