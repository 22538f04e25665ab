//! External guardrails as rules see them: a name, an order, and what came of asking.

use crate::rule::OnError;
use crate::set::Bits;
use crate::stage::Gap;

/// Most external guardrails of one configuration.
pub const GUARDRAILS_MAX: usize = 64;

/// A configured external guardrail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// Its name in the configuration.
    pub name: String,
    /// Its turn among guardrails that rewrite, lowest first.
    pub priority: u32,
    /// What happens when it fails, for rules that do not say it themselves.
    pub on_error: Option<OnError>,
}

/// Position of a guardrail in a [`PolicySet`](crate::PolicySet), in order of priority and then of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GuardrailIndex(pub(crate) u8);

impl GuardrailIndex {
    /// The position of the `at`th guardrail; `None` for one too many.
    pub(crate) fn at(at: usize) -> Option<GuardrailIndex> {
        u8::try_from(at).ok().filter(|_| at < GUARDRAILS_MAX).map(GuardrailIndex)
    }

    pub(crate) fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// Some guardrails of a [`PolicySet`](crate::PolicySet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuardrailSet(pub(crate) u64);

impl GuardrailSet {
    pub(crate) fn insert(&mut self, guardrail: GuardrailIndex) {
        self.0 |= 1 << guardrail.0;
    }

    /// Whether `guardrail` is one of them.
    pub fn contains(self, guardrail: GuardrailIndex) -> bool {
        self.0 & (1 << guardrail.0) != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Them, in the order in which those that rewrite must be asked.
    pub fn iter(self) -> impl Iterator<Item = GuardrailIndex> {
        Bits(self.0).filter_map(GuardrailIndex::at)
    }
}

/// What came of asking a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Which one was asked.
    pub guardrail: GuardrailIndex,
    /// What it said.
    pub outcome: Outcome<'a>,
}

/// What a guardrail said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Nothing against it.
    Passed,
    /// Something, in its own words, and nothing to put in its place.
    Flagged {
        /// What it found.
        categories: &'a [&'a str],
        /// How sure it is, 0 to 100, if it says.
        score: Option<u8>,
    },
    /// Something, and the word that the text must not go on, whatever is put in its place.
    Blocked {
        /// What it found.
        categories: &'a [&'a str],
    },
    /// Something, and a text to use instead.
    Rewritten {
        /// What it found.
        categories: &'a [&'a str],
        /// How sure it is, 0 to 100, if it says.
        score: Option<u8>,
        /// How many rewritings the text it was given had been through: our own masks count as one if there were any,
        /// then each guardrail's that was taken over.
        after: u32,
    },
    /// It gave no verdict: no answer, a late one, or one that makes no sense.
    Failed(Gap),
}
