//! How many calls of sandboxes are answered at a time. Whatever they ask for, there is room for people and for each
//! other: a sandbox has its bound, all of them together have one well below what the gateway can hold open, and the more
//! is taken, the less of it may be one sandbox's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Room for calls of one kind. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    each: usize,
    total: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    /// INVARIANT: sandboxes with a place, and no others.
    each: HashMap<String, usize>,
}

impl Room {
    /// For so many of each sandbox, and so many in all.
    pub(crate) fn new(each: usize, total: usize) -> Room {
        Room { each, total, taken: Arc::default() }
    }

    /// A place until it is dropped; `None` where there is none left for this sandbox. It has less than twice as many as
    /// are free, and the last of them are for those that have none: so however many want all of it, something is left for
    /// the next one.
    pub(crate) fn take(&self, sandbox: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, free) = (taken.each.get(sandbox).copied().unwrap_or(0), self.total.saturating_sub(taken.total));
        let is_last = free <= self.total / 16;
        if free == 0 || own >= self.each || own >= free.saturating_mul(2) || (own > 0 && is_last) {
            return None;
        }
        taken.total += 1;
        taken.each.insert(sandbox.to_owned(), own + 1);
        Some(Place { taken: Arc::clone(&self.taken), sandbox: sandbox.to_owned() })
    }
}

/// One of a [`Room`].
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    sandbox: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(own) = taken.each.get_mut(&self.sandbox) {
            *own -= 1;
            if *own == 0 {
                taken.each.remove(&self.sandbox);
            }
        }
    }
}

/// The rooms of a gateway.
#[derive(Clone)]
pub(crate) struct Rooms {
    /// For calls that are worked on.
    pub(crate) work: Room,
    /// For those that wait for a person: about a held request or a proposal.
    pub(crate) waits: Room,
    /// For those that wait for the next policy. Apart, so that what waits for a person never keeps a proxy from it.
    pub(crate) watches: Room,
    /// For proxies that say what is over. Apart, so that no agent keeps its proxy from it by asking for other things.
    pub(crate) ends: Room,
}

impl Rooms {
    /// Of so many connections, two sixteenths are left to people and to whoever has not said yet who they are.
    ///
    /// A sandbox may have as many waiting calls as it may have requests that wait (`held::ask`), and proves one thing at
    /// a time, so that more calls at once would only queue.
    pub(crate) fn of(connections: usize) -> Rooms {
        let parts = |parts: usize| connections * parts / 16;
        Rooms {
            work: Room::new(64, parts(3)),
            waits: Room::new(200, parts(6)),
            watches: Room::new(4, parts(4)),
            ends: Room::new(16, parts(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(room: &Room, sandbox: &str, places: usize) -> Vec<Place> {
        (0..places).filter_map(|_| room.take(sandbox)).collect()
    }

    #[test]
    fn nobody_takes_all_of_it_and_what_is_left_can_be_taken_again() {
        let room = Room::new(200, 337);
        let one = take(&room, "one", 1000);
        assert_eq!(one.len(), 200, "its own bound");
        let two = take(&room, "two", 1000);
        let three = take(&room, "three", 1000);
        assert_eq!((two.len(), three.len()), (92, 24), "a part of what is left");
        let next: Vec<_> = (4..=24).map(|next| take(&room, &next.to_string(), 2)).collect();
        assert!(next.iter().all(|places| places.len() == 1), "and there is something for the next");
        assert!(room.take("25").is_none(), "as long as there is anything");
        drop((one, next));
        assert!(take(&room, "three", 1000).len() > 100, "what is free again is anybody's");
        drop((two, three));
        let left = room.taken.lock().map(|taken| (taken.total, taken.each.len()));
        assert_eq!(left.ok(), Some((0, 0)), "nothing is kept of those that left");
    }
}
