//! Webhooks over real sockets, with a real store.

use super::deliver::deliver;
use super::sign::signature;
use super::*;
use crate::config;
use crate::configuration::Configuration;
use crate::gateway::{Gateway, Phase};
use crate::snapshot::Snapshot;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::tests::exposition::Exposition;
use narrows_ledger::{AlertFilter, AlertInfo, Delivery, Ledger, LedgerOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// How long a step may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "canary-secret-0123456789";
const TOKEN: &str = "canary-token";

/// What a webhook was sent.
struct Sent {
    head: String,
    body: String,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// A webhook that answers with these statuses, one after the other, and with the last for ever.
fn webhook(address: &str, statuses: &'static [u16]) -> (SocketAddr, Receiver<Sent>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut statuses = statuses.iter().copied().chain(std::iter::repeat(*statuses.last().unwrap()));
        while let Ok((stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                head += &line;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.next().unwrap();
            let answer = format!(
                "HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(Sent { head, body: String::from_utf8(body).unwrap() }).is_err() {
                break;
            }
        }
    });
    (address, receiver)
}

/// A gateway that tells webhooks.
struct House {
    gateway: Gateway,
    thread: Option<JoinHandle<()>>,
}

/// What a file with this section says.
fn settings(folder: &Path, alerts: &str) -> config::Settings {
    let text =
        format!("version: 1\nproviders: {{main: {{kind: openai, api_key: k-1}}}}\nalerts: {{{alerts}}}");
    let settings = config::parse("test.yaml", folder, &text, &|_| None);
    settings.unwrap_or_else(|problems| panic!("{problems}\n{text}")).settings
}

impl House {
    /// With webhooks of these names; the texts are the sections of each.
    fn new(folder: &Path, webhooks: &[(&str, String)]) -> House {
        let mut snapshot = Snapshot::new(&settings(folder, ""), None).unwrap();
        let sinks = webhooks.iter().map(|(name, section)| {
            let settings = settings(folder, section);
            Arc::new(Sink::new(name, settings.alerts.webhook.as_ref().unwrap()).unwrap())
        });
        let plan = Plan::new(&settings(folder, "").alerts).unwrap();
        snapshot.alerts = Arc::new(Plan { sinks: sinks.collect(), ..plan });
        let ledger = Arc::new(Ledger::open(&folder.join("n.db"), LedgerOptions::default()).unwrap());
        let gateway = Gateway::new(snapshot, Configuration::new(None), ledger, Metrics::new().unwrap());
        let told = gateway.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = deliver(told.clone()) => {}
                    () = told.reached(Phase::Ended) => {}
                }
            });
        });
        House { gateway, thread: Some(thread) }
    }

    fn alerts(&self) -> Vec<AlertInfo> {
        self.gateway.ledger.alerts(&AlertFilter::default(), 100, None).unwrap().alerts
    }

    /// The only alert, as soon as it is as wished for.
    #[track_caller]
    fn until(&self, wished: impl Fn(&AlertInfo) -> bool) -> AlertInfo {
        let start = Instant::now();
        loop {
            if let Some(alert) = self.alerts().pop()
                && wished(&alert)
            {
                return alert;
            }
            assert!(start.elapsed() < PATIENCE, "never: {:?}", self.alerts());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// What a metric says, added up over what the labels leave open.
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        Exposition::parse(&self.gateway.metrics.render(&self.gateway)).unwrap().sum(name, labels)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.gateway.enter(Phase::Ended);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        drop(self.gateway.ledger.close(PATIENCE));
    }
}

/// A webhook with a section of the configuration.
fn named(name: &'static str, address: SocketAddr, more: &str) -> (&'static str, String) {
    let fixed = format!("url: 'http://{address}/hook', secret: {SECRET}, private_network: true");
    (name, format!("webhook: {{{fixed}{more}}}"))
}

