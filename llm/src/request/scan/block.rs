//! Blocks of 64 bytes as sets of bits: bit `i` of a set stands for byte `i` of the block.
//!
//! The method of simdjson (G. Langdale, D. Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019),
//! written with the vectors that every 64-bit processor has (SSE2, NEON).

use wide::{i8x16, u8x16};

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// A block of the body, loaded into vectors.
pub(super) struct Block {
    lanes: [i8x16; 4],
}

impl Block {
    #[inline(always)]
    pub(super) fn new(bytes: &[u8; BLOCK]) -> Block {
        // Written out, here and below: adapters over arrays are inlined only by builds with few codegen units.
        let [a, b, c, d] = bytes.as_chunks::<16>().0 else { return Block { lanes: [i8x16::splat(0); 4] } };
        let lane = |bytes: &[u8; 16]| u8x16::new(*bytes).cast_signed();
        Block { lanes: [lane(a), lane(b), lane(c), lane(d)] }
    }

    /// The bytes of which `test` makes a true lane.
    #[inline(always)]
    fn set(&self, test: impl Fn(i8x16) -> i8x16) -> u64 {
        let [a, b, c, d] = self.lanes;
        let bits = |lane| u64::from(test(lane).to_bitmask());
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }

    /// Whether [`set`](Self::set) would hold any byte; cheaper than making it.
    #[inline(always)]
    fn any(&self, test: impl Fn(i8x16) -> i8x16) -> bool {
        let [a, b, c, d] = self.lanes;
        ((test(a) | test(b)) | (test(c) | test(d))).to_bitmask() != 0
    }

    /// The bytes equal to `byte`, which must be ASCII.
    #[inline(always)]
    pub(super) fn equal(&self, byte: u8) -> u64 {
        self.set(equals(byte))
    }

    /// Whether any byte equals `byte`, which must be ASCII.
    #[inline(always)]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.any(equals(byte))
    }

    /// The brackets `{ } [ ]`, and four bytes that no JSON has outside of strings: `Y`, `_`, `y` and U+007F.
    /// These eight are exactly the bytes that the bits 0x26 make 0x7F, which costs one comparison and not four.
    #[inline(always)]
    pub(super) fn brackets(&self) -> u64 {
        let (bits, all) = (i8x16::splat(0x26), i8x16::splat(0x7F));
        self.set(|lane| (lane | bits).simd_eq(all))
    }

    /// Whether any byte is a control character (below 0x20) or above 0x7F, which as a signed number is below too.
    #[inline(always)]
    pub(super) fn has_odd(&self) -> bool {
        let blank = i8x16::splat(0x20);
        self.any(|lane| lane.simd_lt(blank))
    }

    /// Whether any byte ends or interrupts a string: a quote, a backslash, a control character or above 0x7F.
    #[inline(always)]
    pub(super) fn has_stops(&self) -> bool {
        let blank = i8x16::splat(0x20);
        let (quote, backslash) = (equals(b'"'), equals(b'\\'));
        self.any(|lane| lane.simd_lt(blank) | quote(lane) | backslash(lane))
    }

    /// The control characters (below 0x20).
    #[inline(always)]
    pub(super) fn controls(&self) -> u64 {
        let blank = i8x16::splat(0x20);
        self.set(|lane| lane.simd_lt(blank)) & !self.high()
    }

    /// The bytes above 0x7F.
    #[inline(always)]
    pub(super) fn high(&self) -> u64 {
        self.set(|lane| lane)
    }

    /// The bytes that never occur in base64 nor in any other unbroken run: blanks, control characters, quotes,
    /// backslashes and bytes above 0x7F.
    #[inline(always)]
    pub(super) fn breaks(&self) -> u64 {
        self.set(breaks())
    }

    /// Whether the block holds any of [`breaks`](Self::breaks).
    #[inline(always)]
    pub(super) fn has_breaks(&self) -> bool {
        self.any(breaks())
    }
}

#[inline(always)]
fn breaks() -> impl Fn(i8x16) -> i8x16 {
    let blank = i8x16::splat(0x21);
    let (quote, backslash) = (equals(b'"'), equals(b'\\'));
    move |lane| lane.simd_lt(blank) | quote(lane) | backslash(lane)
}

#[inline(always)]
fn equals(byte: u8) -> impl Fn(i8x16) -> i8x16 {
    let byte = i8x16::splat(byte.cast_signed());
    move |lane| lane.simd_eq(byte)
}

