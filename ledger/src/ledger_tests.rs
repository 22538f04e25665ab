use super::*;
use crate::Sums;
use crate::admin::Role;
use crate::directory::{EntryChange, EntryKind, NewEntry};
use crate::token::{TokenKind, issue};
use crate::{now_us, sample};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.db");
    (folder, path)
}

fn small_queue() -> LedgerOptions {
    LedgerOptions { queue_limit: 8, busy_timeout: Duration::from_millis(1), ..LedgerOptions::default() }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_finds_the_queue_full_is_kept_as_sums() {
    let (_folder, path) = file();
    let ledger = Ledger::open_idle(&path, &small_queue()).unwrap();
    let records: Vec<Record> = (0..100).map(sample::record).collect();
    for (number, record) in records.iter().enumerate() {
        assert_eq!(ledger.accepting(), number < 8, "before record {number}");
        ledger.submit(record.clone());
    }
    let stats = ledger.stats();
    assert_eq!((stats.queue_depth, stats.overflowed, stats.written), (8, 92, 0));
    ledger.writer.start(&ledger.queue, &ledger.objects).unwrap();
    ledger.flush(PATIENCE).unwrap();
    assert!(ledger.accepting());

    let sum = |records: &[Record]| {
        let mut sums = Sums::default();
        records.iter().flat_map(Sums::split).for_each(|(_, one)| sums.add(&one));
        sums
    };
    let found = ledger.verify().unwrap();
    assert!(found.consistent);
    assert_eq!(found.records, sum(&records[..8]));
    assert_eq!(found.overflow, Sums { overflowed: 92, ..sum(&records[8..]) });
    let usage = ledger.usage(&Filter::default(), &[]).unwrap();
    assert_eq!(usage[0].sums, Sums { overflowed: 92, ..sum(&records) });
}

#[test]
fn many_threads_lose_nothing() {
    let (_folder, path) = file();
    let options = LedgerOptions { queue_limit: 64, gather: Duration::ZERO, ..LedgerOptions::default() };
    let ledger = Ledger::open(&path, options).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                (0..1_000).for_each(|number| ledger.submit(sample::record(thread * 1_000 + number)))
            });
        }
    });
    ledger.flush(PATIENCE).unwrap();
    let (found, stats) = (ledger.verify().unwrap(), ledger.stats());
    assert!(found.consistent, "{found:?}");
    assert_eq!(found.records.requests + found.overflow.requests, 4_000);
    assert_eq!((found.records.requests, found.overflow.requests), (stats.written, stats.overflowed));
    let mut expected = Sums::default();
    (0..4_000)
        .for_each(|number| Sums::split(&sample::record(number)).for_each(|(_, one)| expected.add(&one)));
    let usage = ledger.usage(&Filter::default(), &[]).unwrap();
    assert_eq!(usage[0].sums, Sums { overflowed: stats.overflowed, ..expected });
}

#[test]
fn a_store_that_refuses_is_tried_again_and_nothing_is_lost() {
    let (_folder, path) = file();
    let ledger = Ledger::open(&path, small_queue()).unwrap();
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    (0..50).for_each(|number| ledger.submit(sample::record(number)));
    eventually("the failure shows", || ledger.stats().failing);
    assert!(!ledger.accepting());
    assert!(ledger.stats().last_error.unwrap().contains("locked"));
    assert!(matches!(ledger.flush(Duration::ZERO), Err(LedgerError::NotFlushed { .. })));
    blocker.execute_batch("COMMIT").unwrap();
    ledger.flush(PATIENCE).unwrap();
    assert!(ledger.accepting());
    let found = ledger.verify().unwrap();
    assert!(found.consistent);
    assert_eq!(found.records.requests + found.overflow.requests, 50);
}

#[test]
fn closing_does_not_wait_for_ever_on_a_store_that_refuses() {
    let (_folder, path) = file();
    let ledger = Ledger::open(&path, small_queue()).unwrap();
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    ledger.submit(sample::record(1));
    eventually("the failure shows", || ledger.stats().failing);
    let error = ledger.close(Duration::from_millis(1)).unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
}

#[test]
fn sums_stop_at_the_largest_number() {
    let (_folder, path) = file();
    let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
    let mut record = sample::record(1);
    record.request_bytes = u64::MAX;
    for _ in 0..3 {
        ledger.submit(record.clone());
        ledger.flush(PATIENCE).unwrap();
    }
    let usage = ledger.usage(&Filter::default(), &[]).unwrap();
    assert_eq!(usage[0].sums.request_bytes, i64::MAX.unsigned_abs());
    assert_eq!(usage[0].sums.requests, 3);
}

