//! A provider's body as it comes, and everything that can end the waiting for it.

use crate::downstream::Session;
use crate::exchange::account::{Account, micros};
use crate::gateway::CutSignal;
use crate::snapshot::Provider;
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use bytes::Bytes;
use futures_util::FutureExt;
use narrows_policy::Reason;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The body that is still to come, and how long it may take.
pub(super) struct Upstream {
    pub(super) provider: Arc<Provider>,
    /// Raised when the gateway stops and waits no longer; made when something has to be waited for.
    cut: Option<CutSignal>,
    connection: Connection,
    idle: Duration,
    total_until: Instant,
    last_read: Instant,
    /// One timer for the whole body, made when something has to be waited for. It is moved only when it fires, so a
    /// chunk costs no timer work.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why no more of a body comes.
pub(super) enum Stop {
    Upstream(Fault),
    Idle,
    Total,
    ClientGone,
    ShuttingDown,
}

impl Stop {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Stop::Upstream(fault) => fault.reason(),
            Stop::Idle => Reason::ProviderIdleTimeout,
            Stop::Total => Reason::TotalTimeout,
            Stop::ClientGone => Reason::ClientGone,
            Stop::ShuttingDown => Reason::ShuttingDown,
        }
    }

    pub(super) fn message(&self, provider: &Provider) -> String {
        let name = &provider.name;
        match self {
            Stop::Upstream(fault) => format!("the provider {name} failed: {fault}"),
            Stop::Idle => {
                let seconds = provider.timeouts.idle.as_secs();
                format!("the provider {name} sent nothing for {seconds} seconds")
            }
            Stop::Total => "the exchange took longer than timeouts.total allows".to_owned(),
            Stop::ClientGone => "the client is gone".to_owned(),
            Stop::ShuttingDown => "the gateway is shutting down".to_owned(),
        }
    }
}

impl Upstream {
    pub(super) fn new(account: &Account, provider: &Arc<Provider>, connection: Connection) -> Upstream {
        let now = Instant::now();
        let total_until = Instant::from_std(account.started) + provider.timeouts.total;
        let idle = provider.timeouts.idle;
        Upstream {
            provider: Arc::clone(provider),
            cut: None,
            connection,
            idle,
            total_until,
            last_read: now,
            timer: None,
        }
    }

    /// What can be had without waiting.
    pub(super) fn ready(&mut self) -> Option<Result<Option<Bytes>, Stop>> {
        let read = self.connection.read_body().now_or_never()?;
        Some(read.map_err(Stop::Upstream))
    }

    /// The next part of the body; `None` is its end.
    pub(super) async fn next(
        &mut self,
        session: &mut Session<'_>,
        account: &mut Account,
    ) -> Result<Option<Bytes>, Stop> {
        let Upstream { connection, timer, cut, idle, total_until, last_read, .. } = self;
        let mut read = pin!(connection.read_body());
        let mut gone = pin!(session.gone());
        let mut waiting = None;
        // One pass over everything that can happen, the likely first; nothing is set up before it is waited for.
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(read.map_err(Stop::Upstream));
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            if gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Stop::ClientGone));
            }
            if cut.get_or_insert_with(|| account.cut_signal()).poll_raised(cx).is_ready() {
                return Poll::Ready(Err(Stop::ShuttingDown));
            }
            let limit = (*total_until).min(*last_read + *idle);
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(limit)));
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now().max(since);
                if now >= *total_until {
                    return Poll::Ready(Err(Stop::Total));
                }
                if now >= *last_read + *idle {
                    return Poll::Ready(Err(Stop::Idle));
                }
                timer.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await;
        if let Some(since) = waiting {
            *last_read = Instant::now();
            account.upstream_wait_us += micros(*last_read - since);
        }
        outcome
    }

    /// Whether the body was read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.connection.is_done()
    }

    /// How many bytes of the body are known to follow.
    pub(super) fn left(&self) -> Option<u64> {
        self.connection.left()
    }

    /// The fields behind the body, as lines, once it was read to its end.
    pub(super) fn trailers(&self) -> Option<Bytes> {
        self.connection.trailers()
    }

    /// Gives a connection whose answer was read to its end back to the pool.
    pub(super) fn release(self) {
        self.provider.pool.put(self.connection);
    }
}
