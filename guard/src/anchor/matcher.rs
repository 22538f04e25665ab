//! Finds all places of many literals in one pass.
//!
//! The method is that of q-grams on every second byte: a literal of five bytes or more holds four bytes in a row that begin
//! at an even place of the text, whichever place the literal has. So only every second place is looked at, with one
//! multiplication and one bit of a table that fits into the first-level cache; where the bit is set, the literals that
//! hold these four bytes are compared. Shorter literals enter with every byte that may stand beside them. No table grows
//! with the text and no state is carried, so the speed is the same for a kilobyte and for 32 MB.
//!
//! Related: R. Baeza-Yates, "Improved string searching", 1989; S. Wu, U. Manber, "A fast algorithm for multi-pattern
//! searching", 1994.

use super::condition::ByteSet;
use super::frequency::of_gram;
use super::literal::{Anchor, Literal};
use std::collections::HashMap;

/// Words of the table of bits.
const WORDS: usize = 1 << WORDS_BITS;

/// Bits of the number of a word.
const WORDS_BITS: u32 = 13;

/// Bytes of a gram.
const GRAM: usize = 4;

/// What it costs to look a gram up, in comparisons of a literal.
const COST_OF_LOOK: f64 = 4.0;

/// Bit 0x20 of each byte makes letters of both cases one.
const FOLD: u32 = 0x2020_2020;

/// Bytes of a block: eight places, the last gram of which ends two bytes beyond the next block's first byte.
const BLOCK: usize = 16;

/// Blocks that are looked at together.
const BLOCKS: usize = 8;

/// Where a gram stands: in which literal, and how far behind (or, at −1, before) the literal's first byte. Four more bytes
/// are compared before the literal itself is looked up: the folded text has `more` at `more_at`, but for bytes without a bit
/// in `mask`.
#[derive(Debug, Clone, Copy)]
struct Place {
    more: u32,
    mask: u32,
    literal: u32,
    offset: i8,
    /// From the gram's first byte.
    more_at: i8,
    /// Whether no more places of the gram follow.
    is_last: bool,
}

impl Place {
    fn new(literal: &Literal, number: u32, offset: i8) -> Place {
        let bytes: Vec<u8> = literal.folded().collect();
        let offset_of = |at: i8| usize::try_from(at).unwrap_or(0);
        let begin = offset_of(offset);
        // What follows the gram, or what stands before it where less follows.
        let after = bytes.len().saturating_sub(begin + GRAM);
        let more_at = if after >= begin.min(GRAM) { begin + GRAM } else { begin - begin.min(GRAM) };
        let (mut more, mut mask) = ([0; 4], [0; 4]);
        let there = bytes.get(more_at..).unwrap_or_default();
        for (at, byte) in there.iter().take(if more_at < begin { begin - more_at } else { GRAM }).enumerate()
        {
            (more[at], mask[at]) = (*byte, 0xFF);
        }
        Place {
            more: u32::from_le_bytes(more),
            mask: u32::from_le_bytes(mask),
            literal: number,
            offset,
            more_at: i8::try_from(more_at).unwrap_or(0).wrapping_sub(i8::try_from(begin).unwrap_or(0)),
            is_last: false,
        }
    }
}

/// The folded four bytes that begin so far from `at`; none at the ends of the text, where the literal itself is compared.
#[inline(always)]
fn folded_at(text: &[u8], at: usize, offset: i8) -> Option<u32> {
    let bytes = text.get(at.wrapping_add_signed(isize::from(offset))..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes) | FOLD)
}

/// All literals.
pub(crate) struct Matcher {
    literals: Vec<Literal>,
    /// Of each gram two bits, both in one word.
    bits: Box<[u64; WORDS]>,
    /// By the gram's hash, open addressing: gram and the range of its places; an empty range is a free slot.
    slots: Vec<Slot>,
    /// What of a hash is no slot's number.
    shift: u32,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    gram: u32,
    /// The number of the gram's first place, counted from 1; 0 where the slot is free.
    first: u32,
}

impl Slot {
    #[inline(always)]
    fn is_free(self) -> bool {
        self.first == 0
    }
}

#[inline(always)]
fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9E37_79B1)
}

/// A gram's word in the table of bits, and its two bits there.
#[inline(always)]
fn bits_of(hashed: u32) -> (usize, u32, u32) {
    ((hashed >> (32 - WORDS_BITS)) as usize % WORDS, hashed >> 13 & 63, hashed >> 7 & 63)
}

