//! Prices: which list counts, and what differs for a provider.

use super::form::{Form, Reader, Shape, quoted};
use super::forms::{Map, text};
use super::macros::settings;
use super::path::Path;
use super::problem::did_you_mean;
use super::resolve::Check;
use super::tree::Node;
use crate::prices::import::FILE_BYTES_MAX;
use crate::prices::{Listed, Prices};
use narrows_meter::price_file::{Date, ModelPrices, NAME_MAX_BYTES, PriceEntry};
use narrows_meter::price_table::Models;
use narrows_meter::unit_price::UnitPrice;
use narrows_meter::{Each, Factor, PerToken, Rates, decimal};
use serde_json::{Value as Json, json};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

settings! {
    /// What models cost. Lists of prices are looked up by the kind of the provider and the model that is asked of it; what has no
    /// price has an unknown cost, which is counted apart and never zero.
    pub struct PricesDocument {
        /// A file of prices in the place of those that the program brings along; `narrows prices import` makes one of other
        /// formats. At most 32 MiB. It is read again with the configuration.
        pub file: Option<PricesFile> = optional,
        /// What differs for providers, by their names.
        pub providers: Vec<(String, ProviderPricesDocument)> as Map<ProviderPricesDocument> = "{}",
    }

    /// What differs for a provider.
    pub struct ProviderPricesDocument {
        /// The word in the list whose prices it has. Without it: its kind. `vllm`, `ollama` and `openai-compatible` have no
        /// prices in the list that the program brings along.
        pub list: Option<String> as Option<Word> = optional,
        /// What list prices are multiplied with: 0.85 is a discount of 15 %. Up to six digits after the point, at most 1000.
        pub factor: Factor = "1",
        /// Prices of your own. They count before the list, whole: what one leaves out is not known. `factor` does not touch
        /// them. For long prompts, batches and hours of the day write a file of prices.
        pub models: Vec<OwnPrice> = "[]",
    }

    /// A price of your own, in US dollars per million tokens.
    pub struct OwnPrice {
        /// Models, as they are asked of the provider, without regard to case: `*` stands for any text, `#` for one digit.
        pub r#match: Vec<String> as Vec<Word> = required,
        /// The first day on which it holds, in UTC. Of several prices for the same models, the last that holds counts.
        pub from: Option<Date> = optional,
        /// A prompt token.
        pub input: Option<PerToken> = optional,
        /// A prompt token read from a cache.
        pub cache_read: Option<PerToken> = optional,
        /// A prompt token written to a cache for five minutes, or for an unnamed time.
        pub cache_write_5m: Option<PerToken> = optional,
        /// A prompt token written to a cache for an hour.
        pub cache_write_1h: Option<PerToken> = optional,
        /// A generated token.
        pub output: Option<PerToken> = optional,
        /// A generated reasoning token. Without it: as `output`.
        pub reasoning: Option<PerToken> = optional,
        /// An audio token in the prompt.
        pub audio_in: Option<PerToken> = optional,
        /// A generated audio token.
        pub audio_out: Option<PerToken> = optional,
        /// A web search that the provider makes, in US dollars.
        pub web_search: Option<Each> = optional,
        /// A request, in US dollars, beside its tokens.
        pub request: Option<Each> = optional,
    }
}

impl OwnPrice {
    fn rates(&self) -> Rates {
        Rates {
            input: self.input,
            cache_read: self.cache_read,
            cache_write_5m: self.cache_write_5m,
            cache_write_1h: self.cache_write_1h,
            output: self.output,
            reasoning: self.reasoning,
            audio_in: self.audio_in,
            audio_out: self.audio_out,
            web_search: self.web_search,
            request: self.request,
        }
    }
}

/// Prices in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PriceSettings {
    /// The list; the one that the program brings along where the configuration names none.
    pub list: Listed,
    /// What differs, by provider's name.
    pub providers: Vec<ProviderPrices>,
}

/// What differs for one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderPrices {
    /// The provider's name.
    pub provider: Arc<str>,
    /// The word in the list.
    pub list: Option<Arc<str>>,
    /// What list prices are multiplied with.
    pub factor: Factor,
    /// Prices of its own.
    pub models: Vec<ModelPrices>,
}

