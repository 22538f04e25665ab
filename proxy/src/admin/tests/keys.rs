use super::House;
use narrows_ledger::KeyFault;
use serde_json::{Value, json};

/// Whether the gateway takes a key now.
fn verify(house: &House, key: &str) -> Result<(), KeyFault> {
    house.gateway.ledger.keys().verify(key, jiff::Timestamp::now().as_microsecond()).map(drop)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_key_lives_from_creation_to_deletion() {
    let house = House::new();
    let asked = json!({
        "name": "laptop", "team": "red", "user": "ada", "models": ["gpt-5*"],
        "metadata": {"cost-center": "42"}, "expires_at": "90d",
    });
    let created = house.ask("POST", "/admin/v1/keys", &asked.to_string());
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(created.head.contains("cache-control: no-store"), "{}", created.head);
    let (id, key) = (text(&created.json()["id"]), text(&created.json()["key"]));
    assert!(created.head.contains(&format!("location: /admin/v1/keys/{}", id.to_ascii_lowercase())));
    assert_eq!(created.json()["organization"], "acme", "the configuration's");
    assert_eq!(verify(&house, &key), Ok(()));

    let listed = house.get("/admin/v1/keys");
    assert!(!listed.body.contains(&key), "a secret is seen once");
    let info = &listed.ok()["keys"][0];
    assert_eq!(
        (&info["id"], &info["state"], &info["metadata"]),
        (&json!(id), &json!("active"), &json!({"cost-center": "42"}))
    );
    assert!(text(&info["expires_at"]).ends_with('Z'));
    let path = format!("/admin/v1/keys/{id}");
    assert_eq!(&house.get(&path).ok(), info);

    assert_eq!(house.ask("POST", &format!("{path}/disable"), "").ok()["state"], "disabled");
    assert_eq!(verify(&house, &key), Err(KeyFault::Disabled));
    assert_eq!(house.ask("POST", &format!("{path}/enable"), "").ok()["state"], "active");
    assert_eq!(verify(&house, &key), Ok(()));

    let rotated = house.ask("POST", &format!("{path}/rotate"), r#"{"overlap": "1h"}"#);
    assert!(rotated.head.contains("cache-control: no-store"));
    let second = text(&rotated.ok()["key"]);
    assert_eq!((verify(&house, &key), verify(&house, &second)), (Ok(()), Ok(())), "both work for an hour");
    let third = text(&house.ask("POST", &format!("{path}/rotate"), "").ok()["key"]);
    assert_eq!((verify(&house, &second), verify(&house, &third)), (Err(KeyFault::Unknown), Ok(())));

    assert_eq!(house.ask("DELETE", &path, "").ok()["state"], "deleted");
    assert_eq!(verify(&house, &third), Err(KeyFault::Disabled));
    assert_eq!(house.get("/admin/v1/keys").ok()["keys"], json!([]));
    assert_eq!(house.get("/admin/v1/keys?deleted=true").ok()["keys"][0]["id"], json!(id));
    assert_eq!(house.ask("POST", &format!("{path}/enable"), "").refusal(409).0, "key_deleted");
    assert_eq!(house.get("/admin/v1/keys/nobody").refusal(404).0, "key_not_found");
}

#[test]
fn what_is_wrong_is_named() {
    let house = House::new();
    let refused = |body: &str, code: &str, parts: &[&str]| {
        let (found, message) = house.ask("POST", "/admin/v1/keys", body).refusal(400);
        assert_eq!(found, code, "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    refused(r#"{"name": "x", "modles": []}"#, "invalid_body", &["`modles`", "`models`"]);
    refused("{}", "invalid_body", &["`name`"]);
    refused("[1", "invalid_body", &["line 1"]);
    refused(r#"{"name": 5}"#, "invalid_body", &["a string"]);
    refused(r#"{"name": ""}"#, "invalid_key", &["name"]);
    refused(
        r#"{"name": "x", "user": "a", "service_account": "b"}"#,
        "invalid_key",
        &["user", "service account"],
    );
    refused(r#"{"name": "x", "expires_at": "soon"}"#, "invalid_body", &["`expires_at`", "90d", "2026-11-01"]);
    refused(r#"{"name": "x", "expires_at": "2001-01-01"}"#, "invalid_body", &["past"]);
    let created = house.ask("POST", "/admin/v1/keys", r#"{"name": "x"}"#).json();
    let rotate = format!("/admin/v1/keys/{}/rotate", created["id"].as_str().unwrap());
    let (_, message) = house.ask("POST", &rotate, r#"{"overlap": "long"}"#).refusal(400);
    assert!(message.contains("`overlap`") && message.contains("24h"), "{message}");
    let (_, message) = house.ask("POST", &rotate, r#"{"overlapping": "1h"}"#).refusal(400);
    assert!(message.contains("`overlapping`"), "{message}");
    let (_, message) = house.get("/admin/v1/keys?deleted=maybe").refusal(400);
    assert!(message.contains("`deleted`") && message.contains("`true` or `false`"), "{message}");
}

#[test]
fn every_change_names_the_token_that_made_it() {
    let house = House::new();
    let created = house.ask("POST", "/admin/v1/keys", r#"{"name": "x"}"#).json();
    house.ask("DELETE", &format!("/admin/v1/keys/{}", created["id"].as_str().unwrap()), "").ok();
    let actor = narrows_ledger::PresentedKey::parse(&house.token).unwrap().id().to_owned();
    let store = std::fs::read(house.gateway.ledger.place().file().unwrap()).unwrap();
    let wal = std::fs::read(format!("{}-wal", house.gateway.ledger.place())).unwrap_or_default();
    let holds = |text: &str| {
        [&store, &wal].iter().any(|bytes| memchr::memmem::find(bytes, text.as_bytes()).is_some())
    };
    // The trail's columns follow each other in a row: who, then what.
    assert!(holds(&format!("{actor}key_created")) && holds(&format!("{actor}key_deleted")));
    assert!(!holds(&house.token), "and never holds the token");
}

#[test]
fn keys_are_listed_in_pages_and_by_owner() {
    let house = House::new();
    for number in 0..5 {
        let asked = json!({"name": format!("key-{number}"), "user": if number == 3 { "bob" } else { "ada" }});
        assert_eq!(house.ask("POST", "/admin/v1/keys", &asked.to_string()).status, 201);
    }
    let all = house.get("/admin/v1/keys").ok();
    assert_eq!((all["keys"].as_array().unwrap().len(), &all["next"]), (5, &Value::Null));
    let pages = |query: &str| {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = house.get(&format!("/admin/v1/keys?limit=2{query}{cursor}")).ok();
            ids.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()));
            let Some(next) = page["next"].as_str() else { return ids };
            cursor = format!("&cursor={next}");
        }
    };
    let ids: Vec<Value> = all["keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert_eq!(pages(""), ids);
    assert_eq!(pages("&user=ada").len(), 4);
    assert_eq!(pages("&user=bob").len(), 1);
    // A page goes on behind a key that was deleted meanwhile.
    let last = ids[1].as_str().unwrap();
    house.ask("DELETE", &format!("/admin/v1/keys/{last}"), "").ok();
    let rest = house.get(&format!("/admin/v1/keys?limit=2&cursor={last}")).ok();
    assert_eq!(rest["keys"][0]["id"], ids[2]);
    assert_eq!((pages("").len(), pages("&deleted=true").len()), (4, 5));
    assert_eq!(pages("&user=ada&team=red").len(), 0);
    for wrong in ["limit=0", "limit=1001", "cursor=nobody"] {
        assert_eq!(
            house.get(&format!("/admin/v1/keys?{wrong}")).refusal(400).0,
            "invalid_parameter",
            "{wrong}"
        );
    }
}
