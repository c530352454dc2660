//! A proxy with a policy, an upstream that remembers what reached it, and a client that writes raw bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::Snapshot;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::active::Enforced;
use crate::body::{Body, BoxError, full};
use crate::proxy::prepare;
use crate::shared::Shared;
use crate::{Config, GatewayClient, Proxy};

pub(super) const POLICY: &str = r#"
version: 1
network_policies:
  api:
    name: api
    endpoints:
      - host: api.test
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: "/ok/**" }
          - allow: { method: PUT, path: "/ok/**" }
          - allow: { method: POST, path: "/ok/**" }
        deny_rules:
          - { method: "*", path: "/ok/secret/**" }
  plain:
    name: plain
    endpoints:
      - { host: plain.test, port: 80, protocol: rest, access: full }
  raw:
    name: raw
    endpoints:
      - { host: raw.test, port: 9000 }
  elsewhere:
    name: elsewhere
    endpoints:
      - { host: rebind.test, port: 9000 }
"#;

pub(super) struct Rig {
    pub(super) proxy: Proxy,
    pub(super) shared: Arc<Shared>,
    pub(super) upstream: Upstream,
    pub(super) dir: tempfile::TempDir,
}

impl Rig {
    pub(super) async fn new() -> Rig {
        Rig::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Config)) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let upstream = Upstream::start(dir.path()).await;
        let gateway = GatewayClient::new("http://127.0.0.1:1", "token").unwrap();
        let mut config = Config::new("box", gateway, dir.path().join("ca"));
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.upstream_ca = Some(dir.path().join("upstream.pem"));
        config.audit_log = Some(dir.path().join("audit.jsonl"));
        config.resolve = upstream.resolve();
        change(&mut config);
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let shared = prepare(config).unwrap();
        let rig = Rig { proxy: Proxy::serve(shared.clone(), listener).unwrap(), shared, upstream, dir };
        rig.enforce(POLICY, 1);
        rig
    }

    /// Puts `policy` in force.
    pub(super) fn enforce(&self, policy: &str, version: u64) {
        self.shared.active.store(enforced_over(self.shared.plugins.schema(), policy, version));
    }

    pub(super) async fn dial(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.proxy.addr()).await.unwrap())
    }

    /// A connection to `host`, past `CONNECT`.
    pub(super) async fn tunnel(&self, to: &str) -> TcpStream {
        let mut raw = self.dial().await;
        raw.send(&format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n")).await;
        let response = raw.response().await;
        assert_eq!(response.status, 200, "{response:?}");
        raw.stream
    }

    /// TLS to `api.test:443` through the proxy, trusting its authority.
    pub(super) async fn tls(&self) -> Raw<tokio_rustls::client::TlsStream<TcpStream>> {
        self.tls_to("api.test").await
    }

    pub(super) async fn tls_to(&self, host: &str) -> Raw<tokio_rustls::client::TlsStream<TcpStream>> {
        Raw::new(self.handshake(self.tunnel(&format!("{host}:443")).await, host).await.unwrap())
    }

    pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.shared.authority.ca_pem().as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    pub(super) fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap_or_default()
    }
}

pub(super) fn enforced(policy: &str, version: u64) -> Enforced {
    enforced_over(Schema::standard(), policy, version)
}

fn enforced_over(schema: &Arc<Schema>, policy: &str, version: u64) -> Enforced {
    let parsed = Policy::parse(policy, "test", Role::Policy).unwrap_or_else(|e| panic!("{e}"));
    let compiled = Compiled::policy_over(&parsed, Role::Policy, schema).unwrap();
    Enforced { snapshot: Snapshot::new(parsed, compiled, version), yaml: policy.to_owned(), expires: None }
}

/// Speaks HTTP over TLS, HTTP in the clear and, on a third port, echoes bytes.
pub(super) struct Upstream {
    tls: SocketAddr,
    plain: SocketAddr,
    echo: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as it reached the upstream.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: http::HeaderMap,
    pub(super) connection: usize,
    /// Of requests that are not echoed, once it is there.
    pub(super) body: Bytes,
}

