//! From the settings of a store to the store.

use crate::config::Store;
use crate::upstream::connect::{system_roots, trusting_only};
use anyhow::Context;
use narrows_ledger::{Place, PostgresServer};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// Where the store is, with whom to trust there.
///
/// # Errors
/// The certificates to trust cannot be read.
pub(crate) fn of(store: &Store) -> anyhow::Result<Place> {
    let Some(address) = &store.postgres else { return Ok(Place::File(store.path.clone())) };
    let tls = if store.is_tls(address) {
        let roots = match &store.ca_file {
            None => system_roots().clone(),
            Some(file) => roots(file).with_context(|| format!("store.ca_file {}", file.display()))?,
        };
        Some(Arc::new(trusting_only(roots)?))
    } else {
        None
    };
    Ok(Place::from(PostgresServer {
        host: address.host.clone(),
        database: address.database.clone(),
        user: store.username.clone().unwrap_or_else(|| "narrows".to_owned()),
        password: store.password.as_ref().map(|password| password.reveal().into()),
        tls,
    }))
}

fn roots(file: &Path) -> anyhow::Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}
