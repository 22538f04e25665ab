//! Requests of our own, apart from exchanges: to another gateway's administration API, to a secrets store.
//!
//! They are rare and small: one connection each, no redirects followed, bounded in size and time. A credential goes
//! over TLS, or to this machine.

use crate::config::url::{BaseUrl, BaseUrlError};
use crate::net::Io;
use crate::reach::Reach;
use crate::upstream::connect::system_roots;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Time to resolve, connect and shake hands.
pub(crate) const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest body of an answer, in bytes. A page of a thousand records has some 1.5 MB.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer. Never holds a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The address is none.
    #[error("the address {0}; write https://HOST:PORT")]
    Url(#[from] BaseUrlError),
    /// A credential would travel in clear text.
    #[error("{0} is plain http to another machine, which would show the token to the network; use https")]
    Plain(String),
    /// The trust bundle cannot be used.
    #[error("the CA file {path} cannot be used: {cause}", path = path.display())]
    CaFile { path: PathBuf, cause: String },
    /// No name that a certificate could be verified against.
    #[error("{0} is not a name that a certificate can be verified against")]
    Name(String),
    /// A part of the request cannot be sent.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] http::Error),
    /// The name leads only to addresses that may not be reached.
    #[error("{0} leads to a private address, which the configuration does not allow")]
    Private(String),
    /// No connection.
    #[error("cannot connect to {to}: {source}")]
    Connect { to: String, source: std::io::Error },
    /// The TLS handshake failed.
    #[error("no TLS with {to}: {source}; is its certificate from a private CA? Name the CA's file")]
    Tls { to: String, source: std::io::Error },
    /// The conversation broke.
    #[error("{to} did not answer: {source}")]
    Http { to: String, source: hyper::Error },
    /// The answer broke off.
    #[error("the answer of {to} broke off: {cause}")]
    Cut { to: String, cause: String },
    /// The answer is too large.
    #[error("the answer of {to} is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge { to: String },
    /// It took too long.
    #[error("{to} did not answer within {} seconds", limit.as_secs())]
    Timeout { to: String, limit: Duration },
}

