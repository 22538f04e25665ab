//! What a database may answer instead of what was asked for.

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL cannot be reached, or lets nobody in.
    #[error("PostgreSQL cannot be reached: {cause}; {advice}")]
    Unreachable {
        /// What was seen, with its causes.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// The connection to PostgreSQL ended.
    #[error("the connection to PostgreSQL was lost; whether the last change was kept is not known")]
    Lost,
    /// PostgreSQL did not answer in time.
    #[error(
        "PostgreSQL did not answer in time; see that it runs and is not overloaded, and that nothing on the way swallows packets"
    )]
    Late,
    /// As many ask at once as may.
    #[error("{limit} readers ask PostgreSQL at once, the most of a gateway; ask again when one has ended")]
    Crowded {
        /// How many.
        limit: usize,
    },
    /// Another transaction did not give way in time.
    #[error("another transaction keeps the rows locked")]
    Locked,
    /// PostgreSQL says what is wrong.
    #[error("PostgreSQL: {message} ({code})")]
    Postgres {
        /// Its code (SQLSTATE).
        code: String,
        /// Its message.
        message: String,
    },
    /// What came over the connection cannot be understood.
    #[error("PostgreSQL: {0}")]
    Wire(tokio_postgres::Error),
    /// The server is not one that everything can be kept in.
    #[error("this PostgreSQL cannot be used: {0}")]
    Unfit(&'static str),
    /// The thread that serves connections cannot be started.
    #[error("cannot start the thread for PostgreSQL: {0}")]
    Thread(std::io::Error),
    /// A row was asked for, and there is none.
    #[error("the database answered no row where one was expected")]
    NoRows,
    /// A column holds what does not fit.
    #[error("column {column} holds {}", cause.as_deref().unwrap_or("a value of another kind"))]
    Conversion {
        /// The column, counted from 0.
        column: usize,
        /// What is wrong with the value.
        cause: Option<String>,
    },
}

impl Error {
    /// A column whose text means nothing here.
    pub(crate) fn conversion(column: usize, cause: impl Into<String>) -> Error {
        Error::Conversion { column, cause: Some(cause.into()) }
    }
}
