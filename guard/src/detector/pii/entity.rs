//! What is known of one entity.

use super::form::Form;
use crate::Tier;

/// How much a match says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// A check digit, or as good: a wrong value passes one time in ten or less.
    Checksum,
    /// A shape that hardly anything else has.
    Shape,
    /// A shape that many things have.
    Loose,
}

impl Proof {
    /// How sure a finding is, from 0 to 100, without and with a word of context.
    pub(super) fn score(self, context: bool) -> u8 {
        match (self, context) {
            (Proof::Checksum, true) => 95,
            (Proof::Checksum, false) => 80,
            (Proof::Shape, true) => 85,
            (Proof::Shape, false) => 70,
            (Proof::Loose, true) => 60,
            (Proof::Loose, false) => 30,
        }
    }
}

/// What is looked for, and how.
pub(super) struct Entity {
    /// Name of the rule.
    pub(super) id: &'static str,
    /// Word in placeholders.
    pub(super) entity: &'static str,
    /// When the rule is on; a form may need more.
    pub(super) tier: Tier,
    /// One line for people.
    pub(super) about: &'static str,
    /// How much a match says.
    pub(super) proof: Proof,
    /// How it is written. Empty where a parser of its own finds it.
    pub(super) forms: &'static [Form],
    /// Words that stand near it.
    pub(super) context: &'static [&'static str],
}
