//! Budgets and rate limits: what may be spent, and how fast.

mod forms;
pub(crate) mod stored;

use super::document::Document;
use super::forms::{Count, Map};
use super::guard::{NameList, Several, Within};
use super::macros::{settings, words};
use super::path::Path;
use super::resolve::Check;
pub use forms::{Facet, USD_MAX, usd};
use forms::{TimeZone, Usd, WindowText};
use narrows_meter::budget::THRESHOLDS_MAX;
use narrows_meter::{Budget, Calendar, RateLimit, Window};
use narrows_policy::Dimension;
use narrows_policy::names::Names;
use std::sync::Arc;
use std::time::Duration;
pub use stored::StoredLimits;

/// Most budgets, and most rate limits.
const RULES_MAX: usize = 256;
/// Longest name of a budget or a rate limit, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Largest amount of tokens or requests: JSON holds it exactly.
const AMOUNT_MAX: usize = 9_007_199_254_740_991;
/// Largest share of a budget that can be a threshold, in percent.
const THRESHOLD_MAX: usize = 1_000;
/// Most tokens that can be reserved for an answer without a bound.
const RESERVE_MAX: usize = 100_000_000;
/// Longest that a request can be held up, in milliseconds.
const DELAY_MS_MAX: u64 = 60_000;

settings! {
    /// A budget: how much may be spent in a window. The worst case is reserved before a request is sent, and settled to what it
    /// came to afterwards. All budgets that apply to a request must have room for it. What was spent is kept by the budget's
    /// name: raising it, or giving it another window or unit, forgets nothing. Exactly one of `usd`, `tokens` and `requests` is
    /// needed.
    pub(super) struct BudgetDocument {
        /// What has a counter of its own: `organization`, `team`, `user`, `service_account`, `project`, `key`, `model`,
        /// `provider`, `tags.NAME`, or a list of these for each combination. Requests without the fact share one. Without
        /// it: one counter for all.
        per: Option<Vec<Facet>> as Option<Several<Facet>> = optional,
        /// What it is about; without it everything.
        r#where: ScopeDocument = "{}",
        /// Most money in US dollars, with up to nine decimals.
        usd: Option<u64> as Option<Usd> = optional,
        /// Most tokens, prompts and answers together.
        tokens: Option<usize> as Option<Count<0, AMOUNT_MAX>> = optional,
        /// Most requests.
        requests: Option<usize> as Option<Count<0, AMOUNT_MAX>> = optional,
        /// The window: an `hour`, `day`, `week` (from Monday) or `month` of the calendar, or the time just past, as `24h` or
        /// `30d`.
        window: WindowText = required,
        /// The time zone that days, weeks and months of the calendar begin in, by its IANA name (`Europe/Zurich`). Without
        /// it: UTC.
        time_zone: Option<String> as Option<TimeZone> = optional,
        /// What happens when there is no room.
        at_limit: AtLimit = "block",
        /// For `throttle`: how long each request waits once the budget is spent.
        delay: Duration as Within<DELAY_MS_MAX> = "2s",
        /// Shares of it, in percent, that raise an alert when they are spent; each once in a window.
        thresholds: Vec<usize> as Vec<Count<1, THRESHOLD_MAX>> = "[50, 80, 100]",
        /// What happens when the budget cannot be counted: there are too many counters, no price is known for the model, or the
        /// Redis of `counters` does not answer. Without it: `block` where `at_limit` is `block`, else `allow`.
        on_error: Option<OnLimitError> = optional,
        /// Tokens reserved for each choice of an answer that the request sets no bound for (`max_tokens`).
        reserve_output: usize as Count<0, RESERVE_MAX> = "4096",
        /// Whether a stream is ended when it has come to more than was reserved for it and the budget has no room for more: with
        /// an error event of the client's dialect. Only with `at_limit: block`.
        end_streams: bool = "false",
    }

    /// A rate limit: how much may be asked for in a stretch of time, wherever it begins, and how much at a time. At least one
    /// of `requests`, `tokens` and `concurrent` is needed.
    pub(super) struct RateLimitDocument {
        /// What has a counter of its own; as for budgets.
        per: Option<Vec<Facet>> as Option<Several<Facet>> = optional,
        /// What it is about; without it everything.
        r#where: ScopeDocument = "{}",
        /// Most requests in `every`.
        requests: Option<usize> as Option<Count<0, AMOUNT_MAX>> = optional,
        /// Most tokens in `every`, prompts and answers together: estimated before, corrected after.
        tokens: Option<usize> as Option<Count<0, AMOUNT_MAX>> = optional,
        /// Most exchanges at a time.
        concurrent: Option<usize> as Option<Count<0, AMOUNT_MAX>> = optional,
        /// The stretch of time.
        every: Every = "minute",
        /// What happens to a request beyond it.
        at_limit: AtLimit = "block",
        /// For `throttle`: how long a request waits for its turn at most. One that would wait longer is refused.
        delay: Duration as Within<DELAY_MS_MAX> = "2s",
        /// What happens when it cannot be counted, because there are too many counters or the Redis of `counters` does not
        /// answer. Without it: `block` where `at_limit` is
        /// `block`, else `allow`.
        on_error: Option<OnLimitError> = optional,
        /// Tokens that are expected of each choice of an answer that the request sets no bound for (`max_tokens`).
        reserve_output: usize as Count<0, RESERVE_MAX> = "4096",
    }

    /// What a budget or a rate limit is about. Each key is a name or a list of names; `*` stands for any text, and `!` before a
    /// name excludes it. All keys must be met.
    pub(super) struct ScopeDocument {
        /// The organization of the key.
        organization: Option<NameList> = optional,
        /// The team of the key.
        team: Option<NameList> = optional,
        /// The user of the key.
        user: Option<NameList> = optional,
        /// The service account of the key.
        service_account: Option<NameList> = optional,
        /// The project of the key.
        project: Option<NameList> = optional,
        /// The key's public id.
        key: Option<NameList> = optional,
        /// The model, as it is asked for or as the provider calls it. Upper and lower case are the same.
        model: Option<NameList> = optional,
        /// The name of the provider.
        provider: Option<NameList> = optional,
        /// Metadata of the key, by its name.
        tags: Vec<(String, NameList)> as Map<NameList> = "{}",
    }
}

