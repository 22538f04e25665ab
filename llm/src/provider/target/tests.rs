use super::super::PROVIDERS;
use super::*;

const GENERATE: Ask<'static> = Ask {
    operation: Operation::Generate,
    dialect: Dialect::OpenaiChat,
    model: Some("m"),
    stream: false,
    query: "",
    api_version: None,
};

fn provider(kind: &str) -> &'static Provider {
    Provider::of_kind(kind).unwrap()
}

fn chat(kind: &str, base: &str) -> String {
    target(provider(kind), base, &GENERATE).unwrap()
}

fn messages(kind: &str, base: &str) -> String {
    target(provider(kind), base, &Ask { dialect: Dialect::AnthropicMessages, ..GENERATE }).unwrap()
}

fn gemini(base: &str, model: &str, stream: bool) -> String {
    let ask = Ask { dialect: Dialect::GeminiGenerate, model: Some(model), stream, ..GENERATE };
    target(provider("gemini"), base, &ask).unwrap()
}

#[test]
fn base_urls_are_taken_with_and_without_version_and_slash() {
    for base in ["", "/", "/v1", "/v1/"] {
        assert_eq!(chat("openai", base), "/v1/chat/completions", "{base:?}");
        assert_eq!(messages("anthropic", base), "/v1/messages", "{base:?}");
        assert_eq!(chat("anthropic", base), "/v1/chat/completions", "{base:?}");
    }
    for base in ["", "/openai", "/openai/v1/"] {
        assert_eq!(chat("groq", base), "/openai/v1/chat/completions", "{base:?}");
    }
    for base in ["", "/api", "/api/v1"] {
        assert_eq!(chat("openrouter", base), "/api/v1/chat/completions");
        assert_eq!(messages("openrouter", base), "/api/v1/messages");
    }
    assert_eq!(chat("openai", "/corp/llm"), "/corp/llm/v1/chat/completions");
    assert_eq!(chat("openai", "/corp/v1"), "/corp/v1/chat/completions");
    assert_eq!(chat("openai", "/api/v3/"), "/api/v3/chat/completions");
}

#[test]
fn roots_of_other_dialects_are_exchanged() {
    for base in ["", "/anthropic", "/anthropic/v1", "/v1"] {
        assert_eq!(messages("deepseek", base), "/anthropic/v1/messages", "{base:?}");
    }
    for base in ["", "/anthropic", "/anthropic/v1"] {
        assert_eq!(chat("deepseek", base), "/chat/completions", "{base:?}");
    }
    assert_eq!(chat("deepseek", "/v1"), "/v1/chat/completions");
    assert_eq!(chat("perplexity", ""), "/chat/completions");
    let responses = Ask { dialect: Dialect::OpenaiResponses, ..GENERATE };
    assert_eq!(target(provider("perplexity"), "", &responses).unwrap(), "/v1/responses");
    for base in ["", "/v1beta", "/v1beta/openai", "/v1beta/openai/"] {
        assert_eq!(chat("gemini", base), "/v1beta/openai/chat/completions", "{base:?}");
        assert_eq!(gemini(base, "g", false), "/v1beta/models/g:generateContent", "{base:?}");
    }
    assert_eq!(gemini("/v1alpha", "g", true), "/v1alpha/models/g:streamGenerateContent");
    assert_eq!(chat("gemini", "/v1alpha"), "/v1alpha/openai/chat/completions");
}

#[test]
fn a_compatible_servers_base_url_is_taken_as_given() {
    assert_eq!(chat("openai-compatible", ""), "/v1/chat/completions");
    assert_eq!(chat("openai-compatible", "/"), "/v1/chat/completions");
    assert_eq!(chat("openai-compatible", "/api/paas/v4/"), "/api/paas/v4/chat/completions");
    assert_eq!(chat("openai-compatible", "/serve"), "/serve/chat/completions");
}

#[test]
fn azure_serves_deployments_by_dated_version_and_v1_otherwise() {
    let azure = |base: &str, dialect, operation, api_version| {
        let ask = Ask { dialect, operation, api_version, model: Some("gpt 4o/x"), ..GENERATE };
        target(provider("azure"), base, &ask).unwrap()
    };
    let dated = Some("2024-10-21");
    for base in ["", "/openai", "/openai/v1/"] {
        let chat = azure(base, Dialect::OpenaiChat, Operation::Generate, dated);
        assert_eq!(chat, "/openai/deployments/gpt%204o%2Fx/chat/completions?api-version=2024-10-21");
        let embed = azure(base, Dialect::OpenaiEmbeddings, Operation::Embed, dated);
        assert_eq!(embed, "/openai/deployments/gpt%204o%2Fx/embeddings?api-version=2024-10-21");
        let responses = azure(base, Dialect::OpenaiResponses, Operation::Generate, dated);
        assert_eq!(responses, "/openai/v1/responses");
        assert_eq!(
            azure(base, Dialect::OpenaiChat, Operation::Generate, None),
            "/openai/v1/chat/completions"
        );
        let preview = azure(base, Dialect::OpenaiResponses, Operation::Generate, Some("preview"));
        assert_eq!(preview, "/openai/v1/responses?api-version=preview");
    }
    let own = Ask { query: "api-version=2025-01-01", api_version: dated, ..GENERATE };
    let path = target(provider("azure"), "", &own).unwrap();
    assert_eq!(path, "/openai/deployments/m/chat/completions?api-version=2025-01-01");
}

#[test]
fn the_clients_query_is_passed_on() {
    let ask = Ask { dialect: Dialect::AnthropicMessages, query: "beta=true", ..GENERATE };
    assert_eq!(target(provider("anthropic"), "", &ask).unwrap(), "/v1/messages?beta=true");
    let ask = Ask { dialect: Dialect::GeminiGenerate, stream: true, query: "alt=sse", ..GENERATE };
    let path = target(provider("gemini"), "", &ask).unwrap();
    assert_eq!(path, "/v1beta/models/m:streamGenerateContent?alt=sse");
}

