//! Credentials of providers that do not stand in the configuration: sealed in the store, or in a secrets store.
//!
//! They are filled into the settings before a snapshot is made of them, so that exchanges see no difference. What the
//! secrets store gave last is kept while it is away.

pub(crate) mod seal;
mod vault;

use crate::config::{Credential, Secret, Settings, Source, Vault};
use narrows_ledger::Ledger;
use seal::MasterKey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The variable that holds the master key, unless the configuration names another place.
pub(crate) const MASTER_KEY_VARIABLE: &str = "NARROWS_MASTER_KEY";

/// How soon a secrets store that could not be read is asked again at the latest.
const RETRY_EVERY: Duration = Duration::from_secs(15);

/// Why a credential is not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The provider that needs it.
    pub(crate) provider: String,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// What was fetched, and how that went last.
#[derive(Default)]
pub(crate) struct Credentials(Mutex<State>);

#[derive(Default)]
struct State {
    /// The last good value of each field, by address, path and field.
    kept: HashMap<[String; 3], Secret>,
    /// When the secrets store was asked last.
    fetched: Option<Instant>,
    /// Why values that are kept could not be read again.
    stale: Option<String>,
}

impl Credentials {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the secrets store could not be read last time, if kept values are in use.
    pub(crate) fn stale(&self) -> Option<String> {
        self.lock().stale.clone()
    }

    /// Takes over what another one fetched.
    pub(crate) fn adopt(&self, other: Credentials) {
        *self.lock() = other.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    }

