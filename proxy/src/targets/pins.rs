//! Which target a conversation is on: by the key it is known by, and by ids that its answers had.
//!
//! In memory, within this process: replicas agree on where a conversation begins without it, and it remembers what
//! failover changed. Keys are hashes that the organization is part of, so that no organization finds another's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Conversations and ids that are remembered for sure; up to twice as many are remembered.
pub(crate) const PINS_MAX: usize = 65_536;
/// Parts that are locked one at a time, so that workers do not wait for each other.
const SHARDS: usize = 16;

/// The memory.
pub(crate) struct Pins {
    shards: [Mutex<Shard>; SHARDS],
    max: usize,
}

/// Two generations: when the young one is full it becomes the old one, and what was old is forgotten.
#[derive(Default)]
struct Shard {
    young: HashMap<u64, Arc<str>>,
    old: HashMap<u64, Arc<str>>,
}

impl Default for Pins {
    fn default() -> Pins {
        Pins::new(PINS_MAX)
    }
}

impl Pins {
    fn new(max: usize) -> Pins {
        Pins { shards: std::array::from_fn(|_| Mutex::default()), max: max / SHARDS }
    }

    /// The target of `key`, if it is remembered.
    pub(crate) fn get(&self, key: u64) -> Option<Arc<str>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = shard.young.get(&key) {
            return Some(Arc::clone(target));
        }
        let target = shard.old.remove(&key)?;
        shard.put(key, Arc::clone(&target), self.max);
        Some(target)
    }

    /// Remembers that `key` is on `target`.
    pub(crate) fn put(&self, key: u64, target: &Arc<str>) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.put(key, Arc::clone(target), self.max);
    }

    fn shard(&self, key: u64) -> Option<&Mutex<Shard>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits choose a shard")]
        self.shards.get(key as usize % SHARDS)
    }
}

impl Shard {
    fn put(&mut self, key: u64, target: Arc<str>, max: usize) {
        if self.young.len() >= max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, target);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rendezvous::mix;
    use super::*;

    #[test]
    fn what_is_in_use_is_remembered_and_the_rest_is_bounded() {
        let pins = Pins::new(16 * 4);
        let target: Arc<str> = Arc::from("a/b");
        pins.put(7, &target);
        for key in (1_000..20_000).map(mix) {
            pins.put(key, &target);
            assert!(pins.get(7).is_some(), "it is asked for again and again");
        }
        let held = pins.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        });
        assert!(held.max().unwrap() <= 8, "twice its part at most");
        assert_eq!(pins.get(mix(1_000)), None, "what nobody asks for is forgotten");
    }
}
