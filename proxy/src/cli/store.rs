//! Which store a command is about.

use super::args::StoreArguments;
use super::remote::Remote;
use crate::config::{self, Store, StoreSettings};
use crate::place;
use anyhow::{Result, anyhow, bail};
use narrows_ledger::{Ledger, LedgerOptions, Reader};
use std::path::Path;
use std::sync::Arc;

/// The configuration that is taken when none is named.
const CONFIG_DEFAULT: &str = "narrows.yaml";

/// Who is written into the trail of changes.
pub(crate) const ACTOR: &str = "cli";

/// Finds the store: named itself, named by a configuration, or named by the one in the current folder.
pub(crate) fn locate(arguments: &StoreArguments) -> Result<StoreSettings> {
    if let Some(path) = &arguments.store {
        return Ok(StoreSettings {
            store: Store::file(path.clone()),
            organization: Arc::from("default"),
            master_key: None,
            require_known_owners: false,
        });
    }
    let config = match &arguments.config {
        Some(config) => config.as_path(),
        None if Path::new(CONFIG_DEFAULT).exists() => Path::new(CONFIG_DEFAULT),
        None => bail!(
            "there is no {CONFIG_DEFAULT} here; name the configuration (--config FILE) or the store itself \
             (--store FILE)"
        ),
    };
    config::load_store(config)
        .map_err(|problems| anyhow!("the configuration does not say where the store is\n{problems}"))
}

/// The gateway to ask in the place of a store, if one was named.
pub(crate) fn remote(arguments: &StoreArguments) -> Result<Option<Remote>> {
    let named = Remote::named(&arguments.remote)?;
    if named.is_some() && (arguments.store.is_some() || arguments.config.is_some()) {
        bail!("--admin asks a running gateway; leave out --store and --config");
    }
    Ok(named)
}

/// Opens a store to change keys. Only `create` may make a new one: a slip of the pen would do so otherwise.
pub(crate) fn open(store: &StoreSettings, create: bool) -> Result<Ledger> {
    let place = place::of(&store.store)?;
    if !create && place.file().is_some_and(|path| !path.exists()) {
        bail!("there is no store at {place}; `narrows keys create` or the gateway's first start makes one");
    }
    let ledger = Ledger::open(place, LedgerOptions::default())?;
    ledger.require_known_owners(store.require_known_owners);
    Ok(ledger)
}

/// Opens a store to read.
pub(crate) fn reader(store: &StoreSettings) -> Result<Reader> {
    Ok(Reader::open(place::of(&store.store)?)?)
}
