//! The folded view of a text: what a reader sees, in lower case, without what a reader cannot see.
//!
//! Filters that compare raw bytes are passed by `ＩＧＮＯＲＥ`, `іgnоre` (two Cyrillic letters) and `ig<zero width>nore`. The
//! folded view undoes that: compatibility forms are decomposed (Unicode Standard Annex 15, NFKD), letters are lowered,
//! accents and format characters (general category Cf and other default-ignorable ones) are dropped, and letters of other
//! scripts that look like Latin ones (Unicode Technical Standard 39) become Latin. A phrase to look for goes through the
//! same function, so words of every script still match themselves.
//!
//! The view is never sent anywhere: hits in it are mapped back to whole characters of the raw text.

mod confusable;

use std::ops::Range;
use std::sync::LazyLock;

use confusable::look_alike;

/// Which kinds of invisible or direction-changing characters a text holds. Found while folding, at no extra cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Invisible {
    /// Characters of the tag block, U+E0000 to U+E007F.
    pub tags: bool,
    /// Zero-width spaces, joiners, and invisible operators.
    pub zero_width: bool,
    /// Explicit direction controls.
    pub bidi: bool,
    /// Variation selectors.
    pub selectors: bool,
}

impl Invisible {
    /// Whether there is any of them.
    pub fn any(self) -> bool {
        self.tags || self.zero_width || self.bidi || self.selectors
    }
}

/// A run of characters that each turn `from` raw bytes into `to` folded bytes.
#[derive(Debug, Clone, Copy)]
struct Run {
    folded: usize,
    raw: usize,
    from: usize,
    to: usize,
}

/// A text's folded view with the way back to the raw text.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    text: String,
    /// Empty when folded and raw offsets are the same, as in ASCII.
    runs: Vec<Run>,
    raw_len: usize,
    ascii: bool,
    invisible: Invisible,
}

impl Folded {
    /// Folds a text. ASCII costs one pass that lowers letters.
    pub fn new(text: &str) -> Folded {
        if text.is_ascii() {
            return Folded {
                text: text.to_ascii_lowercase(),
                raw_len: text.len(),
                ascii: true,
                ..Folded::default()
            };
        }
        let mut folded =
            Folded { text: String::with_capacity(text.len()), raw_len: text.len(), ..Folded::default() };
        folded.extend(text);
        folded
    }

    /// The folded text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the raw text is ASCII: then both views have the same offsets.
    pub fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// Kinds of invisible characters that were dropped.
    pub fn invisible(&self) -> Invisible {
        self.invisible
    }

    /// The raw bytes behind a range of the folded text. Covers whole raw characters: a range that holds a part of what a
    /// character became holds the character. Monotone in both ends; an empty range maps to an empty one.
    pub fn raw_range(&self, folded: Range<usize>) -> Range<usize> {
        if self.runs.is_empty() {
            let end = folded.end.min(self.raw_len);
            return folded.start.min(end)..end;
        }
        let start = self.raw_start(folded.start);
        if folded.is_empty() {
            return start..start;
        }
        start..self.raw_end(folded.end - 1)
    }

    fn run_at(&self, folded: usize) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.folded <= folded);
        self.runs.get(after.checked_sub(1)?)
    }

    fn raw_start(&self, folded: usize) -> usize {
        if folded >= self.text.len() {
            return self.raw_len;
        }
        self.run_at(folded).map_or(0, |run| run.raw + (folded - run.folded) / run.to * run.from)
    }

    fn raw_end(&self, last: usize) -> usize {
        self.run_at(last)
            .map_or(0, |run| run.raw + ((last - run.folded) / run.to + 1) * run.from)
            .min(self.raw_len)
    }

    /// ASCII runs are lowered in one go; between them one character at a time.
    fn extend(&mut self, text: &str) {
        let mut at = 0;
        while let Some(rest) = text.get(at..) {
            let Some(first) = rest.chars().next() else { break };
            if first.is_ascii() {
                let run = ascii_prefix(rest.as_bytes());
                self.push_ascii(rest.get(..run).unwrap_or_default(), at);
                at += run;
            } else {
                self.push_char(first, at);
                at += first.len_utf8();
            }
        }
    }

    fn push_ascii(&mut self, run: &str, raw: usize) {
        let folded = self.text.len();
        self.text.push_str(run);
        if let Some(new) = self.text.get_mut(folded..) {
            new.make_ascii_lowercase();
        }
        self.record(folded, raw, 1, 1);
    }

    fn push_char(&mut self, c: char, raw: usize) {
        if dropped(c) {
            self.note(c);
            return;
        }
        let folded = self.text.len();
        match Cached::of(c) {
            Some(cached) => self.text.push_str(cached.as_str()),
            None => fold_char(c, &mut self.text),
        }
        let to = self.text.len() - folded;
        let from = c.len_utf8();
        let one = self.text.get(folded..).is_some_and(|new| new.chars().nth(1).is_none());
        // A character that stays one of the same length maps byte for byte, so it joins the run around it.
        if to == from && one {
            self.record(folded, raw, 1, 1);
        } else if to > 0 {
            self.record(folded, raw, from, to);
        }
    }

    fn record(&mut self, folded: usize, raw: usize, from: usize, to: usize) {
        if let Some(last) = self.runs.last() {
            let chars = (folded - last.folded) / last.to;
            let contiguous = last.raw + chars * last.from == raw && last.folded + chars * last.to == folded;
            if contiguous && (last.from, last.to) == (from, to) {
                return;
            }
        }
        self.runs.push(Run { folded, raw, from, to });
    }

    fn note(&mut self, c: char) {
        match c {
            '\u{E0000}'..='\u{E007F}' => self.invisible.tags = true,
            '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => self.invisible.selectors = true,
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => self.invisible.bidi = true,
            _ => self.invisible.zero_width = true,
        }
    }
}

