//! What is read from a request besides the caller ([`super::call`]): parameters, then the body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::service::Service;

const BODY_WITHIN: Duration = Duration::from_secs(15);

/// The name or id in a path.
pub(super) struct Segment(pub(super) String);

impl FromRequestParts<Arc<Service>> for Segment {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Segment, Failure> {
        let no_text = |_| Failure::NotFound { what: "no such thing".to_owned() };
        let Path(segment) = Path::<String>::from_request_parts(parts, service).await.map_err(no_text)?;
        Ok(Segment(segment))
    }
}

/// Runs a change to its end even if the caller goes away in the middle: what is stored is also announced.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    tokio::spawn(change).await.map_err(|e| Failure::Internal(format!("a change ended early: {e}")))?
}

/// A query string's parameters.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Failure> {
    Query::try_from_uri(uri)
        .map(|Query(value)| value)
        .map_err(|e| Failure::invalid(format!("the query string: {}", e.body_text())))
}

/// What a list is narrowed to.
#[derive(Deserialize)]
pub(super) struct Filter {
    pub(super) sandbox: Option<String>,
    pub(super) status: Option<String>,
}

/// `sandbox=` and `status=`. An empty parameter is one that a form left out.
pub(super) fn filter(uri: &Uri) -> Result<Filter, Failure> {
    let Filter { sandbox, status } = query(uri)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    Ok(Filter { sandbox: given(sandbox), status: given(status) })
}

/// `wait=`, in seconds.
pub(super) fn wait(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0).min(300))
}

/// A whole body, bounded in size and time. It is read only once the caller's role is known.
pub(super) async fn body(body: Body, limit: usize) -> Result<Bytes, Failure> {
    match timeout(BODY_WITHIN, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(Failure::TooLarge { limit }),
        Ok(Err(_)) => Err(Failure::invalid("the body ended early")),
        Err(_) => Err(Failure::TooSlow),
    }
}

/// A JSON body.
pub(super) async fn json<T: DeserializeOwned>(content: Body, limit: usize) -> Result<T, Failure> {
    let bytes = body(content, limit).await?;
    serde_json::from_slice(&bytes).map_err(|e| Failure::invalid(format!("the body: {e}")))
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}
