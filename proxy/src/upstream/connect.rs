//! New connections: resolve, connect, TLS.

use super::Fault;
use super::dns::Dns;
use super::egress::Proxy;
use crate::config::settings::{Egress, External, Provider};
use crate::config::url::BaseUrl;
use crate::net::Io;
use crate::reach::Reach;
use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Addresses of one name that are tried before giving up.
const ADDRESSES_MAX: usize = 4;

/// A connected transport to a provider; under TLS its name was verified.
pub(crate) type Wire = Io<Secured>;

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
    proxy: Option<Proxy>,
    dns: Dns,
    /// Which addresses a name may lead to.
    reach: Reach,
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
        let proxy = through(&format!("provider {}", provider.name), provider.egress.as_ref(), url)?;
        let (host, port) = (url.host().to_owned(), url.port());
        Ok(Connect { host, port, tls, proxy, dns, reach: Reach::Anywhere })
    }

    /// The way to `url`, the guardrail's own address or another of its. What a name leads to is looked at for every
    /// connection, but where a proxy resolves it. Fails when its trust bundle cannot be used.
    pub(crate) fn to_guardrail(guardrail: &External, url: &BaseUrl, dns: Dns) -> anyhow::Result<Connect> {
        let of = format!("guardrail {}", guardrail.name);
        let tls = match url.is_tls() {
            true => {
                let config = trusting(&format!("{of}:"), guardrail.ca_file.as_deref())?.with_no_client_auth();
                Some(Tls::new(config, ServerName::try_from(url.host().to_owned())?))
            }
            false => None,
        };
        let proxy = through(&of, guardrail.egress.as_ref(), url)?;
        let reach = match guardrail.private_network || proxy.is_some() {
            true => Reach::Anywhere,
            false => Reach::Public,
        };
        Ok(Connect { host: url.host().to_owned(), port: url.port(), tls, proxy, dns, reach })
    }

    /// Makes a connection, handshake included, `within` the connect time-out. The word beside it says whether HTTP/2
    /// is to be spoken.
    pub(crate) async fn connect(&self, offer: Offer, within: Duration) -> Result<(Wire, bool), Fault> {
        // Whether the proxy has done its part, to say who was too slow.
        let through = AtomicBool::new(false);
        match tokio::time::timeout(within, self.connect_untimed(offer, within, &through)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(match &self.proxy {
                Some(proxy) if !through.load(Ordering::Relaxed) => {
                    proxy.fault(format!("it did not connect within {within:?}"))
                }
                _ => Fault::ConnectTimeout(within),
            }),
        }
    }

    async fn connect_untimed(
        &self,
        offer: Offer,
        within: Duration,
        through: &AtomicBool,
    ) -> Result<(Wire, bool), Fault> {
        let Some(proxy) = &self.proxy else {
            return self.secure(self.tcp(&self.host, self.port, within).await?, offer, Fault::Tls).await;
        };
        let mut tcp = self.tcp(&proxy.host, proxy.port, within).await.map_err(|fault| proxy.fault(fault))?;
        let beyond = |error| Fault::TlsThrough { proxy: Arc::clone(&proxy.shown), error };
        let Some((tls, name)) = &proxy.tls else {
            proxy.ask(&mut tcp).await?;
            through.store(true, Ordering::Relaxed);
            return self.secure(tcp, offer, beyond).await;
        };
        let told = |error| proxy.fault(format!("the TLS handshake with it failed: {error}"));
        let mut outer = tls.connect(name.clone(), tcp).await.map_err(told)?;
        proxy.ask(&mut outer).await?;
        through.store(true, Ordering::Relaxed);
        let Some(tls) = &self.tls else {
            return Ok((Wire::Tls(Box::new(Secured::Direct(outer))), offer == Offer::H2));
        };
        let inner = tls.offering(offer).connect(tls.name.clone(), outer).await.map_err(beyond)?;
        let speaks_h2 = chose_h2(&inner, offer);
        Ok((Wire::Tls(Box::new(Secured::Tunnelled(Box::new(inner)))), speaks_h2))
    }

    /// Speaks TLS over `tcp` if the provider does.
    async fn secure(
        &self,
        tcp: TcpStream,
        offer: Offer,
        fault: impl FnOnce(io::Error) -> Fault,
    ) -> Result<(Wire, bool), Fault> {
        let Some(tls) = &self.tls else { return Ok((Wire::Plain(tcp), offer == Offer::H2)) };
        let stream = tls.offering(offer).connect(tls.name.clone(), tcp).await.map_err(fault)?;
        let speaks_h2 = chose_h2(&stream, offer);
        Ok((Wire::Tls(Box::new(Secured::Direct(stream))), speaks_h2))
    }

    /// The first address that accepts, in the resolver's order. A dead address may use up its share of the
    /// time-out, never all of it.
    async fn tcp(&self, host: &str, port: u16, within: Duration) -> Result<TcpStream, Fault> {
        let mut addresses = self.dns.resolve(host).await?;
        addresses.retain(|address| self.reach.permits(*address));
        if addresses.is_empty() {
            let cause = "it leads to a private address, which the configuration does not allow".to_owned();
            return Err(Fault::Dns { host: host.to_owned(), cause });
        }
        let tried = addresses.len().min(ADDRESSES_MAX);
        let share = within / u32::try_from(tried).unwrap_or(1).max(1);
        let mut last = Fault::ConnectTimeout(within);
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match tokio::time::timeout(share, TcpStream::connect(SocketAddr::new(address, port))).await {
                Ok(Ok(tcp)) => {
                    // A stalled small write would cost 40 ms (Nagle and delayed acknowledgement); we write whole
                    // messages.
                    tcp.set_nodelay(true).map_err(Fault::Connect)?;
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = Fault::Connect(error),
                Err(_elapsed) => {}
            }
        }
        Err(last)
    }
}

