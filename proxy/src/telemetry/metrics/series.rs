//! Cached handles: the steady state of counting an exchange looks up no label by its text's hash and allocates nothing.
//!
//! Providers are few and found by walking a short list; dialects, reasons and classes are places in arrays; models
//! are found by halving a sorted list. Lists are replaced whole when they grow, so readers never wait.

use super::cells::Handle;
use super::families::Families;
use super::labels::{
    self, CLASSES, DIALECTS, ERRORS, NONE, OTHER, REASONS, TOKEN_TYPES, TYPES, class_place, class_word,
    error_place, error_word,
};
use arc_swap::ArcSwap;
use narrows_ledger::{Attempt, Record, Used};
use narrows_llm::Dialect;
use narrows_meter::{Cost, Origin, Usage};
use narrows_policy::Reason;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Groups of series with a model that no configuration names.
pub(crate) const MODEL_SERIES_MAX: usize = 200;
/// Longest model that becomes a label, in bytes.
pub(crate) const MODEL_BYTES_MAX: usize = 128;
/// Names of providers that become a label in the life of a process; configurations change.
pub(crate) const PROVIDERS_MAX: usize = 256;

/// The figures of a usage, in the order of [`TOKEN_TYPES`].
pub(crate) fn figures(usage: &Usage) -> [Option<u64>; TYPES] {
    [usage.input(), usage.output(), usage.cache_read, usage.cache_write(), usage.reasoning]
}

/// The series of all providers, and what limits them.
pub(crate) struct Series {
    /// What has no provider.
    none: Provider,
    providers: ArcSwap<Vec<Arc<Provider>>>,
    /// Models that the configuration names, sorted; they have a series of their own whatever the limit.
    named: ArcSwap<Vec<Arc<str>>>,
    /// Groups of series with a model that is not named.
    unnamed: AtomicUsize,
    /// Held while a list grows.
    growth: Mutex<()>,
}

/// The series of one provider.
pub(crate) struct Provider {
    name: Arc<str>,
    /// The conventions' word for its kind.
    kind: &'static str,
    dialects: [OnceLock<Box<PerDialect>>; DIALECTS],
    attempts: [Handle; REASONS],
    tokens: [[Handle; TYPES]; Origin::ALL.len()],
    /// For input and output.
    unknown: [Handle; 2],
    request_bytes: Handle,
    response_bytes: Handle,
}

/// The series of a provider in one dialect.
struct PerDialect {
    word: &'static str,
    operation: &'static str,
    ends: [[Handle; CLASSES]; REASONS],
    /// Sorted by model.
    models: ArcSwap<Vec<Arc<PerModel>>>,
    /// For models that have no series of their own.
    other: OnceLock<Box<PerModel>>,
}

/// The series of one model.
struct PerModel {
    model: Arc<str>,
    tokens: [Handle; TYPES],
    client_duration: [Handle; ERRORS],
    server_duration: [Handle; ERRORS],
    first_token: Handle,
    per_token: Handle,
    cost: Handle,
    cost_unknown: Handle,
}

impl Series {
    pub(crate) fn new() -> Series {
        Series {
            none: Provider::new(Arc::from(NONE), OTHER),
            providers: ArcSwap::default(),
            named: ArcSwap::default(),
            unnamed: AtomicUsize::new(0),
            growth: Mutex::new(()),
        }
    }

    /// From now on these models have series of their own whatever the limit.
    pub(crate) fn name_models(&self, mut models: Vec<Arc<str>>) {
        models.retain(|model| model.len() <= MODEL_BYTES_MAX);
        models.sort_unstable();
        models.dedup();
        self.named.store(Arc::new(models));
    }

    /// Groups of series with a model that no configuration names.
    pub(crate) fn unnamed_models(&self) -> usize {
        self.unnamed.load(Ordering::Relaxed)
    }

