//! Patterns made ready for search.

use super::evaluate::{Judge, Span};
use super::state::State;
use crate::anchor::{Derived, Literal, MAX_REACH, Matcher, derive};
use crate::finding::{Hit, Rule};
use crate::regex;
use crate::rules::{Allowlist, LoadError, Note, Pattern, RuleSet};
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use std::collections::HashMap;
use std::ops::Range;

/// A pattern ready for search.
pub(crate) struct Ready {
    pub(crate) pattern: Pattern,
    pub(crate) regex: Regex,
    /// The branches by which it is found.
    derived: Vec<Derived>,
}

/// What a literal's place means.
#[derive(Debug, Clone, Copy)]
enum Use {
    /// Search this branch of this pattern around it.
    Window { pattern: u32, branch: u32 },
    /// The pattern has no literals, but one of its keywords stands here: search the whole slice.
    Keyword { pattern: u32 },
}

/// Windows of a slice may have so many times the slice's bytes, for each pattern, before the whole slice is searched once.
const BUDGET_FACTOR: usize = 4;

/// And so many bytes more.
const BUDGET_FLOOR: usize = 16 << 10;

/// All patterns of an engine.
pub(crate) struct Secrets {
    pub(crate) ready: Vec<Ready>,
    allowlists: Vec<Allowlist>,
    matcher: Matcher,
    /// By literal: the range of its uses.
    uses: Vec<Range<usize>>,
    all_uses: Vec<Use>,
    /// Patterns with neither literals nor keywords.
    always: Vec<u32>,
    pub(crate) notes: Vec<Note>,
}

