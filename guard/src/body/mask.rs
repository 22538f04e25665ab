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

/// Two steps of splicing as one: `first` made `between` of a body, `second` is for `between`; what comes of it makes of
/// the body what both make of it in turn. Those of each step are [`disjoint`].
pub fn compose(first: Vec<Splice>, between: &str, second: Vec<Splice>) -> Vec<Splice> {
    let mut first = placed(first).into_iter().peekable();
    let mut second = second.into_iter().peekable();
    let mut composed = Vec::new();
    // How far both run alike: behind the last splice of the first step, between and in the body.
    let (mut there, mut here) = (0, 0);
    loop {
        let starts = [first.peek().map(|(at, _)| at.start), second.peek().map(|splice| splice.range.start)];
        let Some(start) = starts.into_iter().flatten().min() else { return composed };
        let (mut end, body_start) = (start, here + start.saturating_sub(there));
        let mut inner = Vec::new();
        // All that touch each other are one.
        loop {
            if let Some((at, splice)) = first.next_if(|(at, _)| at.start <= end) {
                end = end.max(at.end);
                (there, here) = (at.end, splice.range.end);
            } else if let Some(splice) = second.next_if(|splice| splice.range.start <= end) {
                end = end.max(splice.range.end);
                inner.push(Splice { range: splice.range.start - start..splice.range.end - start, ..splice });
            } else {
                break;
            }
        }
        let with = splice(between.as_bytes().get(start..end).unwrap_or_default(), inner);
        // Splices lie between characters, and so what they make is text.
        let with = String::from_utf8_lossy(&with).into_owned();
        composed.push(Splice { range: body_start..here + end.saturating_sub(there), with });
    }
}

/// Splices, each with the bytes that it makes.
fn placed(splices: Vec<Splice>) -> Vec<(Range<usize>, Splice)> {
    let (mut at, mut from) = (0, 0);
    let place = |splice: Splice| {
        let start = at + splice.range.start.saturating_sub(from);
        (at, from) = (start + splice.with.len(), splice.range.end);
        (start..at, splice)
    };
    splices.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn splices(of: usize) -> impl Strategy<Value = Vec<Splice>> {
        let one = (0..=of, 0..=of, "[x-zä]{0,3}");
        proptest::collection::vec(one, 0..5).prop_map(|list| {
            let made = |(a, b, with): (usize, usize, String)| Splice { range: a.min(b)..a.max(b), with };
            let mut made = disjoint(list.into_iter().map(made).collect());
            // Two that stand at one place could be taken in either order.
            made.dedup_by(|next, last| next.range.start == last.range.start);
            made
        })
    }

    proptest! {
        #[test]
        fn two_steps_composed_are_both_in_turn(
            body in "[a-f]{12}", first in splices(12), second in splices(8),
        ) {
            let between = String::from_utf8(splice(body.as_bytes(), first.clone())).unwrap();
            let fits = |splice: &Splice| {
                between.is_char_boundary(splice.range.start) && between.is_char_boundary(splice.range.end)
                    && splice.range.end <= between.len()
            };
            let second: Vec<Splice> = second.into_iter().filter(fits).collect();
            let both = splice(between.as_bytes(), second.clone());
            let composed = compose(first, &between, second);
            prop_assert_eq!(splice(body.as_bytes(), composed.clone()), both);
            prop_assert_eq!(disjoint(composed.clone()), composed);
        }
    }
}