words! {
    /// What happens when there is no room.
    pub enum AtLimit {
        /// The request is refused.
        Block = "block",
        /// The request waits: for a rate limit until its turn comes, for a spent budget for `delay`, and then goes on.
        Throttle = "throttle",
        /// The request goes on. Thresholds still raise their alerts.
        Warn = "warn",
    }

    /// What happens when a limit cannot be counted.
    pub enum OnLimitError {
        /// The request is refused.
        Block = "block",
        /// The request goes on, uncounted; a metric counts how many did.
        Allow = "allow",
    }

    /// The stretch of time of a rate limit.
    pub enum Every {
        /// One second.
        Second = "second",
        /// 60 seconds.
        Minute = "minute",
        /// 60 minutes.
        Hour = "hour",
        /// 24 hours.
        Day = "day",
    }

    /// What a budget is in.
    pub enum Unit {
        /// Money, in nano-dollars.
        Usd = "usd",
        /// Tokens.
        Tokens = "tokens",
        /// Requests.
        Requests = "requests",
    }
}

impl Every {
    const fn length_us(self) -> i64 {
        1_000_000
            * match self {
                Every::Second => 1,
                Every::Minute => 60,
                Every::Hour => 3_600,
                Every::Day => 86_400,
            }
    }
}

/// Which requests a limit is about, and which of them share a counter.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitScope {
    /// What has a counter of its own.
    pub per: Vec<Facet>,
    /// Demands on facts.
    pub names: Vec<(Dimension, Names)>,
    /// Demands on metadata of the key.
    pub tags: Vec<(String, Names)>,
}

