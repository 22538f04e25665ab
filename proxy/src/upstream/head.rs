//! The head of an answer: the fields to pass on, and what they mean.

use super::Fault;
use super::body::Framing;
use crate::limits::is_theirs;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use std::mem::MaybeUninit;

/// Longest response head, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Most header fields of a response.
pub(crate) const HEAD_FIELDS_MAX: usize = 256;
/// The content type of a stream of events.
const EVENTS: &[u8] = b"text/event-stream";

/// What kind of content an answer is, as far as the relay cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// `text/event-stream`.
    Events,
    /// Anything else.
    Other,
}

/// Compression of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// None.
    Identity,
    /// gzip or x-gzip.
    Gzip,
    /// deflate (zlib).
    Deflate,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
    /// One that we do not decode.
    Other,
}

/// A response's head: the fields to pass on, and what they mean.
#[derive(Debug)]
pub(crate) struct Head {
    /// The status.
    pub(crate) status: StatusCode,
    /// The reason phrase, if it is not the usual one.
    pub(crate) reason: Option<Box<str>>,
    /// The end-to-end fields as lines, each with its line end, in the provider's order and spelling. Hop-by-hop
    /// fields, and `content-length`, are not among them.
    pub(crate) fields: Bytes,
    /// Whether `x-request-id` is among the fields.
    pub(crate) has_x_request_id: bool,
    /// Whether `date` is among the fields.
    pub(crate) has_date: bool,
    /// Whether fields that say how the provider's rate limits stand are among them.
    pub(crate) has_limits: bool,
    /// How the body ends.
    pub(crate) framing: Framing,
    /// Kind of content.
    pub(crate) content: Content,
    /// Compression of the body.
    pub(crate) coding: Coding,
    /// Whether the connection may be used again.
    pub(crate) keep_alive: bool,
    /// The provider's own request id.
    pub(crate) request_id: Option<Box<str>>,
}

impl Head {
    /// The end-to-end fields by name, as the provider spells them.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = line.split_at_checked(colon)?;
            Some((std::str::from_utf8(name).ok()?, value.get(1..)?.trim_ascii()))
        })
    }

    /// The value of the first field with this name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Takes away what was said of a body that has been changed since, and is not compressed any more.
    pub(crate) fn forget_body(&mut self) {
        let says = |line: &&[u8]| {
            let name = memchr::memchr(b':', line).and_then(|colon| line.get(..colon)).unwrap_or_default();
            !OF_THE_BODY.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        let kept: Vec<&[u8]> = self.fields.split_inclusive(|byte| *byte == b'\n').filter(says).collect();
        self.fields = kept.concat().into();
        self.coding = Coding::Identity;
    }
}

/// Fields that are true of one body only (RFC 9110 §8, RFC 9530, RFC 1864).
const OF_THE_BODY: [&str; 6] =
    ["content-encoding", "content-digest", "repr-digest", "digest", "content-md5", "etag"];

/// Parses a head that is known to be complete.
pub(crate) fn parse_head(bytes: &Bytes) -> Result<Head, Fault> {
    let mut fields = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Fault::Protocol("its head is incomplete".to_owned())),
        Err(error) => return Err(Fault::Protocol(error.to_string())),
    }
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_invalid| Fault::Protocol("its status is not one".to_owned()))?;
    let mut meaning = Meaning::new(response.version == Some(1));
    let mut kept = BytesMut::with_capacity(bytes.len());
    for field in response.headers.iter() {
        if meaning.take(field.name, field.value)? {
            put_field(&mut kept, field.name, field.value);
        }
    }
    if !meaning.nominated.is_empty() {
        kept.clear();
        let named = |name: &str| meaning.nominated.iter().any(|hop| hop.eq_ignore_ascii_case(name));
        for field in response.headers.iter().filter(|field| !named(field.name)) {
            if Meaning::new(true).take(field.name, field.value)? {
                put_field(&mut kept, field.name, field.value);
            }
        }
    }
    let reason =
        response.reason.filter(|reason| !reason.is_empty() && status.canonical_reason() != Some(*reason));
    meaning.into_head(status, reason.map(Box::from), kept.freeze())
}

/// One field as a line.
pub(super) fn put_field(lines: &mut BytesMut, name: &str, value: &[u8]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    lines.extend_from_slice(value);
    lines.extend_from_slice(b"\r\n");
}

/// What the fields of a head mean to the relay.
pub(super) struct Meaning {
    content: Content,
    coding: Coding,
    keep_alive: bool,
    length: Option<u64>,
    chunked: bool,
    transfer_encoded: bool,
    request_id: Option<Box<str>>,
    has_x_request_id: bool,
    has_date: bool,
    has_limits: bool,
    /// Values of `connection` that name fields beyond the standard ones.
    nominated: Vec<String>,
}

impl Meaning {
    pub(super) fn new(http_11: bool) -> Meaning {
        Meaning {
            content: Content::Other,
            coding: Coding::Identity,
            keep_alive: http_11,
            length: None,
            chunked: false,
            transfer_encoded: false,
            request_id: None,
            has_x_request_id: false,
            has_date: false,
            has_limits: false,
            nominated: Vec::new(),
        }
    }

