//! The embedded store: one SQLite file in write-ahead-log mode, one writing process, any number of readers.

pub(crate) mod admins;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod classes;
pub(crate) mod content;
pub(crate) mod decisions;
pub(crate) mod directory;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod migrate;
pub(crate) mod objects;
pub(crate) mod records;
pub(crate) mod spending;

use crate::db::{self, Connection};
use crate::error::LedgerError;
use rusqlite::OpenFlags;
use std::path::Path;
use std::time::Duration;

/// Marks the file as ours (`NRWS`), so that another program's database is never written to.
const APPLICATION_ID: i32 = 0x4E52_5753;
/// Pages of a new store. Larger pages mean fewer of them per batch.
const PAGE_BYTES: u32 = 8_192;
/// Pages in the write-ahead log before they are carried over into the file (8 MB).
const CHECKPOINT_PAGES: u32 = 1_024;
/// Prepared statements kept per connection.
const STATEMENTS: usize = 64;

/// Opens the store for writing; creates and migrates it as needed.
pub(crate) fn open(path: &Path, busy_timeout: Duration) -> Result<Connection, LedgerError> {
    let named = |source| LedgerError::at_open(path, busy_timeout.as_millis(), source);
    keep_private(path);
    let mut connection = connect(path, busy_timeout).map_err(named)?;
    check_owner(&connection, path).map_err(named)??;
    prepare(&connection).map_err(named)?;
    migrate::run(&mut connection, path, migrate::LATEST).map_err(|error| match error {
        LedgerError::Database(source) => named(source),
        other => other,
    })?;
    Ok(connection)
}

/// A new store is for its owner only: it says who asked whom, when. SQLite gives its side files the same mode.
fn keep_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // It exists already, or cannot be written: SQLite finds out and says it better.
    drop(options.open(path));
}

/// Opens a further connection for writing to a store that was opened before.
pub(crate) fn connect(path: &Path, busy_timeout: Duration) -> db::Result<Connection> {
    // Every connection stays with one thread at a time, so SQLite's own mutexes would only cost.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    Ok(Connection::Sqlite(connection))
}

/// As [`connect`], for a connection that removes what must not be found again: what it deletes is overwritten.
pub(crate) fn connect_erasing(path: &Path, busy_timeout: Duration) -> db::Result<Connection> {
    let connection = connect(path, busy_timeout)?;
    overwrite_deleted(&connection)?;
    Ok(connection)
}

/// From now on what this connection deletes is overwritten.
pub(crate) fn overwrite_deleted(connection: &Connection) -> db::Result<()> {
    Ok(connection.sqlite().pragma_update_and_check(None, "secure_delete", "ON", |_row| Ok(()))?)
}

/// Carries what was written over into the file and empties the log, so that what was erased stands in neither. As far as
/// readers let it.
pub(crate) fn carry_over(connection: &Connection) -> db::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()))
}

/// Opens the store for reading, beside whoever writes it.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<(Connection, u32), LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing { path: path.to_path_buf() });
    }
    let named = |source| LedgerError::at_open(path, busy_timeout.as_millis(), source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> db::Result<Connection> {
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        Ok(Connection::Sqlite(connection))
    };
    let connection = open().map_err(named)?;
    check_owner(&connection, path).map_err(named)??;
    let found = migrate::version(&connection).map_err(named)?;
    if found == 0 {
        return Err(LedgerError::Missing { path: path.to_path_buf() });
    }
    migrate::refuse_newer(path, found)?;
    Ok((connection, found))
}

/// A file with tables that are not ours is somebody else's.
fn check_owner(connection: &Connection, path: &Path) -> db::Result<Result<(), LedgerError>> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let owner: i32 = connection.sqlite().pragma_query_value(None, "application_id", |row| row.get(0))?;
    let ours = owner == APPLICATION_ID || (owner == 0 && tables == 0);
    Ok(if ours { Ok(()) } else { Err(LedgerError::NotAStore { path: path.to_path_buf() }) })
}

/// Settings that live in the file. They take effect on an empty file and change nothing later.
fn prepare(connection: &Connection) -> db::Result<()> {
    let owner: i32 = connection.sqlite().pragma_query_value(None, "application_id", |row| row.get(0))?;
    if owner != APPLICATION_ID {
        connection.sqlite().pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.sqlite().pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(connection.sqlite().pragma_update_and_check(None, "journal_mode", "WAL", |_row| Ok(()))?)
}

/// Waits until everything committed so far is on the disk. A commit at `synchronous = FULL` syncs the log, and with it
/// all earlier commits, whatever readers are doing.
pub(crate) fn sync(connection: &Connection) -> db::Result<()> {
    connection.sqlite().pragma_update(None, "synchronous", "FULL")?;
    let synced = connection.execute(
        "INSERT INTO meta VALUES ('synced_at_us', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [crate::now_us()],
    );
    connection.sqlite().pragma_update(None, "synchronous", "NORMAL")?;
    synced.map(drop)
}

/// A number that is another one whenever another connection may have changed keys. `PRAGMA data_version` changes with any
/// commit of another connection and costs no more than a look at shared memory.
pub(crate) fn changes_seen(connection: &Connection) -> db::Result<i64> {
    Ok(connection.sqlite().pragma_query_value(None, "data_version", |row| row.get(0))?)
}
