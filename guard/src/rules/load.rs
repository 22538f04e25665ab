//! Reads gitleaks' configuration format.
//!
//! Source: gitleaks' README, section "Configuration", and its `config/config.go` (both as of version 8.28). Differences
//! that a gateway needs are noted, not silent: text in a conversation has no path and no commit, so rules that look at
//! a path only are skipped and paths in allowlists never hold.

use super::allow::{Allowlist, Condition, Target};
use super::{Check, Note, Pattern, Required, RuleSet, from_go, secret_rule};
use crate::finding::Tier;
use crate::regex::Expression;
use aho_corasick::AhoCorasick;
use std::collections::HashMap;
use toml_edit::{Document, Item, TableLike, Value};

/// Longest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;

/// Most rules of one file.
pub const MAX_RULES: usize = 5_000;

/// Why a file of rules is refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is longer than [`MAX_FILE_BYTES`].
    #[error("the file has {0} bytes, more than {MAX_FILE_BYTES}")]
    FileTooLong(usize),
    /// It has more rules than [`MAX_RULES`].
    #[error("the file has more than {MAX_RULES} rules")]
    TooManyRules,
    /// It is no TOML.
    #[error("no TOML: {0}")]
    Toml(#[from] toml_edit::TomlError),
    /// A rule cannot be used.
    #[error("rule `{rule}`: {cause}")]
    Rule {
        /// The rule's name, or its number where it has none.
        rule: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Something beside the rules cannot be used.
    #[error("{0}")]
    File(String),
}

/// Keys of a rule that are read here.
const RULE_KEYS: &[&str] = &[
    "id",
    "description",
    "regex",
    "secretGroup",
    "entropy",
    "keywords",
    "path",
    "tags",
    "allowlist",
    "allowlists",
    "required",
    "skipReport",
    "entity",
    "tier",
    "check",
    "context",
];

/// Keys of a file that are read here.
const FILE_KEYS: &[&str] =
    &["title", "description", "minVersion", "extend", "rules", "allowlist", "allowlists"];

/// Keys of an allowlist.
const ALLOW_KEYS: &[&str] = &[
    "id",
    "description",
    "condition",
    "commits",
    "paths",
    "regexTarget",
    "regexes",
    "stopwords",
    "targetRules",
];

/// Reads a file.
pub(super) fn read(toml: &str, checks: &dyn Fn(&str) -> Option<Check>) -> Result<RuleSet, LoadError> {
    if toml.len() > MAX_FILE_BYTES {
        return Err(LoadError::FileTooLong(toml.len()));
    }
    let document = Document::parse(toml)?;
    let mut reader = Reader { set: RuleSet::default(), required: Vec::new(), checks };
    reader.set.source = toml.as_bytes().to_vec();
    reader.file(document.as_table())?;
    Ok(reader.set)
}

/// A required rule by its name, with how many lines and columns away it may stand.
type Named = (String, Option<usize>, Option<usize>);

struct Reader<'a> {
    set: RuleSet,
    /// By pattern: the names that it requires, to be resolved when all are known.
    required: Vec<Vec<Named>>,
    checks: &'a dyn Fn(&str) -> Option<Check>,
}

