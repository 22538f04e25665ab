//! Framing of an HTTP/1.1 response body (RFC 9112 §6 and §7.1), incremental and without copies where it can.

use bytes::{Buf, Bytes, BytesMut};

/// Longest chunk-size line (size and extensions), in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;
/// Longest trailer section, in bytes.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// This many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// A body that is not framed as HTTP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingFault {
    /// A chunk size is not hexadecimal, or too large.
    #[error("a chunk size is malformed")]
    ChunkSize,
    /// A chunk-size line or the trailer section is longer than allowed.
    #[error("a chunk-size line or the trailer section is too long")]
    TooLong,
    /// A chunk does not end where its size says.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sized { left: u64 },
    UntilClose,
    ChunkSize { size: u64, digits: u8, line: usize, extension: bool },
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer { line: usize, total: usize },
    Done,
}

/// Takes a body out of the bytes of a connection.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// The trailer section as far as it was read; it costs nothing until there is one.
    trailers: Vec<u8>,
}

const CHUNK_START: State = State::ChunkSize { size: 0, digits: 0, line: 0, extension: false };

impl BodyDecoder {
    /// A decoder for a body with this framing.
    pub fn new(framing: Framing) -> BodyDecoder {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Sized { left },
            Framing::Chunked => CHUNK_START,
            Framing::UntilClose => State::UntilClose,
        };
        BodyDecoder { state, trailers: Vec::new() }
    }

    /// Whether the whole body was seen. A body that runs until close is complete when the connection is.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether a connection that closes now ends the body properly.
    pub fn may_close(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// The trailer section: lines, each with its line end; empty when there is none.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// How many bytes are known to follow, if the framing tells.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Sized { left } | State::ChunkData { left } => Some(left),
            _ => None,
        }
    }

    /// Takes the payload at the front of `buf`, over as many chunks as are there, and leaves what belongs to
    /// no body. Chunks are joined by moving their payload down over the framing between them. What precedes a fault
    /// is given out first; the next call finds the fault.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Bytes, FramingFault> {
        match self.state {
            State::Done => Ok(Bytes::new()),
            State::UntilClose => Ok(buf.split().freeze()),
            State::Sized { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
                let left = left - taken as u64;
                self.state = if left == 0 { State::Done } else { State::Sized { left } };
                Ok(buf.split_to(taken).freeze())
            }
            _ => self.decode_chunks(buf),
        }
    }

    fn decode_chunks(&mut self, buf: &mut BytesMut) -> Result<Bytes, FramingFault> {
        let mut position = 0;
        // The joined payload stands at buf[start..end].
        let mut start = 0;
        let mut end = 0;
        while position < buf.len() && self.state != State::Done {
            if let State::ChunkData { left } = self.state {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len() - position);
                if start == end {
                    (start, end) = (position, position);
                }
                if end != position {
                    buf.copy_within(position..position + taken, end);
                }
                end += taken;
                position += taken;
                let left = left - taken as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData { left } };
            } else {
                let byte = buf.get(position).copied().unwrap_or_default();
                match self.step(byte) {
                    Ok(()) => position += 1,
                    Err(fault) if start == end => return Err(fault),
                    Err(_found_again) => break,
                }
            }
        }
        buf.advance(start);
        let payload = buf.split_to(end - start).freeze();
        buf.advance(position - end.max(start));
        Ok(payload)
    }

    /// One byte of framing. Bare line feeds are taken as line ends, as RFC 9112 §2.2 allows.
    fn step(&mut self, byte: u8) -> Result<(), FramingFault> {
        self.state = match self.state {
            State::ChunkSize { size, digits, line, extension } => {
                if line >= CHUNK_LINE_BYTES_MAX {
                    return Err(FramingFault::TooLong);
                }
                match byte {
                    b'\n' if digits == 0 => return Err(FramingFault::ChunkSize),
                    b'\n' if size == 0 => State::Trailer { line: 0, total: 0 },
                    b'\n' => State::ChunkData { left: size },
                    _ if extension => State::ChunkSize { size, digits, line: line + 1, extension },
                    b';' | b' ' | b'\t' | b'\r' if digits > 0 => {
                        State::ChunkSize { size, digits, line: line + 1, extension: true }
                    }
                    _ => {
                        let digit = char::from(byte).to_digit(16).ok_or(FramingFault::ChunkSize)?;
                        // Fifteen digits keep every size below 2^60.
                        if digits >= 15 {
                            return Err(FramingFault::ChunkSize);
                        }
                        let size = size << 4 | u64::from(digit);
                        State::ChunkSize { size, digits: digits + 1, line: line + 1, extension: false }
                    }
                }
            }
            State::ChunkEnd => match byte {
                b'\r' => State::ChunkEnd,
                b'\n' => CHUNK_START,
                _ => return Err(FramingFault::ChunkEnd),
            },
            State::Trailer { line, total } => {
                if total >= TRAILER_BYTES_MAX {
                    return Err(FramingFault::TooLong);
                }
                if line > 0 || !matches!(byte, b'\r' | b'\n') {
                    self.trailers.push(byte);
                }
                match byte {
                    b'\n' if line == 0 => State::Done,
                    b'\n' => State::Trailer { line: 0, total: total + 1 },
                    b'\r' => State::Trailer { line, total: total + 1 },
                    _ => State::Trailer { line: line + 1, total: total + 1 },
                }
            }
            state @ (State::Sized { .. } | State::UntilClose | State::ChunkData { .. } | State::Done) => {
                state
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_all(
        framing: Framing,
        wire: &[u8],
        cuts: &[usize],
    ) -> Result<(Vec<u8>, bool, Vec<u8>), FramingFault> {
        let mut decoder = BodyDecoder::new(framing);
        let mut buf = BytesMut::new();
        let mut payload = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([wire.len()]) {
            let to = to.clamp(from, wire.len());
            buf.extend_from_slice(&wire[from..to]);
            from = to;
            loop {
                let part = decoder.decode(&mut buf)?;
                if part.is_empty() {
                    break;
                }
                payload.extend_from_slice(&part);
            }
        }
        Ok((payload, decoder.is_done(), buf.to_vec()))
    }

    fn chunked(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in parts {
            wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            wire.extend_from_slice(part);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire
    }

    #[test]
    fn chunks_are_joined_and_what_follows_the_body_stays() {
        let mut wire = chunked(&[b"hello ".to_vec(), b"world".to_vec()]);
        wire.extend_from_slice(b"HTTP/1.1");
        let decoded = decode_all(Framing::Chunked, &wire, &[]).unwrap();
        assert_eq!(decoded, (b"hello world".to_vec(), true, b"HTTP/1.1".to_vec()));
    }

    #[test]
    fn extensions_and_trailers_are_not_payload() {
        let wire = b"5;a=\"b\"\r\nhello\r\n0\r\nDigest: x\r\n\r\n";
        assert_eq!(decode_all(Framing::Chunked, wire, &[]).unwrap(), (b"hello".to_vec(), true, Vec::new()));
    }

    #[test]
    fn a_trailer_section_is_kept_as_it_came_at_any_split() {
        let wire = b"1\r\nx\r\n0\r\nA: b\r\nc:  d \n\r\nnext";
        for cut in 0..wire.len() {
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            for part in [&wire[..cut], &wire[cut..]] {
                let mut buf = BytesMut::from(part);
                decoder.decode(&mut buf).unwrap();
            }
            assert_eq!(decoder.trailers(), b"A: b\r\nc:  d \n", "cut at {cut}");
        }
    }

    #[test]
    fn malformed_framing_is_refused() {
        for (wire, fault) in [
            (&b"x\r\n"[..], FramingFault::ChunkSize),
            (b"\r\nhello", FramingFault::ChunkSize),
            (b"-5\r\nhello\r\n", FramingFault::ChunkSize),
            (b"fffffffffffffffff\r\n", FramingFault::ChunkSize),
            (b"2\r\nhello\r\n", FramingFault::ChunkEnd),
        ] {
            assert_eq!(decode_all(Framing::Chunked, wire, &[]), Err(fault), "{}", wire.escape_ascii());
        }
    }

    #[test]
    fn what_precedes_a_fault_is_given_out_before_it_is_found() {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut buf = BytesMut::from(&b"5\r\nhello\r\n1\r\n!\r\nx\r\n"[..]);
        assert_eq!(decoder.decode(&mut buf).unwrap(), "hello!");
        assert_eq!(decoder.decode(&mut buf), Err(FramingFault::ChunkSize));
    }

    #[test]
    fn lines_and_trailers_have_a_limit() {
        let line = |extra: usize| [b"1;".to_vec(), vec![b'a'; extra], b"\n".to_vec()].concat();
        assert!(decode_all(Framing::Chunked, &line(CHUNK_LINE_BYTES_MAX - 3), &[]).is_ok());
        let long = decode_all(Framing::Chunked, &line(CHUNK_LINE_BYTES_MAX), &[]);
        assert_eq!(long, Err(FramingFault::TooLong));
        let trailer = [b"0\r\n".to_vec(), vec![b'a'; TRAILER_BYTES_MAX + 1]].concat();
        assert_eq!(decode_all(Framing::Chunked, &trailer, &[]), Err(FramingFault::TooLong));
        assert!(decode_all(Framing::Chunked, &trailer[..trailer.len() - 1], &[]).is_ok());
    }

    #[test]
    fn a_cut_is_told_from_an_end() {
        let mut decoder = BodyDecoder::new(Framing::Length(5));
        let mut buf = BytesMut::from(&b"hel"[..]);
        assert_eq!(&decoder.decode(&mut buf).unwrap()[..], b"hel");
        assert!(!decoder.may_close() && !decoder.is_done());
        buf.extend_from_slice(b"lo");
        decoder.decode(&mut buf).unwrap();
        assert!(decoder.may_close() && decoder.is_done());
        assert!(BodyDecoder::new(Framing::UntilClose).may_close());
        assert!(BodyDecoder::new(Framing::Empty).is_done());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_payload(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in proptest::collection::vec(0usize..400, 0..20),
        ) {
            let wire = chunked(&parts);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (payload, done, rest) = decode_all(Framing::Chunked, &wire, &cuts).unwrap();
            prop_assert_eq!(payload, parts.concat());
            prop_assert!(done && rest.is_empty());
        }

        #[test]
        fn no_input_panics(wire in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let _ = decode_all(Framing::Chunked, &wire, &[cut]);
        }
    }
}
