//! GitHub's contents API, played by an HTTPS server on loopback with a repository in memory.
//!
//! It is an ordinary TLS server with a CA of its own: the proxy verifies it as it would the real one. It notes every
//! request it receives, so that the demo can show that a denied one never arrived.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use data_encoding::BASE64;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::exit::Failure;
use crate::files::{self, Readers};

/// The name that the server's certificate is for.
pub(super) const HOST: &str = "api.github.com";
const LARGEST_BODY: usize = 1 << 20;

/// The running server; it stops when this is dropped.
pub(super) struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// `owner/repo/path` to content.
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// `METHOD /path`, in order of arrival.
    seen: Mutex<Vec<String>>,
}

impl Upstream {
    /// Starts the server and writes its CA's certificate to `ca_file`.
    pub(super) async fn start(ca_file: &Path) -> Result<Upstream, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::undecided(format!("the demo's upstream: {error}"));
        let (ca_pem, tls) = certificates().map_err(|error| failed(&error))?;
        files::write(ca_file, ca_pem.as_bytes(), Readers::Anyone)?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| failed(&error))?;
        let addr = listener.local_addr().map_err(|error| failed(&error))?;
        let shared = Arc::new(Shared::default());
        lock(&shared.files).insert("acme/site/docs/intro.md".to_owned(), b"# Acme\n".to_vec());
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&shared)));
        Ok(Upstream { addr, shared, accepting })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every request that arrived, without queries.
    pub(super) fn seen(&self) -> Vec<String> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    // An accept error is one connection's trouble, as on any server.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    // A client that goes away ends its connection, nothing else.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    lock(&shared.seen).push(format!("{} {}", parts.method, parts.uri.path()));
    let Some(key) = repository_path(parts.uri.path()) else { return not_found() };
    match parts.method {
        Method::GET => match lock(&shared.files).get(&key) {
            Some(content) => respond(StatusCode::OK, &entry(&key, content)),
            None => not_found(),
        },
        Method::PUT => {
            let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else { return bad_request("body") };
            let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            let content =
                body.get("content").and_then(Value::as_str).and_then(|text| BASE64.decode(text.as_bytes()).ok());
            let (Some(content), Some(message)) = (content, body.get("message").and_then(Value::as_str)) else {
                return bad_request("`message` and base64 `content` are needed");
            };
            let entry = entry(&key, &content);
            let replaced = lock(&shared.files).insert(key, content).is_some();
            let status = if replaced { StatusCode::OK } else { StatusCode::CREATED };
            respond(status, &json!({ "content": entry, "commit": { "message": message } }))
        }
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, &json!({ "message": "Method Not Allowed" })),
    }
}

/// `/repos/OWNER/REPO/contents/PATH` as `OWNER/REPO/PATH`.
fn repository_path(path: &str) -> Option<String> {
    let (owner, rest) = path.strip_prefix("/repos/")?.split_once('/')?;
    let (repo, rest) = rest.split_once('/')?;
    let file = rest.strip_prefix("contents/")?;
    let named = [owner, repo, file].iter().all(|part| !part.is_empty());
    named.then(|| format!("{owner}/{repo}/{file}"))
}

fn entry(key: &str, content: &[u8]) -> Value {
    let path = key.splitn(3, '/').nth(2).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    json!({ "type": "file", "name": name, "path": path, "size": content.len(), "encoding": "base64", "content": BASE64.encode(content) })
}

fn not_found() -> Response<Full<Bytes>> {
    respond(StatusCode::NOT_FOUND, &json!({ "message": "Not Found" }))
}

fn bad_request(problem: &str) -> Response<Full<Bytes>> {
    respond(StatusCode::BAD_REQUEST, &json!({ "message": format!("Invalid request: {problem}") }))
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A CA's PEM, and a server configuration with a leaf for [`HOST`] that it signed.
fn certificates() -> Result<(String, rustls::ServerConfig), Box<dyn std::error::Error>> {
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "Narrowgate demo upstream");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let mut leaf = CertificateParams::new(vec![HOST.to_owned()])?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((ca_pem, tls))
}

/// A panic elsewhere leaves the maps as whole as any other moment does.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_contents_api() {
        for (path, expected) in [
            ("/repos/acme/site/contents/docs/a.md", Some("acme/site/docs/a.md")),
            ("/repos/acme/site/contents/", None),
            ("/repos/acme/site/issues", None),
            ("/repos//site/contents/a", None),
            ("/user", None),
        ] {
            assert_eq!(repository_path(path).as_deref(), expected, "{path}");
        }
    }
}
