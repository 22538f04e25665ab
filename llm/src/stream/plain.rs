//! A reader for the JSON that providers usually send, several times as fast as the general one.
//!
//! It takes one value with blanks around it, and knows whole numbers without sign, strings without escapes where one is
//! read, and any JSON where nothing is read. Whatever else comes it calls unusual, and the general reader decides; so
//! what it does take it must take exactly as that one does, which tests show. It never takes what is no JSON.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use wide::u8x16;

/// Most containers inside each other that are skipped without the general reader.
pub(super) const DEPTH_LIMIT: usize = 62;

/// Most digits of a number that is read; so many always fit.
const DIGIT_LIMIT: usize = 19;

/// Not for this reader: no JSON, or JSON that is rarely seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unusual;

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unusual JSON")
    }
}

impl std::error::Error for Unusual {}

impl de::Error for Unusual {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Unusual
    }
}

/// Where the reader stands in a text.
pub(super) struct Plain<'de> {
    text: &'de str,
    at: usize,
}

impl<'de> Plain<'de> {
    /// A reader at the beginning of a text, which must be UTF-8.
    #[inline]
    pub(super) fn new(text: &'de [u8]) -> Result<Self, Unusual> {
        simdutf8::basic::from_utf8(text).map(|text| Plain { text, at: 0 }).map_err(|_cause| Unusual)
    }

