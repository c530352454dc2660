//! Gateway and proxy in one process, as `up` and `demo` run them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::policy::Policy;
use narrowgate_gateway::{Config as GatewayConfig, Gateway};
use narrowgate_plugins::Plugins;
use narrowgate_prover::Solver;
use narrowgate_proxy::{Config as ProxyConfig, GatewayClient, Proxy, ResolveEntry};

use crate::client::{connect, segment};
use crate::environment::{self, Trust};
use crate::exit::Failure;
use crate::files::{self, Readers};

/// How proposals that fit are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Mode {
    /// A person decides
    #[default]
    Manual,
    /// Applied at once where the ceiling says so
    Auto,
    /// Nothing can be applied
    Locked,
}

impl From<Mode> for narrowgate_gateway::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Manual => narrowgate_gateway::Mode::Manual,
            Mode::Auto => narrowgate_gateway::Mode::Auto,
            Mode::Locked => narrowgate_gateway::Mode::Locked,
        }
    }
}

/// What to start.
pub(crate) struct Setup {
    pub(crate) data: PathBuf,
    pub(crate) sandbox: String,
    pub(crate) policy: Policy,
    /// Text and file name.
    pub(crate) ceiling: Option<(String, String)>,
    pub(crate) mode: Mode,
    pub(crate) credentials: Credentials,
    /// How long what nobody was asked about lasts.
    pub(crate) lease: Duration,
    pub(crate) plugins: Plugins,
    pub(crate) solver: Option<Solver>,
    pub(crate) listen: SocketAddr,
    pub(crate) gateway_listen: SocketAddr,
    pub(crate) resolve: Vec<ResolveEntry>,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) audit_log: PathBuf,
}

/// A running gateway and proxy.
pub(crate) struct Stack {
    gateway: Gateway,
    proxy: Proxy,
    data: PathBuf,
}

impl Stack {
    /// Starts the gateway, creates the sandbox where it does not exist yet, starts the proxy. What was started is
    /// stopped again where a later step fails.
    pub(crate) async fn start(setup: Setup) -> Result<Stack, Failure> {
        segment("--sandbox", &setup.sandbox)?;
        files::private_dir(&setup.data)?;
        let data = setup
            .data
            .canonicalize()
            .map_err(|error| Failure::invalid(format!("{}: {error}", setup.data.display())))?;
        let gateway = Gateway::start(GatewayConfig {
            listen: setup.gateway_listen,
            data_dir: data.clone(),
            ceiling: setup.ceiling.clone(),
            mode: setup.mode.into(),
            credentials: setup.credentials.clone(),
            lease: setup.lease,
            tls: None,
            plugins: setup.plugins.clone(),
            solver: setup.solver.clone(),
        })
        .await
        .map_err(Failure::invalid)?;
        match start_proxy(&setup, &data, &gateway).await {
            Ok(proxy) => Ok(Stack { gateway, proxy, data }),
            Err(failure) => {
                gateway.shutdown().await;
                Err(failure)
            }
        }
    }

    pub(crate) fn gateway_url(&self) -> String {
        self.gateway.url()
    }

    pub(crate) fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy.addr())
    }

    /// The policy version that the proxy enforces.
    pub(crate) fn version(&self) -> u64 {
        self.proxy.version()
    }

    /// The data directory, absolute.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A client with the reviewer's token.
    pub(crate) fn reviewer(&self) -> Result<GatewayClient, Failure> {
        connect(&self.gateway_url(), &self.reviewer_token())
    }

    /// What the agent's environment needs.
    pub(crate) fn agent_env(&self) -> Vec<(&'static str, String)> {
        let addr = self.proxy.addr();
        environment::agent(&addr.ip().to_string(), addr.port(), &Trust::within(&self.data))
    }

    /// What the reviewer's environment needs.
    pub(crate) fn reviewer_env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("NARROWGATE_GATEWAY", self.gateway_url()),
            ("NARROWGATE_TOKEN_FILE", self.reviewer_token().display().to_string()),
        ]
    }

    /// Stops accepting, ends what is open, closes the store.
    pub(crate) async fn shutdown(self) {
        self.proxy.shutdown().await;
        self.gateway.shutdown().await;
    }

    fn reviewer_token(&self) -> PathBuf {
        self.data.join("reviewer.token")
    }
}

async fn start_proxy(setup: &Setup, data: &Path, gateway: &Gateway) -> Result<Proxy, Failure> {
    let token_file = data.join(format!("sandbox-{}.token", setup.sandbox));
    ensure_sandbox(setup, gateway, &token_file).await?;
    let mut config = ProxyConfig::new(setup.sandbox.clone(), connect(&gateway.url(), &token_file)?, data);
    config.plugins = setup.plugins.clone();
    config.listen = setup.listen;
    config.resolve = setup.resolve.clone();
    config.upstream_ca = setup.upstream_ca.clone();
    config.audit_log = Some(setup.audit_log.clone());
    config.plugins = setup.plugins.clone();
    Proxy::start(config).await.map_err(Failure::invalid)
}

/// The sandbox exists with this baseline, and its token is in the file.
///
/// A sandbox that exists keeps what is in force: grants that were approved since, and denies. Where the policy file
/// differs from the baseline it was created with, neither silently keeping the old one (the edit may have been to
/// forbid something) nor replacing it (approvals would be lost) is safe, so it is an error that names the ways on.
async fn ensure_sandbox(setup: &Setup, gateway: &Gateway, token_file: &Path) -> Result<(), Failure> {
    let name = &setup.sandbox;
    let (version, token) = gateway.create_sandbox(name, &setup.policy).await.map_err(Failure::invalid)?;
    let token = match token {
        Some(token) => Some(token),
        None => {
            let baseline = gateway.baseline(name).await.map_err(Failure::undecided)?;
            if baseline.as_ref() != Some(&setup.policy) {
                return Err(Failure::invalid(format!(
                    "sandbox {name} in {} was created with another policy, and its version {version} is in force: start it with \
                     the policy it was created with, or give the edited one to a new sandbox (--sandbox NAME or --data DIR)",
                    setup.data.display(),
                )));
            }
            // A crash may have come between creating the sandbox and writing its token.
            match token_file.exists() {
                true => None,
                false => gateway.issue_sandbox_token(name).await.map_err(Failure::undecided)?,
            }
        }
    };
    match token {
        Some(token) => files::write(token_file, format!("{token}\n").as_bytes(), Readers::Owner),
        None => Ok(()),
    }
}

/// Waits until the future ends or a service has been given long enough to stop.
pub(crate) async fn within_grace(future: impl Future<Output = ()>) {
    // Nothing is lost by leaving: the store is transactional and audit lines are written before their requests.
    let _ = tokio::time::timeout(Duration::from_secs(5), future).await;
}
