//! What a record costs: CPU of the submitting thread and of the writing thread, at a given rate.
//!
//! `cargo run --release -p narrows-ledger --example write_speed -- [records per second] [seconds] [keys] [folder]`
//!
//! CPU time is the kernel's per-thread figure (`/proc/self/task/*/schedstat`), so this runs on Linux only. The cost
//! of making a record is measured apart and taken off. `keys` sets how many different groups the sums have.

use narrows_ledger::{Attempt, Inspections, Ledger, LedgerOptions, Record};
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::{Caller, Capability, CapabilitySet, Reason, Surface, TrafficClass};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().map_or(Ok(default), |text| text.parse());
    let (rate, seconds, keys) = (number(30_000)?, number(10)?, number(50)?);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("write-speed-{}.db", std::process::id()));

    let callers: Vec<Arc<Caller>> = (0..keys.max(1)).map(caller).collect();
    let texts = ["claude-sonnet-4-5", "gpt-5", "gemini-2.5-pro", "gpt-5-mini"].map(Arc::<str>::from);
    let ledger = Ledger::open(&path, LedgerOptions::default())?;

    let per_tick = (rate / 1_000).max(1);
    let ticks = seconds * 1_000;
    let total = per_tick * ticks;
    let baseline = making(&callers, &texts, total.min(200_000));

    let start = Instant::now();
    let mut submitting = Duration::ZERO;
    let mut made = 0;
    for tick in 0..ticks {
        let batch = Instant::now();
        for _ in 0..per_tick {
            ledger.submit(record(made, &callers, &texts));
            made += 1;
        }
        submitting += batch.elapsed();
        let due = TICK * u32::try_from(tick + 1)?;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    let took = start.elapsed();
    ledger.flush(Duration::from_secs(30))?;
    let writer = thread_cpu("narrows-ledger")?;
    let stats = ledger.stats();
    let verification = ledger.verify()?;
    ledger.close(Duration::from_secs(30))?;

    let each = |time: Duration| time.as_nanos() as f64 / made as f64;
    let bytes = std::fs::metadata(&path)?.len();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "records      {made} in {:.2} s ({:.0}/s)",
        took.as_secs_f64(),
        made as f64 / took.as_secs_f64()
    )?;
    writeln!(
        out,
        "submit       {:.0} ns each (wall; making a record: {:.0} ns)",
        each(submitting) - baseline,
        baseline
    )?;
    writeln!(out, "writer       {:.0} ns CPU each (packing, sums, log, checkpoints, freeing)", each(writer))?;
    writeln!(out, "together     {:.0} ns each", each(submitting) - baseline + each(writer))?;
    writeln!(out, "file         {:.0} bytes each", bytes as f64 / made as f64)?;
    writeln!(out, "overflowed   {}, consistent: {}", stats.overflowed, verification.consistent)?;
    for suffix in ["", "-wal", "-shm"] {
        // The log and its index are gone after a clean close.
        let _absent = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    Ok(())
}

/// Nanoseconds to make and drop one record.
fn making(callers: &[Arc<Caller>], texts: &[Arc<str>; 4], count: u64) -> f64 {
    let start = Instant::now();
    for number in 0..count {
        std::hint::black_box(record(number, callers, texts));
    }
    start.elapsed().as_nanos() as f64 / count as f64
}

/// CPU time of this process's thread with this name.
fn thread_cpu(name: &str) -> Result<Duration, Box<dyn Error>> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            let figures = std::fs::read_to_string(task.join("schedstat"))?;
            let running = figures.split(' ').next().unwrap_or_default();
            return Ok(Duration::from_nanos(running.parse()?));
        }
    }
    Err("no such thread".into())
}

fn caller(number: u64) -> Arc<Caller> {
    Arc::new(Caller {
        organization: "acme".into(),
        team: Some(format!("team-{}", number % 7)),
        user: Some(format!("user-{number}")),
        key_id: Some(format!("KEY{number:09}")),
        metadata: vec![("cost_center".into(), "4711".into())],
        ..Caller::default()
    })
}

fn record(number: u64, callers: &[Arc<Caller>], texts: &[Arc<str>; 4]) -> Record {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let at = |length: usize, salt: u64| usize::try_from(spread >> salt).unwrap_or(0) % length;
    let model = &texts[at(4, 40)];
    let provider = &texts[at(4, 40)];
    Record {
        id: u128::from(number) << 64 | u128::from(spread),
        started_at_us: 1_769_864_000_000_000 + i64::try_from(number).unwrap_or(0) * 33,
        duration_us: 900_000 + number % 70_000,
        upstream_wait_us: 890_000 + number % 70_000,
        first_byte_us: Some(210_000 + number % 9_000),
        caller: Arc::clone(&callers[at(callers.len(), 20)]),
        surface: Surface::Gateway,
        class: TrafficClass::ManagedClient,
        capabilities: CapabilitySet::NONE.with(Capability::Cost).with(Capability::Audit),
        dialect: Some("anthropic.messages"),
        client: Some("claude-code"),
        model_requested: Some(Arc::clone(model)),
        provider: Some(Arc::clone(provider)),
        model_sent: Some(Arc::clone(model)),
        model_answered: Some("claude-sonnet-4-5-20250929".into()),
        status: 200,
        reason: Reason::Completed,
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
        provider_request_id: Some("req_011CSHoEeqs5C35K2UUqR7Fy".into()),
        conversation: Some("0c7f2a4e-5d3b-4f8a-9a51-0d9b6f2f7f10".into()),
        attempts: vec![Attempt {
            provider: Arc::clone(provider),
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
