//! Key material: framing, lengths, DER heads.

use super::base64::decode;
use super::placeholder;
use super::randomness::is_wordlike;

/// Fewest Base64 characters of a key's body: an Ed25519 key in PKCS#8 has 64.
const MIN_BODY_CHARS: usize = 40;

/// Fewest Base64 characters of the body of a key whose end is missing.
const MIN_OPEN_BODY_CHARS: usize = 64;

/// Base64 of 32 bytes.
pub(super) fn base64_of_32_bytes(value: &[u8]) -> bool {
    !placeholder::is_placeholder(value) && decode(value).is_some_and(|bytes| bytes.len() == 32)
}

/// Base64 of 64 bytes.
pub(super) fn base64_of_64_bytes(value: &[u8]) -> bool {
    !placeholder::is_placeholder(value) && decode(value).is_some_and(|bytes| bytes.len() == 64)
}

/// The longest stretch of Base64 lines in an armoured block, in Base64 characters, and whether a line holds dots that
/// stand for left out text. Line breaks may be real, or escaped as in JSON; lines may carry numbers and quotes in front.
fn body_chars(block: &[u8]) -> usize {
    let mut total = 0;
    for line in
        block.split(|byte| matches!(byte, b'\n' | b'\r' | b'\\' | b'"' | b'\'' | b' ' | b'\t' | b',' | b'|'))
    {
        let line = line.strip_prefix(b"n").filter(|rest| rest.len() >= MIN_LINE_CHARS).unwrap_or(line);
        let is_body =
            line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        if line.len() >= MIN_LINE_CHARS && is_body {
            total += line.len();
        }
    }
    total
}

/// Fewest characters of a line that counts as body: the last line of a key may be shorter and is not missed.
const MIN_LINE_CHARS: usize = 16;

/// What follows the word `KEY` of the opening line.
fn after_opening(block: &[u8]) -> &[u8] {
    memchr::memmem::find(block, b"KEY").and_then(|at| block.get(at + 3..)).unwrap_or_default()
}

/// A whole armoured private key: a body of Base64 between the lines.
pub(super) fn pem(value: &[u8]) -> bool {
    let rest = after_opening(value);
    let body = memchr::memmem::rfind(rest, b"END ").and_then(|end| rest.get(..end)).unwrap_or_default();
    body_chars(body) >= MIN_BODY_CHARS && !is_dummy_body(body)
}

/// An armoured private key without its end.
pub(super) fn pem_open(value: &[u8]) -> bool {
    let body = after_opening(value);
    body_chars(body) >= MIN_OPEN_BODY_CHARS && !is_dummy_body(body)
}

/// A key in a frame of another kind, without its end.
pub(super) fn key_open(value: &[u8]) -> bool {
    let frames = [&b"PuTTY-User-Key-File-"[..], b"-----BEGIN OpenVPN "];
    let framed = frames.iter().any(|frame| value.starts_with(frame));
    framed && body_chars(value) >= MIN_OPEN_BODY_CHARS && !is_dummy_body(value)
}

fn is_dummy_body(body: &[u8]) -> bool {
    [&b"..."[..], b"xxxxxxxx", b"EXAMPLE"].iter().any(|mark| memchr::memmem::find(body, mark).is_some())
}

/// Base64 of an armoured private key.
pub(super) fn base64_pem_private(value: &[u8]) -> bool {
    decode(value)
        .is_some_and(|inner| memchr::memmem::find(&inner[..inner.len().min(80)], b"PRIVATE KEY").is_some())
}

/// Base64 of the head of an RSA private key (RFC 8017, A.1.2) or a PKCS#8 key (RFC 5958): a long sequence that starts
/// with the version 0, then a long integer or an algorithm.
pub(super) fn der_private_key(value: &[u8]) -> bool {
    let Some(der) = decode(value) else { return false };
    let [0x30, length, rest @ ..] = &der[..] else { return false };
    let skip = match length {
        0x81 => 1,
        0x82 => 2,
        _ => return false,
    };
    matches!(rest.get(skip..), Some([0x02, 0x01, 0x00, 0x02 | 0x30, ..]))
}

/// A recovery phrase: a dozen words or more, most of them different, that are letters only.
pub(super) fn mnemonic(value: &[u8]) -> bool {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').collect();
    let different: std::collections::BTreeSet<&&[u8]> = words.iter().collect();
    matches!(words.len(), 12 | 15 | 18 | 21 | 24)
        && words.iter().all(|word| word.len() >= 3 && word.iter().all(u8::is_ascii_lowercase))
        && different.len() * 10 >= words.len() * 8
        && is_wordlike(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_a_body_is_no_key() {
        let frame = |body: &str| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----");
        let line = "q7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9LfRb2sYhq7Zp0WxkV3tGmJd9";
        assert!(pem(frame(line).as_bytes()));
        assert!(pem(frame(line).replace('\n', "\\n").as_bytes()));
        assert!(!pem(frame("...").as_bytes()));
        assert!(!pem(frame("your key here").as_bytes()));
        assert!(!pem(frame(&line[..MIN_BODY_CHARS - 1]).as_bytes()));
        assert!(pem(frame(&line[..MIN_BODY_CHARS]).as_bytes()));
    }

    #[test]
    fn der_heads_are_told() {
        assert!(der_private_key(b"MIIEpAIBAAKCAQEA0000"));
        assert!(der_private_key(b"MIIEvQIBADANBgkqhkiG9w0B"));
        assert!(!der_private_key(b"MIIBIjANBgkqhkiG9w0BAQEF"));
    }

    #[test]
    fn lengths_are_exact() {
        let of = |bytes: usize| format!("{}{}", "q7Zp".repeat(bytes / 3), ["", "qw==", "qwM="][bytes % 3]);
        assert!(decode(of(32).as_bytes()).is_some_and(|bytes| bytes.len() == 32));
        // Repeated pieces are placeholders, so the lengths are tried on a value that is none.
        let mut value = of(31).into_bytes();
        assert!(!base64_of_32_bytes(&value));
        value = b"AbC9/+dkf83JdkLq01ZzXpWmNvRtYuIo45GhSaQeTyU=".to_vec();
        assert!(base64_of_32_bytes(&value) && !base64_of_64_bytes(&value));
    }

    #[test]
    fn phrases_need_different_words() {
        assert!(mnemonic(b"legal winner thank year wave sausage worth useful legal glide tiger canyon"));
        assert!(!mnemonic(b"test test test test test test test test test test test junk"));
        assert!(!mnemonic(b"legal winner thank year wave"));
    }
}
