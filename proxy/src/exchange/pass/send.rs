//! The request on its way to the provider.

use super::find::Way;
use super::read::{Held, Stream, too_large};
use super::{Payload, Ready};
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
use http::Method;
use http::request::Parts;
use narrows_ledger::Object;
use narrows_llm::Family;
use narrows_llm::provider::Beside;
use narrows_llm::request::{self, Segments};
use narrows_policy::Reason;
use std::sync::Arc;
use std::time::Instant;

/// An accepted head, and the connection that its body follows on.
pub(super) struct Answered {
    pub(super) target: Target,
    pub(super) way: Way,
    pub(super) object: Option<Arc<Object>>,
    pub(super) connection: Connection,
    pub(super) head: Head,
    /// Whether the provider answered before it had the whole body: its connection is then of no more use.
    pub(super) early: bool,
}

/// How the body's end is told to the provider.
#[derive(Debug, Clone, Copy)]
enum Framing {
    /// There is none, and the method needs no word about it.
    None,
    Length(u64),
    Chunked,
}

/// What a request's head is made of.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) target: &'a Target,
    pub(super) way: &'a Way,
}

/// Sends the request and waits for the head.
pub(super) async fn send(
    session: &mut Session<'_>,
    account: &mut Account,
    ready: Ready,
) -> Result<Answered, Refusal> {
    let Ready { target, way, object, payload } = ready;
    let outgoing = Outgoing { target: &target, way: &way };
    let (connection, mut head, early) = match payload {
        Payload::Held(held) => {
            let (head, segments) = held_request(session.head(), &outgoing, held)?;
            let (connection, head) = attempt::ask(session, account, &target, &head, segments.parts()).await?;
            (connection, head, false)
        }
        Payload::Streams(stream) => {
            let framing = stream.length.map_or(Framing::Chunked, Framing::Length);
            let compressed = session.head().headers.contains_key(http::header::CONTENT_ENCODING);
            let head = head(session.head(), &outgoing, framing, compressed, None)?;
            tracing::debug!(exchange = %account.id_text(), "the body streams through and is not inspected");
            let started = Instant::now();
            let (asked, early) = match upload(session, account, &target, head, stream).await {
                Ok((connection, head, early)) => (Ok((Connection::H1(connection), head)), early),
                Err(Ended::Failed(failure)) => (Err(failure), false),
                Err(Ended::Refused(refusal)) => return Err(refusal),
            };
            let (connection, head) = attempt::conclude(account, &target, asked, started.elapsed())?;
            (connection, head, early)
        }
    };
    if way.family == Family::Gemini {
        head.fields = without_upload_address(head.fields);
    }
    Ok(Answered { target, way, object, connection, head, early })
}