#[test]
fn gemini_models_keep_their_collection_and_are_encoded() {
    assert_eq!(gemini("", "models/g", false), "/v1beta/models/g:generateContent");
    assert_eq!(gemini("", "tunedModels/t", false), "/v1beta/tunedModels/t:generateContent");
    assert_eq!(gemini("", "a b?c#d", false), "/v1beta/models/a%20b%3Fc%23d:generateContent");
}

#[test]
fn a_model_cannot_change_the_path() {
    for model in ["..", "a/../b", "", "/a", "a//b", "."] {
        let ask = Ask { dialect: Dialect::GeminiGenerate, model: Some(model), ..GENERATE };
        assert_eq!(target(provider("gemini"), "", &ask), Err(Unsupported::Model), "{model:?}");
    }
    let ask = Ask { dialect: Dialect::GeminiGenerate, model: None, ..GENERATE };
    assert_eq!(target(provider("gemini"), "", &ask), Err(Unsupported::Model));
}

#[test]
fn what_a_provider_does_not_offer_is_refused() {
    let ask = Ask { dialect: Dialect::AnthropicMessages, ..GENERATE };
    assert_eq!(target(provider("openai"), "", &ask), Err(Unsupported::Dialect));
    let count = Ask { operation: Operation::CountTokens, ..ask };
    assert_eq!(target(provider("anthropic"), "", &count).unwrap(), "/v1/messages/count_tokens");
    assert_eq!(target(provider("openrouter"), "", &count), Err(Unsupported::Operation));
    let embed = Ask { operation: Operation::Embed, ..GENERATE };
    assert_eq!(target(provider("openai"), "", &embed), Err(Unsupported::Operation));
    let probe = Ask { operation: Operation::Probe, ..GENERATE };
    assert_eq!(target(provider("openai"), "", &probe), Err(Unsupported::Operation));
}

#[test]
fn every_provider_can_be_asked_in_every_dialect_it_claims() {
    for provider in PROVIDERS {
        for row in provider.speaks {
            let embeds = row.dialect == Dialect::OpenaiEmbeddings;
            let operation = if embeds { Operation::Embed } else { Operation::Generate };
            let ask = Ask { operation, dialect: row.dialect, ..GENERATE };
            let path = target(provider, "", &ask).unwrap();
            assert!(path.starts_with(row.root) && !path.contains("//"), "{}: {path}", provider.kind);
            for operation in [Operation::ListModels, Operation::GetModel] {
                assert!(target(provider, "/x/", &Ask { operation, ..ask }).unwrap().contains("/models"));
            }
        }
    }
}

#[test]
fn versions_are_told_from_words() {
    for word in ["v1", "v10", "v1beta", "v1alpha2", "v2beta1"] {
        assert!(is_version(word), "{word}");
    }
    for word in ["", "v", "vllm", "1", "v1x", "version1", "beta"] {
        assert!(!is_version(word), "{word}");
    }
}

#[test]
fn targets_worked_out_before_are_the_same() {
    use crate::dialect::DIALECTS;
    let operations = [
        Operation::Generate,
        Operation::Embed,
        Operation::CountTokens,
        Operation::ListModels,
        Operation::GetModel,
        Operation::Probe,
    ];
    let models = [None, Some("m"), Some("models/a b/c"), Some("tunedModels/t"), Some("../x"), Some("é@1:2")];
    let versions = [None, Some("2024-10-21"), Some("preview"), Some("a b")];
    let asks: Vec<Ask<'_>> = operations
        .iter()
        .flat_map(|operation| {
            models.iter().map(move |model| Ask { operation: *operation, model: *model, ..GENERATE })
        })
        .flat_map(|ask| versions.iter().map(move |version| Ask { api_version: *version, ..ask }))
        .flat_map(|ask| ["", "beta=true", "api-version=1"].map(|query| Ask { query, stream: true, ..ask }))
        .collect();
    let mut served = 0;
    for provider in PROVIDERS {
        for base in
            ["", "/", "/v1", "/v1/", "/openai", "/v1beta/openai/", "/api/v3", "/corp/llm", "/x/openai/v1"]
        {
            let targets = Targets::new(provider, base);
            for (dialect, ..) in DIALECTS {
                for ask in asks.iter().map(|ask| Ask { dialect: *dialect, ..*ask }) {
                    let expected = target(provider, base, &ask);
                    assert_eq!(targets.target(&ask), expected, "{} {base} {ask:?}", provider.kind);
                    served += usize::from(expected.is_ok());
                }
            }
        }
    }
    assert!(served > 10_000, "{served}");
}

#[test]
fn names_are_encoded_byte_by_byte() {
    let encoded = |name: &str, slashes| {
        let mut path = "/".to_owned();
        push_encoded(&mut path, name, slashes).map(|()| path)
    };
    assert_eq!(encoded("a/b.c-d_e~f@g:h9Z", true).as_deref(), Ok("/a/b.c-d_e~f@g:h9Z"));
    assert_eq!(encoded("a/b", false).as_deref(), Ok("/a%2Fb"));
    assert_eq!(encoded("ä %", true).as_deref(), Ok("/%C3%A4%20%25"));
    assert_eq!(encoded("..a/.b", true).as_deref(), Ok("/..a/.b"));
    for name in ["", "/", "a/", "/a", "a//b", ".", "..", "a/..", "./a", "a/./b"] {
        assert_eq!(encoded(name, true), Err(Unsupported::Model), "{name}");
        assert_eq!(encoded(name, false), Err(Unsupported::Model), "{name}");
    }
}
