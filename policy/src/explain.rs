//! Decisions and rules in words: which rule, which field, which entity, which scope; never a value.

use crate::action::Action;
use crate::compile::{Compiled, PolicySet, What};
use crate::decision::{Cause, Decision, Fired};
use crate::rule::{Condition, Effect, Found, OnError, Where};
use crate::scope::Origin;
use crate::stage::{Mode, Stage};
use narrows_guard::{RuleIndex, Tier};

/// Longest field path in an explanation, in bytes.
const FIELD_BYTES_MAX: usize = 160;

/// Longest name of a member in a field path that is shown, in bytes.
const MEMBER_BYTES_MAX: usize = 32;

/// A rule in words, for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Where it applies, its stages included.
    pub place: String,
    /// When it fires.
    pub when: String,
    /// What it does.
    pub then: String,
    /// Whether it judges (`validate`) or changes (`mutate`); empty for an exemption.
    pub operation: &'static str,
    /// Its mode.
    pub mode: &'static str,
    /// What it does about errors; empty where nothing can fail.
    pub on_error: &'static str,
}

/// A way past a rule that the configuration leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailOpen {
    /// The rule.
    pub rule: String,
    /// What passes, and why.
    pub what: String,
}

impl PolicySet {
    /// One sentence about a decision, without any value: `field` names the field of a finding by its position.
    /// Members of the caller's own invention are shown as `?`, for they may be values themselves.
    pub fn explain(&self, decision: &Decision, field: &dyn Fn(usize) -> Option<String>) -> String {
        let what = content(decision.stage);
        let Some(fired) = decision.deciding() else {
            return match decision.exemptions.as_slice() {
                [] => format!("No policy objects to the {what}."),
                [first, ..] => format!("Policy `{first}` exempts what was found in the {what}."),
            };
        };
        let rule = self.rules.iter().find(|rule| rule.name == fired.rule);
        let place = rule.map(|rule| place(&rule.source.place)).unwrap_or_default();
        let scope = if place.is_empty() { String::new() } else { format!(", where {place}") };
        let others = match decision.fired.iter().filter(|other| other.rule != fired.rule).count() {
            0 => String::new(),
            1 => "; one more policy fired".to_owned(),
            more => format!("; {more} more policies fired"),
        };
        let verb = verb(fired, what);
        format!("Policy `{}` {verb}: {}{scope}{others}.", fired.rule, self.cause(&fired.cause, field))
    }

    fn cause(&self, cause: &Cause, field: &dyn Fn(usize) -> Option<String>) -> String {
        let found = |rule: RuleIndex, first: usize| {
            let (id, entity) = self.detector(rule).unwrap_or(("?", "?"));
            let at = field(first).map(|path| format!(" in {}", shown(&path))).unwrap_or_default();
            format!("{entity} (rule {id}){at}")
        };
        match cause {
            Cause::Place => "by its place alone".to_owned(),
            Cause::Found { first, rule, count: 1 } => found(*rule, *first),
            Cause::Found { first, rule, count } => {
                format!("{} and {} more", found(*rule, *first), count.saturating_sub(1))
            }
            Cause::Unmaskable { first, rule } => {
                format!("{} cannot be masked where it stands", found(*rule, *first))
            }
            Cause::Verdict(one) => format!("guardrail `{}` objects", self.guardrail_name(*one)),
            Cause::Unwritten(one) => {
                format!(
                    "guardrail `{}` objects and gave nothing to put in its place",
                    self.guardrail_name(*one)
                )
            }
            Cause::Gap(gap) => format!("not all of it could be inspected ({})", gap.as_str()),
            Cause::Failed(one, gap) => {
                format!("guardrail `{}` gave no verdict ({})", self.guardrail_name(*one), gap.as_str())
            }
            Cause::Conflict(one) => {
                format!("guardrail `{}` rewrote a text that others had rewritten", self.guardrail_name(*one))
            }
        }
    }

    /// The rules in words, in the order of their names.
    pub fn table(&self) -> Vec<Row> {
        self.rules.iter().map(|rule| self.row(rule)).collect()
    }

    fn row(&self, rule: &Compiled) -> Row {
        let source = &rule.source;
        let place = place(&source.place);
        let when: Vec<String> = source.when.iter().map(condition).collect();
        Row {
            name: source.name.clone(),
            place: if place.is_empty() { "everywhere".to_owned() } else { place },
            when: if when.is_empty() { "always".to_owned() } else { when.join(" or ") },
            then: match &source.then.effect {
                Effect::Act(action) => action.as_str().to_owned(),
                Effect::Exempt(names) => format!("allow, exempt from {}", names.join(", ")),
            },
            operation: rule.action().map_or("", |_| rule.operation.as_str()),
            mode: source.then.mode.as_str(),
            on_error: self.errors(rule),
        }
    }

