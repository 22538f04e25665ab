//! A conversation over a WebSocket, for the paths of the route table that have one: authenticated and routed like
//! every exchange, then relayed in both directions, with the provider's events read for usage.
//!
//! It is one exchange with one record. The handshake passes through: the provider's own answer to it is the client's,
//! and a refusal of the provider is relayed with its body, so that a client can fall back as it would without us.

mod frames;
mod inspect;
mod meter;
mod pump;

use super::account::{Account, micros};
use super::attempt::{
    Answered, client_query, credential_refused, nominated, note, note_credential, other_credential, passes,
    put_header, refuses_us,
};
use super::identify::Identified;
use super::inspect::{Asked, begin};
use super::relay::{self, Ending};
use super::route::{Target, allow, check_prefix, in_use};
use crate::downstream::Session;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use crate::snapshot::{Found, Provider, Resolved};
use crate::upstream::Fault;
use crate::upstream::connection::Connection;
use crate::upstream::h1::H1;
use crate::upstream::head::Head;
use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, StatusCode, Version, header};
use narrows_llm::provider::Ask;
use narrows_policy::Reason;
use std::sync::Arc;
use std::time::Instant;

/// How a browser names its key: a subprotocol, for it can set no header.
pub(super) const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// Serves a request for a WebSocket.
pub(crate) async fn serve(
    gateway: &Gateway,
    session: &mut Session<'_>,
    account: &mut Account,
    identified: Identified,
) -> Result<Ending, Refusal> {
    check_upgrade(session)?;
    let (target, query) = route(session.head(), account, &identified)?;
    super::admit::check(gateway, account)?;
    // A conversation whose model only a message will name is admitted at its first message.
    let is_unadmitted = target.model.is_empty() && !account.snapshot.rules.is_empty();
    if !is_unadmitted {
        super::admit::hold(session, account, &super::admit::Want::conversation(&target)).await?;
    }
    account.streamed = true;
    if !account.snapshot.guard.is_idle() {
        let dialect = target.dialect.as_str();
        begin(account, &target, &Asked { dialect, models: &[], choice: None, stream: true })?;
        inspect::gate(account)?;
    }
    let (mut upstream, answer) = ask(session, account, &target, &query).await?;
    account.provider_request_id.clone_from(&answer.request_id);
    if answer.status != StatusCode::SWITCHING_PROTOCOLS {
        account.streamed = false;
        let answered = Answered { target, connection: Connection::H1(upstream), head: answer, early: None };
        return relay::relay(gateway, session, account, answered).await;
    }
    let restricted = identified.key.as_ref().filter(|key| key.is_restricted());
    let allows = restricted.map(|key| move |model: &str| key.allows_model(model));
    let settled = !target.model.is_empty();
    let pump = pump::Pump {
        target: &target,
        message_bytes_max: account.snapshot.limits.request_body,
        allows: allows.as_ref().map(|allows| allows as &(dyn Fn(&str) -> bool + Send + Sync)),
        settled,
        is_unadmitted,
        buffers: &gateway.buffers,
    };
    let _in_flight = account.stream_opened();
    account.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    let fields = account.name_fields(&answer);
    Ok(pump.run(session, account, &mut upstream, &fields).await)
}

/// Whether this is the first step of a WebSocket (RFC 6455 §4.2.1). Status 426 is the one after which clients fall
/// back to ordinary requests at once (Codex does).
fn check_upgrade(session: &mut Session<'_>) -> Result<(), Refusal> {
    let cause = if matches!(session, Session::H2(_)) {
        Some("WebSockets are served over HTTP/1.1 only")
    } else {
        let head = session.head();
        let asks = says(&head.headers, header::CONNECTION, "upgrade")
            && says(&head.headers, header::UPGRADE, "websocket")
            && head.headers.contains_key(header::SEC_WEBSOCKET_KEY)
            && head.headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
            && head.version == Version::HTTP_11;
        if !asks {
            Some("this path is a WebSocket; ask for an upgrade to one, version 13")
        } else if !session.has_no_body() {
            Some("a request for a WebSocket has no body")
        } else {
            None
        }
    };
    match cause {
        None => Ok(()),
        Some(cause) => Err(refuse(Reason::UpgradeRequired, cause)),
    }
}

fn refuse(reason: Reason, cause: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(reason, cause).with_header(header::UPGRADE, "websocket")
}

fn says(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(word))
}

