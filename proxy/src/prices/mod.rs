//! Prices: those that the program brings along, those of a file, and importing others' formats.

pub mod import;

use crate::config::prices::PriceSettings;
use narrows_meter::price_table::{Models, PriceError};
use narrows_meter::tariff::Source;
use narrows_meter::{Factor, PriceFile, PriceTable, Tariff};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// The prices that the program brings along, made from genai-prices (MIT; its notice is `LICENSE-genai-prices` beside
/// it) by `narrows prices import genai-prices`.
const BUILT_IN: &str = include_str!("built_in.json");

/// Prices, ready to be looked up.
#[derive(Debug)]
pub struct Prices {
    /// As they were written.
    pub file: PriceFile,
    /// As they are looked up.
    pub table: Arc<PriceTable>,
    /// A number for their content, the same on every machine: the first eight bytes of the SHA-256 of the file in its
    /// shortest form.
    pub version: u64,
}

impl Prices {
    /// Reads a file of prices.
    ///
    /// # Errors
    /// When it is not of the format, or makes no sense.
    pub fn read(json: &str) -> anyhow::Result<Prices> {
        Prices::new(serde_json::from_str(json)?)
    }

    /// Makes a file of prices ready.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn new(file: PriceFile) -> anyhow::Result<Prices> {
        let table = Arc::new(PriceTable::new(&file)?);
        let version = version(&serde_json::to_vec(&file)?);
        Ok(Prices { file, table, version })
    }

    /// Those that the program brings along.
    pub fn built_in() -> &'static Arc<Prices> {
        static BUILT: OnceLock<Arc<Prices>> = OnceLock::new();
        BUILT.get_or_init(|| {
            let read = Prices::read(BUILT_IN);
            // A test reads it: an empty table stands for a build that went wrong, and every cost is unknown then.
            Arc::new(read.unwrap_or_else(|_| Prices { file: empty(), table: Arc::default(), version: 0 }))
        })
    }
}

/// The list that counts.
#[derive(Debug, Clone, Default)]
pub enum Listed {
    /// The one that the program brings along. It is made ready when it is first looked at.
    #[default]
    BuiltIn,
    /// One of a file.
    File(Arc<Prices>),
}

impl Listed {
    /// The list.
    pub fn prices(&self) -> &Arc<Prices> {
        match self {
            Listed::BuiltIn => Prices::built_in(),
            Listed::File(prices) => prices,
        }
    }
}

/// Makes the list ready beside what else there is to do, so that the first exchange with a cost need not wait for it.
pub(crate) fn make_ready(list: &Listed) {
    let list = list.clone();
    let making = std::thread::Builder::new().name("prices".to_owned()).spawn(move || {
        list.prices();
    });
    if let Err(error) = making {
        tracing::debug!("the prices are made ready when they are first asked for: {error}");
    }
}

/// Two are the same if they say the same.
impl PartialEq for Listed {
    fn eq(&self, other: &Listed) -> bool {
        match (self, other) {
            (Listed::BuiltIn, Listed::BuiltIn) => true,
            (Listed::File(one), Listed::File(other)) => one.version == other.version,
            _ => false,
        }
    }
}

impl PriceSettings {
    /// What a provider of this name and kind charges.
    ///
    /// # Errors
    /// When its own prices make no sense; those of a configuration without problems do.
    pub fn tariff(&self, provider: &str, kind: &str) -> Result<Tariff, PriceError> {
        let table = match &self.list {
            Listed::BuiltIn => Source::Lazy(|| &Prices::built_in().table),
            Listed::File(prices) => Source::Ready(Arc::clone(&prices.table)),
        };
        let Some(differing) = self.providers.iter().find(|differing| &*differing.provider == provider) else {
            return Ok(Tariff::new(table, Arc::from(kind), Factor::ONE, Models::default()));
        };
        let word = differing.list.clone().unwrap_or_else(|| Arc::from(kind));
        Ok(Tariff::new(table, word, differing.factor, Models::new(provider, &differing.models)?))
    }

    /// A number for all that decides what an exchange costs, the same on every machine. Records carry it. It is computed
    /// anew each time.
    pub fn version(&self) -> u64 {
        let list = self.list.prices().version;
        if self.providers.is_empty() {
            return list;
        }
        let mut content = format!("{list:016x}");
        let mut providers: Vec<_> = self.providers.iter().collect();
        providers.sort_by(|one, other| one.provider.cmp(&other.provider));
        for differing in providers {
            let models = serde_json::to_string(&differing.models).unwrap_or_default();
            let (name, list) = (&differing.provider, differing.list.as_deref().unwrap_or_default());
            content.push_str(&format!("\n{name}\n{list}\n{}\n{models}", differing.factor.millionths()));
        }
        version(content.as_bytes())
    }
}

fn empty() -> PriceFile {
    let date = narrows_meter::price_file::Date::of(0);
    PriceFile {
        format: narrows_meter::price_file::FORMAT,
        source: String::new(),
        date,
        providers: Vec::new(),
    }
}

/// A number for content.
pub(crate) fn version(content: &[u8]) -> u64 {
    Sha256::digest(content).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
