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
    /// What costs nothing, known to do so.
    pub const ZERO: Cost = Cost::NanoUsd(0);

    /// The amount in nano-dollars, or `None` when the cost is not known.
    pub fn nano_usd(self) -> Option<u64> {
        match self {
            Cost::Unknown => None,
            Cost::NanoUsd(amount) => Some(amount),
        }
    }

    /// Pico-dollars times `factor`, rounded once: to the nearest nano-dollar, a half upwards. Unknown when it is more
    /// than `u64` nano-dollars, eighteen billion dollars: no exchange costs that, so a figure in it must be wrong.
    pub(crate) fn of_pico_usd(pico_usd: Option<u128>, factor: Factor) -> Cost {
        let scaled = pico_usd.and_then(|sum| sum.checked_mul(u128::from(factor.millionths)));
        let rounded = scaled.and_then(|scaled| scaled.checked_add(NANO_IN_SCALED / 2));
        rounded.and_then(|scaled| u64::try_from(scaled / NANO_IN_SCALED).ok()).into()
    }
}

/// Millionths of a pico-dollar in a nano-dollar.
const NANO_IN_SCALED: u128 = 1_000_000_000;

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

/// What a price is multiplied with: a negotiated discount is below one. At most [`Factor::MAX`], in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor {
    millionths: u32,
}

impl Factor {
    /// The list price.
    pub const ONE: Factor = Factor { millionths: 1_000_000 };
    /// The largest: a thousand times the list price.
    pub const MAX: Factor = Factor { millionths: 1_000_000_000 };

    /// A factor in millionths; `None` when it is larger than [`Factor::MAX`].
    pub fn from_millionths(millionths: u32) -> Option<Factor> {
        Some(Factor { millionths }).filter(|factor| *factor <= Factor::MAX)
    }

    /// In millionths.
    pub fn millionths(self) -> u32 {
        self.millionths
    }
}

impl Default for Factor {
    fn default() -> Self {
        Factor::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_and_happens_once() {
        let cost = |pico, factor| Cost::of_pico_usd(Some(pico), Factor::from_millionths(factor).unwrap());
        assert_eq!(cost(499, 1_000_000), Cost::NanoUsd(0));
        assert_eq!(cost(500, 1_000_000), Cost::NanoUsd(1));
        assert_eq!(cost(1_499, 1_000_000), Cost::NanoUsd(1));
        // 2,998 × 0.5 = 1,499: rounding before the factor would make 1.5 and then 2 of it.
        assert_eq!(cost(2_998, 500_000), Cost::NanoUsd(1));
        assert_eq!(cost(u128::from(u64::MAX), 0), Cost::ZERO);
    }

    #[test]
    fn more_than_fits_is_unknown_and_never_wraps() {
        let largest = u128::from(u64::MAX) * 1_000;
        assert_eq!(Cost::of_pico_usd(Some(largest), Factor::ONE), Cost::NanoUsd(u64::MAX));
        assert_eq!(Cost::of_pico_usd(Some(largest + 500), Factor::ONE), Cost::Unknown);
        assert_eq!(Cost::of_pico_usd(Some(u128::MAX), Factor::ONE), Cost::Unknown);
        assert_eq!(Cost::of_pico_usd(None, Factor::ONE), Cost::Unknown);
    }

    #[test]
    fn factors_have_a_limit() {
        assert_eq!(Factor::from_millionths(1_000_000_000), Some(Factor::MAX));
        assert_eq!(Factor::from_millionths(1_000_000_001), None);
    }
}
