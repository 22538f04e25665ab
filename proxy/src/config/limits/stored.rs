//! Budgets and rate limits that stand in the store, each with what the file would say of it.

use super::{BudgetRule, RateRule};
use crate::config::counters::SHARED_MAX;
use crate::config::document::Document;
use crate::config::form::{Form, Reader};
use crate::config::resolve::Check;
use crate::config::{Problem, Settings, show, tree};
use narrows_ledger::{LimitKind, StoredLimit};
use serde_json::{Value, json};
use std::path::PathBuf;

/// What the store is called in the place of a file, in problems.
const STORE: &str = "store";

/// Budgets and rate limits from the store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredLimits {
    /// The budgets, by name.
    pub budgets: Vec<BudgetRule>,
    /// The rate limits, by name.
    pub rate_limits: Vec<RateRule>,
    /// Tells them apart from others; 0 for none at all.
    pub hash: u64,
}

/// One of them.
enum One {
    Budget(BudgetRule),
    Rate(RateRule),
}

/// Where a limit of this kind stands in a file.
pub(crate) const fn section(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::Budget => "budgets",
        LimitKind::RateLimit => "rate_limits",
    }
}

impl StoredLimits {
    /// Reads those that `settings` have no limit of the same kind and name for: what a file says comes first.
    ///
    /// # Errors
    /// Every problem of all of them.
    pub(crate) fn read(settings: &Settings, stored: &[StoredLimit]) -> Result<StoredLimits, Vec<Problem>> {
        let (mut limits, mut problems, mut said) = (StoredLimits::default(), Vec::new(), Vec::new());
        for limit in stored.iter().filter(|limit| !is_in_file(settings, limit.kind, &limit.name)) {
            said.push(json!([limit.kind.as_str(), limit.name, limit.document]));
            match one(limit.kind, &limit.name, &limit.document, settings.counters.is_some()) {
                Ok(One::Budget(budget)) => limits.budgets.push(budget),
                Ok(One::Rate(rate)) => limits.rate_limits.push(rate),
                Err(found) => problems.extend(found),
            }
        }
        if !said.is_empty() {
            limits.hash = show::hash(&Value::Array(said));
        }
        if problems.is_empty() { Ok(limits) } else { Err(problems) }
    }
}

/// Whether the configuration's file has a limit of this kind and name.
pub(crate) fn is_in_file(settings: &Settings, kind: LimitKind, name: &str) -> bool {
    match kind {
        LimitKind::Budget => settings.budgets.iter().any(|rule| *rule.name == *name),
        LimitKind::RateLimit => settings.rate_limits.iter().any(|rule| *rule.name == *name),
    }
}

/// Every problem of a document, before it goes to the store.
pub(crate) fn problems(kind: LimitKind, name: &str, document: &str, shared: bool) -> Vec<Problem> {
    one(kind, name, document, shared).err().unwrap_or_default()
}

