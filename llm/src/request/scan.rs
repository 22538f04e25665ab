//! The scanner underneath [`head`](super::head::head): reads JSON without building anything.
//!
//! Two levels. The outermost object's names and scalar values are read by the grammar, byte by byte (this file).
//! The arrays and objects in it, where almost all bytes are, and long strings are walked over in blocks of 64
//! bytes, as sets of bits (`nested`, `block`). UTF-8 is checked once at the end, if any byte is above 0x7F.

use super::fault::{BodyCause, BodyFault};
use super::head::MAX_DEPTH;

mod block;
mod nested;
mod tally;

pub(super) use tally::Tally;
pub use tally::{MEDIA_PLACES, MIN_MEDIA_BYTES, MediaPlaces};

/// A scan of one body.
pub(super) struct Scan<'a> {
    pub(super) body: &'a [u8],
    /// What the strings passed so far hold.
    pub(super) tally: Tally,
    /// Whether a byte above 0x7F has been passed.
    high: bool,
}

/// A scanned string: `start` is behind the opening quote, `end` at the closing one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) escaped: bool,
}

/// The first offset at or after `at` that is not a blank.
#[inline(always)]
pub(super) fn blank(body: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = body.get(at) {
        at += 1;
    }
    at
}

impl<'a> Scan<'a> {
    pub(super) fn new(body: &'a [u8]) -> Scan<'a> {
        Scan { body, tally: Tally::default(), high: false }
    }

    /// Walks over any value that begins at `at`, `depth` levels inside the body; returns the offset behind it.
    #[inline(always)]
    pub(super) fn value(&mut self, at: usize, depth: usize) -> Result<usize, BodyFault> {
        match self.body.get(at) {
            Some(b'"') => Ok(self.string(at + 1)?.end + 1),
            Some(b'{' | b'[') => self.nested(at, depth),
            _ => scalar(self.body, at),
        }
    }

    /// Scans a member's name at `at` and the colon behind it; returns the name and the offset of the value.
    #[inline(always)]
    pub(super) fn key(&mut self, at: usize) -> Result<(Text, usize), BodyFault> {
        if self.body.get(at) != Some(&b'"') {
            return Err(expected(self.body, at, "a member's name in quotes"));
        }
        let name = self.string(at + 1)?;
        let colon = blank(self.body, name.end + 1);
        if self.body.get(colon) != Some(&b':') {
            return Err(expected(self.body, colon, "`:`"));
        }
        Ok((name, blank(self.body, colon + 1)))
    }

    /// Scans the string whose opening quote is before `start`.
    #[inline(always)]
    pub(super) fn string(&mut self, start: usize) -> Result<Text, BodyFault> {
        // Names and short values end within 16 bytes without an escape; everything else takes the long way.
        let Some(bytes) = self.body.get(start..).and_then(|rest| rest.first_chunk::<16>()) else {
            return self.long_string(start);
        };
        let (low, high) = words::halves(bytes);
        let mut end = start;
        let mut stops = words::stops(low);
        let mut joined = low;
        if stops == 0 {
            end += 8;
            stops = words::stops(high);
            joined |= high;
        }
        // No stop at all means 64 zeros and so an end behind the bytes, where `long_string` goes on looking.
        end += stops.trailing_zeros() as usize / 8;
        if stops == 0 || self.body.get(end) != Some(&b'"') {
            return self.long_string(start);
        }
        self.high |= words::has_high(joined);
        self.tally.text_bytes += (end - start) as u64;
        Ok(Text { start, end, escaped: false })
    }

    /// Checks that the body is UTF-8, if that is not clear already.
    pub(super) fn utf8(&self) -> Result<(), BodyFault> {
        if !self.high || simdutf8::basic::from_utf8(self.body).is_ok() {
            return Ok(());
        }
        match std::str::from_utf8(self.body) {
            Ok(_) => Ok(()),
            Err(error) => Err(BodyFault::new(BodyCause::InvalidUtf8, error.valid_up_to())),
        }
    }
}

/// Checks the escape whose backslash is at `at`; returns the offset behind it.
#[inline(always)]
fn escape(body: &[u8], at: usize) -> Result<usize, BodyFault> {
    match body.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match body.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
            Some(_) => Err(BodyFault::new(BodyCause::InvalidEscape, at)),
            None => Err(BodyFault::new(BodyCause::UnterminatedString, body.len())),
        },
        Some(_) => Err(BodyFault::new(BodyCause::InvalidEscape, at)),
        None => Err(BodyFault::new(BodyCause::UnterminatedString, body.len())),
    }
}

