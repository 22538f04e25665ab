//! Step 4: the model to a provider.

use super::Account;
use super::choice::{self, Choice};
use super::identify::carries_key;
use super::read::{Body, Request};
use crate::config::settings::{OnClientGone, Timeouts};
use crate::respond::{Page, Refusal};
use crate::snapshot::route::Route;
use crate::snapshot::{Found, Provider, Resolved, Snapshot, is_format};
use crate::targets::health::Mode;
use narrows_ledger::key::KeyEntry;
use narrows_llm::endpoint::Operation;
use narrows_llm::models::{self, ModelEntry};
use narrows_llm::request::{self, BodyFault, BodyHead, Edit};
use narrows_llm::{Dialect, Family};
use narrows_policy::Reason;
use narrows_tokenizer::image::size_of_base64;
use std::sync::Arc;

/// Where a request goes.
pub(crate) enum Routed {
    /// Answered by the gateway: a list of models.
    Listing(Page),
    /// To a provider.
    Upstream(Upstream),
}

/// A request with its target.
pub(crate) struct Upstream {
    pub(crate) target: Target,
    pub(crate) body: Body,
    /// What routing changes in the body.
    pub(crate) edits: Vec<Edit>,
    /// Where else the request may go, if its model has targets.
    pub(crate) choice: Option<Box<Choice>>,
}

/// Who is asked for what.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    pub(crate) dialect: Dialect,
    pub(crate) provider: Arc<Provider>,
    /// The model to ask for.
    pub(crate) model: Arc<str>,
    pub(crate) stream: bool,
    /// Whether the provider is asked for usage that the client did not ask for.
    pub(crate) asks_for_usage: bool,
    /// Whether the client's own credential passes instead of ours.
    pub(crate) own_credential: bool,
    /// The place among its route's targets, if its model has targets.
    pub(crate) place: Option<(Arc<Route>, usize)>,
}

impl Target {
    /// The time-outs of an exchange with it.
    pub(crate) fn timeouts(&self) -> &Timeouts {
        let place = self.place.as_ref().and_then(|(route, index)| route.targets.get(*index));
        place.map_or(&self.provider.timeouts, |target| &target.timeouts)
    }

    /// What becomes of its answer if the client leaves.
    pub(crate) fn on_client_gone(&self) -> OnClientGone {
        let place = self.place.as_ref().and_then(|(route, index)| route.targets.get(*index));
        place.map_or(self.provider.on_client_gone, |target| target.on_client_gone)
    }

    /// Whether its answer is read to its end, whoever leaves.
    pub(crate) fn is_read_to_end(&self) -> bool {
        self.on_client_gone() == OnClientGone::ReadToEnd
    }
}

/// Finds the target.
pub(crate) fn route(account: &mut Account, request: Request) -> Result<Routed, Refusal> {
    match request.operation {
        Operation::ListModels | Operation::GetModel => list(account, &request).map(Routed::Listing),
        // Conversations have steps of their own.
        Operation::Realtime
        | Operation::ResponsesSocket
        | Operation::Probe
        | Operation::Scan
        | Operation::Beside
        | Operation::Generate
        | Operation::Compact
        | Operation::Embed
        | Operation::CountTokens => upstream(account, request),
    }
}

