//! Load generator and side-by-side comparison for any gateway.

pub mod bodies;
pub mod client;
pub mod compare;
pub mod drive;
pub mod inspect;
pub mod machine;
pub mod response;
pub mod scenario;
pub mod stats;
