//! What every exchange shares.

use crate::buffers::Buffers;
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use arc_swap::ArcSwap;
use narrows_ledger::Ledger;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The state of a running gateway.
pub(crate) struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// Keys and records.
    pub(crate) ledger: Arc<Ledger>,
    /// Counters of everything.
    pub(crate) metrics: Metrics,
    /// The budget of buffered bytes.
    pub(crate) buffers: Arc<Buffers>,
    stopping: AtomicBool,
    exchanges: AtomicUsize,
}

/// A handle to the gateway; this is what Pingora calls.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Shared>);

impl Gateway {
    /// A gateway that runs under `snapshot`.
    pub(crate) fn new(snapshot: Snapshot, ledger: Arc<Ledger>, metrics: Metrics) -> Gateway {
        let buffers = Buffers::new(snapshot.limits.buffered_bodies);
        Gateway(Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            ledger,
            metrics,
            buffers,
            stopping: AtomicBool::new(false),
            exchanges: AtomicUsize::new(0),
        }))
    }

    /// The shared state, to be kept beyond a borrow.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Deref for Gateway {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    /// The configuration as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether the gateway is shutting down.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Exchanges that have begun and not ended.
    pub(crate) fn exchanges_open(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// An exchange begins.
    pub(crate) fn exchange_opened(&self) {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.metrics.exchange_opened();
    }

    /// An exchange has ended.
    pub(crate) fn exchange_closed(&self) {
        self.exchanges.fetch_sub(1, Ordering::Relaxed);
        self.metrics.exchange_closed();
    }

    /// From now on the gateway is shutting down.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}
