//! The gateway under test: one that runs already, or one that is started for the test.

use crate::client::target;
use crate::compare::{Process, create_key, free_address, is_let_in, is_ready, wait_ready};
use anyhow::{Context, Result, ensure};
use clap::Args;
use narrows_fake::{FakeConfig, FakeProvider};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longest wait for an answer about health or metrics.
const SCRAPE_LIMIT: Duration = Duration::from_secs(5);

/// Which gateway.
#[derive(Debug, Args)]
pub struct Which {
    /// Start this `narrows` program with a configuration made for the test, and stop it afterwards.
    #[arg(long, conflicts_with = "base_url")]
    narrows: Option<PathBuf>,
    /// Base URL of a gateway that runs already, plain HTTP. It has to lead to the provider at `--provider`.
    #[arg(long)]
    base_url: Option<String>,
    /// The gateway's key, sent as `Authorization: Bearer`.
    #[arg(long)]
    key: Option<String>,
    /// The file into which the running gateway writes its records as JSON lines.
    #[arg(long)]
    records: Option<PathBuf>,
    /// Address of the running gateway's metrics.
    #[arg(long)]
    metrics: Option<SocketAddr>,
    /// Process of the running gateway, to watch its memory and descriptors.
    #[arg(long)]
    pid: Option<u32>,
    /// Where the provider of the test listens; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub provider: SocketAddr,
}

/// What the gateway has to be configured with.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Further settings at the top, as lines of YAML.
    pub top: &'static str,
    /// Patterns of models for the providers of kind `openai`, `anthropic` and `gemini`.
    pub models: [&'static str; 3],
}

impl Setup {
    /// The part of a configuration that names the providers.
    pub fn providers(&self, provider: SocketAddr) -> String {
        let [openai, anthropic, gemini] = self.models;
        format!(
            "providers:\n  openai: {{kind: openai, base_url: \"http://{provider}/v1\", api_key: sk-test, models: [{openai}]}}\n  \
             anthropic: {{kind: anthropic, base_url: \"http://{provider}\", api_key: sk-test, models: [{anthropic}]}}\n  \
             gemini: {{kind: gemini, base_url: \"http://{provider}/v1beta\", api_key: sk-test, models: [{gemini}]}}\n"
        )
    }
}

/// A gateway to be tested.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    /// As requests name it.
    pub host: String,
    /// Path before the API's own.
    pub base: String,
    /// The credential it wants.
    pub key: Option<String>,
    /// Where it writes records as JSON lines.
    pub records: Option<PathBuf>,
    /// Where its metrics are.
    pub metrics: Option<SocketAddr>,
    /// Its process.
    pub pid: Option<u32>,
    own: Option<Own>,
}

/// A gateway of ours; it ends with its owner.
#[derive(Debug)]
struct Own {
    program: PathBuf,
    config: PathBuf,
    // The process ends before its folder goes.
    process: Option<Process>,
    _folder: TempDir,
}

impl Gateway {
    /// The gateway that was asked for, in front of `provider`.
    ///
    /// # Errors
    /// Neither a program nor a URL was given, or the program does not start.
    pub fn open(which: &Which, setup: &Setup, provider: SocketAddr) -> Result<Gateway> {
        if let Some(program) = &which.narrows {
            return Gateway::start(program, setup, provider);
        }
        let url = which.base_url.as_deref().with_context(|| {
            format!(
                "give --narrows PROGRAM to start a gateway, or --base-url of one that has\n{}",
                setup.providers(provider)
            )
        })?;
        let (address, host, base) = target(url)?;
        Ok(Gateway {
            address,
            host,
            base,
            key: which.key.clone(),
            records: which.records.clone(),
            metrics: which.metrics,
            pid: which.pid,
            own: None,
        })
    }

