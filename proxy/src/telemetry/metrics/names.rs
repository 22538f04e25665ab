//! Names that become labels, up to a number of them.

use super::labels::OTHER;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// At most `MAX` names; for rare events, as it takes a lock.
#[derive(Debug, Default)]
pub(super) struct Names<const MAX: usize>(Mutex<BTreeSet<Box<str>>>);

impl<const MAX: usize> Names<MAX> {
    /// The name, or `other` when there is no room for one more.
    pub(super) fn bounded<'a>(&self, name: &'a str) -> &'a str {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return name;
        }
        if known.len() >= MAX {
            return OTHER;
        }
        known.insert(name.into());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let names = Names::<2>::default();
        assert_eq!(["a", "b", "c", "a"].map(|name| names.bounded(name)), ["a", "b", OTHER, "a"]);
    }
}
