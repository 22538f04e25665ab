//! Accept loops. They are ours rather than Pingora's so that the port a listener got is known, a stalled handshake
//! holds nobody up, and a drain can be told from a stop.

use super::conn::Conn;
use super::h2::H2;
use super::proxy_protocol::Balancers;
use super::serve;
use super::tls;
use crate::config::settings::Listener;
use crate::downstream::h1::Transport;
use crate::gateway::{Gateway, Phase};
use crate::net::Io;
use crate::room::{Place, Room};
use anyhow::Context;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Time a client has for its TLS handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections the kernel queues until they are accepted.
const BACKLOG: i32 = 4096;
/// Pause after an accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub(crate) struct Bound {
    listener: TcpListener,
    /// Who speaks for clients, if somebody does.
    balancers: Option<Arc<Balancers>>,
    tls: Option<TlsAcceptor>,
    certificate: Option<Arc<tls::Certificate>>,
}

impl Bound {
    /// Binds. Needs a runtime.
    pub(crate) fn new(settings: &Listener) -> anyhow::Result<Bound> {
        let listener = bind(settings.address)?;
        let tls = settings.tls.as_ref().map(|files| tls::server_config(files, settings.h2)).transpose()?;
        let (tls, certificate) = tls.unzip();
        let balancers = settings.proxy_protocol.clone().map(|proxies| Arc::new(Balancers::new(proxies)));
        Ok(Bound { listener, balancers, tls: tls.map(TlsAcceptor::from), certificate })
    }

    /// The certificate it proves itself with, to be kept fresh.
    pub(crate) fn certificate(&self) -> Option<&Arc<tls::Certificate>> {
        self.certificate.as_ref()
    }

    /// The address it got.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Accepts until the gateway closes. At the limit of the process's connections nothing is accepted, and
    /// clients wait in the kernel's queue.
    pub(crate) async fn serve(self, gateway: Gateway, h2: Option<Arc<H2>>) {
        let mut closing = pin!(gateway.reached(Phase::Closing));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut closing => return,
                accepted = accept(&self.listener, &gateway.room) => accepted,
            };
            let Some((tcp, peer, place)) = accepted else { continue };
            let (gateway, h2, tls) = (gateway.clone(), h2.clone(), self.tls.clone());
            let balancers = self.balancers.clone();
            tokio::spawn(async move {
                let opened = match balancers {
                    None => Some((tcp, peer)),
                    Some(balancers) => Box::pin(balancers.introduce(tcp, peer, &gateway)).await,
                };
                if let Some((tcp, peer)) = opened
                    && let Some(transport) = handshake(tcp, tls).await
                {
                    serve::serve(gateway, h2, Conn::new(transport, peer)).await;
                }
                drop(place);
            });
        }
    }
}

/// Binds a listening socket.
pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    open().with_context(|| {
        format!(
            "cannot listen on {address}; is another program using the port? Port 0 lets the system choose one"
        )
    })
}

async fn accept(listener: &TcpListener, room: &Arc<Room>) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = room.enter().await?;
    match listener.accept().await {
        Ok((tcp, peer)) => {
            // Without it a small last write waits for an acknowledgement, up to 40 ms.
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY: {error}");
            }
            Some((tcp, peer, place))
        }
        Err(error) => {
            tracing::warn!("a connection could not be accepted: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn handshake(tcp: TcpStream, tls: Option<TlsAcceptor>) -> Option<Transport> {
    let Some(tls) = tls else { return Some(Io::Plain(tcp)) };
    match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(tcp)).await {
        Ok(Ok(stream)) => Some(Io::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!("a TLS handshake failed: {error}");
            None
        }
        Err(_elapsed) => None,
    }
}
