//! HTTP/2 towards a provider (RFC 9113): several exchanges at a time over one connection.

mod convert;
mod link;

pub(crate) use link::Options;
pub(super) use link::{Claim, Link};

use super::Fault;
use super::head::Head;
use super::trailers;
use ::h2::client::ResponseFuture;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Parts that are readable together are joined until they have this many bytes; larger ones pass as they are.
const JOIN_BYTES_MAX: usize = 16 * 1024;

/// One exchange over a shared connection.
pub(crate) struct Stream {
    claim: Claim,
    outgoing: Option<SendStream<Bytes>>,
    answer: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Bytes handed out whose room the provider has not been given back: it gets it when the next part is asked for,
    /// so that a client that does not read holds the provider up.
    unreleased: usize,
    left: Option<u64>,
    /// What was found while joining, to be told next.
    next: Option<Result<(), Fault>>,
    trailers: Option<Bytes>,
    done: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("reused", &self.reused())
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream over the claimed connection.
    pub(super) fn new(claim: Claim) -> Stream {
        Stream {
            claim,
            outgoing: None,
            answer: None,
            body: None,
            unreleased: 0,
            left: None,
            next: None,
            trailers: None,
            done: false,
        }
    }

    /// See [`Connection`](super::connection::Connection).
    pub(crate) fn reused(&self) -> bool {
        self.claim.reused
    }

    /// Whether the connection had been idle when this exchange took it: when it then turns out to be closed, the
    /// provider closed it before the request came.
    pub(crate) fn was_idle(&self) -> bool {
        self.claim.was_idle && self.body.is_none()
    }

    /// The connection it is on.
    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Sends a request. The body is queued as it is; the provider's window decides when it leaves.
    pub(crate) async fn send(&mut self, head: &Bytes, body: &[Bytes]) -> Result<(), Fault> {
        let request = convert::request(head, self.claim.tls)?;
        let requests = &mut self.claim.requests;
        let last = body.iter().rposition(|part| !part.is_empty());
        let begun = match poll_fn(|cx| requests.poll_ready(cx)).await {
            Ok(()) => requests.send_request(request, last.is_none()),
            Err(error) => Err(error),
        };
        let (answer, mut outgoing) = begun.map_err(|error| {
            // Nothing was sent: the connection is at its end.
            self.claim.retire();
            Fault::NotBegun(error.to_string())
        })?;
        for (index, part) in body.iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            if outgoing.send_data(part.clone(), Some(index) == last).is_err() {
                // The provider has ended the stream already; the reason comes with its answer.
                break;
            }
        }
        self.answer = Some(answer);
        self.outgoing = Some(outgoing);
        Ok(())
    }

    /// Reads the final response head; interim heads are passed over.
    pub(crate) async fn read_head(&mut self) -> Result<Head, Fault> {
        let Some(answer) = &mut self.answer else { return Err(Fault::Cut) };
        let response = poll_fn(|cx| Pin::new(&mut *answer).poll(cx)).await.map_err(|error| {
            if error.is_go_away() {
                self.claim.retire();
            }
            fault(&error)
        })?;
        let (head, length) = convert::response(&response)?;
        let body = response.into_body();
        self.done = body.is_end_stream();
        self.left = length;
        self.body = Some(body);
        self.answer = None;
        Ok(head)
    }

    /// Reads the next part of the body. Cancel safe.
    pub(crate) async fn read_body(&mut self) -> Result<Option<Bytes>, Fault> {
        self.release();
        poll_fn(|cx| self.poll_part(cx)).await
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.unreleased);
        if let Some(body) = self.body.as_mut().filter(|_| bytes > 0) {
            // It fails only when the stream is at its end, and nobody needs the room.
            let _ = body.flow_control().release_capacity(bytes);
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        match self.next.take() {
            Some(Err(fault)) => return Poll::Ready(Err(fault)),
            Some(Ok(())) => return self.poll_trailers(cx),
            None => {}
        }
        if self.done {
            return Poll::Ready(Ok(None));
        }
        let first = match ready!(self.poll_data(cx)) {
            Some(Ok(part)) => part,
            Some(Err(fault)) => return Poll::Ready(Err(fault)),
            None => return self.poll_trailers(cx),
        };
        let mut joined = BytesMut::new();
        while joined.len().max(first.len()) < JOIN_BYTES_MAX {
            match self.poll_data(cx) {
                Poll::Ready(Some(Ok(more))) => {
                    if joined.is_empty() {
                        joined.reserve(first.len() + more.len().max(JOIN_BYTES_MAX / 4));
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(&more);
                }
                Poll::Ready(Some(Err(fault))) => {
                    self.next = Some(Err(fault));
                    break;
                }
                Poll::Ready(None) => {
                    self.next = (!self.done).then_some(Ok(()));
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(Some(if joined.is_empty() { first } else { joined.freeze() })))
    }

    /// The next part with bytes in it; `None` when only trailers can follow.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        let Some(body) = self.body.as_mut().filter(|_| !self.done) else { return Poll::Ready(None) };
        loop {
            let part = ready!(body.poll_data(cx));
            self.done = body.is_end_stream();
            match part {
                Some(Ok(part)) if part.is_empty() && self.done => return Poll::Ready(None),
                Some(Ok(part)) if part.is_empty() => {}
                Some(Ok(part)) => {
                    self.unreleased += part.len();
                    self.left = self.left.map(|left| left.saturating_sub(part.len() as u64));
                    return Poll::Ready(Some(Ok(part)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(fault(&error)))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let Some(body) = self.body.as_mut().filter(|_| !self.done) else { return Poll::Ready(Ok(None)) };
        let read = match body.poll_trailers(cx) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                // Cancel safe: asked again, it waits for the trailers again.
                self.next = Some(Ok(()));
                return Poll::Pending;
            }
        };
        let map = read.map_err(|error| fault(&error))?;
        self.trailers = map.as_ref().and_then(trailers::of_map);
        self.done = true;
        Poll::Ready(Ok(None))
    }

    /// See [`Connection`](super::connection::Connection).
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// See [`Connection`](super::connection::Connection).
    pub(crate) fn left(&self) -> Option<u64> {
        self.left
    }

    /// See [`Connection`](super::connection::Connection).
    pub(crate) fn trailers(&self) -> Option<Bytes> {
        self.trailers.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        // An answer that nobody waits for any more must not be paid for.
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.send_reset(Reason::CANCEL);
        }
        // That an answer did not come may be the provider's way, or a connection that leads nowhere.
        self.claim.suspect();
    }
}

/// What an error of the protocol means to an exchange.
fn fault(error: &::h2::Error) -> Fault {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    let http_1 = error.reason() == Some(Reason::HTTP_1_1_REQUIRED);
    if error.is_remote() && http_1 {
        return Fault::WantsH1;
    }
    if error.is_remote() && (refused || error.is_go_away()) {
        // A stream is told of a connection that goes away only if it is beyond the last one that was begun
        // (RFC 9113 §6.8).
        return Fault::NotBegun(error.to_string());
    }
    if error.is_io() {
        Fault::Cut
    } else if error.is_remote() {
        Fault::Reset(error.to_string())
    } else {
        Fault::Protocol(error.to_string())
    }
}
