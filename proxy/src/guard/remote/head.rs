//! The head of a call: its fields, and what signs in.

use super::way::Way;
use super::{Failure, Guardrail};
use crate::config::guard::credential::Credential;
use bytes::Bytes;
use narrows_guard::remote::{Auth, Call, signature};
use narrows_llm::sign::sigv4;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who asks.
const USER_AGENT: &str = concat!("narrows/", env!("CARGO_PKG_VERSION"));

/// The head of a call as it stands on the wire. `since_epoch` is the time of the signature, where there is one.
pub(super) fn head(guardrail: &Guardrail, way: &Way, call: &Call) -> Result<Bytes, Failure> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    head_at(guardrail, way, call, since_epoch)
}

pub(super) fn head_at(
    guardrail: &Guardrail,
    way: &Way,
    call: &Call,
    since_epoch: Duration,
) -> Result<Bytes, Failure> {
    let target = format!("{}{}", way.prefix, call.path);
    if !target.starts_with('/') || !target.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Err(Failure::Unsendable("its path is none"));
    }
    let mut fields: Vec<(&str, String)> = vec![("host", way.authority.clone())];
    fields.extend(call.headers.iter().map(|(name, value)| (*name, value.clone())));
    let credential = guardrail.credential(&call.auth)?;
    let signed = match (&call.auth, credential) {
        (Auth::Signature | Auth::SigV4 { .. }, None) => {
            return Err(Failure::Unsendable("there is nothing to sign it with"));
        }
        (Auth::None, _) | (_, None) => Vec::new(),
        (Auth::Bearer, Some(Credential::Token(token))) => vec![("authorization", format!("Bearer {token}"))],
        (Auth::Header(name), Some(Credential::Token(token))) => vec![(*name, token.to_owned())],
        (Auth::SigV4 { service, region }, Some(Credential::AccessKey { id, secret, session_token })) => {
            let credentials =
                sigv4::Credentials { access_key_id: id, secret_access_key: secret, session_token };
            let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let request =
                sigv4::Request { method: call.method, target: &target, headers: &headers, body: &call.body };
            sigv4::sign(&credentials, &sigv4::Scope { region, service }, since_epoch.as_secs(), &request)
        }
        (Auth::Signature, Some(Credential::Signing(key))) => {
            let id = uuid::Uuid::from_u128(crate::id::uuid_v7(since_epoch)).hyphenated().to_string();
            let at = since_epoch.as_secs();
            let signature = signature::sign(&key, &id, at, &call.body);
            vec![
                (signature::ID, id),
                (signature::TIMESTAMP, at.to_string()),
                (signature::SIGNATURE, signature),
            ]
        }
        _ => return Err(Failure::Unsendable("its credential is of another kind")),
    };
    fields.extend(signed);
    written(call, &target, &fields)
}

fn written(call: &Call, target: &str, fields: &[(&str, String)]) -> Result<Bytes, Failure> {
    let mut head = format!("{} {target} HTTP/1.1\r\nuser-agent: {USER_AGENT}\r\n", call.method);
    head.push_str(&format!("accept-encoding: identity\r\ncontent-length: {}\r\n", call.body.len()));
    for (name, value) in fields {
        // A name of a user or a model must not begin another line.
        if value.contains(|character: char| character.is_ascii_control() && character != '\t') {
            return Err(Failure::Unsendable("a header's value has control characters"));
        }
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Ok(head.into())
}
