//! What all connections of one proxy share, and what is known about one client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use narrowgate_core::request::Process;
use ring::rand::SecureRandom;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::GatewayClient;
use crate::active::Active;
use crate::audit::{AuditError, AuditLog, Event, What};
use crate::ca::CertificateAuthority;
use crate::denials::Denials;
use crate::dial::Dialer;
use crate::identity::{Identity, identify};

/// One proxy.
pub(crate) struct Shared {
    pub(crate) sandbox: String,
    pub(crate) authority: CertificateAuthority,
    pub(crate) dialer: Dialer,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) active: Active,
    pub(crate) denials: Denials,
    pub(crate) gateway: GatewayClient,
    pub(crate) proposals: bool,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Writes one audit line.
    pub(crate) fn audit(&self, correlation: &str, what: What) -> Result<(), AuditError> {
        let Some(log) = &self.audit else { return Ok(()) };
        let event = Event {
            time: jiff::Timestamp::now(),
            correlation: correlation.to_owned(),
            sandbox: self.sandbox.clone(),
            what,
        };
        log.write(&event).inspect_err(|e| tracing::error!("audit log: {e}"))
    }
}

/// One client connection: who is at the other end.
pub(crate) struct Peer {
    /// Its executable; unidentified where [`refusal`](Peer::refusal) says why nobody can be held to account.
    pub(crate) process: Process,
    /// Several programs share the connection: no request on it has one author.
    pub(crate) refusal: Option<String>,
    /// Counts against the limit of connections for as long as anything of this one lives.
    _slot: OwnedSemaphorePermit,
}

impl Peer {
    /// Asks the system who owns the connection. Once per connection: the answer is read from `/proc`.
    pub(crate) async fn identify(
        client: SocketAddr,
        proxy: SocketAddr,
        sandbox: &str,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Peer> {
        let name = sandbox.to_owned();
        let identity = tokio::task::spawn_blocking(move || identify(client, proxy, &name)).await;
        let nobody = Process { sandbox: sandbox.to_owned(), ..Process::default() };
        let (process, refusal) = match identity {
            Ok(Identity::Known(process)) => (process, None),
            Ok(Identity::Unknown(why)) => {
                tracing::debug!("client {client} is not identified: {why}");
                (nobody, None)
            }
            Ok(Identity::Ambiguous(why)) => (nobody, Some(why)),
            Err(_) => (nobody, Some("the client could not be identified".to_owned())),
        };
        Arc::new(Peer { process, refusal, _slot: slot })
    }
}

/// Seconds since the Unix epoch, the one clock of every decision.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A fresh identifier, `prefix` and 24 hex digits.
pub(crate) fn id(prefix: &str) -> String {
    static FALLBACK: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 12];
    if ring::rand::SystemRandom::new().fill(&mut random).is_err() {
        // Identifiers name log lines and are no secrets; unique is enough.
        let clock = jiff::Timestamp::now().as_microsecond();
        return format!("{prefix}{clock:016x}{:08x}", FALLBACK.fetch_add(1, Ordering::Relaxed));
    }
    format!("{prefix}{}", HEXLOWER.encode(&random))
}
