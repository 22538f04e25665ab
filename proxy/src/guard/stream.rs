//! Streams, looked at beside the bytes that pass.
//!
//! The relay hands over what it has sent, in batches and without waiting, to a task of the stream's own. What finds no
//! room is not looked at, and the coverage says so. A short stream is looked at when it has ended, without a task. What is
//! compressed is decoded there too, so that the bytes that pass stay as they are.

use super::Guard;
use super::kept::Kept;
use super::search::{Otherwise, Sight};
use super::table::TABLE;
use bytes::Bytes;
use memchr::memmem::Finder;
use narrows_guard::body::{Found, Passages};
use narrows_guard::json::{self, Spot, Walk};
use narrows_guard::placeholder::Key;
use narrows_guard::stream::StreamScanner;
use narrows_guard::{Hit, Provenance, Scratch};
use narrows_llm::Dialect;
use narrows_llm::deltas::{Block, Kind, deltas};
use narrows_llm::stream::Documents;
use narrows_policy::{Coverage, Gap};
use narrows_sse::Framer;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Bytes that are handed over at once.
const BATCH_BYTES: usize = 16 * 1024;
/// Chunks that are handed over at once.
const BATCH_CHUNKS: usize = 64;
/// Texts of one stream that are looked at.
const BLOCKS_MAX: usize = 256;
/// Most bytes of a tool's arguments that are put together, to be read as JSON.
pub(super) const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;
/// Most findings of one stream that are kept.
const FOUND_MAX: usize = 10_000;
/// Most values of one stream that are kept of what stands in whole events, in values.
const BESIDE_MAX: usize = 500;
/// An event with more bytes than these beside its pieces of text is searched whole.
const PIECE_EVENT_BYTES: usize = 400;
/// Shorter texts beside the pieces, in raw bytes, are no reason to search an event whole: words and kinds.
const BESIDE_BYTES_MIN: usize = 6;
/// With more pieces than these an event is searched whole rather than compared text by text.
const PIECES_COMPARED_MAX: usize = 16;
/// Members of nearly every event that the list of members does not have: ids, names, and random letters that hide an event's
/// length. They alone are no reason to search it whole.
const LABELS: [&str; 8] = [
    "obfuscation",
    "event_id",
    "response_id",
    "modelVersion",
    "provider",
    "native_finish_reason",
    "createTime",
    "created_at",
];

/// Words of members that hold texts of their own beside the pieces, however short: citations of what was read, and what
/// was found.
static BESIDE: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| ["nnotation", "itation", "rounding", "search_results"].map(Finder::new));
/// How long the end of a stream waits for what was seen of it. The client has all of it by then.
const VERDICT_WITHIN: Duration = Duration::from_secs(5);

/// Who says the words of a stream.
pub(super) fn speaker(block: Block) -> Provenance {
    if block.is_callers() { Provenance::User } else { Provenance::Assistant }
}

/// What was seen of a stream, and the fingerprints of what was found.
pub(crate) struct Seen {
    pub(crate) sight: Sight,
    pub(crate) prints: Vec<u64>,
    /// Its texts, for guardrails.
    pub(crate) texts: Result<Passages, Gap>,
}

impl Seen {
    /// Nothing was looked at.
    pub(crate) fn nothing(gap: Gap) -> Seen {
        Seen { sight: Sight::none(gap), prints: Vec::new(), texts: Err(gap) }
    }
}

/// Reads a compressed stream. What it gives out in all is capped.
pub(crate) trait Decode: Send {
    /// The text that the next bytes give.
    ///
    /// # Errors
    /// Why nothing more can be read.
    fn push(&mut self, wire: &[u8]) -> Result<Vec<u8>, Gap>;

    /// The text that the end gives.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, Gap>;
}

/// Takes a stream's bytes to whoever looks at them.
pub(crate) struct Tap {
    batch: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    /// Whether anything was left out since the last batch that was handed over.
    has_gap: bool,
    looking: Looking,
}

