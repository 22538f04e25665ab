//! Rules that were read and reduced to their literals beforehand.
//!
//! Reading the built-in rules from TOML and deriving what they are found by takes ten times longer than a configuration may
//! take to load. What comes of both is kept in one file, a rule a line, which a test compares with what it is made from.
//! Composite rules and allowlists with more than expressions have no place in it: the built-in rules have none.

use super::{Allowlist, Check, LoadError, Pattern, RuleSet, Target, allow, secret_rule};
use crate::anchor::{Anchor, ByteSet, Condition, Derived, Literal};
use crate::finding::Tier;
use crate::regex::Expression;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// A rule.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    entity: Cow<'a, str>,
    tier: char,
    #[serde(borrow)]
    description: Cow<'a, str>,
    #[serde(borrow)]
    regex: Cow<'a, str>,
    groups: usize,
    group: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entropy: Option<f64>,
    keywords: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<Box<str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    check: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    excused: Vec<Excuse>,
    found_by: Vec<Branch>,
}

/// An allowlist: what its expressions look at, and the expressions.
#[derive(Serialize, Deserialize)]
struct Excuse(char, Vec<(String, usize)>);

/// What a rule is found by.
#[derive(Serialize, Deserialize)]
struct Branch {
    literals: Vec<Word>,
    before: usize,
    at_start: bool,
    reach: usize,
    conditions: Vec<Run>,
}

/// A literal: its bytes, each written as the character of its number; a bit for each that stands in both cases; and what
/// may follow.
#[derive(Serialize, Deserialize)]
struct Word(String, u32, #[serde(default, skip_serializing_if = "Option::is_none")] Option<Ranges>);

/// A condition: the set, the run, and where it may begin.
#[derive(Serialize, Deserialize)]
struct Run(Ranges, usize, usize, usize);

/// The bytes of a set, as pairs of the first and the last of a range.
type Ranges = Vec<(u8, u8)>;

/// Reads the file.
pub(crate) fn read(json: &str, checks: &dyn Fn(&str) -> Option<Check>) -> Result<RuleSet, LoadError> {
    let entries: Vec<Entry<'_>> =
        serde_json::from_str(json).map_err(|cause| LoadError::File(cause.to_string()))?;
    let mut set = RuleSet { source: json.as_bytes().to_vec(), ..RuleSet::default() };
    for entry in entries {
        let refuse = |cause: String| LoadError::Rule { rule: entry.id.to_string(), cause };
        let check = entry
            .check
            .as_deref()
            .map(|name| checks(name).ok_or_else(|| refuse(format!("there is no check `{name}`"))));
        let mut rule = secret_rule(&entry.id, &entry.description);
        rule.entity = (&*entry.entity).into();
        rule.tier = match entry.tier {
            'a' => Tier::A,
            'b' => Tier::B,
            _ => Tier::C,
        };
        set.patterns.push(Pattern {
            rule,
            check: check.transpose()?,
            regex: Expression::known(&entry.regex, entry.groups),
            secret_group: entry.group,
            entropy: entry.entropy,
            keywords: entry.keywords,
            allowlists: entry.excused.iter().map(Excuse::allowlist).collect(),
            required: Vec::new(),
            context: entry.context,
            silent: false,
            found_by: Some(Arc::new(entry.found_by.iter().map(Branch::derived).collect())),
        });
    }
    Ok(set)
}

impl Excuse {
    fn allowlist(&self) -> Allowlist {
        Allowlist {
            condition: allow::Condition::Any,
            target: match self.0 {
                'm' => Target::Match,
                'l' => Target::Line,
                _ => Target::Secret,
            },
            regexes: self.1.iter().map(|(pattern, groups)| Expression::known(pattern, *groups)).collect(),
            stopwords: None,
            elsewhere: false,
        }
    }

    #[cfg(test)]
    fn of(list: &Allowlist) -> Excuse {
        assert!(list.condition == allow::Condition::Any && list.stopwords.is_none() && !list.elsewhere);
        let target = match list.target {
            Target::Match => 'm',
            Target::Line => 'l',
            Target::Secret => 's',
        };
        Excuse(target, list.regexes.iter().map(|one| (one.as_str().to_owned(), one.groups())).collect())
    }
}

impl Branch {
    fn derived(&self) -> Derived {
        let word = |Word(text, cases, next): &Word| Anchor {
            literal: Literal::new(text.chars().filter_map(|c| u8::try_from(c).ok()), *cases),
            next: next.as_ref().map_or(ByteSet::ALL, |ranges| ByteSet::of_ranges(ranges)),
        };
        let run = |Run(set, run, nearest, farthest): &Run| Condition {
            set: ByteSet::of_ranges(set),
            run: *run,
            nearest: *nearest,
            farthest: *farthest,
        };
        Derived {
            literals: self.literals.iter().map(word).collect(),
            before: self.before,
            at_start: self.at_start,
            rest: None,
            reach: self.reach,
            conditions: self.conditions.iter().map(run).collect(),
        }
    }

    #[cfg(test)]
    fn of(derived: &Derived) -> Branch {
        let word = |anchor: &Anchor| {
            let text = anchor.literal.parts().map(|(byte, _)| char::from(byte)).collect();
            let cases = anchor.literal.parts().enumerate();
            let cases = cases.filter(|(_, (_, case))| *case != 0).fold(0, |bits, (at, _)| bits | 1 << at);
            Word(text, cases, (anchor.next != ByteSet::ALL).then(|| anchor.next.ranges()))
        };
        let run = |one: &Condition| Run(one.set.ranges(), one.run, one.nearest, one.farthest);
        Branch {
            literals: derived.literals.iter().map(word).collect(),
            before: derived.before,
            at_start: derived.at_start,
            reach: derived.reach,
            conditions: derived.conditions.iter().map(run).collect(),
        }
    }
}

/// The file of rules that were read from TOML.
#[cfg(test)]
pub(crate) fn write(set: &RuleSet, check_name: &dyn Fn(Check) -> Option<&'static str>) -> String {
    let mut lines = Vec::new();
    for pattern in &set.patterns {
        assert!(
            pattern.required.is_empty() && !pattern.silent,
            "{}: `required` and `skipReport` have no place among the built-in rules",
            pattern.rule.id
        );
        let hir = crate::regex::parse(pattern.regex.as_str()).expect("read before");
        let entry = Entry {
            id: Cow::Borrowed(&pattern.rule.id),
            entity: Cow::Borrowed(&pattern.rule.entity),
            tier: match pattern.rule.tier {
                Tier::A => 'a',
                Tier::B => 'b',
                Tier::C => 'c',
            },
            description: Cow::Borrowed(&pattern.rule.description),
            regex: Cow::Borrowed(pattern.regex.as_str()),
            groups: pattern.regex.groups(),
            group: pattern.secret_group,
            entropy: pattern.entropy,
            keywords: pattern.keywords.clone(),
            context: pattern.context.clone(),
            check: pattern.check.map(|check| Cow::Borrowed(check_name(check).expect("a named check"))),
            excused: pattern.allowlists.iter().map(Excuse::of).collect(),
            found_by: crate::anchor::derive(&hir).iter().map(Branch::of).collect(),
        };
        lines.push(serde_json::to_string(&entry).expect("plain data"));
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}
