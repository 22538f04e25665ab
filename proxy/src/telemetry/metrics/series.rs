//! Cached handles: the steady state of counting an exchange looks up no label by its text's hash and allocates nothing.
//!
//! Providers are few and found by walking a short list; dialects, reasons and classes are places in arrays; models
//! are found by halving a sorted list. Lists are replaced whole when they grow, so readers never wait.

use super::families::{Families, Handle, add, observe};
use super::labels::{
    self, CLASSES, DIALECTS, ERRORS, NONE, OTHER, REASONS, TOKEN_TYPES, TYPES, class_place, class_word,
    error_place, error_word,
};
use arc_swap::ArcSwap;
use narrows_ledger::{Attempt, Record};
use narrows_llm::Dialect;
use narrows_meter::{Origin, Usage};
use narrows_policy::Reason;
use prometheus::{Histogram, IntCounter};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Groups of series with a model that no configuration names.
pub(crate) const MODEL_SERIES_MAX: usize = 200;
/// Longest model that becomes a label, in bytes.
pub(crate) const MODEL_BYTES_MAX: usize = 128;
/// Names of providers that become a label in the life of a process; configurations change.
pub(crate) const PROVIDERS_MAX: usize = 256;

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a duration of 2^53 µs is 285 years")]
pub(crate) fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

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
    attempts: [Handle<IntCounter>; REASONS],
    tokens: [[Handle<IntCounter>; TYPES]; Origin::ALL.len()],
    /// For input and output.
    unknown: [Handle<IntCounter>; 2],
    request_bytes: Handle<IntCounter>,
    response_bytes: Handle<IntCounter>,
}

/// The series of a provider in one dialect.
struct PerDialect {
    word: &'static str,
    operation: &'static str,
    ends: [[Handle<IntCounter>; CLASSES]; REASONS],
    /// Sorted by model.
    models: ArcSwap<Vec<Arc<PerModel>>>,
    other: OnceLock<Arc<PerModel>>,
}

