//! Paths beside inference.

use crate::support::ask::Framing;
use crate::support::{Ask, Gate};
use narrows_llm::Family;
use narrows_llm::paths::{Answer, Body, GROUPS, ModelIn, Row};
use narrows_meter::Origin;
use narrows_policy::Reason;

/// A form with a file, and a model if one is given.
pub(crate) fn form(model: Option<&str>, content: &str) -> (String, Vec<u8>) {
    let mut body = String::new();
    if let Some(model) = model {
        body.push_str(&format!("--b-1\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n"));
    }
    body.push_str("--b-1\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n");
    body.push_str(&format!(
        "--b-1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{content}\r\n--b-1--\r\n"
    ));
    ("multipart/form-data; boundary=b-1".to_owned(), body.into_bytes())
}

/// An upload of a file.
fn upload(target: &str, model: Option<&str>) -> Ask {
    let (kind, body) = form(model, "{}");
    Ask { body, ..Ask::new("POST", target) }.with("content-type", &kind)
}

/// Every group of every family, and a path of an operator's own.
fn everything() -> crate::support::gate::Plan {
    let groups = |family: Family| {
        let names: Vec<&str> =
            GROUPS.iter().filter(|group| group.family == family).map(|group| group.name).collect();
        names.join(", ")
    };
    let provider = |kind: &str, path: &str, family: Family, more: &str| {
        format!(
            "kind: {kind}, base_url: 'http://{{fake}}{path}', api_key: sk-1, models: [], paths: [{}{more}]",
            groups(family)
        )
    };
    let own = ", 'POST /v1/things', 'GET /v1/things/{id}', 'DELETE /v1/things/{id}'";
    Gate::plan()
        .provider("all-openai", &provider("openai", "/v1", Family::Openai, own))
        .provider("all-anthropic", &provider("anthropic", "", Family::Anthropic, ""))
        .provider("all-gemini", &provider("gemini", "/v1beta", Family::Gemini, ""))
        .key(|key| key.team = Some("green".into()))
        .key(|key| {
            key.team = Some("blue".into());
            key.models = Some(vec!["gpt-4o*".into(), "whisper-1".into()]);
        })
}

fn prefix(family: Family) -> &'static str {
    match family {
        Family::Openai => "/all-openai",
        Family::Anthropic => "/all-anthropic",
        Family::Gemini => "/all-gemini",
    }
}

/// Makes an object of the collection that a path is in; the path's beginning with its id.
async fn made(gate: &Gate, family: Family, path: &str) -> String {
    let template: Vec<&str> = path.split('/').collect();
    let at = template.iter().position(|segment| segment.starts_with("{id}")).unwrap();
    let collection = template[..at].join("/").replace("{version}", "v1beta");
    let target = format!("{}{collection}", prefix(family));
    let (name, id) = match collection.as_str() {
        "/v1/responses" => {
            let body = r#"{"model":"gpt-4o","input":"hi"}"#;
            let answer = gate.ask_as_key(Ask::post(&target, body)).await;
            (answer.status(), answer.json()["id"].clone())
        }
        "/v1beta/files" => {
            let answer = gate.ask_as_key(upload("/all-gemini/upload/v1beta/files", None)).await;
            (answer.status(), answer.json()["file"]["name"].clone())
        }
        "/v1beta/batches" => {
            let target = "/all-gemini/v1beta/models/gemini-2.5-flash:batchGenerateContent";
            let answer = gate.ask_as_key(Ask::post(target, "{}")).await;
            (answer.status(), answer.json()["name"].clone())
        }
        _ if collection.ends_with("/files") => {
            let answer = gate.ask_as_key(anthropic(family, upload(&target, None))).await;
            (answer.status(), answer.json()["id"].clone())
        }
        _ => {
            let answer = gate.ask_as_key(anthropic(family, Ask::post(&target, "{}"))).await;
            let id = if family == Family::Gemini { "name" } else { "id" };
            (answer.status(), answer.json()[id].clone())
        }
    };
    assert_eq!(name, 200, "{target}");
    let id = id.as_str().unwrap_or_else(|| panic!("no id from {target}"));
    id.rsplit('/').next().unwrap().to_owned()
}