/// A phrase or word as it stands in the folded view.
pub fn fold(text: &str) -> String {
    Folded::new(text).text
}

fn ascii_prefix(bytes: &[u8]) -> usize {
    let whole = bytes.chunks_exact(16).take_while(|chunk| chunk.is_ascii()).count() * 16;
    let rest = bytes.get(whole..).unwrap_or_default();
    whole + rest.iter().position(|byte| !byte.is_ascii()).unwrap_or(rest.len())
}

/// Characters that show nothing: format characters and other default-ignorable ones, and combining accents.
fn dropped(c: char) -> bool {
    match c {
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180B}'..='\u{180F}' | '\u{115F}' | '\u{1160}' => true,
        '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' => true,
        '\u{17B4}' | '\u{17B5}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' => true,
        '\u{FE00}'..='\u{FE0F}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' => true,
        '\u{E0000}'..='\u{E0FFF}' => true,
        _ => accent(c),
    }
}

/// Combining marks that decorate a letter without making another one: the blocks of combining diacritical marks, Arabic
/// vowel signs and the Arabic stretching bar. Marks of Indic scripts, Hebrew points and kana voicing stay.
fn accent(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
        | '\u{FE20}'..='\u{FE2F}' | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{0640}')
}

/// Ideographs and Hangul syllables fold to themselves; they are most of the text they occur in.
fn folds_to_itself(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{2A6DF}')
}

fn fold_char(c: char, out: &mut String) {
    if folds_to_itself(c) {
        out.push(c);
        return;
    }
    unicode_normalization::char::decompose_compatible(c, |part| {
        if dropped(part) {
            return;
        }
        if let Some(latin) = look_alike(part) {
            out.push_str(latin);
            return;
        }
        for lower in part.to_lowercase() {
            match look_alike(lower) {
                Some(latin) => out.push_str(latin),
                None if dropped(lower) => {}
                None => out.push(lower),
            }
        }
    });
}

/// What one character of the common alphabets folds to.
#[derive(Debug, Clone, Copy, Default)]
struct Cached {
    bytes: [u8; Cached::BYTES],
    len: u8,
}

impl Cached {
    const BYTES: usize = 15;
    /// Latin, Greek, Cyrillic and Armenian.
    const END: u32 = 0x590;

    fn of(c: char) -> Option<&'static Cached> {
        static TABLE: LazyLock<Vec<Cached>> = LazyLock::new(|| (0..Cached::END).map(Cached::new).collect());
        let index = usize::try_from(u32::from(c)).ok()?;
        TABLE.get(index).filter(|cached| cached.len > 0)
    }

    /// Empty, hence unused, for what does not fit.
    fn new(code: u32) -> Cached {
        let mut folded = String::new();
        if let Some(c) = char::from_u32(code) {
            fold_char(c, &mut folded);
        }
        let mut cached = Cached::default();
        if let (Some(bytes), Ok(len)) = (cached.bytes.get_mut(..folded.len()), u8::try_from(folded.len())) {
            bytes.copy_from_slice(folded.as_bytes());
            cached.len = len;
        }
        cached
    }

    fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
