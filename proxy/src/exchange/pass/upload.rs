//! A body that streams to the provider while it arrives, over a connection of its own: what streams through is not
//! risked on one that may have been closed.
//!
//! When the provider refuses our credential and there is another one, it is asked again with that, as long as all that
//! the client has said so far is still there: the beginning of a body is kept for this, within [`REPEAT_BYTES_MAX`].

use super::beside::Copy;
use super::inspect;
use super::read::{Stream, too_large};
use super::send::{Framing, Outgoing};
use crate::buffers::Share;
use crate::downstream::{Lost, Session};
use crate::exchange::account::Account;
use crate::exchange::attempt::{self, Failure};
use crate::exchange::read;
use crate::exchange::route::Target;
use crate::respond::Refusal;
use crate::snapshot::Provider;
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use crate::upstream::h1::H1;
use crate::upstream::head::Head;
use bytes::{BufMut, Bytes, BytesMut};
use narrows_policy::Reason;
use std::time::Instant;

/// Bytes of a body that are kept to be sent a second time, where a provider has a second credential. A larger body that
/// is refused is the client's to send again; by then the credential is set aside.
const REPEAT_BYTES_MAX: usize = 256 * 1024;

/// Why an upload ended without a head.
enum Ended {
    /// The provider's side failed, or the client left.
    Failed(Failure),
    /// The client's body is at fault.
    Refused(Refusal),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        Ended::Failed(Failure::Upstream(fault))
    }
}

/// A body on its way.
struct Passing {
    /// What the client has said so far, while all of it is there.
    kept: Option<Kept>,
    /// Whether it is kept beyond being sent once.
    repeatable: bool,
    /// The length that the client announced.
    length: Option<u64>,
    /// Bytes that the client has said.
    said: u64,
    /// Whether the client has said everything.
    complete: bool,
    /// The copy that is looked at.
    copy: Option<Copy>,
}

/// Parts of a body within the process's budget of buffers.
struct Kept {
    parts: Vec<Bytes>,
    bytes: usize,
    share: Share,
}

impl Passing {
    fn new(stream: Stream, repeatable: bool) -> Passing {
        let bytes = stream.ahead.len();
        let ahead = stream.ahead.freeze();
        let mut copy = stream.copy;
        if let Some(copy) = &mut copy {
            copy.take(&ahead);
        }
        let parts = if ahead.is_empty() { Vec::new() } else { vec![ahead] };
        Passing {
            kept: Some(Kept { parts, bytes, share: stream.share }),
            repeatable,
            length: stream.length,
            said: bytes as u64,
            complete: stream.complete,
            copy,
        }
    }

    /// Whether the client has said as much as it announced, if it did: nothing of the body follows then, though its end
    /// was not read yet.
    fn is_said(&self) -> bool {
        self.complete || self.length == Some(self.said)
    }

    /// Whether all that was said can be sent once more.
    fn can_repeat(&self) -> bool {
        self.repeatable && self.kept.is_some()
    }

    /// What was said so far, to be sent.
    fn so_far(&mut self) -> Vec<Bytes> {
        if self.repeatable {
            return self.kept.as_ref().map(|kept| kept.parts.clone()).unwrap_or_default();
        }
        self.kept.take().map(|kept| kept.parts).unwrap_or_default()
    }

    /// Takes the next part of it.
    fn take(&mut self, part: &Bytes) {
        self.said += part.len() as u64;
        if let Some(copy) = &mut self.copy {
            copy.take(part);
        }
        let Some(kept) = &mut self.kept else { return };
        let bytes = kept.bytes + part.len();
        if bytes <= REPEAT_BYTES_MAX && kept.share.grow_to(bytes) {
            kept.bytes = bytes;
            kept.parts.push(part.clone());
        } else {
            self.kept = None;
        }
    }
}

