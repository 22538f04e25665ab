//! A keyed universal hash of 122 bits.

use sha2::{Digest as _, Sha256};

/// Words of a block.
const BLOCK_WORDS: usize = 128;

/// Bytes of a block: what one pass of the inner hash takes.
const BLOCK_BYTES: usize = BLOCK_WORDS * 8;

/// How far the key of the second pass is shifted, in words.
const SHIFT: usize = 2;

/// The prime modulus of the outer hash.
const PRIME: u64 = (1 << 61) - 1;

/// Bits of the pieces into which results of the inner hash are cut; each is less than the modulus.
const PIECE_BITS: u32 = 44;

/// What a text is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(u64, u64);

impl Digest {
    /// 61 bits of it, spread evenly.
    pub fn low(self) -> u64 {
        self.0
    }
}

/// Computes digests under a key.
#[derive(Clone)]
pub struct Digester {
    inner: Box<[u64; BLOCK_WORDS + SHIFT]>,
    outer: [u64; 2],
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester")
    }
}

impl Digester {
    /// With a secret key, of which 32 random bytes are enough.
    pub fn new(key: &[u8; 32]) -> Digester {
        let mut words = (0_u64..).flat_map(|counter| {
            let block = Sha256::new().chain_update(key).chain_update(counter.to_le_bytes()).finalize();
            let (words, _) = block.as_slice().as_chunks::<8>();
            words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<u64>>()
        });
        let mut inner = Box::new([0; BLOCK_WORDS + SHIFT]);
        inner.iter_mut().zip(&mut words).for_each(|(to, word)| *to = word);
        let mut outer = [1; 2];
        outer.iter_mut().zip(&mut words).for_each(|(to, word)| *to = word % PRIME);
        Digester { inner, outer }
    }

    /// The digest of a text.
    pub fn digest(&self, text: &[u8]) -> Digest {
        let mut state = [1, 1];
        let (blocks, rest) = text.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            self.step(&mut state, self.block(block));
        }
        if !rest.is_empty() {
            self.step(&mut state, self.part(rest));
        }
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX) % PRIME;
        let [first, second] = [0, 1].map(|lane| add(multiply(state[lane], self.outer[lane]), length));
        Digest(first, second)
    }

    #[inline]
    fn block(&self, block: &[u8; BLOCK_BYTES]) -> [u128; 2] {
        self.part(block)
    }

    /// NH, twice.
    #[inline(always)]
    fn part(&self, bytes: &[u8]) -> [u128; 2] {
        let (mut first, mut second) = (0_u128, 0_u128);
        let mut take = |pair: &[u8; 16], key: &[u64]| {
            let whole = u128::from_le_bytes(*pair);
            let (a, b) = (low(whole), low(whole >> 64));
            let product = |x: u64, y: u64| u128::from(a.wrapping_add(x)) * u128::from(b.wrapping_add(y));
            first = first.wrapping_add(product(key[0], key[1]));
            second = second.wrapping_add(product(key[SHIFT], key[SHIFT + 1]));
        };
        let (pairs, rest) = bytes.as_chunks::<16>();
        let mut keys = self.inner.windows(2 + SHIFT).step_by(2);
        for (pair, key) in pairs.iter().zip(&mut keys) {
            take(pair, key);
        }
        if !rest.is_empty()
            && let Some(key) = keys.next()
        {
            // Zeros behind the end say nothing: the length counts too.
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            take(&last, key);
        }
        [first, second]
    }

    #[inline]
    fn step(&self, state: &mut [u64; 2], results: [u128; 2]) {
        for lane in 0..2 {
            for piece in 0..3 {
                let bits = low(results[lane] >> (piece * PIECE_BITS)) & ((1 << PIECE_BITS) - 1);
                state[lane] = add(multiply(state[lane], self.outer[lane]), bits);
            }
        }
    }
}

/// The lower half of a number.
#[inline(always)]
fn low(number: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = number.to_le_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The product of two numbers less than 2⁶¹, modulo [`PRIME`].
#[inline]
fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    add(low(product) & PRIME, low(product >> 61))
}

/// The sum of two numbers up to [`PRIME`], modulo it.
#[inline]
fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= PRIME { sum - PRIME } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn every_byte_the_length_and_the_key_count() {
        let digester = Digester::new(&[1; 32]);
        let base = vec![b'a'; 2 * BLOCK_BYTES + 37];
        let mut seen = HashSet::from([digester.digest(&base)]);
        for at in 0..base.len() {
            let mut other = base.clone();
            other[at] ^= 1;
            assert!(seen.insert(digester.digest(&other)), "{at}");
        }
        for length in 0..base.len() {
            assert!(seen.insert(digester.digest(&base[..length])), "{length}");
        }
        for zeros in 1..40 {
            assert!(seen.insert(digester.digest(&vec![0; zeros])), "{zeros}");
        }
        assert!(seen.insert(Digester::new(&[2; 32]).digest(&base)));
    }

    #[test]
    fn arithmetic_is_that_of_the_prime() {
        let big = u128::from(PRIME);
        for a in [0, 1, 2, PRIME - 1, PRIME / 2, 1 << 60] {
            for b in [0, 1, 3, PRIME - 1, PRIME / 3] {
                assert_eq!(u128::from(multiply(a, b)), u128::from(a) * u128::from(b) % big);
            }
        }
    }

    proptest! {
        #[test]
        fn exchanged_parts_change_the_digest(text in proptest::collection::vec(any::<u8>(), 2..5_000), at in 0..5_000_usize) {
            let mut other = text.clone();
            other.rotate_left(at % text.len());
            let digester = Digester::new(&[1; 32]);
            prop_assert_eq!(digester.digest(&text) == digester.digest(&other), text == other);
        }
    }
}
