//! The client's side of an exchange, over HTTP/1 or HTTP/2.
//!
//! HTTP/1 is our own codec: heads are read where they were received, a body is read into the buffer it stays in, and
//! what is written together leaves together. HTTP/2 is Pingora's session.

pub(crate) mod date;
pub(crate) mod forwarded;
pub(crate) mod h1;
mod head;

use bytes::Bytes;
use h1::H1;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use memchr::memchr;
use narrows_policy::Reason;
use pingora_core::protocols::http::ServerSession;
use pingora_error::ErrorType;
use pingora_http::ResponseHeader;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Bytes of an unread body that are taken off after a refusal. Closing or resetting at once would make clients
/// report that, and not the answer.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// A request being served.
pub(crate) enum Session<'s> {
    /// Over HTTP/1.
    H1(&'s mut H1),
    /// Over one stream of HTTP/2.
    H2(&'s mut ServerSession),
}

/// Why the client cannot be written to or read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It closed or reset the connection.
    Gone,
    /// It does not read, or does not send.
    Stalled,
    /// Its body is not framed as HTTP says.
    Malformed,
}

impl Lost {
    /// The closed word for it.
    pub(crate) fn reason(self) -> Reason {
        match self {
            Lost::Gone => Reason::ClientGone,
            Lost::Stalled => Reason::ClientTimeout,
            Lost::Malformed => Reason::BodyMalformed,
        }
    }
}

impl From<Box<pingora_error::Error>> for Lost {
    fn from(error: Box<pingora_error::Error>) -> Lost {
        match error.etype {
            ErrorType::WriteTimedout | ErrorType::ReadTimedout => Lost::Stalled,
            _ => Lost::Gone,
        }
    }
}

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// By its length in bytes.
    Known(u64),
    /// By its end.
    Open,
}

/// A head to be sent.
pub(crate) struct OutHead<'h> {
    pub(crate) status: StatusCode,
    /// The reason phrase, if not the usual one.
    pub(crate) reason: Option<&'h str>,
    /// Fields as lines, each with its line end; no hop-by-hop ones, and no `content-length`.
    pub(crate) fields: &'h [u8],
    /// Whether `date` is among them.
    pub(crate) has_date: bool,
    pub(crate) length: Length,
}

