//! Listeners: accept, end TLS, hand the connection to the one [`HttpProxy`](pingora_proxy::HttpProxy).

pub(crate) mod accept;
pub(crate) mod conn;
pub(crate) mod tls;
