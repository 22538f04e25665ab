//! HTTP/1.1 towards a provider: one exchange at a time over one connection.

mod upload;

use super::Fault;
use super::body::{BodyDecoder, Framing};
use super::connect::Wire;
use super::head::{HEAD_BYTES_MAX, Head, parse_head};
use super::trailers;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use http::StatusCode;
use memchr::memchr;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Interim (1xx) heads read before the final one.
const INTERIM_HEADS_MAX: usize = 16;
/// Room made for a read when little is known about what comes, in bytes.
const READ_BYTES: usize = 16 * 1024;
/// Room made for a read when a long body is known to come, in bytes.
const READ_BYTES_LONG: usize = 128 * 1024;
/// Bodies up to this many bytes are written in one piece with their head.
const JOINED_BODY_BYTES_MAX: usize = 8 * 1024;
/// Slices handed to one vectored write.
const SLICES_MAX: usize = 16;
/// How long an answer is looked for that a provider gave before it stopped reading: it was sent before the connection
/// broke, and so is here or on its last way.
const EARLY_ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// A connection that speaks HTTP/1.1.
#[derive(Debug)]
pub(crate) struct H1 {
    wire: Wire,
    /// Bytes read and not yet taken.
    buf: BytesMut,
    /// How far the answer's body is.
    body: BodyDecoder,
    /// Whether it may serve another exchange after this one.
    keep_alive: bool,
    /// Whether the request could not be written to its end.
    broken: bool,
    /// Whether this connection served an exchange before.
    pub(crate) reused: bool,
    /// Whether any byte of an answer was read in this exchange.
    pub(crate) answered: bool,
}

impl H1 {
    /// A fresh connection.
    pub(crate) fn new(wire: Wire) -> H1 {
        H1 {
            wire,
            buf: BytesMut::new(),
            body: BodyDecoder::new(Framing::Empty),
            keep_alive: true,
            broken: false,
            reused: false,
            answered: false,
        }
    }

