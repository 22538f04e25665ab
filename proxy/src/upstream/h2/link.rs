//! One connection, shared by exchanges, and the task that moves its frames.

use crate::upstream::Fault;
use crate::upstream::connect::Wire;
use crate::upstream::head::HEAD_BYTES_MAX;
use ::h2::client::{Builder, Connection, SendRequest};
use ::h2::{Ping, PingPong};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// Flow-control window of a stream, in bytes: what a provider may send before the client has read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Largest flow-control window there is, in bytes (RFC 9113 §6.9.1).
const WINDOW_BYTES_MAX: u32 = (1 << 31) - 1;

/// How connections are used.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Most exchanges at a time over one connection; the provider may allow fewer.
    pub(crate) streams: usize,
    /// How often a connection is asked whether it is alive; `None` is only when there is reason to doubt it.
    pub(crate) ping: Option<Duration>,
    /// How long it may take to say so.
    pub(crate) answer_within: Duration,
    /// Whether it is under TLS.
    pub(crate) tls: bool,
}

/// A connection.
pub(crate) struct Link {
    requests: SendRequest<Bytes>,
    state: Arc<State>,
    limit: usize,
    tls: bool,
}

/// What the connection's task and its exchanges know of each other.
#[derive(Debug)]
struct State {
    born: Instant,
    open: AtomicUsize,
    used: AtomicBool,
    closed: AtomicBool,
    /// When the last exchange ended, in milliseconds after `born`.
    idle_since_ms: AtomicU64,
    doubt: Notify,
}

impl State {
    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Room for one exchange on a connection, given back when dropped.
pub(crate) struct Claim {
    pub(super) requests: SendRequest<Bytes>,
    state: Arc<State>,
    pub(super) tls: bool,
    /// Whether an exchange used the connection before.
    pub(super) reused: bool,
    /// Whether it was used before, and by nobody when this exchange came.
    pub(super) was_idle: bool,
}

impl Claim {
    /// Whether an exchange used the connection before.
    pub(crate) fn is_reuse(&self) -> bool {
        self.reused
    }

    /// Whether it is room on this connection.
    pub(crate) fn is_on(&self, link: &Link) -> bool {
        Arc::ptr_eq(&self.state, &link.state)
    }

    /// Gives the connection up for new exchanges; those that are open go on.
    pub(super) fn retire(&self) {
        self.state.closed.store(true, Ordering::Release);
    }

    /// Has the connection asked whether it is alive.
    pub(super) fn suspect(&self) {
        self.state.doubt.notify_one();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.state.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.state.idle_since_ms.store(self.state.age_ms(), Ordering::Relaxed);
        }
    }
}

impl Link {
    /// Opens a connection over `wire`. It is one only when the other side has shown that it speaks HTTP/2: a server
    /// that accepts and says nothing would else swallow every request that follows. Costs one round trip.
    pub(crate) async fn open(wire: Wire, options: &Options) -> Result<Link, Fault> {
        let handshake = builder(options).handshake(wire).await;
        let (requests, mut connection) = handshake.map_err(|error| fault(&error))?;
        let Some(mut pings) = connection.ping_pong() else {
            return Err(Fault::Protocol("it cannot be pinged".to_owned()));
        };
        tokio::select! {
            biased;
            // The first frame of a server is its settings, so whoever answers has sent them.
            answer = pings.ping(Ping::opaque()) => answer.map(drop).map_err(|error| fault(&error))?,
            ended = &mut connection => {
                return Err(ended.err().map_or(Fault::Cut, |error| fault(&error)));
            }
        }
        let state = Arc::new(State {
            born: Instant::now(),
            open: AtomicUsize::new(0),
            used: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            idle_since_ms: AtomicU64::new(0),
            doubt: Notify::new(),
        });
        tokio::spawn(drive(connection, pings, Closing(Arc::clone(&state)), options.clone()));
        Ok(Link { requests, state, limit: options.streams, tls: options.tls })
    }

    /// Room for one more exchange, if there is. Call with the pool's lock held.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let room = self.limit.min(self.requests.current_max_send_streams());
        if self.is_closed() || self.state.open.load(Ordering::Acquire) >= room {
            return None;
        }
        let before = self.state.open.fetch_add(1, Ordering::AcqRel);
        let reused = self.state.used.swap(true, Ordering::Relaxed);
        Some(Claim {
            requests: self.requests.clone(),
            state: Arc::clone(&self.state),
            tls: self.tls,
            reused,
            was_idle: reused && before == 0,
        })
    }

    /// Whether it is at its end, or takes no new exchanges.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Acquire)
    }

    /// Whether nobody has used it for so long.
    pub(crate) fn is_idle_for(&self, limit: Duration) -> bool {
        let since = self.state.idle_since_ms.load(Ordering::Relaxed);
        let idle = Duration::from_millis(self.state.age_ms().saturating_sub(since));
        self.state.open.load(Ordering::Acquire) == 0 && idle >= limit
    }

    /// Whether nobody uses it.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.open.load(Ordering::Acquire) == 0
    }
}

fn builder(options: &Options) -> Builder {
    let streams = u32::try_from(options.streams).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW_BYTES)
        // Room for every stream: one client that does not read must not hold up the others.
        .initial_connection_window_size(STREAM_WINDOW_BYTES.saturating_mul(streams).min(WINDOW_BYTES_MAX))
        .initial_max_send_streams(options.streams)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}

/// Marks the connection as closed when its task ends, however it ends.
struct Closing(Arc<State>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

/// Moves the connection's frames until it ends. A connection that is asked and does not answer is dropped; its
/// exchanges then know that it is cut.
async fn drive(
    mut connection: Connection<Wire, Bytes>,
    mut pings: PingPong,
    closing: Closing,
    options: Options,
) {
    let mut every = options.ping.map(|ping| {
        let mut every = tokio::time::interval_at(tokio::time::Instant::now() + ping, ping);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        every
    });
    loop {
        let due = async {
            match &mut every {
                Some(every) => drop(every.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ended = &mut connection => return,
            () = closing.0.doubt.notified() => {}
            () = due => {}
        }
        let answer = tokio::time::timeout(options.answer_within, pings.ping(Ping::opaque()));
        tokio::select! {
            _ended = &mut connection => return,
            answer = answer => {
                if !matches!(answer, Ok(Ok(_))) {
                    tracing::debug!("an HTTP/2 connection to a provider does not answer and is given up");
                    return;
                }
            }
        }
    }
}

fn fault(error: &::h2::Error) -> Fault {
    if error.is_remote() && error.reason() == Some(::h2::Reason::HTTP_1_1_REQUIRED) {
        return Fault::WantsH1;
    }
    if error.is_io() {
        return Fault::Connect(std::io::Error::other(format!("it did not begin to speak HTTP/2: {error}")));
    }
    Fault::Protocol(format!("it does not speak HTTP/2: {error}"))
}
