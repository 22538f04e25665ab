//! `narrows keys`: virtual keys, in the store of this machine or behind a running gateway.

use super::args::{CreateArguments, KeysArguments, KeysCommand, StoreArguments};
use super::remote::Remote;
use super::table::{self, ABSENT};
use super::{Console, Outcome, bulk, store, time};
use crate::fetch::encode;
use anyhow::{Context, Result, bail};
use narrows_ledger::{CreatedKey, KEY_PREFIX, KeyHash, KeyInfo, Ledger, NewKey, PresentedKey, Secret};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes that are read of standard input; a key is far shorter.
const INPUT_BYTES_MAX: u64 = 4096;

/// Runs the command that was given.
pub(crate) fn keys(arguments: &KeysArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if let KeysCommand::Hash { new } = &arguments.command {
        hash(console, *new, arguments.store.json)?;
        return Ok(Outcome::Fine);
    }
    let place = Place::of(&arguments.store, matches!(arguments.command, KeysCommand::Create(_)))?;
    let as_json = arguments.store.json;
    match &arguments.command {
        KeysCommand::Create(asked) => match &asked.from {
            None => secret(console, &place.create(&asked.key)?, "Created", as_json)?,
            Some(from) => bulk::create(console, &place, asked, from, as_json)?,
        },
        KeysCommand::Rotate { id, overlap } => {
            let Some(span) = time::span(overlap) else {
                bail!("`{overlap}` is not a length of time; write 24h, 30m or 0s");
            };
            secret(console, &place.rotate(public_id(id)?, span)?, "Rotated", as_json)?;
        }
        KeysCommand::List { csv: true, .. } if as_json => bail!("--csv and --json are two forms; choose one"),
        KeysCommand::List { deleted, csv: true } => bulk::list(console, &place.list(*deleted)?)?,
        KeysCommand::List { deleted, .. } => list(console, &place.list(*deleted)?, as_json)?,
        KeysCommand::Show { id } => show(console, &place.show(public_id(id)?)?, as_json)?,
        KeysCommand::Disable { from: Some(from), .. } => bulk::disable(console, &place, from, as_json)?,
        KeysCommand::Disable { ids, .. } => match ids.as_slice() {
            [id] => changed(console, &place.set_disabled(public_id(id)?, true)?, "disabled", as_json)?,
            ids => {
                let ids: Vec<String> =
                    ids.iter().map(|id| Ok(public_id(id)?.to_owned())).collect::<Result<_>>()?;
                for info in place.disable_many(&ids)? {
                    changed(console, &info, "disabled", as_json)?;
                }
            }
        },
        KeysCommand::Enable { id } => {
            changed(console, &place.set_disabled(public_id(id)?, false)?, "enabled", as_json)?;
        }
        KeysCommand::Hash { .. } => {}
        KeysCommand::Delete { id } => {
            changed(console, &place.delete(public_id(id)?)?, "deleted", as_json)?;
        }
    }
    Ok(Outcome::Fine)
}

/// Makes a key for another command.
pub(crate) fn create(place: &StoreArguments, asked: &CreateArguments) -> Result<CreatedKey> {
    Place::of(place, true)?.create(asked)
}

/// Where keys are: in a store of this machine, or behind a running gateway. Both do the same.
pub(super) enum Place {
    Local { ledger: Box<Ledger>, organization: Arc<str> },
    Remote(Remote),
}

impl Place {
    /// The place that was named; `create` may make a new store.
    fn of(arguments: &StoreArguments, create: bool) -> Result<Place> {
        if let Some(remote) = store::remote(arguments)? {
            return Ok(Place::Remote(remote));
        }
        let settings = store::locate(arguments)?;
        let ledger = Box::new(store::open(&settings, create)?);
        Ok(Place::Local { ledger, organization: settings.organization })
    }

    fn create(&self, asked: &CreateArguments) -> Result<CreatedKey> {
        match self {
            Place::Local { ledger, organization } => {
                Ok(ledger.create_key(&new_key(asked, organization)?, store::ACTOR)?)
            }
            Place::Remote(remote) => created(remote.post("/keys", Some(&body(new_key(asked, "")?)))?),
        }
    }

    /// The organization of keys that name none; empty where only the gateway knows it.
    pub(super) fn organization(&self) -> &str {
        match self {
            Place::Local { organization, .. } => organization,
            Place::Remote(_) => "",
        }
    }

