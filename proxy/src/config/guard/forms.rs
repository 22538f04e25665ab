//! The forms of values in guardrails and policies: lists of names, words of the policy engine, files of text.

use super::super::form::{Form, Reader, Shape, quoted};
use super::super::forms::text;
use super::super::tree::{Content, Node};
use super::super::units;
use narrows_guard::remote::REMOTES;
use narrows_guard::{Class, Tier};
use narrows_policy::names::{NAME_BYTES_MAX, Names};
use narrows_policy::rule::{OnError, Operation, Streams};
use narrows_policy::{Mode, Stage};
use serde_json::{Value as Json, json};
use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Largest file of rules or words, in bytes.
pub(super) const TEXT_FILE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One value, or a list of them.
pub(in crate::config) struct Several<T>(PhantomData<T>);

impl<T: Form> Form for Several<T> {
    type Out = Vec<T::Out>;

    fn shape() -> Shape {
        Shape::Either(vec![T::shape(), Shape::List(Box::new(T::shape()))])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        match &node.content {
            Content::List(items) if items.is_empty() => nothing_listed(node, reader),
            Content::List(_) => Vec::<T>::read(node, reader),
            _ => T::read(node, reader).map(|one| vec![one]),
        }
    }

    fn show(value: &Self::Out) -> Json {
        Vec::<T>::show(value)
    }
}

/// An empty list could be read as nothing and as everything.
fn nothing_listed<T>(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
    reader.problem(node.at, "the list is empty", "name something, or remove the key");
    None
}

/// Names that a fact must have: `gpt-*`, `!gpt-4o`, or a list of such.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct NameList {
    /// What they come to.
    pub(in crate::config) names: Names,
    /// As they are written, in order.
    written: Vec<String>,
}

impl Form for NameList {
    type Out = NameList;

    fn shape() -> Shape {
        let one = || text("name, `*` for any text, `!` before it for all others", None);
        Shape::Either(vec![one(), Shape::List(Box::new(one()))])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<NameList> {
        let one = |node: &Node, reader: &mut Reader<'_>| {
            let parse = |text: &str| Some((Names::parse([text]).ok()?, text.to_owned()));
            let examples = format!(
                "one line of at most {NAME_BYTES_MAX} bytes, as `gpt-*`, or \"!gpt-*\" for all others"
            );
            reader.parsed(node, "a name", &examples, parse)
        };
        let Content::List(items) = &node.content else {
            let (names, text) = one(node, reader)?;
            return Some(NameList { names, written: vec![text] });
        };
        if items.is_empty() {
            return nothing_listed(node, reader);
        }
        let mut list = NameList { names: Names::default(), written: Vec::new() };
        for (index, item) in items.iter().enumerate() {
            let (read, text) = reader.at_index(index, |reader| one(item, reader))?;
            list.names.any.extend(read.any);
            list.names.none.extend(read.none);
            list.written.push(text);
        }
        Some(list)
    }

    fn show(value: &NameList) -> Json {
        json!(value.written)
    }
}

/// Makes a type of another crate a closed list of words.
macro_rules! foreign_words {
    ($($type:ty as $form:ty { $($value:expr => $word:literal, $doc:literal;)+ })+) => {$(
        impl Form for $form {
            type Out = $type;

            fn shape() -> Shape {
                Shape::Words(vec![$(($word, $doc.to_owned())),+])
            }

            fn read(node: &Node, reader: &mut Reader<'_>) -> Option<$type> {
                let index = reader.word(node, &[$($word),+])?;
                [$($value),+].get(index).copied()
            }

            fn show(value: &$type) -> Json {
                let known = [$(($value, $word)),+];
                known.iter().find(|(known, _)| known == value).map_or(Json::Null, |(_, word)| json!(word))
            }
        }
    )+};
}

/// What happens when something could not be inspected.
pub(super) struct Stringency;

foreign_words! {
    Stage as Stage {
        Stage::Request => "request", "The request, before a byte goes to the provider.";
        Stage::Response => "response", "An answer that is held whole.";
        Stage::Stream => "stream", "An answer that is passed on as it comes: nothing in it is masked or refused, unless `streams: gated` says so.";
    }
    Streams as Streams {
        Streams::Observed => "observe", "A stream passes as it comes: nothing in it is masked or refused, and what is found is written down.";
        Streams::Gated => "gated", "A window of the stream waits until it was looked at (`guard.limits.stream_window`): what is found is masked, or ends the stream.";
    }
    Mode as Mode {
        Mode::Audit => "audit", "Decide and write down; change and refuse nothing.";
        Mode::Enforce => "enforce", "Carry it out.";
        Mode::EnforceIgnoreErrors => "enforce_ignore_errors", "Carry it out; what cannot be inspected passes, and the record says so.";
    }
    OnError as Stringency {
        OnError::Allow => "allow", "It passes, and the record says so.";
        OnError::Block => "block", "It is refused.";
        OnError::Builtin => "builtin", "Our own detectors decide in the guardrail's place.";
    }
    Operation as Operation {
        Operation::Validate => "validate", "Judge: log or block. Of an external guardrail only the verdict counts.";
        Operation::Mutate => "mutate", "Change: mask, or take over what external guardrails write, one after the other, by priority.";
    }
    Class as Class {
        Class::Secret => "secret", "Credentials.";
        Class::Pii => "pii", "Data about people.";
        Class::Injection => "injection", "Text that tries to take the model over.";
        Class::Custom => "custom", "What you named under `guard.custom`.";
    }
    Tier as Tier {
        Tier::A => "A", "A checksum or an unmistakable shape.";
        Tier::B => "B", "With a word of context nearby.";
        Tier::C => "C", "Without any check.";
    }
}

