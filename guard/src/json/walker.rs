//! One pass over a body.

use super::decode::decode;
use super::recall::{Beginning, Nothing, Recall};
use super::table::{Meaning, Table};
use super::walk::{
    DEPTH_MAX, LeftAlone, Malformed, Node, STRINGS_MAX, Spot, Step, Text, Unit, Walk, may_hold_something,
};
use crate::finding::Provenance;
use memchr::memchr2;
use std::borrow::Cow;
use std::ops::Range;
use wide::u8x16;

/// Shorter strings hold nothing that could be found, in raw bytes.
pub const TEXT_BYTES_MIN: usize = 2;

/// Shorter numbers hold nothing that could be found, in bytes.
const NUMBER_BYTES_MIN: usize = 9;

/// Digits of a time in seconds since 1970, from 2001 to 2033.
const TIME_BYTES: usize = 10;

/// How much of a string is looked at before a search pays, in bytes.
const NEAR: usize = 16;

/// A list or object that is open.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    node: u32,
    /// Whether it is a list, and how far.
    index: Option<usize>,
    /// The name of the member it is the value of, or that its list is.
    name: Range<usize>,
    /// How many strings there were before it.
    first: usize,
    /// What a member of it said about who wrote it.
    told: Option<Provenance>,
    /// What is known to hold to the last leaf.
    reign: Reign,
    /// The meaning of the member whose value this list is, or stands in.
    meaning: Option<Meaning>,
}

/// What holds to the last leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reign {
    /// The table.
    Table(Option<Provenance>),
    /// Free data.
    Data(Provenance),
    /// Nothing is looked at.
    Sealed,
}

/// Lists the strings of `body` that may carry text.
///
/// # Errors
/// The place where it is no JSON. Within strings only what matters for finding their end is checked.
pub fn walk(body: &str, table: &Table, out: &mut Walk) -> Result<(), Malformed> {
    walk_new(body, table, &mut Nothing, out)
}

/// As [`walk`], but passes over the units that `recall` knows: they are listed, and their strings are not.
///
/// # Errors
/// As [`walk`].
pub fn walk_new<R: Recall>(
    body: &str,
    table: &Table,
    recall: &mut R,
    out: &mut Walk,
) -> Result<(), Malformed> {
    out.texts.clear();
    out.units.clear();
    out.nodes.clear();
    out.stack.clear();
    (out.more, out.left_alone, out.told) = (false, LeftAlone::default(), None);
    Walker {
        body,
        bytes: body.as_bytes(),
        at: 0,
        table,
        recall,
        out,
        meaning: None,
        name: 0..0,
        root_name: 0..0,
        mark: 0,
        left_alone: LeftAlone::default(),
        value: None,
    }
    .run()
}

struct Walker<'a, R> {
    body: &'a str,
    bytes: &'a [u8],
    at: usize,
    table: &'a Table,
    recall: &'a mut R,
    out: &'a mut Walk,
    /// Of the member whose value comes next.
    meaning: Option<Meaning>,
    /// The name of that member.
    name: Range<usize>,
    /// The name of the outermost object's member that the walk is in.
    root_name: Range<usize>,
    /// Where the last unit ended.
    mark: usize,
    /// What had been left alone by then.
    left_alone: LeftAlone,
    /// Where the value of the unit began that the walk is in, if it is a string or an object.
    value: Option<usize>,
}

