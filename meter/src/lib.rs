//! Usage, its origin, and money.
//!
//! This crate adds integers. It knows no text, no provider and no storage. Token buckets are *exclusive*
//! (nothing is counted in two of them); every inclusive total is derived. An absent figure is `None`, which
//! is not zero: a provider that says `0` and a provider that says nothing are different facts.

pub mod cost;
pub mod usage;

pub use cost::Cost;
pub use usage::{Origin, Usage};
