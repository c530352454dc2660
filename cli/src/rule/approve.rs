//! `narrowgate rule approve NAME --chunk-id ID`.

use std::io::IsTerminal as _;

use clap::Args;
use narrowgate_core::wire::{self, ApiError, ProposalStatus, ProposalView};
use narrowgate_proxy::{ClientError, GatewayClient};

use super::{get, text};
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format};
use crate::runtime::block_on;

/// Approve a pending proposal, exactly as shown
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The sandbox
    name: String,
    /// The proposal's id, `p_…`
    #[arg(long, value_name = "ID")]
    chunk_id: String,
    /// The review token of the proposal as you saw it (`rule show --format json`): approve that and nothing newer
    #[arg(long, value_name = "TOKEN")]
    review_token: Option<String>,
    /// Do not ask; without a terminal nothing is asked
    #[arg(long)]
    yes: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What became of an approval.
pub(crate) enum Approval {
    /// It is in force.
    Done(Box<ProposalView>),
    /// Something it was judged against has changed; nothing was applied. With the proposal as it stands now.
    Stale(Option<Box<ProposalView>>),
}

impl Approve {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        segment("sandbox", &self.name)?;
        let client = remote.client()?;
        block_on(async move {
            let shown = get::fetch(&client, &self.name, &self.chunk_id).await?;
            if self.format == Format::Text {
                output::line(text::proposal(&shown))?;
            }
            let asks = !self.yes && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
            if asks && shown.status == ProposalStatus::Pending {
                if self.format == Format::Json {
                    // JSON is for scripts; whoever sits at a terminal reads this before the question.
                    output::aside(text::proposal(&shown));
                }
                output::aside("\napprove exactly this? [y/N]");
                let mut answer = String::new();
                std::io::stdin().read_line(&mut answer).map_err(Failure::undecided)?;
                if !is_yes(&answer) {
                    return Err(Failure::refused(format!("nothing was approved: {} stays pending", self.chunk_id)));
                }
            }
            match approve(&client, &shown, self.review_token).await? {
                Approval::Done(now) => {
                    match self.format {
                        Format::Json => output::json(&now)?,
                        Format::Text => output::line(format!("\napproved: in force as {}", version(&now)))?,
                    }
                    Ok(Exit::Done)
                }
                Approval::Stale(now) => {
                    match (self.format, &now) {
                        (Format::Json, Some(now)) => output::json(now)?,
                        (Format::Text, Some(now)) => output::line(format!("\nnow:\n{}", text::proposal(now)))?,
                        (_, None) => {}
                    }
                    Err(Failure::refused(format!(
                        "proposal {} changed since it was shown (stale review token): nothing was applied; look at it again and approve what you see",
                        self.chunk_id
                    )))
                }
            }
        })
    }
}

/// Sends the approval of exactly this view.
pub(crate) async fn approve(
    client: &GatewayClient,
    shown: &ProposalView,
    token: Option<String>,
) -> Result<Approval, Failure> {
    let id = segment("proposal", &shown.chunk_id)?;
    let token = match (token, &shown.review_token) {
        (Some(given), _) => given,
        (None, Some(shown)) => shown.clone(),
        (None, None) if shown.status != ProposalStatus::Pending => {
            return Err(Failure::refused(format!("proposal {id} is {}, not pending", shown.status.as_str())));
        }
        (None, None) => {
            return Err(Failure::invalid(format!(
                "the gateway shows this token no review token for {id}: a reviewer's token is needed"
            )));
        }
    };
    let body = wire::Approve { review_token: token, durability: None };
    match client.post(&format!("/v1/proposals/{id}/approve"), &body).await {
        Ok(now) => Ok(Approval::Done(now)),
        Err(ClientError::Status { code, body, .. }) if code == "stale_review_token" => {
            Ok(Approval::Stale(serde_json::from_value::<ApiError>(*body).ok().and_then(|error| error.proposal)))
        }
        Err(error) => Err(failure(error)),
    }
}

/// Anything but a clear yes is a no.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn version(now: &ProposalView) -> String {
    match now.activated_version {
        Some(version) => format!("version {version} of {}", now.sandbox),
        None => format!("a new version of {}", now.sandbox),
    }
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_clear_yes_approves() {
        for (answer, expected) in
            [("y\n", true), (" YES \n", true), ("", false), ("\n", false), ("n\n", false), ("yy", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