impl Matcher {
    /// Of literals with at least three bytes each; the number of a literal is its place here.
    pub(crate) fn new(anchors: Vec<Anchor>) -> Matcher {
        let mut grams: HashMap<u32, Vec<Place>> = HashMap::new();
        for (number, anchor) in anchors.iter().enumerate() {
            let literal = u32::try_from(number).unwrap_or(u32::MAX);
            for (offset, gram) in grams_of(anchor, &|gram| grams.get(&gram).map_or(0, Vec::len)) {
                grams.entry(gram).or_default().push(Place::new(&anchor.literal, literal, offset));
            }
        }
        let literals = anchors.into_iter().map(|anchor| anchor.literal).collect();
        let mut sorted: Vec<(u32, Vec<Place>)> = grams.into_iter().collect();
        sorted.sort_unstable_by_key(|(gram, _)| *gram);
        let slots = (sorted.len() * 2).next_power_of_two().max(2);
        let mut matcher = Matcher {
            literals,
            bits: Box::new([0; WORDS]),
            shift: 32 - slots.trailing_zeros(),
            slots: vec![Slot::default(); slots],
            places: Vec::new(),
        };
        let mut alone = HashMap::new();
        for (gram, mut places) in sorted {
            // Places that look at the same bytes stand together, so that the bytes are read once.
            places.sort_by_key(|place| place.more_at);
            matcher.enter(gram, &places, &mut alone);
        }
        matcher
    }

