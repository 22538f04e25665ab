//! What every exchange shares.

use crate::alerts::Alerts;
use crate::buffers::Buffers;
use crate::configuration::Configuration;
use crate::credentials::Credentials;
use crate::limits::Limits;
use crate::live::Live;
use crate::overload::Overload;
use crate::room::Room;
use crate::snapshot::Snapshot;
use crate::targets::pins::Pins;
use crate::telemetry::metrics::Metrics;
use crate::tokens::Tokens;
use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use narrows_ledger::{KeyWrap, Ledger};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::watch;

/// How far the gateway is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It is not.
    Serving,
    /// Not ready any more, and still serving all who come: balancers take notice meanwhile.
    Leaving,
    /// Nobody new is let in; open exchanges finish.
    Closing,
    /// Nothing is open any more.
    Ended,
}

/// The state of a running gateway.
pub(crate) struct Shared {
    snapshot: ArcSwap<Snapshot>,
    /// Credentials of providers that come from elsewhere.
    pub(crate) credentials: Credentials,
    /// Keys and records.
    pub(crate) ledger: Arc<Ledger>,
    /// Counters of everything.
    pub(crate) metrics: Metrics,
    /// The budget of buffered bytes.
    pub(crate) buffers: Arc<Buffers>,
    /// Which targets conversations are on.
    pub(crate) pins: Pins,
    /// Vocabularies, and what was learnt of models.
    pub(crate) tokens: Tokens,
    /// The budget of open connections.
    pub(crate) room: Arc<Room>,
    /// Where the snapshot came from.
    pub(crate) configuration: Configuration,
    /// Alerts on their way to those who want to know.
    pub(crate) alerts: Alerts,
    /// What budgets and rate limits count.
    pub(crate) limits: Arc<Limits>,
    /// Streams in flight.
    pub(crate) live: Live,
    /// How late the workers are.
    pub(crate) overload: Overload,
    phase: watch::Sender<Phase>,
    /// The same, for a look at every request.
    phase_now: AtomicU8,
    cuts: Cuts,
    exchanges: AtomicUsize,
}

/// A handle to the gateway; this is what Pingora calls.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Shared>);

impl Gateway {
    /// A gateway that runs under `snapshot`.
    pub(crate) fn new(
        snapshot: Snapshot,
        configuration: Configuration,
        ledger: Arc<Ledger>,
        metrics: Metrics,
    ) -> Gateway {
        let buffers = Buffers::new(snapshot.limits.buffered_bodies);
        let room = Room::new(snapshot.limits.connections);
        if let Some(master) = snapshot.content.master() {
            ledger.wrap_content(Arc::clone(master) as Arc<dyn KeyWrap>);
        }
        Gateway(Arc::new(Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            credentials: Credentials::default(),
            ledger,
            metrics,
            buffers,
            pins: Pins::default(),
            tokens: Tokens::default(),
            room,
            configuration,
            alerts: Alerts::default(),
            limits: Arc::default(),
            live: Live::default(),
            overload: Overload::default(),
            phase: watch::Sender::new(Phase::Serving),
            phase_now: AtomicU8::new(Phase::Serving as u8),
            cuts: Cuts::default(),
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

/// The relays that can be cut, by the address of their signal.
#[derive(Default)]
struct Cuts(Mutex<HashMap<usize, Arc<Cut>>>);

impl Cuts {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<Cut>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Cut {
    raised: AtomicBool,
    waker: AtomicWaker,
}

/// One relay's ear for the end of the gateway. Asking it costs two atomic operations, where a shared notification
/// would cost a lock at every chunk.
pub(crate) struct CutSignal {
    cut: Arc<Cut>,
    shared: Arc<Shared>,
}

impl CutSignal {
    /// Ready when the relay has to end.
    pub(crate) fn poll_raised(&self, cx: &Context<'_>) -> Poll<()> {
        self.cut.waker.register(cx.waker());
        if self.cut.raised.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for CutSignal {
    fn drop(&mut self) {
        self.shared.cuts.lock().remove(&Arc::as_ptr(&self.cut).addr());
    }
}

impl Shared {
    /// The configuration as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts `snapshot` in force and gives the one before. Exchanges that have begun keep theirs.
    pub(crate) fn replace(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        before.retire(&snapshot);
        if let Some(master) = snapshot.content.master() {
            self.ledger.wrap_content(Arc::clone(master) as Arc<dyn KeyWrap>);
        }
        self.buffers.set_limit(snapshot.limits.buffered_bodies);
        self.room.set_limit(snapshot.limits.connections);
        before
    }

    /// Whether the gateway is on its way out: it is not ready any more, and answers end their connections.
    pub(crate) fn is_leaving(&self) -> bool {
        self.phase_now.load(Ordering::Relaxed) >= Phase::Leaving as u8
    }

    /// Whether new exchanges are refused because the gateway is on its way out.
    pub(crate) fn is_closing(&self) -> bool {
        self.phase_now.load(Ordering::Relaxed) >= Phase::Closing as u8
    }

    /// Enters a phase of the end. There is no way back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase_now.fetch_max(phase as u8, Ordering::Relaxed);
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Resolves when `phase` is reached.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`.
        drop(self.phase.subscribe().wait_for(|now| *now >= phase).await);
    }

    /// A signal for one relay.
    pub(crate) fn cut_signal(self: &Arc<Self>) -> CutSignal {
        let cut = Arc::new(Cut::default());
        let key = Arc::as_ptr(&cut).addr();
        self.cuts.lock().insert(key, Arc::clone(&cut));
        CutSignal { cut, shared: Arc::clone(self) }
    }

    /// Ends every relay that still waits.
    pub(crate) fn cut_all(&self) {
        for cut in self.cuts.lock().values() {
            cut.raised.store(true, Ordering::Release);
            cut.waker.wake();
        }
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
}
