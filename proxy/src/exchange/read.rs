//! Step 3: the body, whole, within limits. And what of it routing needs.

use super::identify::Identified;
use super::{Account, coding};
use crate::buffers::Share;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use bytes::{Bytes, BytesMut};
use http::header;
use narrows_ledger::key::KeyEntry;
use narrows_llm::Dialect;
use narrows_llm::endpoint::Operation;
use narrows_policy::Reason;
use pingora_core::protocols::http::ServerSession as Session;
use std::sync::Arc;

/// Room reserved at first for a body of unknown length, in bytes.
const FIRST_ROOM: usize = 64 * 1024;

/// A request as it was read.
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) path_model: Option<Arc<str>>,
    pub(crate) path_stream: Option<bool>,
    pub(crate) key: Option<Arc<KeyEntry>>,
    pub(crate) own_credential: bool,
    pub(crate) body: Body,
}

/// A buffered body and its share of the budget.
pub(crate) struct Body {
    /// As the client sent it.
    pub(crate) wire: Bytes,
    /// Its text; the same bytes unless the client compressed it.
    pub(crate) text: Bytes,
    /// Whether `wire` is compressed.
    pub(crate) compressed: bool,
    /// Held until the body is released.
    pub(crate) share: Share,
}

/// Reads the body.
pub(crate) async fn read(
    gateway: &Gateway,
    session: &mut Session,
    account: &mut Account,
    identified: Identified,
) -> Result<Request, Refusal> {
    let Identified { received, key, own_credential } = identified;
    let limit = account.snapshot.limits.request_body;
    let mut share = gateway.buffers.share();
    let wire = if session.is_body_empty() {
        Bytes::new()
    } else {
        let within = account.snapshot.timeouts.request_body;
        match tokio::time::timeout(within, collect(session, limit, &mut share)).await {
            Ok(wire) => wire?,
            Err(_elapsed) => {
                let message = format!("the body did not arrive within {} seconds", within.as_secs());
                return Err(Refusal::new(Reason::ClientTimeout, message).closing());
            }
        }
    };
    account.request_bytes = wire.len() as u64;
    let body = decode(session, wire, limit, share)?;
    Ok(Request {
        operation: received.operation,
        dialect: received.dialect,
        prefix: received.prefix,
        path_model: received.model,
        path_stream: received.stream,
        key,
        own_credential,
        body,
    })
}

async fn collect(session: &mut Session, limit: usize, share: &mut Share) -> Result<Bytes, Refusal> {
    let head = session.req_header();
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(too_large(limit));
    }
    if !share.grow_to(length.unwrap_or(FIRST_ROOM.min(limit))) {
        return Err(buffers_full());
    }
    if head
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        session.write_continue_response().await.map_err(|_error| gone())?;
    }
    let Some(first) = chunk(session).await? else { return Ok(Bytes::new()) };
    // Small bodies come whole, and need no copy.
    if length == Some(first.len()) {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(length.unwrap_or(2 * first.len()));
    body.extend_from_slice(&first);
    drop(first);
    while let Some(more) = chunk(session).await? {
        let total = body.len() + more.len();
        if total > limit {
            return Err(too_large(limit));
        }
        if !share.grow_to(total) {
            return Err(buffers_full());
        }
        body.extend_from_slice(&more);
    }
    if body.len() > limit {
        return Err(too_large(limit));
    }
    Ok(body.freeze())
}

async fn chunk(session: &mut Session) -> Result<Option<Bytes>, Refusal> {
    match session.read_request_body().await {
        Ok(chunk) => Ok(chunk),
        Err(error) if matches!(error.etype, pingora_error::ErrorType::ReadTimedout) => {
            Err(Refusal::new(Reason::ClientTimeout, "the body stopped arriving").closing())
        }
        Err(_error) => Err(gone()),
    }
}

fn gone() -> Refusal {
    Refusal::new(Reason::ClientGone, "the client closed the connection before its body was complete")
}

fn too_large(limit: usize) -> Refusal {
    let message =
        format!("the body is larger than the gateway's limit of {limit} bytes (limits.request_body)");
    Refusal::new(Reason::BodyTooLarge, message)
}

fn buffers_full() -> Refusal {
    Refusal::new(
        Reason::BuffersFull,
        "the gateway holds as many buffered bodies as it may; try again shortly",
    )
}

/// Undoes a compression that we know, to route by the body; the compressed bytes are kept to be passed on.
fn decode(session: &Session, wire: Bytes, limit: usize, mut share: Share) -> Result<Body, Refusal> {
    let encoding = session.req_header().headers.get(header::CONTENT_ENCODING);
    let Some(encoding) = encoding.filter(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) else {
        return Ok(Body { text: wire.clone(), wire, compressed: false, share });
    };
    let text = coding::decode_body(encoding.as_bytes(), &wire, limit).map_err(|fault| match fault {
        coding::DecodeFault::Unknown => Refusal::new(
            Reason::BodyEncoding,
            "the gateway reads bodies with content-encoding gzip, deflate, br, zstd or none",
        ),
        coding::DecodeFault::TooLarge => too_large(limit),
        coding::DecodeFault::Corrupt => Refusal::new(
            Reason::BodyMalformed,
            "the body cannot be decompressed as its content-encoding says",
        ),
    })?;
    if !share.grow_to(wire.len() + text.len()) {
        return Err(buffers_full());
    }
    Ok(Body { wire, text: text.into(), compressed: true, share })
}
