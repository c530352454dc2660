//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::policy::Filesystem;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::active::Active;
use crate::audit::{AuditError, AuditLog};
use crate::bundle::{self, BundleError, Loader};
use crate::ca::{CaError, CertificateAuthority};
use crate::denials::{Denials, report};
use crate::dial::Dialer;
use crate::doors::{Door, Doors, Inside, Names, Ready, Resolver};
use crate::held::{self, Held};
use crate::server;
use crate::shared::{Shared, now};
use crate::trust::{KeysError, Trust};
use crate::{ClientError, Config};

/// What is kept of all requests that are being read for a plugin, in bytes: 64 of the largest bodies that one may want.
const ROOM: usize = 256 << 20;

/// A running proxy. Dropping it leaves it running; [`shutdown`](Proxy::shutdown) stops it.
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr).field("version", &self.version()).finish_non_exhaustive()
    }
}

/// Why a proxy does not start. One line each, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the port, most often.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// As configured.
        addr: SocketAddr,
        /// As the system words it.
        source: io::Error,
    },
    /// A door is not one: closed, or no listener.
    #[error("a listener of the sandbox cannot be used: {0}")]
    Door(io::Error),
    /// The name cannot be one.
    #[error("sandbox name {0:?}: letters, digits, '-', '_' and '.', at most 64")]
    Sandbox(String),
    /// The directory for the authority cannot be made.
    #[error("{}: {source}", path.display())]
    Directory {
        /// As configured.
        path: PathBuf,
        /// As the system words it.
        source: io::Error,
    },
    /// The sandbox's authority.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// Roots for upstream TLS.
    #[error("{0}")]
    Upstream(String),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The gateway's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// No policy: the gateway does not give one, and there is no good one in the cache.
    #[error(transparent)]
    Gateway(#[from] ClientError),
    /// No policy: the gateway's is not to be enforced, and there is no good one in the cache.
    #[error("the gateway's policy is refused: {0}")]
    Bundle(#[from] BundleError),
}

impl Proxy {
    /// Binds, loads a proven policy and serves.
    ///
    /// The policy comes from the gateway or, while that is unreachable, from the last one that was good.
    ///
    /// # Errors
    /// See [`StartError`]; nothing listens then.
    pub async fn start(config: Config) -> Result<Proxy, StartError> {
        let listen = config.listen;
        // First, so that a second proxy on the same port touches nothing of the first one's.
        let listener = TcpListener::bind(listen).await.map_err(|source| StartError::Listen { addr: listen, source })?;
        Proxy::serve(begin(config).await?, listener)
    }

    /// The same behind listeners that are open already: [`Config::listen`] is not bound.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is served then, and the listeners are closed.
    pub async fn start_within(config: Config, doors: Doors) -> Result<Proxy, StartError> {
        // First, so that what cannot be served is said before anything else happens.
        let doors = doors.ready().map_err(StartError::Door)?;
        Proxy::serve_within(begin(config).await?, doors)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The version of the policy in force; 0 while there is none.
    pub fn version(&self) -> u64 {
        self.shared.active.version()
    }

    /// What of the file system the policy in force leaves to the clients; `None` where it does not say.
    pub fn filesystem(&self) -> Option<Filesystem> {
        self.shared.active.load(now())?.snapshot.policy().filesystem.clone()
    }

    /// Stops accepting, ends every connection and waits for what is in flight, a few seconds at most.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        // Nobody is to answer what waited here, and what was granted for the session ends with it.
        held::end(&self.shared).await;
        if tokio::time::timeout(Duration::from_secs(5), self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("{} connections did not end in time", self.shared.tasks.len());
        }
    }

    pub(crate) fn serve(shared: Arc<Shared>, listener: TcpListener) -> Result<Proxy, StartError> {
        let addr = listener.local_addr().map_err(StartError::Door)?;
        let door = Door::Proxy(None);
        shared.tasks.spawn(server::listen(shared.clone(), door, listener, server::slots()));
        Ok(Proxy { shared, addr })
    }

    pub(crate) fn serve_within(shared: Arc<Shared>, doors: Ready) -> Result<Proxy, StartError> {
        let addr = doors.proxy.local_addr().map_err(StartError::Door)?;
        let (names, slots) = (Arc::new(Names::default()), server::slots());
        let inside = Inside { names: names.clone(), namespace: doors.namespace };
        let open = |door, listener| shared.tasks.spawn(server::listen(shared.clone(), door, listener, slots.clone()));
        open(Door::Proxy(Some(inside.clone())), doors.proxy);
        for listener in doors.captured {
            open(Door::Captured(inside.clone()), listener);
        }
        if let Some((udp, tcp)) = doors.resolver {
            let resolver = Arc::new(Resolver::new(shared.clone(), names));
            shared.tasks.spawn(resolver.clone().serve_udp(udp));
            shared.tasks.spawn(resolver.serve_tcp(tcp));
        }
        Ok(Proxy { shared, addr })
    }
}

/// Everything but the listeners.
async fn begin(config: Config) -> Result<Arc<Shared>, StartError> {
    let dir = config.ca_dir.clone();
    let shared = prepare(config)?;
    let trust = Arc::new(Trust::open(&shared.gateway, &dir).await?);
    shared.held.trust(trust.clone());
    let loader = Loader::new(shared.clone(), trust, &dir);
    // First of all, so that nothing is taken from the cache that is by a key whose end was announced meanwhile.
    match loader.follow_keys().await {
        Ok(_) => {}
        Err(KeysError::Gateway(e)) => tracing::warn!("{e}; the pinned keys stay"),
        Err(e) => return Err(e.into()),
    }
    // Before the policy, which may have what was granted for the session before.
    let announced = held::announce(&shared).await;
    first_policy(&shared, &loader).await?;
    shared.tasks.spawn(loader.follow());
    shared.tasks.spawn(held::begin(shared.clone(), announced));
    shared.tasks.spawn(report::follow(shared.clone()));
    Ok(shared)
}

/// Everything but the listener and the policy.
pub(crate) fn prepare(config: Config) -> Result<Arc<Shared>, StartError> {
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let dots = config.sandbox.bytes().all(|b| b == b'.');
    if config.sandbox.len() > 64 || dots || !config.sandbox.bytes().all(is_name_byte) {
        return Err(StartError::Sandbox(config.sandbox));
    }
    make_private_dir(&config.ca_dir)?;
    Ok(Arc::new(Shared {
        authority: CertificateAuthority::load_or_create(&config.ca_dir)?,
        dialer: Dialer::new(config.resolve, config.upstream_ca).map_err(|e| StartError::Upstream(e.to_string()))?,
        audit: config.audit_log.as_deref().map(AuditLog::open).transpose()?,
        sandbox: config.sandbox,
        plugins: config.plugins,
        room: Arc::new(Semaphore::new(ROOM)),
        active: Active::default(),
        denials: Denials::default(),
        held: Held::new(config.observer),
        gateway: config.gateway,
        proposals: config.proposals,
        confines: config.confines,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    }))
}

fn make_private_dir(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StartError::Directory { path: path.to_owned(), source })
}

