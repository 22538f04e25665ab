//! How fast texts are searched, beside aho-corasick's automaton over the same bytes in the same run.
//!
//! `cargo bench -p narrows-guard` prints a table. The machine's noise changes the figures and hardly their ratios, so each
//! figure is the best of several rounds, and the rounds of all rows take turns.

mod corpus;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use narrows_guard::body::{Forgetful, Known, Memory, Room, search};
use narrows_guard::cache::{Cache, Digest, Digester};
use narrows_guard::detector::pii::{Pii, Settings};
use narrows_guard::detector::secret::built_in;
use narrows_guard::json::{Table, Walk, walk};
use narrows_guard::rules::RuleSet;
use narrows_guard::{Engine, Provenance, Scratch};
use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Rounds of each row.
const ROUNDS: usize = 9;

/// What a round takes at least; short rows are repeated.
const ROUND: Duration = Duration::from_millis(4);

/// A row: its name, bytes of text, and what is measured.
struct Row<'a> {
    name: String,
    bytes: usize,
    run: Box<dyn FnMut() + 'a>,
    best: Duration,
}

impl<'a> Row<'a> {
    fn new(name: impl Into<String>, bytes: usize, run: impl FnMut() + 'a) -> Row<'a> {
        Row { name: name.into(), bytes, run: Box::new(run), best: Duration::MAX }
    }

    fn round(&mut self) {
        let begin = Instant::now();
        let mut times = 0;
        while times == 0 || begin.elapsed() < ROUND {
            (self.run)();
            times += 1;
        }
        self.best = self.best.min(begin.elapsed() / times);
    }
}

/// Memory as a gateway has it.
struct Remembered {
    digester: Digester,
    cache: Mutex<Cache<(Digest, Digest), Arc<Known>>>,
}

impl Remembered {
    fn key(&self, name: &str, part: &str) -> (Digest, Digest) {
        (self.digester.digest(name.as_bytes()), self.digester.digest(part.as_bytes()))
    }
}

impl Memory for Remembered {
    fn recall(&self, name: &str, part: &str) -> Option<Arc<Known>> {
        let key = self.key(name, part);
        self.cache.lock().ok()?.get(&key).map(Arc::clone)
    }

    fn keep(&self, name: &str, part: &str, known: &Arc<Known>) {
        let key = self.key(name, part);
        if let Ok(mut cache) = self.cache.lock() {
            cache.put(key, Arc::clone(known));
        }
    }
}

fn secrets() -> RuleSet {
    built_in().unwrap_or_default()
}

fn pii() -> Pii {
    Pii::new(Settings::default())
}

/// Resident memory in KiB, where the system tells it.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4)
}

#[expect(clippy::too_many_lines, reason = "a list of measurements")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    let before = resident();
    let begin = Instant::now();
    let both = Engine::builder().secrets(secrets()).detector(pii()).build()?;
    let compiled = begin.elapsed();
    writeln!(out, "{} rules compiled in {compiled:.1?}", both.rules().len())?;
    if let (Some(before), Some(after)) = (before, resident()) {
        writeln!(
            out,
            "resident: +{} KiB; memory(): {} KiB",
            after.saturating_sub(before),
            both.memory() >> 10
        )?;
    }
    let only_secrets = Engine::builder().secrets(secrets()).build()?;
    let only_pii = Engine::builder().detector(pii()).build()?;
    let keywords: std::collections::BTreeSet<String> = secrets()
        .patterns
        .iter()
        .flat_map(|pattern| pattern.keywords.iter().map(ToString::to_string))
        .collect();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(&keywords)?;
    writeln!(
        out,
        "automaton of {} keywords, {} KiB",
        automaton.patterns_len(),
        automaton.memory_usage() >> 10
    )?;

    let text = corpus::text(32 << 20);
    let body = corpus::conversation(107_000);
    let table = Table::everything();
    let (mut walked, mut walked_chat) = (Walk::default(), Walk::default());
    let (mut room, mut room_again, mut room_chat) = (Room::default(), Room::default(), Room::default());
    let memory = Remembered {
        digester: Digester::new(&[7; 32]),
        cache: Mutex::new(Cache::new(64 << 20, |known: &Arc<Known>| known.size())),
    };
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (name, size) in
        [("1 KB", 1 << 10), ("20 KB", 20 << 10), ("107 KB", 107_000), ("1 MB", 1 << 20), ("32 MB", 32 << 20)]
    {
        let mut size = size.min(text.len());
        while !text.is_char_boundary(size) {
            size -= 1;
        }
        let part = &text[..size];
        let automaton = &automaton;
        rows.push(Row::new(format!("{name}  automaton"), size, move || {
            black_box(automaton.find_overlapping_iter(part).count());
        }));
        for (detectors, engine) in [("secrets", &only_secrets), ("pii", &only_pii), ("both", &both)] {
            let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
            rows.push(Row::new(format!("{name}  {detectors}"), size, move || {
                hits.clear();
                black_box(engine.scan(part, Provenance::User, &mut scratch, &mut hits));
                black_box(&hits);
            }));
        }
    }
    let chat = r#"{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"Say hello in one short sentence."}],"temperature":0.7,"max_tokens":64,"stream":false}"#;
    rows.push(Row::new("chat  walk", chat.len(), || {
        let _ = black_box(walk(chat, &table, &mut walked_chat));
    }));
    rows.push(Row::new("chat  search", chat.len(), || {
        drop(black_box(search(&both, chat, &table, &memory, &mut room_chat)));
    }));
    rows.push(Row::new("body  walk", body.len(), || {
        let _ = black_box(walk(&body, &table, &mut walked));
    }));
    rows.push(Row::new("body  search", body.len(), || {
        drop(black_box(search(&both, &body, &table, &Forgetful, &mut room)));
    }));
    rows.push(Row::new("body  again", body.len(), || {
        drop(black_box(search(&both, &body, &table, &memory, &mut room_again)));
    }));
    // `cargo bench -p narrows-guard -- "107 KB"` measures the rows whose names hold these words.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    rows.retain(|row| wanted.is_empty() || wanted.iter().any(|word| row.name.contains(word)));
    for _ in 0..ROUNDS {
        rows.iter_mut().for_each(Row::round);
    }
    let mut reference = 0.0;
    for row in &rows {
        let rate = row.bytes as f64 / row.best.as_secs_f64() / 1e6;
        if row.name.ends_with("automaton") {
            reference = rate;
        }
        writeln!(
            out,
            "{:<20} {:>10.2?} {:>8.0} MB/s {:>6.2} x automaton",
            row.name,
            row.best,
            rate,
            rate / reference
        )?;
    }
    Ok(())
}
