//! Whatever is written, joined and opened again in whatever order: the same reports and the same pages.

use super::{Cursor, Dimension, Filter, PageRequest, Search, UsageRow};
use crate::db::{Connection, params};
use crate::place::Place;
use crate::record::Record;
use crate::store::{self, joining, periods};
use crate::{Ledger, LedgerOptions, Reader, sample};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// Microseconds in an hour.
const HOUR_US: i64 = 3_600_000_000;
/// Most records of a joined segment here.
const JOINED: u32 = 8;

/// What is done to a store.
#[derive(Debug, Clone)]
enum Step {
    /// So many records, each a segment or all in one, so many minutes after those before.
    Write {
        count: u64,
        apart: bool,
        later: i64,
    },
    Join,
    Reopen,
    /// Sums of days and months are as before they were kept; then so many are added up.
    Upgrade {
        steps: usize,
    },
    /// A page; the next one is asked for at the end.
    Page {
        limit: usize,
        user: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_u64..12, any::<bool>(), 0_i64..900).prop_map(|(count, apart, later)| Step::Write { count, apart, later }),
        4 => Just(Step::Join),
        1 => Just(Step::Reopen),
        1 => (0_usize..4).prop_map(|steps| Step::Upgrade { steps }),
        3 => (1_usize..6, any::<bool>()).prop_map(|(limit, user)| Step::Page { limit, user }),
    ];
    prop::collection::vec(step, 1..25)
}

/// A store, and what is in it.
struct Store {
    _folder: tempfile::TempDir,
    path: PathBuf,
    ledger: Option<Ledger>,
    written: Vec<Record>,
    now_us: i64,
}

fn options() -> LedgerOptions {
    LedgerOptions { joined_records: 0, gather: Duration::ZERO, ..LedgerOptions::default() }
}