async fn first_policy(shared: &Shared, loader: &Loader) -> Result<(), StartError> {
    loader.load_cached().await;
    // A version that is newer than any cached one, or the same: `after` is exclusive.
    let cached = shared.active.version();
    match loader.fetch(cached.saturating_sub(1), 0).await {
        Ok(Some(bundle)) => match loader.adopt(bundle.clone()).await {
            Ok(()) => Ok(()),
            Err(why) => {
                loader.refuse(&bundle, &why.to_string());
                if cached == 0 { Err(why.into()) } else { Ok(()) }
            }
        },
        Err(e) if bundle::is_revocation(&e) => {
            loader.revoke(&e);
            Err(e.into())
        }
        // Refused, not absent: the token is wrong or the sandbox is gone, and so may be the reason to trust the cache.
        Err(e) if cached == 0 || !e.is_transient() => Err(e.into()),
        Err(e) => {
            tracing::warn!("{e}; starting with version {cached} from the cache");
            Ok(())
        }
        Ok(None) if cached > 0 => {
            tracing::warn!("the gateway knows no version from {cached} on, which stays in force; was it restored?");
            Ok(())
        }
        Ok(None) => Err(ClientError::Answer {
            url: shared.gateway.url().to_owned(),
            problem: format!("no policy for sandbox {:?}", shared.sandbox),
        }
        .into()),
    }
}
