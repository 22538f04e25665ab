//! Which provider a request goes to, and whether it may.

use super::find::{Asked, Rule, Way};
use super::{Payload, Who};
use crate::downstream::Session;
use crate::exchange::Account;
use crate::exchange::objects;
use crate::exchange::route::{allow, in_use, refuse_key_as_name};
use crate::exchange::socket::decode;
use crate::gateway::Gateway;
use crate::respond::Refusal;
use crate::snapshot::Provider;
use http::HeaderMap;
use narrows_ledger::Object;
use narrows_llm::paths::{Body, ModelIn, ids};
use narrows_llm::request::{self, Edit};
use narrows_llm::{Dialect, Family};
use narrows_policy::Reason;
use std::sync::Arc;

/// A dialect of each family: what stands for the family where one is asked for.
pub(super) fn dialect(family: Family) -> Dialect {
    match family {
        Family::Openai => Dialect::OpenaiChat,
        Family::Anthropic => Dialect::AnthropicMessages,
        Family::Gemini => Dialect::GeminiGenerate,
    }
}

/// Whether the provider speaks the family's language at all.
fn speaks(provider: &Provider, family: Family) -> bool {
    provider.kind.speaks.iter().any(|row| row.dialect.family() == family)
}

/// Which meaning the path has, where families share it: that of the provider that the path names, or that keeps the
/// object in it; else the one that the client's headers speak for. Returns the named provider too.
pub(super) async fn way(
    gateway: &Gateway,
    account: &Account,
    asked: &Asked,
) -> Result<(Way, Option<Arc<Provider>>), Refusal> {
    let named = asked.prefix.as_deref().and_then(|name| account.snapshot.provider(name)).cloned();
    let client = asked.client;
    let mut ways: Vec<&Way> = asked.ways.iter().collect();
    if let Some(provider) = &named {
        ways.retain(|way| speaks(provider, way.family));
        let native = |way: &&&Way| Some(way.family) == client;
        let found = ways.iter().find(native).or(ways.first()).copied();
        let Some(way) = found else {
            let message =
                format!("the provider {} has no such path: it is one of another API", provider.name);
            return Err(Refusal::new(Reason::PathUnknown, message));
        };
        return Ok((way.clone(), named));
    }
    for way in &ways {
        for id in &way.ids {
            let found = objects::owner(gateway, id, None).await?;
            let keeper = found.and_then(|object| account.snapshot.provider(&object.provider).cloned());
            if keeper.is_some_and(|provider| speaks(&provider, way.family)) {
                return Ok(((*way).clone(), None));
            }
        }
    }
    // Which of them are in use does not change what the path means.
    let fits = |way: &&&Way| permitted(account, way).next().is_some();
    let found =
        ways.iter().find(|way| Some(way.family) == client && fits(way)).or_else(|| ways.iter().find(fits));
    match found.or(ways.first()) {
        // Nobody allows it: that is said before a body is read.
        Some(way) if !fits(&way) => Err(not_allowed(way, None)),
        Some(way) => Ok(((*way).clone(), None)),
        None => Err(Refusal::new(Reason::PathUnknown, "this gateway does not serve this path")),
    }
}

/// Whether several providers could serve this, so that its model decides.
pub(super) fn is_open(account: &Account, way: &Way) -> bool {
    candidates(account, way).nth(1).is_some()
}

/// The providers that allow this way.
fn permitted<'a>(account: &'a Account, way: &'a Way) -> impl Iterator<Item = &'a Arc<Provider>> {
    account.snapshot.providers().iter().filter(|provider| permits(provider, way))
}

/// Those of them that are in use.
fn candidates<'a>(account: &'a Account, way: &'a Way) -> impl Iterator<Item = &'a Arc<Provider>> {
    permitted(account, way).filter(|provider| in_use(provider).is_ok())
}

/// Why there is no candidate.
fn nobody(account: &Account, way: &Way) -> Refusal {
    let disabled = permitted(account, way).find_map(|provider| in_use(provider).err());
    disabled.unwrap_or_else(|| not_allowed(way, None))
}

fn permits(provider: &Provider, way: &Way) -> bool {
    match &way.rule {
        Rule::Group(name) => provider.paths.groups.contains(name) && speaks(provider, way.family),
        Rule::Own { provider: owner, .. } => *owner == provider.name,
    }
}

