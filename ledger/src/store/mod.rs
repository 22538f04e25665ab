//! The store: a file of SQLite in write-ahead-log mode, with one writing process and any number of readers, or a database of
//! PostgreSQL that any number of gateways share.

pub(crate) mod admins;
pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod classes;
pub(crate) mod content;
pub(crate) mod decisions;
pub(crate) mod directory;
pub(crate) mod groups;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod lease;
pub(crate) mod limits;
pub(crate) mod migrate;
pub(crate) mod objects;
pub(crate) mod periods;
mod postgres;
pub(crate) mod records;
pub(crate) mod spending;
mod sqlite;

use crate::db::postgres::Pool;
use crate::db::{self, Connection};
use crate::error::LedgerError;
use crate::place::Place;
use std::sync::Arc;
use std::time::Duration;

/// Opens the store for writing; creates and migrates it as needed.
pub(crate) fn open(place: &Place, busy_timeout: Duration) -> Result<Connection, LedgerError> {
    match place {
        Place::File(path) => sqlite::open(path, busy_timeout),
        Place::Postgres(server) => postgres::open(server, busy_timeout),
    }
}

/// Opens a further connection, for short questions and changes, to a store that was opened before.
pub(crate) fn connect(place: &Place, busy_timeout: Duration) -> db::Result<Connection> {
    match place {
        Place::File(path) => sqlite::connect(path, busy_timeout),
        Place::Postgres(server) => postgres::connect(server, busy_timeout),
    }
}

/// As [`connect`], for a connection that removes what must not be found again: what it deletes of a file is overwritten.
pub(crate) fn connect_erasing(place: &Place, busy_timeout: Duration) -> db::Result<Connection> {
    let connection = connect(place, busy_timeout)?;
    overwrite_deleted(&connection)?;
    Ok(connection)
}

/// From now on what this connection deletes of a file is overwritten. A server removes it when it cleans up (`VACUUM`), and from
/// its log in time; what keeps erased content from being read is that its key is gone.
pub(crate) fn overwrite_deleted(connection: &Connection) -> db::Result<()> {
    match connection {
        Connection::Sqlite(file) => sqlite::overwrite_deleted(file),
        Connection::Postgres(_) => Ok(()),
    }
}

/// Carries what was written over into the file and empties the log, so that what was erased stands in neither. As far as
/// readers let it. A server does that by itself.
pub(crate) fn carry_over(connection: &Connection) -> db::Result<()> {
    match connection {
        Connection::Sqlite(_) => connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())),
        Connection::Postgres(_) => Ok(()),
    }
}

/// Opens the connection of the one who writes records, to a store that was opened before.
pub(crate) fn connect_writer(place: &Place, busy_timeout: Duration) -> db::Result<Connection> {
    match place {
        Place::File(path) => sqlite::connect(path, busy_timeout),
        Place::Postgres(server) => postgres::connect_writer(server, busy_timeout),
    }
}

/// Opens the store for reading, beside whoever writes it; also says which schema it has. A server is asked over a connection
/// of `pool`, where there is one.
pub(crate) fn open_reader(
    place: &Place,
    busy_timeout: Duration,
    pool: Option<&Arc<Pool>>,
) -> Result<(Connection, u32), LedgerError> {
    match place {
        Place::File(path) => sqlite::open_reader(path, busy_timeout),
        Place::Postgres(server) => postgres::open_reader(server, busy_timeout, pool),
    }
}

/// Waits until everything committed so far is on the disk.
pub(crate) fn sync(connection: &Connection) -> db::Result<()> {
    match connection {
        Connection::Sqlite(file) => sqlite::sync(file, connection),
        // A commit is answered when it is on the disk.
        Connection::Postgres(_) => Ok(()),
    }
}

/// A number that is another one whenever another connection may have changed keys.
pub(crate) fn changes_seen(connection: &Connection) -> db::Result<i64> {
    match connection {
        Connection::Sqlite(file) => sqlite::data_version(file),
        Connection::Postgres(_) => keys::version(connection),
    }
}