fn upstream(account: &mut Account, request: Request) -> Result<Routed, Refusal> {
    let head = request::head(&request.body.text).map_err(|fault| refuse_body(&fault))?;
    account.prompt_text_bytes = head.text_bytes;
    account.prompt_media = head.media;
    account.prompt_tools = head.has_tools;
    account.prompt_is_whole = head.previous_response_id.is_none() && head.conversation.is_none();
    let pictures = head.media_places.iter().filter_map(|at| request.body.text.get(at..));
    account.prompt_images = pictures.filter_map(size_of_base64).collect();
    account.bounds = head.bounds.of(request.dialect);
    account.mode_asked = head.mode;
    let stream = request.path_stream.unwrap_or_else(|| head.streams());
    let requested: Arc<str> = match (&request.path_model, head.model()) {
        (Some(model), _) => Arc::clone(model),
        (None, Some(model)) if !model.is_empty() => Arc::from(model),
        _ => return Err(Refusal::new(Reason::ModelMissing, "the body names no model; add \"model\"")),
    };
    refuse_key_as_name(&requested)?;
    account.model_requested = Some(Arc::clone(&requested));
    account.streamed = stream;
    // Responses are kept at the provider unless the client says no; whoever makes one can refer to it.
    account.stores = request.operation == Operation::Generate
        && request.dialect == Dialect::OpenaiResponses
        && head.store != Some(false);
    check_prefix(account, request.prefix.as_deref())?;
    // Whoever came in without a key stays with the provider that is open to anybody.
    let routes = request.key.is_some();
    let (prefix, keeper) = (request.prefix.as_deref(), request.keeper.as_deref());
    let found = find(&account.snapshot, prefix, keeper, &|snapshot, prefix| {
        snapshot.resolve(prefix, &requested, request.dialect, routes)
    });
    if let Some(page) = counted_here(account, &request, &requested, found.as_ref())? {
        return Ok(Routed::Listing(page));
    }
    let chosen = match found {
        Some(Found::One(resolved)) => one(&request, &head, &requested, resolved, stream)?,
        Some(Found::Route(route)) => {
            let asked = Asked { request: &request, head: &head, requested: &requested, stream };
            choice::choose(account, &asked, route)?
        }
        None => {
            let message = format!(
                "no provider serves the model {requested:?}; GET /v1/models lists the models of your key, and \
                 provider/model names one of a provider"
            );
            return Err(Refusal::new(Reason::ModelUnknown, message));
        }
    };
    account.ask_of(&chosen.target);
    Ok(Routed::Upstream(Upstream {
        target: chosen.target,
        edits: chosen.edits,
        choice: chosen.choice,
        body: request.body,
    }))
}

/// Where the model goes. What the request refers to is where it was made, at `keeper`: a model with targets has it among
/// them, and the choice sees to it; any other is asked for there.
fn find(
    snapshot: &Snapshot,
    prefix: Option<&str>,
    keeper: Option<&str>,
    resolve: &dyn Fn(&Snapshot, Option<&str>) -> Option<Found>,
) -> Option<Found> {
    let found = resolve(snapshot, prefix);
    let Some(keeper) = keeper.filter(|_| prefix.is_none()) else { return found };
    match found {
        Some(Found::Route(route)) if route.place_at(keeper, 0).is_some() => Some(Found::Route(route)),
        _ => resolve(snapshot, Some(keeper)),
    }
}

/// The number of a prompt's tokens as an estimate, if that is asked for and whoever serves the model does not count.
fn counted_here(
    account: &mut Account,
    request: &Request,
    requested: &Arc<str>,
    found: Option<&Found>,
) -> Result<Option<Page>, Refusal> {
    if request.operation != Operation::CountTokens {
        return Ok(None);
    }
    let resolved = match found {
        Some(Found::One(Resolved { provider, model })) => {
            Some(Resolved { provider: Arc::clone(provider), model: Arc::clone(model) })
        }
        Some(Found::Route(route)) => route.first(requested),
        None => None,
    };
    let Some(resolved) = resolved else { return Ok(None) };
    if resolved.provider.kind.count_tokens && resolved.provider.kind.speaks(request.dialect) {
        return Ok(None);
    }
    allow(request.key.as_deref(), requested, &resolved.model)?;
    account.provider = Some(resolved.provider);
    account.model_sent = Some(resolved.model);
    Ok(Some(Page::token_count(request.dialect.family(), account.estimate_prompt())))
}

/// Where a request goes first, and what that changes in its body.
pub(super) struct Chosen {
    pub(super) target: Target,
    pub(super) edits: Vec<Edit>,
    pub(super) choice: Option<Box<Choice>>,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) request: &'a Request,
    pub(super) head: &'a BodyHead<'a>,
    pub(super) requested: &'a Arc<str>,
    pub(super) stream: bool,
}

