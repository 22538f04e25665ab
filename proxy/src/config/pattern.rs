//! Patterns of model names: literal text and `*`.

use std::fmt;

/// A pattern such as `gpt-*`: `*` stands for any text, also none; everything else for itself, in its case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// Longest pattern, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// The pattern with this text, or `None` when it is empty, longer than [`Pattern::BYTES_MAX`] or holds blanks
    /// or control characters (no model is named so).
    pub fn new(text: &str) -> Option<Pattern> {
        let plausible = !text.is_empty()
            && text.len() <= Pattern::BYTES_MAX
            && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        plausible.then(|| Pattern(text.to_owned()))
    }

    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no `*` and so names one model.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// How specific it is, for ordering: exact patterns before others, then by the bytes of literal text.
    pub fn specificity(&self) -> (bool, usize) {
        (self.is_exact(), self.0.bytes().filter(|byte| *byte != b'*').count())
    }

    /// Whether `model` matches. Takes time proportional to the product of the lengths at worst, without recursion.
    pub fn matches(&self, model: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else { return self.0 == model };
        let Some(mut left) = model.strip_prefix(prefix) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return left.ends_with(part);
            }
            match left.find(part) {
                Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern).unwrap();
        for model in matching {
            assert!(pattern.matches(model), "{pattern} should match {model}");
        }
        for model in others {
            assert!(!pattern.matches(model), "{pattern} should not match {model}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text_also_none() {
        check("gpt-*", &["gpt-", "gpt-4o"], &["gpt", "GPT-4o", "xgpt-4"]);
        check("*", &["", "anything"], &[]);
        check("o3", &["o3"], &["o3-mini", "o", ""]);
        check("*-mini", &["o3-mini", "-mini"], &["o3-mini-x", "mini"]);
        check("a*b*c", &["abc", "axxbyyc", "abcbc"], &["ab", "acb", "abcx"]);
        check("a*a", &["aa", "aba"], &["a", "ab"]);
        check("**", &["", "x"], &[]);
    }

    #[test]
    fn exact_goes_before_pattern_and_long_before_short() {
        let order = |text: &str| Pattern::new(text).unwrap().specificity();
        assert!(order("o3") > order("gpt-4o-*"));
        assert!(order("gpt-4o-*") > order("gpt-*"));
        assert!(order("gpt-*") > order("*"));
    }

    #[test]
    fn a_pattern_has_a_limit() {
        assert!(Pattern::new(&"x".repeat(Pattern::BYTES_MAX)).is_some());
        assert!(Pattern::new(&"x".repeat(Pattern::BYTES_MAX + 1)).is_none());
        assert!(Pattern::new("").is_none());
        assert!(Pattern::new("a b").is_none());
    }
}
