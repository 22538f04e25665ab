//! External guardrails, over real sockets: every kind's contract as the fake provider serves it.

use crate::support::origin::{Origin, Reply};
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, Gate, tls, until};
use bytes::Bytes;
use narrows_fake::guardrail::MASK;
use narrows_guard::remote::{MAX_ANSWER_BYTES, REMOTES, signature};
use narrows_ledger::{Inspection, Record};
use narrows_llm::Family;
use narrows_policy::{Action, Coverage, Reason, Stage};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Those that are tried in every way.
const KINDS: [&str; 3] = ["crowdstrike_aidr", "presidio", "webhook"];
/// The secret that webhooks are signed with.
const SIGNING: &str = "whsec_Y2FuYXJ5LXNpZ25pbmctc2VjcmV0";
/// Every other credential.
const TOKEN: &str = "canary-guardrail-token-7Qm2";
/// An access key.
const ACCESS_KEY: &str = "AKIACANARY:canary-secret/+=";
const CARD: &str = "4111 1111 1111 1111";
const SAID: &str = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"it is WORDS"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

fn settings(kind: &str) -> Value {
    match kind {
        "bedrock_guardrails" => json!({"guardrail_id": "abc123", "region": "us-east-1"}),
        "model_armor" => json!({"project": "p", "location": "europe-west4", "template": "t"}),
        "patronus" => json!({"evaluators": ["pii"]}),
        "prisma_airs" => json!({"profile": "p"}),
        _ => json!({}),
    }
}

fn credential(kind: &str) -> String {
    let text = match kind {
        "presidio" => return String::new(),
        "webhook" => SIGNING,
        "bedrock_guardrails" => ACCESS_KEY,
        _ => TOKEN,
    };
    format!(", credential: '{text}'")
}

/// A guardrail of this kind at the fake provider, with more settings of its own.
fn guardrail(kind: &str, more: &str) -> String {
    let (settings, credential) = (settings(kind), credential(kind));
    format!(
        "guardrails: {{g: {{kind: {kind}, url: 'http://{{fake}}/guardrails/{kind}', private_network: true, settings: \
         {settings}{credential}{more}}}}}\n"
    )
}

/// A policy that asks it.
fn policy(stage: &str, then: &str) -> String {
    format!(
        "policies: [{{name: outside, where: {{stage: {stage}}}, when: [{{guardrail: g}}], then: {{{then}}}}}]\n"
    )
}

/// A gateway in front of a provider that says this, and no one else.
async fn gate(top: &str, acts: Vec<Act>) -> (Gate, Scripted) {
    let scripted = Scripted::start(acts).await;
    let provider =
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address);
    (Gate::plan().top(top).provider("scripted", &provider).start(), scripted)
}

async fn usual(top: &str) -> (Gate, Scripted) {
    gate(top, vec![Act::json(200, "", SAID)]).await
}

fn ask(words: &str) -> Ask {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": words}]});
    Ask::post("/scripted/v1/chat/completions", body.to_string())
}

fn inspection(record: &Record, stage: Stage) -> &Inspection {
    record.inspections.get(stage).unwrap_or_else(|| panic!("{stage:?} is not in {record:#?}"))
}

/// What the provider was sent.
fn sent(scripted: &Scripted) -> Value {
    let request = scripted.requests().last().unwrap().clone();
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn questions(gate: &Gate, verdict: &str) -> f64 {
    gate.gauge(&format!("narrows_guardrail_questions_total{{guardrail=\"g\",verdict=\"{verdict}\"}}")).await
}

fn refused(got: &Answer, reason: Reason) {
    let code = got.code(Family::Openai);
    assert_eq!((got.status(), code.as_str()), (403, reason.as_str()), "{}", got.text());
    assert!(got.text().contains("`outside`") && got.text().contains("`g`"), "{}", got.text());
}

#[tokio::test]
async fn what_is_clean_goes_on_byte_for_byte() {
    for kind in KINDS {
        let (gate, scripted) = usual(&(guardrail(kind, "") + &policy("request", "action: block"))).await;
        let ask = ask("how are you?");
        let body = String::from_utf8(ask.framed_body()).unwrap();
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), 200, "{kind} {}", got.text());
        assert!(scripted.requests()[0].ends_with(&body));
        let record = gate.record_of(&got).await;
        assert_eq!(inspection(&record, Stage::Request).action, None, "{kind}");
        assert_eq!(questions(&gate, "pass").await, 1.0);
        assert_eq!(gate.gauge("narrows_guardrail_duration_seconds_count{guardrail=\"g\"}").await, 1.0);
        assert_eq!(gate.gauge("narrows_guardrail_state{guardrail=\"g\"}").await, 0.0);
    }
}

