//! Ids of stored objects in bodies: those that an answer gives, and those that a request refers to.

use crate::dialect::Family;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// Most references that one request may hold.
pub const REFERENCES_MAX: usize = 1_024;

/// What an answer names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// The object itself: its `id`, or the `name` of Gemini's (`files/…`).
    pub id: Option<Box<str>>,
    /// Files that came to be with it: a batch's output and errors, a finished upload's file, a job's results.
    pub files: Vec<Box<str>>,
    /// When the provider deletes it, in seconds since the epoch; files only.
    pub expires_at: Option<i64>,
}

/// Reads what an answer names; of what is no JSON object, nothing is known.
pub fn named(family: Family, body: &[u8]) -> Named {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Named::default() };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(Box::from);
    let name = if family == Family::Gemini { "name" } else { "id" };
    let nested = value.get("file").filter(|file| file.is_object());
    // Gemini wraps a new file; a finished upload has its file beside its own id.
    let own = value.get(name).or_else(|| nested?.get(name)).and_then(text);
    let mut files: Vec<Box<str>> = Vec::new();
    files.extend(nested.and_then(|file| file.get(name)).and_then(text));
    for pointer in [
        "/output_file_id",
        "/error_file_id",
        "/response/responsesFile",
        "/metadata/output/responsesFile",
        "/dest/fileName",
    ] {
        files.extend(value.pointer(pointer).and_then(text));
    }
    for result in value.get("result_files").and_then(Value::as_array).into_iter().flatten() {
        files.extend(text(result));
    }
    let is_file = value.get("object").and_then(Value::as_str) == Some("file");
    let expires_at = value.get("expires_at").filter(|_| is_file).and_then(Value::as_i64);
    Named { id: own, files, expires_at }
}

/// The id of the object that an answer begins with, where only its beginning is there: the text of its first member `id`
/// (`name` of Gemini's, also in `file`), if that came whole.
pub fn named_at_start(family: Family, start: &[u8]) -> Option<Box<str>> {
    let mut found = None;
    let name = if family == Family::Gemini { "name" } else { "id" };
    let mut reader = serde_json::Deserializer::from_slice(start);
    // It ends with a fault where the beginning does; what was found until then is what counts.
    let _cut = Start { found: &mut found, name, within: family == Family::Gemini }.deserialize(&mut reader);
    found
}

/// Reads an object up to the member with its id.
struct Start<'f> {
    found: &'f mut Option<Box<str>>,
    name: &'static str,
    /// Whether the object may stand in a member `file`.
    within: bool,
}

impl<'de> DeserializeSeed<'de> for Start<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Start<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Start { found, name, within } = self;
        while let Some(member) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            if member == name && found.is_none() {
                *found = members.next_value::<Option<Box<str>>>()?.filter(|id| !id.is_empty());
            } else if within && member == "file" {
                members.next_value_seed(Start { found: &mut *found, name, within: false })?;
            } else {
                members.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An object that a request refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The member that names it.
    pub member: &'static str,
    /// The object's id.
    pub id: Box<str>,
}

/// Members whose text is the id of an object, or a list of such; of each, what it is called here.
///
/// Sources: the vendors' SDK types (openai-python, anthropic-sdk-python) and ai.google.dev/api, seen 2026-11.
const MEMBERS: &[&str] = &[
    "file_id",
    "file_ids",
    "input_file_id",
    "training_file",
    "validation_file",
    "previous_response_id",
    "conversation",
    "vector_store_id",
    "vector_store_ids",
    "container",
    "cachedContent",
    "cached_content",
    "fileUri",
    "file_uri",
    "fileName",
    "file_name",
];

/// Whether a body can hold a reference at all. A look that costs far less than reading it: names are searched as they
/// are, in their quotes where they are words of prose too, and a body in which a name could be written with escapes
/// counts as one that can.
pub fn may_refer(body: &[u8]) -> bool {
    use memchr::memmem::{find, find_iter};
    let has = |part: &[u8]| find(body, part).is_some();
    let has_any = |parts: &[&[u8]]| parts.iter().any(|part| has(part));
    // Of the escapes only those of letters and the underscore: U+0040 to U+007F.
    let escapes = || {
        find_iter(body, b"\\u00").any(|at| body.get(at + 4).is_some_and(|digit| matches!(digit, b'4'..=b'7')))
    };
    let file: &[&[u8]] = &[
        b"file_id",
        b"training_file\"",
        b"validation_file\"",
        b"\"fileUri\"",
        b"\"file_uri\"",
        b"\"fileName\"",
        b"\"file_name\"",
    ];
    (has(b"file") && has_any(file))
        || has(b"vector_store_id")
        || (has(b"cached") && has_any(&[b"\"cachedContent\"", b"\"cached_content\""]))
        || has(b"\"container\"")
        || escapes()
}