impl<R: Recall> Walker<'_, R> {
    fn run(mut self) -> Result<(), Malformed> {
        self.blank();
        loop {
            let is_whole = match self.bytes.get(self.at) {
                Some(b'"' | b'{') if self.pass_over() => true,
                Some(b'"') => self.value()?,
                Some(b'{' | b'[') => self.open()?,
                Some(b'-' | b'0'..=b'9') => self.number(),
                Some(b't' | b'f' | b'n') => self.word()?,
                _ => return Err(self.malformed()),
            };
            if is_whole && self.is_over()? {
                return Ok(());
            }
        }
    }

    /// The meaning of the value that comes next.
    fn meaning(&self) -> Option<Meaning> {
        match self.out.stack.last() {
            None => None,
            Some(frame) if frame.index.is_some() => frame.meaning,
            Some(_) => self.meaning,
        }
    }

    fn malformed(&self) -> Malformed {
        Malformed { at: self.at, too_deep: false }
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// Goes on behind a value: to the next, if it is not over.
    fn is_over(&mut self) -> Result<bool, Malformed> {
        loop {
            self.end_unit();
            self.blank();
            let byte = self.bytes.get(self.at).copied();
            let Some(frame) = self.out.stack.last_mut() else {
                return if byte.is_none() { Ok(true) } else { Err(self.malformed()) };
            };
            match (byte, &mut frame.index) {
                (Some(b','), index) => {
                    self.at += 1;
                    match index {
                        Some(index) => *index += 1,
                        None => {
                            self.blank();
                            self.member()?;
                        }
                    }
                    self.blank();
                    return Ok(false);
                }
                (Some(b'}'), None) | (Some(b']'), Some(_)) => {
                    self.at += 1;
                    self.close();
                }
                _ => return Err(self.malformed()),
            }
        }
    }

    /// Opens a list or object; whether it is empty, and so whole.
    fn open(&mut self) -> Result<bool, Malformed> {
        if self.out.stack.len() >= DEPTH_MAX {
            return Err(Malformed { at: self.at, too_deep: true });
        }
        let is_list = self.bytes.get(self.at) == Some(&b'[');
        let (parent, step) = self.step();
        let node = u32::try_from(self.out.nodes.len()).unwrap_or(u32::MAX);
        self.out.nodes.push(Node { parent, step });
        let (reign, name) = match self.out.stack.last() {
            None => (Reign::Table(None), 0..0),
            Some(frame) if frame.index.is_some() => (frame.reign, frame.name.clone()),
            Some(frame) => (reign(frame.reign, self.meaning), self.name.clone()),
        };
        let first = self.out.texts.len();
        let meaning = self.meaning().filter(|_| is_list);
        self.out.stack.push(Frame {
            meaning,
            node,
            index: is_list.then_some(0),
            name,
            first,
            told: None,
            reign,
        });
        self.at += 1;
        self.blank();
        let end = if is_list { b']' } else { b'}' };
        if self.bytes.get(self.at) == Some(&end) {
            self.at += 1;
            self.close();
            return Ok(true);
        }
        if !is_list {
            self.member()?;
            self.blank();
        }
        Ok(false)
    }

    fn close(&mut self) {
        let Some(frame) = self.out.stack.pop() else { return };
        // The outermost list or object, or a list of units in it, speaks for units that do not say it themselves.
        if self.out.stack.is_empty() || frame.index.is_some() && self.out.stack.len() == 1 {
            self.out.told = self.out.told.or(frame.told);
        }
        // Whoever is nearest to a text says who wrote it; that one was closed before.
        if let Some(told) = frame.told {
            for text in self.out.texts.get_mut(frame.first..).unwrap_or_default() {
                text.provenance.get_or_insert(told);
            }
        }
    }

    /// Reads the name of a member, and the colon.
    fn member(&mut self) -> Result<(), Malformed> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.malformed());
        }
        let (raw, escaped) = self.string()?;
        self.blank();
        if self.bytes.get(self.at) != Some(&b':') {
            return Err(self.malformed());
        }
        self.at += 1;
        let Some(frame) = self.out.stack.last() else { return Err(self.malformed()) };
        let depth = self.out.stack.len();
        let is_root = depth == 1;
        let is_data = matches!(frame.reign, Reign::Data(_));
        self.name = raw.clone();
        if is_root {
            self.root_name = raw.clone();
        }
        self.meaning = None;
        if !is_data {
            let parent = self.bytes.get(frame.name.clone()).unwrap_or_default();
            let name = unescaped(self.body, &raw, escaped);
            self.meaning = self.table.meaning(name.as_bytes(), parent, depth);
        }
        let is_free = self.meaning.is_none() && frame.reign != Reign::Sealed;
        if is_free && may_hold_something(self.bytes.get(raw.clone()).unwrap_or_default()) {
            self.list(raw, escaped, Spot::Name, None);
        }
        Ok(())
    }

    /// A string value.
    fn value(&mut self) -> Result<bool, Malformed> {
        let (raw, escaped) = self.string()?;
        let reign = self.out.stack.last().map_or(Reign::Table(None), |frame| frame.reign);
        let meaning = self.meaning();
        let provenance = match (reign, meaning) {
            (Reign::Sealed, _) | (_, Some(Meaning::Opaque | Meaning::Sealed)) => {
                self.out.left_alone.bytes += raw.len();
                return Ok(true);
            }
            (Reign::Data(by), _) => Some(by),
            (Reign::Table(_), Some(Meaning::Tells(words))) => {
                self.tell(words, &raw, escaped);
                self.out.left_alone.bytes += raw.len();
                return Ok(true);
            }
            (Reign::Table(_), Some(Meaning::By(by) | Meaning::Data(by))) => Some(by),
            (Reign::Table(by), _) => by,
        };
        let bytes = self.bytes.get(raw.clone()).unwrap_or_default();
        let is_long = bytes.len() >= MEDIA_BYTES_MIN;
        if is_media(bytes) || meaning == Some(Meaning::Media) && is_long && is_base64(bytes) {
            self.out.left_alone.add(LeftAlone { bytes: raw.len(), unseen: raw.len() });
            return Ok(true);
        }
        let spot = match meaning {
            Some(Meaning::Json) => Spot::Json,
            Some(Meaning::Signed) => Spot::Name,
            _ => Spot::Value,
        };
        let provenance = if spot == Spot::Json { Some(Provenance::ToolInput) } else { provenance };
        if raw.len() >= TEXT_BYTES_MIN {
            self.list(raw, escaped, spot, provenance);
        }
        Ok(true)
    }

    /// Takes what a word says about who wrote the texts beside it.
    fn tell(&mut self, words: &[(&'static str, Provenance)], raw: &Range<usize>, escaped: bool) {
        let word = unescaped(self.body, raw, escaped);
        let told = words.iter().find(|(known, _)| *known == word).map(|(_, told)| *told);
        if let (Some(told), Some(frame)) = (told, self.out.stack.last_mut()) {
            frame.told = Some(told);
        }
    }

    fn number(&mut self) -> bool {
        let start = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        let sealed = self.out.stack.last().is_some_and(|frame| frame.reign == Reign::Sealed);
        let is_long = self.at - start >= NUMBER_BYTES_MIN;
        let is_known = matches!(self.meaning(), Some(Meaning::Opaque | Meaning::Sealed | Meaning::Tells(_)));
        if is_long && !is_known && !sealed && !self.is_time(start..self.at) {
            self.list(start..self.at, false, Spot::Number, None);
        } else if self.is_token() {
            let bytes = self.at - start;
            self.out.left_alone.add(LeftAlone { bytes, unseen: bytes });
        }
        true
    }

    /// Whether a number may be a token of a text that was encoded before it was sent (`input` of embeddings, `prompt` of text
    /// completions): lists of them are texts that nobody here can read.
    fn is_token(&self) -> bool {
        self.out.stack.len() > 1
            && self.out.stack.last().is_some_and(|frame| frame.index.is_some())
            && matches!(self.bytes.get(self.root_name.clone()), Some(b"input" | b"prompt"))
    }

    /// Whether a number is a time and nothing else: every answer of some dialects has one. Its name says so, and it has the
    /// ten digits of seconds since 1970 in our years; no number of a person or a card that we look for looks so.
    fn is_time(&self, number: Range<usize>) -> bool {
        let digits = self.bytes.get(number).unwrap_or_default();
        let name = self.bytes.get(self.name.clone()).unwrap_or_default();
        let in_object = self.out.stack.last().is_some_and(|frame| frame.index.is_none());
        in_object
            && (name == b"created" || name.ends_with(b"_at"))
            && digits.len() == TIME_BYTES
            && digits.first() == Some(&b'1')
            && digits.iter().all(u8::is_ascii_digit)
    }

    fn word(&mut self) -> Result<bool, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word.as_bytes()));
        let Some(word) = word else { return Err(self.malformed()) };
        self.at += word.len();
        Ok(true)
    }

    /// Reads a string; its bytes without quotes, and whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<(Range<usize>, bool), Malformed> {
        let start = self.at + 1;
        // Most names and many values end soon.
        if let Some(near) = self.bytes.get(start..).and_then(|rest| rest.first_chunk::<NEAR>()) {
            let near = u8x16::new(*near);
            let stops = near.simd_eq(u8x16::splat(b'"')) | near.simd_eq(u8x16::splat(b'\\'));
            let at = start + stops.to_bitmask().trailing_zeros() as usize;
            if self.bytes.get(at) == Some(&b'"') && at < start + NEAR {
                self.at = at + 1;
                return Ok((start..at, false));
            }
        }
        self.long_string(start)
    }

    /// Reads a string from behind its quote on.
    fn long_string(&mut self, start: usize) -> Result<(Range<usize>, bool), Malformed> {
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else { return Err(self.malformed()) };
            at += found;
            if self.bytes.get(at) == Some(&b'"') {
                self.at = at + 1;
                return Ok((start..at, escaped));
            }
            escaped = true;
            at += 2;
        }
    }

    /// Where the value stands that comes next.
    fn step(&self) -> (u32, Step) {
        match self.out.stack.last() {
            None => (u32::MAX, Step::Outermost),
            Some(Frame { node, index: Some(index), .. }) => (*node, Step::Index(*index)),
            Some(frame) => (frame.node, Step::Name { start: self.name.start, end: self.name.end }),
        }
    }

    fn list(&mut self, raw: Range<usize>, escaped: bool, spot: Spot, provenance: Option<Provenance>) {
        if self.out.texts.len() >= STRINGS_MAX {
            self.out.more = true;
            return;
        }
        let (parent, step) = self.step();
        self.out.texts.push(Text { raw, escaped, spot, provenance, parent, step });
    }

    /// Where the walk is among the units: which member of the outermost object, and which element of its list.
    fn place(&self) -> Option<(Range<usize>, Option<usize>)> {
        match self.out.stack.as_slice() {
            [] => Some((0..0, None)),
            [root] if root.index.is_some() => Some((0..0, root.index)),
            [_] => Some((self.root_name.clone(), None)),
            [root, list] if root.index.is_none() && list.index.is_some() => {
                Some((self.root_name.clone(), list.index))
            }
            _ => None,
        }
    }

    /// Whether a unit at `index` follows the last one in its list.
    fn follows(&self, index: Option<usize>) -> bool {
        let last = self.out.units.last();
        index.is_some_and(|index| index > 0) && last.is_some_and(|unit| unit.raw.end == self.mark)
    }

    /// Ends a unit if what just ended is one. Units lie next to each other; what stands between two of them, such as the
    /// name of a member, goes with the one that follows.
    fn end_unit(&mut self) {
        let Some((name, index)) = self.place() else { return };
        let first = self.out.units.last().map_or(0, |unit| unit.texts.end);
        if first < self.out.texts.len() {
            let unit = Unit {
                raw: self.mark..self.at,
                name,
                index,
                value: self.value,
                texts: first..self.out.texts.len(),
                left_alone: self.out.left_alone.since(self.left_alone),
                follows: self.follows(index),
                passed: false,
            };
            self.recall.walked(self.body, &unit);
            self.out.units.push(unit);
        }
        self.mark = self.at;
        self.left_alone = self.out.left_alone;
        self.value = None;
    }

    /// Passes over the unit whose value begins here, if it is known: from the same place in the grammar, the same bytes
    /// are read the same way. Only values that end by themselves are units that are known.
    fn pass_over(&mut self) -> bool {
        if R::KNOWS_NOTHING || self.out.stack.is_empty() || self.out.stack.len() > 2 {
            return false;
        }
        let Some((name, index)) = self.place() else { return false };
        self.value = Some(self.at);
        let texts = self.out.units.last().map_or(0, |unit| unit.texts.end);
        if texts < self.out.texts.len() {
            return false;
        }
        let follows = self.follows(index);
        let begins = Beginning { name: name.clone(), mark: self.mark, value: self.at, follows };
        let Some(end) = self.recall.pass_over(self.body, &begins) else { return false };
        self.out.units.push(Unit {
            raw: self.mark..end,
            name,
            index,
            value: self.value.take(),
            texts: texts..texts,
            left_alone: LeftAlone::default(),
            follows,
            passed: true,
        });
        (self.at, self.mark) = (end, end);
        true
    }
}

