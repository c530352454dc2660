//! What reviewers do: look, approve, reject. Whatever they look at is judged against the policy and the ceiling of now.

use std::time::Duration;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::proposal::{Operation, Proposal};
use narrowgate_core::wire::{Approve, ProposalView, Reject};
use narrowgate_prover::Evidence;
use tokio::time::Instant;

use crate::clock;
use crate::config::Mode;
use crate::drafts::is_draft;
use crate::failure::Failure;
use crate::judge::{Fit, Judgement, review_token};
use crate::service::Service;
use crate::store::{Activation, Decision, ProposalRow, VersionRow};
use crate::turns::Behalf;
use crate::view;

/// How often an approval starts over because another came first. Each round another one got through.
pub(crate) const ROUNDS: usize = 16;
/// How many proposals a listing shows.
pub(crate) const LISTED: u32 = 1000;
/// What a reviewer can hint at, and what it tells the agent.
pub(crate) const HINTS: [(&str, &str); 6] = [
    ("too_broad", "name exact paths and methods instead of wildcards"),
    ("use_l7_not_l4", "declare a protocol (rest) with rules instead of opaque TCP"),
    ("wrong_binary_scope", "name the one executable that needs it"),
    ("wrong_endpoint", "check host and port"),
    ("needs_time_limit", "add expires_at to the endpoint"),
    ("outside_org_ceiling", "this cannot be granted; post the repair where the refusal has one, or do without"),
];

impl Service {
    /// A proposal as of now; with `wait`, once it is decided or the time is over.
    pub(crate) async fn proposal(&self, id: &str, wait: Duration, behalf: Behalf<'_>) -> Result<ProposalRow, Failure> {
        let deadline = Instant::now() + wait;
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let row = self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id))?;
            let row = self.current(row, behalf).await?;
            if !row.is_pending() || !self.next_change(&mut changes, deadline).await {
                return Ok(row);
            }
        }
    }

    /// Proposals as of now.
    pub(crate) async fn proposals(
        &self,
        sandbox: Option<&str>,
        status: Option<&str>,
    ) -> Result<Vec<ProposalRow>, Failure> {
        let mut rows = Vec::new();
        for row in self.store.proposals(sandbox, status, LISTED).await? {
            let row = self.current(row, Behalf::People).await?;
            // Judged again, it may not be what was asked for any more.
            if status.is_none_or(|status| status == row.status) {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// Puts a proposal in force, if it still is what the reviewer saw.
    ///
    /// It is composed and proven anew on the version in force, then stored in one transaction that succeeds only if
    /// that version still is. So no approval is lost under another, the lock is held for two inserts and not for a
    /// proof, and a kill leaves the old version or the new one, each with its certificate.
    pub(crate) async fn approve(&self, id: &str, approve: &Approve, by: &str) -> Result<ProposalRow, Failure> {
        if self.mode == Mode::Locked {
            return Err(Failure::Conflict {
                code: "locked",
                message: "nothing can be applied in mode locked".to_owned(),
                proposal: None,
            });
        }
        if approve.durability.as_deref().is_some_and(|durability| durability != "durable") {
            let message = "only \"durable\" can be approved; leave it out, or put expires_at in the rule".to_owned();
            return Err(Failure::Invalid { code: "invalid_request", message, pointer: Some("/durability".to_owned()) });
        }
        for _ in 0..ROUNDS {
            let row = self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id))?;
            if !row.is_pending() {
                return Err(decided(&row));
            }
            let active = self.sandbox(&row.sandbox).await?.active;
            let judgement = self.judge_again(&row, &active.policy_yaml, Behalf::People).await?;
            let Judgement::Fits(fit) = &judgement else { return Err(self.stale(id).await?) };
            let credentials = &self.judge.credentials;
            let token = review_token(&row.id, &row.sandbox, &row.operation, &active.policy_hash, credentials, fit);
            if token != approve.review_token {
                return Err(self.stale(id).await?);
            }
            if self.put_in_force(&row, &active, fit, by).await? {
                return self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id));
            }
        }
        Err(Failure::Conflict {
            code: "busy",
            message: "other approvals kept coming first; try again".to_owned(),
            proposal: None,
        })
    }

    /// Certifies what was proven on `active` and makes it the next version; `false` where another came first.
    pub(crate) async fn put_in_force(
        &self,
        row: &ProposalRow,
        active: &VersionRow,
        fit: &Fit,
        by: &str,
    ) -> Result<bool, Failure> {
        let signer = self.signer().await;
        let (next, yaml) = (active.version() + 1, fit.policy_yaml.clone());
        let version = Service::certified(&signer, &row.sandbox, next, by, &fit.proven, yaml)?;
        let activation = self.store.activate(row, &version).await?;
        drop(signer);
        if activation != Activation::Done {
            return Ok(false);
        }
        self.changed();
        tracing::info!(sandbox = row.sandbox, proposal = row.id, version = version.version, by, "proposal approved");
        self.settle_drafts(&row.sandbox).await;
        Ok(true)
    }

    /// A person's no.
    pub(crate) async fn reject(&self, id: &str, reject: &Reject, by: &str) -> Result<ProposalRow, Failure> {
        let wrong = |message: String, pointer: String| Failure::Invalid {
            code: "invalid_request",
            message,
            pointer: Some(pointer),
        };
        if reject.reason.trim().is_empty() || reject.reason.len() > 2000 {
            return Err(wrong(
                "a reason of 1 to 2000 bytes is needed: the agent reads it".to_owned(),
                "/reason".to_owned(),
            ));
        }
        for (at, hint) in reject.hints.iter().enumerate() {
            if !HINTS.iter().any(|(name, _)| name == hint) {
                let known: Vec<&str> = HINTS.iter().map(|(name, _)| *name).collect();
                return Err(wrong(
                    format!("unknown hint {hint:?}; known are {}", known.join(", ")),
                    format!("/hints/{at}"),
                ));
            }
        }
        let hints = serde_json::to_string(&reject.hints).map_err(|e| Failure::Internal(e.to_string()))?;
        let decision = Decision { by: by.to_owned(), reason: reject.reason.clone(), hints, now: clock::now() };
        let rejected = self.store.reject(id, &decision).await?;
        let row = self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id))?;
        if !rejected {
            return Err(decided(&row));
        }
        self.changed();
        tracing::info!(sandbox = row.sandbox, proposal = id, by, "proposal rejected");
        Ok(row)
    }

    /// The row, judged anew where the policy in force or the ceiling is not what it was judged against.
    pub(crate) async fn current(&self, row: ProposalRow, behalf: Behalf<'_>) -> Result<ProposalRow, Failure> {
        if !row.is_pending() {
            return Ok(row);
        }
        let active = self.sandbox(&row.sandbox).await?.active;
        let as_now = row.base_version() == active.version()
            && row.ceiling_digest == self.ceiling.digest.to_string()
            && row.credentials_digest == self.judge.credentials.digest().to_string();
        if as_now {
            return Ok(row);
        }
        let judgement = self.judge_again(&row, &active.policy_yaml, behalf).await?;
        let (mut judged, _) = self.recorded(&row.id, &row.sandbox, &row.operation, &active, &judgement);
        if is_draft(&row) {
            judged.not_automatic = self.not_automatic();
        }
        let ended = judged.review_token.is_none();
        self.store.refresh(&row.id, &judged, clock::now()).await?;
        if ended {
            self.changed();
        }
        self.store.proposal(&row.id).await?.ok_or_else(|| Failure::no_proposal(&row.id))
    }

    pub(crate) async fn judge_again(
        &self,
        row: &ProposalRow,
        active_yaml: &str,
        behalf: Behalf<'_>,
    ) -> Result<Judgement, Failure> {
        let (operation, evidence, active_yaml) =
            (stored_operation(row)?, stored_evidence(row)?, active_yaml.to_owned());
        self.judged(behalf, move |judge| judge.operations(&active_yaml, &[operation], &evidence)).await
    }

    /// 409 with the proposal as it stands now.
    async fn stale(&self, id: &str) -> Result<Failure, Failure> {
        let row = self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id))?;
        // It was decided between two looks, and the policy that followed is why the token does not fit.
        if !row.is_pending() {
            return Ok(decided(&row));
        }
        let row = self.current(row, Behalf::People).await?;
        let message =
            "the proposal, the policy or the ceiling is not what this review token was made for; look again".to_owned();
        Ok(Failure::Conflict { code: "stale_review_token", message, proposal: Some(Box::new(reviewer_view(&row)?)) })
    }
}

