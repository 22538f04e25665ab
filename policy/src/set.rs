//! Sets of rules as bits: what is in scope is found by intersecting them, without allocating.

use crate::compile::RULES_MAX;

const WORDS: usize = RULES_MAX / 64;

/// A set of rules of one [`PolicySet`](crate::PolicySet), by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleSet([u64; WORDS]);

impl RuleSet {
    pub(crate) const EMPTY: RuleSet = RuleSet([0; WORDS]);

    /// The first `count` rules.
    pub(crate) fn first(count: usize) -> RuleSet {
        let mut set = RuleSet::EMPTY;
        (0..count).for_each(|rule| set.insert(rule));
        set
    }

    pub(crate) fn insert(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    pub(crate) fn contains(&self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    #[must_use]
    pub(crate) fn and(&self, other: &RuleSet) -> RuleSet {
        self.zip(other, |one, other| one & other)
    }

    #[must_use]
    pub(crate) fn or(&self, other: &RuleSet) -> RuleSet {
        self.zip(other, |one, other| one | other)
    }

    #[must_use]
    pub(crate) fn without(&self, other: &RuleSet) -> RuleSet {
        self.zip(other, |one, other| one & !other)
    }

    fn zip(&self, other: &RuleSet, with: impl Fn(u64, u64) -> u64) -> RuleSet {
        let mut out = *self;
        out.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word = with(*word, *other));
        out
    }

    /// The members, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| Bits(*word).map(move |bit| at * 64 + bit))
    }
}

/// The positions of the set bits of a word.
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        usize::try_from(bit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn sets_are_sets(
            one in proptest::collection::btree_set(0..RULES_MAX, 0..40),
            other in proptest::collection::btree_set(0..RULES_MAX, 0..40),
        ) {
            let set = |members: &BTreeSet<usize>| {
                let mut set = RuleSet::EMPTY;
                members.iter().for_each(|member| set.insert(*member));
                set
            };
            let (a, b) = (set(&one), set(&other));
            let members = |set: RuleSet| set.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(members(a.and(&b)), one.intersection(&other).copied().collect());
            prop_assert_eq!(members(a.or(&b)), one.union(&other).copied().collect());
            prop_assert_eq!(members(a.without(&b)), one.difference(&other).copied().collect());
            prop_assert_eq!(a.is_empty(), one.is_empty());
            prop_assert!(one.iter().all(|member| a.contains(*member)));
        }
    }

    #[test]
    fn the_first_and_the_last_fit_and_one_more_does_not() {
        let mut set = RuleSet::first(1);
        set.insert(RULES_MAX - 1);
        set.insert(RULES_MAX);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, RULES_MAX - 1]);
        assert!(!set.contains(RULES_MAX));
    }
}
