//! What one configured provider charges: its list prices, times a factor, and prices of its own before them.

use crate::cost::{Cost, Factor};
use crate::price::{Mode, Price};
use crate::price_table::{Models, PriceTable};
use crate::usage::Usage;
use std::sync::Arc;

/// Where list prices are.
#[derive(Debug, Clone)]
pub enum Source {
    /// Here.
    Ready(Arc<PriceTable>),
    /// To be made ready when they are first asked for; cheap after that.
    Lazy(fn() -> &'static PriceTable),
}

impl Source {
    fn table(&self) -> &PriceTable {
        match self {
            Source::Ready(table) => table,
            Source::Lazy(table) => table(),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Source::Ready(Arc::default())
    }
}

/// Prices of one provider of a configuration. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tariff {
    table: Source,
    provider: Arc<str>,
    factor: Factor,
    own: Arc<Models>,
}

impl Tariff {
    /// The list prices that `table` has under the word `provider`, times `factor`; before them `own` ones, which are
    /// taken as they are.
    pub fn new(table: Source, provider: Arc<str>, factor: Factor, own: Models) -> Tariff {
        Tariff { table, provider, factor, own: Arc::new(own) }
    }

    /// What a model costs at a time, in UTC microseconds since the epoch, in a mode (`None` for the ordinary one).
    /// `None` when that is not known. Does not allocate.
    pub fn quote(&self, model: &str, mode: Option<Mode>, at_us: i64) -> Option<Quote<'_>> {
        if let Some(own) = self.own.model(model) {
            return own.price(mode, at_us).map(|price| Quote { price, factor: Factor::ONE });
        }
        let price = self.table.table().model(&self.provider, model)?.price(mode, at_us)?;
        Some(Quote { price, factor: self.factor })
    }
}

/// A price, and what it is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'a> {
    /// The price.
    pub price: &'a Price,
    /// What it is multiplied with.
    pub factor: Factor,
}

impl Quote<'_> {
    /// As [`Price::cost`], times the factor.
    pub fn cost(&self, usage: &Usage) -> Cost {
        self.price.cost_at(usage, self.factor)
    }

    /// As [`Price::upper_bound`].
    pub fn upper_bound(&self, input: u64, output: u64, audio: bool) -> Cost {
        self.price.upper_bound(input, output, audio, self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price_file::{ModelPrices, PriceFile};

    fn tariff() -> Tariff {
        let file: PriceFile = serde_json::from_str(
            r#"{"format":1,"source":"test","date":"2026-11-26","providers":[{"id":"openai","models":[
                {"id":"a","prices":[{"rates":{"input":"2","output":"4"}}]},
                {"id":"b","prices":[{"rates":{"input":"2","output":"4"}}]}]}]}"#,
        )
        .unwrap();
        let own: Vec<ModelPrices> =
            serde_json::from_str(r#"[{"id":"b","prices":[{"rates":{"input":"1"}}]}]"#).unwrap();
        let table = Arc::new(PriceTable::new(&file).unwrap());
        let own = Models::new("mine", &own).unwrap();
        Tariff::new(Source::Ready(table), "openai".into(), Factor::from_millionths(850_000).unwrap(), own)
    }

    #[test]
    fn a_discount_is_taken_from_list_prices_and_not_from_ones_own() {
        let usage = Usage { input_uncached: Some(10), ..Usage::default() };
        let of = |model| tariff().quote(model, None, 0).map(|quote| quote.cost(&usage));
        assert_eq!(of("a"), Some(Cost::NanoUsd(17_000)));
        assert_eq!(of("b"), Some(Cost::NanoUsd(10_000)));
        assert_eq!(of("c"), None);
        assert_eq!(tariff().quote("a", None, 0).unwrap().upper_bound(10, 10, false), Cost::NanoUsd(51_000));
    }

    #[test]
    fn a_price_of_ones_own_hides_the_list_price_in_every_mode() {
        assert_eq!(tariff().quote("b", Some(Mode::Batch), 0), None);
    }
}
