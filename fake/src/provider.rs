//! The provider: a listener, its connections, its bill and what it saw.

use crate::billed::{Billed, Ledger};
use crate::connection;
use crate::knobs::Knobs;
use crate::objects::Objects;
use crate::prepared::Store;
use crate::wire::Wire;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Connections waiting to be accepted, in connections.
const BACKLOG: u32 = 8192;
/// Header lines kept of a captured request, in lines.
const MAX_SEEN_HEADERS: usize = crate::request::MAX_HEADERS;

/// How a provider is set up.
#[derive(Debug, Clone)]
pub struct FakeConfig {
    /// Behaviour of every answer, unless a request's `x-fake` header says otherwise.
    pub knobs: Knobs,
    /// The only credential accepted; others get a 401. `None` accepts anything.
    pub require_key: Option<String>,
    /// Lines the bill holds; further requests are not on it. 0 keeps none, for load tests.
    pub billed_capacity: usize,
    /// Requests kept for [`FakeProvider::seen`], the newest; 0 keeps none.
    pub seen_capacity: usize,
    /// Speak TLS with this configuration; without it, clear text.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Default for FakeConfig {
    /// A healthy provider that keeps 100,000 bill lines and no requests.
    fn default() -> FakeConfig {
        FakeConfig {
            knobs: Knobs::default(),
            require_key: None,
            billed_capacity: 100_000,
            seen_capacity: 0,
            tls: None,
        }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Method, target and version, as sent.
    pub line: String,
    /// Header lines in their order, names as sent; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, with its transfer coding taken off.
    pub body: Vec<u8>,
}

impl Seen {
    pub(crate) fn new(head: &[u8], body: &[u8]) -> Seen {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .take(MAX_SEEN_HEADERS)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Seen { line, headers, body: body.to_vec() }
    }

    /// The first value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: FakeConfig,
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    seen: Mutex<VecDeque<Seen>>,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Server {
    pub(crate) fn next_id(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn capture(&self, seen: impl FnOnce() -> Seen) {
        if self.config.seen_capacity == 0 {
            return;
        }
        let mut kept = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= self.config.seen_capacity {
            kept.pop_front();
        }
        kept.push_back(seen());
    }
}

/// A running fake provider. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct FakeProvider {
    addr: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl FakeProvider {
    /// Starts a healthy provider on `addr` (port 0: a free one) in the current Tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn start(addr: SocketAddr) -> Result<FakeProvider> {
        FakeProvider::start_with(addr, FakeConfig::default())
    }

    /// Starts a provider with its own behaviour.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn start_with(addr: SocketAddr, config: FakeConfig) -> Result<FakeProvider> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr).with_context(|| format!("cannot listen on {addr}"))?;
        let listener = socket.listen(BACKLOG)?;
        let addr = listener.local_addr()?;
        let server = Arc::new(Server {
            ledger: Ledger::new(config.billed_capacity),
            config,
            store: Store::default(),
            objects: Objects::default(),
            seen: Mutex::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&server)));
        Ok(FakeProvider { addr, server, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The bill so far, one line for each request in order of arrival. A line shows what was generated before
    /// the client could read it, so a client that has read its whole answer finds it here complete but for
    /// [`Billed::end`]; to await that, use [`FakeProvider::wait_billed`].
    pub fn billed(&self) -> Vec<Billed> {
        self.server.ledger.lines()
    }

    /// Waits until `done` holds for the bill. It is looked at again whenever a line ends.
    pub async fn wait_billed(&self, done: impl Fn(&[Billed]) -> bool) {
        self.server.ledger.wait(done).await;
    }

    /// The newest requests, oldest first, as many as the configuration keeps.
    pub fn seen(&self) -> Vec<Seen> {
        self.server.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Requests read so far.
    pub fn requests(&self) -> u64 {
        self.server.requests.load(Ordering::Relaxed)
    }

    /// Connections accepted so far, to prove that connections are reused.
    pub fn connections(&self) -> u64 {
        self.server.connections.load(Ordering::Relaxed)
    }

    /// Stops listening, closes every connection, and returns once that is done.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // Being cancelled is what was asked for.
        let _cancelled = (&mut self.task).await;
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    server.connections.fetch_add(1, Ordering::Relaxed);
                    // A connection's failure concerns its client, who sees it.
                    connections.spawn(serve(stream, Arc::clone(&server)));
                }
                // Out of descriptors: wait until a connection ends.
                Err(_error) => {
                    if connections.join_next().await.is_none() {
                        tokio::task::yield_now().await;
                    }
                }
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, server: Arc<Server>) -> Result<()> {
    stream.set_nodelay(true)?;
    let wire = match &server.config.tls {
        None => Wire::Plain(stream),
        Some(tls) => Wire::Tls(Box::new(TlsAcceptor::from(Arc::clone(tls)).accept(stream).await?)),
    };
    connection::serve(wire, server).await
}
