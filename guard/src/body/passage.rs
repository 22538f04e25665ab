//! The texts of a body one by one, as they read, for those who judge them elsewhere.

use crate::finding::Provenance;
use crate::json::{self, Malformed, Spot, Table, Text, Walk};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// A text of a body, with every escape undone.
#[derive(Clone, PartialEq, Eq)]
pub struct Passage {
    /// Where it stands, as people write it; no two passages of a body have the same.
    pub path: Box<str>,
    /// Who wrote it.
    pub provenance: Provenance,
    /// The text.
    pub text: String,
    /// The string in the body, without quotes.
    raw: Range<usize>,
    /// The string within that string, where its content is JSON, in the content's bytes.
    inner: Option<Range<usize>>,
    /// How often escapes were undone.
    levels: u8,
}

impl fmt::Debug for Passage {
    /// Where it stands and how long it is; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage")
            .field("path", &self.path)
            .field("provenance", &self.provenance)
            .field("bytes", &self.text.len())
            .field("raw", &self.raw)
            .finish_non_exhaustive()
    }
}

/// The texts of a body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passages {
    /// In the order of the body. Names of members, numbers and blank strings are not among them.
    pub list: Vec<Passage>,
    /// Whether there are more strings than are followed.
    pub more: bool,
}

impl Passages {
    /// The one text of a body that is a text.
    pub fn whole(text: &str, provenance: Provenance) -> Passages {
        let list = match text.trim().is_empty() {
            true => Vec::new(),
            false => vec![Passage::plain("text", provenance, text.to_owned())],
        };
        Passages { list, more: false }
    }

    /// The texts of a JSON body, those of JSON within its strings apart.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn of(body: &str, table: &Table) -> Result<Passages, Malformed> {
        let mut walk = Walk::default();
        json::walk(body, table, &mut walk)?;
        let mut making = Making { body, walk: &walk, paths: HashSet::new(), passages: Passages::default() };
        making.passages.more = walk.more;
        for text in &walk.texts {
            making.text(text);
        }
        Ok(making.passages)
    }
}

impl Passage {
    /// A text that stands by itself, in no body.
    pub fn plain(path: &str, provenance: Provenance, text: String) -> Passage {
        Passage { path: path.into(), provenance, raw: 0..text.len(), text, inner: None, levels: 0 }
    }

    /// A text as it must stand in the body, in the place of a part of this one.
    pub fn written(&self, text: &str) -> String {
        let mut written = text.to_owned();
        for _ in 0..self.levels {
            let quoted = serde_json::Value::from(written).to_string();
            written = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned();
        }
        written
    }
}

/// A place in one of several passages: which one, where in its text, and whose end it is.
struct End {
    passage: usize,
    place: usize,
    of: usize,
}

/// Turns places in texts of a body, each with the index of its passage, into places in the body: what is to be replaced
/// there. Places are character boundaries. Every string of the body is read once, however many texts are within it.
pub fn locate(body: &str, passages: &[Passage], places: &mut [(usize, Range<usize>)]) {
    let both = |(at, (passage, range)): (usize, &(usize, Range<usize>))| {
        let end = |side, place| End { passage: *passage, place, of: 2 * at + side };
        [end(0, range.start), end(1, range.end)]
    };
    let mut ends: Vec<End> = places.iter().enumerate().flat_map(both).collect();
    let stands = |end: &End| passages.get(end.passage).map(|of| (of.raw.start, inner_start(of)));
    ends.sort_by_key(|end| (stands(end), end.passage, end.place));
    let string = |end: &End| stands(end).map(|(raw, _)| raw);
    for ends in ends.chunk_by_mut(|one, other| string(one) == string(other)) {
        in_string(body, passages, ends);
    }
    for End { place, of, .. } in ends {
        if let Some((_, range)) = places.get_mut(of / 2) {
            *(if of % 2 == 0 { &mut range.start } else { &mut range.end }) = place;
        }
    }
}