/// A budget in force.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetRule {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What it is about.
    pub scope: LimitScope,
    /// What it is in.
    pub unit: Unit,
    /// Limit, window and thresholds.
    pub budget: Budget,
    /// What happens when there is no room.
    pub at_limit: AtLimit,
    /// How long a request waits once it is spent.
    pub delay: Duration,
    /// What happens when it cannot be counted.
    pub on_error: OnLimitError,
    /// Tokens reserved for a choice without a bound.
    pub reserve_output: u64,
    /// Whether a stream for which there is no more room is ended.
    pub end_streams: bool,
}

/// A rate limit in force.
#[derive(Debug, Clone, PartialEq)]
pub struct RateRule {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// What it is about.
    pub scope: LimitScope,
    /// The limits.
    pub limit: RateLimit,
    /// The stretch of time as a word.
    pub every: Every,
    /// What happens to a request beyond it.
    pub at_limit: AtLimit,
    /// How long a request waits at most.
    pub delay: Duration,
    /// What happens when it cannot be counted.
    pub on_error: OnLimitError,
    /// Tokens expected of a choice without a bound.
    pub reserve_output: u64,
}

impl ScopeDocument {
    fn scope(&self, per: Option<&Vec<Facet>>) -> LimitScope {
        let names = [
            (Dimension::Organization, &self.organization),
            (Dimension::Team, &self.team),
            (Dimension::User, &self.user),
            (Dimension::ServiceAccount, &self.service_account),
            (Dimension::Project, &self.project),
            (Dimension::Key, &self.key),
            (Dimension::Model, &self.model),
            (Dimension::Provider, &self.provider),
        ];
        let mut per = per.cloned().unwrap_or_default();
        per.sort_unstable();
        per.dedup();
        LimitScope {
            per,
            names: names
                .into_iter()
                .filter_map(|(of, list)| Some((of, list.as_ref()?.names.clone())))
                .collect(),
            tags: self.tags.iter().map(|(key, list)| (key.clone(), list.names.clone())).collect(),
        }
    }
}

impl LimitScope {
    /// Whether it depends on the target that is asked, and not on the caller alone.
    pub fn names_target(&self) -> bool {
        let of_target = |dimension: &Dimension| matches!(dimension, Dimension::Model | Dimension::Provider);
        self.names.iter().any(|(dimension, _)| of_target(dimension))
            || self.per.iter().any(|facet| matches!(facet, Facet::Fact(dimension) if of_target(dimension)))
    }

    /// As it would be written: `per team, user where model gpt-*`.
    pub fn written(&self) -> String {
        let per: Vec<String> = self.per.iter().map(Facet::to_string).collect();
        let per = if per.is_empty() { "all together".to_owned() } else { format!("per {}", per.join(", ")) };
        let names = self.names.iter().map(|(of, names)| format!("{} {}", of.as_str(), names.written()));
        let tags = self.tags.iter().map(|(key, names)| format!("tags.{key} {}", names.written()));
        let demands: Vec<String> = names.chain(tags).collect();
        if demands.is_empty() { per } else { format!("{per} where {}", demands.join(" and ")) }
    }
}

fn on_error(given: Option<OnLimitError>, at_limit: AtLimit) -> OnLimitError {
    given.unwrap_or(match at_limit {
        AtLimit::Block => OnLimitError::Block,
        AtLimit::Throttle | AtLimit::Warn => OnLimitError::Allow,
    })
}

