//! The one place that opens connections to upstreams.
//!
//! A connection is opened with a [`Permit`] and to nowhere else than the permit says. The name is resolved once; every
//! address of the answer is checked, and one that is blocked condemns them all, since an answer that mixes public and
//! private addresses is what a rebinding attack looks like; then exactly the checked addresses are tried. Nothing
//! resolves the name again.
//!
//! An IP literal of a private network passes: only a policy that names that very address can have made its permit. A
//! name that resolves there does not, and what [`blocked`] calls always blocked passes for nobody but the operator's
//! `--resolve`.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::blocked::{Blocked, always_blocked_host, blocked};
use narrowgate_core::decide::{Permit, Reason};
use narrowgate_core::request::{Host, Port};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use crate::resolve::{ResolveEntry, ResolveEntryError};
use crate::resolve::{Resolved, Resolver};

/// For everything from the name to the end of the TLS handshake.
const DEADLINE: Duration = Duration::from_secs(10);
/// For one of several addresses, so that a black hole does not use up the deadline of its siblings.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Why there is no connection. None of these says anything of the request but its host and port.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error("{host} is at {address}, a {} address, which no sandbox may reach", blocked.class)]
    Blocked { host: Host, address: std::net::IpAddr, blocked: Blocked },
    #[error("cannot resolve {host}: {source}")]
    Dns { host: Host, source: io::Error },
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect { host: Host, port: Port, source: io::Error },
    #[error("no TLS with {host}:{port}: {source}")]
    Tls { host: Host, port: Port, source: io::Error },
    #[error("{host}:{port} did not answer in {} seconds", DEADLINE.as_secs())]
    TimedOut { host: Host, port: Port },
    #[error("{}: {problem}", path.display())]
    UpstreamCa { path: PathBuf, problem: String },
}

impl DialError {
    /// The reason of the denial that this is; `None` where the upstream is to blame and the answer is 502.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            DialError::Blocked { .. } => Some(Reason::DestinationBlocked),
            DialError::Dns { .. } => Some(Reason::DnsFailed),
            _ => None,
        }
    }
}

/// Opens upstream connections.
pub(crate) struct Dialer {
    resolver: Resolver,
    tls: TlsConnector,
}

impl Dialer {
    /// Trusts the system's roots and, where given, the certificates in `upstream_ca` (PEM).
    ///
    /// # Errors
    /// [`DialError::UpstreamCa`]: the file cannot be read or holds no certificate.
    pub(crate) fn new(resolve: Vec<ResolveEntry>, upstream_ca: Option<PathBuf>) -> Result<Dialer, DialError> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "a system root could not be read");
        }
        roots.add_parsable_certificates(native.certs);
        if let Some(path) = upstream_ca {
            add_file(&mut roots, &path).map_err(|problem| DialError::UpstreamCa { path, problem })?;
        }
        if roots.is_empty() {
            tracing::warn!(
                "no trusted roots: every TLS upstream will fail; install the system's, or give --upstream-ca"
            );
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| DialError::UpstreamCa { path: PathBuf::new(), problem: e.to_string() })?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Dialer { resolver: Resolver::new(resolve), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Whether `host` is refused whatever the policy says, by its spelling alone.
    pub(crate) fn always_blocked(&self, host: &Host, port: Port) -> Option<Blocked> {
        if self.resolver.is_pinned(host, port) { None } else { always_blocked_host(host) }
    }

    /// A connection to where `permit` says.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn connect(&self, permit: &Permit) -> Result<TcpStream, DialError> {
        self.open(permit.host(), permit.port(), Instant::now() + DEADLINE).await
    }

    /// The same with TLS: the upstream proves that it is the permit's host.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn connect_tls(&self, permit: &Permit) -> Result<TlsStream<TcpStream>, DialError> {
        let (host, port) = (permit.host(), permit.port());
        let deadline = Instant::now() + DEADLINE;
        let stream = self.open(host, port, deadline).await?;
        let failed = |source| DialError::Tls { host: host.clone(), port, source };
        let name = match host.ip() {
            Some(ip) => ServerName::IpAddress(ip.into()),
            None => ServerName::try_from(host.to_string()).map_err(|_| {
                failed(io::Error::new(io::ErrorKind::InvalidInput, "not a name that a certificate can have"))
            })?,
        };
        let handshake = timeout_at(deadline, self.tls.connect(name, stream)).await;
        handshake.map_err(|_| DialError::TimedOut { host: host.clone(), port })?.map_err(failed)
    }

    async fn open(&self, host: &Host, port: Port, deadline: Instant) -> Result<TcpStream, DialError> {
        let timed_out = |_| DialError::TimedOut { host: host.clone(), port };
        let resolved = timeout_at(deadline, self.resolver.resolve(host, port)).await.map_err(timed_out)?;
        let addresses = check(host, resolved.map_err(|source| DialError::Dns { host: host.clone(), source })?)?;
        let opened = timeout_at(deadline, connect_any(&addresses)).await.map_err(timed_out)?;
        let failed = |source| DialError::Connect { host: host.clone(), port, source };
        let stream = opened.map_err(failed)?;
        // Without it, the last flight of a TLS 1.3 handshake waits for a delayed acknowledgement.
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

/// The addresses that may be tried: all of them, or none.
fn check(host: &Host, resolved: Resolved) -> Result<Vec<SocketAddr>, DialError> {
    let (addresses, named) = match resolved {
        Resolved::Pinned(addresses) => return Ok(addresses),
        Resolved::Literal(address) => (vec![address], true),
        Resolved::Looked(addresses) => (addresses, false),
    };
    for address in addresses.iter().map(SocketAddr::ip) {
        match blocked(address) {
            Some(blocked) if blocked.always || !named => {
                return Err(DialError::Blocked { host: host.clone(), address, blocked });
            }
            _ => {}
        }
    }
    Ok(addresses)
}

async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match tokio::time::timeout(ATTEMPT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn add_file(roots: &mut RootCertStore, path: &std::path::Path) -> Result<(), String> {
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| format!("cannot be read as certificates in PEM: {e}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate in PEM".into());
    }
    certificates
        .into_iter()
        .try_for_each(|der| roots.add(der))
        .map_err(|e| format!("holds a certificate that cannot be trusted: {e}"))
}

#[cfg(test)]
mod tests;
