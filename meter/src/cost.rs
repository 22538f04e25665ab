//! Money as integer nano-dollars.

use serde::{Deserialize, Serialize};

/// What an exchange cost. An unknown price is [`Cost::Unknown`], never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<u64>", into = "Option<u64>")]
pub enum Cost {
    /// No price applies to what was used, or the usage itself is not known.
    #[default]
    Unknown,
    /// Exact cost in nano-dollars (10⁻⁹ USD).
    NanoUsd(u64),
}

impl Cost {
    /// The amount in nano-dollars, or `None` when the cost is not known.
    pub fn nano_usd(self) -> Option<u64> {
        match self {
            Cost::Unknown => None,
            Cost::NanoUsd(amount) => Some(amount),
        }
    }
}

impl From<Option<u64>> for Cost {
    fn from(amount: Option<u64>) -> Self {
        amount.map_or(Cost::Unknown, Cost::NanoUsd)
    }
}

impl From<Cost> for Option<u64> {
    fn from(cost: Cost) -> Self {
        cost.nano_usd()
    }
}
