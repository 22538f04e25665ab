//! The forms of values: words, numbers, durations, sizes, paths, lists, mappings.

use super::form::{Form, Reader, Shape, quoted};
use super::pattern::Pattern;
use super::problem::did_you_mean;
use super::settings::JsonRecords;
use super::tree::{Content, Node};
use super::units;
use serde_json::{Value as Json, json};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A scalar kind that is a JSON string.
pub(super) fn text(kind: &'static str, pattern: Option<&'static str>) -> Shape {
    Shape::Scalar { kind, types: &["string"], pattern }
}

impl Reader<'_> {
    /// The index of the word at hand among `words`.
    pub(super) fn word(&mut self, node: &Node, words: &[&str]) -> Option<usize> {
        let scalar = self.scalar(node, "a word")?;
        let found = words.iter().position(|word| *word == scalar.text);
        if found.is_none() {
            let message = format!("{} is not one of its words", quoted(scalar));
            let suggestion = match scalar.template {
                None => did_you_mean(&scalar.text, words),
                Some(_) => did_you_mean("", words),
            };
            self.problem(node.at, message, suggestion);
        }
        found
    }

    /// A path of the file: relative ones start from the folder of the configuration.
    pub(super) fn resolved(&self, path: &str) -> PathBuf {
        if self.base == Path::new(".") { PathBuf::from(path) } else { self.base.join(path) }
    }
}

impl Form for bool {
    type Out = bool;

