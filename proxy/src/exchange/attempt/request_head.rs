//! The head of a request as a provider gets it.

use crate::downstream::takes_trailers;
use crate::exchange::identify::carries_key;
use crate::exchange::route::Target;
use crate::respond::Refusal;
use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use narrows_llm::provider::Ask;
use narrows_policy::Reason;
use std::borrow::Cow;

/// The request's head as it goes on the wire.
///
/// `credential` is our header line for this provider; it is left out when the client's own passes instead.
pub(super) fn request_head(
    client: &Parts,
    target: &Target,
    credential: Option<&Bytes>,
    body_len: usize,
    compressed: bool,
) -> Result<Bytes, Refusal> {
    let provider = &target.provider;
    let query = client_query(client.uri.query(), target.own_credential);
    let ask = Ask {
        operation: target.operation,
        dialect: target.dialect,
        model: Some(&target.model),
        stream: target.stream,
        query: &query,
        api_version: provider.api_version.as_deref(),
    };
    let path = provider
        .targets
        .target(&ask)
        .map_err(|fault| Refusal::new(Reason::DialectUnsupported, fault.to_string()))?;
    let mut wire = BytesMut::with_capacity(HEAD_ROOM);
    wire.put_slice(b"POST ");
    wire.reserve(path.len());
    wire.put_slice(path.as_bytes());
    wire.reserve(provider.fixed_headers.len() + 16);
    wire.put_slice(b" HTTP/1.1\r\n");
    wire.put_slice(&provider.fixed_headers);
    put_client_headers(&mut wire, client, target, credential, compressed);
    // A compressed answer could not be metered as it passes.
    wire.reserve(TAIL_ROOM);
    wire.put_slice(b"accept-encoding: identity\r\ncontent-length: ");
    wire.put_slice(itoa::Buffer::new().format(body_len).as_bytes());
    wire.put_slice(b"\r\n\r\n");
    Ok(wire.freeze())
}

/// What of the client's headers passes, our credential, and what the provider demands beside.
pub(in crate::exchange) fn put_client_headers(
    wire: &mut BytesMut,
    client: &Parts,
    target: &Target,
    credential: Option<&Bytes>,
    compressed: bool,
) {
    let nominated = nominated(client);
    for (name, value) in &client.headers {
        if passes(name, value, target, compressed) && !nominated.iter().any(|hop| name == hop.as_str()) {
            put_header(wire, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if let Some(credential) = credential.filter(|_| !target.own_credential) {
        wire.reserve(credential.len());
        wire.put_slice(credential);
    }
    for field in target.provider.kind.default_headers(target.dialect) {
        if !client.headers.contains_key(field.name) {
            put_header(wire, field.name.as_bytes(), field.value.as_bytes());
        }
    }
    if takes_trailers(&client.headers) {
        wire.reserve(TRAILERS_WELCOME.len());
        wire.put_slice(TRAILERS_WELCOME);
    }
}

/// What tells a provider that fields behind the body will be read (RFC 9110 §10.1.4).
const TRAILERS_WELCOME: &[u8] = b"te: trailers\r\nconnection: te\r\n";

/// Room for the last lines of a head, in bytes.
const TAIL_ROOM: usize = 96;

/// Room for a head, in bytes; it grows if needed.
const HEAD_ROOM: usize = 1024;

pub(in crate::exchange) fn put_header(wire: &mut BytesMut, name: &[u8], value: &[u8]) {
    wire.reserve(name.len() + value.len() + 4);
    wire.put_slice(name);
    wire.put_slice(b": ");
    wire.put_slice(value);
    wire.put_slice(b"\r\n");
}

/// The client's query goes on as it is, without keys of ours, and without its own unless that may pass.
pub(in crate::exchange) fn client_query(query: Option<&str>, own_credential: bool) -> Cow<'_, str> {
    let query = query.unwrap_or_default();
    let stays = |pair: &&str| (own_credential || !pair.starts_with("key=")) && !carries_key(pair.as_bytes());
    if query.split('&').all(|pair| stays(&pair)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(stays).collect::<Vec<_>>().join("&"))
}

/// Header names that `connection` makes hop-by-hop, beyond the usual words.
pub(in crate::exchange) fn nominated(client: &Parts) -> Vec<String> {
    let values = client.headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let usual = |name: &&str| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close");
    names.filter(usual).map(str::to_ascii_lowercase).collect()
}

/// Whether a header of the client goes to the provider. Everything does, except what belongs to this hop, what is
/// about the way to the gateway, and credentials.
pub(in crate::exchange) fn passes(
    name: &HeaderName,
    value: &HeaderValue,
    target: &Target,
    compressed: bool,
) -> bool {
    if target.provider.fixed_names.contains(name) {
        return false;
    }
    let goes = match name.as_str() {
        // This hop's own.
        "host"
        | "content-length"
        | "accept-encoding"
        | "connection"
        | "transfer-encoding"
        | "te"
        | "trailer"
        | "upgrade"
        | "expect"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authorization"
        | "http2-settings" => false,
        // About the client's network, which is nobody's business out there.
        "forwarded"
        | "x-real-ip"
        | "x-client-ip"
        | "x-cluster-client-ip"
        | "true-client-ip"
        | "cf-connecting-ip"
        | "fastly-client-ip"
        | "x-envoy-external-address" => false,
        // Some providers' frameworks take another method from these than the one that was let pass.
        "x-http-method-override" | "x-http-method" | "x-method-override" => false,
        "content-encoding" => compressed,
        // Credentials. A client's own one passes in the header of the provider's kind, and as a bearer token:
        // subscription logins use that with every provider.
        "authorization" => target.own_credential,
        word @ ("x-api-key" | "x-goog-api-key" | "api-key") => {
            target.own_credential && word == target.provider.kind.auth(target.dialect).header()
        }
        "cookie" => false,
        word => !word.starts_with("x-forwarded-") && !word.starts_with("x-narrows-"),
    };
    // No value that carries a key of ours ever goes upstream, wherever a client may have put it.
    goes && !carries_key(value.as_bytes())
}