impl Secrets {
    /// Compiles the patterns.
    pub(crate) fn new(set: RuleSet) -> Result<Secrets, LoadError> {
        let mut literals: HashMap<Literal, Vec<Use>> = HashMap::new();
        let (mut ready, mut always, mut notes) = (Vec::new(), Vec::new(), set.notes);
        for (number, pattern) in set.patterns.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let refuse = |cause| LoadError::Rule { rule: pattern.rule.id.to_string(), cause };
            let regex = regex::compile(&pattern.regex).map_err(refuse)?;
            let derived = if pattern.silent { Vec::new() } else { derive_of(&pattern) };
            for (branch, one) in derived.iter().enumerate() {
                let branch = u32::try_from(branch).unwrap_or(u32::MAX);
                for literal in &one.literals {
                    literals
                        .entry(literal.clone())
                        .or_default()
                        .push(Use::Window { pattern: number, branch });
                }
            }
            if derived.is_empty() && !pattern.silent {
                let usable = |word: &str| word.len() >= crate::anchor::MIN_LITERAL;
                let keywords: Vec<&str> = pattern.keywords.iter().map(|word| &**word).collect();
                let all_usable = !keywords.is_empty() && keywords.iter().all(|word| usable(word));
                let text = match all_usable {
                    true => {
                        "no literal is in every match: where a keyword stands, all text around is searched"
                    }
                    false => "no literal is in every match, and no keyword helps: all text is searched",
                };
                notes.push(Note { rule: pattern.rule.id.clone(), text: text.into() });
                if all_usable {
                    for word in keywords {
                        literals
                            .entry(Literal::caseless(word))
                            .or_default()
                            .push(Use::Keyword { pattern: number });
                    }
                } else {
                    always.push(number);
                }
            }
            ready.push(Ready { pattern, regex, derived });
        }
        let mut sorted: Vec<(Literal, Vec<Use>)> = literals.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut names, mut uses, mut all_uses) = (Vec::new(), Vec::new(), Vec::new());
        for (literal, own) in sorted {
            names.push(literal);
            uses.push(all_uses.len()..all_uses.len() + own.len());
            all_uses.extend(own);
        }
        let allowlists = set.allowlists;
        Ok(Secrets { ready, allowlists, matcher: Matcher::new(names), uses, all_uses, always, notes })
    }

    /// The rules, in the order of their numbers.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ready.iter().map(|ready| &ready.pattern.rule)
    }

    /// Bytes of memory, without the expressions' lazy automata.
    pub(crate) fn memory(&self) -> usize {
        self.matcher.memory() + self.ready.iter().map(|ready| ready.regex.memory_usage()).sum::<usize>()
    }

    /// Appends what stands in `text`. Literals are looked for in `owned` only; matches may reach out of it.
    pub(crate) fn scan(
        &self,
        text: &str,
        owned: Range<usize>,
        state: &mut State,
        base: u32,
        out: &mut Vec<Hit>,
    ) {
        state.begin(self.ready.len());
        let first = out.len();
        let judge = Judge { text, patterns: &self.ready, allowlists: &self.allowlists, base };
        for pattern in &self.always {
            state.sweep(*pattern);
        }
        let budget = BUDGET_FACTOR * owned.len() + BUDGET_FLOOR;
        let from = owned.start;
        // A literal that begins in the owned range may end behind it.
        let seen = &text.as_bytes()[from..(owned.end + crate::anchor::MAX_LITERAL).min(text.len())];
        self.matcher.find(seen, |literal, at| {
            let at = from + at;
            if at >= owned.end {
                return;
            }
            for one in &self.all_uses[self.uses[literal as usize].clone()] {
                match *one {
                    Use::Keyword { pattern } => state.sweep(pattern),
                    Use::Window { pattern, branch } => {
                        self.window(&judge, pattern, branch, at, budget, state, out)
                    }
                }
            }
        });
        self.sweep(&judge, state, first, out);
    }

    /// Searches one pattern around one of its literals.
    #[expect(clippy::too_many_arguments, reason = "the parts of one search, used here only")]
    fn window(
        &self,
        judge: &Judge<'_>,
        pattern: u32,
        branch: u32,
        at: usize,
        budget: usize,
        state: &mut State,
        out: &mut Vec<Hit>,
    ) {
        let ready = &self.ready[pattern as usize];
        let derived = &ready.derived[branch as usize];
        let text = judge.text.as_bytes();
        if !derived.conditions.iter().all(|condition| condition.holds(text, at)) {
            return;
        }
        let Some(next) = state.next(pattern).filter(|next| *next <= at) else { return };
        let from = at.saturating_sub(derived.before).max(next);
        let to = (at + derived.reach).min(text.len());
        if !state.spend(pattern, to - from, budget) {
            return;
        }
        let anchored = if derived.at_start { Anchored::Yes } else { Anchored::No };
        let mut input = Input::new(text).range(from..to).anchored(anchored);
        while let Some(found) = ready.regex.search(&input) {
            state.matched(pattern, found.end().max(found.start() + 1));
            judge.judge(pattern, Span { range: found.range(), window: input.end() }, out);
            // What begins behind the literal is found by a literal of its own.
            let next = found.end().max(found.start() + 1);
            if derived.at_start || next > at || next > to {
                break;
            }
            input.set_start(next);
        }
    }

    /// Searches the patterns for which windows do not do in the whole text, instead of what windows found.
    fn sweep(&self, judge: &Judge<'_>, state: &State, first: usize, out: &mut Vec<Hit>) {
        for &pattern in &state.sweeps {
            let base = judge.base;
            let mut at = 0;
            out.retain(|hit| {
                at += 1;
                at <= first || hit.rule.0 != base + pattern
            });
            let text = judge.text.as_bytes();
            for found in self.ready[pattern as usize].regex.find_iter(text) {
                judge.judge(pattern, Span { range: found.range(), window: text.len() }, out);
            }
        }
    }
}

/// The branches by which a pattern is found.
fn derive_of(pattern: &Pattern) -> Vec<Derived> {
    let mut derived = regex::parse(&pattern.regex).map(|hir| derive(&hir)).unwrap_or_default();
    for one in &mut derived {
        one.reach = one.reach.min(MAX_REACH);
    }
    derived
}
