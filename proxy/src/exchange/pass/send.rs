//! The request on its way to the provider.

use super::find::Way;
use super::read::Held;
use super::{Payload, Ready, upload};
use crate::buffers::Share;
use crate::downstream::Session;
use crate::exchange::account::Account;
use crate::exchange::attempt;
use crate::exchange::route::Target;
use crate::respond::Refusal;
use crate::upstream::connection::Connection;
use crate::upstream::head::Head;
use bytes::{Bytes, BytesMut};
use http::Method;
use http::request::Parts;
use narrows_ledger::Object;
use narrows_llm::Family;
use narrows_llm::provider::Beside;
use narrows_llm::request::{self, Segments};
use narrows_policy::Reason;
use std::sync::Arc;

/// An accepted head, and the connection that its body follows on.
pub(super) struct Answered {
    pub(super) target: Target,
    pub(super) way: Way,
    pub(super) object: Option<Arc<Object>>,
    pub(super) connection: Connection,
    pub(super) head: Head,
    /// Whether the provider answered before it had the whole body: its connection is then of no more use.
    pub(super) early: bool,
    /// Room for as much of the answer as has to be known, where that was set aside.
    pub(super) share: Option<Share>,
}

/// How the body's end is told to the provider.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
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
    let Ready { target, way, object, payload, share } = ready;
    let outgoing = Outgoing { target: &target, way: &way };
    let (connection, mut head, early) = match payload {
        Payload::Held(held) => {
            let (segments, compressed) = held_body(held)?;
            let framing = match way.method {
                Method::GET | Method::DELETE if segments.is_empty() => Framing::None,
                _ => Framing::Length(segments.len() as u64),
            };
            let head = |client: &Parts, credential: Option<&Bytes>| {
                outgoing.head(client, framing, compressed, credential, None)
            };
            let (connection, head) = attempt::ask(session, account, &target, head, segments.parts()).await?;
            (connection, head, false)
        }
        Payload::Streams(stream) => {
            tracing::debug!(exchange = %account.id_text(), "the body streams through");
            upload::upload(session, account, &outgoing, stream).await?
        }
    };
    if way.family == Family::Gemini {
        head.fields = without_upload_address(head.fields);
    }
    Ok(Answered { target, way, object, connection, head, early, share })
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
pub(super) fn bare_request(
    client: &Parts,
    outgoing: &Outgoing<'_>,
    credential: Option<&Bytes>,
    query: &str,
) -> Result<Bytes, Refusal> {
    outgoing.head(client, Framing::None, false, credential, Some(query))
}

/// The body of a request that was held, and whether it is compressed.
fn held_body(held: Held) -> Result<(Segments, bool), Refusal> {
    let Held { body, edits, .. } = held;
    if edits.is_empty() {
        return Ok((Segments::from(body.wire), body.compressed));
    }
    let edited = request::apply(&body.text, edits).map_err(|fault| {
        Refusal::new(Reason::GatewayBug, format!("the body could not be edited: {fault}"))
    })?;
    Ok((edited, false))
}

impl Outgoing<'_> {
    /// The request's head as it goes on the wire, with our header line for the provider.
    pub(super) fn head(
        &self,
        client: &Parts,
        framing: Framing,
        compressed: bool,
        credential: Option<&Bytes>,
        query: Option<&str>,
    ) -> Result<Bytes, Refusal> {
        let Outgoing { target, way } = *self;
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
