use super::super::api::{BODY_BYTES_MAX, BULK_BYTES_MAX};
use super::House;
use narrows_ledger::{KEYS_AT_ONCE_MAX, KeyFault};
use serde_json::{Value, json};

const BULK: &str = "/admin/v1/keys/bulk";
const DISABLE: &str = "/admin/v1/keys/bulk/disable";

fn verify(house: &House, key: &Value) -> Result<(), KeyFault> {
    let now_us = jiff::Timestamp::now().as_microsecond();
    house.gateway.ledger.keys().verify(key.as_str().unwrap(), now_us).map(drop)
}

fn named(names: impl IntoIterator<Item = String>) -> String {
    let keys: Vec<Value> = names.into_iter().map(|name| json!({"name": name})).collect();
    json!({"keys": keys}).to_string()
}

#[test]
fn many_keys_are_made_and_switched_off_at_once() {
    let house = House::new();
    let asked = json!({"keys": [
        {"name": "ada", "user": "ada", "team": "red", "models": ["gpt-5*"], "expires_at": "90d"},
        {"name": "ci", "service_account": "ci", "metadata": {"cost-center": "42"}, "organization": "other"},
    ]});
    let created = house.ask("POST", BULK, &asked.to_string());
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(created.head.contains("cache-control: no-store"), "{}", created.head);
    let keys = created.json()["keys"].clone();
    assert_eq!((&keys[0]["organization"], &keys[1]["organization"]), (&json!("acme"), &json!("other")));
    assert_eq!(
        (&keys[0]["models"], &keys[1]["metadata"]),
        (&json!(["gpt-5*"]), &json!({"cost-center": "42"}))
    );
    assert_eq!((verify(&house, &keys[0]["key"]), verify(&house, &keys[1]["key"])), (Ok(()), Ok(())));
    let trail = house.get("/admin/v1/audit?action=key_created").ok();
    assert_eq!(trail["events"].as_array().unwrap().len(), 2, "{trail}");

    let ids = json!({"ids": [keys[0]["id"], keys[1]["id"], keys[0]["id"]]}).to_string();
    let disabled = house.ask("POST", DISABLE, &ids).ok();
    assert_eq!(disabled["keys"].as_array().unwrap().len(), 2, "each once: {disabled}");
    assert_eq!(
        (&disabled["keys"][1]["id"], &disabled["keys"][1]["state"]),
        (&keys[1]["id"], &json!("disabled"))
    );
    assert_eq!(verify(&house, &keys[0]["key"]), Err(KeyFault::Disabled));
    assert_eq!(house.ask("POST", DISABLE, &ids).ok(), disabled, "once more changes nothing");
}

#[test]
fn a_refusal_names_the_entry_and_its_cause_and_nothing_is_done() {
    let house = House::new();
    house.ask("POST", BULK, &named(["taken".to_owned()]));
    let refused = |path: &str, body: &str, status: u16, code: &str, position: u64, part: &str| {
        let answer = house.ask("POST", path, body);
        let (found, message) = answer.refusal(status);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(&format!("key {position} of the list")), "{message}");
        assert!(message.contains(part), "{message}");
        if code != "invalid_body" {
            assert_eq!(answer.json()["error"]["position"], position, "{}", answer.body);
        }
    };
    let second = |entry: &str| format!(r#"{{"keys": [{{"name": "a"}}, {entry}, {{"name": "b"}}]}}"#);
    refused(BULK, &second(r#"{"name": "x", "modles": []}"#), 400, "invalid_body", 2, "`modles`");
    refused(BULK, &second("{}"), 400, "invalid_body", 2, "`name`");
    refused(BULK, &second(r#"{"name": ""}"#), 400, "invalid_key", 2, "name");
    let past = r#"{"name": "x", "expires_at": "2001-01-01"}"#;
    refused(BULK, &second(past), 400, "invalid_body", 2, "past");
    refused(BULK, &second(r#"{"name": "taken"}"#), 409, "key_name_taken", 2, "`taken`");
    refused(BULK, &second(r#"{"name": "a"}"#), 409, "key_name_taken", 2, "key 1 of the list");
    refused(DISABLE, r#"{"ids": ["nobody"]}"#, 404, "key_not_found", 1, "`nobody`");
    refused(DISABLE, r#"{"ids": ["x", 5]}"#, 400, "invalid_body", 2, "a string");
    for (path, body) in [(BULK, "{}"), (BULK, r#"{"keys": {}}"#), (DISABLE, r#"{"ids": [], "id": 1}"#)] {
        assert_eq!(house.ask("POST", path, body).refusal(400).0, "invalid_body", "{body}");
    }
    assert_eq!(house.get("/admin/v1/keys").ok()["keys"].as_array().unwrap().len(), 1, "only the first");
}

#[test]
fn the_same_list_makes_no_key_twice() {
    let house = House::new();
    let body = named((0..10).map(|number| format!("n{number}")));
    assert_eq!(house.ask("POST", BULK, &body).status, 201);
    assert_eq!(house.ask("POST", BULK, &body).refusal(409).0, "key_name_taken");
    assert_eq!(house.get("/admin/v1/keys").ok()["keys"].as_array().unwrap().len(), 10);
}

#[test]
fn a_list_has_a_limit_in_entries_and_bytes() {
    let house = House::new();
    let many = |count: usize| named((0..count).map(|number| format!("name-{number}")));
    let (code, message) = house.ask("POST", BULK, &many(KEYS_AT_ONCE_MAX + 1)).refusal(400);
    assert!(code == "invalid_body" && message.contains(&KEYS_AT_ONCE_MAX.to_string()), "{message}");
    let fits = house.ask("POST", BULK, &many(KEYS_AT_ONCE_MAX));
    assert_eq!(fits.status, 201);
    assert_eq!(fits.json()["keys"].as_array().unwrap().len(), KEYS_AT_ONCE_MAX);

    let padded = |bytes: usize| {
        let body = named(["one".to_owned()]);
        format!("{body}{}", " ".repeat(bytes - body.len()))
    };
    assert_eq!(house.ask("POST", BULK, &padded(BULK_BYTES_MAX)).status, 201);
    let (code, message) = house.ask("POST", BULK, &padded(BULK_BYTES_MAX + 1)).refusal(413);
    assert!(code == "body_too_large" && message.contains(&BULK_BYTES_MAX.to_string()), "{message}");
    let one = format!(r#"{{"name": "x"}}{}"#, " ".repeat(BODY_BYTES_MAX));
    assert_eq!(house.ask("POST", "/admin/v1/keys", &one).status, 413, "and elsewhere the limit stays");
}
