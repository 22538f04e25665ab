//! An HTTP/2 client whose request bodies are fed by hand.

use super::{Answer, Ask, client, patient};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// A body whose parts come from a channel.
pub(crate) struct Fed(mpsc::Receiver<Bytes>);

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

/// An HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct H2(http2::SendRequest<Fed>);

impl H2 {
    /// Speaks HTTP/2 over a connection, with prior knowledge.
    pub(crate) async fn over(stream: impl client::Duplex + 'static) -> H2 {
        let (sender, connection) =
            http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        H2(sender)
    }

    /// Waits until the gateway has ended the connection.
    pub(crate) async fn ended(&mut self) {
        patient("the end of an HTTP/2 connection", async {
            while self.0.ready().await.is_ok() && !self.0.is_closed() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Begins a request; its body is what is sent into the channel until that is dropped.
    pub(crate) async fn begin(&mut self, ask: &Ask) -> (mpsc::Sender<Bytes>, http::Response<Incoming>) {
        let (parts, feed) = mpsc::channel(64);
        for part in ask.body.chunks(16 * 1024).take(60) {
            parts.send(Bytes::copy_from_slice(part)).await.unwrap();
        }
        let response = patient("an HTTP/2 head", self.0.send_request(request(ask, feed))).await.unwrap();
        (parts, response)
    }

    /// Asks and reads the answer.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        answer(self.head(ask).await).await
    }

    /// Asks and reads the head of the answer.
    pub(crate) async fn head(&mut self, ask: &Ask) -> http::Response<Incoming> {
        let (parts, feed) = mpsc::channel(4);
        let body = ask.body.clone();
        tokio::spawn(async move {
            for part in body.chunks(16 * 1024) {
                // Nobody wants the rest of a refused body.
                if parts.send(Bytes::copy_from_slice(part)).await.is_err() {
                    return;
                }
            }
        });
        patient("an HTTP/2 head", self.0.send_request(request(ask, feed))).await.unwrap()
    }
}

fn request(ask: &Ask, feed: mpsc::Receiver<Bytes>) -> Request<Fed> {
    let mut request = Request::new(Fed(feed));
    *request.method_mut() = ask.method.parse().unwrap();
    *request.uri_mut() = format!("http://gateway.test{}", ask.target).parse::<Uri>().unwrap();
    for (name, value) in &ask.headers {
        let name = HeaderName::try_from(name).unwrap();
        request.headers_mut().append(name, HeaderValue::try_from(value).unwrap());
    }
    request
}

/// Reads a whole answer.
pub(crate) async fn answer(response: http::Response<Incoming>) -> Answer {
    answer_and_trailers(response).await.0
}

/// Reads a whole answer, and the fields behind its body.
pub(crate) async fn answer_and_trailers(response: http::Response<Incoming>) -> (Answer, http::HeaderMap) {
    let headers = response.headers().iter();
    let head = client::Head {
        status: response.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
    };
    let (mut body, mut whole) = (Vec::new(), true);
    let mut trailers = http::HeaderMap::new();
    let mut incoming = response.into_body();
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx));
        match patient("an HTTP/2 frame", frame).await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            },
            Some(Err(_reset)) => {
                whole = false;
                break;
            }
            None => break,
        }
    }
    (Answer { head, body, whole }, trailers)
}