impl Upstream {
    async fn start(dir: &std::path::Path) -> Upstream {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let key = rcgen::generate_simple_self_signed(vec!["api.test".to_owned()]).unwrap();
        std::fs::write(dir.join("upstream.pem"), key.cert.pem()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![key.cert.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der())),
            )
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (listener, tls) = listener().await;
        let record = seen.clone();
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, record) = (acceptor.clone(), record.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, record, connection).await;
                    }
                });
            }
        });
        let (listener, plain) = self::listener().await;
        let record = seen.clone();
        tokio::spawn(async move {
            for connection in 1000.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, record.clone(), connection));
            }
        });
        let (listener, echo) = self::listener().await;
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        Upstream { tls, plain, echo, seen }
    }

    fn resolve(&self) -> Vec<crate::ResolveEntry> {
        let entry = |from: &str, to: SocketAddr| format!("{from}:{to}").parse().unwrap();
        vec![entry("api.test:443", self.tls), entry("plain.test:80", self.plain), entry("raw.test:9000", self.echo)]
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn serve<S>(stream: S, seen: Arc<Mutex<Vec<Seen>>>, connection: usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let at = {
            let mut seen = seen.lock().unwrap();
            seen.push(Seen {
                line: format!("{} {}", request.method(), request.uri()),
                headers: request.headers().clone(),
                connection,
                body: Bytes::new(),
            });
            seen.len() - 1
        };
        let seen = seen.clone();
        async move { Ok::<_, Infallible>(upstream_answer(request, |body| seen.lock().unwrap()[at].body = body).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// `echo` streams the request back, `endless` never ends, `forged` pretends to be the proxy; all else is `hello`.
async fn upstream_answer(request: Request<Incoming>, whole: impl FnOnce(Bytes)) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/echo") {
        return Response::new(request.into_body().map_err(BoxError::from).boxed_unsync());
    }
    if path.ends_with("/endless") {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
        tokio::spawn(async move {
            while sender.send(Bytes::from_static(b"tick ")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        return Response::new(Frames(receiver).boxed_unsync());
    }
    if path.ends_with("/silent") {
        std::future::pending::<()>().await;
    }
    let mut response = Response::new(full("hello"));
    if path.ends_with("/forged") {
        for (name, value) in [
            ("x-narrowgate-decision", "denied"),
            ("proxy-authenticate", "Basic"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x-kept", "1"),
        ] {
            response.headers_mut().append(name, value.parse().unwrap());
        }
    }
    if let Ok(body) = request.into_body().collect().await {
        whole(body.to_bytes());
    }
    response
}

struct Frames(tokio::sync::mpsc::Receiver<Bytes>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// HTTP by hand.
pub(super) struct Raw<S> {
    pub(super) stream: S,
    rest: Vec<u8>,
    patience: Duration,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Checks that this is a denial for `reason`.
    pub(super) fn denied(&self, status: u16, reason: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("x-narrowgate-decision: denied\r\n"), "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json\r\n"), "{self:?}");
        let body = self.json();
        assert_eq!((&body["reason"], &body["status"]), (&reason.into(), &status.into()), "{body}");
        body
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(super) fn new(stream: S) -> Raw<S> {
        Raw { stream, rest: Vec::new(), patience: Duration::from_secs(10) }
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a request of one line and the host header, and reads the answer.
    pub(super) async fn ask(&mut self, line: &str) -> Answer {
        self.send(&format!("{line} HTTP/1.1\r\nhost: api.test\r\n\r\n")).await;
        self.response().await
    }

    pub(super) async fn head(&mut self) -> Answer {
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break self.rest.drain(..end + 4).collect::<Vec<u8>>();
            }
            assert!(self.more().await, "closed within the head: {:?}", String::from_utf8_lossy(&self.rest));
        };
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: String::new() }
    }

    /// As [`response`](Raw::response), with more patience.
    pub(super) async fn answer_in(&mut self, patience: Duration) -> Answer {
        self.patience = patience;
        self.response().await
    }

    pub(super) async fn response(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length = answer.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.rest.len() < length {
            assert!(self.more().await, "closed within the body: {answer:?}");
        }
        answer.body = String::from_utf8(self.rest.drain(..length).collect()).unwrap();
        answer
    }

    /// Whether anything more came.
    pub(super) async fn more(&mut self) -> bool {
        let mut block = [0; 4096];
        let n = tokio::time::timeout(self.patience, self.stream.read(&mut block)).await;
        let n = n.expect("nothing came").unwrap_or(0);
        self.rest.extend_from_slice(&block[..n]);
        n > 0
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.rest
    }
}
