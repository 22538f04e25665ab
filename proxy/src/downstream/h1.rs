//! HTTP/1 towards a client: one request after another over one connection (RFC 9112).

use super::head::{self, RequestHead};
use super::{Length, Lost, OutHead, date};
use crate::net::Io;
use crate::upstream::body::{BodyDecoder, Framing};
use crate::upstream::h1::end_of_head;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{Method, StatusCode, Version};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

/// A client's transport.
pub(crate) type Transport = Io<TlsStream<TcpStream>>;

/// Longest request head, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Time a client has for a head it has begun.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of following requests that are kept while one is served.
const PIPELINE_BYTES_MAX: usize = 256 * 1024;
/// Room made for a read, in bytes.
const READ_BYTES: usize = 4 * 1024;
/// Most room made for a read of a body, in bytes.
const READ_BYTES_LONG: usize = 512 * 1024;
/// Parts up to this many bytes are copied behind what waits to be written; larger ones are written from where they
/// are, together with it.
const JOIN_BYTES_MAX: usize = 16 * 1024;

/// A connection, and the request it is at.
pub(crate) struct H1 {
    transport: Transport,
    peer: Option<IpAddr>,
    /// Read and not yet taken.
    inbox: BytesMut,
    /// To be written.
    outbox: BytesMut,
    head: Parts,
    ambiguity: Option<&'static str>,
    body: BodyDecoder,
    answer: Answer,
    keep_alive: bool,
    /// Whether the client reads fields behind a body.
    trailers: bool,
    write_timeout: Duration,
    /// One timer for everything that is waited for; it is moved only when it fires.
    timer: Option<Pin<Box<Sleep>>>,
}

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// No head was written.
    None,
    /// So many bytes of the body are left to write.
    Sized(u64),
    /// Chunks follow.
    Chunked,
    /// Bytes follow until the connection closes.
    UntilClose,
    /// There is nothing to write any more.
    Done,
}

/// Why there is no next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// The client closed the connection, or was silent for too long.
    Closed,
    /// What it sent is not HTTP; it was told so.
    NotHttp,
}

impl H1 {
    /// A connection of which `inbox` was read already.
    pub(crate) fn new(transport: Transport, inbox: BytesMut) -> H1 {
        H1 {
            transport,
            peer: None,
            inbox,
            outbox: BytesMut::new(),
            head: empty_head(),
            ambiguity: None,
            body: BodyDecoder::new(Framing::Empty),
            answer: Answer::None,
            keep_alive: true,
            trailers: false,
            write_timeout: HEAD_TIME_MAX,
            timer: None,
        }
    }

    /// Notes where the connection is from.
    pub(crate) fn set_peer(&mut self, peer: IpAddr) {
        self.peer = Some(peer);
    }

    /// Where the connection is from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Reads the next request's head; waits at most `idle` for its first byte.
    pub(crate) async fn next_request(&mut self, idle: Duration) -> Result<(), NoRequest> {
        // The last head stands in the inbox's memory, which can be used again once nothing refers to it.
        self.head = empty_head();
        let bytes = self.read_head(idle).await?;
        let Ok(RequestHead { parts, framing, keep_alive, ambiguity }) = head::parse(&bytes) else {
            return Err(self.refuse(StatusCode::BAD_REQUEST).await);
        };
        self.head = parts;
        self.ambiguity = ambiguity;
        self.body = BodyDecoder::new(framing);
        self.answer = Answer::None;
        self.keep_alive = keep_alive;
        Ok(())
    }

