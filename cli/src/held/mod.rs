//! `narrowgate held`: requests that wait for a person.
//!
//! What is printed is all that an answer would grant, and an answer carries the review token of the very request that
//! was looked at. Paths and command lines are the sandbox's own words: they are shown so that they cannot drive the
//! terminal.

mod answer;
mod forget;
mod list;
mod text;
mod watch;

use clap::{Args, Subcommand};
use narrowgate_core::held::HeldView;
use narrowgate_proxy::GatewayClient;

use crate::args::Remote;
use crate::client::{failure, segment};
use crate::exit::{Ended, Failure};

/// Requests that wait for a person: list, watch, show, answer, forget
#[derive(Debug, Args)]
pub(crate) struct Held {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Watch(watch::Watch),
    Show(list::Show),
    Answer(answer::Answer),
    Forget(forget::Forget),
}

impl Held {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        match self.verb {
            Verb::List(verb) => verb.run(remote),
            Verb::Watch(verb) => verb.run(remote),
            Verb::Show(verb) => verb.run(remote),
            Verb::Answer(verb) => verb.run(remote),
            Verb::Forget(verb) => verb.run(remote),
        }
    }
}

async fn fetch(client: &GatewayClient, id: &str) -> Result<HeldView, Failure> {
    client.get(&format!("/v1/held/{}", segment("held request", id)?)).await.map_err(failure)
}
