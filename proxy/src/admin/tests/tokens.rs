use super::House;
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The newest event of a kind.
fn newest(house: &House, action: &str) -> Value {
    house.get(&format!("/admin/v1/audit?action={action}&limit=1")).ok()["events"][0].clone()
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let house = House::new();
    let asked = json!({"name": "grafana", "organization": "acme", "expires_at": "30d"});
    let created = house.ask("POST", "/admin/v1/tokens", &asked.to_string());
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(created.head.contains("cache-control: no-store"), "{}", created.head);
    let (id, token) = (text(&created.json()["id"]), text(&created.json()["token"]));
    assert!(created.head.contains(&format!("location: /admin/v1/tokens/{}", id.to_ascii_lowercase())));
    assert_eq!(created.json()["role"], "read", "the least, unless more is asked for");
    assert_eq!(created.json()["last_used_at"], Value::Null);

    assert_eq!(house.ask_as(&token, "GET", "/admin/v1/keys", "").status, 200);
    let path = format!("/admin/v1/tokens/{id}");
    let shown = house.get(&path).ok();
    assert!(text(&shown["last_used_at"]).ends_with('Z'), "{shown}");
    let listed = house.get("/admin/v1/tokens");
    assert!(!listed.body.contains(&token), "a secret is seen once");
    let names: Vec<_> =
        listed.json()["tokens"].as_array().unwrap().iter().map(|token| text(&token["name"])).collect();
    assert_eq!(names, ["first", "grafana"]);

    assert_eq!(house.ask("DELETE", &path, "").ok()["state"], "revoked");
    assert_eq!(house.ask_as(&token, "GET", "/admin/v1/keys", "").refusal(401).0, "unauthorized");
    assert_eq!(house.get("/admin/v1/tokens/000000000000").refusal(404).0, "token_not_found");
    let event = newest(&house, "admin_token_revoked");
    assert_eq!((&event["target"], &event["actor_name"]), (&json!(id), &json!("first")));
}

#[test]
fn what_is_wrong_with_a_token_is_named() {
    let house = House::new();
    for (body, code, part) in [
        (r#"{"name": "x", "rolle": "read"}"#, "invalid_body", "`rolle`"),
        (r#"{"name": "x", "role": "root"}"#, "invalid_body", "`write`"),
        (r#"{"name": ""}"#, "invalid_key", "name"),
        (r#"{"name": "x", "organization": ""}"#, "invalid_key", "organization"),
        (r#"{"name": "x", "expires_at": "2001-01-01"}"#, "invalid_body", "past"),
    ] {
        let (found, message) = house.ask("POST", "/admin/v1/tokens", body).refusal(400);
        assert!(found == code && message.contains(part), "{body}: {found} {message}");
    }
}

#[test]
fn reads_of_records_are_written_down_with_who_what_and_how_many() {
    let house = House::new();
    house.gateway.ledger.submit(crate::telemetry::metrics::tests::record());
    house.gateway.ledger.flush(super::PATIENCE).unwrap();
    let record = house.get("/admin/v1/records?team=red&limit=5&from=2026-01-01").ok();
    let actor = narrows_ledger::PresentedKey::parse(&house.token).unwrap().id().to_owned();
    let event = newest(&house, "records_read");
    assert_eq!((&event["actor"], &event["actor_name"]), (&json!(actor), &json!("first")));
    assert_eq!(event["detail"], "team=red&limit=5&from=2026-01-01");
    assert_eq!(event["rows"], record["records"].as_array().unwrap().len());
    assert!(text(&event["at"]).len() == "2026-01-31T13:00:00.000000Z".len(), "{event}");

    let all = house.get("/admin/v1/records").ok();
    let id = text(&all["records"][0]["id"]);
    assert_eq!(newest(&house, "records_read")["rows"], 1);
    house.get(&format!("/admin/v1/records/{id}")).ok();
    let event = newest(&house, "record_read");
    assert_eq!((&event["target"], &event["rows"]), (&json!(id), &json!(1)));
    house.get("/admin/v1/records/00000000-0000-7000-8000-000000000000").refusal(404);
    assert_eq!(newest(&house, "record_read")["rows"], 0);
    house.get("/admin/v1/usage?by=team").ok();
    assert_eq!(newest(&house, "usage_read")["detail"], "by=team");
    // Reading the trail is a read too.
    assert_eq!(newest(&house, "audit_read")["detail"], "action=usage_read&limit=1");
}

#[test]
fn the_trail_comes_in_pages_and_refuses_what_it_does_not_know() {
    let house = House::new();
    for name in ["a", "b", "c"] {
        house.ask("POST", "/admin/v1/keys", &json!({"name": name}).to_string());
    }
    let page = house.get("/admin/v1/audit?action=key_created&limit=2").ok();
    let names = |page: &Value| -> Vec<String> {
        page["events"].as_array().unwrap().iter().map(|event| text(&event["detail"])).collect()
    };
    assert_eq!(names(&page), ["c", "b"]);
    let next = text(&page["next"]);
    let last = house.get(&format!("/admin/v1/audit?action=key_created&limit=2&cursor={next}")).ok();
    assert_eq!((names(&last), &last["next"]), (vec!["a".to_owned()], &Value::Null));
    for (query, part) in
        [("limit=0", "1 to 1000"), ("limit=1001", "1 to 1000"), ("cursor=x", "`next`"), ("by=x", "action")]
    {
        let (_, message) = house.get(&format!("/admin/v1/audit?{query}")).refusal(400);
        assert!(message.contains(part), "{query}: {message}");
    }
}
