//! A connection, request after request.
//!
//! HTTP/2 goes to Pingora's [`HttpProxy`], whose streams call the exchange through `glue.rs`. HTTP/1 runs the same
//! exchange over Pingora's session in a loop of its own: `HttpProxy` boxes a future of the size of its stock proxy
//! path (some hundred kilobytes) for every request, which costs more time than the gateway's own steps, and more
//! memory than an open stream may.

use super::conn::Conn;
use crate::exchange;
use crate::gateway::Gateway;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_error::ErrorType;
use pingora_proxy::HttpProxy;
use std::sync::Arc;
use tokio::sync::watch;

/// Serves a connection until it ends.
pub(crate) async fn serve(
    gateway: Gateway,
    h2: Option<Arc<HttpProxy<Gateway>>>,
    mut conn: Conn,
    stop: watch::Receiver<bool>,
) {
    if conn.speaks_h2(h2.is_some()).await {
        if let Some(proxy) = h2 {
            Box::pin(async move { proxy.process_new(Box::new(conn), &stop).await }).await;
        }
        return;
    }
    let mut next = Some(new_session(Box::new(conn), &gateway));
    while let Some(session) = next {
        next = one(&gateway, session).await;
    }
}

fn new_session(stream: Stream, gateway: &Gateway) -> ServerSession {
    let mut session = ServerSession::new_http1(stream);
    // A client may send its next request while we wait for a provider; it is kept until this one is answered.
    session.set_pipelining_enabled(true);
    gateway.keep_alive(&mut session);
    session
}

/// Serves one request. Returns the session of the next one, if the connection stays.
async fn one(gateway: &Gateway, mut session: ServerSession) -> Option<ServerSession> {
    match session.read_request().await {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            refuse_head(gateway, session, &error).await;
            return None;
        }
    }
    gateway.keep_alive(&mut session);
    if exchange::run(gateway, &mut session).await.is_err() {
        session.shutdown().await;
        return None;
    }
    let (stream, prefix) = session.finish().await.ok()??.into_parts();
    let mut session = new_session(stream, gateway);
    if let Some(prefix) = prefix {
        session.set_pipelined_prefix(prefix);
    }
    Some(session)
}

/// A head that is not HTTP is answered and counted; there is nothing to record.
async fn refuse_head(gateway: &Gateway, mut session: ServerSession, error: &pingora_error::Error) {
    if error.etype == ErrorType::InvalidHTTPHeader {
        gateway.metrics.head_refused();
        // The client may be gone already.
        let _ = session.respond_error(400).await;
    }
    session.shutdown().await;
}
