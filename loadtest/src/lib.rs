//! Load generator and side-by-side comparison for any gateway.

pub mod bodies;
pub mod client;
pub mod compare;
pub mod drive;
pub mod exchange;
pub mod faults;
pub mod gateway;
pub mod idle;
pub mod inspect;
pub mod machine;
pub mod mix;
pub mod replay;
pub mod report;
pub mod response;
pub mod run;
pub mod scenario;
pub mod soak;
pub mod stats;
pub mod threshold;
pub mod tls;
