//! How many calls of sandboxes are answered at a time. Whatever they ask for, there is room for people and for each
//! other: a sandbox has its bound, and all of them together have one well below what the gateway can hold open.

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

    /// A place until it is dropped; `None` where there is none left.
    pub(crate) fn take(&self, sandbox: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(sandbox).copied().unwrap_or(0);
        if own >= self.each || taken.total >= self.total {
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
}

impl Rooms {
    /// Of so many connections, three sixteenths are left to people and to whoever has not said yet who they are.
    ///
    /// A sandbox may have as many waiting calls as it may have requests that wait (`held::ask`), and proves one thing at
    /// a time, so that more calls at once would only queue.
    pub(crate) fn of(connections: usize) -> Rooms {
        let parts = |parts: usize| connections * parts / 16;
        Rooms { work: Room::new(64, parts(3)), waits: Room::new(200, parts(6)), watches: Room::new(4, parts(4)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_of_it_and_what_is_left_can_be_taken_again() {
        let room = Room::new(2, 3);
        let one: Vec<Option<Place>> = (0..3).map(|_| room.take("one")).collect();
        assert_eq!(one.iter().flatten().count(), 2, "its own bound");
        let two: Vec<Option<Place>> = (0..2).map(|_| room.take("two")).collect();
        assert_eq!(two.iter().flatten().count(), 1, "the bound of all");
        assert!(room.take("three").is_none());
        drop(one);
        let three = room.take("three");
        assert!(three.is_some());
        drop(two);
        drop(three);
        let sandboxes = room.taken.lock().map(|taken| (taken.total, taken.each.len()));
        assert_eq!(sandboxes.ok(), Some((0, 0)), "nothing is kept of those that left");
    }
}
