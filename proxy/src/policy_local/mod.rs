//! `http://policy.local`: where an agent reads why it was denied and asks for a rule. Answered here, never forwarded.
//!
//! It shows what concerns this sandbox only. The ceiling, other sandboxes and what a reviewer sees are not here: answers
//! are built member by member from the gateway's, never passed on whole.

mod proposals;
mod upload;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::body::{Body, full};
use crate::respond::{error, json};
use crate::shared::{Shared, Who, now};

/// The name that is answered here.
pub(crate) const HOST: &str = "policy.local";

const SKILL: &str = include_str!("skill.md");

const ROUTES: [&str; 8] = [
    "GET /v1/skill",
    "GET /v1/policy/current",
    "GET /v1/denials?last=N",
    "GET /v1/held",
    "POST /v1/proposals",
    "POST /v1/proposals/check",
    "GET /v1/proposals/{id}",
    "GET /v1/proposals/{id}/wait?timeout=S",
];

/// Answers a request to [`HOST`].
pub(crate) async fn answer(shared: &Arc<Shared>, who: &Who, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut response = match (request.method(), segments.as_slice()) {
        (&Method::GET, ["v1", "skill"]) => skill(),
        (&Method::GET, ["v1", "policy", "current"]) => policy(shared),
        (&Method::GET, ["v1", "denials"]) => denials(shared, &query),
        (&Method::GET, ["v1", "held"]) => json(StatusCode::OK, &json!({ "held": shared.held.list() })),
        (&Method::POST, ["v1", "proposals"]) => proposals::submit(shared, who, request).await,
        (&Method::POST, ["v1", "proposals", "check"]) => proposals::check(shared, who, request).await,
        (&Method::GET, ["v1", "proposals", id]) if is_id(id) => proposals::show(shared, id).await,
        (&Method::GET, ["v1", "proposals", id, "wait"]) if is_id(id) => match number(&query, "timeout", 60) {
            Ok(timeout) => proposals::wait(shared, id, timeout.clamp(1, 300)).await,
            Err(refused) => refused,
        },
        _ => error(StatusCode::NOT_FOUND, "unknown_route", "there is no such route", json!({ "routes": ROUTES })),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn skill() -> Response<Body> {
    let mut response = Response::new(full(SKILL));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/markdown; charset=utf-8"));
    response
}

fn policy(shared: &Shared) -> Response<Body> {
    match shared.active.load(now()) {
        Some(enforced) => json(
            StatusCode::OK,
            &json!({
                "format": "yaml",
                "policy_yaml": enforced.yaml,
                "version": enforced.snapshot.version(),
                "policy_hash": enforced.snapshot.digest(),
            }),
        ),
        None => {
            let message = "no proven policy is in force; everything is denied until the gateway provides one";
            error(StatusCode::SERVICE_UNAVAILABLE, "policy_unavailable", message, json!({}))
        }
    }
}

fn denials(shared: &Shared, query: &str) -> Response<Body> {
    match number(query, "last", 10) {
        Ok(last) => {
            let last = usize::try_from(last.clamp(1, 100)).unwrap_or(100);
            json(StatusCode::OK, &json!({ "log_available": true, "denials": shared.denials.last(last) }))
        }
        Err(refused) => refused,
    }
}

/// The number that `key` names in `query`.
#[expect(clippy::result_large_err, reason = "the error is the response to send")]
fn number(query: &str, key: &str, default: u64) -> Result<u64, Response<Body>> {
    let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key);
    let Some((_, value)) = pair else { return Ok(default) };
    value.parse().map_err(|_| {
        let message = format!("{key} is a number, as in ?{key}={default}");
        error(StatusCode::BAD_REQUEST, "invalid_query", &message, json!({}))
    })
}

/// What goes into a path of the gateway's API: nothing that could leave its segment.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
