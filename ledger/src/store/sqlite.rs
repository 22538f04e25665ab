//! The embedded store: one SQLite file.

use crate::db::{self, Connection};
use crate::error::LedgerError;
use crate::place::Place;
use crate::store::migrate;
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
pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Connection, LedgerError> {
    let named = |source| LedgerError::at_open(path, busy_timeout.as_millis(), source);
    keep_private(path);
    let mut connection = connect(path, busy_timeout).map_err(named)?;
    if let Connection::Sqlite(file) = &connection {
        check_owner(file, path).map_err(|source| named(source.into()))??;
        prepare(file).map_err(|source| named(source.into()))?;
    }
    migrate::run(&mut connection, &Place::from(path), migrate::LATEST).map_err(|error| match error {
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
pub(super) fn connect(path: &Path, busy_timeout: Duration) -> db::Result<Connection> {
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

/// Opens the store for reading, beside whoever writes it.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<(Connection, u32), LedgerError> {
    if !path.exists() {
        return Err(LedgerError::Missing { path: path.into() });
    }
    let named = |source| LedgerError::at_open(path, busy_timeout.as_millis(), source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<_> {
        let file = rusqlite::Connection::open_with_flags(path, flags)?;
        file.busy_timeout(busy_timeout)?;
        let ours = check_owner(&file, path)?;
        Ok((file, ours))
    };
    let (file, ours) = open().map_err(|source| named(source.into()))?;
    ours?;
    let connection = Connection::Sqlite(file);
    let found = migrate::version(&connection).map_err(named)?;
    if found == 0 {
        return Err(LedgerError::Missing { path: path.into() });
    }
    migrate::refuse_newer(&Place::from(path), found)?;
    Ok((connection, found))
}

/// A file with tables that are not ours is somebody else's.
fn check_owner(file: &rusqlite::Connection, path: &Path) -> rusqlite::Result<Result<(), LedgerError>> {
    let tables: i64 = file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let owner: i32 = file.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let ours = owner == APPLICATION_ID || (owner == 0 && tables == 0);
    Ok(if ours { Ok(()) } else { Err(LedgerError::NotAStore { path: path.to_path_buf() }) })
}

/// Settings that live in the file. They take effect on an empty file and change nothing later.
fn prepare(file: &rusqlite::Connection) -> rusqlite::Result<()> {
    let owner: i32 = file.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if owner != APPLICATION_ID {
        file.pragma_update(None, "page_size", PAGE_BYTES)?;
        file.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    file.pragma_update_and_check(None, "journal_mode", "WAL", |_row| Ok(()))
}

/// Waits until everything committed so far is on the disk. A commit at `synchronous = FULL` syncs the log, and with it
/// all earlier commits, whatever readers are doing.
pub(super) fn sync(file: &rusqlite::Connection, connection: &Connection) -> db::Result<()> {
    file.pragma_update(None, "synchronous", "FULL")?;
    let synced = connection.execute(
        "INSERT INTO meta VALUES ('synced_at_us', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [crate::now_us()],
    );
    file.pragma_update(None, "synchronous", "NORMAL")?;
    synced.map(drop)
}

/// Changes with any commit of another connection, and costs no more than a look at shared memory.
pub(super) fn data_version(file: &rusqlite::Connection) -> db::Result<i64> {
    Ok(file.pragma_query_value(None, "data_version", |row| row.get(0))?)
}

/// From now on what this connection deletes is overwritten.
pub(super) fn overwrite_deleted(file: &rusqlite::Connection) -> db::Result<()> {
    Ok(file.pragma_update_and_check(None, "secure_delete", "ON", |_row| Ok(()))?)
}
