//! A downstream connection: which protocol it speaks, and how Pingora sees it.

use crate::downstream::h1::Transport;
use crate::net::Io;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A downstream connection.
#[derive(Debug)]
pub(crate) struct Conn {
    transport: Transport,
    peer: SocketAddr,
    /// Bytes read ahead to tell the protocol, given out before the transport is read again.
    ahead: BytesMut,
    established: SystemTime,
}

impl Conn {
    /// A connection over `transport`.
    pub(crate) fn new(transport: Transport, peer: SocketAddr) -> Conn {
        Conn { transport, peer, ahead: BytesMut::new(), established: SystemTime::now() }
    }

    /// Whether the connection speaks HTTP/2, by ALPN or, without TLS and if `by_preface`, by prior knowledge. Reads
    /// ahead as long as the preface is possible: a short HTTP/1 request must not wait for 24 bytes that never come.
    /// A client that sends nothing within `limit` speaks nothing.
    pub(crate) async fn speaks_h2(&mut self, by_preface: bool, limit: Duration) -> bool {
        match self.selected_alpn_proto() {
            Some(alpn) => alpn == ALPN::H2,
            None if matches!(self.transport, Io::Tls(_)) || !by_preface => false,
            None => {
                let ahead = tokio::time::timeout(limit, self.read_ahead()).await;
                matches!(ahead, Ok(Ok(()))) && self.ahead.starts_with(PREFACE)
            }
        }
    }

    async fn read_ahead(&mut self) -> io::Result<()> {
        while self.ahead.len() < PREFACE.len() && PREFACE.starts_with(&self.ahead) {
            if self.transport.read_buf(&mut self.ahead).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The transport, and what was read of it.
    pub(crate) fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.ahead)
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
        Pin::new(&mut self.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
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
            Io::Plain(tcp) => tcp.as_raw_fd(),
            Io::Tls(tls) => tls.get_ref().0.as_raw_fd(),
        }
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        match &self.transport {
            Io::Plain(_) => None,
            Io::Tls(tls) => Some(Arc::new(tls_digest(tls.get_ref().1))),
        }
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        match &self.transport {
            Io::Plain(_) => None,
            Io::Tls(tls) => match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => Some(ALPN::H2),
                Some(_) => Some(ALPN::H1),
                None => None,
            },
        }
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
        let digest = SocketDigest::from_raw_fd(self.id());
        // A new cell takes the value; the accept call told us, so the kernel need not be asked again.
        let _ = digest.peer_addr.set(Some(pingora_core::protocols::l4::socket::SocketAddr::Inet(self.peer)));
        Some(Arc::new(digest))
    }
}

#[async_trait]
impl Peek for Conn {
    /// Pingora peeks for the HTTP/2 preface only.
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.read_ahead().await?;
        let known = self.ahead.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..known), self.ahead.get(..known)) {
            to.copy_from_slice(from);
        }
        Ok(true)
    }
}