    /// Makes all of the keys or none.
    pub(super) fn create_many(&self, new: Vec<NewKey>) -> Result<Vec<CreatedKey>> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.create_keys(&new, store::ACTOR)?),
            Place::Remote(remote) => {
                #[derive(Deserialize)]
                struct Made {
                    keys: Vec<Json>,
                }
                let keys: Vec<Json> = new.into_iter().map(body).collect();
                let made: Made = remote.post("/keys/bulk", Some(&json!({"keys": keys})))?;
                made.keys.into_iter().map(created).collect()
            }
        }
    }

    /// Switches all of the keys off or none.
    pub(super) fn disable_many(&self, ids: &[String]) -> Result<Vec<KeyInfo>> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.disable_keys(ids, store::ACTOR)?),
            Place::Remote(remote) => {
                Ok(remote.post::<Listed>("/keys/bulk/disable", Some(&json!({"ids": ids})))?.keys)
            }
        }
    }

    fn rotate(&self, id: &str, overlap: Duration) -> Result<CreatedKey> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.rotate_key(id, overlap, store::ACTOR)?),
            Place::Remote(remote) => {
                let body = json!({"overlap": format!("{}s", overlap.as_secs())});
                created(remote.post(&format!("/keys/{}/rotate", encode(id)), Some(&body))?)
            }
        }
    }

    fn list(&self, deleted: bool) -> Result<Vec<KeyInfo>> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.list_keys(deleted)?),
            Place::Remote(remote) => Ok(remote.get::<Listed>(&format!("/keys?deleted={deleted}"))?.keys),
        }
    }

    fn show(&self, id: &str) -> Result<KeyInfo> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.show_key(id)?),
            Place::Remote(remote) => remote.get(&format!("/keys/{}", encode(id))),
        }
    }

    fn set_disabled(&self, id: &str, disabled: bool) -> Result<KeyInfo> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.set_key_disabled(id, disabled, store::ACTOR)?),
            Place::Remote(remote) => {
                let verb = if disabled { "disable" } else { "enable" };
                remote.post(&format!("/keys/{}/{verb}", encode(id)), None)
            }
        }
    }

    fn delete(&self, id: &str) -> Result<KeyInfo> {
        match self {
            Place::Local { ledger, .. } => Ok(ledger.delete_key(id, store::ACTOR)?),
            Place::Remote(remote) => remote.delete(&format!("/keys/{}", encode(id))),
        }
    }
}

/// Keys in an answer.
#[derive(Deserialize)]
struct Listed {
    keys: Vec<KeyInfo>,
}

/// What the administration API is asked for; without an organization it takes its own.
fn body(new: NewKey) -> Json {
    let mut body = json!({
        "name": new.name,
        "team": new.team,
        "user": new.user,
        "service_account": new.service_account,
        "project": new.project,
        "metadata": new.metadata.into_iter().collect::<BTreeMap<_, _>>(),
        "models": new.models,
        "expires_at": new.expires_at_us.and_then(narrows_ledger::time),
    });
    if let (false, Json::Object(body)) = (new.organization.is_empty(), &mut body) {
        body.insert("organization".to_owned(), json!(new.organization));
    }
    body
}

/// A key with its secret, from an answer.
fn created(mut answer: Json) -> Result<CreatedKey> {
    let key = match answer.get_mut("key").map(Json::take) {
        Some(Json::String(key)) => Secret::new(key),
        _ => bail!("the gateway's answer holds no key; is it of this version?"),
    };
    Ok(CreatedKey { info: serde_json::from_value(answer)?, key })
}

/// The hash of a key for the file of declared ones. Needs no store.
fn hash(console: &mut Console<'_>, new: bool, as_json: bool) -> Result<()> {
    let (key, hash) = if new {
        let (key, hash) = KeyHash::draw()?;
        (Some(key), hash)
    } else {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(INPUT_BYTES_MAX).read_to_string(&mut text);
        read.context("cannot read the key from standard input")?;
        let hash = KeyHash::of(text.trim());
        (None, hash.context("standard input holds no virtual key; `narrows keys hash --new` makes one")?)
    };
    let key = key.as_ref().map(Secret::expose);
    if as_json {
        let mut object = json!({"id": hash.id(), "secret": format!("hash:{hash}")});
        if let (Some(key), Json::Object(object)) = (key, &mut object) {
            object.insert("key".to_owned(), json!(key));
        }
        writeln!(console.out, "{object}")?;
    } else if let Some(key) = key {
        writeln!(
            console.out,
            "The key, for its owner (it is not shown again):\n\n  {key}\n\nIts line in the file of declared keys:\n\n  \
             secret: hash:{hash}"
        )?;
    } else {
        writeln!(console.out, "hash:{hash}")?;
    }
    Ok(())
}

/// The public id in what was typed: itself, or in a whole key that was pasted.
pub(super) fn public_id(text: &str) -> Result<&str> {
    if !text.starts_with(KEY_PREFIX) {
        return Ok(text);
    }
    let presented =
        PresentedKey::parse(text).context("this is not a whole key; give its public id instead")?;
    Ok(presented.id())
}

pub(super) fn new_key(asked: &CreateArguments, organization: &str) -> Result<NewKey> {
    let expires = asked.expires.as_deref();
    let expires_at_us = expires.map(|text| time::future_us("--expires", text)).transpose()?;
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("`{text}` is not NAME=VALUE, as --metadata cost-center=42"),
    };
    Ok(NewKey {
        name: asked.name.clone().unwrap_or_default(),
        organization: asked.organization.clone().unwrap_or_else(|| organization.to_owned()),
        team: asked.team.clone(),
        user: asked.user.clone(),
        service_account: asked.service_account.clone(),
        project: asked.project.clone(),
        metadata: asked.metadata.iter().map(pair).collect::<Result<_>>()?,
        models: (!asked.models.is_empty()).then(|| asked.models.clone()),
        expires_at_us,
    })
}

