//! Prices in formats of others, turned into ours. What a source says and we do not read is named in notes, so that nobody
//! takes a price that is missing for one of zero.

mod amount;
mod genai;
mod globs;
mod litellm;
mod models_dev;
mod openrouter;

#[cfg(test)]
mod tests;

use narrows_meter::price_file::{Date, FORMAT, MODELS_MAX, ModelPrices, PriceFile, ProviderPrices};
use narrows_meter::price_table::Models;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// Most bytes of a file of prices that are read. LiteLLM's, the largest, has two million.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most notes that an import keeps; more are counted.
const NOTES_MAX: usize = 200;

/// A format that prices can be imported from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// pydantic/genai-prices, `data.json`.
    GenaiPrices,
    /// LiteLLM, `model_prices_and_context_window.json`.
    Litellm,
    /// models.dev, `api.json`.
    ModelsDev,
    /// OpenRouter, what `/api/v1/models` answers.
    Openrouter,
}

impl Format {
    /// What prices of this source are said to be from.
    fn source(self) -> &'static str {
        match self {
            Format::GenaiPrices => "genai-prices (MIT, github.com/pydantic/genai-prices)",
            Format::Litellm => "LiteLLM (MIT, github.com/BerriAI/litellm)",
            Format::ModelsDev => "models.dev (MIT, github.com/sst/models.dev)",
            Format::Openrouter => "OpenRouter (openrouter.ai/api/v1/models)",
        }
    }
}

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    /// The prices.
    pub file: PriceFile,
    /// What was left out or changed, and why.
    pub notes: Vec<String>,
    /// How many more notes there would have been.
    pub notes_left_out: usize,
}

/// Reads prices in a format of others, as of a day.
///
/// # Errors
/// When it is not JSON of that form at all.
pub fn import(format: Format, json: &str, date: Date) -> anyhow::Result<Imported> {
    let value: Value = serde_json::from_str(json)?;
    let mut list = List::default();
    match format {
        Format::GenaiPrices => genai::read(&value, &mut list)?,
        Format::Litellm => litellm::read(&value, &mut list)?,
        Format::ModelsDev => models_dev::read(&value, &mut list)?,
        Format::Openrouter => openrouter::read(&value, &mut list)?,
    }
    Ok(list.finish(format, date))
}

/// Prices as they are gathered.
#[derive(Default)]
struct List {
    providers: BTreeMap<String, Gathered>,
    notes: Vec<String>,
    notes_left_out: usize,
}

/// What is known of one provider so far.
#[derive(Default)]
struct Gathered {
    fallback: Vec<String>,
    models: Vec<ModelPrices>,
    /// Names that are taken, in lower case.
    names: HashSet<String>,
}

impl List {
    fn note(&mut self, provider: &str, model: &str, what: &str) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(format!("{provider} {model}: {what}"));
        } else {
            self.notes_left_out += 1;
        }
    }

    /// Adds a model. A name that another model of the provider has already is taken from it; without any left it is left
    /// out.
    fn add(&mut self, provider: &str, mut model: ModelPrices) {
        if model.matches.is_empty() {
            model.matches.push(model.id.clone());
        }
        // What alone is no model of ours would make the whole file unusable.
        if let Err(error) = Models::new(provider, std::slice::from_ref(&model)) {
            return self.note(provider, &model.id, &format!("left out: {}", error.fault));
        }
        let list = self.providers.entry(provider.to_owned()).or_default();
        let full = list.models.len() >= MODELS_MAX;
        let known = |name: &String| list.names.contains(&name.to_ascii_lowercase());
        let taken: Vec<String> = model.matches.iter().filter(|name| known(name)).cloned().collect();
        model.matches.retain(|name| !taken.contains(name));
        if full || model.matches.is_empty() {
            let what =
                if full { "left out: too many models" } else { "left out: its names are another model's" };
            return self.note(provider, &model.id, what);
        }
        list.names.extend(model.matches.iter().map(|name| name.to_ascii_lowercase()));
        if model.matches == [model.id.as_str()] {
            model.matches.clear();
        }
        let id = model.id.clone();
        list.models.push(model);
        for name in taken {
            self.note(provider, &id, &format!("{name} is another model's name already"));
        }
    }

    /// Providers whose prices hold where this one has none.
    fn fall_back(&mut self, provider: &str, others: Vec<String>) {
        self.providers.entry(provider.to_owned()).or_default().fallback = others;
    }

    fn finish(mut self, format: Format, date: Date) -> Imported {
        self.providers.retain(|_, provider| !provider.models.is_empty() || !provider.fallback.is_empty());
        let known: Vec<String> = self.providers.keys().cloned().collect();
        let made = |(id, mut gathered): (String, Gathered)| {
            gathered.fallback.retain(|other| known.contains(other));
            ProviderPrices { id, fallback: gathered.fallback, models: gathered.models }
        };
        let providers = self.providers.into_iter().map(made).collect();
        let file = PriceFile { format: FORMAT, source: format.source().to_owned(), date, providers };
        Imported { file, notes: self.notes, notes_left_out: self.notes_left_out }
    }
}

/// Our words for providers that sources call otherwise; all others keep the source's.
const KINDS: &[(&str, &str)] = &[
    ("google", "gemini"),
    ("x-ai", "xai"),
    ("aws", "bedrock"),
    ("amazon-bedrock", "bedrock"),
    ("bedrock_converse", "bedrock"),
    ("azure_ai", "azure"),
    ("azure-cognitive-services", "azure"),
    ("mistralai", "mistral"),
    ("together_ai", "together"),
    ("togetherai", "together"),
    ("fireworks_ai", "fireworks"),
    ("fireworks-ai", "fireworks"),
    ("cohere_chat", "cohere"),
    ("moonshot", "moonshotai"),
    ("text-completion-openai", "openai"),
];

fn kind_of(provider: &str) -> &str {
    KINDS.iter().find(|(theirs, _)| *theirs == provider).map_or(provider, |(_, ours)| ours)
}