/// The kind of an external guardrail.
pub(super) struct Kind;

impl Form for Kind {
    type Out = &'static narrows_guard::remote::Kind;

    fn shape() -> Shape {
        Shape::Words(REMOTES.iter().map(|kind| (kind.name, describe(kind))).collect())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out> {
        let words: Vec<&str> = REMOTES.iter().map(|kind| kind.name).collect();
        let index = reader.word(node, &words)?;
        REMOTES.get(index).copied()
    }

    fn show(value: &Self::Out) -> Json {
        json!(value.name)
    }
}

/// A kind of guardrail in one line: what it is, what signs in, its settings.
fn describe(kind: &narrows_guard::remote::Kind) -> String {
    let settings: Vec<String> = kind
        .needs
        .iter()
        .map(|need| {
            let required = if need.required { ", required" } else { "" };
            format!("`{}`{required}: {}", need.name, need.description)
        })
        .collect();
    let settings = match settings.is_empty() {
        true => "no settings".to_owned(),
        false => format!("settings {}", settings.join("; ")),
    };
    format!("{} Credential: {}. {settings}.", kind.description, kind.credential)
}

/// One line of at most so many bytes.
pub(super) struct Line<const BYTES: usize>;

impl<const BYTES: usize> Form for Line<BYTES> {
    type Out = String;

    fn shape() -> Shape {
        String::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let parse = |text: &str| {
            let fine = !text.trim().is_empty() && text.len() <= BYTES && !text.contains(char::is_control);
            fine.then(|| text.to_owned())
        };
        let examples = format!("one line of text, not empty and at most {BYTES} bytes");
        reader.parsed(node, "a text", &examples, parse)
    }

    fn show(value: &String) -> Json {
        String::show(value)
    }
}

/// A duration of at most so many milliseconds.
pub(in crate::config) struct Within<const MS: u64>;

impl<const MS: u64> Form for Within<MS> {
    type Out = Duration;

    fn shape() -> Shape {
        Duration::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        let most = Duration::from_millis(MS);
        let parse = |text: &str| units::duration(text).filter(|it| !it.is_zero() && *it <= most);
        let kind = format!("a duration of at most {}", units::show_duration(most));
        reader.parsed(node, &kind, "a number and a unit: 500ms, 2s", parse)
    }

    fn show(value: &Duration) -> Json {
        Duration::show(value)
    }
}

/// Settings that somebody else reads: any mapping. Variables in it are put in, and are not shown.
pub(super) struct Free;

impl Form for Free {
    type Out = Json;

    fn shape() -> Shape {
        let any =
            Shape::Scalar { kind: "value", types: &["string", "number", "boolean", "array"], pattern: None };
        Shape::Map { key: "NAME", value: Box::new(any) }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Json> {
        match &node.content {
            Content::Map(_) => Some(json_of(node)),
            _ if node.is_missing() => None,
            _ => {
                reader.problem(
                    node.at,
                    "expected a mapping of settings",
                    "write `name: value` lines below it",
                );
                None
            }
        }
    }

    fn show(value: &Json) -> Json {
        value.clone()
    }
}

/// A node as JSON: plain scalars that look like numbers, words and nothing are such.
fn json_of(node: &Node) -> Json {
    match &node.content {
        Content::List(items) => items.iter().map(json_of).collect(),
        Content::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), json_of(value))).collect()
        }
        Content::Scalar(_) if node.is_null() => Json::Null,
        Content::Scalar(scalar) if scalar.plain => match serde_json::from_str(&scalar.text) {
            Ok(value @ (Json::Bool(_) | Json::Number(_))) => value,
            _ => json!(scalar.text),
        },
        Content::Scalar(scalar) => json!(scalar.text),
    }
}

/// A file of text that the configuration names. What stands in it counts for whether the configuration has changed; it is
/// not printed, for it may name what must not be known.
#[derive(Clone, PartialEq, Eq)]
pub struct TextFile {
    /// Where it is.
    pub path: PathBuf,
    /// What stands in it.
    pub text: Arc<str>,
}

impl fmt::Debug for TextFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextFile({:?}, {} bytes)", self.path, self.text.len())
    }
}

impl Form for TextFile {
    type Out = TextFile;

    fn shape() -> Shape {
        PathBuf::shape()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<TextFile> {
        let path = PathBuf::read(node, reader)?;
        reader.files.push(path.clone());
        match read_text(&path) {
            Ok(text) => Some(TextFile { path, text }),
            Err(cause) => {
                let shown = reader.scalar(node, "a path").map(quoted).unwrap_or_default();
                let suggestion = "check the path and that the user running narrows may read it";
                reader.problem(node.at, format!("cannot read {shown}: {cause}"), suggestion);
                None
            }
        }
    }

    fn show(value: &TextFile) -> Json {
        PathBuf::show(&value.path)
    }
}

fn read_text(path: &std::path::Path) -> Result<Arc<str>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.kind().to_string())?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(TEXT_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.kind().to_string())?;
    if bytes.len() > TEXT_FILE_BYTES_MAX {
        return Err("it is larger than 8 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .map(Arc::from)
        .map_err(|error| format!("it is not UTF-8 (byte {})", error.utf8_error().valid_up_to()))
}
