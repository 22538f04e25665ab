//! What the writer does for the store beside writing, a step at a time and for a small part of its time.

use crate::db::{self, Connection};
use crate::store::{joining, periods};
use std::time::{Duration, Instant};

/// For how long nothing is done at first: commands open a store too, and are done by then.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// For how long nothing is done after a step that took no time.
const PAUSE_LEAST: Duration = Duration::from_millis(100);
/// How much longer than a step the pause after it is: a tenth of the thread's time is for steps, at most.
const PAUSE_PER_STEP: u32 = 9;
/// For how long nothing is done after a step that failed.
const PAUSE_FAILED: Duration = Duration::from_secs(5);

/// When the next step is due, and of what.
pub(crate) struct Upkeep {
    due: Instant,
    /// Days and months may be left that are not added up.
    fill: bool,
    /// Small segments may be left that are not joined.
    join: bool,
    joined_records: u32,
}

impl Upkeep {
    /// Everything may be left to do.
    pub(crate) fn new(joined_records: u32) -> Upkeep {
        Upkeep { due: Instant::now() + PAUSE_FIRST, fill: true, join: true, joined_records }
    }

    /// The sums of more segments are stored.
    pub(crate) fn rolled_up(&mut self) {
        self.join = true;
    }

    /// How long from now the next step is due; `None` when nothing is left to do.
    pub(crate) fn wait(&self) -> Option<Duration> {
        (self.fill || self.join).then(|| self.due.saturating_duration_since(Instant::now()))
    }

    /// Does the next step, if it is due. `writer` is whose segments are joined, where several write.
    pub(crate) fn step(&mut self, connection: &mut Connection, writer: Option<i64>) {
        if self.wait().is_none_or(|left| !left.is_zero()) {
            return;
        }
        let start = Instant::now();
        // A step that failed left everything as it was. What ails the store shows where records are written.
        let pause = match self.next(connection, writer) {
            Ok(()) => (start.elapsed() * PAUSE_PER_STEP).max(PAUSE_LEAST),
            Err(_failed) => PAUSE_FAILED,
        };
        self.due = Instant::now() + pause;
    }

    fn next(&mut self, connection: &mut Connection, writer: Option<i64>) -> db::Result<()> {
        if self.fill {
            self.fill = periods::fill(connection)?;
        } else {
            self.join = joining::step(connection, writer, self.joined_records)?;
        }
        Ok(())
    }
}
