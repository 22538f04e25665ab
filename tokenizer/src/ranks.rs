//! The tokens of a vocabulary, and how a piece of text is put together from them.
//!
//! Byte-pair encoding: a piece begins as single bytes; of all neighbours that together are a token, the pair of the
//! lowest rank (the leftmost of equals) is joined, until no two are.

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Most bytes that the tokens of a vocabulary may unpack to.
const UNPACKED_LIMIT: usize = 4 << 20;
/// Bits of a slot that hold a rank plus one; zero is an empty slot.
const RANK_BITS: u32 = 18;
const RANK_MASK: u32 = (1 << RANK_BITS) - 1;
/// Pieces up to this many bytes are joined by looking at all of them each time; longer ones by a heap, so that no
/// piece takes quadratic time.
const SHORT_PIECE_BYTES: usize = 64;
/// No rank: the bytes are no token.
const NONE: u32 = u32::MAX;

/// A vocabulary's tokens, found by their bytes.
#[derive(Debug)]
pub(crate) struct Ranks {
    /// All tokens, one behind the other, by rank.
    bytes: Vec<u8>,
    /// Where each token ends.
    ends: Vec<u32>,
    /// A hash table with open addressing: part of the hash above [`RANK_BITS`], rank plus one below.
    slots: Vec<u32>,
    /// Bytes of the longest token.
    longest: usize,
}

impl Ranks {
    /// Reads what `examples/prepare.rs` wrote: packed by zlib, the number of tokens (four bytes, little-endian), the
    /// length of each (one byte), their bytes.
    pub(crate) fn read(packed: &[u8]) -> Option<Ranks> {
        let unpacked = decompress_to_vec_zlib_with_limit(packed, UNPACKED_LIMIT).ok()?;
        let (head, rest) = unpacked.split_first_chunk()?;
        let number = usize::try_from(u32::from_le_bytes(*head)).ok()?;
        let (lengths, bytes) = rest.split_at_checked(number)?;
        let mut ends = Vec::with_capacity(number);
        let mut end = 0u32;
        for length in lengths {
            end += u32::from(*length);
            ends.push(end);
        }
        let is_whole = usize::try_from(end).ok()? == bytes.len() && lengths.iter().all(|length| *length > 0);
        if !is_whole || number >= 1 << RANK_BITS {
            return None;
        }
        let longest = lengths.iter().copied().max().map_or(0, usize::from);
        let slots = vec![0; (number * 2).next_power_of_two()];
        let mut ranks = Ranks { bytes: bytes.to_vec(), ends, slots, longest };
        for rank in 0..u32::try_from(number).ok()? {
            ranks.insert(rank)?;
        }
        // Every byte is a token, so every piece can be written.
        (0..=u8::MAX).all(|byte| ranks.rank(&[byte]) != NONE).then_some(ranks)
    }

    fn insert(&mut self, rank: u32) -> Option<()> {
        let (mut at, tag) = self.place(self.token(rank));
        while *self.slots.get(at)? != 0 {
            at = (at + 1) & (self.slots.len() - 1);
        }
        *self.slots.get_mut(at)? = tag | (rank + 1);
        Some(())
    }

