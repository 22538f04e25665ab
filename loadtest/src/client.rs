//! One connection: requests out in one write, answers in, every one checked.

use crate::inspect::{Marker, Stamps};
use crate::response::ResponseReader;
use crate::scenario::Scenario;
use crate::stats::Shared;
use crate::tls::Tls;
use anyhow::{Context, Result};
use narrows_fake::{Wire, monotonic_ns};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes read at once on connections of which there are thousands.
const SMALL_READ_BYTES: usize = 4 << 10;
/// Connections above which reads are small.
const MANY_CONNECTIONS: usize = 1_000;
/// Longest wait for one answer. The scenario's own pace comes on top.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What every connection of a run shares.
pub struct Work {
    /// The work.
    pub scenario: Scenario,
    /// Where to connect.
    pub target: SocketAddr,
    /// TLS, if the connections speak it.
    pub tls: Option<Tls>,
    /// The request's bytes.
    pub request: Vec<u8>,
    /// Where to count.
    pub stats: Shared,
}

/// A connection that sends the same request again and again.
pub struct Client {
    work: Rc<Work>,
    stream: Option<Wire<TlsStream<TcpStream>>>,
    buffer: Vec<u8>,
    reader: ResponseReader,
    end: Marker,
    usage: Marker,
    stamps: Stamps,
}

/// Why an exchange has no answer.
#[derive(Debug)]
enum Failure {
    Connect(std::io::Error),
    Io(std::io::Error),
    Protocol,
    TimedOut,
}

impl Failure {
    fn message(&self) -> String {
        match self {
            Failure::Connect(error) => format!("connect: {}", error.kind()),
            Failure::Io(error) => format!("connection: {}", error.kind()),
            Failure::Protocol => "answer is not HTTP/1.1".to_owned(),
            Failure::TimedOut => "no answer in time".to_owned(),
        }
    }
}

impl Client {
    /// A client that will connect when it first sends.
    pub fn new(work: Rc<Work>, connections: usize) -> Client {
        let room = if connections > MANY_CONNECTIONS { SMALL_READ_BYTES } else { READ_BYTES };
        Client {
            end: Marker::new(&work.scenario.end_marker),
            usage: Marker::new(&work.scenario.usage_marker),
            work,
            stream: None,
            buffer: vec![0; room],
            reader: ResponseReader::default(),
            stamps: Stamps::default(),
        }
    }

    /// Sends one request and reads its answer, counting both. `intended` is when it should have been sent; what it
    /// was late counts as the gateway's.
    pub async fn exchange(&mut self, intended: Instant) {
        let limit = ANSWER_LIMIT + Duration::from_millis(self.work.scenario.paced_ms);
        let ended = match tokio::time::timeout(limit, self.attempt(intended)).await {
            Ok(Ok(())) => return,
            Ok(Err(failure)) => failure,
            Err(_elapsed) => Failure::TimedOut,
        };
        self.stream = None;
        self.work.stats.lock().failed(ended.message());
        // A gateway that refuses connections must not be hammered in a closed loop.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    async fn attempt(&mut self, intended: Instant) -> Result<(), Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.work.target, self.work.tls.as_ref()).await.map_err(Failure::Connect)?,
        };
        self.reader.reset();
        self.end.reset();
        self.usage.reset();
        self.stamps.reset();
        stream.write_all(&self.work.request).await.map_err(Failure::Io)?;
        stream.flush().await.map_err(Failure::Io)?;
        let mut first_body: Option<Instant> = None;
        let (mut chunks, mut bytes) = (0u64, 0u64);
        while !self.reader.is_done() {
            let read = stream.read(&mut self.buffer).await.map_err(Failure::Io)?;
            if read == 0 {
                self.reader.finish();
                break;
            }
            bytes += read as u64;
            chunks += self.take(read, &mut first_body)?;
        }
        let now = Instant::now();
        let keep = self.reader.is_done() && !self.reader.closes();
        self.stream = keep.then_some(stream);
        self.count(intended, first_body.unwrap_or(now), now, chunks, bytes);
        Ok(())
    }

    /// Takes what was read into the buffer; the number of stamped chunks in it.
    fn take(&mut self, read: usize, first_body: &mut Option<Instant>) -> Result<u64, Failure> {
        let stamped = self.work.scenario.chunks > 0;
        let arrived = if stamped { monotonic_ns() } else { 0 };
        let mut chunks = 0;
        let Client { work, buffer, reader, end, usage, stamps, .. } = self;
        let data = buffer.get(..read).unwrap_or_default();
        let sink = &mut |body: &[u8]| {
            if first_body.is_none() {
                *first_body = Some(Instant::now());
                work.stats.lock().opened += 1;
            }
            end.push(body);
            usage.push(body);
            if stamped {
                let mut stats = work.stats.lock();
                stamps.push(body, |sent| {
                    chunks += 1;
                    stats.chunks += 1;
                    stats.transit.saturating_record(arrived.saturating_sub(sent));
                });
            }
        };
        reader.push(data, sink).map_err(|_invalid| Failure::Protocol)?;
        Ok(chunks)
    }

    fn count(&self, intended: Instant, first_body: Instant, now: Instant, chunks: u64, bytes: u64) {
        let scenario = &self.work.scenario;
        let status = self.reader.status().unwrap_or(0);
        let complete = self.reader.is_done() && self.end.found() && chunks == scenario.chunks;
        let mut stats = self.work.stats.lock();
        stats.requests += 1;
        stats.bytes += bytes;
        *stats.statuses.entry(status).or_default() += 1;
        stats.total.saturating_record(nanos(now.saturating_duration_since(intended)));
        stats.first_byte.saturating_record(nanos(first_body.saturating_duration_since(intended)));
        stats.incomplete += u64::from(status == 200 && !complete);
        stats.without_usage += u64::from(status == 200 && !self.usage.found());
        stats.good += u64::from(status == 200 && complete && self.usage.found());
    }
}

async fn connect(target: SocketAddr, tls: Option<&Tls>) -> std::io::Result<Wire<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Wire::Plain(stream)),
        Some(tls) => Ok(Wire::Tls(Box::new(tls.connector.connect(tls.name.clone(), stream).await?))),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The parts of `http://host:port/base`: address, host, base path without a slash at its end.
///
/// # Errors
/// Another scheme (a load test talks plain TCP to the machine it measures), or a host without an address.
pub fn target(url: &str) -> Result<(SocketAddr, String, String)> {
    use std::net::ToSocketAddrs;
    let rest = url.strip_prefix("http://").with_context(|| format!("`{url}` does not start with http://"))?;
    let (host, base) = rest.split_once('/').unwrap_or((rest, ""));
    let named = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let address = named.to_socket_addrs().with_context(|| format!("cannot resolve `{host}`"))?.next();
    let address = address.with_context(|| format!("`{host}` has no address"))?;
    let base = base.trim_end_matches('/');
    let base = if base.is_empty() { String::new() } else { format!("/{base}") };
    Ok((address, host.to_owned(), base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        let (address, host, base) = target("http://127.0.0.1:8080/openai/").unwrap();
        assert_eq!((address.port(), host.as_str(), base.as_str()), (8080, "127.0.0.1:8080", "/openai"));
        assert_eq!(target("http://127.0.0.1").unwrap().0.port(), 80);
        assert!(target("https://127.0.0.1").is_err() && target("127.0.0.1:80").is_err());
    }
}