/// A body whose references cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON, or nests too deeply.
    #[error("the body cannot be read for the ids of objects: it is no JSON, or nests deeper than 128 levels")]
    Body,
    /// More than [`REFERENCES_MAX`].
    #[error("the body refers to more than 1024 objects")]
    TooMany,
    /// An address of a file that the provider could take for another one than the gateway.
    #[error(
        "the body names a file by an address that cannot be read for certain; write it as the provider gave it"
    )]
    Address,
}

/// Every object that a body refers to, wherever it stands.
///
/// # Errors
/// [`Unreadable`]: what cannot be read may not be taken for a body without references.
pub fn references(body: &[u8]) -> Result<Vec<Reference>, Unreadable> {
    let mut found = Found { references: Vec::new(), too_many: false, unclear: false };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Walk { found: &mut found, member: None }.deserialize(&mut reader);
    if found.too_many {
        return Err(Unreadable::TooMany);
    }
    if found.unclear {
        return Err(Unreadable::Address);
    }
    read.and_then(|()| reader.end()).map_err(|_error| Unreadable::Body)?;
    Ok(found.references)
}

/// Whether a body can refer to items of earlier responses: a look that costs less than reading it, for a body in which
/// nothing is written with escapes.
pub fn may_refer_to_items(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"item_reference").is_some() || memchr::memmem::find(body, b"\"id\"").is_some()
}

/// The items of earlier responses that a body refers to (`item_reference`), in its `input` or `items`. With `responses` the
/// body is a request for a response, whose input may leave out that an item is a reference.
///
/// Source: openai-python, `types/responses/response_input_item.py`, `ItemReference`: `type` is optional (seen 2026-11).
///
/// # Errors
/// [`Unreadable`]: what cannot be read may not be taken for a body without references.
pub fn items(body: &[u8], responses: bool) -> Result<Vec<Box<str>>, Unreadable> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        input: Option<&'a RawValue>,
        #[serde(borrow)]
        items: Option<&'a RawValue>,
    }
    #[derive(serde::Deserialize)]
    struct Item<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        role: Option<serde::de::IgnoredAny>,
    }
    let text = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<Box<str>>(raw.get()).ok());
    let body: Body<'_> = serde_json::from_slice(body).map_err(|_error| Unreadable::Body)?;
    let mut ids = Vec::new();
    for (list, untyped) in [(body.input, responses), (body.items, false)] {
        let Some(list) = list.map(RawValue::get).filter(|list| list.starts_with('[')) else { continue };
        let list: Vec<&RawValue> = serde_json::from_str(list).map_err(|_error| Unreadable::Body)?;
        for item in list.into_iter().filter(|item| item.get().starts_with('{')) {
            let item: Item<'_> = serde_json::from_str(item.get()).map_err(|_error| Unreadable::Body)?;
            let refers = match item.kind {
                None => untyped && item.role.is_none(),
                kind => text(kind).as_deref() == Some("item_reference"),
            };
            let Some(id) = text(item.id).filter(|id| refers && !id.is_empty()) else { continue };
            if ids.len() >= REFERENCES_MAX {
                return Err(Unreadable::TooMany);
            }
            ids.push(id);
        }
    }
    Ok(ids)
}

struct Found {
    references: Vec<Reference>,
    too_many: bool,
    unclear: bool,
}

impl Found {
    fn add(&mut self, member: &'static str, text: &str) {
        let id = match id_of(member, text) {
            Told::Id(id) => id,
            Told::Nothing => return,
            Told::Unclear => {
                self.unclear = true;
                return;
            }
        };
        if self.references.len() >= REFERENCES_MAX {
            self.too_many = true;
        } else {
            self.references.push(Reference { member, id: id.into() });
        }
    }
}

/// What a member's text names.
enum Told<'t> {
    Id(&'t str),
    /// No object of a provider.
    Nothing,
    /// One perhaps, depending on who reads it.
    Unclear,
}

/// The id in a member's text. Gemini's addresses of files end with one; an address elsewhere is no object of a provider.
fn id_of<'t>(member: &str, text: &'t str) -> Told<'t> {
    let is_id = match member {
        "fileUri" | "file_uri" => return file_at(text.trim()),
        "fileName" | "file_name" if text.contains('%') => {
            let escaped = unescaped(text).is_none_or(|plain| plain.starts_with("files/"));
            return if escaped { Told::Unclear } else { Told::Nothing };
        }
        "fileName" | "file_name" => text.starts_with("files/"),
        // Containers are also asked for by a word (`auto`).
        "container" => text.starts_with("cntr_") || text.starts_with("container_"),
        _ => !text.is_empty(),
    };
    if is_id { Told::Id(text) } else { Told::Nothing }
}

