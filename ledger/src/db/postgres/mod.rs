//! PostgreSQL behind the same calls.
//!
//! A [`Session`] is a connection that comes back: one that broke is made anew when it is used next, unless a transaction was
//! open, which then fails as a whole. Nothing is waited for longer than [`Patience`] says.

mod fault;
mod pool;
mod server;
mod sql;
mod tls;
mod value;
mod wait;

pub(crate) use pool::Pool;
pub use server::{PostgresHost, PostgresServer};

use super::{Error, Result, ValueRef};
use futures_util::{TryStreamExt, future::try_join_all};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage, Statement};

/// How much longer than the server itself a session waits for a statement, for the way there and back.
const WAY_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an open transaction may be left alone before the server ends it.
const IDLE_IN_TRANSACTION_MS: u32 = 60_000;
/// Prepared statements kept per session; beyond it all of them are prepared anew.
const STATEMENTS_MAX: usize = 128;
/// How long a connection that was lent before may take to say that it is still there.
const ALIVE_TIME_MAX: Duration = Duration::from_secs(1);
/// Statements on their way at once, when one is run for many rows.
const PIPELINE_MAX: usize = 256;
/// The first portion of a long answer, in rows. Later ones are as large as fits [`PORTION_BYTES`].
const PORTION_FIRST: usize = 16;
/// Most rows in a portion of a long answer.
const PORTION_ROWS_MAX: usize = 8_192;
/// About how much of a long answer is held at a time, in bytes.
const PORTION_BYTES: usize = 4 * 1_024 * 1_024;
/// The oldest server that has all that is used (`server_version_num`).
const VERSION_MIN: u32 = 120_000;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Until another transaction gives way.
    pub(crate) lock: Duration,
    /// One statement.
    pub(crate) statement: Duration,
}

/// A connection that comes back.
pub(crate) struct Session {
    server: Arc<PostgresServer>,
    application: String,
    patience: Patience,
    live: RefCell<Option<Live>>,
    in_transaction: Cell<bool>,
    /// How often it was connected.
    generation: Cell<u64>,
    /// For names of cursors.
    cursors: Cell<u64>,
    /// Where its connection goes when it ends.
    lent: Option<pool::Lent>,
}

struct Live {
    client: Arc<Client>,
    statements: HashMap<String, Statement>,
}

impl Session {
    /// A session that is connected. `application` is what the server shows of it.
    pub(crate) fn open(
        server: Arc<PostgresServer>,
        application: String,
        patience: Patience,
    ) -> Result<Session> {
        let session = Session::idle(server, application, patience);
        session.client()?;
        Ok(session)
    }

    /// The same over a connection of a pool, which is given back when the session ends. Waits for one that is free for no
    /// longer than `patience.lock`; one that broke is made anew.
    pub(crate) fn lent(
        pool: &Arc<Pool>,
        server: Arc<PostgresServer>,
        application: String,
        patience: Patience,
    ) -> Result<Session> {
        let (lent, live) = pool.lend(patience.lock)?;
        let live = live.filter(|live| {
            // Nobody may have seen that the way to the server is gone.
            matches!(wait::wait(live.client.simple_query(""), ALIVE_TIME_MAX), Some(Ok(_)))
        });
        let mut session = Session::idle(server, application, patience);
        session.lent = Some(lent);
        session.live.replace(live);
        session.client()?;
        Ok(session)
    }

    fn idle(server: Arc<PostgresServer>, application: String, patience: Patience) -> Session {
        Session {
            server,
            application,
            patience,
            live: RefCell::new(None),
            in_transaction: Cell::new(false),
            generation: Cell::new(0),
            cursors: Cell::new(0),
            lent: None,
        }
    }

    /// How often it was connected: another number says that everything that belonged to the connection is gone.
    pub(crate) fn generation(&self) -> Result<u64> {
        self.client()?;
        Ok(self.generation.get())
    }