    fn errors(&self, rule: &Compiled) -> &'static str {
        if rule.source.when.is_empty() || rule.action().is_none() {
            return "";
        }
        let words =
            self.conditions.get(rule.conditions.clone()).unwrap_or_default().iter().map(
                |tested| match &tested.what {
                    What::Verdict(_, _, on_error) => *on_error,
                    What::Found(_) | What::Fallback(..) => rule.on_gap,
                },
            );
        // The most lenient is what an operator must know of.
        let word = words.min_by_key(|on_error| match on_error {
            OnError::Allow => 0,
            OnError::Builtin => 1,
            OnError::Block => 2,
        });
        word.map_or("", OnError::as_str)
    }

    /// Every way past a rule that masks or blocks, or past several by an exemption that rests on a client's word.
    pub fn fail_opens(&self) -> Vec<FailOpen> {
        let mut open = Vec::new();
        for rule in &self.rules {
            let mut report = |what: &str| {
                open.push(FailOpen { rule: rule.source.name.clone(), what: what.to_owned() });
            };
            let strict = rule.action() > Some(Action::Log);
            if strict && rule.source.then.mode == Mode::Audit {
                report("it is in audit and changes nothing");
            } else if strict && self.errors(rule) == OnError::Allow.as_str() {
                report("what cannot be inspected passes");
            }
            if rule.action().is_none() && !is_proved(&rule.source.place) {
                report("it exempts whoever claims to be where it applies: no fact of it is proved");
            }
        }
        open
    }
}

/// Whether one demand at least rests on a fact that the gateway knows itself.
fn is_proved(place: &Where) -> bool {
    let demands = place.names.iter().filter(|(dimension, _)| dimension.origin() == Origin::Proved);
    let mut names = demands.map(|(_, names)| names).chain(place.tags.values());
    names.any(|names| !names.any.is_empty())
}

const fn content(stage: Stage) -> &'static str {
    match stage {
        Stage::Request => "request",
        Stage::Response => "answer",
        Stage::Stream => "stream",
    }
}

/// What a rule did with the `what`.
fn verb(fired: &Fired, what: &str) -> String {
    let open = matches!(
        fired.cause,
        Cause::Gap(_) | Cause::Failed(..) | Cause::Unmaskable { .. } | Cause::Unwritten(_)
    );
    let (did, infinitive) = match fired.action {
        Action::Log if open => ("let pass", "let pass"),
        Action::Log => ("noted", "note"),
        Action::Mask => ("masked", "mask"),
        Action::Block => ("refused", "refuse"),
    };
    match (fired.mode, fired.action, fired.enforceable) {
        (Mode::Audit, Action::Log, _) | (_, _, true) if fired.does == fired.action => {
            format!("{did} the {what}")
        }
        (Mode::Audit, _, _) => format!("would {infinitive} the {what} if it were not in audit"),
        _ => format!("could not {infinitive} the {what}, which was under way"),
    }
}

/// Where a rule applies, in words; nothing for everywhere.
fn place(place: &Where) -> String {
    let mut parts = Vec::new();
    if !place.stages.is_empty() {
        let words: Vec<&str> = place.stages.iter().map(|stage| stage.as_str()).collect();
        parts.push(format!("stage is {}", words.join(", ")));
    }
    let names = place.names.iter();
    parts.extend(names.map(|(dimension, names)| format!("{} is {}", dimension.as_str(), names.written())));
    parts.extend(place.tags.iter().map(|(key, names)| format!("tag {key} is {}", names.written())));
    parts.join(" and ")
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Found(found) => findings(found),
        Condition::Guardrail(verdict) => {
            let mut text = format!("guardrail {}", verdict.guardrail);
            if !verdict.categories.is_everything() {
                text += &format!(" says {}", verdict.categories.written());
            }
            if verdict.score > 0 {
                text += &format!(" with {} or more", verdict.score);
            }
            text
        }
    }
}

fn findings(found: &Found) -> String {
    let classes: Vec<&str> = found.classes.iter().map(|class| class.as_str()).collect();
    let mut text = if classes.is_empty() { "any finding".to_owned() } else { classes.join(", ") };
    if !found.entities.is_everything() {
        text += &format!(" entity {}", found.entities.written());
    }
    if !found.rules.is_everything() {
        text += &format!(" rule {}", found.rules.written());
    }
    let tiers: Vec<&str> =
        [Tier::A, Tier::B, Tier::C].into_iter().filter(|it| found.takes(*it)).map(tier).collect();
    if tiers.len() < 3 {
        text += &format!(" tier {}", tiers.join(", "));
    }
    text += &format!(" score {}", found.score);
    if found.count > 1 {
        text += &format!(" at least {} times", found.count);
    }
    text
}

const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::A => "A",
        Tier::B => "B",
        Tier::C => "C",
    }
}

/// A field path that shows no value: names of members that do not look like those of an interface are a question mark.
fn shown(path: &str) -> String {
    let plain = |member: &str| {
        let letters =
            member.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_uppercase());
        letters && !member.is_empty() && member.len() <= MEMBER_BYTES_MAX
    };
    let mut out = String::new();
    for (at, member) in path.split('.').enumerate() {
        if at > 0 {
            out.push('.');
        }
        let (name, indices) = member.find('[').map_or((member, ""), |at| member.split_at(at));
        out.push_str(if plain(name) { name } else { "?" });
        let numbers = indices.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'[' | b']'));
        out.push_str(if numbers { indices } else { "[?]" });
        if out.len() > FIELD_BYTES_MAX {
            out.truncate(FIELD_BYTES_MAX);
            out.push('…');
            break;
        }
    }
    out
}
