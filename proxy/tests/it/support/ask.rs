//! Requests, as they stand on the wire.

use super::Kind;

/// How a request's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `content-length`.
    Length,
    /// `transfer-encoding: chunked`, in chunks of so many bytes.
    Chunks(usize),
    /// None of it: the test writes its own header.
    Own,
}

/// A request under construction.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) version: &'static str,
}

impl Ask {
    /// A request without a body and without a key.
    pub(crate) fn new(method: &str, target: &str) -> Ask {
        Ask {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
            version: "HTTP/1.1",
        }
    }

    /// A GET.
    pub(crate) fn get(target: &str) -> Ask {
        Ask { framing: Framing::Own, ..Ask::new("GET", target) }
    }

    /// A POST of JSON.
    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Ask {
        Ask { body: body.into(), ..Ask::new("POST", target) }.with("content-type", "application/json")
    }

    /// What an SDK of this kind asks, not streamed.
    pub(crate) fn unary(kind: &Kind) -> Ask {
        Ask::post(kind.unary, kind.body(false))
    }

    /// What an SDK of this kind asks, streamed.
    pub(crate) fn stream(kind: &Kind) -> Ask {
        Ask::post(kind.stream, kind.body(true))
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a virtual key, as most clients send it.
    pub(crate) fn key(self, key: &str) -> Ask {
        self.with("authorization", &format!("Bearer {key}"))
    }

    /// With orders for the fake provider.
    pub(crate) fn fake(self, knobs: &str) -> Ask {
        self.with("x-fake", knobs)
    }

    /// With another body.
    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Ask {
        Ask { body: body.into(), ..self }
    }

    /// With another path.
    pub(crate) fn to(self, target: &str) -> Ask {
        Ask { target: target.to_owned(), ..self }
    }

    /// With another framing.
    pub(crate) fn framed(self, framing: Framing) -> Ask {
        Ask { framing, ..self }
    }

    /// Spoken as HTTP/1.0.
    pub(crate) fn http_10(self) -> Ask {
        Ask { version: "HTTP/1.0", ..self }
    }

    /// The head, with the blank line.
    pub(crate) fn head(&self) -> Vec<u8> {
        let mut wire = format!("{} {} {}\r\nhost: gateway.test\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.framing {
            Framing::Length => wire.push_str(&format!("content-length: {}\r\n", self.body.len())),
            Framing::Chunks(_) => wire.push_str("transfer-encoding: chunked\r\n"),
            Framing::Own => {}
        }
        wire.push_str("\r\n");
        wire.into_bytes()
    }

    /// The body as framed.
    pub(crate) fn framed_body(&self) -> Vec<u8> {
        match self.framing {
            Framing::Length | Framing::Own => self.body.clone(),
            Framing::Chunks(size) => {
                let mut wire = Vec::with_capacity(self.body.len() * 2);
                for chunk in self.body.chunks(size) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
                wire
            }
        }
    }

    /// All of it.
    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = self.head();
        wire.extend_from_slice(&self.framed_body());
        wire
    }
}
