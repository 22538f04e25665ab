//! What a database may answer instead of what was asked for.

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite failed.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
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
