//! Models with targets: references to providers, and what cannot be meant.

use super::document::{AliasDocument, Document, RouteDocument, RouteTimeouts, TargetDocument};
use super::path::Path;
use super::pattern::Pattern;
use super::problem::did_you_mean;
use super::resolve::Check;
use super::routes::{End, follow};
use super::settings::{Provider, Retries, Route, RouteTarget, TARGETS_MAX, Timeouts};
use std::collections::HashMap;
use std::sync::Arc;

impl Check<'_, '_> {
    /// The models with targets.
    pub(super) fn routes(&mut self, document: &Document, providers: &[Provider]) -> Vec<Route> {
        let known: HashMap<&str, &AliasDocument> =
            document.models.iter().map(|(name, to)| (name.as_str(), to)).collect();
        let mut routes = Vec::new();
        for (name, to) in &document.models {
            let AliasDocument::Route(route) = to else { continue };
            let path = Path::of(&["models", name]);
            let targets = self.targets(&path, route, document, providers);
            let leads_here = |(alias, _): &&(String, AliasDocument)| {
                alias != name && matches!(follow(alias, &known), Ok(Some(End::Route(end))) if end == name)
            };
            let aliases = document.models.iter().filter(leads_here);
            // What is no pattern has been reported with the names.
            let Some(pattern) = Pattern::new(name) else { continue };
            routes.push(Route {
                pattern,
                aliases: aliases.map(|(alias, _)| Arc::from(alias.as_str())).collect(),
                targets,
                retries: overlaid(&document.retries, route),
            });
        }
        routes
    }

    fn targets(
        &mut self,
        path: &Path,
        route: &RouteDocument,
        document: &Document,
        providers: &[Provider],
    ) -> Vec<RouteTarget> {
        let list = path.key("targets");
        if route.targets.is_empty() {
            let suggestion = "add at least one, as `- {provider: openai}`";
            self.problem(&list, "no target", suggestion);
        } else if route.targets.len() > TARGETS_MAX {
            let message = format!("more than {TARGETS_MAX} targets");
            self.problem(&list, message, "spread them over several models");
        } else if route.targets.iter().all(|target| target.weight == 0) {
            let message = "every target has the weight 0, so no conversation could begin";
            self.problem(&list, message, "give one of them a weight");
        }
        let names: Vec<&str> = document.providers.iter().map(|(name, _)| name.as_str()).collect();
        let mut resolved = Vec::new();
        for (index, target) in route.targets.iter().enumerate() {
            let at = list.index(index);
            let twin =
                |other: &TargetDocument| (&other.provider, &other.model) == (&target.provider, &target.model);
            if route.targets.iter().take(index).any(twin) {
                let message = "the same provider and model stand in this list before";
                self.problem(&at, message, "keep one of them; a larger `weight` gives it a larger share");
            }
            if !names.contains(&target.provider.as_str()) {
                let message = format!("no provider is called `{}`", target.provider);
                self.problem(&at.key("provider"), message, did_you_mean(&target.provider, &names));
            }
            if let Some(model) = &target.model
                && Pattern::new(model).is_none_or(|pattern| !pattern.is_exact())
            {
                let suggestion = "one name; without `model` the client's own is asked for";
                self.problem(&at.key("model"), "not the name of one model", suggestion);
            }
            // One that was not read whole has been reported.
            let provider = providers.iter().find(|provider| *provider.name == *target.provider);
            if let Some(provider) = provider {
                resolved.push(RouteTarget {
                    provider: Arc::clone(&provider.name),
                    model: target.model.as_deref().map(Arc::from),
                    weight: u32::try_from(target.weight).unwrap_or(u32::MAX),
                    priority: u32::try_from(target.priority).unwrap_or(u32::MAX),
                    timeouts: laid_over(&provider.timeouts, &route.timeouts),
                    on_client_gone: route.on_client_gone.unwrap_or(provider.on_client_gone),
                });
            }
        }
        resolved
    }
}

fn laid_over(provider: &Timeouts, own: &RouteTimeouts) -> Timeouts {
    Timeouts {
        connect: own.connect.unwrap_or(provider.connect),
        first_byte: own.first_byte.unwrap_or(provider.first_byte),
        idle: own.idle.unwrap_or(provider.idle),
        total: own.total.unwrap_or(provider.total),
        ..provider.clone()
    }
}

fn overlaid(general: &Retries, route: &RouteDocument) -> Retries {
    let own = &route.retries;
    Retries {
        attempts: own.attempts.unwrap_or(general.attempts),
        wait_max: own.wait_max.unwrap_or(general.wait_max),
        after_sent: own.after_sent.unwrap_or(general.after_sent),
        ..general.clone()
    }
}
