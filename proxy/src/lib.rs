//! Narrows: the AI gateway.
//!
//! The only crate that knows Pingora, and that awaits on behalf of a request. An exchange is the nine steps of
//! `exchange/`; everything they share is in `gateway.rs`; `server.rs` starts and stops it.

pub mod prices;

pub mod config;

pub(crate) mod buffers;
pub(crate) mod id;
pub(crate) mod net;
pub(crate) mod notify;
pub(crate) mod overload;
pub(crate) mod reach;
pub(crate) mod room;
pub(crate) mod tokens;
pub mod upstream;

pub mod fuzzing;

pub(crate) mod fetch;
pub(crate) mod place;
pub(crate) mod targets;

pub(crate) mod alerts;
pub(crate) mod content;
pub(crate) mod credentials;
pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod live;

pub(crate) mod snapshot;
pub(crate) mod telemetry;

pub(crate) mod configuration;
pub(crate) mod downstream;
pub(crate) mod gateway;

pub(crate) mod exchange;
pub(crate) mod respond;

pub(crate) mod glue;
pub(crate) mod listen;

pub(crate) mod reload;

pub(crate) mod admin;
pub mod server;

pub(crate) mod connect;

pub mod cli;
