//! One request's wait: among those that ask for the same, until there is an answer or none is needed; and what then is
//! decided.
//!
//! INVARIANT: an answer is no permission. What passes has a permit of the policy in force or of a checked grant on it, made
//! after the last look at who asks, and nothing is awaited between that decision and the use of its permit.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::decide::{Permit, Reason, Snapshot};
use narrowgate_core::held::{HeldProcess, HeldStatus};
use narrowgate_core::policy::OnMiss;
use narrowgate_core::request;
use tokio::time::{Instant, interval, sleep_until, timeout_at};

use super::group::{Group, Question, Settlement, State};
use super::{Full, Held, Review, Source, attend};
use crate::active::Enforced;
use crate::grant::Watch;
use crate::identity::Execution;
use crate::respond::{Attempt, Denied};
use crate::shared::{Peer, Shared, Who, now};

/// A client that closes its connection in the middle of a body is noticed this late at most: hyper does not look then.
const LOOK: Duration = Duration::from_secs(1);
/// For a version that was announced to be in force here.
const RELOAD: Duration = Duration::from_secs(30);
/// For the answer that put a version in force to come after it.
const ANSWER: Duration = Duration::from_secs(1);
/// After the time that the policy gives a person, nothing waits longer than this, whatever happened to the gateway.
const LAST: Duration = Duration::from_secs(30);
/// How often a grant is made anew because the policy changed under it.
const ATTEMPTS: usize = 8;

/// A request that may wait.
pub(crate) struct Case<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) peer: &'a Arc<Peer>,
    pub(crate) who: &'a Who,
    /// Whether requests can be read there; if not, opaque bytes are asked for.
    pub(crate) inspected: bool,
    execution: Execution,
    patience: Duration,
}

/// A request that may pass.
pub(crate) struct Passed {
    pub(crate) permit: Permit,
    pub(crate) operations: Vec<request::Request>,
    /// Made before it was decided.
    pub(crate) watch: Watch,
}

/// Decides the request on a snapshot at a time: the same request, each time it is looked at.
pub(crate) type Decide = dyn Fn(&Snapshot, i64) -> Result<(Permit, Vec<request::Request>), Denied> + Send + Sync;

/// What the policy in force says to the request by now.
enum Verdict {
    Passes(Passed),
    /// It still has no rule for it, and has people asked.
    Asks(Watch, Arc<Enforced>),
    Denies(Denied),
}

impl<'a> Case<'a> {
    /// The request that `denied` is about, where the policy has people asked about such; `None` where it stays denied.
    pub(crate) fn of(
        shared: &'a Arc<Shared>,
        peer: &'a Arc<Peer>,
        who: &'a Who,
        policy: &Enforced,
        denied: &Denied,
        inspected: bool,
    ) -> Option<Case<'a>> {
        let OnMiss::Ask { timeout } = policy.snapshot.policy().on_miss else { return None };
        // A rule for a program that is not known would be one for every program.
        let execution = who.execution.filter(|_| who.refusal.is_none() && !who.process.path.is_empty())?;
        let patience = Duration::from_secs(timeout.into());
        denied.is_grantable().then_some(Case { shared, peer, who, inspected, execution, patience })
    }
}

/// Waits for a person, and decides what they leave to decide. `attempt` knows afterwards how it came to that.
///
/// # Errors
/// Why it is denied. Dropping this is giving up, which ends the question where nobody else waits.
pub(crate) async fn wait(
    case: &Case<'_>,
    attempt: &mut Attempt,
    denied: Denied,
    kept: usize,
    decide: &Decide,
) -> Result<Passed, Denied> {
    let record = attempt.record(&case.who.process.path, &denied);
    let question = Question::of(case.execution, &record);
    let joined = match case.shared.held.room(kept) {
        Ok(room) => Held::join(case.shared, &question).map(|(seat, new)| (seat, new, room)),
        Err(full) => Err(full),
    };
    let (seat, new, _room) = match joined {
        Ok(joined) => joined,
        Err(full) => return Err(full_up(attempt, denied, &full)),
    };
    if new {
        let hold = attend::hold(case.shared, record, case.inspected, case.process());
        let (shared, group) = (case.shared.clone(), seat.group().clone());
        case.shared.tasks.spawn(attend::attend(shared, group, hold, case.patience));
    }
    let settlement = case.answer(seat.group(), attempt, &denied, decide).await?;
    case.settled(&settlement, attempt, denied, decide).await
}

