//! Kept prompts and answers: who may read them, and what is left of that.

use super::{House, PATIENCE};
use crate::content::export::verify;
use crate::telemetry::metrics::tests::record;
use narrows_ledger::{
    AuditEvent, AuditFilter, ContentState, ContentStates, NewAdminToken, NewContent, NewSide, Record, Role,
};
use narrows_policy::Caller;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// 2096-10-02: no sweep comes between.
const START_US: i64 = 4_000_000_000_000_000;

struct Kept {
    house: House,
    acme: String,
    umbra: String,
    reads: String,
}

impl Kept {
    fn new() -> Kept {
        let house = House::with(None, &format!("master_key: '{}'\n", "5a".repeat(32)));
        let ledger = &house.gateway.ledger;
        let token = |organization: &str, role| {
            let new = NewAdminToken {
                name: "x".into(),
                organization: Some(organization.into()),
                role,
                expires_at_us: None,
            };
            ledger.create_admin_token(&new, "test").unwrap().token.expose().to_owned()
        };
        let (acme, umbra) = (token("acme", Role::Content), token("umbra", Role::Content));
        let reads = token("acme", Role::Read);
        Kept { house, acme, umbra, reads }
    }

    /// Keeps what `user` of acme said.
    fn say(&self, number: u128, user: &str, prompt: &str, answer: &str) -> String {
        self.say_in("acme", number, user, prompt, answer)
    }

    fn say_in(&self, organization: &str, number: u128, user: &str, prompt: &str, answer: &str) -> String {
        let at_us = START_US + i64::try_from(number).unwrap() * 1_000_000;
        let id = u128::try_from(at_us / 1_000).unwrap() << 80 | number;
        let caller = Arc::new(Caller {
            organization: organization.into(),
            team: Some("blue".into()),
            user: Some(user.into()),
            ..Caller::default()
        });
        let side = |text: &str| NewSide {
            state: ContentState::Stored,
            whole_bytes: text.len() as u64,
            bytes: text.as_bytes().to_vec(),
        };
        let ledger = &self.house.gateway.ledger;
        let stored = ContentState::Stored;
        ledger.submit(Record {
            id,
            started_at_us: at_us,
            caller: Arc::clone(&caller),
            content: ContentStates { request: stored, answer: stored },
            ..record()
        });
        assert!(ledger.submit_content(Box::new(NewContent {
            record: id,
            caller,
            at_us,
            retention: Duration::from_secs(3_600),
            request: side(prompt),
            answer: side(answer),
        })));
        ledger.flush(PATIENCE).unwrap();
        uuid::Uuid::from_u128(id).to_string()
    }

    fn get(&self, token: &str, path: &str) -> super::Answer {
        self.house.ask_as(token, "GET", &format!("/admin/v1{path}"), "")
    }

    fn post(&self, token: &str, path: &str, body: &str) -> super::Answer {
        self.house.ask_as(token, "POST", &format!("/admin/v1{path}"), body)
    }

    /// The last event with this action.
    fn event(&self, action: &str) -> AuditEvent {
        let filter = AuditFilter { action: Some(action.into()), ..AuditFilter::default() };
        self.house.gateway.ledger.audit_trail(&filter, 1, None).unwrap().events.remove(0)
    }
}

