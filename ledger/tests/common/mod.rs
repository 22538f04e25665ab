//! Records and stores for the tests of the public surface.

use narrows_ledger::{
    Attempt, ContentState, ContentStates, Detail, Finding, Inspection, Inspections, Place, Record, Used,
};
use std::path::Path;

#[path = "../../src/sample.rs"]
#[allow(dead_code, reason = "not every test needs records")]
mod sample;

#[path = "postgres.rs"]
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) mod postgres;

#[allow(unused_imports, reason = "not every test needs records")]
pub(crate) use sample::record;

/// The tests of `tests/postgres.rs` are those of the other files, over PostgreSQL.
const SHARED: bool = {
    let (path, wanted) = (module_path!().as_bytes(), b"postgres::");
    let mut place = 0;
    while place < wanted.len() && path[place] == wanted[place] {
        place += 1;
    }
    place == wanted.len()
};

/// The store of a folder: its file `n.db`, or a database with the folder's name.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn store(folder: &Path) -> Place {
    let file = Place::File(folder.join("n.db"));
    if SHARED { postgres::place(folder).unwrap_or(file) } else { file }
}

/// An error and what caused it, as start-up prints them.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let (mut said, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

/// The folder with all bytes of a store: its own, or that of the server's data and log.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn data(place: &Place, folder: &Path) -> std::path::PathBuf {
    match place {
        Place::File(_) => folder.to_path_buf(),
        Place::Postgres(server) => {
            let running = postgres::shared().unwrap();
            running.sql(&server.database, "CHECKPOINT");
            running.path("data")
        }
    }
}

/// Changes a store behind the ledger's back; what a question answers, in one line.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn sql(place: &Place, sql: &str) -> String {
    match place {
        Place::File(path) => {
            let store = rusqlite::Connection::open(path).unwrap();
            if sql.starts_with("SELECT") {
                return store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().to_string();
            }
            store.execute_batch(sql).unwrap();
            String::new()
        }
        Place::Postgres(server) => postgres::shared().unwrap().sql(&server.database, sql),
    }
}
