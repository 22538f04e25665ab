//! Budgets and rate limits in the store.

use crate::db::{self, Connection, OptionalExtension, Row, Transaction, params};
use crate::limits::{LimitKind, StoredLimit};

const COLUMNS: &str = "kind, name, document, version, created_at_us, updated_at_us, updated_by";

/// All of them, by kind and name.
pub(crate) fn list(connection: &Connection) -> db::Result<Vec<StoredLimit>> {
    let sql = format!("SELECT {COLUMNS} FROM limits ORDER BY kind, name");
    connection.prepare_cached(&sql)?.query_map([], limit_of)?.collect()
}

pub(crate) fn get(connection: &Connection, kind: LimitKind, name: &str) -> db::Result<Option<StoredLimit>> {
    let sql = format!("SELECT {COLUMNS} FROM limits WHERE kind = ?1 AND name = ?2");
    connection.prepare_cached(&sql)?.query_row(params![kind.as_str(), name], limit_of).optional()
}

/// How many of a kind there are.
pub(crate) fn count(connection: &Connection, kind: LimitKind) -> db::Result<usize> {
    connection
        .prepare_cached("SELECT count(*) FROM limits WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| row.get::<_, i64>(0))
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Writes one, in the place of an earlier version if there is one.
pub(crate) fn put(transaction: &Transaction<'_>, limit: &StoredLimit) -> db::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO limits (kind, name, document, version, created_at_us, updated_at_us, updated_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (kind, name) DO UPDATE SET document = excluded.document, version = excluded.version,
                 updated_at_us = excluded.updated_at_us, updated_by = excluded.updated_by",
        )?
        .execute(params![
            limit.kind.as_str(),
            limit.name,
            limit.document,
            i64::try_from(limit.version).unwrap_or(i64::MAX),
            limit.created_at_us,
            limit.updated_at_us,
            limit.updated_by,
        ])
        .map(drop)
}

/// Deletes one. The highest version that was ever deleted is remembered: what is made anew goes on above it.
pub(crate) fn delete(transaction: &Transaction<'_>, limit: &StoredLimit) -> db::Result<()> {
    transaction
        .prepare_cached("DELETE FROM limits WHERE kind = ?1 AND name = ?2")?
        .execute(params![limit.kind.as_str(), limit.name])?;
    transaction
        .prepare_cached(
            "INSERT INTO meta VALUES ('limits_deleted', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > meta.value",
        )?
        .execute([i64::try_from(limit.version).unwrap_or(i64::MAX)])
        .map(drop)
}

/// The version of one that is made: above all that were deleted, so that none of a name ever comes again.
pub(crate) fn first_version(connection: &Connection) -> db::Result<u64> {
    let deleted: i64 = connection
        .prepare_cached("SELECT coalesce((SELECT value FROM meta WHERE name = 'limits_deleted'), 0)")?
        .query_row([], |row| row.get(0))?;
    Ok(deleted.unsigned_abs().saturating_add(1))
}

fn limit_of(row: &Row<'_>) -> db::Result<StoredLimit> {
    let word: String = row.get(0)?;
    let kind = LimitKind::from_word(&word)
        .ok_or_else(|| db::Error::conversion(0, format!("an unknown kind of limit, `{word}`")))?;
    Ok(StoredLimit {
        kind,
        name: row.get(1)?,
        document: row.get(2)?,
        version: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
        created_at_us: row.get(4)?,
        updated_at_us: row.get(5)?,
        updated_by: row.get(6)?,
    })
}