/// Finds the provider: by the model in the query, by the path's prefix, or because it is the only one.
fn route(head: &Parts, account: &mut Account, identified: &Identified) -> Result<(Target, String), Refusal> {
    let (received, key) = (&identified.received, identified.key.as_deref());
    let prefix = received.prefix.as_deref();
    check_prefix(account, prefix)?;
    let query = head.uri.query().unwrap_or_default();
    let requested = model_in(query)?;
    let snapshot = Arc::clone(&account.snapshot);
    let resolved = match &requested {
        Some(model) => {
            super::route::refuse_key_as_name(model)?;
            account.model_requested = Some(Arc::from(model.as_str()));
            // A conversation stays with one provider: models with several targets are passed over.
            let Some(Found::One(resolved)) = snapshot.resolve(prefix, model, received.dialect, false) else {
                let message = format!("no provider serves the model {model:?}");
                return Err(Refusal::new(Reason::ModelUnknown, message));
            };
            allow(key, model, &resolved.model)?;
            resolved
        }
        None => Resolved { provider: unnamed(account, identified)?, model: Arc::from("") },
    };
    let provider = resolved.provider;
    if key.is_none() && prefix != Some(&*provider.name) {
        return Err(Refusal::new(Reason::KeyMissing, "this path is not served here without a virtual key"));
    }
    in_use(&provider)?;
    if !provider.realtime || !provider.kind.speaks(received.dialect) {
        let message = format!(
            "the provider {} is not configured for WebSockets (providers.{}.realtime: true); use ordinary requests",
            provider.name, provider.name
        );
        return Err(refuse(Reason::WebsocketNotServed, message));
    }
    account.provider = Some(Arc::clone(&provider));
    account.model_sent = requested.is_some().then(|| Arc::clone(&resolved.model));
    let own_credential = identified.own_credential && provider.client_credentials;
    let query = client_query(Some(query), own_credential);
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| match &requested {
        Some(requested) if pair.starts_with("model=") && **requested != *resolved.model => {
            format!("model={}", encode(&resolved.model))
        }
        _ => pair.to_owned(),
    });
    let query = query.collect::<Vec<_>>().join("&");
    let target = Target {
        operation: received.operation,
        dialect: received.dialect,
        model: resolved.model,
        stream: true,
        asks_for_usage: false,
        own_credential,
        provider,
        place: None,
    };
    Ok((target, query))
}

/// The provider of a request that names no model: that of its prefix, or the only one that serves WebSockets in this
/// dialect. The client's first message would name a model, but comes only after the handshake, whose answer has to be
/// the provider's.
fn unnamed(account: &Account, identified: &Identified) -> Result<Arc<Provider>, Refusal> {
    let received = &identified.received;
    if let Some(named) = received.prefix.as_deref().and_then(|name| account.snapshot.provider(name)) {
        return Ok(Arc::clone(named));
    }
    let serves = |provider: &&Arc<Provider>| provider.realtime && provider.kind.speaks(received.dialect);
    let all = || account.snapshot.providers().iter().filter(serves);
    let mut serving = all().filter(|provider| in_use(provider).is_ok());
    match (serving.next(), serving.next()) {
        (Some(only), None) => Ok(Arc::clone(only)),
        (None, _) => {
            all().try_for_each(|provider| in_use(provider))?;
            let cause = "no provider is configured for WebSockets in this dialect (providers.NAME.realtime: true); use \
                         ordinary requests";
            Err(refuse(Reason::WebsocketNotServed, cause))
        }
        (Some(_), Some(_)) => {
            let cause = "several providers serve WebSockets in this dialect; name one by its path prefix, /NAME/v1/…, or \
                         the model in the query";
            Err(refuse(Reason::WebsocketNotServed, cause))
        }
    }
}

