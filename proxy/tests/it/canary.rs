//! Secrets stay where they belong: no log line, record, metric, page, error or file shows one. Nor does any show what the
//! guardrails found.

use crate::sockets::{
    CLIENT_CLOSE, SERVER_CLOSE, SWITCH, ask as socket, open, provider as talker, text as frame,
};
use crate::support::gate::PROVIDER_KEY;
use crate::support::scripted::{Act, Scripted};
use crate::support::{Answer, Ask, CHAT, GENERATING, Gate, until};
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
    let filter = EnvFilter::new(
        "warn,narrows=trace,narrows_ledger=trace,narrows_guard=trace,narrows_policy=trace,narrows_llm=trace",
    );
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

/// What the guardrails find: a card, a token that was made up, a name of the operator's own, and a piece of each that
/// nothing else has.
const CARD: &str = "4111 1111 1111 1111";
const PROJECT: &str = "Nightjar Umbra";
const PIECES: [&str; 4] = ["1111 1111", "Kq7Zp0WxkV3tGm", "ightjar", "IGHTJAR"];

fn token() -> String {
    ["ghp_", "Kq7Zp0WxkV3tGmJd9LfRb2sYh", "Gx3kQzw9Tq2"].concat()
}

fn found() -> String {
    format!("pay {CARD} with {} for {PROJECT}", token())
}

fn chat(model: &str, words: &str) -> String {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": words}]}).to_string()
}

fn completion(words: &str) -> String {
    let message = serde_json::json!({"role": "assistant", "content": words});
    serde_json::json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
        .to_string()
}

fn streamed(words: &str) -> Act {
    let event = serde_json::json!({"choices": [{"index": 0, "delta": {"content": words}}]});
    let body = format!("data: {event}\n\ndata: [DONE]\n\n");
    let length = body.len();
    Act::Say(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes(),
    )
}

/// Policies of every kind, told apart by their provider, and a provider for each.
async fn guarded(talks: std::net::SocketAddr, webhook: &Scripted) -> (Gate, Vec<Scripted>) {
    let when = "when: [{class: pii}, {class: secret}, {class: custom}]";
    let rule = |name: &str, stage: &str, action: &str| {
        format!(
            "  - {{name: {name}, where: {{provider: {name}, stage: {stage}}}, {when}, then: {{action: {action}, alert: true}}}}\n"
        )
    };
    let cases = [
        ("logs", "request", "log", Act::json(200, "", &completion("ok"))),
        ("masks", "request", "mask", Act::json(200, "", &completion("ok"))),
        ("blocks", "request", "block", Act::json(200, "", &completion("ok"))),
        ("shows", "response", "log", Act::json(200, "", &completion(&found()))),
        ("hides", "response", "mask", Act::json(200, "", &completion(&found()))),
        ("holds", "response", "block", Act::json(200, "", &completion(&found()))),
        ("streams", "stream", "block", streamed(&found())),
        (
            "fails",
            "request",
            "mask",
            Act::json(400, "", &serde_json::json!({"error": {"message": found()}}).to_string()),
        ),
        (
            "breaks",
            "response",
            "block",
            Act::SayAndClose(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{}",
                    found()
                )
                .into_bytes(),
            ),
        ),
        ("talks", "[request, stream]", "mask", Act::Hold),
    ];
    let mut plan = Gate::plan()
        .top("records: {json: records.jsonl}")
        .top(&format!(
            "alerts: {{webhook: {{url: 'http://{}/hook', secret: a-secret-of-the-webhook, severity: low, private_network: true}}}}",
            webhook.address
        ))
        .top(&format!("guard: {{custom: {{projects: {{names: [{PROJECT}]}}}}}}"));
    let mut policies = String::from("policies:\n");
    let mut providers = Vec::new();
    for (name, stage, action, act) in cases {
        policies.push_str(&rule(name, stage, action));
        let scripted = Scripted::start(vec![act]).await;
        let address = if name == "talks" { talks } else { scripted.address };
        let text = format!(
            "kind: openai, base_url: 'http://{address}/v1', api_key: sk-x, models: [], realtime: true, paths: [files, moderations]"
        );
        plan = plan.provider(name, &text);
        providers.push(scripted);
    }
    (plan.top(policies.trim_end()).start(), providers)
}

