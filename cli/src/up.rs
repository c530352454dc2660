//! `narrowgate up`: gateway and proxy in one process, for one sandbox on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use narrowgate_proxy::ResolveEntry;
use owo_colors::OwoColorize as _;

use crate::environment::exports;
use crate::exit::{Ended, Failure};
use crate::files::{self, Readers};
use crate::plugins::{self, Given};
use crate::runtime::{Stop, block_on, log};
use crate::stack::{Mode, Setup, Stack, within_grace};
use crate::{output, proxy, solver};

/// Gateway and proxy in one process; prints the environment to export
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The policy to start with. A sandbox that exists in --data keeps what was approved since; an edited policy
    /// needs a new sandbox
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The upper bound that nothing may exceed, in Cedar or the rule language; without it there is none
    #[arg(long, value_name = "FILE")]
    ceiling: Option<PathBuf>,
    /// The sandbox's name
    #[arg(long, value_name = "NAME", default_value = "default")]
    sandbox: String,
    /// Where tokens, keys, the database and the audit log are kept
    #[arg(long, value_name = "DIR", default_value = ".narrowgate")]
    data: PathBuf,
    /// Where the proxy listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3128")]
    listen: SocketAddr,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    gateway_listen: SocketAddr,
    /// How proposals inside the ceiling are treated
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// For which hosts sandboxes are given credentials (YAML; hosts and names, nothing secret): proposals that would put
    /// one at risk are noted, and never automatic
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// With --mode auto: how long what is applied without a person lasts, such as 60m
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = crate::prove::duration)]
    lease: Duration,
    #[command(flatten)]
    plugins: Given,
    /// Reach a destination at this address, exempt from the address check; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT", value_parser = proxy::resolve_entry)]
    resolve: Vec<ResolveEntry>,
    /// More roots for upstream TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// The audit log, instead of audit.ocsf.jsonl in --data
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
}

impl Up {
    pub(crate) fn run(self) -> Ended {
        log("warn");
        let policy = files::policy(&self.policy)?;
        files::private_dir(&self.data)?;
        let plugins = self.plugins.load(Some(&plugins::cache(&self.data)))?;
        let ceiling = files::optional_ceiling(self.ceiling.as_deref(), plugins.schema())?;
        let setup = Setup {
            audit_log: self.audit_log.unwrap_or_else(|| self.data.join("audit.ocsf.jsonl")),
            data: self.data,
            sandbox: self.sandbox,
            policy,
            ceiling,
            mode: self.mode,
            credentials: files::credentials(self.credentials.as_deref())?,
            lease: self.lease,
            plugins,
            solver: solver::find()?,
            listen: self.listen,
            gateway_listen: self.gateway_listen,
            resolve: self.resolve,
            upstream_ca: self.upstream_ca,
        };
        block_on(async move {
            let (sandbox, engines) = (setup.sandbox.clone(), solver::engines(setup.solver.as_ref()));
            let stack = Stack::start(setup).await?;
            let stop = Stop::listen()?;
            let ended = match announce(&stack, &sandbox, &engines) {
                Ok(()) => Ok(stop.signalled().await),
                Err(failure) => Err(failure),
            };
            within_grace(stack.shutdown()).await;
            ended
        })
    }
}

/// Writes `env` and prints it. `agent.env` leaves out where the reviewer's token is: an agent needs to know its way
/// out, not who decides.
fn announce(stack: &Stack, sandbox: &str, engines: &str) -> Result<(), Failure> {
    let agent = exports(&stack.agent_env());
    let reviewer = exports(&stack.reviewer_env());
    let data = stack.data();
    files::write(&data.join("agent.env"), agent.as_bytes(), Readers::Owner)?;
    files::write(&data.join("env"), format!("{agent}{reviewer}").as_bytes(), Readers::Owner)?;
    let data = data.display();
    output::line(format!(
        "{} sandbox {sandbox}, policy version {}\n  proxy    {}\n  gateway  {}\n  prover   {engines}\n  data     {data}\n",
        "up:".green().bold(),
        stack.version(),
        stack.proxy_url(),
        stack.gateway_url(),
    ))?;
    output::line(format!("{}\n{agent}", format_args!("# for the agent, also in {data}/agent.env").dimmed()))?;
    output::line(format!("{}\n{reviewer}", format_args!("# for the reviewer, with the above in {data}/env").dimmed()))?;
    output::line(format!("{}", "# Ctrl-C stops both".dimmed()))
}
