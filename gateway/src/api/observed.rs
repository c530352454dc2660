//! Where a proxy tells what it denied, and where that is read.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use narrowgate_core::observed::{ObservedDenials, ReportAnswer, ReportDenials};

use super::call::Call;
use super::extract::{self, Segment, to_the_end};
use crate::drafts::Reported;
use crate::failure::Failure;
use crate::service::Service;
use crate::token::Role;

/// 256 denials with the longest paths that a proxy reads.
const MAX_REPORT: usize = 8 * 1024 * 1024;

/// `POST /v1/sandboxes/{name}/denials`
pub(super) async fn report(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
    body: Body,
) -> Result<Json<ReportAnswer>, Failure> {
    caller.needs(&[Role::Sandbox])?;
    if !caller.may_see(&name) {
        return Err(Failure::no_sandbox(&name));
    }
    let report: ReportDenials = extract::json(body, MAX_REPORT).await?;
    let reported = Reported::parse(report)?;
    to_the_end(caller.until(async move { Ok(Json(service.report(&name, reported).await?)) })).await
}

/// `GET /v1/sandboxes/{name}/observed`
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
) -> Result<Json<ObservedDenials>, Failure> {
    caller.needs(&[Role::Sandbox, Role::Reviewer])?;
    if !caller.may_see(&name) {
        return Err(Failure::no_sandbox(&name));
    }
    service.sandbox(&name).await?;
    Ok(Json(service.observed(&name).await?))
}
