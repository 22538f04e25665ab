//! The decision: evidence against the rules in scope. The strictest action wins, in whatever order rules are listed.

use crate::action::Action;
use crate::compile::{Compiled, PolicySet, What};
use crate::decision::{Cause, Decision, Fired, Mask};
use crate::guardrail::{Answer, GuardrailIndex, GuardrailSet, Outcome};
use crate::names::Case;
use crate::rule::{OnError, Operation, Streams, Verdict};
use crate::scope::Scope;
use crate::set::RuleSet;
use crate::stage::{Coverage, Gap, Mode, Stage};
use narrows_guard::RuleIndex;
use std::sync::Arc;

/// What inspection brought to light.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What our own detectors found.
    pub findings: &'a [Seen],
    /// How much of the content they saw.
    pub coverage: Coverage,
    /// What guardrails said.
    pub answers: &'a [Answer<'a>],
    /// Whether every guardrail that is needed was asked. If so, one without an answer has failed; if not, what rules say
    /// about those is left open, and what our own detectors and the others found is decided.
    pub complete: bool,
}

impl<'a> Evidence<'a> {
    /// All there is, where no guardrail is needed.
    pub fn local(findings: &'a [Seen], coverage: Coverage) -> Evidence<'a> {
        Evidence { findings, coverage, answers: &[], complete: true }
    }
}

/// A finding as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The detector's rule.
    pub rule: RuleIndex,
    /// How sure it is, 0 to 100.
    pub score: u8,
    /// Whether something can be put in its place where it stands (not so in the name of a member, or in a number).
    pub maskable: bool,
}

/// Whether content with this gap counts as not inspected. What is not text has nothing to inspect, what the
/// configuration passes through is passed on purpose, what streamed no policy could have refused, and of what was cut all
/// that came was seen.
fn is_failure(gap: Gap) -> bool {
    match gap {
        Gap::NotText | Gap::PassThrough | Gap::Cut | Gap::Streamed => false,
        Gap::Off
        | Gap::Undecodable
        | Gap::TooLarge
        | Gap::ExpansionCap
        | Gap::DepthCap
        | Gap::FindingsCap
        | Gap::QueueFull
        | Gap::Timeout
        | Gap::Error
        | Gap::NotAsked
        | Gap::Websocket => true,
    }
}

impl PolicySet {
    /// What rules without conditions say: whether an exchange with these facts may be at all. To be asked at
    /// [`Stage::Request`] as soon as the facts are known, at [`Stage::Stream`] too when the request asks for a stream,
    /// and again when the head of an answer says which of the two it is. Always enforceable: nothing was sent yet.
    pub fn admit(&self, scope: &Scope, stage: Stage) -> Decision {
        let mut decision = Decision::nothing(stage, self.version());
        let rules = self.placed(scope, stage);
        for rule in rules.iter().filter_map(|at| self.rules.get(at)) {
            let Some(action) = rule.action() else { continue };
            decision.fired.push(fired(rule, action, Cause::Place, None));
        }
        self.close(decision, scope, true)
    }

    /// What rules with conditions say about what was found in `stage`. Allocates nothing when nothing was found and
    /// nothing failed.
    pub fn decide(&self, scope: &Scope, stage: Stage, evidence: &Evidence<'_>) -> Decision {
        let rules = self.judged(scope, stage);
        if rules.is_empty() || self.is_quiet(&rules, evidence) {
            return Decision::nothing(stage, self.version());
        }
        let decision = Judge::new(self, scope, stage, rules, evidence).decision();
        self.close(decision, scope, false)
    }

    /// Whether nothing was found and nothing failed.
    fn is_quiet(&self, rules: &RuleSet, evidence: &Evidence<'_>) -> bool {
        if !evidence.findings.is_empty() || evidence.coverage.gap().is_some_and(is_failure) {
            return false;
        }
        let mut needed = GuardrailSet::default();
        let asking = rules.and(&self.asking);
        asking.iter().filter_map(|at| self.rules.get(at)).for_each(|rule| needed.0 |= rule.guardrails.0);
        let mut silent = needed;
        for answer in evidence.answers.iter().filter(|answer| needed.contains(answer.guardrail)) {
            if answer.outcome != Outcome::Passed {
                return false;
            }
            silent.0 &= !(1 << answer.guardrail.0);
        }
        silent.is_empty() || !evidence.complete
    }

