//! Side by side: direct, bare Pingora, nginx and the gateway, one core each, interleaved.
//!
//! Proxies run on one core, the fake provider and the load generator share another (and one thread). All proxies stay
//! up; only one is loaded at a time. A round measures every work through every proxy, and rounds start with a
//! different proxy each, so that a slow phase of the machine does not fall on one of them. Ratios are taken within a
//! round.

mod bars;
mod instructions;
mod interval;
mod narrows;
mod peers;
mod point;
mod table;

pub use instructions::{Options as InstructionOptions, run as count_instructions};
pub(crate) use narrows::{create_key, is_let_in, is_ready};
pub(crate) use peers::{Process, free_address, wait_ready};

use crate::machine;
use crate::scenario::Scenario;
use crate::tls::Identity;
use anyhow::{Context, Result, ensure};
use clap::Args;
use narrows_fake::{FakeConfig, FakeProvider};
use peers::{Peer, Programs, Provider, Running};
use point::{Point, Timing, measure};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::LocalSet;

/// Most rounds, in rounds.
const MAX_ROUNDS: usize = 1_000;
/// Longest point, in seconds.
const MAX_SECONDS: f64 = 600.0;
/// Requests per second of the work that measures added latency.
const LATENCY_RATE: f64 = 200.0;
/// Name of that work.
const LATENCY_WORK: &str = "small-200/s";
/// Name of the work of which every request fails at its first target.
const FAILOVER_WORK: &str = "failover";
/// Its requests per second, and those beside it that go to the same model and fail nowhere: more than one failure in
/// five would close the first target off, and nothing would fail over any more.
const FAILOVER_RATES: [f64; 2] = [200.0, 1_800.0];
/// Works in their order.
const WORKS: &[&str] = &[
    "small-chat",
    LATENCY_WORK,
    "agent-body",
    "agent-stream",
    "stream-100",
    "stream-burst",
    "paced-streams",
    FAILOVER_WORK,
    "small-tls",
    "agent-tls",
    "stream-tls",
];

/// Options of `compare`.
#[derive(Debug, Args)]
pub struct Options {
    /// The gateway's program; without it only the others are measured.
    #[arg(long)]
    narrows: Option<PathBuf>,
    /// The bare Pingora program. Default: `bare-pingora` beside this program.
    #[arg(long)]
    bare: Option<PathBuf>,
    /// The nginx program; left out if it is not installed.
    #[arg(long, default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Rounds. Intervals are worth something from seven on.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured seconds of each point.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Seconds of load before each measurement.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Only these works.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these proxies.
    #[arg(long, value_delimiter = ',', value_enum)]
    proxies: Vec<Peer>,
    /// Core of the proxies.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// Core of the fake provider and the load generator.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Write every point and verdict to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
    /// Fail if a bar is not met.
    #[arg(long)]
    strict: bool,
}

