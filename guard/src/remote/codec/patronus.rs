//! Patronus AI: `POST /v1/evaluate`.
//!
//! Evaluators judge a model's output; what goes to a model is given to them in the same place, and as the input besides.
//! Source: the vendor's API reference (read 2026-11); how results are nested was seen in public clients only.

use crate::remote::call::{Answer, Asked, Auth, Call, Step};
use crate::remote::error::RemoteError;
use crate::remote::input::{Input, Stage};
use crate::remote::kind::{BOTH, Check, Given, Kind, Shape, required};
use crate::remote::piece::{self, GAP, Limits, Piece, Unit};
use crate::remote::verdict::{Finding, Verdict, percent};
use serde::Deserialize;
use serde_json::{Value, json};

/// Most text of one call, in code points. The vendor publishes no figure; this one is ours.
pub const MAX_TEXT_CODE_POINTS: usize = 50_000;
/// Code points that are looked at again where a text is cut.
pub const OVERLAP_CODE_POINTS: usize = 256;
/// Most evaluators of one guardrail.
pub const MAX_EVALUATORS: usize = 20;

/// What it is.
pub static KIND: Kind = Kind {
    name: "patronus",
    description: "Patronus AI: flags what its evaluators do not let pass",
    documentation: "https://docs.patronus.ai/docs/api_ref (2026-11)",
    credential: "the API key, in x-api-key",
    needs: &[required(
        "evaluators",
        Shape::Texts,
        "evaluators, each with a criterion after a blank if it takes one",
    )],
    stages: BOTH,
    masks: false,
};

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Evaluators, each with a criterion after a blank if it takes one: `judge patronus:prompt-injection`.
    pub evaluators: Vec<String>,
}

impl Check for Settings {
    fn check(&self) -> Result<(), String> {
        if self.evaluators.iter().any(|one| one.trim().is_empty()) {
            return Err("an evaluator is empty".to_owned());
        }
        match self.evaluators.len() {
            0 => Err("evaluators is empty".to_owned()),
            1..=MAX_EVALUATORS => Ok(()),
            _ => Err(format!("there are more than {MAX_EVALUATORS} evaluators")),
        }
    }

    fn base(&self) -> Option<String> {
        Some("https://api.patronus.ai".to_owned())
    }
}

/// An evaluator's name and criterion.
fn parts(evaluator: &str) -> (&str, Option<&str>) {
    match evaluator.trim().split_once(' ') {
        Some((name, criterion)) => (name, Some(criterion.trim())),
        None => (evaluator.trim(), None),
    }
}

pub(in crate::remote) fn calls(settings: &Settings, input: &Input<'_>) -> Given<Vec<Call>> {
    let limits = Limits {
        text: MAX_TEXT_CODE_POINTS,
        unit: Unit::CodePoint,
        overlap: OVERLAP_CODE_POINTS,
        texts: usize::MAX,
        total: MAX_TEXT_CODE_POINTS,
        gap: GAP.len(),
    };
    let evaluator = |text: &String| match parts(text) {
        (name, Some(criterion)) => {
            json!({"evaluator": name, "criteria": criterion, "explain_strategy": "never"})
        }
        (name, None) => json!({"evaluator": name, "explain_strategy": "never"}),
    };
    let evaluators: Vec<_> = settings.evaluators.iter().map(evaluator).collect();
    let call = |pieces: Vec<Piece>| {
        let text = piece::join(input, &pieces);
        // Nothing of it is kept by the vendor beyond the evaluation.
        let mut question =
            json!({"evaluators": evaluators, "evaluated_model_output": text, "capture": "none"});
        if input.stage == Stage::Input {
            question["evaluated_model_input"] = text.into();
        }
        let auth = Auth::Header("x-api-key");
        Call::post("/v1/evaluate".to_owned(), auth, &question, Asked { pieces, ..Asked::default() })
    };
    piece::deal(input, limits)?.into_iter().map(call).collect()
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Evaluated>,
}

#[derive(Deserialize)]
struct Evaluated {
    error_message: Option<Value>,
    evaluation_result: Option<Evaluation>,
}

#[derive(Deserialize)]
struct Evaluation {
    pass: Option<bool>,
    score_raw: Option<f64>,
}

pub(in crate::remote) fn read(
    settings: &Settings,
    _input: &Input<'_>,
    call: &Call,
    answer: &Answer<'_>,
) -> Given<Step> {
    let Reply { results } = answer.json()?;
    if results.len() != settings.evaluators.len() {
        return Err(RemoteError::Malformed("another number of results than of evaluators"));
    }
    let mut findings = Vec::new();
    for (evaluator, result) in settings.evaluators.iter().zip(&results) {
        if result.error_message.as_ref().is_some_and(|message| !message.is_null()) {
            return Err(RemoteError::Incomplete);
        }
        let result = result.evaluation_result.as_ref().ok_or(RemoteError::Malformed("no result"))?;
        match result.pass {
            Some(true) => {}
            None => return Err(RemoteError::Malformed("neither passed nor failed")),
            Some(false) => {
                let (name, criterion) = parts(evaluator);
                let mut finding = Finding::new(name, None).score(result.score_raw.and_then(percent));
                if let Some(criterion) = criterion {
                    finding = finding.entity(criterion);
                }
                findings.push(match piece::only(&call.asked.pieces) {
                    Some(piece) => finding.in_segment(piece.segment),
                    None => finding,
                });
            }
        }
    }
    Ok(Step::Done(Verdict::flag(findings)))
}

#[cfg(test)]
mod tests;
