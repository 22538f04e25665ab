//! A provider that speaks HTTP/1.1 and HTTP/2, in clear text and over TLS, and answers as the test says.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Version, request};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Each is sent by itself.
    pub(crate) parts: Vec<Bytes>,
    pub(crate) trailers: Vec<(&'static str, &'static str)>,
    /// Whether the length is told.
    pub(crate) sized: bool,
}

/// A request that was served.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Which connection it came over.
    pub(crate) connection: usize,
}

type Answering = dyn Fn(&request::Parts, usize) -> Reply + Send + Sync;

/// The provider.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    served: Arc<Mutex<Vec<Served>>>,
    handshakes: Arc<Mutex<Vec<Option<rustls::HandshakeKind>>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Origin {
    /// Starts it; it answers what `answer` makes of a head and the length of a body.
    pub(crate) async fn start(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&request::Parts, usize) -> Reply + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (served, handshakes) = (Arc::default(), Arc::default());
        let task = tokio::spawn(accept(
            listener,
            tls,
            Arc::clone(&served),
            Arc::clone(&handshakes),
            Arc::new(answer),
        ));
        Origin { address, served, handshakes, task }
    }

    /// What was served since this was last asked.
    pub(crate) fn served(&self) -> Vec<Served> {
        std::mem::take(&mut *self.served.lock().unwrap())
    }

    /// The kinds of the TLS handshakes so far.
    pub(crate) fn handshakes(&self) -> Vec<Option<rustls::HandshakeKind>> {
        self.handshakes.lock().unwrap().clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    served: Arc<Mutex<Vec<Served>>>,
    handshakes: Arc<Mutex<Vec<Option<rustls::HandshakeKind>>>>,
    answer: Arc<Answering>,
) {
    for connection in 0.. {
        let Ok((tcp, _peer)) = listener.accept().await else { return };
        tcp.set_nodelay(true).unwrap();
        let (tls, served, answer, handshakes) =
            (tls.clone(), Arc::clone(&served), Arc::clone(&answer), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                serve(request, Arc::clone(&served), Arc::clone(&answer), connection)
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // Whoever leaves in the middle may do so.
            let _left = match tls {
                None => builder.serve_connection(TokioIo::new(tcp), service).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    handshakes.lock().unwrap().push(stream.get_ref().1.handshake_kind());
                    builder.serve_connection(TokioIo::new(stream), service).await
                }
            };
        });
    }
}

async fn serve(
    request: Request<Incoming>,
    served: Arc<Mutex<Vec<Served>>>,
    answer: Arc<Answering>,
    connection: usize,
) -> Result<Response<Parts>, Infallible> {
    let (parts, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    let body_len = body.len();
    served.lock().unwrap().push(Served {
        version: parts.version,
        headers: parts.headers.clone(),
        body,
        connection,
    });
    let reply = answer(&parts, body_len);
    let length: usize = reply.parts.iter().map(Bytes::len).sum();
    let mut response = Response::new(Parts {
        parts: reply.parts.into(),
        trailers: (!reply.trailers.is_empty()).then(|| {
            let fields = reply.trailers.iter();
            fields
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        }),
    });
    *response.status_mut() = reply.status.try_into().unwrap();
    for (name, value) in reply.headers {
        response.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
    }
    if reply.sized {
        response.headers_mut().insert("content-length", length.into());
    }
    if !reply.trailers.is_empty() {
        let names: Vec<_> = reply.trailers.iter().map(|(name, _)| *name).collect();
        response.headers_mut().insert("trailer", HeaderValue::try_from(names.join(", ")).unwrap());
    }
    Ok(response)
}

/// A body in parts.
struct Parts {
    parts: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.pop_front().map(Frame::data);
        Poll::Ready(part.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && self.trailers.is_none()
    }
}
