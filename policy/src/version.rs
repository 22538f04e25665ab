//! Which rules decided: a hash of all that goes into a decision but the exchange.

use crate::compile::Catalogue;
use crate::rule::Rule;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};

/// A version of the rules, shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version as a number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The version of rules in any order, over what they may name.
    pub(crate) fn of(rules: &[Rule], catalogue: &Catalogue<'_>) -> Version {
        let mut sorted: Vec<&Rule> = rules.iter().collect();
        sorted.sort_by(|one, other| one.name.cmp(&other.name));
        let mut guardrails: Vec<_> = catalogue.guardrails.iter().collect();
        guardrails.sort_by(|one, other| one.name.cmp(&other.name));
        let mut hash = Hash(Sha256::new());
        // The derived text quotes every string, so that no two sets of rules have the same.
        let written = write!(hash, "{sorted:?} {guardrails:?}").and_then(|()| {
            catalogue.detectors.iter().try_for_each(|rule| {
                write!(hash, " {:?} {:?} {:?} {:?}", rule.id, rule.entity, rule.class, rule.tier)
            })
        });
        debug_assert!(written.is_ok(), "hashing does not fail");
        let digest = hash.0.finalize();
        let bytes = digest.iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte));
        Version(bytes)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Hashes what is written to it.
struct Hash(Sha256);

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
