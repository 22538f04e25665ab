//! The signature of a webhook: HMAC-SHA256 (RFC 2104) over the time, a dot and the body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header with the time of the signature, in seconds since the epoch.
pub(crate) const TIMESTAMP: &str = "x-narrows-timestamp";
/// The header with the signature, `v1=` and 64 hexadecimal digits.
pub(crate) const SIGNATURE: &str = "x-narrows-signature";
/// The header with the id of the alert, the same for every try.
pub(crate) const DELIVERY: &str = "x-narrows-delivery";

/// The value of [`SIGNATURE`] for a body that is sent at this time.
pub(crate) fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    digest.iter().fold(String::from("v1="), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_documentation() {
        // The example of docs/alerts.md; computed with `printf '%s' … | openssl dgst -sha256 -hmac …`.
        let page = include_str!("../../../docs/alerts.md");
        let of = |name: &str| {
            let (_, rest) = page.split_once(&format!("<!-- {name} -->\n```text\n")).unwrap();
            rest.split_once("\n```").unwrap().0.to_owned()
        };
        let (secret, timestamp, body) = (of("secret"), of("timestamp"), of("body"));
        assert_eq!(signature(&secret, &timestamp, body.as_bytes()), of("signature"));
        assert_ne!(signature(&secret, "1769864401", body.as_bytes()), of("signature"));
        assert_ne!(signature(&secret, &timestamp, &body.as_bytes()[1..]), of("signature"));
    }
}
