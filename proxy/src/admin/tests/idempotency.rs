use super::super::idempotency::KEY_BYTES_MAX;
use super::{Answer, House, ask};
use narrows_ledger::{NewAdminToken, Role};

/// Asks with an idempotency key.
fn once(house: &House, token: &str, key: &str, method: &str, path: &str, body: &str) -> Answer {
    let headers = format!("authorization: Bearer {token}\r\nidempotency-key: {key}\r\n");
    ask(house.admin, method, path, &headers, body)
}

fn keys(house: &House) -> usize {
    house.gateway.ledger.list_keys(true).unwrap().len()
}

#[test]
fn a_write_is_done_once_and_answered_the_same() {
    let house = House::new();
    let create = |key, body| once(&house, &house.token, key, "POST", "/admin/v1/keys", body);
    let first = create("a", r#"{"name": "laptop"}"#);
    assert_eq!(first.status, 201, "{}", first.body);
    assert!(!first.head.contains("idempotency-replayed"));
    let again = create("a", r#"{"name": "laptop"}"#);
    assert_eq!(
        (again.status, &again.body),
        (201, &first.body),
        "with the secret: the first answer may be lost"
    );
    assert!(
        again.head.contains("idempotency-replayed: true") && again.head.contains("location: /admin/v1/keys/")
    );
    assert!(again.head.contains("cache-control: no-store"));
    assert_eq!(keys(&house), 1);
    let trail = house.get("/admin/v1/audit?action=answer_repeated").ok();
    assert_eq!(trail["events"].as_array().unwrap().len(), 1, "it was shown again");

    let other = create("a", r#"{"name": "other"}"#);
    assert_eq!(other.refusal(422).0, "idempotency_key_reused");
    let path = once(&house, &house.token, "a", "POST", "/admin/v1/users", r#"{"name": "laptop"}"#);
    assert_eq!(path.refusal(422).0, "idempotency_key_reused");
    assert_eq!(keys(&house), 1);
    assert_eq!(create("b", r#"{"name": "laptop"}"#).status, 201, "another key is another request");
    assert_eq!(keys(&house), 2);
}

#[test]
fn a_key_is_that_of_one_token() {
    let house = House::new();
    let new = NewAdminToken { name: "x".into(), organization: None, role: Role::Write, expires_at_us: None };
    let created = house.gateway.ledger.create_admin_token(&new, "test").unwrap();
    for token in [created.token.expose(), &house.token] {
        let answer = once(&house, token, "a", "POST", "/admin/v1/keys", r#"{"name": "x"}"#);
        assert!(answer.status == 201 && !answer.head.contains("idempotency-replayed"), "{}", answer.head);
    }
    assert_eq!(keys(&house), 2);
}

#[test]
fn what_was_refused_may_be_tried_again() {
    let house = House::new();
    let project = r#"{"name": "search", "team": "red"}"#;
    let create = || once(&house, &house.token, "p", "POST", "/admin/v1/projects", project);
    assert_eq!(create().refusal(400).0, "owner_unknown");
    assert_eq!(house.ask("POST", "/admin/v1/teams", r#"{"name": "red"}"#).status, 201);
    assert_eq!(create().status, 201);
    let gone = once(&house, &house.token, "d", "DELETE", "/admin/v1/users/000000000000", "");
    assert_eq!(gone.refusal(404).0, "user_not_found");
}

#[test]
fn what_another_process_began_is_not_done_again() {
    let house = House::new();
    let id = house.gateway.ledger.list_admin_tokens().unwrap()[0].id.clone();
    // As a process did that ended before it answered, with the same request.
    let request = ["POST", "\0", "/admin/v1/keys", "\0", r#"{"name": "x"}"#].concat();
    let print = <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(request));
    house.gateway.ledger.begin_once(&id, "a", &print).unwrap();
    let answer = once(&house, &house.token, "a", "POST", "/admin/v1/keys", r#"{"name": "x"}"#);
    let (code, message) = answer.refusal(409);
    assert!(code == "idempotency_answer_gone" && message.contains("not done again"), "{message}");
    let other = once(&house, &house.token, "a", "POST", "/admin/v1/keys", r#"{"name": "y"}"#);
    assert_eq!(other.refusal(422).0, "idempotency_key_reused");
    assert_eq!(keys(&house), 0);
}

#[test]
fn a_key_has_a_shape() {
    let house = House::new();
    let create = |key: &str| once(&house, &house.token, key, "POST", "/admin/v1/keys", r#"{"name": "x"}"#);
    assert_eq!(create(&"k".repeat(KEY_BYTES_MAX)).status, 201);
    for wrong in ["", "two words", "a\r\nidempotency-key: b", &"k".repeat(KEY_BYTES_MAX + 1)] {
        assert_eq!(create(wrong).refusal(400).0, "invalid_parameter", "{wrong:?}");
    }
    assert_eq!(keys(&house), 1);
    let read = once(&house, &house.token, "two words", "GET", "/admin/v1/keys", "");
    assert_eq!(read.status, 200, "it is for writes");
}

#[test]
fn a_body_keeps_its_limit() {
    let house = House::new();
    let body = format!("{{\"name\": \"x\"{}}}", " ".repeat(super::super::api::BODY_BYTES_MAX));
    let answer = once(&house, &house.token, "a", "POST", "/admin/v1/keys", &body);
    assert_eq!(answer.refusal(413).0, "body_too_large");
}
