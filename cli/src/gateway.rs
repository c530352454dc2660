//! `narrowgate gateway`: the gateway alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use narrowgate_gateway::{Config, Gateway as Service};
use owo_colors::OwoColorize as _;

use crate::exit::{Ended, Failure};
use crate::plugins::{self, Given};
use crate::runtime::{Stop, block_on, log};
use crate::stack::{Mode, within_grace};
use crate::{files, output, solver};

/// The gateway alone: proposals in, proven policies out
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Where tokens, the signing key and the database are kept
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where it listens; anything but loopback needs TLS
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// The upper bound that nothing may exceed, in Cedar or the rule language; without it there is none
    #[arg(long, value_name = "FILE")]
    ceiling: Option<PathBuf>,
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
    /// The certificate chain (PEM) to serve TLS with
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Gateway {
    pub(crate) fn run(self) -> Ended {
        log("info");
        files::private_dir(&self.data)?;
        let plugins = self.plugins.load(Some(&plugins::cache(&self.data)))?;
        let ceiling = files::optional_ceiling(self.ceiling.as_deref(), plugins.schema())?;
        let solver = solver::find()?;
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        let config = Config {
            listen: self.listen,
            data_dir: self.data.clone(),
            ceiling,
            mode: self.mode.into(),
            credentials: files::credentials(self.credentials.as_deref())?,
            lease: self.lease,
            tls: self.tls_cert.zip(self.tls_key),
            plugins,
            solver: solver.clone(),
        };
        block_on(async move {
            let service = Service::start(config).await.map_err(Failure::invalid)?;
            let stop = Stop::listen()?;
            let said = output::line(format!(
                "{} gateway {scheme}://{}\n  prover   {}\n  tokens   {dir}/admin.token, {dir}/reviewer.token",
                "up:".green().bold(),
                service.addr(),
                solver::engines(solver.as_ref()),
                dir = self.data.display(),
            ));
            let ended = match said {
                Ok(()) => Ok(stop.signalled().await),
                Err(failure) => Err(failure),
            };
            within_grace(service.shutdown()).await;
            ended
        })
    }
}