#[tokio::test]
async fn what_is_flagged_gets_the_action_of_the_policy() {
    for kind in KINDS {
        for (action, status) in [("log", 200), ("block", 403)] {
            let top = guardrail(kind, "") + &policy("request", &format!("action: {action}"));
            let (gate, scripted) = usual(&top).await;
            let got = gate.ask_as_key(ask("so ä [[flag]] it is")).await;
            assert_eq!(got.status(), status, "{kind} {}", got.text());
            if status == 403 {
                refused(&got, Reason::ContentBlocked);
                assert_eq!(scripted.connections(), 0, "nothing was sent");
            }
            let record = gate.record_of(&got).await;
            let seen = inspection(&record, Stage::Request);
            let wanted = if action == "log" { Action::Log } else { Action::Block };
            assert_eq!((seen.action, seen.enforced), (Some(wanted), true));
            let detail = seen.detail.as_ref().unwrap();
            assert_eq!((&*detail.rules[0], &*detail.findings[0].rule), ("outside", "g"), "{detail:?}");
            let places = kind != "crowdstrike_aidr";
            assert_eq!(detail.findings[0].fingerprint.is_some(), places, "{kind} {detail:?}");
            assert!(!record.to_json().contains("[[flag]]"), "no value is written down");
        }
    }
}

