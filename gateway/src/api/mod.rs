//! The HTTP API: which role may call which route, what is read from a request, and how failures are said. Nothing is
//! decided here.

mod call;
mod events;
mod extract;
mod held;
mod keys;
mod observed;
mod proposals;
mod sandboxes;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use narrowgate_core::wire::{ApiError, CeilingView};
use serde_json::{Value, json};

use call::Call;

use crate::failure::Failure;
use crate::service::Service;
use crate::store::Caller;
use crate::token::Role;

/// All routes. Each handler takes a [`Call`], or a [`call::Poll`], and names the roles it is for; those without one are
/// public.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/sandboxes", get(sandboxes::list).post(sandboxes::create))
        .route("/v1/sandboxes/{name}", get(sandboxes::show).delete(sandboxes::delete))
        .route("/v1/sandboxes/{name}/bundle", get(sandboxes::bundle))
        .route("/v1/sandboxes/{name}/history", get(sandboxes::history))
        .route("/v1/sandboxes/{name}/proposals", post(proposals::submit))
        .route("/v1/sandboxes/{name}/proposals/check", post(proposals::check))
        .route("/v1/sandboxes/{name}/denials", post(observed::report))
        .route("/v1/sandboxes/{name}/observed", get(observed::list))
        .route("/v1/proposals", get(proposals::list))
        .route("/v1/proposals/{id}", get(proposals::show))
        .route("/v1/proposals/{id}/approve", post(proposals::approve))
        .route("/v1/proposals/{id}/reject", post(proposals::reject))
        .route("/v1/sandboxes/{name}/held", post(held::hold))
        .route("/v1/sandboxes/{name}/held/{id}", get(held::outcome).delete(held::leave))
        .route("/v1/sandboxes/{name}/session", put(held::session))
        .route("/v1/held", get(held::list))
        .route("/v1/held/{id}", get(held::show))
        .route("/v1/held/{id}/answer", post(held::answer))
        .route("/v1/held/never/{id}", delete(held::forget))
        .route("/v1/inbox/events", get(events::follow))
        .route("/v1/ceiling", get(ceiling))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/rotate", post(keys::rotate))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(map_response(not_cached))
        .with_state(service)
}

async fn ceiling(State(service): State<Arc<Service>>, caller: Call) -> Result<Json<CeilingView>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    Ok(Json(service.ceiling.clone()))
}

async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

async fn readyz(State(service): State<Arc<Service>>) -> Response {
    match service.store.ping().await {
        Ok(()) if !service.closing.is_cancelled() => Json(json!({"status": "ready"})).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not_ready"}))).into_response(),
    }
}

async fn no_route() -> Failure {
    Failure::NotFound { what: "no such route".to_owned() }
}

async fn no_method() -> Response {
    let error = ApiError {
        error: "method_not_allowed".to_owned(),
        message: "the route does not take this method".to_owned(),
        pointer: None,
        proposal: None,
        held: None,
    };
    (StatusCode::METHOD_NOT_ALLOWED, Json(error)).into_response()
}

/// Tokens and policies are in answers.
async fn not_cached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Caller {
    fn needs(&self, roles: &[Role]) -> Result<(), Failure> {
        if roles.contains(&self.role) {
            return Ok(());
        }
        let needs = match roles {
            [Role::Sandbox, ..] => "a sandbox's token",
            [Role::Admin] => "an admin's token",
            [Role::Reviewer] => "a reviewer's token",
            _ => "a reviewer's or an admin's token",
        };
        Err(Failure::Forbidden { needs })
    }

    /// A sandbox's token is for its own sandbox; of others it does not even learn whether they exist.
    fn may_see(&self, sandbox: &str) -> bool {
        self.role != Role::Sandbox || self.sandbox.as_deref() == Some(sandbox)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut message = self.to_string();
        let (mut pointer, mut proposal, mut held) = (None, None, None);
        let (status, code) = match self {
            Failure::Invalid { code, pointer: at, .. } => {
                pointer = at;
                (StatusCode::BAD_REQUEST, code)
            }
            Failure::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Failure::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            Failure::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            Failure::Conflict { code, proposal: now, .. } => {
                proposal = now;
                (StatusCode::CONFLICT, code)
            }
            Failure::NotAsHeld { code, held: now, .. } => {
                held = now;
                (StatusCode::CONFLICT, code)
            }
            Failure::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Failure::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Failure::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Failure::Internal(detail) => {
                tracing::error!(detail, "a call failed");
                message = "the gateway failed; its log says how".to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        };
        let mut response =
            (status, Json(ApiError { error: code.to_owned(), message, pointer, proposal, held })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
