//! Regular expressions of operators.
//!
//! An expression that holds literals is searched around them only. One that does not has to see all text, so it must have
//! a complete automaton of bounded size: then its speed does not depend on what the text holds. A lazily built automaton
//! falls from hundreds of megabytes a second to less than one when it has more states than memory.

use super::{CustomError, CustomRule, Find, MAX_HITS, Part, fault};
use crate::anchor::derive;
use crate::finding::{Hit, RuleIndex};
use crate::regex::{self, Expression, MAX_NESTING};
use crate::rules::{Pattern, RuleSet};
use crate::secret::{Secrets, State};
use regex_automata::dfa::{dense, regex::Regex as FullRegex};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::syntax;

/// Most expressions.
pub const MAX_EXPRESSIONS: usize = 200;

/// Most states of one expression's program.
pub const MAX_STATES: usize = 10_000;

/// Most expressions without literals: each costs a pass over all text.
pub const MAX_FREE_EXPRESSIONS: usize = 16;

/// Largest complete automaton of an expression without literals, in bytes for each direction.
pub const MAX_FREE_DFA_BYTES: usize = 1 << 20;

/// All expressions.
pub(super) struct Expressions {
    /// Those with literals, and their rules by number.
    anchored: Secrets,
    rules: Vec<u32>,
    free: Vec<(u32, FullRegex)>,
}

impl std::fmt::Debug for Expressions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expressions")
            .field("anchored", &self.rules.len())
            .field("free", &self.free.len())
            .finish()
    }
}

impl Expressions {
    pub(super) fn new(rules: &[CustomRule]) -> Result<Expressions, CustomError> {
        let count = rules.iter().filter(|rule| matches!(rule.find, Find::Expression { .. })).count();
        if count > MAX_EXPRESSIONS {
            return Err(CustomError::Rules(format!("{count} expressions, more than {MAX_EXPRESSIONS}")));
        }
        let (mut set, mut numbers, mut free) = (RuleSet::default(), Vec::new(), Vec::new());
        for (number, rule) in rules.iter().enumerate() {
            let Find::Expression { pattern, group } = &rule.find else { continue };
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            if literals(rule, pattern, *group)? {
                set.patterns.push(searched(rule, pattern, *group)?);
                numbers.push(number);
            } else if *group > 0 {
                return Err(fault(
                    rule,
                    Part::Group,
                    "an expression without a literal of three letters cannot have a group",
                ));
            } else {
                free.push((number, complete(rule, pattern)?));
            }
        }
        if free.len() > MAX_FREE_EXPRESSIONS {
            let cause =
                format!("{} expressions without a literal, more than {MAX_FREE_EXPRESSIONS}", free.len());
            return Err(CustomError::Rules(cause));
        }
        let anchored = Secrets::new(set);
        Ok(Expressions { anchored, rules: numbers, free })
    }

    /// Appends what the expressions find. Rules count from 0.
    pub(super) fn scan(&self, text: &str, out: &mut Vec<Hit>) {
        if !self.rules.is_empty() {
            let first = out.len();
            self.anchored.scan(text, 0..text.len(), &mut State::default(), 0, out);
            for hit in out.iter_mut().skip(first) {
                let rule = usize::try_from(hit.rule.0).ok().and_then(|rule| self.rules.get(rule));
                hit.rule = RuleIndex(rule.copied().unwrap_or(u32::MAX));
            }
        }
        for (rule, regex) in &self.free {
            let found = regex.find_iter(text.as_bytes()).take(MAX_HITS);
            out.extend(found.filter(|found| !found.is_empty()).map(|found| Hit {
                rule: RuleIndex(*rule),
                range: snap(text, found.start(), found.end()),
                score: 0,
            }));
        }
    }
}

/// Checks an expression; says whether every match holds a literal.
fn literals(rule: &CustomRule, pattern: &str, group: usize) -> Result<bool, CustomError> {
    let regex = regex::compile(pattern).map_err(|cause| fault(rule, Part::Expression, cause))?;
    let hir = regex::parse(pattern).map_err(|cause| fault(rule, Part::Expression, cause))?;
    if hir.properties().minimum_len().unwrap_or(0) == 0 {
        return Err(fault(rule, Part::Expression, "the expression matches the empty text"));
    }
    if group >= regex.captures_len() {
        let groups = regex.captures_len() - 1;
        return Err(fault(
            rule,
            Part::Group,
            format!("there is no group {group}; the expression has {groups}"),
        ));
    }
    let states = NFA::compiler()
        .build_from_hir(&hir)
        .map_err(|cause| fault(rule, Part::Expression, cause.to_string()))?
        .states()
        .len();
    if states > MAX_STATES {
        return Err(fault(
            rule,
            Part::Expression,
            format!("the expression has {states} states, more than {MAX_STATES}"),
        ));
    }
    Ok(!derive(&hir).is_empty())
}

/// The expression as the engine of literals and windows takes it.
fn searched(rule: &CustomRule, pattern: &str, group: usize) -> Result<Pattern, CustomError> {
    Ok(Pattern {
        rule: super::public(rule.clone()),
        regex: Expression::new(pattern).map_err(|cause| fault(rule, Part::Expression, cause))?,
        secret_group: group,
        entropy: None,
        keywords: Vec::new(),
        allowlists: Vec::new(),
        required: Vec::new(),
        context: Vec::new(),
        check: None,
        silent: false,
        found_by: None,
    })
}

fn complete(rule: &CustomRule, pattern: &str) -> Result<FullRegex, CustomError> {
    let config = dense::Config::new()
        .dfa_size_limit(Some(MAX_FREE_DFA_BYTES))
        .determinize_size_limit(Some(MAX_FREE_DFA_BYTES * 4));
    let build = |unicode| {
        FullRegex::builder()
            .syntax(syntax::Config::new().unicode(unicode).utf8(false).nest_limit(MAX_NESTING))
            .thompson(thompson::Config::new().utf8(false))
            .dense(config.clone())
            .build(pattern)
            .ok()
    };
    // A class of letters beyond ASCII has a meaning only with Unicode's tables, which are large.
    let unicode = !pattern.is_ascii() || pattern.contains("\\p") || pattern.contains("\\P");
    build(false).or_else(|| if unicode { build(true) } else { None }).ok_or_else(|| {
        let cause = format!(
            "no literal of three letters is in every match, and the automaton for all text needs more than \
             {MAX_FREE_DFA_BYTES} bytes; name a literal or bound the repetitions"
        );
        fault(rule, Part::Expression, cause)
    })
}

/// Whole characters: expressions match bytes.
fn snap(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    start..end
}
