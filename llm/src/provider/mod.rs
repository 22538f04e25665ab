//! Providers as data: each file holds only what differs.

mod anthropic;
mod azure;
mod deepseek;
mod gemini;
mod groq;
mod mistral;
mod ollama;
mod openai;
mod openai_compatible;
mod openrouter;
mod perplexity;
mod target;
mod together;
mod vllm;
mod xai;

pub use target::{Ask, Beside, Targets, Unsupported, target};

use crate::dialect::{Dialect, Family};

/// In which header a credential travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `authorization: Bearer …`
    Bearer,
    /// `x-api-key: …` (Anthropic).
    XApiKey,
    /// `x-goog-api-key: …` (Gemini).
    XGoogApiKey,
    /// `api-key: …` (Azure).
    ApiKey,
}

impl Auth {
    /// The header's name, in lower case.
    pub const fn header(self) -> &'static str {
        match self {
            Auth::Bearer => "authorization",
            Auth::XApiKey => "x-api-key",
            Auth::XGoogApiKey => "x-goog-api-key",
            Auth::ApiKey => "api-key",
        }
    }

    /// What stands before the credential in the header's value.
    pub const fn scheme(self) -> &'static str {
        match self {
            Auth::Bearer => "Bearer ",
            _ => "",
        }
    }
}

/// A dialect that a provider speaks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaks {
    /// The dialect.
    pub dialect: Dialect,
    /// The path that stands before the dialect's own one at the provider's host, such as `/v1`. Empty or with a
    /// leading and no trailing slash.
    pub root: &'static str,
}

/// A header that the provider demands and a client may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultHeader {
    /// The family of dialects it belongs to.
    pub family: Family,
    /// The name, in lower case.
    pub name: &'static str,
    /// The value to send when the client sent none.
    pub value: &'static str,
}

/// How URLs are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// [`Speaks::root`] and the dialect's path.
    Standard,
    /// As [`Layout::Standard`], but a base URL with a path is taken as it is, as OpenAI's SDKs do.
    BaseAsGiven,
    /// Azure OpenAI: a deployment in the path when an API version is configured.
    Azure,
}

/// What is particular about a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    /// The stable word used in configuration.
    pub kind: &'static str,
    /// Dialects it speaks natively.
    pub speaks: &'static [Speaks],
    /// Base URL when none is configured; `None` when there is no sensible one.
    pub default_base_url: Option<&'static str>,
    /// In which header its credential travels.
    pub auth: Auth,
    /// Families whose dialects take the credential in another header.
    pub auth_by_family: &'static [(Family, Auth)],
    /// Environment variable that usually holds the credential.
    pub key_env: &'static str,
    /// Whether it usually runs without a credential.
    pub key_optional: bool,
    /// Whether `stream_options.include_usage` may be added to a stream that did not ask for usage. An allow-list:
    /// providers that refuse unknown fields or report usage anyway say no.
    pub inject_usage: bool,
    /// Whether it counts tokens (Anthropic's `count_tokens`, Gemini's `countTokens`).
    pub count_tokens: bool,
    /// Headers to add when the client left them out.
    pub default_headers: &'static [DefaultHeader],
    /// How its URLs are laid out.
    pub layout: Layout,
}

impl Provider {
    /// An OpenAI-compatible provider without particulars; files state the differences from it.
    const OPENAI_LIKE: Provider = Provider {
        kind: "",
        speaks: &[],
        default_base_url: None,
        auth: Auth::Bearer,
        auth_by_family: &[],
        key_env: "",
        key_optional: false,
        inject_usage: false,
        count_tokens: false,
        default_headers: &[],
        layout: Layout::Standard,
    };

    /// The provider of this kind.
    pub fn of_kind(kind: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().copied().find(|provider| provider.kind == kind)
    }

    /// Whether it speaks a dialect natively.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.speaks.iter().any(|row| row.dialect == dialect)
    }

    /// In which header the credential travels for a dialect.
    pub fn auth(&self, dialect: Dialect) -> Auth {
        let family = dialect.family();
        self.auth_by_family.iter().find(|row| row.0 == family).map_or(self.auth, |row| row.1)
    }

    /// Headers to add, unless the client sent them.
    pub fn default_headers(&self, dialect: Dialect) -> impl Iterator<Item = &'static DefaultHeader> {
        self.default_headers.iter().filter(move |header| header.family == dialect.family())
    }

    /// Whether usage may be asked for on the client's behalf in this dialect.
    pub fn injects_usage(&self, dialect: Dialect) -> bool {
        self.inject_usage && matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions)
    }
}

