//! From a model's name to a provider.

use crate::support::{Ask, GEMINI, Gate};
use narrows_llm::Family;
use serde_json::Value;

fn chat(model: &str) -> Ask {
    Ask::post("/v1/chat/completions", format!(r#"{{"a":1,"model":"{model}","messages":[],"z":2}}"#))
}

#[tokio::test]
async fn an_alias_and_a_providers_prefix_are_written_into_the_body_and_nothing_else_is() {
    let gate = Gate::plan().top("models: {fast: openai/gpt-4o-mini, faster: fast}").start();
    for (asked, sent) in [
        ("fast", "gpt-4o-mini"),
        ("faster", "gpt-4o-mini"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openai/ft:gpt-4o:acme/x", "ft:gpt-4o:acme/x"),
        ("gpt-4o", "gpt-4o"),
        ("anthropic/claude-opus-4-1", "claude-opus-4-1"),
    ] {
        let answer = gate.ask_as_key(chat(asked)).await;
        assert_eq!(answer.status(), 200, "{asked}: {}", answer.text());
        let seen = gate.fake.seen().pop().unwrap();
        let expected = format!(r#"{{"a":1,"model":"{sent}","messages":[],"z":2}}"#);
        assert_eq!(String::from_utf8(seen.body).unwrap(), expected);
        let record = gate.record_of(&answer).await;
        assert_eq!(
            (record.model_requested.as_deref(), record.model_sent.as_deref()),
            (Some(asked), Some(sent))
        );
        assert_eq!(record.model_answered.as_deref(), Some(sent), "the fake names the model it was asked for");
    }
}

#[tokio::test]
async fn an_escaped_model_is_read_as_what_it_means() {
    let gate = Gate::plan().top("models: {fast: openai/gpt-4o-mini}").start();
    let body = r#"{"mod\u0065l":"f\u0061st","messages":[]}"#;
    let answer = gate.ask_as_key(Ask::post("/v1/chat/completions", body)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen: Value = serde_json::from_slice(&gate.fake.seen()[0].body).unwrap();
    assert_eq!(seen["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn geminis_model_stands_in_the_path() {
    let gate = Gate::plan().top("models: {flash: gemini/gemini-2.5-flash}").start();
    for (path, sent) in [
        ("/v1beta/models/flash:generateContent", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("/v1/models/gemini-2.5-pro:generateContent", "/v1beta/models/gemini-2.5-pro:generateContent"),
        ("/v1beta/models/models%2Fgemini-2.5-pro:countTokens", "/v1beta/models/gemini-2.5-pro:countTokens"),
        (
            "/genai/v1beta/models/flash:streamGenerateContent?alt=sse",
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        ("/gemini/v1beta/tunedModels/mine:generateContent", "/v1beta/tunedModels/mine:generateContent"),
    ] {
        let answer = gate.ask_as_key(Ask::unary(&GEMINI).to(path)).await;
        // The fake has no tuned models.
        let status = if path.contains("tunedModels") { 404 } else { 200 };
        assert_eq!(answer.status(), status, "{path}: {}", answer.text());
        assert_eq!(gate.fake.seen().pop().unwrap().line, format!("POST {sent} HTTP/1.1"), "{path}");
    }
}

#[tokio::test]
async fn azure_is_asked_by_deployment_or_on_its_undated_surface() {
    let gate = Gate::plan()
        .provider(
            "dated",
            "kind: azure, base_url: 'http://{fake}', api_key: az-1, api_version: 2024-10-21, models: [my-*]",
        )
        .provider("undated", "kind: azure, base_url: 'http://{fake}', api_key: az-2, models: [new-*]")
        .start();
    for (model, line) in [
        ("my-gpt", "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"),
        ("new-gpt", "POST /openai/v1/chat/completions HTTP/1.1"),
    ] {
        let answer = gate.ask_as_key(chat(model)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let seen = gate.fake.seen().pop().unwrap();
        assert_eq!(seen.line, line);
        assert!(seen.header("api-key").is_some_and(|key| key.starts_with("az-")), "{:?}", seen.headers);
        assert_eq!(seen.header("authorization"), None);
    }
}

#[tokio::test]
async fn the_most_specific_pattern_wins() {
    let gate = Gate::plan()
        .provider("broad", "kind: openai-compatible, base_url: 'http://{fake}/broad', models: ['mix*']")
        .provider(
            "exact",
            "kind: openai-compatible, base_url: 'http://{fake}/exact', models: ['mixtral-8x7b']",
        )
        .provider(
            "middle",
            "kind: openai-compatible, base_url: 'http://{fake}/middle', models: ['mixtral-*']",
        )
        .start();
    for (model, provider) in [("mixtral-8x7b", "exact"), ("mixtral-8x22b", "middle"), ("mix", "broad")] {
        let answer = gate.ask_as_key(chat(model)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(gate.record_of(&answer).await.provider.as_deref(), Some(provider));
        assert!(gate.fake.seen().pop().unwrap().line.contains(&format!("/{provider}/")));
    }
}

#[tokio::test]
async fn a_provider_that_does_not_speak_the_dialect_is_not_asked() {
    let gate = Gate::start();
    let body = r#"{"model":"gpt-4o","max_tokens":1,"messages":[]}"#;
    let answer = gate.ask_as_key(Ask::post("/v1/messages", body)).await;
    assert_eq!((answer.status(), &*answer.code(Family::Anthropic)), (400, "dialect_unsupported"));
    assert_eq!(gate.fake.requests(), 0);
}
