use super::{Answer, House, ask};
use narrows_ledger::{EntryKind, KeyFault};
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Asks with an `if-match`.
fn ask_if(house: &House, method: &str, path: &str, tag: &str, body: &str) -> Answer {
    let headers = format!("authorization: Bearer {}\r\nif-match: {tag}\r\n", house.token);
    ask(house.admin, method, path, &headers, body)
}

/// Makes something and gives its path.
fn make(house: &House, path: &str, body: &Value) -> String {
    let made = house.ask("POST", path, &body.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("{path}/{}", text(&made.json()["id"]));
    assert!(made.head.contains(&format!("location: {}", path.to_ascii_lowercase())), "{}", made.head);
    path
}

#[test]
fn every_kind_lives_from_creation_to_deletion() {
    let house = House::new();
    for kind in EntryKind::ALL {
        let list = format!("/admin/v1/{}", kind.plural());
        let path = make(&house, &list, &json!({"name": "first", "display_name": "First"}));
        let shown = house.get(&path);
        assert!(shown.head.contains("etag: \"1\""), "{}", shown.head);
        let entry = shown.ok();
        assert_eq!((&entry["kind"], &entry["state"]), (&json!(kind.as_str()), &json!("active")));
        let organization = if kind == EntryKind::Organization { "first" } else { "acme" };
        assert_eq!(entry["organization"], organization, "the configuration's");
        let listed = house.get(&list).ok();
        let listed = &listed[kind.plural().replace('-', "_")];
        assert_eq!(listed[0]["id"], entry["id"]);

        let again = house.ask("POST", &list, r#"{"name": "first"}"#);
        assert_eq!(again.refusal(409).0, "name_taken");
        let changed =
            ask_if(&house, "PATCH", &path, "\"1\"", r#"{"display_name": null, "external_id": "7"}"#);
        assert!(changed.head.contains("etag: \"2\""), "{}", changed.head);
        assert_eq!(
            (&changed.ok()["display_name"], &changed.ok()["external_id"]),
            (&Value::Null, &json!("7"))
        );
        assert_eq!(ask_if(&house, "PATCH", &path, "\"1\"", "{}").refusal(412).0, "version_mismatch");
        assert_eq!(ask_if(&house, "DELETE", &path, "\"1\"", "").refusal(412).0, "version_mismatch");
        assert_eq!(ask_if(&house, "DELETE", &path, "two", "").refusal(400).0, "invalid_parameter");
        assert_eq!(house.ask("PATCH", &path, r#"{"state": "deleted"}"#).refusal(400).0, "invalid_body");
        assert_eq!(house.ask("PATCH", &path, r#"{"name": "other"}"#).refusal(400).0, "invalid_body");
        assert_eq!(ask_if(&house, "DELETE", &path, "\"2\"", "").ok()["state"], "deleted");
        assert_eq!(house.ask("PATCH", &path, "{}").refusal(409).0, "entry_deleted");
        assert_eq!(house.get(&path).ok()["state"], "deleted", "records name it");
        assert_eq!(house.get(&format!("{list}?state=active")).ok()["next"], Value::Null);
        let missing = house.get(&format!("{list}/000000000000")).refusal(404).0;
        assert_eq!(missing, format!("{}_not_found", kind.as_str()));
    }
}

#[test]
fn keys_of_who_is_disabled_do_not_work_at_once() {
    let house = House::new();
    let user = make(&house, "/admin/v1/users", &json!({"name": "ada", "email": "ada@example.com"}));
    let team = make(&house, "/admin/v1/teams", &json!({"name": "red", "members": ["ada"]}));
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let asked = json!({"name": "laptop", "user": id(&user), "team": id(&team)});
    let key = house.ask("POST", "/admin/v1/keys", &asked.to_string()).json();
    assert_eq!((&key["user"], &key["team"]), (&json!("ada"), &json!("red")), "by id, kept by name");
    let now = jiff::Timestamp::now().as_microsecond();
    let verify = || house.gateway.ledger.keys().verify(key["key"].as_str().unwrap(), now).map(drop);
    for path in [&user, &team] {
        assert_eq!(verify(), Ok(()));
        house.ask("PATCH", path, r#"{"state": "disabled"}"#).ok();
        assert_eq!(verify(), Err(KeyFault::Disabled));
        let info = house.get(&format!("/admin/v1/keys/{}", text(&key["id"]))).ok();
        assert_eq!((&info["state"], &info["disabled"]), (&json!("disabled"), &json!(false)));
        assert!(info["blocked_by"].is_string(), "{info}");
        let refused = house.ask("POST", "/admin/v1/keys", &asked.to_string());
        assert_eq!(refused.refusal(409).0, "owner_blocked");
        house.ask("PATCH", path, r#"{"state": "active"}"#).ok();
    }
    assert_eq!(verify(), Ok(()));
    house.ask("DELETE", &user, "").ok();
    assert_eq!(verify(), Err(KeyFault::Disabled));
    assert_eq!(house.get(&team).ok()["members"], json!([]));
}

#[test]
fn lists_are_read_in_pages_and_narrowed() {
    let house = House::new();
    for number in 0..5 {
        make(
            &house,
            "/admin/v1/users",
            &json!({"name": format!("user-{number}"), "email": format!("u{number}@example.com")}),
        );
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/admin/v1/users?limit=2{cursor}")).ok();
        seen.extend(page["users"].as_array().unwrap().iter().map(|user| text(&user["name"])));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["user-0", "user-1", "user-2", "user-3", "user-4"]);
    let one = house.get("/admin/v1/users?email=U3@example.com").ok();
    assert_eq!(one["users"].as_array().unwrap().len(), 1);
    for wrong in ["limit=0", "limit=1001", "cursor=x", "state=gone", "colour=red"] {
        assert_eq!(
            house.get(&format!("/admin/v1/users?{wrong}")).refusal(400).0,
            "invalid_parameter",
            "{wrong}"
        );
    }
    assert_eq!(house.get("/admin/v1/teams?email=x@y").refusal(400).0, "invalid_parameter", "teams have none");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let house = House::new();
    for (path, body, code) in [
        ("/admin/v1/users", r#"{"name": ""}"#, "invalid_entry"),
        ("/admin/v1/users", r#"{"name": "x", "email": "nowhere"}"#, "invalid_entry"),
        ("/admin/v1/teams", r#"{"name": "x", "email": "a@b"}"#, "invalid_entry"),
        ("/admin/v1/teams", r#"{"name": "x", "members": ["nobody"]}"#, "owner_unknown"),
        ("/admin/v1/projects", r#"{"name": "x", "team": "none"}"#, "owner_unknown"),
        ("/admin/v1/projects", r#"{"name": "x", "members": ["ada"]}"#, "invalid_entry"),
        ("/admin/v1/organizations", r#"{"name": "x", "organization": "y"}"#, "invalid_body"),
        ("/admin/v1/users", r#"{"name": "x", "age": 7}"#, "invalid_body"),
    ] {
        assert_eq!(house.ask("POST", path, body).refusal(400).0, code, "{body}");
    }
    let team = make(&house, "/admin/v1/teams", &json!({"name": "red"}));
    make(&house, "/admin/v1/projects", &json!({"name": "search", "team": "red"}));
    assert_eq!(house.ask("DELETE", &team, "").refusal(409).0, "entry_in_use");
}
