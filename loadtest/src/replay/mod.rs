//! `replay`: recorded streams through a gateway, cut anywhere, compared byte for byte, and their usage with its records.

mod compare;
mod provider;
mod recording;

use crate::exchange::{Got, Leave, exchange, post};
use crate::gateway::{Gateway, Setup, Which, records};
use crate::mix::Mix;
use anyhow::{Context, Result, ensure};
use clap::Args;
use compare::Findings;
use narrows_llm::dialect::Dialect;
use provider::Player;
use recording::Recording;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};

/// Most cuts of one recording.
const MAX_CUTS: u64 = 100_000;
/// Longest wait for the records of exchanges that are over.
const RECORDS_LIMIT: Duration = Duration::from_secs(15);

/// What the gateway has to lead to the recordings.
const SETUP: Setup = Setup { top: "", models: ["replay-openai-*", "replay-anthropic-*", "replay-gemini-*"] };

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct Options {
    /// Folder of recordings, searched to its bottom: `.sse` (streams) and `.body` (answers in one piece), as they came off
    /// the wire without HTTP. A folder named as a dialect says theirs; else it is detected. `.json` beside one of the same
    /// name says what usage it shows; else it is metered here.
    folder: PathBuf,
    #[command(flatten)]
    which: Which,
    /// How often each recording is replayed, cut differently each time.
    #[arg(long, default_value_t = 8)]
    cuts: u64,
    /// Start of the random sequence; the same seed cuts at the same places.
    #[arg(long)]
    seed: Option<u64>,
    /// Exchanges at the same time.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// No progress.
    #[arg(long)]
    quiet: bool,
}

