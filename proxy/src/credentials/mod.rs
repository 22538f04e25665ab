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

/// How long one round of reading from a secrets store may take, login included.
const ROUND_TIME_MAX: Duration = Duration::from_secs(20);

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
    /// What was said last of credentials that stay as they are; empty when there are none.
    told: String,
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
    /// is asked for. One that cannot be read stays as it is in `running`, and keeps no other from changing.
    ///
    /// # Errors
    /// Every credential that is not there, and never was.
    pub(crate) fn fill(
        &self,
        settings: &mut Settings,
        running: Option<&Settings>,
        ledger: &Ledger,
        fresh: bool,
    ) -> Result<(), Vec<Missing>> {
        if !from_elsewhere(settings) {
            return Ok(());
        }
        let (mut missing, mut stay) = (Vec::new(), Vec::new());
        let running = running.filter(|running| is_same_elsewhere(running, settings));
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
                let missed = |message| Missing { provider: provider.name.to_string(), message };
                match value {
                    Ok(value) => credential.value = Some(value),
                    Err(message) => match running.and_then(|running| value_in(running, &credential.source)) {
                        Some(value) => {
                            credential.value = Some(value.clone());
                            stay.push(missed(message));
                        }
                        None => missing.push(missed(message)),
                    },
                }
            }
        }
        self.tell(&stay);
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }

    /// Says which credentials stay as they are, when that has changed.
    fn tell(&self, stay: &[Missing]) {
        let text = if stay.is_empty() { String::new() } else { describe(stay).to_string() };
        let mut state = self.lock();
        if state.told == text {
            return;
        }
        match stay {
            [] => tracing::info!("every credential can be read again"),
            _ => tracing::warn!("credentials that cannot be read stay as they are: {text}"),
        }
        state.told = text;
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

    /// Reads every field that the settings name from the secrets store; one round for all, which takes
    /// [`ROUND_TIME_MAX`] at most. What comes of it is kept, for [`Credentials::fill`].
    pub(crate) fn fetch(&self, settings: &Settings, fresh: bool) {
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

/// Whether both find the same value under the same name.
fn is_same_elsewhere(one: &Settings, other: &Settings) -> bool {
    let address = |settings: &Settings| settings.vault.as_ref().map(|vault| vault.address.to_string());
    one.organization == other.organization && address(one) == address(other)
}

/// The value of a credential in settings that are filled.
fn value_in<'a>(settings: &'a Settings, source: &Source) -> Option<&'a Secret> {
    all(settings).find(|credential| credential.source == *source)?.value.as_ref()
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
            Ok(runtime) => runtime.block_on(read_within(vault, wanted, ROUND_TIME_MAX)),
            Err(error) => (Vec::new(), Some(error.to_string())),
        }
    };
    std::thread::scope(|scope| scope.spawn(reading).join())
        .unwrap_or_else(|_panic| (Vec::new(), Some("reading the secrets store failed".to_owned())))
}

/// As much of a round as comes within `limit`.
async fn read_within(vault: &Vault, wanted: &[[String; 2]], limit: Duration) -> Read {
    let mut read = (Vec::new(), None);
    if tokio::time::timeout(limit, read_round(vault, wanted, &mut read)).await.is_err() {
        let late = || format!("the secrets store did not answer everything within {} s", limit.as_secs());
        read.1.get_or_insert_with(late);
    }
    read
}

async fn read_round(vault: &Vault, wanted: &[[String; 2]], (values, first): &mut Read) {
    let session = match vault::Session::open(vault).await {
        Ok(session) => session,
        Err(fault) => {
            *first = Some(fault.to_string());
            return;
        }
    };
    let mut secrets: HashMap<&str, Option<serde_json::Value>> = HashMap::new();
    for [path, field] in wanted {
        if !secrets.contains_key(path.as_str()) {
            let read = session.read(path).await;
            if let Err(fault) = &read {
                first.get_or_insert_with(|| fault.to_string());
                if matches!(fault, vault::VaultFault::Fetch(_)) {
                    // It would be waited for again with every path.
                    return;
                }
            }
            secrets.insert(path, read.ok());
        }
        let Some(Some(secret)) = secrets.get(path.as_str()) else { continue };
        match vault::field(secret, path, field) {
            Ok(value) => values.push(([path.clone(), field.clone()], value)),
            Err(fault) => {
                first.get_or_insert_with(|| fault.to_string());
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use narrows_ledger::LedgerOptions;
    use std::net::TcpListener;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn settings(top: &str, key: &str) -> Settings {
        let text = format!(
            "version: 1\norganization: acme\nmaster_key: '{}'\n{top}\nproviders:\n  \
             one: {{kind: openai, api_key: 'store:gone'}}\n  two: {{kind: openai, models: [], api_key: {key}}}\n",
            "ab".repeat(32)
        );
        config::parse("test.yaml", Path::new("."), &text, &|_| None).unwrap().settings
    }

    #[test]
    fn one_that_cannot_be_read_stays_as_it_is_and_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("narrows.db"), LedgerOptions::default()).unwrap();
        let mut running = settings("", "'store:there'");
        let master = master_key(running.master_key.as_ref()).unwrap();
        ledger.put_credential(&master.seal("acme", "there", &Secret::new("new")).unwrap(), "test").unwrap();
        let credentials = Credentials::default();
        let missing = credentials.fill(&mut running.clone(), None, &ledger, false).unwrap_err();
        assert_eq!(missing.len(), 1, "a value that never was is missing: {missing:?}");
        for provider in &mut running.providers {
            provider.api_key.as_mut().unwrap().0[0].value = Some(Secret::new("old"));
        }
        // As a refresh does it, and as a reload, whose settings come without values.
        for mut next in [running.clone(), settings("", "'store:there'")] {
            credentials.fill(&mut next, Some(&running), &ledger, false).unwrap();
            let value = |name: &str| {
                let provider = next.providers.iter().find(|provider| &*provider.name == name).unwrap();
                provider.api_key.as_ref().unwrap().0[0].value.as_ref().unwrap().reveal().to_owned()
            };
            assert_eq!([value("one"), value("two")], ["old", "new"]);
            assert!(credentials.lock().told.contains("`gone`"), "it is told");
        }
    }

    /// A secrets store that takes connections and does `what` with each; how many there were.
    fn store(
        what: fn(std::net::TcpStream) -> Option<std::net::TcpStream>,
    ) -> (Vault, std::sync::Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let top = format!("vault: {{address: 'http://{}', token: t}}", listener.local_addr().unwrap());
        let count = std::sync::Arc::new(AtomicUsize::new(0));
        let counted = std::sync::Arc::clone(&count);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                held.push(what(stream.unwrap()));
            }
        });
        (settings(&top, "'vault:a/b#c'").vault.unwrap(), count)
    }

    #[tokio::test]
    async fn a_secrets_store_that_is_away_is_asked_once_in_a_round() {
        let (vault, count) = store(|_closed| None);
        let wanted = ["a/one", "a/two", "a/three"].map(|path| [path.to_owned(), "key".to_owned()]);
        let (values, fault) = read_within(&vault, &wanted, ROUND_TIME_MAX).await;
        assert!(values.is_empty() && fault.unwrap().contains("cannot be asked"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_round_ends_when_its_time_is_over() {
        let (vault, _) = store(Some);
        let wanted = [["a/one".to_owned(), "key".to_owned()]];
        let (_, fault) = read_within(&vault, &wanted, Duration::from_millis(50)).await;
        assert!(fault.unwrap().contains("did not answer everything within"));
    }
}
