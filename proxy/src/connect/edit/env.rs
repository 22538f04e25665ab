//! Files of `NAME=value` lines, as dotenv reads them. A path is one name.

/// The value behind the name's last line, as it is written.
pub(super) fn get(text: &str, path: &[&str]) -> Option<String> {
    let lines = text.lines().rev();
    lines.filter_map(|line| value(line, path)).next().map(|value| value.trim().to_owned())
}

/// Puts `raw` behind the name, in the place of its first line, or in a line at the end.
pub(super) fn set(text: &str, path: &[&str], raw: &str) -> String {
    let Some(name) = path.first() else { return text.to_owned() };
    let mut out = String::with_capacity(text.len() + 128);
    let mut done = false;
    for line in text.split_inclusive('\n') {
        if value(line, path).is_none() {
            out.push_str(line);
        } else if !done {
            done = true;
            let bare = line.trim_end_matches(['\r', '\n']);
            let export = if bare.trim_start().starts_with("export ") { "export " } else { "" };
            let end = line.get(bare.len()..).unwrap_or_default();
            out.push_str(&format!("{export}{name}={raw}{end}"));
        }
    }
    if !done {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("{name}={raw}\n"));
    }
    out
}

/// Takes every line of the name away.
pub(super) fn remove(text: &str, path: &[&str]) -> String {
    text.split_inclusive('\n').filter(|line| value(line, path).is_none()).collect()
}

/// The value in a line of that name.
fn value<'a>(line: &'a str, path: &[&str]) -> Option<&'a str> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=')?;
    (path == [name.trim_end()]).then_some(value)
}

/// The text, quoted if it has to be.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@%+,…".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    // Readers disagree on escapes; the kind of quotes that the text does not have needs none.
    if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
}

pub(super) fn unquote(raw: &str) -> String {
    let raw = raw.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = raw.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    raw.to_owned()
}