/// A request whose model has one place to go.
fn one(
    request: &Request,
    head: &BodyHead<'_>,
    requested: &str,
    resolved: Resolved,
    stream: bool,
) -> Result<Chosen, Refusal> {
    let Resolved { provider, model } = resolved;
    allow(request.key.as_deref(), requested, &model)?;
    if request.key.is_none() && request.prefix.as_deref() != Some(&*provider.name) {
        let message = format!("the model {requested:?} is not served here without a virtual key");
        return Err(Refusal::new(Reason::KeyMissing, message));
    }
    if !provider.kind.speaks(request.dialect) {
        let message = format!(
            "the model {requested:?} is served by {}, which does not speak {}",
            provider.name,
            request.dialect.as_str()
        );
        return Err(Refusal::new(Reason::DialectUnsupported, message));
    }
    in_use(&provider)?;
    let mut target = Target {
        operation: request.operation,
        dialect: request.dialect,
        model,
        stream,
        asks_for_usage: false,
        own_credential: request.own_credential && provider.client_credentials,
        provider,
        place: None,
    };
    let edits = edits(head, requested, &mut target);
    Ok(Chosen { target, edits, choice: None })
}

/// Whether operators let the provider be asked.
pub(super) fn in_use(provider: &Provider) -> Result<(), Refusal> {
    if provider.health.mode() != Mode::Disabled {
        return Ok(());
    }
    let message = format!("the provider {} has been disabled by an operator", provider.name);
    Err(Refusal::new(Reason::TargetDisabled, message))
}

/// What changes in the body for a target.
pub(super) fn edits(head: &BodyHead<'_>, requested: &str, target: &mut Target) -> Vec<Edit> {
    let mut edits = Vec::new();
    if target.dialect.family() == Family::Openai {
        // Azure's clients may name the model in the path only; whoever serves it may want it in the body.
        edits.extend(request::set_model(head, &target.model));
    } else if *target.model != *requested {
        edits.extend(request::replace_model(head, &target.model));
    }
    let may_ask = target.operation == Operation::Generate
        && matches!(target.dialect, Dialect::OpenaiChat | Dialect::OpenaiCompletions);
    let asks = target.stream && may_ask && target.provider.ask_for_usage;
    let ask = asks.then(|| request::request_usage(head)).flatten();
    target.asks_for_usage = ask.is_some();
    edits.extend(ask);
    edits
}

/// A virtual key in the place of a name would be shown in records, logs and answers.
pub(super) fn refuse_key_as_name(name: &str) -> Result<(), Refusal> {
    if carries_key(name.as_bytes()) {
        return Err(Refusal::new(
            Reason::ModelUnknown,
            "a virtual key stands where a model or provider is named; send it where your SDK sends its API key",
        ));
    }
    Ok(())
}

pub(super) fn refuse_body(fault: &BodyFault) -> Refusal {
    Refusal::new(Reason::BodyMalformed, fault.to_string())
}

/// A first path segment that names neither a provider nor a format is a path nobody serves.
pub(super) fn check_prefix(account: &Account, prefix: Option<&str>) -> Result<(), Refusal> {
    refuse_key_as_name(prefix.unwrap_or_default())?;
    match prefix {
        Some(name) if account.snapshot.provider(name).is_none() && !is_format(name) => {
            let message = format!("this gateway does not serve this path: no provider is named {name:?}");
            Err(Refusal::new(Reason::PathUnknown, message))
        }
        _ => Ok(()),
    }
}

/// Whether the key may use the model, by the name it was asked for or the one it leads to.
pub(super) fn allow(key: Option<&KeyEntry>, requested: &str, resolved: &str) -> Result<(), Refusal> {
    if key.is_none_or(|key| key.allows_model(requested) || key.allows_model(resolved)) {
        return Ok(());
    }
    Err(Refusal::new(Reason::ModelNotAllowed, format!("this key may not use the model {requested:?}")))
}

