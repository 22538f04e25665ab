//! What is known of parts of bodies that were searched before: agents send their history again with every turn.

use crate::finding::{Provenance, RuleIndex};
use crate::json::{Beginning, LeftAlone, Recall, Spot, Unit};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Shorter units are searched anew, in raw bytes: to remember them costs as much.
pub const REMEMBERED_BYTES_MIN: usize = 32;

/// Shorter units are walked through sooner than their length is guessed by how they begin, in raw bytes.
const GUESSED_BYTES_MIN: usize = 256;

/// How much of a unit's value is looked at to guess how long it is, in bytes.
const OPENING_BYTES: usize = 64;

/// Most bytes between units, such as the name of a member, with which the length of a unit is guessed.
const BETWEEN_BYTES_MAX: usize = 256;

/// Under this name lengths are remembered, by how units begin. No member has it: raw names have no control characters.
const OPENINGS: &str = "\u{1}";

/// What is known of a unit.
#[derive(Debug, Default)]
pub struct Known {
    pub(super) found: Box<[Kept]>,
    pub(super) scanned: usize,
    pub(super) left_alone: LeftAlone,
    pub(super) more: bool,
    /// Raw bytes of the unit that followed it last; 0 if none did. A guess.
    next: AtomicUsize,
}

impl Known {
    pub(super) fn new(found: Vec<Kept>, scanned: usize, left_alone: LeftAlone, more: bool) -> Known {
        Known { found: found.into(), scanned, left_alone, more, next: AtomicUsize::new(0) }
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let paths: usize = self.found.iter().map(|kept| kept.path.text.len()).sum();
        size_of::<Known>() + self.found.len() * size_of::<Kept>() + paths
    }
}

/// A finding, from the beginning of its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) rule: RuleIndex,
    pub(super) score: u8,
    pub(super) raw: Range<usize>,
    pub(super) levels: u8,
    pub(super) spot: Spot,
    pub(super) provenance: Provenance,
    pub(super) path: Path,
}

/// Where something stands, from its unit on: the same unit may stand elsewhere in the next body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    text: Box<str>,
    /// Whether it goes on from the unit's own path.
    is_within: bool,
}

impl Path {
    pub(super) fn new(path: &str, body: &str, unit: &Unit) -> Path {
        // The name of a member before the unit belongs to it, and is not within it.
        match path.strip_prefix(&*unit.path(body)) {
            Some(within) => Path { text: within.into(), is_within: true },
            None => Path { text: path.into(), is_within: false },
        }
    }

    pub(super) fn of(&self, body: &str, unit: &Unit) -> Box<str> {
        match self.is_within {
            true => (unit.path(body) + &self.text).into(),
            false => self.text.clone(),
        }
    }
}

/// Remembers parts of bodies. What is asked for and what is kept belongs to one organization and one engine's version;
/// whoever implements it sees to that.
pub trait Memory {
    /// What is known of a part: the name of the outermost member it stands in, and its bytes.
    fn recall(&self, name: &str, part: &str) -> Option<Arc<Known>>;
    /// Keeps what was learnt of a part.
    fn keep(&self, name: &str, part: &str, known: &Arc<Known>);
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Memory for Forgetful {
    fn recall(&self, _name: &str, _part: &str) -> Option<Arc<Known>> {
        None
    }

    fn keep(&self, _name: &str, _part: &str, _known: &Arc<Known>) {}
}

/// Room for what is known of the units of a body, in their order.
pub(super) type Recalled = Vec<Option<Arc<Known>>>;

/// Recalls what is known of a body's units while it is walked.
///
/// To pass over a unit its length must be guessed before anything of it is read. Of a unit that follows a known one it is
/// that of the unit which followed then; of others it is that of the last one which began alike. Whether the guess is
/// right is seen by whether the bytes of that length are known.
pub(super) struct Recalling<'m> {
    memory: &'m dyn Memory,
    known: Recalled,
    /// Bytes that were looked up in vain, by wrong guesses. There are no more of them than the body has: whoever sends
    /// bodies can bring about wrong guesses.
    in_vain: usize,
    /// Whether nothing of this body is kept.
    forgets: bool,
}

