//! A connection to a provider, whichever version of HTTP it speaks: what the steps of an exchange use.

use super::Fault;
use super::h1::H1;
use super::h2;
use super::head::Head;
use bytes::Bytes;

/// A connection that serves one exchange.
#[derive(Debug)]
pub(crate) enum Connection {
    /// HTTP/1.1: a connection of its own. Not boxed, for it is the usual one.
    H1(H1),
    /// A stream of a connection that others use too.
    H2(Box<h2::Stream>),
}

impl Connection {
    /// Whether it was used by an exchange before this one.
    pub(crate) fn reused(&self) -> bool {
        match self {
            Connection::H1(h1) => h1.reused,
            Connection::H2(h2) => h2.reused(),
        }
    }

    /// Whether the provider cannot have begun to answer, so that the request may be sent again on a new connection.
    pub(crate) fn may_repeat(&self, fault: &Fault) -> bool {
        match (self, fault) {
            (_, Fault::NotBegun(_)) => true,
            (Connection::H1(h1), Fault::Cut | Fault::Write(_)) => h1.reused && !h1.answered,
            (Connection::H2(h2), Fault::Cut) => h2.was_idle(),
            _ => false,
        }
    }

    /// Sends a request. `head` is its head as HTTP/1.1 has it.
    pub(crate) async fn send(&mut self, head: &Bytes, body: &[Bytes]) -> Result<(), Fault> {
        match self {
            Connection::H1(h1) => h1.send(head, body).await,
            Connection::H2(h2) => h2.send(head, body).await,
        }
    }

    /// Reads the final response head.
    pub(crate) async fn read_head(&mut self) -> Result<Head, Fault> {
        match self {
            Connection::H1(h1) => h1.read_head().await,
            Connection::H2(h2) => h2.read_head().await,
        }
    }

    /// Reads the next part of the body: what is there now, joined. `None` is its end. Cancel safe.
    pub(crate) async fn read_body(&mut self) -> Result<Option<Bytes>, Fault> {
        match self {
            Connection::H1(h1) => h1.read_body().await,
            Connection::H2(h2) => h2.read_body().await,
        }
    }

    /// Whether the body was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Connection::H1(h1) => h1.is_done(),
            Connection::H2(h2) => h2.is_done(),
        }
    }

    /// How many bytes of the body are known to follow.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Connection::H1(h1) => h1.left(),
            Connection::H2(h2) => h2.left(),
        }
    }

    /// The fields behind the body that go on to the client, as lines, once the body was read to its end.
    pub(crate) fn trailers(&self) -> Option<Bytes> {
        match self {
            Connection::H1(h1) => h1.trailers(),
            Connection::H2(h2) => h2.trailers(),
        }
    }
}