    async fn read_head(&mut self, idle: Duration) -> Result<Bytes, NoRequest> {
        let mut searched = 0;
        // From its first byte on, a head has one deadline: a client that sends a byte now and then does not move it.
        let mut until = (!self.inbox.is_empty()).then(|| Instant::now() + HEAD_TIME_MAX);
        loop {
            // Line ends before a request line are passed over (RFC 9112 §2.2).
            while self.inbox.starts_with(b"\r\n") {
                self.inbox.advance(2);
                searched = 0;
            }
            if let Some(length) = end_of_head(&self.inbox, &mut searched) {
                return Ok(self.inbox.split_to(length).freeze());
            }
            if self.inbox.len() >= HEAD_BYTES_MAX {
                return Err(self.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).await);
            }
            let limit = until.map_or(idle, |until| until.saturating_duration_since(Instant::now()));
            if self.fill(READ_BYTES, limit).await.map_err(|_lost| NoRequest::Closed)? == 0 {
                return Err(NoRequest::Closed);
            }
            until.get_or_insert_with(|| Instant::now() + HEAD_TIME_MAX);
        }
    }

    /// Answers what is not HTTP, in no dialect: there is nothing that names one.
    async fn refuse(&mut self, status: StatusCode) -> NoRequest {
        self.keep_alive = false;
        self.outbox.clear();
        let line = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        self.outbox.extend_from_slice(line.as_bytes());
        // The connection ends next, whether or not the client still reads.
        let _ = self.flush().await;
        NoRequest::NotHttp
    }

    /// The request's head.
    pub(crate) fn head(&self) -> &Parts {
        &self.head
    }

    /// See [`Session::ambiguity`](super::Session::ambiguity).
    pub(crate) fn ambiguity(&self) -> Option<&'static str> {
        self.ambiguity
    }

    /// Whether the request's body was read to its end.
    pub(crate) fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    /// Whether a head was written.
    pub(crate) fn has_answered(&self) -> bool {
        self.answer != Answer::None
    }

    /// The connection ends with this answer.
    pub(crate) fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// How long a write may take.
    pub(crate) fn set_write_timeout(&mut self, timeout: Duration) {
        self.write_timeout = timeout;
    }

    /// Whether the connection can serve another request: this one was read and answered to its end.
    pub(crate) fn stays(&self) -> bool {
        self.keep_alive && self.body.is_done() && self.answer == Answer::Done
    }

    /// Says that the body is welcome.
    pub(crate) async fn write_continue(&mut self) -> Result<(), Lost> {
        if self.head.version == Version::HTTP_11 && self.inbox.is_empty() {
            self.outbox.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.flush().await?;
        }
        Ok(())
    }

    /// The next part of the body; `None` is its end. Cancel safe. A body that fits into `room` bytes is collected
    /// where it is read and comes in one part.
    pub(crate) async fn read_body(&mut self, room: usize) -> Result<Option<Bytes>, Lost> {
        loop {
            let wanted = usize::try_from(self.body.left().unwrap_or(0)).unwrap_or(usize::MAX);
            let whole = wanted > 0 && wanted <= room;
            if !self.inbox.is_empty() && (!whole || self.inbox.len() >= wanted) {
                let part = self.body.decode(&mut self.inbox).map_err(|_fault| Lost::Malformed)?;
                if self.inbox.is_empty() && part.len() > JOIN_BYTES_MAX {
                    // An empty buffer would keep the whole body's memory until something else is read into it.
                    self.inbox = BytesMut::new();
                }
                if !part.is_empty() {
                    return Ok(Some(part));
                }
            }
            if self.body.is_done() {
                return Ok(None);
            }
            let more = wanted.saturating_sub(self.inbox.len()).clamp(READ_BYTES, READ_BYTES_LONG);
            let more = if whole { more.max(wanted.saturating_sub(self.inbox.len())) } else { more };
            if self.fill(more, HEAD_TIME_MAX).await? == 0 {
                return Err(Lost::Gone);
            }
        }
    }

    /// Resolves when the client closes its connection. Cancel safe.
    pub(crate) async fn gone(&mut self) {
        while self.inbox.len() < PIPELINE_BYTES_MAX {
            if self.transport.readable().await.is_err() {
                return;
            }
            self.inbox.reserve(READ_BYTES);
            match self.transport.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => {
                    self.keep_alive = false;
                    return;
                }
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Lets go of memory that the rest of this exchange does not need: the head, but for what tells how to write an
    /// answer, and empty buffers.
    pub(crate) fn slim(&mut self) {
        let (method, version) = (std::mem::take(&mut self.head.method), self.head.version);
        self.head = empty_head();
        (self.head.method, self.head.version) = (method, version);
        for buffer in [&mut self.inbox, &mut self.outbox] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Writes a head.
    pub(crate) async fn write_head(&mut self, head: &OutHead<'_>, more_follows: bool) -> Result<(), Lost> {
        if !self.body.is_done() {
            self.skip_buffered_body();
        }
        // What is left of a body would be taken for the next request.
        self.keep_alive &= self.body.is_done();
        let http_11 = self.head.version == Version::HTTP_11;
        let bodyless = self.head.method == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        self.answer = match head.length {
            _ if bodyless => Answer::Done,
            Length::Known(0) => Answer::Done,
            Length::Known(length) => Answer::Sized(length),
            Length::Open if http_11 => Answer::Chunked,
            Length::Open => Answer::UntilClose,
        };
        self.keep_alive &= self.answer != Answer::UntilClose;
        self.trailers = self.answer == Answer::Chunked && super::takes_trailers(&self.head.headers);
        self.put_head(head);
        if more_follows && self.answer != Answer::Done { Ok(()) } else { self.flush().await }
    }

    fn put_head(&mut self, head: &OutHead<'_>) {
        let out = &mut self.outbox;
        out.reserve(head.fields.len() + 192);
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(head.status.as_str().as_bytes());
        out.put_u8(b' ');
        out.put_slice(head.reason.or(head.status.canonical_reason()).unwrap_or_default().as_bytes());
        out.put_slice(b"\r\n");
        out.extend_from_slice(head.fields);
        if !head.has_date {
            out.put_slice(b"date: ");
            date::with_now(|now| out.put_slice(now.as_bytes()));
            out.put_slice(b"\r\n");
        }
        match (head.length, self.answer) {
            (Length::Known(length), _) if head.status != StatusCode::NO_CONTENT => {
                out.put_slice(b"content-length: ");
                out.put_slice(itoa::Buffer::new().format(length).as_bytes());
                out.put_slice(b"\r\n");
            }
            (Length::Open, Answer::Chunked) => out.put_slice(b"transfer-encoding: chunked\r\n"),
            _ => {}
        }
        if !self.keep_alive {
            out.put_slice(b"connection: close\r\n");
        }
        out.put_slice(b"\r\n");
    }

    /// Takes what is here already of a body that nobody wants, so that a small one costs no connection.
    fn skip_buffered_body(&mut self) {
        while !self.inbox.is_empty() && !self.body.is_done() {
            if self.body.decode(&mut self.inbox).map_or(true, |part| part.is_empty()) {
                return;
            }
        }
    }

    /// Writes the head that switches to a WebSocket, with these fields.
    pub(crate) async fn write_switch(&mut self, fields: &[u8]) -> Result<(), Lost> {
        self.keep_alive = false;
        self.answer = Answer::Done;
        self.outbox
            .put_slice(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n");
        self.outbox.extend_from_slice(fields);
        self.outbox.extend_from_slice(b"\r\n");
        self.flush().await
    }

    /// The transport after a switch of protocols, and what was read of it.
    pub(crate) fn tunnel(&mut self) -> (&mut Transport, BytesMut) {
        (&mut self.transport, std::mem::take(&mut self.inbox))
    }

    /// Writes a part of the body.
    pub(crate) async fn write_body(&mut self, part: Bytes, more_follows: bool) -> Result<(), Lost> {
        if part.is_empty() {
            return Ok(());
        }
        match &mut self.answer {
            Answer::Sized(left) => {
                *left = left.saturating_sub(part.len() as u64);
                if *left == 0 {
                    self.answer = Answer::Done;
                }
                self.put_part(part, b"", more_follows).await
            }
            Answer::Chunked => {
                self.put_chunk_size(part.len());
                self.put_part(part, b"\r\n", more_follows).await
            }
            Answer::UntilClose => self.put_part(part, b"", more_follows).await,
            // The head said that there is no body (HEAD, 204, 304).
            Answer::None | Answer::Done => Ok(()),
        }
    }

    fn put_chunk_size(&mut self, size: usize) {
        let mut digits = [0; 16];
        let mut at = digits.len();
        let mut left = size;
        while left > 0 {
            at -= 1;
            if let (Some(digit), Some(hex)) = (digits.get_mut(at), b"0123456789abcdef".get(left & 15)) {
                *digit = *hex;
            }
            left >>= 4;
        }
        self.outbox.extend_from_slice(digits.get(at..).unwrap_or_default());
        self.outbox.extend_from_slice(b"\r\n");
    }

    async fn put_part(&mut self, part: Bytes, after: &[u8], more_follows: bool) -> Result<(), Lost> {
        if part.len() <= JOIN_BYTES_MAX {
            self.outbox.extend_from_slice(&part);
            self.outbox.extend_from_slice(after);
            if more_follows && self.outbox.len() <= JOIN_BYTES_MAX {
                return Ok(());
            }
            return self.flush().await;
        }
        self.flush_with(part).await?;
        self.outbox.extend_from_slice(after);
        if more_follows { Ok(()) } else { self.flush().await }
    }

    /// See [`Session::takes_trailers`](super::Session::takes_trailers).
    pub(crate) fn takes_trailers(&self) -> bool {
        self.head.version == Version::HTTP_11 && super::takes_trailers(&self.head.headers)
    }

    /// Ends the body with these fields behind it, if it goes in chunks and the client reads them.
    pub(crate) async fn finish_with(&mut self, lines: &[u8]) -> Result<(), Lost> {
        if self.answer == Answer::Chunked && self.trailers {
            for part in [&b"0\r\n"[..], lines, b"\r\n"] {
                self.outbox.extend_from_slice(part);
            }
            self.answer = Answer::Done;
        }
        self.finish_body().await
    }

    /// Ends the body and writes what waits.
    pub(crate) async fn finish_body(&mut self) -> Result<(), Lost> {
        match self.answer {
            Answer::Chunked => self.outbox.extend_from_slice(b"0\r\n\r\n"),
            // Fewer bytes than promised: the client must not take what follows for the rest.
            Answer::Sized(_) => self.keep_alive = false,
            Answer::None | Answer::UntilClose | Answer::Done => {}
        }
        if self.answer == Answer::Chunked {
            self.answer = Answer::Done;
        }
        self.flush().await
    }

    /// Writes everything that waits.
    async fn flush(&mut self) -> Result<(), Lost> {
        self.flush_with(Bytes::new()).await
    }

    /// Writes everything that waits, and `part` behind it without copying it.
    async fn flush_with(&mut self, mut part: Bytes) -> Result<(), Lost> {
        let H1 { transport, outbox, timer, write_timeout, .. } = self;
        let writing = poll_fn(|cx| {
            while !outbox.is_empty() || !part.is_empty() {
                let mut written = if part.is_empty() {
                    ready!(Pin::new(&mut *transport).poll_write(cx, outbox))?
                } else {
                    let slices = [IoSlice::new(outbox), IoSlice::new(&part)];
                    ready!(Pin::new(&mut *transport).poll_write_vectored(cx, &slices))?
                };
                if written == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero)));
                }
                let waiting = written.min(outbox.len());
                outbox.advance(waiting);
                written -= waiting;
                part.advance(written);
            }
            Pin::new(&mut *transport).poll_flush(cx)
        });
        within(timer, *write_timeout, writing).await
    }

    /// Reads what there is into the inbox, waiting at most `limit`. Zero is the end. Cancel safe.
    async fn fill(&mut self, room: usize, limit: Duration) -> Result<usize, Lost> {
        let H1 { transport, inbox, timer, .. } = self;
        if inbox.capacity() - inbox.len() < room {
            inbox.reserve(room);
        }
        within(timer, limit, transport.read_buf(inbox)).await
    }

    /// Closes the connection so that the client reads all of its answer first: what it still sends is taken for a
    /// moment, because a close with unread bytes is a reset.
    pub(crate) async fn close(mut self) {
        // The peer may be gone already.
        let _ = self.transport.shutdown().await;
        let mut rest = [0; 4096];
        let lingering = async {
            for _ in 0..LINGER_READS_MAX {
                let mut buf = ReadBuf::new(&mut rest);
                let read = poll_fn(|cx| Pin::new(&mut self.transport).poll_read(cx, &mut buf)).await;
                if read.is_err() || buf.filled().is_empty() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER_TIME_MAX, lingering).await;
    }
}

