//! The routes' paths, taken apart when the program is built, so that nothing but comparing is left to do.

use super::{GEMINI_VERSIONS, ROUTES, Route};
use crate::dialect::{DIALECTS, Dialect, Family};

/// What follows one of [`GEMINI_VERSIONS`] at the beginning of a path.
pub(super) fn behind_version(path: &str) -> Option<&str> {
    let tail = path.strip_prefix('/').filter(|tail| tail.starts_with('v'))?;
    GEMINI_VERSIONS.iter().find_map(|version| tail.strip_prefix(version))
}

/// A route's path, taken apart when the program is built.
#[derive(Clone, Copy)]
pub(super) struct Pattern {
    /// Whether it begins with `{version}`, which is then left out of `before`.
    versioned: bool,
    /// Whether it names a tuned model.
    pub(super) tuned: bool,
    /// Whether it is also served without its `/v1`, behind a prefix.
    unversioned: bool,
    /// What stands before the model, or all.
    before: &'static str,
    /// What stands behind the model, if there is one.
    after: Option<&'static str>,
}

/// The routes' patterns, in the order of [`ROUTES`].
pub(super) static PATTERNS: [Pattern; ROUTES.len()] = {
    let mut patterns =
        [Pattern { versioned: false, tuned: false, unversioned: false, before: "", after: None };
            ROUTES.len()];
    let mut i = 0;
    while i < ROUTES.len() {
        patterns[i] = Pattern::of(&ROUTES[i]);
        i += 1;
    }
    patterns
};

impl Pattern {
    const fn of(route: &Route) -> Pattern {
        let (versioned, path) = match position(route.path, "{version}") {
            Some(at) => (true, route.path.split_at(at + "{version}".len()).1),
            None => (false, route.path),
        };
        let (before, after) = match position(path, "{model}") {
            Some(at) => (path.split_at(at).0, Some(path.split_at(at + "{model}".len()).1)),
            None => (path, None),
        };
        Pattern {
            versioned,
            tuned: position(before, "/tunedModels/").is_some(),
            unversioned: is_openai(route.dialect) && matches!(position(before, "/v1/"), Some(0)),
            before,
            after,
        }
    }

    /// Whether `path` has this form; if so, the raw model in it. `versioned` is what follows a version of Gemini's.
    #[inline]
    pub(super) fn matches<'a>(
        &self,
        path: &'a str,
        versioned: Option<&'a str>,
        prefixed: bool,
    ) -> Option<Option<&'a str>> {
        if self.versioned {
            return self.ends(self.before, versioned?);
        }
        if let Some(found) = self.ends(self.before, path) {
            return Some(found);
        }
        let unversioned = self.before.strip_prefix("/v1").filter(|_| prefixed && self.unversioned)?;
        self.ends(unversioned, path)
    }

    #[inline]
    fn ends<'a>(&self, before: &str, path: &'a str) -> Option<Option<&'a str>> {
        let Some(after) = self.after else { return (before == path).then_some(None) };
        let model = path.strip_prefix(before)?.strip_suffix(after)?;
        (!model.is_empty()).then_some(Some(model))
    }
}

/// Whether the dialect is of OpenAI's family.
const fn is_openai(dialect: Dialect) -> bool {
    matches!(DIALECTS[dialect as usize].2, Family::Openai)
}

/// Where `part` first stands in `text`.
const fn position(text: &str, part: &str) -> Option<usize> {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let mut at = 0;
    while at + part.len() <= text.len() {
        let mut same = 0;
        while same < part.len() && text[at + same] == part[same] {
            same += 1;
        }
        if same == part.len() {
            return Some(at);
        }
        at += 1;
    }
    None
}
