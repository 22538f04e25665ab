//! One batch to the store: a segment and the sums it changes, all in one transaction or not at all.

use super::{classes, decisions, spending};
use crate::db::{self, Connection, OptionalExtension, TransactionBehavior, ValueRef, params};
use crate::rollup::{GroupKey, Overflow, SUMS, Sums, hour_of};
use crate::segment::{cut, pack::Packed, unpack::unpack};
use crate::spending::Charges;
use std::collections::HashMap;

/// Most group ids remembered.
const GROUP_IDS: usize = 65_536;
/// Columns that make a group.
pub(crate) const GROUP_COLUMNS: usize = 12;

/// Writes batches; remembers which group has which id.
///
/// A segment is stored at once, its sums later, for many segments together: one row of sums changes once in seconds
/// instead of with every batch. `rolled_up_to` in `meta` is the last segment whose sums are stored; those of later
/// ones are added up from the segments themselves, by readers, and by the next writer after a crash.
#[derive(Default)]
pub(crate) struct BatchWriter {
    ids: HashMap<GroupKey, i64>,
    upsert: String,
    /// Segments written since the sums were stored.
    pending: i64,
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
        BatchWriter { ids: HashMap::new(), upsert: upsert_sql(), pending: 0 }
    }

    /// Whether there are segments whose sums are not stored.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending > 0
    }

    /// Writes the batch (it may be empty) and the overflow, or nothing.
    pub(crate) fn write(
        &mut self,
        connection: &mut Connection,
        batch: &Batch<'_>,
        roll_up: RollUp,
    ) -> db::Result<()> {
        let packed = &batch.packed;
        let result = self.try_write(connection, batch, roll_up);
        // A rolled-back transaction takes new group ids with it.
        if result.is_err() || self.ids.len() > GROUP_IDS {
            self.ids.clear();
        }
        self.pending = match (&result, roll_up) {
            (Err(_), _) => self.pending,
            (Ok(()), RollUp::Now) => 0,
            (Ok(()), RollUp::Later) => self.pending + i64::from(packed.count > 0),
        };
        result
    }

    fn try_write(
        &mut self,
        connection: &mut Connection,
        batch: &Batch<'_>,
        roll_up: RollUp,
    ) -> db::Result<()> {
        let Batch { packed, charges, overflow } = batch;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if packed.count > 0 {
            transaction
                .prepare_cached(
                    "INSERT INTO segments (first_at_us, last_at_us, records, prints, body)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    packed.first_at_us,
                    packed.last_at_us,
                    packed.count as i64,
                    packed.prints,
                    packed.body
                ])?;
        }
        if roll_up == RollUp::Now {
            self.roll_up(&transaction, packed)?;
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
                spending::add(&transaction, charges)?;
            }
        }
        for ((hour, group), sums) in &overflow.groups {
            self.add(&transaction, *hour, group, true, sums)?;
        }
        transaction.commit()
    }

    /// Stores the sums. What was added up in memory is right only if it is about exactly the segments that are due:
    /// after a crash, or with another process writing the same file, the segments themselves are asked.
    fn roll_up(&mut self, connection: &Connection, packed: &Packed<'_>) -> db::Result<()> {
        let done = rolled_up_to(connection)?;
        let (due, last): (i64, Option<i64>) = connection
            .prepare_cached("SELECT count(*), max(id) FROM segments WHERE id > ?1")?
            .query_row([done], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if due == self.pending + i64::from(packed.count > 0) {
            for (hour, group, sums) in packed.groups {
                self.add(connection, *hour, group, false, sums)?;
            }
        } else {
            for ((hour, group), sums) in unrolled(connection, done)? {
                self.add(connection, hour, &group, false, &sums)?;
            }
        }
        if let Some(last) = last {
            connection
                .prepare_cached(
                    "INSERT INTO meta VALUES ('rolled_up_to', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )?
                .execute([last])?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        connection: &Connection,
        hour: i64,
        group: &GroupKey,
        overflow: bool,
        sums: &Sums,
    ) -> db::Result<()> {
        let id = match self.ids.get(group) {
            Some(id) => *id,
            None => {
                let id = group_id(connection, group)?;
                self.ids.insert(group.clone(), id);
                id
            }
        };
        let mut values = [ValueRef::Null; 3 + SUMS];
        let place = [hour, id, i64::from(overflow)];
        let figures = sums.to_array().map(|figure| i64::try_from(figure).unwrap_or(i64::MAX));
        for (value, number) in values.iter_mut().zip(place.into_iter().chain(figures)) {
            *value = ValueRef::Integer(number);
        }
        connection.prepare_cached(&self.upsert)?.execute(values.as_slice()).map(drop)
    }
}

/// The last segment whose sums are stored; 0 when there is none.
pub(crate) fn rolled_up_to(connection: &Connection) -> db::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce((SELECT value FROM meta WHERE name = 'rolled_up_to'), 0)")?
        .query_row([], |row| row.get(0))
}

/// The sums of the segments after `done`. A damaged segment adds nothing: `verify` reports it.
pub(crate) fn unrolled(connection: &Connection, done: i64) -> db::Result<HashMap<(i64, GroupKey), Sums>> {
    let mut groups: HashMap<(i64, GroupKey), Sums> = HashMap::new();
    let mut statement = connection.prepare_cached("SELECT records, body FROM segments WHERE id > ?1")?;
    let mut rows = statement.query([done])?;
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

/// Adds to a row of sums, or starts it. SQLite turns an overflowing sum into a float, so it is stopped before.
fn upsert_sql() -> String {
    let places: Vec<String> = (1..=3 + SUMS).map(|place| format!("?{place}")).collect();
    let additions: Vec<String> = Sums::COLUMNS
        .iter()
        .map(|column| {
            format!(
                "{column} = CASE WHEN rollups.{column} > {max} - excluded.{column} THEN {max} \
                 ELSE rollups.{column} + excluded.{column} END",
                max = i64::MAX
            )
        })
        .collect();
    format!(
        "INSERT INTO rollups (hour, group_id, overflow, {}) VALUES ({}) ON CONFLICT (hour, group_id, overflow) DO UPDATE SET {}",
        Sums::COLUMNS.join(", "),
        places.join(", "),
        additions.join(", ")
    )
}

/// The names of a group, in the order of the columns of `groups`; an absent one is empty.
pub(crate) fn names_of(group: &GroupKey) -> [&str; GROUP_COLUMNS] {
    let caller = &group.caller;
    [
        &caller.organization,
        caller.team.as_deref().unwrap_or_default(),
        caller.user.as_deref().unwrap_or_default(),
        caller.service_account.as_deref().unwrap_or_default(),
        caller.project.as_deref().unwrap_or_default(),
        caller.key_id.as_deref().unwrap_or_default(),
        group.provider.as_deref().unwrap_or_default(),
        group.model.as_deref().unwrap_or_default(),
        group.dialect.unwrap_or_default(),
        group.client.unwrap_or_default(),
        group.reason.as_str(),
        group.origin.as_str(),
    ]
    .map(cut)
}

fn group_id(connection: &Connection, group: &GroupKey) -> db::Result<i64> {
    let names = names_of(group);
    let names = names.map(ValueRef::Text);
    let known = connection
        .prepare_cached(
            "SELECT id FROM groups WHERE organization = ?1 AND team = ?2 AND \"user\" = ?3 AND service_account = ?4
                AND project = ?5 AND key_id = ?6 AND provider = ?7 AND model = ?8 AND dialect = ?9 AND client = ?10
                AND reason = ?11 AND origin = ?12",
        )?
        .query_row(names.as_slice(), |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => connection
            .prepare_cached(
                "INSERT INTO groups (organization, team, \"user\", service_account, project, key_id, provider, model,
                                     dialect, client, reason, origin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING id",
            )?
            .query_row(names.as_slice(), |row| row.get(0)),
    }
}
