//! `run`: one work against one gateway, with progress, checks and thresholds.

use crate::client::{Work, target};
use crate::drive::{Load, MAX_CONNECTIONS, Plan};
use crate::report::{Outcome, time};
use crate::scenario::{SCENARIOS, Scenario};
use crate::stats::{Shared, Stats, quantile_us, real};
use crate::threshold::Threshold;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Longest run, in seconds (a day).
const MAX_SECONDS: f64 = 86_400.0;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Options {
    /// Base URL of the gateway, plain HTTP; the scenario's path is appended.
    #[arg(long)]
    url: String,
    /// What to send: a built-in scenario or a JSON file (fields: path, body, headers, knobs, end_marker, usage_marker,
    /// chunks, connections, paced_ms).
    #[arg(long, default_value = "small-chat", help = format!("One of {}, or a JSON file", SCENARIOS.join(", ")))]
    scenario: String,
    /// The gateway's key, sent as `Authorization: Bearer`.
    #[arg(long)]
    key: Option<String>,
    /// A further header, `name: value`.
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Connections. In an open loop the most that are used at once.
    #[arg(long)]
    connections: Option<usize>,
    /// Open loop: requests per second, sent on time whether answers come or not. Latency counts from the time a request
    /// was due.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds during which requests are sent.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Most requests to send.
    #[arg(long)]
    requests: Option<u64>,
    /// What must hold, for example `p99<5ms` or `errors<0.1%`; may be given several times. If one does not, the exit
    /// status is 1.
    #[arg(long = "threshold", value_parser = Threshold::parse)]
    thresholds: Vec<Threshold>,
    /// Write the summary to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

fn header(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once(':').context("a header is `name: value`")?;
    ensure!(!text.contains(['\r', '\n']), "a header is one line");
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Runs the load and prints its summary. False if a threshold is not met.
///
/// # Errors
/// The options make no sense, or files cannot be read or written.
pub fn run(options: &Options) -> Result<bool> {
    let scenario = Scenario::load(&options.scenario)?;
    let (address, host, base) = target(&options.url)?;
    let connections = options.connections.unwrap_or(scenario.connections);
    ensure!((1..=MAX_CONNECTIONS).contains(&connections), "--connections is 1 to {MAX_CONNECTIONS}");
    ensure!(
        options.duration > 0.0 && options.duration <= MAX_SECONDS,
        "--duration is at most {MAX_SECONDS} seconds"
    );
    ensure!(options.rate.is_none_or(|rate| rate > 0.0 && rate <= 1e7), "--rate is above 0");
    crate::machine::raise_file_limit()?;
    let stats = Shared::new()?;
    let request = scenario.request(&host, &base, options.key.as_deref(), &options.headers);
    let work = Rc::new(Work { request, scenario, target: address, tls: None, stats: stats.clone() });
    let plan = Plan {
        connections,
        rate: options.rate,
        duration: Duration::from_secs_f64(options.duration),
        requests: options.requests,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let start = Instant::now();
    local.block_on(&runtime, async {
        let load = Load::start(&local, &work, plan);
        let finish = load.finish();
        tokio::pin!(finish);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        let mut before = 0;
        loop {
            tokio::select! {
                () = &mut finish => break,
                _ = ticks.tick() => if !options.quiet { before = progress(&stats.lock(), start, before)?; },
            }
        }
        anyhow::Ok(())
    })?;
    let counted = stats.lock().clone();
    let outcome = Outcome {
        scenario: &work.scenario.name,
        url: &options.url,
        stats: &counted,
        seconds: start.elapsed().as_secs_f64(),
        connections,
        thresholds: &options.thresholds,
    };
    write!(std::io::stdout().lock(), "{}", outcome.text())?;
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&outcome.json())?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(outcome.is_good())
}

/// One line on standard error; the requests so far.
fn progress(stats: &Stats, start: Instant, before: u64) -> Result<u64> {
    writeln!(
        std::io::stderr().lock(),
        "{:6.0}s  {:>9} requests  {:>9.0}/s now  {:>9} chunks  p50 {:>9}  p99 {:>9}  errors {}",
        start.elapsed().as_secs_f64(),
        stats.requests,
        real(stats.requests.saturating_sub(before)),
        stats.chunks,
        time(quantile_us(&stats.total, 0.5)),
        time(quantile_us(&stats.total, 0.99)),
        stats.errors()
    )?;
    Ok(stats.requests)
}
