//! Room for connections of clients: a limit that can change while they are open.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections may be open at once.
pub(crate) struct Room {
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// Places in use that are not given back but given up, because the limit has shrunk below what was open.
    owed: usize,
}

/// A place in the room, given back on drop.
pub(crate) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    room: Arc<Room>,
}

impl Room {
    /// Room for `limit` connections.
    pub(crate) fn new(limit: usize) -> Arc<Room> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Arc::new(Room {
            places: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(State { limit, owed: 0 }),
        })
    }

    /// From now on there is room for `limit` connections; those that are open beyond it stay, and none is let in
    /// until enough of them have ended.
    pub(crate) fn set_limit(&self, limit: usize) {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (more, fewer) = (limit.saturating_sub(state.limit), state.limit.saturating_sub(limit));
        let paid = more.min(state.owed);
        state.owed -= paid;
        self.places.add_permits(more - paid);
        state.owed += fewer - self.places.forget_permits(fewer);
        state.limit = limit;
    }

    /// Waits for a place; those who wait get theirs in the order they came.
    pub(crate) async fn enter(self: &Arc<Self>) -> Option<Place> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { permit: Some(permit), room: Arc::clone(self) })
    }

    #[cfg(test)]
    fn free(&self) -> usize {
        self.places.available_permits()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn enter(room: &Arc<Room>) -> Option<Place> {
        room.enter().now_or_never().flatten()
    }

    #[test]
    fn the_room_ends_at_its_limit_and_grows() {
        let room = Room::new(2);
        let (one, two) = (enter(&room), enter(&room));
        assert!(one.is_some() && two.is_some() && enter(&room).is_none());
        room.set_limit(3);
        let three = enter(&room);
        assert!(three.is_some() && enter(&room).is_none());
        drop((one, two, three));
        assert_eq!(room.free(), 3);
    }

    #[test]
    fn a_room_that_shrinks_lets_nobody_in_until_enough_have_left() {
        let room = Room::new(5);
        let mut inside: Vec<_> = (0..4).map(|_| enter(&room).unwrap()).collect();
        room.set_limit(2);
        for left in [3, 2] {
            drop(inside.pop());
            assert!(enter(&room).is_none(), "{left} are still inside");
        }
        drop(inside.pop());
        assert!(enter(&room).is_some(), "one is inside");
        drop(inside);
        assert_eq!(room.free(), 2);
    }

    #[test]
    fn a_room_that_grows_again_owes_nothing() {
        let room = Room::new(4);
        let inside: Vec<_> = (0..4).map(|_| enter(&room).unwrap()).collect();
        room.set_limit(1);
        room.set_limit(5);
        let fifth = enter(&room);
        assert!(fifth.is_some() && enter(&room).is_none());
        drop((inside, fifth));
        assert_eq!(room.free(), 5);
    }
}