impl Reader<'_> {
    fn note(&mut self, rule: &str, text: impl Into<String>) {
        self.set.notes.push(Note { rule: rule.into(), text: text.into().into() });
    }

    fn file(&mut self, table: &dyn TableLike) -> Result<(), LoadError> {
        for (key, _) in table.iter().filter(|(key, _)| !FILE_KEYS.contains(key)) {
            self.note("", format!("`{key}` is not known and has no effect"));
        }
        let rules = tables(table, "rules").map_err(LoadError::File)?;
        if rules.len() > MAX_RULES {
            return Err(LoadError::TooManyRules);
        }
        for (number, rule) in rules.iter().enumerate() {
            let name = rule
                .get("id")
                .and_then(Item::as_str)
                .map_or_else(|| format!("#{}", number + 1), str::to_owned);
            self.rule(&name, *rule).map_err(|cause| LoadError::Rule { rule: name.clone(), cause })?;
        }
        self.resolve()?;
        self.extend(table)?;
        for key in ["allowlist", "allowlists"] {
            for list in tables(table, key).map_err(LoadError::File)? {
                self.global(list).map_err(|cause| LoadError::File(format!("`{key}`: {cause}")))?;
            }
        }
        Ok(())
    }

    fn rule(&mut self, id: &str, table: &dyn TableLike) -> Result<(), String> {
        let unknown: Vec<String> = table
            .iter()
            .map(|(key, _)| key.to_owned())
            .filter(|key| !RULE_KEYS.contains(&key.as_str()))
            .collect();
        for key in unknown {
            self.note(id, format!("`{key}` is not known and has no effect"));
        }
        if table.get("id").and_then(Item::as_str).is_none_or(str::is_empty) {
            return Err("it has no `id`".to_owned());
        }
        if self.set.patterns.iter().any(|pattern| &*pattern.rule.id == id) {
            return Err("its `id` is used twice".to_owned());
        }
        let Some(regex) = string(table, "regex")?.filter(|regex| !regex.is_empty()) else {
            if string(table, "path")?.is_none() {
                return Err("it has neither `regex` nor `path`".to_owned());
            }
            self.note(id, "skipped: it looks at a path only, and text has none");
            return Ok(());
        };
        if string(table, "path")?.is_some() {
            self.note(id, "`path` is ignored: the rule looks at all text");
        }
        let mut rule = secret_rule(id, string(table, "description")?.unwrap_or_default());
        if let Some(entity) = string(table, "entity")? {
            rule.entity = entity.into();
        }
        if let Some(tier) = string(table, "tier")? {
            rule.tier = tier_of(tier)?;
        }
        let regex = Expression::new(&from_go(regex))?;
        let groups = regex.groups();
        let secret_group = number(table, "secretGroup")?.unwrap_or(0);
        if secret_group >= groups {
            return Err(format!(
                "`secretGroup` is {secret_group}, and the expression has {} groups",
                groups - 1
            ));
        }
        let check = string(table, "check")?
            .map(|name| (self.checks)(name).ok_or_else(|| format!("there is no check `{name}`")))
            .transpose()?;
        let mut allowlists = Vec::new();
        for key in ["allowlist", "allowlists"] {
            for list in tables(table, key)? {
                allowlists.extend(self.allowlist(id, list)?);
            }
        }
        self.required.push(self.requirements(table)?);
        self.set.patterns.push(Pattern {
            rule,
            regex,
            secret_group,
            entropy: float(table, "entropy")?.filter(|floor| *floor > 0.0),
            keywords: words(table, "keywords")?,
            allowlists,
            required: Vec::new(),
            context: words(table, "context")?,
            check,
            silent: boolean(table, "skipReport")?,
            found_by: None,
        });
        Ok(())
    }

    fn requirements(&self, table: &dyn TableLike) -> Result<Vec<Named>, String> {
        let mut out = Vec::new();
        for required in tables(table, "required")? {
            let id = string(required, "id")?.ok_or("a `required` has no `id`")?;
            out.push((id.to_owned(), number(required, "withinLines")?, number(required, "withinColumns")?));
        }
        Ok(out)
    }

    fn resolve(&mut self) -> Result<(), LoadError> {
        let index: HashMap<String, usize> = self
            .set
            .patterns
            .iter()
            .enumerate()
            .map(|(at, pattern)| (pattern.rule.id.to_string(), at))
            .collect();
        for (pattern, names) in self.set.patterns.iter_mut().zip(std::mem::take(&mut self.required)) {
            for (name, within_lines, within_columns) in names {
                let rule = *index.get(&name).ok_or_else(|| LoadError::Rule {
                    rule: pattern.rule.id.to_string(),
                    cause: format!("it requires `{name}`, which is no rule of this file with an expression"),
                })?;
                pattern.required.push(Required { rule, within_lines, within_columns });
            }
        }
        Ok(())
    }

    fn extend(&mut self, table: &dyn TableLike) -> Result<(), LoadError> {
        let Some(extend) = table.get("extend") else { return Ok(()) };
        let extend =
            extend.as_table_like().ok_or_else(|| LoadError::File("`extend` is no table".to_owned()))?;
        for (key, _) in extend.iter().filter(|(key, _)| *key != "disabledRules") {
            self.note("", format!("`extend.{key}` has no effect: no other file is read"));
        }
        for name in words_as_written(extend, "disabledRules").map_err(LoadError::File)? {
            // Numbers in `required` stay right, because a disabled rule stays where it is.
            match self.set.patterns.iter_mut().find(|pattern| *pattern.rule.id == *name) {
                Some(pattern) => pattern.silent = true,
                None => self.note(
                    "",
                    format!("`extend.disabledRules` names `{name}`, which is no rule of this file"),
                ),
            }
        }
        Ok(())
    }

    fn global(&mut self, table: &dyn TableLike) -> Result<(), String> {
        let only = words_as_written(table, "targetRules")?;
        let Some(list) = self.allowlist("", table)? else { return Ok(()) };
        if only.is_empty() {
            self.set.allowlists.push(list);
            return Ok(());
        }
        for name in only {
            match self.set.patterns.iter_mut().find(|pattern| *pattern.rule.id == *name) {
                Some(pattern) => pattern.allowlists.push(list.clone()),
                None => self.note("", format!("`targetRules` names `{name}`, which is no rule of this file")),
            }
        }
        Ok(())
    }

    fn allowlist(&mut self, rule: &str, table: &dyn TableLike) -> Result<Option<Allowlist>, String> {
        for (key, _) in table.iter().filter(|(key, _)| !ALLOW_KEYS.contains(key)) {
            self.note(rule, format!("`{key}` of an allowlist is not known and has no effect"));
        }
        let condition = match string(table, "condition")?.map(str::to_ascii_uppercase).as_deref() {
            None | Some("" | "OR" | "||") => Condition::Any,
            Some("AND" | "&&") => Condition::All,
            Some(other) => {
                return Err(format!("an allowlist's `condition` is `{other}`, neither OR nor AND"));
            }
        };
        let target = match string(table, "regexTarget")? {
            None | Some("" | "secret") => Target::Secret,
            Some("match") => Target::Match,
            Some("line") => Target::Line,
            Some(other) => return Err(format!("an allowlist's `regexTarget` is `{other}`")),
        };
        let mut regexes = Vec::new();
        for regex in words_as_written(table, "regexes")? {
            if regex.is_empty() {
                return Err("an allowlist's expression is empty, and would allow everything".to_owned());
            }
            let wrong = |cause: String| format!("an allowlist's expression: {cause}");
            let expression = Expression::new(&from_go(&regex)).map_err(wrong)?;
            expression.compiled().map_err(|cause| wrong(cause.to_owned()))?;
            regexes.push(expression);
        }
        let stopwords = words(table, "stopwords")?;
        if stopwords.iter().any(|word| word.is_empty()) {
            return Err("a stopword of an allowlist is empty, and would allow everything".to_owned());
        }
        let stopwords = match stopwords.is_empty() {
            true => None,
            false => Some(caseless(&stopwords)?),
        };
        let elsewhere =
            !(words_as_written(table, "paths")?.is_empty() && words_as_written(table, "commits")?.is_empty());
        if elsewhere {
            self.note(rule, "`paths` and `commits` of an allowlist never hold: text has neither");
        }
        if regexes.is_empty() && stopwords.is_none() {
            return Ok(None);
        }
        Ok(Some(Allowlist { condition, target, regexes, stopwords, elsewhere }))
    }
}

