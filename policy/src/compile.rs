//! Rules made into something that decides quickly: places indexed, names resolved, detectors looked up once.

use crate::action::Action;
use crate::check;
use crate::guardrail::{GUARDRAILS_MAX, Guardrail, GuardrailIndex, GuardrailSet};
use crate::needs::Detectors;
use crate::rule::{Condition, Effect, Found, OnError, Operation, Rule, Where};
use crate::scope::{Facts, Index, Scope};
use crate::set::RuleSet;
use crate::stage::{Mode, Stage};
use crate::version::Version;
use narrows_guard::{Class, RuleIndex};
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Most rules of one set.
pub const RULES_MAX: usize = 1024;

/// Most conditions of all rules of one set.
pub const CONDITIONS_MAX: usize = 2048;

/// What rules may name.
#[derive(Debug, Clone, Copy)]
pub struct Catalogue<'a> {
    /// Every rule of every detector, in the engine's order: findings name them by position.
    pub detectors: &'a [narrows_guard::Rule],
    /// The external guardrails.
    pub guardrails: &'a [Guardrail],
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Position of the rule in the list that was given; `None` for the list as a whole.
    pub rule: Option<usize>,
    /// Position of the condition in the rule, where it is about one.
    pub condition: Option<usize>,
    /// The key it is about, with dots (`then.exempts`).
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(at) => write!(f, "policies[{at}].{}: {}", self.key, self.message),
            None => write!(f, "policies: {}", self.message),
        }
    }
}

/// Rules that were checked and compiled, in the order of their names: how they were listed is of no matter.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) rules: Vec<Compiled>,
    pub(crate) conditions: Vec<Tested>,
    pub(crate) guardrails: Vec<(Arc<str>, Guardrail)>,
    /// The id and the entity of each detector's rule.
    detectors: Vec<(Box<str>, Box<str>)>,
    /// For each detector's rule the entry of `lists` with the conditions it may meet.
    selections: Vec<u32>,
    lists: Vec<Box<[u16]>>,
    index: Index,
    stages: [RuleSet; 3],
    /// Rules that act by their place alone.
    by_place: RuleSet,
    /// Rules that act on what is found.
    by_content: RuleSet,
    /// Rules that ask guardrails.
    pub(crate) asking: RuleSet,
    /// Exemptions without conditions.
    exempt_by_place: RuleSet,
    /// Exemptions with conditions.
    pub(crate) exempt_by_content: RuleSet,
    version: Version,
}

/// A rule and what was worked out about it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) source: Rule,
    pub(crate) name: Arc<str>,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) operation: Operation,
    pub(crate) conditions: Range<usize>,
    pub(crate) exempts: RuleSet,
    pub(crate) guardrails: GuardrailSet,
    pub(crate) detectors: Detectors,
    /// What happens to content that our own detectors could not inspect.
    pub(crate) on_gap: OnError,
    /// Whether it refuses when something fails.
    pub(crate) may_refuse: bool,
}

/// A condition of a rule.
#[derive(Debug)]
pub(crate) struct Tested {
    pub(crate) rule: usize,
    pub(crate) what: What,
}

/// What a condition looks at.
#[derive(Debug)]
pub(crate) enum What {
    /// Findings.
    Found(Found),
    /// Findings, in place of guardrails that failed.
    Fallback(Found, GuardrailSet),
    /// A guardrail's verdict.
    Verdict(crate::rule::Verdict, GuardrailIndex, OnError),
}

impl Compiled {
    /// What it does when it fires; `None` for an exemption.
    pub(crate) fn action(&self) -> Option<Action> {
        match &self.source.then.effect {
            Effect::Act(action) => Some(*action),
            Effect::Exempt(_) => None,
        }
    }
}

impl PolicySet {
    /// Compiles `rules`.
    ///
    /// # Errors
    /// Everything that is wrong with them: names that nothing has, demands that contradict each other, too many of
    /// something.
    pub fn compile(rules: Vec<Rule>, catalogue: &Catalogue<'_>) -> Result<PolicySet, Vec<Problem>> {
        let problems = check::problems(&rules, catalogue);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(PolicySet::of(rules, catalogue))
    }

