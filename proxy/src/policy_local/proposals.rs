//! Proposals: read here, judged by the gateway, waited for here.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use narrowgate_core::proposal::Proposal;
use narrowgate_core::wire::{CheckAnswer, ProposalStatus, ProposalView, SubmitAnswer, SubmitProposal};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::upload;
use crate::ClientError;
use crate::audit::{Change, What};
use crate::body::Body;
use crate::respond::{error, json};
use crate::shared::{Shared, Who, id};

/// The gateway is asked again at least this often, so that no wait hangs on one broken connection.
const SLICE: Duration = Duration::from_secs(20);
/// Between two tries while the gateway is away.
const PAUSE: Duration = Duration::from_millis(500);

/// `POST /v1/proposals`.
pub(super) async fn submit(shared: &Arc<Shared>, who: &Who, request: Request<Incoming>) -> Response<Body> {
    let (proposal, unknown) = match receive(shared, who, request).await {
        Ok(received) => received,
        Err(refused) => return refused,
    };
    let path = format!("/v1/sandboxes/{}/proposals", shared.sandbox);
    match shared.gateway.post::<SubmitAnswer>(&path, &proposal).await {
        Ok(answer) => {
            record_submission(shared, who, &answer);
            let mut body = json!({
                "accepted_chunk_ids": answer.accepted_chunk_ids, "rejection_reasons": answer.rejection_reasons,
                "repairs": answer.repairs,
            });
            if let (Value::Object(body), false) = (&mut body, unknown.is_empty()) {
                body.insert("unknown_denial_ids".to_owned(), unknown.into());
            }
            json(StatusCode::ACCEPTED, &body)
        }
        Err(e) => gateway_error(&e),
    }
}

/// `POST /v1/proposals/check`.
pub(super) async fn check(shared: &Arc<Shared>, who: &Who, request: Request<Incoming>) -> Response<Body> {
    let (proposal, _) = match receive(shared, who, request).await {
        Ok(received) => received,
        Err(refused) => return refused,
    };
    let path = format!("/v1/sandboxes/{}/proposals/check", shared.sandbox);
    match shared.gateway.post::<CheckAnswer>(&path, &proposal).await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(e) => gateway_error(&e),
    }
}

/// `GET /v1/proposals/{id}`.
pub(super) async fn show(shared: &Arc<Shared>, id: &str) -> Response<Body> {
    match shared.gateway.get::<ProposalView>(&format!("/v1/proposals/{id}")).await {
        Ok(view) => {
            record_decision(shared, &view);
            json(StatusCode::OK, &agent_view(shared, &view, false))
        }
        Err(e) => gateway_error(&e),
    }
}

/// `GET /v1/proposals/{id}/wait`: until decided and, if approved, in force here; `seconds` at most.
pub(super) async fn wait(shared: &Arc<Shared>, id: &str, seconds: u64) -> Response<Body> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let view = match decided(shared, id, deadline).await {
        Ok(view) => view,
        Err(e) => return gateway_error(&e),
    };
    record_decision(shared, &view);
    if view.status == ProposalStatus::Approved {
        let mut changes = shared.active.subscribe();
        while !in_force(shared, &view) {
            if !matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
    }
    let waiting = match view.status {
        ProposalStatus::Pending => true,
        ProposalStatus::Approved => !in_force(shared, &view),
        ProposalStatus::Rejected | ProposalStatus::Superseded | ProposalStatus::Expired => false,
    };
    json(StatusCode::OK, &agent_view(shared, &view, waiting))
}

/// The proposal once it is no longer pending, or as it stands at `deadline`.
async fn decided(shared: &Shared, id: &str, deadline: Instant) -> Result<ProposalView, ClientError> {
    let mut last: Option<ProposalView> = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let slice = left.min(SLICE);
        // Rounded up: the gateway counts in seconds, and 0 would not wait.
        let wait = (slice.as_millis().div_ceil(1000)).max(1);
        let path = format!("/v1/proposals/{id}?wait={wait}");
        match shared.gateway.get_within::<ProposalView>(&path, slice + Duration::from_secs(1)).await {
            Ok(Some(view)) if view.status != ProposalStatus::Pending => return Ok(view),
            Ok(view) => last = view.or(last),
            // A gateway that restarts is waited for: the proposal is in its store.
            Err(e) if e.is_transient() && left > PAUSE => tokio::time::sleep(PAUSE).await,
            Err(e) => return last.ok_or(e),
        }
        if Instant::now() >= deadline
            && let Some(view) = last.take()
        {
            return Ok(view);
        }
    }
}

