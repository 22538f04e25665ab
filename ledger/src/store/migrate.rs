//! Numbered migrations, forward only. A store of the version before stays readable without migrating it.

use crate::db::{self, Connection, TransactionBehavior, params};
use crate::error::LedgerError;
use crate::now_us;
use crate::place::Place;

/// The migrations in order; the position, counted from one, is the schema version they lead to.
const MIGRATIONS: &[&str] = &[
    include_str!("0001_keys.sql"),
    include_str!("0002_records.sql"),
    include_str!("0003_objects.sql"),
    include_str!("0004_administration.sql"),
    include_str!("0005_declared_keys.sql"),
    include_str!("0006_alerts.sql"),
    include_str!("0007_spending.sql"),
    include_str!("0008_directory.sql"),
    include_str!("0009_reports.sql"),
    include_str!("0010_limits.sql"),
    include_str!("0011_content.sql"),
    include_str!("0012_periods.sql"),
    include_str!("0013_content_keys.sql"),
];

/// The same for PostgreSQL, each with the version that it leads to. It begins with everything there was when it was added.
const POSTGRES: &[(u32, &str)] = &[
    (9, include_str!("postgres/0009_all.sql")),
    (10, include_str!("postgres/0010_limits.sql")),
    (11, include_str!("postgres/0011_content.sql")),
    (12, include_str!("postgres/0012_periods.sql")),
    (13, include_str!("postgres/0013_content_keys.sql")),
];

/// The schema this program writes.
pub(crate) const LATEST: u32 = 13;
/// The first schema that holds records and rollups.
pub(crate) const WITH_RECORDS: u32 = 2;
/// The first schema whose trail of administration can be asked.
pub(crate) const WITH_AUDIT: u32 = 4;
/// The first schema that holds alerts and sums of decisions.
pub(crate) const WITH_ALERTS: u32 = 6;
/// The first schema that holds what was charged to budgets.
pub(crate) const WITH_SPENDING: u32 = 7;
/// The first schema that holds the directory, sums by class, and indices for searching.
pub(crate) const WITH_REPORTS: u32 = 9;
/// The first schema that holds budgets and rate limits.
pub(crate) const WITH_LIMITS: u32 = 10;
/// The first schema that holds prompts and answers.
pub(crate) const WITH_CONTENT: u32 = 11;
/// The first schema that holds sums by day and by month, and segments made of others.
pub(crate) const WITH_PERIODS: u32 = 12;

/// The schema version of the store; 0 when it is empty.
pub(crate) fn version(connection: &Connection) -> db::Result<u32> {
    let known = match connection {
        Connection::Sqlite(_) => "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'schema_version')",
        Connection::Postgres(_) => "SELECT to_regclass('narrows.schema_version') IS NOT NULL",
    };
    if !connection.query_row(known, [], |row| row.get::<_, bool>(0))? {
        return Ok(0);
    }
    connection.query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
}

pub(crate) fn refuse_newer(place: &Place, found: u32) -> Result<(), LedgerError> {
    if found > LATEST {
        return Err(LedgerError::SchemaNewer { path: place.clone(), found, known: LATEST });
    }
    Ok(())
}

/// Brings the store up to `target`, in one transaction, so that two processes starting together do it once.
pub(crate) fn run(connection: &mut Connection, place: &Place, target: u32) -> Result<(), LedgerError> {
    let found = version(connection)?;
    refuse_newer(place, found)?;
    if found >= target {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (first, migrations): (&str, Vec<(u32, &str)>) = match &*transaction {
        Connection::Sqlite(_) => (
            "CREATE TABLE IF NOT EXISTS schema_version
                (version INTEGER PRIMARY KEY, applied_at_us INTEGER NOT NULL) STRICT",
            (1..).zip(MIGRATIONS.iter().copied()).collect(),
        ),
        Connection::Postgres(_) => (
            "CREATE SCHEMA IF NOT EXISTS narrows;
             CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at_us BIGINT NOT NULL)",
            POSTGRES.to_vec(),
        ),
    };
    transaction.execute_batch(first)?;
    let found = version(&transaction)?;
    for (number, migration) in migrations {
        if number > found && number <= target {
            transaction.execute_batch(migration)?;
            transaction.execute("INSERT INTO schema_version VALUES (?1, ?2)", params![number, now_us()])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_version_is_the_number_of_migrations() {
        assert_eq!(MIGRATIONS.len(), LATEST as usize);
        assert_eq!(POSTGRES.last().map(|(version, _)| *version), Some(LATEST));
        assert!(POSTGRES.is_sorted_by(|one, next| one.0 < next.0));
    }
}
