//! Which connections are open, and which one makes way where there are too many. A newcomer may be a person: so it is
//! let in, and whoever has been of no use for longest goes. A connection is of use while a call of somebody who has said
//! who they are is answered on it; those of sandboxes are bounded ([`crate::room`]), so that one that is of none is
//! always found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// All open connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crowd {
    most: usize,
    all: Arc<Mutex<All>>,
}

#[derive(Default)]
struct All {
    open: usize,
    moment: u64,
    /// Those of no use, by the moment from which they are of none.
    idle: BTreeMap<u64, CancellationToken>,
}

impl All {
    fn rests(&mut self, gone: &CancellationToken) -> u64 {
        self.moment += 1;
        self.idle.insert(self.moment, gone.clone());
        self.moment
    }
}

impl Crowd {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Crowd {
        Crowd { most, all: Arc::default() }
    }

    /// A place for a new connection, if need be that of another one; `None` where all are of use.
    pub(crate) fn admit(&self) -> Option<Arc<Connection>> {
        let mut all = lock(&self.all);
        if all.open >= self.most && !make_way(&mut all) {
            return None;
        }
        all.open += 1;
        let gone = CancellationToken::new();
        let since = all.rests(&gone);
        drop(all);
        Some(Arc::new(Connection { all: Arc::clone(&self.all), gone, state: Mutex::new(State { calls: 0, since }) }))
    }

    /// Ends up to so many connections that are of no use: where the system has no room for more.
    pub(crate) fn thin(&self, number: usize) {
        let mut all = lock(&self.all);
        for _ in 0..number {
            if !make_way(&mut all) {
                return;
            }
        }
    }
}

/// INVARIANT: one that was told to go is not counted any more, by nobody.
fn make_way(all: &mut All) -> bool {
    let Some((_, gone)) = all.idle.pop_first() else { return false };
    gone.cancel();
    all.open = all.open.saturating_sub(1);
    true
}

/// One open connection, until the last who knows of it drops it.
pub(crate) struct Connection {
    all: Arc<Mutex<All>>,
    gone: CancellationToken,
    state: Mutex<State>,
}

struct State {
    calls: usize,
    /// Since which moment it is of no use, where there is no call.
    since: u64,
}

impl Connection {
    /// Whether it has to make way.
    pub(crate) fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Is of use until this is dropped.
    pub(crate) fn in_use(self: &Arc<Self>) -> InUse {
        let mut all = lock(&self.all);
        let mut state = lock(&self.state);
        if state.calls == 0 {
            all.idle.remove(&state.since);
        }
        state.calls += 1;
        InUse(Arc::clone(self))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        let since = lock(&self.state).since;
        all.idle.remove(&since);
        if !self.gone.is_cancelled() {
            all.open = all.open.saturating_sub(1);
        }
    }
}

/// A call that is answered.
pub(crate) struct InUse(Arc<Connection>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut all = lock(&self.0.all);
        let mut state = lock(&self.0.state);
        state.calls = state.calls.saturating_sub(1);
        if state.calls == 0 && !self.0.gone.is_cancelled() {
            state.since = all.rests(&self.0.gone);
        }
    }
}

/// What is behind these locks is right after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn whoever_has_been_of_no_use_for_longest_goes() {
        let crowd = Crowd::new(3);
        let all: Vec<_> = (0..3).map(|_| crowd.admit().unwrap()).collect();
        let call = all[0].in_use();
        let fourth = crowd.admit().unwrap();
        let gone = |connections: &[Arc<Connection>]| -> Vec<bool> {
            connections.iter().map(|connection| connection.gone().is_cancelled()).collect()
        };
        assert_eq!(gone(&all), [false, true, false], "the first is of use");
        drop(call);
        let call = all[2].in_use();
        drop(crowd.admit().unwrap());
        assert_eq!((gone(&all), fourth.gone().is_cancelled()), (vec![false, true, false], true));
        drop(fourth);
        let calls = (call, all[0].in_use(), crowd.admit().unwrap().in_use());
        assert!(crowd.admit().is_none(), "all are of use");
        drop(all);
        assert!(crowd.admit().is_none(), "until their calls are answered");
        drop(calls);
        let again: Vec<_> = (0..3).map(|_| crowd.admit().unwrap()).collect();
        assert_eq!(gone(&again), [false; 3]);
        assert_eq!(lock(&crowd.all).idle.len(), 3, "nothing is kept of those that are gone");
    }
}
