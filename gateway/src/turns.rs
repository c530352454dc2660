//! Who may keep a core busy with proofs, and when. People do not queue behind agents, and no agent behind another
//! sandbox's: a sandbox proves one thing at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::store::Caller;

/// On whose behalf something is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behalf<'a> {
    /// A reviewer, an administrator, or the gateway itself.
    People,
    /// This sandbox's agent.
    Sandbox(&'a str),
}

impl<'a> Behalf<'a> {
    /// Whoever calls.
    pub(crate) fn of(caller: &'a Caller) -> Behalf<'a> {
        caller.sandbox.as_deref().map_or(Behalf::People, Behalf::Sandbox)
    }
}

/// Proofs at a time.
pub(crate) struct Turns {
    people: Arc<Semaphore>,
    agents: Arc<Semaphore>,
    /// One permit per sandbox that proves or waits; those of others are dropped when the next one asks.
    each: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The right to run one proof. It goes with the computation, not with whoever waits for it: a caller that leaves does
/// not free a core that is still busy.
pub(crate) struct Turn {
    _shared: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// As many for people, and as many for agents, as there are cores: more would only make each slower.
    pub(crate) fn new(cores: usize) -> Turns {
        let semaphore = || Arc::new(Semaphore::new(cores.max(1)));
        Turns { people: semaphore(), agents: semaphore(), each: Mutex::default() }
    }

    /// Waits for a turn.
    pub(crate) async fn next(&self, behalf: Behalf<'_>) -> Result<Turn, AcquireError> {
        match behalf {
            Behalf::People => Ok(Turn { _shared: Arc::clone(&self.people).acquire_owned().await?, _own: None }),
            Behalf::Sandbox(name) => {
                // Its own first, so that what waits for itself takes no place from others.
                let own = self.own(name).acquire_owned().await?;
                let shared = Arc::clone(&self.agents).acquire_owned().await?;
                Ok(Turn { _shared: shared, _own: Some(own) })
            }
        }
    }

    fn own(&self, name: &str) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(name).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(1));
        each.insert(name.to_owned(), Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn waits(turns: &Turns, behalf: Behalf<'_>) -> bool {
        timeout(Duration::from_millis(20), turns.next(behalf)).await.is_err()
    }

    #[tokio::test]
    async fn nobody_queues_behind_another_sandbox() {
        let turns = Turns::new(2);
        let one = turns.next(Behalf::Sandbox("one")).await.unwrap();
        assert!(waits(&turns, Behalf::Sandbox("one")).await, "one at a time");
        let two = turns.next(Behalf::Sandbox("two")).await.unwrap();
        assert!(waits(&turns, Behalf::Sandbox("three")).await, "every core is busy");
        assert!(!waits(&turns, Behalf::People).await, "people have their own");
        drop(one);
        assert!(!waits(&turns, Behalf::Sandbox("one")).await);
        drop(two);
        let _last = turns.next(Behalf::Sandbox("four")).await.unwrap();
        assert_eq!(turns.each.lock().unwrap().len(), 1, "nothing is kept for those who are gone");
    }
}
