//! A JSON body, searched: every text in it, with memory of the parts that were searched before.

mod known;
mod mask;
mod passage;

#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod tests;

pub use known::{Forgetful, Known, Memory, REMEMBERED_BYTES_MIN};
pub use mask::{Splice, compose, disjoint, splice};
pub use passage::{Passage, Passages, locate};

use crate::engine::{Engine, Scratch};
use crate::finding::{Class, Hit, Provenance, RuleIndex};
use crate::json::{self, LeftAlone, Malformed, Spot, Table, Text, Unit, Walk};
use known::{Kept, Recalled, Recalling};
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
        self.read(body, self.raw.clone())
    }

    /// As [`value`](Found::value), of another range in the same string.
    pub fn read<'a>(&self, body: &'a str, raw: Range<usize>) -> Cow<'a, str> {
        let mut value = Cow::Borrowed(body.get(raw).unwrap_or_default());
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
    /// Bytes of the body that were not even read as JSON, being known from before.
    pub passed_over: usize,
    /// Media, ids and signatures, which are not searched.
    pub left_alone: LeftAlone,
    /// Whether there are more strings than are followed.
    pub more_texts: bool,
    /// Whether there was more to find than is kept.
    pub more_found: bool,
}

/// Memory that is used again from body to body; one for each thread that searches.
#[derive(Debug, Default)]
pub struct Room {
    walk: Walk,
    recalled: Recalled,
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
    let mut recalling = Recalling::new(memory, std::mem::take(&mut room.recalled));
    let mut walked = json::walk_new(body, table, &mut recalling, &mut walk);
    // Who wrote its parts stands beside them: what they say elsewhere is not what they say here.
    let is_apart = walked.is_ok() && walk.told.is_some();
    if is_apart {
        recalling = Recalling::new(&Forgetful, recalling.done());
        walked = json::walk_new(body, table, &mut recalling, &mut walk);
    }
    let mut report = Report { left_alone: walk.left_alone, more_texts: walk.more, ..Report::default() };
    if walked.is_ok() {
        recalling.forget_if(walk.more);
        for (at, unit) in walk.units.iter().enumerate() {
            let known = recalling.known(at).inspect(|known| report.remembered += known.scanned);
            let known = known.unwrap_or_else(|| {
                let known = Arc::new(Searching::new(engine, body, &walk, unit, room).run());
                recalling.learn(body, at, unit, &known);
                known
            });
            recalling.link(body, at, unit);
            report.take(body, unit, &known);
        }
    }
    room.recalled = recalling.done();
    room.walk = walk;
    walked.map(|()| report)
}

fn part<'a>(body: &'a str, range: &Range<usize>) -> &'a str {
    body.get(range.clone()).unwrap_or_default()
}

