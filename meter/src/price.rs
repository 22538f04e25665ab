//! What usage costs at one price.

use crate::cost::{Cost, Factor};
use crate::unit_price::{PerToken, Rates, UnitPrice};
use crate::usage::Usage;
use serde::{Deserialize, Serialize};

/// How a provider works on a request, where that changes the price. One closed list for files and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Within hours, as one of many (OpenAI and Anthropic batches).
    Batch,
    /// When there is room (OpenAI's `service_tier: flex`).
    Flex,
    /// Before others (`service_tier: priority`).
    Priority,
    /// On faster machines (OpenAI's `service_tier: fast`, Anthropic's `speed: fast`).
    Fast,
    /// With capacity that was paid before (OpenAI's scale tier, Google's provisioned throughput).
    Provisioned,
    /// In a way that this program does not know.
    Other,
}

impl Mode {
    /// Every mode, in order of declaration.
    pub const ALL: [Mode; 6] =
        [Mode::Batch, Mode::Flex, Mode::Priority, Mode::Fast, Mode::Provisioned, Mode::Other];

    /// The stable word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Batch => "batch",
            Mode::Flex => "flex",
            Mode::Priority => "priority",
            Mode::Fast => "fast",
            Mode::Provisioned => "provisioned",
            Mode::Other => "other",
        }
    }
}

/// Prices of long prompts: they hold for the *whole* request when its prompt, cached tokens included, is strictly
/// longer than `tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The longest prompt, in tokens, for which they do not hold.
    pub tokens: u64,
    /// In files only those that differ; in a [`Price`] all.
    pub rates: Rates,
}

/// Most tiers of one price.
pub const TIERS_MAX: usize = 8;

/// What one model costs at one provider, at one time, in one mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    base: Rates,
    /// By length of prompt, ascending.
    tiers: Box<[Tier]>,
}

impl Price {
    /// A price whose `tiers` name what differs from the tier before. `None` when there are more than [`TIERS_MAX`], or
    /// when their lengths do not ascend.
    pub fn new(base: Rates, tiers: &[Tier]) -> Option<Price> {
        let ascending = tiers.is_sorted_by(|one, next| one.tokens < next.tokens);
        if !ascending || tiers.len() > TIERS_MAX {
            return None;
        }
        let mut rates = base;
        let mut full = |tier: &Tier| {
            rates = rates.overlaid(&tier.rates);
            Tier { tokens: tier.tokens, rates }
        };
        let tiers = tiers.iter().map(&mut full).collect();
        Some(Price { base, tiers })
    }

    /// Prices for a prompt of `input` tokens.
    pub fn rates(&self, input: u64) -> &Rates {
        self.tiers.iter().rev().find(|tier| input > tier.tokens).map_or(&self.base, |tier| &tier.rates)
    }

    /// Prices for longer prompts, by length of prompt, ascending.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    /// This price with what `newer` names in place of its own, at every length of prompt.
    #[must_use]
    pub fn overlaid(&self, newer: &Price) -> Price {
        let mut lengths: Vec<u64> = self.tiers.iter().chain(&*newer.tiers).map(|tier| tier.tokens).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let tier = |tokens: u64| {
            let above = tokens.saturating_add(1);
            Tier { tokens, rates: self.rates(above).overlaid(newer.rates(above)) }
        };
        Price { base: self.base.overlaid(&newer.base), tiers: lengths.into_iter().map(tier).collect() }
    }

    /// What `usage` costs. [`Cost::Unknown`] when nothing of the usage is known, when a bucket that was used has no
    /// price, and when the sum is more than `u64` nano-dollars. A bucket of which nothing is known adds nothing.
    ///
    /// Where known, the cost never falls when a bucket grows, and is within half a nano-dollar of the exact one.
    pub fn cost(&self, usage: &Usage) -> Cost {
        self.cost_at(usage, Factor::ONE)
    }

    /// As [`cost`](Price::cost), times `factor`; rounded once, after all.
    pub fn cost_at(&self, usage: &Usage, factor: Factor) -> Cost {
        Cost::of_pico_usd(self.pico_usd(usage), factor)
    }

    /// The most that a request can cost whose prompt has at most `input` tokens and whose answer has at most `output`,
    /// whatever its tokens turn out to be: each at the dearest price that any such token has, in any tier up to that
    /// length. Tokens of audio count only with `audio`, and searches that the provider makes do not. Unknown when
    /// there is no price for plain tokens. Times `factor`.
    pub fn upper_bound(&self, input: u64, output: u64, audio: bool, factor: Factor) -> Cost {
        let reached = self.tiers.iter().filter(|tier| input > tier.tokens).map(|tier| &tier.rates);
        let bounds =
            std::iter::once(&self.base).chain(reached).map(|rates| rates.bound(input, output, audio));
        // An option that is `None` is the smallest, so one unknown bound must be looked for.
        let bound = bounds.reduce(|one, other| one.zip(other).map(|(one, other)| one.max(other)));
        Cost::of_pico_usd(bound.flatten(), factor)
    }

    fn pico_usd(&self, usage: &Usage) -> Option<u128> {
        if usage.is_unknown() {
            return None;
        }
        let rates = self.rates(usage.input().unwrap_or(0));
        let tokens = [
            (usage.input_uncached, rates.input),
            (usage.cache_read, rates.cache_read),
            (usage.cache_write_5m, rates.cache_write_5m),
            (usage.cache_write_1h, rates.cache_write_1h),
            (usage.output_text, rates.output),
            (usage.reasoning, rates.reasoning()),
            (usage.audio_in, rates.audio_in),
            (usage.audio_out, rates.audio_out),
        ];
        let searches = product(usage.web_searches.unwrap_or(0), rates.web_search)?;
        let fees = searches + rates.request.map_or(0, |fee| u128::from(fee.pico_usd()));
        // Prices are at most 10^15 and buckets less than 2^64, so that ten of these products are below 2^128.
        tokens.into_iter().try_fold(fees, |sum, (used, rate)| Some(sum + product(used.unwrap_or(0), rate)?))
    }
}

/// What `used` units cost: nothing when none were used, even where the price is not known.
fn product<const DECIMALS: u32>(used: u64, rate: Option<UnitPrice<DECIMALS>>) -> Option<u128> {
    match used {
        0 => Some(0),
        _ => rate.map(|rate| u128::from(used) * u128::from(rate.pico_usd())),
    }
}

impl Rates {
    /// Every token at the dearest price that it can have; `None` when plain tokens have none.
    fn bound(&self, input: u64, output: u64, audio: bool) -> Option<u128> {
        let heard = self.audio_in.filter(|_| audio);
        let spoken = self.audio_out.filter(|_| audio);
        let prompt = [self.cache_read, self.cache_write_5m, self.cache_write_1h, heard];
        let answer = [self.reasoning, spoken];
        let dearest = |plain: Option<PerToken>, others: &[Option<PerToken>]| {
            plain.map(|plain| others.iter().flatten().fold(plain, |dearest, rate| dearest.max(*rate)))
        };
        let prompt = product(input, dearest(self.input, &prompt))?;
        let answer = product(output, dearest(self.output, &answer))?;
        Some(prompt + answer + self.request.map_or(0, |fee| u128::from(fee.pico_usd())))
    }
}

#[cfg(test)]
mod tests;