impl Check<'_, '_> {
    /// The prices in force.
    pub(super) fn prices(&mut self, document: &PricesDocument, names: &[&str]) -> PriceSettings {
        let list =
            document.file.as_ref().map_or(Listed::BuiltIn, |file| Listed::File(Arc::clone(&file.prices)));
        let mut providers = Vec::with_capacity(document.providers.len());
        for (name, differing) in &document.providers {
            let path = Path::of(&["prices", "providers", name]);
            if !names.contains(&name.as_str()) {
                let message = format!("no provider is called `{name}`");
                self.problem(&path, message, did_you_mean(name, names));
            }
            if let Some(word) = differing.list.as_ref().filter(|word| !list.prices().table.knows(word)) {
                let words: Vec<&str> =
                    list.prices().file.providers.iter().map(|one| one.id.as_str()).collect();
                let message = format!("the list of prices has nothing under `{word}`");
                self.problem(&path.key("list"), message, did_you_mean(word, &words));
            }
            let models = own(&differing.models);
            if let Err(error) = Models::new(name, &models) {
                self.problem(&path.key("models"), error.fault, format!("look at {}", error.place));
            }
            for (place, _) in differing.models.iter().enumerate().filter(|(_, own)| own.rates().is_empty()) {
                let message = "no price";
                self.problem(
                    &path.key("models").index(place),
                    message,
                    "add `input: …` and `output: …`; 0 is a price",
                );
            }
            providers.push(ProviderPrices {
                provider: Arc::from(name.as_str()),
                list: differing.list.as_deref().map(Arc::from),
                factor: differing.factor,
                models,
            });
        }
        PriceSettings { list, providers }
    }
}

/// Prices of the same models are one model's, at different times.
fn own(prices: &[OwnPrice]) -> Vec<ModelPrices> {
    let mut models: Vec<ModelPrices> = Vec::new();
    for own in prices {
        let entry = PriceEntry { from: own.from, rates: own.rates(), ..PriceEntry::default() };
        match models.iter_mut().find(|model| model.matches == own.r#match) {
            Some(model) => model.prices.push(entry),
            None => models.push(ModelPrices {
                id: own.r#match.first().cloned().unwrap_or_default(),
                matches: own.r#match.clone(),
                except: Vec::new(),
                prices: vec![entry],
            }),
        }
    }
    models
}

/// A file of prices that was read.
#[derive(Debug, Clone)]
pub struct PricesFile {
    /// Where it is.
    pub path: PathBuf,
    /// What stands in it.
    pub prices: Arc<Prices>,
}

/// Two are the same if they say the same.
impl PartialEq for PricesFile {
    fn eq(&self, other: &PricesFile) -> bool {
        self.path == other.path && self.prices.version == other.prices.version
    }
}

impl Form for PricesFile {
    type Out = PricesFile;

    fn shape() -> Shape {
        PathBuf::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PricesFile> {
        let path = PathBuf::read(node, reader)?;
        reader.files.push(path.clone());
        match read_file(&path) {
            Ok(prices) => Some(PricesFile { path, prices: Arc::new(prices) }),
            Err(cause) => {
                let shown = reader.scalar(node, "a path").map(quoted).unwrap_or_default();
                let suggestion = "check the path; `narrows prices import` turns other formats into this one";
                reader.problem(node.at, format!("{shown} is no file of prices: {cause}"), suggestion);
                None
            }
        }
    }

    fn show(value: &PricesFile) -> Json {
        PathBuf::show(&value.path)
    }
}

fn read_file(path: &std::path::Path) -> Result<Prices, String> {
    let file = std::fs::File::open(path).map_err(|error| error.kind().to_string())?;
    let mut text = String::new();
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() > FILE_BYTES_MAX {
        return Err("it is larger than 32 MiB".to_owned());
    }
    Prices::read(&text).map_err(|error| format!("{error:#}"))
}

/// A name of a model or of a list, which is never empty.
pub(super) struct Word;

impl Form for Word {
    type Out = String;

    fn shape() -> Shape {
        text("text", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let parse = |text: &str| (!text.is_empty() && text.len() <= NAME_MAX_BYTES).then(|| text.to_owned());
        reader.parsed(node, "a name", "at most 256 bytes", parse)
    }

    fn show(value: &String) -> Json {
        json!(value)
    }
}

impl<const DECIMALS: u32> Form for UnitPrice<DECIMALS> {
    type Out = UnitPrice<DECIMALS>;