fn alert(organization: &str) -> Alert {
    Alert {
        caller: Arc::new(Caller { organization: organization.to_owned(), ..Caller::default() }),
        surface: Surface::Gateway,
        stage: Stage::Stream,
        action: Action::Block,
        enforceable: false,
        enforced: false,
        rules: vec!["no-secrets".into()],
        explanation: "a stream held 1 GITHUB_TOKEN, which rule no-secrets would refuse".into(),
        conversation: Some("c-1".into()),
        exchange: 42,
        provider: Some("main".into()),
        model: None,
        policy_version: 7,
        findings: Vec::new(),
        alone: false,
    }
}

#[test]
fn a_webhook_is_told_and_can_verify_it() {
    let folder = tempfile::tempdir().unwrap();
    let (address, told) = webhook("127.0.0.1:0", &[204]);
    let house = House::new(folder.path(), &[named("ops", address, &format!(", token: {TOKEN}"))]);
    house.gateway.raise(alert("acme"));
    let sent = told.recv_timeout(PATIENCE).unwrap();
    assert!(sent.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", sent.head);
    let timestamp = sent.header("x-narrows-timestamp");
    assert_eq!(sent.header("x-narrows-signature"), signature(SECRET, timestamp, sent.body.as_bytes()));
    assert!(since_epoch().as_secs().abs_diff(timestamp.parse().unwrap()) < 60);
    assert_eq!(sent.header("authorization"), format!("Bearer {TOKEN}"));
    let said: serde_json::Value = serde_json::from_str(&sent.body).unwrap();
    assert_eq!((&said["type"], &said["version"]), (&"alert".into(), &1.into()));
    assert_eq!(
        (&said["alert"]["severity"], &said["alert"]["rules"][0]),
        (&"critical".into(), &"no-secrets".into())
    );
    assert_eq!(said["alert"]["id"], sent.header("x-narrows-delivery"));
    assert!(said["alert"].get("deliveries").is_none());
    let delivered = house.until(|alert| alert.delivery == Delivery::Delivered);
    assert_eq!(
        (delivered.deliveries[0].attempts, delivered.id.as_str()),
        (1, sent.header("x-narrows-delivery"))
    );

    // Once more of the same is a repeat, and nobody is told again.
    house.gateway.raise(alert("acme"));
    let repeated = house.until(|alert| alert.count == 2);
    assert_eq!(repeated.deliveries[0].attempts, 1);
    assert!(told.try_recv().is_err());
    let raised = [("action", "block"), ("rule", "no-secrets"), ("stage", "stream")];
    assert_eq!(house.metric("narrows_alerts_total", &raised), 2.0);
    let tries =
        house.metric("narrows_alert_deliveries_total", &[("outcome", "delivered"), ("webhook", "ops")]);
    assert_eq!(tries, 1.0);
}

#[test]
fn a_webhook_that_fails_is_asked_again_and_keeps_nobody_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (failing, failed) = webhook("127.0.0.1:0", &[503, 302, 200]);
    let (well, told) = webhook("127.0.0.1:0", &[200]);
    let house = House::new(folder.path(), &[named("failing", failing, ""), named("well", well, "")]);
    house.gateway.raise(alert("acme"));
    told.recv_timeout(PATIENCE).unwrap();
    failed.recv_timeout(PATIENCE).unwrap();
    let after = house.until(|alert| alert.deliveries[0].attempts == 1 && alert.deliveries[1].attempts == 1);
    assert_eq!((after.delivery, after.deliveries[1].state), (Delivery::Pending, Delivery::Delivered));
    assert_eq!(after.deliveries[0].last_error.as_deref(), Some("it answered with status 503"));
    assert!(after.deliveries[0].next_try_us > after.at_us);
    let first = after.at_us;
    // A redirect is an answer that is no success, and nothing is sent where it points to.
    let redirected = house.until(|alert| alert.deliveries[0].attempts == 2);
    assert_eq!(redirected.deliveries[0].last_error.as_deref(), Some("it answered with status 302"));
    let delivered = house.until(|alert| alert.delivery == Delivery::Delivered);
    assert_eq!((delivered.deliveries[0].attempts, delivered.at_us), (3, first));
    assert_eq!(delivered.deliveries[0].last_error, None);
    let retried = [("outcome", "retried"), ("webhook", "failing")];
    assert_eq!(house.metric("narrows_alert_deliveries_total", &retried), 2.0);
}

