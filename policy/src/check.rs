//! What is refused in rules: names that nothing has, demands that contradict each other, too many of something.
//!
//! A rule that could never fire, or would do other than it says, is an error when it is loaded and not a surprise later.

use crate::action::Action;
use crate::compile::{CONDITIONS_MAX, Catalogue, Problem, RULES_MAX};
use crate::facts::Surface;
use crate::guardrail::GUARDRAILS_MAX;
use crate::names::{Case, Glob, Names};
use crate::rule::{Condition, Effect, Found, OnError, Operation, Rule, Streams};
use crate::scope::Dimension;
use crate::stage::{Mode, Stage};
use std::collections::HashMap;

/// Longest name of a rule, in bytes.
pub const RULE_NAME_BYTES_MAX: usize = 64;

/// Most names that one rule's place may list.
pub const PLACE_NAMES_MAX: usize = 1024;

/// Most conditions of one rule.
pub const RULE_CONDITIONS_MAX: usize = 64;

/// Longest message to a caller, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Largest score.
const SCORE_MAX: u8 = 100;

/// Everything that is wrong with `rules`.
pub(crate) fn problems(rules: &[Rule], catalogue: &Catalogue<'_>) -> Vec<Problem> {
    let mut found = whole(rules, catalogue);
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        let mut report =
            |key, message: String| found.push(Problem { rule: Some(at), condition: None, key, message });
        if let Some(first) = names.insert(&rule.name, at) {
            report("name", format!("`{}` is also the name of policies[{first}]", rule.name));
        }
        name(rule, &mut report);
        place(rule, &mut report);
        many(rule, &mut report);
        for (position, one) in rule.when.iter().enumerate() {
            let mut report = |key, message: String| {
                found.push(Problem { rule: Some(at), condition: Some(position), key, message });
            };
            condition(one, catalogue, &mut report);
        }
        let mut report =
            |key, message: String| found.push(Problem { rule: Some(at), condition: None, key, message });
        match &rule.then.effect {
            Effect::Act(action) => acting(rule, *action, &mut report),
            Effect::Exempt(names) => exempting(rule, names, rules, &mut report),
        }
    }
    found.extend(owners(rules, catalogue));
    found
}

type Report<'r> = dyn FnMut(&'static str, String) + 'r;

fn whole(rules: &[Rule], catalogue: &Catalogue<'_>) -> Vec<Problem> {
    let conditions: usize = rules.iter().map(|rule| rule.when.len() + 1).sum();
    let limits = [
        (rules.len(), RULES_MAX, "rules"),
        // Each rule may get one more condition, for guardrails that fail.
        (conditions, CONDITIONS_MAX, "conditions (and one for each rule)"),
        (catalogue.guardrails.len(), GUARDRAILS_MAX, "guardrails"),
    ];
    let over = limits.into_iter().filter(|(count, most, _)| count > most);
    over.map(|(count, most, what)| Problem {
        rule: None,
        condition: None,
        key: "",
        message: format!("there are {count} {what}, and {most} is the most"),
    })
    .collect()
}

fn name(rule: &Rule, report: &mut Report<'_>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let name = &rule.name;
    if name.is_empty() || name.len() > RULE_NAME_BYTES_MAX || !name.chars().all(plain) {
        let message = format!(
            "a name is 1 to {RULE_NAME_BYTES_MAX} lower-case letters, digits, dashes, underscores or dots"
        );
        report("name", message);
    }
    if rule.then.message.as_ref().is_some_and(|text| {
        text.is_empty() || text.len() > MESSAGE_BYTES_MAX || text.chars().any(char::is_control)
    }) {
        report("then.message", format!("a message is one line of 1 to {MESSAGE_BYTES_MAX} bytes"));
    }
}

