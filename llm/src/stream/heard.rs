//! The generated text of a stream, for whoever counts its tokens.
//!
//! Kept as it reads, piece behind piece, with a note where another text begins: the words of another choice, another
//! block, a tool's arguments. Nothing is parsed for that in most events: where the text stands in them is known.

use super::shape::Seen;
use super::text::raw_string;
use crate::deltas::{Block, Kind, deltas};
use crate::dialect::Dialect;
use std::fmt;

/// Most text that is kept until it is taken, in bytes. What comes beyond is missed.
pub const HEARD_LIMIT: usize = 1 << 20;

/// Most changes from one text to another that are kept until they are taken. What comes beyond is missed.
const TURNS_LIMIT: usize = 64 << 10;

/// Generated text since it was last taken.
#[derive(Clone, Default, PartialEq)]
pub struct Heard {
    is_on: bool,
    text: Vec<u8>,
    /// Where a text begins or goes on after another one.
    turns: Vec<(usize, Block)>,
    /// Bytes of `text` that the provider's last report of output accounts for.
    covered: usize,
    /// That report accounts for all that was taken before, too.
    covers_taken: bool,
    /// Something was taken before.
    is_later: bool,
    /// Bytes of text that could not be kept, since the last report of output.
    missed: u64,
    /// Some could not be, ever.
    has_missed: bool,
    /// The text of events that look like the remembered one.
    shaped: Block,
}

impl Heard {
    pub(super) fn turn_on(&mut self) {
        self.is_on = true;
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// The text since the provider last reported output, in the order that it came: each piece and the text it belongs to.
    pub fn unreported(&self) -> impl Iterator<Item = (Block, &[u8])> {
        self.pieces(self.covered)
    }

    /// All text of the stream; `None` if some was taken before or missed.
    pub fn whole(&self) -> Option<impl Iterator<Item = (Block, &[u8])>> {
        (self.is_on && !self.is_later && !self.has_missed).then(|| self.pieces(0))
    }

    /// Whether the provider has reported output that accounts for all that was taken before.
    pub fn covers_taken(&self) -> bool {
        self.covers_taken
    }

    /// Bytes of text since the provider last reported output that are not here.
    pub fn missed_bytes(&self) -> u64 {
        self.missed
    }

    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn pieces(&self, from: usize) -> impl Iterator<Item = (Block, &[u8])> {
        let ends = self.turns.iter().skip(1).map(|turn| turn.0).chain([self.text.len()]);
        self.turns.iter().zip(ends).filter_map(move |((start, block), end)| {
            let piece = self.text.get((*start).max(from)..end)?;
            (!piece.is_empty()).then_some((*block, piece))
        })
    }

    /// What was kept; goes on with nothing.
    pub(super) fn take(&mut self) -> Heard {
        let rest = Heard {
            is_on: self.is_on,
            is_later: true,
            has_missed: self.has_missed,
            shaped: self.shaped,
            ..Heard::default()
        };
        std::mem::replace(self, rest)
    }

    /// The provider reported output: the text so far is accounted for.
    pub(super) fn cover(&mut self) {
        self.covered = self.text.len();
        self.covers_taken = self.is_later;
        self.missed = 0;
    }

    /// Takes the text of one event.
    #[inline]
    pub(super) fn event(&mut self, dialect: Dialect, data: &[u8], seen: &Seen) {
        if !self.is_on || seen.bytes == 0 {
            return;
        }
        let before = self.text.len();
        match seen.settled {
            Some((start, end)) => {
                let raw = data.get(start..end).unwrap_or_default();
                self.string(self.shaped, raw, raw.len() as u64 != seen.bytes);
            }
            None => self.searched(dialect, data, seen),
        }
        self.account(before, seen.bytes);
    }

    /// Takes a text of known place.
    pub(super) fn piece(&mut self, block: Block, data: &[u8], start: Option<usize>, bytes: u64) {
        if !self.is_on || bytes == 0 {
            return;
        }
        let before = self.text.len();
        if let Some(start) = start {
            self.string(block, raw_string(data, start), true);
        }
        self.account(before, bytes);
    }

    /// What was to be kept and is not, is missed.
    fn account(&mut self, before: usize, bytes: u64) {
        self.miss(bytes.saturating_sub((self.text.len() - before) as u64));
    }

    /// So much text came that is not here.
    #[inline]
    pub(super) fn miss(&mut self, bytes: u64) {
        if self.is_on {
            self.missed = self.missed.saturating_add(bytes);
            self.has_missed |= bytes > 0;
        }
    }

    fn searched(&mut self, dialect: Dialect, data: &[u8], seen: &Seen) {
        let (before, turns) = (self.text.len(), self.turns.len());
        let (mut first, mut last) = (None, None);
        let legible = deltas(dialect, data, &mut |block, text| {
            // Some servers write the same reasoning under two names.
            let is_twin =
                block.is_other_reasoning() && last.is_some_and(|last: Block| last.kind == Kind::Reasoning);
            if block.kind != Kind::ToolResult && !is_twin {
                self.push(block, text.as_bytes());
                first = first.or(Some(block));
                last = Some(block);
            }
        });
        if !legible {
            // Cut in the middle, or no JSON: then what a search finds is all there is.
            self.text.truncate(before);
            self.turns.truncate(turns);
            if let Some(start) = seen.only {
                self.string(self.shaped, raw_string(data, start), true);
            }
        }
        if seen.is_remembered {
            self.shaped = first.filter(|_| legible).unwrap_or_default();
        }
    }

    /// A string as it stands between its quotes.
    #[inline]
    fn string(&mut self, block: Block, raw: &[u8], may_be_escaped: bool) {
        if !may_be_escaped || !raw.contains(&b'\\') {
            self.push(block, raw);
            return;
        }
        let mut text = Vec::with_capacity(raw.len());
        unescape(raw, &mut text);
        self.push(block, &text);
    }

    #[inline]
    fn push(&mut self, block: Block, text: &[u8]) {
        let goes_on = self.turns.last().is_some_and(|turn| turn.1 == block);
        let room = HEARD_LIMIT.saturating_sub(self.text.len());
        if text.len() > room || (!goes_on && self.turns.len() >= TURNS_LIMIT) {
            return;
        }
        if !goes_on {
            self.turns.push((self.text.len(), block));
        }
        self.text.extend_from_slice(text);
    }
}

/// Lengths only: text is nobody's business.
impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard")
            .field("bytes", &self.text.len())
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

/// Appends what a JSON string's inside stands for. Half of a pair alone is U+FFFD, a cut escape nothing.
pub(crate) fn unescape(raw: &[u8], text: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        text.extend_from_slice(plain);
        let skip = match escape {
            [_, b'u', hex @ ..] => {
                let (character, digits) = utf16(hex);
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                2 + digits
            }
            [_, byte, ..] => {
                text.push(match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    other => *other,
                });
                2
            }
            _ => 1,
        };
        rest = escape.get(skip..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
}

/// The character behind `\u`, and how many bytes it takes there.
fn utf16(hex: &[u8]) -> (char, usize) {
    let unit = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits.get(..4)?).ok()?, 16).ok();
    let Some(first) = unit(hex) else { return (char::REPLACEMENT_CHARACTER, hex.len().min(4)) };
    if let (0xD800..=0xDBFF, Some([b'\\', b'u', low @ ..])) = (first, hex.get(4..))
        && let Some(second @ 0xDC00..=0xDFFF) = unit(low)
    {
        let character = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
        return (character.unwrap_or(char::REPLACEMENT_CHARACTER), 10);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4)
}

#[cfg(test)]
mod tests;
