//! Connections that are lent to those who ask, so that nobody waits for another's long answer, and that no number of
//! questions takes all that a server has.

use super::Live;
use crate::db::{Error, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most connections that wait to be lent again. What comes back beyond is closed.
const IDLE_MAX: usize = 2;

/// A number of connections.
pub(crate) struct Pool {
    /// Most that are lent at a time.
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Live>,
    lent: usize,
}

/// A place among those that are lent, until it is dropped.
pub(super) struct Lent(Arc<Pool>);

impl Pool {
    /// One that lends at most so many connections at a time.
    pub(crate) fn new(most: usize) -> Arc<Pool> {
        Arc::new(Pool { most, state: Mutex::default(), freed: Condvar::new() })
    }

    /// Nothing panics while it is held, and nothing is half done if it did.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a place, once there is one, and a connection that was used before, if one is there that did not break. Waits for
    /// no longer than `patience`.
    pub(super) fn lend(self: &Arc<Self>, patience: Duration) -> Result<(Lent, Option<Live>)> {
        let waited = self.freed.wait_timeout_while(self.lock(), patience, |state| state.lent >= self.most);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.lent >= self.most {
            return Err(Error::Crowded { limit: self.most });
        }
        state.lent += 1;
        let live = std::iter::from_fn(|| state.idle.pop()).find(|live| !live.client.is_closed());
        drop(state);
        Ok((Lent(Arc::clone(self)), live))
    }
}

impl Lent {
    /// Takes a connection back for whoever asks next.
    pub(super) fn keep(&self, live: Live) {
        let mut state = self.0.lock();
        if state.idle.len() < IDLE_MAX && !live.client.is_closed() {
            state.idle.push(live);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.lock().lent -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_lent_and_one_more_waits() {
        let pool = Pool::new(2);
        let lend = |patience| pool.lend(patience);
        let (one, live) = lend(Duration::ZERO).unwrap();
        assert!(live.is_none());
        let _two = lend(Duration::ZERO).unwrap();
        assert!(matches!(lend(Duration::ZERO), Err(Error::Crowded { limit: 2 })));
        std::thread::scope(|scope| {
            let three = scope.spawn(|| lend(Duration::from_secs(60)).is_ok());
            drop(one);
            assert!(three.join().unwrap(), "it waits until one is free");
        });
        assert!(lend(Duration::ZERO).is_ok());
    }
}