/// The fault of finding the wrong byte, or none, at `at`.
#[cold]
pub(super) fn expected(body: &[u8], at: usize, what: &'static str) -> BodyFault {
    match body.get(at) {
        Some(_) => BodyFault::new(BodyCause::Expected(what), at),
        None => BodyFault::new(BodyCause::UnexpectedEnd, at),
    }
}

/// Scans a number or literal at `at`; returns the offset behind it.
#[inline(always)]
fn scalar(body: &[u8], at: usize) -> Result<usize, BodyFault> {
    match body.get(at) {
        Some(b'-' | b'0'..=b'9') => number(body, at),
        Some(b't') => literal(body, at, b"true"),
        Some(b'f') => literal(body, at, b"false"),
        Some(b'n') => literal(body, at, b"null"),
        Some(b'a'..=b'z' | b'A'..=b'Z') => Err(BodyFault::new(BodyCause::InvalidLiteral, at)),
        _ => Err(expected(body, at, "a value")),
    }
}

fn literal(body: &[u8], at: usize, word: &[u8]) -> Result<usize, BodyFault> {
    let rest = body.get(at..).unwrap_or_default();
    if rest.starts_with(word) {
        Ok(at + word.len())
    } else if word.starts_with(rest) {
        Err(BodyFault::new(BodyCause::UnexpectedEnd, body.len()))
    } else {
        Err(BodyFault::new(BodyCause::InvalidLiteral, at))
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?` (RFC 8259, section 6).
fn number(body: &[u8], start: usize) -> Result<usize, BodyFault> {
    let mut at = start + usize::from(body.get(start) == Some(&b'-'));
    at = match body.get(at) {
        Some(b'0') => at + 1,
        _ => digits(body, at)?,
    };
    if body.get(at) == Some(&b'.') {
        at = digits(body, at + 1)?;
    }
    if let Some(b'e' | b'E') = body.get(at) {
        at += 1;
        at += usize::from(matches!(body.get(at), Some(b'+' | b'-')));
        at = digits(body, at)?;
    }
    Ok(at)
}

/// At least one digit.
fn digits(body: &[u8], start: usize) -> Result<usize, BodyFault> {
    let mut at = start;
    while let Some(b'0'..=b'9') = body.get(at) {
        at += 1;
    }
    if at > start {
        return Ok(at);
    }
    let cause = if at < body.len() { BodyCause::InvalidNumber } else { BodyCause::UnexpectedEnd };
    Err(BodyFault::new(cause, at))
}

/// Eight bytes at a time, for strings too short to be worth a block.
///
/// Plain integers; a byte's top bit says what is so of it.
mod words {
    /// `byte` in all eight bytes of a word.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// The top bit of every byte of a little-endian word that is a quote, a backslash or below 0x20.
    /// Exact: no sum carries into the next byte.
    #[inline(always)]
    pub(super) fn stops(word: u64) -> u64 {
        let low = word & all(0x7F);
        let not_quote = (low ^ all(b'"')) + all(0x7F);
        let not_backslash = (low ^ all(b'\\')) + all(0x7F);
        let not_control = low + all(0x60);
        !(not_quote & not_backslash & not_control | word) & all(0x80)
    }

    /// The two little-endian words of 16 bytes.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub(super) fn halves(bytes: &[u8; 16]) -> (u64, u64) {
        let bits = u128::from_le_bytes(*bytes);
        (bits as u64, (bits >> 64) as u64)
    }

    /// Whether any byte of a word is above 0x7F.
    #[inline(always)]
    pub(super) fn has_high(word: u64) -> bool {
        word & all(0x80) != 0
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_byte_is_classified_at_every_place() {
            for byte in 0..=u8::MAX {
                for others in [b'x', b'"', 0x80] {
                    for place in 0..16 {
                        let mut bytes = [others; 16];
                        bytes[place] = byte;
                        let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                        let (low, high) = halves(&bytes);
                        for (word, bytes) in [(low, &bytes[..8]), (high, &bytes[8..])] {
                            let tops =
                                bytes.iter().rev().fold(0, |tops, b| tops << 8 | u64::from(stop(b)) << 7);
                            assert_eq!(stops(word), tops, "{byte:#x} at {place}");
                            assert_eq!(has_high(word), bytes.iter().any(|byte| *byte > 0x7F));
                        }
                    }
                }
            }
        }
    }
}
