use super::{House, PATIENCE};
use narrows_ledger::{Finding, NewAlert, Record, Severity};
use narrows_policy::{Action, Caller, Stage, Surface};
use serde_json::json;
use std::sync::Arc;

/// An alert of `acme` about a stream, of now: old ones are removed.
pub(crate) fn alert() -> NewAlert {
    NewAlert {
        id: 1,
        at_us: jiff::Timestamp::now().as_microsecond(),
        caller: Arc::new(Caller {
            organization: "acme".into(),
            user: Some("ada".into()),
            ..Caller::default()
        }),
        surface: Surface::Gateway,
        stage: Stage::Stream,
        action: Action::Mask,
        enforceable: false,
        enforced: false,
        severity: Severity::High,
        rules: vec!["no-secrets".into()],
        explanation: "a stream held 1 GITHUB_TOKEN, which rule no-secrets would mask".into(),
        conversation: Some("c-1".into()),
        exchange: 42,
        provider: None,
        model: Some("m-1".into()),
        policy_version: 7,
        findings: vec![Finding {
            rule: "github-pat".into(),
            entity: "GITHUB_TOKEN".into(),
            class: "secret",
            count: 1,
            score: 97,
            path: "content[0].text".into(),
            fingerprint: Some(7),
        }],
        window_us: 900_000_000,
        sinks: Vec::new(),
    }
}

fn numbered(number: u32) -> NewAlert {
    NewAlert { id: u128::from(number) + 1, conversation: Some(format!("c-{number}").into()), ..alert() }
}

fn house(alerts: u32) -> House {
    let house = House::new();
    (0..alerts).for_each(|number| assert!(house.gateway.ledger.raise_alert(numbered(number))));
    house.gateway.ledger.flush(PATIENCE).unwrap();
    house
}

#[test]
fn alerts_come_in_pages_without_gap_or_repetition() {
    let house = house(10);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.get(&format!("/admin/v1/alerts?limit=4{cursor}")).ok();
        let alerts = page["alerts"].as_array().unwrap();
        found.extend(alerts.iter().map(|alert| alert["conversation"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, (0..10).rev().map(|number| format!("c-{number}")).collect::<Vec<_>>());
    let count = |query: &str| {
        house.get(&format!("/admin/v1/alerts?{query}")).ok()["alerts"].as_array().unwrap().len()
    };
    assert_eq!(count("rule=no-secrets&stage=stream&severity=high&state=open&delivery=none"), 10);
    assert_eq!(count("entity=GITHUB_TOKEN&conversation=c-3"), 1);
    assert_eq!(
        (count("severity=critical"), count("state=acknowledged"), count("from=2999-01-01")),
        (0, 0, 0)
    );
    for (query, says) in [
        ("severity=loud", "`critical`"),
        ("stage=answer", "`stream`"),
        ("limit=0", "1000"),
        ("cursor=x", "next"),
        ("colour=red", "colour"),
    ] {
        let (code, message) = house.get(&format!("/admin/v1/alerts?{query}")).refusal(400);
        assert!(code == "invalid_parameter" && message.contains(says), "{message}");
    }
}

#[test]
fn an_alert_is_shown_and_acknowledged_and_both_leave_a_trail() {
    let house = house(3);
    let id = |number: u128| uuid::Uuid::from_u128(number).to_string();
    let one = house.get(&format!("/admin/v1/alerts/{}", id(1))).ok();
    assert_eq!((&one["state"], &one["evidence"][0]["entity"]), (&json!("open"), &json!("GITHUB_TOKEN")));
    let path = format!("/admin/v1/alerts/{}/ack", id(1));
    let done = house.ask("POST", &path, r#"{"note": "rotated"}"#).ok();
    assert_eq!((&done["state"], &done["note"]), (&json!("acknowledged"), &json!("rotated")));
    let wrong = r#"{"nota": "x"}"#;
    assert_eq!(house.ask("POST", &path, wrong).refusal(400).0, "invalid_body");

    let many = |ids: &[String]| house.ask("POST", "/admin/v1/alerts/ack", &json!({"ids": ids}).to_string());
    assert_eq!(many(&[id(2), id(9)]).refusal(404).0, "alert_not_found");
    assert_eq!(house.get("/admin/v1/alerts?state=open").ok()["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(many(&[]).refusal(400).0, "invalid_parameter");
    let done = many(&[id(1), id(2), id(3)]).ok();
    let notes: Vec<_> =
        done["alerts"].as_array().unwrap().iter().map(|alert| alert["note"].clone()).collect();
    assert_eq!(notes, [json!("rotated"), json!(null), json!(null)]);
    assert_eq!(house.get("/admin/v1/alerts?state=open").ok()["alerts"], json!([]));
    assert_eq!(house.get("/admin/v1/alerts/none").refusal(404).0, "alert_not_found");

    let trail = house.get("/admin/v1/audit").ok();
    let actions: Vec<_> =
        trail["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "alert_acknowledged").count(), 3);
    assert!(actions.contains(&"alert_read") && actions.contains(&"alerts_read"), "{actions:?}");
}

#[test]
fn decisions_are_summed() {
    let house = House::new();
    let mut record: Record = crate::telemetry::metrics::tests::record();
    record.caller = alert().caller;
    record.inspections = narrows_ledger::Inspections::new(7);
    let detail = narrows_ledger::Detail {
        rules: alert().rules,
        findings: alert().findings,
        ..narrows_ledger::Detail::default()
    };
    let clean = narrows_ledger::Inspection::clean(
        1_000,
        narrows_policy::Coverage::Full,
        narrows_policy::Mode::Enforce,
    );
    let inspection = narrows_ledger::Inspection {
        action: Some(Action::Mask),
        enforceable: false,
        detail: Some(Box::new(detail)),
        ..clean
    };
    record.inspections.set(Stage::Stream, inspection);
    (0..3_u128).for_each(|id| house.gateway.ledger.submit(Record { id, ..record.clone() }));
    house.gateway.ledger.flush(PATIENCE).unwrap();
    let sums = house.get("/admin/v1/decisions?by=rule,stage,action,enforced").ok();
    let expected = json!([{"rule": "no-secrets", "stage": "stream", "action": "mask", "enforced": false,
        "exchanges": 3, "findings": 3}]);
    assert_eq!(sums["decisions"], expected);
    let found = house.get("/admin/v1/decisions?kind=detector&by=entity&organization=acme").ok();
    assert_eq!(found["decisions"][0]["entity"], "GITHUB_TOKEN");
    assert_eq!(house.get("/admin/v1/decisions?action=allow").ok()["decisions"], json!([]));
    for query in ["by=colour", "kind=x", "action=x", "by=rule,rule"] {
        assert_eq!(house.get(&format!("/admin/v1/decisions?{query}")).refusal(400).0, "invalid_parameter");
    }
    let stored = house.get("/admin/v1/records?limit=1").ok();
    assert_eq!(stored["records"][0]["decisions"][0]["findings"][0]["rule"], "github-pat");
}
