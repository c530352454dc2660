//! What all connections of one proxy share, and what is known about one client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use narrowgate_core::request::Process;
use narrowgate_plugins::Plugins;
use ring::rand::SecureRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::GatewayClient;
use crate::active::Active;
use crate::audit::{AuditError, AuditLog, Event, What};
use crate::ca::CertificateAuthority;
use crate::denials::Denials;
use crate::dial::Dialer;
use crate::held::Held;
use crate::identity::{CommandLine, Evidence, Execution, Identity, identify};

/// An owner that came later than the last search, beside those that were found, is noticed this late at most.
const SEARCH: Duration = Duration::from_millis(250);

/// One proxy.
pub(crate) struct Shared {
    pub(crate) sandbox: String,
    pub(crate) plugins: Plugins,
    /// Room for what is read of requests before they are decided, in bytes.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) authority: CertificateAuthority,
    pub(crate) dialer: Dialer,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) active: Active,
    pub(crate) denials: Denials,
    pub(crate) held: Held,
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

/// Whom a request is from.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// Its executable; unidentified where [`refusal`](Who::refusal) says why nobody can be held to account.
    pub(crate) process: Process,
    /// Several programs share the connection, or did: no request on it has one author.
    pub(crate) refusal: Option<String>,
    /// Its command line without secrets; `None` for a process that is not identified.
    pub(crate) command: Option<CommandLine>,
    /// Which run of its executable it is; `None` for a process that is not identified.
    pub(crate) execution: Option<Execution>,
}

/// One client connection, and who is at the other end. Connections change hands: ask anew for every decision.
pub(crate) struct Peer {
    client: SocketAddr,
    proxy: SocketAddr,
    sandbox: String,
    namespace: Option<i32>,
    found: Mutex<Found>,
    /// Counts against the limit of connections for as long as anything of this one lives.
    _slot: OwnedSemaphorePermit,
}

/// What the last search found.
#[derive(Clone)]
struct Found {
    who: Arc<Who>,
    evidence: Option<Evidence>,
    searched: Instant,
}

impl Peer {
    /// Asks the system who owns the connection from `client` to `proxy`: for a captured one, to its original destination.
    /// With `namespace`, it is in the network namespace of that process.
    pub(crate) async fn identify(
        client: SocketAddr,
        proxy: SocketAddr,
        sandbox: &str,
        namespace: Option<i32>,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Peer> {
        let found = Mutex::new(search(client, proxy, sandbox, namespace).await);
        Arc::new(Peer { client, proxy, sandbox: sandbox.to_owned(), namespace, found, _slot: slot })
    }

    /// Whether those that were found still have the connection, at the price of a few reads: for looks that are many.
    pub(crate) fn stands(&self) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.evidence.as_ref().is_some_and(Evidence::stands)
    }

    /// Who owns the connection now.
    pub(crate) async fn who(&self) -> Arc<Who> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Who has once shared the connection may have written what is only now read.
        if found.who.refusal.is_some() {
            return found.who;
        }
        let late = found.searched.elapsed() >= SEARCH;
        let stands = match &found.evidence {
            // A few reads of `/proc`, cheaper than another thread.
            Some(evidence) if !late => evidence.stands(),
            Some(evidence) => {
                let (evidence, searched) = (evidence.clone(), Instant::now());
                let complete = tokio::task::spawn_blocking(move || evidence.is_complete()).await.unwrap_or(false);
                found.searched = searched;
                complete
            }
            None => !late,
        };
        if !stands {
            found = search(self.client, self.proxy, &self.sandbox, self.namespace).await;
        }
        let mut kept = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else's look meanwhile may have found what must not be forgotten.
        if kept.who.refusal.is_none() {
            *kept = found;
        }
        kept.who.clone()
    }
}

async fn search(client: SocketAddr, proxy: SocketAddr, sandbox: &str, namespace: Option<i32>) -> Found {
    let (name, searched) = (sandbox.to_owned(), Instant::now());
    let identified = tokio::task::spawn_blocking(move || {
        let (identity, evidence) = identify(client, proxy, &name, namespace);
        let command = evidence.as_ref().and_then(Evidence::command);
        (identity, evidence, command)
    })
    .await;
    let nobody = |refusal: Option<String>| Who {
        process: Process { sandbox: sandbox.to_owned(), ..Process::default() },
        refusal,
        command: None,
        execution: None,
    };
    let (who, evidence) = match identified {
        Ok((Identity::Known(process), evidence, command)) => {
            let execution = evidence.as_ref().and_then(Evidence::execution);
            (Who { process, refusal: None, command, execution }, evidence)
        }
        Ok((Identity::Unknown(why), ..)) => {
            tracing::debug!("client {client} is not identified: {why}");
            (nobody(None), None)
        }
        Ok((Identity::Ambiguous(why), ..)) => (nobody(Some(why)), None),
        Err(_) => (nobody(Some("the client could not be identified".to_owned())), None),
    };
    Found { who: Arc::new(who), evidence, searched }
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
