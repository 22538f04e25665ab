//! Load generator and side-by-side comparison for any gateway.

pub mod bodies;
pub mod client;
pub mod compare;
pub mod drive;
pub mod idle;
pub mod inspect;
pub mod machine;
pub mod report;
pub mod response;
pub mod run;
pub mod scenario;
pub mod stats;
pub mod threshold;
pub mod tls;
