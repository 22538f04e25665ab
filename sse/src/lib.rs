//! Server-sent event framing: any split, any line ending, no copies.
//!
//! The grammar is WHATWG HTML, "Server-sent events" (section 9.2.6, seen 2026-11). One deviation, made for metering: an
//! event still pending when the stream ends is not discarded but offered as incomplete (see
//! [`Frame::is_incomplete`]).

pub mod frame;
pub mod framer;
pub mod fuzzing;
pub mod write;

pub use frame::Frame;
pub use framer::{DEFAULT_CARRY_LIMIT, Framer};
