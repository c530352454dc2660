//! `narrowgate rule`: proposals and versions, for the developer who reviews.
//!
//! A reviewer approves what was shown and nothing else: an approval carries the review token of the very proposal
//! that was printed, and the gateway refuses it when anything it was judged against has changed since.

pub(crate) mod approve;
mod get;
mod history;
mod observed;
mod reject;
pub(crate) mod text;

use clap::{Args, Subcommand};

use crate::args::Remote;
use crate::exit::Ended;

/// Review proposals: get, show, approve, reject, history
#[derive(Debug, Args)]
pub(crate) struct Rule {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Get(get::Get),
    Show(get::Show),
    Approve(approve::Approve),
    Reject(reject::Reject),
    History(history::History),
}

impl Rule {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        match self.verb {
            Verb::Get(verb) => verb.run(remote),
            Verb::Show(verb) => verb.run(remote),
            Verb::Approve(verb) => verb.run(remote),
            Verb::Reject(verb) => verb.run(remote),
            Verb::History(verb) => verb.run(remote),
        }
    }
}
