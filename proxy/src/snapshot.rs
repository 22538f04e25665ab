//! The configuration as exchanges use it: immutable, swapped whole; one exchange sees one snapshot.

pub(crate) mod keys;
pub(crate) mod route;

use crate::alerts::Plan;
use crate::config::Secret;
use crate::config::paths::PathRule;
use crate::config::pattern::Pattern;
use crate::config::settings::{
    self, AskForUsage, ClientCredentials, Http2, Limits, Objects, OnClientGone, PriceSettings, Settings,
    Timeouts,
};
use crate::content::Keeping;
use crate::guard::Guard;
use crate::limits::Rules;
use crate::targets::budget::Budget;
use crate::targets::health::{Health, Table};
use crate::upstream::connect::{Connect, Offer};
use crate::upstream::dns::Dns;
use crate::upstream::h2;
use crate::upstream::pool::Pool;
use bytes::{BufMut, Bytes, BytesMut};
use keys::Keys;
use narrows_llm::paths::Template;
use narrows_llm::provider;
use narrows_llm::{Dialect, Family};
use narrows_meter::Tariff;
use narrows_policy::{Caller, CallerKind};
use route::Route;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A provider, ready to be asked.
pub(crate) struct Provider {
    /// Its name in the configuration.
    pub(crate) name: Arc<str>,
    /// What is known of its kind.
    pub(crate) kind: &'static provider::Provider,
    /// The paths of what can be asked of it.
    pub(crate) targets: provider::Targets,
    /// Version of its API, where the kind takes one as a parameter.
    pub(crate) api_version: Option<String>,
    /// `host: …` and the headers that the configuration adds, as they stand on the wire.
    pub(crate) fixed_headers: Bytes,
    /// Our credentials.
    pub(crate) credentials: Keys,
    /// Names of headers in `fixed_headers`, lower case: a client's own are not sent beside them.
    pub(crate) fixed_names: Vec<http::HeaderName>,
    /// Whether a client may bring its own credential.
    pub(crate) client_credentials: bool,
    /// Whether to ask for usage when the client did not.
    pub(crate) ask_for_usage: bool,
    /// Whether it serves the WebSocket APIs.
    pub(crate) realtime: bool,
    /// Time-outs.
    pub(crate) timeouts: Timeouts,
    /// What becomes of answers whose clients leave.
    pub(crate) on_client_gone: OnClientGone,
    /// After how much silence of its streams a client hears from the gateway; `None` for never.
    pub(crate) ping: Option<Duration>,
    /// Paths beside inference that it serves.
    pub(crate) paths: Paths,
    /// Its connections; shared with the snapshot before if nothing that concerns them has changed.
    pub(crate) pool: Arc<Pool>,
    /// What it charges.
    pub(crate) tariff: Tariff,
    /// What the pool was made from.
    way: Way,
    /// How the way to it does, and what operators have said of it.
    pub(crate) health: Arc<Health>,
    /// Which models route here.
    models: Vec<Pattern>,
}

/// Everything that decides how a provider is connected to.
#[derive(PartialEq)]
struct Way {
    /// Less what does not: whatever is added to the settings of a provider makes a new pool unless it is named here.
    provider: settings::Provider,
    idle_max: usize,
    dns: settings::Dns,
}

impl Way {
    fn new(provider: &settings::Provider, settings: &Settings) -> Way {
        let timeouts = Timeouts {
            connect: provider.timeouts.connect,
            keepalive: provider.timeouts.keepalive,
            first_byte: Duration::ZERO,
            idle: Duration::ZERO,
            total: Duration::ZERO,
            request_body: Duration::ZERO,
            client_keepalive: Duration::ZERO,
            shutdown_wait: Duration::ZERO,
            shutdown_grace: Duration::ZERO,
        };
        let provider = settings::Provider {
            api_key: None,
            api_version: None,
            headers: Vec::new(),
            models: Vec::new(),
            paths: Vec::new(),
            client_credentials: ClientCredentials::Refuse,
            ask_for_usage: AskForUsage::Auto,
            realtime: false,
            timeouts,
            ..provider.clone()
        };
        Way { provider, idle_max: settings.limits.keepalive_pool, dns: settings.dns.clone() }
    }
}

/// Paths beside inference that a provider serves.
#[derive(Default)]
pub(crate) struct Paths {
    /// Names of groups.
    pub(crate) groups: Vec<&'static str>,
    /// Templates of its own.
    pub(crate) own: Vec<Arc<Template>>,
}

