//! Templates of methods and paths.

use std::fmt;

/// Methods that a template may have.
pub const METHODS: &[&str] = &["GET", "POST", "DELETE", "PUT", "PATCH"];
/// Most bytes of a template written in a configuration.
pub const TEMPLATE_BYTES_MAX: usize = 256;
/// Most segments that a path may have.
pub const SEGMENTS_MAX: usize = 16;

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// The method is missing or not one of [`METHODS`].
    #[error("it does not begin with GET, POST, DELETE, PUT or PATCH and a blank")]
    Method,
    /// The path is not one.
    #[error("the path does not begin with a slash, or ends with one, or has an empty or dotted segment")]
    Path,
    /// A segment holds other characters than a path may have here, or a placeholder is not one.
    #[error(
        "a segment has characters other than letters, digits and -._~@:, or a placeholder that is not {{name}}"
    )]
    Segment,
    /// Longer than [`TEMPLATE_BYTES_MAX`], or with more than [`SEGMENTS_MAX`] segments.
    #[error("it is too long")]
    TooLong,
}

/// Checks a path of a template: `/v1/things/{id}/content`. A placeholder is a whole segment, or its beginning (as in
/// `{model}:countTokens`).
///
/// # Errors
/// [`TemplateFault`].
pub fn check_path(path: &str) -> Result<(), TemplateFault> {
    if path.len() > TEMPLATE_BYTES_MAX {
        return Err(TemplateFault::TooLong);
    }
    let segments = path.strip_prefix('/').ok_or(TemplateFault::Path)?;
    if segments.split('/').count() > SEGMENTS_MAX {
        return Err(TemplateFault::TooLong);
    }
    for segment in segments.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err(TemplateFault::Path);
        }
        let literal = match placeholder(segment) {
            None => segment,
            Some((name, after)) => {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
                if name.is_empty() || !name.bytes().all(plain) {
                    return Err(TemplateFault::Segment);
                }
                after
            }
        };
        if !literal.bytes().all(is_plain) {
            return Err(TemplateFault::Segment);
        }
    }
    Ok(())
}

/// A template of a configuration: `GET /v1/things/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    method: &'static str,
    path: Box<str>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateFault`].
    pub fn parse(text: &str) -> Result<Template, TemplateFault> {
        let (word, path) = text.split_once(' ').ok_or(TemplateFault::Method)?;
        let method = METHODS.iter().find(|method| **method == word).ok_or(TemplateFault::Method)?;
        check_path(path)?;
        Ok(Template { method, path: path.into() })
    }

    /// The method.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The path, with its placeholders.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What the placeholders of a template stand for in a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures<'a> {
    /// Ids of objects, in order: what stands for a placeholder whose name is `id` or ends with `_id`, with the
    /// collection before it (`files`) for those who name their objects so.
    pub ids: Vec<Id<'a>>,
    /// What stands for `{model}`.
    pub model: Option<&'a str>,
}

/// An id in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id<'a> {
    /// The segment before it.
    pub collection: &'a str,
    /// The id itself.
    pub id: &'a str,
}

/// Whether `path` has the form of the template's path; if so, what its placeholders stand for. Segment by segment:
/// a placeholder stands for one whole segment of plain characters, never for a slash, encoded or not.
pub fn matches<'a>(template: &str, path: &'a str) -> Option<Captures<'a>> {
    let mut captures = Captures::default();
    let mut wanted = template.split('/');
    let mut before = "";
    for segment in path.split('/') {
        let want = wanted.next()?;
        match placeholder(want) {
            None if want == segment => {}
            None => return None,
            Some((name, after)) => {
                let value = segment.strip_suffix(after)?;
                if !is_value(value) || (name == "version" && !super::VERSIONS.contains(&value)) {
                    return None;
                }
                if name == "model" {
                    captures.model = Some(value);
                } else if name == "id" || name.ends_with("_id") {
                    captures.ids.push(Id { collection: before, id: value });
                }
            }
        }
        before = segment;
    }
    wanted.next().is_none().then_some(captures)
}

/// Whether a segment may stand for a placeholder.
fn is_value(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
}

/// `{name}:rest` → (`name`, `:rest`).
fn placeholder(segment: &str) -> Option<(&str, &str)> {
    segment.strip_prefix('{')?.split_once('}')
}

/// Characters that stand in a path as they are and mean nothing to anybody.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@' | b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_are_read_and_written_as_they_are() {
        for text in ["GET /v1/things/{id}", "POST /{version}/models/{model}:predict", "DELETE /x"] {
            assert_eq!(Template::parse(text).unwrap().to_string(), text);
        }
        for (text, fault) in [
            ("/v1/things", TemplateFault::Method),
            ("get /v1/things", TemplateFault::Method),
            ("GET v1", TemplateFault::Path),
            ("GET /v1/", TemplateFault::Path),
            ("GET /v1//x", TemplateFault::Path),
            ("GET /v1/../x", TemplateFault::Path),
            ("GET /v1/{Id}", TemplateFault::Segment),
            ("GET /v1/{}", TemplateFault::Segment),
            ("GET /v1/%2e", TemplateFault::Segment),
            ("GET /v1/*", TemplateFault::Segment),
            ("GET /v1/a?b", TemplateFault::Segment),
        ] {
            assert_eq!(Template::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn templates_have_a_limit() {
        let of = |length: usize| format!("GET /{}", "a".repeat(length - 1));
        assert!(Template::parse(&of(TEMPLATE_BYTES_MAX)).is_ok());
        assert_eq!(Template::parse(&of(TEMPLATE_BYTES_MAX + 1)), Err(TemplateFault::TooLong));
        assert!(Template::parse(&format!("GET {}", "/a".repeat(SEGMENTS_MAX))).is_ok());
        let long = format!("GET {}", "/a".repeat(SEGMENTS_MAX + 1));
        assert_eq!(Template::parse(&long), Err(TemplateFault::TooLong));
    }

    #[test]
    fn placeholders_stand_for_one_plain_segment() {
        let ids = |template, path| {
            matches(template, path)
                .map(|found| found.ids.iter().map(|id| id.id.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(
            ids("/v1/files/{id}/content", "/v1/files/file-1/content"),
            Some(vec!["file-1".to_owned()])
        );
        for path in [
            "/v1/files//content",
            "/v1/files/../content",
            "/v1/files/a%2Fb/content",
            "/v1/files/a/b/content",
            "/v1/files/a",
            "/v1/files/a/content/",
            "/v1/files/a/content/more",
            "/v1/files/a;b/content",
        ] {
            assert_eq!(ids("/v1/files/{id}/content", path), None, "{path}");
        }
        let found = matches("/{version}/models/{model}:predict", "/v1beta/models/gemini-x:predict").unwrap();
        assert_eq!((found.model, found.ids.len()), (Some("gemini-x"), 0));
        assert_eq!(matches("/{version}/files", "/v9/files"), None);
        let found = matches("/{version}/files/{id}", "/v1beta/files/abc").unwrap();
        assert_eq!(found.ids, [Id { collection: "files", id: "abc" }]);
    }

    proptest! {
        #[test]
        fn what_matches_has_as_many_segments_and_no_trick(path in "(/[a-z.%;/]{0,4}){1,6}") {
            if matches("/{a}/{b_id}/{c}", &path).is_some() {
                prop_assert_eq!(path.split('/').count(), 4);
                prop_assert!(!path.contains(['%', ';']) && !path.split('/').any(|part| part == ".." || part == "."));
            }
        }
    }
}
