//! Virtual keys: where they may stand, and that they never leave the house.

use crate::support::{Ask, CHAT, Client, GEMINI, GENERATING, Gate, MESSAGES, until};
use narrows_ledger::KeyHash;
use narrows_llm::Family;
use narrows_policy::{CallerKind, Reason};
use std::time::{Duration, Instant};

/// That nothing of ours reached the provider.
fn assert_no_key_left(gate: &Gate) {
    for seen in gate.fake.seen() {
        let everything = format!("{} {:?} {}", seen.line, seen.headers, String::from_utf8_lossy(&seen.body));
        assert!(!everything.contains("nrw_"), "{everything}");
        assert!(!seen.headers.iter().any(|(name, _)| name.starts_with("x-narrows")), "{everything}");
    }
}

#[tokio::test]
async fn a_key_is_taken_wherever_a_client_puts_it_and_never_goes_upstream() {
    let gate = Gate::start();
    let key = gate.key.clone();
    let mut asked = 0;
    for kind in GENERATING {
        let ask = Ask::unary(kind);
        let in_query = |before: &str| ask.clone().to(&format!("{}?{before}key={key}", kind.unary));
        let places = [
            ask.clone().with("authorization", &format!("Bearer {key}")),
            ask.clone().with("Authorization", &format!("bearer  {key} ")),
            ask.clone().with("authorization", &key),
            ask.clone().with("x-api-key", &key),
            ask.clone().with("X-Goog-Api-Key", &key),
            ask.clone().with("api-key", &key),
            ask.clone().with("x-narrows-api-key", &key),
            in_query(""),
            in_query("beta=true&"),
            // The same key in two places is one key.
            ask.clone().with("authorization", &format!("Bearer {key}")).with("x-api-key", &key),
            // A dummy beside ours is no second key.
            ask.clone().with("authorization", "Bearer dummy").with("x-api-key", &key),
        ];
        for place in places {
            let answer = gate.ask(&place).await;
            assert_eq!(answer.status(), 200, "{place:?}: {}", answer.text());
            asked += 1;
        }
    }
    assert_eq!(gate.fake.seen().len(), asked);
    assert_no_key_left(&gate);
    for seen in gate.fake.seen() {
        assert!(!seen.line.contains("key="), "{}", seen.line);
        assert!(!format!("{:?}", seen.headers).contains("dummy"), "{:?}", seen.headers);
    }
    assert!(gate.fake.seen().iter().any(|seen| seen.line.contains("?beta=true ")));
}

#[tokio::test]
async fn no_header_and_no_query_carries_a_key_upstream() {
    let gate = Gate::start();
    let key = gate.key.clone();
    let odd = Ask::unary(&CHAT)
        .to(&format!("/v1/chat/completions?a=1&token={key}&note=x{key}&b=2"))
        .key(&key)
        .with("x-my-token", &key)
        .with("x-note", &format!("the key is {key}, keep it"))
        .with("cookie", &format!("session={key}"))
        .with("user-agent", &format!("tool/{key}"))
        .with("x-session-id", &key)
        .with("x-kept", "kept");
    let answer = gate.ask(&odd).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_no_key_left(&gate);
    let seen = &gate.fake.seen()[0];
    assert!(seen.line.contains("?a=1&b=2 "), "{}", seen.line);
    assert_eq!(seen.header("x-kept"), Some("kept"));
    let record = gate.record().await;
    assert!(!format!("{record:?}").contains(&key));
}

#[tokio::test]
async fn two_different_keys_are_refused() {
    let gate = Gate::plan().key(|key| key.user = Some("eve".into())).start();
    let other = &gate.keys[1].1;
    for (kind, ask) in [
        (&CHAT, Ask::unary(&CHAT).key(&gate.key).with("x-api-key", other)),
        (&MESSAGES, Ask::unary(&MESSAGES).with("x-api-key", &gate.key).with("x-narrows-api-key", other)),
        (&GEMINI, Ask::unary(&GEMINI).to(&format!("{}?key={other}", GEMINI.unary)).key(&gate.key)),
    ] {
        let answer = gate.ask(&ask).await;
        assert_eq!((answer.status(), &*answer.code(kind.family())), (400, "key_conflict"));
    }
    assert_eq!(gate.fake.requests(), 0);
    assert!(gate.records().await.iter().all(|record| record.reason == Reason::KeyConflict));
}