/// What holds within the value of a member.
fn reign(around: Reign, meaning: Option<Meaning>) -> Reign {
    match (around, meaning) {
        (Reign::Table(_), Some(Meaning::Sealed)) => Reign::Sealed,
        (Reign::Table(_), Some(Meaning::Data(by))) => Reign::Data(by),
        (Reign::Table(_), Some(Meaning::By(by))) => Reign::Table(Some(by)),
        (around, _) => around,
    }
}

/// The name or word itself.
fn unescaped<'a>(body: &'a str, raw: &Range<usize>, escaped: bool) -> Cow<'a, str> {
    let raw = body.get(raw.clone()).unwrap_or_default();
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    decode(raw, &mut text);
    Cow::Owned(text)
}

/// Fewer bytes than this are no media worth leaving alone: looking at them costs nothing.
pub(super) const MEDIA_BYTES_MIN: usize = 256;

/// Whether a string is encoded media (RFC 4648 §4 and §5): nothing but one of the two alphabets, in lines of one length if
/// there are lines (RFC 2045 §6.8), with padding at its end only.
fn is_base64(raw: &[u8]) -> bool {
    const DIGIT: u8 = 1;
    const STANDARD: u8 = 2;
    const URL: u8 = 4;
    const ESCAPE: u8 = 8;
    const OTHER: u8 = 16;
    static KINDS: [u8; 256] = {
        let mut kinds = [OTHER; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "below 256")]
            let kind = match byte as u8 {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => DIGIT,
                b'+' | b'/' => STANDARD,
                b'-' | b'_' => URL,
                b'\\' => ESCAPE,
                _ => OTHER,
            };
            kinds[byte] = kind;
            byte += 1;
        }
        kinds
    };
    let mut raw = raw;
    while let Some(before) = raw.strip_suffix(b"\\n").or_else(|| raw.strip_suffix(b"\\r")) {
        raw = before;
    }
    let padding = raw.iter().rev().take_while(|byte| **byte == b'=').count();
    let raw = raw.get(..raw.len() - padding).unwrap_or_default();
    let mut seen = 0;
    for part in raw.chunks(1024) {
        seen |= part.iter().fold(0, |seen, byte| seen | KINDS[usize::from(*byte)]);
        if seen & OTHER != 0 || seen & (STANDARD | URL) == STANDARD | URL {
            return false;
        }
    }
    padding <= 2 && (seen & ESCAPE == 0 || is_in_lines(raw))
}

