//! A connection, request after request.

use super::conn::Conn;
use super::h2::H2;
use crate::downstream::Session;
use crate::downstream::h1::{H1, NoRequest};
use crate::exchange;
use crate::gateway::Gateway;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Serves a connection until it ends. HTTP/2 goes to Pingora's proxy, whose streams call the exchange through `glue.rs`.
pub(crate) async fn serve(gateway: Gateway, h2: Option<Arc<H2>>, mut conn: Conn) {
    let (idle, old) = {
        let snapshot = gateway.snapshot();
        (snapshot.timeouts.client_keepalive, snapshot.limits.connection_age_max.map(old_at))
    };
    if conn.speaks_h2(h2.is_some(), idle).await {
        if let Some(h2) = h2 {
            Box::pin(async move { h2.serve(&gateway, conn, old).await }).await;
        }
        return;
    }
    let peer = conn.peer().ip();
    let (transport, ahead) = conn.into_parts();
    let mut h1 = H1::new(transport, ahead);
    h1.set_peer(peer);
    loop {
        match h1.next_request(gateway.snapshot().timeouts.client_keepalive).await {
            Ok(()) => {}
            Err(NoRequest::Closed) => return,
            Err(NoRequest::NotHttp) => {
                gateway.metrics.head_refused();
                return Box::pin(h1.close()).await;
            }
        }
        if gateway.is_leaving() || old.is_some_and(|old| old <= Instant::now()) {
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

/// When a connection made now is old, if it may have this age at most: up to a fifth earlier, by chance, so that
/// connections made together do not end together.
fn old_at(age_max: Duration) -> Instant {
    let chance = u32::try_from(crate::id::uuid_v7(Duration::ZERO) & 0xff).unwrap_or_default();
    Instant::now() + age_max - age_max / 5 * chance / 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_grow_old_between_four_fifths_and_the_whole_of_their_age() {
        let age = Duration::from_secs(1000);
        let ages: Vec<_> = (0..1000).map(|_| old_at(age).saturating_duration_since(Instant::now())).collect();
        let (least, most) = (*ages.iter().min().unwrap(), *ages.iter().max().unwrap());
        assert!(most <= age && least > age * 7 / 10, "{least:?} {most:?}");
        assert!(most - least > age / 10, "they are spread: {least:?} {most:?}");
    }
}