fn anthropic(family: Family, ask: Ask) -> Ask {
    if family == Family::Anthropic { ask.with("anthropic-version", "2023-06-01") } else { ask }
}

/// A request to a row, with real ids in the place of its placeholders.
async fn example(gate: &Gate, family: Family, row: &Row) -> Ask {
    let id = if row.path.contains("{id}") { made(gate, family, row.path).await } else { String::new() };
    let mut file = String::new();
    if row.path.contains("{file_id}") {
        file = made(gate, family, "/v1/files/{id}").await;
    }
    let path = row
        .path
        .replace("{version}", "v1beta")
        .replace("{id}", &id)
        .replace("{file_id}", &file)
        .replace("{model}", "gemini-2.5-flash")
        .replace(['{', '}'], "");
    let target = format!("{}{path}", prefix(family));
    let model = if row.model == ModelIn::Nowhere { None } else { Some("gpt-4o") };
    let ask = match row.body {
        Body::None => Ask { method: row.method.to_owned(), ..Ask::get(&target) },
        Body::Json => {
            let body = model.map_or("{}".to_owned(), |model| format!(r#"{{"model":"{model}","input":"x"}}"#));
            Ask { method: row.method.to_owned(), ..Ask::post(&target, body) }
        }
        Body::Upload => upload(&target, model),
    };
    anthropic(family, ask)
}

#[tokio::test]
async fn every_path_beside_inference_refuses_a_missing_key_before_anybody_is_asked() {
    let gate = everything().start();
    let mut asked = 0;
    for group in GROUPS {
        for row in group.rows {
            let path =
                row.path.replace("{version}", "v1beta").replace("{model}", "m").replace(['{', '}'], "x");
            let mut ask =
                Ask { method: row.method.to_owned(), ..Ask::get(&format!("{}{path}", prefix(group.family))) };
            if row.body != Body::None {
                // The head alone: the body it announces never comes.
                ask = ask.framed(Framing::Own).with("content-length", "10000000000");
            }
            let mut client = gate.connect().await;
            client.send(&ask.head()).await;
            let answer = client.answer(false).await;
            assert_eq!(answer.status(), 401, "{} {}", ask.method, ask.target);
            assert_eq!(answer.code(group.family), "key_missing", "{} {}", ask.method, ask.target);
            asked += 1;
        }
    }
    let own = gate.ask(&Ask::get("/all-openai/v1/things/x")).await;
    assert_eq!(own.code(Family::Openai), "key_missing");
    let records = gate.records().await;
    assert_eq!(records.len(), asked + 1);
    assert!(records.iter().all(|record| record.reason == Reason::KeyMissing && record.attempts.is_empty()));
    assert_eq!((gate.fake.requests(), gate.fake.connections()), (0, 0));
}

#[tokio::test]
async fn every_path_beside_inference_serves_a_known_key_and_records_exactly_once() {
    let gate = everything().start();
    let mut asked = Vec::new();
    for group in GROUPS {
        for row in group.rows {
            let ask = example(&gate, group.family, row).await;
            let target = format!("{} {}", ask.method, ask.target);
            let answer = gate.ask_as_key(ask).await;
            assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
            asked.push((answer.id(), group.dialect, row, prefix(group.family), target));
        }
    }
    let records = gate.records().await;
    for (id, dialect, row, provider, target) in asked {
        let of_it: Vec<_> = records.iter().filter(|record| record.id == id).collect();
        assert_eq!(of_it.len(), 1, "{target}");
        let record = of_it[0];
        assert_eq!((record.reason, record.status), (Reason::Completed, 200), "{target}");
        assert_eq!(record.dialect, Some(dialect), "{target}");
        assert_eq!(record.provider.as_deref(), provider.strip_prefix('/'), "{target}");
        assert_eq!(record.caller.key_id.as_deref(), Some(&*gate.key_id), "{target}");
        // What is metered is the provider's word; everything else is unknown, and never zero.
        let metered = row.answer == Answer::Metered
            && !row.path.ends_with("speech")
            && !row.path.ends_with("moderations");
        if metered {
            assert_ne!(record.origin, Origin::Unknown, "{target}");
            assert!(record.usage.input().is_some(), "{target}");
        } else {
            assert!(record.usage.is_unknown(), "{target}: {:?}", record.usage);
            assert_eq!(record.origin, Origin::Unknown, "{target}");
        }
    }
}

#[tokio::test]
async fn nothing_beside_inference_is_served_unless_it_is_allowed_and_the_answer_names_the_key() {
    let gate = Gate::start();
    for (target, family, key) in [
        ("/v1/files", Family::Openai, "`files` in providers.NAME.paths"),
        ("/openai/v1/files", Family::Openai, "`files` in providers.openai.paths"),
        ("/openai/files", Family::Openai, "`files` in providers.openai.paths"),
        (
            "/anthropic/v1/messages/batches",
            Family::Anthropic,
            "`message_batches` in providers.anthropic.paths",
        ),
        ("/gemini/v1beta/cachedContents", Family::Gemini, "`cached_contents` in providers.gemini.paths"),
    ] {
        let answer = gate.ask_as_key(Ask::get(target)).await;
        assert_eq!((answer.status(), &*answer.code(family)), (403, "path_not_allowed"), "{target}");
        assert!(answer.text().contains(key), "{target}: {}", answer.text());
        assert_eq!(gate.record_of(&answer).await.reason, Reason::PathNotAllowed);
    }
    // An upload is refused before its body is read.
    let ask = upload("/openai/v1/files", None).framed(Framing::Own).with("content-length", "100000000");
    let mut client = gate.connect().await;
    client.send(&ask.key(&gate.key).head()).await;
    assert_eq!(client.answer(false).await.status(), 403);
    let other = gate.ask_as_key(Ask::new("PUT", "/v1/files")).await;
    assert_eq!((other.status(), other.header("allow")), (405, Some("GET, POST")));
    assert_eq!(gate.ask_as_key(Ask::get("/v1/nothing")).await.status(), 404);
    assert_eq!(gate.fake.requests(), 0);
}

#[tokio::test]
async fn what_is_matched_is_what_is_sent() {
    let gate = everything().start();
    for target in [
        "/all-openai/v1/files/..%2f..%2fmodels",
        "/all-openai/v1/files/a%2Fcontent",
        "/all-openai/v1/files/%2e%2e/content",
        "/all-openai/v1/files/a;b",
        "/all-openai/v1/files/a/b/content",
        "/all-openai/v1//files",
        "/all-openai/v1/files/../models",
        "/all-openai/v1/things/a%20b",
    ] {
        let answer = gate.ask_as_key(Ask::get(target)).await;
        assert!(matches!(answer.status(), 400 | 404), "{target}: {}", answer.status());
    }
    assert_eq!(gate.fake.requests(), 0);
    let made = gate.ask_as_key(Ask::post("/all-openai/v1/things", "{}")).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let got = gate.ask_as_key(Ask::get(&format!("/all-openai/v1/things/{id}/?x=%2F..&key=secret"))).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let seen = gate.fake.seen();
    assert_eq!(seen.last().unwrap().line, format!("GET /v1/things/{id}?x=%2F.. HTTP/1.1"));
    assert_eq!(seen.last().unwrap().header("authorization"), Some("Bearer sk-1"));
    let record = gate.record_of(&got).await;
    assert_eq!(record.dialect, Some("own"));
    assert_eq!(record.client_address.map(|address| address.to_string()).as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_provider_that_is_disabled_is_asked_for_nothing_beside_inference_either() {
    let gate = everything().start();
    assert_eq!(gate.ask_as_key(Ask::get("/all-openai/v1/batches")).await.status(), 200);
    gate.admin_post("/admin/v1/targets/all-openai/disable").await;
    for path in ["/all-openai/v1/batches", "/all-openai/v1/files"] {
        let refused = gate.ask_as_key(Ask::get(path)).await;
        assert_eq!((refused.status(), &*refused.code(Family::Openai)), (503, "target_disabled"), "{path}");
    }
}