#[test]
fn every_read_has_a_reason_and_is_in_the_trail() {
    let kept = Kept::new();
    let id =
        kept.say(1, "ada", r#"{"messages":[{"content":"why is the sky blue"}]}"#, r#"{"text":"Rayleigh"}"#);
    let path = format!("/records/{id}/content");
    assert_eq!(kept.get(&kept.acme, &path).refusal(400).0, "invalid_parameter");
    let shown = kept.get(&kept.acme, &format!("{path}?purpose=case+7")).ok();
    assert_eq!(shown["request"]["state"], "stored");
    assert!(shown["answer"]["text"].as_str().unwrap().contains("Rayleigh"), "{shown}");
    let event = kept.event("content_read");
    assert_eq!(
        (event.target.as_str(), event.detail.as_deref(), event.rows),
        (id.as_str(), Some("case 7"), Some(1))
    );
    assert_eq!(event.organization.as_deref(), Some("acme"));
}

#[test]
fn content_is_for_its_own_role_and_organization_only() {
    let kept = Kept::new();
    let id = kept.say(1, "ada", "{}", "{}");
    let path = format!("/records/{id}/content?purpose=x");
    for token in [&kept.reads, &kept.house.token] {
        assert_eq!(kept.get(token, &path).refusal(403).0, "role_refused");
        assert_eq!(kept.get(token, "/content?purpose=x&contains=y").refusal(403).0, "role_refused");
        assert_eq!(kept.get(token, "/records?include=content&purpose=x").refusal(403).0, "role_refused");
        assert_eq!(kept.get(token, &format!("/records/{id}")).status, 200, "the record itself is there");
    }
    assert_eq!(kept.get(&kept.umbra, &path).refusal(404).0, "content_not_found");
    assert_eq!(
        kept.get(&kept.umbra, "/content?purpose=x&contains=e").ok()["found"].as_array().unwrap().len(),
        0
    );
    // A token that may change the gateway makes none that may read content, and one that may read changes nothing.
    let made = kept.house.ask("POST", "/admin/v1/tokens", r#"{"name": "x", "role": "content"}"#);
    assert_eq!(made.refusal(403).0, "role_refused");
    assert_eq!(kept.post(&kept.acme, "/keys", r#"{"name": "x"}"#).refusal(403).0, "role_refused");
}

#[test]
fn a_search_finds_what_was_said_over_the_pieces_of_a_stream() {
    let kept = Kept::new();
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let stream = ["The ca", "nary s", "ings."].map(event).concat();
    let ada = kept.say(1, "ada", r#"{"messages":[{"content":"a \"quoted\"\nline"}]}"#, &stream);
    kept.say(2, "bob", "{}", "{}");
    let found = kept.get(&kept.acme, "/content?purpose=x&contains=Canary+sings").ok();
    assert_eq!(found["found"][0]["record"], ada.as_str());
    assert_eq!(found["found"][0]["hits"][0]["excerpt"], "the canary sings.");
    assert_eq!((&found["records_searched"], &found["next"]), (&Value::from(2), &Value::Null));
    let quoted = kept.get(&kept.acme, "/content?purpose=x&contains=%22quoted%22&user=ada").ok();
    assert_eq!(quoted["found"].as_array().unwrap().len(), 1);
    assert_eq!(
        kept.get(&kept.acme, "/content?purpose=x&contains=quoted&user=bob").ok()["found"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(kept.event("content_searched").rows, Some(0));
}

#[test]
fn the_trail_says_what_was_looked_for_however_long_the_purpose_is() {
    let kept = Kept::new();
    kept.say(1, "ada", "her salary", "{}");
    // Percent-encoded it has 1,500 bytes.
    let query = format!("purpose={}&contains=her+salary&user=ada", "%C3%A9".repeat(250));
    kept.get(&kept.acme, &format!("/content?{query}")).ok();
    let purpose = "é".repeat(250);
    let detail = kept.event("content_searched").detail.unwrap();
    assert_eq!(detail, format!(r#"purpose="{purpose}" contains="her salary" user="ada""#));
    let query = format!("purpose={}&user=ada", "%C3%A9".repeat(250));
    assert_eq!(kept.get(&kept.acme, &format!("/content/export?{query}")).status, 200);
    let detail = kept.event("content_exported").detail.unwrap();
    assert_eq!(detail, format!(r#"purpose="{purpose}" user="ada""#));
    kept.get(&kept.acme, &format!("/records?include=content&{query}")).ok();
    let detail = kept.event("content_read").detail.unwrap();
    assert_eq!(detail, format!(r#"include="content" purpose="{purpose}" user="ada""#));
}

#[test]
fn what_a_token_of_all_organizations_looks_through_stands_in_the_trail_of_each() {
    let kept = Kept::new();
    kept.say(1, "ada", "a canary", "{}");
    let new =
        NewAdminToken { name: "all".into(), organization: None, role: Role::Content, expires_at_us: None };
    let token = kept.house.gateway.ledger.create_admin_token(&new, "test").unwrap().token;
    let all = token.expose();
    kept.get(all, "/content?purpose=x&contains=canary").ok();
    kept.get(all, "/records?purpose=x&include=content").ok();
    assert_eq!(kept.get(all, "/content/export?purpose=x").status, 200);
    for action in ["content_searched", "content_read", "content_exported"] {
        let event = kept.event(action);
        assert_eq!((event.organization.as_deref(), event.rows), (Some("acme"), Some(1)), "{action}");
    }
}

#[test]
fn one_query_gives_who_asked_which_model_what_and_for_how_much() {
    let kept = Kept::new();
    kept.say(1, "ada", "what is up", "not much");
    let page = kept.get(&kept.acme, "/records?include=content&purpose=review&user=ada").ok();
    let row = &page["records"][0];
    assert_eq!(
        (&row["user"], &row["content"]["request"]["text"]),
        (&Value::from("ada"), &Value::from("what is up"))
    );
    assert!(row["model_sent"].is_string() && row.get("cost_nanousd").is_some(), "{row}");
    let event = kept.event("content_read");
    assert_eq!(event.detail.as_deref(), Some(r#"include="content" purpose="review" user="ada""#));
    assert_eq!(kept.get(&kept.acme, "/records?include=content&purpose=x&limit=101").status, 400);
}

#[test]
fn an_export_proves_itself_and_every_change_to_it_shows() {
    let kept = Kept::new();
    for number in 1..=3 {
        kept.say(number, "ada", &format!("prompt {number}"), "answer");
    }
    let answer = kept.get(&kept.acme, "/content/export?purpose=court&user=ada");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let check = |text: &str, key: Option<&str>| verify(text.as_bytes(), key);
    let verified = check(&answer.body, None).unwrap();
    assert_eq!((verified.parts, verified.lines, verified.is_complete()), (1, 3, true));
    let of = [("organization", "acme".to_owned()), ("user", "ada".to_owned())];
    assert_eq!(verified.of, of);
    assert!(check(&answer.body, Some(&verified.public_key)).is_ok());
    assert!(check(&answer.body, Some(&"0".repeat(64))).is_err());
    let lines: Vec<&str> = answer.body.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let changed = [
        answer.body.replace("prompt 2", "prompt 9"),
        answer.body.replace("\"reason\":\"court\"", "\"reason\":\"fun\""),
        joined(&[lines[1], lines[0], lines[2], lines[3]]),
        joined(&[lines[0], lines[2], lines[3]]),
        joined(&lines[..3]),
        joined(&[lines[0], lines[1], lines[2], lines[3], lines[0]]),
        format!("{}{}", answer.body, answer.body),
        String::new(),
    ];
    for text in changed {
        assert!(check(&text, None).is_err(), "{text}");
    }
    assert_eq!(kept.event("content_exported").rows, Some(3));
}

#[test]
fn an_erasure_gives_a_receipt_and_a_hold_refuses_it() {
    let kept = Kept::new();
    let id = kept.say(1, "ada", "mine", "yours");
    let hold = kept.post(&kept.acme, "/content/holds", r#"{"user": "ada", "reason": "a lawsuit"}"#);
    assert_eq!(hold.status, 201, "{}", hold.body);
    let hold = hold.json()["id"].as_str().unwrap().to_owned();
    let erase = r#"{"user": "ada", "reason": "she asked"}"#;
    let (code, message) = kept.post(&kept.acme, "/content/erasures", erase).refusal(409);
    assert!(code == "content_held" && message.contains(&hold), "{message}");
    // A hold of another organization is not there.
    assert_eq!(kept.get(&kept.umbra, &format!("/content/holds/{hold}")).refusal(404).0, "hold_not_found");
    let path = format!("/content/holds/{hold}/release");
    assert_eq!(kept.post(&kept.umbra, &path, r#"{"reason": "x"}"#).refusal(404).0, "hold_not_found");
    assert_eq!(kept.post(&kept.acme, &path, "{}").status, 400);
    let released = kept.post(&kept.acme, &path, r#"{"reason": "settled"}"#).ok();
    assert!(released["released_at"].is_string(), "{released}");
    let receipt = kept.post(&kept.acme, "/content/erasures", erase).ok();
    assert_eq!((&receipt["records"], &receipt["keys_destroyed"]), (&Value::from(1), &Value::from(1)));
    let after = kept.get(&kept.acme, &format!("/records/{id}/content?purpose=x")).ok();
    assert_eq!(
        (&after["request"]["state"], &after["request"]["text"]),
        (&Value::from("erased"), &Value::Null)
    );
    let record = kept.get(&kept.reads, &format!("/records/{id}")).ok();
    assert_eq!(record["content"]["answer"], "erased", "the metadata stays");
    assert_eq!(kept.get(&kept.acme, "/content/holds").ok()["holds"].as_array().unwrap().len(), 0);
    assert_eq!(
        kept.get(&kept.acme, "/content/holds?released=true").ok()["holds"].as_array().unwrap().len(),
        1
    );
    assert_eq!(kept.post(&kept.acme, "/content/erasures", erase).ok()["records"], 0, "all of it has gone");
}

#[test]
fn an_erasure_of_nobody_has_no_receipt_and_a_record_is_where_it_is() {
    let kept = Kept::new();
    let say = |number| kept.say_in("umbra", number, "ada", "mine", "yours");
    let (one, other) = (say(1), say(2));
    let new =
        NewAdminToken { name: "all".into(), organization: None, role: Role::Content, expires_at_us: None };
    let token = kept.house.gateway.ledger.create_admin_token(&new, "test").unwrap().token;
    let erase = |token: &str, subject: &str| {
        kept.post(token, "/content/erasures", &format!(r#"{{{subject}, "reason": "she asked"}}"#))
    };
    // Of the configuration's organization, which is not hers.
    let (code, message) = erase(token.expose(), r#""user": "ada""#).refusal(404);
    assert!(code == "content_not_found" && message.contains("organization `acme`"), "{message}");
    assert_eq!(erase(token.expose(), r#""user": "ada", "organization": "nosuch""#).status, 404);
    assert_eq!(erase(&kept.acme, r#""user": "ada""#).status, 404);
    assert_eq!(erase(&kept.acme, &format!(r#""record": "{one}""#)).status, 404);
    let receipt = erase(token.expose(), &format!(r#""record": "{one}""#)).ok();
    assert_eq!((&receipt["organization"], &receipt["records"]), (&Value::from("umbra"), &Value::from(1)));
    let held = format!(r#"{{"record": "{other}", "reason": "a lawsuit"}}"#);
    let held = kept.post(token.expose(), "/content/holds", &held);
    assert_eq!((held.status, &held.json()["organization"]), (201, &Value::from("umbra")));
    assert_eq!(erase(&kept.umbra, r#""user": "ada""#).refusal(409).0, "content_held");
}
