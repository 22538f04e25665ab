//! Cutting texts to what a guardrail takes, and finding the way back from its offsets to ours.

use super::error::RemoteError;
use super::input::Input;
use crate::finding::Provenance;
use std::ops::Range;

/// What a guardrail counts text in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of UTF-8.
    Byte,
    /// Unicode code points (Python's `str`).
    CodePoint,
    /// UTF-16 code units (JavaScript, C#, Java).
    Utf16,
}

impl Unit {
    /// How many units a character takes.
    fn of(self, character: char) -> usize {
        match self {
            Unit::Byte => character.len_utf8(),
            Unit::CodePoint => 1,
            Unit::Utf16 => character.len_utf16(),
        }
    }

    /// A text's length.
    pub(crate) fn len(self, text: &str) -> usize {
        match self {
            Unit::Byte => text.len(),
            _ if text.is_ascii() => text.len(),
            _ => text.chars().map(|character| self.of(character)).sum(),
        }
    }

    /// What it is called in a message.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Byte => "bytes",
            Unit::CodePoint => "code points",
            Unit::Utf16 => "UTF-16 code units",
        }
    }
}

/// A part of a segment, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) segment: usize,
    pub(crate) range: Range<usize>,
}

impl Piece {
    pub(crate) fn text<'a>(&self, input: &Input<'a>) -> &'a str {
        input.text(self.segment).and_then(|text| text.get(self.range.clone())).unwrap_or_default()
    }
}

/// What a guardrail takes in one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most units of one text.
    pub(crate) text: usize,
    /// Counted in these.
    pub(crate) unit: Unit,
    /// Units that the next piece of a cut text repeats, so that what stands across the cut is seen whole; 0 for a
    /// text that must not be cut.
    pub(crate) overlap: usize,
    /// Most texts of one call.
    pub(crate) texts: usize,
    /// Most units of all texts of one call.
    pub(crate) total: usize,
    /// Units that stand between two texts of a call.
    pub(crate) gap: usize,
}

/// Texts that are not blank, cut to the limits and dealt into calls in their order.
pub(crate) fn deal(input: &Input<'_>, limits: Limits) -> Result<Vec<Vec<Piece>>, RemoteError> {
    deal_some(input, limits, |_author| true)
}

/// What stands between texts that are sent as one.
pub(crate) const GAP: &str = "\n\n";

/// Texts as one, for a guardrail that takes a single text.
pub(crate) fn join(input: &Input<'_>, pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| piece.text(input)).collect::<Vec<_>>().join(GAP)
}

/// The only segment that a call is about.
pub(crate) fn only(pieces: &[Piece]) -> Option<&Piece> {
    match pieces {
        [one] => Some(one),
        _ => None,
    }
}

/// [`deal`] for the texts of some authors.
pub(crate) fn deal_some(
    input: &Input<'_>,
    limits: Limits,
    of: impl Fn(Provenance) -> bool,
) -> Result<Vec<Vec<Piece>>, RemoteError> {
    let mut calls = Vec::new();
    let (mut open, mut held) = (Vec::new(), 0);
    for (segment, part) in input.segments.iter().enumerate() {
        if part.text.trim().is_empty() || !of(part.provenance) {
            continue;
        }
        for (range, units) in cut(part.text, limits)? {
            let gap = if open.is_empty() { 0 } else { limits.gap };
            if !open.is_empty() && (open.len() >= limits.texts || held + gap + units > limits.total) {
                calls.push(std::mem::take(&mut open));
                held = units;
            } else {
                held += gap + units;
            }
            open.push(Piece { segment, range });
        }
    }
    if !open.is_empty() {
        calls.push(open);
    }
    Ok(calls)
}

/// Texts that are not blank, in one call.
///
/// # Errors
/// [`RemoteError::TooLarge`] when they are more than `limit` bytes together.
pub(crate) fn whole(input: &Input<'_>, limit: usize) -> Result<Vec<Piece>, RemoteError> {
    let mut pieces = Vec::new();
    let mut got = 0;
    for (segment, part) in input.segments.iter().enumerate() {
        if !part.text.trim().is_empty() {
            got += part.text.len();
            pieces.push(Piece { segment, range: 0..part.text.len() });
        }
    }
    match got > limit {
        true => Err(RemoteError::TooLarge { got, limit, unit: "bytes" }),
        false => Ok(pieces),
    }
}

/// A text's pieces, with their lengths in units.
fn cut(text: &str, limits: Limits) -> Result<Vec<(Range<usize>, usize)>, RemoteError> {
    let Limits { text: limit, unit, overlap, .. } = limits;
    let got = unit.len(text);
    if got <= limit {
        return Ok(vec![(0..text.len(), got)]);
    }
    if overlap == 0 || overlap * 2 > limit {
        return Err(RemoteError::TooLarge { got, limit, unit: unit.name() });
    }
    let mut pieces = Vec::new();
    // The next piece begins at the first character that is within `overlap` units of the end of this one.
    let (mut start, mut units) = (0, 0);
    let (mut next, mut next_units) = (0, 0);
    for (at, character) in text.char_indices() {
        let width = unit.of(character);
        if units + width > limit {
            pieces.push((start..at, units));
            (start, units) = (next, units - next_units);
            (next, next_units) = (start, 0);
        }
        units += width;
        while units - next_units > overlap {
            let Some(character) = text.get(next..).and_then(|rest| rest.chars().next()) else { break };
            next += character.len_utf8();
            next_units += unit.of(character);
        }
    }
    pieces.push((start..text.len(), units));
    Ok(pieces)
}

