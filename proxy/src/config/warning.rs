//! What is allowed but risky, and which settings let requests through when something fails.

use super::addresses::is_loopback;
use super::guard::credential::auth;
use super::limits::{AtLimit, OnLimitError};
use super::network::Network;
use super::path::Path;
use super::problem::Problem;
use super::settings::{Audit, ClientCredentials, OnClientGone, Provider, Settings};
use super::tree::{Content, Node};
use narrows_policy::rule::Condition;
use std::collections::HashMap;

/// Finds risks in settings without problems.
pub(super) fn warnings(file: &str, settings: &Settings, root: &Node) -> Vec<Problem> {
    let mut list = List { file, root, found: Vec::new() };
    for (index, listener) in settings.listen.gateway.iter().enumerate() {
        if listener.tls.is_none() && !is_loopback(&listener.address) {
            let path = Path::of(&["listen", "gateway"]).index(index).key("address");
            let message = "virtual keys and prompts reach this listener unencrypted";
            list.warn(
                &path,
                message,
                "add `tls:`, or make sure that only a TLS-terminating proxy can reach it",
            );
        }
    }
    if settings.trusted_proxies.iter().flat_map(|trusted| &trusted.from).any(Network::is_everything) {
        let message = "every client is trusted to say which address it has";
        list.warn(&Path::of(&["trusted_proxies", "from"]), message, "name the balancers only");
    }
    for provider in &settings.providers {
        list.provider(provider);
    }
    list.patterns(&settings.providers);
    for (index, route) in settings.anonymous.iter().enumerate() {
        let path = Path::of(&["anonymous"]).index(index);
        let message = format!("requests without a key are served by {}", route.providers.join(", "));
        list.warn(&path, &message, "make sure that only those who may use it can reach the gateway");
    }
    list.guardrails(settings);
    list.replicas(settings);
    if settings.content.keep.iter().any(|rule| rule.store) && settings.master_key.is_none() {
        let message = "what is kept is sealed with the master key, and this file does not say where that is";
        let help = "add `master_key: file:…`, or set NARROWS_MASTER_KEY where the gateway runs: without it, it does not start";
        list.warn(&Path::of(&["content", "keep"]), message, help);
    }
    list.found.sort_by_key(|problem| (problem.line, problem.column));
    list.found
}

/// Settings that let requests through when a safeguard fails, and policies that carry nothing out, one line each.
pub fn fail_open(settings: &Settings) -> Vec<String> {
    let audit = match settings.records.audit {
        Audit::Required => None,
        Audit::BestEffort => Some(
            "records.audit: best_effort (requests are served while records cannot be kept; sums stay right)"
                .to_owned(),
        ),
    };
    let policies = settings.policies.fail_opens().into_iter();
    let policies = policies.map(|open| format!("policy {}: {}", open.rule, open.what));
    audit.into_iter().chain(policies).chain(limits(settings)).chain(given_away(settings)).collect()
}

/// Answers that nobody is charged for.
fn given_away(settings: &Settings) -> Vec<String> {
    let providers = settings
        .providers
        .iter()
        .map(|provider| (format!("provider {}", provider.name), provider.on_client_gone));
    let targets = settings.routes.iter().flat_map(|route| {
        let name = format!("model {}", route.pattern.as_str());
        route.targets.iter().map(move |target| (name.clone(), target.on_client_gone))
    });
    let free = providers.chain(targets).filter(|(_, what)| *what == OnClientGone::Free);
    let line = |(whose, _)| {
        format!("{whose}: on_client_gone: free (nobody is charged for what a client leaves that goes)")
    };
    let mut lines: Vec<String> = free.map(line).collect();
    lines.dedup();
    lines
}

/// Budgets and rate limits that let requests through at their limit, or uncounted.
fn limits(settings: &Settings) -> Vec<String> {
    let budgets = settings.budgets.iter().map(|rule| ("budget", &rule.name, rule.at_limit, rule.on_error));
    let rates =
        settings.rate_limits.iter().map(|rule| ("rate limit", &rule.name, rule.at_limit, rule.on_error));
    let mut lines = Vec::new();
    for (kind, name, at_limit, on_error) in budgets.chain(rates) {
        let beyond = match (kind, at_limit) {
            (_, AtLimit::Warn) => Some("requests go on beyond it, and it only raises alerts"),
            ("budget", AtLimit::Throttle) => Some("requests go on beyond it, each after a wait"),
            _ => None,
        };
        lines.extend(beyond.map(|what| format!("{kind} {name}: at_limit: {} ({what})", at_limit.as_str())));
        if on_error == OnLimitError::Allow {
            let when = if settings.counters.is_some() { ", also while Redis cannot be reached" } else { "" };
            lines.push(format!(
                "{kind} {name}: on_error: allow (requests that cannot be counted go on{when})"
            ));
        }
    }
    lines
}

struct List<'a> {
    file: &'a str,
    root: &'a Node,
    found: Vec<Problem>,
}

