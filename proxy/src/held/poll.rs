//! Asking the gateway where a question stands, as long polls that also say how many requests wait for the answer: a person
//! who answers `once` lets all of them through, and sees how many that is.

use std::time::Duration;

use narrowgate_core::held::{HeldOutcome, HeldStatus, MOST_REQUESTS};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::ClientError;
use crate::shared::Shared;

/// Between two tries while the gateway is away.
pub(super) const PAUSE: Duration = Duration::from_millis(300);
/// Those that join or leave within this time are told of together.
const DEBOUNCE: Duration = Duration::from_millis(250);
/// No question is told of more often, however its waiters come and go: each time is a write in the gateway.
const PACE: Duration = Duration::from_secs(1);

/// Where the question stands once that is no longer `waiting`; asked for until `deadline`. Asking takes nothing away.
/// `waiters` is how many wait for the answer: the poll is begun anew soon after that changed.
pub(super) async fn outcome(
    shared: &Shared,
    held_id: &str,
    deadline: Instant,
    mut waiters: Option<watch::Receiver<usize>>,
) -> Result<HeldOutcome, ClientError> {
    let place = shared.held.line.join();
    loop {
        let turn = place.turn().await;
        let count = waiters.as_mut().map(|waiters| *waiters.borrow_and_update());
        let left = deadline.saturating_duration_since(Instant::now());
        let slice = left.min(turn.length);
        // Rounded up: the gateway counts in seconds, and 0 would not wait.
        let wait = slice.as_millis().div_ceil(1000).max(1);
        let counted = count.map(|count| format!("&{}", requests(count))).unwrap_or_default();
        let path = format!("/v1/sandboxes/{}/held/{held_id}?wait={wait}{counted}", shared.sandbox);
        let polled = Instant::now();
        let looked = tokio::select! {
            looked = shared.gateway.get_within::<HeldOutcome>(&path, slice + Duration::from_secs(1)) => looked,
            // What the poll would have said, the next one says.
            () = changed(&mut waiters, count, polled + PACE), if polled < deadline => continue,
            () = turn.over(), if polled < deadline => continue,
        };
        drop(turn);
        match looked {
            Ok(Some(outcome)) if outcome.status != HeldStatus::Waiting => return Ok(outcome),
            Ok(_) if Instant::now() >= deadline => {
                return Err(not_understood(shared, "still waiting after the deadline"));
            }
            // A gateway that does not hold the poll must not be asked in a tight loop.
            Ok(_) => sleep(PAUSE.saturating_sub(polled.elapsed())).await,
            Err(e) if e.is_transient() && Instant::now() + PAUSE < deadline => {
                shared.held.reconnected.notify_one();
                sleep(PAUSE).await;
            }
            Err(e) => return Err(e),
        }
    }
}

/// Completes when another number waits than was told and no more come at this moment, and not before `earliest`.
async fn changed(waiters: &mut Option<watch::Receiver<usize>>, told: Option<usize>, earliest: Instant) {
    let Some(waiters) = waiters else { return std::future::pending().await };
    loop {
        if waiters.changed().await.is_err() {
            return std::future::pending().await;
        }
        sleep_until(earliest.max(Instant::now() + DEBOUNCE)).await;
        // With the last one the question goes, and there is nothing to count.
        if Some(*waiters.borrow_and_update()).filter(|now| *now > 0) != told {
            return;
        }
    }
}

/// As a query says how many requests wait, where any do.
pub(super) fn requests(count: usize) -> String {
    let most = usize::try_from(MOST_REQUESTS).unwrap_or(usize::MAX);
    format!("requests={}", count.clamp(1, most))
}

pub(super) fn not_understood(shared: &Shared, problem: &str) -> ClientError {
    ClientError::Answer { url: shared.gateway.url().to_owned(), problem: problem.to_owned() }
}
