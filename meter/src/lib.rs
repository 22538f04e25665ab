//! Usage, its origin, money, and the limits of all three.
//!
//! This crate adds integers. It knows no text, no provider and no storage; a table of prices has words for providers
//! and models, and knows nothing of what they stand for. Token buckets are *exclusive*
//! (nothing is counted in two of them); every inclusive total is derived. An absent figure is `None`, which
//! is not zero: a provider that says `0` and a provider that says nothing are different facts.

pub mod budget;
pub mod cost;
pub mod decimal;
pub mod price;
pub mod price_file;
mod price_match;
pub mod price_table;
pub mod rate;
pub mod tariff;
pub mod unit_price;
pub mod usage;
pub mod window;

pub use budget::{Budget, Spending};
pub use cost::{Cost, Factor};
pub use price::{Mode, Price, Tier};
pub use price_file::PriceFile;
pub use price_table::PriceTable;
pub use rate::{Rate, RateLimit};
pub use tariff::{Quote, Tariff};
pub use unit_price::{Each, PerToken, Rates};
pub use usage::{Origin, Usage};
pub use window::{Calendar, Period, Sliding, Span, Window};