/// Whether escapes are line breaks between lines of one length, the last apart, or slashes.
fn is_in_lines(raw: &[u8]) -> bool {
    let Ok(raw) = std::str::from_utf8(raw) else { return false };
    let mut text = String::with_capacity(raw.len());
    decode(raw, &mut text);
    let mut lines = text.lines();
    let Some(length) = lines.next().map(str::len) else { return false };
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let mut is_last = false;
    text.lines().all(|line| {
        let fits = !is_last && line.len() <= length && line.bytes().all(is_of_it);
        is_last |= line.len() < length;
        fits
    })
}

/// Whether a string is a data URL with media in it, and nothing else (RFC 2397).
fn is_media(raw: &[u8]) -> bool {
    const HEAD_BYTES_MAX: usize = 128;
    let Some(url) = raw.strip_prefix(b"data:") else { return false };
    let head = url.get(..url.len().min(HEAD_BYTES_MAX)).unwrap_or_default();
    let Some(comma) = head.iter().position(|byte| *byte == b',') else { return false };
    let (kind, data) = url.split_at(comma);
    // What is text is no media, also where it is encoded.
    let kinds: [&[u8]; 5] = [b"image/", b"audio/", b"video/", b"font/", b"application/"];
    let texts: [&[u8]; 5] = [b"json", b"xml", b"yaml", b"javascript", b"x-sh"];
    let has = |word: &[u8]| kind.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    kind.ends_with(b";base64")
        && kinds
            .iter()
            .any(|known| kind.get(..known.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(known)))
        && !texts.iter().any(|text| has(text))
        && is_base64(data.get(1..).unwrap_or_default())
}
