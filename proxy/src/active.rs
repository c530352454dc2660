//! The policy in force, swapped as a whole.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use narrowgate_core::decide::Snapshot;
use narrowgate_core::digest::Digest;
use tokio::sync::watch;

/// A policy that may be enforced: its certificate was checked.
#[derive(Debug)]
pub(crate) struct Enforced {
    pub(crate) snapshot: Snapshot,
    /// The rule language, as the gateway sent it, for agents to read.
    pub(crate) yaml: String,
    /// When its certificate runs out, or the trust in the key that signed it, in seconds since the Unix epoch.
    pub(crate) expires: Option<i64>,
}

/// Where every request finds the policy in force. Reading takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Active {
    current: ArcSwapOption<Enforced>,
    version: watch::Sender<u64>,
    /// Survives [`clear`](Active::clear): what comes next must be no older.
    last: Mutex<Option<(u64, Digest)>>,
}

impl Active {
    /// The policy in force at `now`; none where none was loaded or its certificate has run out.
    pub(crate) fn load(&self, now: i64) -> Option<Arc<Enforced>> {
        self.current.load_full().filter(|enforced| enforced.expires.is_none_or(|at| now < at))
    }

    /// When what was put in force comes to its end by itself, in seconds since the Unix epoch.
    pub(crate) fn expires(&self) -> Option<i64> {
        self.current.load().as_ref().and_then(|enforced| enforced.expires)
    }

    /// The version in force; 0 for none.
    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// The version that was loaded last, in force or not, and the digest of its policy.
    pub(crate) fn last(&self) -> Option<(u64, Digest)> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `enforced` in force, for the next request of every open connection.
    pub(crate) fn store(&self, enforced: Enforced) {
        let version = enforced.snapshot.version();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, enforced.snapshot.digest()));
        self.swap(Some(Arc::new(enforced)), version);
    }

    /// Puts nothing in force: every request is denied, and what is open ends.
    pub(crate) fn clear(&self) {
        self.swap(None, 0);
    }

    fn swap(&self, new: Option<Arc<Enforced>>, version: u64) {
        let old = self.current.swap(new);
        // After the swap: who subscribes in between is told of what it has already read, which is harmless.
        self.version.send_replace(version);
        // A policy set is a large tree. Requests that still hold it must not be the ones to take it apart.
        if let (Some(old), Ok(runtime)) = (old, tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || retire(old));
        }
    }

    /// Tells of every change after this call. Subscribe first, then [`load`](Active::load): nothing is missed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

/// Waits, off the request threads, until requests in flight have let go, and drops the last reference.
fn retire(mut old: Arc<Enforced>) {
    for _ in 0..100 {
        match Arc::try_unwrap(old) {
            Ok(last) => return drop(last),
            Err(shared) => old = shared,
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
