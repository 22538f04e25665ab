//! What a search of a text or a body comes to, for those who ask without sending it anywhere.

use super::remote::{About, Consulted, Said, Subject};
use super::search::{Otherwise, Reading, Sight};
use super::{Guard, Judged, Judging, Values};
use bytes::Bytes;
use narrows_guard::Provenance;
use narrows_guard::body::splice;
use narrows_ledger::Inspection;
use narrows_policy::{Decision, Gap, Scope, Stage};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// What is asked: a text, or a whole body. As JSON, `{"text": …}` or `{"body": …}`, with `stage` if it is not the
/// request's.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Question<'a> {
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    body: Option<&'a RawValue>,
    #[serde(default)]
    stage: Option<Stage>,
    /// The dialect of the body. One list of members serves all of them, so it only counts for policies.
    #[serde(default, borrow)]
    pub(crate) dialect: Option<Cow<'a, str>>,
    /// Whether `text` is a whole body.
    #[serde(skip)]
    is_body: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) findings: Vec<Finding<'a>>,
    pub(crate) decision: Verdict,
    /// How much was looked at.
    pub(crate) coverage: &'static str,
    /// What external guardrails said, where policies need them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) guardrails: Vec<Told>,
    /// The text or body as it would be sent on; only where it would be masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) masked: Option<String>,
}

/// A finding. Offsets are bytes of the text, or of the body as it was given.
#[derive(Debug, Serialize)]
pub(crate) struct Finding<'a> {
    pub(crate) rule: &'a str,
    pub(crate) entity: &'a str,
    pub(crate) class: &'static str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) score: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) path: Box<str>,
}

/// What an external guardrail said.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    pub(crate) guardrail: Arc<str>,
    /// `pass`, `flag`, `mask`, `block`; else why it gave no verdict, or `not_asked`.
    pub(crate) verdict: &'static str,
    /// What it found, in its own words.
    pub(crate) categories: Vec<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) score: Option<u8>,
}

/// What is asked, as it is read.
pub(crate) struct Content<'a> {
    text: Cow<'a, str>,
    reading: Reading,
    pub(crate) stage: Stage,
}

/// What the policies say.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// `allow`, `log`, `mask` or `block`.
    pub(crate) action: &'static str,
    /// The policies that fired, the deciding one first.
    pub(crate) policies: Vec<String>,
    pub(crate) explanation: String,
    /// The version of the policies, 16 hexadecimal digits.
    pub(crate) policy_version: String,
}

/// What came of a question, and what a record says of it.
pub(crate) struct Examined<'a> {
    pub(crate) answer: Answer<'a>,
    pub(crate) stage: Stage,
    pub(crate) inspection: Inspection,
    pub(crate) decision: Decision,
}

