//! Secrets stay where they belong: no log line, record, metric, page, error or file shows one.

use crate::support::gate::PROVIDER_KEY;
use crate::support::{Answer, Ask, CHAT, GENERATING, Gate};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The log, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Kept;

    fn make_writer(&'a self) -> Kept {
        self.clone()
    }
}

/// Everything that can be heard of the gateway from here on; libraries as far as the program lets them speak.
fn listen() -> Kept {
    let kept = Kept::default();
    let filter = EnvFilter::new("warn,narrows=trace,narrows_ledger=trace");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(kept.clone()).with_ansi(false).init();
    kept
}

/// A text that only the prompt holds, and one that only the answer does.
const PROMPT: &str = "canary-in-the-prompt-4f1b";
const ANSWER: &str = "naïve cafés";

/// Makes the gateway speak, in every way that it has.
async fn provoke(gate: &Gate) -> Vec<Answer> {
    let (key, expired) = (&gate.key, &gate.keys[1].1);
    let mut answers = Vec::new();
    for kind in GENERATING {
        let (unary, stream) =
            (kind.body(false).replace("hello", PROMPT), kind.body(true).replace("hello", PROMPT));
        for knobs in [
            "",
            "status=401",
            "status=500",
            "fault=cut_after",
            "fault=close_before_head",
            "fault=bad_json",
            "fault=stall_after",
        ] {
            answers.push(gate.ask(&Ask::unary(kind).body(unary.clone()).key(key).fake(knobs)).await);
            answers.push(gate.ask(&Ask::stream(kind).body(stream.clone()).key(key).fake(knobs)).await);
        }
        answers.push(gate.ask(&Ask::unary(kind).to(&format!("{}?key={key}", kind.unary)).body("{")).await);
        answers.push(gate.ask(&Ask::unary(kind).with("x-api-key", expired)).await);
        answers.push(gate.ask(&Ask::unary(kind).key(key).with("x-api-key", expired)).await);
        answers.push(gate.ask(&Ask::unary(kind).to(&format!("/{key}/v1/chat/completions")).key(key)).await);
    }
    for model in ["picky-1", "dead-1", key, "unknown"] {
        let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
        let ask = Ask::post(CHAT.unary, body).key(key).with("user-agent", key).with("x-session-id", key);
        answers.push(gate.ask(&ask).await);
    }
    let own = Ask::post("/v1/messages", r#"{"model":"claude-own-1","messages":[]}"#);
    let own = own.with("x-narrows-api-key", key).with("authorization", "Bearer sk-ant-oat-canary-2Rk8");
    answers.push(gate.ask(&own).await);
    answers.push(gate.ask_as_key(Ask::get("/v1/models")).await);
    answers
}

#[tokio::test]
async fn no_secret_and_no_prompt_is_shown_anywhere() {
    let log = listen();
    let mut gate = Gate::plan()
        .top("records: {json: records.jsonl}")
        .top("timeouts: {idle: 300ms, first_byte: 300ms}")
        .provider("picky", "kind: openai, base_url: 'http://{fake}/v1', api_key: sk-picky-canary-8Jd3LwQ5, models: [picky-*]")
        .provider("dead", "kind: openai, base_url: 'http://provider.invalid/v1', api_key: sk-dead-canary-5Tg7HnV2, models: [dead-*]")
        .provider("own", "kind: anthropic, base_url: 'http://{fake}', client_credentials: pass, models: ['claude-own*']")
        .key(|key| key.expires_at_us = Some(1))
        .fake(|fake| fake.require_key = Some(PROVIDER_KEY.into()))
        .start();
    let answers = provoke(&gate).await;
    let mut pages = vec![gate.scrape().await, gate.health("/readyz").await.text()];
    for path in ["/admin/v1/keys", "/admin/v1/usage", "/admin/v1/records", "/admin/v1/status"] {
        let page = gate.admin(path).await;
        assert_eq!(page.status(), 200, "{path}: {}", page.text());
        pages.push(page.text());
    }
    let records = gate.records().await;
    assert!(records.len() > 80);
    pages.push(format!("{records:?}"));
    pages.push(format!("{:?}", gate.ledger.list_keys(true).unwrap()));
    crate::support::patient("the gateway to stop", gate.stop()).await.unwrap().unwrap();

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("refused the gateway's credential") && log.contains("DEBUG"),
        "the log was heard: {log}"
    );
    let (key, expired) = (gate.key.clone(), gate.keys[1].1.clone());
    let (id, token) = (&gate.key_id, gate.admin_token.clone());
    let secret = |text: &str| text.rsplit('_').next().unwrap().to_owned();
    let secrets = [
        secret(&key),
        secret(&expired),
        secret(&token),
        PROVIDER_KEY.to_owned(),
        PROVIDER_KEY[PROVIDER_KEY.len() - 8..].to_owned(),
        "sk-picky-canary".to_owned(),
        "8Jd3LwQ5".to_owned(),
        "sk-dead-canary".to_owned(),
        "oat-canary".to_owned(),
    ];
    let mut places: Vec<(String, String)> = vec![("the log".into(), log)];
    places.extend(pages.into_iter().map(|page| ("a page".to_owned(), page)));
    for answer in &answers {
        places.push((format!("the head {:?}", answer.head), format!("{:?}", answer.head)));
        // What the provider itself says about the client's own credential is the client's.
        places.push((format!("an answer, {}", answer.status()), answer.text().replace("oat-canary", "")));
    }
    let mut files = 0;
    for entry in std::fs::read_dir(gate.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "yaml") {
            // The operator's own file, where the secrets come from.
            continue;
        }
        places.push((
            path.display().to_string(),
            String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned(),
        ));
        files += 1;
    }
    assert!(files >= 2, "the store and the lines of JSON");
    assert!(places.iter().any(|(_, text)| text.contains(id.as_str())), "the public id may be shown, and is");
    for (place, text) in &places {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {place}");
        }
        assert!(!text.contains(PROMPT), "the prompt in {place}");
        if !place.starts_with("an answer") {
            assert!(!text.contains(ANSWER), "the answer in {place}");
        }
    }
}
