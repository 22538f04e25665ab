//! A gateway from start to stop.

use crate::admin::{self, AdminParts};
use crate::config::Loaded;
use crate::config::settings::{JsonRecords, Settings};
use crate::configuration::{Configuration, Trigger};
use crate::gateway::Gateway;
use crate::listen::accept::Bound;
use crate::listen::tls;
use crate::notify::{State, Supervisor};
use crate::reload::{self, Outcome};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use anyhow::Context;
use narrows_ledger::{JsonLines, Ledger, LedgerOptions, Secret};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often idle connections to providers are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a drain looks whether everything has ended.
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Time that cut exchanges have to say so and to settle.
const CUT_TIME_MAX: Duration = Duration::from_secs(1);
/// Time the store has to write what is queued, at the end.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(10);
/// HTTP/2 flow-control window of a stream and of a connection, in bytes. The protocol's default of 64 KiB makes the
/// upload of a long prompt wait for round trips.
const H2_WINDOW_BYTES: u32 = 1 << 20;

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
        // Before anybody knows that the gateway runs: until then the signal would end it.
        let hangup = signal(SignalKind::hangup())?;
        running.tasks.spawn(reload_on(hangup, running.gateway.clone()));
        ready(addresses);
        let supervisor = Supervisor::from_environment();
        supervisor.tell(State::Ready);
        stop_signal().await?;
        supervisor.tell(State::Stopping);
        tracing::info!("stopping: open exchanges may finish");
        tokio::select! {
            outcome = running.stop() => outcome,
            second = stop_signal() => second.context("stopped at once, on a second signal"),
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

async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
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
pub struct Start(Kind);

enum Kind {
    /// Settings that stay as they are.
    Settings(Box<Settings>),
    /// A configuration that may be read again.
    Loaded(Box<Loaded>),
}

impl Start {
    fn settings(&self) -> &Settings {
        match &self.0 {
            Kind::Settings(settings) => settings,
            Kind::Loaded(loaded) => &loaded.settings,
        }
    }
}

impl From<Settings> for Start {
    fn from(settings: Settings) -> Start {
        Start(Kind::Settings(Box::new(settings)))
    }
}

impl From<Loaded> for Start {
    fn from(loaded: Loaded) -> Start {
        Start(Kind::Loaded(Box::new(loaded)))
    }
}

/// A gateway that serves.
pub struct Running {
    gateway: Gateway,
    proxy: Arc<HttpProxy<Gateway>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    admin: Option<std::thread::JoinHandle<()>>,
    grace: Duration,
}

/// Starts a gateway on the current runtime.
///
/// # Errors
/// As [`run`].
pub fn start(from: impl Into<Start>) -> anyhow::Result<(Running, Ready)> {
    let (settings, loaded) = match from.into().0 {
        Kind::Settings(settings) => (*settings, None),
        Kind::Loaded(loaded) => (loaded.settings.clone(), Some(*loaded)),
    };
    let ledger = Arc::new(open_ledger(&settings)?);
    let admin_token = ledger.ensure_admin_token()?;
    let configuration = Configuration::new(loaded);
    let gateway = Gateway::new(Snapshot::new(&settings, None)?, configuration, ledger, Metrics::new()?);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();

    // Everything is bound before anything is served: a start that fails leaves nothing behind.
    let bound = settings.listen.gateway.iter().map(Bound::new).collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = bound.iter().map(Bound::address).collect::<anyhow::Result<Vec<_>>>()?;
    let metrics = bind_std(settings.listen.metrics.address)?;
    let admin = match &settings.listen.admin {
        None => None,
        Some(admin) => {
            let tls = admin.tls.as_ref().map(|files| tls::server_config(files, false)).transpose()?;
            Some((bind_std(admin.address)?, tls))
        }
    };
    let ready = Ready {
        gateway: addresses,
        admin: admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
        metrics: metrics.local_addr()?,
        admin_token,
    };
    let parts = AdminParts { metrics, admin, gateway: gateway.clone(), stop: stopped.clone() };
    let admin = admin::spawn(parts).context("the administration thread did not start")?;

    let proxy = proxy(&gateway, settings.workers);
    for (listener, bound) in settings.listen.gateway.iter().zip(bound) {
        let h2 = listener.h2.then(|| Arc::clone(&proxy));
        tasks.spawn(bound.serve(gateway.clone(), h2, stopped.clone()));
    }
    tasks.spawn(sweep(gateway.clone(), stopped));
    let grace = settings.timeouts.shutdown_grace;
    Ok((Running { gateway, proxy, stop, tasks, admin: Some(admin), grace }, ready))
}

fn open_ledger(settings: &Settings) -> anyhow::Result<Ledger> {
    let json_lines = match &settings.records.json {
        JsonRecords::None => None,
        JsonRecords::Stdout => Some(JsonLines::Stdout),
        JsonRecords::File(path) => Some(JsonLines::File(path.clone())),
    };
    let options =
        LedgerOptions { queue_limit: settings.records.queue, json_lines, ..LedgerOptions::default() };
    Ok(Ledger::open(&settings.store.path, options)?)
}

fn bind_std(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    Ok(crate::listen::accept::bind(address)?.into_std()?)
}

/// The one Pingora proxy, for HTTP/2.
fn proxy(gateway: &Gateway, workers: usize) -> Arc<HttpProxy<Gateway>> {
    let conf = ServerConf { threads: workers, ..ServerConf::default() };
    let mut proxy = http_proxy(&Arc::new(conf), gateway.clone());
    let mut options = pingora_core::apps::HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(gateway.snapshot().timeouts.keepalive);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
    Arc::new(proxy)
}

fn h2_options() -> H2Options {
    let mut options = default_h2_options();
    options.initial_window_size(H2_WINDOW_BYTES).initial_connection_window_size(H2_WINDOW_BYTES * 4);
    options
}

/// Closes connections to providers that were idle for too long, or closed by them.
async fn sweep(gateway: Gateway, mut stopped: watch::Receiver<bool>) {
    let mut every = tokio::time::interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        for provider in gateway.snapshot().providers() {
            provider.pool.sweep();
        }
    }
}

impl Running {
    /// Stops: refuses new connections, lets open exchanges finish within the grace, writes what is queued.
    ///
    /// # Errors
    /// When the store could not write everything.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.gateway.stop();
        let _ = self.stop.send(true);
        self.proxy.http_cleanup().await;
        let until = Instant::now() + self.grace;
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
        self.tasks.shutdown().await;
        let (gateway, admin) = (self.gateway.clone(), self.admin.take());
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(thread) = admin
                && thread.join().is_err()
            {
                tracing::error!("the administration thread had panicked");
            }
            gateway.ledger.flush(FLUSH_TIME_MAX)
        });
        flushed.await?.context("not every record could be written")
    }
}
