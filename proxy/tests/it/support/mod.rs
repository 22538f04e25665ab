//! The harness.

pub(crate) mod ask;
pub(crate) mod client;
pub(crate) mod forward;
pub(crate) mod gate;
pub(crate) mod h2;
pub(crate) mod kinds;
pub(crate) mod origin;
#[path = "../../../../ledger/tests/common/postgres.rs"]
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod scripted;
pub(crate) mod sse;
pub(crate) mod tls;

pub(crate) use ask::Ask;
pub(crate) use client::{Answer, Client};
pub(crate) use gate::Gate;
pub(crate) use kinds::{ALL, CHAT, COMPLETIONS, EMBEDDINGS, GEMINI, GENERATING, Kind, MESSAGES, RESPONSES};
pub(crate) use process::Process;

use std::future::Future;
use std::time::Duration;

/// After this a test has failed; nothing in it takes longer when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `future` gives, unless it hangs.
pub(crate) async fn patient<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("gave up waiting for {what}"),
    }
}

/// Looks again and again until `look` finds something. For state that announces itself to nobody: a store that
/// another thread writes, a gauge.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let mut tick = tokio::time::interval(Duration::from_millis(4));
    patient(what, async {
        loop {
            tick.tick().await;
            if let Some(found) = Box::pin(look()).await {
                return found;
            }
        }
    })
    .await
}