/// [`locate`] for places in one string of the body, in rising order.
fn in_string(body: &str, passages: &[Passage], ends: &mut [End]) {
    let of = |end: &End| passages.get(end.passage);
    let Some(first) = ends.first().and_then(of).filter(|first| first.levels > 0) else { return };
    let raw = body.get(first.raw.clone()).unwrap_or_default();
    let mut places: Vec<usize> = Vec::with_capacity(ends.len());
    let mut outer = String::new();
    if first.inner.is_some() {
        outer.reserve(raw.len());
        json::decode(raw, &mut outer);
    }
    for ends in ends.chunk_by(|one, other| one.passage == other.passage) {
        let begin = places.len();
        places.extend(ends.iter().map(|end| end.place));
        let inner = ends.first().and_then(of).and_then(|passage| passage.inner.clone());
        if let (Some(inner), Some(places)) = (inner, places.get_mut(begin..)) {
            json::locate(outer.get(inner.clone()).unwrap_or_default(), places);
            places.iter_mut().for_each(|place| *place += inner.start);
        }
    }
    json::locate(raw, &mut places);
    ends.iter_mut().zip(places).for_each(|(end, place)| end.place = place + first.raw.start);
}

fn inner_start(passage: &Passage) -> usize {
    passage.inner.as_ref().map_or(0, |inner| inner.start)
}

/// Passages in the making.
struct Making<'a> {
    body: &'a str,
    walk: &'a Walk,
    paths: HashSet<Box<str>>,
    passages: Passages,
}

impl Making<'_> {
    fn text(&mut self, text: &Text) {
        if !matches!(text.spot, Spot::Value | Spot::Json) {
            return;
        }
        let read = read(self.body, text);
        let path = self.walk.path(self.body, text);
        if text.spot == Spot::Json && self.nested(text, &read, &path) {
            return;
        }
        self.keep(text, path, read, None);
    }

    /// The strings of JSON within a string. Says whether it is JSON.
    fn nested(&mut self, text: &Text, read_outer: &str, path: &str) -> bool {
        let mut inner = Walk::default();
        let is_json = read_outer.trim_start().starts_with(['{', '['])
            && json::walk(read_outer, &Table::everything(), &mut inner).is_ok();
        if !is_json {
            return false;
        }
        self.passages.more |= inner.more;
        for nested in inner.texts.iter().filter(|nested| matches!(nested.spot, Spot::Value | Spot::Json)) {
            let path = format!("{path}/{}", inner.path(read_outer, nested));
            self.keep(text, path, read(read_outer, nested), Some(nested.raw.clone()));
        }
        true
    }

    fn keep(&mut self, text: &Text, path: String, read: String, inner: Option<Range<usize>>) {
        if read.trim().is_empty() {
            return;
        }
        let path = self.unique(path);
        self.passages.list.push(Passage {
            path,
            provenance: text.provenance.unwrap_or_default(),
            text: read,
            raw: text.raw.clone(),
            levels: 1 + u8::from(inner.is_some()),
            inner,
        });
    }

    /// Members may come twice, and names that nobody knows may be shown alike.
    fn unique(&mut self, path: String) -> Box<str> {
        let mut unique: Box<str> = path.as_str().into();
        let mut count = self.passages.list.len();
        while !self.paths.insert(unique.clone()) {
            count += 1;
            unique = format!("{path}#{count}").into();
        }
        unique
    }
}

