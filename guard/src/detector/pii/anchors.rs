//! The fast pass: which places of a text are worth looking at.
//!
//! A text is read in blocks of 64 bytes that become sets of bits (bit `i` stands for byte `i`), as in `narrows-llm`'s
//! request scanner. A block without digits, colons and `@` costs little more than its load. For the others, shifts of the
//! sets find shapes that every value has: seven letters and digits in a row with a digit among them; seven digits in a
//! row, single separators between them not counted; the punctuation of a network address or of a few identifiers.
//! What is found is a superset of the values, and depends on the bytes near it alone.

use wide::{i8x16, u8x16};

/// Bytes of a block.
const BLOCK: usize = 64;

/// Bytes from one block to the next. Blocks overlap, so that every shape that begins in the first bytes lies in one block.
const STRIDE: usize = 54;

/// Anchors in the first bytes of one block.
pub(super) struct Anchors {
    /// Where the block begins in the text, in bytes.
    pub(super) base: usize,
    /// Bytes of shapes that numbers have.
    pub(super) numbers: u64,
    /// Bytes that are `@`.
    pub(super) ats: u64,
    /// Colons that may belong to a network address.
    pub(super) colons: u64,
}

/// Calls `visit` for every block that holds an anchor, in order.
pub(super) fn each(text: &[u8], mut visit: impl FnMut(Anchors)) {
    let mut base = 0;
    while base < text.len() {
        let rest = text.get(base..).unwrap_or_default();
        let found = match rest.first_chunk::<BLOCK>() {
            Some(block) => anchors(block, base),
            None => anchors(&padded(rest), base),
        };
        if let Some(found) = found {
            visit(found);
        }
        base += STRIDE;
    }
}

/// The last bytes of a text, with blanks up to a whole block.
fn padded(rest: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    if let Some(start) = block.get_mut(..rest.len()) {
        start.copy_from_slice(rest);
    }
    block
}

/// Four vectors of a block.
struct Lanes([i8x16; 4]);

impl Lanes {
    #[inline(always)]
    fn new(block: &[u8; BLOCK]) -> Lanes {
        let [a, b, c, d] = block.as_chunks::<16>().0 else { return Lanes([i8x16::splat(0); 4]) };
        let lane = |bytes: &[u8; 16]| u8x16::new(*bytes).cast_signed();
        Lanes([lane(a), lane(b), lane(c), lane(d)])
    }

    #[inline(always)]
    fn set(&self, test: impl Fn(i8x16) -> i8x16) -> u64 {
        let [a, b, c, d] = self.0;
        let bits = |lane| u64::from(test(lane).to_bitmask());
        bits(a) | bits(b) << 16 | bits(c) << 32 | bits(d) << 48
    }

    #[inline(always)]
    fn equal(&self, byte: i8) -> u64 {
        let byte = i8x16::splat(byte);
        self.set(|lane| lane.simd_eq(byte))
    }

    #[inline(always)]
    fn has(&self, byte: i8) -> bool {
        let byte = i8x16::splat(byte);
        let [a, b, c, d] = self.0;
        ((a.simd_eq(byte) | b.simd_eq(byte)) | (c.simd_eq(byte) | d.simd_eq(byte))).to_bitmask() != 0
    }

    /// Bytes strictly between two others, as signed numbers: above 0x7F is below everything.
    #[inline(always)]
    fn between(&self, below: i8, above: i8) -> u64 {
        let (below, above) = (i8x16::splat(below), i8x16::splat(above));
        self.set(|lane| below.simd_lt(lane) & lane.simd_lt(above))
    }

    /// Whether there is a digit, a colon or an `@`. The three are in one range with bytes that are rarer.
    #[inline(always)]
    fn any(&self) -> bool {
        let (below, above) = (i8x16::splat(0x2F), i8x16::splat(0x41));
        let test = |lane: i8x16| below.simd_lt(lane) & lane.simd_lt(above);
        let [a, b, c, d] = self.0;
        ((test(a) | test(b)) | (test(c) | test(d))).to_bitmask() != 0
    }

    #[inline(always)]
    fn letters(&self) -> u64 {
        let (case, below, above) = (i8x16::splat(0x20), i8x16::splat(0x60), i8x16::splat(0x7B));
        self.set(|lane| {
            let lower = lane | case;
            below.simd_lt(lower) & lower.simd_lt(above)
        })
    }
}

#[inline(always)]
fn anchors(block: &[u8; BLOCK], base: usize) -> Option<Anchors> {
    const FIRST: u64 = (1 << STRIDE) - 1;
    let lanes = Lanes::new(block);
    if !lanes.any() {
        return None;
    }
    let digits = lanes.between(0x2F, 0x3A);
    let ats = if lanes.has(0x40) { lanes.equal(0x40) & FIRST } else { 0 };
    let colons = lanes.equal(0x3A);
    let numbers = if digits == 0 { 0 } else { numbers(&lanes, digits) };
    let colons = if colons & colons.wrapping_sub(1) == 0 { 0 } else { addresses(digits, colons) };
    let (numbers, colons) = (numbers & FIRST, colons & FIRST);
    (numbers | ats | colons != 0).then_some(Anchors { base, numbers, ats, colons })
}

