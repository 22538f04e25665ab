//! A downstream connection as Pingora sees it.
//!
//! Pingora reads and writes through a boxed [`IO`](pingora_core::protocols::IO). Its own TCP stream keeps a
//! read buffer in front of a parser that has one already, and flushes a response's head before its body. This
//! one reads straight through and joins what is written until a flush, so a head and its body leave in one
//! system call; [`Conn::cork`] lets the relay join a stream's head with its first chunks.

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Writes up to this many bytes are joined; larger ones go out at once, together with what was joined before.
const JOIN_BYTES_MAX: usize = 16 * 1024;

/// The transport below: the closed list of what a listener accepts.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Clear text.
    Plain(TcpStream),
    /// TLS ended here.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A downstream connection.
#[derive(Debug)]
pub(crate) struct Conn {
    transport: Transport,
    /// Bytes read ahead (protocol detection), given out before the transport is read again.
    ahead: BytesMut,
    /// Bytes written and not yet flushed.
    joined: BytesMut,
    corked: AtomicBool,
    /// Header lines that the next response head takes along; see [`Conn::stage`].
    staged: Mutex<Option<Bytes>>,
    established: SystemTime,
    socket: Arc<SocketDigest>,
    tls: Option<Arc<SslDigest>>,
    alpn: Option<ALPN>,
}

impl Conn {
    /// A connection over `transport`.
    pub(crate) fn new(transport: Transport, peer: std::net::SocketAddr) -> Conn {
        let (tcp, tls, alpn) = match &transport {
            Transport::Plain(tcp) => (tcp, None, None),
            Transport::Tls(stream) => {
                let (tcp, session) = stream.get_ref();
                let alpn = match session.alpn_protocol() {
                    Some(b"h2") => Some(ALPN::H2),
                    Some(_) => Some(ALPN::H1),
                    None => None,
                };
                (tcp, Some(Arc::new(tls_digest(session))), alpn)
            }
        };
        let socket = SocketDigest::from_raw_fd(tcp.as_raw_fd());
        // The accept call told us; asking the kernel again would cost a system call per connection. A cell that
        // is set already keeps its value, and this one was made a line above.
        let _ = socket.peer_addr.set(Some(pingora_core::protocols::l4::socket::SocketAddr::Inet(peer)));
        Conn {
            transport,
            ahead: BytesMut::new(),
            joined: BytesMut::new(),
            corked: AtomicBool::new(false),
            staged: Mutex::new(None),
            established: SystemTime::now(),
            socket: Arc::new(socket),
            tls,
            alpn,
        }
    }

    /// While corked, a flush is put off, so that several small writes leave as one.
    pub(crate) fn cork(&self, corked: bool) {
        self.corked.store(corked, Ordering::Relaxed);
    }

