//! Servers that remember what they were sent: HTTPS, plain HTTP, and an echo of bytes.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, copy, split};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::git;
use super::{GITHUB, HOST, OTHER};

/// Names that the HTTPS server's certificate has besides the ones of the tests: the registries that clients know.
const REGISTRIES: [&str; 3] = ["registry.npmjs.org", "pypi.org", "files.pythonhosted.org"];

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target as it was on the wire, query included.
    pub target: String,
    /// The `Host` header.
    pub host: String,
    /// All headers, `name: value`, in order.
    pub headers: Vec<String>,
    /// How many bytes of body came.
    pub body: usize,
}

/// What is served besides answers that tell what was sent.
struct Served {
    /// Below `/git/`.
    repositories: PathBuf,
    /// `HOST/PATH`, where there is such a file.
    files: PathBuf,
}

/// The servers; they stop when this is dropped.
pub struct Upstream {
    seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<Served>,
    ca_file: PathBuf,
    addrs: [SocketAddr; 3],
    tasks: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Starts them and writes the certificate of their authority into `dir`.
    pub async fn start(dir: &Path) -> Upstream {
        let (ca_pem, acceptor) = certificates();
        let ca_file = dir.join("upstream-ca.pem");
        fs::write(&ca_file, ca_pem).expect("a file");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let served = Arc::new(Served { repositories: dir.join("repositories"), files: dir.join("files") });
        for directory in [&served.repositories, &served.files] {
            fs::create_dir(directory).expect("a directory");
        }
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        }
        let addrs = [0, 1, 2].map(|at: usize| listeners[at].local_addr().expect("an address"));
        let mut listeners = listeners.into_iter();
        let mut next = || listeners.next().expect("three");
        let tasks = vec![
            tokio::spawn(http(next(), Some(acceptor), Arc::clone(&seen), Arc::clone(&served))),
            tokio::spawn(http(next(), None, Arc::clone(&seen), Arc::clone(&served))),
            tokio::spawn(echo(next())),
        ];
        Upstream { seen, served, ca_file, addrs, tasks }
    }

    /// The HTTPS server.
    pub fn https(&self) -> SocketAddr {
        self.addrs[0]
    }

    /// The plain HTTP server.
    pub fn http(&self) -> SocketAddr {
        self.addrs[1]
    }

    /// The server that sends back what it gets.
    pub fn echo(&self) -> SocketAddr {
        self.addrs[2]
    }

    /// The certificate that the HTTPS server's is signed with.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Where the repositories are that the HTTPS server serves below `/git/`.
    pub fn repositories(&self) -> &Path {
        &self.served.repositories
    }

    /// Has `https://HOST/PATH` answer with these bytes; `PATH` may end in a slash.
    pub fn serve_file(&self, host: &str, path: &str, bytes: &[u8]) {
        let file = self.served.file(host, path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, bytes).expect("a file");
    }

    /// Every HTTP request that arrived, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while locked").clone()
    }

    /// The same, as `METHOD target`.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
    }

    /// Forgets what arrived.
    pub fn forget(&self) {
        self.seen.lock().expect("no panic while locked").clear();
    }
}

impl Served {
    fn file(&self, host: &str, path: &str) -> PathBuf {
        let path = path.trim_start_matches('/');
        let index = if path.is_empty() || path.ends_with('/') { "index.html" } else { "" };
        // Registries have names such as `tiny` beside `tiny/-/tiny-1.0.0.tgz`.
        self.files.join(host).join(format!("{path}{index}").replace('/', "%"))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn http(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Mutex<Vec<Seen>>>, served: Arc<Served>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket");
        let (tls, seen, served) = (tls.clone(), Arc::clone(&seen), Arc::clone(&served));
        tokio::spawn(async move {
            match tls {
                None => serve(stream, seen, served).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, seen, served).await;
                    }
                }
            }
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<Served>,
) {
    let service = service_fn(move |request| answer(request, Arc::clone(&seen), Arc::clone(&served)));
    // A client that goes away ends its connection, nothing else.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Below `/git/` are repositories, and files where they were put. `/…/stream` never ends by itself; `…/early` answers before the body is there; all else is told what it sent.
async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
    served: Arc<Served>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let headers =
        parts.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    let arrived = Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        host: text("host").unwrap_or_default(),
        headers: headers.collect(),
        body: 0,
    };
    let at = {
        let mut seen = seen.lock().expect("no panic while locked");
        seen.push(arrived.clone());
        seen.len() - 1
    };
    if parts.uri.path().ends_with("/stream") {
        return Ok(Response::new(trickle()));
    }
    if parts.uri.path().starts_with(git::PATH) {
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        return Ok(git::serve(&served.repositories, &parts, &body).await.map(BoxBody::new));
    }
    if let Ok(bytes) = fs::read(served.file(&arrived.host, parts.uri.path())) {
        let mut response = Response::new(Full::new(Bytes::from(bytes)).boxed());
        if parts.uri.path().ends_with('/') {
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
        }
        return Ok(response);
    }
    let length = if parts.uri.path().ends_with("/early") {
        tokio::spawn(body.collect());
        0
    } else {
        body.collect().await.map_or(0, |body| body.to_bytes().len())
    };
    if let Some(entry) = seen.lock().expect("no panic while locked").get_mut(at) {
        entry.body = length;
    }
    let told = json!({ "method": arrived.method, "target": arrived.target, "host": arrived.host, "body": length });
    let mut response = Response::new(Full::new(Bytes::from(told.to_string())).boxed());
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-upstream", http::HeaderValue::from_static("yes"));
    Ok(response)
}

fn trickle() -> BoxBody<Bytes, Infallible> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        while sender.send(Bytes::from_static(b"tick\n")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    BoxBody::new(Ticks(receiver))
}

/// A body that a channel feeds.
struct Ticks(mpsc::Receiver<Bytes>);

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|tick| tick.map(|tick| Ok(Frame::data(tick))))
    }
}

async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = split(stream);
            let _ = copy(&mut reader, &mut writer).await;
        });
    }
}

/// An authority's PEM, and an acceptor with a leaf that it signed.
fn certificates() -> (String, TlsAcceptor) {
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_key = KeyPair::generate().expect("a key");
    let ca_pem = ca.self_signed(&ca_key).expect("a certificate").pem();
    let names = [HOST, OTHER, GITHUB].into_iter().chain(REGISTRIES);
    let leaf = CertificateParams::new(names.map(str::to_owned).collect::<Vec<_>>()).expect("names");
    let leaf_key = KeyPair::generate().expect("a key");
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate and its key");
    (ca_pem, TlsAcceptor::from(Arc::new(config)))
}