    fn token(&self, rank: u32) -> &[u8] {
        let end = |rank: u32| self.ends.get(rank as usize).map_or(0, |end| *end as usize);
        let start = rank.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(rank)).unwrap_or_default()
    }

    /// The first slot of these bytes, and what their slot holds beside the rank.
    fn place(&self, bytes: &[u8]) -> (usize, u32) {
        let hash = hash(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "parts of a hash")]
        let (low, high) = (hash as usize, (hash >> 32) as u32);
        (low & (self.slots.len() - 1), high & !RANK_MASK)
    }

    /// The rank of the token with these bytes, or [`NONE`].
    fn rank(&self, bytes: &[u8]) -> u32 {
        if bytes.is_empty() || bytes.len() > self.longest {
            return NONE;
        }
        let (mut at, tag) = self.place(bytes);
        loop {
            match self.slots.get(at) {
                None | Some(0) => return NONE,
                Some(slot) if slot & !RANK_MASK == tag && self.token((slot & RANK_MASK) - 1) == bytes => {
                    return (slot & RANK_MASK) - 1;
                }
                Some(_) => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// Tokens of a piece. Takes `n log n` time for `n` bytes.
    pub(crate) fn count(&self, piece: &[u8]) -> u64 {
        match piece.len() {
            0 => 0,
            1 => 1,
            _ if self.rank(piece) != NONE => 1,
            length if length <= SHORT_PIECE_BYTES => self.join_short(piece),
            _ => self.join_long(piece),
        }
    }

    /// Joins pairs, and looks at all that are left each time.
    fn join_short(&self, piece: &[u8]) -> u64 {
        // Where each part starts, and the rank of it and its right neighbour as one; the end stands behind.
        let mut parts = [(0usize, NONE); SHORT_PIECE_BYTES + 1];
        let mut number = piece.len();
        let pair = |from: usize, to: usize| piece.get(from..to).map_or(NONE, |bytes| self.rank(bytes));
        for (at, part) in parts.iter_mut().enumerate().take(number + 1) {
            *part = (at, pair(at, at + 2));
        }
        loop {
            let left = parts.get(..number).unwrap_or_default();
            let Some((at, _)) =
                left.iter().enumerate().filter(|part| part.1.1 != NONE).min_by_key(|part| part.1.1)
            else {
                return number as u64;
            };
            parts.copy_within(at + 2..=number, at + 1);
            number -= 1;
            let start = |at: usize| parts.get(at.min(number)).map_or(piece.len(), |part| part.0);
            let joined = if at + 1 < number { pair(start(at), start(at + 2)) } else { NONE };
            let before = at.checked_sub(1).map(|before| (before, pair(start(before), start(at + 1))));
            if let Some(part) = parts.get_mut(at) {
                part.1 = joined;
            }
            if let Some((part, rank)) = before.and_then(|(at, rank)| Some((parts.get_mut(at)?, rank))) {
                part.1 = rank;
            }
        }
    }

    /// Joins pairs in the order that a heap gives.
    fn join_long(&self, piece: &[u8]) -> u64 {
        let mut chain = Chain::new(piece.len());
        let mut heap = BinaryHeap::with_capacity(piece.len());
        for at in 0..piece.len() - 1 {
            self.offer(piece, &mut chain, &mut heap, at);
        }
        let mut number = piece.len() as u64;
        while let Some(Reverse((rank, at))) = heap.pop() {
            let at = at as usize;
            // What was offered before a part grew or went is offered no more.
            if chain.rank(at) != rank {
                continue;
            }
            number -= 1;
            chain.join(at);
            self.offer(piece, &mut chain, &mut heap, at);
            if let Some(before) = chain.before(at) {
                self.offer(piece, &mut chain, &mut heap, before);
            }
        }
        number
    }

    /// Notes the rank of the part at `at` and its right neighbour as one.
    fn offer(&self, piece: &[u8], chain: &mut Chain, heap: &mut BinaryHeap<Reverse<(u32, u32)>>, at: usize) {
        let pair = chain.end_of_pair(at).and_then(|end| piece.get(at..end));
        let rank = pair.map_or(NONE, |bytes| self.rank(bytes));
        chain.set_rank(at, rank);
        if let (true, Ok(at)) = (rank != NONE, u32::try_from(at)) {
            heap.push(Reverse((rank, at)));
        }
    }

    #[cfg(test)]
    pub(crate) fn number(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(NONE)
    }

    #[cfg(test)]
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<u32> {
        Some(self.rank(bytes)).filter(|rank| *rank != NONE)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + 4 * (self.ends.capacity() + self.slots.capacity())
    }
}

/// The parts of a long piece, each known by where it starts.
struct Chain {
    /// Where the next part starts, where the one before does, and the rank of the part and the next as one. A part that
    /// was joined to the one before has no rank.
    links: Vec<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    next: u32,
    before: u32,
    rank: u32,
}

impl Chain {
    fn new(length: usize) -> Chain {
        let number = |at: usize| u32::try_from(at).unwrap_or(NONE);
        let link = |at: usize| Link {
            next: number(at + 1),
            before: at.checked_sub(1).map_or(NONE, number),
            rank: NONE,
        };
        Chain { links: (0..length).map(link).collect() }
    }

    fn link(&self, at: usize) -> Option<&Link> {
        self.links.get(at)
    }

    fn next(&self, at: usize) -> Option<usize> {
        self.link(at).map(|link| link.next as usize)
    }

    fn before(&self, at: usize) -> Option<usize> {
        self.link(at).filter(|link| link.before != NONE).map(|link| link.before as usize)
    }

    /// Where the part behind the one at `at` ends, if there is one.
    fn end_of_pair(&self, at: usize) -> Option<usize> {
        self.next(self.next(at)?)
    }

    fn rank(&self, at: usize) -> u32 {
        self.link(at).map_or(NONE, |link| link.rank)
    }

    fn set_rank(&mut self, at: usize, rank: u32) {
        if let Some(link) = self.links.get_mut(at) {
            link.rank = rank;
        }
    }

    /// The part at `at` takes in the next one.
    fn join(&mut self, at: usize) {
        let Some(taken) = self.next(at) else { return };
        let Some(end) = self.next(taken) else { return };
        self.set_rank(taken, NONE);
        if let (Some(link), Ok(end)) = (self.links.get_mut(at), u32::try_from(end)) {
            link.next = end;
        }
        if let (Some(link), Ok(at)) = (self.links.get_mut(end), u32::try_from(at)) {
            link.before = at;
        }
    }
}

/// A hash for short strings of a vocabulary that is known beforehand: how long a search can get is settled by the
/// tokens, not by what is searched for.
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| {
        let product = (hash ^ word).wrapping_mul(FACTOR);
        product ^ (product >> 29)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(bytes.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(mix(hash, last), last)
}
