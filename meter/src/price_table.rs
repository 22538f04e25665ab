//! Prices made ready to be looked up: exact names by hash, patterns by what they say.

use crate::price::{Mode, Price};
use crate::price_file::{
    Date, FORMAT, Hours, MODELS_MAX, ModelPrices, NAME_MAX_BYTES, PATTERNS_MAX, PRICES_MAX, PROVIDERS_MAX,
    PriceEntry, PriceFile, ProviderPrices,
};
use crate::price_match::{Lower, Pattern};
use std::collections::HashMap;

/// What is wrong with prices that were read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct PriceError {
    /// Where: provider and model.
    pub place: String,
    /// What.
    pub fault: &'static str,
}

/// Prices of models at providers. Immutable.
#[derive(Debug, Default)]
pub struct PriceTable {
    providers: Vec<Provider>,
    by_id: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
struct Provider {
    models: Models,
    /// Places of those whose prices hold where it has none.
    fallback: Vec<usize>,
}

impl PriceTable {
    /// A table of what a file says.
    ///
    /// # Errors
    /// When the file is of another format, names something twice, or goes past a limit.
    pub fn new(file: &PriceFile) -> Result<PriceTable, PriceError> {
        let fault = |place: &str, fault| Err(PriceError { place: place.to_owned(), fault });
        if file.format != FORMAT {
            return fault("format", "a number this program does not know; it knows 1");
        }
        if file.providers.len() > PROVIDERS_MAX {
            return fault("providers", "more than 1,024");
        }
        let mut by_id = HashMap::with_capacity(file.providers.len());
        for (place, provider) in file.providers.iter().enumerate() {
            if provider.id.is_empty() || provider.id.len() > NAME_MAX_BYTES {
                return fault(&provider.id, "a provider's word is empty or longer than 256 bytes");
            }
            if by_id.insert(Box::from(provider.id.as_str()), place).is_some() {
                return fault(&provider.id, "the provider is there twice");
            }
        }
        let mut providers = Vec::with_capacity(file.providers.len());
        for ProviderPrices { id, fallback, models } in &file.providers {
            let places = fallback.iter().map(|other| by_id.get(other.as_str()).copied()).collect();
            let Some(fallback) = places else {
                return fault(id, "it falls back on a provider that is not there");
            };
            providers.push(Provider { models: Models::new(id, models)?, fallback });
        }
        Ok(PriceTable { providers, by_id })
    }

    /// The ordinary price of a model at a provider at a time, in UTC microseconds since the epoch. `None` when no rule
    /// names the model: its price is not known.
    pub fn resolve(&self, provider: &str, model: &str, at_us: i64) -> Option<&Price> {
        self.model(provider, model)?.price(None, at_us)
    }

    /// The model that a name stands for at a provider. An exact name counts before a pattern, a pattern that says more
    /// before one that says less, the provider's own models before those it falls back on. Does not allocate.
    pub fn model(&self, provider: &str, model: &str) -> Option<&Model> {
        let name = Lower::new(model)?;
        let provider = self.providers.get(*self.by_id.get(provider)?)?;
        provider.models.find(name.as_str()).or_else(|| {
            let mut others = provider.fallback.iter().filter_map(|place| self.providers.get(*place));
            others.find_map(|other| other.models.find(name.as_str()))
        })
    }

    /// Whether there is a provider with this word.
    pub fn knows(&self, provider: &str) -> bool {
        self.by_id.contains_key(provider)
    }

    /// How many models it has, over all providers.
    pub fn len(&self) -> usize {
        self.providers.iter().map(|provider| provider.models.models.len()).sum()
    }

    /// Whether it has no model.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Models of one provider.
#[derive(Debug, Default)]
pub struct Models {
    models: Vec<Model>,
    exact: HashMap<Box<str>, usize>,
    /// Those that say most first.
    patterns: Vec<(Pattern, usize)>,
}

/// One model's prices.
#[derive(Debug)]
pub struct Model {
    id: Box<str>,
    except: Vec<Pattern>,
    /// Of those that hold, the last counts.
    spans: Vec<Span>,
}

/// A price, and when it holds.
#[derive(Debug)]
struct Span {
    mode: Option<Mode>,
    /// All must be so: those of a mode's price, and of the ordinary one that it is laid over.
    when: [When; 2],
    price: Price,
}

#[derive(Debug, Clone, Copy)]
struct When {
    from_us: i64,
    hours: Option<Hours>,
}

/// Whenever.
const ALWAYS: When = When { from_us: i64::MIN, hours: None };

impl When {
    fn of(entry: &PriceEntry) -> When {
        When { from_us: entry.from.map_or(i64::MIN, Date::start_us), hours: entry.hours }
    }