/// An automaton for words in any case.
fn caseless(words: &[Box<str>]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words.iter().map(|word| word.as_bytes()))
        .map_err(|cause| format!("stopwords: {cause}"))
}

fn tier_of(word: &str) -> Result<Tier, String> {
    match word {
        "a" => Ok(Tier::A),
        "b" => Ok(Tier::B),
        "c" => Ok(Tier::C),
        other => Err(format!("`tier` is `{other}`, none of a, b, c")),
    }
}

/// The tables under a key, be it one table, an array of tables or an array of inline tables.
fn tables<'a>(table: &'a dyn TableLike, key: &str) -> Result<Vec<&'a dyn TableLike>, String> {
    let wrong = || format!("`{key}` is no list of tables");
    match table.get(key) {
        None => Ok(Vec::new()),
        Some(Item::ArrayOfTables(list)) => Ok(list.iter().map(|table| table as &dyn TableLike).collect()),
        Some(Item::Value(Value::Array(list))) => list
            .iter()
            .map(|value| value.as_inline_table().map(|table| table as &dyn TableLike).ok_or_else(wrong))
            .collect(),
        Some(item) => item.as_table_like().map(|table| vec![table]).ok_or_else(wrong),
    }
}

fn string<'a>(table: &'a dyn TableLike, key: &str) -> Result<Option<&'a str>, String> {
    table.get(key).map(|item| item.as_str().ok_or_else(|| format!("`{key}` is no string"))).transpose()
}

fn number(table: &dyn TableLike, key: &str) -> Result<Option<usize>, String> {
    let wrong = || format!("`{key}` is no whole number from 0 on");
    let Some(item) = table.get(key) else { return Ok(None) };
    let number = item.as_integer().ok_or_else(wrong)?;
    usize::try_from(number).map(Some).map_err(|_negative| wrong())
}

fn float(table: &dyn TableLike, key: &str) -> Result<Option<f64>, String> {
    let Some(item) = table.get(key) else { return Ok(None) };
    let whole = || item.as_integer().and_then(|whole| i32::try_from(whole).ok()).map(f64::from);
    item.as_float().or_else(whole).map(Some).ok_or_else(|| format!("`{key}` is no number"))
}

fn boolean(table: &dyn TableLike, key: &str) -> Result<bool, String> {
    table
        .get(key)
        .map_or(Ok(false), |item| item.as_bool().ok_or_else(|| format!("`{key}` is neither true nor false")))
}

/// Strings in lower case.
fn words(table: &dyn TableLike, key: &str) -> Result<Vec<Box<str>>, String> {
    Ok(words_as_written(table, key)?.into_iter().map(|word| word.to_ascii_lowercase().into()).collect())
}

fn words_as_written(table: &dyn TableLike, key: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`{key}` is no list of strings");
    let Some(item) = table.get(key) else { return Ok(Vec::new()) };
    let list = item.as_array().ok_or_else(wrong)?;
    list.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