#[test]
fn the_schema_before_is_readable_and_migrates() {
    let (_folder, path) = file();
    let mut connection = store::connect(&Place::from(&path), PATIENCE).unwrap();
    connection.execute_batch("PRAGMA application_id = 0x4E525753").unwrap();
    store::migrate::run(&mut connection, &Place::from(&path), store::migrate::LATEST - 1).unwrap();
    // As the program before wrote them.
    let (key, admin) = (issue(TokenKind::VirtualKey, None).unwrap(), issue(TokenKind::Admin, None).unwrap());
    connection
        .execute(
            "INSERT INTO keys (id, secret_hash, name, organization, metadata, created_at_us)
             VALUES (?1, ?2, 'old', 'acme', '[]', 1)",
            crate::db::params![key.id, key.hash],
        )
        .unwrap();
    connection
        .execute(
            "INSERT INTO admin_tokens (id, secret_hash, created_at_us) VALUES (?1, ?2, 1)",
            crate::db::params![admin.id, admin.hash],
        )
        .unwrap();
    drop(connection);

    let reader = Reader::open(&path).unwrap();
    assert!(reader.usage(&Filter::default(), &[]).unwrap().is_empty());
    assert!(reader.verify().unwrap().consistent);
    assert_eq!(reader.record(1).unwrap(), None);
    assert!(
        reader
            .records(&Filter::default(), PageRequest { limit: 1, cursor: None })
            .unwrap()
            .records
            .is_empty()
    );

    let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
    assert!(ledger.keys().verify(key.text.expose(), now_us()).is_ok());
    assert!(ledger.verify_admin_token(admin.text.expose()), "it may do all that it could");
    let info = ledger.show_admin_token(&admin.id).unwrap();
    assert_eq!((info.organization, info.role), (None, Role::Write));
    ledger.submit(sample::record(1));
    ledger.flush(PATIENCE).unwrap();
    assert_eq!(ledger.verify().unwrap().records.requests, 1);
    // Who was a name only may become an entry of the directory.
    let acme = ledger.create_entry(&NewEntry::new(EntryKind::Organization, "acme", "acme"), "test").unwrap();
    assert!(ledger.keys().verify(key.text.expose(), now_us()).is_ok());
    let off = EntryChange { disabled: Some(true), ..EntryChange::default() };
    ledger.change_entry(EntryKind::Organization, &acme.id, &off, None, "test").unwrap();
    assert!(ledger.keys().verify(key.text.expose(), now_us()).is_err());
}

#[test]
fn a_newer_schema_is_refused() {
    let (_folder, path) = file();
    drop(Ledger::open(&path, LedgerOptions::default()).unwrap());
    let newer = store::migrate::LATEST + 1;
    let store = Connection::open(&path).unwrap();
    store.execute("INSERT INTO schema_version VALUES (?1, 0)", [newer]).unwrap();
    for error in
        [Ledger::open(&path, LedgerOptions::default()).unwrap_err(), Reader::open(&path).unwrap_err()]
    {
        assert!(matches!(error, LedgerError::SchemaNewer { found, .. } if found == newer), "{error:?}");
        assert!(error.to_string().contains("run a newer Narrows"));
    }
}

#[test]
fn errors_at_opening_say_what_to_do() {
    let (folder, path) = file();
    let open = |path: &Path| Ledger::open(path, small_queue()).unwrap_err();
    let error = open(&folder.path().join("absent/n.db"));
    assert!(
        matches!(error, LedgerError::NotWritable { .. }) && error.to_string().contains("folder must exist")
    );

    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to be looked at as one. ".repeat(100)).unwrap();
    assert!(matches!(open(&text), LedgerError::NotAStore { .. }));
    assert!(matches!(Reader::open(&text), Err(LedgerError::NotAStore { .. })));

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(open(&other).to_string().contains("not a Narrows store"));

    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(open(&path), LedgerError::Locked { .. }));

    assert!(matches!(Reader::open(&folder.path().join("none.db")), Err(LedgerError::Missing { .. })));
}

fn charge(budget: &str, at_us: i64, tokens: u64) -> Charge {
    Charge {
        counter: Arc::new(crate::CounterName { budget: budget.into(), scope: "{}".into() }),
        at_us,
        spent: crate::Spent { requests: 1, tokens, cost_nanousd: tokens.saturating_mul(7), unpriced: 0 },
    }
}

fn spending(ledger: &Ledger, from_us: i64) -> Vec<(String, i64, crate::Spent)> {
    let mut rows = Vec::new();
    ledger
        .spending(from_us, &mut |row| rows.push((row.counter.budget.to_string(), row.from_us, row.spent)))
        .unwrap();
    rows
}

#[test]
fn charges_are_the_sum_of_records_even_of_those_that_found_no_room() {
    let (_folder, path) = file();
    let ledger = Ledger::open_idle(&path, &small_queue()).unwrap();
    let now = now_us().div_euclid(crate::QUARTER_US) * crate::QUARTER_US;
    for number in 0..100 {
        // Half of them a quarter of an hour earlier.
        let at = now - crate::QUARTER_US * i64::try_from(number % 2).unwrap();
        ledger.submit_charged(sample::record(number), vec![charge("team", at, 10), charge("all", at, 10)]);
    }
    assert_eq!(ledger.stats().overflowed, 92);
    ledger.writer.start(&ledger.queue, &ledger.objects).unwrap();
    ledger.flush(PATIENCE).unwrap();
    let spent = crate::Spent { requests: 50, tokens: 500, cost_nanousd: 3_500, unpriced: 0 };
    let earlier = now - crate::QUARTER_US;
    let rows: Vec<_> = [("all", earlier), ("team", earlier), ("all", now), ("team", now)]
        .map(|(budget, at)| (budget.to_owned(), at, spent))
        .into();
    assert_eq!(spending(&ledger, earlier + 1), rows);
    assert_eq!(spending(&ledger, now), rows[2..]);
}

#[test]
fn charges_stop_at_the_largest_number_and_go_when_no_window_reaches_them() {
    let (_folder, path) = file();
    let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
    let kept = crate::spending::KEPT_QUARTERS * crate::QUARTER_US;
    let old = now_us() - kept - crate::QUARTER_US;
    ledger.submit_charged(sample::record(1), vec![charge("team", old, 1)]);
    ledger.flush(PATIENCE).unwrap();
    assert_eq!(spending(&ledger, 0), [], "the first batch with charges sweeps");
    let now = now_us();
    for _ in 0..2 {
        ledger.submit_charged(sample::record(1), vec![charge("team", now, u64::MAX)]);
        ledger.flush(PATIENCE).unwrap();
    }
    let tokens: Vec<_> = spending(&ledger, 0).into_iter().map(|(_, _, spent)| spent.tokens).collect();
    assert_eq!(tokens, [i64::MAX.cast_unsigned()]);
}
