//! What a walk over a body lists.

use super::walker::Frame;
use crate::finding::Provenance;
use std::fmt;
use std::fmt::Write;
use std::ops::Range;

/// Deepest nesting that is followed, in objects and lists.
pub const DEPTH_MAX: usize = 512;

/// Most strings of one body that are listed.
pub const STRINGS_MAX: usize = 1 << 19;

/// Names of members hold nothing that could be found if they are shorter than this, in raw bytes, ...
const NAME_BYTES_MIN: usize = 6;

/// ... or if they are words and shorter than this.
const WORD_BYTES_MIN: usize = 24;

/// What a listed string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spot {
    /// A string value.
    Value,
    /// A string value whose content is JSON.
    Json,
    /// The name of a member: looked at, never changed.
    Name,
    /// A number: looked at, never changed, for no text can stand in its place.
    Number,
}

/// A string that may carry text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its bytes in the body, without quotes.
    pub raw: Range<usize>,
    /// Whether it has escapes; without them raw and decoded are the same.
    pub escaped: bool,
    /// What it is.
    pub spot: Spot,
    /// Who wrote it, if the body says so.
    pub provenance: Option<Provenance>,
    /// The list or object it stands in.
    pub(super) parent: u32,
    pub(super) step: Step,
}

/// What is not listed, in raw bytes of strings and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftAlone {
    /// Media, ids, signatures, and the like.
    pub bytes: usize,
    /// Of those, what may carry content that nobody has looked at: media, and lists of tokens.
    pub unseen: usize,
}

impl LeftAlone {
    /// What came after `before`.
    pub(super) fn since(self, before: LeftAlone) -> LeftAlone {
        LeftAlone { bytes: self.bytes - before.bytes, unseen: self.unseen - before.unseen }
    }

    /// Adds more of it.
    pub(crate) fn add(&mut self, more: LeftAlone) {
        self.bytes += more.bytes;
        self.unseen += more.unseen;
    }
}

/// A part of the body that is remembered as a whole: an element of a list in the outermost object (a message), or another
/// of its members. Units without strings are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its bytes in the body, with what stands before it since the last unit.
    pub raw: Range<usize>,
    /// The name of the member of the outermost object, raw; empty when the body is no object.
    pub name: Range<usize>,
    /// Which element of the list it is, if it is one.
    pub index: Option<usize>,
    /// Where its value begins, if that is a string or an object.
    pub value: Option<usize>,
    /// Its strings. None are listed of a unit that was passed over.
    pub texts: Range<usize>,
    /// What is left alone in it.
    pub left_alone: LeftAlone,
    /// Whether it follows the unit before it in the same list, with nothing between.
    pub follows: bool,
    /// Whether it was passed over, being known.
    pub passed: bool,
}

/// How one comes from a list or object to what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Outermost,
    Name { start: usize, end: usize },
    Index(usize),
}

/// A list or object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) step: Step,
}

/// What a walk has found. Kept from body to body, it allocates no more.
#[derive(Debug, Default)]
pub struct Walk {
    /// Strings, in their order.
    pub texts: Vec<Text>,
    /// Units, in their order. Every string is in one of them.
    pub units: Vec<Unit>,
    /// Whether there are more strings than are listed.
    pub more: bool,
    /// What is left alone; in units that were passed over apart.
    pub left_alone: LeftAlone,
    /// What the outermost object, or a list in it, says about who wrote the texts that do not say so themselves.
    pub told: Option<Provenance>,
    pub(super) nodes: Vec<Node>,
    pub(super) stack: Vec<Frame>,
}

/// Why a body is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Where it stops being JSON, in bytes.
    pub at: usize,
    /// Whether it is nested deeper than [`DEPTH_MAX`] rather than wrong.
    pub too_deep: bool,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.too_deep {
            true => write!(f, "it is nested deeper than {DEPTH_MAX} levels at byte {}", self.at),
            false => write!(f, "it is not JSON at byte {}", self.at),
        }
    }
}

impl std::error::Error for Malformed {}

impl Walk {
    /// The name of the member that a string is the value of, or that the lists are which it stands in; raw, and empty where
    /// there is none.
    pub fn name<'b>(&self, body: &'b str, text: &Text) -> &'b str {
        let (mut step, mut at) = (text.step, text.parent);
        loop {
            match step {
                Step::Name { start, end } => return body.get(start..end).unwrap_or_default(),
                Step::Outermost => return "",
                Step::Index(_) => {}
            }
            let Some(node) = usize::try_from(at).ok().and_then(|at| self.nodes.get(at)) else { return "" };
            (step, at) = (node.step, node.parent);
        }
    }

    /// The path of a string, as people write it: `messages[3].content[1].text`. A name of a member that may itself hold
    /// what is looked for stands in it as `(name)`: a path is written into records.
    pub fn path(&self, body: &str, text: &Text) -> String {
        let mut steps = vec![text.step];
        let mut at = text.parent;
        while let Some(node) = usize::try_from(at).ok().and_then(|at| self.nodes.get(at)) {
            steps.push(node.step);
            at = node.parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            let name = match step {
                Step::Outermost => continue,
                Step::Index(index) => {
                    // Writing to a string does not fail.
                    let _ = write!(path, "[{index}]");
                    continue;
                }
                Step::Name { start, end } => body.get(start..end).unwrap_or_default(),
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(shown(name));
        }
        path
    }
}

impl Unit {
    /// The path of the unit itself: what the paths of its strings begin with.
    pub fn path(&self, body: &str) -> String {
        let name = shown(body.get(self.name.clone()).unwrap_or_default());
        self.index.map_or_else(|| name.to_owned(), |index| format!("{name}[{index}]"))
    }
}

/// The name of a member as it stands in paths.
fn shown(name: &str) -> &str {
    if may_hold_something(name.as_bytes()) { "(name)" } else { name }
}

/// Whether the name of a member is worth a look: nearly all are plain words.
pub(super) fn may_hold_something(name: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-');
    name.len() >= NAME_BYTES_MIN && (name.len() >= WORD_BYTES_MIN || !name.iter().all(is_word))
}
