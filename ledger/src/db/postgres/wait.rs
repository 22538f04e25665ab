//! Waiting for PostgreSQL from threads that have no runtime.
//!
//! Sockets are served by one thread of the process. Whoever asks parks its own thread until the answer is there, wherever it
//! is called from, and no longer than it has patience.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// The runtime of the sockets, once somebody needed it.
static RUNTIME: Mutex<Option<Handle>> = Mutex::new(None);

/// The runtime that serves every socket to PostgreSQL.
pub(super) fn runtime() -> io::Result<Handle> {
    let mut running = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*running {
        return Ok(handle.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("narrows-postgres".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    *running = Some(handle.clone());
    Ok(handle)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What the future comes to, or `None` when that takes longer than `patience`.
pub(super) fn wait<F: Future>(future: F, patience: Duration) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let end = Instant::now() + patience;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_and_silence_is_not() {
        let handle = runtime().unwrap();
        let answer = wait(handle.spawn(async { 7 }), Duration::from_secs(60));
        assert_eq!(answer.unwrap().unwrap(), 7);
        assert_eq!(wait(std::future::pending::<()>(), Duration::from_millis(1)), None);
    }

    #[test]
    fn inside_of_another_runtime_it_waits_too() {
        let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inner = async { wait(runtime().unwrap().spawn(async { 7 }), Duration::from_secs(60)) };
        assert_eq!(outer.block_on(inner).unwrap().unwrap(), 7);
    }
}
