//! Connections: accept, TLS, HTTP, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api;
use crate::crowd::{Connection, Crowd};
use crate::service::Service;

const HEADERS_WITHIN: Duration = Duration::from_secs(15);
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How many make way at once where the system gives no more descriptors.
const THINNED: usize = 64;

/// The listening server.
pub(crate) struct Server {
    addr: SocketAddr,
    tls: bool,
    closing: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves until shut down or dropped.
    pub(crate) fn start(
        listener: std::net::TcpListener,
        acceptor: Option<TlsAcceptor>,
        service: Arc<Service>,
        crowd: Crowd,
    ) -> io::Result<Server> {
        let listener = TcpListener::from_std(listener)?;
        let server = Server {
            addr: listener.local_addr()?,
            tls: acceptor.is_some(),
            closing: service.closing.clone(),
            abort: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let connections = Connections {
            router: api::router(service),
            acceptor,
            crowd,
            closing: server.closing.clone(),
            abort: server.abort.clone(),
            tasks: server.tasks.clone(),
        };
        server.tasks.spawn(connections.accept(listener));
        Ok(server)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// Lets answers finish for a moment, then cuts.
    pub(crate) async fn shutdown(self) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(FINISH_WITHIN, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            self.tasks.wait().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.cancel();
        self.abort.cancel();
    }
}

/// Binds now, so that a port in use is an error of the start.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Reads the operator's certificate and key.
pub(crate) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let unreadable = |path: &Path, e: &dyn std::fmt::Display| format!("cannot read {path:?}: {e}");
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(|e| unreadable(cert, &e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| format!("{cert:?} and {key:?} do not go together: {e}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[derive(Clone)]
struct Connections {
    router: axum::Router,
    acceptor: Option<TlsAcceptor>,
    crowd: Crowd,
    closing: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Connections {
    async fn accept(self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.closing.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    if is_out_of_descriptors(&error) {
                        self.crowd.thin(THINNED);
                    }
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            // Where all are of use it is closed at once: waiting would hide from the caller what is wrong.
            let Some(connection) = self.crowd.admit() else { continue };
            let connections = self.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = connections.connection(stream, &connection) => {}
                    () = connection.gone().cancelled() => tracing::debug!("a connection made way for another"),
                    () = connections.abort.cancelled() => {}
                }
            });
        }
    }

    async fn connection(&self, stream: TcpStream, connection: &Arc<Connection>) {
        // Answers are small and somebody waits for them.
        let _ = stream.set_nodelay(true);
        match &self.acceptor {
            None => self.http(stream, connection).await,
            Some(acceptor) => match timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => self.http(stream, connection).await,
                Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => tracing::debug!("TLS handshake timed out"),
            },
        }
    }

    async fn http(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: &Arc<Connection>) {
        let (router, connection) = (TowerToHyperService::new(self.router.clone()), Arc::clone(connection));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&connection));
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// `ENFILE` and `EMFILE`, which have no kind of their own. Nothing is accepted before something else is closed.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests;
