//! Usage, its origin, money, and the limits of all three.
//!
//! This crate adds integers. It knows no text, no provider and no storage. Token buckets are *exclusive*
//! (nothing is counted in two of them); every inclusive total is derived. An absent figure is `None`, which
//! is not zero: a provider that says `0` and a provider that says nothing are different facts.

pub mod budget;
pub mod cost;
pub mod rate;
pub mod usage;
pub mod window;

pub use budget::{Budget, Spending};
pub use cost::Cost;
pub use rate::{Rate, RateLimit};
pub use usage::{Origin, Usage};
pub use window::{Calendar, Period, Sliding, Span, Window};
