//! `soak`: a mixed load at a moderate rate for a long time; memory and descriptors have to stay flat.

use crate::faults::plan::Maker;
use crate::faults::{self, any_seed};
use crate::gateway::{Fake, Gateway, Setup, Which};
use crate::stats::real;
use anyhow::{Context, Result, ensure};
use clap::Args;
use narrows_fake::FakeConfig;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};

/// Longest soak, in minutes (a week).
const MAX_MINUTES: f64 = 10_080.0;
/// Part of the time that is not judged: caches, pools and allocators fill.
const WARM_UP: f64 = 0.25;
/// Time between two samples.
const EVERY: Duration = Duration::from_secs(2);
/// Exchanges in flight beyond which the load waits for the gateway.
const MOST_OPEN: usize = 512;
/// Growth over the judged time that is noise: this much, and this part of the memory in use.
const NOISE_KIB: f64 = 4_096.0;
const NOISE_PART: f64 = 0.05;
/// Descriptors by which the last quarter of the samples may exceed the first judged one.
const MORE_DESCRIPTORS: u64 = 32;
/// Longest wait until nothing is open at the end.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);
/// Columns of the plot.
const COLUMNS: usize = 60;

const SETUP: Setup = Setup {
    // What is remembered of messages would fill its 32 MiB for minutes, and a short run would take that for growth.
    top: "timeouts: {keepalive: 10s}\nguard: {cache: 4MiB}\n",
    models: faults::SETUP.models,
};

/// Options of `soak`.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    /// How long.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Exchanges per second.
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Start of the random sequence.
    #[arg(long)]
    seed: Option<u64>,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

/// The gateway at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    rss_kib: u64,
    descriptors: u64,
    open: f64,
}

