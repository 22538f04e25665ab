//! A JSON body, searched: every text in it, with memory of the parts that were searched before.

mod mask;
mod passage;

#[cfg(test)]
mod tests;

pub use mask::{Splice, compose, disjoint, splice};
pub use passage::{Passage, Passages, locate};

use crate::engine::{Engine, Scratch};
use crate::finding::{Class, Hit, Provenance, RuleIndex};
use crate::json::{self, Malformed, Spot, Table, Text, Unit, Walk};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Most findings of one body that are kept. The body is full of them; more would say nothing new.
pub const FOUND_MAX: usize = 10_000;

/// Longest value that is read with the name of its member before it, in bytes.
const NAMED_VALUE_BYTES_MAX: usize = 128;

/// Longest name of a member that is read before its value, in bytes: it must lie where words of context count.
const NAME_BYTES_MAX: usize = 32;

/// Something that was found in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which rule of the engine found it.
    pub rule: RuleIndex,
    /// How sure it is, 0 to 100.
    pub score: u8,
    /// Its bytes in the body: what a mask replaces.
    pub raw: Range<usize>,
    /// How often escapes are to be undone to read it: once in a string, twice in JSON within a string.
    pub levels: u8,
    /// What it stands in. Only in values can something be put in its place.
    pub spot: Spot,
    /// Who wrote it.
    pub provenance: Provenance,
    /// Where, as people write it. Holds nothing that could be found itself.
    pub path: Box<str>,
}

impl Found {
    /// Whether something can be put in its place.
    pub fn is_maskable(&self) -> bool {
        matches!(self.spot, Spot::Value | Spot::Json)
    }

    /// The value itself, as it reads. Not to be kept: evidence is made of it and it is let go.
    pub fn value<'a>(&self, body: &'a str) -> Cow<'a, str> {
        let mut value = Cow::Borrowed(body.get(self.raw.clone()).unwrap_or_default());
        for _ in 0..self.levels {
            if value.contains('\\') {
                let mut text = String::with_capacity(value.len());
                json::decode(&value, &mut text);
                value = Cow::Owned(text);
            }
        }
        value
    }
}

/// What a search of a body has brought to light.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What was found, in the order of the body.
    pub found: Vec<Found>,
    /// Bytes of text that were searched, or are known from before.
    pub scanned: usize,
    /// Of those, bytes that were known from before.
    pub remembered: usize,
    /// Bytes of media, ids and signatures, which are not searched.
    pub left_alone: usize,
    /// Whether there are more strings than are followed.
    pub more_texts: bool,
    /// Whether there was more to find than is kept.
    pub more_found: bool,
}

/// What is known of a part of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    found: Box<[Kept]>,
    scanned: usize,
    more: bool,
}

impl Known {
    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let paths: usize = self.found.iter().map(|kept| kept.inner.len()).sum();
        size_of::<Known>() + self.found.len() * size_of::<Kept>() + paths
    }
}

/// A finding, from the beginning of its part of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    /// The text it stands in, counted from the first of the part.
    text: usize,
    rule: RuleIndex,
    score: u8,
    raw: Range<usize>,
    levels: u8,
    spot: Spot,
    /// Where in the JSON of a string.
    inner: Box<str>,
}

/// Remembers parts of bodies. What is asked for and what is kept belongs to one organization and one engine's version;
/// whoever implements it sees to that.
pub trait Memory {
    /// What is known of a part: the name of the outermost member it stands in, and its bytes.
    fn recall(&self, name: &str, part: &str) -> Option<Arc<Known>>;
    /// Keeps what was learnt of a part.
    fn keep(&self, name: &str, part: &str, known: &Arc<Known>);
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Memory for Forgetful {
    fn recall(&self, _name: &str, _part: &str) -> Option<Arc<Known>> {
        None
    }

    fn keep(&self, _name: &str, _part: &str, _known: &Arc<Known>) {}
}

/// Memory that is used again from body to body; one for each thread that searches.
#[derive(Debug, Default)]
pub struct Room {
    walk: Walk,
    inner: Walk,
    scratch: Scratch,
    text: String,
    inner_text: String,
    named: String,
    hits: Vec<Hit>,
}

/// Searches a body.
///
/// # Errors
/// It is not JSON, so that its texts cannot be told apart.
pub fn search(
    engine: &Engine,
    body: &str,
    table: &Table,
    memory: &dyn Memory,
    room: &mut Room,
) -> Result<Report, Malformed> {
    let mut walk = std::mem::take(&mut room.walk);
    let walked = json::walk(body, table, &mut walk);
    let mut report = Report { left_alone: walk.left_alone, more_texts: walk.more, ..Report::default() };
    if walked.is_ok() {
        for unit in &walk.units {
            let (name, part) = (part(body, &unit.name), part(body, &unit.raw));
            let known = memory.recall(name, part).inspect(|known| report.remembered += known.scanned);
            let known = known.unwrap_or_else(|| {
                let known = Searching {
                    engine,
                    body,
                    walk: &walk,
                    unit,
                    room,
                    kept: Vec::new(),
                    scanned: 0,
                    more: false,
                }
                .run();
                let known = Arc::new(known);
                memory.keep(name, part, &known);
                known
            });
            report.take(body, &walk, unit, &known);
        }
    }
    room.walk = walk;
    walked.map(|()| report)
}

fn part<'a>(body: &'a str, range: &Range<usize>) -> &'a str {
    body.get(range.clone()).unwrap_or_default()
}

