//! The way to Redis: one connection that many calls share, a deadline for each call, and a breaker.
//!
//! While there is no connection a call fails at once. One that answers too late some times in a row is given up, so that a
//! Redis that hangs costs a few requests their deadline, and then none.

use super::wire::{Answer, Arguments};
use crate::config::{Counters, RedisAddress};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisError,
};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Calls in a row that may be late before the connection is given up.
const LATE_MAX: u32 = 3;
/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a call of the background may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Calls that wait to be written.
const CALLS_WAITING_MAX: usize = 1024;
/// Calls without an answer.
const CALLS_OPEN_MAX: usize = 4096;

/// A script: its text, and what Redis calls it.
pub(super) struct Script {
    text: &'static str,
    sha: String,
}

/// The scripts.
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) settle: Script,
    pub(super) beat: Script,
}

impl Script {
    fn new(text: &'static str) -> Script {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Script { text, sha: digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect() }
    }
}

impl Default for Scripts {
    fn default() -> Scripts {
        Scripts {
            reserve: Script::new(concat!(include_str!("prelude.lua"), include_str!("reserve.lua"))),
            settle: Script::new(concat!(include_str!("prelude.lua"), include_str!("settle.lua"))),
            beat: Script::new(concat!(include_str!("prelude.lua"), include_str!("beat.lua"))),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// There is no connection.
    #[error("Redis cannot be reached")]
    Away,
    /// The answer did not come in time.
    #[error("Redis did not answer in time")]
    Late,
    /// Redis says what is wrong.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// It does not fit what was asked.
    #[error(transparent)]
    Strange(#[from] super::wire::Strange),
}

/// What is counted of the way to Redis.
#[derive(Debug, Default)]
pub(crate) struct LinkStats {
    /// Calls that requests waited for.
    pub(crate) waited: AtomicU64,
    /// Calls that nobody waited for.
    pub(crate) background: AtomicU64,
    /// Calls that failed.
    pub(crate) failed: AtomicU64,
    /// Times that a connection was given up.
    pub(crate) lost: AtomicU64,
}

/// The way to Redis.
pub(super) struct Link {
    client: Client,
    /// Whether it is asked over TLS.
    is_tls: bool,
    timeout: Duration,
    prefix: String,
    scripts: Scripts,
    connection: Mutex<Option<MultiplexedConnection>>,
    late: AtomicU32,
    /// There is no connection any more.
    pub(super) broken: Notify,
    pub(super) stats: LinkStats,
}

impl Link {
    pub(super) fn new(settings: &Counters) -> Result<Link, RedisError> {
        let mut own = RedisConnectionInfo::default().set_lib_name("narrows", env!("CARGO_PKG_VERSION"));
        let address = match &settings.redis {
            RedisAddress::Unix(path) => ConnectionAddr::Unix(path.clone()),
            RedisAddress::Tcp { host, port, database, tls } => {
                own = own.set_db(*database);
                if *tls {
                    ConnectionAddr::TcpTls {
                        host: host.clone(),
                        port: *port,
                        insecure: false,
                        tls_params: None,
                    }
                } else {
                    ConnectionAddr::Tcp(host.clone(), *port)
                }
            }
        };
        if let Some(user) = &settings.username {
            own = own.set_username(user);
        }
        if let Some(password) = &settings.password {
            own = own.set_password(password.reveal());
        }
        let info = address.into_connection_info()?.set_redis_settings(own);
        let client = match &settings.ca_file {
            None => Client::open(info)?,
            Some(file) => {
                let root_cert = Some(std::fs::read(file)?);
                Client::build_with_tls(info, redis::TlsCertificates { client_tls: None, root_cert })?
            }
        };
        Ok(Link {
            client,
            is_tls: matches!(settings.redis, RedisAddress::Tcp { tls: true, .. }),
            timeout: settings.timeout,
            // In braces: the part of a key that decides where a cluster keeps it.
            prefix: format!("{{{}}}", settings.prefix),
            scripts: Scripts::default(),
            connection: Mutex::new(None),
            late: AtomicU32::new(0),
            broken: Notify::new(),
            stats: LinkStats::default(),
        })
    }

    /// What is said of a failure: what was seen, and what to do.
    pub(super) fn said(&self, failed: &Failed) -> String {
        format!("{failed}; {}", failed.advice(self.is_tls))
    }

    /// Makes a connection, and sees that Redis has the scripts. It is used by nobody else until [`Link::open`].
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Failed> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME_MAX))
            .set_response_timeout(Some(PATIENCE))
            .set_pipeline_buffer_size(CALLS_WAITING_MAX)
            .set_concurrency_limit(CALLS_OPEN_MAX);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        for script in [&self.scripts.reserve, &self.scripts.settle, &self.scripts.beat] {
            redis::cmd("SCRIPT").arg("LOAD").arg(script.text).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }

    /// From now on requests use this connection.
    pub(super) fn open(&self, connection: MultiplexedConnection) {
        self.late.store(0, Ordering::Relaxed);
        *self.lock() = Some(connection);
    }

    /// Whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// From now on there is none.
    pub(super) fn close(&self) {
        if self.lock().take().is_some() {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            self.broken.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for room, while a request waits. One round trip.
    pub(super) async fn reserve(&self, arguments: &Arguments) -> Result<Answer, Failed> {
        let Some(connection) = self.lock().clone() else { return Err(Failed::Away) };
        self.stats.waited.fetch_add(1, Ordering::Relaxed);
        let call = self.call(connection, &self.scripts.reserve, arguments);
        let answer = tokio::time::timeout(self.timeout, call).await.unwrap_or(Err(Failed::Late));
        self.judge(&answer);
        answer
    }

    /// How long a request waits.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Says something that nobody waits for.
    pub(super) async fn settle(
        &self,
        connection: &MultiplexedConnection,
        arguments: &Arguments,
    ) -> Result<Answer, Failed> {
        self.background(connection, &self.scripts.settle, arguments).await
    }

    /// Says that this gateway is there. Gives how long that took, too.
    pub(super) async fn beat(
        &self,
        connection: &MultiplexedConnection,
        arguments: &Arguments,
    ) -> Result<(Answer, Duration), Failed> {
        let asked = Instant::now();
        let answer = self.background(connection, &self.scripts.beat, arguments).await?;
        Ok((answer, asked.elapsed()))
    }

    /// The holds of a replica in Redis.
    pub(super) async fn holds(
        &self,
        connection: &MultiplexedConnection,
        replica: &str,
    ) -> Result<Vec<String>, Failed> {
        let mut connection = connection.clone();
        let key = format!("{}:h:{replica}", self.prefix);
        Ok(redis::cmd("HKEYS").arg(key).query_async(&mut connection).await?)
    }

    async fn background(
        &self,
        connection: &MultiplexedConnection,
        script: &Script,
        arguments: &Arguments,
    ) -> Result<Answer, Failed> {
        self.stats.background.fetch_add(1, Ordering::Relaxed);
        let answer = self.call(connection.clone(), script, arguments).await;
        if answer.is_err() {
            self.stats.failed.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn call(
        &self,
        mut connection: MultiplexedConnection,
        script: &Script,
        arguments: &Arguments,
    ) -> Result<Answer, Failed> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&script.sha).arg(1).arg(&self.prefix);
        arguments.iter().for_each(|argument| {
            command.arg(argument);
        });
        Ok(Answer::new(command.query_async(&mut connection).await?)?)
    }

    /// Gives the connection up if it is of no use.
    fn judge(&self, answer: &Result<Answer, Failed>) {
        let is_lost = match answer {
            Ok(_) => {
                self.late.store(0, Ordering::Relaxed);
                return;
            }
            Err(Failed::Late) => self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_MAX,
            // Also one that has forgotten the scripts, or takes no writes any more: whoever connects again sees to it.
            Err(Failed::Redis(_)) => true,
            Err(Failed::Away | Failed::Strange(_)) => false,
        };
        self.stats.failed.fetch_add(1, Ordering::Relaxed);
        if is_lost {
            self.close();
        }
    }
}
