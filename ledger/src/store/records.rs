//! One batch to the store: a segment and the sums it changes, all in one transaction or not at all.

use super::lease::Lease;
use super::periods::Additions;
use super::{classes, decisions, groups, spending};
use crate::db::{self, Connection, Row, TransactionBehavior, ValueRef, params};
use crate::rollup::{GroupKey, Overflow, Sums, hour_of};
use crate::segment::{pack::Packed, unpack::unpack};
use crate::spending::Charges;
use std::collections::{HashMap, HashSet};

/// Most group ids remembered.
const GROUP_IDS: usize = 65_536;

/// Writes batches; remembers which group has which id.
///
/// A segment is stored at once, its sums later, for many segments together: one row of sums changes once in seconds
/// instead of with every batch. `rolled_up_to` in `meta` is the last segment whose sums are stored; those of later
/// ones are added up from the segments themselves, by readers, and by the next writer after a crash.
pub(crate) struct BatchWriter {
    ids: HashMap<GroupKey, i64>,
    additions: Additions,
    /// Segments written since the sums were stored; unknown when the writer became another one in between.
    pending: Option<i64>,
    /// Which writer it is, where there are several.
    lease: Option<Lease>,
    /// The batch that was being written when something failed: the store may have it all the same.
    doubt: Option<(Lease, i64)>,
}

/// Which sums a batch takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RollUp {
    /// None; they are stored later.
    Later,
    /// All since the last time.
    Now,
}

/// What is written at once.
pub(crate) struct Batch<'a> {
    /// Records; there may be none.
    pub(crate) packed: Packed<'a>,
    /// What they are charged to budgets.
    pub(crate) charges: &'a Charges,
    /// Sums of exchanges that left no record.
    pub(crate) overflow: &'a Overflow,
}

impl BatchWriter {
    pub(crate) fn new() -> BatchWriter {
        let additions = Additions::new();
        BatchWriter { ids: HashMap::new(), additions, pending: Some(0), lease: None, doubt: None }
    }

    /// Sees which writer it is; nothing where there is only one.
    pub(crate) fn hold(&mut self, connection: &Connection) -> db::Result<Option<i64>> {
        let held = Lease::hold(connection, self.lease)?;
        if let (Some(before), Some(now)) = (self.lease, held)
            && before.writer != now.writer
        {
            self.pending = None;
        }
        self.lease = held;
        Ok(held.map(|lease| lease.writer))
    }

    /// Which writer it was last.
    pub(crate) fn writer(&self) -> Option<i64> {
        self.lease.map(|lease| lease.writer)
    }

    /// There is nothing more to write: another may be this writer.
    pub(crate) fn leave(&mut self, connection: &Connection) -> db::Result<()> {
        self.lease.take().map_or(Ok(()), |lease| lease.give_back(connection))
    }

