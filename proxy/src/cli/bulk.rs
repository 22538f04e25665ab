//! `narrows keys` for many keys at once: made from a file, switched off by a file, listed as CSV.

use super::Console;
use super::args::{CreateArguments, CreateCommand};
use super::keys::{Place, new_key, public_id, state, with_secret};
use super::remote::Refused;
use super::rows::{self, Problems, Row};
use anyhow::{Context, Result, anyhow, bail};
use narrows_ledger::{CreatedKey, KeyInfo, LedgerError, NewKey, time as rfc3339};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// What stands for a key that may use no model at all; without a word it may use all.
const NO_MODELS: &str = "(none)";

/// Makes a key for each row of a file.
pub(super) fn create(
    console: &mut Console<'_>,
    place: &Place,
    asked: &CreateCommand,
    from: &Path,
    as_json: bool,
) -> Result<()> {
    let new = wanted(from, &asked.key, place.organization())?;
    let lines: Vec<u64> = new.iter().map(|row| row.line).collect();
    let keys = new.into_iter().map(|row| row.value).collect();
    let Some(path) = &asked.output else {
        let created = place.create_many(keys).map_err(|error| at_line(error, from, &lines))?;
        return write_secrets(console.out, &created, as_json);
    };
    // The file is there before the first key is: a secret that cannot be written is lost.
    let mut file = secret_file(path)
        .with_context(|| format!("cannot make {}, a new file for the keys", path.display()))?;
    let created = place.create_many(keys).map_err(|error| {
        drop(std::fs::remove_file(path));
        at_line(error, from, &lines)
    })?;
    write_secrets(&mut file, &created, as_json).and_then(|()| Ok(file.sync_all()?)).with_context(|| {
        format!(
            "{} keys were made, but {} could not be written whole; rotate or delete those whose secrets are lost \
             (`narrows keys list`)",
            created.len(),
            path.display()
        )
    })?;
    writeln!(console.err, "Created {} keys; {} holds their secrets.", created.len(), path.display())?;
    Ok(())
}

/// Switches off the keys that a file names.
pub(super) fn disable(console: &mut Console<'_>, place: &Place, from: &Path, as_json: bool) -> Result<()> {
    let mut problems = Problems::of(from);
    let rows = rows::ids(&rows::text(from)?, &mut problems).with_context(|| from.display().to_string())?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        match public_id(&row.value) {
            Ok(id) => ids.push(id.to_owned()),
            Err(error) => problems.add(row.line, error),
        }
    }
    problems.end()?;
    let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
    let disabled = place.disable_many(&ids).map_err(|error| at_line(error, from, &lines))?;
    if as_json {
        for info in &disabled {
            writeln!(console.out, "{}", serde_json::to_string(info)?)?;
        }
    } else {
        writeln!(console.out, "{} keys are disabled.", disabled.len())?;
    }
    Ok(())
}

/// Writes keys as CSV.
pub(super) fn list(console: &mut Console<'_>, keys: &[KeyInfo]) -> Result<()> {
    let mut out = csv::Writer::from_writer(&mut *console.out);
    out.write_record([
        "id",
        "name",
        "state",
        "organization",
        "team",
        "user",
        "service_account",
        "project",
        "models",
        "created_at",
        "expires_at",
        "deleted_at",
        "declared_in",
        "metadata",
    ])?;
    let moment = |at_us: Option<i64>| at_us.and_then(rfc3339).unwrap_or_default();
    for info in keys {
        let [organization, team, user, service_account, project] = owners(info);
        let models = match &info.models {
            None => String::new(),
            Some(models) if models.is_empty() => NO_MODELS.to_owned(),
            Some(models) => models.join(" "),
        };
        let metadata: serde_json::Map<_, _> =
            info.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let metadata =
            if metadata.is_empty() { String::new() } else { serde_json::Value::Object(metadata).to_string() };
        out.write_record([
            &info.id,
            &info.name,
            state(info),
            organization,
            team,
            user,
            service_account,
            project,
            &models,
            &moment(Some(info.created_at_us)),
            &moment(info.expires_at_us),
            &moment(info.deleted_at_us),
            info.declared_in.as_deref().unwrap_or_default(),
            &metadata,
        ])?;
    }
    out.flush()?;
    Ok(())
}

/// The keys that a file asks for, each checked.
fn wanted(from: &Path, rest: &CreateArguments, organization: &str) -> Result<Vec<Row<NewKey>>> {
    let mut problems = Problems::of(from);
    let rows =
        rows::keys(&rows::text(from)?, rest, &mut problems).with_context(|| from.display().to_string())?;
    let mut wanted = Vec::with_capacity(rows.len());
    let mut names: HashMap<(String, String), u64> = HashMap::new();
    for Row { line, value } in rows {
        let new = match new_key(&value, organization).and_then(|new| valid(&new).map(|()| new)) {
            Ok(new) => new,
            Err(error) => {
                problems.add(line, error);
                continue;
            }
        };
        if let Some(first) = names.insert((new.organization.clone(), new.name.clone()), line) {
            problems.add(line, format!("a key called `{}` stands on line {first} already", new.name));
        }
        wanted.push(Row { line, value: new });
    }
    problems.end()?;
    if wanted.is_empty() {
        bail!("{} names no key", from.display());
    }
    Ok(wanted)
}

fn valid(new: &NewKey) -> Result<()> {
    if new.organization.is_empty() {
        // Only the gateway knows its organization.
        return Ok(NewKey { organization: "-".to_owned(), ..new.clone() }.validate()?);
    }
    Ok(new.validate()?)
}

/// A refusal with the line of the file it is about, in the place of a position in the list.
fn at_line(error: anyhow::Error, file: &Path, lines: &[u64]) -> anyhow::Error {
    let line = |position: usize| lines.get(position.checked_sub(1)?);
    match (error.downcast_ref::<LedgerError>(), error.downcast_ref::<Refused>()) {
        (Some(LedgerError::OneOfMany { position, cause }), _) if line(*position).is_some() => {
            let line = line(*position).copied().unwrap_or_default();
            anyhow!("nothing was changed\n  {}, line {line}: {cause}", file.display())
        }
        (_, Some(Refused { position: Some(position), .. })) if line(*position).is_some() => {
            let line = line(*position).copied().unwrap_or_default();
            error.context(format!("nothing was changed; {}, line {line}", file.display()))
        }
        _ => error,
    }
}

/// A new file that only its owner may read.
fn secret_file(path: &Path) -> std::io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Keys with their secrets: the only time they are seen.
fn write_secrets(out: &mut dyn Write, created: &[CreatedKey], as_json: bool) -> Result<()> {
    if as_json {
        for created in created {
            writeln!(out, "{}", with_secret(created)?)?;
        }
        return Ok(out.flush()?);
    }
    let mut out = csv::Writer::from_writer(out);
    out.write_record([
        "id",
        "name",
        "organization",
        "team",
        "user",
        "service_account",
        "project",
        "expires_at",
        "key",
    ])?;
    for created in created {
        let info = &created.info;
        let [organization, team, user, service_account, project] = owners(info);
        let expires = info.expires_at_us.and_then(rfc3339).unwrap_or_default();
        out.write_record([
            &info.id,
            &info.name,
            organization,
            team,
            user,
            service_account,
            project,
            &expires,
            created.key.expose(),
        ])?;
    }
    out.flush()?;
    Ok(())
}

fn owners(info: &KeyInfo) -> [&str; 5] {
    let [team, user, service_account, project] =
        [&info.team, &info.user, &info.service_account, &info.project]
            .map(|text| text.as_deref().unwrap_or_default());
    [&info.organization, team, user, service_account, project]
}
