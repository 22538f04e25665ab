//! `narrows credentials`: credentials of providers, sealed in the store.

use super::args::{CredentialsArguments, CredentialsCommand};
use super::table::{self, ABSENT};
use super::{Console, Outcome, store, time};
use crate::config::credential::is_credential_name;
use crate::config::{Secret, StoreSettings};
use crate::credentials::master_key;
use crate::credentials::seal::{MasterKey, SealFault};
use anyhow::{Context, Result, anyhow, bail};
use narrows_ledger::{Ledger, LedgerError, SealedCredential};
use std::io::Read;
use std::path::Path;

/// Longest credential, in bytes.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Runs the command that was given.
pub(crate) fn credentials(arguments: &CredentialsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    if let CredentialsCommand::MasterKey = arguments.command {
        writeln!(console.out, "{}", MasterKey::generate()?.reveal())?;
        return Ok(Outcome::Fine);
    }
    if store::remote(&arguments.store)?.is_some() {
        bail!("credentials are set where the store and its master key are: leave out --admin");
    }
    let settings = store::locate(&arguments.store)?;
    let ledger = store::open(&settings, matches!(arguments.command, CredentialsCommand::Set { .. }))?;
    let of = |organization: &Option<String>| {
        organization.clone().unwrap_or_else(|| settings.organization.to_string())
    };
    match &arguments.command {
        CredentialsCommand::MasterKey => {}
        CredentialsCommand::Set { name, organization, from } => {
            set(&settings, &ledger, &of(organization), name, from.as_deref())?;
            writeln!(
                console.out,
                "Credential {name} is set; `api_key: store:{name}` uses it, and a running gateway takes it within seconds."
            )?;
        }
        CredentialsCommand::List => list(console, &ledger, arguments.store.json)?,
        CredentialsCommand::Delete { name, organization } => {
            if !ledger.delete_credential(&of(organization), name, store::ACTOR)? {
                bail!("there is no credential `{name}`; `narrows credentials list` shows all");
            }
            writeln!(console.out, "Credential {name} is deleted.")?;
        }
        CredentialsCommand::Rewrap { old_key_file, new_key_file } => {
            let (old, new) = (read_master(old_key_file)?, read_master(new_key_file)?);
            let keys = ledger.rewrap_content(&old, &new, store::ACTOR)?;
            let count = rewrap(&ledger, &old, &new)?;
            if keys > 0 {
                writeln!(console.out, "{keys} keys of content are now wrapped by it too.")?;
            }
            writeln!(
                console.out,
                "{count} credential{} now wrapped by the master key {}.\nStart gateways with it from here on.",
                if count == 1 { " is" } else { "s are" },
                new.mark()
            )?;
        }
    }
    Ok(Outcome::Fine)
}

fn set(
    settings: &StoreSettings,
    ledger: &Ledger,
    organization: &str,
    name: &str,
    from: Option<&Path>,
) -> Result<()> {
    if !is_credential_name(name) {
        bail!("`{name}` is not a name: lower-case letters, digits, `-`, `_` and `.`, at most 64");
    }
    let master = master_key(settings.master_key.as_ref()).map_err(|cause| anyhow!(cause))?;
    let value = match from {
        Some(file) => {
            let open = std::fs::File::open(file);
            read_value(&mut open.with_context(|| format!("cannot read {}", file.display()))?)?
        }
        None => read_value(&mut std::io::stdin().lock())?,
    };
    Ok(ledger.put_credential(&master.seal(organization, name, &value)?, store::ACTOR)?)
}

/// The credential itself: one word, which is what a header can carry.
fn read_value(from: &mut dyn Read) -> Result<Secret> {
    let mut text = String::new();
    from.take(VALUE_BYTES_MAX as u64 + 1).read_to_string(&mut text).context("cannot read the credential")?;
    let text = text.trim();
    if text.is_empty() || text.len() > VALUE_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "the credential must be one word of at most {VALUE_BYTES_MAX} bytes, on standard input or in --from FILE"
        );
    }
    if text.starts_with(narrows_ledger::KEY_PREFIX) || text.starts_with(narrows_ledger::ADMIN_PREFIX) {
        bail!("this is a key of the gateway itself; give the key that the provider gave you");
    }
    Ok(Secret::new(text))
}

fn list(console: &mut Console<'_>, ledger: &Ledger, as_json: bool) -> Result<()> {
    let all = ledger.credentials()?;
    if as_json {
        for sealed in &all {
            writeln!(console.out, "{}", serde_json::to_string(sealed)?)?;
        }
        return Ok(());
    }
    if all.is_empty() {
        writeln!(console.out, "No credentials yet; set one: narrows credentials set openai < key")?;
        return Ok(());
    }
    let row = |sealed: &SealedCredential| {
        let changed =
            if sealed.changed_at_us == 0 { ABSENT.to_owned() } else { time::show(sealed.changed_at_us) };
        vec![sealed.name.clone(), sealed.organization.clone(), sealed.master.clone(), changed]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    table::write(console.out, &["NAME", "ORGANIZATION", "MASTER KEY", "CHANGED"], &[], &rows)?;
    Ok(())
}

fn read_master(file: &Path) -> Result<MasterKey> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the master key from {}", file.display()))?;
    MasterKey::parse(&Secret::new(text)).with_context(|| file.display().to_string())
}

/// Why not everything could be rewrapped.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Seal(#[from] SealFault),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Those that the new key wraps already stay as they are, so that an interrupted rotation can be run again.
fn rewrap(ledger: &Ledger, old: &MasterKey, new: &MasterKey) -> Result<usize> {
    let count = ledger.rewrap_credentials(store::ACTOR, |sealed| -> Result<SealedCredential, Refused> {
        Ok(if sealed.master == new.mark() { sealed.clone() } else { old.rewrap(new, sealed)? })
    })?;
    Ok(count)
}
