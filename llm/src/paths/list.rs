//! Lists of objects: a page of everybody's, of which the caller's own stay.

use super::ids::{self, Named};
use crate::dialect::Family;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Most items of a page; providers give at most 10,000 (files of OpenAI's).
pub const ITEMS_MAX: usize = 10_000;

/// A page as the provider gave it. Borrows from its bytes: items stay as they are.
#[derive(Debug)]
pub struct Page<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Which member is the list.
    at: Option<usize>,
    items: Vec<&'a RawValue>,
    /// The id of each item; the `name` of Gemini's.
    pub ids: Vec<Box<str>>,
    /// Where the next page is, if there is one.
    pub next: Option<Next>,
}

/// Where the next page is: a parameter of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The parameter.
    pub parameter: &'static str,
    /// Its value, as it is meant, not as it is written in a query.
    pub value: Box<str>,
}

impl<'a> Page<'a> {
    /// Reads a page; `None` when it is none, or holds an item without an id, or more than [`ITEMS_MAX`].
    pub fn read(family: Family, body: &'a [u8]) -> Option<Page<'a>> {
        let Members(members) = serde_json::from_slice(body).ok()?;
        let gemini = family == Family::Gemini;
        let is_list = |name: &str, raw: &RawValue| {
            if gemini { raw.get().starts_with('[') } else { name == "data" }
        };
        let at = members.iter().position(|(name, raw)| is_list(name, raw));
        // Gemini leaves an empty list out.
        let items: Vec<&RawValue> = match at.and_then(|at| members.get(at)) {
            Some((_, raw)) => serde_json::from_str(raw.get()).ok()?,
            None if gemini => Vec::new(),
            None => return None,
        };
        if items.len() > ITEMS_MAX {
            return None;
        }
        let ids = items.iter().map(|item| id(item, gemini)).collect::<Option<Vec<_>>>()?;
        let next = next(family, &members, &ids);
        Some(Page { members, at, items, ids, next })
    }

    /// What each item names beside itself: a batch its output files, say.
    pub fn named(&self, family: Family) -> impl Iterator<Item = Named> + '_ {
        self.items.iter().map(move |item| ids::named(family, item.get().as_bytes()))
    }

    /// The page with those items for which `keep` says so. What stays is as it was; `first_id` and `last_id` name what
    /// is there, so that asking on from them goes on after it.
    pub fn keeping(&self, keep: &[bool]) -> Vec<u8> {
        let kept =
            || self.items.iter().zip(&self.ids).zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item);
        let mut out = Vec::new();
        for (nth, (name, raw)) in self.members.iter().enumerate() {
            out.push(if nth == 0 { b'{' } else { b',' });
            crate::request::text::push_string(&mut out, name);
            out.push(b':');
            if Some(nth) == self.at {
                for (nth, (item, _)) in kept().enumerate() {
                    out.push(if nth == 0 { b'[' } else { b',' });
                    out.extend_from_slice(item.get().as_bytes());
                }
                out.extend_from_slice(if kept().next().is_none() { b"[]" } else { b"]" });
                continue;
            }
            let end = match &**name {
                "first_id" => kept().next(),
                "last_id" => kept().next_back(),
                _ => {
                    out.extend_from_slice(raw.get().as_bytes());
                    continue;
                }
            };
            match end {
                Some((_, id)) => crate::request::text::push_string(&mut out, id),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(if self.members.is_empty() { b"{}" } else { b"}" });
        out
    }
}

fn id(item: &RawValue, gemini: bool) -> Option<Box<str>> {
    #[derive(serde::Deserialize)]
    struct Item {
        id: Option<Box<str>>,
        name: Option<Box<str>>,
    }
    let item: Item = serde_json::from_str(item.get()).ok()?;
    if gemini { item.name } else { item.id }
}

fn next(family: Family, members: &[(Cow<'_, str>, &RawValue)], ids: &[Box<str>]) -> Option<Next> {
    let raw = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, raw)| raw.get());
    let text = |wanted: &str| serde_json::from_str::<Option<Box<str>>>(raw(wanted)?).ok().flatten();
    let parameter = match family {
        Family::Gemini => {
            let value = text("nextPageToken").filter(|token| !token.is_empty())?;
            return Some(Next { parameter: "pageToken", value });
        }
        Family::Openai => "after",
        Family::Anthropic => "after_id",
    };
    (raw("has_more") == Some("true")).then_some(())?;
    let value = text("last_id").or_else(|| ids.last().cloned())?;
    Some(Next { parameter, value })
}

/// The members of an object, in order.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(name), raw));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Read)
    }
}

