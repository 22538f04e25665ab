//! Step 7: ask the provider until a head is accepted. The client has seen nothing yet.

use super::account::{Account, micros};
use super::identify::carries_key;
use super::inspect::Inspected;
use super::route::Target;
use crate::downstream::{Session, takes_trailers};
use crate::respond::Refusal;
use crate::snapshot::Provider;
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use crate::upstream::head::Head;
use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use narrows_ledger::Attempt;
use narrows_llm::provider::Ask;
use narrows_policy::Reason;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An accepted head, and the connection that its body follows on.
pub(crate) struct Answered {
    pub(crate) target: Target,
    pub(crate) connection: Connection,
    pub(crate) head: Head,
}

/// Sends the request and waits for the head. The body is released when this returns.
pub(crate) async fn attempt(
    session: &mut Session<'_>,
    account: &mut Account,
    inspected: Inspected,
) -> Result<Answered, Refusal> {
    let Inspected { target, segments, compressed, share } = inspected;
    let provider = Arc::clone(&target.provider);
    let wire_head = request_head(session.head(), &target, segments.len(), compressed)?;
    let started = Instant::now();
    let asked = ask(session, account, &provider, &wire_head, segments.parts()).await;
    let waited = started.elapsed();
    account.upstream_wait_us += micros(waited);
    drop((segments, share));
    let (connection, head) = match asked {
        Ok(answer) => answer,
        Err(failure) => {
            note(account, &provider, None, failure.reason(), waited, false);
            account.take_prompt_if_asked(failure.may_be_billed());
            return Err(failure.refusal(&provider, account));
        }
    };
    let status = head.status.as_u16();
    let refused_us = matches!(status, 401 | 403)
        && !target.own_credential
        && provider.credential(target.dialect).is_some();
    let reason = match status {
        _ if refused_us => Reason::ProviderCredentialRefused,
        429 => Reason::ProviderRateLimited,
        400.. => Reason::ProviderError,
        _ => Reason::Completed,
    };
    note(account, &provider, Some(status), reason, waited, connection.reused());
    account.provider_request_id.clone_from(&head.request_id);
    if refused_us {
        // The provider's words can echo a part of our key, and a 401 makes clients throw valid keys away.
        tracing::warn!(provider = %provider.name, status, "the provider refused the gateway's credential");
        let message = format!(
            "{} refused the gateway's own credential with status {status}; an operator has to check api_key",
            provider.name
        );
        return Err(Refusal::new(reason, message));
    }
    Ok(Answered { target, connection, head })
}

fn note(
    account: &mut Account,
    provider: &Provider,
    status: Option<u16>,
    reason: Reason,
    waited: Duration,
    reused: bool,
) {
    let duration_us = micros(waited);
    account.attempts.push(Attempt {
        provider: Arc::clone(&provider.name),
        status,
        reason,
        duration_us,
        reused,
    });
}

/// Why no head came.
enum Failure {
    Upstream(Fault),
    FirstByteTimeout(Duration),
    TotalTimeout,
    ClientGone,
}

impl Failure {
    fn reason(&self) -> Reason {
        match self {
            Failure::Upstream(fault) => fault.reason(),
            Failure::FirstByteTimeout(_) => Reason::ProviderFirstByteTimeout,
            Failure::TotalTimeout => Reason::TotalTimeout,
            Failure::ClientGone => Reason::ClientGone,
        }
    }

    /// Whether the provider may be at work on the request: it was waited for, and did not say no.
    fn may_be_billed(&self) -> bool {
        !matches!(self, Failure::Upstream(_))
    }

    fn refusal(&self, provider: &Provider, account: &Account) -> Refusal {
        let name = &provider.name;
        let message = match self {
            Failure::Upstream(fault) => {
                tracing::warn!(provider = %name, exchange = %account.id_text(), "the provider failed: {fault}");
                format!("the provider {name} cannot be used: {fault}")
            }
            Failure::FirstByteTimeout(limit) => {
                format!("the provider {name} did not answer within {} seconds", limit.as_secs())
            }
            Failure::TotalTimeout => "the exchange took longer than timeouts.total allows".to_owned(),
            Failure::ClientGone => "the client is gone".to_owned(),
        };
        Refusal::new(self.reason(), message)
    }
}