fn place(rule: &Rule, report: &mut Report<'_>) {
    let lists = rule.place.names.values().chain(rule.place.tags.values());
    let count: usize = lists.map(|names| names.entries().count()).sum();
    if count > PLACE_NAMES_MAX {
        report("where", format!("it lists {count} names, and {PLACE_NAMES_MAX} is the most"));
    }
    let surfaces = rule.place.names.get(&Dimension::Surface);
    for glob in surfaces.into_iter().flat_map(Names::entries) {
        let known = Surface::ALL.iter().any(|surface| glob.matches(surface.as_str(), Case::Exact));
        if !known {
            let words: Vec<&str> = Surface::ALL.iter().map(|surface| surface.as_str()).collect();
            let message = format!("there is no surface `{}`: {}", glob.as_str(), words.join(", "));
            report("where.surface", message);
        }
    }
}

fn many(rule: &Rule, report: &mut Report<'_>) {
    if rule.when.len() > RULE_CONDITIONS_MAX {
        let message =
            format!("there are {} conditions, and {RULE_CONDITIONS_MAX} is the most", rule.when.len());
        report("when", message);
    }
}

fn condition(condition: &Condition, catalogue: &Catalogue<'_>, report: &mut Report<'_>) {
    match condition {
        Condition::Found(condition) => found(condition, catalogue, report),
        Condition::Guardrail(verdict) => {
            if !catalogue.guardrails.iter().any(|one| one.name == verdict.guardrail) {
                report("when.guardrail", format!("there is no guardrail `{}`", verdict.guardrail));
            }
            if verdict.score > SCORE_MAX {
                report("when.score", format!("a score is at most {SCORE_MAX}"));
            }
        }
    }
}

fn found(condition: &Found, catalogue: &Catalogue<'_>, report: &mut Report<'_>) {
    if condition.score > SCORE_MAX {
        report("when.score", format!("a score is at most {SCORE_MAX}"));
    }
    if condition.count == 0 {
        report("when.count", "a count is at least 1".to_owned());
    }
    let detectors = catalogue.detectors;
    let unknown = |names: &Names, of: fn(&narrows_guard::Rule) -> &str| {
        let strange = |glob: &&Glob| !detectors.iter().any(|rule| glob.matches(of(rule), Case::Exact));
        names.entries().find(strange).map(|glob| glob.as_str().to_owned())
    };
    let (entity, id) =
        (unknown(&condition.entities, |rule| &rule.entity), unknown(&condition.rules, |rule| &rule.id));
    if let Some(entity) = &entity {
        report("when.entity", format!("no detector finds the entity `{entity}`"));
    }
    if let Some(id) = &id {
        report("when.rule", format!("no detector has the rule `{id}`"));
    }
    if entity.is_none() && id.is_none() && !detectors.iter().any(|rule| condition.selects(rule)) {
        let message = "no rule of any detector meets all of this, so that it could never fire".to_owned();
        report("when", message);
    }
}

/// A rule that may change streams.
fn gated(rule: &Rule, action: Action, asks: bool, report: &mut Report<'_>) {
    if rule.then.streams != Streams::Gated {
        return;
    }
    let mistakes = [
        (action == Action::Log, "a rule that logs changes nothing"),
        (rule.when.is_empty(), "a rule without `when` is asked before a stream begins"),
        (asks, "a guardrail's verdict comes when all of a stream has gone"),
        (!rule.place.is_at(Stage::Stream), "the rule does not apply to streams"),
    ];
    for (_, message) in mistakes.into_iter().filter(|(made, _)| *made) {
        report("then.streams", message.to_owned());
    }
}

