//! Conversations that carry state of an account stay with it.

use crate::support::gate::Plan;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Ask, Gate};
use narrows_llm::Family;

/// An account that can read only its own reasoning, as providers say it.
const CANNOT_READ: &str = r#"{"error":{"message":"The encrypted content could not be verified","type":"invalid_request_error","code":"invalid_encrypted_content"}}"#;

fn answer(id: &str) -> Act {
    let body = format!(
        r#"{{"id":"{id}","object":"response","status":"completed","model":"m","output":[{{"type":"reasoning","encrypted_content":"g{id}"}}],"usage":{{"input_tokens":3,"output_tokens":5,"total_tokens":8}}}}"#
    );
    Act::json(200, "", &body)
}

fn plan(a: &Scripted, b: &Scripted) -> Plan {
    let text = |scripted: &Scripted| {
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address)
    };
    Gate::plan()
        .provider("a", &text(a))
        .provider("b", &text(b))
        .top("models: {smart: {targets: [{provider: a, model: m}, {provider: b, model: m}]}}")
}

fn ask(members: &str) -> Ask {
    Ask::post("/v1/responses", format!(r#"{{"model":"smart",{members}}}"#))
}

async fn provider(gate: &Gate, ask: Ask) -> String {
    let answer = gate.ask_as_key(ask).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    gate.record_of(&answer).await.provider.unwrap().to_string()
}

#[tokio::test]
async fn a_conversation_with_encrypted_reasoning_stays_on_the_account_that_made_it() {
    let (a, b) =
        (Scripted::start(vec![answer("resp_a")]).await, Scripted::start(vec![answer("resp_b")]).await);
    let gate = plan(&a, &b).start();
    let mut seen = std::collections::BTreeSet::new();
    for conversation in 0..12 {
        let first = format!(r#""prompt_cache_key":"c-{conversation}","store":false,"input":"hi""#);
        let served = provider(&gate, ask(&first)).await;
        for turn in 0..3 {
            let more = format!(
                r#""prompt_cache_key":"c-{conversation}","store":false,"input":[{{"role":"user","content":"{turn}"}},{{"type":"reasoning","encrypted_content":"gresp"}}]"#
            );
            assert_eq!(provider(&gate, ask(&more)).await, served);
        }
        seen.insert(served);
    }
    assert_eq!(seen.len(), 2, "both accounts are used");
}

#[tokio::test]
async fn a_response_that_is_built_on_is_asked_for_where_it_is_stored() {
    let (a, b) =
        (Scripted::start(vec![answer("resp_a")]).await, Scripted::start(vec![answer("resp_b")]).await);
    let gate = plan(&a, &b).start();
    while a.requests().is_empty() || b.requests().is_empty() {
        let number = a.requests().len() + b.requests().len();
        assert!(number < 64, "both accounts are used");
        provider(&gate, ask(&format!(r#""input":"begin {number}""#))).await;
    }
    for _ in 0..6 {
        for account in ["a", "b"] {
            let next = format!(r#""previous_response_id":"resp_{account}","input":"go on""#);
            assert_eq!(provider(&gate, ask(&next)).await, account);
        }
    }
}

#[tokio::test]
async fn a_bound_conversation_never_goes_to_another_account_and_is_told_why() {
    let (a, b) =
        (Scripted::start(vec![answer("resp_a")]).await, Scripted::start(vec![answer("resp_b")]).await);
    let gate = plan(&a, &b).start();
    let turn = r#""prompt_cache_key":"c","input":[{"type":"reasoning","encrypted_content":"gx"}]"#;
    let served = provider(&gate, ask(r#""prompt_cache_key":"c","input":"hi""#)).await;
    let other = if served == "a" { &b } else { &a };
    let (before, path) = (other.requests().len(), format!("/admin/v1/targets/{served}"));
    gate.admin_post(&format!("{path}/drain")).await;
    assert_eq!(provider(&gate, ask(turn)).await, served, "what is drained goes on with what is bound to it");
    assert_ne!(provider(&gate, ask(r#""prompt_cache_key":"new","input":"hi""#)).await, served);
    gate.admin_post(&format!("{path}/disable")).await;
    let refused = gate.ask_as_key(ask(turn)).await;
    assert_eq!((refused.status(), &*refused.code(Family::Openai)), (503, "target_bound"));
    assert!(refused.text().contains(&format!("{served}/m")), "{}", refused.text());
    assert_eq!(other.requests().len(), before + 1, "only the new conversation went there");
    gate.admin_post(&format!("{path}/enable")).await;
    assert_eq!(provider(&gate, ask(turn)).await, served);
}

#[tokio::test]
async fn an_error_of_a_bound_conversation_passes_and_nobody_else_is_asked() {
    let (a, b) = (
        Scripted::start(vec![Act::json(400, "", CANNOT_READ), Act::json(503, "retry-after: 60\r\n", "{}")])
            .await,
        Scripted::start(vec![Act::json(400, "", CANNOT_READ), Act::json(503, "retry-after: 60\r\n", "{}")])
            .await,
    );
    let gate = plan(&a, &b).start();
    let turn = r#""prompt_cache_key":"c","input":[{"type":"reasoning","encrypted_content":"gx"}]"#;
    for (status, body) in [(400, CANNOT_READ), (503, "{}")] {
        let answer = gate.ask_as_key(ask(turn)).await;
        assert_eq!((answer.status(), answer.text().as_str()), (status, body));
    }
    assert_eq!(a.requests().len().max(b.requests().len()), 2);
    assert_eq!(a.requests().len().min(b.requests().len()), 0, "the other account was never asked");
}

#[tokio::test]
async fn two_replicas_send_a_conversation_to_the_same_account() {
    let (a, b) =
        (Scripted::start(vec![answer("resp_a")]).await, Scripted::start(vec![answer("resp_b")]).await);
    let (one, two) = (plan(&a, &b).start(), plan(&a, &b).start());
    for conversation in 0..8 {
        for members in [
            format!(r#""user":"u-{conversation}","input":"hi""#),
            format!(r#""instructions":"be {conversation}","input":"hi""#),
        ] {
            assert_eq!(provider(&one, ask(&members)).await, provider(&two, ask(&members)).await);
        }
        let named = || ask(r#""input":"hi""#).with("x-session-id", &format!("s-{conversation}"));
        assert_eq!(provider(&one, named()).await, provider(&two, named()).await);
    }
}
