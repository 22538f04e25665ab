//! A thin layer over the database, so that one text of SQL serves every kind of store.
//!
//! It has the shape of rusqlite's API, as far as the ledger uses it: connections, transactions, prepared statements, rows.
//! Parameters are written `?1`, `?2`, …

mod error;
pub(crate) mod postgres;
mod value;

pub use error::Error;
pub use postgres::{PostgresHost, PostgresServer};
pub(crate) use value::{Params, ToSql, ValueRef};

use postgres::{Cursor, Session};
use value::FromSql;

/// What a question to the database ends with.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What a change that others wait for locks, in every session with the server (an advisory lock; `NRWS`, 1).
const CHANGES_LOCK: i64 = 0x4E52_5753_0000_0001;

/// A connection to a store. It belongs to one thread at a time.
#[derive(Debug)]
pub(crate) enum Connection {
    /// A file.
    Sqlite(rusqlite::Connection),
    /// A server.
    Postgres(Box<Session>),
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionBehavior {
    /// To read, in one consistent view.
    Deferred,
    /// To look and change: nobody else changes anything until it ends.
    Immediate,
    /// To add what does not depend on what others add: those that do the same do not wait for each other, where the database
    /// can do that.
    Beside,
}

impl Connection {
    /// The session, where it is one with a server.
    pub(crate) fn postgres(&self) -> Option<&Session> {
        match self {
            Connection::Sqlite(_) => None,
            Connection::Postgres(session) => Some(session),
        }
    }

    /// Says in SQL that a column is equal to a parameter, whatever the case of ASCII letters: the column of a file says so
    /// itself.
    pub(crate) fn is_caseless(&self, column: &str, parameter: &str) -> String {
        match self {
            Connection::Sqlite(_) => format!("{column} = {parameter}"),
            Connection::Postgres(_) => format!("lower({column}) = lower({parameter} COLLATE \"C\")"),
        }
    }

    /// A statement that is used once.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        Ok(match self {
            Connection::Sqlite(connection) => Statement::Once(connection.prepare(sql)?),
            Connection::Postgres(session) => Statement::Server(session, sql.to_owned()),
        })
    }

    /// A statement that is used again and again, with the same text.
    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        Ok(match self {
            Connection::Sqlite(connection) => Statement::Kept(connection.prepare_cached(sql)?),
            Connection::Postgres(session) => Statement::Server(session, sql.to_owned()),
        })
    }

    /// Runs a statement that gives no rows; how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// Runs several statements without parameters.
    pub(crate) fn execute_batch(&self, sql: &str) -> Result<()> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
            Connection::Postgres(session) => session.batch(sql),
        }
    }

    /// The first row of an answer.
    pub(crate) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare(sql)?.query_row(params, read)
    }

    /// Begins a transaction, in which everything happens or, unless it is committed, nothing.
    pub(crate) fn transaction_with_behavior(&mut self, kind: TransactionBehavior) -> Result<Transaction<'_>> {
        self.begin(kind)
    }

    /// Begins a transaction that reads.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>> {
        self.begin(TransactionBehavior::Deferred)
    }

    /// Begins a transaction that reads, where nobody else holds the connection.
    pub(crate) fn unchecked_transaction(&self) -> Result<Transaction<'_>> {
        self.begin(TransactionBehavior::Deferred)
    }

    fn begin(&self, kind: TransactionBehavior) -> Result<Transaction<'_>> {
        match self {
            Connection::Sqlite(connection) => connection.execute_batch(match kind {
                TransactionBehavior::Deferred => "BEGIN DEFERRED",
                TransactionBehavior::Immediate | TransactionBehavior::Beside => "BEGIN IMMEDIATE",
            })?,
            Connection::Postgres(session) => match kind {
                TransactionBehavior::Deferred => {
                    session.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?
                }
                TransactionBehavior::Beside => session.begin("BEGIN ISOLATION LEVEL READ COMMITTED")?,
                TransactionBehavior::Immediate => {
                    session.begin("BEGIN ISOLATION LEVEL READ COMMITTED")?;
                    let transaction = Transaction { connection: self };
                    // Released when the transaction ends.
                    transaction.execute_batch(&format!("SELECT pg_advisory_xact_lock({CHANGES_LOCK})"))?;
                    return Ok(transaction);
                }
            },
        }
        Ok(Transaction { connection: self })
    }

    /// Ends a transaction with `COMMIT` or `ROLLBACK`.
    fn end(&self, word: &str) -> Result<()> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch(word)?),
            Connection::Postgres(session) => session.end(word),
        }
    }

    /// Whether a transaction is open.
    fn in_transaction(&self) -> bool {
        match self {
            Connection::Sqlite(connection) => !connection.is_autocommit(),
            Connection::Postgres(session) => session.in_transaction(),
        }
    }
}

