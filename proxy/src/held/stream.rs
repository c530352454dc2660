//! Byte streams that no rule allows: asked about by their host and port, since nothing else is known of them.

use std::sync::Arc;

use narrowgate_core::decide::{Route, Snapshot};
use narrowgate_core::policy::OnMiss;
use narrowgate_core::request::{Authority, Operation, Request};

use super::{Case, Passed, wait};
use crate::active::Enforced;
use crate::respond::{Attempt, Denied};
use crate::shared::{Peer, Shared, Who};

/// Whether `policy` has people asked about what it denies so.
pub(crate) fn asks(policy: &Enforced, denied: &Denied) -> bool {
    policy.snapshot.policy().on_miss != OnMiss::Deny && denied.is_grantable()
}

/// Has a person asked about a stream to `to`, where the policy wants that.
///
/// # Errors
/// Why it is denied.
pub(crate) async fn stream(
    (shared, peer): (&Arc<Shared>, &Arc<Peer>),
    who: &Who,
    to: &Authority,
    attempt: &mut Attempt,
    denied: Denied,
    enforced: Option<Arc<Enforced>>,
) -> Result<Passed, Denied> {
    let case = enforced.as_deref().and_then(|policy| Case::of(shared, peer, who, policy, &denied, false));
    let Some(case) = case else { return Err(denied) };
    drop(enforced);
    let request = Request {
        process: who.process.clone(),
        host: to.host.clone(),
        port: to.port,
        operation: Operation::Connect,
        now: 0,
    };
    let anew =
        move |snapshot: &Snapshot, now: i64| match snapshot.route(&request.process, &request.host, request.port, now) {
            Route::Opaque(permit) => Ok((permit, vec![Request { now, ..request.clone() }])),
            Route::Deny(refusal) => Err(refusal.into()),
            Route::Inspect => {
                Err(Denied::ambiguous("the policy changed how this host's connections are read; connect again"))
            }
        };
    wait(&case, attempt, denied, 0, &anew).await
}