/// Sends a body while it arrives, and waits for the head; also gives whether that came before the body's end.
pub(super) async fn upload(
    session: &mut Session<'_>,
    account: &mut Account,
    outgoing: &Outgoing<'_>,
    stream: Stream,
) -> Result<(Connection, Head, bool), Refusal> {
    let target = outgoing.target;
    let repeatable = target.provider.credentials.len() > 1 && !target.own_credential;
    let mut passing = Passing::new(stream, repeatable);
    let answered = with_credentials(session, account, outgoing, &mut passing).await;
    // The provider has what came, whatever it says.
    inspect::uploaded(account, passing.copy.take(), passing.complete);
    answered
}

/// Asks with one credential, and with another one if the first is refused.
async fn with_credentials(
    session: &mut Session<'_>,
    account: &mut Account,
    outgoing: &Outgoing<'_>,
    passing: &mut Passing,
) -> Result<(Connection, Head, bool), Refusal> {
    let target = outgoing.target;
    let framing = passing.length.map_or(Framing::Chunked, Framing::Length);
    let compressed = session.head().headers.contains_key(http::header::CONTENT_ENCODING);
    let mut credential = target.provider.credential(target.dialect);
    let mut again = false;
    loop {
        let head = outgoing.head(session.head(), framing, compressed, credential, None)?;
        let (connection, head, early) = once(session, account, target, head, passing).await?;
        let other = if !again && passing.can_repeat() {
            attempt::other_credential(target, credential, &head)
        } else {
            attempt::note_credential(target, credential, &head);
            None
        };
        let Some(other) = other else {
            let (connection, head) = attempt::accept(account, target, (connection, head))?;
            return Ok((connection, head, early));
        };
        (credential, again) = (Some(other), true);
    }
}

/// One attempt, written on the account.
async fn once(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: Bytes,
    passing: &mut Passing,
) -> Result<(Connection, Head, bool), Refusal> {
    let started = Instant::now();
    let (asked, early) = match pass(session, account, target, head, passing).await {
        Ok((connection, head, early)) => (Ok((Connection::H1(connection), head)), early),
        Err(Ended::Failed(failure)) => (Err(failure), false),
        Err(Ended::Refused(refusal)) => return Err(refusal),
    };
    match attempt::settle(account, target, asked, started.elapsed()) {
        Ok((connection, head)) => Ok((connection, head, early)),
        Err(failure) => Err(failure.refusal(&target.provider, account)),
    }
}

async fn pass(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: Bytes,
    passing: &mut Passing,
) -> Result<(H1, Head, bool), Ended> {
    let provider = &target.provider;
    let total_left = provider.timeouts.total.saturating_sub(account.started.elapsed());
    let upload = async {
        let mut connection = Box::pin(provider.pool.connect_h1(provider.timeouts.connect)).await?;
        let sent = if write(session, provider, &mut connection, head, false).await? {
            feed(session, account, provider, &mut connection, passing).await?
        } else {
            false
        };
        account.sent = sent.then(Instant::now);
        let limit = provider.timeouts.first_byte;
        let head = tokio::select! {
            biased;
            head = connection.read_head() => head?,
            () = session.gone() => return Err(Ended::Failed(Failure::ClientGone)),
            () = tokio::time::sleep(limit) => {
                return Err(Ended::Failed(Failure::FirstByteTimeout(limit)));
            }
        };
        Ok((connection, head, !sent))
    };
    match tokio::time::timeout(total_left, upload).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Ended::Failed(Failure::TotalTimeout)),
    }
}

