//! `/v1/held…`, where reviewers answer, and `/v1/sandboxes/{name}/held…`, where a proxy asks.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use narrowgate_core::held::{HeldAnswer, HeldList, HeldOutcome, HeldStatus, HeldView, MOST_REQUESTS, Session};
use serde::Deserialize;

use super::call::{Call, Ending, Person, Poll};
use super::extract::{self, Filter, Segment, to_the_end};
use crate::failure::Failure;
use crate::held::{self, Asking, Gates};
use crate::service::Service;
use crate::store::Caller;
use crate::token::Role;

const MAX_HOLD: usize = 64 * 1024;
const MAX_ANSWER: usize = 16 * 1024;

/// `POST /v1/sandboxes/{name}/held`
pub(super) async fn hold(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
    body: Body,
) -> Result<Json<HeldOutcome>, Failure> {
    own(&caller, &name)?;
    let asking = Asking::parse(&extract::body(body, MAX_HOLD).await?)?;
    match service.gates(&name, asking).await? {
        Gates::Known(outcome) => Ok(Json(*outcome)),
        Gates::Open(ask) => to_the_end(caller.until(async move { service.ask(&name, &ask).await.map(Json) })).await,
    }
}

#[derive(Deserialize)]
struct OutcomeQuery {
    wait: Option<u64>,
    requests: Option<u32>,
}

/// `GET /v1/sandboxes/{name}/held/{id}?wait=S&requests=N`
pub(super) async fn outcome(
    State(service): State<Arc<Service>>,
    caller: Poll<Person>,
    Path((name, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Json<HeldOutcome>, Failure> {
    own(&caller, &name)?;
    let OutcomeQuery { wait, requests } = extract::query(&uri)?;
    // Where there is no room to wait, `waiting` at once: the proxy asks again, and no answer is late by more than that.
    let time = caller.time(extract::wait(wait));
    service.held_outcome(&name, &id, counted(requests)?, time).await.map(Json)
}

#[derive(Deserialize)]
struct LeaveQuery {
    requests: Option<u32>,
}

/// `DELETE /v1/sandboxes/{name}/held/{id}?requests=N`
pub(super) async fn leave(
    State(service): State<Arc<Service>>,
    Ending(caller): Ending,
    Path((name, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<StatusCode, Failure> {
    own(&caller, &name)?;
    let LeaveQuery { requests } = extract::query(&uri)?;
    let requests = counted(requests)?;
    let leave = async move { service.leave(&name, &id, requests).await.map(|()| StatusCode::NO_CONTENT) };
    to_the_end(caller.until(leave)).await
}

/// `PUT /v1/sandboxes/{name}/session`
pub(super) async fn session(
    State(service): State<Arc<Service>>,
    Ending(caller): Ending,
    Segment(name): Segment,
    body: Body,
) -> Result<StatusCode, Failure> {
    own(&caller, &name)?;
    let session: Session = extract::json(body, MAX_ANSWER).await?;
    to_the_end(caller.until(async move { service.put_session(&name, &session).await.map(|()| StatusCode::NO_CONTENT) }))
        .await
}

/// `GET /v1/held?sandbox=&status=`
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    caller: Call,
    uri: Uri,
) -> Result<Json<HeldList>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    let Filter { sandbox, status } = extract::filter(&uri)?;
    let status = match status.as_deref() {
        None => Some("waiting"),
        Some("all") => None,
        Some(status) if HeldStatus::ALL.iter().any(|known| known.as_str() == status) => Some(status),
        Some(other) => {
            let known: Vec<&str> = HeldStatus::ALL.iter().map(|status| status.as_str()).collect();
            return Err(Failure::invalid(format!("{other:?} is not a status; it is all, {}", known.join(", "))));
        }
    };
    if let Some(sandbox) = &sandbox {
        service.sandbox(sandbox).await?;
    }
    let rows = service.held_list(sandbox.as_deref(), status).await?;
    let held = rows.iter().map(|row| held::view(row, caller.role)).collect::<Result<_, _>>()?;
    Ok(Json(HeldList { held }))
}

/// `GET /v1/held/{id}`
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(id): Segment,
) -> Result<Json<HeldView>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    held::view(&service.held(&id).await?, caller.role).map(Json)
}

/// `POST /v1/held/{id}/answer`
pub(super) async fn answer(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(id): Segment,
    body: Body,
) -> Result<Json<HeldView>, Failure> {
    caller.needs(&[Role::Reviewer])?;
    let answer: HeldAnswer = extract::json(body, MAX_ANSWER).await?;
    to_the_end(async move {
        let row = service.answer_held(&id, &answer, &caller.name).await?;
        held::view(&row, caller.role).map(Json)
    })
    .await
}

/// `DELETE /v1/held/never/{id}`
pub(super) async fn forget(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(id): Segment,
) -> Result<StatusCode, Failure> {
    caller.needs(&[Role::Reviewer])?;
    to_the_end(async move { service.forget_never(&id, &caller.name).await.map(|()| StatusCode::NO_CONTENT) }).await
}

/// `requests=`, how many wait for one answer.
fn counted(requests: Option<u32>) -> Result<Option<u32>, Failure> {
    match requests {
        Some(count) if !(1..=MOST_REQUESTS).contains(&count) => Err(Failure::invalid(format!(
            "requests={count} is not how many requests wait for one answer: that is 1 to {MOST_REQUESTS}"
        ))),
        counted => Ok(counted),
    }
}

/// A proxy asks for its own sandbox; of others it does not even learn whether they exist.
fn own(caller: &Caller, sandbox: &str) -> Result<(), Failure> {
    caller.needs(&[Role::Sandbox])?;
    if caller.may_see(sandbox) { Ok(()) } else { Err(Failure::no_sandbox(sandbox)) }
}
