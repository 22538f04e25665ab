//! The process-wide budget of buffered bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of bodies the process may hold at once.
#[derive(Debug)]
pub(crate) struct Buffers {
    used: AtomicUsize,
    limit: AtomicUsize,
}

impl Buffers {
    /// A budget of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Arc<Buffers> {
        Arc::new(Buffers { used: AtomicUsize::new(0), limit: AtomicUsize::new(limit) })
    }

    /// From now on there are `limit` bytes. What is held stays held.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// An empty share of the budget.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { buffers: Arc::clone(self), bytes: 0 }
    }
}

/// Bytes taken out of the budget, given back on drop.
#[derive(Debug)]
pub(crate) struct Share {
    buffers: Arc<Buffers>,
    bytes: usize,
}

impl Share {
    /// Grows the share to at least `bytes`. False when the budget has no room; the share then stays as it was.
    #[must_use]
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        self.grow_within(bytes, self.buffers.limit.load(Ordering::Relaxed))
    }

    /// As [`Share::grow_to`], for what can be done without: half of the budget is left to those who cannot.
    #[must_use]
    pub(crate) fn grow_spare(&mut self, bytes: usize) -> bool {
        self.grow_within(bytes, self.buffers.limit.load(Ordering::Relaxed) / 2)
    }

    fn grow_within(&mut self, bytes: usize, limit: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        let before = self.buffers.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > limit {
            self.buffers.used.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.buffers.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_ends_at_its_limit_and_comes_back() {
        let buffers = Buffers::new(100);
        let mut first = buffers.share();
        assert!(first.grow_to(60) && first.grow_to(40), "shrinking is not asked for and costs nothing");
        let mut second = buffers.share();
        assert!(second.grow_to(40), "the limit itself is allowed");
        assert!(!second.grow_to(41), "one past it is not");
        assert_eq!(buffers.used(), 100);
        drop(first);
        assert!(second.grow_to(100));
        buffers.set_limit(101);
        assert!(second.grow_to(101) && !second.grow_to(102));
        buffers.set_limit(50);
        assert!(!buffers.share().grow_to(1), "what is held counts");
        drop(second);
        assert_eq!(buffers.used(), 0);
    }

    #[test]
    fn what_can_be_done_without_leaves_half_of_the_budget() {
        let buffers = Buffers::new(100);
        let (mut needed, mut spare) = (buffers.share(), buffers.share());
        assert!(spare.grow_spare(50) && !spare.grow_spare(51));
        assert!(needed.grow_to(50) && !needed.grow_to(51));
        drop(spare);
        assert!(!buffers.share().grow_spare(1), "what others need counts");
        assert!(needed.grow_to(100));
    }
}
