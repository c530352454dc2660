//! One question's conversation with the gateway: asked once, waited for, and taken back when nobody waits any more.
//!
//! A gateway that is away is waited for, since it keeps its questions; but no longer than the question may wait. No
//! answer is ever taken for a yes.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::held::{HeldOutcome, HeldStatus, Hold};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::group::Group;
use super::poll::{PAUSE, not_understood, outcome, requests};
use super::session::SESSION_ENDED;
use super::{Decided, Event, Review};
use crate::ClientError;
use crate::shared::{Shared, now};

/// The gateway says that time is over; only if it does not by then, this proxy does.
const SLACK: Duration = Duration::from_secs(3);
/// Where the session was ended, the question is asked in a new one; so often, should that be ended too.
const RENEWALS: u32 = 3;
/// For taking a question back.
const FAREWELL: Duration = Duration::from_secs(10);

/// Asks `hold` for `group`, and gives the group its answer. `patience` is what the policy in force gives a person.
pub(super) async fn attend(shared: Arc<Shared>, group: Arc<Group>, hold: Hold, patience: Duration) {
    let told = tokio::select! {
        outcome = answered(&shared, &group, &hold, patience) => Some(outcome),
        () = shared.stop.cancelled() => None,
    };
    // The proxy stops: whoever waits notices by themselves, and the end of the session takes back what was asked.
    let Some(outcome) = told else { return };
    if outcome.held_id.is_some() {
        shared.held.tell(Event::Decided(Decided {
            prompt: group.prompt(&Review::of(&outcome)),
            status: outcome.status,
            decided_by: outcome.decided_by.clone(),
            message: outcome.message.clone(),
        }));
    }
    let once = outcome.held_id.clone().filter(|_| outcome.status == HeldStatus::Once);
    let waited = shared.held.settle(&group, outcome);
    if let Some(held_id) = once {
        tokio::select! {
            // All that waited are decided: the grant is for nobody any more.
            () = group.abandoned.cancelled() => {
                let counted = if waited > 0 { format!("?{}", requests(waited)) } else { String::new() };
                cancel(&shared, &held_id, &counted).await;
            }
            () = shared.stop.cancelled() => {}
        }
    }
}

/// The answer, or what stands in for one.
async fn answered(shared: &Shared, group: &Group, hold: &Hold, patience: Duration) -> HeldOutcome {
    let deadline = Instant::now() + patience;
    // Not broken off when the last one leaves: the gateway may have the question already, which is then taken back.
    let asked = match ask(shared, group, hold, deadline).await {
        Ok(asked) => asked,
        Err(e) if e.is_transient() => return without(HeldStatus::TimedOut, "the gateway could not be asked in time"),
        Err(e) => {
            tracing::warn!("a request cannot wait for a person: {e}");
            return without(HeldStatus::Refused, "the gateway takes no questions from this sandbox");
        }
    };
    let (HeldStatus::Waiting, Some(held_id)) = (asked.status, asked.held_id.clone()) else { return asked };
    group.waiting(&asked);
    shared.held.tell(Event::Waiting(group.prompt(&Review::of(&asked))));
    let deadline = Instant::now() + left(&asked, patience);
    let ended = tokio::select! {
        ended = outcome(shared, &held_id, deadline + SLACK, Some(group.seats.subscribe())) => ended,
        () = group.abandoned.cancelled() => {
            cancel(shared, &held_id, "").await;
            return HeldOutcome { status: HeldStatus::Cancelled, ..asked };
        }
    };
    match ended {
        // Whatever the gateway leaves out of a late answer, the question stays the one that was shown.
        Ok(ended) => HeldOutcome { held_id: Some(held_id), deadline: ended.deadline.or(asked.deadline), ..ended },
        Err(e) => {
            tracing::warn!("no answer about {held_id}: {e}");
            cancel(shared, &held_id, "").await;
            HeldOutcome { status: HeldStatus::TimedOut, ..asked }
        }
    }
}

