//! Credentials of providers: from the store and from a secrets store, and changed under load.

use crate::support::gate::refusal;
use crate::support::{Ask, CHAT, Gate, patient, until};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Reads one request; its head in lower case but for values, and its body.
fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            while bytes.len() < end + 4 + length.unwrap_or(0) {
                let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                bytes.extend_from_slice(&buffer[..read]);
            }
            return Some((head, bytes[end + 4..].to_vec()));
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An answer of JSON as it stands on the wire.
fn json(status: u16, text: &str) -> Vec<u8> {
    let length = text.len();
    format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}")
        .into()
}

/// A server of JSON over HTTP/1.1.
fn serve(answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    serve_wire(move |head, body| {
        let (status, text) = answer(head, body);
        json(status, &text)
    })
}

/// A server of HTTP/1.1 with a thread for each connection; it lives as long as the process.
fn serve_wire(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
            std::thread::spawn(move || {
                while let Some((head, body)) = read_request(&mut stream) {
                    if stream.write_all(&answer(&head, &body)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A secrets store with one secret, `secret/openai`, as the key/value engine of version 2 answers.
struct FakeVault {
    address: SocketAddr,
    state: Arc<Mutex<VaultState>>,
}

struct VaultState {
    key: String,
    /// What every read gets in the place of the secret.
    fault: Option<u16>,
}

impl FakeVault {
    fn start(key: &str) -> FakeVault {
        let state = Arc::new(Mutex::new(VaultState { key: key.to_owned(), fault: None }));
        let shared = Arc::clone(&state);
        let address = serve(move |head, body| {
            let state = shared.lock().unwrap();
            if let Some(status) = state.fault {
                return (status, r#"{"errors":["fault"]}"#.to_owned());
            }
            let line = head.lines().next().unwrap();
            if line.starts_with("POST /v1/auth/k8s/login ") {
                let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
                let good = asked["role"] == "narrows" && asked["jwt"] == "jwt-canary";
                let token = r#"{"auth":{"client_token":"vault-token-canary","lease_duration":3600}}"#;
                return if good { (200, token.to_owned()) } else { (403, r#"{"errors":[]}"#.to_owned()) };
            }
            assert_eq!(header(head, "x-vault-request"), Some("true"));
            if header(head, "x-vault-token") != Some("vault-token-canary") {
                return (403, r#"{"errors":["permission denied"]}"#.to_owned());
            }
            if !line.starts_with("GET /v1/secret/data/openai ") {
                return (404, r#"{"errors":[]}"#.to_owned());
            }
            let data = serde_json::json!({
                "data": {"data": {"api_key": state.key, "odd": 5}, "metadata": {"version": 3}},
                "lease_duration": 0,
            });
            (200, data.to_string())
        });
        FakeVault { address, state }
    }

    fn top(&self, login: &str, refresh: &str) -> String {
        format!("vault: {{address: 'http://{}', {login}, refresh: {refresh}}}", self.address)
    }

    fn set(&self, key: &str, fault: Option<u16>) {
        *self.state.lock().unwrap() = VaultState { key: key.to_owned(), fault };
    }
}

/// The credential that the provider saw last.
fn last_seen(gate: &Gate) -> String {
    gate.fake.seen().last().unwrap().header("authorization").unwrap().to_owned()
}

fn elsewhere(gate: &Gate) -> Ask {
    Ask::unary(&CHAT).to("/elsewhere/v1/chat/completions").key(&gate.key)
}

#[tokio::test]
async fn a_secrets_store_is_followed_and_its_last_word_kept_while_it_is_away() {
    let vault = FakeVault::start("sk-vault-1-canary");
    let gate = Gate::plan()
        .top(&vault.top("token: vault-token-canary", "1s"))
        .provider(
            "elsewhere",
            "kind: openai, base_url: 'http://{fake}/v1', models: [], api_key: 'vault:secret/openai#api_key'",
        )
        .start();
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    assert_eq!(last_seen(&gate), "Bearer sk-vault-1-canary");

    vault.set("sk-vault-2-canary", None);
    until("the new value to be used", async || {
        assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
        (last_seen(&gate) == "Bearer sk-vault-2-canary").then_some(())
    })
    .await;

    // Sealed: what it said last is used on, and that shows.
    vault.set("", Some(503));
    until("the gateway to be degraded", async || {
        let ready = gate.health("/readyz").await;
        assert_eq!(ready.status(), 200);
        ready.json()["degraded"].as_array().unwrap().contains(&"credentials_stale".into()).then_some(())
    })
    .await;
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    assert_eq!(last_seen(&gate), "Bearer sk-vault-2-canary");
    let status = gate.admin("/admin/v1/status").await;
    assert!(status.json()["credentials_stale"].as_str().unwrap().contains("sealed"), "{}", status.text());
    assert!(!status.text().contains("canary"), "{}", status.text());
    // A reload meanwhile keeps them too.
    assert_eq!(gate.reload().await.status(), 200);

    vault.set("sk-vault-3-canary", None);
    until("the value after that", async || {
        assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
        (last_seen(&gate) == "Bearer sk-vault-3-canary").then_some(())
    })
    .await;
    assert_eq!(gate.health("/readyz").await.json()["degraded"], serde_json::json!([]));
    let trail = gate.admin("/admin/v1/audit?action=configuration_applied").await.text();
    assert!(trail.contains("by credentials") && !trail.contains("canary"), "{trail}");
}

fn settings(top: &str, key: &str) -> String {
    format!(
        "version: 1\nstore: {{path: n.db}}\nlisten: {{gateway: [{{address: '127.0.0.1:0'}}], metrics: {{address: '127.0.0.1:0'}}, admin: off}}\n\
         {top}\nproviders:\n  elsewhere: {{kind: openai, api_key: '{key}'}}\n"
    )
}

#[test]
fn a_start_without_its_credentials_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let vault = FakeVault::start("sk-vault-canary");
    std::fs::write(dir.path().join("jwt"), "jwt-canary\n").unwrap();
    let token = "token: vault-token-canary";
    let at = |login: &str| vault.top(login, "1h");
    let kubernetes = |role: &str| format!("kubernetes: {{role: {role}, mount: k8s, token_file: jwt}}");
    for (top, key, part) in [
        (at("token: wrong-canary"), "vault:secret/openai#api_key", "403"),
        (at(token), "vault:secret/nothing#api_key", "404"),
        (at(token), "vault:secret/openai#missing", "`missing`"),
        (at(token), "vault:secret/openai#odd", "`odd`"),
        (at(&kubernetes("other")), "vault:secret/openai#api_key", "`other`"),
        (
            "vault: {address: 'http://127.0.0.1:1', token: t}".to_owned(),
            "vault:secret/openai#api_key",
            "connect",
        ),
        (String::new(), "store:openai", "NARROWS_MASTER_KEY"),
        (format!("master_key: '{}'", "ab".repeat(32)), "store:openai", "narrows credentials set openai"),
        ("master_key: short".to_owned(), "store:openai", "64 hexadecimal digits"),
    ] {
        let said = refusal(dir.path(), &settings(&top, key));
        assert!(said.contains(part) && said.contains("providers.elsewhere.api_key"), "{top} {key}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    vault.set("", Some(503));
    assert!(refusal(dir.path(), &settings(&at(token), "vault:secret/openai#api_key")).contains("sealed"));
    vault.set("", Some(307));
    assert!(refusal(dir.path(), &settings(&at(token), "vault:secret/openai#api_key")).contains("307"));
}

#[tokio::test]
async fn the_secrets_store_is_entered_with_the_service_account_of_kubernetes() {
    let vault = FakeVault::start("sk-vault-canary");
    let gate = Gate::plan()
        .file("jwt", "jwt-canary\n".to_owned())
        .top(&vault.top("kubernetes: {role: narrows, mount: k8s, token_file: '{dir}/jwt'}", "1h"))
        .provider(
            "elsewhere",
            "kind: openai, base_url: 'http://{fake}/v1', models: [], api_key: 'vault:secret/openai#api_key'",
        )
        .start();
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    assert_eq!(last_seen(&gate), "Bearer sk-vault-canary");
}

/// Exit code and everything that a command wrote.
fn narrows(arguments: &[&str]) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("narrows").chain(arguments.iter().copied()).map(OsString::from);
    let code = narrows::cli::main(arguments, &mut out, &mut err);
    (code, String::from_utf8([out, err].concat()).unwrap())
}

#[tokio::test]
async fn a_sealed_credential_is_used_changed_and_brought_over_to_a_new_master_key() {
    let tools = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = tools.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let master = narrows(&["credentials", "master-key"]).1;
    let key_file = file("master", &master);
    let store = tools.path().join("narrows.db").display().to_string();
    let config = file(
        "tools.yaml",
        &format!(
            "version: 1\norganization: acme\nstore: {{path: '{store}'}}\nmaster_key: 'file:{key_file}'\nproviders: {{}}\n"
        ),
    );
    let set = |config: &str, value: &str| {
        let value = file("value", value);
        narrows(&["credentials", "set", "openai", "--from", &value, "--config", config])
    };
    assert_eq!(set(&config, "sk-sealed-1-canary\n").0, 0);
    let copied = std::fs::read(&store).unwrap();
    assert!(!String::from_utf8_lossy(&copied).contains("canary"), "the store holds no value");

    // The gateway of the test has a store of its own: the same commands on it.
    let gate = Gate::plan()
        .top(&format!("reload: {{watch: off}}\nmaster_key: 'file:{key_file}'"))
        .provider(
            "elsewhere",
            "kind: openai, base_url: 'http://{fake}/v1', models: [], api_key: sk-plain-canary",
        )
        .start();
    let config = gate.dir.path().join("narrows.yaml").display().to_string();
    assert_eq!(set(&config, "sk-sealed-1-canary\n").0, 0);
    gate.edit("api_key: sk-plain-canary", "api_key: 'store:openai'");
    let answer = gate.reload().await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    assert_eq!(last_seen(&gate), "Bearer sk-sealed-1-canary");
    assert_eq!(set(&config, "sk-sealed-2-canary").0, 0);
    until("the new value to be used", async || {
        assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
        (last_seen(&gate) == "Bearer sk-sealed-2-canary").then_some(())
    })
    .await;

    let (code, listed) = narrows(&["credentials", "list", "--config", &config, "--json"]);
    assert!(code == 0 && listed.contains("\"openai\"") && !listed.contains("canary"), "{listed}");
    let next = file("next", &narrows(&["credentials", "master-key"]).1);
    let wrong = file("wrong", &"00".repeat(32));
    let rewrap = |old: &str| {
        narrows(&[
            "credentials",
            "rewrap",
            "--old-key-file",
            old,
            "--new-key-file",
            &next,
            "--config",
            &config,
        ])
    };
    let (code, said) = rewrap(&wrong);
    assert!(code == 1 && said.contains("sealed with the master key"), "{said}");
    assert_eq!(rewrap(&key_file).0, 0);
    // The gateway still has the old master key: what it knows it keeps, and says so in its log.
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    std::fs::copy(&next, &key_file).unwrap();
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(gate.ask(&elsewhere(&gate)).await.status(), 200);
    let trail = gate.admin("/admin/v1/audit").await.text();
    for action in ["credential_set", "credential_rewrapped"] {
        assert!(trail.contains(action), "{action}: {trail}");
    }
    assert_eq!(narrows(&["credentials", "delete", "openai", "--config", &config]).0, 0);
    for entry in std::fs::read_dir(gate.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("narrows.db") {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("sk-sealed"), "{}", path.display());
        }
    }
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                      sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// Frames that end a WebSocket (RFC 6455 §5.5.1).
const SERVER_CLOSE: [u8; 4] = [0x88, 0x02, 0x03, 0xE8];
const CLIENT_CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];

/// A provider that takes the keys it knows and refuses others.
struct Provider {
    address: SocketAddr,
    keys: Arc<Mutex<HashSet<String>>>,
    refused: Arc<AtomicU64>,
}

impl Provider {
    fn start() -> Provider {
        let keys: Arc<Mutex<HashSet<String>>> = Arc::default();
        let refused = Arc::new(AtomicU64::new(0));
        let (known, counted) = (Arc::clone(&keys), Arc::clone(&refused));
        let address = serve_wire(move |head, _body| {
            let key = header(head, "authorization").unwrap().trim_start_matches("Bearer ").to_owned();
            if !known.lock().unwrap().contains(&key) {
                counted.fetch_add(1, Ordering::Relaxed);
                return json(
                    401,
                    &format!(r#"{{"error":{{"message":"Incorrect API key provided: {key}"}}}}"#),
                );
            }
            if header(head, "upgrade").is_some() {
                return [SWITCH.as_bytes(), &SERVER_CLOSE].concat();
            }
            if head.starts_with("GET /v1/files ") {
                return json(200, r#"{"object":"list","data":[],"has_more":false}"#);
            }
            let answer = serde_json::json!({
                "id": "x", "object": "chat.completion", "model": "gpt-4o",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
            });
            json(200, &answer.to_string())
        });
        Provider { address, keys, refused }
    }

    fn knows(&self, keys: &[&str]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| (*key).to_owned()).collect();
    }
}

#[tokio::test]
async fn keys_of_a_provider_change_under_load_without_a_failed_request() {
    const CLIENTS: u64 = 4;
    let provider = Provider::start();
    provider.knows(&["key-a"]);
    let gate = Gate::plan()
        .file("new", "key-a\n".to_owned())
        .file("old", "key-a\n".to_owned())
        .top("reload: {watch: off}")
        .provider(
            "elsewhere",
            &format!(
                "kind: openai, base_url: 'http://{}/v1', models: [], api_key: ['file:{{dir}}/new', 'file:{{dir}}/old']",
                provider.address
            ),
        )
        .start();
    let gate = Arc::new(gate);
    let (answers, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (gate, answers, enough) = (Arc::clone(&gate), Arc::clone(&answers), Arc::clone(&enough));
            tokio::spawn(async move {
                let mut client = gate.connect().await;
                while !enough.load(Ordering::Relaxed) {
                    let answer = client.ask(&elsewhere(&gate)).await;
                    assert_eq!((answer.status(), answer.whole), (200, true), "{}", answer.text());
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let flow = async || {
        let before = answers.load(Ordering::Relaxed);
        until("exchanges to go on", async || {
            (answers.load(Ordering::Relaxed) >= before + 3 * CLIENTS).then_some(())
        })
        .await;
    };
    let write = |name: &str, key: &str| std::fs::write(gate.dir.path().join(name), key).unwrap();
    flow().await;
    // The usual order: the new key is known, the gateway gets it beside the one before, and that one is revoked.
    for (new, old) in [("key-b", "key-a"), ("key-c", "key-b")] {
        provider.knows(&[new, old]);
        write("old", old);
        write("new", new);
        assert_eq!(gate.reload().await.json()["result"], "applied");
        flow().await;
        provider.knows(&[new]);
        flow().await;
    }
    assert_eq!(provider.refused.load(Ordering::Relaxed), 0, "no key was tried that had to fail");
    // The unusual one: the first is revoked while it is in use.
    write("old", "key-d");
    assert_eq!(gate.reload().await.json()["result"], "applied");
    provider.knows(&["key-c", "key-d"]);
    flow().await;
    provider.knows(&["key-d"]);
    flow().await;
    let status = gate.admin("/admin/v1/status").await.json();
    let shown =
        status["providers"].as_array().unwrap().iter().find(|one| one["name"] == "elsewhere").unwrap();
    assert_eq!(shown["credentials"]["aside"], serde_json::json!([1]), "{shown}");
    let refusals = shown["credentials"]["refusals"].as_u64().unwrap();
    assert_eq!(refusals, provider.refused.load(Ordering::Relaxed));
    assert!((1..=CLIENTS).contains(&refusals), "each client at most once: {refusals}");
    let metric = "narrows_provider_credentials_refused_total{provider=\"elsewhere\"}";
    assert_eq!(gate.gauge(metric).await, refusals as f64);
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        patient("a client to end", client).await.unwrap();
    }
    let records = gate.records().await;
    assert_eq!(records.len() as u64, answers.load(Ordering::Relaxed));
    assert!(records.iter().all(|record| record.status == 200));
    let twice: Vec<_> = records.iter().filter(|record| record.attempts.len() == 2).collect();
    assert_eq!(twice.len() as u64, refusals);
    for record in twice {
        assert_eq!(record.attempts[0].reason, narrows_policy::Reason::ProviderCredentialRefused);
        assert_eq!((record.attempts[0].status, record.attempts[1].status), (Some(401), Some(200)));
    }
}

#[tokio::test]
async fn when_every_key_is_refused_the_client_hears_it_once_and_not_as_its_own_fault() {
    let provider = Provider::start();
    let gate = Gate::plan()
        .provider(
            "elsewhere",
            &format!(
                "kind: openai, base_url: 'http://{}/v1', models: [], api_key: [key-a, key-b]",
                provider.address
            ),
        )
        .start();
    let answer = gate.ask(&elsewhere(&gate)).await;
    assert!(answer.status() >= 500, "{} {}", answer.status(), answer.text());
    assert_eq!(provider.refused.load(Ordering::Relaxed), 2);
    let record = gate.record().await;
    assert_eq!(
        (record.attempts.len(), record.reason),
        (2, narrows_policy::Reason::ProviderCredentialRefused)
    );
}

/// What is asked beside inference: held bodies, lists, uploads that stream, and WebSockets.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Held,
    List,
    Upload(usize),
    Socket,
}

impl Beside {
    const ALL: [Beside; 4] = [Beside::Held, Beside::List, Beside::Upload(1000), Beside::Socket];

    fn ask(self, gate: &Gate) -> Ask {
        let ask = match self {
            Beside::Held => Ask::post("/elsewhere/v1/moderations", r#"{"input":"x"}"#),
            Beside::List => Ask::get("/elsewhere/v1/files"),
            Beside::Upload(bytes) => {
                let (kind, body) = crate::pass_through::form(None, &"x".repeat(bytes));
                Ask { body, ..Ask::new("POST", "/elsewhere/v1/files") }.with("content-type", &kind)
            }
            Beside::Socket => Ask::get("/elsewhere/v1/realtime?model=m")
                .with("connection", "Upgrade")
                .with("upgrade", "websocket")
                .with("sec-websocket-version", "13")
                .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        };
        ask.key(&gate.key)
    }

    /// Asks, and must get what it asked for.
    async fn get(self, gate: &Gate) {
        let mut client = gate.connect().await;
        if let Beside::Socket = self {
            client.send(&self.ask(gate).wire()).await;
            let head = client.head().await;
            assert_eq!(head.status, 101, "{head:?}");
            client.send(&CLIENT_CLOSE).await;
            assert_eq!(client.all().await, SERVER_CLOSE);
            return;
        }
        let answer = client.ask(&self.ask(gate)).await;
        assert_eq!((answer.status(), answer.whole), (200, true), "{self:?}: {}", answer.text());
    }
}

fn two_keys(provider: &Provider) -> Gate {
    let text = format!(
        "kind: openai, base_url: 'http://{}/v1', models: [m], realtime: true, paths: [files, moderations], \
         api_key: [sk-canary-a, sk-canary-b]",
        provider.address
    );
    Gate::plan().top("reload: {watch: off}").provider("elsewhere", &text).start()
}

async fn refusals(gate: &Gate) -> (serde_json::Value, u64) {
    let status = gate.admin("/admin/v1/status").await.json();
    let providers = status["providers"].as_array().unwrap();
    let shown = &providers.iter().find(|one| one["name"] == "elsewhere").unwrap()["credentials"];
    (shown["aside"].clone(), shown["refusals"].as_u64().unwrap())
}

#[tokio::test]
async fn a_key_is_revoked_under_load_without_a_failed_request_beside_inference_either() {
    let provider = Provider::start();
    provider.knows(&["sk-canary-a", "sk-canary-b"]);
    let gate = Arc::new(two_keys(&provider));
    let enough = Arc::new(AtomicBool::new(false));
    let answers: Arc<[AtomicU64; Beside::ALL.len()]> = Arc::default();
    let clients: Vec<_> = Beside::ALL
        .into_iter()
        .enumerate()
        .map(|(nth, beside)| {
            let (gate, answers, enough) = (Arc::clone(&gate), Arc::clone(&answers), Arc::clone(&enough));
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    beside.get(&gate).await;
                    answers[nth].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let counts = || answers.each_ref().map(|count| count.load(Ordering::Relaxed));
    let flow = async || {
        let before = counts();
        until("each of them to go on", async || {
            counts().iter().zip(before).all(|(now, before)| *now >= before + 5).then_some(())
        })
        .await;
    };
    flow().await;
    assert_eq!(refusals(&gate).await.1, 0);
    provider.knows(&["sk-canary-b"]);
    flow().await;
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        patient("a client to end", client).await.unwrap();
    }
    let (aside, refused) = refusals(&gate).await;
    assert_eq!((aside, refused), (serde_json::json!([1]), provider.refused.load(Ordering::Relaxed)));
    assert!((1..=Beside::ALL.len() as u64).contains(&refused), "each client at most once: {refused}");
    let records = gate.records().await;
    assert_eq!(records.len() as u64, counts().iter().sum::<u64>());
    assert!(records.iter().all(|record| matches!(record.status, 101 | 200)));
    let twice = records.iter().filter(|record| record.attempts.len() == 2);
    assert_eq!(twice.count() as u64, refused, "both attempts stand in the record");
}

#[tokio::test]
async fn each_way_beside_inference_asks_with_the_other_key_and_passes_no_word_about_a_key() {
    for beside in Beside::ALL {
        let provider = Provider::start();
        provider.knows(&["sk-canary-b"]);
        let gate = two_keys(&provider);
        beside.get(&gate).await;
        assert_eq!(provider.refused.load(Ordering::Relaxed), 1, "{beside:?}");
        assert_eq!(refusals(&gate).await, (serde_json::json!([1]), 1), "{beside:?}");
        provider.knows(&[]);
        let answer = gate.ask(&beside.ask(&gate)).await;
        assert_eq!(answer.status(), 502, "{beside:?} {}", answer.text());
        assert!(
            !answer.text().contains("canary") && !answer.text().contains("Incorrect"),
            "{}",
            answer.text()
        );
        let record = gate.record_of(&answer).await;
        assert_eq!(record.reason, narrows_policy::Reason::ProviderCredentialRefused, "{beside:?}");
        assert_eq!(record.attempts.last().unwrap().reason, record.reason);
    }
}

#[tokio::test]
async fn an_upload_too_large_to_be_kept_is_refused_once_and_goes_with_the_other_key_then() {
    let provider = Provider::start();
    provider.knows(&["sk-canary-b"]);
    let gate = two_keys(&provider);
    let large = Beside::Upload(300 * 1024);
    let answer = gate.ask(&large.ask(&gate)).await;
    assert_eq!(answer.status(), 502, "{}", answer.text());
    assert!(!answer.text().contains("canary"), "{}", answer.text());
    assert_eq!(refusals(&gate).await, (serde_json::json!([1]), 1));
    large.get(&gate).await;
    assert_eq!(refusals(&gate).await.1, 1);
}