fn empty_head() -> Parts {
    http::Request::new(()).into_parts().0
}

/// Time a closed connection is still read from.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);
/// Reads that a closed connection is still good for, of 4 KiB each.
const LINGER_READS_MAX: usize = 1024;

/// Awaits `work`, which reads or writes, for at most `limit`.
async fn within<T>(
    timer: &mut Option<Pin<Box<Sleep>>>,
    limit: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, Lost> {
    let mut work = pin!(work);
    let mut until: Option<Instant> = None;
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = work.as_mut().poll(cx) {
            return Poll::Ready(outcome.map_err(|_error| Lost::Gone));
        }
        let until = *until.get_or_insert_with(|| Instant::now() + limit);
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        // A timer set for an earlier wait fires early and is moved then; one set for later is moved now.
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(Err(Lost::Stalled));
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Both ends of a connection: the server's as the gateway sees it, and the client's raw.
    async fn pair() -> (H1, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _peer) = listener.accept().await.unwrap();
        (H1::new(Io::Plain(server), BytesMut::new()), client)
    }

    /// A request whose head has `length` bytes.
    fn request(length: usize) -> Vec<u8> {
        let (start, end) = ("GET / HTTP/1.1\r\nhost: h\r\na: ", "\r\n\r\n");
        format!("{start}{}{end}", "b".repeat(length - start.len() - end.len())).into_bytes()
    }

    /// What becomes of a request, and what its client reads.
    async fn outcome(request: Vec<u8>) -> (Result<(), NoRequest>, Vec<u8>) {
        let (mut h1, mut client) = pair().await;
        let sent = tokio::spawn(async move {
            client.write_all(&request).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            // A reset after the answer is fine.
            let _ = client.read_to_end(&mut answer).await;
            answer
        });
        let next = h1.next_request(HEAD_TIME_MAX).await;
        match next {
            Ok(()) => drop(h1),
            Err(_) => h1.close().await,
        }
        (next, sent.await.unwrap())
    }

    #[tokio::test]
    async fn a_head_has_a_limit() {
        assert_eq!(outcome(request(HEAD_BYTES_MAX)).await.0, Ok(()));
        let (next, answer) = outcome(request(HEAD_BYTES_MAX + READ_BYTES)).await;
        assert_eq!(next, Err(NoRequest::NotHttp));
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", answer.escape_ascii());
    }

    #[tokio::test]
    async fn blank_lines_before_a_request_are_passed_over_and_a_silent_end_is_no_request() {
        let padded = [b"\r\n\r\n".to_vec(), request(64)].concat();
        assert_eq!(outcome(padded).await.0, Ok(()));
        assert_eq!(outcome(Vec::new()).await.0, Err(NoRequest::Closed));
        assert_eq!(outcome(b"GET / HTTP/1.1\r\n".to_vec()).await.0, Err(NoRequest::Closed));
    }

    #[tokio::test]
    async fn a_client_that_is_silent_is_given_up() {
        let (mut h1, _client) = pair().await;
        assert_eq!(h1.next_request(Duration::from_millis(1)).await, Err(NoRequest::Closed));
    }

    #[tokio::test]
    async fn a_body_of_known_length_comes_in_one_part_and_the_next_request_stays() {
        let (mut h1, mut client) = pair().await;
        let body = vec![b'x'; 200_000];
        let mut sent =
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        sent.extend_from_slice(&body);
        sent.extend_from_slice(&request(64));
        let writer = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client
        });
        h1.next_request(HEAD_TIME_MAX).await.unwrap();
        assert_eq!(h1.read_body(body.len()).await.unwrap().as_deref(), Some(&body[..]));
        assert_eq!(h1.read_body(body.len()).await, Ok(None));
        let head = OutHead {
            status: StatusCode::OK,
            reason: None,
            fields: b"",
            has_date: false,
            length: Length::Known(0),
        };
        h1.write_head(&head, false).await.unwrap();
        h1.finish_body().await.unwrap();
        assert!(h1.stays());
        h1.next_request(HEAD_TIME_MAX).await.unwrap();
        assert_eq!(h1.head().method, Method::GET);
        drop(writer.await.unwrap());
    }
}
