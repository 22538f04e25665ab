//! How fast reports and searches answer over a store with many records.
//!
//! `cargo run --release -p narrows-ledger --example report_speed -- [records] [days] [users] [folder] [hours|periods]`
//!
//! The records go through the ledger's real writer, spread evenly over the days and the users (each with a key, one of a
//! hundred teams, one of four models). Each question is asked several times; the median is told. The store stays in the folder
//! (`report-speed-RECORDS.db`) and is asked again by the next run. With `hours` the questions are answered as if there were no
//! sums by day and by month.

use narrows_ledger::{
    Attempt, CoverageQuestion, Decided, Dimension, Filter, Inspections, Ledger, LedgerOptions, PageRequest,
    Reader, Record, Search,
};
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::{Action, Blame, Caller, Capability, CapabilitySet, Reason, Surface, TrafficClass};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The last moment of the records, UTC microseconds since the epoch: 2026-11-01.
const END_US: i64 = 1_793_491_200_000_000;
const DAY_US: i64 = 86_400_000_000;
const TEAMS: u64 = 100;
/// How often each question is asked.
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let (records, days, users) = (number(1_000_000)?, number(30)?, number(500)?);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("report-speed-{records}.db"));
    let mut out = std::io::stdout().lock();
    if !path.exists() {
        let ledger = Ledger::open(&path, LedgerOptions::default())?;
        let took = fill(&ledger, records, i64::try_from(days)?, users)?;
        ledger.close(PATIENCE)?;
        writeln!(
            out,
            "records {records}, days {days}, users {users}: written in {:.1} s",
            took.as_secs_f64()
        )?;
    }
    let bytes = std::fs::metadata(&path)?.len();
    writeln!(out, "file {} MB, {} bytes a record", bytes / 1_000_000, bytes / records)?;
    mark(&path, args.next().as_deref() == Some("hours"))?;
    let reader = Reader::open(&path)?;
    reports(&reader, &mut out)?;
    searches(&reader, &mut out, records)?;
    let start = Instant::now();
    let verified = reader.verify()?;
    writeln!(out, "{:>9.1} s  verify, consistent: {}", start.elapsed().as_secs_f64(), verified.consistent)?;
    Ok(())
}

/// Says of the sums by day and by month that none of them are complete, or all.
fn mark(path: &Path, hours_only: bool) -> Result<(), Box<dyn Error>> {
    let store = rusqlite::Connection::open(path)?;
    store.execute_batch("DELETE FROM meta WHERE name IN ('days_from', 'months_from')")?;
    for name in ["days_from", "months_from"].into_iter().filter(|_| hours_only) {
        store.execute("INSERT INTO meta VALUES (?1, ?2)", rusqlite::params![name, i64::MAX])?;
    }
    Ok(())
}

/// Writes the records, as fast as they are taken.
fn fill(ledger: &Ledger, records: u64, days: i64, users: u64) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    let callers: Vec<Arc<Caller>> = (0..users).map(caller).collect();
    let texts = ["claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro", "gpt-5-mini"].map(Arc::<str>::from);
    let first = END_US - days * DAY_US;
    let step = days * DAY_US / i64::try_from(records)?.max(1);
    for number in 0..records {
        // Nothing may be folded into sums alone for want of room.
        while ledger.stats().queue_depth * 2 > ledger.stats().queue_limit {
            std::thread::sleep(Duration::from_millis(1));
        }
        let at_us = first + i64::try_from(number)? * step;
        ledger.submit(record(number, at_us, &callers, &texts));
    }
    ledger.flush(PATIENCE)?;
    Ok(start.elapsed())
}

/// The median time of a question, and how many rows it answered with.
fn ask(
    out: &mut dyn Write,
    what: &str,
    question: impl Fn() -> Result<usize, narrows_ledger::LedgerError>,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        rows = question()?;
        times.push(start.elapsed());
    }
    times.sort();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
    writeln!(out, "{:>9.1} ms  {rows:>6} rows  {what}", median.as_secs_f64() * 1_000.0)?;
    Ok(())
}

fn reports(ledger: &Reader, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let since = |days: i64| Filter { from_us: Some(END_US - days * DAY_US), ..Filter::default() };
    let all = Filter::default();
    for (what, filter, by) in [
        ("usage of everything", all.clone(), &[][..]),
        ("usage by team and model, a day", since(1), &[Dimension::Team, Dimension::Model]),
        ("usage by team and model, 7 days", since(7), &[Dimension::Team, Dimension::Model]),
        ("usage by team and model, 30 days", since(30), &[Dimension::Team, Dimension::Model]),
        ("usage by user, 30 days", since(30), &[Dimension::User]),
        ("usage by day, 30 days", since(30), &[Dimension::Day]),
        ("usage by day, everything", all.clone(), &[Dimension::Day]),
        ("usage by team and model, everything", all, &[Dimension::Team, Dimension::Model]),
        (
            "usage of one user by model, everything",
            Filter { user: Some("user-7".into()), ..Filter::default() },
            &[Dimension::Model],
        ),
        (
            "usage of one user by model, 30 days",
            Filter { user: Some("user-7".into()), ..since(30) },
            &[Dimension::Model],
        ),
    ] {
        ask(out, what, || Ok(ledger.usage(&filter, by)?.len()))?;
    }
    let question = CoverageQuestion {
        from_us: END_US - 30 * DAY_US,
        to_us: END_US,
        organization: None,
        unused_since_us: END_US - 30 * DAY_US,
    };
    ask(out, "coverage, 30 days", || Ok(ledger.coverage(&question, END_US)?.seen.len()))
}