fn one(kind: LimitKind, name: &str, document: &str, shared: bool) -> Result<One, Vec<Problem>> {
    let section = section(kind);
    let problem = |message: String, suggestion: &str| {
        vec![Problem {
            file: STORE.to_owned(),
            line: 1,
            column: 1,
            path: format!("{section}.{name}"),
            message,
            suggestion: suggestion.to_owned(),
        }]
    };
    let value = match serde_json::from_str(document) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => {
            return Err(problem("not an object".to_owned(), "write {\"usd\": 100, \"window\": \"month\"}"));
        }
        Err(error) => return Err(problem(format!("not JSON: {error}"), "")),
    };
    // As it would stand in a file; a variable is only text here, for whoever writes it may not read the environment.
    let text = json!({"version": 1, section: {name: value}}).to_string();
    let (root, found) = tree::parse(STORE, &text);
    let Some(root) = root else { return Err(found) };
    let mut reader = Reader {
        file: STORE,
        base: PathBuf::new(),
        path: super::Path::default(),
        problems: found,
        files: Vec::new(),
    };
    let read = Document::read(&root, &mut reader);
    let one = read.and_then(|document| {
        let mut check = Check { root: &root, reader: &mut reader };
        match kind {
            LimitKind::Budget => check.budgets(&document).pop().map(One::Budget),
            LimitKind::RateLimit => check.rate_limits(&document).pop().map(One::Rate),
        }
    });
    // Of the file as a whole, which this is none, nothing is asked.
    reader.problems.retain(|problem| problem.path.starts_with(section));
    match one {
        _ if !reader.problems.is_empty() => Err(reader.problems),
        Some(One::Budget(budget)) if shared && budget.budget.limit > SHARED_MAX => Err(problem(
            "more than counters that are shared count exactly".to_owned(),
            "at most 9007199 dollars",
        )),
        Some(one) => Ok(one),
        None => Err(problem("cannot be read".to_owned(), "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::{AtLimit, Unit};

    fn limit(kind: LimitKind, name: &str, document: &str) -> StoredLimit {
        StoredLimit {
            kind,
            name: name.to_owned(),
            document: document.to_owned(),
            version: 1,
            created_at_us: 0,
            updated_at_us: 0,
            updated_by: "ada".to_owned(),
        }
    }

    fn settings(limits: &str) -> Settings {
        let text = format!("version: 1\nproviders: {{a: {{kind: openai, api_key: k}}}}\n{limits}");
        crate::config::parse("t", std::path::Path::new("/"), &text, &|_| None).unwrap().settings
    }

    const MONEY: &str = r#"{"per": ["team", "tags.env"], "where": {"organization": "acme"}, "usd": 12.5, "window": "month",
        "time_zone": "Europe/Zurich", "at_limit": "warn"}"#;

    #[test]
    fn a_document_says_what_a_file_would() {
        let stored = [
            limit(LimitKind::Budget, "money", MONEY),
            limit(LimitKind::RateLimit, "speed", r#"{"requests": 60, "per": "key"}"#),
        ];
        let read = StoredLimits::read(&settings(""), &stored).unwrap();
        let file = settings(
            "budgets: {money: {per: [team, tags.env], where: {organization: acme}, usd: 12.5, window: month, \
             time_zone: Europe/Zurich, at_limit: warn}}\nrate_limits: {speed: {requests: 60, per: key}}\n",
        );
        assert_eq!((read.budgets, read.rate_limits), (file.budgets.clone(), file.rate_limits.clone()));
        assert_eq!((file.budgets[0].unit, file.budgets[0].at_limit), (Unit::Usd, AtLimit::Warn));
        assert_ne!(read.hash, 0);
        assert_eq!(StoredLimits::read(&settings(""), &[]).unwrap(), StoredLimits::default());
    }

    #[test]
    fn a_file_comes_before_the_store() {
        let stored = [
            limit(LimitKind::Budget, "money", MONEY),
            limit(LimitKind::RateLimit, "money", r#"{"tokens": 5}"#),
        ];
        let file = settings("budgets: {money: {usd: 1, window: day}}\n");
        let read = StoredLimits::read(&file, &stored).unwrap();
        assert_eq!((read.budgets.len(), read.rate_limits.len()), (0, 1), "kinds are named apart");
    }

    #[test]
    fn what_is_wrong_is_said_and_no_variable_is_read() {
        for (name, document, word) in [
            ("a", "[]", "not an object"),
            ("a", "{", "not JSON"),
            ("a", r#"{"usd": 1}"#, "window"),
            ("a", r#"{"usd": 1, "tokens": 2, "window": "day"}"#, "one unit"),
            ("a", r#"{"usd": 1, "window": "day", "colour": 1}"#, "colour"),
            ("a", r#"{"usd": 1, "window": "day", "time_zone": "${HOME}"}"#, "${HOME}"),
            ("A b", r#"{"usd": 1, "window": "day"}"#, "not a name"),
            ("a: {}, b", r#"{"usd": 1, "window": "day"}"#, "not a name"),
        ] {
            let found = problems(LimitKind::Budget, name, document, false);
            let said = found.iter().map(|problem| format!("{problem:?}")).collect::<String>();
            assert!(said.contains(word), "{document}: {said}");
        }
        let large = r#"{"usd": 9007200, "window": "day"}"#;
        assert!(problems(LimitKind::Budget, "a", large, false).is_empty());
        assert_eq!(problems(LimitKind::Budget, "a", large, true).len(), 1);
        assert_eq!(problems(LimitKind::RateLimit, "a", "{}", false).len(), 1);
    }
}