impl<'m> Recalling<'m> {
    /// In `room`, which is used again from body to body.
    pub(super) fn new(memory: &'m dyn Memory, mut room: Recalled) -> Recalling<'m> {
        room.clear();
        Recalling { memory, known: room, in_vain: 0, forgets: false }
    }

    /// Gives the room back.
    pub(super) fn done(mut self) -> Recalled {
        self.known.clear();
        self.known
    }

    /// Keeps nothing of this body, if `so`: its units are not listed whole.
    pub(super) fn forget_if(&mut self, so: bool) {
        self.forgets = so;
    }

    /// What is known of the unit at `at`.
    pub(super) fn known(&self, at: usize) -> Option<Arc<Known>> {
        self.known.get(at)?.clone()
    }

    /// Keeps what was learnt of the unit at `at`.
    pub(super) fn learn(&mut self, body: &str, at: usize, unit: &Unit, known: &Arc<Known>) {
        if self.forgets || unit.raw.len() < REMEMBERED_BYTES_MIN {
            return;
        }
        self.memory.keep(text(body, &unit.name), text(body, &unit.raw), known);
        if let Some(slot) = self.known.get_mut(at) {
            *slot = Some(Arc::clone(known));
        }
    }

    /// Keeps how long the unit at `at` is, for the next body.
    pub(super) fn link(&mut self, body: &str, at: usize, unit: &Unit) {
        if self.forgets {
            return;
        }
        let before = at.checked_sub(1).filter(|_| unit.follows).and_then(|before| self.known.get(before));
        if let Some(Some(before)) = before {
            if before.next.load(Ordering::Relaxed) != unit.raw.len() {
                before.next.store(unit.raw.len(), Ordering::Relaxed);
            }
        } else if let Some(opening) = unit.value.and_then(|value| opening(body, unit.raw.start, value))
            && !unit.passed
            && unit.raw.len() >= GUESSED_BYTES_MIN
        {
            let known = Known { next: AtomicUsize::new(unit.raw.len()), ..Known::default() };
            self.memory.keep(OPENINGS, opening, &Arc::new(known));
        }
    }

    /// The likely length of the unit that begins here, in raw bytes.
    fn guess(&mut self, body: &str, begins: &Beginning) -> Option<usize> {
        let last = self.known.last().filter(|_| begins.follows);
        let known = match last {
            Some(Some(last)) => last.next.load(Ordering::Relaxed),
            _ => {
                let opening = opening(body, begins.mark, begins.value)?;
                if self.in_vain + opening.len() > body.len() {
                    return None;
                }
                let Some(known) = self.memory.recall(OPENINGS, opening) else {
                    self.in_vain += opening.len();
                    return None;
                };
                known.next.load(Ordering::Relaxed)
            }
        };
        (known >= REMEMBERED_BYTES_MIN).then_some(known)
    }
}

impl Recall for Recalling<'_> {
    fn pass_over(&mut self, body: &str, begins: &Beginning) -> Option<usize> {
        let length = self.guess(body, begins)?;
        let end = begins.mark.checked_add(length)?;
        let part = body.get(begins.mark..end).filter(|_| self.in_vain + length <= body.len())?;
        let Some(known) = self.memory.recall(text(body, &begins.name), part) else {
            self.in_vain += length;
            return None;
        };
        self.known.push(Some(known));
        Some(end)
    }

    fn walked(&mut self, body: &str, unit: &Unit) {
        let is_long = unit.raw.len() >= REMEMBERED_BYTES_MIN;
        let recall = || self.memory.recall(text(body, &unit.name), text(body, &unit.raw));
        let known = is_long.then(recall).flatten();
        self.known.push(known);
    }
}

fn text<'a>(body: &'a str, range: &Range<usize>) -> &'a str {
    body.get(range.clone()).unwrap_or_default()
}

/// How a unit begins: what stands before its value, and the first bytes of that. `None` for short strings, which are walked
/// through sooner than they are looked up, and for what is far from the unit before.
fn opening(body: &str, mark: usize, value: usize) -> Option<&str> {
    if value.checked_sub(mark)? > BETWEEN_BYTES_MAX {
        return None;
    }
    let head = body.as_bytes().get(value..value.checked_add(OPENING_BYTES)?)?;
    let is_short = head.first() == Some(&b'"') && head.iter().skip(1).any(|byte| *byte == b'"');
    let ends = (value..=value + OPENING_BYTES).rev();
    let end = ends.into_iter().find(|end| body.is_char_boundary(*end))?;
    body.get(mark..end).filter(|_| !is_short)
}
