//! The corporate proxy on the way to a provider: `CONNECT` (RFC 9110 §9.3.6), for http and https alike.

use super::Fault;
use crate::config::settings::Egress;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Longest answer to `CONNECT`, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of it.
const ANSWER_FIELDS_MAX: usize = 64;
/// Most interim (1xx) answers before the final one.
const INTERIM_MAX: usize = 8;

/// A proxy, ready to be asked for one provider.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// TLS towards the proxy itself.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// How it is called in messages: its URL without user and password.
    pub(super) shown: Arc<str>,
    /// The request. It may hold a secret: never printed.
    request: Bytes,
    has_credentials: bool,
}

impl Proxy {
    /// The proxy of `egress`, to be asked for `host` and `port`.
    pub(super) fn new(
        egress: &Egress,
        tls: Option<TlsConnector>,
        host: &str,
        port: u16,
    ) -> anyhow::Result<Proxy> {
        let url = &egress.proxy.url;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let credentials = egress.proxy.credentials.as_ref().map(|credentials| {
            format!("proxy-authorization: Basic {}\r\n", base64(credentials.reveal().as_bytes()))
        });
        let request = format!(
            "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{}\r\n",
            credentials.as_deref().unwrap_or_default()
        );
        let name = tls.map(|tls| ServerName::try_from(url.host().to_owned()).map(|name| (tls, name)));
        Ok(Proxy {
            host: url.host().to_owned(),
            port: url.port(),
            tls: name.transpose()?,
            shown: Arc::from(url.to_string()),
            request: request.into(),
            has_credentials: credentials.is_some(),
        })
    }

    /// What went wrong between us and the proxy.
    pub(super) fn fault(&self, what: impl std::fmt::Display) -> Fault {
        Fault::Proxy { proxy: Arc::clone(&self.shown), cause: what.to_string() }
    }

    /// Asks for the tunnel. What is read afterwards is the provider's.
    pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut S) -> Result<(), Fault> {
        stream.write_all(&self.request).await.map_err(|error| self.fault(error))?;
        stream.flush().await.map_err(|error| self.fault(error))?;
        for _ in 0..INTERIM_MAX {
            let head = self.read_head(stream).await?;
            match status(&head).ok_or_else(|| self.fault("its answer is not HTTP"))? {
                200..=299 => return Ok(()),
                100..=199 => {}
                407 if self.has_credentials => {
                    return Err(
                        self.fault("it refused the user and password of egress.proxy with status 407")
                    );
                }
                407 => {
                    let what = "it wants a user and password (status 407); write them in egress.proxy before the host";
                    return Err(self.fault(what));
                }
                status => {
                    return Err(
                        self.fault(format!("it refused to connect to the provider with status {status}"))
                    );
                }
            }
        }
        Err(self.fault("it sent too many interim answers"))
    }

    /// Reads a head and not one byte more: the bytes behind it may be the provider's first.
    async fn read_head<S: AsyncRead + Unpin>(&self, stream: &mut S) -> Result<Vec<u8>, Fault> {
        let mut head = Vec::with_capacity(256);
        loop {
            let wanted = missing(&head);
            if wanted == 0 {
                return Ok(head);
            }
            if head.len() >= ANSWER_BYTES_MAX {
                return Err(self.fault("its answer is too long"));
            }
            let mut part = [0; 2];
            let part = part.get_mut(..wanted).unwrap_or_default();
            let read = stream.read(part).await.map_err(|error| self.fault(error))?;
            if read == 0 {
                return Err(self.fault("it closed the connection without an answer"));
            }
            head.extend_from_slice(part.get(..read).unwrap_or_default());
        }
    }
}

/// How many bytes a head that begins with these has at least to come: 0 when it is complete, at most 2. A head ends
/// with an empty line, whether its lines end in CR LF or LF.
fn missing(head: &[u8]) -> usize {
    match head {
        [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] => 0,
        [.., b'\n'] | [.., b'\n', b'\r'] => 1,
        _ => 2,
    }
}