    /// Counts one exchange. `provider` is the name and kind of the one that was chosen.
    pub(crate) fn count(
        &self,
        families: &Families,
        record: &Record,
        provider: Option<(&Arc<str>, &'static str)>,
        spends: bool,
    ) {
        let Some((name, kind)) = provider else {
            let dialect = self.none.count(families, record, spends);
            dialect.other().count_cost(families, record, &self.none.name);
            return;
        };
        // Borrowed and not cloned: a count of references would be one more line that all workers write.
        let (known, grown);
        known = self.providers.load();
        let provider = match find_provider(&known, name) {
            Some(provider) => provider,
            None => {
                grown = self.add_provider(name, kind);
                &grown
            }
        };
        let per_dialect = provider.count(families, record, spends);
        record.also_used.iter().for_each(|used| count_beside(families, used, &known, per_dialect));
        for attempt in &record.attempts {
            match find_provider(&known, &attempt.provider) {
                Some(provider) => provider.count_attempt(families, attempt),
                None => self.add_provider(&attempt.provider, OTHER).count_attempt(families, attempt),
            }
        }
        // What was refused before anybody was asked is no operation of generative AI, and neither is counting tokens.
        if spends && !record.attempts.is_empty() {
            self.count_operation(families, record, provider, per_dialect);
        } else {
            per_dialect.other().count_cost(families, record, &provider.name);
        }
    }

    /// Counts what a provider was asked for, by model.
    fn count_operation(
        &self,
        families: &Families,
        record: &Record,
        provider: &Provider,
        dialect: &PerDialect,
    ) {
        let fits = record.model_sent.as_ref().filter(|model| model.len() <= MODEL_BYTES_MAX);
        let (known, grown);
        known = dialect.models.load();
        let model = match fits.map(|model| (model, place_of(&known, model))) {
            Some((_, Ok(place))) => known.get(place),
            Some((model, Err(_))) => {
                grown = self.add_model(dialect, model, record.status);
                grown.as_ref()
            }
            None => None,
        };
        let model = model.map_or_else(|| dialect.other(), |model| &**model);
        model.count(families, record, dialect.operation, provider.kind);
        model.count_cost(families, record, &provider.name);
    }

    /// The series of the provider with this name, made if they are not there yet.
    fn add_provider(&self, name: &Arc<str>, kind: &'static str) -> Arc<Provider> {
        let _growing = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.providers.load();
        if let Some(known) = find_provider(&before, name) {
            return Arc::clone(known);
        }
        let full = before.len() >= PROVIDERS_MAX;
        if full && let Some(other) = before.iter().find(|known| &*known.name == OTHER) {
            return Arc::clone(other);
        }
        let name = if full { Arc::from(OTHER) } else { Arc::clone(name) };
        let new = Arc::new(Provider::new(name, labels::otel_provider(kind)));
        let mut after = Vec::clone(&before);
        after.push(Arc::clone(&new));
        self.providers.store(Arc::new(after));
        new
    }

    /// Series for a model that has none; `None` when it gets none of its own.
    fn add_model(&self, dialect: &PerDialect, model: &Arc<str>, status: u16) -> Option<Arc<PerModel>> {
        let named = self.named.load().binary_search(model).is_ok();
        // A name that a provider refused may be anything a caller wrote.
        let may = named || ((200..300).contains(&status) && self.unnamed_models() < MODEL_SERIES_MAX);
        if !may {
            return None;
        }
        let _growing = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let before = dialect.models.load();
        let place = match place_of(&before, model) {
            Ok(place) => return before.get(place).map(Arc::clone),
            Err(place) => place,
        };
        if !named {
            // Looked at again under the lock, so that the limit is exact.
            if self.unnamed_models() >= MODEL_SERIES_MAX {
                return None;
            }
            self.unnamed.fetch_add(1, Ordering::Relaxed);
        }
        let new = Arc::new(PerModel::new(Arc::clone(model)));
        let mut after = Vec::clone(&before);
        after.insert(place, Arc::clone(&new));
        dialect.models.store(Arc::new(after));
        Some(new)
    }
}

/// Counts what was used of another target: too rare to keep its series at hand. A model without series of its own gets none
/// here.
fn count_beside(families: &Families, used: &Used, known: &[Arc<Provider>], dialect: &PerDialect) {
    let provider = find_provider(known, &used.provider).map_or(OTHER, |provider| &*provider.name);
    for (figure, word) in figures(&used.usage).into_iter().zip(TOKEN_TYPES) {
        if let Some(figure) = figure {
            families.tokens.series(&[word, used.origin.as_str(), provider]).add(figure);
        }
    }
    let models = dialect.models.load();
    let model = used.model.as_deref().filter(|model| models.iter().any(|known| *known.model == **model));
    let model = model.unwrap_or(OTHER);
    match used.cost {
        Cost::NanoUsd(0) => {}
        Cost::NanoUsd(cost) => families.cost.series(&[provider, model]).add(cost),
        Cost::Unknown => families.cost_unknown.series(&[provider, model]).add(1),
    }
}

fn find_provider<'a>(known: &'a [Arc<Provider>], name: &Arc<str>) -> Option<&'a Arc<Provider>> {
    known.iter().find(|known| Arc::ptr_eq(&known.name, name) || known.name == *name)
}

/// Where a model is in a sorted list, or would be.
fn place_of(known: &[Arc<PerModel>], model: &Arc<str>) -> Result<usize, usize> {
    known.binary_search_by(|known| known.model.cmp(model))
}

impl Provider {
    fn new(name: Arc<str>, kind: &'static str) -> Provider {
        Provider {
            name,
            kind,
            dialects: std::array::from_fn(|_| OnceLock::new()),
            attempts: Handle::row(),
            tokens: std::array::from_fn(|_| Handle::row()),
            unknown: Handle::row(),
            request_bytes: Handle::default(),
            response_bytes: Handle::default(),
        }
    }

