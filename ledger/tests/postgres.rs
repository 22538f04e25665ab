//! The tests of the other files over PostgreSQL, and what only several gateways do.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![allow(clippy::duplicate_mod, reason = "each of the other files has its helpers")]

#[path = "admins.rs"]
mod admins;
#[path = "alerts.rs"]
mod alerts;
#[path = "content.rs"]
mod content;
#[path = "coverage.rs"]
mod coverage;
#[path = "directory.rs"]
mod directory;
#[path = "keys.rs"]
mod keys;
#[path = "questions.rs"]
mod questions;

mod common;

use common::postgres::Postgres;
use narrows_ledger::{
    Charge, CounterName, Dimension, Expected, Filter, Ledger, LedgerError, LedgerOptions, LimitKind, NewKey,
    PageRequest, Place, READERS_MAX, Spent,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until it is so; a test that never sees it fails instead of hanging.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

fn ids(ledger: &Ledger) -> Vec<u128> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = ledger.records(&Filter::default(), PageRequest { limit: 100, cursor }).unwrap();
        ids.extend(page.records.iter().map(|record| record.id));
        let Some(next) = page.next else { return ids };
        cursor = Some(next);
    }
}

#[test]
fn several_writers_add_up_and_lose_nothing() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::from(server.database("narrows"));
    let options = || LedgerOptions { gather: Duration::ZERO, batch_limit: 16, ..LedgerOptions::default() };
    let ledgers: Vec<Ledger> = (0..3).map(|_| Ledger::open(&place, options()).unwrap()).collect();
    std::thread::scope(|scope| {
        for (number, ledger) in (0..).zip(&ledgers) {
            scope.spawn(move || {
                (0..200).for_each(|record| ledger.submit(common::record(number * 200 + record)));
                ledger.flush(PATIENCE).unwrap();
            });
        }
    });
    let writers: BTreeSet<_> = ledgers.iter().map(Ledger::writer).collect();
    assert_eq!(writers.len(), 3, "each is another writer: {writers:?}");
    let expected: BTreeSet<u128> = (0..600).map(|number| common::record(number).id).collect();
    for ledger in &ledgers {
        let found = ledger.verify().unwrap();
        assert!(found.consistent, "{found:?}");
        assert_eq!((found.records.requests, found.overflow.requests), (600, 0));
        let ids = ids(ledger);
        assert_eq!((ids.len(), ids.into_iter().collect::<BTreeSet<_>>()), (600, expected.clone()));
        let usage = ledger.usage(&Filter::default(), &[Dimension::Team]).unwrap();
        assert_eq!(usage.iter().map(|row| row.sums.requests).sum::<u64>(), 600);
    }
    drop(ledgers);
    let next =
        Ledger::open(&place, LedgerOptions { charges_apart: true, ..LedgerOptions::default() }).unwrap();
    assert!(writers.contains(&next.writer()), "a writer that closed is taken over");
}

