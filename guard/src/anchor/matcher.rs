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
use super::literal::{Anchor, Literal, weight};
use std::collections::HashMap;

/// Bits of a gram's hash.
const HASH_BITS: u32 = 18;

/// Words of the table of bits.
const WORDS: usize = 1 << (HASH_BITS - 6);

/// Bytes of a gram.
const GRAM: usize = 4;

/// Bit 0x20 of each byte makes letters of both cases one.
const FOLD: u32 = 0x2020_2020;

/// Bytes of a block: eight places, the last gram of which ends two bytes beyond the next block's first byte.
const BLOCK: usize = 16;

/// Where a gram stands: in which literal, and how far behind (or, at −1, before) the literal's first byte.
#[derive(Debug, Clone, Copy)]
struct Place {
    literal: u32,
    offset: i8,
}

/// All literals.
pub(crate) struct Matcher {
    literals: Vec<Literal>,
    bits: Box<[u64; WORDS]>,
    /// By the gram's hash, open addressing: gram and the range of its places; an empty range is a free slot.
    slots: Vec<Slot>,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    gram: u32,
    first: u32,
    count: u32,
}

fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)
}

impl Matcher {
    /// Of literals with at least three bytes each; the number of a literal is its place here.
    pub(crate) fn new(anchors: Vec<Anchor>) -> Matcher {
        let mut grams: HashMap<u32, Vec<Place>> = HashMap::new();
        for (number, anchor) in anchors.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            for (offset, gram) in grams_of(anchor) {
                grams.entry(gram).or_default().push(Place { literal: number, offset });
            }
        }
        let literals = anchors.into_iter().map(|anchor| anchor.literal).collect();
        let mut sorted: Vec<(u32, Vec<Place>)> = grams.into_iter().collect();
        sorted.sort_by_key(|(gram, _)| *gram);
        let mut matcher = Matcher {
            literals,
            bits: Box::new([0; WORDS]),
            slots: vec![Slot::default(); (sorted.len() * 2).next_power_of_two().max(2)],
            places: Vec::new(),
        };
        for (gram, places) in sorted {
            matcher.enter(gram, &places);
        }
        matcher
    }

    fn enter(&mut self, gram: u32, places: &[Place]) {
        let hashed = hash(gram);
        self.bits[(hashed >> 6) as usize % WORDS] |= 1 << (hashed & 63);
        let first = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
        self.places.extend_from_slice(places);
        let mask = self.slots.len() - 1;
        let mut at = hashed as usize & mask;
        while self.slots[at].count != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = Slot { gram, first, count };
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
        let hashed = hash((bytes & 0xFFFF_FFFF) as u32 | FOLD);
        (self.bits[(hashed >> 6) as usize % WORDS] >> (hashed & 63) & 1) as u32
    }

    fn compare(&self, text: &[u8], at: usize, found: &mut impl FnMut(u32, usize)) {
        // At the end a gram may go on with anything.
        let byte = |offset: usize| text.get(at + offset).copied().unwrap_or(0);
        let gram = u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]) | FOLD;
        let mask = self.slots.len() - 1;
        let mut slot = hash(gram) as usize & mask;
        while self.slots[slot].count != 0 {
            let Slot { gram: there, first, count } = self.slots[slot];
            if there == gram {
                for place in &self.places[first as usize..(first + count) as usize] {
                    let Some(start) = at.checked_add_signed(-isize::from(place.offset)) else { continue };
                    if self.literals[place.literal as usize].stands(text, start) {
                        found(place.literal, start);
                    }
                }
                return;
            }
            slot = (slot + 1) & mask;
        }
    }
}

/// The folded grams, of two places next to each other, under which a literal is entered.
fn grams_of(anchor: &Anchor) -> Vec<(i8, u32)> {
    let bytes: Vec<u8> = anchor.literal.folded().collect();
    let gram = |bytes: &[u8]| bytes.first_chunk::<GRAM>().map(|bytes| u32::from_le_bytes(*bytes));
    if bytes.len() > GRAM {
        let rarity =
            |at: &usize| -> f64 { bytes[*at..=at + GRAM].iter().map(|byte| weight(*byte, true)).sum() };
        let rarest = (0..bytes.len() - GRAM).min_by(|a, b| rarity(a).total_cmp(&rarity(b))).unwrap_or(0);
        let offset = |at: usize| i8::try_from(at).unwrap_or(0);
        return [rarest, rarest + 1]
            .iter()
            .filter_map(|&at| Some((offset(at), gram(&bytes[at..])?)))
            .collect();
    }
    let mut all = Vec::new();
    let Some((head, tail)) = bytes.split_first_chunk::<3>() else { return all };
    let [a, b, c] = *head;
    let before = || folded().map(|any| (-1, u32::from_le_bytes([any, a, b, c])));
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
