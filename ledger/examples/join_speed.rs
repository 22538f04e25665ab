//! What joining small segments is worth: a store whose records came one at a time, before and after.
//!
//! `cargo run --release -p narrows-ledger --example join_speed -- [records] [seconds between them] [folder]`

use narrows_ledger::{Filter, Ledger, LedgerOptions, PageRequest, Reader, Search};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[path = "../src/sample.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "records of tests, which are what is wanted here")]
mod sample;
use narrows_ledger::{
    Attempt, ContentState, ContentStates, Detail, Finding, Inspection, Inspections, Record, Used,
};

const PATIENCE: Duration = Duration::from_secs(600);
/// How often each question is asked.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let (records, seconds) = (number(200_000)?, number(2)?);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("join-speed-{}.db", std::process::id()));
    let one_by_one = LedgerOptions {
        batch_limit: 1,
        gather: Duration::ZERO,
        joined_records: 0,
        ..LedgerOptions::default()
    };
    let ledger = Ledger::open(&path, one_by_one)?;
    let mut first = None;
    for number in 0..records {
        while ledger.stats().queue_depth * 2 > ledger.stats().queue_limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut record = sample::record(number);
        record.started_at_us = *first.get_or_insert(record.started_at_us)
            + i64::try_from(number * seconds)?.saturating_mul(1_000_000);
        ledger.submit(record);
    }
    ledger.close(PATIENCE)?;
    let mut out = std::io::stdout().lock();
    tell(&path, &mut out, "one by one")?;
    let ledger = Ledger::open(&path, LedgerOptions::default())?;
    let start = Instant::now();
    let mut before = i64::MAX;
    // The writer joins a few at a time; nothing more changes when it has done.
    while count(&path, "segments")? < before {
        before = count(&path, "segments")?;
        std::thread::sleep(Duration::from_secs(10));
    }
    ledger.close(PATIENCE)?;
    writeln!(out, "joined within {:.0} s", start.elapsed().as_secs_f64())?;
    tell(&path, &mut out, "joined")?;
    for suffix in ["", "-wal", "-shm"] {
        // The log and its index are gone after a clean close.
        let _absent = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    Ok(())
}

fn count(path: &Path, table: &str) -> Result<i64, Box<dyn Error>> {
    let store = rusqlite::Connection::open(path)?;
    store.busy_timeout(PATIENCE)?;
    Ok(store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
}

/// Segments, space in use and the time of pages.
fn tell(path: &Path, out: &mut dyn Write, what: &str) -> Result<(), Box<dyn Error>> {
    let store = rusqlite::Connection::open(path)?;
    let pragma = |name: &str| store.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
    writeln!(out, "{what}: {} segments, {} MB in use", count(path, "segments")?, used / 1_000_000)?;
    let reader = Reader::open(path)?;
    let page = PageRequest { limit: 100, cursor: None };
    let rare = Search { conversation: Some("none".into()), ..Search::default() };
    let nobody =
        Search { filter: Filter { user: Some("nobody".into()), ..Filter::default() }, ..Search::default() };
    for (what, search) in [
        ("the newest 100 records", Search::default()),
        ("a user who is in no record", nobody),
        ("one page for a conversation that is not there", rare),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            reader.search(&search, page)?;
            times.push(start.elapsed());
        }
        times.sort();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        writeln!(out, "{:>9.1} ms  {what}", median.as_secs_f64() * 1_000.0)?;
    }
    let start = Instant::now();
    let verified = reader.verify()?;
    writeln!(
        out,
        "{:>9.1} ms  verify, consistent: {}",
        start.elapsed().as_secs_f64() * 1_000.0,
        verified.consistent
    )?;
    Ok(())
}
