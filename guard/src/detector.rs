//! Detectors: each finds one family of things in a text.

pub mod custom;
pub mod injection;
pub mod pii;
pub mod secret;

use crate::finding::{Hit, Provenance, Rule};

/// What finds things in a text. The engine owns detectors and numbers their rules one after another.
pub trait Detector: Send + Sync {
    /// The rules, in the order of their numbers.
    fn rules(&self) -> Vec<Rule>;

    /// Appends what is found in `text`, in any order; a hit's rule is `base` and the rule's place in [`rules`](Self::rules).
    ///
    /// The same arguments must always give the same hits, and the cost must be linear in the text.
    fn scan(&self, text: &str, provenance: Provenance, base: u32, out: &mut Vec<Hit>);

    /// What decides the findings beside the rules: anything whose change must make remembered findings void, such as the
    /// revision of the detector's code or the words that an operator configured.
    fn revision(&self) -> Vec<u8>;
}
