//! Labels and where their values come from. Every list is closed or has a limit; no value comes from a client as it is.

use narrows_llm::Dialect;
use narrows_policy::{Blame, Reason};

/// One label.
#[derive(Debug)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its values, for people.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the tests, which write the reference with it")
    )]
    pub(crate) values: &'static str,
}

macro_rules! labels {
    ($($constant:ident = $name:literal, $values:literal;)+) => {
        $(#[doc = $values] pub(crate) const $constant: Label = Label { name: $name, values: $values };)+

        /// Every label, in the order of the documentation.
        #[cfg(test)]
        pub(crate) const ALL: &[&Label] = &[$(&$constant,)+];
    };
}

labels! {
    REASON = "reason", "Why it ended: the closed list of reasons that error bodies and records use (`completed`, `client_gone`, `provider_connect`, …).";
    DIALECT = "dialect", "The closed list of dialects (`openai.chat`, `anthropic.messages`, …), or `none` when the path named none.";
    PROVIDER = "provider", "Names of configured providers, or `none` when no provider was chosen; `other` beyond 256 names in the life of a process.";
    TARGET = "target", "Names of configured providers and of targets, `provider/model`.";
    STATUS_CLASS = "status_class", "`1xx` to `5xx`, or `none` when no head was sent to the caller.";
    TYPE = "type", "`input`, `output`, `cached_input`, `cache_creation_input`, `reasoning`.";
    ORIGIN = "origin", "Where a figure came from: `provider`, `provider_partial`, `counted`, `estimated`, `unknown`.";
    OPERATION = "gen_ai_operation_name", "`chat`, `text_completion`, `embeddings`, `generate_content`; token counting has the name of the operation it counts for.";
    OTEL_PROVIDER = "gen_ai_provider_name", "The conventions' word for the kind of the provider (`openai`, `anthropic`, `gcp.gemini`, `azure.ai.openai`, …).";
    MODEL = "gen_ai_request_model", "The model asked of the provider: those that the configuration names exactly, and up to 200 more that a provider answered with success; every other one is `other`.";
    TOKEN_TYPE = "gen_ai_token_type", "As `type`.";
    ERROR_TYPE = "error_type", "Empty for success, else whose doing the end was: `provider`, `caller`, `policy`, `gateway`.";
    SNAPSHOT = "snapshot", "Hash of the configuration, 16 hexadecimal digits, as in records.";
    RESULT = "result", "`applied`, `unchanged`, `rejected`.";
    VERSION = "version", "Version of the program.";
    RULE = "rule", "Ids of policy rules that raised an alert; `other` beyond 256 in the life of a process.";
    LIMIT = "limit", "Names of budgets and rate limits; `other` beyond 512 in the life of a process.";
    LIMIT_KIND = "kind", "`budget`, `rate_limit`.";
    BUDGET = "budget", "Names of budgets.";
    STAGE = "stage", "`request`, `response`, `stream`.";
    ACTION = "action", "The action that policies ask for: `log`, `mask`, `block`.";
    WEBHOOK = "webhook", "Names of webhooks: `webhook` is that of `alerts.webhook`.";
    GUARDRAIL = "guardrail", "Names of external guardrails; `other` beyond 256 in the life of a process.";
    VERDICT = "verdict", "`pass`, `flag`, `mask`, `block`; else why there is none: `timeout`, `unreachable`, `cut`, `rate_limited`, `unavailable`, `malformed`, `breaker_open`, and more words for less usual errors.";
    OUTCOME = "outcome", "`delivered`, `retried` (it will be tried again), `failed` (it will not).";
}

/// The value for what is not there.
pub(crate) const NONE: &str = "none";
/// The value for what has no series of its own.
pub(crate) const OTHER: &str = "other";

/// How many dialects there are, `none` included.
pub(crate) const DIALECTS: usize = narrows_llm::dialect::DIALECTS.len() + 1;
/// How many reasons there are.
pub(crate) const REASONS: usize = Reason::ALL.len();
/// How many classes of status there are, `none` included.
pub(crate) const CLASSES: usize = 6;
/// How many types of tokens there are.
pub(crate) const TYPES: usize = 5;
/// How many values of `error_type` there are.
pub(crate) const ERRORS: usize = 5;

/// The types of tokens, in the order of figures.
pub(crate) const TOKEN_TYPES: [&str; TYPES] =
    ["input", "output", "cached_input", "cache_creation_input", "reasoning"];
const CLASS_WORDS: [&str; CLASSES] = [NONE, "1xx", "2xx", "3xx", "4xx", "5xx"];
const ERROR_WORDS: [&str; ERRORS] = ["", "caller", "policy", "provider", "gateway"];

/// Place of a dialect, by its word.
pub(crate) fn dialect_place(word: Option<&str>) -> usize {
    word.and_then(Dialect::from_word).map_or(0, |dialect| dialect as usize + 1)
}

/// Place of the class of a status; 0 is no status.
pub(crate) fn class_place(status: u16) -> usize {
    let class = usize::from(status / 100);
    if class < CLASSES { class } else { 0 }
}

/// The word at a place of [`class_place`].
pub(crate) fn class_word(place: usize) -> &'static str {
    CLASS_WORDS.get(place).copied().unwrap_or(NONE)
}

/// Place of a reason among the values of `error_type`.
pub(crate) fn error_place(reason: Reason) -> usize {
    match reason.blame() {
        Blame::Nobody => 0,
        Blame::Caller => 1,
        Blame::Policy => 2,
        Blame::Provider => 3,
        Blame::Gateway => 4,
    }
}

/// The word at a place of [`error_place`].
pub(crate) fn error_word(place: usize) -> &'static str {
    ERROR_WORDS.get(place).copied().unwrap_or(OTHER)
}

/// The conventions' name of what a dialect asks for.
pub(crate) fn operation(dialect: Option<Dialect>) -> &'static str {
    match dialect {
        Some(Dialect::OpenaiCompletions) => "text_completion",
        Some(Dialect::OpenaiEmbeddings) => "embeddings",
        Some(Dialect::GeminiGenerate) => "generate_content",
        Some(Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::AnthropicMessages) | None => "chat",
    }
}

/// Kinds whose name in the conventions differs from ours.
const OTEL_NAMES: &[(&str, &str)] =
    &[("gemini", "gcp.gemini"), ("azure", "azure.ai.openai"), ("mistral", "mistral_ai"), ("xai", "x_ai")];

/// The conventions' name of a kind of provider.
pub(crate) fn otel_provider(kind: &'static str) -> &'static str {
    OTEL_NAMES.iter().find(|row| row.0 == kind).map_or(kind, |row| row.1)
}
