//! What operators name: words, names of projects, regular expressions.
//!
//! Words and names are compared in the folded view ([`crate::fold`]), so case, full-width letters, look-alikes and
//! invisible characters do not hide them; they match whole words only. Expressions see the raw text.
//!
//! Everything is checked when rules are loaded: an expression that could be slow, large or match nothing is refused with
//! the rule's name and the cause. What is accepted costs time linear in the text.

mod expression;
mod words;

use crate::detector::Detector;
use crate::finding::{Class, Hit, Provenance, Rule, Tier};
use crate::fold::{Folded, fold};
use expression::Expressions;
use words::Words;

pub use expression::{MAX_EXPRESSIONS, MAX_FREE_DFA_BYTES, MAX_FREE_EXPRESSIONS, MAX_STATES};
pub use words::{MAX_WORD_BYTES, MAX_WORDS, MAX_WORDS_BYTES, MIN_WORD_CHARS};

/// Most rules of an operator.
pub const MAX_RULES: usize = 1_000;

/// Longest name of a rule, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// Longest entity, in bytes: it is part of each placeholder.
pub const MAX_ENTITY_BYTES: usize = 32;

/// Most values that are no findings, over all rules.
pub const MAX_ALLOWED: usize = 10_000;

/// Most hits reported per text.
pub const MAX_HITS: usize = 10_000;

/// Longest value that is found the same however a text is cut into pieces, in bytes.
pub const SPAN_BYTES: usize = 4_096;

/// Grows with every change of code that changes findings.
const REVISION: u32 = 1;

/// How a rule finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Find {
    /// Any of these words or phrases as whole words: a keyword or a dictionary.
    Words {
        /// The words.
        words: Vec<Box<str>>,
        /// Compare bytes of the raw text instead of the folded view: case and accents count.
        exact: bool,
    },
    /// Names of projects and the like, of one or more words: written together or with a blank, dash, underscore or dot, in
    /// any case, also as a part of an identifier (`BlueMoonClient`).
    Names(Vec<Box<str>>),
    /// A regular expression in Rust's syntax, linear in time; `\w`, `\d`, `\s` and `\b` are ASCII.
    Expression {
        /// The expression.
        pattern: Box<str>,
        /// The group that is the value; 0 is the first group that took part, or the whole match where there is none.
        group: usize,
    },
}

/// A rule of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRule {
    /// Lower case letters, digits and dashes; unique.
    pub id: Box<str>,
    /// Upper case letters, digits and underscores; the word in placeholders.
    pub entity: Box<str>,
    /// One line for people.
    pub description: Box<str>,
    /// How sure a hit is, 0 to 100.
    pub score: u8,
    /// What it finds.
    pub find: Find,
    /// Values that are no findings, compared in the folded view.
    pub allow: Vec<Box<str>>,
}

/// A part of a rule that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The rule as a whole, or its name.
    Whole,
    /// Its entity.
    Entity,
    /// Its score.
    Score,
    /// The word or name with this number, from 0.
    Word(usize),
    /// Its expression.
    Expression,
    /// The group of its expression.
    Group,
}

/// Why rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomError {
    /// One rule is at fault.
    #[error("custom rule `{rule}`: {cause}")]
    Rule {
        /// Its name.
        rule: String,
        /// What of it.
        part: Part,
        /// What is wrong and, where there is one, the limit.
        cause: String,
    },
    /// All rules together are.
    #[error("custom rules: {0}")]
    Rules(String),
}

fn fault(rule: &CustomRule, part: Part, cause: impl Into<String>) -> CustomError {
    CustomError::Rule { rule: rule.id.to_string(), part, cause: cause.into() }
}

/// The detector. Immutable: a change of rules is a new one.
#[derive(Debug)]
pub struct Custom {
    rules: Vec<Rule>,
    scores: Vec<u8>,
    /// By rule, sorted, folded.
    allowed: Vec<Vec<String>>,
    words: Words,
    expressions: Expressions,
    /// Everything that decides findings.
    source: Vec<u8>,
}

