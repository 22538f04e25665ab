//! A literal whose letters may each stand in one case or in both.

use super::condition::ByteSet;
use super::frequency::of_byte;
use regex_syntax::hir::literal::{Extractor, Seq};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind};

/// Longest literal that is kept, in bytes; a longer one says no more.
pub(crate) const MAX_BYTES: usize = 16;

/// Private bytes that stand for letters in both cases while literals are extracted: `0x80` is `a` or `A`.
const CASELESS: std::ops::RangeInclusive<u8> = 0x80..=0x99;

/// A literal with what may follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The literal.
    pub(crate) literal: Literal,
    /// The bytes, as folding (`| 0x20`) makes them, of which one follows in every match; all where that is not known.
    pub(crate) next: ByteSet,
}

impl From<Literal> for Anchor {
    /// A literal that anything may follow.
    fn from(literal: Literal) -> Anchor {
        Anchor { literal, next: ByteSet::ALL }
    }
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Literal {
    /// Letters that may stand in both cases are in lower case.
    bytes: Vec<u8>,
    /// 0x20 where both cases count, 0 elsewhere.
    masks: Vec<u8>,
}

impl Literal {
    /// A word in any case.
    pub(crate) fn caseless(word: &str) -> Literal {
        let bytes: Vec<u8> = word.bytes().take(MAX_BYTES).map(|byte| byte.to_ascii_lowercase()).collect();
        let masks = bytes.iter().map(|byte| if byte.is_ascii_lowercase() { 0x20 } else { 0 }).collect();
        Literal { bytes, masks }
    }

    /// Of bytes, with a bit for each letter, from the lowest bit on, that stands in both cases.
    pub(crate) fn new(bytes: impl Iterator<Item = u8>, cases: u32) -> Literal {
        let bytes: Vec<u8> = bytes.take(MAX_BYTES).collect();
        let masks = (0..bytes.len()).map(|at| if cases >> at & 1 == 1 { 0x20 } else { 0 }).collect();
        Literal { bytes, masks }
    }

    /// From what an extraction over [`encode`]d structure found.
    fn decode(encoded: &[u8]) -> Literal {
        let both = |byte: &u8| CASELESS.contains(byte);
        Literal {
            bytes: encoded
                .iter()
                .map(|byte| if both(byte) { byte - CASELESS.start() + b'a' } else { *byte })
                .collect(),
            masks: encoded.iter().map(|byte| if both(byte) { 0x20 } else { 0 }).collect(),
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes with every letter in the case that folding (`| 0x20`) gives.
    pub(crate) fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.bytes.iter().map(|byte| byte | 0x20)
    }

    /// The bytes, each with 0x20 where both cases count.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (u8, u8)> + '_ {
        self.bytes.iter().copied().zip(self.masks.iter().copied())
    }

    /// Whether it stands at `at`.
    #[inline]
    pub(crate) fn stands(&self, text: &[u8], at: usize) -> bool {
        let Some(there) = text.get(at..at + self.bytes.len()) else { return false };
        there.iter().zip(&self.bytes).zip(&self.masks).all(|((there, byte), mask)| there | mask == *byte)
    }

    /// About how often it stands in a byte's place of ordinary text.
    pub(crate) fn frequency(&self) -> f64 {
        self.parts().map(|(byte, case)| of_byte(byte, case != 0)).product()
    }
}

/// The structure with private bytes for letters in both cases, so that an extraction sees one literal and not 2ⁿ.
/// It recurses as deep as the expression nests, which its compilation limits.
pub(crate) fn encode(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Literal(literal) => Hir::concat(
            literal
                .0
                .iter()
                .map(|byte| if CASELESS.contains(byte) { any() } else { Hir::literal([*byte]) })
                .collect(),
        ),
        HirKind::Class(Class::Bytes(class)) => encode_class(class),
        HirKind::Repetition(repetition) => Hir::repetition(regex_syntax::hir::Repetition {
            min: repetition.min,
            max: repetition.max,
            greedy: repetition.greedy,
            sub: Box::new(encode(&repetition.sub)),
        }),
        HirKind::Capture(capture) => encode(&capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(encode).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(encode).collect()),
        HirKind::Class(Class::Unicode(_)) | HirKind::Empty | HirKind::Look(_) => hir.clone(),
    }
}

fn any() -> Hir {
    Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(0, 255)])))
}

