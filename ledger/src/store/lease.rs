//! Which of the gateways that share a database a writer is.
//!
//! Each has a row of `writers` to itself, and what it wrote carries the row's id. So its segments are known from those of others,
//! whose commits come in between, and so are its charges. It holds the row by an advisory lock of its session, which ends with
//! the session; the row stays its own for a while after that, so that it finds it again when it comes back.

use crate::db::postgres::Session;
use crate::db::{self, Connection, OptionalExtension, params};

/// The advisory locks of writers, by the row's id (`NRWL`).
const LOCKS: i32 = 0x4E52_574C;
/// How long a writer that is not heard of keeps its row, in microseconds.
const KEPT_US: i64 = 600_000_000;
/// Now, by the server's clock, in microseconds since the epoch.
const NOW_US: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// The row that a writer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The row's id.
    pub(crate) writer: i64,
    /// The number of the last batch.
    pub(crate) batch: i64,
    /// The session's connection that it is held by.
    generation: u64,
}

impl Lease {
    /// Holds a row: the one held before if that can be. `None` for a store that has one writer only.
    ///
    /// While a connection that broke is still there for the server, it is ended, and this fails and is to be tried again.
    pub(crate) fn hold(connection: &Connection, before: Option<Lease>) -> db::Result<Option<Lease>> {
        let Some(session) = connection.postgres() else { return Ok(None) };
        let generation = session.generation()?;
        if before.is_some_and(|before| before.generation == generation) {
            return Ok(before);
        }
        if let Some(before) = before {
            if lock(connection, before.writer)? {
                return Ok(Some(Lease { generation, ..before }));
            }
            if end_own(connection, session, before.writer)? {
                return Err(db::Error::Locked);
            }
        }
        take(connection, generation).map(Some)
    }

    /// Gives the row back.
    pub(crate) fn give_back(self, connection: &Connection) -> db::Result<()> {
        let sql = "UPDATE writers SET free_from_us = 0 WHERE id = ?1";
        connection.execute(sql, [self.writer])?;
        connection
            .query_row(&format!("SELECT pg_advisory_unlock({LOCKS}, {})", self.writer), [], |_row| Ok(()))
    }

    /// Notes that a batch with this number is written, in its transaction. Whoever asks for it waits until that has ended.
    pub(crate) fn note(self, transaction: &Connection, batch: i64) -> db::Result<()> {
        let sql = format!("UPDATE writers SET batch = ?2, free_from_us = {NOW_US} + {KEPT_US} WHERE id = ?1");
        transaction.prepare_cached(&sql)?.execute([self.writer, batch]).map(drop)
    }

    /// Whether the store has the batch with this number. Waits for a transaction that is still open.
    pub(crate) fn has_written(self, connection: &mut Connection, batch: i64) -> db::Result<bool> {
        let transaction = connection.transaction_with_behavior(db::TransactionBehavior::Beside)?;
        let sql = "SELECT batch FROM writers WHERE id = ?1 FOR UPDATE";
        let last: Option<i64> = transaction.query_row(sql, [self.writer], |row| row.get(0)).optional()?;
        transaction.commit()?;
        Ok(last == Some(batch))
    }
}

fn lock(connection: &Connection, writer: i64) -> db::Result<bool> {
    connection.query_row(&format!("SELECT pg_try_advisory_lock({LOCKS}, {writer})"), [], |row| row.get(0))
}

/// Ends a connection of this session that is still there for the server; false where somebody else holds the row.
fn end_own(connection: &Connection, session: &Session, writer: i64) -> db::Result<bool> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND classid = {LOCKS} AND objid = {writer} AND application_name = ?1
           AND pid <> pg_backend_pid()"
    );
    Ok(connection.query_row(&sql, [session.application()], |_row| Ok(())).optional()?.is_some())
}

/// Takes a row that nobody holds, or makes one.
fn take(connection: &Connection, generation: u64) -> db::Result<Lease> {
    let free = format!("SELECT id FROM writers WHERE free_from_us <= {NOW_US} ORDER BY id");
    let free: Vec<i64> =
        connection.prepare(&free)?.query_map([], |row| row.get(0))?.collect::<db::Result<_>>()?;
    for writer in free {
        if lock(connection, writer)? {
            let sql =
                format!("UPDATE writers SET free_from_us = {NOW_US} + ?2 WHERE id = ?1 RETURNING batch");
            let batch = connection.query_row(&sql, params![writer, KEPT_US], |row| row.get(0))?;
            return Ok(Lease { writer, batch, generation });
        }
    }
    // It is not free yet, so nobody takes it before it is locked.
    let sql = format!("INSERT INTO writers (free_from_us) VALUES ({NOW_US} + {KEPT_US}) RETURNING id");
    let writer = connection.query_row(&sql, [], |row| row.get(0))?;
    if lock(connection, writer)? {
        Ok(Lease { writer, batch: 0, generation })
    } else {
        Err(db::Error::Locked)
    }
}