    /// Whether only blanks are left.
    #[inline]
    pub(super) fn end(mut self) -> Result<(), Unusual> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(Unusual) }
    }

    #[inline(always)]
    fn peek(&self) -> u8 {
        // No JSON goes on with a zero byte, so it may stand for the end.
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<(), Unusual> {
        self.blanks();
        if self.peek() != byte {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Result<(), Unusual> {
        let end = self.at + word.len();
        if self.text.as_bytes().get(self.at..end) != Some(word) {
            return Err(Unusual);
        }
        self.at = end;
        Ok(())
    }

    /// A string without escapes, from its opening quote on.
    #[inline(always)]
    fn string(&mut self) -> Result<&'de str, Unusual> {
        let start = self.at + 1;
        let end = next_stop(self.text.as_bytes(), start);
        if self.text.as_bytes().get(end) != Some(&b'"') {
            return Err(Unusual);
        }
        self.at = end + 1;
        self.text.get(start..end).ok_or(Unusual)
    }

    /// A whole number without sign, fraction or exponent.
    #[inline(always)]
    fn number(&mut self) -> Result<u64, Unusual> {
        let (start, mut number) = (self.at, 0u64);
        while let digit @ b'0'..=b'9' = self.peek() {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        let leading_zero = digits > 1 && self.text.as_bytes().get(start) == Some(&b'0');
        let goes_on = matches!(self.peek(), b'.' | b'e' | b'E');
        if digits == 0 || digits > DIGIT_LIMIT || leading_zero || goes_on {
            return Err(Unusual);
        }
        Ok(number)
    }

    /// Past a value that is no container.
    #[inline(always)]
    fn skip_scalar(&mut self) -> Result<(), Unusual> {
        match self.peek() {
            b'"' => self.skip_string(),
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => self.skip_number(),
        }
    }

    #[inline(always)]
    fn skip_string(&mut self) -> Result<(), Unusual> {
        let json = self.text.as_bytes();
        let mut at = self.at + 1;
        loop {
            at = next_stop(json, at);
            match json.get(at..).unwrap_or_default() {
                [b'"', ..] => break,
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at += 2,
                [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|hex| hex.is_ascii_hexdigit()) => {
                    at += 6;
                }
                _ => return Err(Unusual),
            }
        }
        self.at = at + 1;
        Ok(())
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), Unusual> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Unusual) }
    }

    fn skip_number(&mut self) -> Result<(), Unusual> {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    /// The key of a member and its colon, skipped.
    #[inline(always)]
    fn skip_key(&mut self) -> Result<(), Unusual> {
        self.blanks();
        if self.peek() != b'"' {
            return Err(Unusual);
        }
        self.skip_string()?;
        self.take(b':')
    }

    /// Past a value.
    #[inline]
    fn skip(&mut self) -> Result<(), Unusual> {
        self.blanks();
        if matches!(self.peek(), b'{' | b'[') { self.skip_container() } else { self.skip_scalar() }
    }

    /// Past a container.
    fn skip_container(&mut self) -> Result<(), Unusual> {
        // One bit for each open container, 1 for an object, behind a 1 that marks the bottom.
        let mut open = 1u64;
        loop {
            self.blanks();
            let byte = self.peek();
            let mut closed = false;
            if matches!(byte, b'{' | b'[') {
                if open >> DEPTH_LIMIT != 0 {
                    return Err(Unusual);
                }
                open = open << 1 | u64::from(byte == b'{');
                self.at += 1;
                self.blanks();
                // `]` and `}` stand two behind their openers.
                closed = self.peek() == byte + 2;
                if !closed && byte == b'{' {
                    self.skip_key()?;
                }
                if !closed {
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            loop {
                if !closed {
                    self.blanks();
                }
                let object = open & 1 == 1;
                match self.peek() {
                    b',' if !closed => {
                        self.at += 1;
                        if object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ => return Err(Unusual),
                }
                self.at += 1;
                closed = false;
                open >>= 1;
                if open == 1 {
                    return Ok(());
                }
            }
        }
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// The quotes, backslashes and control characters of a block, one bit for each byte.
#[inline(always)]
fn stops(block: &[u8; BLOCK]) -> u32 {
    let block = u8x16::new(*block);
    let stops = block.simd_eq(u8x16::splat(b'"'))
        | block.simd_eq(u8x16::splat(b'\\'))
        | block.simd_eq(block.min(u8x16::splat(0x1F)));
    stops.to_bitmask()
}

/// Where the next quote, backslash or control character stands, at or after `at`; the end if there is none.
#[inline(always)]
pub(super) fn next_stop(json: &[u8], mut at: usize) -> usize {
    while let Some(block) = json.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let stops = stops(block);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += BLOCK;
    }
    // The end is shorter than a block: the last whole block, without what was seen of it.
    if at < json.len()
        && let Some(block) = json.last_chunk::<BLOCK>()
    {
        let from = json.len() - BLOCK;
        let stops = stops(block) >> (at - from);
        return if stops == 0 { json.len() } else { at + stops.trailing_zeros() as usize };
    }
    while json.get(at).is_some_and(|byte| *byte > 0x1F && *byte != b'"' && *byte != b'\\') {
        at += 1;
    }
    at
}

impl<'de> Deserializer<'de> for &mut Plain<'de> {
    type Error = Unusual;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.blanks();
        match self.peek() {
            b'"' => {
                let string = self.string()?;
                visitor.visit_borrowed_str(string)
            }
            b'{' => {
                self.at += 1;
                let mut members = Members { plain: self, first: true, done: false };
                let value = visitor.visit_map(&mut members)?;
                if members.done { Ok(value) } else { Err(Unusual) }
            }
            b'[' => {
                self.at += 1;
                let mut members = Members { plain: self, first: true, done: false };
                let value = visitor.visit_seq(&mut members)?;
                if members.done { Ok(value) } else { Err(Unusual) }
            }
            b'n' => {
                self.word(b"null")?;
                visitor.visit_unit()
            }
            b't' => {
                self.word(b"true")?;
                visitor.visit_bool(true)
            }
            b'f' => {
                self.word(b"false")?;
                visitor.visit_bool(false)
            }
            _ => {
                let number = self.number()?;
                visitor.visit_u64(number)
            }
        }
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

/// What stands between two brackets, of either kind.
struct Members<'a, 'de> {
    plain: &'a mut Plain<'de>,
    first: bool,
    done: bool,
}

impl Members<'_, '_> {
    /// Goes to the next member, if there is one before `close`.
    #[inline(always)]
    fn advance(&mut self, close: u8) -> Result<bool, Unusual> {
        let plain = &mut *self.plain;
        // The usual case without blanks.
        if !self.first
            && !self.done
            && plain.peek() == b','
            && plain.text.as_bytes().get(plain.at + 1) == Some(&b'"')
        {
            plain.at += 1;
            return Ok(true);
        }
        plain.blanks();
        if self.done || plain.peek() == close {
            plain.at += usize::from(!self.done);
            self.done = true;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            plain.take(b',')?;
            plain.blanks();
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for &mut Members<'_, 'de> {
    type Error = Unusual;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unusual> {
        if !self.advance(b'}')? {
            return Ok(None);
        }
        if self.plain.peek() != b'"' {
            return Err(Unusual);
        }
        let key = self.plain.string()?;
        seed.deserialize(BorrowedStrDeserializer::new(key)).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unusual> {
        self.plain.take(b':')?;
        seed.deserialize(&mut *self.plain)
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_, 'de> {
    type Error = Unusual;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unusual> {
        if !self.advance(b']')? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.plain).map(Some)
    }
}

#[cfg(test)]
mod tests;
