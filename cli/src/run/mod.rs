//! `narrowgate run`: a command whose only way out is the proxy.
//!
//! The command gets namespaces of its own, in which the proxy's listeners were opened; this process is the proxy, and
//! with `--policy` the gateway too. What confines the command is `narrowgate-sandbox`'s; who may do what is the policy's.

mod place;
mod report;
mod session;
mod way_out;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use narrowgate_proxy::ResolveEntry;

use crate::args::Remote;
use crate::exit::Ended;
use crate::plugins::Given;
use crate::runtime::{block_on, log};
use crate::stack::Mode;

/// Run a command in its own network namespace: the proxy is its only way out
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The policy to start with, for a gateway of its own, whatever gateway the environment names; with neither nothing
    /// is allowed
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// What a reviewer's "no" does: fail the request, or end the command with the reviewer's words
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    on_user_denial: OnUserDenial,
    /// The sandbox's name; with --gateway, the one whose token --token-file holds
    #[arg(long, value_name = "NAME", default_value = "default")]
    sandbox: String,
    /// Where keys, the database and what was approved are kept for the next run; without it they end with the command
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The upper bound that nothing may exceed, in Cedar or the rule language; without it there is none
    #[arg(long, value_name = "FILE")]
    ceiling: Option<PathBuf>,
    /// Where its own gateway listens, for reviewers; any free port of this machine where it is not given
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    gateway_listen: SocketAddr,
    /// How proposals inside the ceiling are treated
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// For which hosts sandboxes are given credentials (YAML; hosts and names, nothing secret)
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// With --mode auto: how long what is applied without a person lasts, such as 60m
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = crate::prove::duration)]
    lease: Duration,
    #[command(flatten)]
    plugins: Given,
    /// Reach a destination at this address, exempt from the address check; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT", value_parser = crate::proxy::resolve_entry)]
    resolve: Vec<ResolveEntry>,
    /// More roots for upstream TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// The audit log; with --data, audit.ocsf.jsonl in it where this is not given
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(long)]
    quiet: bool,
    /// The command and its arguments, after `--`
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<OsString>,
    /// The first on the line that is for a gateway of its own, as in [`OF_ITS_OWN_GATEWAY`].
    #[arg(skip)]
    pub(crate) own_gateway: Option<&'static str>,
}

/// What a gateway elsewhere has of its own, by the names that clap knows these by.
pub(crate) const OF_ITS_OWN_GATEWAY: [&str; 6] =
    ["policy", "ceiling", "gateway_listen", "mode", "credentials", "lease"];

/// What a reviewer's no does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum OnUserDenial {
    /// The request fails with 403
    #[default]
    Fail,
    /// The command ends, with exit code 1
    Kill,
}

impl Run {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        log(if self.quiet { "error" } else { "warn" });
        let remote = remote.clone();
        block_on(session::run(self, remote))
    }
}
