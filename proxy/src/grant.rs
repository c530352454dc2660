//! A grant lasts as long as the policy says so, not as long as the stream that it opened.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::decide::{Decision, Reason, Refusal, Route};
use narrowgate_core::request::{Operation, Request};
use tokio::sync::watch;

use crate::active::Enforced;
use crate::shared::{Peer, Shared, now};

/// Completes when a grant is gone, with the reason.
pub(crate) type Revoked = Pin<Box<dyn Future<Output = Option<Refusal>> + Send>>;

/// A lease ends by the clock, without a new policy: this late at most.
const CLOCK: Duration = Duration::from_secs(2);

/// What was granted, and how to notice that it no longer is. Made before the decision, so that no change is missed.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    /// What let it through once, where the policy in force has no rule for it.
    once: Option<Arc<Enforced>>,
}

impl Watch {
    pub(crate) fn new(shared: &Arc<Shared>) -> Watch {
        Watch { shared: shared.clone(), changes: shared.active.subscribe(), once: None }
    }

    /// The same for what `grant` lets through: it ends with the grant, and when the policy in force comes to deny it; not
    /// because that has no rule for it.
    pub(crate) fn by_grant(self, grant: Arc<Enforced>) -> Watch {
        Watch { once: Some(grant), ..self }
    }

    /// Completes when any of the operations that one request is would now be denied.
    pub(crate) fn revoked(&self, operations: Vec<Request>) -> Revoked {
        self.gone(operations, None)
    }

    /// As [`revoked`](Watch::revoked), for bytes that nobody reads: also when the tunnel is another program's by now,
    /// which may not have it.
    pub(crate) fn tunnel_revoked(&self, request: Request, peer: Arc<Peer>) -> Revoked {
        self.gone(vec![request], Some(peer))
    }

    fn gone(&self, mut granted: Vec<Request>, peer: Option<Arc<Peer>>) -> Revoked {
        let (shared, mut changes, once) = (self.shared.clone(), self.changes.clone(), self.once.clone());
        Box::pin(async move {
            loop {
                let change = tokio::time::timeout(CLOCK, changes.changed()).await;
                if let Some(peer) = &peer {
                    let who = peer.who().await;
                    if who.refusal.is_some() {
                        return Some(Refusal::because(Reason::RequestAmbiguous));
                    }
                    granted.iter_mut().for_each(|request| request.process = who.process.clone());
                }
                let now = now();
                granted.iter_mut().for_each(|request| request.now = now);
                let enforced = shared.active.load(now)?;
                if let Err(refusal) =
                    still(&enforced, &granted).or_else(|refusal| by_grant(refusal, &enforced, &once, &granted, now))
                {
                    return Some(refusal);
                }
                if let Ok(Err(_)) = change {
                    return None;
                }
            }
        })
    }
}

/// Whether what the policy in force has no rule for still has its grant.
fn by_grant(
    refusal: Refusal,
    enforced: &Enforced,
    once: &Option<Arc<Enforced>>,
    granted: &[Request],
    now: i64,
) -> Result<(), Refusal> {
    let missing = |refusal: &Refusal| matches!(refusal.reason, Reason::NoMatchingRule | Reason::LeaseExpired);
    let Some(grant) = once.as_deref().filter(|_| missing(&refusal)) else { return Err(refusal) };
    // Each by itself: behind an operation that has no rule may be one that a deny is about.
    for request in granted.iter().filter(|request| !matches!(request.operation, Operation::Connect)) {
        match enforced.snapshot.decide(request) {
            Decision::Deny(denied) if !missing(&denied) => return Err(denied),
            _ => {}
        }
    }
    // What is to be read by now was granted unread.
    let read = |request: &Request| {
        matches!(request.operation, Operation::Connect)
            && matches!(enforced.snapshot.route(&request.process, &request.host, request.port, now), Route::Inspect)
    };
    if granted.iter().any(read) {
        return Err(refusal);
    }
    match grant.expires.is_none_or(|end| now < end) {
        true => still(grant, granted),
        false => Err(Refusal::because(Reason::LeaseExpired)),
    }
}

fn still(enforced: &Enforced, granted: &[Request]) -> Result<(), Refusal> {
    match granted {
        [request @ Request { operation: Operation::Connect, .. }] => {
            match enforced.snapshot.route(&request.process, &request.host, request.port, request.now) {
                Route::Opaque(_) => Ok(()),
                Route::Deny(refusal) => Err(refusal),
                // Its bytes would now have to be read, and nobody did.
                Route::Inspect => Err(Refusal::because(Reason::NoMatchingRule)),
            }
        }
        operations => match enforced.snapshot.decide_all(operations) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(refusal) => Err(refusal),
        },
    }
}