impl Report {
    fn take(&mut self, body: &str, walk: &Walk, unit: &Unit, known: &Known) {
        self.scanned += known.scanned;
        self.more_found |= known.more;
        for kept in &known.found {
            let Some(text) = walk.texts.get(unit.texts.start + kept.text) else { continue };
            if self.found.len() >= FOUND_MAX {
                self.more_found = true;
                return;
            }
            let mut path = walk.path(body, text);
            if !kept.inner.is_empty() {
                path.push('/');
                path.push_str(&kept.inner);
            }
            self.found.push(Found {
                rule: kept.rule,
                score: kept.score,
                raw: unit.raw.start + kept.raw.start..unit.raw.start + kept.raw.end,
                levels: kept.levels,
                spot: kept.spot,
                provenance: text.provenance.unwrap_or_default(),
                path: path.into(),
            });
        }
    }
}

/// Whether the name of a member can say what a value is. Most texts of a body are longer, or have no digit.
fn may_be_named(name: &str, read: &str) -> bool {
    (2..=NAME_BYTES_MAX).contains(&name.len())
        && read.len() <= NAMED_VALUE_BYTES_MAX
        && !matches!(name, "content" | "text" | "type" | "role" | "id" | "name" | "input" | "output")
        && read.bytes().any(|byte| byte.is_ascii_digit())
        && name.bytes().any(|byte| byte.is_ascii_alphabetic() || byte >= 0x80)
}

/// A name as people write its words: `taxId` and `tax_id` are `tax Id` and `tax id`. The name itself stands before it.
fn spell(name: &str, out: &mut String) {
    out.push_str(name);
    out.push(' ');
    let mut before = ' ';
    for c in name.chars() {
        match c {
            '_' | '-' | '.' => out.push(' '),
            c if c.is_ascii_uppercase() && before.is_ascii_lowercase() => out.extend([' ', c]),
            c => out.push(c),
        }
        before = c;
    }
}

/// One part of a body that is not known.
struct Searching<'a> {
    engine: &'a Engine,
    body: &'a str,
    walk: &'a Walk,
    unit: &'a Unit,
    room: &'a mut Room,
    kept: Vec<Kept>,
    scanned: usize,
    more: bool,
}

