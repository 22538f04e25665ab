//! A connection, request after request.

use super::conn::Conn;
use crate::downstream::Session;
use crate::downstream::h1::{H1, NoRequest};
use crate::exchange;
use crate::gateway::Gateway;
use pingora_core::apps::ServerApp;
use pingora_proxy::HttpProxy;
use std::sync::Arc;
use tokio::sync::watch;

/// Serves a connection until it ends. HTTP/2 goes to Pingora's [`HttpProxy`], whose streams call the exchange through
/// `glue.rs`.
pub(crate) async fn serve(
    gateway: Gateway,
    h2: Option<Arc<HttpProxy<Gateway>>>,
    mut conn: Conn,
    stop: watch::Receiver<bool>,
) {
    let idle = gateway.snapshot().timeouts.keepalive;
    if conn.speaks_h2(h2.is_some(), idle).await {
        if let Some(proxy) = h2 {
            Box::pin(async move { proxy.process_new(Box::new(conn), &stop).await }).await;
        }
        return;
    }
    let (transport, ahead) = conn.into_parts();
    let mut h1 = H1::new(transport, ahead);
    loop {
        match h1.next_request(gateway.snapshot().timeouts.keepalive).await {
            Ok(()) => {}
            Err(NoRequest::Closed) => return,
            Err(NoRequest::NotHttp) => {
                gateway.metrics.head_refused();
                return Box::pin(h1.close()).await;
            }
        }
        if gateway.is_stopping() {
            h1.close_after();
        }
        let ended = exchange::run(&gateway, &mut Session::H1(&mut h1)).await;
        match ended {
            Ok(()) if h1.stays() => {}
            Ok(()) => return Box::pin(h1.close()).await,
            // A cut answer ends without a proper end.
            Err(_cut) => return,
        }
    }
}