/// Replays and prints what differs. False if anything does.
///
/// # Errors
/// There is nothing to replay, or no gateway.
pub fn run(options: &Options) -> Result<bool> {
    ensure!((1..=MAX_CUTS).contains(&options.cuts), "--cuts is 1 to {MAX_CUTS}");
    ensure!((1..=1_000).contains(&options.concurrency), "--concurrency is 1 to 1000");
    let recordings: Rc<[Rc<Recording>]> =
        recording::load(&options.folder)?.into_iter().map(Rc::new).collect();
    ensure!(!recordings.is_empty(), "no .sse or .body in {}", options.folder.display());
    let seed = options.seed.unwrap_or_else(crate::faults::any_seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    let player =
        local.block_on(&runtime, Player::start(options.which.provider, Rc::clone(&recordings), seed))?;
    let mut out = std::io::stdout().lock();
    let mut gateway = Gateway::open(&options.which, &SETUP, player.address)?;
    writeln!(out, "{} recordings, {} cuts each, --seed {seed}", recordings.len(), options.cuts)?;
    writeln!(out, "The gateway at {} has to have:\n{}", gateway.address, SETUP.providers(player.address))?;
    let replay = Rc::new(Replay {
        gateway_address: gateway.address,
        host: gateway.host.clone(),
        base: gateway.base.clone(),
        bearer: gateway.bearer(),
        recordings,
    });
    let done = local.block_on(&runtime, all(&replay, options))?;
    let mut findings = Findings::default();
    for played in &done {
        findings.bytes(&replay.recordings, played);
    }
    let settled = gateway.settled(RECORDS_LIMIT);
    let file = gateway.records.clone();
    gateway.stop();
    match file {
        Some(file) => usage(&mut findings, &replay.recordings, &done, &file)?,
        None => writeln!(out, "Usage is not compared: --records names no file.")?,
    }
    if !settled {
        findings.note("exchanges are still open, or records are not written".to_owned());
    }
    write!(out, "{}", findings.text())?;
    if !findings.is_good() {
        writeln!(out, "\nRepeat with --seed {seed} --cuts {}.", options.cuts)?;
    }
    Ok(findings.is_good())
}

/// What all exchanges of a replay share.
struct Replay {
    gateway_address: std::net::SocketAddr,
    host: String,
    base: String,
    bearer: Option<String>,
    recordings: Rc<[Rc<Recording>]>,
}

/// One exchange that is over.
struct Played {
    recording: usize,
    cut: u64,
    /// Whether the client asked for usage itself.
    asked_for_usage: bool,
    got: Got,
}

async fn all(replay: &Rc<Replay>, options: &Options) -> Result<Vec<Played>> {
    let (mut running, mut done) = (JoinSet::new(), Vec::new());
    let total = replay.recordings.len() as u64 * options.cuts;
    let mut shown = Instant::now();
    for cut in 0..options.cuts {
        for recording in 0..replay.recordings.len() {
            if running.len() >= options.concurrency {
                done.extend(running.join_next().await.transpose()?);
            }
            running.spawn_local(one(Rc::clone(replay), recording, cut));
            if !options.quiet && shown.elapsed() > Duration::from_secs(1) {
                shown = Instant::now();
                writeln!(std::io::stderr().lock(), "{:>8} of {total} replayed", done.len())?;
            }
        }
    }
    while let Some(played) = running.join_next().await {
        done.push(played?);
    }
    Ok(done)
}

async fn one(replay: Rc<Replay>, index: usize, cut: u64) -> Played {
    let recording = &replay.recordings[index];
    // Every other time the gateway has to ask for usage, and to hide what comes of it.
    let asked_for_usage = cut.is_multiple_of(2);
    let (target, body) = question(recording, index, cut, asked_for_usage);
    let mut headers = vec![];
    if let Some(bearer) = &replay.bearer {
        headers.push(("authorization", bearer.as_str()));
    }
    if recording.dialect == Dialect::AnthropicMessages {
        headers.push(("anthropic-version", "2023-06-01"));
    }
    let request = post(&replay.host, &format!("{}{target}", replay.base), &headers, body.as_bytes());
    let got = exchange(replay.gateway_address, &request, Leave::Never).await;
    Played { recording: index, cut, asked_for_usage, got }
}

/// Path and body of the request that a recording answers. The model names recording and cut, because that reaches the
/// provider through any gateway.
fn question(recording: &Recording, index: usize, cut: u64, asks: bool) -> (String, String) {
    let family = recording.family();
    let model = format!("replay-{family}-{index}-{cut}");
    let stream = recording.streamed;
    let streams = if stream { ",\"stream\":true" } else { "" };
    let usage = if stream && asks { ",\"stream_options\":{\"include_usage\":true}" } else { "" };
    let messages = "\"messages\":[{\"role\":\"user\",\"content\":\"Say what you said before.\"}]";
    match recording.dialect {
        Dialect::OpenaiChat => (
            "/v1/chat/completions".to_owned(),
            format!("{{\"model\":\"{model}\",{messages}{streams}{usage}}}"),
        ),
        Dialect::OpenaiCompletions => (
            "/v1/completions".to_owned(),
            format!("{{\"model\":\"{model}\",\"prompt\":\"Say what you said before.\"{streams}{usage}}}"),
        ),
        Dialect::OpenaiResponses => (
            "/v1/responses".to_owned(),
            format!("{{\"model\":\"{model}\",\"input\":\"Say what you said before.\"{streams}}}"),
        ),
        Dialect::OpenaiEmbeddings => {
            ("/v1/embeddings".to_owned(), format!("{{\"model\":\"{model}\",\"input\":[\"a\",\"b\"]}}"))
        }
        Dialect::AnthropicMessages => (
            "/v1/messages".to_owned(),
            format!("{{\"model\":\"{model}\",\"max_tokens\":64,{messages}{streams}}}"),
        ),
        Dialect::GeminiGenerate => {
            let call = match (stream, recording.is_list()) {
                (true, _) => "streamGenerateContent?alt=sse",
                (false, true) => "streamGenerateContent",
                (false, false) => "generateContent",
            };
            (
                format!("/v1beta/models/{model}:{call}"),
                "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Say what you said before.\"}]}]}"
                    .to_owned(),
            )
        }
    }
}

fn usage(
    findings: &mut Findings,
    recordings: &[Rc<Recording>],
    done: &[Played],
    file: &std::path::Path,
) -> Result<()> {
    let start = Instant::now();
    loop {
        let found: HashMap<String, serde_json::Value> = records(file)
            .context("--records")?
            .into_iter()
            .filter_map(|record| Some((record["id"].as_str()?.to_owned(), record)))
            .collect();
        let missing = |played: &&Played| played.got.id.as_ref().is_some_and(|id| !found.contains_key(id));
        if done.iter().any(|played| missing(&played)) && start.elapsed() < RECORDS_LIMIT {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        for played in done {
            let record = played.got.id.as_ref().and_then(|id| found.get(id));
            findings.usage(recordings, played, record);
        }
        return Ok(());
    }
}

/// The places at which one replay of a recording is cut.
fn places(seed: u64, index: usize, cut: u64) -> Mix {
    Mix::new(seed, (index as u64) << 20 | cut)
}
