//! Pingora calls (for HTTP/2), the gateway answers: the only `impl ProxyHttp`, each method a call.

use crate::downstream::Session;
use crate::exchange;
use crate::gateway::Gateway;
use async_trait::async_trait;
use pingora_core::modules::http::HttpModules;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session as ProxySession};

/// How long the last bytes of a stream that is cut have to leave: a reset overtakes what is queued.
const CUT_LINGER: std::time::Duration = std::time::Duration::from_millis(20);

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = ();

    fn new_ctx(&self) {}

    /// None: what Pingora would add by default costs and is never used.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut ProxySession, (): &mut ()) -> Result<bool> {
        let served = exchange::run(self, &mut Session::H2(&mut session.downstream_session)).await;
        if served.is_err() {
            tokio::time::sleep(CUT_LINGER).await;
            // A stream that is merely dropped is reset with CANCEL, which clients built on hyper take for a proper end.
            session.downstream_session.shutdown().await;
        }
        served.map(|()| true).map_err(|cut| Error::explain(ErrorType::ConnectionClosed, cut.0.as_str()))
    }

    async fn upstream_peer(&self, _session: &mut ProxySession, (): &mut ()) -> Result<Box<HttpPeer>> {
        // Every request is answered by its exchange; nothing gets here until pass-through routes exist.
        Error::e_explain(ErrorType::InternalError, "no request takes the stock path")
    }

    async fn fail_to_proxy(&self, session: &mut ProxySession, _error: &Error, (): &mut ()) -> FailToProxy {
        // The exchange has answered, or cut its answer on purpose: nothing is to be written after it.
        session.set_keepalive(None);
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    fn suppress_error_log(&self, _session: &ProxySession, (): &(), _error: &Error) -> bool {
        true
    }
}