fn encode_class(class: &ClassBytes) -> Hir {
    let members: Vec<u8> = class.iter().flat_map(|range| range.start()..=range.end()).take(65).collect();
    if members.len() > 64 || members.iter().any(|byte| CASELESS.contains(byte)) {
        return any();
    }
    let has = |byte: u8| members.contains(&byte);
    let folded = members.iter().filter_map(|&byte| match byte {
        b'A'..=b'Z' if has(byte.to_ascii_lowercase()) => None,
        b'a'..=b'z' if has(byte.to_ascii_uppercase()) => Some(byte - b'a' + CASELESS.start()),
        _ => Some(byte),
    });
    let ranges: Vec<ClassBytesRange> = folded.map(|byte| ClassBytesRange::new(byte, byte)).collect();
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

/// At most `most` literals of which one begins every match of an [`encode`]d structure, or none if there is no such set of
/// literals with at least `least` bytes each.
pub(crate) fn prefixes(encoded: &Hir, least: usize, most: usize) -> Option<Vec<Anchor>> {
    let whole = extract(encoded, 16, MAX_BYTES, 2_000);
    for length in [MAX_BYTES, 10, 8, 6, 5, 4, 3, 2] {
        if length < least {
            return None;
        }
        let literals = cut(whole.clone(), length)?;
        if literals.iter().any(|one| one.len() < least) {
            return None;
        }
        if literals.len() <= most {
            return Some(with_next(encoded, literals));
        }
    }
    None
}

fn extract(encoded: &Hir, class: usize, length: usize, total: usize) -> Seq {
    let mut extractor = Extractor::new();
    extractor.limit_class(class).limit_repeat(16).limit_literal_len(length).limit_total(total);
    extractor.extract(encoded)
}

/// The literals, none longer than `length`, without those that begin with another one.
fn cut(mut seq: Seq, length: usize) -> Option<Vec<Literal>> {
    seq.keep_first_bytes(length);
    let mut literals: Vec<Literal> =
        seq.literals()?.iter().map(|one| Literal::decode(one.as_bytes())).collect();
    literals.sort();
    literals.dedup();
    let mut kept: Vec<Literal> = Vec::with_capacity(literals.len());
    for literal in literals {
        // In this order what begins another one comes before it, and next to it but for others that begin with it too.
        if !kept.last().is_some_and(|last| last.begins(&literal)) {
            kept.push(literal);
        }
    }
    Some(kept)
}

/// What may follow short literals: the matcher has to know for those that are shorter than a gram and a byte.
fn with_next(encoded: &Hir, literals: Vec<Literal>) -> Vec<Anchor> {
    let mut longer: [Option<Vec<Literal>>; LONGEST_SHORT + 1] = Default::default();
    let follow = |literal: Literal| {
        let Some(longer) = longer.get_mut(literal.len()) else {
            return Anchor { literal, next: ByteSet::ALL };
        };
        let longer = longer.get_or_insert_with(|| {
            let seq = extract(encoded, 70, literal.len() + 1, 20_000);
            seq.literals().unwrap_or_default().iter().map(|one| Literal::decode(one.as_bytes())).collect()
        });
        let next = next_of(&literal, longer);
        Anchor { literal, next }
    };
    literals.into_iter().map(follow).collect()
}

/// Longest literal of which what follows is asked.
const LONGEST_SHORT: usize = 4;

/// What follows a literal in literals that are longer by one.
fn next_of(literal: &Literal, longer: &[Literal]) -> ByteSet {
    let mut next = ByteSet::EMPTY;
    for one in longer {
        if literal.begins(one) {
            match one.bytes.get(literal.len()) {
                Some(byte) => next.add(byte | 0x20),
                None => next = ByteSet::ALL,
            }
        } else if one.begins(literal) {
            next = ByteSet::ALL;
        }
    }
    if next == ByteSet::EMPTY { ByteSet::ALL } else { next }
}

impl Literal {
    fn begins(&self, other: &Literal) -> bool {
        other.bytes.starts_with(&self.bytes) && other.masks.starts_with(&self.masks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(pattern: &str) -> Option<Vec<Anchor>> {
        prefixes(&encode(&crate::regex::parse(pattern).unwrap()), 2, 64)
    }

    fn of(pattern: &str) -> Option<Vec<Literal>> {
        anchors(pattern).map(|anchors| anchors.into_iter().map(|anchor| anchor.literal).collect())
    }

    #[test]
    fn what_follows_a_short_literal_is_known() {
        let anchors = anchors("(?:eyJ[a-zA-Z0-9_-]{9}|sk-)").unwrap();
        let next = |text: &[u8]| anchors.iter().find(|anchor| anchor.literal.stands(text, 0)).unwrap().next;
        assert!(next(b"eyJ").has(b'a') && next(b"eyJ").has(b'-') && !next(b"eyJ").has(b'.'));
        assert_eq!(next(b"sk-"), ByteSet::ALL);
    }

    #[test]
    fn letters_in_both_cases_are_one_literal() {
        let literals = of("(?i)password").unwrap();
        assert_eq!(literals.len(), 1);
        assert!(literals[0].stands(b"my PassWord", 3));
        assert!(!literals[0].stands(b"my PassWore", 3));
        let literals = of("AKIA[0-9]{3}").unwrap();
        assert!(literals.iter().all(|literal| !literal.stands(b"akia123", 0)));
    }

    #[test]
    fn alternatives_are_several_and_prefixes_take_the_longer_ones_in() {
        let literals = of("(?i:sk-ant|sk-antic|pk[-_]live)").unwrap();
        let texts: [&[u8]; 4] = [b"SK-ANT", b"sk-antic", b"pk_live", b"pk-live"];
        assert!(texts.iter().all(|text| literals.iter().any(|literal| literal.stands(text, 0))));
        assert_eq!(literals.len(), 3);
    }

    #[test]
    fn what_has_no_literal_gives_none() {
        assert_eq!(of("[a-z0-9]{40}"), None);
        assert_eq!(of("(?:abc)?[a-z0-9]{40}"), None);
    }

    #[test]
    fn bytes_in_the_private_range_are_no_letters() {
        // U+0080 ends in the byte 0x80.
        assert!(of("x\u{80}abc").is_none_or(|literals| {
            literals.iter().all(|literal| literal.stands("x\u{80}abc".as_bytes(), 0))
        }));
    }
}