/// Soaks and prints. False if memory or descriptors grow, or exchanges fail that should not.
///
/// # Errors
/// There is no gateway, or its process cannot be watched.
pub fn run(options: &Options) -> Result<bool> {
    ensure!(options.minutes > 0.0 && options.minutes <= MAX_MINUTES, "--minutes is at most {MAX_MINUTES}");
    ensure!(options.rate > 0.0 && options.rate <= 10_000.0, "--rate is at most 10000");
    let seed = options.seed.unwrap_or_else(any_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let config = FakeConfig { billed_capacity: 0, ..FakeConfig::default() };
    let fake = Fake::start(options.which.provider, config)?;
    let mut gateway = Gateway::open(&options.which, &SETUP, fake.provider.addr())?;
    gateway.rss_kib().context("--pid names no process whose memory can be watched")?;
    writeln!(
        std::io::stdout().lock(),
        "{} minutes at {} exchanges per second, --seed {seed}",
        options.minutes,
        options.rate
    )?;
    let load = Soak { gateway: &gateway, seed, options };
    let outcome = local.block_on(&runtime, load.run())?;
    let settled = local.block_on(&runtime, settled(&gateway));
    gateway.stop();
    let (text, good) = report(&outcome, settled);
    write!(std::io::stdout().lock(), "{text}")?;
    Ok(good)
}

async fn settled(gateway: &Gateway) -> bool {
    let start = Instant::now();
    while gateway.figure("narrows_exchanges_in_flight").is_some_and(|open| open != 0.0) {
        if start.elapsed() > SETTLE_LIMIT {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    true
}

struct Soak<'s> {
    gateway: &'s Gateway,
    seed: u64,
    options: &'s Options,
}

#[derive(Debug, Default)]
struct Outcome {
    samples: Vec<Sample>,
    exchanges: u64,
    failed: u64,
    first_failure: Option<String>,
}

impl Soak<'_> {
    async fn run(&self) -> Result<Outcome> {
        let maker = Maker { gateway: self.gateway, seed: self.seed, faulty: 5, slow: false };
        let length = Duration::from_secs_f64(self.options.minutes * 60.0);
        let start = Instant::now();
        let (mut running, mut outcome) = (JoinSet::new(), Outcome::default());
        let (mut number, mut sampled) = (0u64, start);
        while start.elapsed() < length {
            let due = start + Duration::from_secs_f64(real(number) / self.options.rate);
            tokio::time::sleep_until(due.into()).await;
            while running.len() >= MOST_OPEN {
                take(running.join_next().await.transpose()?, &mut outcome);
            }
            while let Some(one) = running.try_join_next() {
                take(Some(one?), &mut outcome);
            }
            running.spawn_local(faults::one(self.gateway.address, number, maker.make(number)));
            number += 1;
            if sampled.elapsed() >= EVERY {
                sampled = Instant::now();
                self.sample(start, &mut outcome)?;
            }
        }
        while let Some(one) = running.join_next().await {
            take(Some(one?), &mut outcome);
        }
        Ok(outcome)
    }

    fn sample(&self, start: Instant, outcome: &mut Outcome) -> Result<()> {
        let sample = Sample {
            seconds: start.elapsed().as_secs_f64(),
            rss_kib: self.gateway.rss_kib().context("the gateway is gone")?,
            descriptors: self.gateway.descriptors().unwrap_or(0),
            open: self.gateway.figure("narrows_exchanges_in_flight").unwrap_or(0.0),
        };
        outcome.samples.push(sample);
        if !self.options.quiet {
            writeln!(
                std::io::stderr().lock(),
                "{:6.0}s  {:>9} exchanges  {:>6} failed  RSS {:>7.1} MiB  {:>5} descriptors  {:>4} open",
                sample.seconds,
                outcome.exchanges,
                outcome.failed,
                real(sample.rss_kib) / 1_024.0,
                sample.descriptors,
                sample.open
            )?;
        }
        Ok(())
    }
}

/// Counts an exchange. One that was to be answered and has no answer has failed.
fn take(made: Option<faults::Made>, outcome: &mut Outcome) {
    let Some(made) = made else { return };
    outcome.exchanges += 1;
    if let Some(fault) = made.failure() {
        outcome.failed += 1;
        outcome.first_failure.get_or_insert(fault);
    }
}

/// Least-squares slope of the memory in use, in kibibytes per second.
fn slope(samples: &[Sample]) -> f64 {
    let count = real(samples.len() as u64);
    let mean = |value: fn(&Sample) -> f64| samples.iter().map(value).sum::<f64>() / count;
    let (time, memory) = (mean(|sample| sample.seconds), mean(|sample| real(sample.rss_kib)));
    let over: f64 =
        samples.iter().map(|sample| (sample.seconds - time) * (real(sample.rss_kib) - memory)).sum();
    let under: f64 = samples.iter().map(|sample| (sample.seconds - time).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

fn report(outcome: &Outcome, settled: bool) -> (String, bool) {
    let end = outcome.samples.last().map_or(0.0, |sample| sample.seconds);
    let skip = outcome.samples.iter().take_while(|sample| sample.seconds < end * WARM_UP).count();
    let judged = outcome.samples.get(skip..).unwrap_or_default();
    let mut wrong = Vec::new();
    if judged.len() < 8 {
        wrong.push("too few samples to judge".to_owned());
    }
    let window = judged.first().map_or(0.0, |first| end - first.seconds);
    let memory =
        judged.iter().map(|sample| real(sample.rss_kib)).sum::<f64>() / real(judged.len().max(1) as u64);
    let growth = slope(judged) * window;
    let noise = NOISE_KIB + NOISE_PART * memory;
    if growth > noise {
        wrong.push(format!("memory grows: {:.1} MiB over the judged time", growth / 1_024.0));
    }
    let most = |samples: &[Sample]| samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
    let (early, late) = (
        most(judged.get(..judged.len() / 4).unwrap_or_default()),
        most(judged.get(judged.len() - judged.len() / 4..).unwrap_or_default()),
    );
    if late > early + MORE_DESCRIPTORS {
        wrong.push(format!("descriptors grow: {early} early, {late} late"));
    }
    if !settled {
        wrong.push("exchanges are still open".to_owned());
    }
    if let Some(failure) = &outcome.first_failure {
        wrong.push(format!(
            "{} of {} exchanges failed, the first: {failure}",
            outcome.failed, outcome.exchanges
        ));
    }
    let good = wrong.is_empty();
    let verdict = if good { "flat".to_owned() } else { format!("not flat\n- {}", wrong.join("\n- ")) };
    let text = format!(
        "\n{}\n{} exchanges, {} failed\nmemory: {:.1} MiB on average, slope {:+.2} MiB per hour, {:+.2} MiB over {:.0} s (noise: {:.1} MiB)\n\
         descriptors: at most {early} early, {late} late (at most {MORE_DESCRIPTORS} more)\n{verdict}\n",
        plot(&outcome.samples),
        outcome.exchanges,
        outcome.failed,
        memory / 1_024.0,
        slope(judged) * 3_600.0 / 1_024.0,
        growth / 1_024.0,
        window,
        noise / 1_024.0
    );
    (text, good)
}

/// Memory over time as a line of blocks, with its least and most.
fn plot(samples: &[Sample]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let sizes: Vec<u64> = samples.iter().map(|sample| sample.rss_kib).collect();
    let (least, most) = (sizes.iter().min().copied().unwrap_or(0), sizes.iter().max().copied().unwrap_or(0));
    let width = sizes.len().div_ceil(COLUMNS).max(1);
    let line: String = sizes
        .chunks(width)
        .map(|part| {
            let mean = part.iter().sum::<u64>() / part.len() as u64;
            let step = (mean - least) * (BLOCKS.len() as u64 - 1) / (most - least).max(1);
            BLOCKS.get(usize::try_from(step).unwrap_or(0)).copied().unwrap_or('█')
        })
        .collect();
    format!("RSS {:.1} to {:.1} MiB  {line}", real(least) / 1_024.0, real(most) / 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rss: impl Fn(u64) -> u64, descriptors: impl Fn(u64) -> u64) -> Outcome {
        let sample = |index: u64| Sample {
            seconds: real(index) * 2.0,
            rss_kib: rss(index),
            descriptors: descriptors(index),
            open: 0.0,
        };
        Outcome { samples: (0..90).map(sample).collect(), exchanges: 9, ..Outcome::default() }
    }

    #[test]
    fn flat_is_told_from_growing() {
        let (text, good) = report(&samples(|index| 50_000 + index % 7 * 300, |_| 40), true);
        assert!(good, "{text}");
        // It fills at first, and then stays.
        let (text, good) = report(&samples(|index| 50_000 + index.min(20) * 1_000, |_| 40), true);
        assert!(good, "{text}");
        let (text, good) = report(&samples(|index| 50_000 + index * 200, |_| 40), true);
        assert!(!good && text.contains("memory grows"), "{text}");
        let (text, good) = report(&samples(|_| 50_000, |index| 40 + index), true);
        assert!(!good && text.contains("descriptors grow"), "{text}");
        assert!(!report(&samples(|_| 50_000, |_| 40), false).1, "something is open");
        assert!(!report(&Outcome::default(), true).1, "nothing was seen");
    }
}