/// Where seven bits in a row begin.
#[inline(always)]
fn sevens(set: u64) -> u64 {
    let twos = set & set >> 1;
    let fours = twos & twos >> 2;
    fours & fours >> 3
}

#[inline(always)]
fn numbers(lanes: &Lanes, digits: u64) -> u64 {
    let letters = lanes.letters();
    let words = digits | letters;
    let punctuation = lanes.between(0x2C, 0x30);
    let (blank, parenthesis) = (i8x16::splat(0x20), i8x16::splat(0x29));
    let others = lanes.set(|lane| lane.simd_eq(blank) | lane.simd_eq(parenthesis));
    let separators = punctuation | others;
    // Digits with one or two separators between them: `12-34`, `12) 34`.
    let single = separators & digits << 1 & digits >> 1;
    let double = separators & digits << 1 & separators >> 1 & digits >> 2;
    let filled = digits | single | double | double << 1;
    // A digit among the seven: bit i of `near` says that there is one in bytes i to i + 6.
    let twos = digits | digits >> 1;
    let fours = twos | twos >> 2;
    let near = fours | fours >> 3;
    // The end of a British postcode, `SW1A 1AA`.
    let postcode = words & others >> 1 & digits >> 2 & letters >> 3 & letters >> 4 & !(words >> 5);
    sevens(filled) | sevens(words) & near | postcode | dotted(words, digits, punctuation)
}

/// How identifiers begin that have neither: `1EG4-TE5-MK73`, `12.ABC.345/01DE-35`, `00-1b-63-84-45-e6`, `001b.6384.45e6`.
#[inline(always)]
fn dotted(words: u64, digits: u64, marks: u64) -> u64 {
    let medicare = digits & words >> 2 & digits >> 3 & marks >> 4 & words >> 6 & marks >> 8;
    let company = words & marks >> 2 & words >> 3 & words >> 5 & marks >> 6 & words >> 7 & marks >> 10;
    let hardware = words & marks >> 2 & marks >> 5 & marks >> 8;
    let cisco = words & words >> 3 & marks >> 4 & words >> 5 & words >> 8 & marks >> 9;
    medicare | company | hardware | cisco
}

/// Colons of IPv6 and hardware addresses: three at a distance of three, or two next to each other or three near each
/// other, with a digit nearby.
#[inline(always)]
fn addresses(digits: u64, colons: u64) -> u64 {
    let hardware = colons & colons >> 3 & colons >> 6;
    let double = colons & colons >> 1;
    let next = colons >> 1 | colons >> 2 | colons >> 3 | colons >> 4 | colons >> 5;
    let chain = colons & next;
    let chain = chain & (chain >> 1 | chain >> 2 | chain >> 3 | chain >> 4 | chain >> 5);
    if double | chain | hardware == 0 {
        return 0;
    }
    let spread = digits | digits << 1 | digits >> 1;
    let spread = spread | spread << 2 | spread >> 2;
    let spread = spread | spread << 3 | spread >> 3;
    // A digit may lie in the block before: near the beginning, assume that it does.
    const EDGES: u64 = 0x3F;
    (double | chain) & (spread | EDGES) | hardware
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        let (mut numbers, mut ats, mut colons) = (Vec::new(), Vec::new(), Vec::new());
        let list = |bits: u64, base: usize| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| base + bit)
        };
        each(text.as_bytes(), |found| {
            numbers.extend(list(found.numbers, found.base));
            ats.extend(list(found.ats, found.base));
            colons.extend(list(found.colons, found.base));
        });
        (numbers, ats, colons)
    }

    #[test]
    fn anchors_do_not_depend_on_where_a_block_begins() {
        for shape in [
            "4111111",
            "12-34.56 78",
            "A123456",
            "1EG4-TE5-MK73",
            "12.ABC.345/01DE-35",
            "01 23 45 67 89",
            "06804) 44910",
        ] {
            for before in 0..200 {
                let text = format!("{}{shape}{}", "-".repeat(before), "-".repeat(200 - before));
                assert!(found(&text).0.contains(&before), "{shape} after {before}");
            }
        }
        for shape in ["a@b", "fe80::1", "00:1b:63:84:45:e6", "2001:db8:a:b:c:d:e:f"] {
            for before in 0..200 {
                let text = format!("{}{shape}", " ".repeat(before));
                let (_, ats, colons) = found(&text);
                assert!(!ats.is_empty() || !colons.is_empty(), "{shape} after {before}");
            }
        }
    }

    #[test]
    fn ordinary_text_has_no_anchors() {
        let text =
            "fn main() { let x = 12; std::fmt::Display; foo_bar(1, 2, 345) } // at 10:30, in 2024 or 1.5\n"
                .repeat(9);
        let (numbers, ats, _) = found(&text);
        assert_eq!((numbers, ats), (vec![], vec![]));
    }
}
