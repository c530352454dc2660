//! Starting and stopping, and what a program that runs a gateway within itself can ask of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::{fmt, io};

use narrowgate_core::policy::Policy;
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::{CeilingView, KeyView};
use narrowgate_prover::{Ceiling, CeilingError, Options, automatic_part};
use tokio::sync::{RwLock, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{Config, Mode};
use crate::crowd::Crowd;
use crate::data_dir::{DataDir, DataDirError};
use crate::events::MOST_FOLLOWERS;
use crate::failure::Failure;
use crate::held;
use crate::judge::{Judge, Judgement};
use crate::key_ring::KeyRing;
use crate::room::Rooms;
use crate::rotate;
use crate::serve::{self, Server};
use crate::service::Service;
use crate::store::{Store, StoreError};
use crate::token::{Role, Token};
use crate::turns::{Behalf, Turns};

/// Open connections. Each is a descriptor, and 1,024 of those is what most systems give a program.
const MAX_CONNECTIONS: usize = 900;

/// Why a gateway does not start. Nothing is changed then, but for what the first start creates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The directory or a secret in it.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The ceiling does not read, or bounds nothing.
    #[error("the ceiling: {0}")]
    Ceiling(#[from] CeilingError),
    /// Policies in force that the ceiling given now does not contain.
    #[error(
        "the ceiling does not contain policies that are in force, so none is served:\n{0}\nwiden the ceiling, start with the previous one, or delete these sandboxes under it"
    )]
    OutsideCeiling(Outside),
    /// Tokens and policies would cross a network in the clear.
    #[error(
        "{0} is not a loopback address, and there is no TLS: give --tls-cert and --tls-key, or listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The certificate or its key.
    #[error("TLS: {0}")]
    Tls(String),
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// Sandboxes whose policies a ceiling does not contain, each with the reason; one line each.
#[derive(Debug)]
pub struct Outside(Vec<(String, String)>);

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.0.iter().map(|(sandbox, reason)| format!("  sandbox {sandbox:?}: {reason}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Why a call in the same process did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// Not a name, or a policy that is not proven inside the ceiling.
    #[error("{message}")]
    Invalid {
        /// `invalid_name`, `invalid`, `outside_org_ceiling` or `not_proven`.
        code: &'static str,
        /// For a person.
        message: String,
    },
    /// The database, or a fault of ours.
    #[error("{0}")]
    Internal(String),
}

/// A running gateway. Dropping it ends it at once; [`Gateway::shutdown`] lets answers finish.
pub struct Gateway {
    service: Arc<Service>,
    data_dir: DataDir,
    server: Server,
}

impl Gateway {
    /// Opens the data directory, proves every policy in force against the ceiling, and listens.
    ///
    /// A policy whose certificate is over another ceiling, assumes other plugins, is over another release's compilation
    /// of it, or by a key that was replaced, becomes a new version with a new certificate.
    ///
    /// # Errors
    /// [`StartError`]; in particular where the ceiling does not contain a policy that is in force.
    pub async fn start(config: Config) -> Result<Gateway, StartError> {
        Gateway::start_for(config, MAX_CONNECTIONS).await
    }

    /// The same, with room for so many connections.
    pub(crate) async fn start_for(config: Config, connections: usize) -> Result<Gateway, StartError> {
        if config.tls.is_none() && !config.listen.ip().is_loopback() {
            return Err(StartError::Exposed(config.listen));
        }
        let (ceiling, ceiling_view) = ceiling(config.ceiling, config.plugins.schema())?;
        let acceptor =
            config.tls.map(|(cert, key)| serve::acceptor(&cert, &key)).transpose().map_err(StartError::Tls)?;
        let listener =
            serve::bind(config.listen).map_err(|source| StartError::Listen { addr: config.listen, source })?;

        let data_dir = DataDir::open(&config.data_dir)?;
        let keys = KeyRing::open(data_dir.root(), clock::now())?;
        let store = Store::open(&data_dir.database()?).await?;
        for role in [Role::Reviewer, Role::Admin] {
            provide_token(&data_dir, &store, role).await?;
        }
        let service = Arc::new(Service {
            store,
            judge: Judge {
                automatic: (config.mode == Mode::Auto).then(|| Arc::new(marked(&ceiling))),
                ceiling: Arc::new(ceiling),
                credentials: Arc::new(config.credentials),
                plugins: config.plugins,
                options: Options { solver: config.solver, ..Options::default() },
            },
            ceiling: ceiling_view,
            keys: Arc::new(RwLock::new(keys)),
            mode: config.mode,
            lease: config.lease,
            turns: Turns::new(available_parallelism().map_or(2, usize::from)),
            changes: watch::Sender::new(0),
            rooms: Rooms::of(connections),
            followers: Arc::new(Semaphore::new(MOST_FOLLOWERS)),
            closing: CancellationToken::new(),
        });
        prove_active(&service).await?;
        tokio::spawn(held::sweep(Arc::clone(&service)));
        let server = Server::start(listener, acceptor, Arc::clone(&service), Crowd::new(connections))
            .map_err(|source| StartError::Listen { addr: config.listen, source })?;
        tracing::info!(addr = %server.addr(), mode = %config.mode, "gateway listening");
        Ok(Gateway { service, data_dir, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.server.is_tls() { "https" } else { "http" }, self.addr())
    }

    /// The file with the reviewer's token.
    pub fn reviewer_token_path(&self) -> PathBuf {
        self.data_dir.token_path(Role::Reviewer)
    }

    /// The file with the administrator's token.
    pub fn admin_token_path(&self) -> PathBuf {
        self.data_dir.token_path(Role::Admin)
    }

    /// The keys that its certificates verify with.
    pub async fn keys(&self) -> Vec<KeyView> {
        self.service.signer().await.view(clock::now()).keys
    }

    /// A sandbox with this baseline: its version and its token. Where there is one of that name, it stays as it is,
    /// and the answer is its active version without a token.
    ///
    /// # Errors
    /// [`GatewayError`]; in particular where the policy is not proven inside the ceiling.
    pub async fn create_sandbox(&self, name: &str, policy: &Policy) -> Result<(u64, Option<String>), GatewayError> {
        match self.service.create_sandbox(name, policy.to_yaml(), "operator").await {
            Ok((version, token)) => Ok((version, Some(token.reveal().to_owned()))),
            Err(Failure::Conflict { .. }) => Ok((self.service.sandbox(name).await?.active.version(), None)),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A new token for a sandbox, in place of its old one; `None` where there is no such sandbox.
    ///
    /// # Errors
    /// [`GatewayError::Internal`].
    pub async fn issue_sandbox_token(&self, name: &str) -> Result<Option<String>, GatewayError> {
        let token = Token::generate(Role::Sandbox).map_err(Failure::from)?;
        let done = self.service.store.set_sandbox_token(name, &token, clock::now()).await.map_err(Failure::from)?;
        Ok(done.then(|| token.reveal().to_owned()))
    }

    /// The policy that a sandbox was created with; `None` where there is no such sandbox.
    ///
    /// # Errors
    /// [`GatewayError::Internal`].
    pub async fn baseline(&self, name: &str) -> Result<Option<Policy>, GatewayError> {
        let history = self.service.store.history(name).await.map_err(Failure::from)?;
        let Some(first) = history.first() else { return Ok(None) };
        let policy = Policy::parse(&first.policy_yaml, "the baseline", narrowgate_core::policy::Role::Policy);
        policy.map(Some).map_err(|e| GatewayError::Internal(e.to_string()))
    }

    /// Stops accepting, ends long polls, lets other answers finish for a moment, and closes the database.
    pub async fn shutdown(self) {
        self.service.closing.cancel();
        self.server.shutdown().await;
        self.service.store.close().await;
    }
}

fn ceiling(given: Option<(String, String)>, schema: &Arc<Schema>) -> Result<(Ceiling, CeilingView), StartError> {
    let (ceiling, text, file) = match given {
        Some((text, file)) => (Ceiling::parse_over(&text, &file, schema)?, text, file),
        None => {
            let open = Ceiling::open_over(schema);
            let text = open.compiled().text().to_owned();
            (open, text, String::new())
        }
    };
    let digest = ceiling.digest();
    Ok((ceiling, CeilingView { text, file, digest }))
}

/// What of the ceiling may be granted without a person.
fn marked(ceiling: &Ceiling) -> Option<Ceiling> {
    let part = automatic_part(ceiling);
    if part.is_none() {
        tracing::warn!(
            "mode auto, but no permit of the ceiling is marked @review(\"auto\"): every proposal waits for a person"
        );
    }
    part
}

/// The file is the operator's handle on a token: what is in it is valid, and putting another one there replaces it.
/// Where it was taken away after the first start, the token stays valid and no new one appears.
async fn provide_token(data_dir: &DataDir, store: &Store, role: Role) -> Result<(), StartError> {
    let token = match data_dir.read_token(role)? {
        Some(token) => token,
        None if store.has_token(role).await? => return Ok(()),
        None => {
            let token = Token::generate(role).map_err(DataDirError::from)?;
            data_dir.write_token(role, &token)?;
            token
        }
    };
    Ok(store.set_token(role, &token, clock::now()).await?)
}

/// Fails closed: after this, everything that is served is proven against the ceiling of now.
async fn prove_active(service: &Service) -> Result<(), StartError> {
    let internal = |failure: Failure| StartError::Internal(failure.to_string());
    let signer = service.signer().await;
    let (mut outside, mut recertified) = (Vec::new(), Vec::new());
    for sandbox in service.store.sandboxes().await? {
        let active = sandbox.active;
        let yaml = active.policy_yaml.clone();
        let fit = match service.judged(Behalf::People, move |judge| judge.policy(&yaml)).await.map_err(internal)? {
            Judgement::Fits(fit) => fit,
            Judgement::Refused(refused) => {
                outside.push((sandbox.name, refused.reason_in_full()));
                continue;
            }
        };
        let certified =
            (fit.proven.policy().to_string(), fit.proven.ceiling().to_string(), fit.proven.schema().to_string());
        let same =
            certified == (active.policy_hash.clone(), active.ceiling_digest.clone(), active.schema_digest.clone());
        // The key may have been replaced just before the last end, and not everything signed anew; and plugins may be
        // others than those that were assumed.
        if !same || !rotate::is_current(&signer, &active, service.judge.plugins.schema()) {
            let next = active.version() + 1;
            let next = Service::certified(&signer, &sandbox.name, next, "gateway", &fit.proven, fit.policy_yaml)
                .map_err(internal)?;
            recertified.push((sandbox.name, next));
        }
    }
    if !outside.is_empty() {
        return Err(StartError::OutsideCeiling(Outside(outside)));
    }
    for (sandbox, version) in &recertified {
        tracing::info!(sandbox, version = version.version, "policy proven and certified anew");
    }
    match service.store.recertify(&recertified).await? {
        true => Ok(()),
        false => Err(StartError::Internal("the database changed while the gateway was starting".to_owned())),
    }
}

impl From<Failure> for GatewayError {
    fn from(failure: Failure) -> GatewayError {
        match failure {
            Failure::Invalid { code, message, .. } => GatewayError::Invalid { code, message },
            other => GatewayError::Internal(other.to_string()),
        }
    }
}
