//! Where a rule's match can be at all: literals that every match holds, and cheap conditions beside them.
//!
//! Searching every rule in every text is out of the question (5.7 MB/s for two hundred rules, measured), and one automaton
//! for all rules falls off a cliff on long texts. So each rule is reduced to literals; one pass finds all literals of
//! all rules; conditions that are derived from the rule throw out most of what was found; and the expression itself only
//! sees a small window around the rest.

mod condition;
mod derive;
mod frequency;
mod literal;
mod matcher;

pub(crate) use condition::{ByteSet, Condition};
pub(crate) use derive::{Derived, MAX_REACH, MIN_LITERAL, derive};
pub(crate) use literal::{Anchor, Literal, MAX_BYTES as MAX_LITERAL};
pub(crate) use matcher::Matcher;
