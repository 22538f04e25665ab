//! Listeners: accept, end TLS, serve.

pub(crate) mod accept;
pub(crate) mod conn;
pub(crate) mod h2;
mod proxy_protocol;
pub(crate) mod serve;
pub(crate) mod tls;