/// The file at an address: `files/abc`, or one that ends so at a host of Google's API.
fn file_at(address: &str) -> Told<'_> {
    let path = match address.split_once("://") {
        None => address,
        Some((_, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
            if !is_google_api(authority) {
                return Told::Nothing;
            }
            path
        }
    };
    // Neither a query nor a method (`:download`) makes it another file.
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path.contains('%') {
        let escaped = unescaped(path).is_none_or(|plain| plain.contains("files/"));
        return if escaped { Told::Unclear } else { Told::Nothing };
    }
    let at = if path.starts_with("files/") { Some(0) } else { path.rfind("/files/").map(|slash| slash + 1) };
    let Some(named) = at.and_then(|at| path.get(at..)) else { return Told::Nothing };
    let named = named.split(':').next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_id = named.strip_prefix("files/").is_some_and(|id| !id.is_empty() && id.bytes().all(plain));
    match address.contains("://") {
        _ if is_id => Told::Id(named),
        true => Told::Unclear,
        // Without a host this may be a word of anybody's, an argument of a function say.
        false => Told::Nothing,
    }
}

/// Whether the authority of an address is a host of Google's APIs, those for buckets apart: objects there are reached by
/// rights of their own.
fn is_google_api(authority: &str) -> bool {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    let Some(host) = unescaped(host) else { return true };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let within = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    within("googleapis.com") && !within("storage.googleapis.com")
}

