//! `narrowgate held answer ID --once|--session|--always|--no|--never [--reason TEXT]`.

use clap::Args;
use narrowgate_core::held::{self, HeldAnswer, HeldStatus, HeldView};
use narrowgate_core::wire::ApiError;
use narrowgate_proxy::ClientError;

use super::{fetch, text};
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format, plain};
use crate::runtime::block_on;

/// Answer a held request, exactly as shown
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// The request's id, `h_…`
    id: String,
    #[command(flatten)]
    choice: Choice,
    /// For whoever asked to read; one line, at most 2,000 bytes
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The review token of the request as you saw it (`held show --format json`)
    #[arg(long, value_name = "TOKEN")]
    review_token: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
struct Choice {
    /// Let this request through, and no later one
    #[arg(long)]
    once: bool,
    /// Grant the rule until the session ends, for 12 hours at most
    #[arg(long)]
    session: bool,
    /// Grant the rule for good: it becomes an approved proposal
    #[arg(long)]
    always: bool,
    /// Not this one; the next such request is asked about again
    #[arg(long)]
    no: bool,
    /// Not this one, and do not ask about such requests again
    #[arg(long)]
    never: bool,
}

impl Choice {
    /// Exactly one is given: the group demands it.
    fn answer(self) -> held::Answer {
        match self {
            Choice { once: true, .. } => held::Answer::Once,
            Choice { session: true, .. } => held::Answer::Session,
            Choice { always: true, .. } => held::Answer::Always,
            Choice { never: true, .. } => held::Answer::Never,
            Choice { .. } => held::Answer::No,
        }
    }
}

impl Answer {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        let client = remote.client()?;
        block_on(async move {
            let shown = fetch(&client, &self.id).await?;
            if self.format == Format::Text {
                output::line(text::held(&shown, text::now()))?;
            }
            let review_token = token(self.review_token, &shown)?;
            let body = HeldAnswer { answer: self.choice.answer(), reason: self.reason, review_token };
            let path = format!("/v1/held/{}/answer", segment("held request", &shown.held_id)?);
            match client.post::<HeldView>(&path, &body).await {
                Ok(now) => {
                    match self.format {
                        Format::Json => output::json(&now)?,
                        Format::Text => output::line(format!("\nanswered: {}", text::outcome(&now)))?,
                    }
                    Ok(Exit::Done)
                }
                Err(ClientError::Status { status: 409, message, body, .. }) => {
                    let now = serde_json::from_value::<ApiError>(*body).ok().and_then(|error| error.held);
                    match (self.format, &now) {
                        (Format::Json, Some(now)) => output::json(now)?,
                        (Format::Text, Some(now)) => output::line(format!("\nnow: {}", text::outcome(now)))?,
                        (_, None) => {}
                    }
                    Err(Failure::refused(format!("nothing was answered: {}", plain(&message))))
                }
                Err(error) => Err(failure(error)),
            }
        })
    }
}

fn token(given: Option<String>, shown: &HeldView) -> Result<String, Failure> {
    match (given, &shown.review_token) {
        (Some(given), _) => Ok(given),
        (None, Some(shown)) => Ok(shown.clone()),
        (None, None) if shown.status != HeldStatus::Waiting => {
            let (id, status) = (plain(&shown.held_id), shown.status.as_str());
            Err(Failure::refused(format!("nothing was answered: {id} is {status} already")))
        }
        (None, None) => Err(Failure::invalid(format!(
            "the gateway shows this token no review token for {}: a reviewer's token is needed",
            plain(&shown.held_id)
        ))),
    }
}
