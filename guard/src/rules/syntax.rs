//! From the regular expressions of Go (RE2), in which gitleaks' rules are written, to those of Rust.
//!
//! Both are the same family, linear in time. What differs is what stands for itself: Go takes a brace that begins no
//! repetition, a bracket inside of a class and `\<` as literals, Rust does not.
//! Sources: <https://pkg.go.dev/regexp/syntax>, <https://docs.rs/regex/latest/regex/#syntax>.

/// Writes `pattern` so that Rust's syntax means what Go's does. What both refuse stays as it is.
pub fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    // Whether we are inside of a class, and whether it has a member yet: a first `]` stands for itself.
    let mut class: Option<bool> = None;
    while let Some(next) = rest.chars().next() {
        let tail = &rest[next.len_utf8()..];
        rest = match (next, class) {
            ('\\', _) => {
                class = class.map(|_| true);
                escape(tail, &mut out)
            }
            ('[', None) => {
                class = Some(false);
                out.push('[');
                let negated = tail.strip_prefix('^');
                out.push_str(if negated.is_some() { "^" } else { "" });
                negated.unwrap_or(tail)
            }
            ('{', None) if !begins_repetition(tail) => {
                out.push_str("\\{");
                tail
            }
            (']', Some(true)) => {
                class = None;
                out.push(']');
                tail
            }
            (']', Some(false)) => {
                class = Some(true);
                out.push_str("\\]");
                tail
            }
            ('[', Some(_)) => {
                class = Some(true);
                named_class(tail, &mut out)
            }
            ('&' | '~', Some(_)) => {
                class = Some(true);
                out.push('\\');
                out.push(next);
                tail
            }
            ('-', Some(_)) if tail.starts_with('-') => {
                class = Some(true);
                out.push_str("\\-");
                tail
            }
            _ => {
                class = class.map(|_| true);
                out.push(next);
                tail
            }
        };
    }
    out
}

/// After a backslash.
fn escape<'a>(tail: &'a str, out: &mut String) -> &'a str {
    let mut chars = tail.chars();
    match chars.next() {
        // In Rust these are the boundaries of words.
        Some(plain @ ('<' | '>')) => out.push(plain),
        Some('Q') => {
            let quoted = chars.as_str();
            let (text, rest) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            out.push_str(&regex_syntax::escape(text));
            return rest;
        }
        Some(next) => {
            out.push('\\');
            out.push(next);
        }
        None => out.push('\\'),
    }
    chars.as_str()
}

/// After a bracket inside of a class: `[:alpha:]`, or a bracket that stands for itself.
fn named_class<'a>(tail: &'a str, out: &mut String) -> &'a str {
    let name = tail.strip_prefix(':').and_then(|name| name.split_once(":]"));
    match name {
        Some((name, rest)) if name.trim_start_matches('^').chars().all(|c| c.is_ascii_lowercase()) => {
            out.push_str("[:");
            out.push_str(name);
            out.push_str(":]");
            rest
        }
        _ => {
            out.push_str("\\[");
            tail
        }
    }
}

/// Whether what follows a brace makes it a repetition: `{2}`, `{2,}`, `{2,5}`.
fn begins_repetition(tail: &str) -> bool {
    let Some((inside, _)) = tail.split_once('}') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        None => !inside.is_empty() && digits(inside),
        Some((least, most)) => !least.is_empty() && digits(least) && digits(most),
    }
}

#[cfg(test)]
mod tests {
    use super::from_go;

    fn matches(pattern: &str, text: &str) -> bool {
        regex_automata::meta::Regex::new(&from_go(pattern)).unwrap().is_match(text)
    }

    #[test]
    fn a_brace_that_begins_no_repetition_stands_for_itself() {
        assert_eq!(from_go(r"^\$(?:\d+|{\d+})$"), r"^\$(?:\d+|\{\d+})$");
        assert!(matches(r"^\${{[ \t]*env", "${{ env"));
        assert_eq!(from_go("a{2}b{2,}c{2,5}{,3}"), "a{2}b{2,}c{2,5}\\{,3}");
    }

    #[test]
    fn a_class_takes_brackets_and_signs_as_they_are() {
        assert!(matches("^[[]$", "["));
        assert!(matches("^[]a]$", "]"));
        assert!(matches("^[^]a]$", "b"));
        assert!(matches("^[[:alpha:]]$", "x"));
        assert!(matches("^[a&&b]+$", "a&b"));
        assert!(matches(r"^[\w.--]+$", "a.-"));
        assert!(matches(r"^[\]{]+$", "]{"));
    }

    #[test]
    fn escapes_mean_what_they_mean_in_go() {
        assert!(matches(r"^\<a\>$", "<a>"));
        assert!(matches(r"^\Qa.b\E+$", "a.bb"));
        assert_eq!(from_go(r"\b\x60\/"), r"\b\x60\/");
        assert_eq!(from_go("tail\\"), "tail\\");
    }
}