impl Case<'_> {
    fn process(&self) -> HeldProcess {
        HeldProcess {
            pid: self.execution.pid,
            binary: self.who.process.path.clone(),
            sha256: self.who.process.sha256.clone(),
            ancestors: self.who.process.ancestors.clone(),
            command: self.who.command.as_ref().map(|line| line.as_str().to_owned()).unwrap_or_default(),
        }
    }

    /// The answer; or the denial of a request that need not wait for one any more.
    async fn answer(
        &self,
        group: &Group,
        attempt: &mut Attempt,
        denied: &Denied,
        decide: &Decide,
    ) -> Result<Arc<Settlement>, Denied> {
        let (mut state, mut changes) = (group.watch(), self.shared.active.subscribe());
        let mut look = interval(LOOK);
        // Whatever became of the question.
        let last = Instant::now() + self.patience + LAST;
        let mut waiting = false;
        // Set once the policy in force allows it: most often because of the answer, which is then on its way.
        let mut allowed: Option<Instant> = None;
        loop {
            match state.borrow_and_update().clone() {
                State::Asking => {}
                State::Waiting(review) => {
                    attempt.set_review(review);
                    if !waiting {
                        waiting = true;
                        self.shared.log_waiting(self.who, attempt);
                    }
                }
                State::Settled(settlement) => return Ok(settlement),
            }
            tokio::select! {
                _ = state.changed() => continue,
                _ = changes.changed() => {}
                _ = look.tick() => if self.is_gone().await {
                    return Err(Denied::ambiguous("the program that asked no longer has the connection"));
                },
                () = sleep_until(last) => return Err(denied.turned(Reason::ReviewTimedOut)),
                () = self.shared.stop.cancelled() => {
                    return Err(denied.turned(Reason::ReviewTimedOut).because("the proxy stops; nobody answered so far"));
                }
            }
            if allowed.is_some_and(|since| since.elapsed() >= ANSWER) {
                return Ok(Arc::new(Settlement::by_policy(attempt.review())));
            }
            match self.verdict(decide) {
                Verdict::Passes(_) => drop(allowed.get_or_insert_with(Instant::now)),
                Verdict::Asks(..) => allowed = None,
                Verdict::Denies(denied) => {
                    attempt.decided_by_policy();
                    return Err(denied);
                }
            }
        }
    }

    /// Whether the connection is closed, or another program's.
    async fn is_gone(&self) -> bool {
        if self.peer.stands() {
            return false;
        }
        let who = self.peer.who().await;
        who.refusal.is_some() || who.process != self.who.process || who.execution != self.who.execution
    }

    /// What the policy in force says. Nothing is awaited from here to the use of what it gives.
    fn verdict(&self, decide: &Decide) -> Verdict {
        let watch = Watch::new(self.shared);
        let now = now();
        let Some(enforced) = self.shared.active.load(now) else { return Verdict::Denies(Denied::unavailable()) };
        match decide(&enforced.snapshot, now) {
            Ok((permit, operations)) => Verdict::Passes(Passed { permit, operations, watch }),
            Err(denied) if denied.is_grantable() && enforced.snapshot.policy().on_miss != OnMiss::Deny => {
                Verdict::Asks(watch, enforced)
            }
            Err(denied) => Verdict::Denies(denied),
        }
    }

    /// Does what the answer says, as far as what is in force lets it.
    async fn settled(
        &self,
        settlement: &Settlement,
        attempt: &mut Attempt,
        denied: Denied,
        decide: &Decide,
    ) -> Result<Passed, Denied> {
        attempt.set_review(settlement.review.clone());
        let ended = match settlement.status {
            HeldStatus::Once => return self.once(settlement, attempt, denied, decide).await,
            HeldStatus::Session | HeldStatus::Always => return self.granted(settlement, attempt, decide).await,
            HeldStatus::Denied | HeldStatus::Never => denied.turned(Reason::DeniedByReviewer),
            HeldStatus::TimedOut | HeldStatus::Waiting => denied.turned(Reason::ReviewTimedOut),
            HeldStatus::Cancelled => {
                denied.turned(Reason::ReviewTimedOut).because("the question was taken back before anybody answered it")
            }
            HeldStatus::Refused => denied,
        };
        // A deny rule that came meanwhile says more than that nobody answered.
        match self.verdict(decide) {
            Verdict::Denies(by_policy) => {
                attempt.decided_by_policy();
                Err(by_policy)
            }
            Verdict::Passes(_) | Verdict::Asks(..) => Err(ended),
        }
    }

    /// Granted by a version: passes once that is in force here, and if it then lets it.
    async fn granted(&self, settlement: &Settlement, attempt: &mut Attempt, decide: &Decide) -> Result<Passed, Denied> {
        if let Some(version) = settlement.version {
            let deadline = Instant::now() + RELOAD;
            let mut changes = self.shared.active.subscribe();
            while *changes.borrow_and_update() < version {
                if !matches!(timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
        self.same_program().await?;
        match self.verdict(decide) {
            Verdict::Passes(passed) => Ok(passed),
            Verdict::Denies(denied) => {
                attempt.decided_by_policy();
                Err(denied)
            }
            Verdict::Asks(_, enforced) => {
                attempt.decided_by_policy();
                let denied = decide(&enforced.snapshot, now()).err().unwrap_or_else(Denied::unavailable);
                let why = "a reviewer granted this, and what is in force here does not have it (yet); send it again";
                Err(denied.because(why))
            }
        }
    }

    /// Let through once: by the policy in force with the rule added, and only where that policy itself does not deny.
    async fn once(
        &self,
        settlement: &Settlement,
        attempt: &mut Attempt,
        denied: Denied,
        decide: &Decide,
    ) -> Result<Passed, Denied> {
        for _ in 0..ATTEMPTS {
            if let Verdict::Denies(denied) = self.verdict(decide) {
                attempt.decided_by_policy();
                return Err(denied);
            }
            let grant = settlement.grant.lock().await.on_what_is_in_force(self.shared).await;
            let grant = match grant {
                Ok(grant) => grant,
                Err(why) => {
                    tracing::warn!("let through once, and not let through: {why}");
                    attempt.decided_by_policy();
                    return Err(denied.because(format!("a reviewer let this through once, but {why}")));
                }
            };
            self.same_program().await?;
            let (watch, enforced) = match self.verdict(decide) {
                Verdict::Passes(passed) => return Ok(passed),
                Verdict::Denies(denied) => {
                    attempt.decided_by_policy();
                    return Err(denied);
                }
                Verdict::Asks(watch, enforced) => (watch, enforced),
            };
            let now = now();
            if grant.snapshot.version() != enforced.snapshot.version() || grant.expires.is_some_and(|end| end <= now) {
                continue;
            }
            return match decide(&grant.snapshot, now) {
                Ok((permit, operations)) => Ok(Passed { permit, operations, watch: watch.by_grant(grant) }),
                Err(_) => {
                    attempt.decided_by_policy();
                    Err(denied.because("a reviewer let this through once, but the grant is not for this request"))
                }
            };
        }
        attempt.decided_by_policy();
        Err(denied.because("a reviewer let this through once, but the policy keeps changing; send it again"))
    }

    /// Connections change hands: what was granted to one program is not for another.
    async fn same_program(&self) -> Result<(), Denied> {
        let still = self.peer.who().await;
        match still.refusal.is_none() && still.process == self.who.process && still.execution == self.who.execution {
            true => Ok(()),
            false => Err(Denied::ambiguous("another program has the connection by now than when the request began")),
        }
    }
}

fn full_up(attempt: &mut Attempt, denied: Denied, full: &Full) -> Denied {
    let message = Some(full.to_string());
    attempt.set_review(Review { source: Source::Policy, held: None, answer: None, decided_by: None, message });
    denied
}
