//! `docs/capabilities.md` has every row of the mission, and what it calls proved is proved by tests that exist and run.

use crate::workspace::{read, root, table};
use std::collections::BTreeSet;

/// The mission's rows: prefix and numbers.
const ROWS: &[(&str, &[(u32, u32)])] = &[
    ("USR", &[(1, 12)]),
    ("TFG", &[(1, 35), (40, 50), (60, 64), (70, 74), (80, 86)]),
    ("CCG", &[(1, 42)]),
    ("TGE", &[(1, 38)]),
    ("BFE", &[(1, 10), (20, 43)]),
    ("TCG", &[(1, 25)]),
];
/// How many they are.
const COUNT: usize = 214;

/// A row: id, capability, state, test, limit.
fn rows() -> Vec<[String; 5]> {
    let rows = table(&read("docs/capabilities.md"), "capabilities").into_iter();
    rows.map(|cells| cells.try_into().unwrap_or_else(|cells| panic!("not five cells: {cells:?}"))).collect()
}

/// The references in a cell: texts in backticks.
fn references(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What is wrong with a reference, `path#function` or `path`.
fn fault(reference: &str) -> Option<String> {
    let (path, function) = match reference.split_once('#') {
        Some((path, function)) => (path, Some(function)),
        None => (reference, None),
    };
    if !root().join(path).is_file() {
        return Some(format!("there is no file {path}"));
    }
    let Some(function) = function else {
        let whole = path.starts_with("scripts/") || path.starts_with("docs/");
        return (!whole).then(|| format!("{path}: name the test, path#function"));
    };
    let text = read(path);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| {
        let rest = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        rest.and_then(|rest| rest.strip_prefix(function)).is_some_and(|rest| rest.starts_with('('))
    };
    let Some(at) = lines.iter().position(is_it) else {
        return Some(format!("{path} has no function {function}"));
    };
    // The lines right above a function that belong to it.
    let above: Vec<&&str> = lines[..at]
        .iter()
        .rev()
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .collect();
    let attributes: Vec<_> = above.iter().filter(|line| line.starts_with("#[")).collect();
    if attributes.iter().any(|line| line.contains("ignore")) {
        return Some(format!("{path}: {function} is skipped"));
    }
    let is_test = attributes.iter().any(|line| line.contains("test"));
    (!is_test).then(|| format!("{path}: {function} is not a test"))
}

#[test]
fn every_row_of_the_mission_is_there_once() {
    let mission: BTreeSet<String> = ROWS
        .iter()
        .flat_map(|(prefix, ranges)| {
            let numbers = ranges.iter().flat_map(|(first, last)| *first..=*last);
            numbers.map(move |number| format!("{prefix}-{number:02}"))
        })
        .collect();
    assert_eq!(mission.len(), COUNT);
    let listed: Vec<String> = rows().into_iter().map(|row| row[0].clone()).collect();
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a row is there twice");
    let missing: Vec<_> = mission.difference(&unique).collect();
    let unknown: Vec<_> = unique.difference(&mission).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, unknown: {unknown:?}");
}

#[test]
fn every_claim_names_tests_that_exist_and_run() {
    let mut wrong = Vec::new();
    for [id, _, state, test, limit] in rows() {
        match state.as_str() {
            "absent" => {
                if references(&test).next().is_some() {
                    wrong.push(format!("{id} is absent and names a test"));
                }
            }
            "partial" | "works" => {
                if references(&test).next().is_none() {
                    wrong.push(format!("{id} is {state} and names no test"));
                }
                wrong.extend(references(&test).filter_map(fault).map(|fault| format!("{id}: {fault}")));
                if limit.is_empty() || limit == "–" {
                    wrong.push(format!("{id} states no limit; write \"none known\" if that is so"));
                }
            }
            other => wrong.push(format!("{id}: {other:?} is not a state")),
        }
    }
    assert!(wrong.is_empty(), "docs/capabilities.md: {wrong:#?}");
}

#[test]
fn references_are_looked_up() {
    let here = "benches/tests/architecture/capabilities.rs";
    assert_eq!(fault(&format!("{here}#references_are_looked_up")), None);
    assert_eq!(fault("scripts/smoke.sh"), None);
    for bad in
        [format!("{here}#rows"), format!("{here}#nothing"), here.to_owned(), "scripts/nothing.sh".to_owned()]
    {
        assert!(fault(&bad).is_some(), "{bad}");
    }
}