impl Custom {
    /// Checks and compiles the rules.
    pub fn new(rules: Vec<CustomRule>) -> Result<Custom, CustomError> {
        check(&rules)?;
        let words = Words::new(&rules)?;
        let expressions = Expressions::new(&rules)?;
        let folded = |rule: &CustomRule| {
            let mut all: Vec<String> = rule.allow.iter().map(|value| fold(value)).collect();
            all.sort_unstable();
            all
        };
        Ok(Custom {
            scores: rules.iter().map(|rule| rule.score).collect(),
            allowed: rules.iter().map(folded).collect(),
            source: format!("{REVISION} {rules:?}").into_bytes(),
            words,
            expressions,
            rules: rules.into_iter().map(public).collect(),
        })
    }

    /// [`Detector::scan`] where the folded view of the text is there already.
    pub fn scan_folded(&self, text: &str, folded: &Folded, base: u32, out: &mut Vec<Hit>) {
        let first = out.len();
        self.words.scan(text, folded, out);
        self.expressions.scan(text, out);
        let mut found = out.split_off(first);
        found.retain_mut(|hit| self.judge(text, hit));
        found.truncate(MAX_HITS);
        for hit in &mut found {
            hit.rule.0 += base;
        }
        out.append(&mut found);
    }

    /// Sets the rule's score; says whether the value is a finding.
    fn judge(&self, text: &str, hit: &mut Hit) -> bool {
        let Ok(rule) = usize::try_from(hit.rule.0) else { return false };
        hit.score = self.scores.get(rule).copied().unwrap_or_default();
        let Some(allowed) = self.allowed.get(rule).filter(|allowed| !allowed.is_empty()) else { return true };
        let value = fold(text.get(hit.range.clone()).unwrap_or_default());
        allowed.binary_search(&value).is_err()
    }
}

impl Detector for Custom {
    fn rules(&self) -> Vec<Rule> {
        self.rules.clone()
    }

    fn scan(&self, text: &str, _: Provenance, base: u32, out: &mut Vec<Hit>) {
        let folded = if self.words.fold() { Folded::new(text) } else { Folded::default() };
        self.scan_folded(text, &folded, base, out);
    }

    fn revision(&self) -> Vec<u8> {
        self.source.clone()
    }
}

fn public(rule: CustomRule) -> Rule {
    Rule {
        id: rule.id,
        entity: rule.entity,
        class: Class::Custom,
        tier: Tier::A,
        description: rule.description,
    }
}

fn check(rules: &[CustomRule]) -> Result<(), CustomError> {
    if rules.len() > MAX_RULES {
        return Err(CustomError::Rules(format!("{} rules, more than {MAX_RULES}", rules.len())));
    }
    let allowed: usize = rules.iter().map(|rule| rule.allow.len()).sum();
    if allowed > MAX_ALLOWED {
        return Err(CustomError::Rules(format!("{allowed} allowed values, more than {MAX_ALLOWED}")));
    }
    let mut ids = std::collections::HashSet::new();
    for rule in rules {
        let id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let entity = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=MAX_ID_BYTES).contains(&rule.id.len()) || !rule.id.bytes().all(id) {
            let cause = format!("a name has 1 to {MAX_ID_BYTES} lower case letters, digits and dashes");
            return Err(fault(rule, Part::Whole, cause));
        }
        if !(1..=MAX_ENTITY_BYTES).contains(&rule.entity.len()) || !rule.entity.bytes().all(entity) {
            let cause =
                format!("an entity has 1 to {MAX_ENTITY_BYTES} upper case letters, digits and underscores");
            return Err(fault(rule, Part::Entity, cause));
        }
        if rule.score > 100 {
            return Err(fault(rule, Part::Score, "a score is 0 to 100"));
        }
        if !ids.insert(&rule.id) {
            return Err(fault(rule, Part::Whole, "another rule has this name"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
