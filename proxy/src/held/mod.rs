//! Requests that wait for a person: under `on_miss: ask`, a request that no rule allows is not denied at once.
//!
//! All that ask for the same in one run of one program are a [`group`](group::Group): they wait for one answer, which the
//! gateway gives ([`attend`]). Whatever the answer is, each request is decided anew ([`wait`]) on what is in force then: an
//! answer lets nothing through that the policy of that moment denies, and a permit comes from `core::decide` only, on a
//! snapshot whose certificate was checked here.
//!
//! This never asks about what a deny rule, a blocked address or an ambiguity refuses, never reads a body while it waits,
//! and remembers no answer: whoever comes after it asks anew.

mod attend;
mod event;
mod grant;
mod group;
mod late;
mod line;
mod poll;
mod review;
mod session;
mod stream;
mod wait;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use group::{Group, Question, Seat};
use narrowgate_core::held::HeldOutcome;
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::shared::Shared;
use crate::trust::Trust;

pub use event::{Decided, Event, Prompt, Refused, When};
pub use review::{Mention, Review, Source};

pub(crate) use late::Report;
pub(crate) use session::{announce, begin, end};
pub(crate) use stream::{asks, stream};
pub(crate) use wait::{Case, Passed, wait};

/// So many questions wait at once.
const MOST_GROUPS: usize = 1000;
/// So many requests wait for them.
const MOST_WAITERS: usize = narrowgate_core::held::MOST_REQUESTS as usize;
/// What those that wait keep of what was read of their bodies, in bytes: half of what all may, so that what need not wait
/// goes on.
const ROOM: usize = 128 << 20;

/// What waits in this proxy.
#[derive(Debug)]
pub(crate) struct Held {
    session: Mutex<session::Own>,
    line: line::Line,
    groups: Mutex<HashMap<Question, Arc<Group>>>,
    waiters: Arc<Semaphore>,
    room: Arc<Semaphore>,
    teller: event::Teller,
    /// Told when the gateway was away, which may have it forget the session.
    reconnected: Notify,
    /// Set once there are keys, which is before anything is in force.
    trust: OnceLock<Arc<Trust>>,
}

/// Why a request does not get to wait.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    #[error("{MOST_GROUPS} questions are waiting for an answer already; try again once some are answered")]
    Groups,
    #[error("{MOST_WAITERS} requests are waiting for an answer already; try again once some are answered")]
    Waiters,
    #[error("what waiting requests keep in memory has no room for this one; try again once some are answered")]
    Room,
}

impl Held {
    pub(crate) fn new(observer: Option<mpsc::Sender<Event>>) -> Held {
        Held {
            session: Mutex::new(session::Own::new()),
            line: line::Line::new(),
            groups: Mutex::default(),
            waiters: Arc::new(Semaphore::new(MOST_WAITERS)),
            room: Arc::new(Semaphore::new(ROOM)),
            teller: event::Teller::new(observer),
            reconnected: Notify::new(),
            trust: OnceLock::new(),
        }
    }

    /// Says whose grants are believed.
    pub(crate) fn trust(&self, trust: Arc<Trust>) {
        // Set once, by the one start of a proxy.
        let _ = self.trust.set(trust);
    }

    /// Tells whoever watches this proxy.
    pub(crate) fn tell(&self, event: Event) {
        self.teller.tell(event);
    }

    /// Room for `bytes` that a waiting request keeps.
    pub(crate) fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Full> {
        let bytes = u32::try_from(bytes).map_err(|_| Full::Room)?;
        self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Full::Room)
    }

    /// A seat among those that wait for the answer to `question`, and whether they are a new group, which somebody must
    /// [`attend`].
    fn join(shared: &Arc<Shared>, question: &Question) -> Result<(Seat, bool), Full> {
        let this = &shared.held;
        let slot = this.waiters.clone().try_acquire_owned().map_err(|_| Full::Waiters)?;
        let mut groups = this.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let (group, new) = match groups.get(question) {
            Some(group) => (group.clone(), false),
            None if groups.len() >= MOST_GROUPS => return Err(Full::Groups),
            None => {
                let group = Arc::new(Group::new(question.clone()));
                groups.insert(question.clone(), group.clone());
                (group, true)
            }
        };
        group.seats.send_modify(|seats| *seats += 1);
        Ok((Seat::new(group, shared.clone(), slot), new))
    }

    /// Gives up a seat. With the last one, nobody is asked any more.
    fn leave(&self, group: &Arc<Group>) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        group.seats.send_modify(|seats| *seats = seats.saturating_sub(1));
        if *group.seats.borrow() == 0 {
            remove(&mut groups, group);
            group.abandoned.cancel();
        }
    }

    /// Gives `group` its answer, which is for those that wait now: so many.
    ///
    /// INVARIANT: under the lock that [`join`](Held::join) takes: whoever joined before has this answer, and whoever comes
    /// later is asked about anew.
    fn settle(&self, group: &Arc<Group>, outcome: HeldOutcome) -> usize {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        remove(&mut groups, group);
        group.settle(outcome);
        *group.seats.borrow()
    }

    /// What waits, for `policy.local`: oldest first.
    pub(crate) fn list(&self) -> Vec<Value> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<&Arc<Group>> = groups.values().collect();
        all.sort_by_key(|group| group.since);
        all.into_iter().map(|group| json!(group.view())).collect()
    }
}

fn remove(groups: &mut HashMap<Question, Arc<Group>>, group: &Arc<Group>) {
    if groups.get(&group.question).is_some_and(|there| Arc::ptr_eq(there, group)) {
        groups.remove(&group.question);
    }
}

/// Fills the room for questions, as a thousand requests would.
#[cfg(test)]
pub(crate) fn tests_of_limits(shared: &Arc<Shared>) {
    use narrowgate_core::decide::{Layer, Reason};
    use narrowgate_core::denial::DenialRecord;

    let question = |port: u16| {
        let record = DenialRecord {
            denial_id: String::new(),
            time: String::new(),
            layer: Layer::L4,
            host: "host.test".to_owned(),
            port,
            method: None,
            path: None,
            binary: "/bin/x".to_owned(),
            reason: Reason::NoMatchingRule,
            operations: Vec::new(),
        };
        Question::of(crate::identity::Execution { pid: 1, started: 1 }, &record)
    };
    let mut seats: Vec<Seat> = Vec::new();
    for port in 1..=1000 {
        seats.extend(Held::join(shared, &question(port)).ok().map(|(seat, _)| seat));
    }
    assert_eq!(seats.len(), MOST_GROUPS);
    assert!(matches!(Held::join(shared, &question(1001)), Err(Full::Groups)));
    let more = (0..MOST_WAITERS).filter_map(|_| Held::join(shared, &question(7)).ok().map(|(seat, _)| seat));
    let more: Vec<Seat> = more.collect();
    assert_eq!(more.len(), MOST_WAITERS - MOST_GROUPS);
    assert!(matches!(Held::join(shared, &question(7)), Err(Full::Waiters)));
    drop(more);
    assert!(Held::join(shared, &question(7)).is_ok_and(|(_, new)| !new));
    // They stay: what comes next finds no room.
    std::mem::forget(seats);
}