    /// Reads one field. Returns whether it goes on to the client.
    pub(super) fn take(&mut self, name: &str, value: &[u8]) -> Result<bool, Fault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // Lengths tell most fields apart without comparing them.
        match name.len() {
            2 if is("te") => return Ok(false),
            4 if is("date") => self.has_date = true,
            7 if is("trailer") || is("upgrade") => return Ok(false),
            10 if is("connection") => {
                self.connection(value);
                return Ok(false);
            }
            10 if is("keep-alive") => return Ok(false),
            10 if is("request-id") => self.name_request(value),
            12 if is("content-type") => {
                let start = value.get(..EVENTS.len());
                self.content = match start {
                    Some(start) if start.eq_ignore_ascii_case(EVENTS) => Content::Events,
                    _ => Content::Other,
                };
            }
            12 if is("x-request-id") => {
                self.has_x_request_id = true;
                self.name_request(value);
            }
            14 if is("content-length") => {
                let length = parse_length(value)?;
                if self.length.replace(length).is_some_and(|before| before != length) {
                    return Err(Fault::Protocol("it has two different content lengths".to_owned()));
                }
                return Ok(false);
            }
            16 if is("content-encoding") => self.coding = coding(value),
            16 if is("proxy-connection") => return Ok(false),
            17 if is("x-goog-request-id") => self.name_request(value),
            17 if is("transfer-encoding") => {
                self.transfer_encoded = true;
                self.chunked = value.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
                return Ok(false);
            }
            _ => self.has_limits |= is_theirs(name.as_bytes()),
        }
        Ok(true)
    }

    /// The content length, if there is one.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The head, of these fields.
    pub(super) fn into_head(
        mut self,
        status: StatusCode,
        reason: Option<Box<str>>,
        fields: Bytes,
    ) -> Result<Head, Fault> {
        Ok(Head {
            framing: self.framing(status)?,
            content: self.content,
            coding: self.coding,
            keep_alive: self.keep_alive,
            has_x_request_id: self.has_x_request_id,
            has_date: self.has_date,
            has_limits: self.has_limits,
            request_id: self.request_id,
            fields,
            reason,
            status,
        })
    }

    fn name_request(&mut self, value: &[u8]) {
        self.request_id = std::str::from_utf8(value).ok().map(Box::from);
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.keep_alive = false;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if let Ok(name) = std::str::from_utf8(option) {
                self.nominated.push(name.to_owned());
            }
        }
    }

    /// RFC 9112 §6.3, for a response to a method other than HEAD and CONNECT.
    fn framing(&mut self, status: StatusCode) -> Result<Framing, Fault> {
        if status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
        {
            return Ok(Framing::Empty);
        }
        if self.transfer_encoded {
            if self.length.is_some() {
                // A sender that frames a message twice may be two senders: never use the connection again.
                self.keep_alive = false;
            }
            if self.chunked {
                return Ok(Framing::Chunked);
            }
            self.keep_alive = false;
            return Ok(Framing::UntilClose);
        }
        Ok(match self.length {
            Some(length) => Framing::Length(length),
            None => {
                self.keep_alive = false;
                Framing::UntilClose
            }
        })
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Fault> {
    let text = value.trim_ascii();
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits
        .then(|| std::str::from_utf8(text).ok()?.parse().ok())
        .flatten()
        .ok_or_else(|| Fault::Protocol("its content length is not a number".to_owned()))
}

fn coding(value: &[u8]) -> Coding {
    match value.trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Coding::Identity,
        b"gzip" | b"x-gzip" => Coding::Gzip,
        b"deflate" => Coding::Deflate,
        b"br" => Coding::Brotli,
        b"zstd" => Coding::Zstd,
        _ => Coding::Other,
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, Fault> {
        parse_head(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn end_to_end_fields_pass_and_hop_by_hop_fields_do_not() {
        let head = head(concat!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n",
            "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n",
            "x-request-id: req_1\r\n\r\n"
        ))
        .unwrap();
        assert_eq!((head.framing, head.content, head.keep_alive), (Framing::Chunked, Content::Events, true));
        assert_eq!(head.request_id.as_deref(), Some("req_1"));
        let wire = String::from_utf8(head.fields.to_vec()).unwrap();
        assert_eq!(wire.lines().count(), 4, "{wire}");
        assert!(wire.contains("Set-Cookie: a=1\r\nset-cookie: b=2\r\n"), "{wire}");
        for gone in ["X-Hop", "Keep-Alive", "Transfer-Encoding", "Connection"] {
            assert!(!wire.contains(gone), "{wire}");
        }
    }

    #[test]
    fn framing_follows_the_rfc() {
        let framing = |fields: &str| {
            head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).map(|h| (h.framing, h.keep_alive))
        };
        assert_eq!(framing("Content-Length: 5\r\n").unwrap(), (Framing::Length(5), true));
        assert_eq!(
            framing("Content-Length: 5\r\nContent-Length: 5\r\n").unwrap(),
            (Framing::Length(5), true)
        );
        assert_eq!(framing("").unwrap(), (Framing::UntilClose, false));
        assert_eq!(framing("Transfer-Encoding: gzip\r\n").unwrap(), (Framing::UntilClose, false));
        let both = framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").unwrap();
        assert_eq!(both, (Framing::Chunked, false));
        assert!(framing("Content-Length: 5\r\nContent-Length: 6\r\n").is_err());
        assert!(framing("Content-Length: +5\r\n").is_err());
        let empty = head("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").unwrap();
        assert_eq!(empty.framing, Framing::Empty);
    }
}