/// The query with `parameter` set to `value`, whatever it was before.
pub fn with_parameter(query: &str, next: &Next) -> String {
    let other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(next.parameter);
    let mut out = query.split('&').filter(other).collect::<Vec<_>>().join("&");
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(next.parameter);
    out.push('=');
    for byte in next.value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &[u8] = br#"{"object":"list","data":[{"id":"a","x":1.50},{"id":"b"}, {"id":"c","y":"\u00e9"}],"first_id":"a","last_id":"c","has_more":true}"#;

    #[test]
    fn what_stays_is_as_it_was_and_the_ends_name_it() {
        let page = Page::read(Family::Openai, OPENAI).unwrap();
        assert_eq!(page.ids.iter().map(|id| &**id).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(page.next, Some(Next { parameter: "after", value: "c".into() }));
        let text = |keep: &[bool]| String::from_utf8(page.keeping(keep)).unwrap();
        assert_eq!(
            text(&[true, false, true]),
            r#"{"object":"list","data":[{"id":"a","x":1.50},{"id":"c","y":"\u00e9"}],"first_id":"a","last_id":"c","has_more":true}"#
        );
        assert_eq!(
            text(&[false, true, false]),
            r#"{"object":"list","data":[{"id":"b"}],"first_id":"b","last_id":"b","has_more":true}"#
        );
        assert_eq!(
            text(&[false; 3]),
            r#"{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":true}"#
        );
    }

    #[test]
    fn pages_of_every_family_are_read() {
        let anthropic = br#"{"data":[{"id":"f1"}],"has_more":true,"first_id":"f1","last_id":"f1"}"#;
        let page = Page::read(Family::Anthropic, anthropic).unwrap();
        assert_eq!(page.next, Some(Next { parameter: "after_id", value: "f1".into() }));
        let gemini = br#"{"files":[{"name":"files/a"}],"nextPageToken":"t="}"#;
        let page = Page::read(Family::Gemini, gemini).unwrap();
        assert_eq!((&*page.ids[0], page.next.as_ref().map(|next| &*next.value)), ("files/a", Some("t=")));
        assert_eq!(page.keeping(&[false]), br#"{"files":[],"nextPageToken":"t="}"#);
        let empty = Page::read(Family::Gemini, b"{}").unwrap();
        assert!(empty.ids.is_empty() && empty.next.is_none());
        assert_eq!(empty.keeping(&[]), b"{}");
        let last = br#"{"object":"list","data":[{"id":"a"}],"has_more":false}"#;
        assert_eq!(Page::read(Family::Openai, last).unwrap().next, None);
    }

    #[test]
    fn what_is_no_page_of_objects_is_not_taken_for_an_empty_one() {
        for body in
            [&b"no"[..], b"[]", b"{}", br#"{"data":{}}"#, br#"{"data":[{"no":"id"}]}"#, br#"{"data":[1]}"#]
        {
            assert!(Page::read(Family::Openai, body).is_none(), "{}", body.escape_ascii());
        }
        let many = |count: usize| format!(r#"{{"data":[{}]}}"#, vec![r#"{"id":"a"}"#; count].join(","));
        assert!(Page::read(Family::Openai, many(ITEMS_MAX).as_bytes()).is_some());
        assert!(Page::read(Family::Openai, many(ITEMS_MAX + 1).as_bytes()).is_none());
    }

    #[test]
    fn a_parameter_takes_the_place_of_its_older_value() {
        let next = Next { parameter: "after", value: "a=b".into() };
        assert_eq!(with_parameter("limit=2&after=x", &next), "limit=2&after=a%3Db");
        assert_eq!(with_parameter("", &next), "after=a%3Db");
    }
}
