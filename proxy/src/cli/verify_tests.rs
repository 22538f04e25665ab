use super::*;
use crate::telemetry::metrics::tests::record;
use narrows_ledger::{Charge, CounterName, Expected as Version, Ledger, LedgerOptions};
use narrows_meter::Usage;
use std::sync::Arc;

const PATIENCE: Duration = Duration::from_secs(30);
const BUDGET: &str = r#"{"tokens": 1000000, "window": "month"}"#;

/// A store, and a configuration beside it.
struct Books {
    folder: tempfile::TempDir,
    ledger: Ledger,
}

impl Books {
    fn new(budgets: &str) -> Books {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "version: 1\nstore: {{path: n.db}}\nproviders: {{main: {{kind: openai, api_key: k}}}}\n{budgets}"
        );
        std::fs::write(folder.path().join("n.yaml"), text).unwrap();
        let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
        Books { folder, ledger }
    }

    /// An exchange of 15 tokens; charged to `t` with so many, or not at all.
    fn exchange(&self, id: u128, at_us: i64, charged: Option<u64>, change: impl FnOnce(&mut Record)) {
        let usage = Usage { input_uncached: Some(10), output_text: Some(5), ..Usage::default() };
        let mut record =
            Record { id, started_at_us: at_us, duration_us: 1, usage, also_used: Vec::new(), ..record() };
        (record.cost, record.prices) = (Cost::NanoUsd(7), 1);
        change(&mut record);
        let counter = Arc::new(CounterName { budget: "t".into(), scope: "{}".into() });
        let charge = |tokens| Charge {
            counter,
            at_us,
            spent: Spent { requests: 1, tokens, cost_nanousd: 7, unpriced: 0 },
        };
        self.ledger.submit_charged(record, charged.map(charge).into_iter().collect());
        self.ledger.flush(PATIENCE).unwrap();
    }

    /// How the check of the budget ends, and its note.
    fn check(&self) -> (bool, usize, String) {
        let reader = self.ledger.reader().unwrap();
        let configured = configured(&self.folder.path().join("n.yaml"), &reader).unwrap();
        let check = budgets(&reader, &configured).unwrap().remove(0);
        (check.agrees(), check.pairs.len(), check.note.unwrap_or_default())
    }
}

const FILE: &str = "budgets:\n  t: {tokens: 1000000, window: month}\n";

#[test]
fn a_client_that_was_let_go_free_is_no_difference_and_any_other_is_one() {
    let books = Books::new(FILE);
    let at_us = crate::cli::time::now_us();
    books.exchange(1, at_us, Some(15), |_| {});
    let left = |record: &mut Record| {
        (record.reason, record.cost, record.prices) = (Reason::ClientGone, Cost::ZERO, 0);
    };
    books.exchange(2, at_us, None, left);
    let (agrees, figures, note) = books.check();
    assert!(agrees && figures == 3 && note.contains("1 clients left"), "{note}");
    // One that was not free is charged.
    books.exchange(3, at_us, None, |record| record.reason = Reason::ClientGone);
    assert!(!books.check().0);
    let books = Books::new(FILE);
    books.exchange(1, at_us, Some(15), |_| {});
    books.exchange(2, at_us, None, |_| {});
    assert!(!books.check().0);
}

#[test]
fn a_budget_of_the_store_is_compared_from_when_it_was_as_it_is() {
    let books = Books::new("");
    let made = books.ledger.put_limit(LimitKind::Budget, "t", BUDGET, Version::None, "ada").unwrap();
    let from_us = known_from(made.updated_at_us);
    // Within one quarter of an hour: before it was made, and after.
    books.exchange(1, from_us - 5, None, |_| {});
    books.exchange(2, from_us - 3, Some(15), |_| {});
    books.exchange(3, from_us, Some(15), |_| {});
    let (agrees, figures, note) = books.check();
    assert!(agrees && figures == 3 && note.contains("compared from"), "{note}");
    // One that was admitted while it went into force may be charged or not.
    books.exchange(4, from_us, Some(15), |record| {
        (record.started_at_us, record.duration_us) = (from_us - 1, 10);
    });
    assert!(books.check().0);
    // Since then all must be there.
    books.exchange(5, from_us + QUARTER_US, None, |_| {});
    books.exchange(6, from_us + QUARTER_US, None, |_| {});
    assert!(!books.check().0);
}

#[test]
fn what_agrees_from_the_beginning_is_compared_from_the_beginning() {
    let books = Books::new("");
    let made = books.ledger.put_limit(LimitKind::Budget, "t", BUDGET, Version::None, "ada").unwrap();
    books.exchange(1, known_from(made.updated_at_us) - 5, Some(15), |_| {});
    assert_eq!(books.check(), (true, 3, String::new()));
}

#[test]
fn the_quarter_from_which_is_compared_begins_when_all_know_of_the_change() {
    assert_eq!(known_from(QUARTER_US - NOTICED_US), QUARTER_US);
    assert_eq!(known_from(QUARTER_US - NOTICED_US + 1), 2 * QUARTER_US);
}