impl Store {
    fn new() -> Store {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.db");
        let ledger = Some(Ledger::open(&path, options()).unwrap());
        Store { _folder: folder, path, ledger, written: Vec::new(), now_us: sample::record(0).started_at_us }
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    fn write(&mut self, count: u64, apart: bool, later: i64) {
        self.now_us += later * 60_000_000;
        for _ in 0..count {
            let mut record = sample::record(self.written.len() as u64);
            record.started_at_us = self.now_us + self.written.len() as i64;
            self.ledger().submit(record.clone());
            self.written.push(record);
            if apart {
                self.ledger().flush(PATIENCE).unwrap();
            }
        }
        self.ledger().flush(PATIENCE).unwrap();
    }

    fn connection(&self) -> Connection {
        store::connect(&Place::from(&self.path), PATIENCE).unwrap()
    }

    fn join(&self) -> bool {
        joining::step(&mut self.connection(), None, JOINED).unwrap()
    }

    fn upgrade(&self, steps: usize) {
        let mut connection = self.connection();
        let sums = "DELETE FROM rollups_by_day; DELETE FROM rollups_by_month";
        connection.execute_batch(sums).unwrap();
        for mark in ["days_from", "months_from"] {
            let sql =
                "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            connection.execute(sql, params![mark, i64::MAX]).unwrap();
        }
        for _ in 0..steps {
            periods::fill(&mut connection).unwrap();
        }
    }

    fn segments(&self) -> i64 {
        self.connection().query_row("SELECT count(*) FROM segments", [], |row| row.get(0)).unwrap()
    }
}

fn of(user: bool) -> Search {
    let user = user.then(|| "ada".to_owned());
    Search { filter: Filter { user, ..Filter::default() }, ..Search::default() }
}

/// The pages from a cursor on.
fn rest(path: &Path, search: &Search, limit: usize, mut cursor: Option<Cursor>) -> Vec<Record> {
    let reader = Reader::open(path).unwrap();
    let mut records = Vec::new();
    loop {
        let page = reader.search(search, PageRequest { limit, cursor }).unwrap();
        records.extend(page.records);
        match page.next {
            None => return records,
            next => cursor = next,
        }
    }
}

/// Those that match, the last written first.
fn expected(written: &[Record], search: &Search) -> Vec<Record> {
    written.iter().rev().filter(|record| search.matches(record)).cloned().collect()
}

/// By hour, which are the truth; in all, which are the coarsest.
fn by(path: &Path, filter: &Filter, dimensions: &[Dimension]) -> Vec<UsageRow> {
    Reader::open(path).unwrap().usage(filter, dimensions).unwrap()
}

fn total(rows: &[UsageRow]) -> crate::Sums {
    let mut total = crate::Sums::default();
    rows.iter().for_each(|row| total.add(&row.sums));
    total
}

/// Reports of any kind say what the records say.
fn reports_agree(store: &Store) {
    let hours = [0, 1, 5, 24, 30 * 24, 400 * 24].map(|hours| hours * HOUR_US);
    for before in hours {
        for from_us in [None, Some(store.now_us - before)] {
            let to_us = (before > 0).then(|| store.now_us - before / 3);
            let filter = Filter { from_us, to_us, ..Filter::default() };
            let by_hour = by(&store.path, &filter, &[Dimension::Hour]);
            let [from, to] = [from_us, to_us.map(|to| to - 1)].map(|at| at.map(|at| at.div_euclid(HOUR_US)));
            let in_time = |record: &&Record| {
                let hour = record.started_at_us.div_euclid(HOUR_US);
                from.is_none_or(|from| hour >= from) && to.is_none_or(|to| hour <= to)
            };
            let requests = store.written.iter().filter(in_time).count() as u64;
            assert_eq!(total(&by_hour).requests, requests);
            for coarser in [&[Dimension::Day][..], &[Dimension::Team], &[]] {
                let rows = by(&store.path, &filter, coarser);
                assert_eq!(total(&rows), total(&by_hour), "by {coarser:?}: {filter:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_done_reports_and_pages_are_the_same(steps in steps()) {
        let mut store = Store::new();
        // Pages that somebody goes on from: what was there when the first was asked for, how much was seen, and where it goes on.
        let mut begun = Vec::new();
        for step in steps {
            match step {
                Step::Write { count, apart, later } => store.write(count, apart, later),
                Step::Join => drop(store.join()),
                Step::Reopen => {
                    store.ledger().close(PATIENCE).unwrap();
                    store.ledger = Some(Ledger::open(&store.path, options()).unwrap());
                }
                Step::Upgrade { steps } => store.upgrade(steps),
                Step::Page { limit, user } => {
                    let (search, reader) = (of(user), store.ledger().reader().unwrap());
                    let page = reader.search(&search, PageRequest { limit, cursor: None }).unwrap();
                    let all = expected(&store.written, &search);
                    prop_assert_eq!(&page.records, &all[..limit.min(all.len())]);
                    if let Some(next) = page.next {
                        begun.push((search, limit, next, all));
                    }
                }
            }
        }
        for (search, limit, next, all) in begun {
            prop_assert_eq!(rest(&store.path, &search, limit, Some(next)), &all[limit..]);
        }
        prop_assert_eq!(rest(&store.path, &of(false), 7, None), expected(&store.written, &of(false)));
        let found = store.ledger().verify().unwrap();
        prop_assert!(found.consistent, "{:?}", found);
        prop_assert_eq!(found.records.requests, store.written.len() as u64);
        reports_agree(&store);
        for record in store.written.iter().step_by(5) {
            prop_assert_eq!(store.ledger().record(record.id).unwrap(), Some(record.clone()));
        }
    }
}

#[test]
fn records_that_came_one_by_one_are_few_segments_in_the_end() {
    let mut store = Store::new();
    store.write(100, true, 0);
    assert_eq!(store.segments(), 100);
    let mut steps = 0;
    while store.join() {
        steps += 1;
        assert!(steps <= 100, "it ends");
    }
    // Four are left: what comes next may still fit.
    assert_eq!(store.segments(), 100_i64.div_euclid(8) + 4);
    store.write(1, true, 61);
    assert!(store.join());
    assert_eq!(store.segments(), 100_i64.div_euclid(8) + 2);
    assert_eq!(rest(&store.path, &of(false), 1_000, None), expected(&store.written, &of(false)));
}

#[test]
fn a_fault_at_any_point_of_joining_changes_nothing() {
    let mut store = Store::new();
    store.write(80, true, 0);
    let faults = [
        "UPDATE ON segments",
        "DELETE ON segments",
        "INSERT ON meta WHEN new.name = 'joined_up_to'",
        "UPDATE ON meta WHEN new.name = 'joined_up_to'",
    ];
    for _joined in 0..2 {
        for fault in faults {
            for when in ["BEFORE", "AFTER"] {
                let mut connection = store.connection();
                let trigger = format!(
                    "CREATE TEMP TRIGGER fault {when} {fault} BEGIN SELECT RAISE(ABORT, 'fault'); END"
                );
                connection.execute_batch(&trigger).unwrap();
                let before = store.segments();
                let marks = "SELECT count(*) FROM meta WHERE name = 'joined_up_to'";
                let marked: bool = connection.query_row(marks, [], |row| row.get(0)).unwrap();
                let step = joining::step(&mut connection, None, JOINED);
                // The mark is inserted once, and changed from then on.
                let happens = match fault {
                    "UPDATE ON meta WHEN new.name = 'joined_up_to'" => marked,
                    "INSERT ON meta WHEN new.name = 'joined_up_to'" => !marked || when == "BEFORE",
                    _ => true,
                };
                if !happens {
                    assert!(step.unwrap());
                    continue;
                }
                assert!(step.is_err(), "{when} {fault}");
                assert_eq!(store.segments(), before, "{when} {fault}");
                assert_eq!(rest(&store.path, &of(false), 7, None), expected(&store.written, &of(false)));
            }
        }
        assert!(store.join());
    }
    assert!(store.ledger().verify().unwrap().consistent);
}

#[test]
fn what_cannot_be_read_is_left_as_it_is() {
    let mut store = Store::new();
    store.write(20, true, 0);
    store.connection().execute_batch("UPDATE segments SET body = x'00' WHERE id = 3").unwrap();
    let untouched = store.segments();
    assert!(store.join());
    assert_eq!(store.segments(), untouched, "the eight that it is among stay");
    assert!(store.join());
    assert_eq!(store.segments(), untouched - 7);
    assert!(matches!(store.ledger().verify(), Err(crate::LedgerError::Damaged { segment: 3, .. })));
}
