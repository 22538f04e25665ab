//! Records, virtual keys and aggregates on disk.

pub mod record;

pub use record::{Attempt, Record};