    /// Enters a gram. Short literals stand under many grams, in the same place of each: `alone` has those that are entered.
    fn enter(&mut self, gram: u32, places: &[Place], alone: &mut HashMap<(u32, i8), u32>) {
        let hashed = hash(gram);
        let (word, one, other) = bits_of(hashed);
        self.bits[word] |= 1 << one | 1 << other;
        let next = u32::try_from(self.places.len() + 1).unwrap_or(u32::MAX);
        let first = match places {
            [one] => *alone.entry((one.literal, one.offset)).or_insert(next),
            _ => next,
        };
        if first == next {
            self.places.extend_from_slice(places);
            if let Some(last) = self.places.last_mut() {
                last.is_last = true;
            }
        }
        let mask = self.slots.len() - 1;
        let mut at = (hashed >> self.shift) as usize & mask;
        while !self.slots[at].is_free() {
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { gram, first };
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
            + self.places.len() * size_of::<Place>()
            + WORDS * 8
            + self.literals.iter().map(|literal| size_of::<Literal>() + 2 * literal.len()).sum::<usize>()
    }

    /// Calls `found` with the number and the first byte of every literal in `text`, about in the order of the text.
    #[inline]
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(u32, usize)) {
        let mut at = 0;
        // Of many places together, for what follows from a bit is hard to foresee.
        while let Some(blocks) = text.get(at..).and_then(|rest| rest.first_chunk::<{ BLOCKS * BLOCK + 2 }>())
        {
            let mut set = 0_u64;
            for number in 0..BLOCKS {
                let block = blocks[number * BLOCK..].first_chunk::<{ BLOCK + 2 }>();
                set |= u64::from(block.map_or(0, |block| self.test(block))) << (8 * number);
            }
            while set != 0 {
                self.compare(text, at + 2 * set.trailing_zeros() as usize, &mut found);
                set &= set - 1;
            }
            at += BLOCKS * BLOCK;
        }
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<{ BLOCK + 2 }>()) {
            let mut set = self.test(block);
            while set != 0 {
                let place = at + 2 * set.trailing_zeros() as usize;
                set &= set - 1;
                self.compare(text, place, &mut found);
            }
            at += BLOCK;
        }
        while at < text.len() {
            self.compare(text, at, &mut found);
            at += 2;
        }
    }

    /// Which of the eight places of a block may hold a gram.
    #[inline(always)]
    fn test(&self, block: &[u8; BLOCK + 2]) -> u32 {
        let low = u64::from_le_bytes([
            block[0], block[1], block[2], block[3], block[4], block[5], block[6], block[7],
        ]);
        let high = u64::from_le_bytes([
            block[8], block[9], block[10], block[11], block[12], block[13], block[14], block[15],
        ]);
        let last = u64::from(u16::from_le_bytes([block[16], block[17]]));
        let middle = low >> 48 | high << 16;
        let end = high >> 48 | last << 16;
        self.bit(low)
            | self.bit(low >> 16) << 1
            | self.bit(low >> 32) << 2
            | self.bit(middle) << 3
            | self.bit(high) << 4
            | self.bit(high >> 16) << 5
            | self.bit(high >> 32) << 6
            | self.bit(end) << 7
    }

    /// 1 if the lowest four bytes may be a gram, 0 if not.
    #[inline(always)]
    fn bit(&self, bytes: u64) -> u32 {
        let (word, one, other) = bits_of(hash((bytes & 0xFFFF_FFFF) as u32 | FOLD));
        let word = self.bits[word];
        (word >> one & word >> other & 1) as u32
    }

    fn compare(&self, text: &[u8], at: usize, found: &mut impl FnMut(u32, usize)) {
        // At the end a gram may go on with anything.
        let byte = |offset: usize| text.get(at + offset).copied().unwrap_or(0);
        let gram = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]) | FOLD;
        let mask = self.slots.len() - 1;
        let mut slot = (hash(gram) >> self.shift) as usize & mask;
        while !self.slots[slot].is_free() {
            if self.slots[slot].gram == gram {
                let first = self.slots[slot].first as usize - 1;
                let mut more_at = 0;
                let mut more = folded_at(text, at, more_at);
                for place in &self.places[first..] {
                    if place.more_at != more_at {
                        more_at = place.more_at;
                        more = folded_at(text, at, more_at);
                    }
                    if more.is_none_or(|more| more & place.mask == place.more)
                        && let Some(start) = at.checked_add_signed(-isize::from(place.offset))
                        && self.literals[place.literal as usize].stands(text, start)
                    {
                        found(place.literal, start);
                    }
                    if place.is_last {
                        break;
                    }
                }
                return;
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// The folded grams, of two places next to each other, under which a literal is entered. `taken` tells how many literals
/// are entered under a gram already: each of them is compared wherever the gram stands.
fn grams_of(anchor: &Anchor, taken: &dyn Fn(u32) -> usize) -> Vec<(i8, u32)> {
    let bytes: Vec<u8> = anchor.literal.folded().collect();
    if bytes.len() > GRAM {
        let grams: Vec<u32> = bytes
            .windows(GRAM)
            .filter_map(|bytes| bytes.first_chunk::<GRAM>())
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect();
        let cost = |gram: u32| of_gram(gram.to_le_bytes()) * (COST_OF_LOOK + taken(gram) as f64);
        let pairs = grams.windows(2).enumerate().map(|(at, pair)| (at, cost(pair[0]) + cost(pair[1])));
        let best = pairs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at);
        let offset = |at: usize| i8::try_from(at).unwrap_or(0);
        return [best, best + 1].iter().map(|&at| (offset(at), grams[at])).collect();
    }
    let mut all = Vec::new();
    let Some((head, tail)) = bytes.split_first_chunk::<3>() else { return all };
    let [a, b, c] = *head;
    let before = || before(a).map(|any| (-1, u32::from_le_bytes([any, a, b, c])));
    let next: Vec<u8> = folded().filter(|byte| anchor.next.has(*byte)).collect();
    match tail.first() {
        None => {
            all.extend(next.iter().map(|any| (0, u32::from_le_bytes([a, b, c, *any]))));
            all.extend(before());
        }
        Some(d) => {
            all.push((0, u32::from_le_bytes([a, b, c, *d])));
            if anchor.next == ByteSet::ALL {
                all.extend(before());
            } else {
                all.extend(next.iter().map(|any| (1, u32::from_le_bytes([b, c, *d, *any]))));
            }
        }
    }
    all
}

/// The folded bytes that may stand before one in UTF-8: before ASCII no sequence is open.
fn before(first: u8) -> impl Iterator<Item = u8> {
    folded().filter(move |byte| !first.is_ascii() || *byte < 0xC0)
}

/// The bytes that folding gives.
fn folded() -> impl Iterator<Item = u8> + Clone {
    (0..=0xFF_u8).filter(|byte| byte & 0x20 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(words: &[&str], text: &[u8]) -> Vec<(u32, usize)> {
        let mut all = Vec::new();
        let anchor = |word: &&str| Anchor { literal: Literal::caseless(word), next: ByteSet::ALL };
        Matcher::new(words.iter().map(anchor).collect()).find(text, |literal, at| all.push((literal, at)));
        all.sort_unstable();
        all
    }

    fn naive(words: &[&str], text: &[u8]) -> Vec<(u32, usize)> {
        let mut all = Vec::new();
        for (number, word) in words.iter().enumerate() {
            for at in 0..text.len() {
                if text[at..]
                    .get(..word.len())
                    .is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
                {
                    all.push((u32::try_from(number).unwrap(), at));
                }
            }
        }
        all
    }

    const WORDS: [&str; 8] = ["abc", "sk-", "abcd", "aaaa", "eyjab", "password", "_token_", "aab"];

    #[test]
    fn thousands_of_literals_that_begin_alike_are_found() {
        let words: Vec<String> = (0..5_000).map(|number| format!("pass{number:04}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = "a pass0000, a pass4999 and xpass2500";
        assert_eq!(find(&words, text.as_bytes()), [(0, 2), (2_500, 28), (4_999, 14)]);
    }

    #[test]
    fn every_place_and_length_is_found() {
        for pad in 0..40 {
            let text = format!("{}PassWord sk-eyJab{}", "x".repeat(pad), "-".repeat(pad % 7));
            assert_eq!(find(&WORDS, text.as_bytes()), naive(&WORDS, text.as_bytes()), "{text}");
        }
        assert_eq!(find(&WORDS, b"abc"), [(0, 0)]);
        assert_eq!(find(&WORDS, b"xabc"), [(0, 1)]);
        assert!(find(&WORDS, b"").is_empty());
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_naive_search_finds(text in "[abcdABks_tokenpswrd-]{0,120}") {
            prop_assert_eq!(find(&WORDS, text.as_bytes()), naive(&WORDS, text.as_bytes()));
        }

        #[test]
        fn any_bytes_do(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(find(&WORDS, &text), naive(&WORDS, &text));
        }
    }
}