impl Paths {
    fn new(rules: &[PathRule]) -> Paths {
        let mut paths = Paths::default();
        for rule in rules {
            match rule {
                PathRule::Group(name) => paths.groups.push(name),
                PathRule::Own(template) => paths.own.push(Arc::new(template.clone())),
            }
        }
        paths
    }
}

/// One dialect of each family, in the order of [`Family`].
const FAMILIES: [Dialect; 3] = [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::GeminiGenerate];

/// Where a model goes.
pub(crate) struct Resolved {
    pub(crate) provider: Arc<Provider>,
    /// The model to ask for.
    pub(crate) model: Arc<str>,
}

/// What a model's name leads to.
pub(crate) enum Found {
    /// One model of one provider.
    One(Resolved),
    /// Several targets.
    Route(Arc<Route>),
}

impl Found {
    /// Where a request for `model` goes first, as far as that can be told without one.
    pub(crate) fn first(self, model: &str) -> Option<Resolved> {
        match self {
            Found::One(resolved) => Some(resolved),
            Found::Route(route) => route.first(model),
        }
    }
}

/// A validated configuration.
pub(crate) struct Snapshot {
    /// Hash of the configuration.
    pub(crate) hash: u64,
    /// How alerts are kept, and who is told of them.
    pub(crate) alerts: Arc<Plan>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Detectors and policies.
    pub(crate) guard: Arc<Guard>,
    /// Whose prompts and answers are kept.
    pub(crate) content: Arc<Keeping>,
    /// Budgets and rate limits.
    pub(crate) rules: Rules,
    /// Who may reach stored objects.
    pub(crate) objects: Objects,
    /// Whether any provider serves paths beside inference, and so keeps objects that prompts may refer to.
    pub(crate) keeps_objects: bool,
    /// Who may say in a header which client a request is from.
    pub(crate) trusted_proxies: Option<settings::TrustedProxies>,
    /// Whether exchanges are refused while records cannot be kept.
    pub(crate) audit_required: bool,
    /// Who is written on the records of exchanges that were refused before anybody was identified.
    pub(crate) nobody: Arc<Caller>,
    providers: Vec<Arc<Provider>>,
    by_name: HashMap<Arc<str>, usize>,
    aliases: HashMap<Arc<str>, (usize, Arc<str>)>,
    /// Models with targets, in the configuration's order.
    routes: Vec<Arc<Route>>,
    /// Those of them that are named exactly, and their aliases.
    routes_by_name: HashMap<Arc<str>, Arc<Route>>,
    /// How all providers and targets do.
    pub(crate) health: Table,
    prices: PriceSettings,
    /// Version of the prices, once it was asked for.
    prices_version: OnceLock<u64>,
    /// Repetitions of the whole process.
    pub(crate) retry_budget: Arc<Budget>,
    /// By provider's name.
    anonymous: HashMap<Arc<str>, Arc<Caller>>,
    dns: Dns,
    dns_settings: settings::Dns,
}

