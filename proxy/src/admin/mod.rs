//! Health, metrics and the administration API.
//!
//! They have a thread and a runtime of their own, apart from the workers that serve exchanges: a scrape or a report
//! over millions of records never delays a token, and a gateway too busy to answer still says that it is alive. They
//! serve on while open exchanges finish after a stop, so that the end of a drain can be watched.

mod actor;
mod alerts;
mod api;
mod audit;
mod bulk;
mod config;
mod connection;
mod content;
mod coverage;
mod directory;
mod endpoints;
mod error;
mod exchanges;
mod health;
mod idempotency;
mod input;
mod keys;
mod limits;
mod openapi;
mod prices;
mod reports;
mod status;
mod stored_limits;
mod targets;
mod tokens;

#[cfg(test)]
mod tests;

pub(crate) use audit::told;
pub(crate) use input::{nano_usd, outcome, statuses};

use crate::gateway::{Gateway, Phase};
use axum::Router;
use connection::Incoming;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads for questions to the store, which block on disk.
const STORE_THREADS_MAX: usize = 4;
/// Time that open requests and idle connections have once the listeners close.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);

/// What the thread needs.
pub(crate) struct AdminParts {
    /// Listener of health and metrics.
    pub(crate) metrics: TcpListener,
    /// Listener of the administration API, with TLS if it is to have it.
    pub(crate) admin: Option<(TcpListener, Option<Arc<rustls::ServerConfig>>)>,
    /// The gateway to tell about.
    pub(crate) gateway: Gateway,
    /// Certificates of every listener, to be kept fresh.
    pub(crate) certificates: Vec<Arc<crate::listen::tls::Certificate>>,
}

/// What every request to these listeners may need.
pub(crate) struct Context {
    pub(crate) gateway: Gateway,
    pub(crate) started: Instant,
    /// Where health and metrics are.
    pub(crate) metrics: SocketAddr,
    /// Where the administration API is.
    pub(crate) admin: Option<SocketAddr>,
    /// What writes were answered lately.
    answers: idempotency::Answers,
}

/// Starts the thread. It ends when the gateway has.
///
/// # Errors
/// The system's, when a listener cannot be used or the thread cannot be made.
pub(crate) fn spawn(parts: AdminParts) -> std::io::Result<JoinHandle<()>> {
    let AdminParts { metrics, admin, gateway, certificates } = parts;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(STORE_THREADS_MAX)
        .thread_name("narrows-store-reader")
        .enable_all()
        .build()?;
    let context = Arc::new(Context {
        started: Instant::now(),
        metrics: metrics.local_addr()?,
        admin: admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
        answers: idempotency::Answers::default(),
        gateway,
    });
    // Listeners are given to the runtime here, so that a failure is the caller's to see.
    let (metrics, admin) = {
        let _entered = runtime.enter();
        let admin = admin.map(|(listener, tls)| Incoming::new(listener, tls)).transpose()?;
        (Incoming::new(metrics, None)?, admin)
    };
    std::thread::Builder::new().name("narrows-admin".into()).spawn(move || {
        runtime.block_on(async {
            let ended_of = context.gateway.clone();
            let ended = ended_of.reached(Phase::Ended);
            // Here and not among the workers: it reads files.
            tokio::spawn(crate::reload::watch(context.gateway.clone()));
            tokio::spawn(crate::listen::tls::watch(context.gateway.clone(), certificates));
            // Here too: it asks the store and other machines, and must never be in an exchange's way.
            tokio::spawn(crate::alerts::deliver::deliver(context.gateway.clone()));
            let serving = async {
                let health = serve(metrics, health::router(Arc::clone(&context)));
                match admin {
                    Some(admin) => drop(tokio::join!(health, serve(admin, api::router(context)))),
                    None => health.await,
                }
            };
            tokio::select! {
                () = serving => {}
                () = ended => {}
            }
        });
        runtime.shutdown_timeout(CLOSE_TIME_MAX);
    })
}

async fn serve(incoming: Incoming, router: Router) {
    // It serves until it is dropped and has no way to fail.
    drop(axum::serve(incoming, router).await);
}
