//! Which of the allow-listed paths a request is to.

use crate::snapshot::{Snapshot, is_format};
use http::Method;
use http::request::Parts;
use narrows_llm::Family;
use narrows_llm::endpoint::{PathFault, canonical_prefix};
use narrows_llm::paths::{self, Answer, Body, Captures, ModelIn, Row};
use std::sync::Arc;

/// The word in records for paths of an operator's own templates.
const OWN: &str = "own";

/// A request to a path beside inference, as far as its head tells.
pub(crate) struct Asked {
    /// The provider or format that the first segment names.
    pub(crate) prefix: Option<Box<str>>,
    /// What the path may mean: one way for each family that has it, and for each template of an operator's.
    pub(super) ways: Vec<Way>,
    /// The family that the client's own words speak for.
    pub(super) client: Option<Family>,
}

impl Asked {
    /// The family in whose shape to refuse, as long as nothing more is known.
    pub(crate) fn family(&self) -> Family {
        self.ways.first().map_or(Family::Openai, |way| way.family)
    }

    /// The word in records, as long as nothing more is known.
    pub(crate) fn dialect(&self) -> &'static str {
        self.ways.first().map_or(OWN, |way| way.dialect)
    }
}

/// One meaning of a path.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(super) method: Method,
    pub(crate) family: Family,
    /// The word in records.
    pub(crate) dialect: &'static str,
    pub(super) rule: Rule,
    pub(super) row: Row,
    /// Ids of objects in the path, as their provider writes them.
    pub(super) ids: Vec<Box<str>>,
    /// The model in the path.
    pub(super) model: Option<Arc<str>>,
    /// The path behind the prefix, as it was matched and is sent.
    pub(super) path: Box<str>,
}

/// What allows a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// A group of this name.
    Group(&'static str),
    /// A template of a provider's.
    Own { provider: Arc<str>, template: Arc<paths::Template> },
}

/// What `path` may be beside inference; `None` when it is nothing that this gateway knows. The path was found
/// well-formed.
pub(crate) fn asked(snapshot: &Snapshot, head: &Parts) -> Option<Asked> {
    let path = head.uri.path();
    let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let (prefix, rest) = split(snapshot, path);
    let mut ways: Vec<Way> = paths::find(head.method.as_str(), rest, prefix.is_some())
        .into_iter()
        .map(|found| Way {
            method: head.method.clone(),
            family: found.group.family,
            dialect: found.group.dialect,
            rule: Rule::Group(found.group.name),
            row: *found.row,
            ids: ids(found.group.family, &found.captures),
            model: found.captures.model.map(Arc::from),
            path: rest.into(),
        })
        .collect();
    // What a group has is served by the group's rules only.
    let own = if ways.is_empty() { snapshot.providers() } else { &[] };
    for provider in own {
        if prefix.is_some_and(|prefix| *prefix != *provider.name) {
            continue;
        }
        let family = provider.family();
        for template in provider.paths.own.iter().filter(|template| template.method() == head.method.as_str())
        {
            let Some(captures) = paths::matches(template.path(), rest) else { continue };
            ways.push(Way {
                method: head.method.clone(),
                family,
                dialect: OWN,
                rule: Rule::Own { provider: Arc::clone(&provider.name), template: Arc::clone(template) },
                row: own_row(head, &captures),
                ids: ids(family, &captures),
                model: captures.model.map(Arc::from),
                path: rest.into(),
            });
        }
    }
    let named = prefix.and_then(|name| snapshot.provider(name));
    let client = client_family(head, prefix).or(named.map(|provider| provider.family()));
    ways.sort_by_key(|way| Some(way.family) != client);
    (!ways.is_empty()).then(|| Asked { prefix: prefix.map(Box::from), ways, client })
}

/// What is wrong with a request for a path that a group has with another method.
pub(crate) fn other_method(snapshot: &Snapshot, head: &Parts, fault: PathFault) -> PathFault {
    if !matches!(fault, PathFault::Unknown { .. }) {
        return fault;
    }
    let path = head.uri.path();
    let (prefix, rest) = split(snapshot, path.strip_suffix('/').unwrap_or(path));
    let (methods, family) = paths::methods(rest, prefix.is_some());
    let allow = match *methods {
        [] => return fault,
        ["POST", "GET"] => "GET, POST",
        ["GET", "DELETE"] => "GET, DELETE",
        ["GET", "POST", "DELETE"] => "GET, POST, DELETE",
        ["GET", "PATCH", "DELETE"] => "GET, PATCH, DELETE",
        [first, ..] => first,
    };
    PathFault::Method { family: client_family(head, prefix).or(family).unwrap_or(Family::Openai), allow }
}

/// The family that the client's own words speak for.
fn client_family(head: &Parts, prefix: Option<&str>) -> Option<Family> {
    match prefix {
        Some("openai") => return Some(Family::Openai),
        Some("anthropic") => return Some(Family::Anthropic),
        Some("gemini") => return Some(Family::Gemini),
        _ => {}
    }
    if head.headers.contains_key("anthropic-version") {
        return Some(Family::Anthropic);
    }
    let google = ["x-goog-api-key", "x-goog-api-client"].iter().any(|name| head.headers.contains_key(*name));
    google.then_some(Family::Gemini)
}

/// The provider's or format's name in front, and the rest. A first segment that names neither is part of the path.
pub(super) fn split<'p>(snapshot: &Snapshot, path: &'p str) -> (Option<&'p str>, &'p str) {
    let first = path.strip_prefix('/').unwrap_or(path);
    let Some((name, _)) = first.split_once('/') else { return (None, path) };
    let name = canonical_prefix(name);
    if snapshot.provider(name).is_none() && !is_format(name) {
        return (None, path);
    }
    let rest = first.find('/').and_then(|slash| first.get(slash..)).unwrap_or("/");
    (Some(name), rest)
}

/// The ids of a path; Gemini's objects are named with their collection.
fn ids(family: Family, captures: &Captures<'_>) -> Vec<Box<str>> {
    let of = |id: &paths::Id<'_>| match family {
        Family::Gemini => format!("{}/{}", id.collection, id.id).into(),
        Family::Openai | Family::Anthropic => Box::from(id.id),
    };
    captures.ids.iter().map(of).collect()
}

/// What is known of a path of an operator's own: by its method, and by what the request says of its body.
fn own_row(head: &Parts, captures: &Captures<'_>) -> Row {
    let answer = match head.method {
        Method::POST if captures.ids.is_empty() => Answer::Made("own"),
        Method::DELETE if !captures.ids.is_empty() => Answer::Deleted,
        _ => Answer::Plain,
    };
    let model = if captures.model.is_some() { ModelIn::Path } else { ModelIn::Nowhere };
    let body = match head.method {
        Method::GET | Method::DELETE => Body::None,
        _ => Body::Upload,
    };
    Row { method: "", path: "", body, model, answer, runs_models: true }
}
