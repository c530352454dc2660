//! Reading what an agent posts: whole, small and soon.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use narrowgate_core::proposal::MAX_BYTES;
use serde_json::json;

use crate::body::Body;
use crate::respond::error;

const PATIENCE: Duration = Duration::from_secs(15);

/// The body of `request`, or the response that says what is wrong with it.
pub(super) async fn read(request: Request<Incoming>) -> Result<Bytes, Response<Body>> {
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    match tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(error(StatusCode::BAD_REQUEST, "broken_body", "the body broke off", json!({}))),
        Err(_) => {
            let message = "the body did not arrive within 15 seconds";
            Err(error(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message, json!({})))
        }
    }
}

fn too_large() -> Response<Body> {
    error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "a proposal has at most 64 KiB", json!({}))
}