    fn shape() -> Shape {
        Shape::Scalar { kind: "price", types: &["number", "string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<UnitPrice<DECIMALS>> {
        let examples =
            format!("dollars with at most {DECIMALS} digits after the point, such as 0.15; not 1e-3");
        reader.parsed(node, "a price", &examples, |text| UnitPrice::parse(text).ok())
    }

    fn show(value: &UnitPrice<DECIMALS>) -> Json {
        json!(value.to_string())
    }
}

/// Digits after the point of a factor.
const FACTOR_DECIMALS: u32 = 6;

impl Form for Factor {
    type Out = Factor;

    fn shape() -> Shape {
        Shape::Scalar { kind: "factor", types: &["number", "string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Factor> {
        let parse = |text: &str| {
            let millionths = decimal::scaled(text, FACTOR_DECIMALS).ok()?;
            Factor::from_millionths(u32::try_from(millionths).ok()?)
        };
        reader.parsed(node, "a factor", "a number from 0 to 1000, such as 0.85", parse)
    }

    fn show(value: &Factor) -> Json {
        json!(decimal::text(u64::from(value.millionths()), FACTOR_DECIMALS))
    }
}

impl Form for Date {
    type Out = Date;

    fn shape() -> Shape {
        text("day", Some("^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Date> {
        reader.parsed(node, "a day", "year, month and day: 2026-03-13", Date::parse)
    }

    fn show(value: &Date) -> Json {
        json!(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Loaded};
    use narrows_meter::{Cost, Usage};
    use std::path::Path;

    fn parse(prices: &str) -> Result<Loaded, String> {
        let text = format!(
            "version: 1\nproviders:\n  main: {{kind: openai, api_key: k}}\n  local: {{kind: vllm}}\nprices:\n{prices}"
        );
        config::parse("n.yaml", Path::new("."), &text, &|_| None).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_provider_may_have_prices_of_its_own_and_a_discount() {
        let loaded = parse(
            "  providers:\n    local:\n      models:\n        - {match: [llama-*], input: 0.10, output: 0.20}\n        \
             - {match: [llama-*], from: 2026-06-01, input: 0.05, output: 0.20}\n    main: {list: openai, factor: 0.85}\n",
        )
        .unwrap();
        let prices = &loaded.settings.prices;
        let [local, main] = &prices.providers[..] else { panic!("{prices:?}") };
        assert_eq!(
            (local.models.len(), local.models[0].prices.len()),
            (1, 2),
            "the same models at two times"
        );
        assert_eq!((main.list.as_deref(), main.factor.millionths()), (Some("openai"), 850_000));
        let tariff = prices.tariff("local", "vllm").unwrap();
        let usage = Usage { input_uncached: Some(1_000), ..Usage::default() };
        let cost = |at_us| tariff.quote("LLAMA-3", None, at_us).map(|quote| quote.cost(&usage));
        assert_eq!(cost(0), Some(Cost::NanoUsd(100_000)));
        assert_eq!(cost(1_780_272_000_000_000), Some(Cost::NanoUsd(50_000)));
        assert_eq!(tariff.quote("qwen", None, 0), None, "a kind without list prices");
        let shown = loaded.to_yaml();
        assert!(shown.contains("factor: \"0.85\"") && shown.contains("input: \"0.05\""), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (prices, wanted) in [
            ("  providers: {man: {factor: 1}}\n", "no provider is called `man`"),
            ("  providers: {main: {list: opnai}}\n", "nothing under `opnai`"),
            ("  providers: {main: {factor: 1e3}}\n", "is not a factor"),
            ("  providers: {main: {factor: 1000.000001}}\n", "is not a factor"),
            ("  providers: {main: {models: [{match: [a], input: -1}]}}\n", "is not a price"),
            ("  providers: {main: {models: [{match: [a], input: 0.0000001}]}}\n", "is not a price"),
            ("  providers: {main: {models: [{match: [a]}]}}\n", "no price"),
            ("  providers: {main: {models: [{match: [a], from: tomorrow, input: 1}]}}\n", "is not a day"),
            ("  providers: {main: {models: [{match: [\"\"], input: 1}]}}\n", "is not a name"),
            (
                "  providers: {main: {models: [{match: [a, a], input: 1}, {match: [a], input: 1}]}}\n",
                "another model has",
            ),
            ("  file: nothing.json\n", "is no file of prices"),
        ] {
            let problems = parse(prices).unwrap_err();
            assert!(problems.contains(wanted), "{prices}: {problems}");
        }
    }

    #[test]
    fn a_file_takes_the_place_of_the_built_in_list() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prices.json");
        let price = |input: &str| {
            format!(
                r#"{{"format":1,"source":"ours","date":"2026-11-26","providers":[{{"id":"openai","models":[
                {{"id":"m","prices":[{{"rates":{{"input":"{input}"}}}}]}}]}}]}}"#
            )
        };
        let load = || parse(&format!("  file: {}\n", file.display())).map(|loaded| loaded.settings);
        std::fs::write(&file, price("1")).unwrap();
        let before = load().unwrap();
        let tariff = before.prices.tariff("main", "openai").unwrap();
        assert!(tariff.quote("m", None, 0).is_some() && tariff.quote("gpt-4o", None, 0).is_none());
        std::fs::write(&file, price("2")).unwrap();
        let after = load().unwrap();
        assert_ne!(before, after, "a list that changed makes another configuration");
        assert_ne!(before.prices.version(), after.prices.version());
        std::fs::write(&file, price("x")).unwrap();
        assert!(load().unwrap_err().contains("not a decimal number"));
    }
}
