//! What the bytes of model APIs mean: dialects, providers, stream machines.
//!
//! Pure: bytes and values in, values out. No sockets, files, clocks, environment, async or logging.

pub mod deltas;
pub mod dialect;

// The request's side: paths, bodies, error shapes, providers as data.
pub mod client;
pub mod endpoint;
pub mod fault;
pub(crate) mod instant;
pub mod models;
pub mod paths;
pub mod provider;
pub mod request;
pub mod retry_hint;
pub mod sign;

// The answer's side: stream machines and unary usage.
pub mod fuzzing;
pub mod realtime;
pub mod recording;
pub mod stream;
pub mod texts;
pub mod unary;

pub use dialect::{Dialect, Family};
