//! The program itself, as an operator starts it.

use super::{Answer, Ask, Client, patient, until};
use narrows_fake::{FakeConfig, FakeProvider};
use narrows_ledger::{Ledger, LedgerOptions, NewKey};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A gateway in a process of its own, with one provider, the fake one.
pub(crate) struct Process {
    pub(crate) gateway: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) admin_token: String,
    pub(crate) key: String,
    pub(crate) fake: FakeProvider,
    pub(crate) ledger: Ledger,
    pub(crate) dir: TempDir,
    child: Child,
    /// Lines of its standard error, read by a thread of their own.
    log: mpsc::UnboundedReceiver<String>,
}

impl Process {
    /// Starts it, with more at the top of its configuration.
    pub(crate) async fn start(top: &str) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("narrows.db"), LedgerOptions::default()).unwrap();
        let admin_token = ledger.ensure_admin_token().unwrap().unwrap().expose().to_owned();
        let new = NewKey { name: "first".into(), organization: "acme".into(), ..NewKey::default() };
        let key = ledger.create_key(&new, "test").unwrap().key.expose().to_owned();
        let fake =
            FakeProvider::start_with(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), FakeConfig::default())
                .unwrap();
        let text = format!(
            "version: 1\nworkers: 2\nlisten:\n  gateway: [{{address: '127.0.0.1:0'}}]\n  \
             metrics: {{address: '127.0.0.1:0'}}\n  admin: {{address: '127.0.0.1:0'}}\n{top}\nproviders:\n  \
             openai: {{kind: openai, base_url: 'http://{fake}/v1', api_key: sk-1}}\n  \
             anthropic: {{kind: anthropic, base_url: 'http://{fake}', api_key: sk-1}}\n",
            fake = fake.addr(),
        );
        std::fs::write(dir.path().join("narrows.yaml"), text).unwrap();
        let (child, log) = spawn(dir.path());
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut process = Process {
            gateway: nowhere,
            metrics: nowhere,
            admin: nowhere,
            admin_token,
            key,
            fake,
            ledger,
            dir,
            child,
            log,
        };
        process.find().await;
        process
    }

    /// Learns where it listens.
    async fn find(&mut self) {
        self.gateway = self.address("gateway").await;
        self.metrics = self.address("metrics").await;
        self.admin = self.address("admin").await;
    }

    /// Kills it as it stands (SIGKILL), and starts it again.
    pub(crate) async fn kill_and_start(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// Kills it as it stands (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after it has ended.
    pub(crate) async fn start_again(&mut self) {
        (self.child, self.log) = spawn(self.dir.path());
        self.find().await;
    }

    /// A page of its administration API.
    pub(crate) async fn admin(&self, path: &str) -> Answer {
        let ask = Ask::get(path).with("connection", "close").key(&self.admin_token);
        Client::connect(self.admin).await.ask(&ask).await
    }

    /// What it prints about a listener.
    async fn address(&mut self, word: &str) -> SocketAddr {
        let line = self.logged(word).await;
        let rest = line.split_once("://").unwrap().1;
        rest.split('/').next().unwrap().trim().parse().unwrap()
    }

    /// The next line of its log that holds `text`.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        patient("a line of the log", async {
            loop {
                match self.log.recv().await {
                    Some(line) if line.contains(text) => return line,
                    Some(line) => before.push(line),
                    None => panic!("no line with {text:?} in {before:#?}"),
                }
            }
        })
        .await
    }

    /// Sends it a signal, by its name less `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().unwrap();
        assert!(sent.success());
    }

    /// A page of its health and metrics listener.
    pub(crate) async fn health(&self, path: &str) -> Answer {
        Client::connect(self.metrics).await.ask(&Ask::get(path).with("connection", "close")).await
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the process to end", async || self.child.try_wait().unwrap()).await
    }

    /// Replaces text in its configuration's file.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let file = self.dir.path().join("narrows.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "no {from} in\n{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }
}

/// Starts the program in a folder; lines of its standard error come out of the channel.
fn spawn(folder: &Path) -> (Child, mpsc::UnboundedReceiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .arg("run")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (lines, log) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        // It ends with the process, or when nobody listens any more.
        drop(stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    });
    (child, log)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
