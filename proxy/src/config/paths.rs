//! Paths beside inference: names of groups, and templates of an operator's own.

use super::form::{Form, Reader, Shape};
use super::forms::text;
use super::kinds::Kind;
use super::path::Path;
use super::problem::did_you_mean;
use super::resolve::Check;
use super::tree::Node;
use narrows_llm::endpoint::{self, Operation};
use narrows_llm::paths::{self, GROUPS, Template};
use serde_json::{Value as Json, json};

/// A path, or a group of paths, that a provider serves beside inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRule {
    /// A group of `narrows_llm`'s list.
    Group(&'static str),
    /// A method and a path: `GET /v1/things/{id}`.
    Own(Template),
}

impl Form for PathRule {
    type Out = PathRule;

    fn shape() -> Shape {
        let words = paths::names().into_iter().map(|name| (name, about(name))).collect();
        Shape::Either(vec![
            Shape::Words(words),
            text("`METHOD /path`", Some("^((GET|POST|PUT|PATCH|DELETE) /.+|\\$\\{.+)$")),
        ])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<PathRule> {
        let scalar = reader.scalar(node, "the name of a group or `METHOD /path`")?;
        let names = paths::names();
        if let Some(name) = names.iter().find(|name| **name == scalar.text) {
            return Some(PathRule::Group(name));
        }
        if !scalar.text.contains([' ', '/']) {
            let message = "no group of paths has this name".to_owned();
            reader.problem(node.at, message, did_you_mean(&scalar.text, &names));
            return None;
        }
        match Template::parse(&scalar.text) {
            Ok(template) => Some(PathRule::Own(template)),
            Err(fault) => {
                let suggestion = "a method and a path, as `GET /v1/things/{id}`";
                reader.problem(node.at, format!("not a template of a path: {fault}"), suggestion);
                None
            }
        }
    }

    fn show(value: &PathRule) -> Json {
        match value {
            PathRule::Group(name) => json!(name),
            PathRule::Own(template) => json!(template.to_string()),
        }
    }
}

/// What a group is, over its families.
fn about(name: &str) -> String {
    let of_it = GROUPS.iter().filter(|group| group.name == name);
    let each = of_it.map(|group| format!("{} ({})", group.about, group.dialect)).collect::<Vec<_>>();
    each.join("; ") + "."
}

impl Check<'_, '_> {
    /// Whether the paths of a provider are ones that it can have and that nothing else serves.
    pub(super) fn paths(&mut self, path: &Path, kind: &Kind, rules: &[PathRule]) {
        for (nth, rule) in rules.iter().enumerate() {
            let at = path.index(nth);
            if rules.iter().take(nth).any(|before| before == rule) {
                self.problem(&at, "this stands here twice", "remove one");
            }
            match rule {
                PathRule::Group(name) => {
                    let spoken = GROUPS.iter().any(|group| {
                        group.name == *name
                            && kind.speaks.iter().any(|row| row.dialect.family() == group.family)
                    });
                    if !spoken {
                        let message =
                            format!("a provider of the kind {} has no paths of this group", kind.kind);
                        self.problem(
                            &at,
                            message,
                            "see docs/pass-through.md for the API that each group belongs to",
                        );
                    }
                }
                PathRule::Own(template) => {
                    if let Some(message) = taken(template) {
                        self.problem(&at, message, "remove it, or allow the group");
                    }
                }
            }
        }
    }
}

/// Why a template cannot be an operator's own: something else serves its paths, by other rules.
fn taken(template: &Template) -> Option<String> {
    let example = example(template.path());
    let recognized = endpoint::recognize(template.method(), &example);
    if recognized.is_ok_and(|endpoint| endpoint.operation != Operation::Probe) {
        return Some("this path is served as inference".to_owned());
    }
    let found = paths::find(template.method(), &example, false);
    found.first().map(|found| format!("this path belongs to the group `{}`", found.group.name))
}

/// A path of the template, with something in the place of its placeholders.
fn example(path: &str) -> String {
    let fill = |segment: &str| match segment.split_once('}') {
        Some((_, after)) => format!("x{after}"),
        None => segment.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}
