//! The signature of our own webhook: HMAC-SHA256 over id, time and body, as Standard Webhooks 1.0 has it, so that
//! receivers can verify it with that project's libraries.
//!
//! The signed text is `{id}.{timestamp}.{body}`, the header `webhook-signature` is `v1,` and the base64 of its HMAC.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> (2026-11).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Header of the message's id.
pub const ID: &str = "webhook-id";
/// Header of the time, in seconds since the epoch.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// Header of the signature.
pub const SIGNATURE: &str = "webhook-signature";
/// Oldest message a receiver should accept, in seconds.
pub const TOLERANCE_SECONDS: u64 = 300;

/// The bytes of a secret: base64 behind `whsec_`, else the text itself.
///
/// # Errors
/// What follows `whsec_` is not base64.
pub fn key(secret: &str) -> Result<Vec<u8>, base64::DecodeError> {
    match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded),
        None => Ok(secret.as_bytes().to_vec()),
    }
}

/// The value of [`SIGNATURE`].
pub fn sign(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    format!("v1,{}", STANDARD.encode(code(key, id, timestamp, body).finalize().into_bytes()))
}

/// Whether one of a header's signatures is ours and the message is no older or newer than [`TOLERANCE_SECONDS`]. `now`
/// is in seconds since the epoch. The comparison takes the same time wherever the codes differ.
pub fn verify(key: &[u8], id: &str, timestamp: u64, body: &[u8], header: &str, now: u64) -> bool {
    if now.abs_diff(timestamp) > TOLERANCE_SECONDS {
        return false;
    }
    header.split(' ').filter_map(|one| one.strip_prefix("v1,")).any(|encoded| {
        let given = STANDARD.decode(encoded);
        given.is_ok_and(|given| code(key, id, timestamp, body).verify_slice(&given).is_ok())
    })
}

fn code(key: &[u8], id: &str, timestamp: u64, body: &[u8]) -> Hmac<Sha256> {
    let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of any length (RFC 2104, section 2)")
    };
    for part in [id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body] {
        code.update(part);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_764_000_000;

    #[test]
    fn the_code_is_the_hmac_of_id_time_and_body() {
        // Made with another implementation:
        // printf 'msg_1.1764000000.{"a":1}' | openssl dgst -sha256 -hmac key -binary | base64
        assert_eq!(
            sign(b"key", "msg_1", NOW, br#"{"a":1}"#),
            "v1,Ex1+/O8oLSPtA70Qgz5c371Pv/m0mFzV9AGqfm5ztO8="
        );
    }

    #[test]
    fn a_changed_message_or_an_old_one_is_refused() {
        let header = sign(b"key", "msg_1", NOW, b"body");
        let ok = |key: &[u8], id, at, body: &[u8], now| verify(key, id, at, body, &header, now);
        assert!(ok(b"key", "msg_1", NOW, b"body", NOW + TOLERANCE_SECONDS));
        assert!(!ok(b"key", "msg_1", NOW, b"body", NOW + TOLERANCE_SECONDS + 1));
        assert!(!ok(b"key", "msg_1", NOW, b"body", NOW - TOLERANCE_SECONDS - 1));
        assert!(!ok(b"kez", "msg_1", NOW, b"body", NOW));
        assert!(!ok(b"key", "msg_2", NOW, b"body", NOW));
        assert!(!ok(b"key", "msg_1", NOW + 1, b"body", NOW));
        assert!(!ok(b"key", "msg_1", NOW, b"bodz", NOW));
        assert!(verify(b"key", "msg_1", NOW, b"body", &format!("v1,AAAA v2,x {header}"), NOW));
        assert!(!verify(b"key", "msg_1", NOW, b"body", "", NOW));
        assert!(!verify(b"key", "msg_1", NOW, b"body", "v1,", NOW));
    }

    #[test]
    fn secrets_are_plain_or_base64() {
        assert_eq!(key("plain").unwrap(), b"plain");
        assert_eq!(key("whsec_a2V5").unwrap(), b"key");
        assert!(key("whsec_*").is_err());
    }
}