/// Passes the body on, part by part. False when the provider answered before its end.
async fn feed(
    session: &mut Session<'_>,
    account: &mut Account,
    provider: &Provider,
    connection: &mut H1,
    passing: &mut Passing,
) -> Result<bool, Ended> {
    let chunked = passing.length.is_none();
    let limit = account.snapshot.limits.upload_body as u64;
    for part in passing.so_far() {
        if !write(session, provider, connection, part, chunked).await? {
            return Ok(false);
        }
    }
    while !passing.complete {
        let within = account.snapshot.timeouts.request_body;
        let part = tokio::select! {
            biased;
            answered = connection.answer_begins() => {
                answered?;
                // With the last byte the provider has all of it, and may answer before the end is read here.
                passing.complete = passing.is_said();
                return Ok(passing.complete);
            }
            part = tokio::time::timeout(within, session.read_body(0)) => part,
        };
        let part = part.unwrap_or(Err(Lost::Stalled)).map_err(|lost| Ended::Refused(read::lost(lost)))?;
        let Some(part) = part else {
            passing.complete = true;
            continue;
        };
        passing.take(&part);
        account.request_bytes += part.len() as u64;
        if account.request_bytes > limit {
            // The provider's connection ends without the body's end: it cannot take the beginning for the whole.
            return Err(Ended::Refused(too_large(limit)));
        }
        if !write(session, provider, connection, part, chunked).await? {
            return Ok(false);
        }
    }
    match passing.length {
        Some(length) if length != passing.said => {
            let message = "the body is shorter than its content-length says";
            Err(Ended::Refused(Refusal::new(Reason::BodyMalformed, message).closing()))
        }
        Some(_) => Ok(true),
        None => Ok(write(session, provider, connection, Bytes::from_static(b"0\r\n\r\n"), false).await?),
    }
}

/// Writes one part, as long as the client is there and the provider takes it. False when the provider has answered.
async fn write(
    session: &mut Session<'_>,
    provider: &Provider,
    connection: &mut H1,
    part: Bytes,
    as_chunk: bool,
) -> Result<bool, Ended> {
    if as_chunk && part.is_empty() {
        return Ok(true);
    }
    let writing = async {
        if !as_chunk {
            return connection.write_part(part).await;
        }
        let size = Bytes::from(format!("{:x}\r\n", part.len()));
        let mut end = BytesMut::new();
        end.put_slice(b"\r\n");
        Ok(connection.write_part(size).await?
            && connection.write_part(part).await?
            && connection.write_part(end.freeze()).await?)
    };
    tokio::select! {
        biased;
        written = tokio::time::timeout(provider.timeouts.idle, writing) => match written {
            Ok(written) => Ok(written?),
            Err(_elapsed) => {
                let stalled = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Fault::Write(stalled).into())
            }
        },
        () = session.gone() => Err(Ended::Failed(Failure::ClientGone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::Buffers;

    fn passing(budget: usize, repeatable: bool) -> Passing {
        let share = Buffers::new(budget).share();
        let stream =
            Stream { ahead: BytesMut::new(), length: None, field: None, complete: false, share, copy: None };
        Passing::new(stream, repeatable)
    }

    fn part(bytes: usize) -> Bytes {
        Bytes::from(vec![b'x'; bytes])
    }

    #[test]
    fn what_is_kept_to_be_sent_again_has_a_limit() {
        let mut body = passing(usize::MAX, true);
        body.take(&part(1));
        body.take(&part(REPEAT_BYTES_MAX - 1));
        assert!(body.can_repeat());
        assert_eq!((body.so_far().len(), body.so_far().len()), (2, 2), "as often as it is wanted");
        body.take(&part(1));
        assert!(!body.can_repeat() && body.so_far().is_empty());
        assert_eq!(body.said, REPEAT_BYTES_MAX as u64 + 1);
        body.take(&part(1));
        assert!(!body.can_repeat(), "a part in the middle is no beginning");
    }

    #[test]
    fn a_body_is_said_with_its_last_announced_byte() {
        let mut body = passing(usize::MAX, false);
        body.take(&part(3));
        assert!(!body.is_said(), "where no length was announced, only the end tells");
        body.length = Some(5);
        body.take(&part(1));
        assert!(!body.is_said());
        body.take(&part(1));
        assert!(body.is_said());
        body.take(&part(1));
        assert!(!body.is_said(), "more than was announced is at fault");
    }

    #[test]
    fn nothing_is_kept_beyond_the_budget_or_in_vain() {
        let mut body = passing(10, true);
        body.take(&part(10));
        assert!(body.can_repeat());
        body.take(&part(1));
        assert!(!body.can_repeat());
        let mut body = passing(usize::MAX, false);
        assert!(!body.can_repeat() && body.so_far().is_empty() && body.kept.is_none());
    }
}
