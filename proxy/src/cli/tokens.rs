//! `narrows tokens` and `narrows audit`: who may administer, and what was done.

use super::args::{AuditArguments, TokensArguments, TokensCommand};
use super::remote::Remote;
use super::table::{self, ABSENT};
use super::{Console, Outcome, store, time};
use crate::fetch::encode;
use anyhow::{Result, anyhow, bail};
use narrows_ledger::{
    AUDIT_PAGE_LIMIT, AdminInfo, AuditEvent, AuditFilter, CreatedAdmin, Ledger, NewAdminToken, Role, Secret,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// Most events one command shows.
const EVENTS_MAX: usize = 1_000_000;

/// Runs the command that was given.
pub(crate) fn tokens(arguments: &TokensArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let place = match store::remote(&arguments.store)? {
        Some(remote) => Place::Remote(remote),
        None => {
            let settings = store::locate(&arguments.store)?;
            let create = matches!(arguments.command, TokensCommand::Create { .. });
            Place::Local(Box::new(store::open(&settings, create)?))
        }
    };
    let as_json = arguments.store.json;
    match &arguments.command {
        TokensCommand::Create { name, organization, role, expires } => {
            let new = NewAdminToken {
                name: name.clone(),
                organization: organization.clone(),
                role: read_role(role)?,
                expires_at_us: expires
                    .as_deref()
                    .map(|text| time::future_us("--expires", text))
                    .transpose()?,
            };
            secret(console, &place.create(&new)?, as_json)?;
        }
        TokensCommand::List => list(console, &place.list()?, as_json)?,
        TokensCommand::Revoke { id } => {
            let info = place.revoke(id)?;
            if as_json {
                writeln!(console.out, "{}", serde_json::to_string(&info)?)?;
            } else {
                writeln!(console.out, "Admin token {} ({}) is revoked.", info.id, info.name)?;
            }
        }
    }
    Ok(Outcome::Fine)
}

fn read_role(word: &str) -> Result<Role> {
    let all = Role::ALL.map(Role::as_str).join(" or ");
    Role::from_word(word).ok_or_else(|| anyhow!("`{word}` is not a role; write {all}"))
}

/// Where tokens are kept.
enum Place {
    Local(Box<Ledger>),
    Remote(Remote),
}

impl Place {
    fn create(&self, new: &NewAdminToken) -> Result<CreatedAdmin> {
        let remote = match self {
            Place::Local(ledger) => return Ok(ledger.create_admin_token(new, store::ACTOR)?),
            Place::Remote(remote) => remote,
        };
        let body = json!({
            "name": new.name,
            "organization": new.organization,
            "role": new.role,
            "expires_at": new.expires_at_us.and_then(narrows_ledger::time),
        });
        let mut answer: Json = remote.post("/tokens", Some(&body))?;
        let Some(Json::String(token)) = answer.get_mut("token").map(Json::take) else {
            bail!("the gateway's answer holds no token; is it of this version?");
        };
        Ok(CreatedAdmin { info: serde_json::from_value(answer)?, token: Secret::new(token) })
    }

    fn list(&self) -> Result<Vec<AdminInfo>> {
        #[derive(Deserialize)]
        struct Listed {
            tokens: Vec<AdminInfo>,
        }
        match self {
            Place::Local(ledger) => Ok(ledger.list_admin_tokens()?),
            Place::Remote(remote) => Ok(remote.get::<Listed>("/tokens")?.tokens),
        }
    }

    fn revoke(&self, id: &str) -> Result<AdminInfo> {
        match self {
            Place::Local(ledger) => Ok(ledger.revoke_admin_token(id, store::ACTOR)?),
            Place::Remote(remote) => remote.delete(&format!("/tokens/{}", encode(id))),
        }
    }
}

/// A token with its secret: the only time it is seen.
fn secret(console: &mut Console<'_>, created: &CreatedAdmin, as_json: bool) -> Result<()> {
    let (info, token) = (&created.info, created.token.expose());
    if as_json {
        let mut object = serde_json::to_value(info)?;
        if let Json::Object(object) = &mut object {
            object.insert("token".to_owned(), json!(token));
        }
        writeln!(console.out, "{object}")?;
        return Ok(());
    }
    let scope = info.organization.as_deref().unwrap_or("every organization");
    writeln!(
        console.out,
        "Created admin token {} ({}) for {scope}, role {}.\n\n  {token}\n\nKeep it now: it is not shown again.",
        info.id,
        info.name,
        info.role.as_str()
    )?;
    Ok(())
}

fn list(console: &mut Console<'_>, tokens: &[AdminInfo], as_json: bool) -> Result<()> {
    if as_json {
        for info in tokens {
            writeln!(console.out, "{}", serde_json::to_string(info)?)?;
        }
        return Ok(());
    }
    if tokens.is_empty() {
        writeln!(
            console.out,
            "No admin tokens yet; create one: narrows tokens create --name ops --role write"
        )?;
        return Ok(());
    }
    let at = |at_us: Option<i64>| at_us.map_or(ABSENT.to_owned(), time::show);
    let row = |info: &AdminInfo| {
        vec![
            info.id.clone(),
            info.name.clone(),
            info.state(time::now_us()).to_owned(),
            info.role.as_str().to_owned(),
            info.organization.clone().unwrap_or_else(|| "every one".to_owned()),
            at(info.expires_at_us),
            at(info.last_used_at_us),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    let titles = ["ID", "NAME", "STATE", "ROLE", "ORGANIZATION", "EXPIRES", "LAST USED"];
    table::write(console.out, &titles, &[], &rows)?;
    Ok(())
}

/// What was done, the newest first.
pub(crate) fn audit(arguments: &AuditArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if arguments.limit == 0 || arguments.limit > EVENTS_MAX {
        bail!("--limit must be from 1 to {EVENTS_MAX}");
    }
    let now = time::now_us();
    let point = |text: &Option<String>| text.as_deref().map(|text| time::point_us(text, -1, now)).transpose();
    let filter = AuditFilter {
        from_us: point(&arguments.from)?,
        to_us: point(&arguments.to)?,
        organization: arguments.organization.clone(),
        actor: arguments.actor.clone(),
        action: arguments.action.clone(),
        target: arguments.target.clone(),
    };
    let events = match store::remote(&arguments.store)? {
        Some(remote) => collect(arguments.limit, |limit, cursor: Option<String>| {
            let page: Page = remote.get(&format!("/audit?{}", query(&filter, limit, cursor.as_deref())))?;
            Ok((page.events, page.next))
        })?,
        None => {
            let reader = store::reader(&store::locate(&arguments.store)?)?;
            collect(arguments.limit, |limit, before: Option<i64>| {
                let page = reader.audit(&filter, limit, before)?;
                Ok((page.events, page.next))
            })?
        }
    };
    if arguments.store.json {
        for event in &events {
            writeln!(console.out, "{}", serde_json::to_string(event)?)?;
        }
        return Ok(Outcome::Fine);
    }
    if events.is_empty() {
        writeln!(
            console.out,
            "Nothing was done{}.",
            if filter == AuditFilter::default() { " yet" } else { " that matches" }
        )?;
        return Ok(Outcome::Fine);
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| ABSENT.to_owned());
    let row = |event: &AuditEvent| {
        vec![
            event.at_us.map_or(ABSENT.to_owned(), time::show),
            event
                .actor_name
                .as_ref()
                .map_or_else(|| event.actor.clone(), |name| format!("{} ({name})", event.actor)),
            event.action.clone(),
            event.target.clone(),
            text(&event.organization),
            event.rows.map_or(ABSENT.to_owned(), table::number),
            text(&event.detail),
        ]
    };
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    let titles = ["WHEN", "WHO", "WHAT", "TO WHAT", "ORGANIZATION", "ROWS", "DETAIL"];
    table::write(console.out, &titles, &[5], &rows)?;
    Ok(Outcome::Fine)
}

/// A page of the trail as a gateway gives it.
#[derive(Deserialize)]
struct Page {
    events: Vec<AuditEvent>,
    next: Option<String>,
}

/// Pages until there are `limit` events or no more.
fn collect<C>(
    limit: usize,
    mut page: impl FnMut(usize, Option<C>) -> Result<(Vec<AuditEvent>, Option<C>)>,
) -> Result<Vec<AuditEvent>> {
    let (mut events, mut cursor) = (Vec::new(), None);
    while events.len() < limit {
        let (more, next) = page((limit - events.len()).min(AUDIT_PAGE_LIMIT), cursor)?;
        events.extend(more);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(events)
}

fn query(filter: &AuditFilter, limit: usize, cursor: Option<&str>) -> String {
    let time = |at: Option<i64>| at.and_then(narrows_ledger::time);
    let pairs = [
        ("from", time(filter.from_us)),
        ("to", time(filter.to_us)),
        ("organization", filter.organization.clone()),
        ("actor", filter.actor.clone()),
        ("action", filter.action.clone()),
        ("target", filter.target.clone()),
        ("limit", Some(limit.to_string())),
        ("cursor", cursor.map(str::to_owned)),
    ];
    let given = pairs.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))));
    given.collect::<Vec<_>>().join("&")
}