impl Session<'_> {
    /// The request's head.
    pub(crate) fn head(&self) -> &Parts {
        match self {
            Session::H1(h1) => h1.head(),
            Session::H2(h2) => h2.req_header(),
        }
    }

    /// Why the head must not be passed on, if two parsers could read it as two requests.
    pub(crate) fn ambiguity(&self) -> Option<&'static str> {
        match self {
            Session::H1(h1) => h1.ambiguity(),
            Session::H2(_) => None,
        }
    }

    /// Whether the request has no body.
    pub(crate) fn has_no_body(&mut self) -> bool {
        match self {
            Session::H1(h1) => h1.body_is_done(),
            Session::H2(h2) => h2.is_body_empty(),
        }
    }

    /// Where the connection is from, as a balancer told it in a PROXY header if there was one.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match self {
            Session::H1(h1) => h1.peer(),
            Session::H2(h2) => h2.client_addr()?.as_inet().map(SocketAddr::ip),
        }
    }

    /// The body's length, if the head tells.
    pub(crate) fn body_length(&self) -> Option<u64> {
        self.head().headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Says that the body is welcome, to a client that waits for that.
    pub(crate) async fn invite_body(&mut self) -> Result<(), Lost> {
        let expect = self.head().headers.get(header::EXPECT);
        if !expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Ok(());
        }
        match self {
            Session::H1(h1) => h1.write_continue().await,
            Session::H2(h2) => Ok(h2.write_continue_response().await?),
        }
    }

    /// The next part of the body; `None` is its end. `room` is how much is known to come, at most.
    pub(crate) async fn read_body(&mut self, room: usize) -> Result<Option<Bytes>, Lost> {
        match self {
            Session::H1(h1) => h1.read_body(room).await,
            Session::H2(h2) => Ok(h2.read_request_body().await?),
        }
    }

    /// Resolves when the client is gone. What it sends meanwhile waits its turn.
    pub(crate) async fn gone(&mut self) {
        match self {
            Session::H1(h1) => h1.gone().await,
            Session::H2(h2) => {
                if h2.read_body_or_idle(true).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// How long a write may take.
    pub(crate) fn set_write_timeout(&mut self, timeout: Duration) {
        match self {
            Session::H1(h1) => h1.set_write_timeout(timeout),
            Session::H2(h2) => h2.set_write_timeout(Some(timeout)),
        }
    }

    /// The connection ends with this answer.
    pub(crate) fn close_after(&mut self) {
        match self {
            Session::H1(h1) => h1.close_after(),
            Session::H2(_) => {}
        }
    }

    /// Whether a head was written.
    pub(crate) fn has_answered(&self) -> bool {
        match self {
            Session::H1(h1) => h1.has_answered(),
            Session::H2(h2) => h2.response_written().is_some(),
        }
    }

    /// Lets go of memory that a long answer does not need. The head is gone after it.
    pub(crate) fn slim(&mut self) {
        match self {
            Session::H1(h1) => h1.slim(),
            Session::H2(_) => {}
        }
    }

    /// Writes the head. With `more_follows` it may wait for the next write and leave with it.
    pub(crate) async fn write_head(&mut self, head: &OutHead<'_>, more_follows: bool) -> Result<(), Lost> {
        match self {
            Session::H1(h1) => h1.write_head(head, more_follows).await,
            Session::H2(h2) => Ok(h2.write_response_header(header_map(head)?).await?),
        }
    }

    /// Writes a part of the body. With `more_follows` it may wait for the next write and leave with it.
    pub(crate) async fn write_body(&mut self, part: Bytes, more_follows: bool) -> Result<(), Lost> {
        match self {
            Session::H1(h1) => h1.write_body(part, more_follows).await,
            Session::H2(h2) => Ok(h2.write_response_body(part, false).await?),
        }
    }

    /// Ends the body.
    pub(crate) async fn finish_body(&mut self) -> Result<(), Lost> {
        match self {
            Session::H1(h1) => h1.finish_body().await,
            Session::H2(h2) => Ok(h2.finish_body().await?),
        }
    }

    /// Whether fields behind an answer's body reach the client: over HTTP/1.1 if it said so, over HTTP/2 always.
    /// Ask before the head is written.
    pub(crate) fn takes_trailers(&self) -> bool {
        match self {
            Session::H1(h1) => h1.takes_trailers(),
            Session::H2(_) => true,
        }
    }

    /// Ends the body with these fields, lines as in a head, where they reach the client.
    pub(crate) async fn finish_with(&mut self, trailers: Option<&[u8]>) -> Result<(), Lost> {
        match (self, trailers) {
            (Session::H1(h1), Some(lines)) => h1.finish_with(lines).await,
            (Session::H2(h2), Some(lines)) => {
                let mut fields = HeaderMap::new();
                for (name, value) in lines_of(lines) {
                    fields.append(name, value);
                }
                Ok(h2.write_response_trailers(fields).await?)
            }
            (session, None) => session.finish_body().await,
        }
    }

    /// Takes what the client still sends of a body that nobody wants, within bounds.
    pub(crate) async fn drain(&mut self) {
        let drained = async {
            let mut total = 0;
            while let Ok(Some(part)) = self.read_body(0).await {
                total += part.len();
                if total > DRAIN_BYTES_MAX {
                    break;
                }
            }
        };
        // Whether or not it came to its end, the answer is written.
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, drained).await;
    }
}

/// Whether these fields of a request say that fields behind the body will be read.
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    let said = |value: &HeaderValue| {
        let mut words = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        words.any(|word| word.eq_ignore_ascii_case(b"trailers"))
    };
    headers.get_all(header::TE).iter().any(said)
}

/// The fields that lines hold.
fn lines_of(lines: &[u8]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (name, value) = line.split_at(memchr(b':', line)?);
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        Some((HeaderName::from_bytes(name).ok()?, value.ok()?))
    })
}

/// A head as HTTP/2 needs it.
fn header_map(head: &OutHead<'_>) -> pingora_error::Result<Box<ResponseHeader>> {
    let mut out = ResponseHeader::build_no_case(head.status, Some(16))?;
    for (name, value) in lines_of(head.fields) {
        out.append_header(name, value)?;
    }
    if !head.has_date {
        out.insert_header(
            header::DATE,
            date::with_now(HeaderValue::from_str).unwrap_or(HeaderValue::from_static("")),
        )?;
    }
    if let Length::Known(length) = head.length {
        out.insert_header(header::CONTENT_LENGTH, length)?;
    }
    Ok(Box::new(out))
}
