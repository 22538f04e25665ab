//! Conditions that every match of a rule meets near its literal, cheap enough to be asked thousands of times.

use super::frequency::of_byte;
use regex_syntax::hir::{Class, Hir, HirKind};

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteSet([u64; 4]);

impl std::fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByteSet({})", self.len())
    }
}

impl ByteSet {
    pub(crate) const EMPTY: ByteSet = ByteSet([0; 4]);
    pub(crate) const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    /// Of ranges, both ends included.
    pub(crate) fn of_ranges(ranges: &[(u8, u8)]) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        ranges.iter().flat_map(|(first, last)| *first..=*last).for_each(|byte| set.add(byte));
        set
    }

    /// The set as ranges, both ends included.
    #[cfg(test)]
    pub(crate) fn ranges(self) -> Vec<(u8, u8)> {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for byte in (0..=u8::MAX).filter(|byte| self.has(*byte)) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == byte => *last = byte,
                _ => ranges.push((byte, byte)),
            }
        }
        ranges
    }

    pub(crate) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(crate) fn union(self, other: ByteSet) -> ByteSet {
        ByteSet([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }

    #[inline(always)]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// How likely a byte of ordinary text is in the set.
    fn density(&self) -> f64 {
        let total: f64 = (0..=127).map(|byte| of_byte(byte, false)).sum();
        let own: f64 = (0..=127).filter(|byte| self.has(*byte)).map(|byte| of_byte(byte, false)).sum();
        own / total
    }
}

/// `run` bytes of `set` in a row, of which the first stands `nearest` to `farthest` bytes after the literal's first byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition {
    pub(crate) set: ByteSet,
    pub(crate) run: usize,
    pub(crate) nearest: usize,
    pub(crate) farthest: usize,
}

/// Longest run that is asked for; a longer one says no more.
const MAX_RUN: usize = 64;

/// A run of so many bytes is looked for in so few steps that it is asked for however likely it is.
const CHEAP_RUN: usize = 8;

/// Farthest place that is looked at. A condition that could lie farther away is not made.
const MAX_FARTHEST: usize = 256;

impl Condition {
    /// Whether it holds for a literal at `at`.
    #[inline]
    pub(crate) fn holds(&self, text: &[u8], at: usize) -> bool {
        let from = (at + self.nearest).min(text.len());
        let to = (at + self.farthest + self.run).min(text.len());
        // A byte that is not in the set ends every run around it: the next one is looked at from its end, and the farther
        // the longer the run must be.
        let mut start = from;
        while let Some(run) = text[..to].get(start..start + self.run) {
            match run.iter().rposition(|byte| !self.set.has(*byte)) {
                Some(other) => start += other + 1,
                None => return true,
            }
        }
        false
    }

    /// How likely it holds by chance.
    fn chance(&self) -> f64 {
        let run = i32::try_from(self.run).unwrap_or(i32::MAX);
        let places = u32::try_from(self.farthest - self.nearest + 1).unwrap_or(u32::MAX);
        // Bytes of a kind stand together in words, so a long run is likelier than independent bytes would be.
        (self.set.density().powi(run.min(24)) * f64::from(places)).min(1.0)
    }
}

/// The conditions that follow from a rule's parts, of which the first begins with the literal: the best two. The first
/// `known` bytes are the literal's own and are not asked for again.
pub(crate) fn conditions(parts: &[&Hir], known: usize) -> Vec<Condition> {
    let mut all: Vec<Condition> = Vec::new();
    let (mut nearest, mut farthest) = (0_usize, 0_usize);
    for (number, part) in parts.iter().enumerate() {
        let properties = part.properties();
        let least = properties.minimum_len().unwrap_or(0);
        let is_known = nearest == farthest && farthest + least <= known;
        if number > 0 && least > 0 && !is_known {
            for (set, run) in [(first(part), 1), (every(part), least.min(MAX_RUN))] {
                all.push(Condition { set, run, nearest, farthest });
            }
        }
        let Some(most) = properties.maximum_len() else { break };
        nearest += least;
        farthest += most;
        if farthest > MAX_FARTHEST {
            break;
        }
    }
    all.retain(|condition| {
        condition.set != ByteSet::ALL && (condition.run >= CHEAP_RUN || condition.chance() < 0.9)
    });
    all.sort_by(|a, b| a.chance().total_cmp(&b.chance()));
    all.truncate(2);
    // The nearer one is the cheaper one.
    all.sort_by_key(|condition| condition.farthest + condition.run);
    all
}

