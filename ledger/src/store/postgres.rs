//! The store that gateways share: a schema of a PostgreSQL database.

use crate::db::postgres::{Patience, Pool, Session};
use crate::db::{self, Connection, PostgresServer};
use crate::error::LedgerError;
use crate::place::Place;
use crate::store::migrate;
use std::sync::Arc;
use std::time::Duration;

/// How long one statement of a batch, of a report or of a migration may take. A long answer comes in portions, each of which
/// is a statement.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(30);

/// Opens the store for changes; creates and migrates it as needed.
pub(super) fn open(server: &Arc<PostgresServer>, busy_timeout: Duration) -> Result<Connection, LedgerError> {
    let place = Place::Postgres(Arc::clone(server));
    let named = |source| LedgerError::NotOpened { place: place.clone(), source };
    let patient = Patience { lock: STATEMENT_TIME_MAX, statement: STATEMENT_TIME_MAX };
    let mut connection = session(server, patient).map_err(named)?;
    if let Some(session) = connection.postgres() {
        session.check().map_err(named)?;
    }
    migrate::run(&mut connection, &place, migrate::LATEST).map_err(|error| match error {
        LedgerError::Database(source) => named(source),
        other => other,
    })?;
    drop(connection);
    connect(server, busy_timeout).map_err(named)
}

/// For short questions and changes: neither takes longer than `busy_timeout`.
pub(super) fn connect(server: &Arc<PostgresServer>, busy_timeout: Duration) -> db::Result<Connection> {
    session(server, Patience { lock: busy_timeout, statement: busy_timeout })
}

/// For records.
pub(super) fn connect_writer(server: &Arc<PostgresServer>, busy_timeout: Duration) -> db::Result<Connection> {
    session(server, Patience { lock: busy_timeout, statement: STATEMENT_TIME_MAX })
}

/// Opens the store for reading, over a connection of a pool where there is one.
pub(super) fn open_reader(
    server: &Arc<PostgresServer>,
    busy_timeout: Duration,
    pool: Option<&Arc<Pool>>,
) -> Result<(Connection, u32), LedgerError> {
    let place = Place::Postgres(Arc::clone(server));
    let named = |source| match source {
        crowded @ db::Error::Crowded { .. } => LedgerError::Database(crowded),
        source => LedgerError::NotOpened { place: place.clone(), source },
    };
    let patience = Patience { lock: busy_timeout, statement: STATEMENT_TIME_MAX };
    let connection = match pool {
        None => session(server, patience),
        Some(pool) => name().and_then(|name| {
            let session = Session::lent(pool, Arc::clone(server), name, patience)?;
            Ok(Connection::Postgres(Box::new(session)))
        }),
    };
    let connection = connection.map_err(named)?;
    let found = migrate::version(&connection).map_err(named)?;
    if found == 0 {
        return Err(LedgerError::Missing { path: place });
    }
    migrate::refuse_newer(&place, found)?;
    Ok((connection, found))
}

fn session(server: &Arc<PostgresServer>, patience: Patience) -> db::Result<Connection> {
    Ok(Connection::Postgres(Box::new(Session::open(Arc::clone(server), name()?, patience)?)))
}

/// Each session has a name of its own among those that the server shows.
fn name() -> db::Result<String> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(db::Error::Random)?;
    Ok(format!("narrows {:016x}", u64::from_be_bytes(number)))
}
