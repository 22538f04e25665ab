//! The listeners over real sockets, with a real store.

pub(crate) mod alerts;
mod api;
mod bulk;
mod content;
mod directory;
mod health;
mod idempotency;
mod keys;
mod organizations;
mod remote;
mod reports;
mod targets;
mod tokens;

use super::{AdminParts, spawn};
use crate::config;
use crate::configuration::Configuration;
use crate::gateway::{Gateway, Phase};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use narrows_ledger::{Ledger, LedgerOptions};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a step may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// The side listeners of a gateway, and what a test wants of it.
struct House {
    gateway: Gateway,
    token: String,
    metrics: SocketAddr,
    admin: SocketAddr,
    thread: Option<std::thread::JoinHandle<()>>,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        House::with_tls(None)
    }

    fn with_tls(tls: Option<Arc<rustls::ServerConfig>>) -> House {
        House::with(tls, "")
    }

    /// With more in its configuration.
    fn with(tls: Option<Arc<rustls::ServerConfig>>, more: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let text = "version: 1\norganization: acme\ndns: {servers: [127.0.0.1]}\nproviders:\n  \
                    main: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: secret-credential}\n\
                    models: {smart: {targets: [{provider: main, model: org/m-1}, {provider: main, model: m-2}]}}\n";
        let text = format!("{text}{more}");
        let settings = config::parse("test.yaml", Path::new("."), &text, &|_| None).unwrap().settings;
        let ledger =
            Arc::new(Ledger::open(&folder.path().join("narrows.db"), LedgerOptions::default()).unwrap());
        let token = ledger.ensure_admin_token().unwrap().unwrap().expose().to_owned();
        let gateway = Gateway::new(
            Snapshot::new(&settings, None).unwrap(),
            Configuration::new(None),
            ledger,
            Metrics::new().unwrap(),
        );
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (metrics, admin) = (bind(), bind());
        let (metrics_address, admin_address) = (metrics.local_addr().unwrap(), admin.local_addr().unwrap());
        let parts = AdminParts {
            metrics,
            admin: Some((admin, tls)),
            gateway: gateway.clone(),
            certificates: Vec::new(),
        };
        House {
            gateway,
            token,
            metrics: metrics_address,
            admin: admin_address,
            thread: Some(spawn(parts).unwrap()),
            folder,
        }
    }

    /// Asks the administration API with the right token.
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = format!("authorization: Bearer {}\r\n", self.token);
        ask(self.admin, method, path, &authorization, body)
    }

    /// Asks with another token.
    fn ask_as(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        ask(self.admin, method, path, &format!("authorization: Bearer {token}\r\n"), body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Stops, and waits for the thread.
    fn stop(&mut self) {
        self.gateway.enter(Phase::Ended);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The code and message of a refusal with this status.
    #[track_caller]
    fn refusal(&self, status: u16) -> (String, String) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        let error = self.json()["error"].clone();
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }

    #[track_caller]
    fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn ask(to: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, &request(method, path, headers, body))
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    // A TLS peer that closes without its farewell has still said everything: content-length tells.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}
