//! Instructions that the gateway executes for a request, counted by valgrind's callgrind: the same on a machine that is busy
//! and on one that is not, within one in a hundred.
//!
//! What it does not see: the kernel, caches, and instructions that valgrind's processor lacks (SHA-2 is computed without the
//! extension that real ones have, which is some 3,000 more instructions a request).

use super::narrows;
use super::peers::{Peer, Programs, Provider, Running, free_address};
use crate::client::Work;
use crate::drive::{Load, Plan};
use crate::scenario::Scenario;
use crate::stats::Shared;
use crate::tls::Identity;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use narrows_fake::{FakeConfig, FakeProvider};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;

/// Most requests of one count.
const REQUESTS_MAX: u64 = 1_000_000;
/// Requests before counting begins: tables are filled, memory is mapped.
const WARM_UP_REQUESTS: u64 = 300;
/// Connections. Few, so that what is done once for each hardly counts.
const CONNECTIONS: usize = 8;
/// Longest time of one count.
const DURATION_MAX: Duration = Duration::from_secs(600);
/// What is counted unless something is named.
const WORKS: [&str; 3] = ["small-chat", "agent-body", "stream-100"];
/// The gateway's configurations, in the order of the columns.
const PEERS: [Peer; 4] = [Peer::Narrows, Peer::Guarded, Peer::Limited, Peer::Full];

/// Options of `instructions`.
#[derive(Debug, Args)]
pub struct Options {
    /// The gateway's program, best built with `--release`.
    #[arg(long)]
    narrows: PathBuf,
    /// Requests that are counted.
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// Only these works.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep callgrind's files in this folder, for `callgrind_annotate`.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Counts, and prints a table.
///
/// # Errors
/// Valgrind is not installed, the gateway does not start, or a request fails.
pub fn run(options: &Options) -> Result<bool> {
    ensure!((1..=REQUESTS_MAX).contains(&options.requests), "--requests is 1 to {REQUESTS_MAX}");
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    found.context("valgrind is needed: install it (Debian: apt-get install valgrind) and try again")?;
    let works: Vec<Scenario> = match options.only.as_slice() {
        [] => WORKS.iter().map(|name| Scenario::load(name)).collect::<Result<_>>()?,
        names => names.iter().map(|name| Scenario::load(name)).collect::<Result<_>>()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let mut out = std::io::stdout().lock();
    writeln!(out, "instructions a request, {} requests each", options.requests)?;
    let heads = PEERS.iter().map(|peer| format!("{:>12}", peer.as_str())).collect::<String>();
    writeln!(out, "{:<16}{heads}", "work")?;
    for work in &works {
        let mut line = format!("{:<16}", work.name);
        for peer in PEERS {
            let counted = local.block_on(&runtime, count(&local, options, peer, work));
            let counted = counted.with_context(|| format!("{}, {}", work.name, peer.as_str()))?;
            line += &format!("{counted:>12}");
        }
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(true)
}

/// Instructions a request.
async fn count(local: &LocalSet, options: &Options, peer: Peer, work: &Scenario) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let identity = Identity::new(folder.path())?;
    let config = FakeConfig { billed_capacity: 0, ..FakeConfig::default() };
    let fake = FakeProvider::start_with("127.0.0.1:0".parse()?, config)?;
    let provider = Provider { plain: fake.addr(), tls: free_address()? };
    let programs = Programs {
        bare: PathBuf::new(),
        nginx: PathBuf::new(),
        narrows: Some(std::path::absolute(&options.narrows)?),
        counts: Some(folder.path().join("callgrind")),
        core: 0,
        own_core: 0,
    };
    let listen = [free_address()?, free_address()?];
    let running = narrows::start(peer, provider, listen, folder.path(), &programs, &identity)?;
    load(local, &running, work, WARM_UP_REQUESTS).await?;
    control(&running, &["-i", "on"])?;
    load(local, &running, work, options.requests).await?;
    control(&running, &["-i", "off"])?;
    let pid = running.pid();
    // Written now, for a process that drains may be killed before it writes. The first dump has this number.
    control(&running, &["-d"])?;
    let file = folder.path().join("callgrind.1");
    drop(running);
    fake.shutdown().await;
    let written = std::fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
    let total = totals(&written)?;
    if let Some(keep) = &options.keep {
        std::fs::create_dir_all(keep)?;
        std::fs::copy(&file, keep.join(format!("{}-{}.callgrind", work.name, peer.as_str())))?;
    }
    ensure!(total > 0, "callgrind counted nothing of process {pid:?}");
    Ok(total / options.requests)
}

async fn load(local: &LocalSet, running: &Running, work: &Scenario, requests: u64) -> Result<()> {
    let stats = Shared::new()?;
    let target = running.address;
    let request = work.request(&target.to_string(), "", running.key.as_deref(), &[]);
    let driven = Rc::new(Work { scenario: work.clone(), target, tls: None, request, stats: stats.clone() });
    let plan =
        Plan { connections: CONNECTIONS, rate: None, duration: DURATION_MAX, requests: Some(requests) };
    Load::start(local, &driven, plan).finish().await;
    let stats = stats.lock();
    if let Some((failure, count)) = stats.failures.iter().next() {
        bail!("{count} requests failed: {failure}");
    }
    let answered = stats.statuses.get(&200).copied().unwrap_or_default();
    ensure!(answered == requests, "{answered} of {requests} requests were answered with 200");
    Ok(())
}

/// Switches counting on or off in a process under callgrind, or has it write what it counted.
fn control(running: &Running, words: &[&str]) -> Result<()> {
    let pid = running.pid().context("no process")?.to_string();
    let done = Command::new("callgrind_control").args(words).arg(&pid).output();
    let done = done.context("callgrind_control, a part of valgrind, is not there")?;
    ensure!(done.status.success(), "callgrind_control: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// The sum of what callgrind counted, out of what its file says.
fn totals(text: &str) -> Result<u64> {
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.context("callgrind wrote no totals")?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_totals_counts() {
        // As valgrind 3.19 writes it.
        let file = "version: 1\nevents: Ir\nsummary: 7\n\nfn=(1) main\n16 2\n\ntotals: 152288943\n";
        assert_eq!(totals(file).unwrap(), 152_288_943);
        for other in ["", "totals: \n", "totals: x", "summary: 7"] {
            assert!(totals(other).is_err(), "{other}");
        }
    }
}
