//! A TCP connection, in clear text or under TLS: the one transport of both sides.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection; `T` is the TLS stream of its side.
#[derive(Debug)]
pub(crate) enum Io<T> {
    /// Clear text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<T>),
}

impl<T> Io<T> {
    /// Resolves when something can be read, without needing a buffer for it meanwhile. Under TLS it resolves at
    /// once: what is readable there is known only by reading.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Io::Plain(tcp) => poll_fn(|cx| tcp.poll_read_ready(cx)).await,
            Io::Tls(_) => Ok(()),
        }
    }
}

/// Calls the same method on whichever stream there is.
macro_rules! on_stream {
    ($self:expr, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).$method($($argument),*),
            Io::Tls(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
        }
    };
}

impl<T: AsyncRead + Unpin> AsyncRead for Io<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_read, cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Io<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_shutdown, cx)
    }
}