    /// Rules without problems, compiled.
    fn of(rules: Vec<Rule>, catalogue: &Catalogue<'_>) -> PolicySet {
        let version = Version::of(&rules, catalogue);
        let mut rules = rules;
        rules.sort_by(|one, other| one.name.cmp(&other.name));
        let mut guardrails: Vec<_> = catalogue.guardrails.iter().take(GUARDRAILS_MAX).cloned().collect();
        guardrails.sort_by(|one, other| (one.priority, &one.name).cmp(&(other.priority, &other.name)));
        let mut conditions = Vec::new();
        let names: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        let compiled: Vec<Compiled> = rules
            .into_iter()
            .enumerate()
            .map(|(at, rule)| compiled(at, rule, &names, &guardrails, catalogue, &mut conditions))
            .collect();
        let (selections, lists) = selections(&conditions, catalogue.detectors);
        let set = |of: &dyn Fn(&Compiled) -> bool| {
            let mut set = RuleSet::EMPTY;
            compiled.iter().enumerate().filter(|(_, rule)| of(rule)).for_each(|(at, _)| set.insert(at));
            set
        };
        let (acts, free) =
            (|rule: &Compiled| rule.action().is_some(), |rule: &Compiled| rule.source.when.is_empty());
        let places: Vec<&Where> = compiled.iter().map(|rule| &rule.source.place).collect();
        PolicySet {
            index: Index::new(&places, set(&|rule| !acts(rule))),
            stages: Stage::ALL.map(|stage| set(&|rule| rule.source.place.is_at(stage))),
            by_place: set(&|rule| acts(rule) && free(rule)),
            by_content: set(&|rule| acts(rule) && !free(rule)),
            asking: set(&|rule| !rule.guardrails.is_empty()),
            exempt_by_place: set(&|rule| !acts(rule) && free(rule)),
            exempt_by_content: set(&|rule| !acts(rule) && !free(rule)),
            guardrails: guardrails.into_iter().map(|it| (it.name.as_str().into(), it)).collect(),
            rules: compiled,
            conditions,
            detectors: catalogue.detectors.iter().map(|it| (it.id.clone(), it.entity.clone())).collect(),
            selections,
            lists,
            version,
        }
    }

    /// No rules: nothing is needed, and nothing happens.
    pub fn empty() -> PolicySet {
        PolicySet::of(Vec::new(), &Catalogue { detectors: &[], guardrails: &[] })
    }

    /// The version of these rules: the same for the same rules in any order, on any machine that runs this build.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in the order of their names.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|rule| &rule.source)
    }

    /// The guardrail with this name.
    pub fn guardrail(&self, name: &str) -> Option<GuardrailIndex> {
        GuardrailIndex::at(self.guardrails.iter().position(|(own, _)| **own == *name)?)
    }

    /// The name of a guardrail.
    pub fn guardrail_name(&self, guardrail: GuardrailIndex) -> &str {
        self.guardrails.get(guardrail.position()).map_or("", |(name, _)| name)
    }

    /// The id and the entity of a detector's rule.
    pub(crate) fn detector(&self, rule: RuleIndex) -> Option<(&str, &str)> {
        self.detectors.get(usize::try_from(rule.0).ok()?).map(|(id, entity)| (&**id, &**entity))
    }

    /// Whether any rule looks at what this detector's rule finds.
    pub fn wants(&self, rule: RuleIndex) -> bool {
        !self.conditions_of(rule).is_none_or(<[u16]>::is_empty)
    }

    /// Whether every rule only writes down, whatever an exchange is and whatever becomes of it: nothing has to be held.
    pub fn only_logs(&self) -> bool {
        let logs = |rule: &Compiled| rule.action() <= Some(Action::Log) && !rule.may_refuse;
        self.rules.iter().all(|rule| logs(rule) || rule.source.then.mode == Mode::Audit)
    }

    /// The rules that apply to an exchange with these facts.
    pub fn scope(&self, facts: &Facts<'_>) -> Scope {
        self.index.scope(facts)
    }

    /// The rules that act on content at `stage`, but for those that an exemption takes away there.
    pub(crate) fn judged(&self, scope: &Scope, stage: Stage) -> RuleSet {
        self.applying(scope, stage, &self.by_content)
    }

    /// The rules that act by place alone at `stage`, but for those that an exemption takes away there.
    pub(crate) fn placed(&self, scope: &Scope, stage: Stage) -> RuleSet {
        self.applying(scope, stage, &self.by_place)
    }

    /// The rules of `kind` in scope.
    pub(crate) fn in_scope(&self, scope: &Scope, stage: Stage, kind: &RuleSet) -> RuleSet {
        let at = match stage {
            Stage::Request => &self.stages[0],
            Stage::Response => &self.stages[1],
            Stage::Stream => &self.stages[2],
        };
        scope.rules.and(at).and(kind)
    }

    fn applying(&self, scope: &Scope, stage: Stage, kind: &RuleSet) -> RuleSet {
        let rules = self.in_scope(scope, stage, kind);
        let exemptions = self.in_scope(scope, stage, &self.exempt_by_place);
        if exemptions.is_empty() {
            return rules;
        }
        let exempt = exemptions.iter().filter_map(|at| self.rules.get(at));
        exempt.fold(rules, |rules, exemption| rules.without(&exemption.exempts))
    }

    /// Names of the exemptions by place that take away a rule of `kind` which would apply otherwise.
    pub(crate) fn exemptions(&self, scope: &Scope, stage: Stage, by_place: bool) -> Vec<Arc<str>> {
        let kind = if by_place { &self.by_place } else { &self.by_content };
        let rules = self.in_scope(scope, stage, kind);
        let exemptions = self.in_scope(scope, stage, &self.exempt_by_place);
        let used = exemptions.iter().filter_map(|at| self.rules.get(at));
        used.filter(|it| !it.exempts.and(&rules).is_empty()).map(|it| it.name.clone()).collect()
    }

    /// The conditions that a finding of this detector's rule may meet, in order; `None` for a rule that is not known.
    pub(crate) fn conditions_of(&self, rule: RuleIndex) -> Option<&[u16]> {
        let list = self.selections.get(usize::try_from(rule.0).ok()?)?;
        self.lists.get(usize::try_from(*list).ok()?).map(|list| &**list)
    }
}

