//! Fields behind a body (RFC 9110 §6.5): those that mean something there go on to the client.

use super::head::put_field;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// Most fields of a trailer section; beyond it the section is dropped.
const FIELDS_MAX: usize = 64;

/// Fields that frame or route a message, authenticate, or change how its content is read: nobody may send them behind
/// a body (RFC 9110 §6.5.1), and a client that merged them into the head would be misled.
const FORBIDDEN: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
];

/// The fields of a trailer section that go on, as lines; `None` when there are none, or when it is malformed: the
/// body was whole, so it is only these fields that are lost.
pub(super) fn of_lines(section: &[u8]) -> Option<Bytes> {
    if section.is_empty() {
        return None;
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut text = Vec::with_capacity(section.len() + 2);
    text.extend_from_slice(section);
    text.extend_from_slice(b"\r\n");
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&text, &mut fields) else {
        return None;
    };
    kept(fields.iter().map(|field| (field.name, field.value)))
}

/// As [`of_lines`], of a trailer section that came over HTTP/2.
pub(super) fn of_map(map: &HeaderMap) -> Option<Bytes> {
    kept(map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn kept<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<Bytes> {
    let mut lines = BytesMut::new();
    for (name, value) in fields.take(FIELDS_MAX) {
        if !FORBIDDEN.iter().any(|word| name.eq_ignore_ascii_case(word)) {
            put_field(&mut lines, name, value);
        }
    }
    (!lines.is_empty()).then(|| lines.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_means_something_behind_a_body_passes_and_the_rest_does_not() {
        let section = b"X-Checksum: 1\r\nContent-Length: 5\r\nset-cookie: a=b\r\nserver-timing: x\n";
        assert_eq!(of_lines(section).as_deref(), Some(&b"X-Checksum: 1\r\nserver-timing: x\r\n"[..]));
        assert_eq!(of_lines(b""), None);
        assert_eq!(of_lines(b"Transfer-Encoding: chunked\r\n"), None);
        assert_eq!(of_lines(b"not a field\r\n"), None);
    }

    #[test]
    fn the_number_of_fields_has_a_limit() {
        assert!(of_lines(&b"a: b\r\n".repeat(FIELDS_MAX)).is_some());
        assert_eq!(of_lines(&b"a: b\r\n".repeat(FIELDS_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn no_input_panics_or_makes_a_line_of_its_own(section in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(lines) = of_lines(&section) {
                let fields = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                for line in fields {
                    prop_assert!(line.ends_with(b"\r") && line.contains(&b':'));
                }
            }
        }
    }
}
