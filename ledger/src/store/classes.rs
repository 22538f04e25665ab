//! Sums of exchanges by what governs them, in the store.

use crate::classes::{Classes, DAY_US};
use crate::coverage::ClassRow;
use crate::db::{self, Connection, OptionalExtension, ValueRef, params};

/// Adds sums to those that are stored. Part of the transaction that stores the records they are about.
pub(crate) fn add(connection: &Connection, classes: &Classes) -> db::Result<()> {
    // Sums stop before SQLite would turn them into floats.
    let mut statement = connection.prepare_cached(
        "INSERT INTO class_sums (day, organization, class, surface, capabilities, exchanges)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (day, organization, class, surface, capabilities) DO UPDATE SET
            exchanges = CASE WHEN class_sums.exchanges > 9223372036854775807 - excluded.exchanges THEN 9223372036854775807
                ELSE class_sums.exchanges + excluded.exchanges END",
    )?;
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    let mut rows: Vec<Vec<ValueRef<'_>>> = Vec::new();
    for (key, count) in classes.iter() {
        rows.push(vec![
            ValueRef::Integer(key.day),
            ValueRef::Text(&key.organization),
            ValueRef::Text(key.class.as_str()),
            ValueRef::Text(key.surface.as_str()),
            ValueRef::Integer(key.capabilities.bits().into()),
            ValueRef::Integer(number(count)),
        ]);
    }
    // In one order for all writers, so that none waits for one that waits for it.
    rows.sort_unstable();
    statement.execute_each(&rows)
}

/// Hands on the sums since `from_us` (the day it falls in included) and before `to_us`.
pub(crate) fn read(
    connection: &Connection,
    from_us: i64,
    to_us: i64,
    organization: Option<&str>,
    mut take: impl FnMut(ClassRow),
) -> db::Result<()> {
    let mut statement = connection.prepare(
        "SELECT class, surface, capabilities, exchanges FROM class_sums
         WHERE day >= ?1 AND day <= ?2 AND (organization = ?3 OR ?3 IS NULL)",
    )?;
    let (from, to) = (from_us.div_euclid(DAY_US), to_us.saturating_sub(1).div_euclid(DAY_US));
    let mut rows = statement.query(params![from, to, organization])?;
    while let Some(row) = rows.next()? {
        take(ClassRow {
            class: row.get(0)?,
            surface: row.get(1)?,
            capabilities: row.get(2)?,
            exchanges: row.get::<_, i64>(3)?.unsigned_abs(),
        });
    }
    Ok(())
}

/// Since when they are counted, UTC microseconds since the epoch.
pub(crate) fn since_us(connection: &Connection) -> db::Result<Option<i64>> {
    connection
        .query_row("SELECT value FROM meta WHERE name = 'class_sums_from_us'", [], |row| row.get(0))
        .optional()
}
