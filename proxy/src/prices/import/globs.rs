//! Regular expressions over models' names as patterns of ours. Only what such lists use is understood: literal text,
//! `\d` with a count, sets of characters, `^` and `$`, and one refusal (`(?!.*…)`). All else is said not to be.

/// Most patterns that one expression may stand for.
const PATTERNS_MAX: usize = 16;
/// Most digits in a row.
const DIGITS_MAX: usize = 16;

/// What an expression stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Globs {
    /// Names of these patterns.
    Names(Vec<String>),
    /// All names but those of these patterns.
    AllBut(Vec<String>),
}

/// Patterns for an expression, if it is understood.
pub(super) fn globs(expression: &str) -> Option<Globs> {
    if let Some(refused) = expression.strip_prefix("^(?!.*").and_then(|rest| rest.strip_suffix(')')) {
        // The end of a name, or a dash and anything after it.
        let (text, end) = match refused.strip_suffix("(?:$|-)") {
            Some(text) => (text, vec!["", "-*"]),
            None => (refused, vec!["*"]),
        };
        let texts = expand(text)?;
        let all = texts.iter().flat_map(|text| end.iter().map(move |end| format!("*{text}{end}")));
        return Some(Globs::AllBut(all.collect()));
    }
    let (text, start) = match expression.strip_prefix('^') {
        Some(text) => (text, ""),
        None => (expression, "*"),
    };
    let (text, end) = match text.strip_suffix('$') {
        Some(text) => (text, ""),
        None => (text, "*"),
    };
    let texts = expand(text)?;
    Some(Globs::Names(texts.iter().map(|text| format!("{start}{text}{end}")).collect()))
}

/// Every text that a sequence stands for, in lower case.
fn expand(sequence: &str) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    let mut rest = sequence;
    while let Some(first) = rest.chars().next() {
        let (choices, after) = match first {
            '\\' => escaped(rest.get(1..)?)?,
            '[' => set(rest.get(1..)?)?,
            '*' | '#' | '+' | '?' | '(' | ')' | '{' | '}' | '|' | '.' | '^' | '$' | ']' => return None,
            plain => (vec![plain.to_lowercase().to_string()], rest.get(plain.len_utf8()..)?),
        };
        texts =
            texts.iter().flat_map(|text| choices.iter().map(move |next| format!("{text}{next}"))).collect();
        if texts.len() > PATTERNS_MAX {
            return None;
        }
        rest = after;
    }
    Some(texts)
}

/// What follows a backslash.
fn escaped(rest: &str) -> Option<(Vec<String>, &str)> {
    let first = rest.chars().next()?;
    let after = rest.get(first.len_utf8()..)?;
    if first != 'd' {
        // An escaped letter is a class; an escaped mark is itself.
        return first.is_ascii_punctuation().then(|| (vec![first.to_string()], after));
    }
    match after.strip_prefix('{').and_then(|after| after.split_once('}')) {
        Some((count, after)) => {
            let count: usize = count.parse().ok().filter(|count| (1..=DIGITS_MAX).contains(count))?;
            Some((vec!["#".repeat(count)], after))
        }
        None => Some((vec!["#".to_owned()], after)),
    }
}

/// What follows an opening bracket: single characters only.
fn set(rest: &str) -> Option<(Vec<String>, &str)> {
    let (inside, after) = rest.split_once(']')?;
    let ranges = inside.char_indices().any(|(place, c)| c == '-' && place > 0 && place + 1 < inside.len());
    if inside.is_empty() || ranges || inside.contains(['^', '\\', '[']) {
        return None;
    }
    let mut choices: Vec<String> = inside.chars().map(|c| c.to_lowercase().to_string()).collect();
    choices.sort();
    choices.dedup();
    Some((choices, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lists_use_is_understood() {
        let names = |expression| match globs(expression) {
            Some(Globs::Names(names)) => names,
            other => panic!("{expression}: {other:?}"),
        };
        assert_eq!(names(r"^claude-fable-5-\d{8}$"), ["claude-fable-5-########"]);
        assert_eq!(names(r"^gemini-3\.5-flash-\d"), ["gemini-3.5-flash-#*"]);
        assert_eq!(names(r"^claude-opus-5[-@]\d{4}$"), ["claude-opus-5-####", "claude-opus-5@####"]);
        assert_eq!(names(r"^composer-2\.5\[fast=true\]$"), ["composer-2.5[fast=true]"]);
        assert_eq!(names("opus"), ["*opus*"]);
        let refused = globs("^(?!.*-[tT][tT][sS](?:$|-))");
        assert_eq!(refused, Some(Globs::AllBut(vec!["*-tts".into(), "*-tts-*".into()])));
    }

    #[test]
    fn what_is_not_understood_is_said_to_be() {
        for expression in [
            r"^a.b$", "a|b", "(a)", "a+", "a?", "[a-z]", "[^a]", r"\w", r"\d{2,3}", r"\d{17}", r"\d{0}",
            "a*", "[", r"\", "#",
        ] {
            assert_eq!(globs(expression), None, "{expression}");
        }
        assert_eq!(globs(&"[ab]".repeat(5)), None, "too many");
        assert!(globs(&"[ab]".repeat(4)).is_some());
    }
}
