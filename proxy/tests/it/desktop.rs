//! Editors and desktop applications, which cannot be run here: their requests as their documentation describes them
//! (`clients/`; each file says where it is from).

use crate::support::{Ask, Gate};
use narrows_policy::Reason;
use serde_json::Value as Json;

/// Sends a file's requests and looks at what came back, what went to the provider, and what was recorded.
async fn replay(text: &str) {
    let fixture: Json = serde_json::from_str(text).unwrap();
    assert!(fixture["provenance"].as_str().unwrap().contains("documented"));
    // An alias with a neutral name, as the guide for Cursor says.
    let gate = Gate::plan().top("models: {team-large: openai/gpt-5}").start();
    let mut asked = Vec::new();
    for request in fixture["requests"].as_array().unwrap() {
        let what = request["what"].as_str().unwrap();
        let path = request["path"].as_str().unwrap();
        let mut ask = match request["method"].as_str().unwrap() {
            "GET" => Ask::get(path),
            method => Ask::new(method, path).body(request["body"].to_string()),
        };
        for (name, value) in request["headers"].as_object().unwrap() {
            ask = ask.with(name, &value.as_str().unwrap().replace("{key}", &gate.key));
        }
        let answer = gate.ask(&ask).await;
        assert_eq!(answer.status(), 200, "{what}: {}", answer.text());
        let text = answer.text();
        if request["body"]["stream"] == true {
            assert!(text.contains("data: "), "{what}: {text}");
        }
        if request["usage"] == true {
            assert!(text.contains("\"usage\":{"), "{what}: {text}");
        }
        asked.push((answer.id(), request, what));
    }
    let records = gate.records().await;
    let seen = gate.fake.seen();
    for (id, request, what) in asked {
        let record = records.iter().find(|record| record.id == id).unwrap();
        assert_eq!((record.reason, record.status), (Reason::Completed, 200), "{what}");
        let client =
            if request["headers"]["user-agent"].is_null() { None } else { fixture["recorded_as"].as_str() };
        assert_eq!(record.client, client, "{what}");
        let class = if client.is_some() { &fixture["class"] } else { &Json::from("1") };
        assert_eq!(record.class.as_str(), class, "{what}");
        assert_eq!(record.caller.user.as_deref(), Some("ada"), "{what}");
        if request["body"]["stream"] == true {
            assert!(record.usage.output_text.is_some_and(|tokens| tokens > 0), "{what}: {:?}", record.usage);
        }
    }
    // Headers of the client that are not about the way go on, its key does not.
    for request in &seen {
        assert!(!format!("{request:?}").contains(&gate.key), "{request:?}");
    }
}

#[tokio::test]
async fn what_cursor_sends_is_served_and_recorded() {
    replay(include_str!("clients/cursor.json")).await;
}

#[tokio::test]
async fn what_cline_sends_is_served_and_recorded() {
    replay(include_str!("clients/cline.json")).await;
}

#[tokio::test]
async fn what_copilot_sends_is_served_and_recorded() {
    replay(include_str!("clients/copilot.json")).await;
}

#[tokio::test]
async fn what_claude_desktop_sends_is_served_and_recorded() {
    replay(include_str!("clients/claude-desktop.json")).await;
}
