//! Idle connections to one provider.

use super::Fault;
use super::connect::Connect;
use super::h1::H1;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Connections to one provider: idle ones are used again last in, first out, so that a quiet period lets the
/// rest grow old together.
pub(crate) struct Pool {
    connect: Connect,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    keepalive: Duration,
    /// Whether another pool has taken its place: nothing is kept any more.
    retired: AtomicBool,
    /// Connections made, by this pool and those before it.
    pub(crate) opened: Arc<AtomicU64>,
    /// Times a connection was used again, likewise.
    pub(crate) reused: Arc<AtomicU64>,
}

struct Idle {
    connection: H1,
    since: Instant,
}

impl Pool {
    /// A pool that keeps at most `idle_max` connections, each for `keepalive`.
    pub(crate) fn new(connect: Connect, idle_max: usize, keepalive: Duration) -> Pool {
        Pool {
            connect,
            idle: Mutex::new(Vec::new()),
            idle_max,
            keepalive,
            retired: AtomicBool::new(false),
            opened: Arc::default(),
            reused: Arc::default(),
        }
    }

    /// This pool in the place of `previous`, whose counters go on.
    pub(crate) fn after(self, previous: &Pool) -> Pool {
        Pool { opened: Arc::clone(&previous.opened), reused: Arc::clone(&previous.reused), ..self }
    }

    /// Another pool has taken its place: closes what is idle and keeps nothing more. Connections in use end with
    /// their exchanges.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
    }

    /// A connection: an idle one that is still alive, or a new one.
    pub(crate) async fn get(&self) -> Result<H1, Fault> {
        while let Some(mut connection) = self.take_idle() {
            if connection.is_quiet() {
                self.reused.fetch_add(1, Ordering::Relaxed);
                connection.reused = true;
                return Ok(connection);
            }
        }
        // Connecting is rare and its future is large: every request would carry it.
        Box::pin(self.connect()).await
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Result<H1, Fault> {
        let wire = self.connect.connect().await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(H1::new(wire))
    }

    /// Keeps `connection` for later, if there is room. Give back only one whose answer was read to its end.
    pub(crate) fn put(&self, connection: H1) {
        let mut idle = self.lock();
        if idle.len() < self.idle_max && !self.retired.load(Ordering::Relaxed) {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn take_idle(&self) -> Option<H1> {
        let newest = self.lock().pop()?;
        (newest.since.elapsed() < self.keepalive).then_some(newest.connection)
    }

    /// Drops connections that have been idle for too long or were closed by the other side. Called now and then.
    pub(crate) fn sweep(&self) {
        // Closing happens after the lock is gone: a close is a system call.
        let stale: Vec<Idle> = {
            let mut idle = self.lock();
            let keepalive = self.keepalive;
            idle.extract_if(.., |entry| entry.since.elapsed() >= keepalive || !entry.connection.is_quiet())
                .collect()
        };
        drop(stale);
    }

    /// How many connections are idle.
    pub(crate) fn idle_len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held; a poisoned list of connections is still a list of connections.
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
