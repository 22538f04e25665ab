//! Words near a value that say what it is.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Bytes before a value in which a word of context counts.
pub(super) const BEFORE: usize = 80;

/// Bytes after a value in which a word of context counts.
pub(super) const AFTER: usize = 40;

/// Bytes that are read beyond what is asked for, in lists of values.
const AHEAD: usize = 256;

/// Bytes of the longest word of context.
pub(super) const MAX_WORD: usize = 64;

/// Words of how many entities can be told apart.
const MAX_ENTITIES: usize = 256;

/// A set of entities, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Entities([u64; MAX_ENTITIES / 64]);

impl Entities {
    pub(super) fn insert(&mut self, entity: usize) {
        if let Some(word) = self.0.get_mut(entity / 64) {
            *word |= 1 << (entity % 64);
        }
    }

    fn extend(&mut self, other: &Entities) {
        self.0.iter_mut().zip(other.0).for_each(|(to, from)| *to |= from);
    }

    /// Whether any entity is in both.
    pub(super) fn intersects(&self, other: &Entities) -> bool {
        self.0.iter().zip(other.0).any(|(one, other)| one & other != 0)
    }

    pub(super) fn contains(&self, entity: usize) -> bool {
        self.0.get(entity / 64).is_some_and(|word| word >> (entity % 64) & 1 == 1)
    }
}

/// All words of context, in one automaton that reads each byte near a value once.
#[derive(Debug)]
pub(super) struct Words {
    automaton: Option<AhoCorasick>,
    entities: Vec<Entities>,
}

impl Words {
    /// Builds the automaton from each entity's words. ASCII letters match in either case, others as they are.
    pub(super) fn new<'w>(lists: impl Iterator<Item = &'w [&'w str]>) -> Words {
        let mut words: BTreeMap<&str, Entities> = BTreeMap::new();
        for (entity, list) in lists.enumerate() {
            for word in list {
                words.entry(word).or_default().insert(entity);
            }
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(words.keys())
            .ok();
        Words { automaton, entities: words.into_values().collect() }
    }
}

/// A word that stands in the text.
struct Word {
    start: usize,
    end: usize,
    word: usize,
}

/// Looks for words near values. Values are asked for roughly in order, and no byte is read more than a few times.
pub(super) struct Context<'t> {
    words: &'t Words,
    text: &'t [u8],
    /// The bytes that were read.
    read: std::ops::Range<usize>,
    seen: Vec<Word>,
    /// The answer to the last question.
    last: (usize, usize, Entities),
}

impl<'t> Context<'t> {
    pub(super) fn new(words: &'t Words, text: &'t [u8]) -> Context<'t> {
        Context { words, text, read: 0..0, seen: Vec::new(), last: (0, 0, Entities::default()) }
    }

    /// The entities of which a word stands near a value.
    pub(super) fn near(&mut self, start: usize, end: usize) -> Entities {
        if (self.last.0, self.last.1) == (start, end) && end > 0 {
            return self.last.2;
        }
        let from = start.saturating_sub(BEFORE);
        let to = end.saturating_add(AFTER).min(self.text.len());
        self.read(from, to);
        let mut found = Entities::default();
        for word in self.seen.iter().rev() {
            let before = word.start >= from && word.end <= start;
            let after = word.start >= end && word.end <= to;
            if let Some(entities) = self.words.entities.get(word.word).filter(|_| before || after) {
                found.extend(entities);
            }
        }
        self.last = (start, end, found);
        found
    }

    /// Makes sure that the words in a range are known. Reads ahead where values follow each other, so that the bytes of a
    /// list of numbers are read once, and no farther than it must around a value that stands alone.
    fn read(&mut self, from: usize, to: usize) {
        let mut ahead = AHEAD;
        if from < self.read.start || from > self.read.end {
            self.seen.clear();
            self.read = from..from;
            ahead = 0;
        } else if from > self.read.start + 4 * (BEFORE + AFTER) {
            self.seen.retain(|word| word.start >= from);
            self.read.start = from;
        }
        if to <= self.read.end {
            return;
        }
        let to = to.saturating_add(ahead).min(self.text.len());
        let again = self.read.end.saturating_sub(MAX_WORD).max(self.read.start);
        let (Some(automaton), Some(part)) = (&self.words.automaton, self.text.get(again..to)) else { return };
        for hit in automaton.find_overlapping_iter(part) {
            let (start, end) = (again + hit.start(), again + hit.end());
            if end > self.read.end && bounded(self.text, start, end) {
                self.seen.push(Word { start, end, word: hit.pattern().as_usize() });
            }
        }
        self.read.end = to;
    }
}

/// Whether what was found is a word by itself or a part of a compound name (`taxId`, `tax_id`), not of another word.
fn bounded(text: &[u8], start: usize, end: usize) -> bool {
    let at = |place: usize| text.get(place).copied().unwrap_or(0);
    let (first, last) = (at(start), at(end.saturating_sub(1)));
    let before = start.checked_sub(1).map_or(0, at);
    let camel = before.is_ascii_lowercase() && first.is_ascii_uppercase();
    let left = !first.is_ascii_alphanumeric() || !before.is_ascii_alphabetic() || camel;
    let mut next = at(end);
    if matches!(next, b's' | b'S') {
        next = at(end + 1);
    }
    let camel = next.is_ascii_uppercase() && last.is_ascii_lowercase();
    let right = !last.is_ascii_alphanumeric() || !next.is_ascii_alphabetic() || camel;
    left && right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words::new([&["ssn", "social security"][..], &["tax id", "taxid", "id"], &["身份证"]].into_iter())
    }

    fn near(text: &str, value: &str) -> Vec<usize> {
        let words = words();
        let start = text.find(value).unwrap();
        let found = Context::new(&words, text.as_bytes()).near(start, start + value.len());
        (0..3).filter(|&entity| found.contains(entity)).collect()
    }

    #[test]
    fn words_count_within_reach_and_not_inside_others() {
        assert_eq!(near("SSN: 123", "123"), [0]);
        assert_eq!(near("Social Security number 123", "123"), [0]);
        assert_eq!(near("123 is my ssn", "123"), [0]);
        assert_eq!(near("taxId=123", "123"), [1]);
        assert_eq!(near("user_ssn=123", "123"), [0]);
        assert_eq!(near("SSNs: 123", "123"), [0]);
        assert_eq!(near("我的身份证号码123", "123"), [2]);
        assert_eq!(near("classnames 123, valid, ideas", "123"), [] as [usize; 0]);
        let at = |gap: usize| near(&format!("ssn{}123", " ".repeat(gap)), "123").len();
        assert_eq!((at(BEFORE - 3), at(BEFORE - 2)), (1, 0));
        let at = |gap: usize| near(&format!("123{}ssn", " ".repeat(gap)), "123").len();
        assert_eq!((at(AFTER - 3), at(AFTER - 2)), (1, 0));
    }

    #[test]
    fn asking_in_order_gives_the_same_as_asking_once() {
        let text = "ssn 1 tax id 2 身份证 3 ".repeat(60);
        let words = words();
        let mut context = Context::new(&words, text.as_bytes());
        for place in (0..text.len()).chain([900, 30, 500, 0]) {
            let alone = Context::new(&words, text.as_bytes()).near(place, place + 1);
            assert_eq!(context.near(place, place + 1), alone, "at {place}");
        }
    }
}
