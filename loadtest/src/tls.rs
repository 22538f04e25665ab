//! TLS for load tests: an authority that lives as long as the test, and the client's side.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The name every server of a test has.
pub const SERVER_NAME: &str = "localhost";

/// A certificate for [`SERVER_NAME`], whom to trust for it, and both as files.
#[derive(Debug)]
pub struct Identity {
    /// PEM file of the authority's certificate.
    pub authority: PathBuf,
    /// PEM file of the server's certificate.
    pub certificate: PathBuf,
    /// PEM file of the server's key (P-256).
    pub key: PathBuf,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Identity {
    /// Makes one, with its files in `folder`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn new(folder: &Path) -> Result<Identity> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "load test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![SERVER_NAME.to_owned()])?.signed_by(&key, &authority)?;
        let write = |name: &str, text: String| {
            let file = folder.join(name);
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            anyhow::Ok(file)
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        Ok(Identity {
            authority: write("authority.pem", authority.pem())?,
            certificate: write("server.pem", certificate.pem())?,
            key: write("server.key", key.serialize_pem())?,
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// The server's side.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// The client's side.
    ///
    /// # Errors
    /// None in practice: the name is a constant.
    pub fn client(&self) -> Result<Tls> {
        Ok(Tls { connector: Arc::clone(&self.client).into(), name: ServerName::try_from(SERVER_NAME)? })
    }
}

/// How a load generator's connections are secured.
#[derive(Clone)]
pub struct Tls {
    /// Makes sessions.
    pub connector: TlsConnector,
    /// The name to verify.
    pub name: ServerName<'static>,
}
