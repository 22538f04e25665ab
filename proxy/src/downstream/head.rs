//! A request's head (RFC 9112 §3 to §6).

use crate::upstream::body::Framing;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use std::mem::MaybeUninit;

/// Most header fields of a request.
pub(super) const FIELDS_MAX: usize = 256;

/// A head that was read.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) parts: Parts,
    /// How the body ends.
    pub(super) framing: Framing,
    /// Whether the client wants the connection to stay.
    pub(super) keep_alive: bool,
    /// Why the head must not be passed on, if two parsers could read it as two requests.
    pub(super) ambiguity: Option<&'static str>,
}

/// What is sent is not an HTTP/1 request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotHttp;

/// Parses a head that is known to be complete.
pub(super) fn parse(bytes: &Bytes) -> Result<RequestHead, NotHttp> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(NotHttp),
    }
    let method =
        Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_invalid| NotHttp)?;
    let target = bytes.slice_ref(request.path.unwrap_or_default().as_bytes());
    let uri = Uri::from_maybe_shared(target).map_err(|_invalid| NotHttp)?;
    let version = if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_invalid| NotHttp)?;
        let value =
            HeaderValue::from_maybe_shared(bytes.slice_ref(field.value)).map_err(|_invalid| NotHttp)?;
        headers.append(name, value);
    }
    let (framing, ambiguity) = framing(&headers, version);
    let keep_alive = ambiguity.is_none() && stays(&headers, version);
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, headers);
    Ok(RequestHead { parts, framing, keep_alive, ambiguity })
}

/// How the body ends; and why the head is ambiguous, if it is (RFC 9112 §6.3, request smuggling).
fn framing(headers: &HeaderMap, version: Version) -> (Framing, Option<&'static str>) {
    let ambiguous = |cause| (Framing::Empty, Some(cause));
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => return ambiguous("the request has no host header"),
        (_, Some(_)) => return ambiguous("the request has more than one host header"),
        _ => {}
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.any(|other| Some(other) != length) {
        return ambiguous("the request has two different content-length headers");
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), length) {
        (Some(_), Some(_)) => ambiguous("the request has both content-length and transfer-encoding"),
        (Some(encoding), None) => {
            let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
            if !chunked || encodings.next().is_some() || version != Version::HTTP_11 {
                return ambiguous("the only transfer-encoding a request may have is chunked, in HTTP/1.1");
            }
            (Framing::Chunked, None)
        }
        (None, Some(length)) => match parse_length(length.as_bytes()) {
            Some(length) => (Framing::Length(length), None),
            None => ambiguous("the content-length header is not a number"),
        },
        (None, None) => (Framing::Empty, None),
    }
}

fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Whether the connection stays: HTTP/1.1 says when it does not, and HTTP/1.0 is not kept.
fn stays(headers: &HeaderMap, version: Version) -> bool {
    let closes = |value: &HeaderValue| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
    };
    version == Version::HTTP_11 && !headers.get_all(CONNECTION).iter().any(closes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Result<RequestHead, NotHttp> {
        parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn fields(fields: &str) -> RequestHead {
        head(&format!("POST /v1/x HTTP/1.1\r\nhost: h\r\n{fields}\r\n")).unwrap()
    }

    #[test]
    fn a_head_is_read_with_its_fields_in_order() {
        let head = head(
            "POST /v1/messages?beta=true HTTP/1.1\r\nHost: h\r\nA: 1\r\na: 2\r\nContent-Length: 5\r\n\r\n",
        )
        .unwrap();
        assert_eq!((head.parts.method, head.parts.uri.path()), (Method::POST, "/v1/messages"));
        assert_eq!(head.parts.uri.query(), Some("beta=true"));
        assert_eq!(head.parts.headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((head.framing, head.keep_alive, head.ambiguity), (Framing::Length(5), true, None));
    }

    #[test]
    fn heads_that_two_parsers_could_read_differently_are_ambiguous() {
        for bad in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: +5\r\n",
            "content-length: 5, 5\r\n",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: xchunked\r\n",
            "host: other\r\n",
        ] {
            let head = fields(bad);
            assert!(head.ambiguity.is_some() && !head.keep_alive, "{bad}");
        }
        assert_eq!(fields("content-length: 5\r\ncontent-length: 5\r\n").framing, Framing::Length(5));
        assert_eq!(fields("transfer-encoding: Chunked\r\n").framing, Framing::Chunked);
        assert!(head("GET / HTTP/1.1\r\n\r\n").unwrap().ambiguity.is_some(), "no host");
        assert!(head("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n").unwrap().ambiguity.is_some());
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bad in [
            "GET / HTTP/1.1\r\nhost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: h\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nna\0me: h\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "\x16\x03\x01\r\n\r\n",
        ] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_number_of_fields_has_a_limit() {
        let many = |count: usize| fields_checked(&"a: b\r\n".repeat(count));
        assert!(many(FIELDS_MAX - 1).is_ok(), "with the host field that is the limit");
        assert!(many(FIELDS_MAX).is_err());
    }

    fn fields_checked(fields: &str) -> Result<RequestHead, NotHttp> {
        head(&format!("POST /v1/x HTTP/1.1\r\nhost: h\r\n{fields}\r\n"))
    }

    #[test]
    fn connections_stay_as_the_client_says() {
        assert!(fields("connection: keep-alive\r\n").keep_alive);
        assert!(!fields("connection: x, Close\r\n").keep_alive);
        assert!(!head("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").unwrap().keep_alive);
    }

    proptest! {
        #[test]
        fn no_input_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&Bytes::from(text));
        }
    }
}