/// An open transaction. Dropping it takes everything back.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
}

impl Transaction<'_> {
    /// Keeps what was done.
    pub(crate) fn commit(self) -> Result<()> {
        // A failure leaves it open, and dropping it takes it back.
        self.connection.end("COMMIT")
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.connection.in_transaction() {
            // What cannot be taken back by a statement ends with the connection.
            let _ended = self.connection.end("ROLLBACK");
        }
    }
}

/// A statement that can be run.
pub(crate) enum Statement<'c> {
    /// Prepared for this once.
    Once(rusqlite::Statement<'c>),
    /// Prepared for the connection's lifetime.
    Kept(rusqlite::CachedStatement<'c>),
    /// A server's; the session prepares it when it is first run.
    Server(&'c Session, String),
}

impl Statement<'_> {
    /// Runs it; how many rows it changed.
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize> {
        let values = params.values();
        match self {
            Statement::Once(statement) => Ok(statement.execute(rusqlite::params_from_iter(values))?),
            Statement::Kept(statement) => Ok(statement.execute(rusqlite::params_from_iter(values))?),
            Statement::Server(session, sql) => session.execute(sql, &values),
        }
    }

    /// Runs it for each of several rows of values. A server gets many of them at a time.
    pub(crate) fn execute_each(&mut self, rows: &[Vec<ValueRef<'_>>]) -> Result<()> {
        match self {
            Statement::Server(session, sql) => session.execute_each(sql, rows),
            _ => rows.iter().try_for_each(|values| self.execute(values.as_slice()).map(drop)),
        }
    }

    /// Its rows, one after the other. What a server sends is held in memory as a whole: for long answers there is
    /// [`stream`](Self::stream).
    pub(crate) fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        let values = params.values();
        Ok(match self {
            Statement::Once(statement) => Rows::Sqlite(statement.query(rusqlite::params_from_iter(values))?),
            Statement::Kept(statement) => Rows::Sqlite(statement.query(rusqlite::params_from_iter(values))?),
            Statement::Server(session, sql) => Rows::Server(Portions::whole(session.query(sql, &values)?)),
        })
    }

    /// As [`query`](Self::query), for an answer of any length, of which only a part is in memory at a time. A server can do that
    /// only within a transaction. Other statements may run in between.
    pub(crate) fn stream(&mut self, params: impl Params) -> Result<Rows<'_>> {
        match self {
            Statement::Server(session, sql) if session.in_transaction() => {
                let cursor = session.cursor(sql, &params.values())?;
                Ok(Rows::Server(Portions { cursor: Some(cursor), ..Portions::whole(Vec::new()) }))
            }
            _ => self.query(params),
        }
    }

    /// What `read` makes of each row.
    pub(crate) fn query_map<T>(
        &mut self,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<std::vec::IntoIter<Result<T>>> {
        let mut rows = self.query(params)?;
        let mut made = Vec::new();
        while let Some(row) = rows.next()? {
            made.push(read(&row));
        }
        Ok(made.into_iter())
    }

    /// What `read` makes of the first row; [`Error::NoRows`] where there is none.
    pub(crate) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut rows = self.query(params)?;
        match rows.next()? {
            Some(row) => read(&row),
            None => Err(Error::NoRows),
        }
    }
}

/// An answer.
pub(crate) enum Rows<'s> {
    /// Of a file.
    Sqlite(rusqlite::Rows<'s>),
    /// Of a server.
    Server(Portions<'s>),
}

/// What of a server's answer is in memory, and where there is more.
pub(crate) struct Portions<'s> {
    rows: std::vec::IntoIter<tokio_postgres::Row>,
    current: Option<tokio_postgres::Row>,
    cursor: Option<Cursor<'s>>,
}

impl Portions<'_> {
    fn whole(rows: Vec<tokio_postgres::Row>) -> Self {
        Portions { rows: rows.into_iter(), current: None, cursor: None }
    }
}