/// The models that the key may use, as far as they are known by name.
fn list(account: &Account, request: &Request) -> Result<Page, Refusal> {
    check_prefix(account, request.prefix.as_deref())?;
    let provider = request.prefix.as_deref().and_then(|name| account.snapshot.provider(name));
    let listed = account.snapshot.listed_models();
    let mut entries = listed.iter().filter(|(name, resolved)| {
        let served = provider.is_none_or(|provider| Arc::ptr_eq(provider, &resolved.provider));
        served
            && usable(account, request, &resolved.provider)
            && allow(request.key.as_deref(), name, &resolved.model).is_ok()
    });
    if request.operation == Operation::ListModels {
        let entries: Vec<ModelEntry<'_>> = entries.map(|(name, to)| entry(name, &to.provider)).collect();
        return Ok(Page::json(models::list(account.family, &entries)));
    }
    let wanted = request.path_model.as_deref().unwrap_or_default();
    refuse_key_as_name(wanted)?;
    // A name that no list spells out may still be served by a pattern.
    let found = entries.find(|(name, _)| &**name == wanted).map(|(_, to)| Arc::clone(&to.provider));
    let found = found.or_else(|| {
        let prefix = request.prefix.as_deref();
        let found = account.snapshot.resolve(prefix, wanted, request.dialect, request.key.is_some())?;
        let resolved = found.first(wanted)?;
        allow(request.key.as_deref(), wanted, &resolved.model).ok()?;
        usable(account, request, &resolved.provider).then_some(resolved.provider)
    });
    match found {
        Some(provider) => Ok(Page::json(models::get(account.family, &entry(wanted, &provider)))),
        None => Err(Refusal::new(Reason::ModelUnknown, format!("no provider serves the model {wanted:?}"))),
    }
}

/// Whether a model of this provider is of use to the caller: clients of Anthropic's and Gemini's speak that dialect
/// only, and OpenAI's list is the list of everything.
fn usable(account: &Account, request: &Request, provider: &Provider) -> bool {
    account.family == Family::Openai || provider.kind.speaks(request.dialect)
}

fn entry<'a>(name: &'a str, provider: &'a Provider) -> ModelEntry<'a> {
    ModelEntry { id: name, owner: &provider.name, created: MODELS_CREATED }
}

/// When listed models were made, in seconds since the epoch. Clients want a figure and providers do not tell us.
const MODELS_CREATED: i64 = 1_700_000_000;

#[cfg(test)]
pub(in crate::exchange) mod tests {
    use super::*;
    use crate::config;
    use std::path::Path;

    /// The providers `a`, `b` and `c`, and models `smart-…` that `a` and `b` serve.
    pub(in crate::exchange) fn snapshot() -> Snapshot {
        let text = "version: 1\norganization: acme\ndns: {servers: [127.0.0.1]}\nproviders:\n  \
                    a: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-a}\n  \
                    b: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-b}\n  \
                    c: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-c}\n\
                    models: {'smart-*': {targets: [{provider: a, model: m}, {provider: b, model: m}, \
                    {provider: b, model: n}]}}\n";
        let settings = config::parse("test.yaml", Path::new("."), text, &|_| None).unwrap().settings;
        Snapshot::new(&settings, None).unwrap()
    }

    #[tokio::test]
    async fn a_model_with_targets_keeps_them_whatever_the_request_refers_to() {
        let snapshot = snapshot();
        let at = |keeper| {
            find(&snapshot, None, keeper, &|snapshot, prefix| {
                snapshot.resolve(prefix, "smart-1", Dialect::OpenaiResponses, true)
            })
        };
        assert!(matches!(at(None), Some(Found::Route(_))));
        assert!(matches!(at(Some("b")), Some(Found::Route(_))), "its own model, time-outs and retries");
        let elsewhere = at(Some("c"));
        assert!(matches!(elsewhere, Some(Found::One(found)) if &*found.provider.name == "c"));
    }

    #[tokio::test]
    async fn an_account_is_used_at_its_first_target_that_can_be() {
        let snapshot = snapshot();
        let route = &snapshot.routes()[0];
        assert_eq!(route.place_at("b", 0b111), Some(1));
        assert_eq!(route.place_at("b", 0b101), Some(2), "the first one is not in use");
        assert_eq!(route.place_at("b", 0b001), Some(1), "none is: it is named all the same");
        assert_eq!(route.place_at("c", 0b111), None);
    }

    #[tokio::test]
    async fn a_provider_that_is_disabled_is_not_asked() {
        let snapshot = snapshot();
        let provider = snapshot.provider("a").unwrap();
        assert!(in_use(provider).is_ok());
        provider.health.set_mode(Mode::Draining);
        assert!(in_use(provider).is_ok(), "what is bound to it goes on");
        provider.health.set_mode(Mode::Disabled);
        assert!(in_use(provider).is_err());
    }
}