/// The backslashes that begin an escape, and the bytes behind them. `carry` says (as 0 or 1) whether the block
/// before ended in the middle of an escape, and then says so of this block.
#[inline(always)]
pub(super) fn escapes(backslashes: u64, carry: &mut u64) -> (u64, u64) {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    // In a run of backslashes, every second one begins an escape. Subtracting the run's first bit from the run's
    // place filled with odd bits carries through the run, which leaves the bits of the same parity as its start.
    let first = backslashes & !*carry;
    let behind = (first << 1 | ODD).wrapping_sub(first) ^ ODD;
    let starts = behind & backslashes;
    let escaped = behind ^ (backslashes | *carry);
    *carry = starts >> 63;
    (starts, escaped)
}

/// The bytes from each set bit on, exclusive of every second set bit and what follows it: given the quotes, the
/// strings with their opening quotes.
#[inline(always)]
pub(super) fn between(quotes: u64) -> u64 {
    let bits = quotes ^ quotes << 1;
    let bits = bits ^ bits << 2;
    let bits = bits ^ bits << 4;
    let bits = bits ^ bits << 8;
    let bits = bits ^ bits << 16;
    bits ^ bits << 32
}

/// The set bits of `bits` as their indices, lowest first.
#[inline(always)]
pub(super) fn indices(mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = (bits != 0).then(|| bits.trailing_zeros() as usize);
        bits &= bits.wrapping_sub(1);
        index
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The set of the bytes for which `test` holds, made one by one.
    fn plainly(bytes: &[u8; BLOCK], test: impl Fn(u8) -> bool) -> u64 {
        bytes.iter().enumerate().fold(0, |set, (i, byte)| set | u64::from(test(*byte)) << i)
    }

    #[test]
    fn every_byte_is_classified_at_every_place() {
        for byte in 0..=u8::MAX {
            for others in [b'x', b'"', 0x80] {
                for place in 0..BLOCK {
                    let mut bytes = [others; BLOCK];
                    bytes[place] = byte;
                    let block = Block::new(&bytes);
                    let set = |test: fn(u8) -> bool| plainly(&bytes, test);
                    assert_eq!(block.equal(b'"'), set(|b| b == b'"'));
                    assert_eq!(block.has(b'\\'), bytes.contains(&b'\\'));
                    assert_eq!(block.brackets(), set(|b| b"{}[]Y_y\x7f".contains(&b)));
                    assert_eq!(block.controls(), set(|b| b < 0x20));
                    assert_eq!(block.high(), set(|b| b > 0x7F));
                    assert_eq!(block.has_odd(), bytes.iter().any(|b| !(0x20..0x80).contains(b)));
                    assert_eq!(block.breaks(), set(|b| !(0x21..0x80).contains(&b) || b"\"\\".contains(&b)));
                    let stop = |b: &u8| !(0x20..0x80).contains(b) || b"\"\\".contains(b);
                    assert_eq!(block.has_stops(), bytes.iter().any(stop));
                    assert_eq!(block.has_breaks(), block.breaks() != 0);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn escapes_are_those_of_reading_byte_by_byte(
            backslashes in prop_oneof![
                any::<u64>(),
                (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a | b),
                (0..64u32, 0..64u32).prop_map(|(from, to)| u64::MAX << from & u64::MAX >> to),
            ],
            carry in 0..2u64,
        ) {
            let (mut starts, mut escaped, mut inside) = (0, 0, carry == 1);
            for i in 0..BLOCK {
                if inside {
                    escaped |= 1 << i;
                    inside = false;
                } else if backslashes >> i & 1 == 1 {
                    starts |= 1 << i;
                    inside = true;
                }
            }
            let mut carried = carry;
            prop_assert_eq!(escapes(backslashes, &mut carried), (starts, escaped));
            prop_assert_eq!(carried, u64::from(inside));
        }

        #[test]
        fn strings_are_between_their_quotes(quotes in any::<u64>()) {
            let mut inside = false;
            let plain = (0..BLOCK).fold(0, |set, i| {
                inside ^= quotes >> i & 1 == 1;
                set | u64::from(inside) << i
            });
            prop_assert_eq!(between(quotes), plain);
            prop_assert_eq!(indices(quotes).fold(0, |set, i| set | 1 << i), quotes);
        }
    }
}
