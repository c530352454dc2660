//! `narrowgate held watch`: what waits, as it comes, and how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use narrowgate_core::held::{HeldList, HeldView};
use narrowgate_proxy::{ClientError, EventStream, GatewayClient, GatewayEvent};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::text;
use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format, plain};
use crate::runtime::block_on;

/// Follow the requests that wait, and how they end, until Ctrl-C
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Only those of this sandbox
    #[arg(long, value_name = "NAME")]
    sandbox: Option<String>,
    /// JSON: one line for each event
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The longest pause between two attempts to reach a gateway that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// While something waits, how many requests do is looked at this often: that is no event.
const COUNTS: Duration = Duration::from_secs(5);

impl Watch {
    pub(super) fn run(self, remote: &Remote) -> Ended {
        if let Some(name) = &self.sandbox {
            segment("sandbox", name)?;
        }
        let client = remote.client()?;
        block_on(async move {
            let mut seen = Seen { watch: self, waiting: BTreeMap::new(), last: None };
            tokio::select! {
                ended = seen.follow(&client) => ended,
                _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
            }
        })
    }
}

/// What was printed so far.
struct Seen {
    watch: Watch,
    /// What waits, and for how many requests as it was last printed.
    waiting: BTreeMap<String, u32>,
    last: Option<u64>,
}

impl Seen {
    async fn follow(&mut self, client: &GatewayClient) -> Ended {
        let mut pause = Duration::from_secs(1);
        loop {
            let last = self.last;
            match self.connected(client).await {
                Ok(()) => {}
                Err(Broken::Output(failure)) => return Err(failure),
                Err(Broken::Gateway(error)) if !error.is_transient() => return Err(failure(error)),
                Err(Broken::Gateway(error)) => output::remark(format!("{error}; trying again")),
            }
            pause = if self.last > last { Duration::from_secs(1) } else { (pause * 2).min(LONGEST_PAUSE) };
            sleep(pause).await;
        }
    }

    /// Follows first and lists then: what comes in between is seen twice and printed once.
    async fn connected(&mut self, client: &GatewayClient) -> Result<(), Broken> {
        let mut events: EventStream = client.follow("/v1/inbox/events", self.last).await?;
        self.list(client).await?;
        let mut counts = interval(COUNTS);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = {
                // Kept over the looks, so that a gateway that fell silent is noticed all the same.
                let mut next = std::pin::pin!(events.next());
                loop {
                    tokio::select! {
                        next = &mut next => break next?,
                        _ = counts.tick(), if !self.waiting.is_empty() => self.list(client).await?,
                    }
                }
            };
            let Some(event) = next else { return Ok(()) };
            if event.kind == "gap" {
                self.list(client).await?;
            } else {
                self.event(&event)?;
            }
            self.last = event.id.or(self.last);
        }
    }

    async fn list(&mut self, client: &GatewayClient) -> Result<(), Broken> {
        let path = format!("/v1/held?sandbox={}", self.watch.sandbox.as_deref().unwrap_or_default());
        let found: HeldList = client.get(&path).await?;
        for view in &found.held {
            match self.waiting.contains_key(&view.held_id) {
                false => self.begins(view)?,
                true => self.grows(view)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &GatewayEvent) -> Result<(), Failure> {
        // Other events are other commands' business.
        if !matches!(event.kind.as_str(), "held" | "held_outcome") {
            return Ok(());
        }
        let Ok(view) = serde_json::from_str::<HeldView>(&event.data) else {
            output::remark(format!("an event that this version does not read: {}", plain(&event.data)));
            return Ok(());
        };
        if self.watch.sandbox.as_ref().is_some_and(|name| *name != view.sandbox) {
            return Ok(());
        }
        if event.kind == "held" { self.begins(&view) } else { self.ends(&view) }
    }

    fn begins(&mut self, view: &HeldView) -> Result<(), Failure> {
        if self.waiting.contains_key(&view.held_id) {
            return Ok(());
        }
        self.waiting.insert(view.held_id.clone(), view.requests.unwrap_or(1));
        match self.watch.format {
            Format::Json => output::json_line(&json!({ "event": "held", "held": without_token(view) })),
            Format::Text => output::line(format!("{}\n", text::prompt(view, text::now()))),
        }
    }

    /// Said again each time that the number doubled: who is asked about one request and lets a hundred through should
    /// know it, and be able to read on.
    fn grows(&mut self, view: &HeldView) -> Result<(), Failure> {
        let (Some(shown), Some(count)) = (self.waiting.get_mut(&view.held_id), view.requests) else { return Ok(()) };
        if count < shown.saturating_mul(2) {
            return Ok(());
        }
        *shown = count;
        match self.watch.format {
            Format::Json => output::json_line(&json!({ "event": "held_requests", "held": without_token(view) })),
            Format::Text => output::line(format!("{}\n", text::grown(view, count))),
        }
    }

    fn ends(&mut self, view: &HeldView) -> Result<(), Failure> {
        self.waiting.remove(&view.held_id);
        match self.watch.format {
            Format::Json => output::json_line(&json!({ "event": "held_outcome", "held": view })),
            Format::Text => output::line(format!("{}  {}\n", plain(&view.held_id), text::outcome(view))),
        }
    }
}

/// An event has none, and the same request looks the same whichever way it was seen.
fn without_token(view: &HeldView) -> HeldView {
    HeldView { review_token: None, ..view.clone() }
}

enum Broken {
    Gateway(ClientError),
    Output(Failure),
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Broken {
        Broken::Gateway(error)
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Broken {
        Broken::Output(failure)
    }
}