/// A server that is asked.
pub(crate) struct Origin {
    url: BaseUrl,
    reach: Reach,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Path and query, starting with a slash.
    pub(crate) path: &'a str,
    /// Header lines; the values are marked sensitive.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// A JSON body.
    pub(crate) body: Option<Bytes>,
    /// Time for everything after the connection.
    pub(crate) limit: Duration,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Origin {
    /// The server at `url`, trusted by the system's roots and those in `ca_file`.
    ///
    /// # Errors
    /// [`FetchError`] when the address is none, is plain http to another machine, or the bundle cannot be read.
    pub(crate) fn new(url: &str, ca_file: Option<&Path>) -> Result<Origin, FetchError> {
        let url = BaseUrl::parse(url)?;
        let here = url.host() == "localhost" || url.ip().is_some_and(|ip| ip.is_loopback());
        if !url.is_tls() && !here {
            return Err(FetchError::Plain(url.authority()));
        }
        Origin::within(&url, ca_file, Reach::Anywhere)
    }

    /// The server at `url`, asked only at addresses within `reach`: names are resolved, and what they lead to is looked at,
    /// for every connection.
    ///
    /// # Errors
    /// [`FetchError`] when no certificate could be verified, or the bundle cannot be read.
    pub(crate) fn within(url: &BaseUrl, ca_file: Option<&Path>, reach: Reach) -> Result<Origin, FetchError> {
        let url = url.clone();
        if !url.is_tls() {
            return Ok(Origin { url, reach, tls: None });
        }
        let name = match url.ip() {
            Some(ip) => ServerName::from(ip),
            None => ServerName::try_from(url.host().to_owned())
                .map_err(|_invalid| FetchError::Name(url.host().to_owned()))?,
        };
        let connector = TlsConnector::from(trust(ca_file)?);
        Ok(Origin { url, reach, tls: Some((connector, name)) })
    }

    /// Host and port, for messages.
    pub(crate) fn authority(&self) -> String {
        self.url.authority()
    }

    /// Asks over a connection of its own.
    ///
    /// # Errors
    /// [`FetchError`] when there is no whole answer; a status of any kind is one.
    pub(crate) async fn send(&self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        let to = self.authority();
        let request = self.request(&ask)?;
        let connecting = tokio::time::timeout(CONNECT_TIME_MAX, self.connect());
        let io = match connecting.await {
            Ok(connected) => connected?,
            Err(_elapsed) => return Err(FetchError::Timeout { to, limit: CONNECT_TIME_MAX }),
        };
        match tokio::time::timeout(ask.limit, self.converse(io, request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(FetchError::Timeout { to, limit: ask.limit }),
        }
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(
                Some(format!("{}{}", self.url.path(), ask.path))
                    .filter(|at| !at.is_empty())
                    .unwrap_or_else(|| "/".into()),
            )
            .header(header::HOST, self.url.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("narrows/", env!("CARGO_PKG_VERSION")));
        for (name, value) in ask.headers {
            let mut value = HeaderValue::from_str(value).map_err(http::Error::from)?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::new(ask.body.clone().unwrap_or_default()))?)
    }

    async fn connect(&self) -> Result<Io<tokio_rustls::client::TlsStream<TcpStream>>, FetchError> {
        let to = self.authority();
        let failed = |source| FetchError::Connect { to: to.clone(), source };
        // Resolved once, looked at, and connected to as they are: a name cannot lead elsewhere in between.
        let found = tokio::net::lookup_host((self.url.host(), self.url.port())).await.map_err(failed)?;
        let mut addresses: Vec<_> = found.collect();
        addresses.retain(|address| self.reach.permits(address.ip()));
        if addresses.is_empty() {
            return Err(FetchError::Private(to));
        }
        let tcp = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
        match &self.tls {
            None => Ok(Io::Plain(tcp)),
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), tcp).await;
                Ok(Io::Tls(Box::new(stream.map_err(|source| FetchError::Tls { to, source })?)))
            }
        }
    }

    async fn converse(
        &self,
        io: Io<tokio_rustls::client::TlsStream<TcpStream>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, FetchError> {
        let broken = |source| FetchError::Http { to: self.authority(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(broken)?;
        let conversation = async {
            let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
            match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
                Ok(body) => Ok(Answer { status: head.status, body: body.to_bytes() }),
                Err(error) if error.is::<LengthLimitError>() => {
                    Err(FetchError::TooLarge { to: self.authority() })
                }
                Err(error) => Err(FetchError::Cut { to: self.authority(), cause: error.to_string() }),
            }
        };
        tokio::pin!(conversation);
        tokio::select! {
            biased;
            answer = &mut conversation => answer,
            // The connection ended first: what it read is still there to be taken.
            _ = connection => conversation.await,
        }
    }
}

/// The system's roots, and those of a bundle beside them.
fn trust(ca_file: Option<&Path>) -> Result<Arc<rustls::ClientConfig>, FetchError> {
    let mut roots = system_roots().clone();
    if let Some(path) = ca_file {
        let fault = |cause: String| FetchError::CaFile { path: path.to_path_buf(), cause };
        let mut found = false;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
            let certificate = certificate.map_err(|error| fault(error.to_string()))?;
            roots.add(certificate).map_err(|error| fault(error.to_string()))?;
            found = true;
        }
        if !found {
            return Err(fault("it holds no PEM certificate".to_owned()));
        }
    }
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Name(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Percent-encodes a part of a path or query: all but letters, digits and `-._~` (RFC 3986 §2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one connection with `answer`, whatever is asked; gives what was asked.
    fn serve(answer: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).unwrap();
                asked.extend_from_slice(&buffer[..read]);
            }
            // The client may have had enough before all is written.
            drop(stream.write_all(&answer));
            String::from_utf8(asked).unwrap()
        });
        (url, thread)
    }

    fn get(url: &str, path: &str) -> Result<Answer, FetchError> {
        let origin = Origin::new(url, None)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let headers = [("authorization", "Bearer canary")];
        let limit = Duration::from_secs(60);
        runtime.block_on(origin.send(Ask { method: Method::GET, path, headers: &headers, body: None, limit }))
    }

    #[test]
    fn it_asks_and_takes_any_status() {
        let (url, thread) =
            serve(b"HTTP/1.1 503 x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno".to_vec());
        let answer = get(&format!("{url}/base"), "/a?b=c").unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (503, &b"no"[..]));
        let asked = thread.join().unwrap();
        assert!(asked.starts_with("GET /base/a?b=c HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer canary\r\n"), "{asked}");
    }

    #[test]
    fn a_redirect_is_an_answer_and_is_not_followed() {
        let (url, thread) =
            serve(b"HTTP/1.1 302 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec());
        assert_eq!(get(&url, "/").unwrap().status.as_u16(), 302);
        thread.join().unwrap();
    }

    #[test]
    fn an_answer_has_a_limit_and_must_be_whole() {
        let body = |bytes: usize| {
            let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + bytes, b'x');
            answer
        };
        let (url, thread) = serve(body(ANSWER_BYTES_MAX));
        assert_eq!(get(&url, "/").unwrap().body.len(), ANSWER_BYTES_MAX);
        thread.join().unwrap();
        let (url, thread) = serve(body(ANSWER_BYTES_MAX + 1));
        assert!(matches!(get(&url, "/"), Err(FetchError::TooLarge { .. })));
        thread.join().unwrap();
        let (url, thread) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_vec());
        assert!(matches!(get(&url, "/"), Err(FetchError::Cut { .. } | FetchError::Http { .. })));
        thread.join().unwrap();
    }

    #[test]
    fn a_token_never_goes_in_clear_text_to_another_machine() {
        for url in ["http://10.0.0.1:9465", "http://gateway.example"] {
            let refused = Origin::new(url, None).err().unwrap().to_string();
            assert!(refused.contains("https"), "{refused}");
        }
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://10.0.0.1"] {
            assert!(Origin::new(url, None).is_ok(), "{url}");
        }
        assert!(
            Origin::new("https://user:canary@x", None).err().unwrap().to_string().contains("https://HOST")
        );
    }

    #[test]
    fn parts_of_a_path_are_encoded() {
        assert_eq!(encode("a b/ü&=~-._"), "a%20b%2F%C3%BC%26%3D~-._");
    }
}