fn amount(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Check<'_, '_> {
    /// The budgets of the document, those without problems.
    pub(super) fn budgets(&mut self, document: &Document) -> Vec<BudgetRule> {
        self.count_rules("budgets", document.budgets.len());
        document.budgets.iter().filter_map(|(name, budget)| self.budget(name, budget)).collect()
    }

    fn budget(&mut self, name: &str, document: &BudgetDocument) -> Option<BudgetRule> {
        let path = Path::of(&["budgets", name]);
        self.rule_name(&path, name);
        let tokens = document.tokens.map(|tokens| (Unit::Tokens, amount(tokens)));
        let requests = document.requests.map(|requests| (Unit::Requests, amount(requests)));
        let given = [document.usd.map(|usd| (Unit::Usd, usd)), tokens, requests];
        let mut limits = given.into_iter().flatten();
        let limit = limits.next();
        let written = ["usd", "tokens", "requests"].iter().filter(|key| self.given(&path.key(key))).count();
        if written != 1 {
            let suggestion = "give one of `usd`, `tokens` and `requests`; a second budget can hold the other";
            self.problem(&path, "a budget is in one unit", suggestion);
        }
        let mut thresholds: Vec<u16> =
            document.thresholds.iter().filter_map(|percent| u16::try_from(*percent).ok()).collect();
        thresholds.sort_unstable();
        thresholds.dedup();
        if thresholds.len() > THRESHOLDS_MAX {
            let message = format!("more than {THRESHOLDS_MAX} thresholds");
            self.problem(&path.key("thresholds"), message, "leave some out");
        }
        let window = match document.window {
            WindowText::Rolling(length) => {
                Window::Rolling(i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
            }
            // The zone was looked up when it was read.
            WindowText::Calendar(period) => {
                Window::Calendar(Calendar::new(period, document.time_zone.as_deref().unwrap_or("UTC")).ok()?)
            }
        };
        if matches!(window, Window::Rolling(_)) && self.given(&path.key("time_zone")) {
            let message = "a window that rolls begins in no time zone";
            self.problem(&path.key("time_zone"), message, "remove it, or write `window: day`");
        }
        if document.end_streams && document.at_limit != AtLimit::Block {
            let message = "a budget that refuses nothing ends no streams";
            self.problem(&path.key("end_streams"), message, "remove it, or write `at_limit: block`");
        }
        let (unit, limit) = limit?;
        Some(BudgetRule {
            name: Arc::from(name),
            scope: document.r#where.scope(document.per.as_ref()),
            unit,
            budget: Budget { limit, window, thresholds },
            at_limit: document.at_limit,
            delay: document.delay,
            on_error: on_error(document.on_error, document.at_limit),
            reserve_output: amount(document.reserve_output),
            end_streams: document.end_streams,
        })
    }

    /// The rate limits of the document, those without problems.
    pub(super) fn rate_limits(&mut self, document: &Document) -> Vec<RateRule> {
        self.count_rules("rate_limits", document.rate_limits.len());
        document.rate_limits.iter().map(|(name, limit)| self.rate_limit(name, limit)).collect()
    }

    fn rate_limit(&mut self, name: &str, document: &RateLimitDocument) -> RateRule {
        let path = Path::of(&["rate_limits", name]);
        self.rule_name(&path, name);
        if !["requests", "tokens", "concurrent"].iter().any(|key| self.given(&path.key(key))) {
            let suggestion = "give one or more of `requests`, `tokens` and `concurrent`";
            self.problem(&path, "this limits nothing", suggestion);
        }
        RateRule {
            name: Arc::from(name),
            scope: document.r#where.scope(document.per.as_ref()),
            limit: RateLimit {
                requests: document.requests.map(amount),
                tokens: document.tokens.map(amount),
                concurrent: document.concurrent.map(amount),
                length_us: document.every.length_us(),
            },
            every: document.every,
            at_limit: document.at_limit,
            delay: document.delay,
            on_error: on_error(document.on_error, document.at_limit),
            reserve_output: amount(document.reserve_output),
        }
    }

    fn count_rules(&mut self, key: &str, count: usize) {
        if count > RULES_MAX {
            let message = format!("more than {RULES_MAX} of them");
            self.problem(&Path::of(&[key]), message, "`per` gives each team or user a counter of its own");
        }
    }

    fn rule_name(&mut self, path: &Path, name: &str) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            let suggestion = "lower-case letters, digits, `-`, `_` and `.`, at most 64 characters";
            self.problem(path, "not a name for a limit", suggestion);
        }
    }
}

#[cfg(test)]
mod tests;