/// The status of a head that is known to be complete.
fn status(head: &[u8]) -> Option<u16> {
    let mut fields = [httparse::EMPTY_HEADER; ANSWER_FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => response.code,
        Ok(httparse::Status::Partial) | Err(_) => None,
    }
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(usize::try_from(index).unwrap_or(0)).copied().unwrap_or(b'=');
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a head from what comes, and gives back what was left.
    fn take(wire: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let (mut head, mut rest) = (Vec::new(), wire);
        loop {
            let wanted = missing(&head);
            if wanted == 0 {
                return Some((head, rest));
            }
            // The reader gets one byte or all it asked for; both must do.
            let taken = wanted.min(rest.len());
            if taken == 0 {
                return None;
            }
            head.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
        }
    }

    #[test]
    fn a_head_is_read_and_not_a_byte_more() {
        for head in ["HTTP/1.1 200 OK\r\nvia: x\r\n\r\n", "HTTP/1.0 200 OK\n\n", "HTTP/1.1 200\r\na: b\n\r\n"]
        {
            for rest in ["", "\n", "\r\n\r\n", "\x16\x03\x01", "PRI"] {
                let wire = format!("{head}{rest}");
                let (read, left) = take(wire.as_bytes()).unwrap();
                assert_eq!((read.as_slice(), left), (head.as_bytes(), rest.as_bytes()));
                assert_eq!(status(&read), Some(200));
            }
        }
    }

    #[test]
    fn what_is_no_answer_has_no_status() {
        for bad in ["\n\n", "nonsense\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "SSH-2.0-x\r\n\r\n"] {
            assert_eq!(status(bad.as_bytes()), None, "{bad:?}");
        }
    }

    fn proxy() -> Proxy {
        Proxy {
            host: "proxy".to_owned(),
            port: 3128,
            tls: None,
            shown: Arc::from("http://proxy:3128"),
            request: Bytes::from_static(b"CONNECT a:443 HTTP/1.1\r\n\r\n"),
            has_credentials: false,
        }
    }

    /// What comes of a proxy that says `wire` and closes; and what it said beyond its answer.
    fn asked(wire: &[u8]) -> Result<Vec<u8>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
            theirs.write_all(wire).await.unwrap();
            theirs.shutdown().await.unwrap();
            proxy().ask(&mut ours).await.map_err(|fault| fault.to_string())?;
            let mut rest = Vec::new();
            ours.read_to_end(&mut rest).await.unwrap();
            Ok(rest)
        })
    }

    #[test]
    fn an_answer_to_connect_has_a_limit_in_bytes() {
        let answer = |bytes: usize| {
            let (start, end) = ("HTTP/1.1 200 OK\r\nx: ", "\r\n\r\n");
            format!("{start}{}{end}\x16\x03", "x".repeat(bytes - start.len() - end.len()))
        };
        assert_eq!(asked(answer(ANSWER_BYTES_MAX).as_bytes()).unwrap(), b"\x16\x03");
        assert!(asked(answer(ANSWER_BYTES_MAX + 1).as_bytes()).unwrap_err().contains("too long"));
        assert!(asked(&vec![b'x'; 2 * ANSWER_BYTES_MAX]).unwrap_err().contains("too long"));
    }

    #[test]
    fn an_answer_to_connect_has_a_limit_in_fields_and_in_interim_answers() {
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(asked(fields(ANSWER_FIELDS_MAX).as_bytes()).is_ok());
        assert!(asked(fields(ANSWER_FIELDS_MAX + 1).as_bytes()).unwrap_err().contains("not HTTP"));
        let interim =
            |count: usize| format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 102 Wait\r\n\r\n".repeat(count));
        assert!(asked(interim(INTERIM_MAX - 1).as_bytes()).is_ok());
        assert!(asked(interim(INTERIM_MAX).as_bytes()).unwrap_err().contains("interim"));
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("user:pass", "dXNlcjpwYXNz"),
        ] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_or_is_read_beyond_its_end(wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some((head, rest)) = take(&wire) {
                prop_assert_eq!(&wire[..head.len()], head.as_slice());
                prop_assert_eq!(wire.len(), head.len() + rest.len());
                let _ = status(&head);
            }
        }
    }
}