#[test]
fn segments_of_several_writers_are_joined_and_pages_stay_as_they_were() {
    let Some(server) = common::postgres::shared() else { return };
    let place = Place::from(server.database("joined"));
    let open = |joined_records| {
        let options = LedgerOptions { gather: Duration::ZERO, joined_records, ..LedgerOptions::default() };
        Ledger::open(&place, options).unwrap()
    };
    let segments = || server.sql("joined", "SELECT count(*) FROM segments").parse::<usize>().unwrap();
    let ledgers = [open(0), open(0)];
    for number in 0..60 {
        let ledger = if number % 2 == 0 { &ledgers[0] } else { &ledgers[1] };
        ledger.submit(common::record(number));
        ledger.flush(PATIENCE).unwrap();
    }
    assert_eq!(segments(), 60, "theirs in turn");
    let reader = ledgers[0].reader().unwrap();
    let expected: Vec<u128> = (0..60).rev().map(|number| common::record(number).id).collect();
    assert_eq!(ids(&ledgers[0]), expected);
    // Somebody has seen so many when they are joined.
    let page = |limit, cursor| reader.records(&Filter::default(), PageRequest { limit, cursor }).unwrap();
    let seen: Vec<_> = (1..60).map(|limit| (limit, page(limit, None).next.unwrap())).collect();
    drop(ledgers);
    let ledgers = [open(8), open(8)];
    // Each needs a batch to know which writer it is.
    for (number, ledger) in (60..).zip(&ledgers) {
        ledger.submit(common::record(number));
        ledger.flush(PATIENCE).unwrap();
    }
    // Of each three times eight are joined, and seven may still grow.
    eventually("those that do not fit any more are joined", || segments() == 2 * (3 + 7));
    let all: Vec<u128> = (0..62).rev().map(|number| common::record(number).id).collect();
    assert_eq!(ids(&ledgers[0]), all, "each where it was");
    for (limit, next) in seen {
        let rest: Vec<u128> = page(100, Some(next)).records.iter().map(|record| record.id).collect();
        assert_eq!(rest, expected[limit..], "after {limit}");
    }
    assert!(ledgers[1].verify().unwrap().consistent);
}

#[test]
fn sums_of_days_and_months_are_made_for_a_store_that_has_none() {
    let Some(server) = common::postgres::shared() else { return };
    let place = Place::from(server.database("upgraded"));
    let open = || {
        Ledger::open(&place, LedgerOptions { gather: Duration::ZERO, ..LedgerOptions::default() }).unwrap()
    };
    let ledger = open();
    (0..50).for_each(|number| ledger.submit(common::record(number)));
    ledger.close(PATIENCE).unwrap();
    let before = ledger.usage(&Filter::default(), &[Dimension::Hour]).unwrap();
    server.sql("upgraded", "DELETE FROM rollups_by_day; DELETE FROM rollups_by_month");
    let none = i64::MAX;
    server
        .sql("upgraded", &format!("INSERT INTO meta VALUES ('days_from', {none}), ('months_from', {none})"));
    assert_eq!(ledger.usage(&Filter::default(), &[Dimension::Hour]).unwrap(), before);
    assert_eq!(ledger.usage(&Filter::default(), &[]).unwrap()[0].sums.requests, 50);
    let ledgers = [open(), open()];
    for number in 50..100 {
        ledgers[usize::from(number % 2 == 0)].submit(common::record(number));
    }
    eventually("all are added up", || {
        server.sql("upgraded", "SELECT count(*) FROM meta WHERE name IN ('days_from', 'months_from')") == "0"
    });
    ledgers.iter().for_each(|ledger| ledger.flush(PATIENCE).unwrap());
    let found = ledgers[0].verify().unwrap();
    assert!(found.consistent && found.records.requests == 100, "{found:?}");
    assert_eq!(server.sql("upgraded", "SELECT sum(requests) FROM rollups_by_month"), "100");
    assert_eq!(ledgers[0].usage(&Filter::default(), &[]).unwrap()[0].sums.requests, 100);
}

