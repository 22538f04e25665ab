//! Files that the configuration names: certificates, keys and trust bundles.

use super::settings::TlsFiles;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// Largest certificate, key or bundle file, in bytes.
pub const PEM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key whose value names it.
    pub(super) key: &'static str,
    pub(super) message: String,
    pub(super) suggestion: &'static str,
}

/// Checks a certificate and its key, alone and together.
pub(super) fn check_pair(tls: &TlsFiles) -> Vec<Fault> {
    let chain =
        certificates(&tls.cert).map_err(|(message, suggestion)| Fault { key: "cert", message, suggestion });
    let key =
        private_key(&tls.key).map_err(|(message, suggestion)| Fault { key: "key", message, suggestion });
    match (chain, key) {
        (Ok(chain), Ok(key)) => {
            let provider = rustls::crypto::ring::default_provider();
            let fault = match rustls::sign::CertifiedKey::from_der(chain, key, &provider) {
                Ok(_) => return Vec::new(),
                Err(rustls::Error::InconsistentKeys(_)) => Fault {
                    key: "key",
                    message: "this is not the key of the certificate".to_owned(),
                    suggestion: "name the key that was made together with `cert`; the server's own certificate comes first in it",
                },
                Err(error) => Fault {
                    key: "cert",
                    message: format!("cannot be used for TLS: {error}"),
                    suggestion: "use an X.509 certificate with an RSA, ECDSA or Ed25519 key",
                },
            };
            vec![fault]
        }
        (chain, key) => [chain.err(), key.err()].into_iter().flatten().collect(),
    }
}

/// Checks a bundle of certificates to trust; gives the SHA-256 of what is in it.
pub(super) fn check_bundle(path: &Path) -> Result<[u8; 32], Fault> {
    let fault = |message, suggestion| Fault { key: "ca_file", message, suggestion };
    let text = read(path).map_err(|(message, suggestion)| fault(message, suggestion))?;
    let found = in_text(&text).map_err(|(message, suggestion)| fault(message, suggestion))?;
    let mut roots = rustls::RootCertStore::empty();
    let (_, refused) = roots.add_parsable_certificates(found);
    if refused > 0 {
        let message = format!("{refused} of its certificates cannot be read");
        return Err(fault(message, "keep only X.509 certificates in the file"));
    }
    Ok(Sha256::digest(&text).into())
}

/// The SHA-256 of what is in a certificate's and a key's file, if they can be read.
pub(super) fn digest_pair(tls: &TlsFiles) -> Option<[u8; 32]> {
    let (cert, key) = (read(&tls.cert).ok()?, read(&tls.key).ok()?);
    Some(Sha256::new().chain_update(cert).chain_update([0]).chain_update(key).finalize().into())
}

type Cause = (String, &'static str);

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    in_text(&read(path)?)
}

fn in_text(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err((
            "the file holds no PEM certificate".to_owned(),
            "it must contain -----BEGIN CERTIFICATE-----",
        )),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Cause> {
    let text = read(path)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        // The parser's own words are left out: they could repeat what stands in the file.
        Err(_) => Err((
            "the file holds no PEM private key".to_owned(),
            "it must contain -----BEGIN PRIVATE KEY----- (unencrypted)",
        )),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Cause> {
    let failed = |error: std::io::Error| {
        let message = format!("cannot read {}: {}", path.display(), error.kind());
        (message, "check the path and that the user running narrows may read it")
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PEM_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > PEM_BYTES_MAX {
        return Err((format!("{} is larger than 4 MiB", path.display()), "name a file of PEM certificates"));
    }
    Ok(bytes)
}
