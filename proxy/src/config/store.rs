//! Where keys, records and aggregates are kept: a file of one gateway, or a database that gateways share.

use super::addresses::is_loopback;
use super::document::Document;
use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::macros::{settings, words};
use super::path::Path;
use super::resolve::Check;
use super::secret::Secret;
use super::tree::Node;
use narrows_ledger::PostgresHost;
use serde_json::{Value as Json, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Port of PostgreSQL where none is given.
const PORT: u16 = 5432;
/// Longest name of a database or a user, in bytes: what PostgreSQL keeps of one.
const NAME_BYTES_MAX: usize = 63;

settings! {
    /// The store: a file of SQLite, or a database of PostgreSQL (12 or later) that several gateways share.
    pub struct Store {
        /// SQLite file of one gateway; created when absent.
        pub path: PathBuf = "narrows.db",
        /// The database, in the place of the file: `postgres://HOST:PORT/DATABASE`, or `unix:/FOLDER/DATABASE` for a socket in a
        /// folder. Everything is kept in its schema `narrows`, which is created when absent.
        pub postgres: Option<PostgresAddress> = optional,
        /// The user to log in to PostgreSQL as; `narrows` where none is given. It has to own the database, or may create the schema in it.
        pub username: Option<String> = optional,
        /// The user's password, as `${VARIABLE}` or `file:/path`. Never shown. A server on another machine needs one.
        pub password: Option<Secret> = optional,
        /// How the connection to PostgreSQL is secured. Without it: `verify-full`, and `off` for a server on the same machine.
        pub tls: Option<PostgresTls> = optional,
        /// PEM file with the certificates to trust for PostgreSQL, in the place of the system's.
        pub ca_file: Option<PathBuf> = optional,
    }
}

words! {
    /// How a connection to PostgreSQL is secured.
    pub enum PostgresTls {
        /// TLS; the server proves with a certificate that it has the name in the address.
        VerifyFull = "verify-full",
        /// Not at all: whoever is on the way reads the password's proof, keys' hashes and records.
        Off = "off",
    }
}

/// Where PostgreSQL is, and which database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    /// Where it listens.
    pub host: PostgresHost,
    /// The database.
    pub database: String,
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            PostgresHost::Tcp { host, port } if host.contains(':') => {
                write!(f, "postgres://[{host}]:{port}/{}", self.database)
            }
            PostgresHost::Tcp { host, port } => write!(f, "postgres://{host}:{port}/{}", self.database),
            PostgresHost::Unix { folder, port: PORT } => {
                write!(f, "unix:{}/{}", folder.display(), self.database)
            }
            PostgresHost::Unix { folder, port } => {
                write!(f, "unix:{}:{port}/{}", folder.display(), self.database)
            }
        }
    }
}

impl PostgresAddress {
    /// Reads an address without user and password.
    fn parse(address: &str) -> Option<PostgresAddress> {
        let plain = |name: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(known)
        };
        if let Some(path) = address.strip_prefix("unix:") {
            let (folder, database) = path.rsplit_once('/')?;
            let (folder, port) = match folder.rsplit_once(':') {
                Some((folder, port)) => (folder, port.parse().ok()?),
                None => (folder, PORT),
            };
            let host = PostgresHost::Unix { folder: PathBuf::from(folder), port };
            let fits = folder.starts_with('/') && port > 0 && plain(database);
            return fits.then(|| PostgresAddress { host, database: database.to_owned() });
        }
        let uri: http::Uri = address.parse().ok()?;
        let authority = uri.authority()?;
        let known = matches!(uri.scheme_str()?, "postgres" | "postgresql");
        if !known || authority.as_str().contains('@') || uri.query().is_some() {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        // A port that is none is not told apart from none at all.
        let has_port = authority.as_str().len() > authority.host().len();
        let port = if has_port { authority.port_u16()? } else { PORT };
        let database = uri.path().trim_start_matches('/');
        (!host.is_empty() && port > 0 && plain(database)).then(|| PostgresAddress {
            host: PostgresHost::Tcp { host, port },
            database: database.to_owned(),
        })
    }

    /// Whether it is on another machine.
    fn is_remote(&self) -> bool {
        match &self.host {
            PostgresHost::Unix { .. } => false,
            PostgresHost::Tcp { host, .. } => {
                let address = host.parse().map(|ip| SocketAddr::new(ip, PORT));
                host != "localhost" && !address.is_ok_and(|address| is_loopback(&address))
            }
        }
    }
}

impl Form for PostgresAddress {
    type Out = PostgresAddress;