/// A string as it reads.
fn read(body: &str, text: &Text) -> String {
    let raw = body.get(text.raw.clone()).unwrap_or_default();
    if !text.escaped {
        return raw.to_owned();
    }
    let mut read = String::with_capacity(raw.len());
    json::decode(raw, &mut read);
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Splice, splice};
    use crate::json::{Entry, Meaning, Place};
    use proptest::prelude::*;
    use serde_json::json;

    fn table() -> Table {
        Table::new(&[
            Entry { name: "id", place: Place::Anywhere, meaning: Meaning::Opaque },
            Entry { name: "arguments", place: Place::Anywhere, meaning: Meaning::Json },
        ])
    }

    fn of(body: &str) -> Vec<Passage> {
        Passages::of(body, &table()).unwrap().list
    }

    #[test]
    fn texts_are_listed_as_they_read() {
        let arguments = json!({"q": "a \"b\"", "n": 123_456_789}).to_string();
        let body = json!({"id": "left alone", "messages": [{"content": "zwölf\n"}, {"content": "  "}],
            "arguments": arguments})
        .to_string();
        let list = of(&body);
        let mut listed: Vec<(&str, &str)> = list.iter().map(|one| (&*one.path, &*one.text)).collect();
        listed.sort_unstable();
        assert_eq!(listed, [("arguments/q", "a \"b\""), ("messages[0].content", "zwölf\n")]);
        assert!(!format!("{list:?}").contains("zwölf"));
    }

    #[test]
    fn paths_are_told_apart() {
        let list = of(r#"{"a":"one","a":"two","a":"three"}"#);
        let paths: HashSet<&str> = list.iter().map(|one| &*one.path).collect();
        assert_eq!((list.len(), paths.len()), (3, 3), "{list:?}");
    }

    #[test]
    fn what_is_no_json_is_one_text() {
        let text = "say \\ \"what\"";
        let list = Passages::whole(text, Provenance::Assistant).list;
        let mut places = [(0, 4..5), (0, 0..text.len())];
        locate(text, &list, &mut places);
        assert_eq!(places, [(0, 4..5), (0, 0..text.len())]);
        assert_eq!(list[0].written("\"\\"), "\"\\");
        assert!(Passages::whole(" \n", Provenance::User).list.is_empty());
        assert!(Passages::of("{", &table()).is_err());
    }

    proptest! {
        /// Whatever a text is made of, and however deep it stands, what replaces a part of it reads as it should, and
        /// every other text stays as it was.
        #[test]
        fn what_is_written_in_the_place_of_a_part_reads_so(
            text in "[a-c\"\\\\\n\u{1}äß😀/]{2,12}", new in "[xyz\"\\\\\n\t{}]{0,8}", other in "[a\"\\\\]{1,5}b",
            nested: bool, cut in (0_usize..12, 0_usize..12), ascii: bool,
        ) {
            let value = |text: &str| match nested {
                true => json!({"other": other, "arguments": json!({"b": other, "c": text}).to_string()}),
                false => json!({"other": other, "content": text}),
            };
            let mut body = value(&text).to_string();
            if ascii {
                body = body.replace('ä', "\\u00e4").replace('😀', "\\ud83d\\ude00");
            }
            prop_assume!(!text.trim().is_empty());
            let list = of(&body);
            let at = list.iter().position(|one| one.path.ends_with(['c', 't'])).unwrap();
            let passage = &list[at];
            prop_assert_eq!(list.len(), if nested { 3 } else { 2 });
            let bounds: Vec<usize> = (0..=passage.text.len()).filter(|at| passage.text.is_char_boundary(*at)).collect();
            let (from, to) = (bounds[cut.0 % bounds.len()], bounds[cut.1 % bounds.len()]);
            let range = from.min(to)..from.max(to);
            let mut raw = [(at, range.clone())];
            locate(&body, &list, &mut raw);
            let splices = vec![Splice { range: raw[0].1.clone(), with: passage.written(&new) }];
            let changed = String::from_utf8(splice(body.as_bytes(), splices)).unwrap();
            let mut wanted = passage.text.clone();
            wanted.replace_range(range, &new);
            let read: serde_json::Value = serde_json::from_str(&changed).unwrap();
            prop_assert_eq!(read, value(&wanted));
        }

        /// Places that are turned at once, in any order and of any of the texts, are what each is by itself.
        #[test]
        fn places_turned_at_once_are_those_turned_one_by_one(
            texts in proptest::collection::vec("[a-b\"\\\\\n\u{1}ä😀]{1,6}c", 1..6),
            picked in proptest::collection::vec((0_usize..20, 0_usize..12, 0_usize..12), 0..12),
        ) {
            let arguments = json!({"deep": texts}).to_string();
            let body = json!({"content": texts, "arguments": arguments, "more": [{"arguments": arguments}]}).to_string();
            let list = of(&body);
            prop_assert_eq!(list.len(), 3 * texts.len());
            let place = |(passage, from, to): (usize, usize, usize)| {
                let passage = passage % list.len();
                let text = &list[passage].text;
                let bounds: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
                let (from, to) = (bounds[from % bounds.len()], bounds[to % bounds.len()]);
                (passage, from.min(to)..from.max(to))
            };
            let places: Vec<(usize, Range<usize>)> = picked.into_iter().map(place).collect();
            let mut at_once = places.clone();
            locate(&body, &list, &mut at_once);
            for (mut alone, at_once) in places.into_iter().zip(at_once) {
                locate(&body, &list, std::slice::from_mut(&mut alone));
                prop_assert_eq!(alone, at_once);
            }
        }
    }
}
