//! Allowlists: matches that are no findings.

use crate::regex::Expression;
use aho_corasick::AhoCorasick;

/// Whether all or any of an allowlist's parts must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// One is enough.
    Any,
    /// All that the list has.
    All,
}

/// What an allowlist's expressions look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The secret group.
    Secret,
    /// The whole match.
    Match,
    /// The lines that the match touches.
    Line,
}

/// One allowlist.
#[derive(Debug, Clone)]
pub struct Allowlist {
    /// How its parts are joined.
    pub condition: Condition,
    /// What its expressions look at.
    pub target: Target,
    /// Expressions.
    pub regexes: Vec<Expression>,
    /// Words inside of the secret, in any case.
    pub stopwords: Option<AhoCorasick>,
    /// Whether it also asks for paths or commits, which no text of a conversation has.
    pub elsewhere: bool,
}

/// The three views of a match.
#[derive(Clone, Copy)]
pub(crate) struct Views<'a> {
    pub(crate) secret: &'a [u8],
    pub(crate) whole: &'a [u8],
    pub(crate) lines: &'a [u8],
}

impl Allowlist {
    /// Whether a match is excused.
    pub(crate) fn allows(&self, views: Views<'_>) -> bool {
        let text = match self.target {
            Target::Secret => views.secret,
            Target::Match => views.whole,
            Target::Line => views.lines,
        };
        let matches = |regex: &Expression| regex.compiled().is_ok_and(|regex| regex.is_match(text));
        let regexes = (!self.regexes.is_empty()).then(|| self.regexes.iter().any(matches));
        let words = self.stopwords.as_ref().map(|words| words.is_match(views.secret));
        match self.condition {
            Condition::Any => regexes == Some(true) || words == Some(true),
            Condition::All => {
                !self.elsewhere
                    && regexes != Some(false)
                    && words != Some(false)
                    && (regexes.is_some() || words.is_some())
            }
        }
    }
}
