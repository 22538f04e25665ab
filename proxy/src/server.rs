//! A gateway from start to stop.

use crate::admin::{self, AdminParts};
use crate::config::settings::{JsonRecords, Settings};
use crate::config::{Loaded, Problems};
use crate::configuration::{Configuration, Trigger};
use crate::credentials::{self, Credentials};
use crate::gateway::{Gateway, Phase};
use crate::listen::accept::Bound;
use crate::listen::h2::H2;
use crate::listen::tls;
use crate::notify::{State, Supervisor};
use crate::overload;
use crate::reload::{self, Outcome};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use anyhow::Context;
use narrows_ledger::{JsonLines, Ledger, LedgerOptions, Secret};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// How often idle connections to providers are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a drain looks whether everything has ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Time that cut exchanges have to say so and to settle.
const CUT_TIME_MAX: Duration = Duration::from_secs(1);
/// Time the store has to write what is queued, at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(10);

/// Where a gateway that has started can be reached.
#[derive(Debug)]
pub struct Ready {
    /// Addresses of the gateway listeners, in the order of the configuration.
    pub gateway: Vec<SocketAddr>,
    /// Address of the administration API.
    pub admin: Option<SocketAddr>,
    /// Address of health and metrics.
    pub metrics: SocketAddr,
    /// The administration token, the one time it can be seen: when the store was made by this start.
    pub admin_token: Option<Secret>,
}

/// Runs a gateway until the process is told to stop (SIGTERM or SIGINT), then drains it. A second signal stops at
/// once.
///
/// # Errors
/// What keeps it from starting: an address in use, a store that cannot be opened, an unusable certificate.
pub fn run(from: impl Into<Start>, ready: impl FnOnce(Ready)) -> anyhow::Result<()> {
    let from = from.into();
    let runtime = runtime(from.settings().workers)?;
    runtime.block_on(async {
        let (mut running, addresses) = start(from)?;
        // Before anybody knows that the gateway runs: without them a signal would end it as it stands.
        let hangup = signal(SignalKind::hangup())?;
        let mut stops = StopSignals::new()?;
        running.tasks.spawn(reload_on(hangup, running.gateway.clone()));
        ready(addresses);
        let supervisor = Supervisor::from_environment();
        supervisor.tell(State::Ready);
        let wait = match stops.next().await {
            Stop::Asked => running.gateway.snapshot().timeouts.shutdown_wait,
            // A person at the keyboard has no balancer.
            Stop::Interrupted => Duration::ZERO,
        };
        supervisor.tell(State::Stopping);
        tokio::select! {
            outcome = running.stop_after(wait) => outcome,
            _second = stops.next() => {
                tracing::warn!("stopped at once, on a second signal");
                Ok(())
            }
        }
    })
}

/// The runtime that serves requests.
///
/// # Errors
/// The system's, when threads cannot be made.
pub fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.max(1))
        .thread_name("narrows-worker")
        .enable_all()
        .build()
}

/// Who wants an end.
enum Stop {
    /// SIGTERM: a process manager.
    Asked,
    /// SIGINT: Ctrl-C.
    Interrupted,
}

/// The signals that say so.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<StopSignals> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(StopSignals { terminate, interrupt })
    }

    async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Asked,
            _ = self.interrupt.recv() => Stop::Interrupted,
        }
    }
}

/// Reads the configuration again at each SIGHUP.
async fn reload_on(mut hangup: Signal, gateway: Gateway) {
    while hangup.recv().await.is_some() {
        let gateway = gateway.clone();
        let reloading = tokio::task::spawn_blocking(move || reload::reload(&gateway, Trigger::Signal));
        if matches!(reloading.await, Ok(Outcome::NoFile)) {
            tracing::warn!(
                "SIGHUP: this gateway runs with settings from no file, there is nothing to read again"
            );
        }
    }
}

/// What a gateway is started with.
pub struct Start(Box<Loaded>);

impl Start {
    fn settings(&self) -> &Settings {
        &self.0.settings
    }
}

impl From<Settings> for Start {
    fn from(settings: Settings) -> Start {
        Start(Box::new(Loaded::from(settings)))
    }
}

impl From<Loaded> for Start {
    fn from(loaded: Loaded) -> Start {
        Start(Box::new(loaded))
    }
}

/// A gateway that serves.
pub struct Running {
    gateway: Gateway,
    tasks: JoinSet<()>,
    admin: Option<std::thread::JoinHandle<()>>,
}