enum Looking {
    /// Nobody looks yet; whoever does starts with this.
    Later(Box<Scan>),
    Now {
        sender: UnboundedSender<Batch>,
        waiting: Arc<AtomicUsize>,
        task: JoinHandle<Seen>,
    },
}

struct Batch {
    chunks: Vec<Bytes>,
    bytes: usize,
    /// Whether something is missing before it.
    after_gap: bool,
}

impl Tap {
    /// For a stream in `dialect`: of events, or of JSON documents. If it is compressed, `decode` reads it.
    pub(crate) fn new(
        guard: &Arc<Guard>,
        organization: &str,
        dialect: Dialect,
        decode: Option<Box<dyn Decode>>,
    ) -> Tap {
        let scan = Scan::new(guard, organization, dialect, decode);
        Tap {
            batch: Vec::new(),
            bytes: 0,
            limit: guard.stream_queue,
            has_gap: false,
            looking: Looking::Later(Box::new(scan)),
        }
    }

    /// Keeps its texts too, for guardrails.
    pub(crate) fn keeping(mut self) -> Tap {
        if let Looking::Later(scan) = &mut self.looking
            && let Some(scanning) = &mut scan.0
        {
            scanning.texts.kept = Kept::new(true);
        }
        self
    }

    /// Takes bytes that are on their way to the client.
    pub(crate) fn push(&mut self, chunk: &Bytes) {
        self.bytes += chunk.len();
        self.batch.push(chunk.clone());
        if self.bytes >= BATCH_BYTES || self.batch.len() >= BATCH_CHUNKS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let (chunks, bytes) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.bytes));
        let looking = std::mem::replace(&mut self.looking, Looking::Later(Box::default()));
        let (sender, waiting, task) = match looking {
            Looking::Now { sender, waiting, task } => (sender, waiting, task),
            Looking::Later(scan) => {
                let (sender, receiver) = unbounded_channel();
                let waiting = Arc::new(AtomicUsize::new(0));
                let task = tokio::spawn(look(*scan, receiver, Arc::clone(&waiting)));
                (sender, waiting, task)
            }
        };
        // The channel holds no more bytes than this lets in.
        if waiting.load(Ordering::Relaxed) + bytes > self.limit {
            self.has_gap = true;
        } else {
            waiting.fetch_add(bytes, Ordering::Relaxed);
            let after_gap = std::mem::take(&mut self.has_gap);
            // It is not received only if the task has panicked, and then the verdict says so.
            let _ = sender.send(Batch { chunks, bytes, after_gap });
        }
        self.looking = Looking::Now { sender, waiting, task };
    }

    /// The end of the stream: what was seen of it.
    pub(crate) async fn finish(self) -> Seen {
        let Tap { batch, bytes, limit: _, has_gap, looking } = self;
        match looking {
            Looking::Later(mut scan) => {
                batch.iter().for_each(|chunk| scan.push(chunk));
                scan.finish()
            }
            Looking::Now { sender, waiting, task } => {
                waiting.fetch_add(bytes, Ordering::Relaxed);
                let _ = sender.send(Batch { chunks: batch, bytes, after_gap: has_gap });
                drop(sender);
                match tokio::time::timeout(VERDICT_WITHIN, task).await {
                    Ok(Ok(seen)) => seen,
                    Ok(Err(_panic)) => Seen::nothing(Gap::Error),
                    Err(_elapsed) => Seen::nothing(Gap::Timeout),
                }
            }
        }
    }
}

async fn look(mut scan: Scan, mut receiver: UnboundedReceiver<Batch>, waiting: Arc<AtomicUsize>) -> Seen {
    while let Some(batch) = receiver.recv().await {
        if batch.after_gap {
            scan.skip(Gap::QueueFull);
        }
        batch.chunks.iter().for_each(|chunk| scan.push(chunk));
        waiting.fetch_sub(batch.bytes, Ordering::Relaxed);
    }
    scan.finish()
}

/// Looks at a stream.
#[derive(Default)]
struct Scan(Option<Box<Scanning>>);

struct Scanning {
    guard: Arc<Guard>,
    organization: Box<str>,
    dialect: Dialect,
    coded: Coded,
    body: Body,
    texts: Texts,
}