    /// Whether there are segments whose sums are not stored.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending != Some(0)
    }

    /// Writes the batch (it may be empty) and the overflow, or nothing. After a failure the same batch is to be given again:
    /// it is seen then whether the store has it already.
    pub(crate) fn write(
        &mut self,
        connection: &mut Connection,
        batch: &Batch<'_>,
        roll_up: RollUp,
    ) -> db::Result<()> {
        self.hold(connection)?;
        let result = match self.doubt {
            Some((lease, number)) if lease.has_written(connection, number)? => Ok(()),
            _ => self.try_write(connection, batch, roll_up),
        };
        // A rolled-back transaction takes new group ids with it.
        if result.is_err() || self.ids.len() > GROUP_IDS {
            self.ids.clear();
        }
        if result.is_ok() {
            self.doubt = None;
            let more = i64::from(batch.packed.count > 0);
            self.pending = match roll_up {
                RollUp::Now => Some(0),
                RollUp::Later => self.pending.map(|pending| pending + more),
            };
        }
        result
    }

    fn try_write(
        &mut self,
        connection: &mut Connection,
        batch: &Batch<'_>,
        roll_up: RollUp,
    ) -> db::Result<()> {
        let Batch { packed, charges, overflow } = batch;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Beside)?;
        if let Some(lease) = &mut self.lease {
            let number = lease.batch.wrapping_add(1);
            self.doubt = Some((*lease, number));
            lease.note(&transaction, number)?;
            lease.batch = number;
        }
        let writer = self.lease.map(|lease| lease.writer);
        if packed.count > 0 {
            insert_segment(&transaction, packed, writer)?;
        }
        if roll_up == RollUp::Now {
            self.roll_up(&transaction, packed, writer)?;
        }
        for sums in [packed.decisions, &overflow.decisions] {
            if !sums.is_empty() {
                decisions::add(&transaction, sums)?;
            }
        }
        for sums in [packed.classes, &overflow.classes] {
            if !sums.is_empty() {
                classes::add(&transaction, sums)?;
            }
        }
        for charges in [*charges, &overflow.charges] {
            if !charges.is_empty() {
                spending::add(&transaction, charges, writer)?;
            }
        }
        let overflowed = overflow.groups.iter().map(|((hour, group), sums)| (*hour, group, sums));
        self.add(&transaction, true, overflowed)?;
        transaction.commit()
    }

    /// Stores the sums. What was added up in memory is right only if it is about exactly the segments that are due:
    /// after a crash, or with another process writing the same file, the segments themselves are asked.
    fn roll_up(
        &mut self,
        connection: &Connection,
        packed: &Packed<'_>,
        writer: Option<i64>,
    ) -> db::Result<()> {
        let due = Due::of(connection, writer)?;
        let pending = self.pending.map(|pending| pending + i64::from(packed.count > 0));
        if pending == Some(due.count) {
            let sums = packed.groups.iter().map(|(hour, group, sums)| (*hour, group, sums));
            self.add(connection, false, sums)?;
        } else {
            let sums = due.sums(connection)?;
            self.add(connection, false, sums.iter().map(|((hour, group), sums)| (*hour, group, sums)))?;
        }
        due.done(connection)
    }

    /// Adds to rows of sums, in one order for all writers, so that none waits for one that waits for it.
    fn add<'g>(
        &mut self,
        connection: &Connection,
        overflow: bool,
        sums: impl Iterator<Item = (i64, &'g GroupKey, &'g Sums)>,
    ) -> db::Result<()> {
        let mut rows = Vec::new();
        for (hour, group, sums) in sums {
            let id = match self.ids.get(group) {
                Some(id) => *id,
                None => {
                    let id = groups::id(connection, group)?;
                    self.ids.insert(group.clone(), id);
                    id
                }
            };
            rows.push((hour, id, *sums));
        }
        self.additions.add(connection, overflow, &rows)
    }
}

