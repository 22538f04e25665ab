//! Segments: a batch of records packed into one blob.
//!
//! Measured at 1,500 records a batch, SQLite spends 0.65 µs of CPU on a row per record and 0.29 µs on the record's
//! share of a packed batch, log and checkpoints included; that CPU is part of every request. A segment is self-contained: a table of texts, a table of callers, then the
//! records with small integers as little-endian base-128 varints.
//!
//! ```text
//! format: 1 byte | texts: count, (length, bytes)… | callers: count, caller… | records, one after the other
//! ```

mod inspections;
mod mix;
pub(crate) mod pack;
pub(crate) mod parts;
pub(crate) mod unpack;
mod varint;

/// The first byte of every segment that is written. 2 added the model of an attempt, in a flag that was 0 before, so
/// that segments of format 1 are read by the same lines; 3 the client's address, at the end of a record; 4 what was
/// inspected, after it; 5 web searches and the version of prices, after that; 6 the mode, and what was used of other
/// providers and models; 7 what became of its content.
pub(crate) const FORMAT: u8 = 7;
/// The first bytes of segments that are read.
pub(crate) const FORMATS: [u8; 7] = [1, 2, 3, 4, 5, 6, FORMAT];
/// The first format whose records have the client's address.
pub(crate) const FORMAT_ADDRESS: u8 = 3;
/// The first format whose records say what was inspected.
pub(crate) const FORMAT_INSPECTIONS: u8 = 4;
/// The first format whose records have web searches and a version of prices.
pub(crate) const FORMAT_PRICES: u8 = 5;
/// The first format whose records have a mode, and what was used of other providers and models.
pub(crate) const FORMAT_ALSO: u8 = 6;
/// The first format whose records say what became of their content.
pub(crate) const FORMAT_CONTENT: u8 = 7;
/// In an attempt's flags: a pooled connection was used.
pub(crate) const ATTEMPT_REUSED: u8 = 1;
/// In an attempt's flags: a model of its own follows.
pub(crate) const ATTEMPT_MODEL: u8 = 2;
/// Bytes per entry of a segment's `prints`: the low 32 bits of a record's id, little-endian.
pub(crate) const PRINT_BYTES: usize = 4;
/// Longest text kept in a record, in bytes; what callers and providers send is cut here.
pub(crate) const TEXT_MAX: usize = 512;
/// Most attempts kept per record.
pub(crate) const ATTEMPTS_MAX: usize = 64;
/// Most entries of what was used of other providers and models that are kept per record.
pub(crate) const ALSO_USED_MAX: usize = 64;

/// The low 32 bits of an id: random in a UUIDv7.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
pub(crate) fn print_of(id: u128) -> u32 {
    id as u32
}

/// The text, cut to [`TEXT_MAX`] bytes at a character.
pub(crate) fn cut(text: &str) -> &str {
    if text.len() <= TEXT_MAX {
        return text;
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
