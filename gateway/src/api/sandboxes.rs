//! `/v1/sandboxes…`: their lives and their bundles.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use narrowgate_core::wire::{CreateSandbox, CreatedSandbox, History, SandboxView, Sandboxes};
use serde::Deserialize;

use super::call::{Call, NextPolicy, Poll};
use super::extract::{self, Segment, to_the_end};
use crate::failure::Failure;
use crate::service::Service;
use crate::token::Role;
use crate::view;

/// A policy of 1 MiB, escaped as a JSON string.
const MAX_BODY: usize = 2 * 1024 * 1024;
const MAX_POLICY: usize = 1024 * 1024;

/// `POST /v1/sandboxes`
pub(super) async fn create(State(service): State<Arc<Service>>, caller: Call, body: Body) -> Result<Response, Failure> {
    caller.needs(&[Role::Admin])?;
    let CreateSandbox { name, policy_yaml } = extract::json(body, MAX_BODY).await?;
    if policy_yaml.len() > MAX_POLICY {
        return Err(Failure::TooLarge { limit: MAX_POLICY });
    }
    let created = to_the_end(async move {
        let (version, token) = service.create_sandbox(&name, policy_yaml, &caller.name).await?;
        tracing::info!(sandbox = name, version, by = caller.name, "sandbox created");
        Ok(CreatedSandbox { name, version, token: token.reveal().to_owned() })
    });
    Ok((StatusCode::CREATED, Json(created.await?)).into_response())
}

/// `GET /v1/sandboxes`
pub(super) async fn list(State(service): State<Arc<Service>>, caller: Call) -> Result<Json<Sandboxes>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    let rows = service.store.sandboxes().await?;
    Ok(Json(Sandboxes { sandboxes: rows.iter().map(view::sandbox).collect::<Result<_, _>>()? }))
}

/// `GET /v1/sandboxes/{name}`
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
) -> Result<Json<SandboxView>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    Ok(Json(view::sandbox(&service.sandbox(&name).await?)?))
}

/// `DELETE /v1/sandboxes/{name}`
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
) -> Result<StatusCode, Failure> {
    caller.needs(&[Role::Admin])?;
    to_the_end(async move {
        service.delete_sandbox(&name, &caller.name).await?;
        tracing::info!(sandbox = name, by = caller.name, "sandbox deleted");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

#[derive(Deserialize)]
struct BundleQuery {
    after: Option<u64>,
    wait: Option<u64>,
}

/// `GET /v1/sandboxes/{name}/bundle?after=V&wait=S`
pub(super) async fn bundle(
    State(service): State<Arc<Service>>,
    caller: Poll<NextPolicy>,
    Segment(name): Segment,
    uri: Uri,
) -> Result<Response, Failure> {
    if !caller.may_see(&name) {
        return Err(Failure::no_sandbox(&name));
    }
    let BundleQuery { after, wait } = extract::query(&uri)?;
    match service.bundle(&name, after.unwrap_or(0), caller.time(extract::wait(wait))).await? {
        Some(bundle) => Ok(Json(bundle).into_response()),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// `GET /v1/sandboxes/{name}/history`
pub(super) async fn history(
    State(service): State<Arc<Service>>,
    caller: Call,
    Segment(name): Segment,
) -> Result<Json<History>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    service.sandbox(&name).await?;
    Ok(Json(view::history(&service.store.history(&name).await?)?))
}