impl Searching<'_> {
    fn run(mut self) -> Known {
        let texts = self.walk.texts.get(self.unit.texts.clone()).unwrap_or_default();
        for (at, text) in texts.iter().enumerate() {
            let mut decoded = std::mem::take(&mut self.room.text);
            let raw = part(self.body, &text.raw);
            let read = if text.escaped {
                decoded.clear();
                json::decode(raw, &mut decoded);
                &*decoded
            } else {
                raw
            };
            if text.spot != Spot::Json || !self.json(at, text, read) {
                self.text(at, text, read);
            }
            self.room.text = decoded;
        }
        Known { found: self.kept.into(), scanned: self.scanned, more: self.more }
    }

    /// A text: it is searched as it reads.
    fn text(&mut self, at: usize, text: &Text, read: &str) {
        let name = self.walk.name(self.body, text);
        let mut hits = self.scan(text.provenance, name, read);
        let spot = if text.spot == Spot::Json { Spot::Value } else { text.spot };
        for hit in hits.drain(..) {
            let mut ends = [hit.range.start, hit.range.end];
            if text.escaped {
                json::locate(part(self.body, &text.raw), &mut ends);
            }
            self.keep(
                text,
                Kept {
                    text: at,
                    rule: hit.rule,
                    score: hit.score,
                    raw: ends[0]..ends[1],
                    levels: 1,
                    spot,
                    inner: Box::default(),
                },
            );
        }
        self.room.hits = hits;
    }

    /// JSON within a string: its own strings are searched. Says whether it is JSON.
    fn json(&mut self, at: usize, text: &Text, read: &str) -> bool {
        if !read.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let mut inner = std::mem::take(&mut self.room.inner);
        let is_json = json::walk(read, &Table::everything(), &mut inner).is_ok();
        if is_json {
            self.more |= inner.more;
            for nested in &inner.texts {
                self.nested(at, text, read, &inner, nested);
            }
        }
        self.room.inner = inner;
        is_json
    }

    fn nested(&mut self, at: usize, text: &Text, read: &str, inner: &Walk, nested: &Text) {
        let raw = part(read, &nested.raw);
        let mut decoded = std::mem::take(&mut self.room.inner_text);
        let innermost = if nested.escaped {
            decoded.clear();
            json::decode(raw, &mut decoded);
            &*decoded
        } else {
            raw
        };
        let mut hits = self.scan(text.provenance, inner.name(read, nested), innermost);
        for hit in hits.drain(..) {
            let mut ends = [hit.range.start, hit.range.end];
            if nested.escaped {
                json::locate(raw, &mut ends);
            }
            ends = ends.map(|end| end + nested.raw.start);
            if text.escaped {
                json::locate(part(self.body, &text.raw), &mut ends);
            }
            let path = inner.path(read, nested).into();
            let raw = ends[0]..ends[1];
            let spot = nested.spot;
            self.keep(
                text,
                Kept { text: at, rule: hit.rule, score: hit.score, raw, levels: 2, spot, inner: path },
            );
        }
        self.room.hits = hits;
        self.room.inner_text = decoded;
    }

    fn scan(&mut self, provenance: Option<Provenance>, name: &str, read: &str) -> Vec<Hit> {
        let mut hits = std::mem::take(&mut self.room.hits);
        hits.clear();
        let provenance = provenance.unwrap_or_default();
        let seen = self.engine.scan(read, provenance, &mut self.room.scratch, &mut hits);
        self.scanned += seen.bytes;
        self.more |= seen.capped;
        if may_be_named(name, read) {
            self.scan_named(provenance, name, read, &mut hits);
        }
        hits
    }

    /// Adds personal data that only the name of its member says to be such: `{"passport_number": "…"}`.
    fn scan_named(&mut self, provenance: Provenance, name: &str, read: &str, hits: &mut Vec<Hit>) {
        let known = hits.len();
        let mut named = std::mem::take(&mut self.room.named);
        named.clear();
        spell(name, &mut named);
        named.push_str(": ");
        let from = named.len();
        named.push_str(read);
        self.engine.scan(&named, provenance, &mut self.room.scratch, hits);
        let more: Vec<Hit> = hits
            .drain(known..)
            .filter(|hit| hit.range.start >= from && self.is_personal(hit))
            .map(|hit| Hit { range: hit.range.start - from..hit.range.end - from, ..hit })
            .collect();
        for hit in more {
            // With its name it is surer, and may be more than it seemed without.
            let within = |old: &Hit| old.range.start >= hit.range.start && old.range.end <= hit.range.end;
            hits.retain(|old| !(within(old) && self.is_personal(old)));
            let covered = |old: &Hit| old.range.start <= hit.range.start && old.range.end >= hit.range.end;
            if !hits.iter().any(|old| covered(old) && self.is_personal(old)) {
                hits.push(hit);
            }
        }
        hits.sort_by_key(|hit| (hit.range.start, hit.range.end));
        self.room.named = named;
    }

    fn is_personal(&self, hit: &Hit) -> bool {
        self.engine.rule(hit.rule).is_some_and(|rule| rule.class == Class::Pii)
    }

    fn keep(&mut self, text: &Text, mut kept: Kept) {
        if self.kept.len() >= FOUND_MAX {
            self.more = true;
            return;
        }
        let start = text.raw.start - self.unit.raw.start;
        kept.raw = start + kept.raw.start..start + kept.raw.end;
        self.kept.push(kept);
    }
}
