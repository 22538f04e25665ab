//! Masked values put back into an answer.

use super::Guard;
use super::table::TABLE;
use bytes::Bytes;
use narrows_guard::body::{Splice, disjoint, splice};
use narrows_guard::json::{self, Spot, Walk};
use narrows_guard::placeholder::Minter;
use narrows_guard::unmask::{Level, Placeholders, Seeker, escape};
use std::ops::Range;

impl Guard {
    /// The answer with values in the place of their placeholders; `None` if none stands in it. Those that `stay` were put
    /// there by masks, in their order: what is masked in an answer stays masked.
    pub(crate) fn put_back(
        &self,
        answer: &[u8],
        placeholders: &Placeholders,
        stay: &[Range<usize>],
    ) -> Option<Bytes> {
        let text = std::str::from_utf8(answer).ok()?;
        let mut back = splices(text, placeholders).unwrap_or_else(|| {
            let mut back = Vec::new();
            places(text, 0, placeholders, Level::Plain, &mut back);
            back
        });
        back.retain(|splice| {
            let next = stay.partition_point(|range| range.end <= splice.range.start);
            stay.get(next).is_none_or(|range| splice.range.end <= range.start)
        });
        (!back.is_empty()).then(|| splice(answer, back).into())
    }
}

/// Where placeholders that were minted for an answer stand in the text that its masks make, in their order.
pub(crate) fn minted_in(masks: Vec<Splice>, minter: Option<&Minter>) -> Vec<Range<usize>> {
    let Some(minter) = minter else { return Vec::new() };
    let minted = Placeholders::new(minter, |_, _| true);
    // How much text stands before the mask, as the masks before it made it.
    let (mut places, mut longer, mut shorter) = (Vec::new(), 0, 0);
    for Splice { range, with } in disjoint(masks) {
        let start = range.start + longer - shorter;
        Seeker::new(&minted).push(&with, &mut |place, _| places.push(start + place.start..start + place.end));
        longer += with.len();
        shorter += range.len();
    }
    places
}

/// The values that come back into the texts of a JSON document; none of what is no JSON.
pub(super) fn values_back(document: &str, placeholders: &Placeholders) -> Vec<Splice> {
    splices(document, placeholders).unwrap_or_default()
}

/// `None` if it is no JSON.
fn splices(text: &str, placeholders: &Placeholders) -> Option<Vec<Splice>> {
    let mut walk = Walk::default();
    json::walk(text, &TABLE, &mut walk).ok()?;
    let values = walk.texts.iter().filter(|text| matches!(text.spot, Spot::Value | Spot::Json));
    let mut back = Vec::new();
    for value in values {
        let level = if value.spot == Spot::Json { Level::JsonInJson } else { Level::Json };
        places(text.get(value.raw.clone())?, value.raw.start, placeholders, level, &mut back);
    }
    Some(back)
}

/// Adds the values of the placeholders in a text that begins at `start`.
fn places(text: &str, start: usize, placeholders: &Placeholders, level: Level, back: &mut Vec<Splice>) {
    Seeker::new(placeholders).push(text, &mut |place, value| {
        let mut with = String::with_capacity(value.len() + 2);
        escape(value, level, &mut with);
        back.push(Splice { range: start + place.start..start + place.end, with });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_guard::Class;
    use narrows_guard::placeholder::Key;

    #[test]
    fn places_of_masks_are_those_of_the_text_that_they_make() {
        let mut minter = Minter::new(Key::new([3; 32]));
        let ann = minter.mint(Class::Pii, "EMAIL", "ann@x.org");
        let text = "to ann@x.org, or a@b.io: ann@x.org";
        let mask = |range: Range<usize>, with: &str| Splice { range, with: with.to_owned() };
        // Out of order, one of a rewriting's words, one within a rewriting, and one that makes the text shorter.
        let rewritten = format!("[me] {ann}");
        let masks = vec![mask(25..34, &rewritten), mask(3..12, &ann), mask(14..16, "")];
        let made = String::from_utf8(splice(text.as_bytes(), masks.clone())).unwrap();
        let places = minted_in(masks.clone(), Some(&minter));
        assert_eq!(places.iter().map(|place| &made[place.clone()]).collect::<Vec<_>>(), [&*ann, &*ann]);
        assert!(minted_in(masks, None).is_empty());
    }
}
