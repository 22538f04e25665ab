//! Cutting text into pieces as a vocabulary's pattern does, a byte at a time.

use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

/// Most bytes that building an automaton may take.
const BUILD_LIMIT: usize = 64 << 20;

/// What of a match is a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of it.
    Whole,
    /// All but its last character.
    WithoutLast,
}

/// The automaton of a vocabulary's pattern.
#[derive(Debug)]
pub(crate) struct Splitter {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
    cuts: Vec<Cut>,
}

/// How far a piece has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    state: StateID,
    /// Bytes of the piece as far as it is certain that they belong to one, once it is.
    end: Option<(usize, Cut)>,
}

impl Splitter {
    /// Builds the automaton, which takes tens of milliseconds; `None` if a pattern is none.
    pub(crate) fn new(patterns: &[(String, Cut)]) -> Option<Splitter> {
        let texts: Vec<&str> = patterns.iter().map(|pattern| pattern.0.as_str()).collect();
        let config = dense::Config::new()
            .match_kind(MatchKind::LeftmostFirst)
            .start_kind(regex_automata::dfa::StartKind::Anchored)
            .dfa_size_limit(Some(BUILD_LIMIT))
            .determinize_size_limit(Some(BUILD_LIMIT));
        let nfa = thompson::Config::new().shrink(false);
        let dfa = dense::Builder::new().configure(config).thompson(nfa).build_many(&texts).ok()?;
        // No pattern looks at what stands before it, so every piece starts alike.
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Splitter { dfa, start, cuts: patterns.iter().map(|pattern| pattern.1).collect() })
    }

    pub(crate) fn begin(&self) -> Progress {
        Progress { state: self.start, end: None }
    }

    /// Reads `text` on from `at`, both seen from the piece's first byte. Returns where the piece ends, once that is
    /// certain; else all of it has been read.
    #[inline]
    pub(crate) fn read(&self, progress: &mut Progress, text: &[u8], at: usize) -> Option<usize> {
        let mut state = progress.state;
        for (index, byte) in text.get(at..).unwrap_or_default().iter().enumerate() {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state) {
                if self.dfa.is_match_state(state) {
                    // A match is known one byte late.
                    progress.end = Some((at + index, self.cut(state)));
                } else if self.dfa.is_dead_state(state) || self.dfa.is_quit_state(state) {
                    return Some(end(text, progress.end));
                }
            }
        }
        progress.state = state;
        None
    }

    /// Where the piece ends if the text ends here.
    pub(crate) fn close(&self, progress: &Progress, text: &[u8]) -> usize {
        let state = self.dfa.next_eoi_state(progress.state);
        let last = self.dfa.is_match_state(state).then(|| (text.len(), self.cut(state)));
        end(text, last.or(progress.end))
    }

    /// The pieces of a whole text.
    pub(crate) fn pieces<'t>(&self, mut text: &'t [u8]) -> impl Iterator<Item = &'t [u8]> {
        std::iter::from_fn(move || {
            if text.is_empty() {
                return None;
            }
            let mut progress = self.begin();
            let end = self.read(&mut progress, text, 0).unwrap_or_else(|| self.close(&progress, text));
            let (piece, rest) = text.split_at_checked(end)?;
            text = rest;
            Some(piece)
        })
    }

    fn cut(&self, state: StateID) -> Cut {
        let pattern = self.dfa.match_pattern(state, 0);
        self.cuts.get(pattern.as_usize()).copied().unwrap_or(Cut::Whole)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.dfa.memory_usage()
    }
}

/// Where a piece ends. What no pattern matches, because it is no UTF-8, is a piece byte by byte.
fn end(text: &[u8], found: Option<(usize, Cut)>) -> usize {
    let end = match found {
        None => 0,
        Some((end, Cut::Whole)) => end,
        Some((end, Cut::WithoutLast)) => text.get(..end).map_or(0, last_character),
    };
    end.max(1)
}

/// Bytes of `text` without a last character that is not there whole.
pub(crate) fn whole_characters(text: &[u8]) -> usize {
    let start = last_character(text);
    let length = match text.get(start) {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..) => 4,
        _ => 1,
    };
    if start + length > text.len() { start } else { text.len() }
}

/// Where the last character of `text` begins.
fn last_character(text: &[u8]) -> usize {
    let continuing = text.iter().rev().take_while(|byte| **byte & 0xC0 == 0x80).count();
    text.len().saturating_sub(continuing + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_whole_or_left_out() {
        for text in ["a", "é", "中", "😀", "aé", "a中", "中a"] {
            let bytes = text.as_bytes();
            assert_eq!(whole_characters(bytes), bytes.len(), "{text}");
            let last = text.char_indices().next_back().unwrap().0;
            assert_eq!(last_character(bytes), last, "{text}");
            for end in last + 1..bytes.len() {
                assert_eq!(whole_characters(&bytes[..end]), last, "{text}");
            }
        }
        assert_eq!(
            (whole_characters(b""), whole_characters(b"\x80\x80"), last_character(b"\x80")),
            (0, 2, 0)
        );
    }
}