    /// Whether an idle connection is still open and silent. Costs no system call unless something happened.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut probe = [0; 1];
        self.buf.is_empty() && self.wire.read(&mut probe).now_or_never().is_none()
    }

    /// Writes a request's head and body, in as few writes as the socket takes. A provider that refuses a body often
    /// answers and closes before it has read it: that answer counts for more than the broken pipe.
    pub(crate) async fn send(&mut self, head: &Bytes, body: &[Bytes]) -> Result<(), Fault> {
        self.answered = false;
        let Err(error) = self.write(head, body).await else { return Ok(()) };
        self.broken = true;
        let answer = Box::pin(tokio::time::timeout(EARLY_ANSWER_WITHIN, self.answer_begins()));
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Fault::Write(error)),
        }
    }

    async fn write(&mut self, head: &Bytes, body: &[Bytes]) -> io::Result<()> {
        let small: usize = body.iter().map(Bytes::len).sum();
        if small <= JOINED_BODY_BYTES_MAX {
            // Copying a small body costs less than a vectored write does.
            let mut whole = BytesMut::with_capacity(head.len() + small);
            whole.extend_from_slice(head);
            for part in body {
                whole.extend_from_slice(part);
            }
            self.wire.write_all(&whole).await?;
            return self.wire.flush().await;
        }
        let mut parts: Vec<Bytes> = Vec::with_capacity(body.len() + 1);
        parts.push(head.clone());
        parts.extend(body.iter().filter(|part| !part.is_empty()).cloned());
        self.write_all(&mut parts).await
    }

    async fn write_all(&mut self, parts: &mut [Bytes]) -> io::Result<()> {
        let mut first = 0;
        while let Some(rest) = parts.get_mut(first..).filter(|rest| !rest.is_empty()) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(rest.iter()) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            let mut written = self.wire.write_vectored(slices.get(..count).unwrap_or(&[])).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            for part in rest.iter_mut() {
                let taken = written.min(part.len());
                part.advance(taken);
                written -= taken;
                if !part.is_empty() {
                    break;
                }
                first += 1;
            }
        }
        self.wire.flush().await
    }

    /// Reads the final response head. Interim heads are passed over.
    pub(crate) async fn read_head(&mut self) -> Result<Head, Fault> {
        let head = self.read_switch().await?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Fault::Protocol("it switches protocols unasked".to_owned()));
        }
        Ok(head)
    }

    /// As [`read_head`](Self::read_head), of a request that asks for another protocol: 101 is final.
    pub(crate) async fn read_switch(&mut self) -> Result<Head, Fault> {
        for _ in 0..INTERIM_HEADS_MAX {
            let length = self.head_length().await?;
            let bytes = self.buf.split_to(length).freeze();
            let head = parse_head(&bytes)?;
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                self.body = BodyDecoder::new(head.framing);
                self.keep_alive = head.keep_alive;
                return Ok(head);
            }
        }
        Err(Fault::Protocol("too many interim responses".to_owned()))
    }

    /// Reads until a whole head is buffered; its length.
    async fn head_length(&mut self) -> Result<usize, Fault> {
        let mut searched = 0;
        loop {
            if let Some(length) = end_of_head(&self.buf, &mut searched) {
                return Ok(length);
            }
            if self.buf.len() >= HEAD_BYTES_MAX {
                return Err(Fault::Protocol(format!("its head is longer than {HEAD_BYTES_MAX} bytes")));
            }
            if self.fill(READ_BYTES).await? == 0 {
                return Err(Fault::Cut);
            }
        }
    }

    /// Reads the next part of a body: what is there now, over as many chunks as were readable at once. `None` is
    /// the end. Cancel safe: bytes are taken off the connection only when they are returned.
    pub(crate) async fn read_body(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            if !self.buf.is_empty() && !self.body.is_done() {
                let payload =
                    self.body.decode(&mut self.buf).map_err(|fault| Fault::Protocol(fault.to_string()))?;
                if !payload.is_empty() {
                    return Ok(Some(payload));
                }
            }
            if self.body.is_done() {
                return Ok(None);
            }
            let long = self.body.left().is_some_and(|left| left > READ_BYTES as u64);
            if self.fill(if long { READ_BYTES_LONG } else { READ_BYTES }).await? == 0 {
                return if self.body.may_close() { Ok(None) } else { Err(Fault::Cut) };
            }
        }
    }

    /// The transport, and what was read of it behind the head that switched protocols.
    pub(crate) fn tunnel(&mut self) -> (&mut Wire, BytesMut) {
        self.keep_alive = false;
        (&mut self.wire, std::mem::take(&mut self.buf))
    }

    /// Whether the answer was read to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.body.is_done()
    }

    /// How many bytes of the body are known to follow, if its framing tells.
    pub(crate) fn left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Fields behind the body, as lines, once it is done.
    pub(crate) fn trailers(&self) -> Option<Bytes> {
        trailers::of_lines(self.body.trailers())
    }

    /// Whether it can serve another exchange: this one ended, and nothing that nobody asked for follows it.
    pub(crate) fn stays(&self) -> bool {
        self.keep_alive && !self.broken && self.body.is_done() && self.buf.is_empty()
    }

    async fn fill(&mut self, room: usize) -> Result<usize, Fault> {
        // A reset is a cut by another name.
        let cut = |_error| Fault::Cut;
        if self.buf.is_empty() {
            // Thousands of streams wait at once: none of them keeps an empty buffer while it does.
            self.buf = BytesMut::new();
            self.wire.readable().await.map_err(cut)?;
        }
        if self.buf.capacity() - self.buf.len() < room / 4 {
            self.buf.reserve(room);
        }
        let read = self.wire.read_buf(&mut self.buf).await.map_err(cut)?;
        self.answered |= read > 0;
        Ok(read)
    }
}

/// The length of the head at the front of `buf`: up to and with its blank line. `searched` remembers how far the
/// search got, so that a head that comes byte by byte costs linear work.
pub(crate) fn end_of_head(buf: &[u8], searched: &mut usize) -> Option<usize> {
    while let Some(found) = memchr(b'\n', buf.get(*searched..)?) {
        let line_end = *searched + found;
        match buf.get(line_end + 1..) {
            Some([b'\n', ..]) => return Some(line_end + 2),
            Some([b'\r', b'\n', ..]) => return Some(line_end + 3),
            Some([] | [b'\r']) | None => {
                // The next bytes decide; look at this line end again.
                *searched = line_end;
                return None;
            }
            Some(_) => *searched = line_end + 1,
        }
    }
    *searched = buf.len();
    None
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_at_any_split() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n";
        let whole = end_of_head(text, &mut 0);
        assert_eq!(whole, Some(25));
        let mut searched = 0;
        let found = (1..=text.len()).find_map(|to| end_of_head(&text[..to], &mut searched));
        assert_eq!(found, whole);
        assert_eq!(end_of_head(b"HTTP/1.0 200 OK\nA: b\n\nbody", &mut 0), Some(22));
    }
}
