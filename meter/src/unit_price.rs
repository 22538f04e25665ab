//! What one unit of each kind costs.

use crate::decimal;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A price of one unit in pico-dollars (10⁻¹² USD), at most [`RATE_MAX_PICO_USD`]. In files it is a decimal string
/// with up to `DECIMALS` digits after the point, so that what is written is what is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice<const DECIMALS: u32>(u64);

/// A token's price; in files US dollars per million tokens, which is what providers publish.
pub type PerToken = UnitPrice<6>;
/// The price of one request or search; in files US dollars.
pub type Each = UnitPrice<12>;

/// The largest price of a unit, in pico-dollars: a billion dollars per million tokens, a thousand dollars per request.
/// With it, the sum over all buckets of any usage fits in 128 bits.
pub const RATE_MAX_PICO_USD: u64 = 1_000_000_000_000_000;

impl<const DECIMALS: u32> UnitPrice<DECIMALS> {
    /// A price in pico-dollars per unit; `None` above [`RATE_MAX_PICO_USD`].
    pub fn from_pico_usd(pico_usd: u64) -> Option<Self> {
        (pico_usd <= RATE_MAX_PICO_USD).then_some(UnitPrice(pico_usd))
    }

    /// A price as it stands in a file.
    ///
    /// # Errors
    /// When it is no decimal number of at most `DECIMALS` digits after the point, or larger than a price may be.
    pub fn parse(text: &str) -> Result<Self, decimal::DecimalError> {
        let pico_usd = decimal::scaled(text, DECIMALS)?;
        Self::from_pico_usd(pico_usd).ok_or(decimal::DecimalError::TooLarge)
    }

    /// In pico-dollars per unit.
    pub fn pico_usd(self) -> u64 {
        self.0
    }
}

impl<const DECIMALS: u32> fmt::Display for UnitPrice<DECIMALS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal::text(self.0, DECIMALS))
    }
}

impl<const DECIMALS: u32> Serialize for UnitPrice<DECIMALS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const DECIMALS: u32> Deserialize<'de> for UnitPrice<DECIMALS> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::<DECIMALS>)
    }
}

struct Text<const DECIMALS: u32>;

impl<const DECIMALS: u32> Visitor<'_> for Text<DECIMALS> {
    type Value = UnitPrice<DECIMALS>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price as a decimal string, such as \"0.15\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        UnitPrice::parse(text).map_err(|fault| E::custom(format_args!("price {text:?}: {fault}")))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }
}

/// Prices of everything a request can use. `None` is "not known", which makes the cost of a request that uses it
/// unknown; a price of zero is a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// A prompt token that was neither read from nor written to a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<PerToken>,
    /// A prompt token read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PerToken>,
    /// A prompt token written to a cache for five minutes, or for an unnamed time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PerToken>,
    /// A prompt token written to a cache for an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PerToken>,
    /// A generated token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PerToken>,
    /// A generated reasoning token. Where it has no price of its own it is a generated token like any other: that is
    /// how every provider that reports them bills them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PerToken>,
    /// An audio token in the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_in: Option<PerToken>,
    /// A generated audio token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_out: Option<PerToken>,
    /// A web search that the provider made for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_search: Option<Each>,
    /// A request, whatever it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Each>,
}

impl Rates {
    /// `newer` laid over `self`: what it names replaces ours, the rest stays.
    #[must_use]
    pub fn overlaid(&self, newer: &Rates) -> Rates {
        Rates {
            input: newer.input.or(self.input),
            cache_read: newer.cache_read.or(self.cache_read),
            cache_write_5m: newer.cache_write_5m.or(self.cache_write_5m),
            cache_write_1h: newer.cache_write_1h.or(self.cache_write_1h),
            output: newer.output.or(self.output),
            reasoning: newer.reasoning.or(self.reasoning),
            audio_in: newer.audio_in.or(self.audio_in),
            audio_out: newer.audio_out.or(self.audio_out),
            web_search: newer.web_search.or(self.web_search),
            request: newer.request.or(self.request),
        }
    }

    /// What a reasoning token costs.
    pub fn reasoning(&self) -> Option<PerToken> {
        self.reasoning.or(self.output)
    }

    /// Every price that is known, with its name in files, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, String)> {
        let token = |name, rate: Option<PerToken>| rate.map(|rate| (name, rate.to_string()));
        let each = |name, rate: Option<Each>| rate.map(|rate| (name, rate.to_string()));
        [
            token("input", self.input),
            token("cache_read", self.cache_read),
            token("cache_write_5m", self.cache_write_5m),
            token("cache_write_1h", self.cache_write_1h),
            token("output", self.output),
            token("reasoning", self.reasoning),
            token("audio_in", self.audio_in),
            token("audio_out", self.audio_out),
            each("web_search", self.web_search),
            each("request", self.request),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether no price is known.
    pub fn is_empty(&self) -> bool {
        *self == Rates::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_strings_and_nothing_else() {
        let rates: Rates = serde_json::from_str(r#"{"input":"0.15","request":"0.005"}"#).unwrap();
        assert_eq!(rates.input.map(UnitPrice::pico_usd), Some(150_000));
        assert_eq!(rates.request.map(UnitPrice::pico_usd), Some(5_000_000_000));
        assert_eq!(serde_json::to_string(&rates).unwrap(), r#"{"input":"0.15","request":"0.005"}"#);
        for wrong in [r#"{"input":0.15}"#, r#"{"input":1}"#, r#"{"inputs":"1"}"#, r#"{"input":"0.0000001"}"#]
        {
            assert!(serde_json::from_str::<Rates>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prices_have_a_limit() {
        assert!(PerToken::parse("1000000000").is_ok());
        assert!(PerToken::parse("1000000000.000001").is_err());
        assert!(Each::from_pico_usd(RATE_MAX_PICO_USD).is_some());
        assert!(Each::from_pico_usd(RATE_MAX_PICO_USD + 1).is_none());
    }

    #[test]
    fn names_in_files_and_in_lists_are_the_same() {
        let mut rates = Rates::default();
        let names =
            ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "audio_in"];
        let names: Vec<_> = names.into_iter().chain(["audio_out", "web_search", "request"]).collect();
        for name in &names {
            let one: Rates = serde_json::from_str(&format!(r#"{{"{name}":"1"}}"#)).unwrap();
            assert_eq!(one.entries().collect::<Vec<_>>(), [(*name, "1".to_owned())]);
            rates = rates.overlaid(&one);
        }
        assert_eq!(rates.entries().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(rates.overlaid(&Rates::default()), rates);
    }
}
