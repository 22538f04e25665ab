//! What is wrong with a configuration, where, and what to do.

use std::fmt;

/// One problem, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named on the command line.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Path of the key, such as `providers.openai.base_url`; empty for the document as a whole.
    pub path: String,
    /// What is wrong. Never holds a value that came from the environment or from a secret.
    pub message: String,
    /// What to do about it.
    pub suggestion: String,
}

impl Problem {
    /// The problem as commands and the administration API show it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "suggestion": self.suggestion,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.suggestion.is_empty() {
            write!(f, "\n  help: {}", self.suggestion)?;
        }
        Ok(())
    }
}

/// Every problem of a configuration, in the order of lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts problems by line and drops repetitions.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Problems {
        problems.sort_by(|a, b| {
            (a.line, a.column, &a.path, &a.message).cmp(&(b.line, b.column, &b.path, &b.message))
        });
        problems.dedup();
        Problems(problems)
    }

    /// The problems, in the order of lines.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The candidate that `word` was probably meant to be: the nearest within a third of its length (one edit for short words, none for single letters).
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    let allowed = (length / 3).max(usize::from(length > 1));
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longest words whose distance is computed, in characters; longer ones are taken as far apart.
const WORD_CHARS_MAX: usize = 64;

/// Edits between two words: insertions, deletions, replacements and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > WORD_CHARS_MAX || b.len() > WORD_CHARS_MAX {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let above = &rows[i];
            let replaced = above[j] + usize::from(from != to);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *from == b[j - 1] && a[i - 1] == *to {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A suggestion that names the nearest candidate, or else all of them.
pub(crate) fn did_you_mean(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => "there is none yet; write one first".to_owned(),
        None => format!("one of: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_within_reason() {
        let words = ["openai", "anthropic", "gemini"];
        assert_eq!(nearest("opnai", words), Some("openai"));
        assert_eq!(nearest("OpenAi", words), Some("openai"));
        assert_eq!(nearest("antrhopic", words), Some("anthropic"));
        assert_eq!(nearest("bedrock", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest(&"x".repeat(WORD_CHARS_MAX + 1), words), None);
    }

    #[test]
    fn a_swap_is_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn problems_come_in_the_order_of_lines_and_once() {
        let problem = |line| Problem {
            file: "f".into(),
            line,
            column: 1,
            path: "a.b".into(),
            message: "is wrong".into(),
            suggestion: "mend it".into(),
        };
        let problems = Problems::new(vec![problem(3), problem(1), problem(3)]);
        assert_eq!(problems.as_slice().iter().map(|p| p.line).collect::<Vec<_>>(), [1, 3]);
        assert!(problems.to_string().starts_with("f:1:1: a.b: is wrong\n  help: mend it\nf:3:1: "));
    }
}