/// Whether HTTP/2 is to be spoken over a connection.
fn chose_h2<S>(stream: &TlsStream<S>, offer: Offer) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2") || offer == Offer::H2
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

/// The proxy on the way to `url`, if there is one.
fn through(of: &str, egress: Option<&Egress>, url: &BaseUrl) -> anyhow::Result<Option<Proxy>> {
    let Some(egress) = egress else { return Ok(None) };
    let of = format!("{of}: the egress proxy's");
    let tls = egress.proxy.url.is_tls().then(|| proxy_tls(&of, egress)).transpose()?;
    Proxy::new(egress, tls, url.host(), url.port()).map(Some)
}

/// Trust for `provider`, and who we are to it.
fn tls_config(provider: &Provider) -> anyhow::Result<rustls::ClientConfig> {
    let of = format!("provider {}:", provider.name);
    let builder = trusting(&of, provider.ca_file.as_deref())?;
    let Some(files) = &provider.client_cert else { return Ok(builder.with_no_client_auth()) };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .with_context(|| format!("{of} client_cert {} cannot be read", files.cert.display()))?;
    // The parser's own words are left out: they could repeat what stands in the file.
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_fault| anyhow::anyhow!("{of} the key {} cannot be read", files.key.display()))?;
    builder.with_client_auth_cert(chain, key).with_context(|| format!("{of} client_cert cannot be used"))
}

/// TLS towards an egress proxy; the one protocol spoken with it is HTTP/1.1.
fn proxy_tls(of: &str, egress: &Egress) -> anyhow::Result<TlsConnector> {
    let mut config = trusting(of, egress.ca_file.as_deref())?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A configuration that trusts the system's roots, and a bundle beside them.
fn trusting(
    of: &str,
    ca_file: Option<&Path>,
) -> anyhow::Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = system_roots().clone();
    if let Some(path) = ca_file {
        let describe = |error| anyhow::anyhow!("{of} ca_file {} cannot be read: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(describe)? {
            roots.add(certificate.map_err(describe)?)?;
        }
    }
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots))
}

/// A configuration that trusts these roots, and proves nothing itself.
pub(crate) fn trusting_only(roots: rustls::RootCertStore) -> anyhow::Result<rustls::ClientConfig> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(crypto).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
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

/// A connection under TLS.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it stands in a box, and the small one is rare")]
pub(crate) enum Secured {
    /// One layer of it.
    Direct(TlsStream<TcpStream>),
    /// Within that of a proxy that is spoken to over TLS itself.
    Tunnelled(Box<TlsStream<TlsStream<TcpStream>>>),
}

/// Calls the same method on whichever stream there is.
macro_rules! on_stream {
    ($self:expr, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Secured::Direct(tls) => Pin::new(tls).$method($($argument),*),
            Secured::Tunnelled(tls) => Pin::new(tls.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_stream!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, poll_shutdown, cx)
    }
}
