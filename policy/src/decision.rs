//! What was decided, by which rules, and why.

use crate::action::Action;
use crate::guardrail::GuardrailIndex;
use crate::stage::{Gap, Mode, Stage};
use crate::version::Version;
use narrows_guard::RuleIndex;
use std::sync::Arc;

/// What is to happen with one stage of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which stage.
    pub stage: Stage,
    /// What the rules in force ask for: the strictest of them; `None` when none fired. A rule in audit, or one whose
    /// error passes, asks for [`Action::Log`].
    pub action: Option<Action>,
    /// What would be asked for if every rule that fired were in force and carried out.
    pub would: Option<Action>,
    /// Whether `action` can be carried out. A stream is with the caller before it is known, so that content in it is
    /// neither masked nor refused.
    pub enforceable: bool,
    /// The rules that fired, the deciding ones first: by strictness, then by name.
    pub fired: Vec<Fired>,
    /// Exemptions that took something away.
    pub exemptions: Vec<Arc<str>>,
    /// Which findings to mask, by position, in order; only where that is the action and it is enforceable.
    pub masks: Vec<Mask>,
    /// Guardrails whose rewriting is taken over, in order, after our own masks; only where masking is the action and it
    /// is enforceable.
    pub adopted: Vec<GuardrailIndex>,
    /// What the deciding rule tells the caller, if it refuses and has something of its own to say.
    pub message: Option<Arc<str>>,
    /// Which rules decided.
    pub version: Version,
}

/// A finding to mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// Its position among the findings.
    pub finding: usize,
    /// Whether it is put back into the answer: only if every rule that masks it says so.
    pub restore: bool,
}

/// A rule that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Its name.
    pub rule: Arc<str>,
    /// What it would do if it were in force and enforceable.
    pub action: Action,
    /// What it asks for.
    pub does: Action,
    /// Its mode.
    pub mode: Mode,
    /// Whether what it asks for can be carried out.
    pub enforceable: bool,
    /// Whether it raises an alert.
    pub alert: bool,
    /// Why it fired.
    pub cause: Cause,
}

/// Why a rule fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// By its place alone.
    Place,
    /// Our own detectors found something.
    Found {
        /// Position of the first finding that counts.
        first: usize,
        /// The detector's rule that found it.
        rule: RuleIndex,
        /// How many count.
        count: u32,
    },
    /// Our own detectors found something that cannot be masked where it stands.
    Unmaskable {
        /// Position of the first such finding.
        first: usize,
        /// The detector's rule that found it.
        rule: RuleIndex,
    },
    /// A guardrail's verdict.
    Verdict(GuardrailIndex),
    /// A guardrail found something and gave nothing to put in its place.
    Unwritten(GuardrailIndex),
    /// Our own detectors could not inspect all.
    Gap(Gap),
    /// A guardrail gave no verdict.
    Failed(GuardrailIndex, Gap),
    /// A guardrail rewrote something other than the text as it was by then.
    Conflict(GuardrailIndex),
}

impl Decision {
    /// The decision that nothing is to happen. Allocates nothing.
    pub(crate) fn nothing(stage: Stage, version: Version) -> Decision {
        Decision {
            stage,
            action: None,
            would: None,
            enforceable: true,
            fired: Vec::new(),
            exemptions: Vec::new(),
            masks: Vec::new(),
            adopted: Vec::new(),
            message: None,
            version,
        }
    }

    /// What to do with the bytes: the action as far as it is enforceable. Only [`Action::Mask`] and [`Action::Block`]
    /// change anything.
    pub fn carried_out(&self) -> Option<Action> {
        match self.enforceable {
            true => self.action,
            false => {
                let enforceable = self.fired.iter().filter(|fired| fired.enforceable);
                self.action.and(enforceable.map(|fired| fired.does).max().or(Some(Action::Log)))
            }
        }
    }

    /// Whether the exchange must be refused.
    pub fn refuses(&self) -> bool {
        self.carried_out() == Some(Action::Block)
    }

    /// Whether nothing fired and nothing was taken away.
    pub fn is_nothing(&self) -> bool {
        self.fired.is_empty() && self.exemptions.is_empty()
    }

    /// Whether an alert is due.
    pub fn alerts(&self) -> bool {
        self.fired.iter().any(|fired| fired.alert)
    }

    /// The deciding rule: the first by name of the strictest that fired.
    pub fn deciding(&self) -> Option<&Fired> {
        self.fired.first()
    }
}
