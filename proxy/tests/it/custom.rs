//! What operators name themselves, from the outside.

use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, CHAT, Gate};
use narrows_policy::Reason;

const TOP: &str = r"guard:
  custom:
    internal-projects: {names: [blue moon]}
    customers: {entity: CUSTOMER, dictionaries: [customers.txt], allow: [Example GmbH]}
    case-numbers: {regex: '\bCASE-(\d{6,8})\b', group: 1}
policies:
  - {name: no-projects, when: [{rule: internal-projects}], then: {action: block, message: They stay inside.}}
  - {name: customers, when: [{entity: [CUSTOMER, CASE_NUMBERS]}], then: {action: mask}}
";

async fn gate() -> (Gate, Scripted) {
    let answer = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}"#;
    let scripted = Scripted::start(vec![Act::json(200, "", answer)]).await;
    let provider =
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address);
    let words = "Example GmbH\nŁódź Works\n".to_owned();
    (Gate::plan().top(TOP).file("customers.txt", words).provider("scripted", &provider).start(), scripted)
}

fn ask(words: &str) -> Ask {
    Ask::post(&format!("/scripted{}", CHAT.unary), CHAT.body(false).replace("Wie geht es dir, Zoë?", words))
}

#[tokio::test]
async fn a_project_name_is_blocked_however_it_is_written() {
    let (gate, scripted) = gate().await;
    for words in ["about BLUE-MOON", "class BlueMoonClient", "ＢＬＵＥ　ＭＯＯＮ", "blu\\u0435 m\\u200boon"]
    {
        let got = gate.ask_as_key(ask(words)).await;
        let text = got.text();
        assert_eq!(got.status(), 403, "{words} {text}");
        assert!(text.contains("They stay inside."), "{text}");
        let record = gate.record_of(&got).await;
        assert_eq!(record.reason, Reason::ContentBlocked);
        let said = format!("{record:?}");
        assert!(said.contains("INTERNAL_PROJECTS") && !said.to_lowercase().contains("moon"), "{said}");
    }
    assert_eq!(scripted.connections(), 0);
    assert_eq!(gate.ask_as_key(ask("about blue moons")).await.status(), 200, "another word");
}

#[tokio::test]
async fn words_of_a_dictionary_and_matches_of_an_expression_are_masked() {
    let (gate, scripted) = gate().await;
    let got = gate.ask_as_key(ask("łódź works and Example GmbH in CASE-123456 and CASE-12")).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let request = &scripted.requests()[0];
    let said = request.split_once("\"content\":\"").unwrap().1;
    assert!(said.starts_with("[CUSTOMER_"), "{said}");
    assert!(said.contains(" and Example GmbH in CASE-[CASE_NUMBERS_"), "{said}");
    assert!(said.contains(" and CASE-12\"") && !said.contains("123456"), "{said}");
}

#[tokio::test]
async fn a_scan_finds_them() {
    let (gate, _scripted) = gate().await;
    let question = r#"{"text":"Łódź Works builds bluemoon"}"#;
    let got = gate.ask_as_key(Ask::post("/v1/guard/scan", question)).await;
    let answer: serde_json::Value = serde_json::from_str(&got.text()).unwrap();
    let found = |at: usize, key: &str| answer["findings"][at][key].as_str().unwrap_or_default();
    assert_eq!(
        (found(0, "rule"), found(0, "entity"), found(0, "class")),
        ("customers", "CUSTOMER", "custom")
    );
    assert_eq!((found(1, "rule"), found(1, "entity")), ("internal-projects", "INTERNAL_PROJECTS"));
    assert_eq!(answer["decision"]["action"], "block", "{answer}");
}

#[tokio::test]
async fn what_overlaps_comes_back_whole_and_not_at_all_where_a_part_of_it_stays() {
    let words = "contact ann.miller@siemens-energy.de now";
    for (restored, back) in [("true", words), ("false", "[CONTACT_")] {
        let top = format!(
            "guard:\n  custom:\n    contact: {{regex: 'contact ann[.]miller'}}\npolicies:\n  \
             - {{name: mail, where: {{stage: request}}, when: [{{entity: EMAIL}}], then: {{action: mask, restore: true}}}}\n  \
             - {{name: name, where: {{stage: request}}, when: [{{rule: contact}}], then: {{action: mask, restore: {restored}}}}}\n"
        );
        let answer = |words: &str| {
            let body = serde_json::json!({"id": "c", "object": "chat.completion", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}]});
            Act::json(200, "", &body.to_string())
        };
        let scripted = Scripted::start(vec![answer("fine")]).await;
        let provider =
            format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address);
        let gate = Gate::plan().top(&top).provider("scripted", &provider).start();
        gate.ask_as_key(ask(words)).await;
        let request = scripted.requests().remove(0);
        let sent = request.split_once("\"content\":\"").unwrap().1.split('"').next().unwrap().to_owned();
        assert!(
            sent.starts_with("[CONTACT_") && sent.ends_with("] now") && sent.matches('[').count() == 1,
            "{sent}"
        );
        scripted.answer_with(answer(&sent));
        let got = gate.ask_as_key(ask(words)).await.text();
        assert!(got.contains(back), "{got}");
        assert_eq!(got.contains("ann.miller"), restored == "true", "{got}");
    }
}