    /// Orders what fired and draws the sum of it.
    fn close(&self, mut decision: Decision, scope: &Scope, by_place: bool) -> Decision {
        decision.exemptions.extend(self.exemptions(scope, decision.stage, by_place));
        decision.exemptions.sort_unstable();
        decision.exemptions.dedup();
        // Stable: what one rule says twice stays in its order.
        decision
            .fired
            .sort_by(|one, other| other.does.cmp(&one.does).then_with(|| one.rule.cmp(&other.rule)));
        decision.action = decision.fired.iter().map(|fired| fired.does).max();
        decision.would = decision.fired.iter().map(|fired| fired.action).max();
        let rewrites = matches!(decision.action, Some(Action::Mask | Action::Block));
        let reached = |fired: &Fired| fired.enforceable && Some(fired.does) == decision.action;
        decision.enforceable =
            by_place || decision.stage != Stage::Stream || !rewrites || decision.fired.iter().any(reached);
        if decision.carried_out() != Some(Action::Mask) {
            decision.masks.clear();
            decision.adopted.clear();
        }
        if decision.refuses() {
            let refusing =
                decision.fired.iter().filter(|fired| fired.does == Action::Block && fired.enforceable);
            decision.message = refusing.filter_map(|fired| self.message(&fired.rule)).next();
        }
        decision
    }

    fn message(&self, rule: &str) -> Option<Arc<str>> {
        let at = self.rules.binary_search_by(|other| (*other.name).cmp(rule)).ok()?;
        self.rules.get(at)?.message.clone()
    }
}

/// A rule that fired. `stage` is that of content; without it nothing was sent yet.
fn fired(rule: &Compiled, action: Action, cause: Cause, stage: Option<Stage>) -> Fired {
    let mode = rule.source.then.mode;
    let does = if mode == Mode::Audit { Action::Log } else { action };
    // A window of a stream waits for our own detectors. A guardrail's verdict comes when all of it has gone.
    let in_time = match cause {
        Cause::Place | Cause::Found { .. } | Cause::Gap(_) | Cause::Unmaskable { .. } => true,
        Cause::Failed(..) | Cause::Verdict(_) | Cause::Unwritten(_) | Cause::Conflict(_) => false,
    };
    let gated = rule.source.then.streams == Streams::Gated && in_time;
    let enforceable = does == Action::Log || stage != Some(Stage::Stream) || gated;
    let open = match cause {
        Cause::Gap(_) | Cause::Failed(..) | Cause::Unmaskable { .. } | Cause::Unwritten(_) => {
            mode != Mode::Audit && rule.action() > Some(Action::Log) && does == Action::Log
        }
        _ => false,
    };
    let alert = rule.source.then.alert.unwrap_or(does == Action::Block || !enforceable || open);
    Fired { rule: rule.name.clone(), action, does, mode, enforceable, alert, cause }
}

/// How often a condition was met.
#[derive(Clone, Copy, Default)]
struct Count {
    count: u32,
    first: usize,
}

/// One decision in the making.
struct Judge<'d> {
    set: &'d PolicySet,
    stage: Stage,
    evidence: &'d Evidence<'d>,
    rules: RuleSet,
    /// Exemptions with conditions.
    exemptions: RuleSet,
    /// Guardrails without a verdict.
    failed: GuardrailSet,
    /// By condition.
    counts: Vec<Count>,
    /// What our own detectors did not see.
    gap: Option<Gap>,
    decision: Decision,
}

