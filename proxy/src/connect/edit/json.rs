//! JSON, with comments and trailing commas if need be, changed in place: what is not asked for stays byte for byte.

use super::EditError;
use std::ops::Range;

/// Nesting that is read; settings of clients have five levels.
const DEPTH_MAX: usize = 64;
/// Indentation of a member in a file that shows none.
const INDENT: &str = "  ";

/// A value and where it stands.
#[derive(Debug)]
struct Node {
    span: Range<usize>,
    /// The members, if it is an object.
    members: Option<Vec<Member>>,
}

/// A member of an object.
#[derive(Debug)]
struct Member {
    name: String,
    /// Where its name begins.
    start: usize,
    value: Node,
    /// Where the comma behind it stands.
    comma: Option<usize>,
}

impl Node {
    /// The member of that name. Of several the last counts, as in JavaScript.
    fn member(&self, name: &str) -> Option<(usize, &Member)> {
        let members = self.members.as_deref()?;
        members.iter().enumerate().rev().find(|(_, member)| member.name == name)
    }

    fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| Some(&node.member(name)?.1.value))
    }
}

/// The text of the value at `path`.
pub(super) fn get<'a>(text: &'a str, path: &[&str]) -> Result<Option<&'a str>, EditError> {
    Ok(parse(text)?.at(path).and_then(|node| text.get(node.span.clone())))
}

/// Whether the value at `path` is an object without members.
pub(super) fn is_empty(text: &str, path: &[&str]) -> Result<bool, EditError> {
    let root = parse(text)?;
    Ok(root.at(path).is_some_and(|node| node.members.as_ref().is_some_and(Vec::is_empty)))
}

/// Puts `raw`, a value in JSON, at `path`; objects on the way are made.
pub(super) fn set(text: &str, path: &[&str], raw: &str) -> Result<String, EditError> {
    let mut node = &parse(text)?;
    for (depth, name) in path.iter().enumerate() {
        let Some(members) = &node.members else {
            return Err(EditError::NotATable(path.get(..depth).unwrap_or_default().join(".")));
        };
        let Some((_, member)) = node.member(name) else {
            let rest = path.get(depth..).unwrap_or_default();
            return Ok(insert(text, node, members, rest, raw));
        };
        node = &member.value;
    }
    Ok(splice(text, vec![(node.span.clone(), raw.to_owned())]))
}

/// Takes the member at `path` away; gives the text as it is if there is none.
pub(super) fn remove(text: &str, path: &[&str]) -> Result<String, EditError> {
    let mut text = text.to_owned();
    // A name may occur twice.
    while let Some(shorter) = remove_one(&text, path)? {
        text = shorter;
    }
    Ok(text)
}

fn remove_one(text: &str, path: &[&str]) -> Result<Option<String>, EditError> {
    let root = parse(text)?;
    let Some((name, above)) = path.split_last() else { return Ok(None) };
    let Some(node) = root.at(above) else { return Ok(None) };
    let Some((index, member)) = node.member(name) else { return Ok(None) };
    let before = text.get(..member.start).unwrap_or_default();
    let after = text.get(member.comma.map_or(member.value.span.end, |comma| comma + 1)..).unwrap_or_default();
    // The line goes with the member, unless something else stands on its rest.
    let alone = after.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']);
    let start = if alone { before.trim_end().len() } else { before.trim_end_matches([' ', '\t']).len() };
    let mut edits = vec![(start..member.value.span.end, String::new())];
    let previous = index.checked_sub(1).and_then(|index| node.members.as_ref()?.get(index)?.comma);
    if let Some(comma) = member.comma.or(previous) {
        edits.push((comma..comma + 1, String::new()));
    }
    Ok(Some(splice(text, edits)))
}

/// Adds a member behind the last one of an object.
fn insert(text: &str, object: &Node, members: &[Member], path: &[&str], raw: &str) -> String {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let unit = unit(text);
    let Some(last) = members.last() else {
        let outer = indentation(text, object.span.start);
        let inner = format!("{outer}{unit}");
        let member = nested(path, raw, &inner, &unit, newline);
        let inside = object.span.start + 1..object.span.end - 1;
        // A comment in an empty object stays.
        let comment = text.get(inside.clone()).unwrap_or_default().trim_end();
        let filled = format!("{comment}{newline}{inner}{member}{newline}{outer}");
        return splice(text, vec![(inside, filled)]);
    };
    let first = members.first().map_or(object.span.start, |member| member.start);
    let comma = if last.comma.is_some() { "," } else { "" };
    let on_lines = text.get(object.span.start..first).unwrap_or_default().contains('\n');
    let mut edits = Vec::new();
    if last.comma.is_none() {
        edits.push((last.value.span.end..last.value.span.end, ",".to_owned()));
    }
    if on_lines {
        let indent = indentation(text, first);
        let member = nested(path, raw, indent, &unit, newline);
        // Behind comments that follow the last member.
        let end = text.get(..object.span.end - 1).unwrap_or_default().trim_end().len();
        let tail = text.get(end..object.span.end - 1).unwrap_or_default();
        // A closing bracket on the last member's line would be swallowed by a comment there.
        let close = if tail.contains('\n') { "" } else { newline };
        edits.push((end..end, format!("{newline}{indent}{member}{comma}{close}")));
    } else {
        let member = nested(path, raw, "", "", "");
        let end = last.comma.map_or(last.value.span.end, |at| at + 1);
        edits.push((end..end, format!(" {member}{comma}")));
    }
    splice(text, edits)
}

