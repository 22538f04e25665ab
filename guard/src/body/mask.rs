//! Parts of a body replaced, and every other byte kept.

use std::ops::Range;

/// What is put in the place of a range of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splice {
    /// The bytes that go. Both ends lie between characters and escapes.
    pub range: Range<usize>,
    /// What comes: it stands in a JSON string, at any level, and so must need no escape.
    pub with: String,
}

/// Splices in their order, none of which overlaps another. Of two that do the one that begins first is taken, and reaches
/// to the end of both: what was to go, goes.
pub fn disjoint(mut splices: Vec<Splice>) -> Vec<Splice> {
    splices.sort_by_key(|splice| (splice.range.start, std::cmp::Reverse(splice.range.end)));
    let mut apart: Vec<Splice> = Vec::with_capacity(splices.len());
    for splice in splices {
        match apart.last_mut().filter(|last| splice.range.start < last.range.end) {
            Some(last) => last.range.end = last.range.end.max(splice.range.end),
            None => apart.push(splice),
        }
    }
    apart
}

/// The body with its splices, made [`disjoint`].
pub fn splice(body: &[u8], splices: Vec<Splice>) -> Vec<u8> {
    let more: usize = splices.iter().map(|splice| splice.with.len()).sum();
    let mut out = Vec::with_capacity(body.len() + more);
    let mut at = 0;
    for splice in disjoint(splices) {
        out.extend_from_slice(body.get(at..splice.range.start).unwrap_or_default());
        out.extend_from_slice(splice.with.as_bytes());
        at = splice.range.end.min(body.len());
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}