/// Google's resumable uploads go on at an address that the provider gives the client: around the gateway.
pub(super) fn refuse_resumable(session: &Session<'_>, way: &Way) -> Result<(), Refusal> {
    let head = session.head();
    if way.family == Family::Gemini && is_resumable(&head.headers, head.uri.query().unwrap_or_default()) {
        let message = "a resumable upload would go around the gateway; send the file in one request, with \
                       X-Goog-Upload-Protocol: raw or multipart";
        return Err(Refusal::new(Reason::PathNotAllowed, message));
    }
    Ok(())
}

/// Whether a request may begin or go on with an upload in several: whatever is not known to be in one.
fn is_resumable(headers: &HeaderMap, query: &str) -> bool {
    let whole = |word: &[u8], words: &[&str]| {
        words.iter().any(|known| word.trim_ascii().eq_ignore_ascii_case(known.as_bytes()))
    };
    let protocols = headers.get_all("x-goog-upload-protocol");
    let mut commands = headers.get_all("x-goog-upload-command").iter();
    let has = |command: &[u8], word: &str| command.split(|byte| *byte == b',').any(|one| whole(one, &[word]));
    let pair_is_whole = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name) else { return !name.contains('%') };
        let words: &[&str] = match name.to_ascii_lowercase().as_str() {
            "uploadtype" | "upload_type" => &["media", "multipart", "raw"],
            "upload_protocol" => &["raw", "multipart"],
            "upload_id" => &[],
            _ => return true,
        };
        decode(value).is_some_and(|value| whole(value.as_bytes(), words))
    };
    protocols.iter().any(|value| !whole(value.as_bytes(), &["raw", "multipart"]))
        || commands.any(|value| has(value.as_bytes(), "start") && !has(value.as_bytes(), "finalize"))
        || !query.split('&').all(pair_is_whole)
}

/// The provider that keeps an object.
pub(super) fn keeper(account: &Account, object: &Object) -> Result<Arc<Provider>, Refusal> {
    account.snapshot.provider(&object.provider).cloned().ok_or_else(|| {
        let message =
            format!("the provider {}, which keeps this object, is not configured any more", object.provider);
        Refusal::new(Reason::ObjectUnknown, message)
    })
}

/// The provider and the model to ask for.
pub(super) fn provider(
    account: &mut Account,
    asked: &Asked,
    way: &Way,
    who: &Who,
    pinned: Option<Arc<Provider>>,
    payload: &mut Payload,
) -> Result<(Arc<Provider>, Option<Arc<str>>), Refusal> {
    let requested = requested(way, payload)?;
    match &requested {
        Some(model) => {
            refuse_key_as_name(model)?;
            account.model_requested = Some(Arc::clone(model));
        }
        None => unnamed(way, who, payload)?,
    }
    if way.row.runs_models {
        runs_models(way, who, payload)?;
    }
    let dialect = dialect(way.family);
    let prefix = asked.prefix.as_deref().or(pinned.as_ref().map(|provider| &*provider.name));
    let resolved = requested
        .as_ref()
        .and_then(|model| account.snapshot.resolve(prefix, model, dialect, false)?.first(model));
    // An alias may lead elsewhere than to the provider that has to serve this.
    let resolved = resolved.filter(|resolved| match &pinned {
        Some(pinned) => pinned.name == resolved.provider.name,
        None => permits(&resolved.provider, way),
    });
    let (provider, model) = match (pinned, resolved) {
        (Some(provider), Some(resolved)) => (provider, Some(resolved.model)),
        (Some(provider), None) => (provider, requested.clone()),
        (None, Some(resolved)) => (resolved.provider, Some(resolved.model)),
        (None, None) => (only(account, way)?, requested.clone()),
    };
    if let (Some(requested), Some(model)) = (&requested, &model) {
        allow(who.key.as_deref(), requested, model)?;
        if requested != model {
            renames(way, requested, model)?;
            rename(payload, way, model);
        }
    }
    if who.key.is_none() && asked.prefix.as_deref() != Some(&*provider.name) {
        return Err(Refusal::new(Reason::KeyMissing, "this path is not served here without a virtual key"));
    }
    account.provider = Some(Arc::clone(&provider));
    account.model_sent.clone_from(&model);
    Ok((provider, model))
}

