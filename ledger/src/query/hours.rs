//! In which hours there can be what a search looks for.

use crate::db::{self, Connection};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// How many hours are looked at first; each time that more are needed it is twice as many. Most pages are full before.
const HOURS_FIRST: i64 = 24;
/// Most groups that one statement asks for.
const GROUPS_AT_ONCE: usize = 1_000;

/// The hours that have sums of some groups, found out from the newest on, as far back as is asked.
pub(super) struct Hours {
    groups: Vec<i64>,
    found: BTreeSet<i64>,
    /// They are known from this hour on.
    known_from: i64,
    /// No hour before this one is wanted.
    from: i64,
    next: i64,
}

impl Hours {
    /// Those of these groups from one hour up to another.
    pub(super) fn new(view: &Connection, groups: Vec<i64>, [from, to]: [i64; 2]) -> db::Result<Hours> {
        let newest: Option<i64> = view.query_row("SELECT max(hour) FROM rollups", [], |row| row.get(0))?;
        let known_from = newest.map_or(from, |newest| newest.saturating_add(1).min(to));
        Ok(Hours { groups, found: BTreeSet::new(), known_from, from, next: HOURS_FIRST })
    }

    /// Whether one of these hours is among them.
    pub(super) fn any(&mut self, view: &Connection, hours: RangeInclusive<i64>) -> db::Result<bool> {
        while self.known_from > self.from && self.known_from > *hours.start() {
            self.look(view)?;
        }
        Ok(self.found.range(hours).next().is_some())
    }

    fn look(&mut self, view: &Connection) -> db::Result<()> {
        let from = self.known_from.saturating_sub(self.next).max(self.from);
        for groups in self.groups.chunks(GROUPS_AT_ONCE) {
            let ids: Vec<String> = groups.iter().map(i64::to_string).collect();
            let sql = format!(
                "SELECT DISTINCT hour FROM rollups INDEXED BY rollups_by_group
                 WHERE group_id IN ({}) AND hour >= ?1 AND hour < ?2",
                ids.join(", ")
            );
            for hour in view.prepare(&sql)?.query_map([from, self.known_from], |row| row.get(0))? {
                self.found.insert(hour?);
            }
        }
        self.known_from = from;
        self.next = self.next.saturating_mul(2);
        Ok(())
    }
}
