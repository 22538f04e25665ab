//! Remembers what was found in texts that are sent again.
//!
//! Agents send their whole history with every turn. A text that was searched by the same engine for the same organization
//! is not searched again: its digest is computed, at several times the speed of a search, and its findings are looked up.
//! So a key is made of the organization, the engine's version, what decides how the text is read, and the text's digest.
//!
//! The digest is a universal hash under a secret key (NH of J. Black et al., "UMAC: Fast and Secure Message
//! Authentication", CRYPTO 1999, twice with Toeplitz shift, and a polynomial modulo 2⁶¹ − 1 over its results): whoever
//! does not know the key cannot make two texts with one digest but by chance, about 2⁻¹⁰⁰ a pair.

mod digest;

pub use digest::{Digest, Digester};

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Hashes keys that are digests already: under a secret key they are spread evenly, and nobody can choose them.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Values by digests, bounded in bytes. What was not asked for since half of the room was filled anew is forgotten.
/// Whoever shares it locks it; a lookup is some tens of nanoseconds.
pub struct Cache<K, V> {
    young: HashMap<K, V, BuildHasherDefault<Spread>>,
    old: HashMap<K, V, BuildHasherDefault<Spread>>,
    young_bytes: usize,
    old_bytes: usize,
    limit: usize,
    size: fn(&V) -> usize,
}

impl<K, V> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.young.len() + self.old.len();
        let bytes = self.young_bytes + self.old_bytes;
        f.debug_struct("Cache").field("entries", &entries).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl<K: Copy + Eq + Hash, V> Cache<K, V> {
    /// A cache of at most `limit` bytes. `size` says how many a value takes beyond its own size in the table.
    pub fn new(limit: usize, size: fn(&V) -> usize) -> Cache<K, V> {
        Cache {
            young: HashMap::default(),
            old: HashMap::default(),
            young_bytes: 0,
            old_bytes: 0,
            limit,
            size,
        }
    }

    /// The value, if it is remembered.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.old_bytes -= self.cost(&value);
            self.put(*key, value);
        }
        self.young.get(key)
    }

    /// Remembers a value. What alone takes more than half of the room is not kept.
    pub fn put(&mut self, key: K, value: V) {
        let bytes = self.cost(&value);
        if let Some(before) = self.young.remove(&key) {
            self.young_bytes -= self.cost(&before);
        }
        if let Some(before) = self.old.remove(&key) {
            self.old_bytes -= self.cost(&before);
        }
        if bytes > self.limit / 2 {
            return;
        }
        if self.young_bytes + bytes > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }

    /// How many values are remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in use; at most the limit.
    pub fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    /// Bytes of an entry: what the value says, and its place in the table with the table's slack.
    fn cost(&self, value: &V) -> usize {
        2 * (size_of::<K>() + size_of::<V>()) + (self.size)(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Cache<u64, Vec<u8>>;

    const ENTRY: usize = 2 * (size_of::<u64>() + size_of::<Vec<u8>>()) + 100;

    fn cache(limit: usize) -> Numbers {
        Cache::new(limit, Vec::len)
    }

    #[test]
    fn what_is_put_is_got_and_the_last_one_counts() {
        let mut cache = cache(10 * ENTRY);
        cache.put(1, vec![1; 100]);
        cache.put(1, vec![2; 100]);
        assert_eq!(cache.get(&1), Some(&vec![2; 100]));
        assert_eq!(cache.get(&2), None);
        assert_eq!((cache.len(), cache.bytes()), (1, ENTRY));
    }

    #[test]
    fn the_room_is_never_exceeded_and_what_is_asked_for_stays() {
        let mut cache = cache(10 * ENTRY);
        cache.put(1_000, vec![0; 100]);
        for number in 0..100 {
            cache.put(number, vec![0; 100]);
            assert!(cache.bytes() <= 10 * ENTRY);
            assert_eq!(cache.bytes(), cache.len() * ENTRY);
            assert!(cache.get(&1_000).is_some(), "{number}");
        }
        assert!(cache.get(&0).is_none());
    }

    #[test]
    fn an_entry_of_half_the_room_is_kept_and_one_byte_more_is_not() {
        for (limit, kept) in [(2 * ENTRY, true), (2 * ENTRY - 1, false)] {
            let mut cache = cache(limit);
            cache.put(1, vec![0; 100]);
            assert_eq!(cache.get(&1).is_some(), kept);
        }
    }

    #[test]
    fn what_is_replaced_by_something_too_large_is_forgotten() {
        let mut cache = cache(2 * ENTRY);
        cache.put(1, vec![0; 100]);
        cache.put(1, vec![0; 101]);
        assert!(cache.is_empty() && cache.bytes() == 0);
    }
}
