//! A whole gateway in this process: its own threads, ports from the system, a store in a folder of its own.

use super::{Answer, Ask, Client, until};
use narrows::config;
use narrows::server::{self, Running};
use narrows_fake::{FakeConfig, FakeProvider, Knobs};
use narrows_ledger::{Filter, Ledger, LedgerOptions, NewKey, PageRequest, Place, Record};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What the gateway sends to the fake provider as its own credential.
pub(crate) const PROVIDER_KEY: &str = "sk-provider-canary-7Qm2ZpX9";
/// Requests that the fake provider remembers.
const SEEN: usize = 4096;

/// A gateway to be started.
pub(crate) struct Plan {
    listen: String,
    top: String,
    /// Settings of the three usual providers, behind their credential.
    usual: String,
    providers: String,
    fake: FakeConfig,
    keys: Vec<NewKey>,
    /// Files to be made in the folder, which `{dir}` names in the configuration.
    files: Vec<(&'static str, String)>,
    /// A store that others have too: its settings, in flow style, and where it is.
    store: Option<(String, Place)>,
}

impl Plan {
    /// Where the gateway listens, as in the configuration.
    pub(crate) fn listen(self, gateway: &str) -> Plan {
        Plan { listen: gateway.to_owned(), ..self }
    }

    /// More at the top of the configuration; `{fake}` is the fake provider's address and `{dir}` the folder.
    pub(crate) fn top(mut self, text: &str) -> Plan {
        self.top.push_str(text);
        self.top.push('\n');
        self
    }

    /// More for each of the usual providers, in flow style.
    pub(crate) fn usual(mut self, text: &str) -> Plan {
        self.usual.push_str(", ");
        self.usual.push_str(text);
        self
    }

    /// One more provider, in flow style.
    pub(crate) fn provider(mut self, name: &str, text: &str) -> Plan {
        self.providers.push_str(&format!("  {name}: {{{text}}}\n"));
        self
    }

    /// How the fake provider behaves.
    pub(crate) fn fake(mut self, change: impl FnOnce(&mut FakeConfig)) -> Plan {
        change(&mut self.fake);
        self
    }

    /// One more key.
    pub(crate) fn key(mut self, change: impl FnOnce(&mut NewKey)) -> Plan {
        let mut new = NewKey { name: "more".into(), organization: "acme".into(), ..NewKey::default() };
        change(&mut new);
        self.keys.push(new);
        self
    }

    /// A file in the gateway's folder.
    pub(crate) fn file(mut self, name: &'static str, text: String) -> Plan {
        self.files.push((name, text));
        self
    }

    /// Its store is one that others have too.
    pub(crate) fn store(self, settings: String, place: Place) -> Plan {
        Plan { store: Some((settings, place)), ..self }
    }

    /// Starts it.
    pub(crate) fn start(self) -> Gate {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in &self.files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let own = || Place::File(dir.path().join("narrows.db"));
        let place = self.store.as_ref().map_or_else(own, |(_, place)| place.clone());
        let ledger = Ledger::open(place, LedgerOptions::default()).unwrap();
        let keys = self.keys.iter().map(|new| {
            let created = ledger.create_key(new, "test").unwrap();
            (created.info.id, created.key.expose().to_owned())
        });
        let keys: Vec<_> = keys.collect();
        let runtime = server::runtime(2).unwrap();
        let entered = runtime.enter();
        let fake =
            FakeProvider::start_with(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), self.fake.clone()).unwrap();
        let text = self.text(dir.path(), fake.addr());
        let file = dir.path().join("narrows.yaml");
        std::fs::write(&file, &text).unwrap();
        let loaded = config::load(&file).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let (running, ready) = server::start(loaded).unwrap();
        drop(entered);
        Gate {
            address: ready.gateway[0],
            addresses: ready.gateway,
            metrics: ready.metrics,
            admin: ready.admin.unwrap(),
            // Who comes second to a store is not told it again.
            admin_token: ready.admin_token.map(|token| token.expose().to_owned()).unwrap_or_default(),
            key_id: keys[0].0.clone(),
            key: keys[0].1.clone(),
            keys,
            ledger,
            fake,
            dir,
            running: Some(running),
            runtime: Some(runtime),
        }
    }

    fn text(&self, dir: &Path, fake: SocketAddr) -> String {
        let usual = &self.usual;
        let top = without_wait(&self.top);
        let text = format!(
            "version: 1\n\
             organization: acme\n\
             workers: 2\n\
             store: {store}\n\
             listen:\n  \
               gateway: {listen}\n  \
               metrics: {{address: 127.0.0.1:0}}\n  \
               admin: {{address: 127.0.0.1:0}}\n\
             {top}\
             providers:\n  \
               openai: {{kind: openai, base_url: 'http://{{fake}}/v1', api_key: {PROVIDER_KEY}{usual}}}\n  \
               anthropic: {{kind: anthropic, base_url: 'http://{{fake}}', api_key: {PROVIDER_KEY}{usual}}}\n  \
               gemini: {{kind: gemini, base_url: 'http://{{fake}}/v1beta', api_key: {PROVIDER_KEY}{usual}}}\n\
             {providers}",
            store = self.store.as_ref().map_or("{path: narrows.db}", |(settings, _)| settings),
            listen = self.listen,
            providers = self.providers,
        );
        text.replace("{fake}", &fake.to_string()).replace("{dir}", &dir.display().to_string())
    }
}