/// The series of one model.
struct PerModel {
    model: Arc<str>,
    tokens: [Handle<Histogram>; TYPES],
    client_duration: [Handle<Histogram>; ERRORS],
    server_duration: [Handle<Histogram>; ERRORS],
    first_token: Handle<Histogram>,
    per_token: Handle<Histogram>,
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
    ) {
        let Some((name, kind)) = provider else {
            self.none.count(families, record);
            return;
        };
        let provider = self.provider(name, kind);
        let per_dialect = provider.count(families, record);
        for attempt in &record.attempts {
            if attempt.provider == provider.name {
                provider.count_attempt(families, attempt);
            } else {
                self.provider(&attempt.provider, OTHER).count_attempt(families, attempt);
            }
        }
        // What was refused before anybody was asked is no operation of generative AI.
        if !record.attempts.is_empty() {
            let model = self.model(per_dialect, record);
            model.count(families, record, per_dialect.operation, provider.kind);
        }
    }

    /// The series of the provider with this name.
    fn provider(&self, name: &Arc<str>, kind: &'static str) -> Arc<Provider> {
        let same = |known: &&Arc<Provider>| Arc::ptr_eq(&known.name, name) || known.name == *name;
        if let Some(known) = self.providers.load().iter().find(same) {
            return Arc::clone(known);
        }
        let _growing = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.providers.load();
        if let Some(known) = before.iter().find(same) {
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

    /// The series of the model that was asked for, or the common one of those that have none.
    fn model(&self, dialect: &PerDialect, record: &Record) -> Arc<PerModel> {
        let Some(model) = record.model_sent.as_ref().filter(|model| model.len() <= MODEL_BYTES_MAX) else {
            return dialect.other();
        };
        let known = dialect.models.load();
        if let Ok(place) = known.binary_search_by(|known| known.model.cmp(model))
            && let Some(known) = known.get(place)
        {
            return Arc::clone(known);
        }
        let named = self.named.load().binary_search(model).is_ok();
        // A name that a provider refused may be anything a caller wrote.
        let may = named || ((200..300).contains(&record.status) && self.unnamed_models() < MODEL_SERIES_MAX);
        if !may {
            return dialect.other();
        }
        let _growing = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let before = dialect.models.load();
        let place = match before.binary_search_by(|known| known.model.cmp(model)) {
            Ok(place) => return before.get(place).map_or_else(|| dialect.other(), Arc::clone),
            Err(place) => place,
        };
        if !named {
            // Looked at again under the lock, so that the limit is exact.
            if self.unnamed_models() >= MODEL_SERIES_MAX {
                return dialect.other();
            }
            self.unnamed.fetch_add(1, Ordering::Relaxed);
        }
        let new = Arc::new(PerModel::new(Arc::clone(model)));
        let mut after = Vec::clone(&before);
        after.insert(place, Arc::clone(&new));
        dialect.models.store(Arc::new(after));
        new
    }
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
    fn count(&self, families: &Families, record: &Record) -> &PerDialect {
        let name = &*self.name;
        let place = labels::dialect_place(record.dialect);
        // The place comes from the list that gave the array its length.
        let slot = self.dialects.get(place).unwrap_or(&self.dialects[0]);
        let dialect = slot.get_or_init(|| Box::new(PerDialect::new(record.dialect)));
        let class = class_place(record.status);
        let end = dialect.ends.get(record.reason as usize).and_then(|row| row.get(class));
        add(end, 1, || {
            let values = [record.reason.as_str(), dialect.word, name, class_word(class)];
            families.exchanges.get_metric_with_label_values(&values)
        });
        add(Some(&self.request_bytes), record.request_bytes, || {
            families.request_bytes.get_metric_with_label_values(&[name])
        });
        add(Some(&self.response_bytes), record.response_bytes, || {
            families.response_bytes.get_metric_with_label_values(&[name])
        });
        self.count_tokens(families, record);
        dialect
    }

    fn count_tokens(&self, families: &Families, record: &Record) {
        let figures = figures(&record.usage);
        let row = self.tokens.get(record.origin as usize);
        for (place, (figure, word)) in figures.into_iter().zip(TOKEN_TYPES).enumerate() {
            if let Some(figure) = figure {
                add(row.and_then(|row| row.get(place)), figure, || {
                    let values = [word, record.origin.as_str(), &*self.name];
                    families.tokens.get_metric_with_label_values(&values)
                });
            }
        }
        let answered = !record.attempts.is_empty() && (200..300).contains(&record.status);
        let generates = record.dialect != Some(Dialect::OpenaiEmbeddings.as_str());
        let missing = [figures[0].is_none(), figures[1].is_none() && generates];
        for ((missing, handle), word) in missing.into_iter().zip(&self.unknown).zip(TOKEN_TYPES) {
            if answered && missing {
                add(Some(handle), 1, || {
                    families.usage_unknown.get_metric_with_label_values(&[word, &*self.name])
                });
            }
        }
    }

    fn count_attempt(&self, families: &Families, attempt: &Attempt) {
        add(self.attempts.get(attempt.reason as usize), 1, || {
            families.attempts.get_metric_with_label_values(&[&*self.name, attempt.reason.as_str()])
        });
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

    fn other(&self) -> Arc<PerModel> {
        Arc::clone(self.other.get_or_init(|| Arc::new(PerModel::new(Arc::from(OTHER)))))
    }
}

impl PerModel {
    fn new(model: Arc<str>) -> PerModel {
        PerModel {
            model,
            tokens: Handle::row(),
            client_duration: Handle::row(),
            server_duration: Handle::row(),
            first_token: Handle::default(),
            per_token: Handle::default(),
        }
    }

    fn count(&self, families: &Families, record: &Record, operation: &'static str, kind: &'static str) {
        let labels = [operation, kind, &*self.model];
        let [operation, kind, model] = labels;
        let error = error_place(record.reason);
        let with_error = || [operation, kind, model, error_word(error)];
        observe(self.client_duration.get(error), seconds(record.upstream_wait_us), || {
            families.client_duration.get_metric_with_label_values(&with_error())
        });
        observe(self.server_duration.get(error), seconds(record.duration_us), || {
            families.server_duration.get_metric_with_label_values(&with_error())
        });
        let figures = figures(&record.usage).into_iter().zip(&self.tokens).zip(TOKEN_TYPES);
        for ((figure, handle), word) in figures {
            if let Some(figure) = figure {
                observe(Some(handle), tokens(figure), || {
                    families.token_usage.get_metric_with_label_values(&[operation, kind, model, word])
                });
            }
        }
        if !record.streamed || record.reason != Reason::Completed {
            return;
        }
        let Some(first_byte_us) = record.first_byte_us else { return };
        observe(Some(&self.first_token), seconds(first_byte_us), || {
            families.first_token.get_metric_with_label_values(&labels)
        });
        if let Some(after_first) =
            record.usage.output().and_then(|output| output.checked_sub(1)).filter(|n| *n > 0)
        {
            let per_token = seconds(record.duration_us.saturating_sub(first_byte_us)) / tokens(after_first);
            observe(Some(&self.per_token), per_token, || {
                families.per_token.get_metric_with_label_values(&labels)
            });
        }
    }
}

/// Tokens as a number that may be divided.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count of 2^53 tokens is exact, and more than anybody will see"
)]
fn tokens(count: u64) -> f64 {
    count as f64
}
