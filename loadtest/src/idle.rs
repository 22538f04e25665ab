//! `idle`: many open streams that say nothing, and what each costs the gateway in memory.

use crate::client::{Work, target};
use crate::drive::{Load, Plan};
use crate::machine;
use crate::scenario::Scenario;
use crate::stats::{Shared, real};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use narrows_fake::{FakeConfig, FakeProvider};
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Most streams, in streams: source ports of one address are the limit.
const MAX_STREAMS: usize = 25_000;
/// Longest wait until all streams are open.
const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// Connections opened at once, so that no listener's queue overflows.
const BATCH: usize = 500;
/// Every stream's first event comes with its head; the next comes after this long, in milliseconds.
const SILENCE_MS: u64 = 600_000;

/// Options of `idle`.
#[derive(Debug, Args)]
pub struct Options {
    /// Base URL of the gateway, plain HTTP. It must lead to the provider that this command starts.
    #[arg(long)]
    url: String,
    /// Where to start the fake provider the gateway leads to; leave out if `narrows-fake` runs there already.
    #[arg(long)]
    provider: Option<SocketAddr>,
    /// Process whose memory is measured (with its descendants).
    #[arg(long)]
    pid: u32,
    /// Streams to open.
    #[arg(long, default_value_t = 9_000)]
    streams: usize,
    /// Bytes of each request's body, to show that it is released: small or a 107 KB agent's.
    #[arg(long)]
    agent_body: bool,
    /// The gateway's key.
    #[arg(long)]
    key: Option<String>,
    /// Fail if a stream costs more kibibytes than this.
    #[arg(long)]
    at_most: Option<f64>,
}

/// Opens the streams, measures, and prints. False if `--at-most` is exceeded.
///
/// # Errors
/// Streams cannot be opened, or there is no such process.
pub fn run(options: &Options) -> Result<bool> {
    ensure!((1..=MAX_STREAMS).contains(&options.streams), "--streams is 1 to {MAX_STREAMS}");
    let files = machine::raise_file_limit()?;
    let sockets = options.streams as u64 * if options.provider.is_some() { 2 } else { 1 };
    ensure!(files > sockets + 64, "{files} open files are allowed, {sockets} are needed (ulimit -n)");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, open(&local, options))
}

async fn open(local: &LocalSet, options: &Options) -> Result<bool> {
    let config = FakeConfig { billed_capacity: 0, ..FakeConfig::default() };
    let fake = options.provider.map(|address| FakeProvider::start_with(address, config)).transpose()?;
    let (address, host, base) = target(&options.url)?;
    let mut scenario = Scenario::load(if options.agent_body { "agent-stream" } else { "stream-100" })?;
    scenario.knobs = format!("chunks=2;chunk_bytes=30;gap_ms={SILENCE_MS}");
    scenario.end_marker.clear();
    scenario.paced_ms = 0;
    let stats = Shared::new()?;
    let request = scenario.request(&host, &base, options.key.as_deref(), &[]);
    let work = Rc::new(Work { request, scenario, target: address, tls: None, stats: stats.clone() });
    let before = machine::rss_kib(options.pid).with_context(|| format!("no process {}", options.pid))?;
    let start = Instant::now();
    let mut loads = Vec::new();
    let mut open = 0;
    while open < options.streams {
        let batch = BATCH.min(options.streams - open);
        let plan =
            Plan { connections: batch, rate: None, duration: OPEN_LIMIT, requests: Some(batch as u64) };
        loads.push(Load::start(local, &work, plan));
        open += batch;
        wait_open(&stats, open, start).await?;
    }
    // Memory settles once the last requests' buffers have been given back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = machine::rss_kib(options.pid).with_context(|| format!("process {} is gone", options.pid))?;
    let each = (real(after) - real(before)) / real(options.streams as u64);
    writeln!(
        std::io::stdout().lock(),
        "{} streams open in {:.1} s: RSS {:.1} MiB before, {:.1} MiB with them, {each:.2} KiB each",
        options.streams,
        start.elapsed().as_secs_f64(),
        real(before) / 1_024.0,
        real(after) / 1_024.0
    )?;
    drop(loads);
    if let Some(fake) = fake {
        fake.shutdown().await;
    }
    Ok(options.at_most.is_none_or(|most| each <= most))
}

/// Waits until the heads of so many answers are in.
async fn wait_open(stats: &Shared, streams: usize, start: Instant) -> Result<()> {
    loop {
        {
            let stats = stats.lock();
            if stats.requests > 0 {
                bail!("streams ended early: {:?} {:?}", stats.statuses, stats.failures);
            }
            if stats.opened >= streams as u64 {
                return Ok(());
            }
            ensure!(start.elapsed() < OPEN_LIMIT, "only {} of {streams} streams are open", stats.opened);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