fn compiled(
    at: usize,
    source: Rule,
    names: &[String],
    guardrails: &[Guardrail],
    catalogue: &Catalogue<'_>,
    conditions: &mut Vec<Tested>,
) -> Compiled {
    let first = conditions.len();
    let action = match &source.then.effect {
        Effect::Act(action) => Some(*action),
        Effect::Exempt(_) => None,
    };
    let mut own = GuardrailSet::default();
    let mut replaced = GuardrailSet::default();
    let mut may_refuse = false;
    for condition in &source.when {
        let what = match condition {
            Condition::Found(found) => What::Found(found.clone()),
            Condition::Guardrail(verdict) => {
                let position = guardrails.iter().position(|one| one.name == verdict.guardrail);
                let Some(index) = position.and_then(GuardrailIndex::at) else { continue };
                let theirs = guardrails.get(index.position()).and_then(|one| one.on_error);
                let on_error = on_error(&source, theirs);
                own.insert(index);
                may_refuse |= on_error != OnError::Allow;
                if on_error == OnError::Builtin {
                    replaced.insert(index);
                }
                What::Verdict(verdict.clone(), index, on_error)
            }
        };
        conditions.push(Tested { rule: at, what });
    }
    if !replaced.is_empty() && action.is_some() {
        conditions.push(Tested { rule: at, what: What::Fallback(fallback(action), replaced) });
    }
    let conditions_of = first..conditions.len();
    let mut detectors = Detectors::default();
    for tested in conditions.get(conditions_of.clone()).unwrap_or_default() {
        let (What::Found(found) | What::Fallback(found, _)) = &tested.what else { continue };
        let selected = catalogue.detectors.iter().filter(|rule| found.selects(rule));
        selected.for_each(|rule| detectors.insert(rule.class, rule.tier));
    }
    let on_gap = match on_error(&source, None) {
        OnError::Builtin => OnError::Block,
        other => other,
    };
    may_refuse |= on_gap == OnError::Block && !detectors.is_empty();
    let mut exempts = RuleSet::EMPTY;
    if let Effect::Exempt(rules) = &source.then.effect {
        let positions = rules.iter().filter_map(|name| names.iter().position(|other| other == name));
        positions.for_each(|position| exempts.insert(position));
    }
    Compiled {
        name: source.name.as_str().into(),
        message: source.then.message.as_deref().map(Arc::from),
        operation: source.then.operation.unwrap_or(match action {
            Some(Action::Mask) => Operation::Mutate,
            _ => Operation::Validate,
        }),
        conditions: conditions_of,
        exempts,
        guardrails: own,
        detectors,
        on_gap,
        may_refuse: may_refuse && action.is_some() && source.then.mode == Mode::Enforce,
        source,
    }
}

/// What a rule does about a failure; `theirs` is the setting of the guardrail that failed, if one did.
fn on_error(rule: &Rule, theirs: Option<OnError>) -> OnError {
    let by_action = match &rule.then.effect {
        Effect::Act(Action::Mask | Action::Block) => OnError::Block,
        Effect::Act(Action::Log) | Effect::Exempt(_) => OnError::Allow,
    };
    match rule.then.mode {
        Mode::EnforceIgnoreErrors => OnError::Allow,
        Mode::Audit | Mode::Enforce => rule.then.on_error.or(theirs).unwrap_or(by_action),
    }
}

/// What our own detectors look for in the place of a guardrail that failed. Instructions to a model are refused or
/// noted; there is nothing in them to mask.
fn fallback(action: Option<Action>) -> Found {
    let mut classes = vec![Class::Secret, Class::Pii];
    if action != Some(Action::Mask) {
        classes.push(Class::Injection);
    }
    Found { classes, ..Found::default() }
}

/// For each detector's rule, which conditions its findings may meet. Most rules share their list with many others.
fn selections(conditions: &[Tested], detectors: &[narrows_guard::Rule]) -> (Vec<u32>, Vec<Box<[u16]>>) {
    let mut known: HashMap<Box<[u16]>, u32> = HashMap::new();
    let mut lists = Vec::new();
    let selections = detectors
        .iter()
        .map(|rule| {
            let selected = (0u16..).zip(conditions).filter(|(_, tested)| match &tested.what {
                What::Found(found) | What::Fallback(found, _) => found.selects(rule),
                What::Verdict(..) => false,
            });
            let list: Box<[u16]> = selected.map(|(at, _)| at).collect();
            *known.entry(list).or_insert_with_key(|list| {
                lists.push(list.clone());
                u32::try_from(lists.len() - 1).unwrap_or(u32::MAX)
            })
        })
        .collect();
    (selections, lists)
}
