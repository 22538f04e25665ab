//! YAML text to a tree of nodes with positions.
//!
//! Parsing is event by event with an explicit stack, so neither nesting nor aliases can exhaust memory.

use super::path::{Path, Step};
use super::problem::Problem;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;

/// Largest configuration file, in bytes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Most nodes of a configuration after its aliases (`*name`) are expanded.
pub const NODES_MAX: usize = 20_000;

/// Deepest nesting of lists and mappings.
pub const DEPTH_MAX: usize = 32;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// The beginning of the file.
pub(super) const START: Position = Position { line: 1, column: 1 };

/// A value of the document.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) content: Content,
    /// Nodes in this subtree, itself included.
    weight: usize,
    /// Levels of lists and mappings in this subtree, itself included.
    depth: usize,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A scalar's text.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file, keys unique.
    Map(Vec<(Key, Node)>),
}

/// A scalar.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// The text, after interpolation.
    pub(super) text: String,
    /// The text as it stands in the file, if interpolation changed it; `text` must then not be shown.
    pub(super) template: Option<String>,
    /// Whether interpolation failed, which has been reported: there is no text to judge.
    pub(super) missing: bool,
    /// Whether it stood without quotes.
    pub(super) plain: bool,
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) text: String,
}

impl Node {
    /// An empty mapping, for documents that hold nothing.
    pub(super) fn empty() -> Node {
        Node { at: START, content: Content::Map(Vec::new()), weight: 1, depth: 1 }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, node)| node)
    }

    fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().find(|(name, _)| name.text == key).map(|(name, node)| (name, node))
    }

    /// The keys of this mapping.
    pub(super) fn keys(&self) -> Vec<&str> {
        let Content::Map(entries) = &self.content else { return Vec::new() };
        entries.iter().map(|(key, _)| key.text.as_str()).collect()
    }

    /// The node at `path`.
    pub(super) fn find(&self, path: &Path) -> Option<&Node> {
        path.0.iter().try_fold(self, |node, step| match (step, &node.content) {
            (Step::Key(key), _) => node.get(key),
            (Step::Index(index), Content::List(items)) => items.get(*index),
            _ => None,
        })
    }

    /// Where `path` is, or as far as it exists: for what is absent, the key of the group that lacks it.
    pub(super) fn position(&self, path: &Path) -> Position {
        let (mut node, mut at) = (self, self.at);
        for step in &path.0 {
            match (step, &node.content) {
                (Step::Key(key), _) => match node.entry(key) {
                    Some((key, value)) => (node, at) = (value, key.at),
                    None => return at,
                },
                (Step::Index(index), Content::List(items)) => match items.get(*index) {
                    Some(item) => (node, at) = (item, item.at),
                    None => return at,
                },
                _ => return at,
            }
        }
        if let Content::Scalar(_) = node.content { node.at } else { at }
    }

    /// Whether this is a scalar whose interpolation failed.
    pub(super) fn is_missing(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar) if scalar.missing)
    }

    /// Whether this is a plain null: nothing at all, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(scalar)
            if scalar.plain && scalar.template.is_none() && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Visits every scalar, with its path.
    pub(super) fn scalars_mut(&mut self, path: &Path, visit: &mut dyn FnMut(&Path, Position, &mut Scalar)) {
        match &mut self.content {
            Content::Scalar(scalar) => visit(path, self.at, scalar),
            Content::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.scalars_mut(&path.index(index), visit);
                }
            }
            Content::Map(entries) => {
                for (key, value) in entries {
                    value.scalars_mut(&path.key(&key.text), visit);
                }
            }
        }
    }
}

/// A list or mapping whose end has not come.
struct Open {
    at: Position,
    anchor: usize,
    weight: usize,
    depth: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder<'a> {
    file: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<Problem>,
}

