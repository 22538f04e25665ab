//! A connection to a provider, whichever version of HTTP it speaks: what the steps of an exchange use.

use super::Fault;
use super::h1::H1;
use super::h2;
use super::head::Head;
use bytes::Bytes;
use std::time::Duration;

/// How soon a connection that had gone stale shows itself once a request was written on it: a round trip, with room to
/// spare. A connection that ends later may have ended in the midst of the provider's work.
const STALE_MAX: Duration = Duration::from_secs(1);

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

    /// Whether the provider cannot have begun to work on the request, so that it may be sent again on a new connection.
    /// `had` is how long the provider had all of the request; `None` if it was not written to its end.
    pub(crate) fn may_repeat(&self, fault: &Fault, had: Option<Duration>) -> bool {
        let stale = had.is_none_or(|had| had < STALE_MAX);
        match (self, fault) {
            (_, Fault::NotBegun(_) | Fault::WantsH1) => true,
            (Connection::H1(h1), Fault::Cut | Fault::Write(_)) => h1.reused && !h1.answered && stale,
            (Connection::H2(h2), Fault::Cut) => h2.was_idle() && stale,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Io;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn what_the_provider_had_for_longer_than_a_stale_connection_takes_is_not_repeated() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut h1 = H1::new(Io::Plain(ours));
        h1.reused = true;
        let connection = Connection::H1(h1);
        let just_below = STALE_MAX.saturating_sub(Duration::from_millis(1));
        for (had, repeated) in [(None, true), (Some(just_below), true), (Some(STALE_MAX), false)] {
            assert_eq!(connection.may_repeat(&Fault::Cut, had), repeated, "{had:?}");
        }
        let begun = Fault::NotBegun("it is going away".to_owned());
        assert!(connection.may_repeat(&begun, Some(STALE_MAX)), "the provider itself said so");
        assert!(connection.may_repeat(&Fault::WantsH1, Some(STALE_MAX)));
        assert!(!connection.may_repeat(&Fault::Reset("cancelled".to_owned()), None));
    }
}
