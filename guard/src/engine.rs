//! All detectors as one: text in, hits out, in time linear in the text.

mod build;
mod resolve;
#[cfg(test)]
mod tests;

pub use build::{BuildError, Builder, MAX_ENGINE_RULES};

use crate::anchor::MAX_REACH;
use crate::detector::{Detector, injection, pii};
use crate::finding::{Hit, Provenance, Rule, RuleIndex};
use crate::rules::Note;
use crate::secret::{Secrets, State};
use std::fmt;
use std::ops::Range;

/// Bytes of text that are searched at once. Longer texts are searched slice by slice, at fixed places, so a stream that
/// waits for whole slices finds what a search of the whole text finds, and no cost grows faster than the text.
pub const SLICE_BYTES: usize = 64 << 10;

/// Bytes before a slice that its search sees too: context of what begins in the slice.
pub const SLICE_BEFORE: usize = 6 << 10;

/// Bytes behind a slice that its search sees too: the longest finding is found whole.
pub const SLICE_AFTER: usize = 16 << 10;

/// Bytes behind a slice that detectors other than those of secrets see.
const DETECTOR_AFTER: usize = 6 << 10;

// What decides a finding must be seen by the slice in which it begins, or slices would find something else than the whole.
const _: () = assert!(
    SLICE_BEFORE >= pii::LOOK_BEHIND
        && SLICE_BEFORE >= injection::REACH_BYTES
        && DETECTOR_AFTER >= pii::LOOK_AHEAD + pii::MAX_VALUE_BYTES
        && DETECTOR_AFTER >= injection::REACH_BYTES
        && SLICE_AFTER >= DETECTOR_AFTER
        && SLICE_AFTER >= MAX_REACH
);

/// Most hits of one text. What more there is is not reported one by one; the text is full of it.
pub const MAX_HITS: usize = 10_000;

/// Names what decides findings: two engines with one version find the same in the same text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub [u8; 16]);

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reusable memory of searches; one for each thread that searches.
#[derive(Default)]
pub struct Scratch {
    state: State,
    slice: Vec<Hit>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

/// What a search saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Bytes of text that were searched.
    pub bytes: usize,
    /// Whether there was more to find than [`MAX_HITS`].
    pub capped: bool,
}

/// Detectors, ready to search. Immutable: a change of rules is a new engine.
pub struct Engine {
    secrets: Secrets,
    /// Each with the number of its first rule.
    detectors: Vec<(u32, Box<dyn Detector>)>,
    rules: Vec<Rule>,
    /// By rule: whether its hits count.
    enabled: Vec<bool>,
    version: Version,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("rules", &self.rules.len()).field("version", &self.version).finish()
    }
}

impl Engine {
    /// An engine to be put together.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// All rules; a [`RuleIndex`] is a place in this list.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of a hit of this engine; none for another engine's.
    pub fn rule(&self, index: RuleIndex) -> Option<&Rule> {
        self.rules.get(index.0 as usize)
    }

    /// What decides the findings.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What in the rules has no effect, or a cost that their author should know.
    pub fn notes(&self) -> &[Note] {
        &self.secrets.notes
    }

    /// Bytes of memory of the compiled rules for secrets.
    pub fn memory(&self) -> usize {
        self.secrets.memory()
    }

    /// Appends what stands in `text`, in the order of the text. A secret within a longer secret, and personal data within
    /// longer personal data, is not reported by itself.
    pub fn scan(
        &self,
        text: &str,
        provenance: Provenance,
        scratch: &mut Scratch,
        out: &mut Vec<Hit>,
    ) -> Scanned {
        let mut scanned = Scanned { bytes: text.len(), capped: false };
        let first = out.len();
        let mut start = 0;
        loop {
            let end = start + SLICE_BYTES;
            let from = floor(text, start.saturating_sub(SLICE_BEFORE));
            let seen = from..floor(text, end.saturating_add(SLICE_AFTER));
            let last = end >= text.len();
            let owned = start..if last { text.len() } else { floor(text, end) };
            self.slice(&text[seen], from, owned.clone(), provenance, scratch);
            let room = MAX_HITS.saturating_sub(out.len() - first);
            scanned.capped = take(scratch, first, room, out);
            if last || scanned.capped {
                return scanned;
            }
            start = owned.end;
        }
    }

    /// Finds in `scratch.slice` what begins in the owned range. `text` begins at `offset` of the whole text, and so count
    /// the owned range and the hits.
    pub(crate) fn slice(
        &self,
        text: &str,
        offset: usize,
        owned: Range<usize>,
        provenance: Provenance,
        scratch: &mut Scratch,
    ) {
        let Scratch { state, slice } = scratch;
        slice.clear();
        let here = owned.start - offset..owned.end - offset;
        self.secrets.scan(text, here.clone(), state, 0, slice);
        let text = &text[..floor(text, here.end.saturating_add(DETECTOR_AFTER))];
        for (base, detector) in &self.detectors {
            detector.scan(text, provenance, *base, slice);
        }
        slice.retain(|hit| self.enabled.get(hit.rule.0 as usize).copied().unwrap_or(false));
        resolve::resolve(slice, &self.rules);
        slice.retain(|hit| {
            here.contains(&hit.range.start) || (hit.range.start < here.start && hit.range.end > here.start)
        });
        for hit in slice {
            hit.range = hit.range.start + offset..hit.range.end + offset;
        }
    }
}

/// The greatest character boundary up to `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Moves a slice's hits behind those of earlier slices, which begin at `first`; what an earlier slice found already is left
/// out. Says whether there were more than `room`.
pub(crate) fn take(scratch: &mut Scratch, first: usize, room: usize, out: &mut Vec<Hit>) -> bool {
    let known = out.len();
    let most = known + room;
    let reached = out[first..].iter().map(|old| old.range.end).max().unwrap_or(0);
    for hit in scratch.slice.drain(..) {
        let meets = |old: &Hit| {
            old.range.end > hit.range.start && (old.rule == hit.rule || old.range.end >= hit.range.end)
        };
        if hit.range.start < reached && out[first..known].iter().any(meets) {
            continue;
        }
        if out.len() >= most {
            return true;
        }
        out.push(hit);
    }
    false
}