impl Snapshot {
    /// Makes what `settings` describe; what outlives a configuration, and has not changed, is taken over from
    /// `previous`. Fails when a trust bundle or the resolver cannot be used.
    pub(crate) fn new(settings: &Settings, previous: Option<&Snapshot>) -> anyhow::Result<Snapshot> {
        let known = previous.filter(|previous| previous.dns_settings == settings.dns);
        let dns = known.map_or_else(|| Dns::new(&settings.dns), |previous| Ok(previous.dns.clone()))?;
        let mut health = Table::default();
        let learnt = previous.map(|snapshot| &snapshot.health);
        let providers = settings
            .providers
            .iter()
            .map(|provider| {
                let before = previous.and_then(|previous| previous.provider(&provider.name));
                let health = health.of(&provider.name, learnt);
                let before = before.map(|before| &**before);
                Provider::new(provider, settings, dns.clone(), before, health).map(Arc::new)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let by_name: HashMap<_, _> = providers
            .iter()
            .enumerate()
            .map(|(index, provider)| (Arc::clone(&provider.name), index))
            .collect();
        let aliases = settings.aliases.iter().filter_map(|alias| {
            let index = *by_name.get(&alias.provider)?;
            Some((Arc::clone(&alias.name), (index, Arc::clone(&alias.model))))
        });
        let (mut routes, mut routes_by_name) = (Vec::new(), HashMap::new());
        for route in &settings.routes {
            let find = |name: &str| by_name.get(name).and_then(|index| providers.get(*index)).cloned();
            let before = previous.and_then(|previous| previous.route_of(&route.pattern));
            let made = Arc::new(Route::new(route, find, &mut health, learnt, before));
            let exact = route.pattern.is_exact().then(|| Arc::from(route.pattern.as_str()));
            for name in exact.into_iter().chain(route.aliases.iter().cloned()) {
                routes_by_name.insert(name, Arc::clone(&made));
            }
            routes.push(made);
        }
        let saved = previous.map(|snapshot| &*snapshot.retry_budget);
        let retry_budget = Arc::new(Budget::after(settings.retries.budget, saved));
        let guard = Guard::new(settings, previous.map(|previous| &*previous.guard))?;
        let anonymous = settings.anonymous.iter().flat_map(|entry| {
            entry.providers.iter().map(|name| (Arc::clone(name), Arc::clone(&entry.caller)))
        });
        Ok(Snapshot {
            hash: settings.snapshot ^ settings.stored_limits.hash,
            alerts: Arc::new(Plan::new(&settings.alerts)?),
            limits: settings.limits.clone(),
            timeouts: settings.timeouts.clone(),
            guard: Arc::new(guard.asking(settings, &dns, known.map(|known| &*known.guard))?),
            content: Arc::new(Keeping::new(settings)?),
            rules: Rules::new(settings),
            objects: settings.objects.clone(),
            keeps_objects: settings.providers.iter().any(|provider| !provider.paths.is_empty()),
            trusted_proxies: settings.trusted_proxies.clone(),
            audit_required: settings.records.audit == settings::Audit::Required,
            nobody: Arc::new(Caller {
                kind: CallerKind::Anonymous,
                organization: settings.organization.to_string(),
                ..Caller::default()
            }),
            aliases: aliases.collect(),
            anonymous: anonymous.collect(),
            prices: settings.prices.clone(),
            prices_version: OnceLock::new(),
            retry_budget,
            health,
            routes,
            routes_by_name,
            by_name,
            providers,
            dns,
            dns_settings: settings.dns.clone(),
        })
    }

    /// Lets go of what `successor` does not use: idle connections of providers that are gone or changed.
    pub(crate) fn retire(&self, successor: &Snapshot) {
        self.guard.remote.retire(&successor.guard.remote);
        for provider in &self.providers {
            let stays = successor
                .provider(&provider.name)
                .is_some_and(|after| Arc::ptr_eq(&after.pool, &provider.pool));
            if !stays {
                provider.pool.retire();
            }
        }
    }

    /// Every model with targets, in the configuration's order.
    #[cfg(test)]
    pub(crate) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The prices.
    pub(crate) fn prices(&self) -> &PriceSettings {
        &self.prices
    }

    /// Version of the prices.
    pub(crate) fn prices_version(&self) -> u64 {
        *self.prices_version.get_or_init(|| self.prices.version())
    }

    /// Every provider, in the configuration's order.
    pub(crate) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The caller to whom requests without a key for this provider are attributed, if it is open to them.
    pub(crate) fn anonymous(&self, provider: &str) -> Option<&Arc<Caller>> {
        self.anonymous.get(provider)
    }

    /// The models with targets that have this one among theirs.
    pub(crate) fn models_with(&self, health: &Health) -> Vec<&str> {
        let has = |route: &&Arc<Route>| route.targets.iter().any(|target| target.health.name == health.name);
        self.routes.iter().filter(has).map(|route| route.pattern.as_str()).collect()
    }

    /// The provider with this name.
    pub(crate) fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.by_name.get(name).and_then(|index| self.providers.get(*index))
    }

    /// Names of aliases, and of models that a provider's list names exactly; each with where it leads.
    pub(crate) fn listed_models(&self) -> Vec<(Arc<str>, Resolved)> {
        let mut listed: Vec<(Arc<str>, Resolved)> = Vec::new();
        for (name, (index, model)) in &self.aliases {
            if let Some(provider) = self.providers.get(*index) {
                let resolved = Resolved { provider: Arc::clone(provider), model: Arc::clone(model) };
                listed.push((Arc::clone(name), resolved));
            }
        }
        for (name, route) in &self.routes_by_name {
            listed.extend(route.first(name).map(|resolved| (Arc::clone(name), resolved)));
        }
        for provider in &self.providers {
            for name in provider.models.iter().filter(|pattern| pattern.is_exact()).map(Pattern::as_str) {
                if !listed.iter().any(|(known, _)| &**known == name) {
                    let model: Arc<str> = Arc::from(name);
                    let resolved = Resolved { provider: Arc::clone(provider), model: Arc::clone(&model) };
                    listed.push((model, resolved));
                }
            }
        }
        listed.sort_by(|(a, _), (b, _)| a.cmp(b));
        listed
    }

    /// Where `model` goes. An exact name decides: an alias, or a model with targets; else a path prefix that names a
    /// provider; else `provider/model`; else the most specific pattern, one whose provider speaks `dialect` before one
    /// that does not. Without `routes` models with targets are passed over.
    pub(crate) fn resolve(
        &self,
        prefix: Option<&str>,
        model: &str,
        dialect: Dialect,
        routes: bool,
    ) -> Option<Found> {
        if let Some((index, target)) = self.aliases.get(model) {
            let provider = self.providers.get(*index)?;
            return Some(Found::One(Resolved { provider: Arc::clone(provider), model: Arc::clone(target) }));
        }
        if let Some(route) = self.routes_by_name.get(model).filter(|_| routes) {
            return Some(Found::Route(Arc::clone(route)));
        }
        // `/openai` names a format as much as a provider: other providers, and models with targets, are still reached.
        let route = self.route(model, dialect).filter(|_| routes);
        if let Some(provider) = prefix.and_then(|name| self.provider(name)) {
            let is_format = prefix.is_some_and(is_format);
            let own = provider.specificity(model);
            if let Some((_, route)) =
                route.filter(|((_, specificity), _)| is_format && Some(*specificity) >= own)
            {
                return Some(Found::Route(Arc::clone(route)));
            }
            let named = self.named(model).filter(|_| own.is_none());
            return Some(Found::One(named.unwrap_or_else(|| provider.resolved(model))));
        }
        if let Some(named) = self.named(model) {
            return Some(Found::One(named));
        }
        let candidates = self.providers.iter().filter_map(|provider| {
            let specificity = provider.specificity(model)?;
            Some(((provider.kind.speaks(dialect), specificity), provider))
        });
        let best = first_of_best(candidates);
        match (route, best) {
            (Some((rank, route)), Some((other, _))) if rank >= other => Some(Found::Route(Arc::clone(route))),
            (_, Some((_, provider))) => Some(Found::One(provider.resolved(model))),
            (Some((_, route)), None) => Some(Found::Route(Arc::clone(route))),
            (None, None) => None,
        }
    }

    /// The model with targets that the configuration names so.
    fn route_of(&self, pattern: &Pattern) -> Option<&Route> {
        self.routes.iter().find(|route| route.pattern.as_str() == pattern.as_str()).map(|route| &**route)
    }

    /// The model with targets whose pattern is the most specific, and how good a match it is.
    fn route(&self, model: &str, dialect: Dialect) -> Option<(Rank, &Arc<Route>)> {
        first_of_best(self.routes.iter().filter(|route| route.pattern.matches(model)).map(|route| {
            let speaks = route.targets.iter().any(|target| target.provider.kind.speaks(dialect));
            ((speaks, route.pattern.specificity()), route)
        }))
    }

    /// `provider/model`, where the first part is a provider's name.
    fn named(&self, model: &str) -> Option<Resolved> {
        let (name, rest) = model.split_once('/')?;
        (!rest.is_empty()).then(|| self.provider(name))?.map(|provider| provider.resolved(rest))
    }
}

/// How good a match is: whether the dialect is spoken, then how closely the pattern names the model.
type Rank = (bool, (bool, usize));

/// The best; the first of equals wins, where `max_by_key` would take the last.
fn first_of_best<T>(candidates: impl Iterator<Item = (Rank, T)>) -> Option<(Rank, T)> {
    candidates.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

/// The prefixes that name a wire format, served whether or not a provider has that name.
pub(crate) fn is_format(prefix: &str) -> bool {
    matches!(prefix, "openai" | "anthropic" | "gemini")
}

impl Provider {
    fn new(
        settings: &settings::Provider,
        general: &Settings,
        dns: Dns,
        previous: Option<&Provider>,
        health: Arc<Health>,
    ) -> anyhow::Result<Provider> {
        let kind = provider::Provider::of_kind(settings.kind)
            .ok_or_else(|| anyhow::anyhow!("provider {}: unknown kind {}", settings.name, settings.kind))?;
        let mut fixed = BytesMut::new();
        fixed.put_slice(b"host: ");
        fixed.put_slice(settings.base_url.authority().as_bytes());
        fixed.put_slice(b"\r\n");
        for (name, value) in &settings.headers {
            fixed.put_slice(name.as_str().as_bytes());
            fixed.put_slice(b": ");
            fixed.put_slice(value.as_bytes());
            fixed.put_slice(b"\r\n");
        }
        let values = settings.api_key.iter().flat_map(|key| &key.0).filter_map(|one| one.value.as_ref());
        let lines = |secret: &Secret| {
            FAMILIES.map(|dialect| {
                let auth = kind.auth(dialect);
                Bytes::from(format!("{}: {}{}\r\n", auth.header(), auth.scheme(), secret.reveal()))
            })
        };
        let before = previous.map(|previous| &previous.credentials);
        let credentials = Keys::new(values.map(lines).collect(), before);
        let way = Way::new(settings, general);
        let pool = match previous {
            Some(previous) if previous.way == way => Arc::clone(&previous.pool),
            _ => {
                let connect = Connect::new(settings, dns)?;
                let (idle_max, keepalive) = (general.limits.keepalive_pool, settings.timeouts.keepalive);
                let pool = Pool::new(connect, idle_max, keepalive, shared_connections(settings));
                Arc::new(match previous {
                    Some(previous) => pool.after(&previous.pool),
                    None => pool,
                })
            }
        };
        Ok(Provider {
            name: Arc::clone(&settings.name),
            kind,
            targets: provider::Targets::new(kind, settings.base_url.path()),
            api_version: settings.api_version.clone(),
            fixed_headers: fixed.freeze(),
            credentials,
            fixed_names: settings.headers.iter().map(|(name, _)| name.clone()).collect(),
            client_credentials: settings.client_credentials == ClientCredentials::Pass,
            ask_for_usage: match settings.ask_for_usage {
                AskForUsage::Auto => kind.inject_usage,
                AskForUsage::Never => false,
                AskForUsage::Always => true,
            },
            realtime: settings.realtime,
            timeouts: settings.timeouts.clone(),
            on_client_gone: settings.on_client_gone,
            ping: settings.streams.ping,
            tariff: general.prices.tariff(&settings.name, settings.kind)?,
            pool,
            way,
            health,
            paths: Paths::new(&settings.paths),
            models: settings.models.clone(),
        })
    }

    /// The header line with our credential for this dialect.
    pub(crate) fn credential(&self, dialect: Dialect) -> Option<&Bytes> {
        self.credentials.line(dialect.family() as usize)
    }

    /// Notes what the provider answered to a request with this credential. When it refused it: the header line of
    /// another one, if there is one that it may still take.
    pub(crate) fn credential_after(&self, used: &Bytes, dialect: Dialect, status: u16) -> Option<&Bytes> {
        self.credentials.answered(used, dialect.family() as usize, status)
    }

    /// The family that it speaks first.
    pub(crate) fn family(&self) -> Family {
        self.kind.speaks.first().map_or(Family::Openai, |row| row.dialect.family())
    }

    fn resolved(self: &Arc<Self>, model: &str) -> Resolved {
        Resolved { provider: Arc::clone(self), model: Arc::from(model) }
    }

    /// How closely the best of its patterns names `model`.
    fn specificity(&self, model: &str) -> Option<(bool, usize)> {
        self.models.iter().filter(|pattern| pattern.matches(model)).map(Pattern::specificity).max()
    }
}

/// How connections to the provider are shared, if it is to be spoken to in HTTP/2.
fn shared_connections(settings: &settings::Provider) -> Option<(Offer, h2::Options)> {
    let offer = match settings.http2 {
        Http2::Never => return None,
        Http2::Auto => Offer::Either,
        Http2::PriorKnowledge => Offer::H2,
    };
    let options = h2::Options {
        streams: settings.http2_streams,
        ping: settings.http2_ping,
        answer_within: settings.timeouts.connect,
        tls: settings.base_url.is_tls(),
    };
    Some((offer, options))
}
