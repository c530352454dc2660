//! A small JSON client for the gateway's API, which the command line uses too.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gateway_events::EventStream;

/// No answer of the gateway is larger: a policy has at most 1 MiB, a history is a list of digests.
const LARGEST_ANSWER: usize = 16 << 20;
/// How long an answer may take, besides the time a long poll asks for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Speaks JSON with a gateway, as the holder of one bearer token. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct GatewayClient {
    base: String,
    bearer: HeaderValue,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Why the gateway gave no usable answer. The token is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one to send a token to.
    #[error("gateway address {url:?}: {problem}")]
    Address {
        /// As given.
        url: String,
        /// What would be right.
        problem: &'static str,
    },
    /// The token cannot be sent in a header.
    #[error("the token is not a line of visible ASCII characters")]
    Token,
    /// The roots for TLS cannot be loaded.
    #[error("roots for the gateway's certificate: {0}")]
    Roots(String),
    /// No connection, or one that broke.
    #[error("gateway {url} is unreachable: {problem}")]
    Unreachable {
        /// Scheme and authority.
        url: String,
        /// The cause, as the system words it.
        problem: String,
    },
    /// The gateway refused.
    #[error("gateway answered {status} {code}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The gateway's code for it, snake_case.
        code: String,
        /// Its explanation.
        message: String,
        /// The whole body, where it is JSON.
        body: Box<serde_json::Value>,
    },
    /// The answer is not what the API promises.
    #[error("gateway {url} gave an answer that is not understood: {problem}")]
    Answer {
        /// Scheme and authority.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ClientError {
    /// Whether trying again later may help: the gateway could not be reached or had a fault of its own.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } => true,
            ClientError::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            ClientError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl GatewayClient {
    /// A client for the gateway at `url`, `http://HOST:PORT` or `https://HOST[:PORT]`, trusting the system's roots.
    ///
    /// # Errors
    /// An address that is no such URL, plain HTTP to anything but loopback (the token would travel in the clear), and
    /// a token that is not visible ASCII.
    pub fn new(url: &str, token: impl AsRef<str>) -> Result<GatewayClient, ClientError> {
        GatewayClient::with_roots(url, token, None)
    }

    /// As [`GatewayClient::new`], trusting the certificates in the PEM file `roots` besides the system's.
    ///
    /// # Errors
    /// As [`GatewayClient::new`], and a file without usable certificates.
    pub fn with_roots(url: &str, token: impl AsRef<str>, roots: Option<&Path>) -> Result<GatewayClient, ClientError> {
        let base = base(url)?;
        let bearer = bearer(token.as_ref())?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(5)));
        tcp.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(roots, base.starts_with("https:"))?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(60)).build(connector);
        Ok(GatewayClient { base, bearer, http })
    }

    /// Scheme and authority, as errors name it.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The same gateway with another token.
    ///
    /// # Errors
    /// A token that is not visible ASCII.
    pub fn with_token(&self, token: impl AsRef<str>) -> Result<GatewayClient, ClientError> {
        Ok(GatewayClient { bearer: bearer(token.as_ref())?, ..self.clone() })
    }

    /// `GET path`.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every method below.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.get_within(path, Duration::ZERO).await?.ok_or_else(|| self.answer("it is empty"))
    }

    /// `GET path`, a long poll that the gateway answers after `wait` at the latest. `None`: 204, nothing new.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_within<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<Option<T>, ClientError> {
        self.send(Method::GET, path, Bytes::new(), wait).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| self.answer(format!("the request is not JSON: {e}")))?;
        self.send(Method::POST, path, body.into(), Duration::ZERO).await?.ok_or_else(|| self.answer("it is empty"))
    }

    /// `PUT path` with a JSON body, whatever the answer holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        let body = serde_json::to_vec(body).map_err(|e| self.answer(format!("the request is not JSON: {e}")))?;
        self.send::<serde_json::Value>(Method::PUT, path, body.into(), Duration::ZERO).await.map(drop)
    }

    /// `DELETE path`, whatever the answer holds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.send::<serde_json::Value>(Method::DELETE, path, Bytes::new(), Duration::ZERO).await.map(drop)
    }

    /// Follows the events of `GET path`, from the one after `after` or from now on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow(&self, path: &str, after: Option<u64>) -> Result<EventStream, ClientError> {
        let mut request = Request::get(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.bearer.clone())
            .header(ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let request = request.body(Full::default());
        let request = request.map_err(|e| self.answer(format!("path {path:?} is no request target: {e}")))?;
        let answered = tokio::time::timeout(PATIENCE, self.http.request(request)).await;
        let response = answered
            .map_err(|_| self.unreachable(format!("no answer within {PATIENCE:?}")))?
            .map_err(|e| self.unreachable(causes(&e)))?;
        if response.status().is_success() {
            return Ok(EventStream::new(response.into_body(), self.base.clone()));
        }
        let (status, body) = (response.status(), Limited::new(response.into_body(), LARGEST_ANSWER).collect());
        let body = tokio::time::timeout(PATIENCE, body).await;
        Err(refused(status, &body.ok().and_then(Result::ok).map(|body| body.to_bytes()).unwrap_or_default()))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> Result<Option<T>, ClientError> {
        let exchange = async {
            let request = Request::builder()
                .method(method)
                .uri(format!("{}{path}", self.base))
                .header(AUTHORIZATION, self.bearer.clone())
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(body))
                .map_err(|e| self.answer(format!("path {path:?} is no request target: {e}")))?;
            let response = self.http.request(request).await.map_err(|e| self.unreachable(causes(&e)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let body = body.map_err(|e| self.unreachable(format!("the answer broke off: {e}")))?.to_bytes();
            Ok((status, body))
        };
        let (status, body) = tokio::time::timeout(PATIENCE + wait, exchange)
            .await
            .unwrap_or_else(|_| Err(self.unreachable(format!("no answer within {:?}", PATIENCE + wait))))?;
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        if body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&body).map(Some).map_err(|e| self.answer(e.to_string()))
    }

    fn unreachable(&self, problem: String) -> ClientError {
        ClientError::Unreachable { url: self.base.clone(), problem }
    }

    fn answer(&self, problem: impl Into<String>) -> ClientError {
        ClientError::Answer { url: self.base.clone(), problem: problem.into() }
    }
}