    fn holds(self, at_us: i64) -> bool {
        self.from_us <= at_us && self.hours.is_none_or(|hours| hours.hold(at_us))
    }
}

impl Model {
    fn new(model: &ModelPrices) -> Result<Model, &'static str> {
        if model.prices.is_empty() || model.prices.len() > PRICES_MAX {
            return Err("no prices, or more than 64");
        }
        let made = |entry: &PriceEntry| {
            let price = Price::new(entry.rates, &entry.above);
            price
                .map(|price| (When::of(entry), price))
                .ok_or("more than 8 tiers, or their lengths do not ascend")
        };
        let (moded, plain): (Vec<_>, Vec<_>) = model.prices.iter().partition(|entry| entry.mode.is_some());
        let plain = plain.into_iter().map(made).collect::<Result<Vec<_>, _>>()?;
        let mut spans = Vec::with_capacity(plain.len() * (1 + moded.len()));
        for entry in moded {
            let (when, price) = made(entry)?;
            spans.extend(plain.iter().map(|(ordinary_when, ordinary)| Span {
                mode: entry.mode,
                when: [when, *ordinary_when],
                price: ordinary.overlaid(&price),
            }));
        }
        spans.extend(plain.into_iter().map(|(when, price)| Span { mode: None, when: [when, ALWAYS], price }));
        Ok(Model {
            id: model.id.as_str().into(),
            except: model.except.iter().map(|pattern| Pattern::new(pattern)).collect(),
            spans,
        })
    }

    /// What the model is called in reports of prices.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The price at a time, in UTC microseconds since the epoch, in a mode; `None` for the ordinary one. `None` when
    /// none holds then, or in that mode: an ordinary price says nothing of what a batch or a preference costs.
    pub fn price(&self, mode: Option<Mode>, at_us: i64) -> Option<&Price> {
        let holds = |span: &&Span| span.mode == mode && span.when.iter().all(|when| when.holds(at_us));
        self.spans.iter().rev().find(holds).map(|span| &span.price)
    }
}

impl Models {
    /// What a list says; `provider` is for errors.
    ///
    /// # Errors
    /// As [`PriceTable::new`].
    pub fn new(provider: &str, list: &[ModelPrices]) -> Result<Models, PriceError> {
        let mut made = Models::default();
        let fault = |model: &str, fault| Err(PriceError { place: format!("{provider} {model}"), fault });
        if list.len() > MODELS_MAX {
            return fault("", "more than 16,384 models");
        }
        for model in list {
            let place = made.models.len();
            let own = std::slice::from_ref(&model.id);
            let names = if model.matches.is_empty() { own } else { &*model.matches };
            if names.len() + model.except.len() > PATTERNS_MAX {
                return fault(&model.id, "more than 256 names and patterns");
            }
            if names.iter().chain(&model.except).any(|name| name.is_empty() || name.len() > NAME_MAX_BYTES) {
                return fault(&model.id, "a name is empty or longer than 256 bytes");
            }
            for pattern in names.iter().map(|name| Pattern::new(name)) {
                if !pattern.is_exact() {
                    made.patterns.push((pattern, place));
                } else if made
                    .exact
                    .insert(pattern.as_str().into(), place)
                    .is_some_and(|other| other != place)
                {
                    return fault(&model.id, "another model has a name of it");
                }
            }
            match Model::new(model) {
                Ok(model) => made.models.push(model),
                Err(what) => return fault(&model.id, what),
            }
        }
        made.patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.weight()));
        Ok(made)
    }

    /// The model that a name in lower case stands for.
    fn find(&self, name: &str) -> Option<&Model> {
        let takes = |model: &&Model| !model.except.iter().any(|pattern| pattern.matches(name));
        let exact = self.exact.get(name).and_then(|place| self.models.get(*place));
        exact.filter(takes).or_else(|| {
            let matching = self.patterns.iter().filter(|(pattern, _)| pattern.matches(name));
            matching.filter_map(|(_, place)| self.models.get(*place)).find(takes)
        })
    }

    /// As [`PriceTable::model`], among these.
    pub fn model(&self, model: &str) -> Option<&Model> {
        self.find(Lower::new(model)?.as_str())
    }
}

#[cfg(test)]
mod tests;
