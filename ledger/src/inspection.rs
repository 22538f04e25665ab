//! What a record says about inspection: per stage how much was looked at, what was decided, and what was found.
//!
//! Never holds a value that was found. An exchange that was inspected and clean costs no allocation and some ten bytes
//! of its segment; one that was not inspected costs one byte.

use narrows_policy::{Action, Coverage, Mode, Stage};
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Most ids of policy rules kept per stage.
pub const RULES_MAX: usize = 16;
/// Most findings kept per stage; the number of those beyond is.
pub const FINDINGS_MAX: usize = 64;

/// What was inspected of one exchange. The default is nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inspections {
    /// The version of the policies that decided, a hash of them; 0 when no stage was inspected.
    pub policy_version: u64,
    request: Option<Inspection>,
    response: Option<Inspection>,
    stream: Option<Inspection>,
}

impl Inspections {
    /// Nothing yet, under policies of this version.
    pub fn new(policy_version: u64) -> Inspections {
        Inspections { policy_version, ..Inspections::default() }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// What is known of a stage.
    pub fn get(&self, stage: Stage) -> Option<&Inspection> {
        match stage {
            Stage::Request => self.request.as_ref(),
            Stage::Response => self.response.as_ref(),
            Stage::Stream => self.stream.as_ref(),
        }
    }

    /// Takes out what is known of a stage.
    pub fn take(&mut self, stage: Stage) -> Option<Inspection> {
        match stage {
            Stage::Request => self.request.take(),
            Stage::Response => self.response.take(),
            Stage::Stream => self.stream.take(),
        }
    }

    /// Writes down a stage, in the place of what was there.
    pub fn set(&mut self, stage: Stage, inspection: Inspection) {
        let place = match stage {
            Stage::Request => &mut self.request,
            Stage::Response => &mut self.response,
            Stage::Stream => &mut self.stream,
        };
        *place = Some(inspection);
    }

    /// The stages that something is known of, in the order of [`Stage::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Stage, &Inspection)> {
        Stage::ALL.into_iter().filter_map(|stage| Some((stage, self.get(stage)?)))
    }
}

/// How one stage was inspected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Bytes that detectors looked at.
    pub bytes_scanned: u64,
    /// How much of the content that was, and why not all.
    pub coverage: Coverage,
    /// How the policies were applied.
    pub mode: Mode,
    /// The strictest action that was decided; `None` when everything was allowed.
    pub action: Option<Action>,
    /// Whether the action could be carried out here: a stream that is passed on as it comes cannot be masked.
    pub enforceable: bool,
    /// Whether it was carried out.
    pub enforced: bool,
    /// What led to it; `None` for a stage without findings and without deciding rules.
    pub detail: Option<Box<Detail>>,
}

impl Inspection {
    /// A stage that was not inspected, or in which nothing was decided.
    pub fn clean(bytes_scanned: u64, coverage: Coverage, mode: Mode) -> Inspection {
        Inspection {
            bytes_scanned,
            coverage,
            mode,
            action: None,
            enforceable: true,
            enforced: false,
            detail: None,
        }
    }

    /// This one, with what was decided about the same stage before. The strictest action stands; what was seen of the
    /// content is as this one says.
    #[must_use]
    pub fn after(mut self, before: &Inspection) -> Inspection {
        if before.action > self.action {
            (self.action, self.mode) = (before.action, before.mode);
            (self.enforceable, self.enforced) = (before.enforceable, before.enforced);
        }
        let Some(earlier) = &before.detail else { return self };
        let detail = self.detail.get_or_insert_default();
        for rule in
            earlier.rules.iter().filter(|rule| !detail.rules.contains(rule)).cloned().collect::<Vec<_>>()
        {
            detail.rules.push(rule);
        }
        detail.rules.truncate(RULES_MAX);
        detail.explanation = match (&*earlier.explanation, &*detail.explanation) {
            (one, "") => one.into(),
            ("", other) => other.into(),
            (one, other) => format!("{other} {one}").into(),
        };
        self
    }
}