impl List<'_> {
    fn warn(&mut self, path: &Path, message: &str, suggestion: &str) {
        let at = self.root.position(path);
        self.found.push(Problem {
            file: self.file.to_owned(),
            line: at.line,
            column: at.column,
            path: path.to_string(),
            message: message.to_owned(),
            suggestion: suggestion.to_owned(),
        });
    }

    fn provider(&mut self, provider: &Provider) {
        let path = Path::of(&["providers", &provider.name]);
        let local = provider.base_url.host() == "localhost"
            || provider.base_url.ip().is_some_and(|ip| ip.to_canonical().is_loopback());
        let passes = provider.client_credentials == ClientCredentials::Pass;
        if !provider.base_url.is_tls() && !local {
            let message = "prompts and credentials go to this provider unencrypted";
            self.warn(&path.key("base_url"), message, "use https");
        }
        if provider.api_key.is_none() && !passes && super::kinds::needs_key(provider.kind) && !local {
            let suggestion = "add `api_key:` unless this server takes none";
            self.warn(&path, "requests go to this provider without a credential", suggestion);
        }
        if passes {
            let message =
                "a client that names its virtual key in x-narrows-api-key uses its own credential here";
            self.warn(
                &path.key("client_credentials"),
                message,
                "write `refuse` unless that is what you want",
            );
        }
        if let Some(Content::Scalar(scalar)) = self.root.find(&path.key("api_key")).map(|node| &node.content)
            && scalar.template.is_none()
            && !["file:", "store:", "vault:"].iter().any(|form| scalar.text.starts_with(form))
        {
            let message = "the credential stands in the file itself";
            self.warn(
                &path.key("api_key"),
                message,
                "write `${VARIABLE}` or `file:/path`, and change the credential",
            );
        }
    }

    /// What gateways beside each other do not share, and who can read what they do.
    fn replicas(&mut self, settings: &Settings) {
        if let Some(counters) = &settings.counters
            && counters.redis.is_exposed()
        {
            let message = "the password and the counters go over the network unencrypted";
            self.warn(
                &Path::of(&["counters", "redis"]),
                message,
                "use rediss://, or a network that nobody else reads",
            );
        }
        if settings.counters.is_some() && settings.store.postgres.is_some() {
            let message = "a Redis that loses its data is told again what gateways that run have spent, and not what those have that \
                           were stopped: budgets let in as much again";
            let help = "let Redis keep its data (`appendonly yes`, `appendfsync always`); when it has lost it all the same, have as \
                        many gateways running as there have been since the windows of budgets began";
            self.warn(&Path::of(&["counters"]), message, help);
        }
        if let Some(counters) = &settings.counters
            && counters.redis.is_remote()
            && counters.password.is_none()
        {
            let message = "a Redis on another machine that asks for no password lets everybody there change what was spent";
            self.warn(
                &Path::of(&["counters", "redis"]),
                message,
                "give it one, and add `password: ${VARIABLE}` or `password: file:/path`",
            );
        }
        if settings.store.is_exposed() {
            let message = "keys' hashes and records go over the network unencrypted, to whoever says to be the database";
            self.warn(
                &Path::of(&["store", "tls"]),
                message,
                "remove it, or use a network that nobody else is in",
            );
        }
        if settings.replicas == 1 || settings.store.postgres.is_some() {
            return;
        }
        let path = Path::of(&["replicas"]);
        if settings.keys.is_none() {
            let message = "virtual keys are in the store of one gateway, and unknown to the others";
            self.warn(&path, message, "share a database, `store: {postgres: …}`, or declare them in a file that all have, `keys: {file: …}`");
        }
        let message = "each gateway has a store of its own: records, usage, alerts, administration tokens, sealed credentials, and \
                       whose a stored object is are known to the one that wrote them";
        let suggestion = "give them one: `store: {postgres: postgres://HOST/DATABASE}`; or read records and usage from all of them, and \
                          send callers of files, batches and stored responses to one";
        self.warn(&path, message, suggestion);
    }

    /// Guardrails that are asked without a credential, and those that nobody asks.
    fn guardrails(&mut self, settings: &Settings) {
        for guardrail in &settings.guardrails {
            let path = Path::of(&["guardrails", &guardrail.name]);
            if guardrail.credential.is_none() && auth(&guardrail.remote).is_some() {
                let suggestion = "add `credential: ${VARIABLE}` unless this server takes none";
                self.warn(&path, "this guardrail is asked without a credential", suggestion);
            }
            let names = |condition: &Condition| match condition {
                Condition::Guardrail(verdict) => *verdict.guardrail == *guardrail.name,
                Condition::Found(_) => false,
            };
            let is_named = settings.policies.rules().any(|rule| rule.when.iter().any(names));
            if !is_named {
                let suggestion = "name it in a policy: `when: [{guardrail: NAME}]`";
                self.warn(&path, "no policy names this guardrail, so it is never asked", suggestion);
            }
        }
    }

    /// The same patterns at two providers: the first in the file gets the requests. One warning for a provider, however
    /// many patterns its kind has: two accounts of a kind are what failover is made of.
    fn patterns(&mut self, providers: &[Provider]) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        for provider in providers {
            let mut taken: Vec<(&str, &str)> = Vec::new();
            for pattern in &provider.models {
                match owners.get(pattern.as_str()) {
                    None => drop(owners.insert(pattern.as_str(), &provider.name)),
                    Some(owner) => taken.push((pattern.as_str(), owner)),
                }
            }
            let Some((pattern, owner)) = taken.first() else { continue };
            let more = match taken.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let path = Path::of(&["providers", &provider.name]).key("models");
            let message = format!("models `{pattern}`{more} already route to {owner}, which comes first");
            let suggestion = "give `models:` to one of them (`models: []` for none); this one stays reachable by its path \
                              prefix, by aliases and as a target";
            self.warn(&path, &message, suggestion);
        }
    }
}