/// How the bytes that come become text.
enum Coded {
    Plain,
    /// It is compressed.
    By(Box<dyn Decode>),
    /// It cannot be read any further.
    Lost,
}

/// What the text turned out to be.
enum Body {
    Undecided,
    Events(Framer),
    /// One document after the other, also in a list.
    Json(Documents),
}

impl Body {
    fn new(text: &[u8]) -> Option<Body> {
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
        Some(match text.iter().find(|byte| !is_blank(byte))? {
            b'{' | b'[' => Body::Json(Documents::new(narrows_llm::stream::CARRY_LIMIT)),
            _ => Body::Events(Framer::new()),
        })
    }
}

impl Scan {
    fn new(
        guard: &Arc<Guard>,
        organization: &str,
        dialect: Dialect,
        decode: Option<Box<dyn Decode>>,
    ) -> Scan {
        Scan(Some(Box::new(Scanning {
            guard: Arc::clone(guard),
            organization: organization.into(),
            dialect,
            coded: decode.map_or(Coded::Plain, Coded::By),
            body: Body::Undecided,
            texts: Texts::new(guard.keys.of(organization)),
        })))
    }

    fn push(&mut self, chunk: &[u8]) {
        if let Some(scanning) = &mut self.0 {
            scanning.push(chunk);
        }
    }

    /// Something is missing here: what comes next begins in the middle of an event. Of what is compressed, and of a list
    /// of documents, nothing can be read any more.
    fn skip(&mut self, gap: Gap) {
        let Some(scanning) = &mut self.0 else { return };
        match (&scanning.coded, &scanning.body) {
            (Coded::Plain, Body::Undecided | Body::Events(_)) => scanning.body = Body::Events(Framer::new()),
            _ => scanning.coded = Coded::Lost,
        }
        scanning.texts.lost(gap);
    }

    fn finish(self) -> Seen {
        match self.0 {
            Some(scanning) => scanning.finish(),
            None => Seen::nothing(Gap::Error),
        }
    }
}

impl Scanning {
    fn push(&mut self, chunk: &[u8]) {
        let decoded = match &mut self.coded {
            Coded::Plain => return self.text(chunk),
            Coded::Lost => return,
            Coded::By(decode) => decode.push(chunk),
        };
        match decoded {
            Ok(text) => self.text(&text),
            Err(gap) => {
                self.coded = Coded::Lost;
                self.texts.gap(gap);
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        if let Body::Undecided = self.body
            && let Some(body) = Body::new(text)
        {
            self.body = body;
        }
        let Scanning { guard, dialect, texts, body, .. } = self;
        let (before, after) = match body {
            Body::Undecided => return,
            Body::Events(framer) => {
                let before = framer.overflowed();
                framer.push(text, &mut |frame| texts.event(guard, *dialect, &frame.data()));
                (before, framer.overflowed())
            }
            Body::Json(documents) => {
                let before = documents.overflowed();
                documents.push(text, &mut |json| texts.event(guard, *dialect, json));
                (before, documents.overflowed())
            }
        };
        if after && !before {
            // What is too long is passed over.
            texts.gap(Gap::TooLarge);
        }
    }

    fn finish(mut self: Box<Self>) -> Seen {
        if let Coded::By(decode) = std::mem::replace(&mut self.coded, Coded::Lost) {
            match decode.finish() {
                Ok(text) => self.text(&text),
                Err(gap) => self.texts.gap(gap),
            }
        }
        let Scanning { guard, organization, dialect, body, mut texts, .. } = *self;
        if let Body::Events(framer) = body {
            framer.finish(&mut |frame| texts.event(&guard, dialect, &frame.data()));
        }
        texts.finish(&guard, &organization)
    }
}

/// The texts of a stream.
struct Texts {
    kept: Kept,
    blocks: BTreeMap<Block, Reading>,
    /// Of the event that came last.
    said: Said,
    walk: Walk,
    scratch: Scratch,
    notes: Notes,
    scanned: usize,
    coverage: Coverage,
    /// Whether the event that comes next may be half of one.
    after_gap: bool,
}

enum Reading {
    Words(StreamScanner),
    /// JSON that comes in pieces: it is read when it is whole.
    Arguments(String),
}

/// The pieces of text of one event.
#[derive(Default)]
struct Said {
    text: String,
    /// Where in it each piece ends.
    ends: Vec<usize>,
}

impl Said {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push(self.text.len());
    }

    fn has(&self, text: &str) -> bool {
        let mut start = 0;
        self.ends.iter().any(|end| self.text.get(std::mem::replace(&mut start, *end)..*end) == Some(text))
    }
}

/// What was found.
struct Notes {
    key: Key,
    found: Vec<Found>,
    prints: Vec<u64>,
    /// What was found in whole events, which may say again what their pieces said before.
    beside: Vec<(Found, u64)>,
    more: bool,
}

impl Notes {
    fn take(&mut self, guard: &Guard, found: Found, value: &str) {
        let Some(label) = guard.label(found.rule) else { return };
        if self.found.len() >= FOUND_MAX {
            self.more = true;
            return;
        }
        self.prints.push(self.key.fingerprint(&label.entity, value));
        self.found.push(found);
    }

