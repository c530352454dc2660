//! `narrowgate held list` and `narrowgate held show ID`.

use clap::{Args, ValueEnum};
use narrowgate_core::held::HeldList;

use super::{fetch, text};
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit};
use crate::output::{self, Format};
use crate::runtime::block_on;

/// The requests that wait, oldest first
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this sandbox
    #[arg(long, value_name = "NAME")]
    sandbox: Option<String>,
    /// Those that stand so instead of those that wait
    #[arg(long, value_enum)]
    status: Option<Status>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// One held request
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The request's id, `h_…`
    id: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Spelled as on the wire.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Status {
    Waiting,
    Once,
    Session,
    Always,
    Denied,
    /// Those that nobody is asked about any more; `held forget` takes one back
    Never,
    TimedOut,
    Cancelled,
    Refused,
    All,
}

impl List {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let sandbox = self.sandbox.as_deref().map(|name| segment("sandbox", name)).transpose()?.unwrap_or_default();
        let status = self.status.and_then(|status| status.to_possible_value());
        let status = status.as_ref().map_or("waiting", |status| status.get_name()).to_owned();
        let path = format!("/v1/held?sandbox={sandbox}&status={status}");
        let client = remote.client()?;
        block_on(async move {
            let found: HeldList = client.get(&path).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text if found.held.is_empty() && status == "waiting" => output::line("nothing waits")?,
                Format::Text if found.held.is_empty() => output::line("none")?,
                Format::Text => {
                    let now = text::now();
                    let blocks: Vec<String> = found.held.iter().map(|view| text::held(view, now)).collect();
                    output::line(blocks.join("\n\n"))?;
                }
            }
            Ok(Exit::Done)
        })
    }
}

impl Show {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let client = remote.client()?;
        block_on(async move {
            let found = fetch(&client, &self.id).await?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text => output::line(text::held(&found, text::now()))?,
            }
            Ok(Exit::Done)
        })
    }
}