/// The lines of an answer's fields without the address at which an upload would go on around the gateway.
fn without_upload_address(fields: Bytes) -> Bytes {
    let names = [&b"x-goog-upload-url:"[..], b"x-goog-upload-control-url:"];
    let leads = |line: &&[u8]| {
        names.iter().any(|name| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
    };
    let lines = || fields.split_inclusive(|byte| *byte == b'\n');
    if !lines().any(|line| leads(&line)) {
        return fields;
    }
    lines().filter(|line| !leads(line)).flatten().copied().collect()
}

/// The head of a request without a body, with another query than the client's.
pub(super) fn bare_request(client: &Parts, outgoing: &Outgoing<'_>, query: &str) -> Result<Bytes, Refusal> {
    head(client, outgoing, Framing::None, false, Some(query))
}

/// The head and body of a request that was held.
fn held_request(client: &Parts, outgoing: &Outgoing<'_>, held: Held) -> Result<(Bytes, Segments), Refusal> {
    let Held { body, edits, .. } = held;
    let (segments, compressed) = if edits.is_empty() {
        (Segments::from(body.wire), body.compressed)
    } else {
        let edited = request::apply(&body.text, edits).map_err(|fault| {
            Refusal::new(Reason::GatewayBug, format!("the body could not be edited: {fault}"))
        })?;
        (edited, false)
    };
    let framing = match outgoing.way.method {
        Method::GET | Method::DELETE if segments.is_empty() => Framing::None,
        _ => Framing::Length(segments.len() as u64),
    };
    Ok((head(client, outgoing, framing, compressed, None)?, segments))
}

/// The request's head as it goes on the wire.
fn head(
    client: &Parts,
    outgoing: &Outgoing<'_>,
    framing: Framing,
    compressed: bool,
    query: Option<&str>,
) -> Result<Bytes, Refusal> {
    let Outgoing { target, way } = *outgoing;
    let provider = &target.provider;
    let query = attempt::client_query(query.or(client.uri.query()), target.own_credential);
    let beside = Beside {
        family: way.family,
        path: &way.path,
        model: Some(&*target.model).filter(|model| !model.is_empty()),
        query: &query,
        api_version: provider.api_version.as_deref(),
    };
    let path = provider
        .targets
        .beside(&beside)
        .map_err(|fault| Refusal::new(Reason::DialectUnsupported, fault.to_string()))?;
    let mut wire = BytesMut::new();
    for part in [way.method.as_str(), " ", &path, " HTTP/1.1\r\n"] {
        wire.extend_from_slice(part.as_bytes());
    }
    wire.extend_from_slice(&provider.fixed_headers);
    let credential = provider.credential(target.dialect);
    attempt::put_client_headers(&mut wire, client, target, credential, compressed);
    wire.extend_from_slice(b"accept-encoding: identity\r\n");
    match framing {
        Framing::None => {}
        Framing::Length(length) => {
            wire.extend_from_slice(b"content-length: ");
            wire.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => wire.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    wire.extend_from_slice(b"\r\n");
    Ok(wire.freeze())
}

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

/// Sends a body while it arrives, over a connection of its own: what streams through cannot be sent a second time, so
/// it is not risked on one that may have been closed. What is held of the body is one part of it.
async fn upload(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: Bytes,
    stream: Stream,
) -> Result<(H1, Head, bool), Ended> {
    let provider = &target.provider;
    let total_left = provider.timeouts.total.saturating_sub(account.started.elapsed());
    let upload = async {
        let mut connection = Box::pin(provider.pool.connect_h1(provider.timeouts.connect)).await?;
        let sent = if write(session, provider, &mut connection, head, false).await? {
            feed(session, account, provider, &mut connection, stream).await?
        } else {
            false
        };
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
    stream: Stream,
) -> Result<bool, Ended> {
    let chunked = stream.length.is_none();
    let limit = account.snapshot.limits.upload_body as u64;
    let mut sent = stream.ahead.len() as u64;
    if !write(session, provider, connection, stream.ahead.freeze(), chunked).await? {
        return Ok(false);
    }
    drop(stream.share);
    let mut complete = stream.complete;
    while !complete {
        let within = account.snapshot.timeouts.request_body;
        let part = tokio::select! {
            biased;
            answered = connection.answer_begins() => {
                answered?;
                return Ok(false);
            }
            part = tokio::time::timeout(within, session.read_body(0)) => part,
        };
        let part = part.unwrap_or(Err(Lost::Stalled)).map_err(|lost| Ended::Refused(read::lost(lost)))?;
        let Some(part) = part else {
            complete = true;
            continue;
        };
        sent += part.len() as u64;
        account.request_bytes += part.len() as u64;
        if account.request_bytes > limit {
            // The provider's connection ends without the body's end: it cannot take the beginning for the whole.
            return Err(Ended::Refused(too_large(limit)));
        }
        if !write(session, provider, connection, part, chunked).await? {
            return Ok(false);
        }
    }
    match stream.length {
        Some(length) if length != sent => {
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

    #[test]
    fn the_address_of_an_upload_that_goes_on_does_not_reach_the_client() {
        let fields = Bytes::from_static(b"a: 1\r\nX-Goog-Upload-URL: https://x/?upload_id=1\r\nb: 2\r\n");
        assert_eq!(without_upload_address(fields), &b"a: 1\r\nb: 2\r\n"[..]);
        let fields = Bytes::from_static(b"x-goog-upload-status: final\r\nb: 2\r\n");
        assert_eq!(without_upload_address(fields.clone()), fields);
    }
}
