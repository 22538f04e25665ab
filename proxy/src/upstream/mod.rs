//! The way to a provider: names, connections, the wire.
//!
//! Connections are our own rather than Pingora's because the relay is what Narrows exists for: a request's head
//! and body leave in one vectored write, chunks that are already readable arrive joined, an idle connection costs
//! neither a watcher task nor a `getpeername` when it is used again, and trust is decided for each provider.

pub mod body;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod dns;
mod egress;
pub(crate) mod h1;
pub(crate) mod h2;
pub(crate) mod head;
pub(crate) mod pool;
mod trailers;

use narrows_policy::Reason;

/// Why an attempt at a provider failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The provider's name could not be resolved.
    #[error("the name {host} could not be resolved: {cause}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// No connection could be made.
    #[error("no connection could be made: {0}")]
    Connect(std::io::Error),
    /// Connecting took longer than the connect time-out.
    #[error("no connection was made within {0:?}")]
    ConnectTimeout(std::time::Duration),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(std::io::Error),
    /// The proxy on the way to the provider could not be reached, or refused.
    #[error("the egress proxy {proxy} cannot be used: {cause}")]
    Proxy {
        /// Its URL, without user and password.
        proxy: std::sync::Arc<str>,
        /// What went wrong between us and it.
        cause: String,
    },
    /// The TLS handshake with the provider failed, beyond a proxy that had connected.
    #[error("the TLS handshake with the provider, through the egress proxy {proxy}, failed: {error}")]
    TlsThrough {
        /// The proxy's URL, without user and password.
        proxy: std::sync::Arc<str>,
        /// What went wrong.
        error: std::io::Error,
    },
    /// Writing the request failed.
    #[error("the request could not be written: {0}")]
    Write(std::io::Error),
    /// The connection closed or broke before the answer was complete.
    #[error("the provider closed the connection before its answer was complete")]
    Cut,
    /// The provider said that it did not begin work on the request (HTTP/2: a refused stream, a connection that is
    /// going away). It is safe to send it again.
    #[error("the provider did not begin work on the request: {0}")]
    NotBegun(String),
    /// The provider wants this request over HTTP/1.1 (RFC 9113 §7, `HTTP_1_1_REQUIRED`), and did not begin work on it.
    #[error("the provider wants HTTP/1.1")]
    WantsH1,
    /// Every connection that may be made is in use by as many exchanges as it takes. Nothing was sent.
    #[error("all of the {0} connections that the gateway makes to it are in use")]
    Full(usize),
    /// The request cannot be said in the provider's version of HTTP. Nothing was sent, and asking again is no use.
    #[error("the request cannot be said in HTTP/2: {0}")]
    Unsayable(&'static str),
    /// The provider gave the request up (HTTP/2).
    #[error("the provider reset the stream: {0}")]
    Reset(String),
    /// A connection that several requests waited for could not be made.
    #[error(transparent)]
    Shared(std::sync::Arc<Fault>),
    /// The answer is not valid HTTP.
    #[error("the provider's answer is not valid HTTP: {0}")]
    Protocol(String),
}

impl Fault {
    /// Whether there was no connection, so that nothing was sent.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            Fault::Dns { .. }
            | Fault::Connect(_)
            | Fault::ConnectTimeout(_)
            | Fault::Tls(_)
            | Fault::TlsThrough { .. }
            | Fault::Proxy { .. } => true,
            Fault::Shared(fault) => fault.is_unreachable(),
            Fault::Write(_)
            | Fault::Cut
            | Fault::NotBegun(_)
            | Fault::WantsH1
            | Fault::Full(_)
            | Fault::Unsayable(_)
            | Fault::Reset(_)
            | Fault::Protocol(_) => false,
        }
    }

    /// Whether the provider did not begin work on the request: it could not be reached, or says so.
    pub(crate) fn is_declined(&self) -> bool {
        match self {
            Fault::NotBegun(_) | Fault::WantsH1 | Fault::Full(_) | Fault::Unsayable(_) => true,
            Fault::Shared(fault) => fault.is_declined(),
            fault => fault.is_unreachable(),
        }
    }

    /// The closed word for it.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Fault::Dns { .. } => Reason::ProviderDns,
            Fault::Connect(_) | Fault::ConnectTimeout(_) | Fault::Full(_) => Reason::ProviderConnect,
            Fault::Tls(_) | Fault::TlsThrough { .. } => Reason::ProviderTls,
            Fault::Proxy { .. } => Reason::EgressProxy,
            Fault::Write(_) | Fault::Cut | Fault::NotBegun(_) | Fault::WantsH1 | Fault::Reset(_) => {
                Reason::ProviderCut
            }
            Fault::Shared(fault) => fault.reason(),
            Fault::Unsayable(_) => Reason::HeadAmbiguous,
            Fault::Protocol(_) => Reason::ProviderProtocol,
        }
    }
}
