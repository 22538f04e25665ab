//! What to do about a Redis that cannot be asked.

use super::link::Failed;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::{CertificateError, Error as TlsError};
use std::error::Error as StdError;
use std::sync::Arc;

const START: &str = "see that it runs, and that nothing on the way keeps it from here";
const START_TLS: &str = "see that it runs, that this is its port for TLS (`tls-port`), and that nothing on the way keeps it from here";
const MAYBE_TLS: &str =
    "see that it runs; where this is its port for TLS, write rediss:// in `counters.redis`";
const NO_TLS: &str = "this is not its port for TLS: turn TLS on at the server (`tls-port`) and write that port, or redis:// where \
                      nobody else is in the network";
const TRUST: &str = "name the certificate of the authority that signed the server's in `counters.ca_file`";
const OTHER_NAME: &str =
    "write a name that the certificate has into `counters.redis`, or give the server one for this name";
const RENEW: &str = "give the server a certificate that is valid now, and see that both clocks are right";
const CERTIFICATE: &str =
    "give the server a certificate that its clients can verify, and the authority in `counters.ca_file`";
const PROVE: &str =
    "it may want a certificate of its clients, which Narrows does not send: `tls-auth-clients no`";
const LOG_IN: &str = "see `counters.username` and `counters.password`, and that the user is on there";
const LET_DO: &str = "let the user do what docs/budgets.md lists for it";
const PRIMARY: &str = "it is a replica: name the primary in `counters.redis`";
const WAIT: &str = "see Redis's own log, and its memory and disk";

impl Failed {
    /// What an operator does about it. `is_tls` says how Redis was asked.
    pub(super) fn advice(&self, is_tls: bool) -> &'static str {
        match self {
            Failed::Redis(error) => of_redis(error, is_tls),
            Failed::Late if is_tls => START_TLS,
            Failed::Away | Failed::Late => START,
            Failed::Strange(_) => {
                "see that it is a Redis of version 6.2 or later, or Valkey, and no gateway of another version uses it"
            }
        }
    }
}

fn of_redis(error: &RedisError, is_tls: bool) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => LOG_IN,
        ErrorKind::Server(ServerErrorKind::NoPerm) => LET_DO,
        ErrorKind::Server(ServerErrorKind::ReadOnly) => PRIMARY,
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => LOG_IN,
        _ if error.code() == Some("NOPERM") => LET_DO,
        _ if error.code().is_some() => WAIT,
        _ => tls(error).map_or_else(|| of_wire(error, is_tls), of_tls),
    }
}

/// What went wrong on the way, where no server has said it.
fn of_wire(error: &RedisError, is_tls: bool) -> &'static str {
    let is_cut = error.is_connection_dropped() && !error.is_connection_refusal();
    match (is_tls, is_cut) {
        (true, true) => PROVE,
        (true, false) => START_TLS,
        (false, true) => MAYBE_TLS,
        (false, false) => START,
    }
}

/// The fault of TLS inside of what Redis's client says.
fn tls(error: &RedisError) -> Option<&TlsError> {
    type Shared = Arc<dyn StdError + Send + Sync>;
    let source = error.source()?;
    let io = match source.downcast_ref::<Shared>() {
        Some(shared) => shared.downcast_ref::<std::io::Error>(),
        None => source.downcast_ref::<std::io::Error>(),
    };
    io?.get_ref()?.downcast_ref::<TlsError>()
}

fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            TRUST
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => OTHER_NAME,
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => RENEW,
        TlsError::InvalidCertificate(_) => CERTIFICATE,
        TlsError::AlertReceived(_) => PROVE,
        _ => NO_TLS,
    }
}
