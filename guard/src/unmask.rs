//! Puts values back in the place of their placeholders, in text that comes in pieces.

use crate::finding::Class;
use crate::placeholder::{MAX_PLACEHOLDER, Minter};
use memchr::memchr;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// In what the text stands, hence how a value that is put into it has to be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// In nothing: text as people read it.
    Plain,
    /// In a string of JSON, such as a tool's arguments as they stream.
    Json,
    /// In a string of JSON that stands in a string of JSON, such as a tool's arguments in a body.
    JsonInJson,
}

/// Placeholders that may be put back, and their values. It is not printed.
#[derive(Clone)]
pub struct Placeholders {
    /// In the order of the placeholders.
    list: Arc<[(Box<str>, Box<str>)]>,
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placeholders").field("len", &self.list.len()).finish()
    }
}

impl Placeholders {
    /// Those of an exchange whose class and entity may be put back.
    pub fn new(minter: &Minter, allowed: impl Fn(Class, &str) -> bool) -> Placeholders {
        let mut list: Vec<(Box<str>, Box<str>)> = minter
            .kept()
            .filter(|(_, kept)| allowed(kept.class, &kept.entity))
            .map(|(placeholder, kept)| (placeholder.into(), kept.value.clone()))
            .collect();
        list.sort();
        Placeholders { list: list.into() }
    }

    /// The usual choice: everything but secrets. A secret that a model repeats to a tool would leave the house.
    pub fn without_secrets(minter: &Minter) -> Placeholders {
        Placeholders::new(minter, |class, _| class != Class::Secret)
    }

    /// Whether there is nothing to put back.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any stands in `text`.
    pub fn occur_in(&self, text: &str) -> bool {
        let mut any = false;
        seek(self, text, &mut |_, _| any = true);
        any
    }

    /// What `text`, which begins with a bracket, begins with.
    fn look(&self, text: &str) -> Look<'_> {
        // No placeholder begins another one, because none has a closing bracket but at its end.
        let at = self.list.partition_point(|(placeholder, _)| &**placeholder <= text);
        if let Some((placeholder, value)) = at.checked_sub(1).and_then(|at| self.list.get(at))
            && text.starts_with(&**placeholder)
        {
            return Look::Whole { length: placeholder.len(), value };
        }
        match self.list.get(at) {
            Some((placeholder, _)) if placeholder.starts_with(text) => Look::Begun,
            _ => Look::Other,
        }
    }
}

enum Look<'a> {
    Whole { length: usize, value: &'a str },
    Begun,
    Other,
}

/// Puts values back. Whatever cannot be the beginning of a placeholder leaves at once.
pub struct Unmasker {
    placeholders: Placeholders,
    level: Level,
    /// The beginning of a placeholder, shorter than [`MAX_PLACEHOLDER`].
    held: String,
    restored: u64,
}

impl fmt::Debug for Unmasker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unmasker")
            .field("held", &self.held.len())
            .field("restored", &self.restored)
            .finish_non_exhaustive()
    }
}

impl Unmasker {
    /// One at the beginning of a text.
    pub fn new(placeholders: &Placeholders, level: Level) -> Unmasker {
        Unmasker { placeholders: placeholders.clone(), level, held: String::new(), restored: 0 }
    }

    /// Appends what is certain to `out`.
    pub fn push(&mut self, text: &str, out: &mut String) {
        if self.held.is_empty() {
            let kept = self.run(text, out);
            self.held.push_str(kept);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.push_str(text);
            let kept = self.run(&held, out).len();
            held.drain(..held.len() - kept);
            self.held = held;
        }
        debug_assert!(self.held.len() < MAX_PLACEHOLDER);
    }

    /// The end of the text: what was held back leaves as it is. Says how many values were put back.
    pub fn finish(mut self, out: &mut String) -> u64 {
        out.push_str(&std::mem::take(&mut self.held));
        self.restored
    }