/// The model that the request names.
fn requested(way: &Way, payload: &Payload) -> Result<Option<Arc<str>>, Refusal> {
    let named = match (way.row.model, payload) {
        (ModelIn::Path, _) => return Ok(way.model.clone()),
        (ModelIn::Nowhere, _) => None,
        (ModelIn::Body | ModelIn::Form, Payload::Held(held)) if held.is_json => {
            let head = request::head(&held.body.text)
                .map_err(|fault| Refusal::new(Reason::BodyMalformed, fault.to_string()))?;
            head.model().map(|model| Arc::from(bare(way.family, model)))
        }
        (ModelIn::Body | ModelIn::Form, Payload::Held(held)) => {
            held.field.as_ref().map(|field| Arc::clone(&field.0))
        }
        (ModelIn::Body | ModelIn::Form, Payload::Streams(stream)) => {
            stream.field.as_ref().map(|field| Arc::clone(&field.0))
        }
    };
    Ok(named.filter(|model| !model.is_empty()))
}

/// Gemini's bodies name models with their collection.
fn bare(family: Family, model: &str) -> &str {
    if family == Family::Gemini { model.strip_prefix("models/").unwrap_or(model) } else { model }
}

/// A request that could name a model and does not: the provider then takes one of its own choice, which a key that may
/// use certain models only must not leave to it.
fn unnamed(way: &Way, who: &Who, payload: &Payload) -> Result<(), Refusal> {
    if way.row.model == ModelIn::Nowhere || !who.is_restricted() {
        return Ok(());
    }
    let message = match payload {
        Payload::Streams(_) => {
            "this key may use certain models only, and no model was found at the beginning of the form"
        }
        Payload::Held(_) => "this key may use certain models only; name one in \"model\"",
    };
    Err(Refusal::new(Reason::ModelMissing, message))
}

/// Work for models that are named where the gateway does not look is not for keys that may use certain ones only.
fn runs_models(way: &Way, who: &Who, payload: &Payload) -> Result<(), Refusal> {
    let Some(key) = who.key.as_deref().filter(|key| key.is_restricted()) else { return Ok(()) };
    if matches!(way.row.body, Body::None) || way.row.model != ModelIn::Nowhere {
        return Ok(());
    }
    let models = match payload {
        Payload::Held(held) => models_in(way, &held.body.text),
        Payload::Streams(_) => None,
    };
    let Some(models) = models else {
        return Err(Refusal::new(
            Reason::ModelNotAllowed,
            "this key may use certain models only, and the models of this request are named where the gateway does not \
             look",
        ));
    };
    models.iter().try_for_each(|model| allow(Some(key), model, model))
}

/// All models that a request starts work for, where its path says where they stand: in a batch of messages. A member
/// of the same name on another path means nothing, and a batch that names none tells nothing.
pub(super) fn models_in(way: &Way, text: &[u8]) -> Option<Vec<Box<str>>> {
    let is_batch = way.family == Family::Anthropic && way.rule == Rule::Group("message_batches");
    ids::batch_models(text).filter(|models| is_batch && !models.is_empty())
}

/// The only provider that allows this.
fn only(account: &Account, way: &Way) -> Result<Arc<Provider>, Refusal> {
    let mut able = candidates(account, way);
    let Some(first) = able.next() else { return Err(nobody(account, way)) };
    let others: Vec<&str> = able.map(|provider| &*provider.name).collect();
    if others.is_empty() {
        return Ok(Arc::clone(first));
    }
    let message = format!(
        "several providers serve this path ({}, {}); name one in front of it, as /{}{}",
        first.name,
        others.join(", "),
        first.name,
        way.path
    );
    Err(Refusal::new(Reason::ProviderAmbiguous, message))
}

/// Whether the configuration allows this for the provider.
pub(super) fn allowed(provider: &Provider, way: &Way) -> Result<(), Refusal> {
    if permits(provider, way) { Ok(()) } else { Err(not_allowed(way, Some(provider))) }
}

