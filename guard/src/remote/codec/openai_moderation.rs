//! OpenAI moderation: `POST /v1/moderations`.
//!
//! It scores categories of harm and says which it would flag; thresholds of ours may replace its own. Source: the API
//! reference (read 2026-11).

use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::Input;
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, not_empty, optional, share};
use crate::remote::piece::{self, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Verdict, percent};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Most code points of one text. The vendor publishes none; long texts are scored less exactly, so this one is ours.
pub const MAX_TEXT_CODE_POINTS: usize = 20_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;
/// Most texts of one call; ours.
pub const MAX_TEXTS: usize = 32;

/// What it is.
pub static KIND: Kind = Kind {
    name: "openai_moderation",
    description: "OpenAI moderation: flags categories of harm, by its own thresholds or yours",
    documentation: "https://platform.openai.com/docs/api-reference/moderations (2026-11)",
    credential: "an API key of OpenAI, as a bearer token",
    needs: &[
        optional("model", Shape::Text, "the moderation model; omni-moderation-latest by default"),
        optional(
            "thresholds",
            Shape::Numbers,
            "category to the lowest score (0 to 1) that is flagged; its own otherwise",
        ),
    ],
    stages: BOTH,
    masks: false,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The moderation model.
    pub model: String,
    /// The lowest score that is flagged, by category, 0 to 1; the vendor's own where there is none.
    pub thresholds: BTreeMap<String, f64>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { model: "omni-moderation-latest".to_owned(), thresholds: BTreeMap::new() }
    }
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        not_empty("model", &self.model)?;
        self.thresholds
            .iter()
            .try_for_each(|(name, threshold)| share(&format!("thresholds.{name}"), *threshold))
    }

    fn base(&self) -> Option<String> {
        Some("https://api.openai.com".to_owned())
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_CODE_POINTS,
        unit: Unit::CodePoint,
        overlap: OVERLAP_CODE_POINTS,
        texts: MAX_TEXTS,
        total: MAX_TEXT_CODE_POINTS * MAX_TEXTS,
        gap: 0,
    };
    let call = |pieces: Vec<Piece>| {
        let texts: Vec<_> = pieces.iter().map(|piece| piece.text(input)).collect();
        let question = json!({"model": settings.model, "input": texts});
        Call::post(
            "/v1/moderations".to_owned(),
            Auth::Bearer,
            &question,
            Asked { pieces, ..Asked::default() },
        )
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Moderated>,
}

#[derive(Deserialize)]
struct Moderated {
    flagged: bool,
    categories: BTreeMap<String, Option<bool>>,
    category_scores: BTreeMap<String, Option<f64>>,
}

pub(in crate::remote) fn read(
    settings: &Settings,
    _input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let Reply { results } = answer.json()?;
    if results.len() != call.asked.pieces.len() {
        return Err(RemoteError::Malformed("another number of results than of texts"));
    }
    let mut findings = Vec::new();
    for (piece, result) in call.asked.pieces.iter().zip(&results) {
        findings.extend(moderated(settings, piece, result)?);
    }
    Ok(Step::Done(Verdict::flag(findings)))
}

fn moderated(settings: &Settings, piece: &Piece, result: &Moderated) -> Given<Vec<Finding>> {
    let scored = |name: &str| result.category_scores.get(name).copied().flatten();
    // A category that we have a threshold for and that it does not know would never be flagged.
    if settings.thresholds.keys().any(|name| scored(name).is_none()) {
        return Err(RemoteError::Malformed("a category without a score"));
    }
    let mut findings = Vec::new();
    for (name, flagged) in &result.categories {
        let score = scored(name);
        let reached = match (settings.thresholds.get(name), score) {
            (Some(threshold), Some(score)) => score >= *threshold,
            _ => *flagged == Some(true),
        };
        let percent =
            score.map(|score| percent(score).ok_or(RemoteError::Malformed("a score"))).transpose()?;
        if reached {
            findings.push(Finding::new(name, None).score(percent).in_segment(piece.segment));
        }
    }
    let explained = result.categories.iter().any(|(_, flagged)| *flagged == Some(true));
    if result.flagged && !explained {
        findings.push(Finding::new("flagged", None).in_segment(piece.segment));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