fn acting(rule: &Rule, action: Action, report: &mut Report<'_>) {
    let then = &rule.then;
    let asks = rule.when.iter().any(|condition| matches!(condition, Condition::Guardrail(_)));
    if action == Action::Mask && rule.when.is_empty() {
        report("then.action", "a rule without `when` has nothing to mask".to_owned());
    }
    if action == Action::Block && then.operation == Some(Operation::Mutate) && !asks {
        let message = "of a rule that blocks only a guardrail's rewriting is taken over, and `when` names none: write \
                       `action: mask`";
        report("then.operation", message.to_owned());
    }
    if action == Action::Mask && then.operation == Some(Operation::Validate) {
        report("then.operation", "a rule that masks cannot only validate".to_owned());
    }
    if action == Action::Log && then.operation == Some(Operation::Mutate) {
        report("then.operation", "a rule that logs changes nothing".to_owned());
    }
    if then.restore && action != Action::Mask {
        report("then.restore", "only a rule that masks has something to put back".to_owned());
    }
    gated(rule, action, asks, report);
    if then.message.is_some() && action == Action::Log && then.on_error != Some(OnError::Block) {
        report("then.message", "a rule that logs tells the caller nothing".to_owned());
    }
    if then.on_error.is_some() && rule.when.is_empty() {
        report("then.on_error", "a rule without `when` inspects nothing that could fail".to_owned());
    }
    if then.on_error == Some(OnError::Builtin) && !asks {
        report("then.on_error", "`builtin` stands in for a guardrail, and `when` names none".to_owned());
    }
    let ignores = then.mode == Mode::EnforceIgnoreErrors;
    if ignores && then.on_error.is_some_and(|on_error| on_error != OnError::Allow) {
        report("then.on_error", "the mode enforce_ignore_errors says that errors are ignored".to_owned());
    }
}

fn exempting(rule: &Rule, names: &[String], rules: &[Rule], report: &mut Report<'_>) {
    let then = &rule.then;
    if names.is_empty() {
        let message = "`allow` by itself changes nothing: name the policies that it exempts from".to_owned();
        report("then.exempts", message);
    }
    for name in names {
        match rules.iter().find(|other| other.name == *name) {
            None => report("then.exempts", format!("there is no policy `{name}`")),
            Some(other) if matches!(other.then.effect, Effect::Exempt(_)) => {
                report("then.exempts", format!("`{name}` is an exemption itself"));
            }
            Some(_) => {}
        }
    }
    if then.mode != Mode::Enforce {
        report("then.mode", "an exemption is in force or is not written".to_owned());
    }
    let others = [
        (then.on_error.is_some(), "then.on_error"),
        (then.operation.is_some(), "then.operation"),
        (then.restore, "then.restore"),
        (then.streams == Streams::Gated, "then.streams"),
        (then.message.is_some(), "then.message"),
        (then.alert.is_some(), "then.alert"),
    ];
    for (_, key) in others.into_iter().filter(|(given, _)| *given) {
        report(key, "an exemption does nothing of its own".to_owned());
    }
    let counts = |condition: &Condition| matches!(condition, Condition::Found(found) if found.count != 1);
    if rule.when.iter().any(counts) {
        report("when.count", "an exemption looks at each finding by itself".to_owned());
    }
}

/// Two guardrails that may rewrite the same text need an order.
fn owners(rules: &[Rule], catalogue: &Catalogue<'_>) -> Vec<Problem> {
    let mut seen: Vec<(usize, u32, &str, &Rule)> = Vec::new();
    let mut problems = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let masks = rule.then.effect == Effect::Act(Action::Mask);
        if !(masks || rule.then.operation == Some(Operation::Mutate)) || rule.then.mode == Mode::Audit {
            continue;
        }
        for (position, condition) in rule.when.iter().enumerate() {
            let Condition::Guardrail(verdict) = condition else { continue };
            let Some(one) = catalogue.guardrails.iter().find(|one| one.name == verdict.guardrail) else {
                continue;
            };
            let rival = seen.iter().find(|(_, priority, name, other)| {
                *priority == one.priority && *name != one.name && meet(rule, other)
            });
            if let Some((first, _, name, _)) = rival {
                let message = format!(
                    "`{}` here and `{name}` in policies[{first}] would both rewrite, and have the same priority",
                    one.name
                );
                let (rule, condition) = (Some(at), Some(position));
                problems.push(Problem { rule, condition, key: "when.guardrail", message });
            }
            seen.push((at, one.priority, &one.name, rule));
        }
    }
    problems
}

/// Whether both rules may rewrite at one stage.
fn meet(one: &Rule, other: &Rule) -> bool {
    let rewritten = [Stage::Request, Stage::Response];
    rewritten.into_iter().any(|stage| one.place.is_at(stage) && other.place.is_at(stage))
}
