//! Where budgets and rate limits are counted when several gateways share them.

use super::addresses::is_loopback;
use super::document::Document;
use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::guard::Within;
use super::limits::{BudgetRule, Unit};
use super::macros::{settings, words};
use super::path::Path;
use super::resolve::Check;
use super::secret::Secret;
use super::tree::Node;
use serde_json::{Value as Json, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Longest that a call may take, in milliseconds.
const CALL_MS_MAX: u64 = 5_000;
/// Longest that holds may outlive their gateway, in milliseconds.
const EXPIRE_MS_MAX: u64 = 600_000;
/// Shortest, in milliseconds: three beats of a gateway.
const EXPIRE_MS_MIN: u64 = 3_000;
/// Port of Redis where none is given.
const PORT: u16 = 6379;
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 64;
/// The largest amount that Redis's scripts count exactly: 2^53 - 1.
pub const SHARED_MAX: u64 = 9_007_199_254_740_991;

settings! {
    /// Counters of budgets and rate limits that gateways share, in Redis (6.2 or later, or Valkey). One of its own for each
    /// group of gateways, without eviction (`maxmemory-policy noeviction`). Redis Cluster is not supported.
    pub struct Counters {
        /// Its address: `redis://HOST:PORT`, `rediss://HOST:PORT` for TLS, `unix:/PATH`; `/NUMBER` at the end of a URL names a
        /// database.
        pub redis: RedisAddress = required,
        /// The user to log in as, where Redis has some.
        pub username: Option<String> = optional,
        /// The password, as `${VARIABLE}` or `file:/path`. Never shown.
        pub password: Option<Secret> = optional,
        /// PEM file with the certificates to trust for it, in the place of the system's.
        pub ca_file: Option<PathBuf> = optional,
        /// What its keys begin with. Gateways with the same prefix count together.
        pub prefix: String = "narrows",
        /// How requests are let in.
        pub mode: SharedMode = "exact",
        /// How long a request waits for Redis at most. After it, `on_error` of each limit says what happens.
        pub timeout: Duration as Within<CALL_MS_MAX> = "100ms",
        /// How long what a gateway holds outlives it, when it dies without a word.
        pub expire: Duration as Within<EXPIRE_MS_MAX> = "15s",
    }
}

words! {
    /// How requests are let in by counters that gateways share.
    pub enum SharedMode {
        /// Each request asks Redis once, for all its limits.
        Exact = "exact",
        /// Gateways lease room ahead and let in from it without asking; where it does not suffice, as `exact`.
        Leases = "leases",
    }
}

/// Where Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// At a port of a host.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Number of the database.
        database: i64,
        /// Whether over TLS.
        tls: bool,
    },
    /// At a socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedisAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            RedisAddress::Tcp { host, port, database, tls } => {
                let scheme = if *tls { "rediss" } else { "redis" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}/{database}")
                } else {
                    write!(f, "{scheme}://{host}:{port}/{database}")
                }
            }
        }
    }
}

impl RedisAddress {
    /// Reads an address without user and password.
    fn parse(address: &str) -> Option<RedisAddress> {
        if let Some(path) = address.strip_prefix("unix:") {
            return path.starts_with('/').then(|| RedisAddress::Unix(PathBuf::from(path)));
        }
        let uri: http::Uri = address.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let database = match uri.path().trim_matches('/') {
            "" => 0,
            number => number.parse::<u16>().ok()?.into(),
        };
        let port = authority.port_u16().unwrap_or(PORT);
        (!host.is_empty() && port > 0).then_some(RedisAddress::Tcp { host, port, database, tls })
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_exposed(&self) -> bool {
        self.is_remote() && !matches!(self, RedisAddress::Tcp { tls: true, .. })
    }

    /// Whether it is on another machine.
    pub(super) fn is_remote(&self) -> bool {
        match self {
            RedisAddress::Unix(_) => false,
            RedisAddress::Tcp { host, .. } => {
                let address = host.parse().map(|ip| SocketAddr::new(ip, PORT));
                host != "localhost" && !address.is_ok_and(|address| is_loopback(&address))
            }
        }
    }
}

impl Form for RedisAddress {
    type Out = RedisAddress;

    fn shape() -> Shape {
        text("address of Redis", Some("^(rediss?://.+|unix:/.+|\\$\\{.+)$"))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<RedisAddress> {
        let suggestion = "redis://HOST:6379, rediss://HOST:6379/0 or unix:/PATH, without user and password: they have keys of their own";
        reader.parsed(node, "an address of Redis", suggestion, RedisAddress::parse)
    }

    fn show(value: &RedisAddress) -> Json {
        json!(value.to_string())
    }
}

impl Check<'_, '_> {
    /// What counters that are shared ask of the rest.
    pub(super) fn counters(&mut self, document: &Document, budgets: &[BudgetRule]) {
        let Some(counters) = &document.counters else { return };
        let path = Path::of(&["counters"]);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if counters.prefix.len() > PREFIX_BYTES_MAX || !counters.prefix.chars().all(plain) {
            let suggestion = "letters, digits, `-`, `_`, `.` and `:`, at most 64 characters";
            self.problem(&path.key("prefix"), "not a prefix of keys", suggestion);
        }
        if counters.expire < Duration::from_millis(EXPIRE_MS_MIN) {
            let message = "shorter than three beats of a gateway";
            self.problem(&path.key("expire"), message, "give it 3s or more");
        }
        if counters.username.is_some() && counters.password.is_none() && !self.given(&path.key("password")) {
            let message = "a user logs in with a password";
            self.problem(
                &path.key("username"),
                message,
                "add `password: ${VARIABLE}` or `password: file:/path`, or remove it",
            );
        }
        let is_tls = matches!(counters.redis, RedisAddress::Tcp { tls: true, .. });
        match &counters.ca_file {
            Some(_) if !is_tls => {
                self.problem(
                    &path.key("ca_file"),
                    "this address is not asked over TLS",
                    "write rediss://, or remove it",
                );
            }
            Some(file) => {
                self.bundle(&path, file);
            }
            None => {}
        }
        for budget in budgets.iter().filter(|budget| budget.budget.limit > SHARED_MAX) {
            let path = Path::of(&["budgets", &budget.name, Unit::Usd.as_str()]);
            let message = "more than counters that are shared count exactly";
            self.problem(&path, message, "at most 9007199 dollars with `counters`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown, exposed) in [
            ("redis://localhost", "redis://localhost:6379/0", false),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3", true),
            ("redis://[::1]:6379", "redis://[::1]:6379/0", false),
            ("rediss://cache.example/1", "rediss://cache.example:6379/1", false),
            ("redis://cache.example", "redis://cache.example:6379/0", true),
            ("unix:/run/redis.sock", "unix:/run/redis.sock", false),
        ] {
            let address = RedisAddress::parse(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_exposed()), (shown, exposed), "{text}");
            assert_eq!(RedisAddress::parse(shown), Some(address));
        }
        for text in [
            "localhost:6379",
            "http://localhost",
            "redis://user:secret@localhost",
            "redis://localhost/x",
            "redis://localhost/70000",
            "redis://localhost:0",
            "redis://localhost?timeout=1",
            "unix:run/redis.sock",
            "redis://",
        ] {
            assert_eq!(RedisAddress::parse(text), None, "{text}");
        }
    }
}