#[test]
fn what_was_not_told_is_told_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens here until later.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let house = House::new(folder.path(), &[named("ops", address, "")]);
    house.gateway.raise(alert("acme"));
    let tried = house.until(|alert| alert.deliveries[0].attempts >= 1);
    let cause = tried.deliveries[0].last_error.clone().unwrap();
    assert!(cause.contains("cannot connect to") && !cause.contains("canary"), "{cause}");
    let start = Instant::now();
    while house.gateway.alerts.backlog().pending == 0 {
        assert!(start.elapsed() < PATIENCE);
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(house.metric("narrows_alert_deliveries_pending", &[]), 1.0, "a dead webhook is visible");
    drop(house);

    let (_, told) = webhook(&address.to_string(), &[200]);
    let house = House::new(folder.path(), &[named("ops", address, "")]);
    let sent = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(sent.header("x-narrows-delivery"), tried.id);
    house.until(|alert| alert.delivery == Delivery::Delivered);
}

#[test]
fn a_private_address_is_reached_only_where_the_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (address, told) = webhook("127.0.0.1:0", &[200]);
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let folder = folder.path().join(host);
        std::fs::create_dir(&folder).unwrap();
        let url = format!("https://{host}:{}/", address.port());
        let house = House::new(&folder, &[("ops", format!("webhook: {{url: '{url}', secret: {SECRET}}}"))]);
        house.gateway.raise(alert("acme"));
        let tried = house.until(|alert| alert.deliveries[0].attempts >= 1);
        let cause = tried.deliveries[0].last_error.clone().unwrap();
        assert!(cause.contains("private address"), "{cause}");
    }
    assert!(told.try_recv().is_err());
    let plain = "version: 1\nproviders: {main: {kind: openai, api_key: k-1}}\nalerts: {webhook: \
                 {url: 'http://hooks.example/', secret: short}}";
    let problems = config::parse("t", Path::new("."), plain, &|_| None).unwrap_err().to_string();
    assert!(problems.contains("clear text") && problems.contains("16 characters"), "{problems}");
}

#[test]
fn a_webhook_is_told_of_what_is_severe_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (address, told) = webhook("127.0.0.1:0", &[200]);
    let house = House::new(folder.path(), &[named("worst", address, ", severity: critical")]);
    house.gateway.raise(Alert { action: Action::Mask, ..alert("acme") });
    let kept = house.until(|alert| alert.count == 1);
    assert_eq!((kept.delivery, kept.deliveries.len()), (Delivery::None, 0), "it is kept all the same");
    house.gateway.raise(alert("umbra"));
    let sent = told.recv_timeout(PATIENCE).unwrap();
    assert!(sent.body.contains("\"organization\":\"umbra\""), "{}", sent.body);
}

#[test]
fn what_waits_for_a_webhook_that_is_gone_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let house = House::new(folder.path(), &[named("old", address, "")]);
    house.gateway.raise(alert("acme"));
    house.until(|alert| alert.deliveries[0].attempts >= 1);
    drop(house);
    let house = House::new(folder.path(), &[named("new", address, "")]);
    let left = house.until(|alert| alert.delivery == Delivery::Failed);
    assert!(left.deliveries[0].last_error.as_deref().unwrap().contains("no such webhook"));
}

#[test]
fn raising_never_waits_for_a_webhook_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let house = House::new(folder.path(), &[named("silent", silent.local_addr().unwrap(), ", timeout: 1h")]);
    house.gateway.raise(alert("acme"));
    let _held = silent.accept().unwrap();
    // All of these are taken while the webhook hangs, and none is lost.
    for number in 0..1_000 {
        house.gateway.raise(Alert { conversation: Some(format!("c-{number}").into()), ..alert("acme") });
    }
    house.gateway.ledger.flush(PATIENCE).unwrap();
    let stats = house.gateway.ledger.alert_stats();
    assert_eq!((stats.raised, stats.dropped, stats.waiting), (1_001, 0, 0));
}
