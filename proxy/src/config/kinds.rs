//! Kinds of providers, as the configuration sees them: `narrows_llm`'s list, with the models that route to each.

use super::pattern::Pattern;
use super::url::BaseUrl;
use narrows_llm::Family;
use narrows_llm::provider::{Layout, PROVIDERS, Provider};

/// Models that route to a provider unless the file says otherwise. Kinds that serve many vendors' models, or those an
/// operator loads, have none: which of them a model's name means is the operator's to say.
/// Source: the providers' lists of models (seen 2026-11).
const MODELS: &[(&str, &[&str])] = &[
    (
        "openai",
        &[
            "gpt-*",
            "chatgpt-*",
            "o1*",
            "o3*",
            "o4*",
            "codex-*",
            "text-embedding-*",
            "davinci-002",
            "babbage-002",
            "computer-use-*",
            "ft:*",
        ],
    ),
    ("anthropic", &["claude-*"]),
    ("gemini", &["gemini-*", "gemma-*", "text-embedding-004", "embedding-001"]),
    (
        "mistral",
        &[
            "mistral-*",
            "ministral-*",
            "magistral-*",
            "codestral-*",
            "devstral-*",
            "pixtral-*",
            "voxtral-*",
            "open-mi*",
        ],
    ),
    ("deepseek", &["deepseek-*"]),
    ("perplexity", &["sonar*"]),
    ("xai", &["grok-*"]),
];

/// A kind of provider.
pub(super) type Kind = Provider;

/// All kinds.
pub(super) fn all() -> &'static [&'static Kind] {
    PROVIDERS
}

/// The public address of a kind.
pub(super) fn base_url(kind: &Kind) -> Option<BaseUrl> {
    kind.default_base_url.and_then(|text| BaseUrl::parse(text).ok())
}

/// The models that route to a kind unless the file says otherwise.
pub(super) fn models(kind: &Kind) -> Vec<Pattern> {
    model_texts(kind).iter().filter_map(|text| Pattern::new(text)).collect()
}

fn model_texts(kind: &Kind) -> &'static [&'static str] {
    MODELS.iter().find(|(word, _)| *word == kind.kind).map_or(&[], |(_, models)| models)
}

/// Whether the kind is of no use without a credential.
pub(super) fn needs_key(word: &str) -> bool {
    Provider::of_kind(word).is_some_and(|kind| !kind.key_optional)
}

/// Whether the kind has a version of its API that a file may name.
pub(super) fn takes_api_version(kind: &Kind) -> bool {
    kind.layout == Layout::Azure
}

/// Whether the kind speaks a dialect of this family.
pub(super) fn speaks(kind: &Kind, family: Family) -> bool {
    kind.speaks.iter().any(|row| row.dialect.family() == family)
}

/// A kind in one line, for the reference.
pub(super) fn describe(kind: &Kind) -> String {
    let url = kind.default_base_url.unwrap_or("no address of its own, give `base_url`");
    let models = match model_texts(kind) {
        [] => "no models by default".to_owned(),
        models => models.iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", "),
    };
    format!("{url}; {models}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_of_known_kinds() {
        for (word, texts) in MODELS {
            let kind = Provider::of_kind(word).unwrap_or_else(|| panic!("{word} is no kind"));
            assert_eq!(models(kind).len(), texts.len(), "{word}");
        }
        for kind in all() {
            assert_eq!(base_url(kind).is_some(), kind.default_base_url.is_some(), "{}", kind.kind);
        }
    }

    #[test]
    fn no_two_kinds_claim_the_same_pattern() {
        let mut all: Vec<&str> = MODELS.iter().flat_map(|(_, models)| models.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
