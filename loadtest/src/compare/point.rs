//! One measurement: one work through one proxy for a few seconds.

use super::peers::{Peer, Running};
use crate::client::Work;
use crate::drive::{Load, Plan};
use crate::machine;
use crate::scenario::Scenario;
use crate::stats::{Shared, quantile_us, real};
use crate::tls::Identity;
use anyhow::Result;
use serde::Serialize;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// What was measured. Times are in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// The work's name.
    pub work: String,
    /// The proxy's name.
    pub proxy: &'static str,
    /// The round, counted from 1.
    pub round: usize,
    /// Requests answered; for paced and stamped streams, chunks over chunks per stream.
    pub requests: f64,
    /// Requests that failed a check.
    pub errors: u64,
    /// Length of the measured interval, in seconds.
    pub seconds: f64,
    /// Requests per second that were reached.
    pub rate: f64,
    /// CPU time of the proxy per request.
    pub cpu_us: f64,
    /// Share of its core the proxy used, 0 to 1. Well below 1 in a closed loop means the load's core was the limit.
    pub busy: f64,
    /// Share of the proxy's core that others used, 0 to 1. Above a few hundredths the times are not to be trusted, and
    /// CPU per request only within a round.
    pub others: f64,
    /// Requests per second one core can do: 1e6 over `cpu_us`.
    pub rate_per_core: f64,
    /// CPU time of the load generator and the fake provider per request.
    pub load_cpu_us: f64,
    /// Median time to the last byte.
    pub p50_us: f64,
    /// 99th percentile of the time to the last byte.
    pub p99_us: f64,
    /// The same of requests that ran beside and did not fail at their first target; 0 without such.
    pub beside_p99_us: f64,
    /// Median time to the first byte of the body.
    pub first_byte_p50_us: f64,
    /// 99th percentile of the time to the first byte of the body.
    pub first_byte_p99_us: f64,
    /// Median transit of a chunk; 0 without stamps.
    pub transit_p50_us: f64,
    /// 99th percentile of a chunk's transit; 0 without stamps.
    pub transit_p99_us: f64,
    /// Resident memory of the proxy at the end, in MiB.
    pub rss_mib: f64,
    /// Failures seen, most frequent first, for reports.
    pub failures: Vec<String>,
}

/// How long and how hard to measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Load before counting starts.
    pub warm_up: Duration,
    /// Load that is counted.
    pub measured: Duration,
    /// Core of the proxies.
    pub proxy_core: usize,
    /// Requests per second, for works at a fixed rate.
    pub rate: Option<f64>,
    /// Requests per second beside them that are the same but for the fault asked of the provider.
    pub beside: Option<f64>,
}

/// Measures. Must run inside `local`, on the thread pinned to the load's core.
///
/// # Errors
/// Statistics cannot be set up.
pub(super) async fn measure(
    local: &LocalSet,
    running: &Running,
    scenario: &Scenario,
    round: usize,
    timing: Timing,
    identity: &Identity,
) -> Result<Point> {
    let stats = Shared::new()?;
    let target = running.secured.filter(|_| scenario.tls).unwrap_or(running.address);
    let host = target.to_string();
    let tls = scenario.tls.then(|| identity.client()).transpose()?;
    let work = |scenario: Scenario, stats: &Shared| {
        let request = scenario.request(&host, "", running.key.as_deref(), &[]);
        Rc::new(Work { scenario, target, tls: tls.clone(), request, stats: stats.clone() })
    };
    let plan = Plan {
        connections: scenario.connections,
        rate: timing.rate,
        duration: timing.warm_up + timing.measured + Duration::from_secs(60),
        requests: None,
    };
    let load = Load::start(local, &work(scenario.clone(), &stats), plan);
    let beside_stats = Shared::new()?;
    let beside = timing.beside.map(|rate| {
        let sound = Scenario { knobs: String::new(), ..scenario.clone() };
        Load::start(local, &work(sound, &beside_stats), Plan { rate: Some(rate), ..plan })
    });
    tokio::time::sleep(timing.warm_up).await;
    let cpu = |running: &Running| running.pid().map_or(0, machine::cpu_ns);
    stats.lock().clear();
    beside_stats.lock().clear();
    let core_before = machine::core_busy_ns(timing.proxy_core);
    let (cpu_before, own_before, start) = (cpu(running), machine::own_cpu_ns(), Instant::now());
    tokio::time::sleep(timing.measured).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_ns = real(cpu(running).saturating_sub(cpu_before));
    let own_ns = real(machine::own_cpu_ns().saturating_sub(own_before));
    let core_ns = real(machine::core_busy_ns(timing.proxy_core).saturating_sub(core_before));
    let counted = stats.lock().clone();
    let rss = running.pid().and_then(machine::rss_kib).unwrap_or(0);
    drop((load, beside));
    // Let both sides see that the connections are closed before the next point begins.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let requests = match scenario.chunks {
        0 => real(counted.requests),
        chunks => real(counted.chunks) / real(chunks),
    };
    let each = |nanos: f64| if requests > 0.0 { nanos / 1_000.0 / requests } else { 0.0 };
    let mut failures: Vec<String> =
        counted.failures.iter().map(|(message, count)| format!("{count} × {message}")).collect();
    failures.extend(
        counted
            .statuses
            .iter()
            .filter(|(status, _)| **status != 200)
            .map(|(status, n)| format!("{n} × {status}")),
    );
    Ok(Point {
        work: scenario.name.clone(),
        proxy: running.peer.as_str(),
        round,
        requests,
        errors: counted.errors(),
        seconds,
        rate: requests / seconds,
        cpu_us: each(cpu_ns),
        busy: cpu_ns / 1e9 / seconds,
        others: ((core_ns - cpu_ns) / 1e9 / seconds).max(0.0),
        rate_per_core: if running.peer == Peer::Direct || cpu_ns == 0.0 { 0.0 } else { 1e6 / each(cpu_ns) },
        load_cpu_us: each(own_ns),
        p50_us: quantile_us(&counted.total, 0.5),
        p99_us: quantile_us(&counted.total, 0.99),
        beside_p99_us: quantile_us(&beside_stats.lock().total, 0.99),
        first_byte_p50_us: quantile_us(&counted.first_byte, 0.5),
        first_byte_p99_us: quantile_us(&counted.first_byte, 0.99),
        transit_p50_us: quantile_us(&counted.transit, 0.5),
        transit_p99_us: quantile_us(&counted.transit, 0.99),
        rss_mib: real(rss) / 1_024.0,
        failures,
    })
}
