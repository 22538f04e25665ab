//! What must be done before a decision can be made, so that nothing else is.

use crate::action::Action;
use crate::compile::PolicySet;
use crate::guardrail::GuardrailSet;
use crate::rule::{Effect, Operation, Streams};
use crate::scope::Scope;
use crate::stage::{Mode, Stage};
use narrows_guard::{Class, Tier};

/// Families and tiers of detectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detectors(u16);

/// Tiers of a family.
const TIERS: u16 = 3;

impl Detectors {
    fn bit(class: Class, tier: Tier) -> u16 {
        let class = match class {
            Class::Secret => 0,
            Class::Pii => 1,
            Class::Injection => 2,
            Class::Custom => 3,
        };
        let tier = match tier {
            Tier::A => 0,
            Tier::B => 1,
            Tier::C => 2,
        };
        1 << (class * TIERS + tier)
    }

    pub(crate) fn insert(&mut self, class: Class, tier: Tier) {
        self.0 |= Detectors::bit(class, tier);
    }

    pub(crate) fn extend(&mut self, other: Detectors) {
        self.0 |= other.0;
    }

    /// Whether rules of this family and tier must run.
    pub fn contains(self, class: Class, tier: Tier) -> bool {
        self.0 & Detectors::bit(class, tier) != 0
    }

    /// Whether a rule of this family must run.
    pub fn any(self, class: Class) -> bool {
        [Tier::A, Tier::B, Tier::C].into_iter().any(|tier| self.contains(class, tier))
    }

    /// Whether none must run.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a stage of an exchange needs. Everything else may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Our own detectors.
    pub detectors: Detectors,
    /// Guardrails whose verdict counts; they may run beside each other.
    pub validators: GuardrailSet,
    /// Guardrails whose rewriting counts; they run one after the other, in order, after our own masks.
    pub mutators: GuardrailSet,
    /// Whether the body may have to be changed or refused, and so must be held until the decision; of a stream, a window
    /// of it.
    pub hold: bool,
}

impl Needs {
    /// Whether there is nothing to do.
    pub fn is_nothing(&self) -> bool {
        self.detectors.is_empty() && self.validators.is_empty() && self.mutators.is_empty()
    }
}

impl PolicySet {
    /// What `stage` of an exchange needs.
    pub fn needs(&self, scope: &Scope, stage: Stage) -> Needs {
        let mut needs = Needs::default();
        for rule in self.judged(scope, stage).iter().filter_map(|at| self.rules.get(at)) {
            needs.detectors.extend(rule.detectors);
            let enforced = rule.source.then.mode != Mode::Audit;
            let rewrites = enforced && stage != Stage::Stream && rule.operation == Operation::Mutate;
            match rewrites {
                true => needs.mutators.0 |= rule.guardrails.0,
                false => needs.validators.0 |= rule.guardrails.0,
            }
            let acts = matches!(rule.source.then.effect, Effect::Act(Action::Mask | Action::Block));
            // A rule that logs may refuse too, if it says so for errors.
            let reached = stage != Stage::Stream || rule.source.then.streams == Streams::Gated;
            needs.hold |= enforced && reached && (acts || rule.may_refuse);
        }
        needs.validators.0 &= !needs.mutators.0;
        needs
    }
}