fn insert_segment(connection: &Connection, packed: &Packed<'_>, writer: Option<i64>) -> db::Result<()> {
    let Packed { first_at_us, last_at_us, prints, body, .. } = packed;
    let count = packed.count as i64;
    match writer {
        None => connection
            .prepare_cached(
                "INSERT INTO segments (first_at_us, last_at_us, records, prints, body)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![first_at_us, last_at_us, count, prints, body]),
        Some(writer) => connection
            .prepare_cached(
                "INSERT INTO segments (first_at_us, last_at_us, records, prints, body, writer)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![first_at_us, last_at_us, count, prints, body, writer]),
    }
    .map(drop)
}

/// Segments of a writer whose sums are not stored.
struct Due {
    writer: Option<i64>,
    /// The last segment whose sums are stored.
    after: i64,
    count: i64,
    last: Option<i64>,
}

impl Due {
    fn of(connection: &Connection, writer: Option<i64>) -> db::Result<Due> {
        let after = match writer {
            None => rolled_up_to(connection)?,
            Some(writer) => connection
                .prepare_cached("SELECT rolled_up_to FROM writers WHERE id = ?1")?
                .query_row([writer], |row| row.get(0))?,
        };
        let read = |row: &Row<'_>| -> db::Result<(i64, Option<i64>)> { Ok((row.get(0)?, row.get(1)?)) };
        let (count, last) = match writer {
            None => connection
                .prepare_cached("SELECT count(*), max(id) FROM segments WHERE id > ?1")?
                .query_row([after], read)?,
            Some(writer) => connection
                .prepare_cached("SELECT count(*), max(id) FROM segments WHERE id > ?1 AND writer = ?2")?
                .query_row([after, writer], read)?,
        };
        Ok(Due { writer, after, count, last })
    }

    fn sums(&self, connection: &Connection) -> db::Result<GroupSums> {
        match self.writer {
            None => add_up(connection, "SELECT records, body FROM segments WHERE id > ?1", &[self.after]),
            Some(writer) => add_up(
                connection,
                "SELECT records, body FROM segments WHERE id > ?1 AND writer = ?2",
                &[self.after, writer],
            ),
        }
    }

    fn done(&self, connection: &Connection) -> db::Result<()> {
        let Some(last) = self.last else { return Ok(()) };
        match self.writer {
            None => connection
                .prepare_cached(
                    "INSERT INTO meta VALUES ('rolled_up_to', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute([last]),
            Some(writer) => connection
                .prepare_cached("UPDATE writers SET rolled_up_to = ?2 WHERE id = ?1")?
                .execute([writer, last]),
        }
        .map(drop)
    }
}

/// Sums by hour and group.
pub(crate) type GroupSums = HashMap<(i64, GroupKey), Sums>;

/// The last segment whose sums are stored, where there is one writer; 0 when there is none.
pub(crate) fn rolled_up_to(connection: &Connection) -> db::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce((SELECT value FROM meta WHERE name = 'rolled_up_to'), 0)")?
        .query_row([], |row| row.get(0))
}

/// The sums of the segments, of whichever writer, whose sums are not stored.
pub(crate) fn unrolled(connection: &Connection) -> db::Result<GroupSums> {
    match connection {
        Connection::Sqlite(_) => Due::of(connection, None)?.sums(connection),
        Connection::Postgres(_) => add_up(
            connection,
            "SELECT records, body FROM segments JOIN writers ON writers.id = writer AND segments.id > rolled_up_to",
            &[],
        ),
    }
}

/// The ids of these segments.
pub(crate) fn unrolled_ids(connection: &Connection) -> db::Result<HashSet<i64>> {
    match connection {
        Connection::Sqlite(_) => connection
            .prepare_cached("SELECT id FROM segments WHERE id > ?1")?
            .query_map([rolled_up_to(connection)?], |row| row.get(0))?
            .collect(),
        Connection::Postgres(_) => connection
            .prepare_cached(
                "SELECT segments.id FROM segments JOIN writers ON writers.id = writer AND segments.id > rolled_up_to",
            )?
            .query_map([], |row| row.get(0))?
            .collect(),
    }
}

/// The sums of segments. A damaged one adds nothing: `verify` reports it.
fn add_up(connection: &Connection, sql: &str, params: &[i64]) -> db::Result<GroupSums> {
    let mut groups = GroupSums::new();
    let mut statement = connection.prepare_cached(sql)?;
    let params: Vec<ValueRef<'_>> = params.iter().copied().map(ValueRef::Integer).collect();
    let mut rows = statement.stream(params.as_slice())?;
    while let Some(row) = rows.next()? {
        let records = unpack(row.get_ref(1)?.as_blob()?, row.get(0)?).unwrap_or_default();
        for record in &records {
            for (group, sums) in Sums::split(record) {
                groups.entry((hour_of(record.started_at_us), group)).or_default().add(&sums);
            }
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use crate::segment::pack::Packer;
    use crate::{Reader, sample, store, test_postgres};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_batch_whose_commit_was_not_heard_of_is_stored_once() {
        let Some(server) = test_postgres::shared() else { return };
        let place = Place::from(server.database("doubt"));
        drop(store::open(&place, PATIENCE).unwrap());
        let mut connection = store::connect_writer(&place, PATIENCE).unwrap();
        let mut batches = BatchWriter::new();
        let (mut packer, charges, overflow) = (Packer::new(), Charges::default(), Overflow::default());
        for (number, stored) in [(0, 1), (1, 2)] {
            packer.push(&sample::record(number));
            let batch = Batch { packed: packer.packed(), charges: &charges, overflow: &overflow };
            batches.write(&mut connection, &batch, RollUp::Later).unwrap();
            let lease = batches.lease.unwrap();
            // As if the answer to the commit had been lost with the connection.
            batches.doubt = Some((lease, lease.batch));
            connection = store::connect_writer(&place, PATIENCE).unwrap();
            batches.write(&mut connection, &batch, RollUp::Later).unwrap();
            assert_eq!(batches.doubt, None);
            let count: i64 =
                connection.query_row("SELECT count(*) FROM segments", [], |row| row.get(0)).unwrap();
            assert_eq!(count, stored, "not twice");
            // And as if the batch had never arrived.
            batches.doubt = Some((lease, lease.batch + 1));
            packer.clear();
        }
        let batch = Batch { packed: packer.packed(), charges: &charges, overflow: &overflow };
        batches.write(&mut connection, &batch, RollUp::Now).unwrap();
        let found = Reader::open(&place).unwrap().verify().unwrap();
        assert!(found.consistent && found.records.requests == 2, "{found:?}");
    }
}