/// A request with the words in a message, and once more in JSON within a string.
fn nested(words: &str) -> Value {
    let arguments = json!({"to": [format!("Zoë \"{words}\" \\ \n")], "n": 7}).to_string();
    json!({"model": "m", "messages": [
        {"role": "user", "content": format!("say\n\"{words}\" ä 😀")},
        {"role": "assistant", "tool_calls": [{"id": "call-1", "type": "function",
            "function": {"name": "send", "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "call-1", "content": "done"},
    ], "metadata": {"kept": "\u{1}\u{2028}"}})
}

#[tokio::test]
async fn what_is_masked_goes_on_as_the_guardrail_wrote_it() {
    for kind in KINDS {
        let more =
            if kind == "presidio" { ", anonymizer_url: 'http://{fake}/guardrails/presidio'" } else { "" };
        let top = guardrail(kind, more).replace("settings: {}", "settings: SETTINGS");
        let own = if kind == "presidio" { "{anonymize: true}" } else { "{}" };
        let top = top.replace("SETTINGS", own) + &policy("request", "action: mask");
        let (gate, scripted) = usual(&top).await;
        let ask = Ask::post("/scripted/v1/chat/completions", nested("[[mask]]").to_string());
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), 200, "{kind} {}", got.text());
        let mut wanted = nested(MASK);
        wanted["model"] = sent(&scripted)["model"].clone();
        assert_eq!(sent(&scripted), wanted, "{kind}");
        let record = gate.record_of(&got).await;
        assert_eq!(inspection(&record, Stage::Request).action, Some(Action::Mask));
        assert_eq!(questions(&gate, "mask").await, 1.0);
    }
}

#[tokio::test]
async fn what_is_flagged_with_its_place_gets_a_placeholder_of_ours() {
    for (kind, entity) in [("presidio", "PERSON"), ("webhook", "NAME")] {
        let (gate, scripted) = usual(&(guardrail(kind, "") + &policy("request", "action: mask"))).await;
        let ask = Ask::post("/scripted/v1/chat/completions", nested("[[flag]]").to_string());
        let got = gate.ask_as_key(ask).await;
        assert_eq!(got.status(), 200, "{kind} {}", got.text());
        let sent = sent(&scripted);
        let content = sent["messages"][0]["content"].as_str().unwrap();
        let start = content.find(&format!("[{entity}_")).unwrap_or_else(|| panic!("{content}"));
        let placeholder = content[start..].split_inclusive(']').next().unwrap();
        let mut wanted = nested(placeholder);
        wanted["model"] = sent["model"].clone();
        assert_eq!(sent, wanted, "{kind}: one value has one placeholder, and all else stays");
    }
    // One that does not say where cannot be masked, and what cannot be masked does not go on.
    let (gate, scripted) =
        usual(&(guardrail("crowdstrike_aidr", "") + &policy("request", "action: mask"))).await;
    refused(&gate.ask_as_key(ask("so [[flag]] it is")).await, Reason::ContentBlocked);
    assert_eq!(scripted.connections(), 0);
}

#[tokio::test]
async fn what_a_guardrail_found_is_not_put_back_beside_what_we_found() {
    let policies = "policies: [{name: ours, where: {stage: request}, when: [{entity: NAME}], then: {action: mask, restore: true}}, \
                    {name: outside, where: {stage: request}, when: [{guardrail: g}], then: {action: mask}}]\n\
                    guard: {custom: {people: {entity: NAME, words: [Zoltan]}}}\n";
    let (gate, scripted) = usual(&(guardrail("webhook", "") + policies)).await;
    let words = "tell Zoltan of [[flag]] now";
    assert_eq!(gate.ask_as_key(ask(words)).await.status(), 200);
    let masked = sent(&scripted)["messages"][0]["content"].as_str().unwrap().to_owned();
    assert_eq!(masked.matches("[NAME_").count(), 2, "{masked}");
    scripted.answer_with(Act::json(200, "", &SAID.replace("WORDS", &masked)));
    let got = gate.ask_as_key(ask(words)).await;
    let theirs = &masked[masked.rfind("[NAME_").unwrap()..];
    assert!(got.text().contains(&format!("tell Zoltan of {theirs}")), "{}", got.text());
}

#[tokio::test]
async fn a_block_of_the_guardrail_is_no_mask() {
    for kind in ["crowdstrike_aidr", "webhook"] {
        for then in ["action: mask", "action: block", "action: mask, on_error: allow"] {
            let top = guardrail(kind, "") + &policy("request", then);
            let (gate, scripted) = usual(&top).await;
            refused(&gate.ask_as_key(ask("so [[block]] it is")).await, Reason::ContentBlocked);
            assert_eq!(scripted.connections(), 0);
            assert_eq!(questions(&gate, "block").await, 1.0);
        }
    }
}

/// What asks the fake for a failure, and the word for it. No five in a row speak of its health.
const FAILURES: [(&str, &str); 6] = [
    ("[[limited]]", "rate_limited"),
    ("[[failing]]", "unavailable"),
    ("[[malformed]]", "malformed"),
    ("[[nonsense]]", "malformed"),
    ("[[empty]]", "empty"),
    ("[[slow]]", "timeout"),
];

#[tokio::test]
async fn no_verdict_is_never_a_pass() {
    for kind in KINDS {
        for (action, status) in [("block", 403), ("mask", 403), ("log", 200)] {
            let top = guardrail(kind, ", timeout: 300ms") + &policy("request", &format!("action: {action}"));
            let (gate, scripted) = usual(&top).await;
            for (trigger, _) in FAILURES {
                let got = gate.ask_as_key(ask(&format!("so {trigger} it is"))).await;
                assert_eq!(got.status(), status, "{kind} {action} {trigger} {}", got.text());
                if status == 403 {
                    refused(&got, Reason::ContentNotInspected);
                }
            }
            assert_eq!(scripted.connections() == 0, status == 403);
            for (_, word) in FAILURES {
                let wanted = FAILURES.iter().filter(|(_, other)| *other == word).count();
                assert_eq!(questions(&gate, word).await, wanted as f64, "{kind} {word}");
            }
        }
    }
}

#[tokio::test]
async fn on_error_says_what_a_failure_means() {
    let found = format!("pay {CARD} [[failing]]");
    for kind in KINDS {
        for (on_error, words, status) in [
            ("allow", "so [[failing]] it is", 200),
            ("allow", found.as_str(), 200),
            ("builtin", "so [[failing]] it is", 200),
            ("builtin", found.as_str(), 403),
            ("block", "so [[failing]] it is", 403),
        ] {
            // Once for the guardrail, and once for the policy, which has the last word.
            let of_guardrail =
                guardrail(kind, &format!(", on_error: {on_error}")) + &policy("request", "action: block");
            let of_policy = guardrail(kind, ", on_error: block")
                + &policy("request", &format!("action: block, on_error: {on_error}"));
            for top in [of_guardrail, of_policy] {
                let (gate, _scripted) = usual(&top).await;
                let got = gate.ask_as_key(ask(words)).await;
                assert_eq!(got.status(), status, "{kind} {on_error} {words} {}", got.text());
                let record = gate.record_of(&got).await;
                assert_ne!(inspection(&record, Stage::Request).action, None, "it is written down");
            }
        }
    }
}

#[tokio::test]
async fn one_connection_serves_many_questions() {
    for kind in KINDS {
        let (gate, _scripted) = usual(&(guardrail(kind, "") + &policy("request", "action: block"))).await;
        for _ in 0..40 {
            assert_eq!(gate.ask_as_key(ask("how are you?")).await.status(), 200);
        }
        assert_eq!((gate.fake.connections(), gate.fake.requests()), (1, 40), "{kind}");
        let series = "narrows_guardrail_connections_reused_total{guardrail=\"g\"}";
        assert_eq!(gate.gauge(series).await, 39.0);
    }
}

fn passing() -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        parts: vec![Bytes::from_static(br#"{"version": 1, "verdict": {"kind": "pass"}}"#)],
        sized: true,
        ..Reply::default()
    }
}

#[tokio::test]
async fn one_handshake_serves_many_questions() {
    let theirs = tls::certificate("127.0.0.1");
    let origin = Origin::start(Some(theirs.acceptor()), |_, _| passing()).await;
    let top = format!(
        "guardrails: {{g: {{kind: webhook, url: 'https://{}', private_network: true, ca_file: '{{dir}}/ca.pem', \
         credential: '{SIGNING}'}}}}\n{}",
        origin.address,
        policy("request", "action: block")
    );
    let scripted = Scripted::start(vec![Act::json(200, "", SAID)]).await;
    let provider =
        format!("kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: []", scripted.address);
    let gate =
        Gate::plan().top(&top).file("ca.pem", theirs.pem.clone()).provider("scripted", &provider).start();
    for _ in 0..20 {
        let got = gate.ask_as_key(ask("how are you?")).await;
        assert_eq!(got.status(), 200, "{}", got.text());
    }
    assert_eq!((origin.handshakes().len(), origin.served().len()), (1, 20));
    // What does not concern it leaves its connections alone; what does makes new ones.
    gate.edit("action: block", "action: mask");
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(gate.ask_as_key(ask("how are you?")).await.status(), 200);
    assert_eq!(origin.handshakes().len(), 1);
    gate.edit("private_network: true,", "private_network: true, timeout: 3s,");
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(gate.ask_as_key(ask("how are you?")).await.status(), 200);
    assert_eq!(origin.handshakes().len(), 2);
}

/// A webhook that answers like this, and a policy about it.
async fn scripted_guardrail(acts: Vec<Act>, more: &str) -> (Gate, Scripted, Scripted) {
    let guardrail = Scripted::start(acts).await;
    let top = format!(
        "guardrails: {{g: {{kind: webhook, url: 'http://{}', private_network: true, credential: '{SIGNING}'{more}}}}}\n{}",
        guardrail.address,
        policy("request", "action: block")
    );
    let (gate, scripted) = usual(&top).await;
    (gate, guardrail, scripted)
}

#[tokio::test]
async fn a_guardrail_that_fails_too_often_is_left_alone_for_a_while() {
    let failures = (0..5).map(|_| Act::json(503, "", "{}"));
    let pass = Act::json(200, "", r#"{"version": 1, "verdict": {"kind": "pass"}}"#);
    let (gate, guardrail, _scripted) = scripted_guardrail(failures.chain([pass]).collect(), "").await;
    let state = "narrows_guardrail_state{guardrail=\"g\"}";
    for _ in 0..5 {
        assert_eq!(gate.gauge(state).await, 0.0);
        refused(&gate.ask_as_key(ask("hi")).await, Reason::ContentNotInspected);
    }
    assert_eq!(gate.gauge(state).await, 2.0);
    refused(&gate.ask_as_key(ask("hi")).await, Reason::ContentNotInspected);
    assert_eq!(guardrail.requests().len(), 5, "it was not asked a sixth time");
    assert_eq!(questions(&gate, "breaker_open").await, 1.0);
    until("the pause to be over", async || (gate.gauge(state).await == 1.0).then_some(())).await;
    // Where there is nothing to ask, nothing is learnt of it.
    assert_eq!(gate.ask_as_key(ask(" ")).await.status(), 200);
    assert_eq!((gate.gauge(state).await, guardrail.requests().len()), (1.0, 5));
    assert_eq!(gate.ask_as_key(ask("hi")).await.status(), 200);
    assert_eq!((gate.gauge(state).await, guardrail.requests().len()), (0.0, 6));
}

#[tokio::test]
async fn an_outage_says_when_another_try_may_succeed_and_nothing_else_does() {
    let failures = (0..5).map(|_| Act::json(503, "", "{}"));
    let senseless = Act::json(200, "", "{}");
    let block = Act::json(
        200,
        "",
        r#"{"version": 1, "verdict": {"kind": "block", "reason": "no", "unit": "code_point", "findings": []}}"#,
    );
    let acts = [senseless, block].into_iter().chain(failures).collect();
    let (gate, _guardrail, _scripted) = scripted_guardrail(acts, "").await;
    for reason in [Reason::ContentNotInspected, Reason::ContentBlocked] {
        let got = gate.ask_as_key(ask("hi")).await;
        refused(&got, reason);
        assert_eq!((got.header("retry-after"), got.header("x-should-retry")), (None, Some("false")));
    }
    for outage in 0..6 {
        let got = gate.ask_as_key(ask("hi")).await;
        refused(&got, Reason::ContentNotInspected);
        let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
        assert!(if outage < 5 { wait == 1 } else { (1..=7).contains(&wait) }, "{outage}: {wait}");
        assert_eq!(got.header("x-should-retry"), None);
    }
}

#[tokio::test]
async fn a_pass_is_remembered_for_the_same_texts_of_the_same_caller_and_an_objection_is_not() {
    for (more, asked) in [(", remember: 1h", [1.0, 2.0, 2.0]), ("", [3.0, 4.0, 2.0])] {
        let top = guardrail("webhook", more) + &policy("request", "action: block");
        let (gate, _scripted) = usual(&top).await;
        for _ in 0..3 {
            assert_eq!(gate.ask_as_key(ask("how are you?")).await.status(), 200);
        }
        assert_eq!(questions(&gate, "pass").await, asked[0], "{more}");
        assert_eq!(gate.ask_as_key(ask("and you?")).await.status(), 200);
        assert_eq!(questions(&gate, "pass").await, asked[1], "{more}");
        for _ in 0..2 {
            refused(&gate.ask_as_key(ask("so [[flag]] it is")).await, Reason::ContentBlocked);
        }
        assert_eq!(questions(&gate, "flag").await, asked[2], "{more}");
    }
}

#[tokio::test]
async fn forms_and_files_are_shown_to_guardrails() {
    let form = |words: &str| {
        let part = "--b-1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n";
        Ask { body: format!("{part}{words}\r\n--b-1--\r\n").into(), ..Ask::new("POST", "/scripted/v1/files") }
            .with("content-type", "multipart/form-data; boundary=b-1")
    };
    for (action, words, status, seen) in [
        ("block", "so [[flag]] it is", 403, Some(Action::Block)),
        ("log", "so [[flag]] it is", 200, Some(Action::Log)),
        ("block", "how are you?", 200, None),
        ("log", "how are you?", 200, None),
    ] {
        let scripted = Scripted::start(vec![Act::json(200, "", r#"{"id":"file-1","object":"file"}"#)]).await;
        let provider = format!(
            "kind: openai, base_url: 'http://{}/v1', api_key: sk-x, models: [], paths: [files]",
            scripted.address
        );
        let top = guardrail("webhook", "") + &policy("request", &format!("action: {action}"));
        let gate = Gate::plan().top(&top).provider("scripted", &provider).start();
        let got = gate.ask_as_key(form(words)).await;
        assert_eq!(got.status(), status, "{action} {words} {}", got.text());
        let record = gate.record_of(&got).await;
        let inspection = inspection(&record, Stage::Request);
        assert_eq!((inspection.action, inspection.coverage), (seen, Coverage::Full), "{action} {words}");
    }
}

#[tokio::test]
async fn an_answer_has_a_limit() {
    let pass = r#"{"version": 1, "verdict": {"kind": "pass"}}"#;
    let padded = |bytes: usize| Act::json(200, "", &format!("{pass}{}", " ".repeat(bytes - pass.len())));
    for (bytes, word, status) in [(MAX_ANSWER_BYTES, "pass", 200), (MAX_ANSWER_BYTES + 1, "too_long", 403)] {
        let (gate, _guardrail, _scripted) = scripted_guardrail(vec![padded(bytes)], ", timeout: 10s").await;
        let got = gate.ask_as_key(ask("hi")).await;
        assert_eq!(got.status(), status, "{bytes} {}", got.text());
        assert_eq!(questions(&gate, word).await, 1.0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_a_guardrail_is_asked_costs_nothing() {
    let (gate, guardrail, scripted) = scripted_guardrail(vec![Act::Hold], ", timeout: 10s").await;
    let mut client = gate.connect().await;
    client.send(&ask("hi").key(&gate.key).wire()).await;
    until("the question", async || (guardrail.connections() == 1).then_some(())).await;
    drop(client);
    let record = gate.record().await;
    assert_eq!((record.reason, scripted.connections()), (Reason::ClientGone, 0), "{record:#?}");
    assert_eq!(gate.gauge("narrows_guardrail_state{guardrail=\"g\"}").await, 0.0);
}

#[tokio::test]
async fn a_guardrail_that_is_not_there_or_hangs_up_gives_no_verdict() {
    let body = r#"{"version": 1, "verdict": {"kind": "pass"}}"#;
    let cut = Act::SayAndClose(format!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{body}").into_bytes());
    for (act, word) in [(cut, "cut"), (Act::Reset, "cut"), (Act::Hold, "timeout")] {
        let (gate, _guardrail, scripted) = scripted_guardrail(vec![act], ", timeout: 300ms").await;
        refused(&gate.ask_as_key(ask("hi")).await, Reason::ContentNotInspected);
        assert_eq!((questions(&gate, word).await, scripted.connections()), (1.0, 0));
    }
    // A private address is not reached unless the operator says that it is one.
    let guardrail = Scripted::start(vec![Act::json(200, "", body)]).await;
    let top = format!(
        "guardrails: {{g: {{kind: webhook, url: 'https://{}', credential: '{SIGNING}'}}}}\n{}",
        guardrail.address,
        policy("request", "action: block")
    );
    let (gate, _scripted) = usual(&top).await;
    refused(&gate.ask_as_key(ask("hi")).await, Reason::ContentNotInspected);
    assert_eq!((questions(&gate, "unreachable").await, guardrail.connections()), (1.0, 0));
}

#[tokio::test]
async fn a_webhook_can_tell_that_it_is_us_and_about_whom() {
    let (gate, _scripted) = usual(&(guardrail("webhook", "") + &policy("request", "action: block"))).await;
    let got = gate.ask_as_key(ask("how are you?")).await;
    assert_eq!(got.status(), 200);
    let seen = gate.fake.seen().pop().unwrap();
    let header = |name: &str| seen.header(name).unwrap_or_else(|| panic!("{name} is not in {seen:?}"));
    let at: u64 = header("webhook-timestamp").parse().unwrap();
    let key = signature::key(SIGNING).unwrap();
    assert!(signature::verify(&key, header("webhook-id"), at, &seen.body, header("webhook-signature"), at));
    let question: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((&question["stage"], &question["facts"]["user"]), (&json!("input"), &json!("ada")));
    assert_eq!(question["facts"]["team"], "blue");
    assert!(!format!("{seen:?}").contains(&gate.key), "nothing of the client's credential");
}

#[tokio::test]
async fn every_kind_is_asked_in_its_own_way() {
    for kind in REMOTES.iter().map(|kind| kind.name) {
        let (gate, scripted) = usual(&(guardrail(kind, "") + &policy("request", "action: block"))).await;
        assert_eq!(gate.ask_as_key(ask("how are you?")).await.status(), 200, "{kind}");
        refused(&gate.ask_as_key(ask("so [[flag]] it is")).await, Reason::ContentBlocked);
        assert_eq!(scripted.requests().len(), 1, "{kind}");
        let seen = gate.fake.seen();
        let signed_in = seen.iter().all(|seen| match kind {
            "presidio" => true,
            "webhook" => seen.header("webhook-signature").is_some(),
            "bedrock_guardrails" => seen.header("authorization").is_some_and(|value| {
                value.starts_with("AWS4-HMAC-SHA256 Credential=AKIACANARY/")
                    && !value.contains("canary-secret")
            }),
            _ => seen.headers.iter().any(|(_, value)| value.ends_with(TOKEN)),
        });
        assert!(!seen.is_empty() && signed_in, "{kind} {seen:?}");
    }
}

#[tokio::test]
async fn answers_are_shown_to_guardrails_before_the_client_sees_them() {
    for kind in KINDS {
        let said = SAID.replace("WORDS", "a \\\"[[flag]]\\\" \\u00e4");
        let top = guardrail(kind, "") + &policy("response", "action: block");
        let (gate, _scripted) = gate(&top, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask("hi")).await;
        refused(&got, Reason::ContentBlocked);
        assert!(!got.text().contains("[[flag]]"));
        assert_eq!(inspection(&gate.record_of(&got).await, Stage::Response).action, Some(Action::Block));
    }
    for kind in ["crowdstrike_aidr", "webhook"] {
        let said = SAID.replace("WORDS", "a \\\"[[mask]]\\\" \\u00e4");
        let top = guardrail(kind, "") + &policy("response", "action: mask");
        let (gate, _scripted) = gate(&top, vec![Act::json(200, "", &said)]).await;
        let got = gate.ask_as_key(ask("hi")).await;
        let read: Value = serde_json::from_str(&got.text()).unwrap();
        assert_eq!(read["choices"][0]["message"]["content"], format!("it is a \"{MASK}\" ä"), "{kind}");
    }
}

fn stream_of(pieces: &[&str]) -> (String, Act) {
    let piece = |words: &&str| {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": words}}]}))
    };
    let said = pieces.iter().map(piece).collect::<String>() + "data: [DONE]\n\n";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
        said.len()
    );
    (said.clone(), Act::Say((head + &said).into_bytes()))
}

#[tokio::test]
async fn streams_are_shown_to_guardrails_when_they_have_ended() {
    let streamed = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]});
    let ask = || Ask::post("/scripted/v1/chat/completions", streamed.to_string());
    for kind in KINDS {
        let top = guardrail(kind, ", timeout: 300ms") + &policy("stream", "action: block");
        let (said, act) = stream_of(&["so [[fl", "ag]] it", " is"]);
        let (flagged, _scripted) = gate(&top, vec![act]).await;
        let got = flagged.ask_as_key(ask()).await;
        assert_eq!((got.status(), got.text()), (200, said), "{kind}");
        let record = flagged.record_of(&got).await;
        let seen = inspection(&record, Stage::Stream);
        assert_eq!((seen.action, seen.enforceable), (Some(Action::Block), false), "{kind}");
        assert_eq!(&*seen.detail.as_ref().unwrap().findings[0].rule, "g");
        assert_eq!(questions(&flagged, "flag").await, 1.0);
        // The client has all of it, however long the guardrail takes.
        let (said, act) = stream_of(&["so [[slow]]"]);
        let (slow, _scripted) = gate(&top, vec![act]).await;
        let got = slow.ask_as_key(ask()).await;
        assert_eq!((got.status(), got.text()), (200, said), "{kind}");
        assert_eq!(inspection(&slow.record_of(&got).await, Stage::Stream).action, Some(Action::Block));
        assert_eq!(questions(&slow, "timeout").await, 1.0);
    }
}

#[tokio::test]
async fn who_rewrites_reads_what_was_masked_before() {
    let cards = "{name: cards, when: [{entity: CARD}], where: {stage: request}, then: {action: mask}}";
    let outside = "{name: outside, when: [{guardrail: g}], where: {stage: request}, then: {action: mask}}";
    let top = guardrail("webhook", "") + &format!("policies: [{cards}, {outside}]\n");
    let (gate, scripted) = usual(&top).await;
    let got = gate.ask_as_key(ask(&format!("pay {CARD} \"[[mask]]\""))).await;
    assert_eq!(got.status(), 200, "{}", got.text());
    let asked = String::from_utf8(gate.fake.seen().pop().unwrap().body).unwrap();
    assert!(asked.contains("[CARD_") && !asked.contains(CARD), "{asked}");
    let sent = sent(&scripted);
    let content = sent["messages"][0]["content"].as_str().unwrap();
    assert!(content.starts_with("pay [CARD_") && content.ends_with(&format!("] \"{MASK}\"")), "{content}");
    // What is refused anyway is not shown to anybody else.
    let top =
        guardrail("webhook", "") + &format!("policies: [{}, {outside}]\n", cards.replace("mask", "block"));
    let (gate, _scripted) = usual(&top).await;
    assert_eq!(gate.ask_as_key(ask(&format!("pay {CARD}"))).await.status(), 403);
    assert_eq!(gate.fake.requests(), 0);
}

#[tokio::test]
async fn a_scan_asks_guardrails_too() {
    let top = guardrail("presidio", "") + &policy("request", "action: mask");
    let (gate, _scripted) = usual(&top).await;
    let got = gate.ask_as_key(Ask::post("/v1/guard/scan", r#"{"text":"hi \"[[flag]]\" ä"}"#)).await;
    let answer: Value = serde_json::from_str(&got.text()).unwrap();
    assert_eq!(answer["decision"]["action"], "mask", "{answer}");
    assert_eq!(
        answer["guardrails"],
        json!([{"guardrail": "g", "verdict": "flag", "categories": ["PERSON", "presidio"], "score": 85}])
    );
    let masked = answer["masked"].as_str().unwrap();
    assert!(masked.starts_with("hi \"[PERSON_") && masked.ends_with("]\" ä"), "{masked}");
    let got = gate.ask_as_key(Ask::post("/v1/guard/scan", r#"{"text":"hi [[failing]]"}"#)).await;
    let answer: Value = serde_json::from_str(&got.text()).unwrap();
    assert_eq!(
        (&answer["guardrails"][0]["verdict"], &answer["decision"]["action"]),
        (&json!("unavailable"), &json!("block"))
    );
}

/// Two webhooks that answer only when both have been asked.
async fn waiting_for_each_other() -> [SocketAddr; 2] {
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let start = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, both) = (listener.local_addr().unwrap(), Arc::clone(&both));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The first bytes are there: it was asked.
            stream.readable().await.unwrap();
            both.wait().await;
            let Act::Say(answer) = Act::json(200, "", r#"{"version": 1, "verdict": {"kind": "pass"}}"#)
            else {
                return;
            };
            stream.write_all(&answer).await.unwrap();
            // Open until the gateway closes it.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        address
    };
    [start().await, start().await]
}

#[tokio::test]
async fn guardrails_are_asked_at_the_same_time() {
    let [one, other] = waiting_for_each_other().await;
    let settings = "kind: webhook, private_network: true, timeout: 10s, settings: {signed: false}";
    let top = format!(
        "guardrails: {{g: {{url: 'http://{one}', {settings}}}, h: {{url: 'http://{other}', {settings}}}}}\n\
         policies: [{{name: outside, where: {{stage: request}}, when: [{{guardrail: g}}, {{guardrail: h}}], then: \
         {{action: block}}}}]\n"
    );
    let (gate, _scripted) = usual(&top).await;
    let got = gate.ask_as_key(ask("how are you?")).await;
    assert_eq!(got.status(), 200, "one after the other they would wait for ever: {}", got.text());
}