    /// Hands over header lines, each with its line end, for the next response head. They go out as they are: in the
    /// provider's order and spelling, and without being parsed into a map and written out of it again. Whatever is
    /// written next has to be that head.
    pub(crate) fn stage(&self, lines: Bytes) {
        *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines);
    }

    /// Appends what is written, and the staged lines before the blank line of a head.
    fn join(&mut self, buf: &[u8]) {
        let staged = self.staged.get_mut().unwrap_or_else(PoisonError::into_inner);
        match (staged.take(), buf.strip_suffix(b"\r\n\r\n")) {
            (Some(lines), Some(head)) => {
                self.joined.reserve(buf.len() + lines.len());
                self.joined.extend_from_slice(head);
                self.joined.extend_from_slice(b"\r\n");
                self.joined.extend_from_slice(&lines);
                self.joined.extend_from_slice(b"\r\n");
            }
            (_, _) => self.joined.extend_from_slice(buf),
        }
    }

    fn transport(&mut self) -> Pin<&mut (dyn Duplex + Send)> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp),
            Transport::Tls(tls) => Pin::new(tls.as_mut()),
        }
    }

    /// Writes out what was joined.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.joined.is_empty() {
            let written = match &mut self.transport {
                Transport::Plain(tcp) => ready!(Pin::new(tcp).poll_write(cx, &self.joined))?,
                Transport::Tls(tls) => ready!(Pin::new(tls.as_mut()).poll_write(cx, &self.joined))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.joined.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes `joined` and `bufs` in one call. Returns how much of `bufs` was taken.
    fn poll_write_through(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.joined.is_empty() {
            let mut all: [IoSlice<'_>; 8] = [IoSlice::new(&[]); 8];
            let count = (bufs.len() + 1).min(all.len());
            let (first, rest) = all.split_at_mut(1);
            if let (Some(first), Transport::Plain(tcp)) = (first.first_mut(), &mut self.transport) {
                *first = IoSlice::new(&self.joined);
                for (slot, buf) in rest.iter_mut().zip(bufs) {
                    *slot = IoSlice::new(buf);
                }
                let written =
                    ready!(Pin::new(tcp).poll_write_vectored(cx, all.get(..count).unwrap_or(&all)))?;
                let ours = written.min(self.joined.len());
                self.joined.advance(ours);
                if written > ours {
                    return Poll::Ready(Ok(written - ours));
                }
            }
            ready!(self.poll_drain(cx))?;
        }
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }
}

fn tls_digest(session: &rustls::ServerConnection) -> SslDigest {
    let cipher = session.negotiated_cipher_suite().map_or("", |suite| suite.suite().as_str().unwrap_or(""));
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    SslDigest::new(cipher, version, None, None, Vec::new())
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Conn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.joined.len() + buf.len() <= JOIN_BYTES_MAX {
            self.join(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.poll_write_through(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if self.joined.len() + total <= JOIN_BYTES_MAX {
            for buf in bufs {
                self.joined.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(total));
        }
        self.poll_write_through(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.corked.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        self.transport().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.transport().poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // The peer may be gone already; there is nobody to tell.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        match &self.transport {
            Transport::Plain(tcp) => tcp.as_raw_fd(),
            Transport::Tls(tls) => tls.get_ref().0.as_raw_fd(),
        }
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.alpn.clone()
    }
}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.established, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.socket))
    }
}

impl Conn {
    /// Whether the connection speaks HTTP/2, by ALPN or, without TLS and if `by_preface`, by prior knowledge. Reads
    /// ahead as long as the preface is possible: a short HTTP/1 request must not wait for 24 bytes that never come.
    pub(crate) async fn speaks_h2(&mut self, by_preface: bool) -> bool {
        match &self.alpn {
            Some(alpn) => *alpn == ALPN::H2,
            None if self.tls.is_some() || !by_preface => false,
            None => self.read_ahead(PREFACE.len()).await.is_ok() && self.ahead.starts_with(PREFACE),
        }
    }

    async fn read_ahead(&mut self, length: usize) -> io::Result<()> {
        while self.ahead.len() < length && PREFACE.starts_with(&self.ahead) {
            let mut ahead = std::mem::take(&mut self.ahead);
            let read = match &mut self.transport {
                Transport::Plain(tcp) => tcp.read_buf(&mut ahead).await,
                Transport::Tls(tls) => tls.read_buf(&mut ahead).await,
            };
            self.ahead = ahead;
            if read? == 0 {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Peek for Conn {
    /// Pingora peeks for the HTTP/2 preface only.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.read_ahead(buf.len()).await?;
        let known = self.ahead.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..known), self.ahead.get(..known)) {
            to.copy_from_slice(from);
        }
        Ok(true)
    }
}

/// The connection below a session, when it is one of ours and speaks HTTP/1.
pub(crate) fn of(session: &pingora_core::protocols::http::ServerSession) -> Option<&Conn> {
    session.as_http1()?.stream().as_any().downcast_ref::<Conn>()
}