/// Shorthand for the rows of [`Provider::speaks`].
const fn at(dialect: Dialect, root: &'static str) -> Speaks {
    Speaks { dialect, root }
}

/// Anthropic refuses requests without a version; clients of other families do not know it.
/// Source: docs.anthropic.com/en/api/versioning (seen 2026-11).
const ANTHROPIC_VERSION: DefaultHeader =
    DefaultHeader { family: Family::Anthropic, name: "anthropic-version", value: "2023-06-01" };

/// Every provider.
pub const PROVIDERS: &[&Provider] = &[
    &openai::OPENAI,
    &anthropic::ANTHROPIC,
    &gemini::GEMINI,
    &azure::AZURE,
    &mistral::MISTRAL,
    &groq::GROQ,
    &deepseek::DEEPSEEK,
    &perplexity::PERPLEXITY,
    &xai::XAI,
    &openrouter::OPENROUTER,
    &together::TOGETHER,
    &vllm::VLLM,
    &ollama::OLLAMA,
    &openai_compatible::OPENAI_COMPATIBLE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_unique_and_found() {
        for provider in PROVIDERS {
            assert_eq!(Provider::of_kind(provider.kind), Some(*provider));
            assert!(provider.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert_eq!(PROVIDERS.iter().filter(|other| other.kind == provider.kind).count(), 1);
        }
        assert_eq!(Provider::of_kind("nobody"), None);
    }

    #[test]
    fn every_provider_is_complete_and_well_formed() {
        for provider in PROVIDERS {
            assert!(!provider.speaks.is_empty() && !provider.key_env.is_empty(), "{}", provider.kind);
            for (i, row) in provider.speaks.iter().enumerate() {
                assert!(row.root.is_empty() || row.root.starts_with('/') && !row.root.ends_with('/'));
                assert!(provider.speaks[..i].iter().all(|other| other.dialect != row.dialect));
            }
            if let Some(url) = provider.default_base_url {
                let local = url.starts_with("http://localhost:");
                assert!(local || url.starts_with("https://"), "{url}");
                assert_eq!(
                    local, provider.key_optional,
                    "{}: only local ones run without a key",
                    provider.kind
                );
            }
        }
    }

    #[test]
    fn credentials_travel_where_each_dialect_expects_them() {
        let auth = |kind, dialect| Provider::of_kind(kind).unwrap().auth(dialect).header();
        assert_eq!(auth("openai", Dialect::OpenaiChat), "authorization");
        assert_eq!(auth("anthropic", Dialect::AnthropicMessages), "x-api-key");
        assert_eq!(auth("anthropic", Dialect::OpenaiChat), "authorization");
        assert_eq!(auth("gemini", Dialect::GeminiGenerate), "x-goog-api-key");
        assert_eq!(auth("gemini", Dialect::OpenaiChat), "authorization");
        assert_eq!(auth("azure", Dialect::OpenaiResponses), "api-key");
        assert_eq!(auth("deepseek", Dialect::AnthropicMessages), "x-api-key");
        assert_eq!(Auth::Bearer.scheme(), "Bearer ");
        assert_eq!(Auth::XApiKey.scheme(), "");
    }

    #[test]
    fn usage_is_asked_for_only_where_it_is_known_to_be_taken() {
        let allowed: Vec<&str> =
            PROVIDERS.iter().filter(|p| p.injects_usage(Dialect::OpenaiChat)).map(|p| p.kind).collect();
        assert_eq!(allowed, ["openai", "anthropic", "azure", "deepseek", "xai", "vllm", "ollama"]);
        assert!(PROVIDERS.iter().all(|p| !p.injects_usage(Dialect::OpenaiResponses)));
        assert!(PROVIDERS.iter().all(|p| !p.injects_usage(Dialect::AnthropicMessages)));
    }

    #[test]
    fn only_anthropic_dialects_get_a_version() {
        let anthropic = Provider::of_kind("anthropic").unwrap();
        let names =
            |dialect| anthropic.default_headers(dialect).map(|header| header.name).collect::<Vec<_>>();
        assert_eq!(names(Dialect::AnthropicMessages), ["anthropic-version"]);
        assert!(names(Dialect::OpenaiChat).is_empty());
    }
}