fn reviewer_view(row: &ProposalRow) -> Result<ProposalView, Failure> {
    view::proposal(row, crate::token::Role::Reviewer, false)
}

fn decided(row: &ProposalRow) -> Failure {
    let message = format!("proposal {} is {} already", row.id, row.status);
    match reviewer_view(row) {
        Ok(view) => Failure::Conflict { code: "not_pending", message, proposal: Some(Box::new(view)) },
        Err(failure) => failure,
    }
}

/// The evidence that a stored proposal came with.
fn stored_evidence(row: &ProposalRow) -> Result<Evidence, Failure> {
    let unreadable = |e: serde_json::Error| Failure::Internal(format!("proposal {} does not read back: {e}", row.id));
    let cited: Vec<String> = serde_json::from_str(&row.denial_ids).map_err(unreadable)?;
    let records: Vec<DenialRecord> = serde_json::from_str(&row.evidence).map_err(unreadable)?;
    Ok(Evidence::new(&cited, &records))
}

/// A stored operation, through the reader that it came in by.
fn stored_operation(row: &ProposalRow) -> Result<Operation, Failure> {
    let text = format!(r#"{{"intent_summary": "stored", "operations": [{}]}}"#, row.operation);
    let unreadable = |detail: String| Failure::Internal(format!("proposal {} does not read back: {detail}", row.id));
    let proposal = Proposal::parse(text.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
    proposal.operations.into_iter().next().ok_or_else(|| unreadable("it has no operation".to_owned()))
}