#[test]
fn a_server_that_goes_away_costs_nothing_but_time() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::from(server.database("narrows"));
    let options = || LedgerOptions { gather: Duration::ZERO, batch_limit: 8, ..LedgerOptions::default() };
    let (one, other) = (Ledger::open(&place, options()).unwrap(), Ledger::open(&place, options()).unwrap());
    let new = NewKey { organization: "acme".into(), name: "a".into(), ..NewKey::default() };
    let key = one.create_key(&new, "test").unwrap();
    eventually("the other knows the key", || other.keys().verify(key.key.expose(), 0).is_ok());
    one.submit(common::record(0));
    one.flush(PATIENCE).unwrap();
    let writer = one.writer();
    for round in 0..3_u64 {
        let numbers = 1 + round * 100..1 + (round + 1) * 100;
        std::thread::scope(|scope| {
            for (half, ledger) in [(0, &one), (1, &other)] {
                let mine = numbers.clone().filter(move |number| number % 2 == half);
                scope.spawn(move || mine.for_each(|number| ledger.submit(common::record(number))));
            }
            // In the middle of it.
            server.kill();
        });
        one.submit(common::record(1_000 + round));
        eventually("it is seen to be away", || one.stats().failing && !one.accepting());
        assert!(one.keys().verify(key.key.expose(), 0).is_ok(), "keys work on");
        let refused = one.set_key_disabled(&key.info.id, true, "test").unwrap_err();
        assert!(matches!(refused, LedgerError::Database(_)), "{refused:?}");
        server.run();
        one.flush(PATIENCE).unwrap();
        other.flush(PATIENCE).unwrap();
        assert!(one.accepting() && other.accepting());
    }
    assert_eq!(one.writer(), writer, "it is the same writer as before");
    let expected: BTreeSet<u128> =
        (0..301).chain(1_000..1_003).map(|number| common::record(number).id).collect();
    let ids = ids(&other);
    assert_eq!(
        (ids.len(), ids.into_iter().collect::<BTreeSet<_>>()),
        (304, expected),
        "none lost, none twice"
    );
    let found = other.verify().unwrap();
    assert!(found.consistent && found.records.requests == 304, "{found:?}");
    one.set_key_disabled(&key.info.id, true, "test").unwrap();
    eventually("the key is refused", || other.keys().verify(key.key.expose(), 0).is_err());
}

#[test]
fn each_writer_knows_its_own_charges() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::from(server.database("narrows"));
    let open = |charges_apart| {
        Ledger::open(&place, LedgerOptions { charges_apart, ..LedgerOptions::default() }).unwrap()
    };
    let (one, other, all) = (open(true), open(true), open(false));
    let now_us = i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros(),
    )
    .unwrap();
    let charge = |tokens| Charge {
        counter: Arc::new(CounterName { budget: "team".into(), scope: "{}".into() }),
        at_us: now_us,
        spent: Spent { requests: 1, tokens, cost_nanousd: 0, unpriced: 0 },
    };
    for (ledger, tokens) in [(&one, 1), (&other, 10), (&one, 100)] {
        ledger.submit_charged(common::record(tokens), vec![charge(tokens)]);
        ledger.flush(PATIENCE).unwrap();
    }
    let spent = |ledger: &Ledger| {
        let mut sum = Spent::default();
        ledger.spending(0, &mut |row| sum.add(&row.spent)).unwrap();
        let asked = ledger.spending_until_now(0).wait(PATIENCE).unwrap();
        assert_eq!(asked.iter().map(|row| row.spent.tokens).sum::<u64>(), sum.tokens);
        (sum.requests, sum.tokens)
    };
    assert_eq!((spent(&one), spent(&other), spent(&all)), ((2, 101), (1, 10), (3, 111)));
    let number = one.writer();
    drop(one);
    let next = open(true);
    assert_eq!((next.writer(), spent(&next)), (number, (2, 101)), "the next one goes on where it was");
}

#[test]
fn a_budget_that_is_made_at_one_is_known_to_the_other() {
    let Some(server) = common::postgres::shared() else { return };
    let place = Place::from(server.database("limits"));
    let open = || Ledger::open(&place, LedgerOptions::default()).unwrap();
    let (one, other) = (open(), open());
    let put = |document, expected| one.put_limit(LimitKind::Budget, "team", document, expected, "ada");
    let made = put("{}", Expected::None).unwrap();
    eventually("the other hears of it", || other.changes() == one.changes());
    assert_eq!(other.limits().unwrap(), [made]);
    assert!(put("{}", Expected::None).is_err());
    let changed = put("{ }", Expected::Version(1)).unwrap();
    assert_eq!(other.limit(LimitKind::Budget, "team").unwrap(), changed);
    other.delete_limit(LimitKind::Budget, "team", Expected::Some, "bob").unwrap();
    assert!(one.limits().unwrap().is_empty());
    let anew = put("{}", Expected::None).unwrap();
    assert!(anew.version > changed.version, "no version comes twice: {anew:?}");
    other.delete_limit(LimitKind::Budget, "team", Expected::Some, "bob").unwrap();
    assert!(put("{}", Expected::None).unwrap().version > anew.version);
}

