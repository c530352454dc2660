//! `narrowgate held list` and `narrowgate held show ID`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use narrowgate_core::held::{HeldList, HeldStatus};

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
    #[arg(long, value_name = "STATUS", value_parser = statuses(), default_value = HeldStatus::Waiting.as_str())]
    status: String,
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

/// Where one may stand, as on the wire, and all of them.
fn statuses() -> PossibleValuesParser {
    let each = HeldStatus::ALL.into_iter().map(|status| match status {
        HeldStatus::Never => PossibleValue::new(status.as_str())
            .help("Those that nobody is asked about any more; `held forget` takes one back"),
        _ => PossibleValue::new(status.as_str()),
    });
    each.chain([PossibleValue::new("all")]).collect::<Vec<_>>().into()
}

impl List {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let sandbox = self.sandbox.as_deref().map(|name| segment("sandbox", name)).transpose()?.unwrap_or_default();
        let path = format!("/v1/held?sandbox={sandbox}&status={}", self.status);
        let client = remote.client()?;
        block_on(async move {
            let found: HeldList = client.get(&path).await.map_err(failure)?;
            match self.format {
                Format::Json => output::json(&found)?,
                Format::Text if found.held.is_empty() && self.status == HeldStatus::Waiting.as_str() => {
                    output::line("nothing waits")?
                }
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
