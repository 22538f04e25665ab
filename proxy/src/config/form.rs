//! How a value of the file becomes a typed value: what it looks like, reading it, showing it.

use super::path::Path;
use super::problem::{Problem, did_you_mean};
use super::tree::{self, Content, Node, Position, Scalar};
use serde_json::Value as Json;
use std::path::PathBuf;

/// A form that values of the file take.
pub(super) trait Form {
    /// The typed value.
    type Out;

    /// What the value looks like, for the reference and the schema.
    fn shape() -> Shape;

    /// Reads the value; `None` after reporting why not.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Out>;

    /// The value for people; secrets are redacted.
    fn show(value: &Self::Out) -> Json;
}

/// What a value looks like.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A scalar of this kind, such as "duration"; the words are JSON Schema's type and pattern.
    Scalar { kind: &'static str, types: &'static [&'static str], pattern: Option<&'static str> },
    /// One of these words, each with its meaning.
    Words(Vec<(&'static str, String)>),
    /// A mapping with these keys.
    Group(Group),
    /// A list.
    List(Box<Shape>),
    /// A mapping with free keys, which are called so.
    Map { key: &'static str, value: Box<Shape> },
    /// One of several.
    Either(Vec<Shape>),
}

/// A mapping with a fixed set of keys.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) doc: String,
    pub(super) fields: Vec<Field>,
}

/// A key of a group.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) doc: String,
    pub(super) presence: Presence,
    pub(super) shape: Shape,
}

/// What happens when a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// That is a problem.
    Required,
    /// That is a problem, but reading goes on with this text.
    RequiredOr(&'static str),
    /// The setting is not made.
    Optional,
    /// This text is read in its place.
    Default(&'static str),
}

/// Reads a tree: knows where it is, and collects problems.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
    /// The folder that relative paths start from.
    pub(super) base: PathBuf,
    pub(super) path: Path,
    pub(super) problems: Vec<Problem>,
    /// Files that values name and that were read, or should have been.
    pub(super) files: Vec<PathBuf>,
}

impl Reader<'_> {
    /// Reports a problem with the value at hand.
    pub(super) fn problem(
        &mut self,
        at: Position,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        let path = self.path.to_string();
        self.report(at, path, message.into(), suggestion.into());
    }

    fn report(&mut self, at: Position, path: String, message: String, suggestion: String) {
        let Position { line, column } = at;
        self.problems.push(Problem { file: self.file.to_owned(), line, column, path, message, suggestion });
    }

    /// Runs `read` one key further down.
    pub(super) fn at_key<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let inner = self.path.key(key);
        let outer = std::mem::replace(&mut self.path, inner);
        let out = read(self);
        self.path = outer;
        out
    }

    /// Runs `read` one index further down.
    pub(super) fn at_index<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let inner = self.path.index(index);
        let outer = std::mem::replace(&mut self.path, inner);
        let out = read(self);
        self.path = outer;
        out
    }

    /// The scalar at hand; anything else is reported as not being `kind`.
    pub(super) fn scalar<'n>(&mut self, node: &'n Node, kind: &str) -> Option<&'n Scalar> {
        let found = match &node.content {
            _ if node.is_missing() => return None,
            _ if node.is_null() => "nothing",
            Content::Scalar(scalar) => return Some(scalar),
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        };
        self.problem(
            node.at,
            format!("expected {kind}, found {found}"),
            format!("give {kind}, or remove the key"),
        );
        None
    }

    /// Reads a scalar with `parse`; a value it refuses is reported without being shown if it is not literal.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        kind: &str,
        examples: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let scalar = self.scalar(node, kind)?;
        let value = parse(&scalar.text);
        if value.is_none() {
            let shown = quoted(scalar);
            self.problem(node.at, format!("{shown} is not {kind}"), format!("write {examples}"));
        }
        value
    }

    /// Checks that `node` is a mapping of `known` keys only; unknown ones are reported.
    pub(super) fn group(&mut self, node: &Node, known: &[&'static str]) -> Option<()> {
        let Content::Map(entries) = &node.content else {
            let found = match &node.content {
                _ if node.is_missing() => return None,
                Content::List(_) => "a list",
                _ if node.is_null() => "nothing",
                _ => "a single value",
            };
            let message = format!("expected a mapping, found {found}");
            self.problem(node.at, message, format!("give keys below it: {}", known.join(", ")));
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let suggestion = match key.text.as_str() {
                "<<" => {
                    "merge keys are not supported; write the keys out or use an alias for the whole value"
                        .into()
                }
                text => did_you_mean(text, known),
            };
            let path = self.path.key(&key.text).to_string();
            self.report(key.at, path, "unknown key".into(), suggestion);
        }
        Some(())
    }

    /// Reads the key `name` of a group. What is wrong is reported and, where possible, replaced by the default, so
    /// that one problem does not hide the next.
    pub(super) fn field<F: Form>(&mut self, group: &Node, name: &str, presence: Presence) -> Option<F::Out> {
        self.at_key(name, |reader| {
            let given = group.get(name).map(|node| F::read(node, reader));
            match (given, presence) {
                (Some(Some(value)), _) => Some(value),
                (Some(None), Presence::Required) => None,
                (None, Presence::Required) => {
                    reader.required(group, name);
                    None
                }
                (None, Presence::RequiredOr(text)) => {
                    reader.required(group, name);
                    reader.default::<F>(group, text)
                }
                (_, Presence::Default(text) | Presence::RequiredOr(text)) => reader.default::<F>(group, text),
                (_, Presence::Optional) => None,
            }
        })
    }

    fn required(&mut self, group: &Node, name: &str) {
        self.problem(group.at, "is required and missing", format!("add `{name}:` here"));
    }

    /// Reads a default, which is YAML text of ours.
    fn default<F: Form>(&mut self, group: &Node, text: &str) -> Option<F::Out> {
        let (node, _) = tree::parse(self.file, text);
        let mut node = node?;
        node.at = group.at;
        F::read(&node, self)
    }
}

/// A scalar as it may be shown in a message: literal text in backquotes, a template as it stands in the file.
pub(super) fn quoted(scalar: &Scalar) -> String {
    match &scalar.template {
        None if scalar.text.chars().count() <= SHOWN_CHARS_MAX => format!("`{}`", scalar.text.escape_debug()),
        None => "the value".to_owned(),
        Some(_) => "the value of the variable".to_owned(),
    }
}

/// Longest value that is repeated in a message, in characters.
const SHOWN_CHARS_MAX: usize = 80;