/// The JSON form of a key with its secret.
pub(super) fn with_secret(created: &CreatedKey) -> Result<Json> {
    let mut object = serde_json::to_value(&created.info)?;
    if let Json::Object(object) = &mut object {
        object.insert("key".to_owned(), json!(created.key.expose()));
    }
    Ok(object)
}

/// A key with its secret: the only time it is seen.
fn secret(console: &mut Console<'_>, created: &CreatedKey, done: &str, as_json: bool) -> Result<()> {
    let (info, key) = (&created.info, created.key.expose());
    if as_json {
        writeln!(console.out, "{}", with_secret(created)?)?;
        return Ok(());
    }
    writeln!(console.out, "{done} key {} ({}) of {}.\n\n  {key}\n", info.id, info.name, owner(info))?;
    if let Some(until) = info.previous_secret_until_us.filter(|until| *until > time::now_us()) {
        writeln!(console.out, "The secret before works until {}.", time::show(until))?;
    }
    writeln!(
        console.out,
        "Keep it now: it is not shown again. Clients use it in the place of a provider's key (put your gateway's \
         address):\n\n  \
         export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY={key}\n  \
         export ANTHROPIC_BASE_URL=http://127.0.0.1:8080 ANTHROPIC_AUTH_TOKEN={key}\n  \
         export GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8080 GEMINI_API_KEY={key}"
    )?;
    Ok(())
}

fn list(console: &mut Console<'_>, keys: &[KeyInfo], as_json: bool) -> Result<()> {
    if as_json {
        for info in keys {
            writeln!(console.out, "{}", serde_json::to_string(info)?)?;
        }
        return Ok(());
    }
    if keys.is_empty() {
        writeln!(console.out, "No keys yet; create one: narrows keys create --name laptop --user ada")?;
        return Ok(());
    }
    let row = |info: &KeyInfo| {
        let expires = info.expires_at_us.map_or(ABSENT.to_owned(), time::show);
        vec![info.id.clone(), info.name.clone(), state(info).to_owned(), owner(info), models(info), expires]
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    table::write(console.out, &["ID", "NAME", "STATE", "OWNER", "MODELS", "EXPIRES"], &[], &rows)?;
    Ok(())
}

fn show(console: &mut Console<'_>, info: &KeyInfo, as_json: bool) -> Result<()> {
    if as_json {
        writeln!(console.out, "{}", serde_json::to_string(info)?)?;
        return Ok(());
    }
    let time = |at: Option<i64>| at.map_or(ABSENT.to_owned(), time::show);
    let pairs: Vec<String> = info.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for (name, value) in [
        ("id", info.id.clone()),
        ("name", info.name.clone()),
        ("state", state(info).to_owned()),
        ("organization", info.organization.clone()),
        ("team", info.team.clone().unwrap_or_else(|| ABSENT.to_owned())),
        ("user", info.user.clone().unwrap_or_else(|| ABSENT.to_owned())),
        ("service account", info.service_account.clone().unwrap_or_else(|| ABSENT.to_owned())),
        ("project", info.project.clone().unwrap_or_else(|| ABSENT.to_owned())),
        ("models", models(info)),
        ("metadata", if pairs.is_empty() { ABSENT.to_owned() } else { pairs.join(", ") }),
        ("created", time(Some(info.created_at_us))),
        ("expires", time(info.expires_at_us)),
        ("old secret until", time(info.previous_secret_until_us)),
        ("deleted", time(info.deleted_at_us)),
        ("declared in", info.declared_in.clone().unwrap_or_else(|| ABSENT.to_owned())),
    ] {
        writeln!(console.out, "{name:<17} {value}")?;
    }
    Ok(())
}

fn changed(console: &mut Console<'_>, info: &KeyInfo, done: &str, as_json: bool) -> Result<()> {
    if as_json {
        writeln!(console.out, "{}", serde_json::to_string(info)?)?;
    } else {
        writeln!(console.out, "Key {} ({}) is {done}.", info.id, info.name)?;
    }
    Ok(())
}

pub(super) fn state(info: &KeyInfo) -> &'static str {
    info.state(time::now_us())
}

/// Whom a key belongs to, from the organization down.
fn owner(info: &KeyInfo) -> String {
    let parts = [
        Some(info.organization.clone()),
        info.team.clone(),
        info.user.clone(),
        info.service_account.as_ref().map(|name| format!("{name} (service account)")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

fn models(info: &KeyInfo) -> String {
    match &info.models {
        None => "all".to_owned(),
        Some(models) if models.is_empty() => "none".to_owned(),
        Some(models) => models.join(", "),
    }
}
