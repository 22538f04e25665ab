//! Whether a match of a pattern is a finding.

use super::CONTEXT_BYTES;
use super::compiled::Ready;
use super::entropy::shannon;
use crate::finding::{Hit, RuleIndex, Tier};
use crate::rules::{Allowlist, Pattern, Required, Views};
use regex_automata::{Anchored, Input};
use std::ops::Range;

/// Most bytes of a line that an allowlist sees on each side of a match.
const MAX_LINE: usize = 1_024;

/// What matches are judged by.
pub(crate) struct Judge<'a> {
    pub(crate) text: &'a str,
    pub(crate) patterns: &'a [Ready],
    pub(crate) allowlists: &'a [Allowlist],
    pub(crate) base: u32,
}

/// A match, and the end of what its search saw.
pub(crate) struct Span {
    pub(crate) range: Range<usize>,
    pub(crate) window: usize,
}

impl Judge<'_> {
    /// Appends the match's secret if it is a finding.
    pub(crate) fn judge(&self, number: u32, span: Span, out: &mut Vec<Hit>) {
        let ready = &self.patterns[number as usize];
        let pattern = &ready.pattern;
        let Some(secret) = self.secret(ready, &span) else { return };
        let bytes = &self.text.as_bytes()[secret.clone()];
        if secret.is_empty()
            || pattern.entropy.is_some_and(|floor| shannon(bytes) <= floor)
            || pattern.check.is_some_and(|check| !check(bytes))
            || !self.keyword(pattern, &span.range)
            || !self.context(pattern, &span.range)
            || self.allowed(pattern, &secret, &span.range)
            || !pattern.required.iter().all(|required| self.required(required, &span.range))
        {
            return;
        }
        out.push(Hit {
            rule: RuleIndex(self.base + number),
            range: self.snap(secret),
            score: score(pattern),
        });
    }

    /// The secret group's range.
    fn secret(&self, ready: &Ready, span: &Span) -> Option<Range<usize>> {
        if ready.pattern.regex.groups() == 1 {
            return Some(span.range.clone());
        }
        let regex = ready.regex()?;
        let input =
            Input::new(self.text.as_bytes()).range(span.range.start..span.window).anchored(Anchored::Yes);
        let mut captures = regex.create_captures();
        regex.search_captures(&input, &mut captures);
        let group = match ready.pattern.secret_group {
            0 => (1..captures.group_len())
                .filter_map(|group| captures.get_group(group))
                .find(|group| !group.is_empty()),
            group => return captures.get_group(group).map(|group| group.range()),
        };
        Some(group.map_or_else(|| span.range.clone(), |group| group.range()))
    }

    /// Whether one of the rule's keywords stands in the text; mostly in the match itself.
    fn keyword(&self, pattern: &Pattern, range: &Range<usize>) -> bool {
        let text = self.text.as_bytes();
        pattern.keywords.is_empty()
            || has_any(&text[range.clone()], &pattern.keywords)
            || has_any(text, &pattern.keywords)
    }

    /// Whether a context word stands near.
    fn context(&self, pattern: &Pattern, range: &Range<usize>) -> bool {
        let from = range.start.saturating_sub(CONTEXT_BYTES);
        let to = (range.end + CONTEXT_BYTES).min(self.text.len());
        pattern.context.is_empty() || has_any(&self.text.as_bytes()[from..to], &pattern.context)
    }

    fn allowed(&self, pattern: &Pattern, secret: &Range<usize>, range: &Range<usize>) -> bool {
        if pattern.allowlists.is_empty() && self.allowlists.is_empty() {
            return false;
        }
        let text = self.text.as_bytes();
        let (before, after) = (&text[..range.start], &text[range.end..]);
        let before = &before[before.len().saturating_sub(MAX_LINE)..];
        let line_start =
            range.start - memchr::memrchr(b'\n', before).map_or(before.len(), |at| before.len() - at - 1);
        let after = &after[..after.len().min(MAX_LINE)];
        let line_end = range.end + memchr::memchr(b'\n', after).unwrap_or(after.len());
        let views = Views {
            secret: &text[secret.clone()],
            whole: &text[range.clone()],
            lines: &text[line_start..line_end],
        };
        pattern.allowlists.iter().chain(self.allowlists).any(|list| list.allows(views))
    }

    /// Whether a rule that this one requires matches near enough.
    fn required(&self, required: &Required, range: &Range<usize>) -> bool {
        let text = self.text.as_bytes();
        let Some(other) = self.patterns.get(required.rule).and_then(Ready::regex) else { return false };
        let lines = required.within_lines.map_or(0..text.len(), |lines| {
            let start = memchr::memrchr_iter(b'\n', &text[..range.start]).nth(lines).map_or(0, |at| at + 1);
            let end = memchr::memchr_iter(b'\n', &text[range.end..])
                .nth(lines)
                .map_or(text.len(), |at| range.end + at);
            start..end
        });
        let column = |at: usize| at - memchr::memrchr(b'\n', &text[..at]).map_or(0, |line| line + 1);
        let own = column(range.start);
        other.find_iter(Input::new(text).range(lines)).any(|found| {
            required.within_columns.is_none_or(|columns| column(found.start()).abs_diff(own) <= columns)
        })
    }

    /// Ends on character boundaries: expressions match bytes.
    fn snap(&self, range: Range<usize>) -> Range<usize> {
        let start = (0..=range.start).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let end = (range.end..=self.text.len())
            .find(|at| self.text.is_char_boundary(*at))
            .unwrap_or(self.text.len());
        start..end
    }
}

/// Whether one of some words in lower case stands in a text in any case.
fn has_any(text: &[u8], words: &[Box<str>]) -> bool {
    words.iter().any(|word| {
        let Some(first) = word.bytes().next() else { return true };
        memchr::memchr2_iter(first, first.to_ascii_uppercase(), text).any(|at| {
            text[at..].get(..word.len()).is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
        })
    })
}

/// How sure a pattern is.
fn score(pattern: &Pattern) -> u8 {
    match (pattern.check.is_some(), pattern.rule.tier) {
        (true, _) => 99,
        (false, Tier::A) => 90,
        (false, Tier::B) => 70,
        (false, Tier::C) => 50,
    }
}
