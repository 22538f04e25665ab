//! Walks over whole arrays and objects, and over long strings, a block at a time.

use super::block::{self, BLOCK, Block};
use super::{MAX_DEPTH, Scan, Text, escape, expected};
use crate::request::fault::{BodyCause, BodyFault};

/// The block at `at`; at the body's end, what is left of it in `last` with blanks behind. `None` behind the end.
///
/// Blanks mean nothing to any of the sets, so what is looked for is just not found in them.
#[inline(always)]
fn load<'b>(body: &'b [u8], at: usize, last: &'b mut [u8; BLOCK]) -> Option<&'b [u8; BLOCK]> {
    let rest = body.get(at..)?;
    if let Some(bytes) = rest.first_chunk() {
        return Some(bytes);
    }
    fill(rest, last)
}

#[inline(never)]
fn fill<'b>(rest: &[u8], last: &'b mut [u8; BLOCK]) -> Option<&'b [u8; BLOCK]> {
    if rest.is_empty() {
        return None;
    }
    last.fill(b' ');
    last.get_mut(..rest.len())?.copy_from_slice(rest);
    Some(last)
}

impl Scan<'_> {
    /// Walks over the array or object that begins at `start`, `depth` levels inside the body; returns the offset
    /// behind it.
    ///
    /// Checks what decides where it ends and what could hide something: brackets match and nest no deeper than
    /// [`MAX_DEPTH`], strings close and hold no control character, and outside of strings stand no backslash,
    /// no byte above 0x7F and no control character but blanks. The order of values, commas and colons, the
    /// spelling of numbers and literals, and what follows a backslash are left to the provider.
    #[inline(never)]
    pub(super) fn nested(&mut self, start: usize, depth: usize) -> Result<usize, BodyFault> {
        let body = self.body;
        let mut levels = Levels::new(MAX_DEPTH - depth);
        // `inside` is all ones when the block begins inside a string, `carry` 1 when it begins with an escaped byte.
        let (mut at, mut inside, mut carry, mut quiet) = (start, 0u64, 0u64, 0usize);
        let mut last = [0; BLOCK];
        while let Some(bytes) = load(body, at, &mut last) {
            let block = Block::new(bytes);
            if inside != 0 && bytes.last() != Some(&b'\\') && !block.has(b'"') {
                if let Some(media) = self.tally.probe(body, at, &block, quiet) {
                    self.tally.text_bytes -= (at - media.start) as u64;
                    (at, carry, quiet) = (media.end, 0, 0);
                    continue;
                }
                self.odd_in_string(&block, at)?;
                self.tally.text_bytes += BLOCK as u64;
                (at, carry, quiet) = (at + BLOCK, 0, quiet + 1);
                continue;
            }
            let (mut quotes, mut backslashes) = (block.equal(b'"'), 0);
            if carry != 0 || block.has(b'\\') {
                backslashes = block.equal(b'\\');
                quotes &= !block::escapes(backslashes, &mut carry).1;
            }
            let strings = block::between(quotes) ^ inside;
            let (mut live, mut end) = (u64::MAX, None);
            for i in block::indices(block.brackets() & !strings) {
                let byte = bytes.get(i).copied().unwrap_or_default();
                if levels.bracket(byte, at + i)? {
                    (live, end) = ((1 << i) - 1, Some(at + i + 1));
                    break;
                }
            }
            let wrong = self.wrong(&block, backslashes, strings) & live;
            if wrong != 0 {
                let place = wrong.trailing_zeros();
                return Err(fault(body, at + place as usize, strings >> place & 1 == 1));
            }
            self.tally.text_bytes += u64::from((strings & !quotes & live).count_ones());
            if let Some(end) = end {
                return Ok(end);
            }
            inside = 0u64.wrapping_sub(strings >> 63);
            (at, quiet) = (at + BLOCK, 0);
        }
        let cause = if inside != 0 { BodyCause::UnterminatedString } else { BodyCause::UnexpectedEnd };
        Err(BodyFault::new(cause, body.len()))
    }

    /// The bytes of a block that no JSON has where they are: backslashes outside of strings, control characters
    /// inside of them, and outside of them all but blanks, and bytes above 0x7F.
    #[inline(always)]
    fn wrong(&mut self, block: &Block, backslashes: u64, strings: u64) -> u64 {
        let mut wrong = backslashes & !strings;
        if block.has_odd() {
            let (controls, high) = (block.controls(), block.high());
            let blanks = block.equal(b'\n') | block.equal(b'\r') | block.equal(b'\t');
            wrong |= controls & (strings | !blanks) | high & !strings;
            self.high |= high != 0;
        }
        wrong
    }

    /// Refuses control characters in a block that is wholly inside a string, and notes bytes above 0x7F.
    #[inline(always)]
    fn odd_in_string(&mut self, block: &Block, at: usize) -> Result<(), BodyFault> {
        if block.has_odd() {
            let controls = block.controls();
            if controls != 0 {
                let place = at + controls.trailing_zeros() as usize;
                return Err(BodyFault::new(BodyCause::ControlCharacter, place));
            }
            self.high = true;
        }
        Ok(())
    }

    /// Scans the string of any length whose opening quote is before `start`; every escape is checked.
    #[inline(never)]
    pub(super) fn long_string(&mut self, start: usize) -> Result<Text, BodyFault> {
        let body = self.body;
        let media_before = self.tally.media_bytes;
        let (mut at, mut carry, mut quiet, mut escaped) = (start, 0, 0, false);
        let mut last = [0; BLOCK];
        while let Some(bytes) = load(body, at, &mut last) {
            let block = Block::new(bytes);
            if let Some(media) = self.tally.probe(body, at, &block, quiet) {
                (at, carry, quiet) = (media.end, 0, 0);
                continue;
            }
            if !block.has_stops() {
                (at, carry, quiet) = (at + BLOCK, 0, quiet + 1);
                continue;
            }
            let backslashes = block.equal(b'\\');
            let (starts, behind) = block::escapes(backslashes, &mut carry);
            let quotes = block.equal(b'"') & !behind;
            // The bytes before the closing quote, if it is in this block.
            let live = quotes.wrapping_sub(1) & !quotes;
            for i in block::indices(starts & live) {
                escaped = true;
                escape(body, at + i)?;
            }
            if block.has_odd() {
                let controls = block.controls() & live;
                if controls != 0 {
                    let place = at + controls.trailing_zeros() as usize;
                    return Err(BodyFault::new(BodyCause::ControlCharacter, place));
                }
                self.high |= block.high() & live != 0;
            }
            if quotes != 0 {
                let end = at + quotes.trailing_zeros() as usize;
                self.tally.text_bytes += (end - start) as u64 - (self.tally.media_bytes - media_before);
                return Ok(Text { start, end, escaped });
            }
            (at, quiet) = (at + BLOCK, quiet + 1);
        }
        Err(BodyFault::new(BodyCause::UnterminatedString, body.len()))
    }
}

