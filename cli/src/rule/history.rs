//! `narrowgate rule history NAME`: how the policy in force came to be.

use clap::Args;
use narrowgate_core::wire;

use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit};
use crate::output::{self, Format, plain};
use crate::runtime::block_on;

/// The versions of a sandbox's policy, newest first
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The sandbox
    name: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl History {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let path = format!("/v1/sandboxes/{}/history", segment("sandbox", &self.name)?);
        let client = remote.client()?;
        block_on(async move {
            let found: wire::History = client.get(&path).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text => output::line(text(&found))?,
            }
            Ok(Exit::Done)
        })
    }
}

fn text(history: &wire::History) -> String {
    let mut versions: Vec<_> = history.versions.iter().collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.version));
    let lines = versions.iter().map(|version| {
        let from = match (&version.chunk_id, &version.intent_summary) {
            (Some(id), Some(intent)) => format!("{} \"{}\"", plain(id), plain(intent)),
            (Some(id), None) => plain(id),
            (None, _) => "baseline".to_owned(),
        };
        format!(
            "version {:<4} {}  by {:<10} {from}\n             {}",
            version.version,
            plain(&version.created_at),
            plain(&version.approver),
            version.policy_hash
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