/// The request as it goes to the provider: the client's, with our credential and without extensions, whose frames
/// could not be read.
fn request_head(
    client: &Parts,
    target: &Target,
    query: &str,
    credential: Option<&Bytes>,
) -> Result<Bytes, Refusal> {
    let provider = &target.provider;
    let ask = Ask {
        operation: target.operation,
        dialect: target.dialect,
        model: Some(&target.model).filter(|model| !model.is_empty()).map(|model| &**model),
        stream: true,
        query,
        api_version: provider.api_version.as_deref(),
    };
    let path = provider
        .targets
        .target(&ask)
        .map_err(|fault| refuse(Reason::WebsocketNotServed, fault.to_string()))?;
    let mut wire = BytesMut::with_capacity(1024 + path.len() + provider.fixed_headers.len());
    wire.put_slice(format!("GET {path} HTTP/1.1\r\n").as_bytes());
    wire.put_slice(&provider.fixed_headers);
    let hops = nominated(client);
    for (name, value) in &client.headers {
        let ours = *name == header::SEC_WEBSOCKET_EXTENSIONS || *name == header::SEC_WEBSOCKET_PROTOCOL;
        if !ours && passes(name, value, target, false) && !hops.iter().any(|hop| name == hop.as_str()) {
            put_header(&mut wire, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    let protocols = protocols(&client.headers).filter(|protocol| !protocol.starts_with(KEY_PROTOCOL));
    let protocols = protocols.collect::<Vec<_>>().join(", ");
    if !protocols.is_empty() && !super::identify::carries_key(protocols.as_bytes()) {
        put_header(&mut wire, b"sec-websocket-protocol", protocols.as_bytes());
    }
    if let Some(credential) = credential.filter(|_| !target.own_credential) {
        wire.reserve(credential.len());
        wire.put_slice(credential);
    }
    wire.reserve(64);
    wire.put_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    Ok(wire.freeze())
}

/// The subprotocols that a client offers.
pub(super) fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).map(str::trim)
}

/// Asks for the conversation; once more with another credential of ours, when the provider refuses the first and there is
/// one. A handshake has no body, so it can always be sent again.
async fn ask(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    query: &str,
) -> Result<(H1, Head), Refusal> {
    let mut credential = target.provider.credential(target.dialect);
    let head = |session: &Session<'_>, credential| request_head(session.head(), target, query, credential);
    let mut asked = ask_as(session, account, target, &head(session, credential)?).await?;
    if let Some(other) = other_credential(target, credential, &asked.1) {
        credential = Some(other);
        drop(asked);
        asked = ask_as(session, account, target, &head(session, credential)?).await?;
        note_credential(target, credential, &asked.1);
    }
    if refuses_us(target, &asked.1) {
        // Not a word of the provider's about our key, which it can echo a part of.
        return Err(credential_refused(target, &asked.1));
    }
    Ok(asked)
}

/// Sends the request on a connection of its own and reads the head of the answer.
async fn ask_as(
    session: &mut Session<'_>,
    account: &mut Account,
    target: &Target,
    head: &Bytes,
) -> Result<(H1, Head), Refusal> {
    let provider = &target.provider;
    let limit = provider.timeouts.first_byte;
    let started = Instant::now();
    let asked = async {
        let mut connection = provider.pool.connect_h1(provider.timeouts.connect).await?;
        connection.send(head, &[]).await?;
        let answer = connection.read_switch().await?;
        Ok::<_, Fault>((connection, answer))
    };
    let outcome = tokio::select! {
        biased;
        outcome = asked => outcome.map_err(|fault| {
            (fault.reason(), format!("the provider {} cannot be used: {fault}", provider.name))
        }),
        () = session.gone() => Err((Reason::ClientGone, "the client is gone".to_owned())),
        () = tokio::time::sleep(limit) => {
            let seconds = limit.as_secs();
            let message = format!("the provider {} did not answer within {seconds} seconds", provider.name);
            Err((Reason::ProviderFirstByteTimeout, message))
        }
    };
    let waited = started.elapsed();
    account.upstream_wait_us += micros(waited);
    match outcome {
        Ok((connection, answer)) => {
            let reason = match answer.status.as_u16() {
                _ if refuses_us(target, &answer) => Reason::ProviderCredentialRefused,
                429 => Reason::ProviderRateLimited,
                400.. => Reason::ProviderError,
                _ => Reason::Completed,
            };
            note(account, target, Some(answer.status.as_u16()), reason, waited, false);
            Ok((connection, answer))
        }
        Err((reason, message)) => {
            note(account, target, None, reason, waited, false);
            Err(Refusal::new(reason, message))
        }
    }
}

/// The model that a query names: one, in plain letters. All of the query goes on to the provider, so what it could read
/// otherwise is refused.
fn model_in(query: &str) -> Result<Option<String>, Refusal> {
    let ambiguous = |cause| Err(Refusal::new(Reason::HeadAmbiguous, cause));
    let mut named = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        decode(name).is_some_and(|name| name == "model").then_some((name, value))
    });
    match (named.next(), named.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => ambiguous("the query names more than one \"model\"; name one"),
        (Some((name, _)), None) if name != "model" => {
            ambiguous("the parameter \"model\" of the query is written with escapes; write it as it is")
        }
        (Some((_, value)), None) => match decode(value) {
            Some(model) => Ok(Some(model)),
            None => ambiguous("the parameter \"model\" of the query is empty or no name"),
        },
    }
}

/// A value of a query, percent-decoded; `None` if it is no name.
pub(super) fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => u8::from_str_radix(std::str::from_utf8(&[rest.next()?, rest.next()?]).ok()?, 16).ok()?,
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then_some(text)
}

/// As it stands in a query.
fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_names_one_model_in_one_way() {
        assert_eq!(model_in("").ok(), Some(None));
        assert_eq!(model_in("a=model&models=x").ok(), Some(None));
        assert_eq!(model_in("a=1&model=x%2Fy").ok(), Some(Some("x/y".to_owned())));
        for query in ["model=a&model=b", "model=a&%6dodel=b", "%6Dodel=a", "model=", "model", "model=%zz"] {
            assert!(model_in(query).is_err(), "{query}");
        }
    }

    proptest! {
        #[test]
        fn a_name_survives_a_query(name in "\\PC{1,40}") {
            prop_assert_eq!(decode(&encode(&name)), Some(name));
        }

        #[test]
        fn no_query_panics(text in "\\PC{0,60}") {
            let _ = decode(&text);
        }
    }
}
