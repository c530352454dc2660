//! The line that questions stand in before the gateway. People answer one after the other; a proxy with hundreds of
//! questions takes some of the gateway's connections for them and not hundreds, and the rest come in their turn.
//!
//! What is asked and taken back has places of its own: nobody waits to be asked about because others wait for answers.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

/// So many calls are under way at once that ask, or take back.
const CALLS: usize = 8;
/// So many polls for answers are.
const POLLS: usize = 56;
/// The gateway is asked again at least this often, so that no wait hangs on one broken connection.
const LONG: Duration = Duration::from_secs(20);
/// The same where there are more questions than places: an answer is noticed after so many seconds as the questions fill
/// the places times.
const SHORT: Duration = Duration::from_secs(1);

/// The line of one proxy.
#[derive(Debug)]
pub(super) struct Line {
    calls: Semaphore,
    polls: Semaphore,
    /// How many questions are polled for, in their turn or not.
    questions: watch::Sender<usize>,
}

/// A question that is polled for.
pub(super) struct Place<'a>(&'a Line);

/// One poll.
pub(super) struct Turn<'a> {
    line: &'a Line,
    since: Instant,
    /// How long the poll may take.
    pub(super) length: Duration,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Line {
    pub(super) fn new() -> Line {
        Line { calls: Semaphore::new(CALLS), polls: Semaphore::new(POLLS), questions: watch::Sender::new(0) }
    }

    /// A place for a short call, in the order in which they are wanted; until it is dropped.
    pub(super) async fn call(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.calls.acquire().await.ok()
    }

    pub(super) fn join(&self) -> Place<'_> {
        self.questions.send_modify(|questions| *questions += 1);
        Place(self)
    }

    fn is_crowded(&self) -> bool {
        *self.questions.borrow() > POLLS
    }
}

impl Place<'_> {
    /// The next turn to poll, in the order in which they are wanted.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let permit = self.0.polls.acquire().await.ok();
        let length = if self.0.is_crowded() { SHORT } else { LONG };
        Turn { line: self.0, since: Instant::now(), length, _permit: permit }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.questions.send_modify(|questions| *questions = questions.saturating_sub(1));
    }
}

impl Turn<'_> {
    /// Completes when this poll is to make room: it began as a long one, and by now there are more questions than places.
    pub(super) async fn over(&self) {
        if self.length <= SHORT {
            return std::future::pending().await;
        }
        sleep_until(self.since + SHORT).await;
        if self.line.questions.subscribe().wait_for(|questions| *questions > POLLS).await.is_err() {
            std::future::pending().await
        }
    }
}
