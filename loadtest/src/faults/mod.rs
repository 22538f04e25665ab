//! `faults`: thousands of exchanges of all kinds, with random faults. Afterwards one record each, its reason as the
//! fault predicts, sums equal to the provider's bill, and nothing left open.

pub(crate) mod plan;
mod verdict;

use crate::exchange::{Got, exchange};
use crate::gateway::{Fake, Gateway, Setup, Which, records};
use anyhow::{Context, Result, ensure};
use clap::Args;
use narrows_fake::FakeConfig;
use plan::{Maker, Plan};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::{JoinSet, LocalSet};
use verdict::Verdict;

/// Most exchanges of one run.
const MAX_EXCHANGES: u64 = 1_000_000;
/// Longest wait until nothing is open. The longest time-out below is 60 seconds.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// Longest wait until idle connections are closed.
const IDLE_LIMIT: Duration = Duration::from_secs(20);
/// Descriptors that may be open afterwards beyond those before: the scrape's own, a timer's.
const DESCRIPTORS_MORE: u64 = 8;
/// Memory that may be in use afterwards beyond that after a tenth of the exchanges, in kibibytes.
const RSS_MORE_KIB: u64 = 64 << 10;

/// Short time-outs, so that faults that take them do not take long; connections that close soon, so that they can be
/// told from lost ones.
pub(crate) const SETUP: Setup = Setup {
    top: "timeouts: {idle: 10s, first_byte: 20s, total: 60s, keepalive: 2s, request_body: 10s}\nlimits: {request_body: 4MiB}\n",
    models: ["gpt-*, text-embedding-*", "claude-*", "gemini-*"],
};

/// Options of `faults`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    /// Exchanges to make.
    #[arg(long, default_value_t = 10_000)]
    exchanges: u64,
    /// Exchanges at the same time.
    #[arg(long, default_value_t = 48)]
    concurrency: usize,
    /// Start of the random sequence.
    #[arg(long)]
    seed: Option<u64>,
    /// Leave out the faults that take their time-out's seconds.
    #[arg(long)]
    fast: bool,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

/// An exchange that is over.
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) plan: Plan,
    pub(crate) got: Got,
}

/// A seed for a run that asks for none.
pub(crate) fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()))
}