impl Rows<'_> {
    /// The next row, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Rows::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Rows::Server(portions) => {
                portions.current = portions.rows.next();
                if portions.current.is_none()
                    && let Some(cursor) = &mut portions.cursor
                {
                    portions.rows = cursor.next()?.into_iter();
                    portions.current = portions.rows.next();
                }
                Ok(portions.current.as_ref().map(Row::Server))
            }
        }
    }
}

/// One row of an answer.
#[derive(Clone, Copy)]
pub(crate) enum Row<'r> {
    /// Of a file.
    Sqlite(&'r rusqlite::Row<'r>),
    /// Of a server.
    Server(&'r tokio_postgres::Row),
}

impl<'r> Row<'r> {
    /// The value in a column, counted from 0.
    pub(crate) fn get<I: Column, T: FromSql>(&self, column: I) -> Result<T> {
        let column = column.place();
        T::from_sql(self.get_ref(column)?).ok_or(Error::Conversion { column, cause: None })
    }

    /// The same, as it stands in the answer.
    pub(crate) fn get_ref(&self, column: usize) -> Result<ValueRef<'r>> {
        match self {
            Row::Sqlite(row) => {
                ValueRef::of_sqlite(row.get_ref(column)?).ok_or(Error::Conversion { column, cause: None })
            }
            Row::Server(row) => row.try_get(column).map_err(Error::Wire),
        }
    }
}

/// What names a column. As in rusqlite, calls say `row.get::<_, i64>(0)`.
pub(crate) trait Column {
    /// Its place, counted from 0.
    fn place(self) -> usize;
}

impl Column for usize {
    fn place(self) -> usize {
        self
    }
}

/// Turns "no row" into `None`.
pub(crate) trait OptionalExtension<T> {
    /// The value, if there was a row.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Parameters of several types.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::db::ToSql),*] as &[&dyn $crate::db::ToSql]
    };
}
pub(crate) use params;

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Connection {
        let store = Connection::Sqlite(rusqlite::Connection::open_in_memory().unwrap());
        store.execute_batch("CREATE TABLE t (a INTEGER, b TEXT, c BLOB)").unwrap();
        store
    }

    #[test]
    fn values_come_back_as_they_went() {
        let store = store();
        let insert = "INSERT INTO t VALUES (?1, ?2, ?3)";
        assert_eq!(store.execute(insert, params![7_i64, "x", [1_u8, 2]]).unwrap(), 1);
        assert_eq!(store.execute(insert, params![true, None::<String>, None::<Vec<u8>>]).unwrap(), 1);
        type Read = (i64, Option<String>, Option<Vec<u8>>);
        let read = |row: &Row<'_>| -> Result<Read> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
        let rows: Vec<Read> = store
            .prepare("SELECT a, b, c FROM t ORDER BY a")
            .unwrap()
            .query_map([], read)
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(rows, [(1, None, None), (7, Some("x".to_owned()), Some(vec![1, 2]))]);
        let one: bool = store.query_row("SELECT a FROM t WHERE b IS NULL", [], |row| row.get(0)).unwrap();
        assert!(one);
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_no_row_is_none() {
        let store = store();
        store.execute("INSERT INTO t VALUES (?1, ?2, NULL)", params![-1_i64, "x"]).unwrap();
        let get = "SELECT a, b FROM t WHERE a = ?1";
        let as_u32 = store.query_row(get, [-1_i64], |row| row.get::<_, u32>(0));
        assert!(matches!(as_u32, Err(Error::Conversion { column: 0, .. })), "{as_u32:?}");
        assert!(store.query_row(get, [-1_i64], |row| row.get::<_, i64>(1)).is_err());
        assert_eq!(store.query_row(get, [2_i64], |row| row.get::<_, i64>(0)).optional().unwrap(), None);
    }

    #[test]
    fn a_transaction_that_is_not_committed_leaves_nothing() {
        let mut store = store();
        let count = |store: &Connection| -> i64 {
            store.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
        };
        for (commit, expected) in [(false, 0), (true, 1)] {
            let transaction = store.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
            transaction.execute("INSERT INTO t (a) VALUES (?1)", [1_i64]).unwrap();
            assert_eq!(count(&transaction), 1);
            if commit {
                transaction.commit().unwrap();
            } else {
                drop(transaction);
            }
            assert_eq!((count(&store), store.in_transaction()), (expected, false));
        }
    }
}
