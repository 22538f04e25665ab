//! From what was seen to what is done, and to what the record says of it.

use super::remote::Consulted;
use super::search::Sight;
use super::{Guard, Label};
use narrows_guard::Class;
use narrows_guard::body::{Found, Splice, compose, splice};
use narrows_guard::placeholder::Minter;
use narrows_ledger::{Detail, FINDINGS_MAX, Finding, Inspection, RULES_MAX};

use narrows_policy::{Action, Coverage, Decision, Mask, Mode, Scope, Seen, Stage};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// What is to be judged.
#[derive(Clone, Copy)]
pub(crate) struct Judging<'a> {
    pub(crate) guard: &'a Guard,
    pub(crate) scope: &'a Scope,
    pub(crate) organization: &'a str,
    pub(crate) stage: Stage,
    pub(crate) sight: &'a Sight,
    pub(crate) values: Values<'a>,
    pub(crate) consulted: &'a Consulted,
}

/// How values that were found are known.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    /// They stand in this text.
    In(&'a str),
    /// By their fingerprints alone: the text is gone.
    Prints(&'a [u64]),
}

/// What is done with a stage's content.
pub(crate) struct Judged {
    pub(crate) decision: Decision,
    /// What the record says.
    pub(crate) inspection: Inspection,
    /// What goes and what comes in its place; only if it is to be masked.
    pub(crate) splices: Vec<Splice>,
}

/// A value that is masked: one finding, or several that overlap.
struct Masked<'a> {
    range: Range<usize>,
    /// The strongest of them.
    found: &'a Found,
    label: &'a Label,
    /// Whether it is never put back.
    stays: bool,
}

impl Masked<'_> {
    /// Secrets name before what an operator named, that before personal data, and then the longer one.
    fn strength(&self) -> (bool, u8, usize, u8) {
        let class = match self.label.class {
            Class::Secret => 3,
            Class::Custom => 2,
            Class::Pii => 1,
            Class::Injection => 0,
        };
        (self.stays, class, self.found.raw.len(), self.found.score)
    }
}

impl Judging<'_> {
    /// Decides. Placeholders are made by `minter`.
    pub(crate) fn judge(&self, minter: &mut Option<Minter>) -> Judged {
        let decision = self.decide();
        let splices = self.splices(&decision, minter);
        let inspection = self.inspection(&decision);
        Judged { decision, inspection, splices }
    }

    /// What policies say.
    pub(crate) fn decide(&self) -> Decision {
        let Judging { guard, scope, stage, sight, consulted, .. } = *self;
        let seen: Vec<Seen> = sight
            .found
            .iter()
            .map(|found| Seen { rule: found.rule, score: found.score, maskable: found.is_maskable() })
            .collect();
        consulted.decide(&guard.policies, scope, stage, &seen, sight.coverage)
    }

    /// Our own masks, and then the rewritings that are taken over, each made of what those before it left.
    fn splices(&self, decision: &Decision, minter: &mut Option<Minter>) -> Vec<Splice> {
        let mut splices = self.masks(decision, minter);
        let Values::In(text) = self.values else { return splices };
        for rewriting in decision.adopted.iter().filter_map(|one| self.consulted.rewriting(*one)) {
            let between = splice(text.as_bytes(), splices.clone());
            let between = String::from_utf8_lossy(&between);
            splices = compose(splices, &between, rewriting.to_vec());
        }
        splices
    }

    /// Placeholders for what our own detectors found.
    pub(super) fn masks(&self, decision: &Decision, minter: &mut Option<Minter>) -> Vec<Splice> {
        if decision.masks.is_empty() {
            return Vec::new();
        }
        let minter = minter.get_or_insert_with(|| Minter::new(self.guard.keys.of(self.organization)));
        let Values::In(text) = self.values else { return Vec::new() };
        let splice = |Masked { range, found, label, .. }: Masked<'_>| {
            let with = minter.mint(label.class, &label.entity, &found.read(text, range.clone()));
            Splice { range, with: with.into() }
        };
        self.masked(decision).into_iter().map(splice).collect()
    }

    /// What is masked, in the order of the text. Findings that overlap are one value with one placeholder, so that all of it
    /// comes back where it is put back: that of the strongest, which is one that is not put back if there is one.
    fn masked(&self, decision: &Decision) -> Vec<Masked<'_>> {
        let masked = |mask: &Mask| {
            let found = self.sight.found.get(mask.finding)?;
            let label = self.guard.label(found.rule)?;
            Some(Masked { range: found.raw.clone(), found, label, stays: !mask.restore })
        };
        let mut all: Vec<Masked<'_>> = decision.masks.iter().filter_map(masked).collect();
        all.sort_by_key(|one| (one.range.start, one.range.end));
        all.dedup_by(|next, last| {
            let meets = next.range.start < last.range.end;
            if meets {
                let range = last.range.start..last.range.end.max(next.range.end);
                if next.strength() > last.strength() {
                    std::mem::swap(next, last);
                }
                last.range = range;
            }
            meets
        });
        all
    }

    /// Notes the entities that were masked to be put back. One that any rule masks for good stays masked.
    pub(crate) fn note_restored(&self, decision: &Decision, restored: &mut Vec<Box<str>>) {
        let entity = |mask: &Mask| {
            let found = self.sight.found.get(mask.finding)?;
            self.guard.label(found.rule).map(|label| Box::from(&*label.entity))
        };
        restored.extend(decision.masks.iter().filter(|mask| mask.restore).filter_map(entity));
        let kept: Vec<Box<str>> =
            decision.masks.iter().filter(|mask| !mask.restore).filter_map(entity).collect();
        restored.sort_unstable();
        restored.dedup();
        restored.retain(|entity| !kept.contains(entity));
    }

    fn inspection(&self, decision: &Decision) -> Inspection {
        let Judging { guard, sight, .. } = *self;
        let mode = decision.deciding().map_or(Mode::Enforce, |fired| fired.mode);
        let scanned = u64::try_from(sight.scanned).unwrap_or(u64::MAX);
        let mut inspection = Inspection::clean(scanned, sight.coverage, mode);
        if decision.is_nothing() && sight.found.is_empty() && !self.consulted.found() {
            return inspection;
        }
        inspection.action = decision.action;
        inspection.enforceable = decision.enforceable;
        inspection.enforced = decision.action.is_some() && decision.enforceable;
        let path = |at: usize| {
            let path = sight.found.get(at).map(|found| &found.path);
            path.filter(|path| !path.is_empty()).map(|path| path.to_string())
        };
        let explanation =
            if decision.is_nothing() { String::new() } else { guard.policies.explain(decision, &path) };
        let rules = names(decision);
        let (findings, findings_dropped) = self.findings();
        let detail = Detail { rules, explanation: explanation.into(), findings, findings_dropped };
        inspection.detail = Some(Box::new(detail));
        inspection
    }

    /// What was found, all places of one value together, and how many more there are than are kept.
    fn findings(&self) -> (Vec<Finding>, u32) {
        let key = self.guard.keys.of(self.organization);
        let (mut findings, mut dropped): (Vec<Finding>, u32) = (Vec::new(), 0);
        let mut places: HashMap<(u32, u64), usize> = HashMap::new();
        for (at, found) in self.sight.found.iter().enumerate() {
            let Some(label) = self.guard.label(found.rule) else { continue };
            let fingerprint = match self.values {
                Values::In(text) => key.fingerprint(&label.entity, &found.value(text)),
                Values::Prints(prints) => prints.get(at).copied().unwrap_or_default(),
            };
            let known = places.get(&(found.rule.0, fingerprint)).and_then(|at| findings.get_mut(*at));
            if let Some(finding) = known {
                finding.count = finding.count.saturating_add(1);
                finding.score = finding.score.max(found.score);
                continue;
            }
            if findings.len() >= FINDINGS_MAX {
                dropped = dropped.saturating_add(1);
                continue;
            }
            places.insert((found.rule.0, fingerprint), findings.len());
            findings.push(Finding {
                rule: Arc::clone(&label.rule),
                entity: Arc::clone(&label.entity),
                class: label.class.as_str(),
                count: 1,
                score: found.score,
                path: found.path.clone(),
                fingerprint: Some(fingerprint),
            });
        }
        for said in &self.consulted.said {
            dropped = dropped.saturating_add(said.findings_dropped);
            for finding in &said.findings {
                match findings.len() < FINDINGS_MAX {
                    true => findings.push(finding.clone()),
                    false => dropped = dropped.saturating_add(1),
                }
            }
        }
        (findings, dropped)
    }
}

