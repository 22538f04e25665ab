//! Where a store is.

use crate::db::PostgresServer;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a file, with one gateway that writes it.
    File(PathBuf),
    /// In a PostgreSQL database, with any number of gateways.
    Postgres(Arc<PostgresServer>),
}

impl Place {
    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Place::File(path) => Some(path),
            Place::Postgres(_) => None,
        }
    }
}

/// As an operator knows it: the file, or the server's address without user and password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => write!(f, "{}", path.display()),
            Place::Postgres(server) => write!(f, "{server}"),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Place {
        Place::File(path.to_path_buf())
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Place {
        Place::File(path.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}

impl From<PostgresServer> for Place {
    fn from(server: PostgresServer) -> Place {
        Place::Postgres(Arc::new(server))
    }
}