/// One try, and a second one on a new connection when a pooled one turns out to have been closed before any byte
/// of an answer: the provider then cannot have begun to answer.
async fn ask(
    session: &mut Session<'_>,
    account: &Account,
    provider: &Provider,
    head: &Bytes,
    body: &[Bytes],
) -> Result<(Connection, Head), Failure> {
    let limit = provider.timeouts.first_byte;
    let total_left = provider.timeouts.total.saturating_sub(account.started.elapsed());
    let on_time = async {
        let mut connection = provider.pool.get().await?;
        match exchange_heads(&mut connection, head, body).await {
            Err(fault) if connection.may_repeat(&fault) => {
                let mut connection = Box::pin(provider.pool.connect()).await?;
                let answer = exchange_heads(&mut connection, head, body).await?;
                Ok((connection, answer))
            }
            Err(fault) => Err(fault),
            Ok(answer) => Ok((connection, answer)),
        }
    };
    tokio::select! {
        biased;
        outcome = on_time => outcome.map_err(Failure::Upstream),
        () = session.gone() => Err(Failure::ClientGone),
        () = tokio::time::sleep(limit.min(total_left)) => {
            Err(if total_left <= limit { Failure::TotalTimeout } else { Failure::FirstByteTimeout(limit) })
        }
    }
}

async fn exchange_heads(connection: &mut Connection, head: &Bytes, body: &[Bytes]) -> Result<Head, Fault> {
    connection.send(head, body).await?;
    connection.read_head().await
}

/// The request's head as it goes on the wire.
fn request_head(
    client: &Parts,
    target: &Target,
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
    let nominated = nominated(client);
    for (name, value) in &client.headers {
        if passes(name, value, target, compressed) && !nominated.iter().any(|hop| name == hop.as_str()) {
            put_header(&mut wire, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if let Some(credential) = provider.credential(target.dialect).filter(|_| !target.own_credential) {
        wire.reserve(credential.len());
        wire.put_slice(credential);
    }
    for field in provider.kind.default_headers(target.dialect) {
        if !client.headers.contains_key(field.name) {
            put_header(&mut wire, field.name.as_bytes(), field.value.as_bytes());
        }
    }
    if takes_trailers(&client.headers) {
        wire.reserve(TRAILERS_WELCOME.len());
        wire.put_slice(TRAILERS_WELCOME);
    }
    // A compressed answer could not be metered as it passes.
    wire.reserve(TAIL_ROOM);
    wire.put_slice(b"accept-encoding: identity\r\ncontent-length: ");
    wire.put_slice(itoa::Buffer::new().format(body_len).as_bytes());
    wire.put_slice(b"\r\n\r\n");
    Ok(wire.freeze())
}

/// What tells a provider that fields behind the body will be read (RFC 9110 §10.1.4).
const TRAILERS_WELCOME: &[u8] = b"te: trailers\r\nconnection: te\r\n";

/// Room for the last lines of a head, in bytes.
const TAIL_ROOM: usize = 96;

/// Room for a head, in bytes; it grows if needed.
const HEAD_ROOM: usize = 1024;

fn put_header(wire: &mut BytesMut, name: &[u8], value: &[u8]) {
    wire.reserve(name.len() + value.len() + 4);
    wire.put_slice(name);
    wire.put_slice(b": ");
    wire.put_slice(value);
    wire.put_slice(b"\r\n");
}

/// The client's query goes on as it is, without keys of ours, and without its own unless that may pass.
fn client_query(query: Option<&str>, own_credential: bool) -> Cow<'_, str> {
    let query = query.unwrap_or_default();
    let stays = |pair: &&str| (own_credential || !pair.starts_with("key=")) && !carries_key(pair.as_bytes());
    if query.split('&').all(|pair| stays(&pair)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(stays).collect::<Vec<_>>().join("&"))
}

/// Header names that `connection` makes hop-by-hop, beyond the usual words.
fn nominated(client: &Parts) -> Vec<String> {
    let values = client.headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let usual = |name: &&str| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("close");
    names.filter(usual).map(str::to_ascii_lowercase).collect()
}

/// Whether a header of the client goes to the provider. Everything does, except what belongs to this hop, what is
/// about the way to the gateway, and credentials.
fn passes(name: &HeaderName, value: &HeaderValue, target: &Target, compressed: bool) -> bool {
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
        "forwarded" | "x-real-ip" => false,
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