/// No balancer has to notice that a test ends.
fn without_wait(top: &str) -> String {
    if top.contains("shutdown_wait") {
        return top.to_owned();
    }
    // Only the group at the top: a model's has other keys.
    let own = top.lines().any(|line| line.starts_with("timeouts: {"));
    let with = |line: &str| match line.strip_prefix("timeouts: {") {
        Some(rest) => format!("timeouts: {{shutdown_wait: 0s, {rest}\n"),
        None => format!("{line}\n"),
    };
    let text: String = top.lines().map(with).collect();
    if own { text } else { format!("timeouts: {{shutdown_wait: 0s}}\n{text}") }
}

/// What a start with this configuration says.
pub(crate) fn refusal(dir: &Path, text: &str) -> String {
    let file = dir.join("narrows.yaml");
    std::fs::write(&file, text).unwrap();
    let loaded = config::load(&file).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let runtime = server::runtime(1).unwrap();
    let _entered = runtime.enter();
    let error = server::start(loaded).err().unwrap();
    let text = format!("{error:#}");
    runtime.shutdown_background();
    text
}

/// A gateway that runs.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) metrics: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) admin_token: String,
    /// The first key, of which every gateway has one, and its public id.
    pub(crate) key: String,
    pub(crate) key_id: String,
    /// Every key, id and text.
    pub(crate) keys: Vec<(String, String)>,
    /// Another handle on the gateway's store, as another process would have it.
    pub(crate) ledger: Ledger,
    pub(crate) fake: FakeProvider,
    pub(crate) dir: TempDir,
    pub(crate) running: Option<Running>,
    runtime: Option<Runtime>,
}

impl Gate {
    /// A gateway with the three usual providers, all of them the fake one, and one key.
    pub(crate) fn plan() -> Plan {
        let plan = Plan {
            listen: "[{address: '127.0.0.1:0'}]".to_owned(),
            top: String::new(),
            usual: String::new(),
            providers: String::new(),
            fake: FakeConfig { seen_capacity: SEEN, knobs: Knobs::default(), ..FakeConfig::default() },
            keys: Vec::new(),
            files: Vec::new(),
            store: None,
        };
        plan.key(|key| {
            key.name = "first".into();
            key.team = Some("blue".into());
            key.user = Some("ada".into());
        })
    }

    /// As [`Gate::plan`], started.
    pub(crate) fn start() -> Gate {
        Gate::plan().start()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Asks over a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        self.connect().await.ask(ask).await
    }

    /// Asks with the first key.
    pub(crate) async fn ask_as_key(&self, ask: Ask) -> Answer {
        self.ask(&ask.key(&self.key)).await
    }

    /// Every record, the first settled first, once nothing is open and everything is written.
    pub(crate) async fn records(&self) -> Vec<Record> {
        until("every exchange to be settled and written", async || {
            let metrics = self.scrape().await;
            let open =
                gauge(&metrics, "narrows_exchanges_in_flight") + gauge(&metrics, "narrows_records_queue");
            (open == 0.0).then_some(())
        })
        .await;
        let (mut records, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.ledger.records(&Filter::default(), PageRequest { limit: 1000, cursor }).unwrap();
            records.extend(page.records);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        records.reverse();
        records
    }

    /// The one record there is.
    pub(crate) async fn record(&self) -> Record {
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    }

    /// The record of the exchange with this answer.
    pub(crate) async fn record_of(&self, answer: &Answer) -> Record {
        let id = answer.id();
        let mut found: Vec<_> = self.records().await.into_iter().filter(|record| record.id == id).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }

    /// The record of the exchange with this answer, while others may still be open.
    pub(crate) async fn ledger_record(&self, answer: &Answer) -> Record {
        until("the record to be written", async || self.ledger.record(answer.id()).unwrap()).await
    }

    /// The metrics, as Prometheus reads them.
    pub(crate) async fn scrape(&self) -> String {
        self.health("/metrics").await.text()
    }

    /// One figure of the metrics.
    pub(crate) async fn gauge(&self, series: &str) -> f64 {
        gauge(&self.scrape().await, series)
    }

    /// A page of the health and metrics listener.
    pub(crate) async fn health(&self, path: &str) -> Answer {
        Client::connect(self.metrics).await.ask(&Ask::get(path).with("connection", "close")).await
    }

    /// A page of the administration API.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let ask = Ask::get(path).with("connection", "close").key(&self.admin_token);
        Client::connect(self.admin).await.ask(&ask).await
    }

    /// Replaces text in the configuration's file.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.dir.path().join("narrows.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "no {from} in\n{text}");
        std::fs::write(self.dir.path().join("new.yaml"), text.replace(from, to)).unwrap();
        std::fs::rename(self.dir.path().join("new.yaml"), file).unwrap();
    }

    /// Has the configuration read again.
    pub(crate) async fn reload(&self) -> Answer {
        let ask =
            Ask::new("POST", "/admin/v1/config/reload").with("connection", "close").key(&self.admin_token);
        Client::connect(self.admin).await.ask(&ask).await
    }

    /// Posts nothing to a page of the administration API, which must like it.
    pub(crate) async fn admin_post(&self, path: &str) -> Answer {
        let ask = Ask::new("POST", path).with("connection", "close").key(&self.admin_token);
        let answer = Client::connect(self.admin).await.ask(&ask).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer
    }

    /// Stops it, as a signal does.
    pub(crate) fn stop(&mut self) -> tokio::task::JoinHandle<anyhow::Result<()>> {
        self.runtime.as_ref().unwrap().spawn(self.running.take().unwrap().stop())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One figure of a scrape; the series as it stands there.
pub(crate) fn gauge(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{metrics}")).parse().unwrap()
}
