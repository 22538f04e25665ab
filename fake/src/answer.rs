//! An answer made ready: every byte rendered once, sent many times.

use crate::clock::{STAMP_DIGITS, STAMP_EMPTY, STAMP_PREFIX, write_decimal};
use crate::knobs::{Fault, Knobs};
use flate2::{Compression, write::GzEncoder};
use memchr::memmem;
use std::io::Write;

/// Hexadecimal digits of the request's number at the end of its request id.
const ID_DIGITS: usize = 16;
/// A request id's end before its number is written in.
pub(crate) const ID_EMPTY: &str = "################";

/// One piece of a body, as a dialect makes it: what would be one write of the provider.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) body: Vec<u8>,
    /// Whether it carries content, so the pace and the faults count it.
    pub(crate) content: bool,
    /// Tokens generated once it is sent.
    pub(crate) output: u64,
}

impl Piece {
    pub(crate) fn content(body: impl Into<Vec<u8>>, output: u64) -> Piece {
        Piece { body: body.into(), content: true, output }
    }

    pub(crate) fn frame(body: impl Into<Vec<u8>>, output: u64) -> Piece {
        Piece { body: body.into(), content: false, output }
    }
}

/// What a dialect has to say: head fields and pieces.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    /// Further header lines, each ending in CRLF. One may hold [`ID_EMPTY`].
    pub(crate) headers: String,
    pub(crate) pieces: Vec<Piece>,
    /// Whether the length is unknown when the head is sent.
    pub(crate) streamed: bool,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// End of its bytes in the answer; its start is the end of the step before.
    pub(crate) end: usize,
    pub(crate) content: bool,
    pub(crate) output: u64,
    /// Where its stamp's digits are.
    pub(crate) stamp: Option<usize>,
}

/// An answer as bytes on the wire. The first step includes the head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) wire: Vec<u8>,
    pub(crate) head_end: usize,
    pub(crate) id_at: Option<usize>,
    pub(crate) steps: Vec<Step>,
    pub(crate) status: u16,
}

impl Draft {
    /// Encodes and frames the draft for the wire.
    pub(crate) fn render(mut self, knobs: &Knobs) -> Answer {
        if knobs.fault == Some(Fault::Gzip) {
            self.compress();
        }
        let chunked = self.streamed || knobs.chunked;
        let length: usize = self.pieces.iter().map(|piece| piece.body.len()).sum();
        let framing = match chunked {
            true => "transfer-encoding: chunked\r\n".to_owned(),
            false => format!("content-length: {length}\r\n"),
        };
        let mut wire = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {}\r\n{}{framing}\r\n",
            self.status,
            reason_phrase(self.status),
            self.content_type,
            self.headers
        )
        .into_bytes();
        let head_end = wire.len();
        let mut steps: Vec<Step> = Vec::with_capacity(self.pieces.len() + 1);
        for piece in &self.pieces {
            let from = wire.len();
            if chunked && !piece.body.is_empty() {
                wire.extend_from_slice(format!("{:x}\r\n", piece.body.len()).as_bytes());
                wire.extend_from_slice(&piece.body);
                wire.extend_from_slice(b"\r\n");
            } else {
                wire.extend_from_slice(&piece.body);
            }
            let stamp = memmem::find(wire.get(from..).unwrap_or_default(), STAMP_EMPTY.as_bytes())
                .map(|at| from + at + STAMP_PREFIX.len());
            steps.push(Step { end: wire.len(), content: piece.content, output: piece.output, stamp });
        }
        if chunked {
            wire.extend_from_slice(b"0\r\n\r\n");
            match steps.last_mut().filter(|last| !last.content) {
                Some(last) => last.end = wire.len(),
                None => {
                    let output = steps.last().map_or(0, |last| last.output);
                    steps.push(Step { end: wire.len(), content: false, output, stamp: None });
                }
            }
        }
        let id_at = memmem::find(wire.get(..head_end).unwrap_or_default(), ID_EMPTY.as_bytes());
        Answer { wire, head_end, id_at, steps, status: self.status }
    }

    /// Compresses the body, flushed after every piece so that each can be read when it comes.
    fn compress(&mut self) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        for piece in &mut self.pieces {
            // Writing to a vector does not fail.
            let _infallible = encoder.write_all(&piece.body).and_then(|()| encoder.flush());
            piece.body = std::mem::take(encoder.get_mut());
        }
        if let (Ok(rest), Some(last)) = (encoder.finish(), self.pieces.last_mut()) {
            last.body.extend_from_slice(&rest);
        }
        self.headers.push_str("content-encoding: gzip\r\n");
    }
}

impl Answer {
    /// Writes the request's number into a copy of the answer's bytes.
    pub(crate) fn number(&self, wire: &mut [u8], id: u64) {
        let slot = self.id_at.and_then(|at| wire.get_mut(at..at + ID_DIGITS));
        for (index, digit) in slot.into_iter().flatten().rev().enumerate() {
            let nibble = u8::try_from((id >> (4 * index)) & 15).unwrap_or(0);
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
    }
}

impl Step {
    /// Writes the time into this step's chunk, if it carries a stamp.
    pub(crate) fn stamp(&self, wire: &mut [u8], now_ns: u64) {
        if let Some(slot) = self.stamp.and_then(|at| wire.get_mut(at..at + STAMP_DIGITS)) {
            write_decimal(slot, now_ns);
        }
    }
}

/// The usual phrase of a status.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(streamed: bool) -> Draft {
        Draft {
            status: 200,
            content_type: "text/event-stream",
            headers: format!("x-request-id: req_{ID_EMPTY}\r\n"),
            pieces: vec![
                Piece::frame("start", 0),
                Piece::content(format!("a{STAMP_EMPTY}"), 1),
                Piece::content(format!("b{STAMP_EMPTY}"), 2),
            ],
            streamed,
        }
    }

    #[test]
    fn every_piece_is_a_step_and_stamps_are_found() {
        let answer = draft(true).render(&Knobs::default());
        assert_eq!(answer.steps.len(), 4, "the terminating chunk after content is a step of its own");
        let mut wire = answer.wire.clone();
        answer.steps[2].stamp(&mut wire, 42);
        answer.number(&mut wire, 0xabc);
        let text = String::from_utf8(wire).unwrap();
        assert!(text.contains("1a\r\n") || text.contains("19\r\nb"), "{text}");
        assert!(text.contains("bts=00000000000000000042;\r\n"));
        assert!(text.contains("x-request-id: req_0000000000000abc\r\n"));
        assert!(text.ends_with("0\r\n\r\n"));
        assert_eq!(answer.steps.last().unwrap().end, text.len());
    }

    #[test]
    fn a_known_length_is_told() {
        let text = String::from_utf8(draft(false).render(&Knobs::default()).wire).unwrap();
        assert!(text.contains("content-length: 55\r\n"), "{text}");
    }

    #[test]
    fn compressed_pieces_are_one_gzip_stream() {
        let knobs = Knobs { fault: Some(Fault::Gzip), ..Knobs::default() };
        let answer = draft(false).render(&knobs);
        let mut plain = String::new();
        std::io::Read::read_to_string(
            &mut flate2::read::GzDecoder::new(&answer.wire[answer.head_end..]),
            &mut plain,
        )
        .unwrap();
        assert_eq!(plain, format!("starta{STAMP_EMPTY}b{STAMP_EMPTY}"));
    }
}