/// `"a": {"b": raw}` for the path a, b: on lines of their own, or on one without `newline`.
fn nested(path: &[&str], raw: &str, indent: &str, unit: &str, newline: &str) -> String {
    let Some((name, rest)) = path.split_first() else { return raw.to_owned() };
    let name = super::json_text(name);
    if rest.is_empty() {
        return format!("{name}: {raw}");
    }
    let inner = format!("{indent}{unit}");
    let member = nested(rest, raw, &inner, unit, newline);
    if newline.is_empty() {
        return format!("{name}: {{{member}}}");
    }
    format!("{name}: {{{newline}{inner}{member}{newline}{indent}}}")
}

/// The white space at the beginning of the line on which `at` stands.
fn indentation(text: &str, at: usize) -> &str {
    let line = text.get(..at).unwrap_or_default();
    let line = line.rsplit('\n').next().unwrap_or_default();
    let white = line.len() - line.trim_start_matches([' ', '\t']).len();
    line.get(..white).unwrap_or_default()
}

/// One level of indentation, as the file has it.
fn unit(text: &str) -> String {
    let lines = text.lines().skip(1).filter(|line| line.trim_start().starts_with('"'));
    let white = lines.map(|line| indentation(line, line.len())).find(|white| !white.is_empty());
    white.unwrap_or(INDENT).to_owned()
}

/// Applies edits, which do not overlap.
fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut done = 0;
    for (range, new) in edits {
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(&new);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

fn parse(text: &str) -> Result<Node, EditError> {
    let mut reader =
        Reader { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } };
    let node = reader.value(0)?;
    reader.blanks()?;
    if reader.at < text.len() {
        return Err(reader.fault("something behind the end"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &str) -> EditError {
        let line = self.text.get(..self.at).unwrap_or(self.text).matches('\n').count() + 1;
        EditError::Malformed { line, what: what.to_owned() }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes white space and comments.
    fn blanks(&mut self) -> Result<(), EditError> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
            let comment = match rest.get(blank..) {
                Some(rest) if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
                Some(rest) if rest.starts_with("/*") => match rest.find("*/") {
                    Some(end) => end + 2,
                    None => return Err(self.fault("a comment without an end")),
                },
                _ => 0,
            };
            self.at += blank + comment;
            if comment == 0 {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, EditError> {
        if depth > DEPTH_MAX {
            return Err(self.fault("too many levels"));
        }
        self.blanks()?;
        let start = self.at;
        let members = match self.peek() {
            Some(b'{') => Some(self.members(depth)?),
            Some(b'[') => {
                self.items(depth)?;
                None
            }
            Some(b'"') => {
                self.string()?;
                None
            }
            Some(_) => {
                self.word()?;
                None
            }
            None => return Err(self.fault("no value")),
        };
        Ok(Node { span: start..self.at, members })
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member>, EditError> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        loop {
            self.blanks()?;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(members);
                }
                Some(b'"') if members.last().is_none_or(|member| member.comma.is_some()) => {
                    let start = self.at;
                    let name = self.string()?;
                    self.blanks()?;
                    if self.peek() != Some(b':') {
                        return Err(self.fault("no colon behind a name"));
                    }
                    self.at += 1;
                    let value = self.value(depth + 1)?;
                    self.blanks()?;
                    let comma = (self.peek() == Some(b',')).then_some(self.at);
                    self.at += usize::from(comma.is_some());
                    members.push(Member { name, start, value, comma });
                }
                _ => return Err(self.fault("no name or end of an object where one has to be")),
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<(), EditError> {
        self.at += 1;
        let mut separated = true;
        loop {
            self.blanks()?;
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) if separated => {
                    self.value(depth + 1)?;
                    self.blanks()?;
                    separated = self.peek() == Some(b',');
                    self.at += usize::from(separated);
                }
                _ => return Err(self.fault("no comma or end of a list where one has to be")),
            }
        }
    }

    fn string(&mut self) -> Result<String, EditError> {
        let start = self.at;
        let mut escaped = false;
        for (offset, byte) in self.rest().bytes().enumerate().skip(1) {
            match byte {
                b'"' if !escaped => {
                    self.at = start + offset + 1;
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    return serde_json::from_str(raw).map_err(|_error| self.fault("a text that is not JSON"));
                }
                _ => escaped = byte == b'\\' && !escaped,
            }
        }
        Err(self.fault("a text without an end"))
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), EditError> {
        let rest = self.rest();
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if serde_json::from_str::<serde::de::IgnoredAny>(word).is_err() {
            return Err(self.fault("something that is no value"));
        }
        self.at += end;
        Ok(())
    }
}
