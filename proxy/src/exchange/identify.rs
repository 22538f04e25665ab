//! Step 2: who calls. Nobody unknown makes us buffer a body or open a connection.

use super::Account;
use super::receive::Received;
use crate::downstream::Session;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use narrows_ledger::key::{KeyEntry, KeyFault};
use narrows_policy::Reason;
use std::sync::Arc;

/// The header in which a key travels beside the client's own provider credential.
pub(crate) const OWN_HEADER: HeaderName = HeaderName::from_static("x-narrows-api-key");
/// What every virtual key starts with.
pub(crate) const KEY_PREFIX: &str = "nrw_";

/// Headers in which clients send an API key, besides `authorization`.
pub(crate) const KEY_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];

/// A request whose caller is known.
pub(crate) struct Identified {
    pub(crate) received: Received,
    /// The key; `None` for a caller that a route lets in without one.
    pub(crate) key: Option<Arc<KeyEntry>>,
    /// Whether the client sent a credential of its own beside the key in `x-narrows-api-key`.
    pub(crate) own_credential: bool,
}

/// Finds the caller.
pub(crate) fn identify(
    gateway: &Gateway,
    session: &Session<'_>,
    account: &mut Account,
    received: Received,
) -> Result<Identified, Refusal> {
    let (key, own_credential) = caller(gateway, session, account, received.prefix.as_deref())?;
    Ok(Identified { received, key, own_credential })
}

/// The caller's key, if it needs one, and whether the client sent a credential of its own beside it.
pub(super) fn caller(
    gateway: &Gateway,
    session: &Session<'_>,
    account: &mut Account,
    prefix: Option<&str>,
) -> Result<(Option<Arc<KeyEntry>>, bool), Refusal> {
    let head = session.head();
    let mut presented = Presented::collect(&head.headers, head.uri.query())?;
    if account.is_conversation() {
        // Browsers can set no header on a WebSocket, and name the key as a subprotocol.
        for protocol in super::socket::protocols(&head.headers) {
            if let Some(key) = protocol.strip_prefix(super::socket::KEY_PROTOCOL) {
                presented.take(key, false)?;
            }
        }
    }
    if let Some(text) = presented.key {
        let keys = gateway.ledger.keys();
        let key = keys.verify(text, account.started_at_us).map_err(|fault| refuse_key(&fault))?;
        account.caller = Arc::clone(&key.caller);
        let own_credential = presented.in_own_header && presented.foreign;
        return Ok((Some(Arc::clone(key)), own_credential));
    }
    // Only a path that names its provider can be open to anybody: otherwise the body would have to be read to
    // learn whether the caller may send one.
    let open = prefix.and_then(|prefix| account.snapshot.anonymous(prefix));
    match open {
        Some(caller) => {
            account.caller = Arc::clone(caller);
            Ok((None, false))
        }
        None if presented.foreign => Err(Refusal::new(
            Reason::KeyUnknown,
            "the presented credential is not a virtual key of this gateway; virtual keys start with nrw_",
        )),
        None => Err(Refusal::new(
            Reason::KeyMissing,
            "no virtual key; send it where your SDK sends its API key (Authorization: Bearer, x-api-key, x-goog-api-key)",
        )),
    }
}

fn refuse_key(fault: &KeyFault) -> Refusal {
    let message = match fault {
        KeyFault::Malformed(cause) => format!("the virtual key is malformed: {cause}"),
        KeyFault::Unknown => "the virtual key is not known to this gateway".to_owned(),
        KeyFault::Disabled => "the virtual key is disabled".to_owned(),
        KeyFault::Expired => "the virtual key has expired".to_owned(),
    };
    Refusal::new(fault.reason(), message)
}

/// The credentials a request carries.
#[derive(Default)]
struct Presented<'a> {
    /// The virtual key.
    key: Option<&'a str>,
    /// Whether it came in [`OWN_HEADER`].
    in_own_header: bool,
    /// Whether there is a credential that is not a virtual key.
    foreign: bool,
}

impl<'a> Presented<'a> {
    fn collect(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Presented<'a>, Refusal> {
        let mut presented = Presented::default();
        for value in headers.get_all(OWN_HEADER) {
            presented.in_own_header = true;
            presented.take(value.to_str().unwrap_or_default().trim(), true)?;
        }
        for value in headers.get_all(header::AUTHORIZATION) {
            presented.take(bearer(value), false)?;
        }
        for name in &KEY_HEADERS {
            for value in headers.get_all(name) {
                presented.take(value.to_str().unwrap_or_default().trim(), false)?;
            }
        }
        for value in query.into_iter().flat_map(key_parameters) {
            presented.take(value, false)?;
        }
        Ok(presented)
    }

    fn take(&mut self, value: &'a str, ours: bool) -> Result<(), Refusal> {
        if !ours && !value.starts_with(KEY_PREFIX) {
            self.foreign |= !value.is_empty();
            return Ok(());
        }
        match self.key {
            Some(before) if before != value => {
                Err(Refusal::new(Reason::KeyConflict, "the request carries two different virtual keys"))
            }
            _ => {
                self.key = Some(value);
                Ok(())
            }
        }
    }
}

/// The token of an `authorization` header; another scheme than Bearer is a credential that is not ours.
fn bearer(value: &HeaderValue) -> &str {
    let text = value.to_str().unwrap_or("?").trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => text,
    }
}

/// The values of the query parameter `key`. A virtual key has no character that needs escaping.
fn key_parameters(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| pair.strip_prefix("key="))
}

/// Whether a header value carries a virtual key; such a value never goes upstream.
pub(crate) fn carries_key(value: &[u8]) -> bool {
    // By its rarest byte: values are short, and a general search spends more on getting ready than on searching.
    let Some((last, before)) = KEY_PREFIX.as_bytes().split_last() else { return false };
    memchr::memchr_iter(*last, value).any(|at| value.get(..at).is_some_and(|head| head.ends_with(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "nrw_abc";

    fn collect<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<Presented<'a>, Refusal> {
        Presented::collect(headers, query)
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_key_is_found_wherever_a_client_puts_it() {
        for pair in [
            ("authorization", "Bearer nrw_abc"),
            ("authorization", "bearer  nrw_abc "),
            ("x-api-key", KEY),
            ("x-goog-api-key", KEY),
            ("api-key", KEY),
            ("x-narrows-api-key", KEY),
        ] {
            assert_eq!(collect(&headers(&[pair]), None).unwrap().key, Some(KEY), "{pair:?}");
        }
        assert_eq!(collect(&HeaderMap::new(), Some("alt=sse&key=nrw_abc")).unwrap().key, Some(KEY));
    }

    #[test]
    fn the_same_key_twice_is_one_and_two_keys_are_refused() {
        let same = headers(&[("authorization", "Bearer nrw_abc"), ("x-api-key", "nrw_abc")]);
        assert_eq!(collect(&same, None).unwrap().key, Some(KEY));
        let two = headers(&[("authorization", "Bearer nrw_abc"), ("x-api-key", "nrw_abd")]);
        assert_eq!(collect(&two, None).err().map(|refusal| refusal.reason), Some(Reason::KeyConflict));
    }

    #[test]
    fn a_provider_credential_beside_our_header_is_the_clients_own() {
        let both = headers(&[("x-narrows-api-key", "nrw_abc"), ("authorization", "Bearer sk-ant-oat01")]);
        let presented = collect(&both, None).unwrap();
        assert!(presented.in_own_header && presented.foreign);
        assert!(!collect(&headers(&[("authorization", "Bearer nrw_abc")]), None).unwrap().foreign);
    }
}