/// The fault of a byte that stands where no JSON has it.
#[cold]
fn fault(body: &[u8], at: usize, in_string: bool) -> BodyFault {
    if in_string {
        BodyFault::new(BodyCause::ControlCharacter, at)
    } else {
        expected(body, at, "a value, a bracket or a comma")
    }
}

/// Levels whose kinds fit in a word, beside the bit that marks the outermost of them.
const WORD_LEVELS: usize = 63;

/// Words for all levels but those of the innermost word.
const WORDS: usize = MAX_DEPTH / WORD_LEVELS;

/// The open arrays and objects.
struct Levels {
    /// A bit for each of the innermost levels, the innermost lowest: set for an object. A set bit above them marks
    /// where they end, so one number says both how many there are and what they are.
    kinds: u64,
    /// `kinds` from which no further level fits in.
    full: u64,
    /// The words of the levels around that did not fit in, outermost first.
    outer: [u64; WORDS],
    /// How many of these words are in use.
    words: usize,
    /// Levels that fit neither in `kinds` nor in `outer` but are still allowed.
    room: usize,
}

impl Levels {
    /// No open level yet, where `room` are allowed.
    fn new(room: usize) -> Levels {
        let mut levels = Levels { kinds: 1, full: 0, outer: [0; WORDS], words: 0, room };
        levels.begin_word();
        levels
    }

    fn begin_word(&mut self) {
        let levels = self.room.min(WORD_LEVELS);
        self.room -= levels;
        (self.kinds, self.full) = (1, 1 << levels);
    }

    /// Takes the bracket `byte` at `at`; says whether it closes the outermost level.
    ///
    /// The lowest three bits tell opening brackets from closing ones, and both from what else
    /// [`Block::brackets`] holds; the bit 0x20 tells braces from brackets.
    #[inline(always)]
    fn bracket(&mut self, byte: u8, at: usize) -> Result<bool, BodyFault> {
        let object = u64::from(byte >> 5 & 1);
        match byte & 7 {
            3 => {
                if self.kinds >= self.full {
                    self.spill(at)?;
                }
                self.kinds = self.kinds << 1 | object;
                Ok(false)
            }
            5 if (self.kinds ^ object) & 1 == 0 => {
                self.kinds >>= 1;
                Ok(self.kinds == 1 && self.refill())
            }
            _ => Err(self.unmatched(byte, at)),
        }
    }

    /// Puts the full word away.
    #[cold]
    fn spill(&mut self, at: usize) -> Result<(), BodyFault> {
        let slot = self.outer.get_mut(self.words).filter(|_| self.room > 0);
        *slot.ok_or(BodyFault::new(BodyCause::TooDeep, at))? = self.kinds;
        self.words += 1;
        self.begin_word();
        Ok(())
    }

    /// Takes the last word back, as the current one is empty; says whether there is none.
    #[inline(never)]
    fn refill(&mut self) -> bool {
        let Some(words) = self.words.checked_sub(1) else { return true };
        self.words = words;
        self.room += self.full.trailing_zeros() as usize;
        // A word that was put away was full, with all the levels that fit in a word.
        (self.kinds, self.full) = (self.outer.get(words).copied().unwrap_or(1), 1 << WORD_LEVELS);
        false
    }

    #[cold]
    fn unmatched(&self, byte: u8, at: usize) -> BodyFault {
        let cause = match (byte, self.kinds & 1) {
            (b'}' | b']', 1) => BodyCause::Expected("`,` or `}`"),
            (b'}' | b']', _) => BodyCause::Expected("`,` or `]`"),
            _ => BodyCause::InvalidLiteral,
        };
        BodyFault::new(cause, at)
    }
}