    /// Counts what is counted by provider, and returns the series of the dialect.
    fn count(&self, families: &Families, record: &Record, spends: bool) -> &PerDialect {
        let name = &*self.name;
        let place = labels::dialect_place(record.dialect);
        // The place comes from the list that gave the array its length.
        let slot = self.dialects.get(place).unwrap_or(&self.dialects[0]);
        let dialect = slot.get_or_init(|| Box::new(PerDialect::new(record.dialect)));
        let class = class_place(record.status);
        if let Some(end) = dialect.ends.get(record.reason as usize).and_then(|row| row.get(class)) {
            let blame = error_word(error_place(record.reason));
            let values = [record.reason.as_str(), dialect.word, name, class_word(class), blame];
            end.of(&families.exchanges, values).add(1);
        }
        self.request_bytes.of(&families.request_bytes, [name]).add(record.request_bytes);
        self.response_bytes.of(&families.response_bytes, [name]).add(record.response_bytes);
        self.count_tokens(families, record, spends);
        dialect
    }

    fn count_tokens(&self, families: &Families, record: &Record, spends: bool) {
        let (name, origin) = (&*self.name, record.origin.as_str());
        let figures = figures(&record.usage);
        let row = self.tokens.get(record.origin as usize).into_iter().flatten();
        for ((figure, handle), word) in figures.into_iter().zip(row).zip(TOKEN_TYPES) {
            if let Some(figure) = figure {
                handle.of(&families.tokens, [word, origin, name]).add(figure);
            }
        }
        let answered = spends && !record.attempts.is_empty() && (200..300).contains(&record.status);
        let generates = record.dialect != Some(Dialect::OpenaiEmbeddings.as_str());
        let missing = [figures[0].is_none(), figures[1].is_none() && generates];
        for ((missing, handle), word) in missing.into_iter().zip(&self.unknown).zip(TOKEN_TYPES) {
            if answered && missing {
                handle.of(&families.usage_unknown, [word, name]).add(1);
            }
        }
    }

    fn count_attempt(&self, families: &Families, attempt: &Attempt) {
        if let Some(handle) = self.attempts.get(attempt.reason as usize) {
            handle.of(&families.attempts, [&*self.name, attempt.reason.as_str()]).add(1);
        }
    }
}

impl PerDialect {
    fn new(word: Option<&'static str>) -> PerDialect {
        let dialect = word.and_then(Dialect::from_word);
        PerDialect {
            word: dialect.map_or(NONE, Dialect::as_str),
            operation: labels::operation(dialect),
            ends: std::array::from_fn(|_| Handle::row()),
            models: ArcSwap::default(),
            other: OnceLock::new(),
        }
    }

    fn other(&self) -> &PerModel {
        self.other.get_or_init(|| Box::new(PerModel::new(Arc::from(OTHER))))
    }
}

impl PerModel {
    fn count_cost(&self, families: &Families, record: &Record, provider: &str) {
        match record.cost {
            // What cost nothing, like most of what is refused, makes no series.
            Cost::NanoUsd(0) => {}
            Cost::NanoUsd(cost) => self.cost.of(&families.cost, [provider, &self.model]).add(cost),
            Cost::Unknown => self.cost_unknown.of(&families.cost_unknown, [provider, &self.model]).add(1),
        }
    }

    fn new(model: Arc<str>) -> PerModel {
        PerModel {
            model,
            tokens: Handle::row(),
            client_duration: Handle::row(),
            server_duration: Handle::row(),
            first_token: Handle::default(),
            per_token: Handle::default(),
            cost: Handle::default(),
            cost_unknown: Handle::default(),
        }
    }

    fn count(&self, families: &Families, record: &Record, operation: &'static str, kind: &'static str) {
        let model = &*self.model;
        let error = error_place(record.reason);
        let with_error = [operation, kind, model, error_word(error)];
        if let Some((client, server)) = self.client_duration.get(error).zip(self.server_duration.get(error)) {
            client.of(&families.client_duration, with_error).observe(record.upstream_wait_us);
            server.of(&families.server_duration, with_error).observe(record.duration_us);
        }
        let figures = figures(&record.usage).into_iter().zip(&self.tokens).zip(TOKEN_TYPES);
        for ((figure, handle), word) in figures {
            if let Some(figure) = figure {
                handle.of(&families.token_usage, [operation, kind, model, word]).observe(figure);
            }
        }
        if !record.streamed || record.reason != Reason::Completed {
            return;
        }
        let Some(first_byte_us) = record.first_byte_us else { return };
        self.first_token.of(&families.first_token, [operation, kind, model]).observe(first_byte_us);
        let after_first = record.usage.output().and_then(|output| output.checked_sub(1));
        let rest_ns = record.duration_us.saturating_sub(first_byte_us).saturating_mul(1_000);
        if let Some(per_token_ns) = after_first.and_then(|tokens| rest_ns.checked_div(tokens)) {
            self.per_token.of(&families.per_token, [operation, kind, model]).observe(per_token_ns);
        }
    }
}
