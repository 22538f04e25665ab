//! A provider's body as it comes, and everything that can end the waiting for it.

use crate::downstream::Session;
use crate::exchange::account::{Account, micros};
use crate::exchange::route::Target;
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
pub(in crate::exchange) struct Upstream {
    pub(in crate::exchange) provider: Arc<Provider>,
    /// Raised when the gateway stops and waits no longer; made when something has to be waited for.
    cut: Option<CutSignal>,
    connection: Connection,
    /// Whether it is read to its end although the client leaves.
    is_read_to_end: bool,
    idle: Duration,
    total_until: Instant,
    /// When the waiting for the part that is to come next began.
    waiting: Option<Instant>,
    /// After so much silence a wait is interrupted by [`Next::Quiet`].
    quiet: Option<Duration>,
    /// When it last was.
    quiet_from: Instant,
    /// One timer for the whole body, made when something has to be waited for. It is moved only when it fires, so a
    /// chunk costs no timer work.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What the waiting for a body gave.
pub(in crate::exchange) enum Next {
    /// The next part.
    Part(Bytes),
    /// The body is at its end.
    End,
    /// Nothing came for a while, and nothing is wrong: the connection is open and there is time left. Comes only
    /// after [`Upstream::tell_quiet`].
    Quiet,
}

/// Why no more of a body comes.
pub(in crate::exchange) enum Stop {
    Upstream(Fault),
    Idle,
    Total,
    ClientGone,
    ShuttingDown,
}

impl Stop {
    pub(in crate::exchange) fn reason(&self) -> Reason {
        match self {
            Stop::Upstream(fault) => fault.reason(),
            Stop::Idle => Reason::ProviderIdleTimeout,
            Stop::Total => Reason::TotalTimeout,
            Stop::ClientGone => Reason::ClientGone,
            Stop::ShuttingDown => Reason::ShuttingDown,
        }
    }

    pub(in crate::exchange) fn message(&self, upstream: &Upstream) -> String {
        let name = &upstream.provider.name;
        match self {
            Stop::Upstream(fault) => format!("the provider {name} failed: {fault}"),
            Stop::Idle => {
                let seconds = upstream.idle.as_secs();
                format!("the provider {name} sent nothing for {seconds} seconds")
            }
            Stop::Total => "the exchange took longer than timeouts.total allows".to_owned(),
            Stop::ClientGone => "the client is gone".to_owned(),
            Stop::ShuttingDown => "the gateway is shutting down".to_owned(),
        }
    }
}

impl Next {
    fn of(read: Option<Bytes>) -> Next {
        read.map_or(Next::End, Next::Part)
    }
}

impl Upstream {
    pub(in crate::exchange) fn new(account: &Account, target: &Target, connection: Connection) -> Upstream {
        let now = Instant::now();
        let timeouts = target.timeouts();
        let total_until = Instant::from_std(account.started) + timeouts.total;
        let idle = timeouts.idle;
        Upstream {
            provider: Arc::clone(&target.provider),
            cut: None,
            connection,
            is_read_to_end: target.is_read_to_end(),
            idle,
            total_until,
            waiting: None,
            quiet: None,
            quiet_from: now,
            timer: None,
        }
    }

    /// From now on, silence of this length is told, again and again. It does not move what the provider has to keep
    /// to: the idle time-out counts from when the waiting began.
    pub(in crate::exchange) fn tell_quiet(&mut self, after: Option<Duration>) {
        self.quiet = after;
    }

    /// What can be had without waiting.
    pub(in crate::exchange) fn ready(&mut self) -> Option<Result<Next, Stop>> {
        let read = self.connection.read_body().now_or_never()?;
        Some(read.map(Next::of).map_err(Stop::Upstream))
    }

    /// The next part of the body.
    pub(in crate::exchange) async fn next(
        &mut self,
        session: &mut Session<'_>,
        account: &mut Account,
    ) -> Result<Next, Stop> {
        let Upstream { connection, timer, cut, idle, total_until, waiting, quiet, quiet_from, .. } = self;
        let is_watched = !self.is_read_to_end;
        let mut read = pin!(connection.read_body());
        let mut gone = pin!(session.gone());
        // One pass over everything that can happen, the likely first; nothing is set up before it is waited for.
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(read.map(Next::of).map_err(Stop::Upstream));
            }
            let since = *waiting.get_or_insert_with(Instant::now);
            if is_watched && gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Stop::ClientGone));
            }
            if cut.get_or_insert_with(|| account.cut_signal()).poll_raised(cx).is_ready() {
                return Poll::Ready(Err(Stop::ShuttingDown));
            }
            let idle_until = since + *idle;
            let quiet_until = quiet.map(|quiet| since.max(*quiet_from) + quiet);
            let limit = (*total_until).min(idle_until).min(quiet_until.unwrap_or(idle_until));
            let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(limit)));
            while timer.as_mut().poll(cx).is_ready() {
                let now = Instant::now().max(since);
                if now >= *total_until {
                    return Poll::Ready(Err(Stop::Total));
                }
                if now >= idle_until {
                    return Poll::Ready(Err(Stop::Idle));
                }
                if quiet_until.is_some_and(|until| now >= until) {
                    *quiet_from = now;
                    return Poll::Ready(Ok(Next::Quiet));
                }
                timer.as_mut().reset(limit);
            }
            Poll::Pending
        })
        .await;
        if !matches!(outcome, Ok(Next::Quiet))
            && let Some(since) = waiting.take()
        {
            account.upstream_wait_us += micros(since.elapsed());
        }
        outcome
    }

    /// Whether it is read to its end although the client leaves.
    pub(in crate::exchange) fn is_read_to_end(&self) -> bool {
        self.is_read_to_end
    }

    /// Whether the body was read to its end.
    pub(in crate::exchange) fn is_done(&self) -> bool {
        self.connection.is_done()
    }

    /// How many bytes of the body are known to follow.
    pub(in crate::exchange) fn left(&self) -> Option<u64> {
        self.connection.left()
    }

    /// The fields behind the body, as lines, once it was read to its end.
    pub(in crate::exchange) fn trailers(&self) -> Option<Bytes> {
        self.connection.trailers()
    }

    /// Gives a connection whose answer was read to its end back to the pool.
    pub(in crate::exchange) fn release(self) {
        self.provider.pool.put(self.connection);
    }
}