impl Inspection {
    /// This one of a part of a stage's content, and `later` of the part behind it, as one. The strictest action stands.
    #[must_use]
    pub fn and(mut self, later: Inspection) -> Inspection {
        self.bytes_scanned = self.bytes_scanned.saturating_add(later.bytes_scanned);
        self.coverage = self.coverage.and(later.coverage);
        let is_stricter = later.action > self.action;
        if is_stricter {
            (self.action, self.mode) = (later.action, later.mode);
            (self.enforceable, self.enforced) = (later.enforceable, later.enforced);
        } else if later.action == self.action {
            self.enforceable &= later.enforceable;
            self.enforced &= later.enforced;
        }
        self.detail = match (self.detail, later.detail) {
            (Some(one), Some(other)) => Some(Box::new(one.and(*other, is_stricter))),
            (one, other) => one.or(other),
        };
        self
    }
}

impl Detail {
    fn and(self, later: Detail, is_stricter: bool) -> Detail {
        let (mut all, other) = if is_stricter { (later, self) } else { (self, later) };
        for rule in other.rules {
            if all.rules.len() < RULES_MAX && !all.rules.contains(&rule) {
                all.rules.push(rule);
            }
        }
        if all.explanation.is_empty() {
            all.explanation = other.explanation;
        }
        all.findings_dropped = all.findings_dropped.saturating_add(other.findings_dropped);
        for finding in other.findings {
            let same =
                |known: &&mut Finding| known.rule == finding.rule && known.fingerprint == finding.fingerprint;
            if let Some(known) = all.findings.iter_mut().find(same) {
                known.count = known.count.saturating_add(finding.count);
                known.score = known.score.max(finding.score);
            } else if all.findings.len() < FINDINGS_MAX {
                all.findings.push(finding);
            } else {
                all.findings_dropped = all.findings_dropped.saturating_add(1);
            }
        }
        all
    }
}

/// What led to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detail {
    /// Ids of the policy rules that decided, the strictest first; at most [`RULES_MAX`] are kept.
    pub rules: Vec<Arc<str>>,
    /// The decision in one sentence; at most 512 bytes are kept. Holds no value that was found.
    pub explanation: Box<str>,
    /// What was found; at most [`FINDINGS_MAX`] are kept.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub findings_dropped: u32,
}

/// What a detector found, all places of one value taken together. The value itself is never here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Id of the detector's rule (`github-pat`).
    pub rule: Arc<str>,
    /// What the value is (`GITHUB_TOKEN`).
    pub entity: Arc<str>,
    /// The family of the rule, a word of a closed list (`secret`, `pii`, `injection`, `custom`, …).
    pub class: &'static str,
    /// In how many places.
    pub count: u32,
    /// The highest score, 0 to 100.
    pub score: u8,
    /// Where the first place is (`messages[3].content[1].text`); at most 512 bytes are kept.
    pub path: Box<str>,
    /// Keyed fingerprint of the value, to tell equal values without knowing them; `None` when none was made.
    pub fingerprint: Option<u64>,
}

/// One object per stage, in the JSON form of a record.
impl Serialize for Inspections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(None)?;
        for (stage, inspection) in self.iter() {
            out.serialize_element(&OneStage { stage, inspection, policy_version: self.policy_version })?;
        }
        out.end()
    }
}

struct OneStage<'a> {
    stage: Stage,
    inspection: &'a Inspection,
    policy_version: u64,
}

