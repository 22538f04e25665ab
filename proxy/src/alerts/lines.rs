//! How many lines alerts may write to the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most lines in a second. More alerts than that are in the store and in the metrics.
const LINES_PER_SECOND: u64 = 20;
/// Bits for the lines of a second.
const COUNT_BITS: u32 = 16;

/// Counts lines by second.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The second, and how many lines it has.
    now: AtomicU64,
    left_out: AtomicU64,
}

impl Lines {
    /// Whether one more line may be written now (time since the epoch): how many were left out before it, or `None`.
    pub(super) fn take(&self, now: Duration) -> Option<u64> {
        let second = now.as_secs() << COUNT_BITS;
        let count = |known: u64| if known & !((1 << COUNT_BITS) - 1) == second { known - second } else { 0 };
        let next = |known| Some(second | (count(known) + 1).min(LINES_PER_SECOND + 1));
        let before = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let before = before.unwrap_or_else(|unchanged| unchanged);
        if count(before) >= LINES_PER_SECOND {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_lines_and_no_more() {
        let lines = Lines::default();
        let second = Duration::from_secs(1_769_864_400);
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(lines.take(second), Some(0));
        }
        for _ in 0..3 {
            assert_eq!(lines.take(second + Duration::from_millis(999)), None);
        }
        assert_eq!(lines.take(second + Duration::from_secs(1)), Some(3), "what was left out is told");
        assert_eq!(lines.take(second + Duration::from_secs(1)), Some(0));
    }
}
