//! `narrowgate rule get NAME` and `narrowgate rule show NAME --chunk-id ID`.

use clap::{Args, ValueEnum};
use narrowgate_core::observed::ObservedDenials;
use narrowgate_core::wire::{ProposalView, Proposals};
use narrowgate_proxy::GatewayClient;

use super::{observed, text};
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format};
use crate::runtime::block_on;

/// The proposals of a sandbox
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The sandbox
    name: String,
    /// Only those that stand so
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Instead: what was denied and nobody proposed a rule for
    #[arg(long, conflicts_with = "status")]
    observed: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One proposal
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The sandbox
    name: String,
    /// The proposal's id, `p_…`
    #[arg(long, value_name = "ID")]
    chunk_id: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Pending,
    Approved,
    Rejected,
    Superseded,
    Expired,
}

impl Get {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        if self.observed {
            return self.observed(remote);
        }
        let mut path = format!("/v1/proposals?sandbox={}", segment("sandbox", &self.name)?);
        if let Some(status) = self.status.and_then(|status| status.to_possible_value()) {
            path.push_str("&status=");
            path.push_str(status.get_name());
        }
        let client = remote.client()?;
        block_on(async move {
            let found: Proposals = client.get(&path).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text if found.proposals.is_empty() => output::line(format!("no proposals for {}", self.name))?,
                Format::Text => {
                    let blocks: Vec<String> = found.proposals.iter().map(text::proposal).collect();
                    output::line(blocks.join("\n\n"))?;
                }
            }
            Ok(Exit::Done)
        })
    }
}

impl Get {
    fn observed(self, remote: &Remote) -> Ended {
        let path = format!("/v1/sandboxes/{}/observed", segment("sandbox", &self.name)?);
        let client = remote.client()?;
        block_on(async move {
            let found: ObservedDenials = client.get(&path).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text => output::line(observed::text(&self.name, &found))?,
            }
            Ok(Exit::Done)
        })
    }
}

impl Show {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        segment("sandbox", &self.name)?;
        let client = remote.client()?;
        block_on(async move {
            let found = fetch(&client, &self.name, &self.chunk_id).await?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text => output::line(text::proposal(&found))?,
            }
            Ok(Exit::Done)
        })
    }
}

/// One proposal, which must be this sandbox's: a mistyped name must not decide another sandbox's proposal.
pub(super) async fn fetch(client: &GatewayClient, sandbox: &str, id: &str) -> Result<ProposalView, Failure> {
    let path = format!("/v1/proposals/{}", segment("proposal", id)?);
    let found: ProposalView = client.get(&path).await.map_err(failure)?;
    if found.sandbox != sandbox {
        return Err(Failure::invalid(format!("proposal {id} is not one of sandbox {sandbox}'s")));
    }
    Ok(found)
}