/// Byte ranges of a text for ranges counted in `unit`, in the order given. `None` when one is empty, out of the text,
/// or cuts a character in two.
pub(crate) fn to_bytes(text: &str, unit: Unit, ranges: &[(u64, u64)]) -> Option<Vec<Range<usize>>> {
    let mut wanted: Vec<u64> = ranges.iter().flat_map(|(start, end)| [*start, *end]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = Vec::with_capacity(wanted.len());
    let mut count = 0;
    let ends = [(text.len(), '\0')];
    for (at, character) in text.char_indices().chain(ends) {
        match wanted.get(found.len()) {
            None => break,
            Some(next) if *next == count => found.push(at),
            Some(_) => {}
        }
        count += u64::try_from(unit.of(character)).ok()?;
    }
    if found.len() < wanted.len() {
        return None;
    }
    let at = |units: u64| wanted.binary_search(&units).ok().and_then(|index| found.get(index).copied());
    let range = |(start, end): &(u64, u64)| Some(at(*start)?..at(*end)?).filter(|range| !range.is_empty());
    ranges.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Facts, Segment, Stage};
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { text: 8, unit: Unit::CodePoint, overlap: 2, texts: 3, total: 10, gap: 0 };

    fn pieces(text: &str, limits: Limits) -> Vec<&str> {
        cut(text, limits).unwrap().into_iter().map(|(range, _)| &text[range]).collect()
    }

    fn dealt(texts: &[&str], limits: Limits) -> Result<Vec<Vec<Piece>>, RemoteError> {
        let segments: Vec<_> =
            texts.iter().map(|text| Segment { path: "p", provenance: Provenance::User, text }).collect();
        deal(&Input { stage: Stage::Input, segments: &segments, facts: Facts::default() }, limits)
    }

    #[test]
    fn a_text_at_the_limit_is_whole_and_one_past_it_is_cut_with_an_overlap() {
        assert_eq!(pieces("abcdefgh", LIMITS), ["abcdefgh"]);
        assert_eq!(pieces("abcdefghi", LIMITS), ["abcdefgh", "ghi"]);
        assert_eq!(pieces("äöüßéèêë", LIMITS), ["äöüßéèêë"]);
        assert_eq!(pieces("äöüßéèêëñ", LIMITS), ["äöüßéèêë", "êëñ"]);
        let uncut = Limits { overlap: 0, ..LIMITS };
        let over = RemoteError::TooLarge { got: 9, limit: 8, unit: "code points" };
        assert_eq!(cut("abcdefghi", uncut), Err(over));
    }

    #[test]
    fn calls_hold_so_many_texts_and_so_much_text() {
        let counts = |texts: &[&str]| {
            let calls = dealt(texts, LIMITS).unwrap();
            calls.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(counts(&["a", "b", "c"]), [3]);
        assert_eq!(counts(&["a", "b", "c", "d"]), [3, 1]);
        assert_eq!(counts(&["12345678", "90"]), [2]);
        assert_eq!(counts(&["12345678", "901"]), [1, 1]);
        let gap = Limits { gap: 2, ..LIMITS };
        assert_eq!(dealt(&["1234", "5678"], gap).unwrap().len(), 1);
        assert_eq!(dealt(&["1234", "56789"], gap).unwrap().len(), 2);
        assert_eq!(counts(&["", " \n\t", "\u{a0}"]), [0; 0]);
        // Invisible is not blank.
        assert_eq!(counts(&["\u{200b}"]), [1]);
    }

    #[test]
    fn offsets_find_their_bytes_or_nothing() {
        let text = "aé😀z";
        let one = |unit, start, end| to_bytes(text, unit, &[(start, end)]).map(|found| found[0].clone());
        assert_eq!(one(Unit::CodePoint, 1, 3), Some(1..7));
        assert_eq!(one(Unit::CodePoint, 3, 4), Some(7..8));
        assert_eq!(one(Unit::Utf16, 2, 4), Some(3..7));
        assert_eq!(one(Unit::Utf16, 2, 3), None, "half a surrogate pair");
        assert_eq!(one(Unit::Byte, 3, 7), Some(3..7));
        assert_eq!(one(Unit::Byte, 2, 7), None, "half a character");
        assert_eq!(one(Unit::CodePoint, 3, 5), None, "past the end");
        assert_eq!(one(Unit::CodePoint, 2, 2), None, "empty");
        assert_eq!(one(Unit::CodePoint, 3, 2), None, "backwards");
        assert_eq!(to_bytes(text, Unit::CodePoint, &[(2, 3), (0, 1)]), Some(vec![3..7, 0..1]));
    }

    proptest! {
        #[test]
        fn pieces_cover_a_text_and_anything_short_is_whole_in_one(
            text in "[a-cäß😀 ]{0,60}", limit in 4_usize..20, overlap in 1_usize..3,
            unit in prop_oneof![Just(Unit::Byte), Just(Unit::CodePoint), Just(Unit::Utf16)],
        ) {
            // A character has up to four bytes, so less overlap than that can vanish.
            let overlap = if unit == Unit::CodePoint { overlap } else { 4 };
            let limit = limit.max(overlap * 2);
            let limits = Limits { text: limit, unit, overlap, texts: 1, total: limit, gap: 0 };
            let pieces = cut(&text, limits).unwrap();
            prop_assert_eq!(pieces.first().unwrap().0.start, 0);
            prop_assert_eq!(pieces.last().unwrap().0.end, text.len());
            for (range, units) in &pieces {
                prop_assert_eq!(unit.len(&text[range.clone()]), *units);
                prop_assert!(*units <= limit);
            }
            for pair in pieces.windows(2) {
                let common = unit.len(&text[pair[1].0.start..pair[0].0.end]);
                prop_assert!(common <= overlap && common + 3 >= overlap, "{} of {}", common, overlap);
                prop_assert!(pair[1].0.start > pair[0].0.start);
            }
        }
    }
}
