//! Paths beside inference: files, batches, audio, images and the like. None is served unless the configuration allows
//! it for a provider, by the name of a group of this list or by a template of its own.

pub mod form;
mod groups;
pub mod ids;
pub mod list;
pub mod template;

pub use groups::GROUPS;
pub use template::{Captures, Id, Template, TemplateFault, matches};

use crate::dialect::Family;
pub(crate) use crate::endpoint::GEMINI_VERSIONS as VERSIONS;

/// What a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// None is expected; one that comes is passed on within the limit of buffered bodies.
    None,
    /// JSON, which is buffered and read.
    Json,
    /// A file or a form with files, which streams through.
    Upload,
}

/// Where a request names its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelIn {
    /// Nowhere.
    Nowhere,
    /// In `model` of the JSON body.
    Body,
    /// In the field `model` of the form.
    Form,
    /// In the path.
    Path,
}

/// What a successful answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Passed on as it comes; nothing in it matters here.
    Plain,
    /// A file or the like: passed on as it comes, without being held.
    Bytes,
    /// A new object of this kind, which belongs to the caller, and what it names belongs to it too.
    Made(&'static str),
    /// An object that exists: what it names (the output file of a batch) belongs to whom the object belongs.
    Seen,
    /// The object in the path is gone.
    Deleted,
    /// A list of everybody's objects, of which the caller sees its own.
    List,
    /// A result, with usage if the provider reports any.
    Metered,
}

/// One method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The method.
    pub method: &'static str,
    /// The template of the path; see [`template`].
    pub path: &'static str,
    /// What the request's body is.
    pub body: Body,
    /// Where the model is named.
    pub model: ModelIn,
    /// What the answer is.
    pub answer: Answer,
    /// Whether it has models work that the path and the body's `model` do not name: keys that may use certain models
    /// only may not use it.
    pub runs_models: bool,
}

/// A group: what is allowed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The word in a configuration; the same for groups of several families.
    pub name: &'static str,
    /// The family whose clients send it.
    pub family: Family,
    /// The word in records, in the place of a dialect.
    pub dialect: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Where it is documented, with the date it was seen.
    pub source: &'static str,
    /// Its methods and paths.
    pub rows: &'static [Row],
}

/// A row that a path matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The group.
    pub group: &'static Group,
    /// The row.
    pub row: &'static Row,
    /// What the placeholders stand for.
    pub captures: Captures<'a>,
}

/// Every row with this method and path; of several families where they share a path. `prefixed` paths of OpenAI's are
/// found without their `/v1` too, because SDKs append to a base URL such as `http://host/openai`.
pub fn find<'a>(method: &str, path: &'a str, prefixed: bool) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for group in GROUPS {
        for row in group.rows.iter().filter(|row| row.method == method) {
            if let Some(captures) = captured(group.family, row.path, path, prefixed) {
                found.push(Found { group, row, captures });
            }
        }
    }
    found
}

/// Whether a group has this path, with any method.
pub(crate) fn find_any(path: &str) -> bool {
    !methods(path, false).0.is_empty()
}

/// The methods that a path takes in any group, and the family of the first; empty when no group has it.
pub fn methods(path: &str, prefixed: bool) -> (Vec<&'static str>, Option<Family>) {
    let (mut methods, mut family) = (Vec::new(), None);
    for group in GROUPS {
        for row in group.rows {
            if captured(group.family, row.path, path, prefixed).is_some() && !methods.contains(&row.method) {
                methods.push(row.method);
                family.get_or_insert(group.family);
            }
        }
    }
    (methods, family)
}

fn captured<'a>(family: Family, template: &str, path: &'a str, prefixed: bool) -> Option<Captures<'a>> {
    let found = matches(template, path);
    if found.is_some() || !prefixed || family != Family::Openai {
        return found;
    }
    matches(template.strip_prefix("/v1")?, path)
}

/// Whether a group has this name.
pub fn is_group(name: &str) -> bool {
    GROUPS.iter().any(|group| group.name == name)
}

/// The names of the groups, each once, in the order of the list.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for group in GROUPS {
        if !names.contains(&group.name) {
            names.push(group.name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{self, Endpoint};

    /// The path of a row with plain names in the place of its placeholders.
    fn example(row: &Row) -> String {
        let segments = row.path.split('/').map(|segment| match segment.split_once('}') {
            Some(("{version", after)) => format!("v1beta{after}"),
            Some((_, after)) => format!("abc-1{after}"),
            None => segment.to_owned(),
        });
        segments.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn every_row_is_well_formed_and_found_by_its_own_path_only() {
        for group in GROUPS {
            assert!(group.source.contains("(2026-"), "{}: a source has a date", group.name);
            assert!(group.dialect.starts_with(match group.family {
                Family::Openai => "openai.",
                Family::Anthropic => "anthropic.",
                Family::Gemini => "gemini.",
            }));
            for row in group.rows {
                assert_eq!(template::check_path(row.path), Ok(()), "{}", row.path);
                assert!(template::METHODS.contains(&row.method), "{}", row.path);
                let path = example(row);
                let found = find(row.method, &path, false);
                let same: Vec<_> = found.iter().filter(|found| found.group.family == group.family).collect();
                assert_eq!(same.len(), 1, "{} {path}", row.method);
                assert_eq!(same[0].row, row, "{path}");
                if row.answer == Answer::Deleted || row.answer == Answer::Seen {
                    assert!(!same[0].captures.ids.is_empty(), "{path} names no object");
                }
            }
        }
    }

    #[test]
    fn no_row_hides_an_inference_path_or_is_hidden_by_one() {
        for row in GROUPS.iter().flat_map(|group| group.rows) {
            let path = example(row);
            let recognized = endpoint::recognize(row.method, &path);
            assert!(!matches!(recognized, Ok(Endpoint { .. })), "{} {path}: {recognized:?}", row.method);
        }
    }

    #[test]
    fn names_are_words_and_listed_once() {
        let names = names();
        for name in &names {
            assert!(is_group(name) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert_eq!(names.iter().filter(|other| other == &name).count(), 1);
        }
        assert!(!is_group("everything"));
    }

    #[test]
    fn openai_paths_are_found_without_their_version_behind_a_prefix_only() {
        assert_eq!(find("GET", "/files/file-1", true).len(), 1);
        assert!(find("GET", "/files/file-1", false).is_empty());
        assert_eq!(methods("/v1/files", false).0, ["POST", "GET"]);
        assert_eq!(methods("/v1/nothing", false), (Vec::new(), None));
    }
}