    /// What the server shows of it.
    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// Whether a transaction is open.
    pub(super) fn in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    fn client(&self) -> Result<Arc<Client>> {
        if let Some(live) = &*self.live.borrow()
            && !live.client.is_closed()
        {
            return Ok(Arc::clone(&live.client));
        }
        if self.in_transaction.get() {
            return Err(Error::Lost);
        }
        self.live.replace(None);
        let client = Arc::new(self.connect()?);
        self.live.replace(Some(Live { client: Arc::clone(&client), statements: HashMap::new() }));
        self.generation.set(self.generation.get().wrapping_add(1));
        Ok(client)
    }

    fn connect(&self) -> Result<Client> {
        let runtime = wait::runtime().map_err(Error::Thread)?;
        let (config, tls) = (self.server.config(&self.application), self.server.tls.clone());
        let connecting = runtime.spawn(async move {
            let is_tls = tls.is_some();
            let unreachable = |cause: tokio_postgres::Error| fault::unreachable(&cause, is_tls);
            let connected: Result<Client> = match tls {
                Some(trust) => {
                    let (client, connection) = config.connect(tls::Tls(trust)).await.map_err(unreachable)?;
                    // How it ends is seen by whoever waits for an answer.
                    tokio::spawn(async move { drop(connection.await) });
                    Ok(client)
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
                    tokio::spawn(async move { drop(connection.await) });
                    Ok(client)
                }
            };
            connected
        });
        // Names of several addresses are tried one after the other, each for as long as a connection may take.
        let patience = self.patience.statement + WAY_TIME_MAX;
        let client: Client = match wait::wait(connecting, patience) {
            Some(Ok(connected)) => connected?,
            Some(Err(_ended)) => return Err(Error::Lost),
            None => return Err(Error::Late),
        };
        let settings = format!(
            "SET search_path TO narrows; SET timezone TO 'UTC'; SET statement_timeout TO {}; SET lock_timeout TO {};
             SET idle_in_transaction_session_timeout TO {IDLE_IN_TRANSACTION_MS}",
            self.patience.statement.as_millis(),
            self.patience.lock.as_millis(),
        );
        match wait::wait(client.batch_execute(&settings), patience) {
            Some(set) => set.map_err(Error::from)?,
            None => return Err(Error::Late),
        }
        Ok(client)
    }

    /// Waits for an answer. A connection that gave none in time is given up: nobody knows what it would answer next.
    fn answer<T>(
        &self,
        asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match wait::wait(asked, self.patience.statement + WAY_TIME_MAX) {
            Some(answer) => answer.map_err(Error::from),
            None => {
                self.live.replace(None);
                Err(Error::Late)
            }
        }
    }

