//! The structural checks that rules name (`check = "jwt"`).
//!
//! A check sees the secret that a rule's expression captured and says whether it can be one. Published examples often
//! carry a wrong checksum, so no checksum refuses alone: a right one proves a token (GitHub, npm), what a checksum would
//! disprove is left to the shape where that is unmistakable (GitHub, npm, Cloudflare, GitLab), and encodings decide where the shape is common (JSON Web
//! Tokens, Base64 of keys and logins, Discord).

use super::{header, keys, password, randomness, vendor};

/// A structural check of a secret's bytes.
pub type Check = fn(&[u8]) -> bool;

/// Every check by its name in rule files.
pub const CHECKS: &[(&str, Check)] = &[
    ("aws-key-id", vendor::aws_key_id),
    ("base64-32-bytes", keys::base64_of_32_bytes),
    ("base64-64-bytes", keys::base64_of_64_bytes),
    ("base64-json", header::base64_json),
    ("base64-jwt", header::base64_jwt),
    ("base64-pem-private", keys::base64_pem_private),
    ("base64-text-secret", password::base64_text_secret),
    ("base64-userinfo", password::base64_userinfo),
    ("checksummed-token", vendor::checksummed_token),
    ("db-url-password", password::database_password),
    ("der-private-key", keys::der_private_key),
    ("discord-token", vendor::discord_token),
    ("jwt", header::jwt),
    ("key-open", keys::key_open),
    ("letters", randomness::letters),
    ("mnemonic", keys::mnemonic),
    ("opaque", randomness::opaque),
    ("opaque-mixed", randomness::opaque_mixed),
    ("opaque-strict", randomness::opaque_strict),
    ("opaque-tail", randomness::opaque_tail),
    ("password", password::password),
    ("password-strict", password::strict_password),
    ("pem", keys::pem),
    ("pem-open", keys::pem_open),
    ("token", randomness::token),
    ("url-password", password::url_password),
    ("userinfo", password::userinfo),
];

/// The check that rule files call `name`.
pub fn by_name(name: &str) -> Option<Check> {
    let at = CHECKS.binary_search_by_key(&name, |(known, _)| known).ok()?;
    CHECKS.get(at).map(|(_, check)| *check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_found() {
        assert!(CHECKS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, _) in CHECKS {
            assert!(by_name(name).is_some(), "{name}");
        }
        assert!(by_name("").is_none());
        assert!(by_name("no-such-check").is_none());
    }

    #[test]
    fn checks_are_total() {
        let edges: [&[u8]; 9] =
            [b"", b"\x00", b"\xff\xfe", b":", b"...", b"eyJ", b"=", b"-----BEGIN", &[b'a'; 20_000]];
        for (name, check) in CHECKS {
            for edge in edges {
                assert!(!check(edge), "{name} accepts {:?}", &edge[..edge.len().min(12)]);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn checks_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for (_, check) in CHECKS {
                let _ = check(&bytes);
            }
        }
    }
}