    /// Bytes that are held back; always fewer than [`MAX_PLACEHOLDER`].
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Appends what is certain and returns the rest.
    fn run<'a>(&mut self, text: &'a str, out: &mut String) -> &'a str {
        let mut passed = 0;
        let certain = seek(&self.placeholders, text, &mut |range, value| {
            out.push_str(text.get(passed..range.start).unwrap_or_default());
            escape(value, self.level, out);
            self.restored += 1;
            passed = range.end;
        });
        out.push_str(text.get(passed..certain).unwrap_or_default());
        text.get(certain..).unwrap_or_default()
    }
}

/// Calls `met` with each placeholder in `text`. Gives the place from which on it is not certain what stands there: a
/// placeholder may have begun.
fn seek<'p>(placeholders: &'p Placeholders, text: &str, met: &mut dyn FnMut(Range<usize>, &'p str)) -> usize {
    let mut at = 0;
    while let Some(found) = memchr(b'[', text.as_bytes().get(at..).unwrap_or_default()) {
        let start = at + found;
        match placeholders.look(text.get(start..).unwrap_or_default()) {
            Look::Whole { length, value } => {
                at = start + length;
                met(start..at, value);
            }
            Look::Begun => return start,
            Look::Other => at = start + 1,
        }
    }
    text.len()
}

/// Finds placeholders in a text that comes in pieces, and says where in it they stand.
pub struct Seeker {
    placeholders: Placeholders,
    /// The beginning of a placeholder, shorter than [`MAX_PLACEHOLDER`].
    held: String,
    /// Bytes of the text before it.
    certain: usize,
}

impl fmt::Debug for Seeker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeker")
            .field("held", &self.held.len())
            .field("certain", &self.certain)
            .finish_non_exhaustive()
    }
}

impl Seeker {
    /// One at the beginning of a text.
    pub fn new(placeholders: &Placeholders) -> Seeker {
        Seeker { placeholders: placeholders.clone(), held: String::new(), certain: 0 }
    }

    /// Takes the next piece and calls `met` with the range in the whole text, in bytes, and the value of each placeholder
    /// that is complete now.
    pub fn push(&mut self, piece: &str, met: &mut dyn FnMut(Range<usize>, &str)) {
        let mut held = std::mem::take(&mut self.held);
        let base = self.certain;
        let mut met = |range: Range<usize>, value: &str| met(base + range.start..base + range.end, value);
        if held.is_empty() {
            let certain = seek(&self.placeholders, piece, &mut met);
            held.push_str(piece.get(certain..).unwrap_or_default());
            self.certain += certain;
        } else {
            held.push_str(piece);
            let certain = seek(&self.placeholders, &held, &mut met);
            held.drain(..certain);
            self.certain += certain;
        }
        self.held = held;
        debug_assert!(self.held.len() < MAX_PLACEHOLDER);
    }

    /// Bytes of the text that are decided: whatever comes, no placeholder that is not told yet begins in them.
    pub fn certain(&self) -> usize {
        self.certain
    }

    /// Waits no longer for the rest of a placeholder that may have begun.
    pub fn give_up(&mut self) {
        self.certain += std::mem::take(&mut self.held).len();
    }
}

/// Appends a value as it has to be written at a level.
pub fn escape(value: &str, level: Level, out: &mut String) {
    match level {
        Level::Plain => out.push_str(value),
        Level::Json => escape_json(value, out),
        Level::JsonInJson => {
            let mut once = String::with_capacity(value.len() + 8);
            escape_json(value, &mut once);
            escape_json(&once, out);
        }
    }
}