    /// Fills in every credential that comes from elsewhere. Asks the secrets store and reads the store: not for a
    /// thread that serves. What the secrets store gave is read again when it is older than `vault.refresh`, or `fresh`
    /// is asked for.
    ///
    /// # Errors
    /// Every credential that is not there, and never was.
    pub(crate) fn fill(
        &self,
        settings: &mut Settings,
        ledger: &Ledger,
        fresh: bool,
    ) -> Result<(), Vec<Missing>> {
        if !from_elsewhere(settings) {
            return Ok(());
        }
        let mut missing = Vec::new();
        let organization = settings.organization.to_string();
        let master = master_key(settings.master_key.as_ref());
        self.fetch(settings, fresh);
        let vault = settings.vault.clone();
        for provider in &mut settings.providers {
            let credentials = provider.api_key.iter_mut().flat_map(|key| &mut key.0);
            for credential in credentials {
                let value = match &credential.source {
                    Source::Given => continue,
                    Source::Store(name) => stored(ledger, &organization, name, &master),
                    Source::Vault { path, field } => self.kept(vault.as_ref(), path, field),
                };
                match value {
                    Ok(value) => credential.value = Some(value),
                    Err(message) => missing.push(Missing { provider: provider.name.to_string(), message }),
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// The value that the secrets store gave, now or before.
    fn kept(&self, vault: Option<&Vault>, path: &str, field: &str) -> Result<Secret, String> {
        let state = self.lock();
        let vault = vault.ok_or("there is no `vault` in the configuration")?;
        let key = [vault.address.to_string(), path.to_owned(), field.to_owned()];
        state.kept.get(&key).cloned().ok_or_else(|| {
            state.stale.clone().unwrap_or_else(|| format!("vault:{path}#{field} was not read"))
        })
    }

    /// Whether the secrets store is to be asked: after `refresh`, or sooner while it could not be read.
    fn due(&self, refresh: Duration) -> bool {
        let state = self.lock();
        let every = if state.stale.is_some() { refresh.min(RETRY_EVERY) } else { refresh };
        state.fetched.is_none_or(|at| at.elapsed() >= every)
    }

    /// Reads every field that the settings name from the secrets store; one round for all.
    fn fetch(&self, settings: &Settings, fresh: bool) {
        let wanted = wanted(settings);
        if let Some(vault) = &settings.vault
            && !fresh
            && !self.due(vault.refresh)
        {
            return;
        }
        let Some(vault) = settings.vault.as_ref().filter(|_| !wanted.is_empty()) else {
            self.lock().stale = None;
            return;
        };
        let (values, fault) = read_all(vault, &wanted);
        let mut state = self.lock();
        state.fetched = Some(Instant::now());
        let address = vault.address.to_string();
        for ([path, field], value) in values {
            state.kept.insert([address.clone(), path, field], value);
        }
        if let Some(fault) = &fault
            && state.stale.as_ref() != Some(fault)
        {
            tracing::warn!("{fault}; values that were read before are used on");
        }
        state.stale = fault;
    }
}

/// Everything that is missing, for people.
pub(crate) fn describe(missing: &[Missing]) -> anyhow::Error {
    let lines = missing.iter().map(|one| format!("providers.{}.api_key: {}", one.provider, one.message));
    anyhow::anyhow!("{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Whether some credential comes from elsewhere.
pub(crate) fn from_elsewhere(settings: &Settings) -> bool {
    all(settings).any(|credential| credential.source != Source::Given)
}

fn all(settings: &Settings) -> impl Iterator<Item = &Credential> {
    settings.providers.iter().filter_map(|provider| provider.api_key.as_ref()).flat_map(|key| &key.0)
}

/// Paths and fields, each once.
fn wanted(settings: &Settings) -> Vec<[String; 2]> {
    let mut wanted: Vec<[String; 2]> = Vec::new();
    for credential in all(settings) {
        if let Source::Vault { path, field } = &credential.source {
            let pair = [path.clone(), field.clone()];
            if !wanted.contains(&pair) {
                wanted.push(pair);
            }
        }
    }
    wanted
}

type Read = (Vec<([String; 2], Secret)>, Option<String>);

/// What could be read, and the first fault. On a thread and runtime of its own, because callers are of both kinds.
fn read_all(vault: &Vault, wanted: &[[String; 2]]) -> Read {
    let reading = || -> Read {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(read_round(vault, wanted)),
            Err(error) => (Vec::new(), Some(error.to_string())),
        }
    };
    std::thread::scope(|scope| scope.spawn(reading).join())
        .unwrap_or_else(|_panic| (Vec::new(), Some("reading the secrets store failed".to_owned())))
}

async fn read_round(vault: &Vault, wanted: &[[String; 2]]) -> Read {
    let session = match vault::Session::open(vault).await {
        Ok(session) => session,
        Err(fault) => return (Vec::new(), Some(fault.to_string())),
    };
    let mut secrets: HashMap<&str, Option<serde_json::Value>> = HashMap::new();
    let (mut values, mut first) = (Vec::new(), None);
    for [path, field] in wanted {
        if !secrets.contains_key(path.as_str()) {
            let read = session.read(path).await;
            if let Err(fault) = &read {
                first = first.or_else(|| Some(fault.to_string()));
            }
            secrets.insert(path, read.ok());
        }
        let Some(Some(secret)) = secrets.get(path.as_str()) else { continue };
        match vault::field(secret, path, field) {
            Ok(value) => values.push(([path.clone(), field.clone()], value)),
            Err(fault) => first = first.or_else(|| Some(fault.to_string())),
        }
    }
    (values, first)
}

fn stored(
    ledger: &Ledger,
    organization: &str,
    name: &str,
    master: &Result<MasterKey, String>,
) -> Result<Secret, String> {
    let master = master.as_ref().map_err(|cause| format!("store:{name} cannot be opened: {cause}"))?;
    let sealed = ledger.credential(organization, name).map_err(|error| error.to_string())?;
    let sealed = sealed.ok_or_else(|| {
        format!("the store holds no credential `{name}`; put it there with `narrows credentials set {name}`")
    })?;
    master.open(&sealed).map_err(|fault| fault.to_string())
}

/// The master key, from where the configuration says or from the environment.
pub(crate) fn master_key(given: Option<&Secret>) -> Result<MasterKey, String> {
    let text = match given {
        Some(text) => text.clone(),
        None => std::env::var(MASTER_KEY_VARIABLE).map(Secret::new).map_err(|_unset| {
            format!(
                "there is no master key; set {MASTER_KEY_VARIABLE}, or `master_key: file:…` in the configuration \
                 (`narrows credentials master-key` makes one)"
            )
        })?,
    };
    MasterKey::parse(&text).map_err(|fault| fault.to_string())
}