/// Runs the comparison and prints its tables. False when `--strict` was asked for and a bar was missed.
///
/// # Errors
/// A proxy cannot be started, or every request of a point failed.
pub fn run(options: &Options) -> Result<bool> {
    ensure!((1..=MAX_ROUNDS).contains(&options.rounds), "--rounds is 1 to {MAX_ROUNDS}");
    let seconds = |value: f64| value > 0.0 && value <= MAX_SECONDS;
    ensure!(
        seconds(options.seconds) && seconds(options.warm_up),
        "a point takes at most {MAX_SECONDS} seconds"
    );
    machine::raise_file_limit()?;
    machine::pin(options.load_core)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let points = local.block_on(&runtime, all_rounds(&local, options))?;
    let verdicts = bars::judge(&points);
    let mut out = std::io::stdout().lock();
    let text =
        if options.markdown { table::markdown(&points, &verdicts) } else { table::plain(&points, &verdicts) };
    writeln!(out, "{text}")?;
    if let Some(file) = &options.json {
        let json = serde_json::json!({"points": points, "bars": verdicts});
        std::fs::write(file, serde_json::to_vec_pretty(&json)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(!options.strict || verdicts.iter().all(|verdict| verdict.met))
}

async fn all_rounds(local: &LocalSet, options: &Options) -> Result<Vec<Point>> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::new(folder.path())?;
    let any = "127.0.0.1:0".parse()?;
    let config = FakeConfig { billed_capacity: 0, ..FakeConfig::default() };
    let fake = FakeProvider::start_with(any, config.clone())?;
    let secured = FakeProvider::start_with(any, FakeConfig { tls: Some(identity.server()), ..config })?;
    let provider = Provider { plain: fake.addr(), tls: secured.addr() };
    let programs = programs(options)?;
    let mut running: Vec<Running> = Vec::new();
    for peer in chosen(options, &programs) {
        let started = peers::start(peer, provider, folder.path(), &programs, &identity);
        running.push(started.with_context(|| format!("cannot start {}", peer.as_str()))?);
    }
    let works: Vec<Scenario> = works(options)?;
    let mut points = Vec::new();
    for round in 1..=options.rounds {
        for work in &works {
            for turn in 0..running.len() {
                let Some(proxy) = running.get((turn + round) % running.len()) else { continue };
                let is_failover = work.name == FAILOVER_WORK;
                if work.tls && proxy.secured.is_none() || is_failover && proxy.peer != Peer::Narrows {
                    continue;
                }
                let timing = Timing {
                    warm_up: Duration::from_secs_f64(options.warm_up.max(minimum_warm_up(work))),
                    measured: Duration::from_secs_f64(options.seconds),
                    proxy_core: options.proxy_core,
                    rate: match work.name.as_str() {
                        LATENCY_WORK => Some(LATENCY_RATE),
                        FAILOVER_WORK => Some(FAILOVER_RATES[0]),
                        _ => None,
                    },
                    beside: is_failover.then_some(FAILOVER_RATES[1]),
                };
                let point = measure(local, proxy, work, round, timing, &identity).await?;
                report(&point)?;
                points.push(point);
            }
        }
    }
    drop(running);
    fake.shutdown().await;
    secured.shutdown().await;
    Ok(points)
}

/// Paced streams start spread over their length; counting begins when all have.
fn minimum_warm_up(work: &Scenario) -> f64 {
    Duration::from_millis(work.paced_ms).as_secs_f64() * 1.2
}

fn programs(options: &Options) -> Result<Programs> {
    let beside = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("bare-pingora"));
    Ok(Programs {
        bare: options.bare.clone().map_or_else(beside, Ok)?,
        nginx: options.nginx.clone(),
        narrows: options.narrows.clone().map(std::path::absolute).transpose()?,
        counts: None,
        core: options.proxy_core,
        own_core: options.load_core,
    })
}

fn chosen(options: &Options, programs: &Programs) -> Vec<Peer> {
    if !options.proxies.is_empty() {
        return options.proxies.clone();
    }
    let mut peers = vec![Peer::Direct, Peer::Bare];
    if programs.nginx.exists() {
        peers.push(Peer::Nginx);
    }
    if programs.narrows.is_some() {
        peers.extend([Peer::Narrows, Peer::Guarded, Peer::Limited, Peer::Full]);
    }
    peers
}

fn works(options: &Options) -> Result<Vec<Scenario>> {
    let names: Vec<&str> = match options.only.is_empty() {
        true => WORKS.to_vec(),
        false => options.only.iter().map(String::as_str).collect(),
    };
    let load = |name: &str| {
        if name == LATENCY_WORK {
            let small = Scenario::load("small-chat")?;
            return Ok(Scenario { name: LATENCY_WORK.to_owned(), connections: 4, ..small });
        }
        Scenario::load(name)
    };
    names.into_iter().map(load).collect()
}

/// One line on standard error as soon as a point is measured.
fn report(point: &Point) -> Result<()> {
    writeln!(
        std::io::stderr().lock(),
        "round {:2}  {:14} {:8} {:9.2} µs CPU  {:9.0} req/s  core {:3.0} %  others {:3.0} %  p50 {:8.0} µs  p99 {:8.0} µs  errors {} {}",
        point.round,
        point.work,
        point.proxy,
        point.cpu_us,
        point.rate,
        100.0 * point.busy,
        100.0 * point.others,
        point.p50_us,
        point.p99_us,
        point.errors,
        point.failures.join(", ")
    )?;
    Ok(())
}
