//! Aliases and anonymous routes: references to providers and to each other.

use super::document::{AliasDocument, AliasTarget, AnonymousDocument};
use super::path::Path;
use super::pattern::Pattern;
use super::problem::{did_you_mean, nearest};
use super::resolve::Check;
use super::settings::{Alias, Anonymous};
use super::tree::Node;
use narrows_policy::{Caller, CallerKind};
use std::collections::HashMap;
use std::sync::Arc;

impl Check<'_, '_> {
    pub(super) fn aliases(&mut self, aliases: &[(String, AliasDocument)], providers: &[&str]) -> Vec<Alias> {
        let known: HashMap<&str, &AliasDocument> =
            aliases.iter().map(|(name, to)| (name.as_str(), to)).collect();
        let names = self.root.get("models").map(Node::keys).unwrap_or_default();
        let mut resolved = Vec::new();
        for (name, to) in aliases {
            let path = Path::of(&["models", name]);
            let pattern = Pattern::new(name);
            let may_be_pattern = matches!(to, AliasDocument::Route(_));
            if pattern.is_none_or(|pattern| !may_be_pattern && !pattern.is_exact()) {
                self.problem(
                    &path,
                    "not a name for a model",
                    "a name without blanks, at most 256 bytes; only one with `targets` may have `*` in it",
                );
            }
            match to {
                AliasDocument::Model(target) => {
                    if !providers.contains(&target.provider.as_str()) {
                        let message = format!("no provider is called `{}`", target.provider);
                        let suggestion = did_you_mean(&target.provider, providers);
                        let key = if self.given(&path.key("provider")) {
                            path.key("provider")
                        } else {
                            path.clone()
                        };
                        self.problem(&key, message, suggestion);
                    }
                }
                AliasDocument::Alias(other) if !names.contains(&other.as_str()) => {
                    let suggestion = match nearest(other, names.iter().copied()) {
                        Some(name) => format!("did you mean `{name}`? A model is written `provider/model`"),
                        None => "a model is written `provider/model`, as openai/gpt-4o-mini".to_owned(),
                    };
                    self.problem(&path, format!("no other alias is called `{other}`"), suggestion);
                }
                AliasDocument::Alias(_) | AliasDocument::Route(_) => {}
            }
            match follow(name, &known) {
                Ok(Some(End::Model(target))) => resolved.push(Alias {
                    name: Arc::from(name.as_str()),
                    provider: Arc::from(target.provider.as_str()),
                    model: Arc::from(target.model.as_str()),
                }),
                Ok(Some(End::Route(_)) | None) => {}
                Err(circle) => {
                    let message = format!("aliases in a circle: {}", circle.join(" → "));
                    self.problem(&path, message, "let one of them stand for `provider/model`");
                }
            }
        }
        resolved
    }

    pub(super) fn anonymous(
        &mut self,
        lists: &[AnonymousDocument],
        providers: &[&str],
        organization: &Arc<str>,
    ) -> Vec<Anonymous> {
        let mut seen: Vec<&str> = Vec::new();
        let mut routes = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            let path = Path::of(&["anonymous"]).index(index);
            if list.providers.is_empty() {
                self.problem(&path.key("providers"), "no provider", "name one, or remove the entry");
            }
            for (nth, name) in list.providers.iter().enumerate() {
                let at = path.key("providers").index(nth);
                if !providers.contains(&name.as_str()) {
                    self.problem(
                        &at,
                        format!("no provider is called `{name}`"),
                        did_you_mean(name, providers),
                    );
                } else if seen.contains(&name.as_str()) {
                    let message = format!("{name} already serves anonymous requests of another entry");
                    self.problem(&at, message, "keep it in one entry: a request has one caller");
                }
                seen.push(name);
            }
            let caller = &list.caller;
            let at = path.key("caller");
            if caller.team.is_none() && caller.user.is_none() && caller.service_account.is_none() {
                let message = "nobody is named";
                self.problem(
                    &at,
                    message,
                    "add `team`, `user` or `service_account`, so that usage has an owner",
                );
            }
            if caller.user.is_some() && caller.service_account.is_some() {
                self.problem(&at, "a user and a service account at once", "keep one of them");
            }
            routes.push(Anonymous {
                providers: list.providers.iter().map(|name| Arc::from(name.as_str())).collect(),
                caller: Arc::new(Caller {
                    kind: CallerKind::Anonymous,
                    organization: caller.organization.clone().unwrap_or_else(|| organization.to_string()),
                    team: caller.team.clone(),
                    user: caller.user.clone(),
                    service_account: caller.service_account.clone(),
                    project: caller.project.clone(),
                    ..Caller::default()
                }),
            });
        }
        routes
    }
}

/// Where an alias leads.
pub(super) enum End<'a> {
    /// To a model of one provider.
    Model(&'a AliasTarget),
    /// To the model with targets of this name.
    Route(&'a str),
}

/// Follows an alias to its end. `Ok(None)` when the way ends at an unknown name, which has been reported.
pub(super) fn follow<'a>(
    name: &'a str,
    known: &HashMap<&'a str, &'a AliasDocument>,
) -> Result<Option<End<'a>>, Vec<&'a str>> {
    let mut way = vec![name];
    let mut at = name;
    loop {
        match known.get(at) {
            None => return Ok(None),
            Some(AliasDocument::Model(target)) => return Ok(Some(End::Model(target))),
            Some(AliasDocument::Route(_)) => return Ok(Some(End::Route(at))),
            Some(AliasDocument::Alias(next)) => {
                let circle = way.contains(&next.as_str());
                way.push(next);
                if circle {
                    // A way into a circle that others form is reported once, at those others.
                    return if next == name { Err(way) } else { Ok(None) };
                }
                at = next;
            }
        }
    }
}