fn searches(ledger: &Reader, out: &mut dyn Write, records: u64) -> Result<(), Box<dyn Error>> {
    let of = |filter: Filter| Search { filter, ..Search::default() };
    let acme = Filter { organization: Some("acme".into()), ..Filter::default() };
    let user = |name: &str| Filter { user: Some(name.into()), ..Filter::default() };
    let old = Filter { to_us: Some(END_US - 20 * DAY_US), ..Filter::default() };
    let rare = Some("talk-17".into());
    for (what, search) in [
        ("the newest 100 records", Search::default()),
        ("100 records of one organization, which all are of", of(acme)),
        ("100 records of one user", of(user("user-7"))),
        ("a user who is in no record", of(user("nobody"))),
        ("100 records from 20 days ago", of(old)),
        (
            "100 records that a provider failed",
            Search { outcome: Some(Blame::Provider), ..Search::default() },
        ),
        (
            "100 records that cost $0.0080 and more",
            Search { cost_from_nanousd: Some(8_000_000), ..Search::default() },
        ),
        (
            "one page for a decision that nothing has",
            Search { decision: Some(Decided::Action(Action::Block)), ..Search::default() },
        ),
        ("one page for a conversation", Search { conversation: rare, ..Search::default() }),
    ] {
        let page = PageRequest { limit: 100, cursor: None };
        ask(out, what, || Ok(ledger.search(&search, page)?.records.len()))?;
    }
    let wanted = ledger.records(&Filter::default(), PageRequest { limit: 1, cursor: None })?;
    let id = wanted.records.first().map_or(0, |record| record.id);
    ask(out, "one record by its id", || Ok(ledger.record(id)?.into_iter().count()))?;
    ask(out, &format!("one record that is not there, of {records}"), || {
        Ok(ledger.record(1)?.into_iter().count())
    })
}

fn caller(number: u64) -> Arc<Caller> {
    Arc::new(Caller {
        organization: "acme".into(),
        team: Some(format!("team-{}", number % TEAMS)),
        user: Some(format!("user-{number}")),
        key_id: Some(format!("KEY{number:09}")),
        metadata: vec![("cost_center".into(), "4711".into())],
        ..Caller::default()
    })
}

fn record(number: u64, at_us: i64, callers: &[Arc<Caller>], texts: &[Arc<str>; 4]) -> Record {
    let spread = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let at = |length: usize, salt: u64| usize::try_from(spread >> salt).unwrap_or(0) % length;
    let model = &texts[at(4, 40)];
    let failed = number.is_multiple_of(200);
    let millis = u128::from(at_us.unsigned_abs() / 1_000);
    Record {
        id: millis << 80 | 7 << 76 | u128::from(spread),
        started_at_us: at_us,
        duration_us: 900_000 + number % 70_000,
        upstream_wait_us: 890_000 + number % 70_000,
        first_byte_us: Some(210_000 + number % 9_000),
        caller: Arc::clone(&callers[at(callers.len(), 20)]),
        surface: Surface::Gateway,
        class: TrafficClass::UserClient,
        capabilities: CapabilitySet::NONE.with(Capability::Cost).with(Capability::Audit),
        dialect: Some("anthropic.messages"),
        client: Some("claude-code"),
        model_requested: Some(Arc::clone(model)),
        provider: Some(Arc::clone(model)),
        model_sent: Some(Arc::clone(model)),
        model_answered: Some("claude-sonnet-4-5-20250929".into()),
        status: if failed { 529 } else { 200 },
        reason: if failed { Reason::ProviderError } else { Reason::Completed },
        streamed: true,
        usage: Usage {
            input_uncached: Some(18),
            cache_read: Some(number % 90_000),
            cache_write_5m: Some(number % 900),
            output_text: Some(number % 1_200),
            ..Usage::default()
        },
        origin: Origin::Provider,
        cost: Cost::NanoUsd(7_253_300 + number % 900_000),
        also_used: Vec::new(),
        mode: None,
        prices: 0x9d1c_0000_0000_0001,
        request_bytes: 107_000 + number % 5_000,
        response_bytes: 4_000 + number % 3_000,
        provider_request_id: Some(format!("req_{spread:022}").into()),
        conversation: Some(format!("talk-{}", number / 30).into()),
        attempts: vec![Attempt {
            provider: Arc::clone(model),
            model: None,
            status: Some(200),
            reason: Reason::Completed,
            duration_us: 205_000,
            reused: true,
        }],
        client_address: None,
        inspections: Inspections::default(),
        content: narrows_ledger::ContentStates::default(),
        snapshot: 0x5eed_0000_dead_beef,
    }
}
