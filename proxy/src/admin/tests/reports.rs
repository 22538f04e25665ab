use super::{House, PATIENCE};
use crate::telemetry::metrics::tests::record;
use narrows_ledger::Record;
use narrows_ledger::query::PAGE_LIMIT;
use narrows_meter::Cost;
use narrows_policy::{Caller, Reason};
use serde_json::json;
use std::sync::Arc;

/// A store with records of two teams: every third of `red`, the others of `blue`.
fn house(records: u64) -> House {
    let house = House::new();
    let caller = |team: &str| {
        Arc::new(Caller { organization: "acme".into(), team: Some(team.into()), ..Caller::default() })
    };
    let (red, blue) = (caller("red"), caller("blue"));
    for number in 0..records {
        house.gateway.ledger.submit(Record {
            id: u128::from(number) + 1,
            started_at_us: record().started_at_us + i64::try_from(number).unwrap(),
            caller: Arc::clone(if number % 3 == 0 { &red } else { &blue }),
            ..record()
        });
    }
    house.gateway.ledger.flush(PATIENCE).unwrap();
    house
}

#[test]
fn usage_is_split_as_asked() {
    let house = house(9);
    let all = house.get("/admin/v1/usage").ok();
    assert_eq!((&all["usage"][0]["requests"], &all["usage"][0]["input"]), (&json!(9), &json!(9 * 33)));
    let split = house.get("/admin/v1/usage?by=team,model").ok();
    let rows: Vec<_> = split["usage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["team"].as_str().unwrap(), row["model"].as_str().unwrap(), row["requests"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(rows, [("blue", "gpt-5", 6), ("red", "gpt-5", 3)]);
    let red =
        house.get("/admin/v1/usage?team=red&organization=acme&from=2026-01-31&to=2026-02-01T00:00:00Z").ok();
    assert_eq!(red["usage"][0]["requests"], 3);
    assert_eq!(house.get("/admin/v1/usage?from=2026-02-01").ok()["usage"], json!([]));
}

#[test]
fn usage_says_with_which_prices_it_was_computed_if_asked() {
    let house = house(9);
    assert!(house.get("/admin/v1/usage").ok().get("prices").is_none());
    let prices = house.get("/admin/v1/usage?prices=true&team=red").ok()["prices"].clone();
    assert_eq!(prices.as_array().map(Vec::len), Some(1), "{prices}");
    assert_eq!((&prices[0]["version"], &prices[0]["requests"]), (&json!("0000000000000009"), &json!(3)));
    assert_eq!(prices[0]["cost_nanousd"], json!(3 * 1_234_567));
    assert_eq!(house.get("/admin/v1/usage?prices=maybe").status, 400);
}

#[test]
fn prices_are_told_with_their_version_by_provider_and_time() {
    let house = House::new();
    let told = house.get("/admin/v1/prices?model=gpt-4o&at=2026-11-01").ok();
    assert_eq!(told["version"], json!(format!("{:016x}", house.gateway.snapshot().prices_version())));
    assert!(
        told["source"].as_str().unwrap().contains("genai-prices")
            && told["at"] == "2026-11-01T00:00:00.000000Z",
        "{told}"
    );
    let ordinary = &told["prices"][0];
    assert_eq!(
        (&ordinary["provider"], &ordinary["mode"], &ordinary["factor"]),
        (&json!("main"), &json!(null), &json!("1"))
    );
    assert_eq!((&ordinary["rates"]["input"], &ordinary["rates"]["output"]), (&json!("2.5"), &json!("10")));
    let none = json!([]);
    assert_eq!(house.get("/admin/v1/prices?model=gpt-4o&provider=other").ok()["prices"], none);
    assert_eq!(house.get("/admin/v1/prices?model=nobody-knows").ok()["prices"], none);
    assert_eq!(house.get("/admin/v1/prices").ok()["prices"], none);
    assert_eq!(house.get("/admin/v1/prices?models=x").status, 400);
}

#[test]
fn records_come_in_pages_without_gap_or_repetition() {
    let house = house(10);
    let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = house.get(&format!("/admin/v1/records?limit=4{cursor}")).ok();
        ids.extend(
            page["records"]
                .as_array()
                .unwrap()
                .iter()
                .map(|record| record["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let wanted: Vec<_> = (1..=10_u128).rev().map(|id| uuid::Uuid::from_u128(id).to_string()).collect();
    assert_eq!((ids, pages), (wanted, 3));
    let red = house.get("/admin/v1/records?team=red").ok();
    assert_eq!(red["records"].as_array().unwrap().len(), 4);
    let one = house.get(&format!("/admin/v1/records/{}", uuid::Uuid::from_u128(4))).ok();
    assert_eq!((&one["team"], &one["model_sent"]), (&json!("red"), &json!("gpt-5")));
    assert_eq!(
        house.get(&format!("/admin/v1/records/{}", uuid::Uuid::from_u128(99))).refusal(404).0,
        "record_not_found"
    );
    assert_eq!(house.get("/admin/v1/records/7").refusal(400).0, "invalid_id");
}

#[test]
fn a_wrong_parameter_is_named_with_what_it_takes() {
    let house = House::new();
    for (path, parts) in [
        ("usage?by=teem", ["`by`", "service_account"]),
        ("usage?by=team,team", ["`by`", "each once"]),
        ("usage?from=yesterday", ["`from`", "2026-11-01"]),
        ("usage?limit=5", ["`limit`", "organization"]),
        ("records?limit=0", ["`limit`", "1 to 1000"]),
        ("records?limit=1001", ["`limit`", "1 to 1000"]),
        ("records?cursor=x", ["`cursor`", "`next`"]),
        ("records?by=team", ["`by`", "cursor"]),
        ("records?team=a&team=b", ["`team`", "twice"]),
        ("records?status=6xx", ["`status`", "4xx"]),
        ("records?outcome=good", ["`outcome`", "provider"]),
        ("records?decision=deny", ["`decision`", "block"]),
        ("records?cost_from=-1", ["`cost_from`", "dollars"]),
        ("records?class=5", ["`class`", "2a"]),
        ("records?reason=none", ["`reason`", "completed"]),
        ("usage?status=404", ["`status`", "client"]),
        ("coverage?unused=1", ["`unused`", "30d"]),
        ("coverage?team=red", ["`team`", "organization"]),
    ] {
        let (code, message) = house.get(&format!("/admin/v1/{path}")).refusal(400);
        assert_eq!(code, "invalid_parameter", "{path}");
        assert!(parts.iter().all(|part| message.contains(part)), "{path}: {message}");
    }
    assert_eq!(house.get(&format!("/admin/v1/records?limit={PAGE_LIMIT}")).status, 200);
}

#[test]
fn records_are_searched_for() {
    let house = house(9);
    let failed = Record {
        id: 100,
        status: 404,
        reason: Reason::ModelUnknown,
        cost: Cost::NanoUsd(5_000_000_000),
        client: Some("claude-code"),
        conversation: Some("talk-1".into()),
        ..record()
    };
    house.gateway.ledger.submit(failed);
    house.gateway.ledger.flush(PATIENCE).unwrap();
    let count = |query: &str| {
        let page = house.get(&format!("/admin/v1/records?{query}")).ok();
        page["records"].as_array().unwrap().len()
    };
    for (query, wanted) in [
        ("", 10),
        ("conversation=talk-1", 1),
        ("conversation=talk-2", 0),
        ("status=404", 1),
        ("status=2xx", 9),
        ("outcome=completed", 9),
        ("outcome=caller", 1),
        ("outcome=provider", 0),
        ("reason=model_unknown", 1),
        ("client=claude-code", 1),
        ("dialect=openai.chat", 10),
        ("model_requested=fast", 10),
        ("cost_from=5", 1),
        ("cost_to=5", 9),
        ("cost_from=0.001234567&cost_to=0.001234568", 9),
        ("class=1", 10),
        ("class=2a", 0),
        ("decision=block", 0),
        ("rule=none", 0),
        ("entity=EMAIL", 0),
        ("team=red&status=2xx", 3),
    ] {
        assert_eq!(count(query), wanted, "{query}");
    }
    let usage = house.get("/admin/v1/usage?client=claude-code&reason=model_unknown").ok();
    assert_eq!(usage["usage"][0]["requests"], 1);
}

#[test]
fn coverage_tells_the_known_from_the_rest() {
    let house = house(9);
    assert_eq!(house.ask("POST", "/admin/v1/teams", r#"{"name": "red"}"#).status, 201);
    assert_eq!(house.ask("POST", "/admin/v1/teams", r#"{"name": "green"}"#).status, 201);
    let report = house.get("/admin/v1/coverage?from=2026-01-31&to=2026-02-01").ok();
    let classes: Vec<_> =
        report["classes"].as_array().unwrap().iter().map(|row| row["class"].clone()).collect();
    assert_eq!(classes, ["1", "2a", "2b", "3", "4", "mcp"]);
    let embedded = &report["classes"][4];
    assert_eq!((&embedded["exchanges"], &embedded["reachable"]), (&json!(0), &json!(false)));
    assert_eq!((&report["classes"][0]["exchanges"], &report["without_key"]), (&json!(9), &json!(9)));
    let seen: Vec<_> = report["seen"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["known"].as_bool().unwrap()))
        .collect();
    assert_eq!(seen, [("acme", false), ("blue", false), ("red", true)]);
    assert_eq!(report["unseen"][0]["name"], "green");
    let trail = house.get("/admin/v1/audit?action=coverage_read").ok();
    assert_eq!(trail["events"][0]["rows"], 5, "3 seen, 1 unseen, 1 kind of client");
}