#[tokio::test]
async fn wrong_keys_are_refused_in_the_callers_dialect() {
    let gate = Gate::start();
    let mut forged = gate.key.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.push(last);
    for kind in GENERATING {
        for wrong in ["nrw_", "nrw_short", &forged, "sk-ant-something", "Basic dXNlcg=="] {
            let answer = gate.ask(&Ask::unary(kind).with("x-api-key", wrong)).await;
            assert_eq!(answer.status(), 401, "{wrong}");
            assert_eq!(answer.code(kind.family()), "key_unknown", "{wrong}");
            assert!(!answer.text().contains(wrong) || wrong == "nrw_", "the answer echoes {wrong}");
        }
    }
    assert_eq!(gate.fake.connections(), 0);
}

#[tokio::test]
async fn a_key_disabled_by_another_process_is_refused_within_a_second() {
    let gate = Gate::start();
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    let disabled = Instant::now();
    gate.ledger.set_key_disabled(&gate.key_id, true, "test").unwrap();
    let mut client = gate.connect().await;
    let ask = Ask::unary(&CHAT).key(&gate.key);
    let refused = until("the key to be refused", async || {
        let answer = client.ask(&ask).await;
        (answer.status() != 200).then_some(answer)
    })
    .await;
    let took = disabled.elapsed();
    assert_eq!((refused.status(), &*refused.code(Family::Openai)), (401, "key_disabled"));
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    gate.ledger.set_key_disabled(&gate.key_id, false, "test").unwrap();
    until("the key to work again", async || {
        (Client::connect(gate.address).await.ask(&ask).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_expired_key_and_a_foreign_model_are_refused() {
    let gate = Gate::plan()
        .key(|key| key.expires_at_us = Some(1))
        .key(|key| key.models = Some(vec!["claude-*".into(), "fast".into()]))
        .top("models: {fast: openai/gpt-4o-mini}")
        .start();
    let expired = gate.ask(&Ask::unary(&MESSAGES).key(&gate.keys[1].1)).await;
    assert_eq!((expired.status(), &*expired.code(Family::Anthropic)), (401, "key_expired"));
    let narrow = &gate.keys[2].1;
    for kind in [&CHAT, &GEMINI] {
        let refused = gate.ask(&Ask::unary(kind).key(narrow)).await;
        assert_eq!((refused.status(), &*refused.code(kind.family())), (403, "model_not_allowed"));
        assert_eq!(gate.record_of(&refused).await.reason, Reason::ModelNotAllowed);
    }
    assert_eq!(gate.fake.requests(), 0);
    assert_eq!(gate.ask(&Ask::unary(&MESSAGES).key(narrow)).await.status(), 200);
    let alias = Ask::post("/v1/chat/completions", r#"{"model":"fast","messages":[]}"#);
    assert_eq!(gate.ask(&alias.key(narrow)).await.status(), 200, "an alias on the list is allowed");
}

#[tokio::test]
async fn a_client_may_bring_its_own_login_where_the_provider_lets_it() {
    let gate = Gate::plan()
        .provider(
            "login",
            "kind: anthropic, base_url: 'http://{fake}/login', models: ['claude-opus-*'], client_credentials: pass",
        )
        .start();
    let body = r#"{"model":"claude-opus-4-1","max_tokens":9,"messages":[]}"#;
    let own = Ask::post("/v1/messages?beta=true", body)
        .with("x-narrows-api-key", &gate.key)
        .with("authorization", "Bearer sk-ant-oat01-the-clients-own")
        .with("anthropic-beta", "oauth-2025-04-20");
    let answer = gate.ask(&own).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = gate.fake.seen().pop().unwrap();
    assert!(seen.line.starts_with("POST /login/v1/messages?beta=true "), "{}", seen.line);
    assert_eq!(seen.header("authorization"), Some("Bearer sk-ant-oat01-the-clients-own"));
    assert_eq!(seen.header("x-api-key"), None);
    assert_no_key_left(&gate);

    // The provider's word about the client's own credential is the client's to hear.
    let refused = gate.ask(&own.clone().fake("status=401")).await;
    assert_eq!(refused.status(), 401, "{}", refused.text());
    assert_eq!(refused.json()["error"]["type"], "authentication_error");

    // Elsewhere it is removed and ours is sent.
    let ours = Ask::unary(&MESSAGES)
        .with("x-narrows-api-key", &gate.key)
        .with("authorization", "Bearer sk-ant-oat01-x");
    assert_eq!(gate.ask(&ours).await.status(), 200);
    let seen = gate.fake.seen().pop().unwrap();
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("x-api-key"), Some(crate::support::gate::PROVIDER_KEY));

    // Without x-narrows-api-key there is no saying whose a credential is: it is not passed.
    let beside =
        Ask::post("/v1/messages", body).with("x-api-key", &gate.key).with("authorization", "Bearer sk-mine");
    let answer = gate.ask(&beside).await;
    let seen = gate.fake.seen().pop().unwrap();
    assert_eq!((answer.status(), seen.header("authorization")), (200, None));
}

#[tokio::test]
async fn a_route_may_be_open_to_anybody_and_is_attributed() {
    let gate = Gate::plan()
        .provider("local", "kind: openai-compatible, base_url: 'http://{fake}/v1', models: ['llama-*']")
        .top("models: {my-alias: openai/gpt-4o}")
        .top("anonymous: [{providers: [local], caller: {team: lab, service_account: notebooks}}]")
        .start();
    let body = r#"{"model":"llama-3","messages":[]}"#;
    for open in [
        Ask::post("/local/v1/chat/completions", body),
        Ask::post("/local/v1/chat/completions", body).with("authorization", "Bearer dummy"),
    ] {
        let answer = gate.ask(&open).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let record = gate.record_of(&answer).await;
        assert_eq!(record.caller.kind, CallerKind::Anonymous);
        assert_eq!(record.caller.team.as_deref(), Some("lab"));
        assert_eq!(record.caller.service_account.as_deref(), Some("notebooks"));
    }
    // A path that does not name the provider is not open, nor does a model lead out of an open path.
    let closed = gate.ask(&Ask::post("/v1/chat/completions", body)).await;
    assert_eq!((closed.status(), &*closed.code(Family::Openai)), (401, "key_missing"));
    for elsewhere in ["openai/gpt-4o", "my-alias"] {
        let body = format!(r#"{{"model":"{elsewhere}","messages":[]}}"#);
        let seen = gate.fake.requests();
        let answer = gate.ask(&Ask::post("/local/v1/chat/completions", body)).await;
        let record = gate.record_of(&answer).await;
        assert!(record.provider.as_deref().is_none_or(|provider| provider == "local"), "{record:?}");
        assert!(answer.status() >= 400 || gate.fake.requests() == seen + 1);
    }
    // A wrong key is refused even there.
    let wrong = gate.ask(&Ask::post("/local/v1/chat/completions", body).key("nrw_wrong")).await;
    assert_eq!(wrong.status(), 401);
}

/// A file of declared keys with these rows.
fn declared(rows: &[String]) -> String {
    format!("version: 1\nkeys: [{}]\n", rows.join(", "))
}

async fn status_of(gate: &Gate, key: &str) -> (u16, String) {
    let answer = gate.connect().await.ask(&Ask::unary(&CHAT).key(key)).await;
    (answer.status(), answer.text())
}

#[tokio::test]
async fn a_declared_key_works_and_ends_when_it_leaves_the_file() {
    let (secret, hash) = KeyHash::draw().unwrap();
    let (other, other_hash) = KeyHash::draw().unwrap();
    let one = format!("{{name: one, secret: 'hash:{hash}', team: search}}");
    let two = format!("{{name: two, secret: 'hash:{other_hash}', models: [claude-*]}}");
    let gate = Gate::plan()
        .top("reload: {watch: off}\nkeys: {file: keys.yaml}")
        .file("keys.yaml", declared(&[one.clone(), two]))
        .start();
    let file = gate.dir.path().join("keys.yaml");
    assert_eq!(status_of(&gate, secret.expose()).await.0, 200);
    assert_eq!(gate.records().await[0].caller.team.as_deref(), Some("search"));
    let refused = status_of(&gate, other.expose()).await;
    assert_eq!(refused.0, 403, "{refused:?}");

    // Changed: the second may use every model now.
    let two = format!("{{name: two, secret: 'hash:{other_hash}'}}");
    std::fs::write(&file, declared(&[one.clone(), two.clone()])).unwrap();
    assert_eq!(gate.reload().await.json()["result"], "applied");
    assert_eq!(status_of(&gate, other.expose()).await.0, 200);

    // A bad row: nothing of the file counts, not even that a key is gone.
    std::fs::write(&file, declared(&["{name: bad, secret: 'hash:1'}".to_owned()])).unwrap();
    let answer = gate.reload().await;
    assert_eq!(answer.status(), 422);
    assert!(answer.text().contains("keys.yaml") && answer.text().contains("narrows keys hash"));
    assert_eq!(status_of(&gate, secret.expose()).await.0, 200);

    // Gone: disabled, and back when it is declared again. The key made by hand works all the time.
    std::fs::write(&file, declared(&[two])).unwrap();
    assert_eq!(gate.reload().await.json()["result"], "applied");
    let refused = status_of(&gate, secret.expose()).await;
    assert!(refused.0 == 401 && refused.1.contains("key_disabled"), "{refused:?}");
    assert_eq!(status_of(&gate, &gate.key).await.0, 200);
    std::fs::write(&file, declared(&[one])).unwrap();
    gate.reload().await;
    assert_eq!(status_of(&gate, secret.expose()).await.0, 200);
    assert_eq!(gate.reload().await.json()["result"], "unchanged");
    let trail = gate.admin("/admin/v1/audit?actor=configuration").await.json();
    assert_eq!(trail["events"].as_array().unwrap().len(), 6, "{trail}");
}

#[tokio::test]
async fn a_declared_key_is_not_changed_by_the_api() {
    let (secret, hash) = KeyHash::draw().unwrap();
    let gate = Gate::plan()
        .top("keys: {file: keys.yaml}")
        .file("keys.yaml", declared(&[format!("{{name: one, secret: 'hash:{hash}'}}")]))
        .start();
    let path = format!("/admin/v1/keys/{}", hash.id());
    for (method, path) in [
        ("POST", format!("{path}/disable")),
        ("POST", format!("{path}/enable")),
        ("POST", format!("{path}/rotate")),
        ("DELETE", path.clone()),
    ] {
        let ask = Ask::new(method, &path).with("connection", "close").key(&gate.admin_token);
        let answer = Client::connect(gate.admin).await.ask(&ask).await;
        assert_eq!(answer.status(), 409, "{method} {path}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("key_declared") && text.contains("keys.yaml"), "{text}");
    }
    assert_eq!(status_of(&gate, secret.expose()).await.0, 200);
    assert!(gate.admin(&path).await.json()["declared_in"].as_str().unwrap().ends_with("keys.yaml"));
}

#[tokio::test]
async fn the_file_of_declared_keys_is_watched() {
    let (secret, hash) = KeyHash::draw().unwrap();
    let gate = Gate::plan().top("keys: {file: keys.yaml}").file("keys.yaml", declared(&[])).start();
    assert_eq!(status_of(&gate, secret.expose()).await.0, 401);
    let (new, file) = (gate.dir.path().join("new.yaml"), gate.dir.path().join("keys.yaml"));
    std::fs::write(&new, declared(&[format!("{{name: one, secret: 'hash:{hash}'}}")])).unwrap();
    std::fs::rename(new, file).unwrap();
    until("the new key to work", async || (status_of(&gate, secret.expose()).await.0 == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_declared_key_with_the_secret_of_one_made_by_hand_rejects_the_configuration() {
    let gate = Gate::plan()
        .top("reload: {watch: off}\nkeys: {file: keys.yaml}")
        .file("keys.yaml", declared(&[]))
        .start();
    let hash = KeyHash::of(&gate.key).unwrap();
    let (secret, good) = KeyHash::draw().unwrap();
    let rows =
        [format!("{{name: good, secret: 'hash:{good}'}}"), format!("{{name: one, secret: 'hash:{hash}'}}")];
    std::fs::write(gate.dir.path().join("keys.yaml"), declared(&rows)).unwrap();
    let answer = gate.reload().await;
    assert_eq!(answer.status(), 422);
    assert!(
        answer.text().contains("keys[1]") && answer.text().contains("was not declared"),
        "{}",
        answer.text()
    );
    assert_eq!(status_of(&gate, &gate.key).await.0, 200);
    assert_eq!(status_of(&gate, secret.expose()).await.0, 401, "all or none");
}