impl fmt::Debug for GatewayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayClient").field("base", &self.base).finish_non_exhaustive()
    }
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ClientError::Token);
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// Scheme and authority of `url`, without a trailing slash.
fn base(url: &str) -> Result<String, ClientError> {
    let refuse = |problem| ClientError::Address { url: url.to_owned(), problem };
    let shape = "it is http://HOST:PORT or https://HOST:PORT, without a path";
    let uri: Uri = url.parse().map_err(|_| refuse(shape))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(refuse(shape)) };
    if !matches!(uri.path_and_query().map(|p| p.as_str()), None | Some("" | "/")) {
        return Err(refuse(shape));
    }
    if authority.as_str().contains('@') {
        return Err(refuse("it must not carry credentials"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(refuse("plain HTTP is only for loopback, because it carries a token; use https://")),
        _ => return Err(refuse(shape)),
    }
    Ok(format!("{scheme}://{authority}"))
}

/// The system's roots are read only where TLS is spoken: it takes milliseconds, and a container may have none.
fn tls(roots: Option<&Path>, used: bool) -> Result<rustls::ClientConfig, ClientError> {
    let mut store = rustls::RootCertStore::empty();
    if used {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(path) = roots {
        let read = || -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
            CertificateDer::pem_file_iter(path)?.collect()
        };
        let certificates = read().map_err(|e| ClientError::Roots(format!("{}: {e}", path.display())))?;
        if store.add_parsable_certificates(certificates).0 == 0 {
            return Err(ClientError::Roots(format!("{}: no certificate in it", path.display())));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ClientError::Roots(e.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth())
}

fn refused(status: StatusCode, body: &[u8]) -> ClientError {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str, otherwise: &str| body.get(key).and_then(|v| v.as_str()).unwrap_or(otherwise).to_owned();
    let reason = status.canonical_reason().unwrap_or("an error");
    let (code, message) = (text("error", "http_error"), text("message", reason));
    ClientError::Status { status: status.as_u16(), code, message, body: Box::new(body) }
}

/// The innermost cause says what happened; the outer ones only "client error (Connect)".
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_that_would_leak_the_token_is_refused() {
        for url in ["http://127.0.0.1:7070", "http://localhost:7070/", "http://[::1]:1", "https://gate.example"] {
            assert!(GatewayClient::new(url, "t0ken").is_ok(), "{url}");
        }
        for url in [
            "",
            "gate.example",
            "http://gate.example:7070",
            "http://10.0.0.1:7070",
            "ftp://127.0.0.1",
            "http://user:pw@127.0.0.1:7070",
            "http://127.0.0.1:7070/base",
            "http://127.0.0.1.evil.example:7070",
        ] {
            assert!(matches!(GatewayClient::new(url, "t0ken"), Err(ClientError::Address { .. })), "{url}");
        }
    }

    #[test]
    fn a_token_is_one_word_and_is_never_printed() {
        for token in ["", " ", "a\nb", "a b", "é"] {
            assert!(matches!(GatewayClient::new("http://127.0.0.1:1", token), Err(ClientError::Token)), "{token:?}");
        }
        let client = GatewayClient::new("http://127.0.0.1:1", "s3cret\n").unwrap();
        assert!(!format!("{client:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn an_absent_gateway_is_named() {
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = GatewayClient::new(&format!("http://{unused}"), "s3cret").unwrap();
        let error = client.get::<serde_json::Value>("/v1/keys").await.unwrap_err();
        assert!(error.is_transient());
        assert!(error.to_string().starts_with(&format!("gateway http://{unused} is unreachable: ")), "{error}");
    }
}
