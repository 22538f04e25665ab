//! Why no connection comes about, and what to do about it.

use crate::db::Error;
use rustls::{CertificateError, Error as TlsError};
use std::error::Error as StdError;
use tokio_postgres::error::SqlState;

/// What `tokio-postgres` says where a server refuses TLS: it has no kind of its own for it.
const NO_TLS: &str = "server does not support TLS";

const START: &str = "see that the server runs, and that nothing on the way keeps it from here";
const TURN_TLS_ON: &str = "turn TLS on at the server (`ssl = on`), or write `tls: off` for the store where nobody else is in \
                           the network";
const TRUST: &str = "name the certificate of the authority that signed the server's in the store's `ca_file`";
const OTHER_NAME: &str =
    "write a name that the certificate has into the store's address, or give the server one for this name";
const RENEW: &str = "give the server a certificate that is valid now, and see that both clocks are right";
const CERTIFICATE: &str =
    "give the server a certificate that its clients can verify, and the authority in the store's `ca_file`";
const HANDSHAKE: &str = "see that PostgreSQL answers at this port, with TLS 1.2 or 1.3";
const LOG_IN: &str = "see the store's `username` and `password`";
const LET_IN: &str = "see that the server's pg_hba.conf lets this user into this database from here";
const ASK_FOR_TLS: &str = "see that the server's pg_hba.conf lets this user into this database from here; where it asks for TLS, \
                           write `tls: verify-full` for the store";
const CREATE: &str = "create it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0";
const MORE: &str = "raise the server's `max_connections`, or end what holds them";
const AGAIN: &str = "try again when it is ready";

/// What is said when a connection over TLS, or without it, did not come about.
pub(super) fn unreachable(error: &tokio_postgres::Error, is_tls: bool) -> Error {
    Error::Unreachable { cause: chain(error), advice: advice(error, is_tls) }
}

/// An error and what caused it, in a line.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said.push_str(": ");
        said.push_str(&cause.to_string());
        next = cause.source();
    }
    said
}

fn advice(error: &tokio_postgres::Error, is_tls: bool) -> &'static str {
    if let Some(told) = error.code() {
        return of_code(told, is_tls);
    }
    let Some(source) = error.source() else { return START };
    if source.to_string() == NO_TLS {
        return TURN_TLS_ON;
    }
    match source.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => inner.downcast_ref::<TlsError>().map_or(START, of_tls),
        None if error.to_string().starts_with("invalid configuration") => LOG_IN,
        None => START,
    }
}

fn of_code(code: &SqlState, is_tls: bool) -> &'static str {
    match *code {
        SqlState::INVALID_PASSWORD => LOG_IN,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if is_tls => LET_IN,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => ASK_FOR_TLS,
        SqlState::INVALID_CATALOG_NAME => CREATE,
        SqlState::TOO_MANY_CONNECTIONS => MORE,
        SqlState::CANNOT_CONNECT_NOW => AGAIN,
        _ => LET_IN,
    }
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
        _ => HANDSHAKE,
    }
}
