//! Which server, and how it is reached.

use rustls::ClientConfig;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection is silent before it is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// How often it is asked then.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// After how many questions without an answer it is given up.
const KEEPALIVE_TRIES: u32 = 3;

/// Where PostgreSQL listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresHost {
    /// At a port of a host.
    Tcp {
        /// Its name or address. With TLS its certificate must be for this name.
        host: String,
        /// The port.
        port: u16,
    },
    /// At a socket in the file system.
    Unix {
        /// The folder in which the socket is.
        folder: PathBuf,
        /// The port in the socket's name, `.s.PGSQL.PORT`.
        port: u16,
    },
}

/// A database of a PostgreSQL server. Its tables are in a schema of their own, `narrows`.
#[derive(Clone)]
pub struct PostgresServer {
    /// Where it listens.
    pub host: PostgresHost,
    /// The database.
    pub database: String,
    /// Who logs in.
    pub user: String,
    /// The password, if there is one. Never shown.
    pub password: Option<Arc<str>>,
    /// Whom to trust, for a connection over TLS; the server must prove its name. `None` is a connection that whoever is on the
    /// way can read.
    pub tls: Option<Arc<ClientConfig>>,
}

impl PostgresServer {
    pub(super) fn config(&self, application: &str) -> Config {
        let mut config = Config::new();
        match &self.host {
            PostgresHost::Tcp { host, port } => config.host(host).port(*port),
            PostgresHost::Unix { folder, port } => config.host_path(folder).port(*port),
        };
        if let Some(password) = &self.password {
            config.password(&**password);
        }
        config
            .dbname(&self.database)
            .user(&self.user)
            .application_name(application)
            .ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT_TIME_MAX)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVE_TRIES)
            .tcp_user_timeout(KEEPALIVE_IDLE + KEEPALIVE_EVERY * KEEPALIVE_TRIES);
        config
    }
}

/// The address, without user and password.
impl fmt::Display for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            PostgresHost::Tcp { host, port } if host.contains(':') => {
                write!(f, "postgres://[{host}]:{port}/{}", self.database)
            }
            PostgresHost::Tcp { host, port } => write!(f, "postgres://{host}:{port}/{}", self.database),
            PostgresHost::Unix { folder, port } => {
                write!(f, "unix:{}:{port}/{}", folder.display(), self.database)
            }
        }
    }
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresServer")
            .field("address", &self.to_string())
            .field("user", &self.user)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_shows_its_address_and_no_password() {
        let mut server = PostgresServer {
            host: PostgresHost::Tcp { host: "::1".into(), port: 5432 },
            database: "narrows".into(),
            user: "gate".into(),
            password: Some("hunter2".into()),
            tls: None,
        };
        assert_eq!(server.to_string(), "postgres://[::1]:5432/narrows");
        server.host = PostgresHost::Unix { folder: "/run/postgresql".into(), port: 5432 };
        assert_eq!(server.to_string(), "unix:/run/postgresql:5432/narrows");
        let shown = format!("{server:?} {server} {:?}", server.config("x"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
