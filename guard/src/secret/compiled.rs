//! Patterns made ready for search.

use super::evaluate::{Judge, Span};
use super::state::State;
use crate::anchor::{Anchor, ByteSet, Derived, Literal, MAX_LITERAL, MIN_LITERAL, Matcher, derive};
use crate::finding::{Hit, Rule};
use crate::regex;
use crate::rules::{Allowlist, Note, Pattern, RuleSet};
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A pattern ready for search.
pub(crate) struct Ready {
    pub(crate) pattern: Pattern,
    /// The branches by which it is found.
    derived: Arc<Vec<Derived>>,
    /// By branch: the expression from its literal on, compiled when it is asked for first.
    rests: Vec<OnceLock<Option<Regex>>>,
}

impl Ready {
    /// The expression from a branch's literal on, where anything stands before it.
    fn rest(&self, branch: usize) -> Option<&Regex> {
        if self.derived.get(branch)?.at_start {
            return None;
        }
        let compile = || {
            let hir = regex::parse(self.pattern.regex.as_str()).ok()?;
            derive(&hir).get(branch)?.rest.as_ref().and_then(regex::compile_part)
        };
        self.rests.get(branch)?.get_or_init(compile).as_ref()
    }

    /// The expression. One that cannot be compiled was refused when the rules were read, or by our tests.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.pattern.regex.compiled().ok()
    }
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
const BUDGET_FACTOR: usize = 32;

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
    /// Derives how the patterns are found.
    pub(crate) fn new(set: RuleSet) -> Secrets {
        let mut index = Index::default();
        let mut notes = set.notes;
        let mut ready = Vec::with_capacity(set.patterns.len());
        for (number, pattern) in set.patterns.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let derived = if pattern.silent { Arc::default() } else { derive_of(&pattern) };
            if derived.is_empty() && !pattern.silent {
                let text = index.enter_keywords(number, &pattern);
                notes.push(Note { rule: pattern.rule.id.clone(), text: text.into() });
            } else {
                index.enter(number, &derived);
            }
            let rests = derived.iter().map(|_| OnceLock::new()).collect();
            ready.push(Ready { pattern, derived, rests });
        }
        let mut sorted: Vec<(Literal, (ByteSet, Vec<Use>))> = index.literals.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut anchors, mut uses, mut all_uses) = (Vec::new(), Vec::new(), Vec::new());
        for (literal, (next, own)) in sorted {
            anchors.push(Anchor { literal, next });
            uses.push(all_uses.len()..all_uses.len() + own.len());
            all_uses.extend(own);
        }
        let (matcher, allowlists, always) = (Matcher::new(anchors), set.allowlists, index.always);
        Secrets { ready, allowlists, matcher, uses, all_uses, always, notes }
    }

    /// The rules, in the order of their numbers.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.ready.iter().map(|ready| &ready.pattern.rule)
    }

    /// Bytes of memory, without the expressions' lazy automata.
    pub(crate) fn memory(&self) -> usize {
        self.matcher.memory() + self.ready.iter().map(|ready| ready.pattern.regex.memory()).sum::<usize>()
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
        if self.ready.is_empty() {
            return;
        }
        state.begin(self.ready.len());
        let first = out.len();
        let judge = Judge { text, patterns: &self.ready, allowlists: &self.allowlists, base };
        for pattern in &self.always {
            state.sweep(*pattern);
        }
        let budget = BUDGET_FACTOR * owned.len() + BUDGET_FLOOR;
        let from = owned.start;
        // A literal that begins in the owned range may end behind it.
        let seen = &text.as_bytes()[from..(owned.end + MAX_LITERAL).min(text.len())];
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
        if let Some(rest) = ready.rest(branch as usize)
            && rest
                .search_half(&Input::new(text).range(at..to).anchored(Anchored::Yes).earliest(true))
                .is_none()
        {
            return;
        }
        let anchored = if derived.at_start { Anchored::Yes } else { Anchored::No };
        let mut input = Input::new(text).range(from..to).anchored(anchored);
        let Some(regex) = ready.regex() else { return };
        while let Some(found) = regex.search(&input) {
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
            let Some(regex) = self.ready[pattern as usize].regex() else { continue };
            for found in regex.find_iter(text) {
                judge.judge(pattern, Span { range: found.range(), window: text.len() }, out);
            }
        }
    }
}

/// Literals and what they mean, while patterns are collected.
#[derive(Default)]
struct Index {
    literals: HashMap<Literal, (ByteSet, Vec<Use>)>,
    always: Vec<u32>,
}

impl Index {
    fn add(&mut self, anchor: Anchor, one: Use) {
        let (next, uses) = self.literals.entry(anchor.literal).or_insert((ByteSet::EMPTY, Vec::new()));
        *next = next.union(anchor.next);
        uses.push(one);
    }

    fn enter(&mut self, pattern: u32, derived: &[Derived]) {
        for (branch, one) in derived.iter().enumerate() {
            let branch = u32::try_from(branch).unwrap_or(u32::MAX);
            for anchor in &one.literals {
                self.add(anchor.clone(), Use::Window { pattern, branch });
            }
        }
    }

    /// Enters a pattern without literals of its own, and says what that means.
    fn enter_keywords(&mut self, number: u32, pattern: &Pattern) -> &'static str {
        let usable = |word: &str| word.len() >= MIN_LITERAL;
        if pattern.keywords.is_empty() || !pattern.keywords.iter().all(|word| usable(word)) {
            self.always.push(number);
            return "no literal is in every match, and no keyword helps: all text is searched";
        }
        for word in &pattern.keywords {
            let anchor = Anchor { literal: Literal::caseless(word), next: ByteSet::ALL };
            self.add(anchor, Use::Keyword { pattern: number });
        }
        "no literal is in every match: where a keyword stands, all text around is searched"
    }
}

/// The branches by which a pattern is found.
fn derive_of(pattern: &Pattern) -> Arc<Vec<Derived>> {
    let derive =
        || regex::parse(pattern.regex.as_str()).map(|hir| Arc::new(derive(&hir))).unwrap_or_default();
    pattern.found_by.clone().unwrap_or_else(derive)
}
