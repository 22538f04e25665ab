//! The two clocks of limits.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment. Budgets go by the calendar, rates by a clock that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// UTC microseconds since the epoch.
    pub(crate) wall_us: i64,
    /// Microseconds since the process first asked.
    pub(crate) steady_us: i64,
}

impl Now {
    /// This moment.
    pub(crate) fn read() -> Now {
        static START: OnceLock<Instant> = OnceLock::new();
        let micros = |duration: std::time::Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Now {
            wall_us: micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            steady_us: micros(START.get_or_init(Instant::now).elapsed()),
        }
    }
}