/// Makes the exchanges, and prints what they left. False if anything is not as it should be.
///
/// # Errors
/// There is no gateway, or its records cannot be read.
pub fn run(options: &Options) -> Result<bool> {
    ensure!((1..=MAX_EXCHANGES).contains(&options.exchanges), "--exchanges is 1 to {MAX_EXCHANGES}");
    ensure!((1..=1_000).contains(&options.concurrency), "--concurrency is 1 to 1000");
    let seed = options.seed.unwrap_or_else(any_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let capacity = usize::try_from(options.exchanges).unwrap_or(usize::MAX).saturating_mul(2);
    let config = FakeConfig { billed_capacity: capacity, ..FakeConfig::default() };
    let fake = Fake::start(options.which.provider, config)?;
    let mut gateway = Gateway::open(&options.which, &SETUP, fake.provider.addr())?;
    let file = gateway.records.clone().context("--records names no file; records are what is compared")?;
    writeln!(
        std::io::stdout().lock(),
        "{} exchanges, {} at a time, --seed {seed}",
        options.exchanges,
        options.concurrency
    )?;
    let start = Instant::now();
    let maker = Maker { gateway: &gateway, seed, faulty: 45, slow: !options.fast };
    let descriptors = gateway.descriptors();
    gateway.settled(SETTLE_LIMIT);
    let sums = gateway.sums()?;
    let (made, early_rss) = local.block_on(&runtime, all(&maker, options))?;
    let seconds = start.elapsed().as_secs_f64();
    let mut verdict = Verdict::new(seed, options.exchanges, seconds);
    let settled = local.block_on(&runtime, settle(&gateway, descriptors))?;
    verdict.open(&gateway, settled);
    verdict.descriptors(descriptors, gateway.descriptors(), DESCRIPTORS_MORE);
    verdict.memory(early_rss, gateway.rss_kib(), RSS_MORE_KIB);
    let found = of_this_run(&file, seed)?;
    verdict.records(&made, &found, &fake.provider.billed());
    verdict.store(sums.as_ref(), gateway.sums()?.as_ref(), &found);
    gateway.stop();
    let after = of_this_run(&file, seed)?.len();
    verdict.check(after == found.len(), || {
        format!("{} records came after everything was over", after - found.len())
    });
    write!(std::io::stdout().lock(), "{}", verdict.text())?;
    Ok(verdict.is_good())
}

/// The records of the exchanges that this run made; the gateway may have served others before.
fn of_this_run(file: &Path, seed: u64) -> Result<Vec<serde_json::Value>> {
    let mut found = records(file)?;
    found.retain(|record| record["conversation"].as_str().is_some_and(|name| plan::is_of_run(name, seed)));
    Ok(found)
}

/// Waits until nothing is open, and idle connections have had the time to close.
async fn settle(gateway: &Gateway, descriptors: Option<u64>) -> Result<bool> {
    let start = Instant::now();
    let names = [
        "narrows_exchanges_in_flight",
        "narrows_streams_in_flight",
        "narrows_buffered_bytes",
        "narrows_records_queue",
    ];
    while names.iter().any(|name| gateway.figure(name).is_some_and(|value| value != 0.0)) {
        if start.elapsed() > SETTLE_LIMIT {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let start = Instant::now();
    let many =
        |now: Option<u64>| now.zip(descriptors).is_some_and(|(now, before)| now > before + DESCRIPTORS_MORE);
    while many(gateway.descriptors()) && start.elapsed() < IDLE_LIMIT {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(true)
}

/// Makes all exchanges; also the gateway's memory after a tenth of them.
async fn all(maker: &Maker<'_>, options: &Options) -> Result<(Vec<Made>, Option<u64>)> {
    let (mut running, mut made) = (JoinSet::new(), Vec::new());
    let (mut shown, mut early_rss) = (Instant::now(), None);
    for number in 0..options.exchanges {
        if running.len() >= options.concurrency {
            made.extend(running.join_next().await.transpose()?);
        }
        running.spawn_local(one(maker.gateway.address, number, maker.make(number)));
        if number == options.exchanges / 10 {
            early_rss = maker.gateway.rss_kib();
        }
        if !options.quiet && shown.elapsed() > Duration::from_secs(1) {
            shown = Instant::now();
            writeln!(std::io::stderr().lock(), "{:>8} of {} made", made.len(), options.exchanges)?;
        }
    }
    while let Some(one) = running.join_next().await {
        made.push(one?);
    }
    Ok((made, early_rss))
}

/// Makes one exchange.
pub(crate) async fn one(address: std::net::SocketAddr, number: u64, plan: Plan) -> Made {
    let got = exchange(address, &plan.request, plan.leave).await;
    // The request's bytes are not needed any more, and there may be megabytes of them.
    Made { number, plan: Plan { request: Vec::new(), ..plan }, got }
}

impl Made {
    /// Why this is not what had to come of it, as far as its client can tell.
    pub(crate) fn failure(&self) -> Option<String> {
        let Made { number, plan, got } = self;
        if plan.leave != crate::exchange::Leave::Never {
            return None;
        }
        let healthy = plan.reasons == ["completed"];
        match (got.status, &got.fault) {
            (None, fault) => Some(format!("exchange {number} ({}): no answer: {fault:?}", plan.name)),
            (Some(status), _) if healthy && (status != 200 || !got.whole) => {
                Some(format!("exchange {number} ({}): status {status}, whole: {}", plan.name, got.whole))
            }
            _ => None,
        }
    }
}