fn not_allowed(way: &Way, provider: Option<&Provider>) -> Refusal {
    let (name, of) = match provider {
        Some(provider) => (&*provider.name, format!("for the provider {}", provider.name)),
        None => ("NAME", "for any provider".to_owned()),
    };
    let group = match &way.rule {
        Rule::Group(name) => (*name).to_owned(),
        Rule::Own { template, .. } => template.to_string(),
    };
    let message = format!(
        "{} {} is not allowed {of}; an operator allows it with `{group}` in providers.{name}.paths",
        way.method, way.path
    );
    Refusal::new(Reason::PathNotAllowed, message)
}

/// Whether another model can be asked for than the request names. A path is sent as it was matched: in one, an alias
/// would be checked and then not exchanged.
fn renames(way: &Way, requested: &str, model: &str) -> Result<(), Refusal> {
    if way.row.model != ModelIn::Path {
        return Ok(());
    }
    let message = format!(
        "the model {requested:?} stands for {model:?}, and a model in a path is not exchanged; name {model:?} in the path"
    );
    Err(Refusal::new(Reason::ModelUnknown, message))
}

/// Asks for another model than the client did.
fn rename(payload: &mut Payload, way: &Way, model: &str) {
    match payload {
        Payload::Held(held) if held.is_json => {
            if let Ok(head) = request::head(&held.body.text) {
                let full =
                    if way.family == Family::Gemini { format!("models/{model}") } else { model.to_owned() };
                held.edits.extend(request::replace_model(&head, &full));
            }
        }
        Payload::Held(held) => {
            if let Some((_, range)) = &held.field {
                let replacement = model.to_owned().into();
                held.edits.push(Edit { range: range.clone(), replacement });
            }
        }
        Payload::Streams(stream) => stream.rename(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::pass::read::tests::way;

    #[test]
    fn an_upload_in_several_requests_is_told_however_it_is_written() {
        let asks = |fields: &[(&'static str, &'static str)], query: &str| {
            let fields = fields.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            });
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            is_resumable(&headers, query)
        };
        const PROTOCOL: &str = "x-goog-upload-protocol";
        const COMMAND: &str = "x-goog-upload-command";
        for query in ["", "uploadType=media", "uploadType=multipart&key=x", "upload_protocol=raw&%20=%25"] {
            assert!(!asks(&[(PROTOCOL, "raw")], query), "{query}");
            assert!(
                !asks(&[(PROTOCOL, "Multipart"), (COMMAND, "start, upload, finalize")], query),
                "{query}"
            );
        }
        for query in [
            "uploadType=resumable",
            "a=1&upload%54ype=resumable",
            "uploadType=resum%61ble",
            "upload_protocol=resumable",
            "uploadType=media&uploadType=resumable",
            "uploadType=",
            "uploadTyp%zz=resumable",
            "upload_id=abc",
        ] {
            assert!(asks(&[], query), "{query}");
        }
        assert!(asks(&[(PROTOCOL, "raw"), (PROTOCOL, "resumable")], ""));
        assert!(asks(&[(PROTOCOL, "raw, resumable")], "") && asks(&[(COMMAND, "START")], ""));
    }

    #[test]
    fn an_alias_in_a_path_is_refused_for_it_is_not_exchanged() {
        let batch = way("POST", "/v1beta/models/fast:batchGenerateContent", Family::Gemini);
        assert!(renames(&batch, "fast", "gemini-2.5-flash").is_err());
        let speech = way("POST", "/v1/audio/speech", Family::Openai);
        assert!(renames(&speech, "fast", "tts-1").is_ok());
    }

    #[test]
    fn models_are_told_of_batches_of_messages_only_and_of_none_without_any() {
        let models = |path, family, text: &str| {
            models_in(&way("POST", path, family), text.as_bytes()).map(|models| models.len())
        };
        let batch = r#"{"requests":[{"params":{"model":"m"}}]}"#;
        assert_eq!(models("/v1/messages/batches", Family::Anthropic, batch), Some(1));
        assert_eq!(models("/v1/messages/batches", Family::Anthropic, r#"{"requests":[]}"#), None);
        for text in [batch, r#"{"requests":[],"input_file_id":"file-1"}"#] {
            assert_eq!(models("/v1/batches", Family::Openai, text), None, "{text}");
        }
    }
}
