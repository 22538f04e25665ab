//! Starting the gateway for a comparison: its configuration, its key.

use super::peers::{Peer, Process, Programs, Provider, Running, free_address, running, wait_ready};
use crate::bodies::SMALL_MODEL;
use crate::scenario::FAILOVER_MODEL;
use crate::tls::{Identity, SERVER_NAME};
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Two budgets and a rate limit of three measures that nothing in a comparison comes near.
const WIDE_LIMITS: &str = "budgets:\n  money: {per: team, usd: 1000000, window: month}\n  tokens: {per: [key, model], tokens: \
                           1000000000000, window: day}\nrate_limits:\n  each-key: {per: key, requests: 1000000000, tokens: \
                           1000000000000, concurrent: 1000000}\n";

/// The gateway's configuration for a comparison. Everything it has is on, detectors and limits if `peer` has them; there is
/// one worker because there is one core.
fn config(
    peer: Peer,
    [plain, secured]: [SocketAddr; 2],
    metrics: SocketAddr,
    admin: SocketAddr,
    provider: Provider,
    folder: &Path,
    identity: &Identity,
) -> String {
    let store = folder.join("narrows.db");
    let Identity { certificate, key, authority, .. } = identity;
    let (fake, port) = (provider.plain, provider.tls.port());
    let guarded = peer.detects();
    let limits = if peer.limits() { WIDE_LIMITS } else { "" };
    format!(
        "version: 1\nlisten:\n  gateway: [{{address: \"{plain}\"}}, {{address: \"{secured}\", tls: {{cert: {certificate:?}, \
         key: {key:?}}}}}]\n  metrics: {{address: \"{metrics}\"}}\n  \
         admin: {{address: \"{admin}\"}}\nworkers: 1\nstore: {{path: {store:?}}}\n\
         guard: {{default_policies: {guarded}}}\nproviders:\n  openai: {{kind: openai, \
         base_url: \"http://{fake}/v1\", api_key: \"sk-fake-upstream\", models: [\"*\"]}}\n  anthropic: {{kind: \
         anthropic, base_url: \"http://{fake}\", api_key: \"sk-ant-fake\", models: [\"claude-*\"]}}\n  over-tls: {{kind: \
         openai, base_url: \"https://{SERVER_NAME}:{port}/v1\", api_key: \"sk-fake-upstream\", ca_file: {authority:?}, \
         models: []}}\n  second: {{kind: openai, base_url: \"http://{fake}/v1\", api_key: \"sk-fake-upstream\", \
         headers: {{x-fake: \"body_bytes=460\"}}, models: []}}\nmodels:\n  {FAILOVER_MODEL}: {{targets: [{{provider: openai, \
         model: {SMALL_MODEL}}}, {{provider: second, model: {SMALL_MODEL}, priority: 1}}]}}\n{limits}"
    )
}

pub(super) fn start(
    peer: Peer,
    provider: Provider,
    listen: [SocketAddr; 2],
    folder: &Path,
    programs: &Programs,
    identity: &Identity,
) -> Result<Running> {
    let program = programs.narrows.as_deref().context("--narrows names no program")?;
    let file = folder.join("narrows.yaml");
    let (metrics, admin) = (free_address()?, free_address()?);
    std::fs::write(&file, config(peer, listen, metrics, admin, provider, folder, identity))?;
    let mut command = match &programs.counts {
        None => Command::new(program),
        Some(counts) => {
            let mut command = Command::new("valgrind");
            let to = format!("--callgrind-out-file={}", counts.display());
            command.args(["--tool=callgrind", "--instr-atstart=no", &to]).arg(program);
            command
        }
    };
    command.arg("run").arg("--config").arg(&file).current_dir(folder);
    let log = folder.join("log.txt");
    let mut process = Process::start(command, programs, &log)?;
    wait_ready(&mut process, &log, || is_ready(metrics))?;
    let key = create_key(program, &file, folder)?;
    // The key counts once the gateway lets it in.
    wait_ready(&mut process, &log, || is_let_in(listen[0], &key))?;
    Ok(running(peer, listen, key, process))
}

/// Creates a virtual key in the store of a configuration.
///
/// # Errors
/// The program fails, or prints no key.
pub(crate) fn create_key(program: &Path, config: &Path, folder: &Path) -> Result<String> {
    let created = Command::new(program)
        .args(["keys", "create", "--name", "bench", "--organization", "bench", "--json", "--config"])
        .arg(config)
        .current_dir(folder)
        .output()
        .context("cannot create a key")?;
    if !created.status.success() {
        bail!("cannot create a key: {}", String::from_utf8_lossy(&created.stderr));
    }
    let answer: serde_json::Value = serde_json::from_slice(&created.stdout).context("keys create --json")?;
    Ok(answer["key"].as_str().context("keys create --json gave no `key`")?.to_owned())
}

/// Whether the gateway with these metrics is ready.
pub(crate) fn is_ready(metrics: SocketAddr) -> bool {
    is_200(metrics, "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// Whether the gateway lets this key in.
pub(crate) fn is_let_in(listen: SocketAddr, key: &str) -> bool {
    is_200(
        listen,
        &format!(
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
        ),
    )
}

fn is_200(address: SocketAddr, request: &str) -> bool {
    let answer = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(request.as_bytes())?;
        let mut start = [0u8; 12];
        stream.read_exact(&mut start)?;
        Ok(start)
    };
    answer().is_ok_and(|start| start.ends_with(b" 200"))
}