    fn start(program: &Path, setup: &Setup, provider: SocketAddr) -> Result<Gateway> {
        let program = program.canonicalize().with_context(|| format!("no program {}", program.display()))?;
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let (config, log, records) = (at("narrows.yaml"), at("log.txt"), at("records.jsonl"));
        let (listen, metrics, admin) = (free_address()?, free_address()?, free_address()?);
        let text = format!(
            "version: 1\nlisten:\n  gateway: [{{address: \"{listen}\"}}]\n  metrics: {{address: \"{metrics}\"}}\n  \
             admin: {{address: \"{admin}\"}}\nstore: {{path: {:?}}}\nrecords: {{json: {records:?}}}\n{}{}",
            at("narrows.db"),
            setup.top,
            setup.providers(provider)
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new(&program);
        command.arg("run").arg("--config").arg(&config).current_dir(folder.path());
        let mut process = Process::of(command, &log)?;
        wait_ready(&mut process, &log, || is_ready(metrics))?;
        let key = create_key(&program, &config, folder.path())?;
        wait_ready(&mut process, &log, || is_let_in(listen, &key))?;
        Ok(Gateway {
            address: listen,
            host: listen.to_string(),
            base: String::new(),
            key: Some(key),
            records: Some(records),
            metrics: Some(metrics),
            pid: Some(process.id()),
            own: Some(Own { program, config, process: Some(process), _folder: folder }),
        })
    }

    /// The credential as a header's value.
    pub fn bearer(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Bearer {key}"))
    }

    /// One figure of the metrics, added up over its labels; `None` if there are no metrics.
    pub fn figure(&self, name: &str) -> Option<f64> {
        let text = scrape(self.metrics?).ok()?;
        let values = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = match rest.strip_prefix('{') {
                Some(labels) => labels.split_once("} ")?.1,
                None => rest.strip_prefix(' ')?,
            };
            value.parse::<f64>().ok()
        });
        Some(values.sum())
    }

    /// Descriptors that its process has open.
    pub fn descriptors(&self) -> Option<u64> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.pid?)).ok()?.count() as u64)
    }

    /// Its resident memory, in kibibytes.
    pub fn rss_kib(&self) -> Option<u64> {
        crate::machine::rss_kib(self.pid?)
    }

    /// The sums of its store, if it is ours: one row over everything.
    ///
    /// # Errors
    /// The program fails.
    pub fn sums(&self) -> Result<Option<serde_json::Value>> {
        let Some(own) = &self.own else { return Ok(None) };
        let output = Command::new(&own.program)
            .args(["usage", "--by", "organization", "--json", "--config"])
            .arg(&own.config)
            .output()?;
        ensure!(output.status.success(), "narrows usage: {}", String::from_utf8_lossy(&output.stderr));
        let mut total = serde_json::Map::new();
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(line)?;
            for (name, value) in row {
                if let Some(figure) = value.as_u64() {
                    let before = total.get(&name).and_then(serde_json::Value::as_u64).unwrap_or(0);
                    total.insert(name, (before + figure).into());
                }
            }
        }
        Ok(Some(total.into()))
    }

    /// Stops a gateway of ours and waits for it, so that everything it will write is written.
    pub fn stop(&mut self) {
        if let Some(own) = &mut self.own {
            own.process = None;
        }
    }

    /// Waits until nothing is open and everything is written. False if that does not happen in time.
    pub fn settled(&self, patience: Duration) -> bool {
        let names = [
            "narrows_exchanges_in_flight",
            "narrows_streams_in_flight",
            "narrows_buffered_bytes",
            "narrows_records_queue",
        ];
        let start = Instant::now();
        loop {
            if names.iter().all(|name| self.figure(name).is_none_or(|value| value == 0.0)) {
                return true;
            }
            if start.elapsed() > patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The fake provider on threads of its own, so that it keeps its pace whatever clients do.
#[derive(Debug)]
pub struct Fake {
    /// The provider.
    pub provider: FakeProvider,
    _runtime: Runtime,
}

impl Fake {
    /// Starts it.
    ///
    /// # Errors
    /// The address is taken.
    pub fn start(address: SocketAddr, config: FakeConfig) -> Result<Fake> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let entered = runtime.enter();
        let provider = FakeProvider::start_with(address, config)?;
        drop(entered);
        Ok(Fake { provider, _runtime: runtime })
    }
}

/// The metrics as text.
fn scrape(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SCRAPE_LIMIT)?;
    stream.set_read_timeout(Some(SCRAPE_LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The records of a file of JSON lines. The last line may be half written.
///
/// # Errors
/// The file cannot be read, or a line but the last is no JSON.
pub fn records(file: &Path) -> Result<Vec<serde_json::Value>> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let last = lines.len().saturating_sub(1);
    let mut found = Vec::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        match serde_json::from_slice(line) {
            Ok(record) => found.push(record),
            Err(_cut) if index == last && !text.ends_with(b"\n") => {}
            Err(error) => {
                return Err(error).with_context(|| format!("line {} of {}", index + 1, file.display()));
            }
        }
    }
    Ok(found)
}
