//! `/v1/keys…`: which keys to believe, and a new one.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use narrowgate_core::wire::{Keys, RotateKey};

use super::call::Call;
use super::extract::{self, to_the_end};
use crate::clock;
use crate::failure::Failure;
use crate::service::Service;
use crate::token::Role;

const MAX_BODY: usize = 1024;

/// `GET /v1/keys`
pub(super) async fn list(State(service): State<Arc<Service>>, _: Call) -> Json<Keys> {
    Json(service.signer().await.view(clock::now()))
}

/// `POST /v1/keys/rotate`
pub(super) async fn rotate(
    State(service): State<Arc<Service>>,
    caller: Call,
    body: Body,
) -> Result<Json<Keys>, Failure> {
    caller.needs(&[Role::Admin])?;
    let RotateKey { overlap_seconds } = extract::json(body, MAX_BODY).await?;
    to_the_end(async move { service.rotate_key(overlap_seconds, &caller.name).await }).await.map(Json)
}
