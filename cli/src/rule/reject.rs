//! `narrowgate rule reject NAME --chunk-id ID --reason TEXT [--hint H]…`.

use clap::{Args, ValueEnum};
use narrowgate_core::wire::{self, ProposalView};

use super::get;
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit};
use crate::output::{self, Format};
use crate::runtime::block_on;

/// Reject a pending proposal; the agent reads the reason and the hints
#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The sandbox
    name: String,
    /// The proposal's id, `p_…`
    #[arg(long, value_name = "ID")]
    chunk_id: String,
    /// Why, for the agent to read
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// What would help; repeatable
    #[arg(long = "hint", value_name = "HINT", value_enum)]
    hints: Vec<Hint>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The contract's hints, spelled as on the wire.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Hint {
    TooBroad,
    #[value(name = "use_l7_not_l4")]
    UseL7NotL4,
    WrongBinaryScope,
    WrongEndpoint,
    NeedsTimeLimit,
    OutsideOrgCeiling,
}

impl Reject {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        segment("sandbox", &self.name)?;
        let client = remote.client()?;
        let hints =
            self.hints.iter().filter_map(ValueEnum::to_possible_value).map(|hint| hint.get_name().to_owned()).collect();
        let body = wire::Reject { reason: self.reason, hints };
        block_on(async move {
            let shown = get::fetch(&client, &self.name, &self.chunk_id).await?;
            let path = format!("/v1/proposals/{}/reject", segment("proposal", &shown.chunk_id)?);
            let now: ProposalView = client.post(&path, &body).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&now)?,
                Format::Text => output::line(format!("rejected: {}", shown.chunk_id))?,
            }
            Ok(Exit::Done)
        })
    }
}
