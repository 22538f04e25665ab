//! Masked values, put back into the texts of a stream.

use super::queue::Queue;
use crate::guard::restore::values_back;
use narrows_guard::unmask::{Level, Placeholders, Seeker, escape};
use narrows_llm::deltas::{Block, Ended, Kind};
use std::collections::BTreeMap;
use std::ops::Range;

/// Looks for placeholders in every text of a stream.
pub(super) struct Restore {
    placeholders: Placeholders,
    seekers: BTreeMap<Block, Seeker>,
}

impl Restore {
    pub(super) fn new(placeholders: Placeholders) -> Restore {
        Restore { placeholders, seekers: BTreeMap::new() }
    }

    /// What the event that came last says outside of the pieces of texts, at `taken`: texts that stand there whole, such as those that are
    /// repeated when they have ended.
    pub(super) fn rest(&self, data: &str, taken: &[Range<usize>], queue: &mut Queue) {
        if self.placeholders.occur_in(data) {
            let splices = values_back(data, &self.placeholders);
            let apart = |range: &Range<usize>| {
                taken.iter().all(|taken| range.end <= taken.start || taken.end <= range.start)
            };
            splices
                .into_iter()
                .filter(|splice| apart(&splice.range))
                .for_each(|splice| queue.change_last(splice));
        }
    }

    /// The next piece of a text; its event waits in the queue.
    pub(super) fn push(&mut self, block: Block, text: &str, queue: &mut Queue) {
        let seeker = self.seekers.entry(block).or_insert_with(|| Seeker::new(&self.placeholders));
        let level = if block.kind == Kind::Arguments { Level::JsonInJson } else { Level::Json };
        seeker.push(text, &mut |range, value| {
            let mut with = String::with_capacity(value.len() + 2);
            escape(value, level, &mut with);
            queue.edit(&block, &range, &with);
        });
    }

    /// Texts have ended: what looks like the beginning of a placeholder is none.
    pub(super) fn ended(&mut self, ended: Ended) {
        self.seekers
            .iter_mut()
            .filter(|(block, _)| ended.includes(block))
            .for_each(|(_, seeker)| seeker.give_up());
    }

    /// Up to where it is known what stands in a text.
    pub(super) fn certain(&self, block: &Block) -> usize {
        self.seekers.get(block).map_or(usize::MAX, Seeker::certain)
    }
}