/// The rules that fired, the deciding one first.
fn names(decision: &Decision) -> Vec<Arc<str>> {
    let mut rules: Vec<Arc<str>> = Vec::new();
    for fired in &decision.fired {
        if !rules.contains(&fired.rule) {
            rules.push(Arc::clone(&fired.rule));
        }
    }
    rules.truncate(RULES_MAX);
    rules
}

impl Judged {
    /// What policies say by place alone, with nothing looked at.
    pub(crate) fn by_place(guard: &Guard, decision: &Decision, coverage: Coverage) -> Inspection {
        let mode = decision.deciding().map_or(Mode::Enforce, |fired| fired.mode);
        let rules = names(decision);
        let explanation = guard.policies.explain(decision, &|_| None).into();
        Inspection {
            action: decision.action,
            enforceable: decision.enforceable,
            enforced: decision.action.is_some() && decision.enforceable,
            detail: Some(Box::new(Detail { rules, explanation, ..Detail::default() })),
            ..Inspection::clean(0, coverage, mode)
        }
    }

    /// Whether the content is to be refused.
    pub(crate) fn refuses(&self) -> bool {
        self.decision.refuses()
    }

    /// What the caller is told when it is.
    pub(crate) fn message(&self) -> String {
        if let Some(message) = &self.decision.message {
            return message.to_string();
        }
        self.inspection.detail.as_ref().map(|detail| detail.explanation.to_string()).unwrap_or_default()
    }

    /// Whether it is refused for nothing but guardrails that gave no verdict.
    pub(crate) fn is_for_an_outage(&self) -> bool {
        let mut refusing = self.decision.fired.iter().filter(|fired| fired.does == Action::Block);
        refusing.all(|fired| matches!(fired.cause, narrows_policy::Cause::Failed(..)))
    }

    /// Whether it is refused for what could not be inspected, rather than for what was found.
    pub(crate) fn is_for_a_gap(&self) -> bool {
        use narrows_policy::Cause::{Conflict, Failed, Found, Gap, Place, Unmaskable, Unwritten, Verdict};
        let refusing = self.decision.fired.iter().filter(|fired| fired.does == Action::Block);
        refusing.map(|fired| &fired.cause).all(|cause| match cause {
            Gap(_) | Failed(..) => true,
            Place | Found { .. } | Unmaskable { .. } | Verdict(_) | Unwritten(_) | Conflict(_) => false,
        })
    }
}