/// RFC 8259 §7: quotes, backslashes and control characters must be escaped, and nothing else.
fn escape_json(value: &str, out: &mut String) {
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                let digit = |value: u32| char::from_digit(value, 16).unwrap_or('0');
                out.push_str("\\u00");
                out.push(digit(u32::from(control) >> 4));
                out.push(digit(u32::from(control) & 15));
            }
            plain => out.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placeholder::Key;
    use proptest::prelude::*;

    fn minter(values: &[&str]) -> (Minter, Vec<Box<str>>) {
        let mut minter = Minter::new(Key::new([3; 32]));
        let minted = values.iter().map(|value| minter.mint(Class::Pii, "EMAIL", value)).collect();
        (minter, minted)
    }

    fn run(placeholders: &Placeholders, level: Level, pieces: &[&str]) -> String {
        let mut unmasker = Unmasker::new(placeholders, level);
        let mut out = String::new();
        for piece in pieces {
            unmasker.push(piece, &mut out);
            assert!(unmasker.held() < MAX_PLACEHOLDER);
        }
        unmasker.finish(&mut out);
        out
    }

    #[test]
    fn only_a_possible_placeholder_is_held_back() {
        let (minter, minted) = minter(&["a@x.org"]);
        let placeholders = Placeholders::without_secrets(&minter);
        let mut unmasker = Unmasker::new(&placeholders, Level::Plain);
        let mut out = String::new();
        unmasker.push("see [1] and [EMAIL_", &mut out);
        assert_eq!((out.as_str(), unmasker.held()), ("see [1] and ", 7));
        unmasker.push("zz", &mut out);
        assert_eq!((out.as_str(), unmasker.held()), ("see [1] and [EMAIL_zz", 0));
        unmasker.push(&minted[0], &mut out);
        assert_eq!(unmasker.finish(&mut out), 1);
        assert_eq!(out, "see [1] and [EMAIL_zza@x.org");
    }

    #[test]
    fn a_value_is_escaped_for_its_level() {
        let value = "a\"b\\c\n\u{1}";
        let (minter, minted) = minter(&[value]);
        let placeholders = Placeholders::without_secrets(&minter);
        let once: String =
            serde_json::from_str(&format!("\"{}\"", run(&placeholders, Level::Json, &[&minted[0]]))).unwrap();
        assert_eq!(once, value);
        let twice = run(&placeholders, Level::JsonInJson, &[&minted[0]]);
        let inner: String = serde_json::from_str(&format!("\"{twice}\"")).unwrap();
        assert_eq!(serde_json::from_str::<String>(&format!("\"{inner}\"")).unwrap(), value);
    }

    #[test]
    fn secrets_stay_masked_unless_allowed() {
        let mut minter = Minter::new(Key::new([3; 32]));
        let token = minter.mint(Class::Secret, "TOKEN", "value");
        assert_eq!(run(&Placeholders::without_secrets(&minter), Level::Plain, &[&token]), *token);
        assert_eq!(
            run(&Placeholders::new(&minter, |_, entity| entity == "TOKEN"), Level::Plain, &[&token]),
            "value"
        );
    }

    #[test]
    fn a_seeker_tells_where_and_waits_until_it_is_told_not_to() {
        let (minter, minted) = minter(&["a@x.org"]);
        let placeholders = Placeholders::without_secrets(&minter);
        let mut seeker = Seeker::new(&placeholders);
        let mut met = Vec::new();
        let (one, other) = minted[0].split_at(9);
        for (piece, certain) in
            [("ab[", 2), ("1] ", 6), (one, 6), (other, 6 + minted[0].len()), ("[EM", 6 + minted[0].len())]
        {
            seeker.push(piece, &mut |range, value| met.push((range, value.to_owned())));
            assert_eq!(seeker.certain(), certain, "{piece}");
        }
        assert_eq!(met, [(6..6 + minted[0].len(), "a@x.org".to_owned())]);
        seeker.give_up();
        assert_eq!(seeker.certain(), 9 + minted[0].len());
        assert!(
            placeholders.occur_in(&format!("x[{}", minted[0])) && !placeholders.occur_in(&minted[0][1..])
        );
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same(parts in proptest::collection::vec(0..8_usize, 0..12), cuts in proptest::collection::vec(0..400_usize, 0..12)) {
            let (minter, minted) = minter(&["a@x.org", "b@x.org", "A@x.org"]);
            let placeholders = Placeholders::without_secrets(&minter);
            let words = [&*minted[0], &*minted[1], &*minted[2], "[", "[EMAIL_", "é", "]", &minted[0][..12]];
            let text: String = parts.iter().map(|part| words[*part]).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| crate::engine::floor(&text, cut)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(run(&placeholders, Level::Plain, &pieces), run(&placeholders, Level::Plain, &[&text]));
        }
    }
}
