//! Lists of names in a rule: literal names, globs and their negation.

use serde::Serialize;
use std::cmp::Ordering;

/// Longest name or glob in a list, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// One entry of a list: a name, or a glob in which `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Glob(Box<str>);

impl Glob {
    /// The entry with this text; `None` when it is empty, longer than [`NAME_BYTES_MAX`], begins or ends with a blank,
    /// or holds a control character.
    pub fn new(text: &str) -> Option<Glob> {
        let plain = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.trim() == text;
        (plain && !text.chars().any(char::is_control)).then(|| Glob(text.into()))
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one thing, and not many.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `value` is meant. Time is at most the product of the lengths; nothing recurses.
    pub fn matches(&self, value: &str, case: Case) -> bool {
        let (pattern, value) = (self.0.as_bytes(), value.as_bytes());
        let (mut p, mut v) = (0, 0);
        // Where to go on after the last star, should what follows it not fit here.
        let mut retry: Option<(usize, usize)> = None;
        while v < value.len() {
            match (pattern.get(p), value.get(v)) {
                (Some(b'*'), _) => {
                    p += 1;
                    retry = Some((p, v));
                }
                (Some(expected), Some(byte)) if case.same(*expected, *byte) => {
                    p += 1;
                    v += 1;
                }
                _ => match &mut retry {
                    None => return false,
                    Some((after, from)) => {
                        *from += 1;
                        (p, v) = (*after, *from);
                    }
                },
            }
        }
        pattern.get(p..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
    }
}

/// Whether names that differ only in the case of ASCII letters are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Byte for byte.
    Exact,
    /// `GPT-4o` is `gpt-4o`.
    Folded,
}

impl Case {
    fn same(self, one: u8, other: u8) -> bool {
        match self {
            Case::Exact => one == other,
            Case::Folded => one.eq_ignore_ascii_case(&other),
        }
    }

    /// The order of two names under this view.
    pub fn compare(self, one: &str, other: &str) -> Ordering {
        match self {
            Case::Exact => one.cmp(other),
            Case::Folded => {
                let one = one.bytes().map(|byte| byte.to_ascii_lowercase());
                one.cmp(other.bytes().map(|byte| byte.to_ascii_lowercase()))
            }
        }
    }
}

/// Which names are meant: some of a list, all but those of a list, or both.
///
/// With `any`, a name must match one of it; with `none`, it must match none of it. A fact that is absent (a key without a
/// team, say) is meant only if `any` is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Names {
    /// Entries of which one must match; empty for no demand.
    pub any: Vec<Glob>,
    /// Entries of which none may match.
    pub none: Vec<Glob>,
}

impl Names {
    /// Reads entries as they are written in a configuration: `gpt-*`, or `!gpt-*` for its negation.
    ///
    /// # Errors
    /// The first entry that is not a name.
    pub fn parse<'t>(entries: impl IntoIterator<Item = &'t str>) -> Result<Names, &'t str> {
        let mut names = Names::default();
        for entry in entries {
            let (list, text) = match entry.strip_prefix('!') {
                Some(text) => (&mut names.none, text),
                None => (&mut names.any, entry),
            };
            list.push(Glob::new(text).ok_or(entry)?);
        }
        Ok(names)
    }

    /// Whether every name is meant, and the absence of one.
    pub fn is_everything(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Glob> {
        self.any.iter().chain(&self.none)
    }

    /// Whether the fact `value` is meant.
    pub fn accept(&self, value: Option<&str>, case: Case) -> bool {
        let Some(value) = value else { return self.any.is_empty() };
        let matches = |glob: &Glob| glob.matches(value, case);
        (self.any.is_empty() || self.any.iter().any(matches)) && !self.none.iter().any(matches)
    }

    /// As it would be written: `a, b*, !c`.
    pub fn written(&self) -> String {
        let any = self.any.iter().map(|glob| glob.as_str().to_owned());
        any.chain(self.none.iter().map(|glob| format!("!{}", glob.as_str()))).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(entries: &[&str]) -> Names {
        Names::parse(entries.iter().copied()).unwrap()
    }

    #[test]
    fn lists_globs_and_negations() {
        let table = [
            (&["gpt-*"][..], &["gpt-", "gpt-4o"][..], &["gpt", "xgpt-4"][..]),
            (&["*"], &["", "x"], &[]),
            (&["a*b*c"], &["abc", "axxbyyc", "abcbc"], &["ab", "acb", "abcx"]),
            (&["*-mini", "!o3*"], &["o4-mini"], &["o3-mini", "o4"]),
            (&["!o3*"], &["o4", ""], &["o3", "o3-mini"]),
            (&["a", "b"], &["a", "b"], &["c", "ab"]),
            (&["a b"], &["a b"], &["a  b"]),
        ];
        for (entries, meant, others) in table {
            for value in meant {
                assert!(names(entries).accept(Some(value), Case::Exact), "{entries:?} {value}");
            }
            for value in others {
                assert!(!names(entries).accept(Some(value), Case::Exact), "{entries:?} {value}");
            }
        }
    }

    #[test]
    fn an_absent_fact_is_meant_only_where_nothing_is_demanded() {
        assert!(names(&[]).accept(None, Case::Exact));
        assert!(names(&["!ops", "!*"]).accept(None, Case::Exact));
        assert!(!names(&["*"]).accept(None, Case::Exact));
        assert!(!names(&["ops", "!x"]).accept(None, Case::Exact));
    }

    #[test]
    fn case_is_folded_where_asked() {
        assert!(names(&["GPT-4*"]).accept(Some("gpt-4O"), Case::Folded));
        assert!(!names(&["GPT-4*"]).accept(Some("gpt-4O"), Case::Exact));
        assert_eq!(Case::Folded.compare("Ab", "aB"), Ordering::Equal);
        assert_eq!(Case::Folded.compare("A", "b"), Ordering::Less);
        assert_eq!(Case::Exact.compare("b", "A"), Ordering::Greater);
    }

    #[test]
    fn names_have_limits() {
        assert!(Glob::new(&"x".repeat(NAME_BYTES_MAX)).is_some());
        for bad in ["", " x", "x ", "a\nb", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(Glob::new(bad).is_none(), "{bad:?}");
        }
        assert_eq!(Names::parse(["a", "!"]), Err("!"));
        assert_eq!(names(&["b", "!c", "a*"]).written(), "b, a*, !c");
    }

    /// The obvious matcher, by recursion.
    fn slow(pattern: &[u8], value: &[u8]) -> bool {
        match (pattern.split_first(), value.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', after)), rest) => {
                slow(after, value) || rest.is_some_and(|(_, rest)| slow(pattern, rest))
            }
            (Some((a, after)), Some((b, rest))) => a == b && slow(after, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn globs_match_as_the_obvious_matcher(pattern in "[ab*]{1,8}", value in "[ab]{0,10}") {
            let glob = Glob::new(&pattern).unwrap();
            prop_assert_eq!(glob.matches(&value, Case::Exact), slow(pattern.as_bytes(), value.as_bytes()));
        }
    }
}
