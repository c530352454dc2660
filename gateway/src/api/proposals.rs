//! `/v1/proposals…` and where a sandbox submits them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use narrowgate_core::wire::{Approve, CheckAnswer, ProposalView, Proposals, Reject, SubmitAnswer};
use serde::Deserialize;

use super::call::{Call, Person, Poll};
use super::extract::{self, Filter, Segment, to_the_end};
use crate::failure::Failure;
use crate::service::Service;
use crate::store::Caller;
use crate::submit::Submission;
use crate::token::Role;
use crate::turns::Behalf;
use crate::view;

/// The proxy takes 64 KiB from the agent and adds its records of the denials.
const MAX_SUBMISSION: usize = 192 * 1024;
const MAX_DECISION: usize = 64 * 1024;

/// `POST /v1/sandboxes/{name}/proposals`
pub(super) async fn submit(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
    body: Body,
) -> Result<(StatusCode, Json<SubmitAnswer>), Failure> {
    let submission = submission(&caller, &name, body).await?;
    let judged = service.judge_submission(&name, submission).await?;
    let answer = to_the_end(caller.until(async move {
        let answer = service.submit(&name, judged).await?;
        let (accepted, refused) = (answer.accepted_chunk_ids.len(), answer.rejection_reasons.len());
        tracing::info!(sandbox = name, accepted, refused, "proposal judged");
        Ok(answer)
    }));
    Ok((StatusCode::ACCEPTED, Json(answer.await?)))
}

/// `POST /v1/sandboxes/{name}/proposals/check`
pub(super) async fn check(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
    body: Body,
) -> Result<Json<CheckAnswer>, Failure> {
    let submission = submission(&caller, &name, body).await?;
    Ok(Json(service.check(&name, submission).await?))
}

/// `GET /v1/proposals?sandbox=&status=`
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    caller: Call,
    uri: Uri,
) -> Result<Json<Proposals>, Failure> {
    caller.needs(&[Role::Reviewer])?;
    let Filter { sandbox, status } = extract::filter(&uri)?;
    if let Some(status) = &status
        && view::parse_status(status).is_none()
    {
        return Err(Failure::invalid(format!(
            "{status:?} is not a status; it is pending, approved, rejected, superseded or expired"
        )));
    }
    if let Some(sandbox) = &sandbox {
        service.sandbox(sandbox).await?;
    }
    let rows = service.proposals(sandbox.as_deref(), status.as_deref()).await?;
    let proposals = rows.iter().map(|row| view::proposal(row, caller.role, false)).collect::<Result<_, _>>()?;
    Ok(Json(Proposals { proposals }))
}

#[derive(Deserialize)]
struct ShowQuery {
    wait: Option<u64>,
}

/// `GET /v1/proposals/{id}?wait=S`
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    caller: Poll<Person>,
    Segment(id): Segment,
    uri: Uri,
) -> Result<Json<ProposalView>, Failure> {
    caller.needs(&[Role::Sandbox, Role::Reviewer])?;
    let ShowQuery { wait } = extract::query(&uri)?;
    // Before any waiting: how long an answer takes must not tell whether somebody else's proposal exists.
    let row = service.proposal(&id, extract::wait(None), Behalf::of(&caller)).await?;
    if !caller.may_see(&row.sandbox) {
        return Err(Failure::no_proposal(&id));
    }
    let row = service.proposal(&id, caller.time(extract::wait(wait)), Behalf::of(&caller)).await?;
    // Pending at once, a proxy would ask again at once.
    if caller.is_cut && wait.is_some() && row.is_pending() {
        return Err(Failure::Busy);
    }
    Ok(Json(view::proposal(&row, caller.role, wait.is_some() && row.is_pending())?))
}

/// `POST /v1/proposals/{id}/approve`
pub(super) async fn approve(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(id): Segment,
    body: Body,
) -> Result<Json<ProposalView>, Failure> {
    caller.needs(&[Role::Reviewer])?;
    let approve: Approve = extract::json(body, MAX_DECISION).await?;
    to_the_end(async move {
        let row = service.approve(&id, &approve, &caller.name).await?;
        Ok(Json(view::proposal(&row, caller.role, false)?))
    })
    .await
}

/// `POST /v1/proposals/{id}/reject`
pub(super) async fn reject(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(id): Segment,
    body: Body,
) -> Result<Json<ProposalView>, Failure> {
    caller.needs(&[Role::Reviewer])?;
    let reject: Reject = extract::json(body, MAX_DECISION).await?;
    to_the_end(async move {
        let row = service.reject(&id, &reject, &caller.name).await?;
        Ok(Json(view::proposal(&row, caller.role, false)?))
    })
    .await
}

async fn submission(caller: &Caller, sandbox: &str, body: Body) -> Result<Submission, Failure> {
    caller.needs(&[Role::Sandbox])?;
    if !caller.may_see(sandbox) {
        return Err(Failure::no_sandbox(sandbox));
    }
    Submission::parse(&extract::body(body, MAX_SUBMISSION).await?)
}
