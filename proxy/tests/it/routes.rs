//! Every served path.

use crate::support::{Ask, EMBEDDINGS, Gate, Kind, MESSAGES, patient};
use narrows_llm::endpoint::{Operation, ROUTES, Route};
use narrows_llm::{Dialect, Family};
use narrows_policy::Reason;

/// A request to a route, behind a prefix, without a key.
fn ask(route: &Route, prefix: &str) -> Ask {
    let model = match route.dialect.family() {
        Family::Openai => "gpt-4o",
        Family::Anthropic => "claude-sonnet-4-5",
        Family::Gemini => "gemini-2.5-flash",
    };
    let path = route.path.replace("{version}", "v1beta").replace("{model}", model);
    let target = format!("{prefix}{path}");
    if route.method == "GET" {
        return Ask::get(&target);
    }
    let body = match route.dialect {
        _ if route.operation == Operation::Scan => r#"{"text":"hi"}"#.to_owned(),
        Dialect::GeminiGenerate => r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}"#.to_owned(),
        Dialect::OpenaiEmbeddings => EMBEDDINGS.body(false),
        _ => format!(r#"{{"model":"{model}","input":"hi","messages":[],"prompt":"hi"}}"#),
    };
    Ask::post(&target, body)
}

/// The routes that serve exchanges: all but the probes.
fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(|route| route.operation != Operation::Probe)
}

/// In whose shape a route's answers are behind a prefix.
fn family(route: &Route, prefix: &str) -> Family {
    let listing = matches!(route.operation, Operation::ListModels | Operation::GetModel);
    match prefix {
        "/anthropic" if listing => Family::Anthropic,
        "/gemini" | "/genai" if listing => Family::Gemini,
        _ => route.dialect.family(),
    }
}

#[tokio::test]
async fn every_route_refuses_a_missing_key_before_the_body_is_read() {
    let gate = Gate::start();
    let mut asked = 0;
    for prefix in ["", "/openai", "/anthropic", "/gemini", "/genai", "/nobody"] {
        for route in routes() {
            let mut ask = ask(route, prefix);
            if route.method == "POST" {
                // The head alone: the body it announces never comes.
                ask = ask.framed(crate::support::ask::Framing::Own).with("content-length", "10000000000");
            }
            let mut client = gate.connect().await;
            client.send(&ask.head()).await;
            let answer = client.answer(false).await;
            assert_eq!(answer.status(), 401, "{} {}", ask.method, ask.target);
            assert_eq!(answer.code(family(route, prefix)), "key_missing", "{} {}", ask.method, ask.target);
            asked += 1;
        }
    }
    let records = gate.records().await;
    assert_eq!(records.len(), asked);
    for record in &records {
        assert_eq!((record.reason, record.status), (Reason::KeyMissing, 401));
        assert!(record.attempts.is_empty() && record.caller.key_id.is_none(), "{record:?}");
        assert_eq!(record.caller.organization, "acme");
    }
    assert_eq!((gate.fake.requests(), gate.fake.connections()), (0, 0));
}

#[tokio::test]
async fn every_route_serves_a_known_key_and_records_exactly_once() {
    let gate = Gate::plan()
        .provider("spare-openai", "kind: openai, base_url: 'http://{fake}/v1', api_key: sk-1, models: []")
        .provider("spare-anthropic", "kind: anthropic, base_url: 'http://{fake}', api_key: sk-1, models: []")
        .provider("spare-gemini", "kind: gemini, base_url: 'http://{fake}', api_key: sk-1, models: []")
        .top("models: {my-model: openai/gpt-4o}")
        .start();
    let mut asked = Vec::new();
    // The fake has no tuned models; `routing` sees where they go. Conversations are in `sockets`.
    let served = |route: &&Route| !route.path.contains("tunedModels") && !route.operation.is_conversation();
    for route in routes().filter(served) {
        let prefixes: &[(&str, &str)] = match route.dialect.family() {
            Family::Openai => &[("", "openai"), ("/openai", "openai"), ("/spare-openai", "spare-openai")],
            Family::Anthropic => {
                &[("", "anthropic"), ("/anthropic", "anthropic"), ("/spare-anthropic", "spare-anthropic")]
            }
            Family::Gemini => &[
                ("", "gemini"),
                ("/gemini", "gemini"),
                ("/genai", "gemini"),
                ("/spare-gemini", "spare-gemini"),
            ],
        };
        for (prefix, provider) in prefixes {
            let ask = ask(route, prefix);
            let answer = gate.ask_as_key(ask.clone()).await;
            assert_eq!(answer.status(), 200, "{} {}: {}", ask.method, ask.target, answer.text());
            // Answered by the gateway, without a provider.
            let listing =
                matches!(route.operation, Operation::ListModels | Operation::GetModel | Operation::Scan);
            let dialect = if listing { None } else { Some(route.dialect.as_str()) };
            asked.push((answer.id(), dialect, (!listing).then_some(*provider), ask.target));
        }
    }
    let records = gate.records().await;
    assert_eq!(records.len(), asked.len());
    for (id, dialect, provider, target) in asked {
        let of_it: Vec<_> = records.iter().filter(|record| record.id == id).collect();
        assert_eq!(of_it.len(), 1, "{target}");
        let record = of_it[0];
        assert_eq!((record.reason, record.status), (Reason::Completed, 200), "{target}");
        assert_eq!(record.provider.as_deref(), provider, "{target}");
        assert!(dialect.is_none() || record.dialect == dialect, "{target}: {:?}", record.dialect);
        assert_eq!(record.caller.key_id.as_deref(), Some(&*gate.key_id), "{target}");
        assert_eq!(record.caller.user.as_deref(), Some("ada"), "{target}");
    }
}