/// Sends values that are found through every policy, as bodies, as broken bodies and as files. Gives the answers that are
/// the gateway's own: what a policy lets pass, and what a provider says, is the client's.
async fn send_everywhere(gate: &Gate) -> Vec<Answer> {
    let mut refused = Vec::new();
    for name in ["logs", "masks", "blocks", "shows", "hides", "holds", "streams", "fails", "breaks"] {
        let path = format!("/{name}/v1/chat/completions");
        for body in [chat("gpt-4o", &found()), chat("gpt-4o", &found()).replacen(':', "", 1)] {
            let answer = gate.ask_as_key(Ask::post(&path, body)).await;
            if answer.status() == 403 || name == "hides" {
                refused.push(answer);
            }
        }
        let moderated = serde_json::json!({"model": "m", "input": found()}).to_string();
        let answer = gate.ask_as_key(Ask::post(&format!("/{name}/v1/moderations"), moderated)).await;
        if answer.status() == 403 {
            refused.push(answer);
        }
        let file = format!(
            "--b-1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n{}\r\n--b-1--\r\n",
            found()
        );
        let upload = Ask { body: file.into_bytes(), ..Ask::new("POST", &format!("/{name}/v1/files")) };
        gate.ask_as_key(upload.with("content-type", "multipart/form-data; boundary=b-1")).await;
    }
    refused
}

/// Says a value over a WebSocket.
async fn talk(gate: &Gate) {
    let mut client = open(gate, &socket("/talks/v1/realtime").key(&gate.key)).await;
    let item =
        serde_json::json!({"type": "conversation.item.create", "item": {"content": [{"text": found()}]}});
    client.send(&[frame(&item.to_string(), true), CLIENT_CLOSE.to_vec()].concat()).await;
    client.all().await;
}

#[tokio::test]
async fn nothing_that_guardrails_find_is_shown_anywhere() {
    let log = listen();
    let says = [
        frame(
            &serde_json::json!({"type": "response.output_text.delta", "output_index": 0, "delta": found()})
                .to_string(),
            false,
        ),
        SERVER_CLOSE.to_vec(),
    ];
    let (talks, heard) = talker(SWITCH, says.concat()).await;
    let webhook = Scripted::start(vec![Act::json(200, "", "{}")]).await;
    let (mut gate, _providers) = guarded(talks, &webhook).await;
    let refused = send_everywhere(&gate).await;
    for body in [serde_json::json!({"text": found()}).to_string(), format!("{{\"text\": {}", found())] {
        let answer = gate.ask_as_key(Ask::post("/v1/guard/scan", body)).await;
        assert!(matches!(answer.status(), 200 | 400), "{}", answer.text());
    }
    talk(&gate).await;
    let (_, heard) = crate::support::patient("the provider", heard).await.unwrap();
    assert!(!heard.is_empty());
    assert!(refused.len() >= 4, "{}", refused.len());

    let told =
        until("the webhook was told", async || (webhook.requests().len() >= 5).then(|| webhook.requests()))
            .await;
    let records = gate.records().await;
    let mut places: Vec<(String, String)> =
        told.into_iter().map(|told| ("the webhook".to_owned(), told)).collect();
    places.push(("the metrics".into(), gate.scrape().await));
    for path in [
        "/admin/v1/records",
        "/admin/v1/alerts",
        "/admin/v1/decisions",
        "/admin/v1/usage",
        "/admin/v1/status",
    ] {
        let page = gate.admin(path).await;
        assert_eq!(page.status(), 200, "{path}: {}", page.text());
        places.push((path.to_owned(), page.text()));
    }
    places.push(("the records".into(), format!("{records:?}")));
    places.extend(refused.iter().map(|answer| ("an answer".to_owned(), answer.text())));
    crate::support::patient("the gateway to stop", gate.stop()).await.unwrap().unwrap();
    places.push(("the log".into(), String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned()));
    for entry in std::fs::read_dir(gate.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "yaml") {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            places.push((path.display().to_string(), text));
        }
    }
    // They were found, of every kind and at every stage.
    let all = format!("{records:?}");
    for word in ["CARD", "GITHUB", "PROJECTS", "Mask", "Block"] {
        assert!(all.contains(word), "{word}");
    }
    for stage in narrows_policy::Stage::ALL {
        let acts = |record: &narrows_ledger::Record| {
            record.inspections.get(stage).is_some_and(|inspection| inspection.action.is_some())
        };
        assert!(records.iter().any(acts), "{stage:?}");
    }
    for (place, text) in &places {
        for piece in PIECES {
            assert!(!text.contains(piece), "{piece} in {place}: {text}");
        }
    }
}
