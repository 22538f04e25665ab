//! Which entities are looked for.

use std::collections::BTreeMap;

use crate::Tier;

/// When a match is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Never.
    Off,
    /// With a word nearby that says what it is.
    InContext,
    /// Always.
    Always,
}

/// Which entities are looked for, by tier and by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Entities and ways of writing of tier A.
    pub a: Mode,
    /// Those of tier B.
    pub b: Mode,
    /// Those of tier C.
    pub c: Mode,
    /// Rules by their id, instead of their tier.
    pub rules: BTreeMap<Box<str>, Mode>,
}

impl Default for Settings {
    /// Tier A always, tier B with context, tier C never.
    fn default() -> Settings {
        Settings { a: Mode::Always, b: Mode::InContext, c: Mode::Off, rules: BTreeMap::new() }
    }
}

impl Settings {
    /// The mode of a rule's match that was written in a way of the given tier.
    pub(super) fn mode(&self, id: &str, tier: Tier) -> Mode {
        let by_tier = match tier {
            Tier::A => self.a,
            Tier::B => self.b,
            Tier::C => self.c,
        };
        self.rules.get(id).copied().unwrap_or(by_tier)
    }
}
