//! A response as it comes off the wire: a push machine over HTTP/1.1 heads and bodies.

use anyhow::{Result, bail, ensure};

/// Longest head, in bytes.
pub const MAX_HEAD_BYTES: usize = 256 << 10;
/// Most header lines, in lines.
pub const MAX_HEADERS: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize { size: u64, digits: u8, extension: bool },
    ChunkData(u64),
    ChunkEnd,
    Trailer { blank: bool },
    UntilClose,
    Done,
}

/// Reads one response. Its answer is the same however the bytes are cut.
#[derive(Debug)]
pub struct ResponseReader {
    state: State,
    head: Vec<u8>,
    status: u16,
    close: bool,
}

impl Default for ResponseReader {
    fn default() -> ResponseReader {
        ResponseReader { state: State::Head, head: Vec::new(), status: 0, close: false }
    }
}

impl ResponseReader {
    /// Starts over for the next response on the connection.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.head.clear();
        self.status = 0;
        self.close = false;
    }

    /// The status, once the head has been read.
    pub fn status(&self) -> Option<u16> {
        (self.state != State::Head).then_some(self.status)
    }

    /// Whether the whole response has been read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the connection ends with this response.
    pub fn closes(&self) -> bool {
        self.close
    }

    /// The server closed its side. True if that ended the response as it should.
    pub fn finish(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Takes bytes; hands the body's bytes to `sink`. Returns how many bytes belonged to this response.
    ///
    /// # Errors
    /// The bytes are not HTTP/1.1, or a head exceeds its limits.
    pub fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize> {
        let mut at = 0;
        while self.state != State::Done {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            at += self.step(rest, sink)?;
        }
        Ok(at)
    }

    fn step(&mut self, rest: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<usize> {
        match self.state {
            State::Head => return self.head(rest),
            State::Length(left) | State::ChunkData(left) => {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                sink(rest.get(..take).unwrap_or_default());
                let left = left - take as u64;
                self.state = match self.state {
                    State::Length(_) if left == 0 => State::Done,
                    State::Length(_) => State::Length(left),
                    _ if left == 0 => State::ChunkEnd,
                    _ => State::ChunkData(left),
                };
                return Ok(take);
            }
            State::UntilClose => {
                sink(rest);
                return Ok(rest.len());
            }
            State::Done => return Ok(0),
            State::ChunkSize { .. } | State::ChunkEnd | State::Trailer { .. } => {}
        }
        let Some(&byte) = rest.first() else { return Ok(0) };
        self.state = match self.state {
            State::ChunkSize { size, digits, extension } => chunk_size(byte, size, digits, extension)?,
            State::ChunkEnd => match byte {
                b'\r' => State::ChunkEnd,
                b'\n' => State::ChunkSize { size: 0, digits: 0, extension: false },
                _ => bail!("a chunk does not end where it should"),
            },
            State::Trailer { blank } => match byte {
                b'\n' if blank => State::Done,
                b'\n' => State::Trailer { blank: true },
                b'\r' => State::Trailer { blank },
                _ => State::Trailer { blank: false },
            },
            other => other,
        };
        Ok(1)
    }

    fn head(&mut self, rest: &[u8]) -> Result<usize> {
        if self.head.is_empty()
            && let Some(end) = self.parse(rest)?
        {
            return Ok(end);
        }
        // The head comes in pieces: gather until its end shows.
        let before = self.head.len();
        self.head.extend_from_slice(rest);
        ensure!(self.head.len() <= MAX_HEAD_BYTES + rest.len(), "head too long");
        let gathered = std::mem::take(&mut self.head);
        let parsed = self.parse(&gathered)?;
        match parsed {
            Some(end) => Ok(end - before),
            None => {
                ensure!(gathered.len() <= MAX_HEAD_BYTES, "head too long");
                self.head = gathered;
                Ok(rest.len())
            }
        }
    }

    /// Parses a head; its end, or `None` if it is not whole.
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut lines);
        let httparse::Status::Complete(end) = response.parse(bytes)? else { return Ok(None) };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) {
            return Ok(Some(end));
        }
        let mut state = State::UntilClose;
        for line in response.headers.iter() {
            if line.name.eq_ignore_ascii_case("content-length") && state == State::UntilClose {
                let length: u64 = std::str::from_utf8(line.value)?.trim().parse()?;
                state = if length == 0 { State::Done } else { State::Length(length) };
            } else if line.name.eq_ignore_ascii_case("transfer-encoding") {
                state = State::ChunkSize { size: 0, digits: 0, extension: false };
            } else if line.name.eq_ignore_ascii_case("connection") {
                self.close = line.value.eq_ignore_ascii_case(b"close");
            }
        }
        if matches!(status, 204 | 304) {
            state = State::Done;
        }
        self.close |= state == State::UntilClose;
        self.status = status;
        self.state = state;
        Ok(Some(end))
    }
}