/// Reads one YAML document. On a fault of syntax or a limit there is no tree; repeated keys leave the first.
pub(super) fn parse(file: &str, text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        root: None,
        problems: Vec::new(),
    };
    if text.len() > FILE_BYTES_MAX {
        builder.fail(START, "the file is larger than 1 MiB", "split what is not configuration out of it");
        return (None, builder.problems);
    }
    for event in Parser::new_from_str(text) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                let at = Position { line: error.marker().line().max(1), column: error.marker().col() + 1 };
                let message = format!("not valid YAML: {}", error.info());
                let braces = text.lines().nth(at.line - 1).is_some_and(|line| line.contains("${"));
                let suggestion = if braces {
                    "inside of brackets and braces put quotes around a value with ${…}: {api_key: \"${NAME}\"}"
                } else {
                    "check indentation, quotes and brackets at and before this line"
                };
                builder.fail(at, &message, suggestion);
                None
            }
        };
        if taken.is_none() {
            return (None, builder.problems);
        }
    }
    (Some(builder.root.unwrap_or_else(Node::empty)), builder.problems)
}

impl Builder<'_> {
    /// Takes one event; `None` when reading cannot go on, and the reason is among the problems.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let at = Position { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
                    self.fail(at, &format!("the tag {tag} is not supported"), "remove the tag");
                    return None;
                }
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), template: None, missing: false, plain };
                self.add(Node { at, content: Content::Scalar(scalar), weight: 1, depth: 0 }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.open(at, anchor, OpenKind::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { at, anchor, weight, depth, kind }) = self.open.pop() else { return Some(()) };
                let content = match kind {
                    OpenKind::List(items) => Content::List(items),
                    OpenKind::Map { entries, .. } => Content::Map(entries),
                };
                self.add(Node { at, content, weight, depth }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.fail(at, "an alias inside of what it names", "write the value out");
                    return None;
                };
                self.count(at, node.weight)?;
                self.deepen(at, node.depth)?;
                self.add(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                self.fail(at, "a second YAML document", "keep one document in the file; remove this `---`");
                None
            }
            _ => Some(()),
        }
    }

    fn open(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Option<()> {
        self.deepen(at, 1)?;
        self.open.push(Open { at, anchor, weight: 1, depth: 1, kind });
        Some(())
    }

    /// Checks that `levels` more fit below the open ones.
    fn deepen(&mut self, at: Position, levels: usize) -> Option<()> {
        if self.open.len() + levels > DEPTH_MAX {
            self.fail(
                at,
                "nested more than 32 levels deep",
                "no setting is that deep; check the indentation",
            );
            return None;
        }
        Some(())
    }

    /// Counts nodes made; their sum is bounded whatever aliases multiply.
    fn count(&mut self, at: Position, nodes: usize) -> Option<()> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            self.fail(at, "more than 20000 values after aliases are expanded", "use fewer aliases (`*name`)");
            return None;
        }
        Some(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.count(node.at, 1)?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let file = self.file;
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        parent.depth = parent.depth.max(node.depth + 1);
        match &mut parent.kind {
            OpenKind::List(items) => {
                parent.weight += node.weight;
                items.push(node);
            }
            OpenKind::Map { entries, key } => match key.take() {
                None => match node.content {
                    Content::Scalar(scalar) => *key = Some(Key { at: node.at, text: scalar.text }),
                    _ => {
                        self.fail(node.at, "a key that is not a word", "write `key: value`");
                        return None;
                    }
                },
                Some(name) => {
                    parent.weight += node.weight + 1;
                    match entries.iter().find(|(known, _)| known.text == name.text) {
                        None => entries.push((name, node)),
                        Some((first, _)) => self.problems.push(Problem {
                            file: file.to_owned(),
                            line: name.at.line,
                            column: name.at.column,
                            path: String::new(),
                            message: format!("the key `{}` is given twice", name.text),
                            suggestion: format!("it also stands on line {}; keep one of them", first.at.line),
                        }),
                    }
                }
            },
        }
        Some(())
    }

    fn fail(&mut self, at: Position, message: &str, suggestion: &str) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: String::new(),
            message: message.to_owned(),
            suggestion: suggestion.to_owned(),
        });
    }
}