    fn shape() -> Shape {
        Shape::Scalar { kind: "true or false", types: &["boolean"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
        reader.parsed(node, "true or false", "true or false", |text| text.parse().ok())
    }

    fn show(value: &bool) -> Json {
        json!(value)
    }
}

/// A whole number in a range.
pub(super) struct Count<const MIN: usize, const MAX: usize>;

impl<const MIN: usize, const MAX: usize> Form for Count<MIN, MAX> {
    type Out = usize;

    fn shape() -> Shape {
        Shape::Scalar { kind: "number", types: &["integer"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<usize> {
        let kind = format!("a whole number from {MIN} to {MAX}");
        let parse = |text: &str| text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
        reader.parsed(node, &kind, &format!("digits only, from {MIN} to {MAX}"), parse)
    }

    fn show(value: &usize) -> Json {
        json!(value)
    }
}

/// A size in bytes, at least 1.
pub(super) struct Size;

impl Form for Size {
    type Out = usize;

    fn shape() -> Shape {
        Shape::Scalar {
            kind: "size",
            types: &["string", "integer"],
            pattern: Some("^([0-9]+(B|KiB|MiB|GiB|kB|KB|MB|GB)?|\\$\\{.+)$"),
        }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<usize> {
        let parse = |text: &str| units::size(text).filter(|bytes| *bytes > 0)?.try_into().ok();
        reader.parsed(
            node,
            "a size",
            "bytes with a unit: 64KiB, 32MiB, 1GB or 12345 (from 1 byte to 1024GiB)",
            parse,
        )
    }

    fn show(value: &usize) -> Json {
        json!(units::show_size(*value as u64))
    }
}

const DURATION_PATTERN: &str = "^([0-9]+(ms|s|m|h|d)|\\$\\{.+)$";

impl Form for Duration {
    type Out = Duration;

    fn shape() -> Shape {
        text("duration", Some(DURATION_PATTERN))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        let parse = |text: &str| units::duration(text).filter(|duration| !duration.is_zero());
        reader.parsed(
            node,
            "a duration",
            "a number and a unit: 500ms, 30s, 5m or 1h (more than 0, at most 7d)",
            parse,
        )
    }

    fn show(value: &Duration) -> Json {
        json!(units::show_duration(*value))
    }
}

/// A duration that may be zero.
pub(super) struct Grace;

impl Form for Grace {
    type Out = Duration;

    fn shape() -> Shape {
        text("duration", Some(DURATION_PATTERN))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        reader.parsed(
            node,
            "a duration",
            "a number and a unit: 0s, 500ms, 30s or 5m (at most 7d)",
            units::duration,
        )
    }

    fn show(value: &Duration) -> Json {
        Duration::show(value)
    }
}

/// Longest free text, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 256;

impl Form for String {
    type Out = String;

    fn shape() -> Shape {
        text("text", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let parse = |text: &str| {
            let fine =
                !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
            fine.then(|| text.to_owned())
        };
        reader.parsed(node, "a text", "one line of text, not empty and at most 256 bytes", parse)
    }

    fn show(value: &String) -> Json {
        json!(value)
    }
}

impl Form for Arc<str> {
    type Out = Arc<str>;

    fn shape() -> Shape {
        String::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Arc<str>> {
        String::read(node, reader).map(Arc::from)
    }

    fn show(value: &Arc<str>) -> Json {
        json!(&**value)
    }
}

impl Form for PathBuf {
    type Out = PathBuf;

    fn shape() -> Shape {
        text("path", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PathBuf> {
        let parse = |text: &str| (!text.is_empty() && !text.contains('\0')).then(|| text.to_owned());
        let path = reader.parsed(node, "a path", "the path of a file", parse)?;
        Some(reader.resolved(&path))
    }

    fn show(value: &PathBuf) -> Json {
        json!(value.display().to_string())
    }
}

impl Form for JsonRecords {
    type Out = JsonRecords;

    fn shape() -> Shape {
        text("`none`, `stdout` or path", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<JsonRecords> {
        let path = PathBuf::read(node, reader)?;
        Some(match reader.scalar(node, "a path")?.text.as_str() {
            "none" => JsonRecords::None,
            "stdout" => JsonRecords::Stdout,
            _ => JsonRecords::File(path),
        })
    }

    fn show(value: &JsonRecords) -> Json {
        match value {
            JsonRecords::None => json!("none"),
            JsonRecords::Stdout => json!("stdout"),
            JsonRecords::File(path) => PathBuf::show(path),
        }
    }
}

impl Form for Pattern {
    type Out = Pattern;

    fn shape() -> Shape {
        text("name of a model, `*` for any text", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Pattern> {
        reader.parsed(
            node,
            "the name of a model",
            "a name without blanks, `*` for any text: gpt-*",
            Pattern::new,
        )
    }

    fn show(value: &Pattern) -> Json {
        json!(value.as_str())
    }
}

impl<T: Form> Form for Option<T> {
    type Out = Option<T::Out>;

    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        T::read(node, reader).map(Some)
    }

    fn show(value: &Self::Out) -> Json {
        value.as_ref().map_or(Json::Null, T::show)
    }
}

/// A group that the word `off` closes.
pub(super) struct Switch<T>(PhantomData<T>);

impl<T: Form> Form for Switch<T> {
    type Out = Option<T::Out>;

    fn shape() -> Shape {
        Shape::Either(vec![T::shape(), Shape::Words(vec![("off", "Closed.".to_owned())])])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        match &node.content {
            Content::Scalar(scalar) if scalar.text == "off" => Some(None),
            _ => T::read(node, reader).map(Some),
        }
    }

    fn show(value: &Self::Out) -> Json {
        value.as_ref().map_or(json!("off"), T::show)
    }
}

impl<T: Form> Form for Vec<T> {
    type Out = Vec<T::Out>;

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        let Content::List(items) = &node.content else {
            if node.is_missing() {
                return None;
            }
            reader.problem(
                node.at,
                "expected a list",
                "write the items in brackets, or each on a line after `- `",
            );
            return None;
        };
        let read = |(index, item)| reader.at_index(index, |reader| T::read(item, reader));
        Some(items.iter().enumerate().filter_map(read).collect())
    }

    fn show(value: &Self::Out) -> Json {
        Json::Array(value.iter().map(T::show).collect())
    }
}

/// A mapping with free keys, in the order of the file.
pub(super) struct Map<T>(PhantomData<T>);

impl<T: Form> Form for Map<T> {
    type Out = Vec<(String, T::Out)>;

    fn shape() -> Shape {
        Shape::Map { key: "NAME", value: Box::new(T::shape()) }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        let Content::Map(entries) = &node.content else {
            if node.is_missing() {
                return None;
            }
            reader.problem(node.at, "expected a mapping of names", "write `name: value` lines below it");
            return None;
        };
        let read = |(key, value): &(super::tree::Key, Node)| {
            let value = reader.at_key(&key.text, |reader| T::read(value, reader))?;
            Some((key.text.clone(), value))
        };
        Some(entries.iter().filter_map(read).collect())
    }

    fn show(value: &Self::Out) -> Json {
        Json::Object(value.iter().map(|(key, value)| (key.clone(), T::show(value))).collect())
    }
}

/// The folder a path is in; the current one for a bare name.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
