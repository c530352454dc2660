//! The agent's two connections: to the API, through `CONNECT` and TLS, and to `policy.local`, in plain HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PATIENCE: Duration = Duration::from_secs(15);
const LARGEST: usize = 1 << 20;

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    /// `x-narrowgate-decision`.
    pub(super) decision: Option<String>,
    pub(super) body: Bytes,
}

/// One TLS connection to the API, kept alive from the first request to the last.
pub(super) struct Api {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    secret: String,
    requests: u32,
}

impl Api {
    /// Asks the proxy in `HTTPS_PROXY` for a tunnel and trusts only what `SSL_CERT_FILE` holds.
    pub(super) async fn connect(host: &str, port: u16, secret: &str) -> Result<Api, String> {
        let mut stream = TcpStream::connect(proxy_address()?).await.map_err(|error| format!("proxy: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        tunnel(&mut stream, host, port).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::new(trust()?))
            .connect(name, stream)
            .await
            .map_err(|error| format!("TLS: {error}"))?;
        Ok(Api { sender: open(stream).await?, host: host.to_owned(), secret: secret.to_owned(), requests: 0 })
    }

    /// How many requests this connection has carried.
    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// One request on the connection that is there; it is never replaced by a new one. The secret goes along in a
    /// header and in the query, where real clients carry theirs.
    pub(super) async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?signature={}", self.secret))
            .header("host", &self.host)
            .header("user-agent", "narrowgate-demo")
            .header("authorization", format!("Bearer {}", self.secret))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = exchange(&mut self.sender, request, PATIENCE).await?;
        self.requests += 1;
        Ok(answer)
    }
}

/// `http://policy.local`, which the proxy itself answers.
pub(super) struct Local {
    proxy: String,
}

impl Local {
    pub(super) fn from_env() -> Result<Local, String> {
        Ok(Local { proxy: proxy_address()? })
    }

    pub(super) async fn get(&self, url: &str, patience: Duration) -> Result<Answer, String> {
        self.send(Method::GET, url, Bytes::new(), patience).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        self.send(Method::POST, &format!("http://policy.local{path}"), body.to_string().into(), PATIENCE).await
    }

    async fn send(&self, method: Method, url: &str, body: Bytes, patience: Duration) -> Result<Answer, String> {
        if !url.starts_with("http://policy.local/") {
            return Err(format!("{url} is not at policy.local"));
        }
        let stream = TcpStream::connect(&self.proxy).await.map_err(|error| format!("proxy: {error}"))?;
        let mut sender = open(stream).await?;
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("host", "policy.local")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        exchange(&mut sender, request, patience).await
    }
}

async fn open<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> Result<SendRequest<Full<Bytes>>, String> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Its end shows in the sender.
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<Answer, String> {
    let answer = async {
        sender.ready().await.map_err(|error| format!("the connection was not kept alive: {error}"))?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
        let decision =
            parts.headers.get("x-narrowgate-decision").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status: parts.status.as_u16(), decision, body })
    };
    tokio::time::timeout(patience, answer).await.map_err(|_| format!("no answer within {patience:?}"))?
}

async fn tunnel(stream: &mut TcpStream, host: &str, port: u16) -> Result<(), String> {
    let ask = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to TLS.
        head.push(stream.read_u8().await.map_err(|error| format!("CONNECT: {error}"))?);
        if head.len() > 16 * 1024 {
            return Err("CONNECT: the answer's head has no end".to_owned());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("CONNECT: {status}")),
    }
}

fn proxy_address() -> Result<String, String> {
    let url = std::env::var("HTTPS_PROXY").map_err(|_| "HTTPS_PROXY is not set".to_owned())?;
    url.strip_prefix("http://").map(str::to_owned).ok_or_else(|| format!("HTTPS_PROXY {url:?} is not http://HOST:PORT"))
}

fn trust() -> Result<rustls::ClientConfig, String> {
    let file = std::env::var("SSL_CERT_FILE").map_err(|_| "SSL_CERT_FILE is not set".to_owned())?;
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(&file).and_then(Iterator::collect).map_err(|error| format!("{file}: {error}"))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