impl Serialize for OneStage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Inspection { bytes_scanned, coverage, mode, action, enforceable, enforced, detail } =
            self.inspection;
        let detail = detail.as_deref();
        let mut out = serializer.serialize_struct("Inspection", 13)?;
        out.serialize_field("stage", &self.stage)?;
        // As text, like hashes: not every reader of JSON keeps 64 bits of a number.
        out.serialize_field("policy_version", &format_args!("{:016x}", self.policy_version))?;
        out.serialize_field("mode", mode)?;
        out.serialize_field("bytes_scanned", bytes_scanned)?;
        out.serialize_field("coverage", coverage.extent())?;
        out.serialize_field("gap", &coverage.gap())?;
        out.serialize_field("action", action)?;
        out.serialize_field("enforceable", enforceable)?;
        out.serialize_field("enforced", enforced)?;
        out.serialize_field("rules", detail.map_or(&[][..], |detail| &detail.rules))?;
        out.serialize_field("explanation", &detail.map(|detail| &*detail.explanation))?;
        out.serialize_field("findings", detail.map_or(&[][..], |detail| &detail.findings))?;
        out.serialize_field("findings_dropped", &detail.map_or(0, |detail| detail.findings_dropped))?;
        out.end()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 7)?;
        out.serialize_field("rule", &*self.rule)?;
        out.serialize_field("entity", &*self.entity)?;
        out.serialize_field("class", self.class)?;
        out.serialize_field("count", &self.count)?;
        out.serialize_field("score", &self.score)?;
        out.serialize_field("path", &*self.path)?;
        out.serialize_field("fingerprint", &self.fingerprint.map(|print| format!("{print:016x}")))?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_policy::Gap;

    #[test]
    fn stages_are_told_apart_and_come_in_order() {
        let mut all = Inspections::default();
        assert!(all.is_empty());
        let of = |bytes| Inspection::clean(bytes, Coverage::Full, Mode::Enforce);
        all.set(Stage::Stream, of(3));
        all.set(Stage::Request, of(1));
        let listed: Vec<_> =
            all.iter().map(|(stage, inspection)| (stage, inspection.bytes_scanned)).collect();
        assert_eq!(listed, [(Stage::Request, 1), (Stage::Stream, 3)]);
        assert_eq!((all.get(Stage::Response), all.is_empty()), (None, false));
        all.set(Stage::Request, of(2));
        assert_eq!(all.get(Stage::Request).map(|inspection| inspection.bytes_scanned), Some(2));
    }

    #[test]
    fn parts_of_a_stage_are_joined_and_the_strictest_stands() {
        let finding = |rule: &str, count| Finding {
            rule: rule.into(),
            entity: "E".into(),
            class: "pii",
            count,
            score: 80,
            path: "p".into(),
            fingerprint: Some(7),
        };
        let part = |action, rule: &str, explanation: &str, findings| Inspection {
            action,
            enforced: action.is_some(),
            detail: Some(Box::new(Detail {
                rules: vec![rule.into()],
                explanation: explanation.into(),
                findings,
                findings_dropped: 1,
            })),
            ..Inspection::clean(10, Coverage::Full, Mode::Enforce)
        };
        let log = part(Some(Action::Log), "a", "logged", vec![finding("x", 1)]);
        let block = part(Some(Action::Block), "b", "blocked", vec![finding("x", 2), finding("y", 1)]);
        let clean = Inspection::clean(5, Coverage::None(Gap::NotText), Mode::Enforce);
        for all in [log.clone().and(block.clone()).and(clean.clone()), clean.and(block.clone()).and(log)] {
            assert_eq!((all.bytes_scanned, all.action, all.enforced), (25, Some(Action::Block), true));
            assert_eq!(all.coverage, Coverage::Partial(Gap::NotText));
            let detail = all.detail.unwrap();
            assert_eq!((&*detail.rules[0], detail.rules.len(), &*detail.explanation), ("b", 2, "blocked"));
            let counts: Vec<u32> = detail.findings.iter().map(|finding| finding.count).collect();
            assert_eq!((counts, detail.findings_dropped), (vec![3, 1], 2));
        }
        let full = |from: usize| (0..FINDINGS_MAX).map(|at| finding(&format!("r{}", from + at), 1)).collect();
        let (one, other) =
            (part(Some(Action::Log), "a", "", full(0)), part(Some(Action::Log), "a", "", full(1)));
        let detail = one.and(other).detail.unwrap();
        assert_eq!((detail.findings.len(), detail.findings_dropped), (FINDINGS_MAX, 3));
        let failed = Inspection { enforced: false, ..block.clone() };
        assert!(!block.and(failed).enforced, "what was not carried out somewhere was not carried out");
    }

    #[test]
    fn what_was_not_inspected_says_so_in_json() {
        let mut all = Inspections::new(7);
        all.set(Stage::Response, Inspection::clean(0, Coverage::None(Gap::NotText), Mode::Audit));
        let json = serde_json::to_value(&all).unwrap();
        let expected = serde_json::json!([{
            "stage": "response", "policy_version": "0000000000000007", "mode": "audit", "bytes_scanned": 0,
            "coverage": "none", "gap": "not_text", "action": null, "enforceable": true, "enforced": false,
            "rules": [], "explanation": null, "findings": [], "findings_dropped": 0,
        }]);
        assert_eq!(json, expected);
    }

    #[test]
    fn a_clean_exchange_is_small() {
        assert!(size_of::<Inspections>() <= 96, "{}", size_of::<Inspections>());
    }
}