    fn shape() -> Shape {
        text("address of PostgreSQL", Some("^(postgres(ql)?://.+|unix:/.+|\\$\\{.+)$"))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PostgresAddress> {
        let suggestion = "postgres://HOST:5432/DATABASE or unix:/FOLDER/DATABASE, without user and password: they have keys of their own";
        reader.parsed(node, "an address of PostgreSQL", suggestion, PostgresAddress::parse)
    }

    fn show(value: &PostgresAddress) -> Json {
        json!(value.to_string())
    }
}

impl Store {
    /// One in a file.
    pub fn file(path: PathBuf) -> Store {
        Store { path, postgres: None, username: None, password: None, tls: None, ca_file: None }
    }

    /// Whether a database at `address` is asked over TLS.
    pub fn is_tls(&self, address: &PostgresAddress) -> bool {
        match self.tls {
            Some(tls) => tls == PostgresTls::VerifyFull,
            None => address.is_remote(),
        }
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_exposed(&self) -> bool {
        self.postgres.as_ref().is_some_and(|address| address.is_remote() && !self.is_tls(address))
    }

    /// Where the store is, as operators know it.
    pub fn shown(&self) -> String {
        match &self.postgres {
            Some(address) => address.to_string(),
            None => self.path.display().to_string(),
        }
    }
}

impl Check<'_, '_> {
    /// What a store asks of the rest.
    pub(super) fn store(&mut self, document: &Document) {
        let (store, path) = (&document.store, Path::of(&["store"]));
        let Some(address) = &store.postgres else {
            // What is wrong with an address has been said.
            if !self.given(&path.key("postgres")) {
                for key in ["username", "password", "tls", "ca_file"] {
                    if self.given(&path.key(key)) {
                        let message = "a file has no user, password or TLS";
                        self.problem(
                            &path.key(key),
                            message,
                            "add `postgres: postgres://HOST/DATABASE`, or remove it",
                        );
                    }
                }
                self.writable(&["store", "path"], &store.path);
            }
            return;
        };
        if self.given(&path.key("path")) {
            let message = "a store is a file or a database, not both";
            self.problem(&path.key("path"), message, "remove `path` or `postgres`");
        }
        if store.username.as_ref().is_some_and(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            self.problem(&path.key("username"), "not a name of a user", "1 to 63 bytes");
        }
        let is_socket = matches!(address.host, PostgresHost::Unix { .. });
        if is_socket && store.tls == Some(PostgresTls::VerifyFull) {
            let message = "there is no TLS at a socket of the file system";
            self.problem(&path.key("tls"), message, "remove it");
        }
        if address.is_remote() && store.password.is_none() && !self.given(&path.key("password")) {
            let message =
                "a database on another machine that asks for no password is open to everybody there";
            self.problem(
                &path.key("postgres"),
                message,
                "add `password: ${VARIABLE}` or `password: file:/path`",
            );
        }
        match &store.ca_file {
            Some(_) if !store.is_tls(address) => {
                let message = "this database is not asked over TLS";
                self.problem(&path.key("ca_file"), message, "write `tls: verify-full`, or remove it");
            }
            Some(file) => {
                self.bundle(&path, file);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown, remote) in [
            ("postgres://localhost/n", "postgres://localhost:5432/n", false),
            ("postgresql://10.0.0.1:7000/n-1", "postgres://10.0.0.1:7000/n-1", true),
            ("postgres://[::1]/n", "postgres://[::1]:5432/n", false),
            ("postgres://db.example/n_1", "postgres://db.example:5432/n_1", true),
            ("unix:/run/postgresql/n", "unix:/run/postgresql/n", false),
            ("unix:/run/postgresql:5433/n", "unix:/run/postgresql:5433/n", false),
        ] {
            let address = PostgresAddress::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_remote()), (shown, remote), "{text}");
            assert_eq!(PostgresAddress::parse(shown), Some(address));
        }
        for text in [
            "localhost/n",
            "mysql://localhost/n",
            "postgres://user:secret@localhost/n",
            "postgres://localhost",
            "postgres://localhost/",
            "postgres://localhost/a/b",
            "postgres://localhost:0/n",
            "postgres://localhost:70000/n",
            "postgres://localhost/n?sslmode=disable",
            "unix:run/postgresql/n",
            "unix:/run/postgresql:x/n",
            "postgres://",
        ] {
            assert_eq!(PostgresAddress::parse(text), None, "{text}");
        }
        let longest = "n".repeat(NAME_BYTES_MAX);
        assert!(PostgresAddress::parse(&format!("postgres://h/{longest}")).is_some());
        assert!(PostgresAddress::parse(&format!("postgres://h/{longest}n")).is_none());
    }
}
