//! Masked values put back into an answer.

use super::Guard;
use super::table::TABLE;
use bytes::Bytes;
use narrows_guard::body::{Splice, splice};
use narrows_guard::json::{self, Spot, Walk};
use narrows_guard::unmask::{Level, Placeholders, Unmasker};

impl Guard {
    /// The answer with values in the place of their placeholders; `None` if none stands in it.
    pub(crate) fn put_back(&self, answer: &[u8], placeholders: &Placeholders) -> Option<Bytes> {
        let text = std::str::from_utf8(answer).ok()?;
        match splices(text, placeholders) {
            Some(splices) if splices.is_empty() => None,
            Some(splices) => Some(splice(answer, splices).into()),
            None => unmasked(text, placeholders, Level::Plain).map(Bytes::from),
        }
    }
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
    let splices = values.filter_map(|value| {
        let level = if value.spot == Spot::Json { Level::JsonInJson } else { Level::Json };
        let with = unmasked(text.get(value.raw.clone())?, placeholders, level)?;
        Some(Splice { range: value.raw.clone(), with })
    });
    Some(splices.collect())
}

/// A text with values in the place of their placeholders; `None` if none stands in it.
fn unmasked(text: &str, placeholders: &Placeholders, level: Level) -> Option<String> {
    memchr::memchr(b'[', text.as_bytes())?;
    let mut out = String::with_capacity(text.len());
    let mut unmasker = Unmasker::new(placeholders, level);
    unmasker.push(text, &mut out);
    (unmasker.finish(&mut out) > 0).then_some(out)
}
