//! What an operator sets.

use narrowgate_plugins::Plugins;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::held::Event;
use crate::{GatewayClient, ResolveEntry};

/// How one proxy runs: one sandbox, one listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect. Port 0 lets the system choose; [`Proxy::addr`](crate::Proxy::addr) tells.
    pub listen: SocketAddr,
    /// The sandbox whose policy is enforced.
    pub sandbox: String,
    /// The gateway, with this sandbox's token.
    pub gateway: GatewayClient,
    /// Where the sandbox's authority, the pinned gateway keys and the last good bundle are kept; created if missing.
    pub ca_dir: PathBuf,
    /// Destinations with an address of the operator's choice, exempt from the check of addresses.
    pub resolve: Vec<ResolveEntry>,
    /// More roots for upstream TLS, a PEM file, besides the system's.
    pub upstream_ca: Option<PathBuf>,
    /// Where audit lines go; none are written without it.
    pub audit_log: Option<PathBuf>,
    /// Whether denials tell the agent how to propose a rule, and `policy.local` takes proposals.
    pub proposals: bool,
    /// Who says what requests mean, and so what policies can speak about.
    pub plugins: Plugins,
    /// Who is told what waits for a person, how that ends, and what is denied. A full channel loses events, not requests.
    pub observer: Option<mpsc::Sender<Event>>,
}

impl Config {
    /// The defaults: `127.0.0.1:3128`, proposals on, no audit log, no plugins, nothing resolved by hand,
    /// nobody told.
    pub fn new(sandbox: impl Into<String>, gateway: GatewayClient, ca_dir: impl Into<PathBuf>) -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3128)),
            sandbox: sandbox.into(),
            gateway,
            ca_dir: ca_dir.into(),
            resolve: Vec::new(),
            upstream_ca: None,
            audit_log: None,
            proposals: true,
            plugins: Plugins::none(),
            observer: None,
        }
    }
}
