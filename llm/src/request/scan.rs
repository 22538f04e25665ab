//! The scanner underneath [`head`](super::head::head): validates JSON without building anything.
//!
//! Two levels. Inside strings, where almost all bytes of an agent's body are, 64 bytes are classified at a
//! time into a bit per byte that stops the scan (quote, backslash, control character); everything between
//! the bits is skipped. Outside strings, a table-free byte match walks the grammar with one bit of state per
//! level. UTF-8 is checked only over strings that hold a byte above 0x7F.

use super::fault::{BodyCause, BodyFault};
use super::head::MAX_DEPTH;

/// Words of 64 bits that hold one bit (object or array) per level.
const STACK_WORDS: usize = MAX_DEPTH / 64 + 1;

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

/// Scans the string whose opening quote is before `start`.
#[inline(always)]
pub(super) fn string(body: &[u8], start: usize) -> Result<Text, BodyFault> {
    // Keys and short values end within 16 bytes without an escape; everything else takes the long way.
    let Some(block) = body.get(start..).and_then(|rest| rest.first_chunk::<16>()) else {
        return long_string(body, start);
    };
    let (low, high) = blocks::words(block);
    let mut end = start;
    let mut stops = blocks::stops8(low);
    let mut ascii = low;
    if stops == 0 {
        end += 8;
        stops = blocks::stops8(high);
        ascii |= high;
    }
    // No stop at all means 64 zeros and so an end behind the block, where `long_string` goes on looking.
    end += stops.trailing_zeros() as usize / 8;
    if stops == 0 || body.get(end) != Some(&b'"') {
        return long_string(body, start);
    }
    if blocks::has_high(ascii) {
        utf8(body, start, end)?;
    }
    Ok(Text { start, end, escaped: false })
}