/// Posts the question until the gateway has it. The same key again is the same question.
async fn ask(shared: &Shared, group: &Group, hold: &Hold, deadline: Instant) -> Result<HeldOutcome, ClientError> {
    let path = format!("/v1/sandboxes/{}/held", shared.sandbox);
    let (mut hold, mut renewed) = (hold.clone(), 0);
    loop {
        let turn = tokio::select! {
            turn = shared.held.line.call() => turn,
            () = group.abandoned.cancelled() => return Err(too_late(shared)),
            () = sleep_until(deadline) => return Err(too_late(shared)),
        };
        hold.session = shared.held.session();
        let posted = shared.gateway.post::<HeldOutcome>(&path, &hold).await;
        drop(turn);
        let error = match posted {
            Ok(outcome) if is_of_an_ended_session(&outcome) && renewed < RENEWALS => {
                renewed += 1;
                shared.held.renew(&hold.session);
                continue;
            }
            Ok(outcome) => match outcome.held_id.as_deref().is_none_or(is_id) {
                true => return Ok(outcome),
                false => return Err(not_understood(shared, "a held_id that is none")),
            },
            Err(e) if e.is_transient() => e,
            Err(e) => return Err(e),
        };
        shared.held.reconnected.notify_one();
        if group.abandoned.is_cancelled() || Instant::now() + PAUSE >= deadline {
            return Err(error);
        }
        sleep(PAUSE).await;
    }
}

/// Another proxy said that its session runs now: nobody is asked in this one's any more.
fn is_of_an_ended_session(outcome: &HeldOutcome) -> bool {
    let code = outcome.message.as_deref().and_then(|message| message.split(':').next());
    outcome.status == HeldStatus::Refused && code == Some(SESSION_ENDED)
}

fn too_late(shared: &Shared) -> ClientError {
    let problem = "other questions came first until the time for this one was over".to_owned();
    ClientError::Unreachable { url: shared.gateway.url().to_owned(), problem }
}

/// Takes the question back: nobody waits for its answer, or all that did have it. `query` is for the path.
async fn cancel(shared: &Shared, held_id: &str, query: &str) {
    let path = format!("/v1/sandboxes/{}/held/{held_id}{query}", shared.sandbox);
    let all = async {
        loop {
            let turn = shared.held.line.call().await;
            let deleted = shared.gateway.delete(&path).await;
            drop(turn);
            let Err(e) = deleted else { return };
            if !e.is_transient() {
                // Answered meanwhile, most often.
                return tracing::debug!("{held_id} is not taken back: {e}");
            }
            sleep(PAUSE).await;
        }
    };
    if timeout(FAREWELL, all).await.is_err() {
        tracing::info!("{held_id} could not be taken back; it ends at its deadline");
    }
}

/// How long the question has by the gateway's word, and never much longer than the policy says.
fn left(asked: &HeldOutcome, patience: Duration) -> Duration {
    let deadline = asked.deadline.as_deref().and_then(|deadline| deadline.parse::<jiff::Timestamp>().ok());
    let left = deadline.and_then(|deadline| u64::try_from(deadline.as_second().saturating_sub(now())).ok());
    // Clocks differ between machines.
    left.map_or(patience, Duration::from_secs).min(patience + SLACK)
}

fn without(status: HeldStatus, message: &str) -> HeldOutcome {
    HeldOutcome {
        held_id: None,
        status,
        deadline: None,
        decided_by: None,
        message: Some(message.to_owned()),
        grant: None,
        version: None,
    }
}

/// What goes into a path of the gateway's API and into a header: nothing that could leave its place.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The question as the gateway gets it.
pub(super) fn hold(
    shared: &Shared,
    record: DenialRecord,
    inspected: bool,
    process: narrowgate_core::held::HeldProcess,
) -> Hold {
    Hold { key: crate::shared::id("k_"), session: shared.held.session(), record, inspected, process }
}