#[tokio::test]
async fn openai_paths_work_behind_a_prefix_without_their_version() {
    let gate = Gate::start();
    let body = r#"{"model":"gpt-4o","messages":[]}"#;
    let answer = gate.ask_as_key(Ask::post("/openai/chat/completions", body)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert!(gate.fake.seen()[0].line.starts_with("POST /v1/chat/completions "), "{:?}", gate.fake.seen());
}

#[tokio::test]
async fn an_unknown_query_is_ignored_and_passed_on() {
    let gate = Gate::start();
    let answer = gate.ask_as_key(Ask::unary(&MESSAGES).to("/v1/messages?beta=true")).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(gate.fake.seen()[0].line, "POST /v1/messages?beta=true HTTP/1.1");
}

#[tokio::test]
async fn models_are_listed_in_the_shape_of_the_caller() {
    let gate = Gate::plan()
        .usual("models: ['gpt-*', 'claude-*', 'gemini-*']")
        .top("models: {fast: openai/gpt-4o-mini, deep: anthropic/claude-opus-4-1, wide: gemini/gemini-2.5-pro}")
        .start();
    let openai = gate.ask_as_key(Ask::get("/v1/models")).await.json();
    assert_eq!(openai["object"], "list");
    let ids = |list: &serde_json::Value, member: &str| -> Vec<String> {
        let entries = list.as_array().unwrap().iter();
        entries.map(|entry| entry[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&openai["data"], "id"), ["deep", "fast", "wide"], "everything");
    assert_eq!(openai["data"][0]["object"], "model");
    for anthropic in [
        Ask::get("/v1/models").with("anthropic-version", "2023-06-01"),
        Ask::get("/v1/models?limit=1000").with("anthropic-version", "2023-06-01"),
        Ask::get("/anthropic/v1/models"),
    ] {
        let target = anthropic.target.clone();
        let list = gate.ask_as_key(anthropic).await.json();
        assert_eq!(list["has_more"], false, "{target}: {list}");
        assert_eq!(list["data"][0]["type"], "model", "{target}: {list}");
        // What does not speak the caller's dialect is of no use to it.
        assert_eq!(ids(&list["data"], "id"), ["deep"], "{target}");
    }
    for gemini in [
        Ask::get("/v1beta/models"),
        Ask::get("/genai/v1beta/models"),
        Ask::get("/v1/models").with("x-goog-api-client", "google-genai-sdk/3.4.0"),
    ] {
        let list = gate.ask_as_key(gemini).await.json();
        assert_eq!(ids(&list["models"], "name"), ["models/wide"], "{list}");
    }
    let unspoken = Ask::get("/v1/models/fast").with("anthropic-version", "2023-06-01");
    assert_eq!(gate.ask_as_key(unspoken).await.status(), 404);
    let one = Ask::get("/v1/models/deep").with("anthropic-version", "2023-06-01");
    let one = gate.ask_as_key(one).await.json();
    assert_eq!((&one["id"], &one["type"]), (&"deep".into(), &"model".into()), "{one}");
    // A refusal is in the caller's shape too.
    let none = Ask::get("/v1/models/gpt").with("anthropic-version", "2023-06-01").key("nrw_nobody");
    assert_eq!(gate.ask(&none).await.code(Family::Anthropic), "key_unknown");
}

#[tokio::test]
async fn a_key_lists_only_what_it_may_use() {
    let gate = Gate::plan()
        .usual("models: ['gpt-*', 'claude-*', 'gemini-*']")
        .top("models: {fast: openai/gpt-4o-mini, deep: anthropic/claude-opus-4-1}")
        .key(|key| key.models = Some(vec!["claude-*".into()]))
        .start();
    let key = &gate.keys[1].1;
    let list = gate.ask(&Ask::get("/v1/models").key(key)).await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list["data"][0]["id"], "deep");
    let refused = gate.ask(&Ask::get("/v1/models/gpt-4o-mini").key(key)).await;
    assert_eq!((refused.status(), &*refused.code(Family::Openai)), (404, "model_unknown"));
}

#[tokio::test]
async fn probes_answer_without_a_key_and_leave_no_record() {
    let gate = Gate::start();
    let mut client = gate.connect().await;
    let head = client.ask(&Ask { method: "HEAD".into(), ..Ask::get("/") }).await;
    assert_eq!((head.status(), head.body.len()), (200, 0));
    let got = client.ask(&Ask::get("/")).await;
    assert_eq!((got.status(), got.json()["name"].as_str()), (200, Some("narrows")));
    assert_eq!(head.header("content-length"), got.header("content-length"));
    for prefix in ["/openai", "/anthropic/", "/gemini"] {
        assert_eq!(client.ask(&Ask::get(prefix)).await.status(), 200, "{prefix}");
    }
    assert_eq!(gate.records().await.len(), 0);
    assert_eq!(gate.gauge("narrows_probes_total").await, 5.0);
}

#[tokio::test]
async fn the_prefix_of_a_provider_decides_over_its_patterns() {
    let gate = Gate::plan()
        .provider("second", "kind: openai, base_url: 'http://{fake}/second/v1', api_key: sk-2, models: []")
        .start();
    for kind in [&crate::support::CHAT, &crate::support::RESPONSES] as [&Kind; 2] {
        let answer = gate.ask_as_key(Ask::unary(kind).to(&format!("/second{}", kind.unary))).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(gate.record_of(&answer).await.provider.as_deref(), Some("second"));
    }
    patient("requests", gate.fake.wait_billed(|lines| lines.len() == 2)).await;
    assert!(gate.fake.seen().iter().all(|seen| seen.line.starts_with("POST /second/v1/")));
}
