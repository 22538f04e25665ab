//! What is known of bodies that were walked before.

use super::walk::Unit;
use std::ops::Range;

/// Knows units of bodies. Whoever implements it sees to it that a unit is known only by the name of the member it stands
/// in and by all of its bytes, those before its value included: then passing over it is as good as walking through it.
pub trait Recall {
    /// Whether nothing is ever known.
    const KNOWS_NOTHING: bool = false;

    /// Where the unit ends that begins here, if it is known. Each that is passed over is asked for once.
    fn pass_over(&mut self, body: &str, begins: &Beginning) -> Option<usize>;

    /// A unit was walked through.
    fn walked(&mut self, body: &str, unit: &Unit);
}

/// Where a unit begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The name of the member of the outermost object that it stands in, raw.
    pub name: Range<usize>,
    /// Where the unit before it ended.
    pub mark: usize,
    /// Where its value begins: the first byte of a string or an object.
    pub value: usize,
    /// Whether it follows the last unit in the same list, with nothing between.
    pub follows: bool,
}

/// Knows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nothing;

impl Recall for Nothing {
    const KNOWS_NOTHING: bool = true;

    fn pass_over(&mut self, _body: &str, _begins: &Beginning) -> Option<usize> {
        None
    }

    fn walked(&mut self, _body: &str, _unit: &Unit) {}
}
