//! A call to make and the answer to it, without any I/O.

use super::error::RemoteError;
use super::piece::Piece;
use super::verdict::{Finding, Verdict};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// Longest answer that is read, in bytes: a guardrail that masks sends the text back.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;

/// How the caller of the codec attaches the guardrail's own credential, which the codec never sees. Nothing that the
/// client sent to us as a credential goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// No credential.
    None,
    /// `authorization: Bearer …`.
    Bearer,
    /// The credential alone, in this header.
    Header(&'static str),
    /// AWS Signature Version 4 over the finished request.
    SigV4 {
        /// The service's name in the scope.
        service: &'static str,
        /// The region in the scope.
        region: String,
    },
    /// The three headers of [`signature`](super::signature) over the finished body.
    Signature,
}

/// Which of an operator's addresses a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The guardrail's address.
    Main,
    /// Presidio's anonymizer, which is a server of its own; without an address of its own, the guardrail's.
    Anonymizer,
}

/// What a call asks, so that its answer can be understood.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Which of a vendor's operations it is.
    pub(crate) operation: u8,
    /// The texts it carries, in the order it carries them.
    pub(crate) pieces: Vec<Piece>,
    /// What an earlier call found and this one completes.
    pub(crate) findings: Vec<Finding>,
}

/// A call to make.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Which address.
    pub service: Service,
    /// Path and query, to be appended to the address; begins with a slash.
    pub path: String,
    /// Header fields beside those of the connection, the length and the credential.
    pub headers: Vec<(&'static str, String)>,
    /// How the credential is attached.
    pub auth: Auth,
    /// The JSON to send.
    pub body: Vec<u8>,
    pub(crate) asked: Asked,
}

impl Call {
    /// A `POST` of JSON to the guardrail's address.
    pub(crate) fn post(
        path: String,
        auth: Auth,
        body: &impl Serialize,
        asked: Asked,
    ) -> Result<Call, RemoteError> {
        let body = serde_json::to_vec(body).map_err(|_error| RemoteError::Malformed("the question"))?;
        let headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "application/json".to_owned())];
        Ok(Call { method: "POST", service: Service::Main, path, headers, auth, body, asked })
    }
}

impl fmt::Debug for Call {
    /// Everything but the body, which holds the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("service", &self.service)
            .field("path", &self.path)
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body, with transfer and content coding taken off.
    pub body: &'a [u8],
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("body_bytes", &self.body.len()).finish()
    }
}

impl Answer<'_> {
    /// The JSON of a 200. The reader's messages quote what it read, so none is kept.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, RemoteError> {
        match self.status {
            200 => {}
            202 => return Err(RemoteError::Pending),
            401 | 403 => return Err(RemoteError::Refused(self.status)),
            429 => return Err(RemoteError::RateLimited),
            500.. => return Err(RemoteError::Unavailable(self.status)),
            status => return Err(RemoteError::Status(status)),
        }
        if self.body.len() > MAX_ANSWER_BYTES {
            return Err(RemoteError::TooLong { got: self.body.len(), limit: MAX_ANSWER_BYTES });
        }
        if self.body.trim_ascii().is_empty() {
            return Err(RemoteError::Empty);
        }
        serde_json::from_slice(self.body)
            .map_err(|_quotes| RemoteError::Malformed("not the JSON of a verdict"))
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The verdict on what the call carried.
    Done(Verdict),
    /// There is more to ask before there is a verdict.
    Ask(Vec<Call>),
}

/// A segment of a path with everything escaped that has a meaning there (RFC 3986, section 2.3).
pub(crate) fn path_segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                escaped.push('%');
                for digit in [byte >> 4, byte & 15] {
                    escaped.push(HEX.get(usize::from(digit)).map_or('0', |hex| char::from(*hex)));
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(status: u16, body: &[u8]) -> Result<Value, RemoteError> {
        Answer { status, body }.json()
    }

    #[test]
    fn only_a_whole_200_is_read() {
        assert!(read(200, b"{}").is_ok());
        assert_eq!(read(202, b"{}"), Err(RemoteError::Pending));
        assert_eq!(read(204, b""), Err(RemoteError::Status(204)));
        assert_eq!(read(400, b"{}"), Err(RemoteError::Status(400)));
        assert_eq!(read(401, b"{}"), Err(RemoteError::Refused(401)));
        assert_eq!(read(429, b"{}"), Err(RemoteError::RateLimited));
        assert_eq!(read(503, b"{}"), Err(RemoteError::Unavailable(503)));
        assert_eq!(read(200, b" \n"), Err(RemoteError::Empty));
        assert!(matches!(read(200, b"{\"a\":"), Err(RemoteError::Malformed(_))));
        assert!(matches!(read(200, b"{} {}"), Err(RemoteError::Malformed(_))));
    }

    #[test]
    fn the_longest_answer_is_read_and_one_byte_more_is_not() {
        let mut body = vec![b' '; MAX_ANSWER_BYTES];
        body[0] = b'0';
        assert!(read(200, &body).is_ok());
        body.push(b' ');
        let over = RemoteError::TooLong { got: MAX_ANSWER_BYTES + 1, limit: MAX_ANSWER_BYTES };
        assert_eq!(read(200, &body), Err(over));
    }

    #[test]
    fn names_cannot_leave_their_place_in_a_path() {
        assert_eq!(path_segment("a-b_1.2~"), "a-b_1.2~");
        assert_eq!(path_segment("../x?y#z ü"), "..%2Fx%3Fy%23z%20%C3%BC");
    }

    #[test]
    fn what_is_printed_has_no_text() {
        let call = Call::post("/x".to_owned(), Auth::Bearer, &"canary", Asked::default()).unwrap();
        assert!(!format!("{call:?}").contains("canary"));
        assert!(!format!("{:?}", Answer { status: 200, body: b"canary" }).contains("canary"));
    }
}