impl Report {
    fn take(&mut self, body: &str, unit: &Unit, known: &Known) {
        self.scanned += known.scanned;
        self.more_found |= known.more;
        if unit.passed {
            self.left_alone.add(known.left_alone);
            self.passed_over += unit.raw.len();
        }
        for kept in &known.found {
            if self.found.len() >= FOUND_MAX {
                self.more_found = true;
                return;
            }
            self.found.push(Found {
                rule: kept.rule,
                score: kept.score,
                raw: unit.raw.start + kept.raw.start..unit.raw.start + kept.raw.end,
                levels: kept.levels,
                spot: kept.spot,
                provenance: kept.provenance,
                path: kept.path.of(body, unit),
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

/// Where findings stand in the text that they were found in.
fn ranges(hits: &[Hit]) -> Vec<[usize; 2]> {
    hits.iter().map(|hit| [hit.range.start, hit.range.end]).collect()
}

/// Where something was found already: starts in rising order, each with the furthest end up to it.
#[derive(Default)]
struct KnownPlaces(Vec<(usize, usize)>);

impl KnownPlaces {
    fn of(kept: &[Kept]) -> KnownPlaces {
        let mut places: Vec<(usize, usize)> =
            kept.iter().map(|kept| (kept.raw.start, kept.raw.end)).collect();
        places.sort_unstable();
        let mut furthest = 0;
        for (_, end) in &mut places {
            furthest = furthest.max(*end);
            *end = furthest;
        }
        KnownPlaces(places)
    }

    /// Whether a range is within one of them, or within several that overlap.
    fn covers(&self, [start, end]: [usize; 2]) -> bool {
        let before = self.0.partition_point(|(other, _)| *other <= start);
        before.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, furthest)| *furthest >= end)
    }
}

/// What was found in JSON within a string: each with the index of its text, and where it stands in the string as it reads.
#[derive(Default)]
struct Nested {
    hits: Vec<(usize, Hit)>,
    ranges: Vec<[usize; 2]>,
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

impl<'a> Searching<'a> {
    fn new(
        engine: &'a Engine,
        body: &'a str,
        walk: &'a Walk,
        unit: &'a Unit,
        room: &'a mut Room,
    ) -> Searching<'a> {
        Searching { engine, body, walk, unit, room, kept: Vec::new(), scanned: 0, more: false }
    }

    fn run(mut self) -> Known {
        let texts = self.walk.texts.get(self.unit.texts.clone()).unwrap_or_default();
        for text in texts {
            let mut decoded = std::mem::take(&mut self.room.text);
            let raw = part(self.body, &text.raw);
            let read = if text.escaped {
                decoded.clear();
                json::decode(raw, &mut decoded);
                &*decoded
            } else {
                raw
            };
            if text.spot != Spot::Json || !self.json(text, read, None) {
                let before = self.kept.len();
                self.text(text, read);
                // Text of a tool or a person may be JSON as well, and its escapes hide what they stand for.
                if text.spot == Spot::Value && read.contains('\\') {
                    let known = KnownPlaces::of(self.kept.get(before..).unwrap_or_default());
                    self.json(text, read, Some(known));
                }
            }
            self.room.text = decoded;
        }
        Known::new(self.kept, self.scanned, self.unit.left_alone, self.more)
    }

    /// A text: it is searched as it reads.
    fn text(&mut self, text: &Text, read: &str) {
        let name = self.walk.name(self.body, text);
        let mut hits = self.scan(text.provenance, name, read);
        let spot = if text.spot == Spot::Json { Spot::Value } else { text.spot };
        let mut ranges = ranges(&hits);
        if text.escaped && !hits.is_empty() {
            json::locate_ranges(part(self.body, &text.raw), &mut ranges);
        }
        for (hit, ends) in hits.drain(..).zip(ranges) {
            self.keep(text, &hit, ends, 1, spot, "");
        }
        self.room.hits = hits;
    }

    /// JSON within a string: its own strings are searched; of a text that was searched as it reads, with what is `known` of
    /// it, those with escapes. Says whether it is JSON.
    fn json(&mut self, text: &Text, read: &str, known: Option<KnownPlaces>) -> bool {
        if !read.trim_start().starts_with(['{', '[']) {
            return false;
        }
        let mut inner = std::mem::take(&mut self.room.inner);
        let is_json = json::walk(read, &Table::everything(), &mut inner).is_ok();
        if is_json {
            self.more |= inner.more;
            let mut nested = Nested::default();
            for (place, one) in inner.texts.iter().enumerate() {
                if one.escaped || known.is_none() {
                    self.nested(text, read, (&inner, place), &mut nested);
                }
            }
            self.keep_nested((text, read), &inner, nested, &known.unwrap_or_default());
        }
        self.room.inner = inner;
        is_json
    }

    /// Searches one text of JSON within a string. Where its findings stand in that string is noted.
    fn nested(&mut self, text: &Text, read: &str, (inner, at): (&Walk, usize), found: &mut Nested) {
        let Some(nested) = inner.texts.get(at) else { return };
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
        let room = FOUND_MAX.saturating_sub(found.hits.len());
        self.more |= hits.len() > room;
        hits.truncate(room);
        let mut ranges = ranges(&hits);
        if nested.escaped && !hits.is_empty() {
            json::locate_ranges(raw, &mut ranges);
        }
        found.ranges.extend(ranges.iter().map(|ends| ends.map(|end| end + nested.raw.start)));
        found.hits.extend(hits.drain(..).map(|hit| (at, hit)));
        self.room.hits = hits;
        self.room.inner_text = decoded;
    }

    /// Keeps what was found in JSON within a string, once all of it is known: so the string is read once for their places.
    fn keep_nested(&mut self, (text, read): (&Text, &str), inner: &Walk, found: Nested, known: &KnownPlaces) {
        let Nested { hits, mut ranges } = found;
        if text.escaped && !hits.is_empty() {
            json::locate_ranges(part(self.body, &text.raw), &mut ranges);
        }
        let start = text.raw.start - self.unit.raw.start;
        for ((at, hit), ends) in hits.into_iter().zip(ranges) {
            let Some(nested) = inner.texts.get(at) else { continue };
            if known.covers(ends.map(|end| start + end)) {
                continue;
            }
            self.keep(text, &hit, ends, 2, nested.spot, &inner.path(read, nested));
        }
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

    /// Keeps a finding at `ends` of a text; `inner` is where it stands in the text's JSON.
    fn keep(&mut self, text: &Text, hit: &Hit, ends: [usize; 2], levels: u8, spot: Spot, inner: &str) {
        if self.kept.len() >= FOUND_MAX {
            self.more = true;
            return;
        }
        let mut path = self.walk.path(self.body, text);
        if !inner.is_empty() {
            path.push('/');
            path.push_str(inner);
        }
        let start = text.raw.start - self.unit.raw.start;
        self.kept.push(Kept {
            rule: hit.rule,
            score: hit.score,
            raw: start + ends[0]..start + ends[1],
            levels,
            spot,
            provenance: text.provenance.unwrap_or_default(),
            path: known::Path::new(&path, self.body, self.unit),
        });
    }
}