/// The state after one byte of a chunk's size line.
fn chunk_size(byte: u8, size: u64, digits: u8, extension: bool) -> Result<State> {
    let value = match byte {
        b'\n' => {
            ensure!(digits > 0, "a chunk without a size");
            return Ok(if size == 0 { State::Trailer { blank: true } } else { State::ChunkData(size) });
        }
        b'\r' => return Ok(State::ChunkSize { size, digits, extension }),
        _ if extension => return Ok(State::ChunkSize { size, digits, extension }),
        b';' | b' ' | b'\t' => return Ok(State::ChunkSize { size, digits, extension: true }),
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => bail!("a chunk's size is not a number"),
    };
    ensure!(digits < 16, "a chunk's size is too long");
    Ok(State::ChunkSize { size: (size << 4) | u64::from(value), digits: digits + 1, extension })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> (u16, Vec<u8>, bool, usize) {
        let mut reader = ResponseReader::default();
        let mut body = Vec::new();
        let mut used = 0;
        for piece in pieces {
            used += reader.push(piece, &mut |data| body.extend_from_slice(data)).unwrap();
        }
        (reader.status().unwrap_or(0), body, reader.is_done(), used)
    }

    #[test]
    fn any_split_reads_the_same() {
        let wires: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nt: v\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nB\r\nhello world\r\n0\r\n\r\n",
        ];
        for wire in wires {
            for first in 0..wire.len() {
                for second in first..wire.len() {
                    let found = read(&[&wire[..first], &wire[first..second], &wire[second..]]);
                    assert_eq!(found, (200, b"hello world".to_vec(), true, wire.len()), "{first} {second}");
                }
            }
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(read(&bytes), (200, b"hello world".to_vec(), true, wire.len()));
        }
    }

    #[test]
    fn what_follows_a_response_is_not_taken() {
        let wire = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1";
        assert_eq!(read(&[wire]), (200, b"ok".to_vec(), true, wire.len() - 8));
    }

    #[test]
    fn a_response_without_length_ends_with_the_connection() {
        let mut reader = ResponseReader::default();
        reader.push(b"HTTP/1.1 200 OK\r\n\r\nabc", &mut |_| {}).unwrap();
        assert!(!reader.is_done() && reader.closes() && reader.finish());
        reader.reset();
        reader.push(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc", &mut |_| {}).unwrap();
        assert!(!reader.finish(), "cut in its body");
    }

    #[test]
    fn nonsense_is_an_error() {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        for wire in [
            "\0\0\0\0",
            &format!("{chunked}zz\r\n"),
            &format!("{chunked}\r\n"),
            &format!("{chunked}1\r\nabc"),
        ] {
            assert!(ResponseReader::default().push(wire.as_bytes(), &mut |_| {}).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_head_may_have_its_limit_and_not_more() {
        let head = |length: usize| {
            let frame = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: \r\n\r\n".len();
            format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: {}\r\n\r\n", "a".repeat(length - frame))
        };
        let push = |text: &str| {
            let mut reader = ResponseReader::default();
            for piece in text.as_bytes().chunks(1 << 16) {
                reader.push(piece, &mut |_| {})?;
            }
            anyhow::Ok(reader.is_done())
        };
        assert!(push(&head(MAX_HEAD_BYTES)).unwrap());
        assert!(push(&head(MAX_HEAD_BYTES + (1 << 16) + 1)).is_err());
    }
}
