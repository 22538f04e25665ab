//! HTTP/2 connections: Pingora's, ended gracefully when they are old or the gateway leaves.

use super::conn::Conn;
use crate::gateway::{Gateway, Phase};
use arc_swap::ArcSwap;
use pingora_core::apps::{HttpServerOptions, ServerApp};
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Flow-control window of a stream and of a connection, in bytes. The protocol's default of 64 KiB makes the upload of
/// a long prompt wait for round trips.
const WINDOW_BYTES: u32 = 1 << 20;

/// Pingora's proxy, made anew when the time that connections may be idle changes.
pub(crate) struct H2 {
    workers: usize,
    current: ArcSwap<(Duration, Arc<HttpProxy<Gateway>>)>,
}

impl H2 {
    /// For `gateway`, with as many workers.
    pub(crate) fn new(gateway: &Gateway, workers: usize) -> Arc<H2> {
        let idle = gateway.snapshot().timeouts.client_keepalive;
        Arc::new(H2 { workers, current: ArcSwap::from_pointee((idle, proxy(gateway, workers, idle))) })
    }

    fn proxy(&self, gateway: &Gateway) -> Arc<HttpProxy<Gateway>> {
        let idle = gateway.snapshot().timeouts.client_keepalive;
        let current = self.current.load();
        if current.0 == idle {
            return Arc::clone(&current.1);
        }
        let made = proxy(gateway, self.workers, idle);
        self.current.store(Arc::new((idle, Arc::clone(&made))));
        made
    }

    /// Serves a connection to its end. From `old` on, or when the gateway leaves, the client is told to open no more
    /// streams on it (GOAWAY, RFC 9113 §6.8); those that are open finish.
    pub(crate) async fn serve(&self, gateway: &Gateway, conn: Conn, old: Option<Instant>) {
        let (tell, told) = watch::channel(false);
        let proxy = self.proxy(gateway);
        let mut serving = pin!(proxy.process_new(Box::new(conn), &told));
        tokio::select! {
            biased;
            _ = &mut serving => return,
            () = retired(gateway, old) => tell.send_replace(true),
        };
        serving.await;
    }
}

async fn retired(gateway: &Gateway, old: Option<Instant>) {
    // A connection made while the gateway leaves is there to be served: its end comes with the listeners'.
    let from = if gateway.is_leaving() { Phase::Closing } else { Phase::Leaving };
    let aged = async {
        match old {
            Some(old) => tokio::time::sleep_until(old).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = gateway.reached(from) => {}
        () = aged => {}
    }
}

fn proxy(gateway: &Gateway, workers: usize, idle: Duration) -> Arc<HttpProxy<Gateway>> {
    let conf = ServerConf { threads: workers, ..ServerConf::default() };
    let mut proxy = http_proxy(&Arc::new(conf), gateway.clone());
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    options.h2_idle_timeout = Some(idle);
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
    Arc::new(proxy)
}

fn h2_options() -> H2Options {
    let mut options = default_h2_options();
    options.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES * 4);
    options
}
