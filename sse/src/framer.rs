//! The incremental framer.

use crate::frame::{Fields, Frame};
use memchr::memchr2;

/// Bytes of one event that the framer looks at unless told otherwise. A longer event ends the inspection.
pub const DEFAULT_CARRY_LIMIT: usize = 1024 * 1024;

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];
const LF: u8 = b'\n';
const CR: u8 = b'\r';

/// Cuts a byte stream into events, however it is split into chunks.
///
/// An event that lies in one chunk is never copied; of an unfinished one the tail is copied, at most the carry limit.
/// An event (or comment line) longer than the limit, in however many chunks, ends the inspection: from there on
/// nothing is offered and [`overflowed`](Self::overflowed) says so. Nothing else can fail.
#[derive(Debug)]
pub struct Framer {
    /// Bytes of the pending event since its start; empty between events.
    carry: Vec<u8>,
    /// Where the current line starts in `carry`.
    line: usize,
    fields: Fields,
    /// Bytes taken so far.
    position: u64,
    limit: usize,
    /// How many bytes of a leading byte order mark were seen; `BOM.len()` once that question is settled.
    bom: usize,
    /// The last byte was a CR that ended a line: an LF right after it is part of the same line end.
    after_cr: bool,
    overflowed: bool,
}

impl Default for Framer {
    fn default() -> Self {
        Framer::new()
    }
}

impl Framer {
    /// A framer with the default carry limit.
    pub fn new() -> Self {
        Framer::with_carry_limit(DEFAULT_CARRY_LIMIT)
    }

    /// A framer that looks at events of at most `limit` bytes.
    pub fn with_carry_limit(limit: usize) -> Self {
        Framer {
            carry: Vec::new(),
            line: 0,
            fields: Fields::default(),
            position: 0,
            limit,
            bom: 0,
            after_cr: false,
            overflowed: false,
        }
    }

    /// The bytes of the pending event seen so far: from its first line that is not a complete comment.
    pub fn pending(&self) -> &[u8] {
        &self.carry
    }

    /// Bytes pushed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether an event exceeded the carry limit, after which nothing is inspected.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes the next chunk and offers every event it completes.
    #[inline]
    pub fn push(&mut self, chunk: &[u8], sink: &mut impl FnMut(Frame<'_>)) {
        let base = self.position;
        self.position += chunk.len() as u64;
        if self.overflowed || chunk.is_empty() {
            return;
        }
        let at = if self.bom < BOM.len() || self.after_cr || !self.carry.is_empty() {
            match self.resume(chunk, base, sink) {
                Some(at) => at,
                None => return,
            }
        } else {
            0
        };
        self.scan(chunk, at, base, sink);
    }

    /// Ends the stream; a pending event with data is offered as incomplete.
    pub fn finish(mut self, sink: &mut impl FnMut(Frame<'_>)) {
        if self.overflowed {
            return;
        }
        let last = self.carry.get(self.line..).unwrap_or_default();
        if !last.is_empty() {
            self.fields.line(last, self.line);
        }
        let start = self.position.saturating_sub(self.carry.len() as u64);
        if let Some(frame) = self.fields.frame(&self.carry, start, self.position, true) {
            sink(frame);
        }
    }

    /// Takes up what earlier chunks left open. Returns where the first whole event may start, if it gets that far.
    fn resume(&mut self, chunk: &[u8], base: u64, sink: &mut impl FnMut(Frame<'_>)) -> Option<usize> {
        let mut at = self.skip_bom(chunk);
        if self.after_cr && at < chunk.len() {
            self.after_cr = false;
            if chunk.get(at) == Some(&LF) {
                at += 1;
                if !self.carry.is_empty() {
                    self.carry.push(LF);
                    self.line = self.carry.len();
                }
            }
        }
        while !self.carry.is_empty() {
            let rest = chunk.get(at..).unwrap_or_default();
            let Some(eol) = memchr2(LF, CR, rest) else {
                self.carry.extend_from_slice(rest);
                self.check(self.carry.len());
                return None;
            };
            self.carry.extend_from_slice(rest.get(..=eol).unwrap_or_default());
            if !self.check(self.carry.len()) {
                return None;
            }
            let text_end = self.carry.len() - 1;
            at += eol + 1;
            if rest.get(eol) == Some(&CR) {
                match chunk.get(at) {
                    Some(&LF) => {
                        self.carry.push(LF);
                        at += 1;
                    }
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            self.end_carried_line(text_end, base + at as u64, sink);
        }
        Some(at)
    }

    /// The line of `carry` that starts at `self.line` and ends before `text_end` is complete.
    fn end_carried_line(&mut self, text_end: usize, end: u64, sink: &mut impl FnMut(Frame<'_>)) {
        let line = self.carry.get(self.line..text_end).unwrap_or_default();
        let done = match line.first() {
            None => {
                let start = end.saturating_sub(self.carry.len() as u64);
                if let Some(frame) = self.fields.frame(&self.carry, start, end, false) {
                    sink(frame);
                }
                true
            }
            // A comment before any field is not part of the event.
            Some(b':') => self.line == 0,
            Some(_) => {
                self.fields.line(line, self.line);
                false
            }
        };
        if done {
            self.carry.clear();
            self.fields = Fields::default();
        }
        self.line = self.carry.len();
    }

    /// Frames what lies whole in the chunk from `start` on and carries the rest.
    #[inline]
    fn scan(&mut self, chunk: &[u8], mut start: usize, base: u64, sink: &mut impl FnMut(Frame<'_>)) {
        let mut line = start;
        let mut fields = Fields::default();
        while let Some(&first) = chunk.get(line) {
            let eol = if first == LF || first == CR {
                line
            } else {
                match memchr2(LF, CR, chunk.get(line..).unwrap_or_default()) {
                    Some(length) => line + length,
                    None => break,
                }
            };
            if !self.check(eol + 1 - start) {
                return;
            }
            let mut next = eol + 1;
            if chunk.get(eol) == Some(&CR) {
                match chunk.get(next) {
                    Some(&LF) => next += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            if eol == line {
                let raw = chunk.get(start..next).unwrap_or_default();
                if let Some(frame) = fields.frame(raw, base + start as u64, base + next as u64, false) {
                    sink(frame);
                    fields = Fields::default();
                } else if line != start {
                    fields = Fields::default();
                }
                start = next;
            } else if first == b':' {
                if line == start {
                    start = next;
                }
            } else {
                fields.line(chunk.get(line..eol).unwrap_or_default(), line - start);
            }
            line = next;
        }
        if let Some(tail) = chunk.get(start..)
            && !tail.is_empty()
            && self.check(tail.len())
        {
            self.carry.extend_from_slice(tail);
            self.line = line - start;
            self.fields = fields;
        }
    }

    /// Whether a pending event of this length may still be looked at; ends the inspection otherwise.
    #[inline]
    fn check(&mut self, length: usize) -> bool {
        if length <= self.limit {
            return true;
        }
        self.overflowed = true;
        self.carry = Vec::new();
        self.fields = Fields::default();
        self.line = 0;
        false
    }

    /// Skips one byte order mark at the very start, however it is split.
    fn skip_bom(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while let (Some(expected), Some(byte)) = (BOM.get(self.bom), chunk.get(at)) {
            if byte != expected {
                // Not a mark after all: what was taken for its beginning is the beginning of a line.
                self.carry.extend_from_slice(BOM.get(..self.bom).unwrap_or_default());
                self.bom = BOM.len();
                // Bytes of this chunk are already in the carry.
                return at;
            }
            at += 1;
            self.bom += 1;
        }
        at
    }
}