    /// Runs statements without parameters.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        let client = self.client()?;
        self.answer(client.batch_execute(sql))
    }

    /// Begins a transaction, with `first` as its first words.
    pub(super) fn begin(&self, first: &str) -> Result<()> {
        self.batch(first)?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Ends a transaction. One that cannot be ended by words is ended with its connection.
    pub(super) fn end(&self, word: &str) -> Result<()> {
        let ended = self.batch(word);
        if ended.is_err() {
            self.live.replace(None);
        }
        self.in_transaction.set(false);
        ended
    }

    fn prepared(&self, sql: &str) -> Result<(Arc<Client>, Statement)> {
        let client = self.client()?;
        if let Some(live) = &*self.live.borrow()
            && let Some(statement) = live.statements.get(sql)
        {
            return Ok((client, statement.clone()));
        }
        let text = sql::translate(sql);
        let statement = self.answer(client.prepare(&text))?;
        if let Some(live) = &mut *self.live.borrow_mut() {
            if live.statements.len() >= STATEMENTS_MAX {
                live.statements.clear();
            }
            live.statements.insert(sql.to_owned(), statement.clone());
        }
        Ok((client, statement))
    }

    /// Runs a statement; how many rows it changed.
    pub(super) fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<usize> {
        let (client, statement) = self.prepared(sql)?;
        let changed = self.answer(client.execute_raw(&statement, values.iter().copied()))?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Runs a statement for each of several rows of values, many on their way at a time.
    pub(super) fn execute_each(&self, sql: &str, rows: &[Vec<ValueRef<'_>>]) -> Result<()> {
        let (client, statement) = self.prepared(sql)?;
        for some in rows.chunks(PIPELINE_MAX) {
            let asked = some.iter().map(|values| client.execute_raw(&statement, values.iter().copied()));
            self.answer(try_join_all(asked))?;
        }
        Ok(())
    }

    /// All rows of an answer.
    pub(super) fn query(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<Vec<Row>> {
        let (client, statement) = self.prepared(sql)?;
        self.answer(async { client.query_raw(&statement, values.iter().copied()).await?.try_collect().await })
    }

    /// A long answer, of which a portion is held at a time. Only inside of a transaction.
    pub(super) fn cursor(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<Cursor<'_>> {
        let number = self.cursors.get().wrapping_add(1);
        self.cursors.set(number);
        let name = format!("portion_{number}");
        let client = self.client()?;
        let declare = format!("DECLARE {name} NO SCROLL CURSOR FOR {}", sql::translate(sql));
        let statement = self.answer(client.prepare(&declare))?;
        self.answer(client.execute_raw(&statement, values.iter().copied()))?;
        Ok(Cursor { session: self, name, portion: PORTION_FIRST, ended: false })
    }

    /// Sees that the server is one that everything can be kept in.
    pub(crate) fn check(&self) -> Result<()> {
        let client = self.client()?;
        let asked = "SELECT current_setting('server_version_num'), current_setting('server_encoding')";
        let said = self.answer(client.simple_query(asked))?;
        for message in said {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let version = row.get(0).and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
            if version < VERSION_MIN {
                return Err(Error::Unfit("it is older than version 12"));
            }
            if row.get(1) != Some("UTF8") {
                return Err(Error::Unfit(
                    "the database's encoding is not UTF8; create it with ENCODING 'UTF8'",
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(lent) = &self.lent
            && !self.in_transaction.get()
            && let Some(live) = self.live.take()
        {
            lent.keep(live);
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A long answer, portion by portion.
pub(super) struct Cursor<'s> {
    session: &'s Session,
    name: String,
    portion: usize,
    ended: bool,
}

impl Cursor<'_> {
    /// The next portion; empty at the end.
    pub(super) fn next(&mut self) -> Result<Vec<Row>> {
        if self.ended {
            return Ok(Vec::new());
        }
        let client = self.session.client()?;
        let fetch = format!("FETCH FORWARD {} FROM {}", self.portion, self.name);
        let rows = self.session.answer(client.query(&fetch, &[]))?;
        self.ended = rows.len() < self.portion;
        let bytes: usize = rows.iter().map(Row::raw_size_bytes).sum();
        self.portion = portion(bytes.checked_div(rows.len()).unwrap_or(0));
        Ok(rows)
    }
}

/// How many rows of this size are held at a time.
fn portion(row_bytes: usize) -> usize {
    (PORTION_BYTES / row_bytes.max(1)).clamp(1, PORTION_ROWS_MAX)
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        if self.session.in_transaction() {
            // It ends with the transaction in any case.
            let _closed = self.session.batch(&format!("CLOSE {}", self.name));
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(told) if *told.code() == SqlState::LOCK_NOT_AVAILABLE => Error::Locked,
            // Not its detail, which quotes values.
            Some(told) => {
                Error::Postgres { code: told.code().code().to_owned(), message: told.message().to_owned() }
            }
            None if error.is_closed() => Error::Lost,
            None => Error::Wire(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_holds_about_so_many_bytes() {
        assert_eq!(portion(0), PORTION_ROWS_MAX);
        assert_eq!(portion(PORTION_BYTES / 4), 4);
        assert_eq!((portion(PORTION_BYTES), portion(PORTION_BYTES + 1)), (1, 1));
    }
}
