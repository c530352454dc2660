//! The client's side of an inspected connection: TLS that ends here.
//!
//! The name that the client asks for must be the host of its `CONNECT`: a policy decided about that host, and what is
//! decided, shown in the certificate and forwarded to is one thing.
//!
//! Encrypted client hello: rustls does not show the extension, and it need not. An inner hello is never decrypted or
//! forwarded here, only the outer one counts, and its name is held to the rule above; a client that meant its inner
//! name ends the handshake itself, as RFC 9849 demands, since nothing here confirms it. Refusing the mere extension
//! would refuse every Chrome, which sends a dummy (GREASE) by default.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::request::Host;
use rustls::ServerConfig;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::ca::{CaError, CertificateAuthority};

/// From the first byte to the end of the handshake.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a client gets no TLS.
#[derive(Debug, Error)]
pub(crate) enum TlsReject {
    #[error("the connection is for {expected} and its TLS asks for {}", asked.as_deref().unwrap_or("no name"))]
    ServerName { expected: Host, asked: Option<String> },
    #[error("not TLS; only TLS can be inspected here")]
    NotTls,
    #[error("TLS handshake: {0}")]
    Handshake(String),
    #[error("no TLS handshake in {} seconds", DEADLINE.as_secs())]
    TimedOut,
    #[error("closed before the TLS handshake ended")]
    Closed,
    #[error(transparent)]
    Authority(#[from] CaError),
}

impl TlsReject {
    /// Whether the connection said two things about where it goes, which is a denial and not an accident.
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self, TlsReject::ServerName { .. })
    }
}

/// Is `expected` to the client.
///
/// # Errors
/// See [`TlsReject`]; the client is told by an alert.
pub(crate) async fn accept<S>(stream: S, expected: &Host, ca: &CertificateAuthority) -> Result<TlsStream<S>, TlsReject>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_before(Instant::now() + DEADLINE, stream, expected, ca).await
}

async fn accept_before<S: AsyncRead + AsyncWrite + Unpin>(
    deadline: Instant,
    stream: S,
    expected: &Host,
    ca: &CertificateAuthority,
) -> Result<TlsStream<S>, TlsReject> {
    let hello = timeout_at(deadline, LazyConfigAcceptor::new(Acceptor::default(), stream)).await;
    let hello = hello.map_err(|_| TlsReject::TimedOut)?.map_err(|e| reject(e, true))?;
    let asked = hello.client_hello().server_name().map(str::to_owned);
    if !names(asked.as_deref(), expected) {
        // The alert is a courtesy: whether it arrives changes nothing.
        let _ = timeout_at(deadline, refuse(hello)).await;
        return Err(TlsReject::ServerName { expected: expected.clone(), asked });
    }
    let handshake = timeout_at(deadline, hello.into_stream(ca.server_config(expected)?)).await;
    handshake.map_err(|_| TlsReject::TimedOut)?.map_err(|e| reject(e, false))
}

/// Whether `asked` is the server name that a client of `host` sends. Addresses have none (RFC 6066).
fn names(asked: Option<&str>, host: &Host) -> bool {
    match asked {
        Some(asked) => host.ip().is_none() && Host::parse(asked).is_ok_and(|asked| asked == *host),
        None => host.ip().is_some(),
    }
}

/// Ends a handshake with `access_denied`, which is what rustls says when it has no certificate.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(hello: StartHandshake<S>) -> io::Result<()> {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    hello.into_stream(Arc::new(config)).await.map(drop)
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn reject(error: io::Error, first: bool) -> TlsReject {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) if first => TlsReject::NotTls,
        Some(tls) => TlsReject::Handshake(tls.to_string()),
        None if error.kind() == io::ErrorKind::InvalidData => TlsReject::Handshake(error.to_string()),
        None => TlsReject::Closed,
    }
}

#[cfg(test)]
mod tests;
