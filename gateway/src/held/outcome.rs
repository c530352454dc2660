//! What the proxy learns of what it holds. Reading consumes nothing; the grant of an answer `once` is made when it is
//! fetched, on the policy of that moment.

use std::time::Duration;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::held::{HeldOutcome, HeldStatus};
use narrowgate_core::wire::Bundle;
use narrowgate_prover::Approval;
use tokio::time::Instant;

use super::ask::bare;
use super::{Fitting, read, stored_operation, view};
use crate::clock;
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Fit, Lasting};
use crate::service::Service;
use crate::store::{HeldRow, VersionRow};
use crate::turns::Behalf;

/// For how long after the answer its grant can be fetched, in seconds: often enough where an answer is lost, and never
/// for a later request.
const FETCHED_WITHIN: i64 = 60;
/// For how long what is let through once may go on, in seconds.
const ONCE_LASTS: i64 = 60 * 60;

impl Service {
    /// Where a request of this sandbox stands, once it does not wait any more or the time is over. `requests` is how many
    /// wait for the answer by the proxy's word, for reviewers to see.
    pub(crate) async fn held_outcome(
        &self,
        sandbox: &str,
        id: &str,
        requests: Option<u32>,
        wait: Duration,
    ) -> Result<HeldOutcome, Failure> {
        let end = Instant::now() + wait;
        if let Some(requests) = requests {
            let row = self.own_held(sandbox, id).await?;
            // Looked at first: an update takes the write lock, also where there is nothing to change.
            if row.status == "waiting" && row.requests != Some(requests) {
                self.store.count_held(id, requests, clock::now()).await?;
            }
        }
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let row = self.own_held(sandbox, id).await?;
            if row.status != "waiting" {
                return self.told(row).await;
            }
            let look = end.min(Instant::now() + clock::until(row.deadline));
            let changed = self.next_change(&mut changes, look).await;
            if !changed && (self.closing.is_cancelled() || Instant::now() >= end) {
                return self.told(self.own_held(sandbox, id).await?).await;
            }
        }
    }

    /// Whoever asked went away, or is done with what was granted once; then `requests` is how many that let through.
    /// Saying so again changes nothing.
    pub(crate) async fn leave(&self, sandbox: &str, id: &str, requests: Option<u32>) -> Result<(), Failure> {
        self.own_held(sandbox, id).await?;
        if self.store.leave_held(id, requests, clock::now()).await? {
            self.changed();
            tracing::info!(sandbox, held = id, "the proxy is done with a held request");
        }
        Ok(())
    }

    /// The request as of now: what nobody answered in time has timed out.
    pub(super) async fn held_as_now(&self, id: &str) -> Result<HeldRow, Failure> {
        let row = self.store.held(id).await?.ok_or_else(|| Failure::no_held(id))?;
        if row.status != "waiting" || row.is_waiting(clock::now()) {
            return Ok(row);
        }
        self.time_out_held().await?;
        self.store.held(id).await?.ok_or_else(|| Failure::no_held(id))
    }

    /// Another sandbox's is none that this one may know of.
    async fn own_held(&self, sandbox: &str, id: &str) -> Result<HeldRow, Failure> {
        let row = self.held_as_now(id).await?;
        if row.sandbox == sandbox { Ok(row) } else { Err(Failure::no_held(id)) }
    }

    /// The row as its proxy is told.
    pub(super) async fn told(&self, row: HeldRow) -> Result<HeldOutcome, Failure> {
        let status = view::status(&row)?;
        let told = HeldOutcome {
            held_id: Some(row.id.clone()),
            deadline: Some(clock::rfc3339(row.deadline)),
            decided_by: row.decided_by.clone(),
            message: row.reason.clone(),
            version: row.version(),
            ..bare(status)
        };
        if status != HeldStatus::Once {
            return Ok(told);
        }
        Ok(match self.granted_once(&row).await? {
            Ok(grant) => HeldOutcome { grant: Some(grant), ..told },
            Err(message) => HeldOutcome { status: HeldStatus::Refused, message: Some(message), ..told },
        })
    }

    /// The policy in force with the rule, proven now and certified for this request alone, or why there is none any more.
    async fn granted_once(&self, row: &HeldRow) -> Result<Result<Bundle, String>, Failure> {
        let now = clock::now();
        if row.spent_at.is_some() || row.decided_at.is_none_or(|at| at.saturating_add(FETCHED_WITHIN) < now) {
            return self.over(row).await.map(Err);
        }
        let record: DenialRecord = read(row, "record", &row.record)?;
        // It carries out what a person said: what else the sandbox has proven is no reason for it to wait.
        let (operation, behalf) = (stored_operation(row)?, Behalf::People);
        let active = self.sandbox(&row.sandbox).await?.active;
        let fitting = self.fitting(&active, &operation, Lasting::ForNow, &record, behalf).await?;
        let fit = match fitting {
            Fitting::Already(fit) | Fitting::Fits(fit) if self.mode != Mode::Locked => fit,
            _ => {
                let message =
                    "no_longer_fits: the policy changed after the answer, and does not take the rule any more";
                if self.store.refuse_held(&row.id, message).await? {
                    self.changed();
                    tracing::info!(sandbox = row.sandbox, held = row.id, "what was granted once no longer fits");
                }
                return Ok(Err(message.to_owned()));
            }
        };
        if !self.store.hand_out_held(&row.id, clock::now(), FETCHED_WITHIN).await? {
            return self.over(row).await.map(Err);
        }
        self.bundle_once(row, &active, *fit).await.map(Ok)
    }

    /// The time of the answer is over. Where nobody had its grant, nothing was let through, and it is said so.
    async fn over(&self, row: &HeldRow) -> Result<String, Failure> {
        let message = "over: the answer was for one request, at once";
        if row.spent_at.is_none() && self.store.refuse_held(&row.id, message).await? {
            self.changed();
            tracing::warn!(sandbox = row.sandbox, held = row.id, "what was granted once was not fetched in time");
        }
        Ok(message.to_owned())
    }

    async fn bundle_once(&self, row: &HeldRow, active: &VersionRow, fit: Fit) -> Result<Bundle, Failure> {
        let now = clock::now();
        let approval = Approval {
            approver: row.decided_by.clone().unwrap_or_default(),
            time: row.decided_at.unwrap_or(now),
            expires: Some(now.saturating_add(ONCE_LASTS)),
            sandbox: row.sandbox.clone(),
            version: active.version(),
            held: Some(row.id.clone()),
        };
        let certificate = fit.proven.certify(self.signer().await.signing(), &approval);
        tracing::info!(sandbox = row.sandbox, held = row.id, version = active.version(), "granted once");
        Ok(Bundle {
            sandbox: row.sandbox.clone(),
            version: active.version(),
            policy_yaml: fit.policy_yaml,
            policy_hash: fit.proven.policy(),
            certificate,
            plugins: self.judge.plugins.schema().pins(),
        })
    }
}
