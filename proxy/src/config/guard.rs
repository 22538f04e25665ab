//! Guardrails: our own detectors, external services, policies.

mod check;
pub(crate) mod credential;
mod detection;
mod forms;
mod policy;

#[cfg(test)]
mod tests;

pub use detection::Detection;
pub use forms::TextFile;
pub(super) use forms::{NameList, Several, Within};
pub(super) use policy::PolicyDocument;
pub use policy::{ActionWord, Policies};

use super::forms::{Count, Map, Size, Switch};
use super::macros::{settings, words};
use super::secret::Secret;
use super::settings::Egress;
use super::url::BaseUrl;
use forms::{Free, Kind, Line, Stringency};
use narrows_guard::remote::Remote;
use narrows_policy::rule::OnError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Most findings of one body that are kept.
const FINDINGS_MAX: usize = 10_000;

/// Longest regular expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4_096;

/// Longest time that an external guardrail may be given, in milliseconds.
const CALL_MS_MAX: u64 = 10_000;

/// Longest time that a guardrail's pass may be remembered, in milliseconds.
const REMEMBER_MS_MAX: u64 = 3_600_000;

settings! {
    /// Our own detectors, and how their findings are handled. Which of them run for an exchange, and what becomes of what they
    /// find, is up to `policies`.
    pub struct Guard {
        /// Credentials.
        pub secrets: SecretDetector = "{}",
        /// Data about people.
        pub pii: PiiDetector = "{}",
        /// Text that tries to take the model over.
        pub injection: InjectionDetector = "{}",
        /// What you name: words, names of projects, regular expressions. The key is the rule's id and, in capitals, its entity;
        /// the class is `custom`.
        pub custom: Vec<(String, CustomDetector)> as Map<CustomDetector> = "{}",
        /// Whether the default policies are in force beside yours: `default-secrets`, `default-pii` (tier A) and
        /// `default-injection` log what they find, everywhere. They change, hold and refuse nothing, and never weaken
        /// yours; the strictest action wins. With `false`, and without policies of yours, nothing is inspected.
        pub default_policies: bool = "true",
        /// The key that placeholders (`[EMAIL_7f3a9c2d]`) and fingerprints are made with, as `${VARIABLE}` or `file:/path`;
        /// each organization has its own, derived from it. Without it: derived from the master key; without that one a
        /// random key for as long as the gateway runs, so that placeholders change when it starts again. Never shown.
        pub masking_key: Option<Secret> = optional,
        /// Memory for findings in messages that agents send again with every turn; `off` for none.
        pub cache: Option<usize> as Switch<Size> = "32MiB",
        /// Limits of inspection. What is beyond them counts as not inspected: policies that mask or block refuse it.
        pub limits: GuardLimits = "{}",
    }

    /// The detector of credentials.
    pub struct SecretDetector {
        /// Whether the built-in rules are used.
        pub builtin: bool = "true",
        /// Files with rules in the format of gitleaks (TOML), as they are published. Rules about paths have no meaning here
        /// and are skipped. A rule with the name of a built-in one takes its place.
        pub gitleaks: Vec<TextFile> = "[]",
        /// Ids of rules that are not used; `*` stands for any text.
        pub disabled: Vec<String> = "[]",
    }

    /// The detector of personal data.
    pub struct PiiDetector {
        /// Entities with a checksum or an unmistakable shape (cards, IBANs, e-mail addresses).
        pub tier_a: Report = "always",
        /// Entities that say little by themselves (most national numbers, IP addresses).
        pub tier_b: Report = "in_context",
        /// Entities without any check (bank accounts, driving licences). Those that a policy names are looked for in context
        /// in any case.
        pub tier_c: Report = "off",
        /// Rules that differ from their tier, by id.
        pub rules: Vec<(String, Report)> as Map<Report> = "{}",
    }

    /// The detector of prompt injection and jailbreaks.
    pub struct InjectionDetector {
        /// Least score, 1 to 100, of what is reported at all. Lower finds more and errs more.
        pub threshold: usize as Count<1, 100> = "60",
    }

    /// Something of your own to look for: `words` and `dictionaries`, or `names`, or a `regex`.
    pub struct CustomDetector {
        /// What it is, for people.
        pub description: Option<String> = optional,
        /// The entity, in capitals with underscores, at most 32 characters; without it the key in capitals.
        pub entity: Option<String> = optional,
        /// Words and phrases; found as whole words, in any case and spelling of letters that looks the same.
        pub words: Vec<String> = "[]",
        /// Files with words and phrases, one on each line; at most 8 MiB each.
        pub dictionaries: Vec<TextFile> = "[]",
        /// Names of projects and the like: written together or with a blank, dash, underscore or dot, in any case, also as a
        /// part of an identifier (`BlueMoonClient`).
        pub names: Vec<String> = "[]",
        /// A regular expression in the syntax of Rust's `regex` crate: linear time, no look-around, no back-references.
        pub regex: Option<String> as Option<Line<EXPRESSION_BYTES_MAX>> = optional,
        /// The group of the expression that is the value; 0 is the first one that took part, or the whole match.
        pub group: usize as Count<0, 100> = "0",
        /// Whether case, accents and look-alikes matter for `words` and `dictionaries`.
        pub exact: bool = "false",
        /// Values that are no findings.
        pub allow: Vec<String> = "[]",
        /// The score of its findings.
        pub score: usize as Count<1, 100> = "90",
    }

    /// Limits of inspection.
    pub struct GuardLimits {
        /// Largest body that is inspected, after decompression.
        pub inspected_body: usize as Size = "64MiB",
        /// Most findings of one body; there are those that are kept and others.
        pub findings: usize as Count<1, FINDINGS_MAX> = "1000",
        /// Text of one stream that may wait for its scanner. Beyond it the stream goes on and its coverage is partial.
        pub stream_queue: usize as Size = "256KiB",
        /// Text of a stream that waits for what comes after it where a policy says `streams: gated`, in bytes. A longer value
        /// is not masked but ends the stream; a longer window makes the stream later.
        pub stream_window: usize as Count<64, 65_536> = "512",
    }

    /// An external guardrail: a service that judges text. It is asked for exchanges that a policy names it for.
    pub struct Guardrail {
        /// Which service it is.
        pub kind: &'static narrows_guard::remote::Kind as Kind = required,
        /// Where it is. Without it: the vendor's public address, if there is one.
        pub url: Option<BaseUrl> = optional,
        /// Presidio's anonymizer, where it is a server of its own; only with the setting `anonymize`.
        pub anonymizer_url: Option<BaseUrl> = optional,
        /// What signs in there, as `${VARIABLE}` or `file:/path`; an access key of AWS as `ID:SECRET` or `ID:SECRET:TOKEN`.
        /// Never shown.
        pub credential: Option<Secret> = optional,
        /// PEM file with certificates that are trusted for it, in addition to the system's.
        pub ca_file: Option<PathBuf> = optional,
        /// Longest wait for its verdict, all of its calls together.
        pub timeout: Duration as Within<CALL_MS_MAX> = "1s",
        /// How long it is remembered that it let something pass: the same question about the same texts of the same caller
        /// is not asked again until then. `off` asks every time; at most an hour. Objections are never remembered.
        pub remember: Option<Duration> as Switch<Within<REMEMBER_MS_MAX>> = "off",
        /// What happens when it gives no verdict, for policies that do not say it: `block`, `allow`, or `builtin` for our own
        /// detectors in its place. Without it: policies that mask or block refuse, others let pass.
        pub on_error: Option<OnError> as Option<Stringency> = optional,
        /// Its turn among guardrails that rewrite, lowest first.
        pub priority: usize as Count<0, 1_000> = "100",
        /// Whether its address may be one of this machine or of a private network.
        pub private_network: bool = "false",
        /// Settings of its kind.
        pub settings: serde_json::Value as Free = "{}",
    }
}

/// An external guardrail, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How it is spoken to.
    pub remote: Remote,
    /// Where it is.
    pub url: BaseUrl,
    /// Presidio's anonymizer, where it is a server of its own.
    pub anonymizer_url: Option<BaseUrl>,
    /// What signs in there.
    pub credential: Option<Secret>,
    /// PEM file with certificates that are trusted for it, in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of what is in `ca_file`.
    pub ca_digest: Option<[u8; 32]>,
    /// The proxy it is reached through, if it is not reached directly.
    pub egress: Option<Egress>,
    /// Longest wait for its verdict, all of its calls together; at most 10 seconds.
    pub timeout: Duration,
    /// How long it is remembered that it let something pass; at most an hour.
    pub remember: Option<Duration>,
    /// What happens when it gives no verdict, for policies that do not say it.
    pub on_error: Option<OnError>,
    /// Its turn among guardrails that rewrite, lowest first.
    pub priority: u32,
    /// Whether its address may be one of this machine or of a private network.
    pub private_network: bool,
}

words! {
    /// When matches of an entity are reported.
    pub enum Report {
        /// Wherever they stand.
        Always = "always",
        /// With a word nearby that says what it is.
        InContext = "in_context",
        /// Never.
        Off = "off",
    }
}
