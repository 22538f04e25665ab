//! What is remembered of each pattern while one slice of text is searched.

/// Of one pattern.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Of which slice this is; anything older counts as new.
    epoch: u32,
    /// Where the last match ended: matches of one pattern do not overlap.
    next: usize,
    /// Bytes that windows of this slice had.
    spent: usize,
    /// Whether the pattern has to be searched in the whole slice.
    sweep: bool,
}

/// Reusable memory of a search.
#[derive(Debug, Default)]
pub(crate) struct State {
    epoch: u32,
    entries: Vec<Entry>,
    /// Patterns to be searched in the whole slice.
    pub(crate) sweeps: Vec<u32>,
}

impl State {
    /// Forgets everything, for a slice with so many patterns.
    pub(crate) fn begin(&mut self, patterns: usize) {
        if self.entries.len() != patterns || self.epoch == u32::MAX {
            self.entries = vec![Entry::default(); patterns];
            self.epoch = 0;
        }
        self.epoch += 1;
        self.sweeps.clear();
    }

    fn entry(&mut self, pattern: u32) -> &mut Entry {
        let epoch = self.epoch;
        let entry = &mut self.entries[pattern as usize];
        if entry.epoch != epoch {
            *entry = Entry { epoch, ..Entry::default() };
        }
        entry
    }

    /// Where the next match of a pattern may begin; none if the whole slice will be searched.
    #[inline]
    pub(crate) fn next(&mut self, pattern: u32) -> Option<usize> {
        let entry = self.entry(pattern);
        (!entry.sweep).then_some(entry.next)
    }

    /// Notes the end of a match.
    pub(crate) fn matched(&mut self, pattern: u32, end: usize) {
        let entry = self.entry(pattern);
        entry.next = entry.next.max(end);
    }

    /// Whether another window of so many bytes may be searched. Where not, the whole slice will be, once.
    pub(crate) fn spend(&mut self, pattern: u32, bytes: usize, budget: usize) -> bool {
        let entry = self.entry(pattern);
        entry.spent += bytes;
        let within = entry.spent <= budget;
        if !within {
            self.sweep(pattern);
        }
        within
    }

    /// Asks for a search of the whole slice.
    pub(crate) fn sweep(&mut self, pattern: u32) {
        let entry = self.entry(pattern);
        if !std::mem::replace(&mut entry.sweep, true) {
            self.sweeps.push(pattern);
        }
    }
}