/// Reads, checks and completes what the agent posted; with it the denials that this proxy does not know.
async fn receive(
    shared: &Shared,
    who: &Who,
    request: Request<Incoming>,
) -> Result<(SubmitProposal, Vec<String>), Response<Body>> {
    if !shared.proposals {
        let message = "proposals are switched off in this sandbox; tell the person you work for what you need";
        return Err(error(StatusCode::FORBIDDEN, "proposals_disabled", message, json!({})));
    }
    let body = upload::read(request).await?;
    let proposal = Proposal::parse(&body)
        .map_err(|e| error(StatusCode::BAD_REQUEST, "invalid_proposal", &e.message, json!({ "pointer": e.pointer })))?;
    let evidence = shared.denials.find(&proposal.denial_ids);
    let is_known = |id: &String| evidence.iter().any(|record| record.denial_id == *id);
    let unknown = proposal.denial_ids.iter().filter(|id| !is_known(id)).cloned().collect();
    let submit = SubmitProposal {
        intent_summary: proposal.intent_summary,
        denial_ids: proposal.denial_ids,
        operations: proposal.operations.iter().map(|operation| operation.to_json()).collect(),
        binary: who.process.path.clone(),
        evidence,
    };
    Ok((submit, unknown))
}

/// What the agent may see of a proposal.
fn agent_view(shared: &Shared, view: &ProposalView, timed_out: bool) -> Value {
    let mut out = Map::new();
    out.insert("chunk_id".to_owned(), json!(view.chunk_id));
    out.insert("status".to_owned(), json!(view.status));
    if let Some(reason) = &view.rejection_reason {
        out.insert("rejection_reason".to_owned(), json!(reason));
    }
    if let Some(guidance) = &view.guidance {
        out.insert("guidance".to_owned(), json!(guidance));
    }
    if let Some(repair) = &view.repair {
        out.insert("repair".to_owned(), repair.clone());
    }
    if !view.hints.is_empty() {
        out.insert("hints".to_owned(), json!(view.hints));
    }
    out.insert("validation_result".to_owned(), json!(view.validation_result));
    out.insert("policy_reloaded".to_owned(), json!(in_force(shared, view)));
    if timed_out {
        out.insert("timed_out".to_owned(), json!(true));
    }
    Value::Object(out)
}

/// Whether this proxy, not only the gateway, enforces what was approved.
fn in_force(shared: &Shared, view: &ProposalView) -> bool {
    view.status == ProposalStatus::Approved
        && view.activated_version.is_some_and(|activated| shared.active.version() >= activated)
}

fn gateway_error(e: &ClientError) -> Response<Body> {
    let ClientError::Status { status, code, message, body } = e else { return unavailable(e) };
    let more = match body.get("pointer") {
        Some(pointer) => json!({ "pointer": pointer }),
        None => json!({}),
    };
    match StatusCode::from_u16(*status) {
        // What the agent can do something about; the rest is between operator and gateway.
        Ok(
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::CONFLICT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::TOO_MANY_REQUESTS),
        ) => error(status, code, message, more),
        _ => unavailable(e),
    }
}

fn unavailable(e: &ClientError) -> Response<Body> {
    tracing::warn!("{e}");
    let message = "the gateway that decides on proposals cannot be asked now; try again later";
    error(StatusCode::SERVICE_UNAVAILABLE, "gateway_unavailable", message, json!({}))
}

fn record_submission(shared: &Shared, who: &Who, answer: &SubmitAnswer) {
    let by = if who.process.path.is_empty() { "an unidentified program" } else { &who.process.path };
    for chunk in &answer.accepted_chunk_ids {
        config(shared, Change::Proposed, None, Some(chunk), format!("proposed by {by}"));
    }
    for reason in &answer.rejection_reasons {
        // The code only: the explanation may quote the rule.
        let code = reason.split(':').next().unwrap_or_default();
        config(shared, Change::Rejected, None, None, format!("refused at submit: {code}; proposed by {by}"));
    }
}

/// Logs a decision the first time that this proxy hears of it.
fn record_decision(shared: &Shared, view: &ProposalView) {
    let change = match view.status {
        ProposalStatus::Approved => Change::Approved,
        ProposalStatus::Rejected => Change::Rejected,
        ProposalStatus::Superseded => Change::Superseded,
        ProposalStatus::Pending | ProposalStatus::Expired => return,
    };
    if shared.denials.first_mention(&view.chunk_id) {
        let detail = format!("proposal {} is {}", view.chunk_id, view.status.as_str());
        config(shared, change, view.activated_version, Some(&view.chunk_id), detail);
    }
}

fn config(shared: &Shared, change: Change, version: Option<u64>, subject: Option<&str>, detail: String) {
    let what = What::Config { change, version, hash: None, subject: subject.map(str::to_owned), detail };
    // Reported where it failed; a proposal gives nobody access to anything.
    let _ = shared.audit(&id("c_"), what);
}