/// A text without its percent escapes; `None` if one is none, or it is then no text.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            (digit(rest.next()?)? << 4) | digit(rest.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// Walks one value. `member` is the name of interest under which it stands.
struct Walk<'f> {
    found: &'f mut Found,
    member: Option<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if let Some(member) = self.member {
            self.found.add(member, text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Walk { found, member } = self;
        while items.next_element_seed(Walk { found: &mut *found, member })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Walk { found, member: outer } = self;
        // `conversation` and `container` may be objects with an `id`.
        let of_outer = outer.filter(|name| matches!(*name, "conversation" | "container"));
        while let Some(name) = members.next_key_seed(Name)? {
            let member = match name {
                Known::Member(member) => Some(member),
                Known::Id => of_outer,
                Known::Other => None,
            };
            members.next_value_seed(Walk { found: &mut *found, member })?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A member's name, as far as it matters.
enum Known {
    Member(&'static str),
    Id,
    Other,
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Known;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Known, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Known, E> {
        let member = MEMBERS.iter().find(|member| **member == text);
        Ok(match member {
            Some(member) => Known::Member(member),
            None if text == "id" => Known::Id,
            None => Known::Other,
        })
    }
}

/// The models that a batch of messages names (`requests[].params.model`); `None` if one of its requests names none, or it
/// cannot be read.
pub fn batch_models(body: &[u8]) -> Option<Vec<Box<str>>> {
    #[derive(serde::Deserialize)]
    struct Batch {
        requests: Vec<Request>,
    }
    #[derive(serde::Deserialize)]
    struct Request {
        params: Params,
    }
    #[derive(serde::Deserialize)]
    struct Params {
        model: Box<str>,
    }
    let batch: Batch = serde_json::from_slice(body).ok()?;
    Some(batch.requests.into_iter().map(|request| request.params.model).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &str) -> Vec<String> {
        references(body.as_bytes()).unwrap().iter().map(|found| found.id.to_string()).collect()
    }

    #[test]
    fn references_are_found_wherever_they_stand() {
        assert_eq!(
            ids(r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1","x":{"id":"no"}},"tools":[
                {"type":"file_search","vector_store_ids":["vs_1","vs_2"]},
                {"type":"code_interpreter","container":{"type":"auto","file_ids":["file-4"]}},
                {"type":"code_interpreter","container":"cntr_1"}],
               "input":[{"content":[{"type":"input_file","file_id":"file-1"},{"file":{"file_id":"file-2"}}]}]}"#),
            ["resp_1", "conv_1", "vs_1", "vs_2", "file-4", "cntr_1", "file-1", "file-2"]
        );
        assert_eq!(
            ids(
                r#"{"input_file_id":"file-1","f\u0069le_id":"file-2","training_file":"file-3","file_id":null}"#
            ),
            ["file-1", "file-2", "file-3"]
        );
        assert_eq!(
            ids(r#"{"cachedContent":"cachedContents/x","contents":[{"parts":[{"fileData":{"fileUri":
                "https://generativelanguage.googleapis.com/v1beta/files/abc"}},{"fileData":{"fileUri":"gs://b/files/c"}},
                {"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}}]}]}"#),
            ["cachedContents/x", "files/abc"]
        );
        // Schemas and arguments that merely use such a name refer to nothing.
        assert!(
            ids(r#"{"parameters":{"properties":{"file_id":{"type":"string"}}},"container":"auto"}"#)
                .is_empty()
        );
        assert!(ids(r#"{"arguments":"{\"file_id\":\"file-1\"}"}"#).is_empty());
    }

    #[test]
    fn a_file_is_told_from_its_address_however_it_is_written() {
        let told = |uri: &str| {
            let body = serde_json::json!({"fileData": {"fileUri": uri}}).to_string();
            references(body.as_bytes()).map(|found| found.first().map(|one| one.id.to_string()))
        };
        const HOST: &str = "https://generativelanguage.googleapis.com";
        for uri in [
            "files/abc".to_owned(),
            "v1beta/files/abc".to_owned(),
            format!("{HOST}/v1beta/files/abc"),
            format!("{HOST}/v1beta/files/abc?alt=media"),
            format!("{HOST}/v1beta/files/abc:download?alt=media#x"),
            "HTTPS://GenerativeLanguage.GoogleAPIs.com:443/v1beta/files/abc".to_owned(),
            "https://x@generativelanguage.googleapis.com./v1beta/files/abc".to_owned(),
            "https://generativelanguage%2egoogleapis.com/v1beta/files/abc".to_owned(),
        ] {
            assert_eq!(told(&uri), Ok(Some("files/abc".to_owned())), "{uri}");
        }
        for path in
            ["/v1beta/%66iles/abc", "/v1beta/files/a%62c", "/v1beta/files/abc/../def", "/files/", "/%zz"]
        {
            assert_eq!(told(&format!("{HOST}{path}")), Err(Unreadable::Address), "{path}");
        }
        assert_eq!(told("%66iles/abc"), Err(Unreadable::Address));
        assert_eq!(references(br#"{"file_name":"%66iles/abc"}"#), Err(Unreadable::Address));
        for uri in [
            "https://storage.googleapis.com/b/files/c?X-Goog-Signature=%2F",
            "https://example.com/files/abc%20d",
            "gs://b/files/c",
            "src/a%20b.rs",
            "",
        ] {
            assert_eq!(told(uri), Ok(None), "{uri}");
        }
    }

    #[test]
    fn a_body_that_refers_to_something_always_may() {
        for member in
            MEMBERS.iter().filter(|member| !matches!(**member, "previous_response_id" | "conversation"))
        {
            assert!(may_refer(format!(r#"{{"a":[{{"{member}":"x"}}]}}"#).as_bytes()), "{member}");
        }
        assert!(may_refer(br#"{"f\u0069l\u0065_id":"x"}"#));
        assert!(may_refer(br#"{"file\u005fid":"x"}"#) && may_refer(br#"{"\u0063ontainer":"cntr_1"}"#));
        assert!(!may_refer(br#"{"content":"a file in a container, cached caf\u00e9: \"file_name\""}"#));
        assert!(!may_refer(br#"{"model":"gpt-4o","messages":[{"role":"user","text":"hi"}]}"#));
    }

    #[test]
    fn what_cannot_be_read_is_not_without_references() {
        assert_eq!(references(b"{\"a\":"), Err(Unreadable::Body));
        assert_eq!(references(b"{} {}"), Err(Unreadable::Body));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(references(deep.as_bytes()), Err(Unreadable::Body));
        let many = |count: usize| format!(r#"{{"file_ids":[{}]}}"#, vec!["\"f\""; count].join(","));
        assert_eq!(references(many(REFERENCES_MAX).as_bytes()).unwrap().len(), REFERENCES_MAX);
        assert_eq!(references(many(REFERENCES_MAX + 1).as_bytes()), Err(Unreadable::TooMany));
    }

    #[test]
    fn answers_name_objects_and_the_files_that_come_with_them() {
        let batch = named(Family::Openai, br#"{"id":"batch_1","object":"batch","output_file_id":"file-o","error_file_id":null,"expires_at":9}"#);
        assert_eq!((batch.id.as_deref(), batch.expires_at), (Some("batch_1"), None));
        assert_eq!(batch.files, [Box::from("file-o")]);
        let file = named(Family::Openai, br#"{"id":"file-1","object":"file","expires_at":9}"#);
        assert_eq!((file.id.as_deref(), file.expires_at), (Some("file-1"), Some(9)));
        let upload = named(Family::Openai, br#"{"id":"upload_1","file":{"id":"file-2"}}"#);
        assert_eq!((upload.id.as_deref(), &*upload.files), (Some("upload_1"), &[Box::from("file-2")][..]));
        let gemini = named(Family::Gemini, br#"{"file":{"name":"files/abc","uri":"u"}}"#);
        assert_eq!(gemini.id.as_deref(), Some("files/abc"));
        let operation =
            named(Family::Gemini, br#"{"name":"batches/b","response":{"responsesFile":"files/r"}}"#);
        assert_eq!(
            (operation.id.as_deref(), &*operation.files),
            (Some("batches/b"), &[Box::from("files/r")][..])
        );
        assert_eq!(named(Family::Openai, b"no json"), Named::default());
    }

    #[test]
    fn the_models_of_a_batch_of_messages_are_all_or_nothing() {
        let models = |body: &str| batch_models(body.as_bytes());
        assert_eq!(
            models(
                r#"{"requests":[{"custom_id":"a","params":{"model":"m","max_tokens":1}},{"params":{"model":"n"}}]}"#
            ),
            Some(vec!["m".into(), "n".into()])
        );
        assert_eq!(models(r#"{"requests":[{"params":{}}]}"#), None);
        assert_eq!(models(r#"{"input_file_id":"file-1"}"#), None);
    }

    #[test]
    fn the_beginning_of_an_answer_names_its_object_once_the_id_is_there() {
        let whole = r#"{"object":"batch","x":{"id":"no"},"id":"batch_1","errors":[1,2],"id":"other"}"#;
        let end = whole.find("\"batch_1\"").unwrap() + "\"batch_1\"".len();
        for cut in 0..=whole.len() {
            let found = named_at_start(Family::Openai, &whole.as_bytes()[..cut]);
            assert_eq!(found.as_deref(), (cut >= end).then_some("batch_1"), "{cut}");
        }
        let gemini = br#"{"file":{"name":"files/a","uri":"https://x"#;
        assert_eq!(named_at_start(Family::Gemini, gemini).as_deref(), Some("files/a"));
        assert_eq!(
            named_at_start(Family::Gemini, br#"{"name":"cachedContents/b","#).as_deref(),
            Some("cachedContents/b")
        );
        for none in ["", "[", "{", "5", r#"{"id":5"#, r#"{"id":"","#, r#"{"id":null,"#] {
            assert_eq!(named_at_start(Family::Openai, none.as_bytes()), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_beginning_is_read(start in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = named_at_start(Family::Openai, &start);
            let _ = named_at_start(Family::Gemini, &[b"{\"file\":".as_slice(), &start].concat());
        }
    }

    #[test]
    fn items_of_earlier_responses_are_found_typed_and_not() {
        let of = |body: &str, responses| items(body.as_bytes(), responses).map(|ids| ids.join(" "));
        let body = r#"{"input":[{"type":"item_reference","id":"msg_1"},{"id":"rs_2"},{"type":null,"id":"fc_3"},
            {"role":"user","content":"x","id":"no"},{"type":"message","id":"no","role":"assistant"},"x",5,
            {"\u0069d":"msg_4","type":"item\u005freference"},{"type":"reasoning","id":"no"},{"id":5},{"id":""}]}"#;
        assert_eq!(of(body, true).unwrap(), "msg_1 rs_2 fc_3 msg_4");
        assert_eq!(of(body, false).unwrap(), "msg_1 msg_4");
        assert_eq!(of(r#"{"items":[{"type":"item_reference","id":"a"},{"id":"no"}]}"#, true).unwrap(), "a");
        for none in [r#"{"input":"x"}"#, r#"{"input":null}"#, "{}", r#"{"x":{"input":[{"id":"no"}]}}"#] {
            assert_eq!(of(none, true).unwrap(), "", "{none}");
        }
        for unclear in ["", "[]", r#"{"input":[{"id":"a","id":"b"}]}"#, r#"{"input":[],"input":[]}"#] {
            assert_eq!(of(unclear, true), Err(Unreadable::Body), "{unclear}");
        }
    }

    #[test]
    fn the_number_of_items_has_a_limit() {
        let body = |count: usize| format!(r#"{{"input":[{}]}}"#, vec![r#"{"id":"a"}"#; count].join(","));
        assert_eq!(items(body(REFERENCES_MAX).as_bytes(), true).unwrap().len(), REFERENCES_MAX);
        assert_eq!(items(body(REFERENCES_MAX + 1).as_bytes(), true), Err(Unreadable::TooMany));
    }
}
