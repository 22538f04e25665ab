//! The house keeps to its plan: who imports whom, what the pure crates may touch, what may be depended on, what the
//! documentation promises.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod capabilities;
mod dependencies;
mod edges;
mod purity;
mod repository;
mod workspace;
