//! New connections: resolve, connect, TLS.

use super::Fault;
use super::dns::Dns;
use crate::config::settings::Provider;
use crate::net::Io;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 4;

/// A connected transport to a provider; under TLS its name was verified.
pub(crate) type Wire = Io<TlsStream<TcpStream>>;

/// Which versions of HTTP a connection may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/1.1.
    H1,
    /// HTTP/2, or HTTP/1.1 if the provider chooses so under TLS (ALPN, RFC 7301).
    Either,
    /// HTTP/2, without asking (RFC 9113 §3.3); under TLS nothing else is offered.
    H2,
}

/// How to reach one provider.
pub(crate) struct Connect {
    host: String,
    port: u16,
    tls: Option<Tls>,
    timeout: Duration,
    dns: Dns,
}

/// TLS towards a provider. The three share their sessions, so that a connection costs a full handshake once.
struct Tls {
    h1: TlsConnector,
    either: TlsConnector,
    h2: TlsConnector,
    name: ServerName<'static>,
}

impl Connect {
    /// The way to `provider`. Fails when its trust bundle cannot be used; an https provider without a name to
    /// verify is refused here too, because a certificate that is checked against nothing proves nothing.
    pub(crate) fn new(provider: &Provider, dns: Dns) -> anyhow::Result<Connect> {
        let url = &provider.base_url;
        let tls = if url.is_tls() {
            let name = provider.server_name.clone().ok_or_else(|| {
                anyhow::anyhow!("provider {} has no name to verify; set server_name", provider.name)
            })?;
            Some(Tls::new(tls_config(provider)?, ServerName::try_from(name)?))
        } else {
            None
        };
        Ok(Connect {
            host: url.host().to_owned(),
            port: url.port(),
            tls,
            timeout: provider.timeouts.connect,
            dns,
        })
    }

    /// Makes a connection, handshake included, within the connect time-out. The word beside it says whether HTTP/2
    /// is to be spoken.
    pub(crate) async fn connect(&self, offer: Offer) -> Result<(Wire, bool), Fault> {
        match tokio::time::timeout(self.timeout, self.connect_untimed(offer)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Fault::ConnectTimeout(self.timeout)),
        }
    }

    async fn connect_untimed(&self, offer: Offer) -> Result<(Wire, bool), Fault> {
        let tcp = self.tcp().await?;
        // A stalled small write would cost 40 ms (Nagle and delayed acknowledgement); we write whole messages.
        tcp.set_nodelay(true).map_err(Fault::Connect)?;
        match &self.tls {
            None => Ok((Wire::Plain(tcp), offer == Offer::H2)),
            Some(tls) => {
                let stream = tls.offering(offer).connect(tls.name.clone(), tcp).await.map_err(Fault::Tls)?;
                let chosen = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok((Wire::Tls(Box::new(stream)), chosen || offer == Offer::H2))
            }
        }
    }

    /// The first address that accepts, in the resolver's order. A dead address may use up its share of the
    /// time-out, never all of it.
    async fn tcp(&self) -> Result<TcpStream, Fault> {
        let addresses = self.dns.resolve(&self.host).await?;
        let tried = addresses.len().min(ADDRESSES_MAX);
        let share = self.timeout / u32::try_from(tried).unwrap_or(1).max(1);
        let mut last = Fault::ConnectTimeout(self.timeout);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(address, self.port))).await {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => last = Fault::Connect(error),
                Err(_elapsed) => {}
            }
        }
        Err(last)
    }
}

impl Tls {
    fn new(config: rustls::ClientConfig, name: ServerName<'static>) -> Tls {
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Tls {
            h1: offering(&[b"http/1.1"]),
            either: offering(&[b"h2", b"http/1.1"]),
            h2: offering(&[b"h2"]),
            name,
        }
    }

    fn offering(&self, offer: Offer) -> &TlsConnector {
        match offer {
            Offer::H1 => &self.h1,
            Offer::Either => &self.either,
            Offer::H2 => &self.h2,
        }
    }
}

/// Trust for `provider`: the system's roots, and its own bundle beside them.
fn tls_config(provider: &Provider) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = system_roots().clone();
    if let Some(path) = &provider.ca_file {
        let describe = |error| {
            anyhow::anyhow!("provider {}: ca_file {} cannot be read: {error}", provider.name, path.display())
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(describe)? {
            roots.add(certificate.map_err(describe)?)?;
        }
    }
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The system's trust store, read once; certificates that do not parse are left out.
pub(crate) fn system_roots() -> &'static rustls::RootCertStore {
    static ROOTS: OnceLock<rustls::RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = rustls::RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!("the system's trust store: {error}");
        }
        roots.add_parsable_certificates(found.certs);
        roots
    })
}