/// The bytes that a part, which is not empty, can begin with.
fn first(hir: &Hir) -> ByteSet {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.first().map_or(ByteSet::ALL, |byte| one(*byte)),
        HirKind::Class(class) => members(class),
        HirKind::Repetition(repetition) => first(&repetition.sub),
        HirKind::Capture(capture) => first(&capture.sub),
        HirKind::Alternation(branches) => branches.iter().map(first).fold(ByteSet::EMPTY, ByteSet::union),
        HirKind::Concat(parts) => {
            let mut set = ByteSet::EMPTY;
            for part in parts {
                match part.properties().minimum_len() {
                    _ if part.properties().maximum_len() == Some(0) => {}
                    Some(0) | None => set = set.union(first(part)),
                    Some(_) => return set.union(first(part)),
                }
            }
            ByteSet::ALL
        }
        // What can be empty says nothing about what follows it.
        HirKind::Empty | HirKind::Look(_) => ByteSet::ALL,
    }
}

/// The bytes that stand anywhere in a part.
fn every(hir: &Hir) -> ByteSet {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.iter().fold(ByteSet::EMPTY, |set, byte| set.union(one(*byte))),
        HirKind::Class(class) => members(class),
        HirKind::Repetition(repetition) => every(&repetition.sub),
        HirKind::Capture(capture) => every(&capture.sub),
        HirKind::Alternation(parts) | HirKind::Concat(parts) => {
            parts.iter().map(every).fold(ByteSet::EMPTY, ByteSet::union)
        }
        HirKind::Empty | HirKind::Look(_) => ByteSet::EMPTY,
    }
}

fn one(byte: u8) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    set.add(byte);
    set
}

fn members(class: &Class) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    match class {
        Class::Bytes(class) => {
            class.iter().flat_map(|range| range.start()..=range.end()).for_each(|byte| set.add(byte))
        }
        Class::Unicode(class) => {
            for range in class.iter() {
                (range.start()..=range.end())
                    .take_while(char::is_ascii)
                    .filter_map(|c| u8::try_from(c).ok())
                    .for_each(|byte| set.add(byte));
                if !range.end().is_ascii() {
                    (0x80..=0xFF).for_each(|byte| set.add(byte));
                }
            }
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Vec<Condition> {
        let hir = crate::regex::parse(pattern).unwrap();
        let HirKind::Concat(parts) = hir.kind() else { panic!("one part") };
        conditions(&parts.iter().collect::<Vec<_>>(), 0)
    }

    #[test]
    fn a_token_asks_for_its_run() {
        let found = of("sk-[a-z0-9]{20}");
        assert!(found.iter().all(|condition| condition.holds(b"sk-abcdefghij0123456789", 0)));
        assert!(found.iter().any(|condition| !condition.holds(b"sk-abcdefghij012345678 ", 0)));
        assert!(found.iter().any(|condition| !condition.holds(b"sk-abcdefghij012345678", 0)));
    }

    #[test]
    fn an_assignment_asks_for_its_operator_and_its_value() {
        let found = of("key[ a-z]{0,20}(?:=|:=)[ \"]{0,3}([a-z0-9]{32})");
        let good = b"key of it = \"0123456789abcdef0123456789abcdef";
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|condition| condition.holds(good, 0)));
        assert!(
            found
                .iter()
                .any(|condition| !condition.holds(b"key of it is \"0123456789abcdef0123456789abcdef", 0))
        );
        assert!(
            found
                .iter()
                .any(|condition| !condition.holds(b"key of it = \"0123456789abcdef0123456789abcde-", 0))
        );
    }
}