    /// A finding in a whole event; one of each value is enough.
    fn aside(&mut self, guard: &Guard, found: Found, value: &str) {
        let Some(label) = guard.label(found.rule) else { return };
        let print = self.key.fingerprint(&label.entity, value);
        if self.beside.iter().any(|(known, theirs)| known.rule == found.rule && *theirs == print) {
            return;
        }
        match self.beside.len() < BESIDE_MAX {
            true => self.beside.push((found, print)),
            false => self.more = true,
        }
    }

    /// Adds what stands in whole events and in no text that came in pieces.
    fn add_beside(&mut self) {
        for (found, print) in std::mem::take(&mut self.beside) {
            let mut known = self.found.iter().zip(&self.prints);
            if !known.any(|(old, theirs)| old.rule == found.rule && *theirs == print) {
                self.found.push(found);
                self.prints.push(print);
            }
        }
    }

    /// A finding in a text, and the part of it that is held from `offset` on.
    fn hit(&mut self, guard: &Guard, block: Block, hit: &Hit, held: &str, offset: usize) {
        let value =
            hit.range.start.checked_sub(offset).and_then(|start| held.get(start..hit.range.end - offset));
        let found = Found {
            rule: hit.rule,
            score: hit.score,
            raw: hit.range.clone(),
            levels: 0,
            spot: Spot::Value,
            provenance: speaker(block),
            path: block.to_string().into(),
        };
        self.take(guard, found, value.unwrap_or_default());
    }
}

impl Texts {
    fn new(key: Key) -> Texts {
        Texts {
            kept: Kept::default(),
            blocks: BTreeMap::new(),
            said: Said::default(),
            walk: Walk::default(),
            scratch: Scratch::default(),
            notes: Notes { key, found: Vec::new(), prints: Vec::new(), beside: Vec::new(), more: false },
            scanned: 0,
            coverage: Coverage::Full,
            after_gap: false,
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.coverage = self.coverage.and(Coverage::Partial(gap));
    }

    fn lost(&mut self, gap: Gap) {
        self.gap(gap);
        self.after_gap = true;
    }

    fn event(&mut self, guard: &Guard, dialect: Dialect, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.said.clear();
        let is_readable = deltas(dialect, data, &mut |block, text| {
            self.said.push(text);
            self.text(guard, block, text);
        });
        if !is_readable && !self.after_gap {
            self.gap(Gap::Undecodable);
        }
        self.after_gap = false;
        let in_pieces = self.said.text.len();
        // Results of a provider's tools, citations and whole items come beside the pieces.
        let has_more = || BESIDE.iter().any(|word| word.find(data).is_some());
        if is_readable
            && (in_pieces == 0
                || data.len() > in_pieces + PIECE_EVENT_BYTES
                || has_more()
                || self.says_more(data))
        {
            self.whole(guard, data);
        }
    }

    /// Whether a text stands in an event beside its pieces.
    fn says_more(&mut self, data: &[u8]) -> bool {
        let Texts { said, walk, .. } = self;
        let Ok(text) = std::str::from_utf8(data) else { return false };
        if said.ends.len() > PIECES_COMPARED_MAX || json::walk(text, &TABLE, walk).is_err() {
            return true;
        }
        walk.texts.iter().any(|listed| {
            let raw = text.get(listed.raw.clone()).unwrap_or_default();
            let is_said = || match listed.escaped {
                true => serde_json::from_str::<String>(&format!("\"{raw}\"")).is_ok_and(|raw| said.has(&raw)),
                false => said.has(raw),
            };
            raw.len() >= BESIDE_BYTES_MIN && !LABELS.contains(&walk.name(text, listed)) && !is_said()
        })
    }

    fn whole(&mut self, guard: &Guard, data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Some(sight) = guard.search_once(text) else { return };
        self.scanned += sight.scanned;
        self.coverage = self.coverage.and(sight.coverage);
        for found in sight.found {
            let value = found.value(text);
            self.notes.aside(guard, found.clone(), &value);
        }
    }

    fn text(&mut self, guard: &Guard, block: Block, text: &str) {
        if self.blocks.len() >= BLOCKS_MAX && !self.blocks.contains_key(&block) {
            return self.gap(Gap::DepthCap);
        }
        self.kept.push(block, text);
        let reading = self.blocks.entry(block).or_insert_with(|| match block.kind {
            Kind::Arguments | Kind::Input | Kind::ToolResult => Reading::Arguments(String::new()),
            Kind::Text | Kind::Reasoning => Reading::Words(StreamScanner::new(speaker(block))),
        });
        match reading {
            Reading::Words(scanner) => {
                let notes = &mut self.notes;
                scanner.push(
                    &guard.engine,
                    text,
                    &mut self.scratch,
                    &mut |hit: &Hit, held: &str, offset: usize| {
                        notes.hit(guard, block, hit, held, offset);
                    },
                );
            }
            Reading::Arguments(held) if held.len() + text.len() <= ARGUMENTS_BYTES_MAX => held.push_str(text),
            Reading::Arguments(_) => self.gap(Gap::TooLarge),
        }
    }

    fn finish(mut self, guard: &Guard, organization: &str) -> Seen {
        for (block, reading) in std::mem::take(&mut self.blocks) {
            match reading {
                Reading::Words(scanner) => {
                    let notes = &mut self.notes;
                    let mut note =
                        |hit: &Hit, held: &str, offset: usize| notes.hit(guard, block, hit, held, offset);
                    let scanned = scanner.finish(&guard.engine, &mut self.scratch, &mut note);
                    self.scanned += scanned.bytes;
                    self.notes.more |= scanned.capped;
                }
                Reading::Arguments(text) => self.arguments(guard, organization, block, &text),
            }
        }
        self.notes.add_beside();
        if self.notes.more {
            self.gap(Gap::FindingsCap);
        }
        let Texts { kept, notes, scanned, coverage, .. } = self;
        let texts = kept.finish(coverage);
        Seen { sight: Sight { found: notes.found, scanned, coverage }, prints: notes.prints, texts }
    }

    fn arguments(&mut self, guard: &Guard, organization: &str, block: Block, text: &str) {
        let provenance = match block.kind {
            Kind::ToolResult => Provenance::ToolResult,
            Kind::Arguments | Kind::Input | Kind::Text | Kind::Reasoning => Provenance::ToolInput,
        };
        let sight = guard.search_here(organization, text.as_bytes(), Otherwise::Text(provenance));
        self.scanned += sight.scanned;
        self.coverage = self.coverage.and(sight.coverage);
        for mut found in sight.found {
            let value = found.value(text).into_owned();
            let inner = std::mem::take(&mut found.path);
            found.path = if inner.is_empty() { block.to_string() } else { format!("{block}/{inner}") }.into();
            found.provenance = provenance;
            self.notes.take(guard, found, &value);
        }
    }
}