/// Scans a string of any length.
#[inline(never)]
fn long_string(body: &[u8], start: usize) -> Result<Text, BodyFault> {
    let (mut at, mut escaped, mut any_high) = (start, false, false);
    loop {
        let rest = body.get(at..).unwrap_or_default();
        let (mut stops, high) = match rest.first_chunk::<64>() {
            Some(block) => blocks::classify64(block),
            None => {
                // The padding is zeros, which stop the scan just behind the body's last byte.
                let mut padded = [0u8; 64];
                for (slot, byte) in padded.iter_mut().zip(rest) {
                    *slot = *byte;
                }
                blocks::classify64(&padded)
            }
        };
        any_high |= high;
        let mut next = at + 64;
        while stops != 0 {
            let stop = at + stops.trailing_zeros() as usize;
            match body.get(stop) {
                Some(b'\\') => {
                    escaped = true;
                    let behind = escape(body, stop)?;
                    if behind - at >= 64 {
                        next = behind;
                        break;
                    }
                    stops &= u64::MAX << (behind - at);
                }
                Some(b'"') => {
                    if any_high {
                        utf8(body, start, stop)?;
                    }
                    return Ok(Text { start, end: stop, escaped });
                }
                Some(_) => return Err(BodyFault::new(BodyCause::ControlCharacter, stop)),
                None => return Err(BodyFault::new(BodyCause::UnterminatedString, body.len())),
            }
        }
        at = next;
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

/// Checks that a string's raw bytes are UTF-8. Escapes are ASCII, so they never split a character.
#[inline(never)]
fn utf8(body: &[u8], start: usize, end: usize) -> Result<(), BodyFault> {
    match std::str::from_utf8(body.get(start..end).unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(error) => Err(BodyFault::new(BodyCause::InvalidUtf8, start + error.valid_up_to())),
    }
}

/// Scans a member's name at `at` and the colon behind it; returns the name and the offset of the value.
#[inline(always)]
pub(super) fn key(body: &[u8], at: usize) -> Result<(Text, usize), BodyFault> {
    if body.get(at) != Some(&b'"') {
        return Err(expected(body, at, "a member's name in quotes"));
    }
    let name = string(body, at + 1)?;
    let colon = blank(body, name.end + 1);
    if body.get(colon) != Some(&b':') {
        return Err(expected(body, colon, "`:`"));
    }
    Ok((name, blank(body, colon + 1)))
}

/// The fault of finding the wrong byte, or none, at `at`.
#[cold]
pub(super) fn expected(body: &[u8], at: usize, what: &'static str) -> BodyFault {
    match body.get(at) {
        Some(_) => BodyFault::new(BodyCause::Expected(what), at),
        None => BodyFault::new(BodyCause::UnexpectedEnd, at),
    }
}

/// Scans any value that begins at `at`, `depth` levels inside the body; returns the offset behind it.
pub(super) fn value(body: &[u8], mut at: usize, depth: usize) -> Result<usize, BodyFault> {
    let mut levels = Levels { depth, base: depth, object: false, outer: [0; STACK_WORDS] };
    'value: loop {
        match body.get(at) {
            Some(b'"') => at = string(body, at + 1)?.end + 1,
            Some(b'{') => {
                levels.enter(true, at)?;
                at = blank(body, at + 1);
                if body.get(at) == Some(&b'}') {
                    at += 1;
                    levels.leave();
                } else {
                    at = key(body, at)?.1;
                    continue 'value;
                }
            }
            Some(b'[') => {
                levels.enter(false, at)?;
                at = blank(body, at + 1);
                if body.get(at) == Some(&b']') {
                    at += 1;
                    levels.leave();
                } else {
                    continue 'value;
                }
            }
            _ => at = scalar(body, at)?,
        }
        // Behind a value: close as many levels as end here, then go to the next value.
        loop {
            if levels.depth == levels.base {
                return Ok(at);
            }
            at = blank(body, at);
            match (body.get(at), levels.object) {
                (Some(b','), true) => {
                    at = key(body, blank(body, at + 1))?.1;
                    continue 'value;
                }
                (Some(b','), false) => {
                    at = blank(body, at + 1);
                    continue 'value;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    at += 1;
                    levels.leave();
                }
                (_, true) => return Err(expected(body, at, "`,` or `}`")),
                (_, false) => return Err(expected(body, at, "`,` or `]`")),
            }
        }
    }
}

/// The open arrays and objects: the innermost one's kind, and a bit for each around it.
struct Levels {
    depth: usize,
    base: usize,
    object: bool,
    outer: [u64; STACK_WORDS],
}

impl Levels {
    #[inline(always)]
    fn enter(&mut self, object: bool, at: usize) -> Result<(), BodyFault> {
        if self.depth >= MAX_DEPTH {
            return Err(BodyFault::new(BodyCause::TooDeep, at));
        }
        let bit = 1u64 << (self.depth % 64);
        if let Some(word) = self.outer.get_mut(self.depth / 64) {
            *word = if self.object { *word | bit } else { *word & !bit };
        }
        self.depth += 1;
        self.object = object;
        Ok(())
    }

    #[inline(always)]
    fn leave(&mut self) {
        self.depth -= 1;
        let word = self.outer.get(self.depth / 64).copied().unwrap_or_default();
        self.object = word >> (self.depth % 64) & 1 == 1;
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

/// Classification of blocks of bytes: which of them stop a string, and whether any is not ASCII.
///
/// Plain integers that compilers turn into vector code on every architecture; intrinsics would need `unsafe`.
mod blocks {
    /// `byte` in all eight bytes of a word.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// The top bit of every byte of a little-endian word that is a quote, a backslash or below 0x20.
    /// Exact: no sum carries into the next byte.
    #[inline(always)]
    pub(super) fn stops8(word: u64) -> u64 {
        let low = word & all(0x7F);
        let not_quote = (low ^ all(b'"')) + all(0x7F);
        let not_backslash = (low ^ all(b'\\')) + all(0x7F);
        let not_control = low + all(0x60);
        !(not_quote & not_backslash & not_control | word) & all(0x80)
    }

    /// The two little-endian words of a block.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the block")]
    pub(super) fn words(block: &[u8; 16]) -> (u64, u64) {
        let bits = u128::from_le_bytes(*block);
        (bits as u64, (bits >> 64) as u64)
    }

    /// Whether any byte of a word is above 0x7F.
    #[inline(always)]
    pub(super) fn has_high(word: u64) -> bool {
        word & all(0x80) != 0
    }

    /// One bit per byte that stops, lowest first, and whether any byte is above 0x7F.
    #[inline(always)]
    pub(super) fn classify64(block: &[u8; 64]) -> (u64, bool) {
        let mut flags = [0u8; 64];
        for (flag, byte) in flags.iter_mut().zip(block) {
            *flag = 0u8.wrapping_sub(u8::from((*byte == b'"') | (*byte == b'\\') | (*byte < 0x20)));
        }
        // Whole words are joined and not bytes: a fold of bytes costs more than all of the comparisons.
        let join = |bytes: &[u8; 64]| {
            bytes.as_chunks::<8>().0.iter().fold(0, |joined, eight| joined | u64::from_le_bytes(*eight))
        };
        let high = has_high(join(block));
        if join(&flags) == 0 {
            return (0, high);
        }
        let mut stops = 0;
        for (i, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
            // Gathers the lowest bit of each byte into the top byte: bit 8k moves to bit 56+k.
            let lowest = u64::from_le_bytes(*eight) & all(1);
            stops |= (lowest.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
        }
        (stops, high)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_byte_is_classified_at_every_place() {
            for byte in 0..=u8::MAX {
                for others in [b'x', b'"', 0x80] {
                    for place in 0..64 {
                        let mut block = [others; 64];
                        block[place] = byte;
                        let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
                        let bits = block
                            .iter()
                            .enumerate()
                            .fold(0, |bits, (i, byte)| bits | u64::from(stop(byte)) << i);
                        let high = block.iter().any(|byte| *byte > 0x7F);
                        assert_eq!(classify64(&block), (bits, high), "{byte:#x} at {place}");
                        let (low, high) = words(block.first_chunk().unwrap());
                        for (word, bytes) in [(low, &block[..8]), (high, &block[8..16])] {
                            let tops =
                                bytes.iter().rev().fold(0, |tops, b| tops << 8 | u64::from(stop(b)) << 7);
                            assert_eq!(stops8(word), tops, "{byte:#x} at {place}");
                            assert_eq!(has_high(word), bytes.iter().any(|byte| *byte > 0x7F));
                        }
                    }
                }
            }
        }
    }
}
