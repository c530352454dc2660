//! `narrowgate proxy`: one sandbox's way out, alone.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use narrowgate_proxy::{Config, Proxy as Service, ResolveEntry};
use owo_colors::OwoColorize as _;

use crate::args::Remote;
use crate::client::segment;
use crate::exit::{Ended, Failure};
use crate::plugins::{self, Given};
use crate::runtime::{Stop, block_on, log};
use crate::stack::within_grace;
use crate::{files, output};

/// One sandbox's proxy alone; it takes its policy from a gateway
#[derive(Debug, Args)]
pub(crate) struct Proxy {
    /// The sandbox whose policy it enforces; --token-file holds this sandbox's token
    #[arg(long, value_name = "NAME")]
    sandbox: String,
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3128")]
    listen: SocketAddr,
    /// Where the sandbox's CA, the pinned gateway keys and the last good policy are kept
    #[arg(long, value_name = "DIR", default_value = ".narrowgate-proxy")]
    ca_dir: PathBuf,
    #[command(flatten)]
    plugins: Given,
    /// Reach a destination at this address, exempt from the address check; repeatable
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT", value_parser = resolve_entry)]
    resolve: Vec<ResolveEntry>,
    /// More roots for upstream TLS, besides the system's
    #[arg(long, value_name = "FILE")]
    upstream_ca: Option<PathBuf>,
    /// Where audit lines go; without it none are written
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
}

impl Proxy {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        log("info");
        segment("--sandbox", &self.sandbox)?;
        let mut config = Config::new(self.sandbox, remote.client()?, self.ca_dir.clone());
        config.listen = self.listen;
        config.resolve = self.resolve;
        config.upstream_ca = self.upstream_ca;
        config.audit_log = self.audit_log;
        files::private_dir(&self.ca_dir)?;
        config.plugins = self.plugins.load(Some(&plugins::cache(&self.ca_dir)))?;
        block_on(async move {
            let service = Service::start(config).await.map_err(Failure::invalid)?;
            let stop = Stop::listen()?;
            let said = output::line(format!(
                "{} proxy http://{}, policy version {}\n  trust    {}",
                "up:".green().bold(),
                service.addr(),
                service.version(),
                self.ca_dir.join("ca.pem").display(),
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

/// `HOST:PORT:ADDR:PORT`, as the proxy reads it.
pub(crate) fn resolve_entry(text: &str) -> Result<ResolveEntry, String> {
    text.parse().map_err(|error: <ResolveEntry as std::str::FromStr>::Err| error.to_string())
}
