//! A connection in clear text or under TLS: the fake provider's side, and a load generator's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server;

/// A connection; `T` is the TLS stream of its side.
#[derive(Debug)]
pub enum Wire<T> {
    /// Clear text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<T>),
}

/// The provider's side.
pub(crate) type Served = Wire<server::TlsStream<TcpStream>>;

impl Served {
    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(tcp) => tcp,
            Wire::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Waits until bytes are there, without taking them; 0 is the end. Under TLS these are bytes of records.
    pub(crate) async fn peek(&self, byte: &mut [u8]) -> io::Result<usize> {
        self.tcp().peek(byte).await
    }

    /// Makes closing a reset.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        self.tcp().set_zero_linger()
    }
}

/// Calls the same method on whichever stream there is.
macro_rules! on_stream {
    ($self:expr, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Wire::Plain(tcp) => Pin::new(tcp).$method($($argument),*),
            Wire::Tls(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
        }
    };
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_read, cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_shutdown, cx)
    }
}
