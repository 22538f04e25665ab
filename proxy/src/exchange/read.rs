//! Step 3: the body, whole, within limits. And what of it routing needs.

use super::identify::Identified;
use super::{Account, coding};
use crate::buffers::Share;
use crate::downstream::{Lost, Session};
use crate::gateway::Gateway;
use crate::respond::Refusal;
use bytes::{Bytes, BytesMut};
use http::header;
use narrows_ledger::key::KeyEntry;
use narrows_llm::Dialect;
use narrows_llm::endpoint::Operation;
use narrows_policy::Reason;
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
    /// The provider that keeps a stored object which the body refers to.
    pub(crate) keeper: Option<Arc<str>>,
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
    session: &mut Session<'_>,
    account: &mut Account,
    identified: Identified,
) -> Result<Request, Refusal> {
    let Identified { received, key, own_credential } = identified;
    let body = whole(gateway, session, account).await?;
    Ok(Request {
        operation: received.operation,
        dialect: received.dialect,
        prefix: received.prefix,
        path_model: received.model,
        path_stream: received.stream,
        key,
        own_credential,
        keeper: None,
        body,
    })
}

/// The body, whole, as far as the limits go.
pub(super) async fn whole(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
) -> Result<Body, Refusal> {
    let limit = account.snapshot.limits.request_body;
    let mut share = gateway.buffers.share();
    let wire = if session.has_no_body() {
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
    decode(session, wire, limit, share)
}

async fn collect(session: &mut Session<'_>, limit: usize, share: &mut Share) -> Result<Bytes, Refusal> {
    let length = session.body_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    if !share.grow_to(length.unwrap_or(FIRST_ROOM.min(limit))) {
        return Err(buffers_full());
    }
    session.invite_body().await.map_err(lost)?;
    let room = length.unwrap_or(0);
    let Some(first) = session.read_body(room).await.map_err(lost)? else { return Ok(Bytes::new()) };
    // A body of known length comes whole over HTTP/1, and needs no copy.
    if length == Some(first.len()) {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(length.unwrap_or(2 * first.len()));
    body.extend_from_slice(&first);
    drop(first);
    while let Some(more) = session.read_body(room).await.map_err(lost)? {
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

pub(super) fn lost(lost: Lost) -> Refusal {
    match lost {
        Lost::Gone => {
            Refusal::new(Reason::ClientGone, "the client closed the connection before its body was complete")
        }
        Lost::Stalled => Refusal::new(Reason::ClientTimeout, "the body stopped arriving").closing(),
        Lost::Malformed => {
            Refusal::new(Reason::BodyMalformed, "the body is not framed as transfer-encoding: chunked says")
                .closing()
        }
    }
}

fn too_large(limit: usize) -> Refusal {
    let message =
        format!("the body is larger than the gateway's limit of {limit} bytes (limits.request_body)");
    Refusal::new(Reason::BodyTooLarge, message)
}

pub(super) fn buffers_full() -> Refusal {
    Refusal::new(
        Reason::BuffersFull,
        "the gateway holds as many buffered bodies as it may; try again shortly",
    )
}

/// Undoes a compression that we know, to route by the body; the compressed bytes are kept to be passed on.
fn decode(session: &Session<'_>, wire: Bytes, limit: usize, mut share: Share) -> Result<Body, Refusal> {
    let encoding = session.head().headers.get(header::CONTENT_ENCODING);
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