/// Starts a gateway on the current runtime.
///
/// # Errors
/// As [`run`].
pub fn start(from: impl Into<Start>) -> anyhow::Result<(Running, Ready)> {
    let mut loaded = *from.into().0;
    let mut settings = loaded.settings.clone();
    let ledger = Arc::new(open_ledger(&settings)?);
    let admin_token = ledger.ensure_admin_token()?;
    let credentials = Credentials::default();
    credentials
        .fill(&mut settings, None, &ledger, true)
        .map_err(|missing| credentials::describe(&missing))?;
    reload::limits::fill(&mut settings, &ledger).map_err(|missed| Problems::new(missed.problems()))?;
    loaded.settings = settings.clone();
    reload::reconcile(&ledger, &settings).map_err(Problems::new)?;
    let configuration = Configuration::new(Some(loaded));
    let snapshot = Snapshot::new(&settings, None)?;
    let gateway = Gateway::new(snapshot, configuration, ledger, Metrics::new()?);
    let snapshot = gateway.snapshot();
    let history = gateway.limits.history(&snapshot.rules, None, &gateway.ledger)?;
    gateway.limits.apply(&snapshot.rules, &history);
    match &settings.counters {
        Some(counters) => {
            gateway.limits.share(counters, &store_name(&gateway.ledger)?).context("shared counters")?;
        }
        None if !snapshot.rules.is_empty() => {
            tracing::info!("budgets and rate limits are counted in this process, and shared with no other");
        }
        None => {}
    }
    gateway.credentials.adopt(credentials);
    let mut tasks = JoinSet::new();

    // Everything is bound before anything is served: a start that fails leaves nothing behind.
    let bound = settings.listen.gateway.iter().map(Bound::new).collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = bound.iter().map(Bound::address).collect::<anyhow::Result<Vec<_>>>()?;
    let metrics = bind_std(settings.listen.metrics.address)?;
    let mut certificates: Vec<_> = bound.iter().filter_map(Bound::certificate).cloned().collect();
    let admin = match &settings.listen.admin {
        None => None,
        Some(admin) => {
            let tls = admin.tls.as_ref().map(|files| tls::server_config(files, false)).transpose()?;
            let (tls, certificate) = tls.unzip();
            certificates.extend(certificate);
            Some((bind_std(admin.address)?, tls))
        }
    };
    let ready = Ready {
        gateway: addresses,
        admin: admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
        metrics: metrics.local_addr()?,
        admin_token,
    };
    let parts = AdminParts { metrics, admin, gateway: gateway.clone(), certificates };
    let admin = admin::spawn(parts).context("the administration thread did not start")?;

    let h2 = H2::new(&gateway, settings.workers);
    for (listener, bound) in settings.listen.gateway.iter().zip(bound) {
        tasks.spawn(bound.serve(gateway.clone(), listener.h2.then(|| Arc::clone(&h2))));
    }
    tasks.spawn(reload::refresh(gateway.clone()));
    tasks.spawn(sweep(gateway.clone()));
    tasks.spawn(measure(gateway.clone()));
    Ok((Running { gateway, tasks, admin: Some(admin) }, ready))
}

fn open_ledger(settings: &Settings) -> anyhow::Result<Ledger> {
    let json_lines = match &settings.records.json {
        JsonRecords::None => None,
        JsonRecords::Stdout => Some(JsonLines::Stdout),
        JsonRecords::File(path) => Some(JsonLines::File(path.clone())),
    };
    // Gateways that count together tell each its own part.
    let charges_apart = settings.counters.is_some();
    let options = LedgerOptions {
        queue_limit: settings.records.queue,
        charges_apart,
        json_lines,
        ..LedgerOptions::default()
    };
    Ok(Ledger::open(crate::place::of(&settings.store)?, options)?)
}

/// What a store is called among stores: by the first administration token that was made for it, and, of gateways that share one,
/// by which of them this is.
fn store_name(ledger: &Ledger) -> anyhow::Result<String> {
    let first = ledger.list_admin_tokens()?.into_iter().next();
    let name = first.context("the store has no administration token")?.id;
    Ok(ledger.writer().map_or_else(|| name.clone(), |writer| format!("{name}-{writer}")))
}

fn bind_std(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    Ok(crate::listen::accept::bind(address)?.into_std()?)
}

/// Closes connections to providers and guardrails that were idle for too long, or closed by them.
async fn sweep(gateway: Gateway) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let snapshot = gateway.snapshot();
        snapshot.providers().iter().for_each(|provider| provider.pool.sweep());
        snapshot.guard.remote.sweep();
    }
}

/// Measures how late the workers are.
async fn measure(gateway: Gateway) {
    let mut machine = overload::Machine::default();
    loop {
        let due = tokio::time::Instant::now() + overload::SAMPLE_EVERY;
        tokio::time::sleep_until(due).await;
        let delay = due.elapsed();
        let shed = machine.push(delay, gateway.snapshot().limits.scheduling_delay);
        gateway.overload.set(shed, delay);
    }
}

impl Running {
    /// Stops, as SIGTERM does: says that it is not ready, serves on for `timeouts.shutdown_wait`, lets nobody new in,
    /// lets open exchanges finish within the grace, writes what is queued.
    ///
    /// # Errors
    /// When the store could not write everything.
    pub async fn stop(self) -> anyhow::Result<()> {
        let wait = self.gateway.snapshot().timeouts.shutdown_wait;
        self.stop_after(wait).await
    }

    async fn stop_after(mut self, wait: Duration) -> anyhow::Result<()> {
        self.gateway.enter(Phase::Leaving);
        tracing::info!(?wait, "stopping: not ready any more, and serving on until balancers have noticed");
        tokio::time::sleep(wait).await;
        self.gateway.enter(Phase::Closing);
        tracing::info!(exchanges = self.gateway.exchanges_open(), "closed: open exchanges may finish");
        self.drain().await;
        self.gateway.enter(Phase::Ended);
        self.tasks.shutdown().await;
        let (gateway, admin) = (self.gateway.clone(), self.admin.take());
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(thread) = admin
                && thread.join().is_err()
            {
                tracing::error!("the administration thread had panicked");
            }
            gateway.limits.close();
            gateway.ledger.flush(FLUSH_TIME_MAX)
        });
        flushed.await?.context("not every record could be written")
    }

    /// Waits for open exchanges, and cuts those that outlast the grace.
    async fn drain(&self) {
        let until = Instant::now() + self.gateway.snapshot().timeouts.shutdown_grace;
        while self.gateway.exchanges_open() > 0 && Instant::now() < until {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        let cut = self.gateway.exchanges_open();
        if cut > 0 {
            tracing::warn!(exchanges = cut, "cut: they did not end within timeouts.shutdown_grace");
            self.gateway.cut_all();
            let until = Instant::now() + CUT_TIME_MAX;
            while self.gateway.exchanges_open() > 0 && Instant::now() < until {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whether or not it was stopped, nobody is to serve on.
        self.gateway.enter(Phase::Ended);
    }
}
