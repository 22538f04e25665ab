//! Names of models: exact ones, and patterns with `*` for any text and `#` for a digit.

use crate::price_file::NAME_MAX_BYTES;

/// A pattern, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Box<str>);

impl Pattern {
    pub(crate) fn new(text: &str) -> Pattern {
        Pattern(text.to_ascii_lowercase().into())
    }

    /// Whether it stands for one name only.
    pub(crate) fn is_exact(&self) -> bool {
        !self.0.contains(['*', '#'])
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// How much of a name it says: bytes that are not `*`. Of two patterns that match, the one that says more counts.
    pub(crate) fn weight(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }

    /// Whether a name in lower case matches. Takes at most the product of the lengths.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut place) = (0, 0);
        // Where to go on when what follows the last `*` does not fit: one more byte is the star's.
        let mut back: Option<(usize, usize)> = None;
        while let Some(byte) = name.get(place) {
            match pattern.get(at) {
                Some(b'*') => {
                    back = Some((at + 1, place));
                    at += 1;
                }
                Some(wanted) if fits(*wanted, *byte) => (at, place) = (at + 1, place + 1),
                _ => match back {
                    Some((after, from)) => {
                        (at, place) = (after, from + 1);
                        back = Some((after, from + 1));
                    }
                    None => return false,
                },
            }
        }
        pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

fn fits(wanted: u8, byte: u8) -> bool {
    if wanted == b'#' { byte.is_ascii_digit() } else { wanted == byte }
}

/// A name in lower case, without allocation. `None` when it is longer than [`NAME_MAX_BYTES`].
pub(crate) struct Lower {
    bytes: [u8; NAME_MAX_BYTES],
    length: usize,
}

impl Lower {
    pub(crate) fn new(name: &str) -> Option<Lower> {
        let mut bytes = [0; NAME_MAX_BYTES];
        let place = bytes.get_mut(..name.len())?;
        place.copy_from_slice(name.as_bytes());
        place.make_ascii_lowercase();
        Some(Lower { bytes, length: name.len() })
    }

    pub(crate) fn as_str(&self) -> &str {
        // Making ASCII lower case leaves UTF-8 as it was.
        self.bytes.get(..self.length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_digits() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).matches(name);
        for (pattern, name) in [
            ("gpt-4o", "gpt-4o"),
            ("GPT-4o", "gpt-4o"),
            ("*", ""),
            ("*claude*opus*", "eu.anthropic.claude-4-opus"),
            ("claude-opus-5-########", "claude-opus-5-20260101"),
            ("a*a*b", "aab"),
            ("*ab", "aab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("gpt-4o", "gpt-4o-mini"),
            ("claude-opus-5-########", "claude-opus-5-2026010x"),
            ("claude-opus-5-########", "claude-opus-5-2026010"),
            ("a*b", "a"),
            ("", "a"),
            ("#", ""),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_answered() {
        let pattern = Pattern::new(&"*a".repeat(NAME_MAX_BYTES / 2));
        assert!(!pattern.matches(&"a".repeat(NAME_MAX_BYTES / 2 - 1)));
    }

    #[test]
    fn names_are_made_lower_case_up_to_the_limit() {
        assert_eq!(Lower::new("GPT-4o É").unwrap().as_str(), "gpt-4o É");
        assert_eq!(Lower::new(&"x".repeat(NAME_MAX_BYTES)).unwrap().as_str().len(), NAME_MAX_BYTES);
        assert!(Lower::new(&"x".repeat(NAME_MAX_BYTES + 1)).is_none());
    }

    /// As simple as it gets: exponential, so only for short texts.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| slowly(rest, &name[skipped..])),
            (Some((wanted, rest)), Some((byte, others))) => fits(*wanted, *byte) && slowly(rest, others),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_and_the_simple_way_agree(pattern in "[ab1#*]{0,8}", name in "[ab12]{0,8}") {
            prop_assert_eq!(Pattern::new(&pattern).matches(&name), slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
