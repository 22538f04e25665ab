//! TLS towards clients. A certificate that is renewed on disk is used without a restart.

use crate::config::PEM_BYTES_MAX;
use crate::config::settings::TlsFiles;
use crate::gateway::Gateway;
use anyhow::{Context, ensure};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the files of certificates are looked at. They are looked at rather than watched: Kubernetes swaps a
/// symbolic link two folders up.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The server's side of TLS with these files, offering HTTP/2 if asked to; and the certificate, to be kept fresh.
pub(crate) fn server_config(
    files: &TlsFiles,
    h2: bool,
) -> anyhow::Result<(Arc<ServerConfig>, Arc<Certificate>)> {
    let certificate = Arc::new(Certificate::load(files)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols =
        if h2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    // Stateless resumption: a returning client costs no signature, and nothing is kept for it.
    config.ticketer = ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok((Arc::new(config), certificate))
}

/// A certificate and its key, as they are on disk now.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
    /// SHA-256 of the two files as they were read first.
    first: [u8; 32],
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    fn load(files: &TlsFiles) -> anyhow::Result<Certificate> {
        let pair = Pair::read(files)?;
        Ok(Certificate {
            files: files.clone(),
            current: ArcSwap::from_pointee(pair.certified(files)?),
            first: pair.digest,
        })
    }
}

/// The contents of the two files.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
    digest: [u8; 32],
}

impl Pair {
    fn read(files: &TlsFiles) -> anyhow::Result<Pair> {
        let cert = read(&files.cert)
            .with_context(|| format!("the certificate {} cannot be read", files.cert.display()))?;
        let key = read(&files.key)
            .with_context(|| format!("the private key {} cannot be read", files.key.display()))?;
        let digest = Sha256::new().chain_update(&cert).chain_update([0]).chain_update(&key).finalize();
        Ok(Pair { digest: digest.into(), cert, key })
    }

    fn certified(&self, files: &TlsFiles) -> anyhow::Result<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<Vec<_>, _>>()
            .with_context(|| format!("the certificate {} cannot be read", files.cert.display()))?;
        ensure!(!chain.is_empty(), "the file {} holds no PEM certificate", files.cert.display());
        // The parser's own words are left out: they could repeat what stands in the file.
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_fault| anyhow::anyhow!("the file {} holds no PEM private key", files.key.display()))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .with_context(|| format!("the certificate {} and its key do not fit", files.cert.display()))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(PEM_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() <= PEM_BYTES_MAX, "it is larger than {PEM_BYTES_MAX} bytes");
    Ok(bytes)
}

/// Takes renewed certificates over, for as long as it is polled. It reads files: not for a thread that serves.
pub(crate) async fn watch(gateway: Gateway, certificates: Vec<Arc<Certificate>>) {
    let mut watched: Vec<Watched> = certificates.into_iter().map(Watched::new).collect();
    while !watched.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
        for certificate in &mut watched {
            match certificate.look() {
                Look::Same => {}
                Look::Taken => {
                    gateway.metrics.certificate_loaded();
                    let file = certificate.certificate.files.cert.display();
                    tracing::info!(%file, "a renewed certificate is in use");
                }
                Look::Rejected(error) => {
                    gateway.metrics.certificate_rejected();
                    tracing::error!("a renewed certificate is not used, the old one stays: {error:#}");
                }
            }
        }
    }
}

/// A certificate and what was seen of its files.
struct Watched {
    certificate: Arc<Certificate>,
    /// What is in use.
    used: [u8; 32],
    /// What could not be used when it was last looked at; `None` inside it is files that cannot be read.
    doubtful: Option<Option<[u8; 32]>>,
    /// Whether that has been told.
    told: bool,
}

/// What a look at the files found.
enum Look {
    Same,
    Taken,
    Rejected(anyhow::Error),
}

impl Watched {
    fn new(certificate: Arc<Certificate>) -> Watched {
        Watched { used: certificate.first, certificate, doubtful: None, told: false }
    }

    /// Two files do not change at once: what does not fit is told only when it is found a second time.
    fn look(&mut self) -> Look {
        let files = &self.certificate.files;
        let (digest, made) = match Pair::read(files) {
            Ok(pair) if pair.digest == self.used => {
                (self.doubtful, self.told) = (None, false);
                return Look::Same;
            }
            Ok(pair) => (Some(pair.digest), pair.certified(files)),
            Err(error) => (None, Err(error)),
        };
        match (made, digest) {
            (Ok(key), Some(digest)) => {
                self.certificate.current.store(Arc::new(key));
                (self.used, self.doubtful, self.told) = (digest, None, false);
                Look::Taken
            }
            (Err(error), _) if self.doubtful == Some(digest) && !self.told => {
                self.told = true;
                Look::Rejected(error)
            }
            _ => {
                self.told &= self.doubtful == Some(digest);
                self.doubtful = Some(digest);
                Look::Same
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> TlsFiles {
        TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    fn write(files: &TlsFiles) {
        let made = rcgen::generate_simple_self_signed(vec!["gateway.test".to_owned()]).unwrap();
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_renewed_pair_is_taken_and_a_broken_one_is_told_once_and_keeps_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        write(&files);
        let certificate = Arc::new(Certificate::load(&files).unwrap());
        let mut watched = Watched::new(Arc::clone(&certificate));
        let first = certificate.current.load_full();
        assert!(matches!(watched.look(), Look::Same));
        write(&files);
        assert!(matches!(watched.look(), Look::Taken));
        let second = certificate.current.load_full();
        assert_ne!(first.cert, second.cert);
        // Half of a renewal is not told at once.
        let key = std::fs::read(&files.key).unwrap();
        write(&files);
        let renewed = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        assert!(matches!(watched.look(), Look::Same));
        assert!(matches!(watched.look(), Look::Rejected(_)));
        assert!(matches!(watched.look(), Look::Same), "it is told once");
        assert_eq!(certificate.current.load_full().cert, second.cert);
        std::fs::write(&files.key, renewed).unwrap();
        assert!(matches!(watched.look(), Look::Taken));
        std::fs::remove_file(&files.cert).unwrap();
        assert!(matches!(watched.look(), Look::Same));
        assert!(matches!(watched.look(), Look::Rejected(_)));
    }

    #[test]
    fn a_file_has_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large.pem");
        std::fs::write(&path, vec![b'a'; PEM_BYTES_MAX]).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, vec![b'a'; PEM_BYTES_MAX + 1]).unwrap();
        assert!(read(&path).is_err());
    }
}