impl<'a> Question<'a> {
    /// A text or a body as it stands in a file: a JSON object or list is a body, everything else is a text.
    pub(crate) fn of(text: &'a str) -> Question<'a> {
        let begins = text.trim_start().starts_with(['{', '[']);
        let is_body = begins && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        // Offsets are those of the file.
        Question { is_body, ..Question::in_text(text) }
    }

    fn in_text(text: impl Into<Cow<'a, str>>) -> Question<'a> {
        Question { text: Some(text.into()), body: None, stage: None, dialect: None, is_body: false }
    }

    /// What is to be looked at. `Err` says what is wrong with the question.
    pub(crate) fn content(self) -> Result<Content<'a>, &'static str> {
        let stage = self.stage.unwrap_or(Stage::Request);
        let (text, reading) = match (self.text, self.body) {
            (Some(text), None) if !self.is_body => (text, Reading::Text(Provenance::User)),
            (Some(text), None) => (text, Reading::Body(Otherwise::Text(Provenance::User))),
            // A body may also be given as a string that holds it.
            (None, Some(body)) if body.get().starts_with('"') => {
                let text = serde_json::from_str::<Cow<'_, str>>(body.get())
                    .map_err(|_quotes| "`body` is no JSON")?;
                (Cow::Owned(text.into_owned()), Reading::Body(Otherwise::Text(Provenance::User)))
            }
            (None, Some(body)) => (Cow::Borrowed(body.get()), Reading::Body(Otherwise::Unreadable)),
            (Some(_), Some(_)) => return Err("give `text` or `body`, not both"),
            (None, None) => return Err("give `text`, or `body`"),
        };
        Ok(Content { text, reading, stage })
    }
}

/// What is said where nothing is looked for.
const NOTHING_IN_FORCE: &str = "No policy is in force, so nothing was looked for: write `policies`, or remove \
                                `default_policies: false`.";

impl Guard {
    /// Examines what is asked with our own detectors alone: what guardrails would say is left open, and said to be.
    pub(crate) fn examine(&self, scope: &Scope, organization: &str, content: &Content<'_>) -> Examined<'_> {
        let text = &*content.text;
        let sight = match content.reading {
            // Without policies there are no detectors either: nothing was looked at.
            _ if self.is_idle() => Sight::none(Gap::Off),
            Reading::Text(provenance) => self.search_text(text, provenance),
            Reading::Body(otherwise) => self.search_here(organization, text.as_bytes(), otherwise),
        };
        let needs = self.policies.needs(scope, content.stage);
        let mut examined =
            self.examined(scope, organization, (text, content.stage), &sight, &Consulted::unasked());
        let needed = needs.validators.iter().chain(needs.mutators.iter());
        examined.answer.guardrails = needed
            .map(|index| Told {
                guardrail: self.policies.guardrail_name(index).into(),
                verdict: "not_asked",
                categories: Vec::new(),
                score: None,
            })
            .collect();
        examined
    }

    /// Examines what is asked, guardrails included.
    pub(crate) async fn examine_whole(
        self: &Arc<Self>,
        about: &About<'_>,
        scope: &Scope,
        content: Content<'_>,
    ) -> Examined<'_> {
        let Content { text, reading, stage } = content;
        let bytes = Bytes::from(text.into_owned());
        let subject = Subject { scope, stage, text: &bytes, reading };
        let (sight, consulted) = match self.is_idle() {
            true => (Sight::none(Gap::Off), Consulted::nobody()),
            false => self.look(about, &subject, &mut None).await,
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let mut examined = self.examined(scope, about.organization(), (text, stage), &sight, &consulted);
        let told = |said: Said| Told {
            guardrail: said.name,
            verdict: said.verdict,
            categories: said.categories,
            score: said.score,
        };
        examined.answer.guardrails = consulted.said.into_iter().map(told).collect();
        examined
    }

    fn examined(
        &self,
        scope: &Scope,
        organization: &str,
        (text, stage): (&str, Stage),
        sight: &Sight,
        consulted: &Consulted,
    ) -> Examined<'_> {
        let values = Values::In(text);
        let judging = Judging { guard: self, scope, organization, stage, sight, values, consulted };
        let Judged { decision, inspection, splices } = judging.judge(&mut None);
        let masked = (!splices.is_empty()).then(|| splice(text.as_bytes(), splices));
        let answer = Answer {
            findings: sight.found.iter().filter_map(|found| self.finding(found)).collect(),
            decision: self.verdict(&decision, &inspection),
            coverage: sight.coverage.extent(),
            guardrails: Vec::new(),
            masked: masked.and_then(|masked| String::from_utf8(masked).ok()),
        };
        Examined { answer, stage, inspection, decision }
    }

    fn finding(&self, found: &narrows_guard::body::Found) -> Option<Finding<'_>> {
        let label = self.label(found.rule)?;
        Some(Finding {
            rule: &label.rule,
            entity: &label.entity,
            class: label.class.as_str(),
            start: found.raw.start,
            end: found.raw.end,
            score: found.score,
            path: found.path.clone(),
        })
    }

    fn verdict(&self, decision: &Decision, inspection: &Inspection) -> Verdict {
        let detail = inspection.detail.as_deref();
        let explanation = match detail {
            _ if self.is_idle() => NOTHING_IN_FORCE.to_owned(),
            Some(detail) if !detail.explanation.is_empty() => detail.explanation.to_string(),
            _ => self.policies.explain(decision, &|_| None),
        };
        Verdict {
            action: decision.action.map_or("allow", narrows_policy::Action::as_str),
            policies: detail
                .map(|detail| detail.rules.iter().map(|rule| rule.to_string()).collect())
                .unwrap_or_default(),
            explanation,
            policy_version: self.policies.version().to_string(),
        }
    }
}