impl<'d> Judge<'d> {
    fn new(
        set: &'d PolicySet,
        scope: &Scope,
        stage: Stage,
        rules: RuleSet,
        evidence: &'d Evidence<'d>,
    ) -> Judge<'d> {
        let exemptions = set.in_scope(scope, stage, &set.exempt_by_content);
        let counts = vec![Count::default(); set.conditions.len()];
        let gap = evidence.coverage.gap().filter(|gap| is_failure(*gap));
        let decision = Decision::nothing(stage, set.version());
        let failed = GuardrailSet::default();
        Judge { set, stage, evidence, rules, exemptions, failed, counts, gap, decision }
    }

    fn decision(mut self) -> Decision {
        self.failed = self.failures();
        self.count();
        let (set, rules) = (self.set, self.rules);
        for at in rules.iter() {
            let Some(rule) = set.rules.get(at) else { continue };
            let Some(action) = rule.action() else { continue };
            self.findings(rule, action);
            self.verdicts(at, rule, action);
            self.gaps(rule);
        }
        let late = self.masks();
        // A guardrail's rewriting of a stream would come when the caller has it, and cannot be in the way of another.
        if self.stage != Stage::Stream {
            self.adopt(late);
        }
        self.decision
    }

    /// Guardrails that rules in scope need and that gave no verdict.
    fn failures(&self) -> GuardrailSet {
        let mut failed = GuardrailSet::default();
        let asking = self.rules.and(&self.set.asking);
        let needed =
            asking.iter().filter_map(|at| self.set.rules.get(at)).flat_map(|rule| rule.guardrails.iter());
        for guardrail in needed {
            match self.answer(guardrail) {
                Some(Outcome::Failed(_)) => failed.insert(guardrail),
                None if self.evidence.complete => failed.insert(guardrail),
                _ => {}
            }
        }
        failed
    }

    fn answer(&self, guardrail: GuardrailIndex) -> Option<Outcome<'d>> {
        let mut answers = self.evidence.answers.iter();
        answers.find(|answer| answer.guardrail == guardrail).map(|answer| answer.outcome)
    }

    /// Whether the condition `at` counts a finding of this score for a rule in scope.
    fn counts(&self, at: usize, score: u8, exempt: &RuleSet) -> bool {
        let Some(tested) = self.set.conditions.get(at) else { return false };
        let meets = match &tested.what {
            What::Found(found) => score >= found.score,
            What::Fallback(found, replaced) => score >= found.score && replaced.0 & self.failed.0 != 0,
            What::Verdict(..) => false,
        };
        meets && self.rules.contains(tested.rule) && !exempt.contains(tested.rule)
    }

    /// The rules for which a finding with these conditions does not count, and by whose doing.
    fn exempt(&self, conditions: &[u16], score: u8) -> (RuleSet, RuleSet) {
        let (mut exempt, mut by) = (RuleSet::EMPTY, RuleSet::EMPTY);
        if self.exemptions.is_empty() {
            return (exempt, by);
        }
        for tested in conditions.iter().filter_map(|at| self.set.conditions.get(usize::from(*at))) {
            let What::Found(found) = &tested.what else { continue };
            if score < found.score || !self.exemptions.contains(tested.rule) {
                continue;
            }
            if let Some(exemption) = self.set.rules.get(tested.rule) {
                exempt = exempt.or(&exemption.exempts);
                by.insert(tested.rule);
            }
        }
        (exempt, by)
    }

    /// Notes exemptions that took something from a rule in scope.
    fn note(&mut self, by: &RuleSet) {
        for exemption in by.iter().filter_map(|at| self.set.rules.get(at)) {
            let used = !exemption.exempts.and(&self.rules).is_empty();
            if used && !self.decision.exemptions.contains(&exemption.name) {
                self.decision.exemptions.push(exemption.name.clone());
            }
        }
    }

    fn count(&mut self) {
        let evidence = self.evidence;
        for (position, seen) in evidence.findings.iter().enumerate() {
            let Some(conditions) = self.set.conditions_of(seen.rule) else {
                // A finding of a rule that these rules were not compiled for cannot be judged.
                self.gap = self.gap.or(Some(Gap::Error));
                continue;
            };
            let (exempt, by) = self.exempt(conditions, seen.score);
            self.note(&by);
            for at in conditions.iter().map(|at| usize::from(*at)) {
                if !self.counts(at, seen.score, &exempt) {
                    continue;
                }
                if let Some(count) = self.counts.get_mut(at) {
                    count.first = if count.count == 0 { position } else { count.first };
                    count.count = count.count.saturating_add(1);
                }
            }
        }
    }

    /// How often the condition `at` was met, if that is often enough.
    fn met(&self, at: usize) -> Option<Count> {
        let count = self.counts.get(at).copied()?;
        let enough = match &self.set.conditions.get(at)?.what {
            What::Found(found) | What::Fallback(found, _) => found.count,
            What::Verdict(..) => return None,
        };
        (count.count >= enough.max(1)).then_some(count)
    }

    fn fire(&mut self, rule: &Compiled, action: Action, cause: Cause) {
        self.decision.fired.push(fired(rule, action, cause, Some(self.stage)));
    }

    fn findings(&mut self, rule: &Compiled, action: Action) {
        let met: Vec<Count> = rule.conditions.clone().filter_map(|at| self.met(at)).collect();
        let Some(first) = met.iter().map(|count| count.first).min() else { return };
        let count = met.iter().map(|count| count.count).max().unwrap_or_default();
        let Some(seen) = self.evidence.findings.get(first) else { return };
        self.fire(rule, action, Cause::Found { first, rule: seen.rule, count });
    }

    fn verdicts(&mut self, at: usize, rule: &Compiled, action: Action) {
        let set = self.set;
        for tested in set.conditions.get(rule.conditions.clone()).unwrap_or_default() {
            let What::Verdict(demand, guardrail, on_error) = &tested.what else { continue };
            let (guardrail, on_error) = (*guardrail, *on_error);
            let Some(outcome) = self.answer(guardrail) else {
                if self.failed.contains(guardrail) {
                    self.failure(rule, on_error, guardrail, Gap::NotAsked);
                }
                continue;
            };
            let (categories, score, rewritten) = match outcome {
                Outcome::Passed => continue,
                Outcome::Failed(gap) => {
                    self.failure(rule, on_error, guardrail, gap);
                    continue;
                }
                Outcome::Flagged { categories, score } => (categories, score, false),
                Outcome::Blocked { categories } => (categories, None, false),
                Outcome::Rewritten { categories, score, .. } => (categories, score, true),
            };
            if !meets(demand, categories, score) || self.is_exempt(at, guardrail, categories, score) {
                continue;
            }
            match (action, rule.operation, rewritten) {
                (Action::Mask | Action::Block, Operation::Mutate, true) => {
                    self.fire(rule, Action::Mask, Cause::Verdict(guardrail));
                }
                // It is no error: leniency towards errors does not let it pass.
                (Action::Mask, _, _) if matches!(outcome, Outcome::Blocked { .. }) => {
                    self.fire(rule, Action::Block, Cause::Verdict(guardrail));
                }
                (Action::Mask, _, _) => {
                    let action = if on_error == OnError::Allow { Action::Log } else { Action::Block };
                    self.fire(rule, action, Cause::Unwritten(guardrail));
                }
                (Action::Log | Action::Block, _, _) => self.fire(rule, action, Cause::Verdict(guardrail)),
            }
        }
    }

    /// A guardrail that `rule` depends on gave no verdict.
    fn failure(&mut self, rule: &Compiled, on_error: OnError, guardrail: GuardrailIndex, gap: Gap) {
        let refuse = match on_error {
            OnError::Allow => false,
            OnError::Block => true,
            OnError::Builtin => self.gap.is_some(),
        };
        let action = if refuse { Action::Block } else { Action::Log };
        self.fire(rule, action, Cause::Failed(guardrail, gap));
    }

    /// Whether an exemption takes this verdict from the rule `at`.
    fn is_exempt(
        &mut self,
        at: usize,
        guardrail: GuardrailIndex,
        categories: &[&str],
        score: Option<u8>,
    ) -> bool {
        let mut by = RuleSet::EMPTY;
        for exemption in self.exemptions.iter() {
            let Some(rule) = self.set.rules.get(exemption) else { continue };
            let conditions = self.set.conditions.get(rule.conditions.clone()).unwrap_or_default();
            let covers = conditions.iter().any(|tested| match &tested.what {
                What::Verdict(demand, of, _) => *of == guardrail && is_covered(demand, categories, score),
                What::Found(_) | What::Fallback(..) => false,
            });
            if covers && rule.exempts.contains(at) {
                by.insert(exemption);
            }
        }
        self.note(&by);
        !by.is_empty()
    }

    /// What our own detectors could not inspect, for a rule that depends on them.
    fn gaps(&mut self, rule: &Compiled) {
        let Some(gap) = self.gap else { return };
        let set = self.set;
        let mut conditions = set.conditions.get(rule.conditions.clone()).unwrap_or_default().iter();
        if conditions.any(|tested| matches!(tested.what, What::Found(_))) {
            let action = if rule.on_gap == OnError::Block { Action::Block } else { Action::Log };
            self.fire(rule, action, Cause::Gap(gap));
        }
    }

    /// Which findings rules in force mask. Whether any of them is masked in the place of a guardrail that failed, and so
    /// later than others were asked.
    fn masks(&mut self) -> bool {
        let evidence = self.evidence;
        let masking = self.masking();
        let (mut late, mut masks, mut stuck) = (false, Vec::new(), Vec::new());
        for (position, seen) in evidence.findings.iter().enumerate() {
            let Some(conditions) = self.set.conditions_of(seen.rule) else { continue };
            let (exempt, _) = self.exempt(conditions, seen.score);
            let mut mask: Option<Mask> = None;
            let mut early = false;
            for at in conditions.iter().map(|at| usize::from(*at)) {
                let Some(tested) = self.set.conditions.get(at) else { continue };
                if !masking.contains(tested.rule)
                    || self.met(at).is_none()
                    || !self.counts(at, seen.score, &exempt)
                {
                    continue;
                }
                let Some(rule) = self.set.rules.get(tested.rule) else { continue };
                if !seen.maskable {
                    stuck.push((tested.rule, position, seen.rule));
                    continue;
                }
                early |= matches!(tested.what, What::Found(_));
                let mask = mask.get_or_insert(Mask { finding: position, restore: true });
                mask.restore &= rule.source.then.restore;
            }
            late |= mask.is_some() && !early;
            masks.extend(mask);
        }
        self.decision.masks = masks;
        self.stuck(stuck);
        late
    }

    /// Rules in force that mask and fired by findings.
    fn masking(&self) -> RuleSet {
        let mut masking = RuleSet::EMPTY;
        for at in self.rules.iter() {
            let Some(rule) = self.set.rules.get(at) else { continue };
            // A stream that is only observed is with the caller already.
            let reached = self.stage != Stage::Stream || rule.source.then.streams == Streams::Gated;
            if rule.action() == Some(Action::Mask) && rule.source.then.mode != Mode::Audit && reached {
                masking.insert(at);
            }
        }
        masking
    }

    /// What cannot be masked where it stands counts as not inspected: the rule that would mask it refuses, unless it
    /// lets errors pass.
    fn stuck(&mut self, mut stuck: Vec<(usize, usize, RuleIndex)>) {
        let set = self.set;
        stuck.sort_by_key(|(rule, position, _)| (*rule, *position));
        stuck.dedup_by_key(|(rule, _, _)| *rule);
        for (at, first, found_by) in stuck {
            let Some(rule) = set.rules.get(at) else { continue };
            let action = if rule.on_gap == OnError::Block { Action::Block } else { Action::Log };
            self.fire(rule, action, Cause::Unmaskable { first, rule: found_by });
        }
    }

    /// Takes over rewritings, each only if it was made of the text as it was by then.
    fn adopt(&mut self, late: bool) {
        let set = self.set;
        let mut takers: Vec<(GuardrailIndex, Arc<str>)> = Vec::new();
        for fired in &self.decision.fired {
            let Cause::Verdict(guardrail) = fired.cause else { continue };
            if fired.does == Action::Mask && !takers.iter().any(|(known, _)| *known == guardrail) {
                takers.push((guardrail, fired.rule.clone()));
            }
        }
        takers.sort_by_key(|(guardrail, _)| *guardrail);
        let mut done = u32::from(!self.decision.masks.is_empty());
        for (guardrail, taker) in takers {
            let Some(Outcome::Rewritten { after, .. }) = self.answer(guardrail) else { continue };
            if after == done && !late {
                self.decision.adopted.push(guardrail);
                done += 1;
                continue;
            }
            if let Some(rule) = set.rules.iter().find(|rule| rule.name == taker) {
                self.fire(rule, Action::Block, Cause::Conflict(guardrail));
            }
        }
    }
}

/// Whether a verdict is one that `demand` asks for. A guardrail that does not say what it found may have found it.
fn meets(demand: &Verdict, categories: &[&str], score: Option<u8>) -> bool {
    let named = categories.iter().any(|word| demand.categories.accept(Some(word), Case::Folded));
    score.is_none_or(|score| score >= demand.score) && (named || categories.is_empty())
}

/// Whether an exemption's `demand` covers all of a verdict.
fn is_covered(demand: &Verdict, categories: &[&str], score: Option<u8>) -> bool {
    let named = categories.iter().all(|word| demand.categories.accept(Some(word), Case::Folded));
    let said = demand.categories.is_everything() || (named && !categories.is_empty());
    score.is_none_or(|score| score >= demand.score) && said
}
