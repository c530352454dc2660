//! What a reviewer answers. A grant is judged on the policy of that moment; where it does not fit any more, nothing is
//! stored and the request goes on waiting.

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::held::{Answer, HeldAnswer, HeldStatus};
use narrowgate_core::proposal::Operation;

use super::{Fitting, ending, read, stored_operation, view};
use crate::clock;
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Fit, Lasting};
use crate::review::ROUNDS;
use crate::service::Service;
use crate::store::{Answered, Grant, HeldRow, Listing, VersionRow};
use crate::token::Role;
use crate::turns::Behalf;

/// How long what is granted for a session lasts where nobody says that the session is over, in seconds.
const SESSION_LASTS: i64 = 12 * 60 * 60;
/// How much a listing shows. A client takes 16 MiB, and what is shown besides what is stored is little.
const LISTED: Listing = Listing { rows: 1000, bytes: 8 << 20 };
const LONGEST_REASON: usize = 2000;

impl Service {
    /// Held requests as of now.
    pub(crate) async fn held_list(&self, sandbox: Option<&str>, status: Option<&str>) -> Result<Vec<HeldRow>, Failure> {
        self.time_out_held().await?;
        Ok(self.store.held_list(sandbox, status, LISTED).await?)
    }

    /// One held request as of now.
    pub(crate) async fn held(&self, id: &str) -> Result<HeldRow, Failure> {
        self.held_as_now(id).await
    }

    /// A reviewer's answer to exactly what they saw.
    pub(crate) async fn answer_held(&self, id: &str, given: &HeldAnswer, by: &str) -> Result<HeldRow, Failure> {
        let reason = reason(given)?;
        for _ in 0..ROUNDS {
            let row = self.held_as_now(id).await?;
            let now = clock::now();
            if !row.is_waiting(now) {
                return Err(not_waiting(&row));
            }
            if view::review_token(&row) != given.review_token {
                let message = "this review token was not made for this request; look again".to_owned();
                return Err(conflict("stale_review_token", message, &row));
            }
            let status = status(given.answer);
            let answered = Answered { status: status.as_str(), by, reason, version: None, proposal: None, now };
            let done = match given.answer {
                Answer::No | Answer::Never => self.store.settle_held(id, &answered).await?,
                Answer::Once | Answer::Session | Answer::Always => self.grant(&row, given.answer, answered).await?,
            };
            if done {
                self.changed();
                if matches!(given.answer, Answer::Session | Answer::Always) {
                    self.settle_drafts(&row.sandbox).await;
                }
                tracing::info!(sandbox = row.sandbox, held = id, answer = status.as_str(), by, "held request answered");
                return self.held_as_now(id).await;
            }
        }
        let message = "other changes of the policy kept coming first; try again".to_owned();
        Err(conflict("busy", message, &self.held_as_now(id).await?))
    }

    /// Takes a `never` back; the next such request is asked about again.
    pub(crate) async fn forget_never(&self, id: &str, by: &str) -> Result<(), Failure> {
        if !self.store.forget_never(id).await? {
            return Err(Failure::NotFound { what: format!("no never that was said of {id:?}") });
        }
        self.changed();
        tracing::info!(held = id, by, "never taken back");
        Ok(())
    }

    /// Grants what was shown, on the policy of now; `false` where something else came first.
    async fn grant(&self, row: &HeldRow, answer: Answer, answered: Answered<'_>) -> Result<bool, Failure> {
        if self.mode == Mode::Locked {
            return Err(conflict("locked", "nothing can be granted in mode locked".to_owned(), row));
        }
        let active = self.sandbox(&row.sandbox).await?.active;
        let record: DenialRecord = read(row, "record", &row.record)?;
        let shown = stored_operation(row)?;
        let (operation, lasting) = match answer {
            Answer::Always => (shown, Lasting::AsAsked),
            Answer::Session => (ending(&shown, answered.now.saturating_add(SESSION_LASTS)), Lasting::ForNow),
            _ => (shown, Lasting::ForNow),
        };
        let fit = match self.fitting(&active, &operation, lasting, &record, Behalf::People).await? {
            Fitting::Refused(refused) => {
                let message =
                    format!("it does not fit any more, and nothing was granted: {}", refused.reason_in_full());
                return Err(conflict("no_longer_fits", message, row));
            }
            // Once is granted when it is fetched, on the policy of then.
            Fitting::Already(_) | Fitting::Fits(_) if answer == Answer::Once => {
                return Ok(self.store.settle_held(&row.id, &answered).await?);
            }
            Fitting::Already(_) => {
                let answered = Answered { version: Some(active.version()), ..answered };
                return Ok(self.store.settle_held(&row.id, &answered).await?);
            }
            Fitting::Fits(fit) => fit,
        };
        self.put_held_in_force(row, &active, &operation, &record, answered, fit).await
    }

    async fn put_held_in_force(
        &self,
        row: &HeldRow,
        active: &VersionRow,
        operation: &Operation,
        record: &DenialRecord,
        answered: Answered<'_>,
        fit: Box<Fit>,
    ) -> Result<bool, Failure> {
        let Operation::AddRule { rule_name, rule } = operation else {
            return Err(super::unreadable(row, "operation", "it adds no rule"));
        };
        let (signer, next, yaml) = (self.signer().await, active.version() + 1, fit.policy_yaml.clone());
        let version = Service::certified(&signer, &row.sandbox, next, answered.by, &fit.proven, yaml)?;
        let intent = format!("held request {}: {}", row.id, view::what(record));
        let proposal = self.proposal_of(&row.sandbox, active, operation, record, intent, fit)?;
        let grant = Grant {
            answered: Answered { version: Some(next), proposal: Some(&proposal.id), ..answered },
            proposal: &proposal,
            version: &version,
            entry: (rule_name, rule.to_json().to_string()),
        };
        let done = self.store.grant_held(row, &grant).await?;
        drop(signer);
        if done {
            let (sandbox, by) = (&row.sandbox, grant.answered.by);
            tracing::info!(sandbox, proposal = proposal.id, version = next, by, "proposal approved");
        }
        Ok(done)
    }
}

fn status(answer: Answer) -> HeldStatus {
    match answer {
        Answer::Once => HeldStatus::Once,
        Answer::Session => HeldStatus::Session,
        Answer::Always => HeldStatus::Always,
        Answer::No => HeldStatus::Denied,
        Answer::Never => HeldStatus::Never,
    }
}

/// The reviewer's words: whoever asked reads them, on a terminal perhaps.
fn reason(given: &HeldAnswer) -> Result<Option<&str>, Failure> {
    let Some(reason) = given.reason.as_deref().filter(|reason| !reason.trim().is_empty()) else { return Ok(None) };
    let wrong =
        |message: String| Failure::Invalid { code: "invalid_request", message, pointer: Some("/reason".to_owned()) };
    if reason.len() > LONGEST_REASON {
        return Err(wrong(format!("{} bytes; at most {LONGEST_REASON}", reason.len())));
    }
    match reason.chars().find(|c| c.is_control()) {
        Some(c) => Err(wrong(format!("{c:?} is a control character; one line of text is right"))),
        None => Ok(Some(reason)),
    }
}

fn not_waiting(row: &HeldRow) -> Failure {
    conflict("not_waiting", format!("held request {} is {} already", row.id, row.status), row)
}

/// 409 with the request as it stands.
fn conflict(code: &'static str, message: String, row: &HeldRow) -> Failure {
    match view::view(row, Role::Reviewer) {
        Ok(held) => Failure::NotAsHeld { code, message, held: Some(Box::new(held)) },
        Err(failure) => failure,
    }
}
