//! `kill -9` in full flow loses at most the last batch, and damages nothing.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{Filter, Ledger, LedgerOptions, PageRequest, Reader};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Set for the child process: the store it writes to.
const CHILD: &str = "NARROWS_CRASH_TEST_STORE";
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_killed_writer_leaves_a_sound_store() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(&PathBuf::from(path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.db");
    let mut least = 0;
    for round in 1..=3 {
        least += kill_after(&path, 3_000);
        let store = rusqlite::Connection::open(&path).unwrap();
        let sound: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let ledger = Ledger::open(&path, LedgerOptions::default()).unwrap();
        let found = ledger.verify().unwrap();
        assert!(found.consistent, "round {round}: {found:?}");
        assert!(found.records.requests >= least, "reported as written: {least}, found: {found:?}");

        // The next writer stores the sums that the killed one had in memory only.
        ledger.submit(common::record(0));
        ledger.close(PATIENCE).unwrap();
        let rollups = "SELECT sum(requests) FROM rollups WHERE overflow = ";
        let kept: u64 =
            store.query_row(&format!("{rollups}0"), [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs();
        assert_eq!(kept, found.records.requests + 1);
        least = kept;
    }
}

/// Lets a child write until it reports `count` written records, kills it, and returns the last report.
fn kill_after(path: &Path, count: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_writer_leaves_a_sound_store", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(written) = line.unwrap().strip_prefix("written ") {
            last = written.parse().unwrap();
            if last >= count {
                break;
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(last >= count, "the child ended by itself");
    last
}

/// Set for the child process whose records come one by one: the store it writes to.
const CHILD_ONE_BY_ONE: &str = "NARROWS_CRASH_TEST_JOINING_STORE";
/// Most records of a joined segment there: small, so that most of the writer's time goes into joining.
const JOINED: u32 = 16;

#[test]
fn a_writer_killed_while_it_joins_segments_leaves_each_record_once() {
    if let Some(path) = std::env::var_os(CHILD_ONE_BY_ONE) {
        return write_one_by_one(&PathBuf::from(path));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n.db");
    let mut joined = 0;
    for round in 1..=5 {
        let test = "a_writer_killed_while_it_joins_segments_leaves_each_record_once";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD_ONE_BY_ONE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut flushed = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(count) = line.unwrap().strip_prefix("flushed ") {
                flushed = count.parse().unwrap();
                // In the middle of it: some were joined in this round.
                if segments(&path, "parts IS NOT NULL") > joined + round {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(flushed > 0, "the child ended by itself");
        joined = segments(&path, "parts IS NOT NULL");
        let store = rusqlite::Connection::open(&path).unwrap();
        let sound: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let reader = Reader::open(&path).unwrap();
        let found = reader.verify().unwrap();
        assert!(found.consistent, "round {round}: {found:?}");
        let mut ids = Vec::new();
        let mut page = PageRequest { limit: 100, cursor: None };
        loop {
            let found = reader.records(&Filter::default(), page).unwrap();
            ids.extend(found.records.iter().map(|record| record.id));
            match found.next {
                None => break,
                next => page.cursor = next,
            }
        }
        // Numbers from 0 on, the newest first: none twice, none left out.
        let expected: Vec<u128> =
            (0..ids.len() as u64).rev().map(|number| common::record(number).id).collect();
        assert_eq!(ids, expected, "round {round}");
        assert!(ids.len() as u64 >= flushed, "reported as durable: {flushed}, found: {}", ids.len());
    }
}

fn segments(path: &Path, which: &str) -> i64 {
    let store = rusqlite::Connection::open(path).unwrap();
    store.busy_timeout(PATIENCE).unwrap();
    store.query_row(&format!("SELECT count(*) FROM segments WHERE {which}"), [], |row| row.get(0)).unwrap()
}

/// Goes on with the number after those that are there.
fn write_one_by_one(path: &Path) {
    let options = LedgerOptions {
        gather: Duration::ZERO,
        batch_limit: 1,
        joined_records: JOINED,
        ..LedgerOptions::default()
    };
    let ledger = Ledger::open(path, options).unwrap();
    let first = ledger.verify().unwrap().records.requests;
    for number in first.. {
        ledger.submit(common::record(number));
        if number % 20 == 0 {
            ledger.flush(PATIENCE).unwrap();
            // The harness may have left its own words on this line.
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nflushed {}", number + 1).unwrap();
        }
    }
}

fn write_until_killed(path: &Path) {
    let options = LedgerOptions { gather: Duration::from_millis(2), ..LedgerOptions::default() };
    let ledger = Ledger::open(path, options).unwrap();
    let mut reported = 0;
    for number in 0.. {
        while !ledger.accepting() {
            std::thread::yield_now();
        }
        ledger.submit(common::record(number));
        let written = ledger.stats().written;
        if written != reported {
            reported = written;
            // The harness may have left its own words on this line.
            let mut out = std::io::stdout().lock();
            writeln!(out, "\nwritten {written}").unwrap();
        }
    }
}
