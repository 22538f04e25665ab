//! Rules for secrets: what they are, and how they are read from files in gitleaks' published format.

mod allow;
mod load;
pub(crate) mod prepared;
mod syntax;

pub(crate) use allow::Views;
pub use allow::{Allowlist, Condition, Target};
pub use load::{LoadError, MAX_FILE_BYTES, MAX_RULES};
pub use syntax::from_go;

use crate::anchor::Derived;
use crate::finding::{Class, Rule, Tier};
use crate::regex::Expression;
use std::sync::Arc;

/// A structural check of a secret's bytes: a checksum, a header that decodes.
pub type Check = fn(&[u8]) -> bool;

/// Another pattern that must stand near a match (gitleaks' composite rules).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// Place in the set of the rule that must match too.
    pub rule: usize,
    /// At most so many lines away; anywhere in the searched text if absent.
    pub within_lines: Option<usize>,
    /// At most so many columns (bytes of the line) away.
    pub within_columns: Option<usize>,
}

/// A rule: a regular expression and what must hold of its matches.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Name, entity, tier and description as people and policies see them.
    pub rule: Rule,
    /// The expression; matched on bytes, `\w`, `\d`, `\s` and `\b` are ASCII.
    pub regex: Expression,
    /// The group that is the secret; 0 is the first group that took part, or the whole match where there is none.
    pub secret_group: usize,
    /// Shannon entropy, in bits a byte, that the secret must exceed.
    pub entropy: Option<f64>,
    /// Words, in lower case, of which the text must hold one.
    pub keywords: Vec<Box<str>>,
    /// Matches that are no findings.
    pub allowlists: Vec<Allowlist>,
    /// Patterns that must stand near.
    pub required: Vec<Required>,
    /// Words, in lower case, of which one must stand within [`crate::secret::CONTEXT_BYTES`] of the match.
    pub context: Vec<Box<str>>,
    /// What the secret must pass.
    pub check: Option<Check>,
    /// Whether it serves other rules only and reports nothing by itself.
    pub silent: bool,
    /// What it is found by, where that was derived beforehand.
    pub(crate) found_by: Option<Arc<Vec<Derived>>>,
}

/// Something in a file that has no meaning here, or another one than where the file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The rule's name; empty for the file.
    pub rule: Box<str>,
    /// One sentence.
    pub text: Box<str>,
}

/// Rules that were read together, with what their file says about all of them.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// In the file's order.
    pub patterns: Vec<Pattern>,
    /// Matches of any rule that are no findings.
    pub allowlists: Vec<Allowlist>,
    /// What was skipped, and why.
    pub notes: Vec<Note>,
    /// Everything that was read, for the engine's version.
    source: Vec<u8>,
}

impl RuleSet {
    /// Reads a file in gitleaks' format, as it is published. Every expression is compiled, so what is too large is refused.
    pub fn gitleaks(toml: &str) -> Result<RuleSet, LoadError> {
        let set = load::read(toml, &|_| None)?;
        for pattern in &set.patterns {
            let refuse =
                |cause: &str| LoadError::Rule { rule: pattern.rule.id.to_string(), cause: cause.to_owned() };
            pattern.regex.compiled().map_err(refuse)?;
        }
        Ok(set)
    }

    /// Reads a file of our own: the same format with the keys `entity`, `tier`, `check` and `context`, the checks by name.
    /// Expressions are compiled when they are needed first, which for most of them is never; tests see to it that all can
    /// be.
    pub fn with_checks(toml: &str, checks: &dyn Fn(&str) -> Option<Check>) -> Result<RuleSet, LoadError> {
        load::read(toml, checks)
    }

    /// Adds another file's rules. Allowlists of a file hold for its own rules.
    pub fn append(&mut self, mut other: RuleSet) {
        let base = self.patterns.len();
        for pattern in &mut other.patterns {
            for required in &mut pattern.required {
                required.rule += base;
            }
            pattern.allowlists.extend(other.allowlists.iter().cloned());
        }
        if !self.allowlists.is_empty() {
            let own = std::mem::take(&mut self.allowlists);
            for pattern in &mut self.patterns {
                pattern.allowlists.extend(own.iter().cloned());
            }
        }
        self.patterns.append(&mut other.patterns);
        self.notes.append(&mut other.notes);
        self.source.append(&mut other.source);
    }

    /// What was read: two sets with the same source find the same.
    pub fn source(&self) -> &[u8] {
        &self.source
    }
}

/// A name such as `aws-access-token` as the word in placeholders: `AWS_ACCESS_TOKEN`.
fn entity_of(id: &str) -> Box<str> {
    id.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect::<String>()
        .into()
}

/// A rule of the class secret with the defaults of gitleaks' format.
fn secret_rule(id: &str, description: &str) -> Rule {
    Rule {
        id: id.into(),
        entity: entity_of(id),
        class: Class::Secret,
        tier: Tier::A,
        description: description.into(),
    }
}