#[test]
fn what_cannot_be_opened_says_why_and_no_password() {
    let Some(server) = Postgres::start() else { return };
    let mut wrong = server.database("narrows");
    wrong.password = Some("not this one".into());
    let refused = |place: Place| common::said(&Ledger::open(place, LedgerOptions::default()).unwrap_err());
    let said = refused(wrong.into());
    assert!(said.contains("password authentication failed") && !said.contains("not this one"), "{said}");
    server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    let said = refused(server.database("latin").into());
    assert!(said.contains("encoding is not UTF8"), "{said}");
    let place = Place::from(server.database("narrows"));
    drop(Ledger::open(&place, LedgerOptions::default()).unwrap());
    server.sql("narrows", "INSERT INTO schema_version VALUES (1000, 0)");
    let said = refused(place.clone());
    assert!(said.contains("run a newer Narrows"), "{said}");
    server.kill();
    let said = refused(place);
    assert!(said.contains("cannot be reached") && !said.contains(common::postgres::PASSWORD), "{said}");
}

#[test]
fn as_many_read_as_may_and_neither_keys_nor_records_wait_for_them() {
    let Some(server) = Postgres::start() else { return };
    let place = Place::from(server.database("narrows"));
    let options = LedgerOptions { busy_timeout: Duration::from_millis(500), ..LedgerOptions::default() };
    let ledger = Ledger::open(&place, options).unwrap();
    ledger.submit(common::record(1));
    ledger.flush(PATIENCE).unwrap();
    let mut readers: Vec<_> = (0..READERS_MAX - 1).map(|_| ledger.reader().unwrap()).collect();
    // A report that takes its time, with others beside it.
    let ask = || ledger.usage(&Filter::default(), &[]);
    let mut seen = 0;
    readers[0]
        .each(&Filter::default(), &mut |_record| {
            seen += 1;
            assert_eq!(ask().unwrap()[0].sums.requests, 1);
        })
        .unwrap();
    assert_eq!(seen, 1);
    readers.push(ledger.reader().unwrap());
    let refused = ask().unwrap_err().to_string();
    assert!(refused.contains(&format!("{READERS_MAX} readers")), "{refused}");
    let new = NewKey { organization: "acme".into(), name: "a".into(), ..NewKey::default() };
    let key = ledger.create_key(&new, "test").unwrap();
    assert!(ledger.keys().verify(key.key.expose(), 0).is_ok());
    ledger.submit(common::record(2));
    ledger.flush(PATIENCE).unwrap();
    readers.pop();
    assert_eq!(ask().unwrap()[0].sums.requests, 2, "one has ended");
}

#[test]
fn readers_are_used_again_and_made_anew_when_they_broke() {
    let Some(server) = Postgres::start() else { return };
    let ledger = Ledger::open(Place::from(server.database("narrows")), LedgerOptions::default()).unwrap();
    let ask = || ledger.usage(&Filter::default(), &[]).map(|_| ());
    let sessions = || {
        let sql = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE application_name LIKE 'narrows %'";
        server.sql("narrows", sql)
    };
    ask().unwrap();
    let before = sessions();
    (0..20).for_each(|_| ask().unwrap());
    assert_eq!(sessions(), before, "no connection was made for them");
    let reader = ledger.reader().unwrap();
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'narrows %'";
    assert_ne!(server.sql("narrows", end), "0");
    // One that was out is not given back, one that lay idle is not lent.
    drop(reader);
    ask().unwrap();
    assert_ne!(sessions(), before);
    (0..READERS_MAX * 2).for_each(|_| drop(ledger.reader().unwrap()));
}
